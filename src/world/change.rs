//! What one revision changed, with how things were before and after.

use std::sync::Arc;

use encamp_model::{
    AllocId, EvalId, Job, JobId, JobUid, Key, Name, NodeId,
    records::{Eval, JobState},
};

use crate::{AllocEntry, NodeEntry, Stored};

/// One changed thing. Several keys of the same node or allocation in one step make one change.
#[derive(Clone, Debug)]
pub enum Change {
    /// The `cluster` key.
    Cluster,
    /// A declaration.
    Job {
        /// Whose.
        id: JobId,
        /// Before.
        old: Option<Arc<Stored<Job>>>,
        /// After.
        new: Option<Arc<Stored<Job>>>,
    },
    /// A stored version or source came or went.
    Version {
        /// The registration.
        uid: JobUid,
        /// The version.
        version: u64,
    },
    /// Unmet wants.
    JobState {
        /// Whose.
        id: JobId,
        /// Before.
        old: Option<Arc<Stored<JobState>>>,
        /// After.
        new: Option<Arc<Stored<JobState>>>,
    },
    /// An evaluation.
    Eval {
        /// Which.
        id: EvalId,
        /// Before.
        old: Option<Arc<Stored<Eval>>>,
        /// After.
        new: Option<Arc<Stored<Eval>>>,
    },
    /// An allocation's record or status.
    Alloc {
        /// Which.
        id: AllocId,
        /// Its node.
        node: NodeId,
        /// Before.
        old: Option<Arc<AllocEntry>>,
        /// After.
        new: Option<Arc<AllocEntry>>,
    },
    /// A node's info, lease, gate or intents, or its opaque entries.
    Node {
        /// Which.
        id: NodeId,
        /// Before.
        old: Option<Arc<NodeEntry>>,
        /// After.
        new: Option<Arc<NodeEntry>>,
    },
    /// `leaders/<loop>`.
    Leader(Name),
    /// `api-servers/<id>`.
    ApiServer(Name),
    /// A key became opaque, or ceased to be.
    Opaque(Key),
}
