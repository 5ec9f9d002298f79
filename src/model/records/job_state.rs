//! What a job still wants: the planner's memory between two evaluations.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    ids::{EvalId, JobUid, Name},
    time::Timestamp,
};

/// Why one node was refused, with what was seen and wanted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeReason {
    /// The node's name.
    pub node: String,
    /// What was checked: a constraint, `datacenter`, `driver docker`, `cpu`, `memory`, `disk`, `port http`.
    pub check: String,
    /// What the node has.
    pub seen: String,
    /// What the job asks for.
    pub wanted: String,
}

/// Why a group could not be placed (completely). Counts are of nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementFailure {
    /// Nodes looked at.
    pub nodes_evaluated: u32,
    /// Of these, refused by a check that no room can help.
    pub nodes_filtered: u32,
    /// Of these, feasible but full.
    pub nodes_exhausted: u32,
    /// Nodes available by datacenter.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub nodes_available: BTreeMap<String, u32>,
    /// Nodes refused by each check.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub filtered: BTreeMap<String, u32>,
    /// Nodes lacking each dimension.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub exhausted: BTreeMap<String, u32>,
    /// The smallest amount that was missing by dimension.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub shortfall: BTreeMap<String, i64>,
    /// Some nodes by name; at most [`PlacementFailure::MAX_NODES`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeReason>,
    /// Instances of the group beyond the first that failed for the same reasons.
    #[serde(default)]
    pub coalesced: u32,
}

impl PlacementFailure {
    /// Nodes named at most.
    pub const MAX_NODES: usize = 16;
}

/// One unmet want of a group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "waits_for")]
pub enum Want {
    /// For room.
    Room {
        /// Instances that could not be placed.
        count: u32,
        /// Job version that was tried.
        version: u64,
        /// Groups of equal shape fit the same nodes.
        shape: u64,
        /// Revision of the World that was tried: only nodes changed after it can help.
        revision: i64,
        /// Why.
        why: PlacementFailure,
    },
    /// For an instant: the next batch of an update, or for a predecessor's count to recover.
    Time {
        /// Instances still to be replaced.
        count: u32,
        /// Job version that they are replaced by.
        version: u64,
        /// When to look again, on the planner's clock.
        at: Timestamp,
    },
    /// For running instances: replacing more now would fall below the update's floor.
    Floor {
        /// Instances still to be replaced.
        count: u32,
        /// Job version that they are replaced by.
        version: u64,
        /// Instances that must run before the next batch, count − max_parallel.
        floor: u32,
    },
}

/// `job-states/<ns>/<job>`: every unmet want of a registration. Absent when there is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobState {
    /// The registration; under another it is ignored.
    pub uid: JobUid,
    /// By group.
    pub wants: BTreeMap<Name, Vec<Want>>,
    /// Id that the next evaluation will have; the api shows it as `blocked`.
    pub next: EvalId,
    /// The last instant at which a batch of an update was started, by group: the next one keeps its distance.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub batches: BTreeMap<Name, Timestamp>,
}
