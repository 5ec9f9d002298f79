//! Allocations: what a node must run or stop.

use serde::{Deserialize, Serialize};

use crate::{
    ids::{AllocId, EvalId, JobUid, Name},
    time::Timestamp,
};

/// What is wanted of an allocation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Desired {
    /// Keep it running (or let it end by itself).
    #[default]
    Run,
    /// Stop it. Never goes back to run.
    Stop,
}

/// Why an allocation was told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// The job was stopped.
    JobStopped,
    /// The job was purged or registered anew.
    JobPurged,
    /// The group was scaled down or removed.
    NotNeeded,
    /// A changed job replaces it.
    Updated,
    /// Its node no longer meets the job's constraints.
    Constraint,
    /// Its node is down: the work is lost as far as anyone can tell.
    NodeDown,
    /// The node refused it; it never started.
    Refused,
    /// A forced evaluation replaces a failed one.
    Rescheduled,
}

impl StopReason {
    /// For people: what `status` shows.
    pub fn describe(self) -> &'static str {
        match self {
            StopReason::JobStopped => "alloc not needed as job is stopped",
            StopReason::JobPurged => "alloc not needed as job was purged",
            StopReason::NotNeeded => "alloc not needed due to job update",
            StopReason::Updated => "alloc is being updated due to job update",
            StopReason::Constraint => "node no longer meets the job's constraints",
            StopReason::NodeDown => "alloc is lost since its node is down",
            StopReason::Refused => "alloc was refused by its node",
            StopReason::Rescheduled => "failed alloc was rescheduled by a forced evaluation",
        }
    }
}

/// Room that an instance takes on its node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ask {
    /// MHz.
    pub cpu: i64,
    /// MB (2^20 bytes).
    pub memory_mb: i64,
    /// MB (2^20 bytes).
    pub disk_mb: i64,
}

/// A port that the instance holds on its node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AssignedPort {
    /// Its name in the job.
    pub label: Name,
    /// The number on the node.
    pub value: u16,
    /// Port inside the task's network, if it has one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub to: u16,
    /// The task whose own network block asked for it; absent for the group's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Name>,
}

/// `allocs/<node>/<alloc>`. Node, job uid, group and index never change; the version changes in place only where no
/// running task can see the difference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AllocRecord {
    /// The registration it belongs to.
    pub uid: JobUid,
    /// The job version that says what to run.
    pub version: u64,
    /// The group.
    pub group: Name,
    /// Which instance of the group, from 0.
    pub index: u32,
    /// Run or stop.
    #[serde(default)]
    pub desired: Desired,
    /// Why it was told to stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<StopReason>,
    /// Room it takes.
    pub ask: Ask,
    /// Ports it holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<AssignedPort>,
    /// Allocations of this node whose room it takes over: it starts when their tasks are gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<AllocId>,
    /// The allocation it follows under its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<AllocId>,
    /// The allocation that follows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<AllocId>,
    /// The evaluation that placed it.
    pub eval: EvalId,
    /// When it was placed, on the planner's clock.
    pub created: Timestamp,
}

impl AllocRecord {
    /// `job.group[index]`, given the job's name.
    pub fn name(&self, job: &str) -> String {
        format!("{job}.{}[{}]", self.group, self.index)
    }
}

fn is_zero(value: &u16) -> bool {
    *value == 0
}
