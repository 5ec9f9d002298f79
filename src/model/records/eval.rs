//! Evaluations: "look at this job again", and what came of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    ids::{EvalId, JobId, JobUid, Name, NodeId},
    job::JobType,
    records::PlacementFailure,
    time::Timestamp,
};

/// Why an evaluation was made. Spelled as the HTTP API does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    /// A job was registered or changed.
    JobRegister,
    /// A job was stopped or purged.
    JobDeregister,
    /// A node came, went or changed.
    NodeUpdate,
    /// An allocation ended or was refused.
    AllocStop,
    /// Room appeared for a blocked group.
    QueuedAllocs,
    /// The next batch of an update is due.
    RollingUpdate,
    /// A person asked (`job eval`).
    JobEval,
    /// Something is missing that no event explains: the slow check found it.
    Scheduled,
}

/// Where an evaluation stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EvalStatus {
    /// Not answered yet.
    #[default]
    Pending,
    /// The planner has done all it can.
    Complete,
    /// The planner could not look at it (an unreadable job, say).
    Failed,
    /// Another answered for it: the job is gone or registered anew.
    Canceled,
}

/// What the planner wrote when it completed an evaluation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EvalOutcome {
    /// Groups that could not be placed, with the reasons.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failed_groups: BTreeMap<Name, PlacementFailure>,
    /// Instances still wanted, by group.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub queued: BTreeMap<Name, u32>,
    /// The evaluation that waits for room or an instant, if anything is unmet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<EvalId>,
    /// Revision of the World that was looked at.
    pub snapshot_revision: i64,
    /// The planner's epoch.
    pub epoch: i64,
    /// Which run of that epoch, and the seed of its choices: enough to do it again.
    pub sequence: u64,
    /// When it was completed, on the planner's clock.
    pub finished: Timestamp,
}

/// `evals/<eval>`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Eval {
    /// The job.
    pub job: JobId,
    /// Its registration at the time.
    pub uid: JobUid,
    /// Of the job, for ordering and for display.
    pub priority: i64,
    /// Of the job.
    #[serde(rename = "type")]
    pub kind: JobType,
    /// Why.
    pub trigger: Trigger,
    /// The node whose change triggered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// The evaluation whose unmet wants this one answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<EvalId>,
    /// The instant that it was made for: the planner's now is at least this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// Replace allocations that failed after their restart policy, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force_reschedule: bool,
    /// Where it stands.
    pub status: EvalStatus,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// When it was made, on its maker's clock.
    pub created: Timestamp,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<EvalOutcome>,
}
