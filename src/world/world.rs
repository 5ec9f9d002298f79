//! The World's parts and how they are read. How they are written is in `apply`.

use std::sync::Arc;

use encamp_model::{
    AllocId, EvalId, InstanceId, JobId, JobUid, Key, Keyspace, Name, NodeId,
    records::{ApiServerRecord, ClusterRecord, Eval, LeaderRecord},
};
use imbl::{OrdMap, OrdSet};

use crate::{AllocEntry, JobEntry, NodeEntry, Overlay, Registration, Room, Stored};

/// One key as etcd gave it.
#[derive(Clone, Copy, Debug)]
pub struct RawEvent<'a> {
    /// The key as spelled in etcd.
    pub key: &'a [u8],
    /// Its value; `None` if it was deleted.
    pub value: Option<&'a [u8]>,
    /// Revision that created it (0 for a delete).
    pub created: i64,
    /// Revision of this change.
    pub modified: i64,
}

/// The tables that the HTTP API gives an index for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Declarations, versions, sources, states.
    Jobs,
    /// Evaluations.
    Evals,
    /// Allocations and their statuses.
    Allocs,
    /// Nodes, their gates and intents.
    Nodes,
}

/// Everything under the prefix at one revision. Cloning it is a snapshot, in O(1).
#[derive(Clone, Debug)]
pub struct World {
    pub(crate) keyspace: Arc<Keyspace>,
    pub(crate) revision: i64,
    pub(crate) first_list: i64,
    pub(crate) cluster: Option<Arc<Stored<ClusterRecord>>>,
    pub(crate) jobs: OrdMap<JobId, Arc<JobEntry>>,
    pub(crate) registrations: OrdMap<JobUid, Arc<Registration>>,
    pub(crate) nodes: OrdMap<NodeId, Arc<NodeEntry>>,
    pub(crate) alloc_nodes: OrdMap<AllocId, NodeId>,
    pub(crate) evals: OrdMap<EvalId, Arc<Stored<Eval>>>,
    pub(crate) leaders: OrdMap<Name, Arc<Stored<LeaderRecord>>>,
    pub(crate) api_servers: OrdMap<Name, Arc<Stored<ApiServerRecord>>>,
    /// Keys that cannot be decoded, with the revisions that created and changed them.
    pub(crate) opaque: OrdMap<Key, (i64, i64)>,
    /// Last change by table; 0 before any.
    pub(crate) changed: [i64; 4],
    /// Nodes by the revision of their last helpful change.
    pub(crate) helpful: OrdSet<(i64, NodeId)>,
    /// Jobs that wait for room, or for an instant.
    pub(crate) waiting: OrdSet<JobId>,
    pub(crate) overlay: Overlay,
}

impl World {
    /// An empty World, before the first list.
    pub fn new(keyspace: Arc<Keyspace>) -> Self {
        World {
            keyspace,
            revision: 0,
            first_list: 0,
            cluster: None,
            jobs: OrdMap::new(),
            registrations: OrdMap::new(),
            nodes: OrdMap::new(),
            alloc_nodes: OrdMap::new(),
            evals: OrdMap::new(),
            leaders: OrdMap::new(),
            api_servers: OrdMap::new(),
            opaque: OrdMap::new(),
            changed: [0; 4],
            helpful: OrdSet::new(),
            waiting: OrdSet::new(),
            overlay: Overlay::default(),
        }
    }

    /// How keys are spelled.
    pub fn keyspace(&self) -> &Keyspace {
        &self.keyspace
    }

    /// The revision that this World is etcd at.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// The `cluster` key.
    pub fn cluster(&self) -> Option<&Stored<ClusterRecord>> {
        self.cluster.as_deref()
    }

    /// What is known under a job name.
    pub fn job(&self, id: &JobId) -> Option<&Arc<JobEntry>> {
        self.jobs.get(id)
    }

    /// Every job name that anything is known under, in order.
    pub fn jobs(&self) -> impl Iterator<Item = (&JobId, &Arc<JobEntry>)> {
        self.jobs.iter()
    }

    /// One registration.
    pub fn registration(&self, uid: JobUid) -> Option<&Arc<Registration>> {
        self.registrations.get(&uid)
    }

    /// Every registration, in order of uid.
    pub fn registrations(&self) -> impl Iterator<Item = (&JobUid, &Arc<Registration>)> {
        self.registrations.iter()
    }

    /// One node.
    pub fn node(&self, id: NodeId) -> Option<&Arc<NodeEntry>> {
        self.nodes.get(&id)
    }

