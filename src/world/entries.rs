//! What the World keeps of each thing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use encamp_model::{
    AllocId, EvalId, Job, JobId, JobUid, Name, NodeId,
    digest::GroupDigest,
    records::{
        AllocRecord, AllocStatus, ClientStatus, Desired, Gate, JobState, LeaseRecord, NodeInfo, NodeIntents,
        NodeState,
    },
    status::client_status,
};

use crate::{GroupCounts, Room};

/// A decoded value with its place in etcd's history.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored<T> {
    /// The value.
    pub value: T,
    /// Revision that created the key.
    pub created: i64,
    /// Revision that changed it last.
    pub modified: i64,
}

impl<T> std::ops::Deref for Stored<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

/// One allocation: what is wanted of it and what its node says.
#[derive(Clone, Debug, PartialEq)]
pub struct AllocEntry {
    /// Its id.
    pub id: AllocId,
    /// Its node.
    pub node: NodeId,
    /// What the planner wrote.
    pub record: Stored<AllocRecord>,
    /// What the agent wrote, if anything that can be read.
    pub status: Option<Stored<AllocStatus>>,
    /// The agent wrote something that cannot be read: it may run or have ended, nobody can tell. Then `status` is
    /// `None`, also where an earlier one could be read: a World that lists only now must be the same.
    pub status_opaque: bool,
}

impl AllocEntry {
    /// What its node said last; `Pending` before it said anything, `Running` if that cannot be read.
    pub fn said(&self) -> ClientStatus {
        if self.status_opaque {
            return ClientStatus::Running;
        }
        self.status.as_ref().map_or(ClientStatus::Pending, |s| s.status)
    }

    /// Its node said that it ended for good: its room and ports are free.
    pub fn is_terminal(&self) -> bool {
        self.said().is_terminal()
    }

    /// Wanted, and as far as its node says not ended.
    pub fn is_live(&self) -> bool {
        self.record.desired == Desired::Run && !self.is_terminal()
    }

    /// How readers see it, given its node's gate.
    pub fn client_status(&self, gate: Option<Gate>) -> ClientStatus {
        match client_status(&self.record, self.status.as_ref().map(|s| &s.value), gate) {
            ClientStatus::Pending if self.status_opaque => ClientStatus::Running,
            seen => seen,
        }
    }
}

/// An allocation name that an opaque record holds, as far as it can be told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Occupied {
    /// The registration.
    pub uid: JobUid,
    /// The group.
    pub group: Name,
    /// The index.
    pub index: u32,
}

/// One node: all that is known under its id.
#[derive(Clone, Debug, Default)]
pub struct NodeEntry {
    /// Fingerprint.
    pub info: Option<Arc<Stored<NodeInfo>>>,
    /// Heartbeat: present while the agent's lease lives.
    pub lease: Option<Stored<LeaseRecord>>,
    /// The gate.
    pub state: Option<Stored<NodeState>>,
    /// What people want of it.
    pub intents: Option<Stored<NodeIntents>>,
    /// Its allocations, stopped and ended ones included.
    pub allocs: imbl::OrdMap<AllocId, Arc<AllocEntry>>,
    /// Statuses whose allocation record is gone: garbage.
    pub orphans: BTreeMap<AllocId, Stored<AllocStatus>>,
    /// Allocation records that cannot be read, and the names they hold if that can be told.
    pub opaque_allocs: BTreeMap<AllocId, Option<Occupied>>,
    /// Some other key of it (info, lease, gate, intents or a status) cannot be read.
    pub opaque_keys: u32,
    /// Room, taken from `info` and `allocs` (without assumed writes: see [`crate::World::room`]).
    pub room: Room,
    /// Revision of the last change that may let something fit here that did not before.
    pub helpful: i64,
}

impl NodeEntry {
    /// What the gate says; `None` before heartbeat has seen the node.
    pub fn gate(&self) -> Option<Gate> {
        self.state.as_ref().map(|s| s.gate)
    }

    /// The gate says ready, gate and intent both say eligible, and everything about the node can be read: the
    /// planner may place here.
    pub fn takes_placements(&self) -> bool {
        self.info.is_some()
            && self.opaque_allocs.is_empty()
            && self.opaque_keys == 0
            && self.state.as_ref().is_some_and(|s| s.gate == Gate::Ready && s.eligible)
            && self.intents.as_ref().is_none_or(|i| i.eligible)
    }

    /// Work that is on it is lost as far as anyone can tell.
    pub fn is_down(&self) -> bool {
        self.gate() == Some(Gate::Down)
    }

    /// Nothing is left under its id.
    pub fn is_empty(&self) -> bool {
        self.info.is_none()
            && self.lease.is_none()
            && self.state.is_none()
            && self.intents.is_none()
            && self.allocs.is_empty()
            && self.orphans.is_empty()
            && self.opaque_allocs.is_empty()
            && self.opaque_keys == 0
    }
}

/// One job name.
#[derive(Clone, Debug, Default)]
pub struct JobEntry {
    /// The declaration; `None` if the name was purged (or is opaque: see [`crate::World::is_opaque`]).
    pub job: Option<Arc<Stored<Job>>>,
    /// Unmet wants.
    pub state: Option<Arc<Stored<JobState>>>,
    /// Its evaluations that are not answered yet.
    pub pending: BTreeSet<EvalId>,
    /// All of its evaluations.
    pub evals: BTreeSet<EvalId>,
    /// All registrations under this name that still have a version.
    pub uids: BTreeSet<JobUid>,
}

impl JobEntry {
    /// The unmet wants, if they are those of this registration.
    pub fn state_of(&self, uid: JobUid) -> Option<&Stored<JobState>> {
        self.state.as_deref().filter(|s| s.uid == uid)
    }
}

/// One stored version of a registration. Its text is read from etcd when somebody asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionEntry {
    /// The name it was registered under.
    pub job: JobId,
    /// Revision that created the key.
    pub created: i64,
    /// Revision that changed it last.
    pub modified: i64,
    /// Hash of the stored text.
    pub digest: u64,
    /// What a change from this version means, by group.
    pub groups: Arc<BTreeMap<Name, GroupDigest>>,
}

/// One registration of a job name: its versions and allocations. Outlives a purge until gc is done with it.
#[derive(Clone, Debug, Default)]
pub struct Registration {
    /// The name it was registered under, as its latest version says; `None` once no version is left.
    pub job: Option<JobId>,
    /// Its versions.
    pub versions: BTreeMap<u64, VersionEntry>,
    /// Source texts by version: revision that created, revision that changed.
    pub sources: BTreeMap<u64, (i64, i64)>,
    /// Its allocations, on whatever node.
    pub allocs: imbl::OrdMap<AllocId, Arc<AllocEntry>>,
    /// Names that opaque records hold, with the record's node and id.
    pub occupied: BTreeMap<(NodeId, AllocId), Occupied>,
    /// Counters by group.
    pub counts: BTreeMap<Name, GroupCounts>,
}

impl Registration {
    /// Nothing is left of it.
    pub fn is_empty(&self) -> bool {
        self.versions.is_empty()
            && self.sources.is_empty()
            && self.allocs.is_empty()
            && self.occupied.is_empty()
    }

    /// The digest of a group as of one version, if that version is stored and readable.
    pub fn digest(&self, version: u64, group: &str) -> Option<GroupDigest> {
        self.versions.get(&version)?.groups.get(group).copied()
    }
}
