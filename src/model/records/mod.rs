//! The objects stored in etcd, one file a kind. All are JSON that a person can read.
//!
//! Unknown fields are ignored on reading: an older process must be able to run beside a newer one.

mod alloc;
mod eval;
mod job_state;
mod node;
mod status;

use serde::{Deserialize, Serialize};

pub use alloc::{AllocRecord, Ask, AssignedPort, Desired, StopReason};
pub use eval::{Eval, EvalOutcome, EvalStatus, Trigger};
pub use job_state::{JobState, NodeReason, PlacementFailure, Want};
pub use node::{DriverInfo, Gate, LeaseRecord, NodeInfo, NodeIntents, NodeNetwork, NodeResources, NodeState};
pub use status::{AllocStatus, ClientStatus, TaskEvent, TaskPhase, TaskState};

use crate::ids::{ClusterUid, InstanceId};

/// The layout of keys and values that this version writes and understands.
pub const LAYOUT: u32 = 1;

/// `cluster`: created once, by an api or controllers process that finds it absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterRecord {
    /// Identity of the installation.
    pub uid: ClusterUid,
    /// Layout version; a newer one is refused.
    pub layout: u32,
    /// Region name.
    pub region: String,
}

/// `leaders/<loop>`: who leads, on that process's lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderRecord {
    /// The process.
    pub instance: InstanceId,
    /// Where it can be reached, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub address: String,
}

/// `api-servers/<id>`: an api process, on its lease. Rewritten to get an event past everything before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiServerRecord {
    /// The process.
    pub instance: InstanceId,
    /// Address of its HTTP API (`ip:port`).
    pub address: String,
}

/// `job-sources/<uid>/<version>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSource {
    /// `hcl` or `json`.
    pub format: String,
    /// The text.
    pub source: String,
}