    /// Every node, in order of id.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &Arc<NodeEntry>)> {
        self.nodes.iter().map(|(id, entry)| (*id, entry))
    }

    /// One allocation, wherever it is.
    pub fn alloc(&self, id: AllocId) -> Option<&Arc<AllocEntry>> {
        self.nodes.get(self.alloc_nodes.get(&id)?)?.allocs.get(&id)
    }

    /// Every allocation, by id.
    pub fn allocs(&self) -> impl Iterator<Item = &Arc<AllocEntry>> {
        self.alloc_nodes.iter().filter_map(|(id, node)| self.nodes.get(node)?.allocs.get(id))
    }

    /// One evaluation.
    pub fn eval(&self, id: EvalId) -> Option<&Arc<Stored<Eval>>> {
        self.evals.get(&id)
    }

    /// Every evaluation, by id.
    pub fn evals(&self) -> impl Iterator<Item = (EvalId, &Arc<Stored<Eval>>)> {
        self.evals.iter().map(|(id, eval)| (*id, eval))
    }

    /// Who leads a loop, and since which revision: its epoch.
    pub fn leader(&self, name: &str) -> Option<&Stored<LeaderRecord>> {
        self.leaders.get(name).map(|l| &**l)
    }

    /// The epoch of `instance` as leader of a loop, if it leads.
    pub fn epoch(&self, name: &str, instance: InstanceId) -> Option<i64> {
        self.leader(name).filter(|l| l.instance == instance).map(|l| l.modified)
    }

    /// The api processes.
    pub fn api_servers(&self) -> impl Iterator<Item = (&Name, &Arc<Stored<ApiServerRecord>>)> {
        self.api_servers.iter()
    }

    /// One api process.
    pub fn api_server(&self, id: &str) -> Option<&Stored<ApiServerRecord>> {
        self.api_servers.get(id).map(|s| &**s)
    }

    /// Is there a value under this key that cannot be decoded?
    pub fn is_opaque(&self, key: &Key) -> bool {
        self.opaque.contains_key(key)
    }

    /// Every key that cannot be decoded, with the revisions that created and changed it.
    pub fn opaque(&self) -> impl Iterator<Item = (&Key, &(i64, i64))> {
        self.opaque.iter()
    }

    /// Jobs with unmet wants, whatever they wait for.
    pub fn waiting(&self) -> impl Iterator<Item = &JobId> {
        self.waiting.iter()
    }

    /// Nodes with a helpful change after `revision`, latest last.
    pub fn helped_since(&self, revision: i64) -> impl Iterator<Item = (i64, NodeId)> {
        self.helpful.range((revision.saturating_add(1), NodeId::MIN)..).copied()
    }

    /// Index of a table: its last change seen (deletes included) or the first list, whichever is later.
    pub fn table_index(&self, table: Table) -> i64 {
        self.changed[table as usize].max(self.first_list)
    }

    /// Was anything of this table seen to change since the first list?
    pub fn table_changed(&self, table: Table) -> bool {
        self.changed[table as usize] > 0
    }

    /// Room of a node, assumed placements included.
    pub fn room(&self, id: NodeId) -> Room {
        let Some(node) = self.nodes.get(&id) else { return Room::default() };
        match self.overlay.on(id) {
            None => node.room.clone(),
            // What waits for nobody only adds: no stock of the whole node needs to be taken.
            Some(assumed) if assumed.values().all(|p| p.record.after.is_empty()) => {
                let unseen = assumed.values().filter(|p| !node.allocs.contains_key(&p.alloc));
                unseen.fold(node.room.clone(), |room, p| room.with(&p.record))
            }
            Some(assumed) => {
                let unseen = assumed.values().filter(|p| !node.allocs.contains_key(&p.alloc));
                let holders = node.holders().chain(unseen.map(|p| (p.alloc, &*p.record)));
                Room::of(node.info.as_ref().map(|i| &i.value), holders)
            }
        }
    }

    /// The assumed placements.
    pub fn overlay(&self) -> &Overlay {
        &self.overlay
    }

    /// The same World with these placements assumed.
    pub fn with_overlay(&self, overlay: Overlay) -> World {
        World { overlay, ..self.clone() }
    }

    /// The mod revision of a key as this World knows it; 0 if it is absent. Opaque values have one too.
    pub fn mod_revision(&self, key: &Key) -> i64 {
        if let Some((_, modified)) = self.opaque.get(key) {
            return *modified;
        }
        self.revisions(key).map_or(0, |(_, modified)| modified)
    }

    /// Create and mod revision of a decoded key.
    pub(crate) fn revisions(&self, key: &Key) -> Option<(i64, i64)> {
        fn of<T>(stored: &Stored<T>) -> (i64, i64) {
            (stored.created, stored.modified)
        }
        match key {
            Key::Cluster => self.cluster.as_deref().map(of),
            Key::Job(id) => self.jobs.get(id)?.job.as_deref().map(of),
            Key::JobState(id) => self.jobs.get(id)?.state.as_deref().map(of),
            Key::JobVersion(uid, v) => {
                self.registrations.get(uid)?.versions.get(v).map(|v| (v.created, v.modified))
            }
            Key::JobSource(uid, v) => self.registrations.get(uid)?.sources.get(v).copied(),
            Key::Eval(id) => self.evals.get(id).map(|e| of(e)),
            Key::Alloc(node, id) => self.nodes.get(node)?.allocs.get(id).map(|a| of(&a.record)),
            Key::AllocStatus(node, id) => {
                let node = self.nodes.get(node)?;
                let status =
                    node.allocs.get(id).and_then(|a| a.status.as_ref()).or_else(|| node.orphans.get(id));
                status.map(of)
            }
            Key::NodeInfo(id) => self.nodes.get(id)?.info.as_deref().map(of),
            Key::NodeLease(id) => self.nodes.get(id)?.lease.as_ref().map(of),
            Key::NodeState(id) => self.nodes.get(id)?.state.as_ref().map(of),
            Key::NodeIntents(id) => self.nodes.get(id)?.intents.as_ref().map(of),
            Key::Leader(name) => self.leaders.get(name).map(|l| of(l)),
            Key::ApiServer(name) => self.api_servers.get(name).map(|s| of(s)),
        }
    }
}
