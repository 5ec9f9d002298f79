//! What a node says of an allocation.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    ids::{JobId, JobUid, Name},
    time::Timestamp,
};

/// Where an allocation stands. The agent writes all but `Lost`, which is a verdict of readers (see [`crate::status`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientStatus {
    /// Not started yet, or between two runs.
    #[default]
    Pending,
    /// At least one task runs.
    Running,
    /// All tasks ended well, or were stopped as asked.
    Complete,
    /// A task failed after its restart policy.
    Failed,
    /// Its node is down and nobody knows.
    Lost,
    /// The node would not start it; it never ran.
    Refused,
}

impl ClientStatus {
    /// Nothing of it runs, and nothing will again.
    pub fn is_terminal(self) -> bool {
        matches!(
            self,
            ClientStatus::Complete | ClientStatus::Failed | ClientStatus::Lost | ClientStatus::Refused
        )
    }

    /// As the HTTP API spells it. `refused` is our word: clients know it as `failed`.
    pub fn as_api(self) -> &'static str {
        match self {
            ClientStatus::Pending => "pending",
            ClientStatus::Running => "running",
            ClientStatus::Complete => "complete",
            ClientStatus::Failed | ClientStatus::Refused => "failed",
            ClientStatus::Lost => "lost",
        }
    }
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskPhase {
    /// Not running; it will.
    #[default]
    Pending,
    /// Running.
    Running,
    /// Ended for good.
    Dead,
}

/// Something that happened to a task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskEvent {
    /// `Received`, `Task Setup`, `Started`, `Terminated`, `Restarting`, `Not Restarting`, `Killing`, `Killed`, `Driver Failure`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// When, on the agent's clock.
    pub time: Timestamp,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Exit code, if it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Signal number, if one ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
}

/// One task of an allocation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskState {
    /// Where it stands.
    pub state: TaskPhase,
    /// It ended for good and badly.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub failed: bool,
    /// Restarts so far.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub restarts: u64,
    /// Start of the present or last run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// End of the last run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<Timestamp>,
    /// The last ones, oldest first; at most [`TaskState::MAX_EVENTS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<TaskEvent>,
}

impl TaskState {
    /// Events kept a task.
    pub const MAX_EVENTS: usize = 10;
}

/// `nodes/<node>/status/<alloc>`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AllocStatus {
    /// The registration it belongs to.
    pub uid: JobUid,
    /// The job's namespace and name, so that a status can be read without its job.
    pub job: JobId,
    /// `job.group[index]`.
    pub name: String,
    /// The job version that the agent goes by.
    pub version: u64,
    /// Where the allocation stands.
    pub status: ClientStatus,
    /// For people: why it is refused, failed, waiting.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Its tasks.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tasks: BTreeMap<Name, TaskState>,
    /// When this was written, on the agent's clock.
    pub modified: Timestamp,
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}
