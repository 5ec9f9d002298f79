//! How the World is written: whole revisions from a watch, or a list taken aside.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use encamp_model::{
    AllocId, EvalId, Job, JobId, JobUid, Key, Name, NodeId,
    digest::group_digest,
    records::{AllocRecord, AllocStatus, Eval, JobState},
};
use serde::{Deserialize, de::DeserializeOwned};
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    AllocEntry, Change, JobEntry, NodeEntry, Occupied, RawEvent, Registration, Room, Stored, Table,
    VersionEntry, World,
};

/// What one step touched, with how it was before.
#[derive(Default)]
struct Step {
    changes: Vec<Change>,
    jobs: BTreeMap<JobId, Option<Arc<Stored<Job>>>>,
    states: BTreeMap<JobId, Option<Arc<Stored<JobState>>>>,
    evals: BTreeMap<EvalId, Option<Arc<Stored<Eval>>>>,
    allocs: BTreeMap<(NodeId, AllocId), Option<Arc<AllocEntry>>>,
    nodes: BTreeSet<NodeId>,
    /// How a node was before the step's first write to anything on it.
    nodes_before: BTreeMap<NodeId, Option<Arc<NodeEntry>>>,
    versions: BTreeSet<(JobUid, u64)>,
    /// Nodes whose room must be taken stock of again.
    rooms: BTreeSet<NodeId>,
}

impl Step {
    /// The node's own keys, or whether they can be read, change.
    fn node(&mut self, id: NodeId) {
        self.nodes.insert(id);
        self.rooms.insert(id);
    }
}

/// A value that a key now has: bytes, and the revisions that created and changed it.
type Raw<'a> = Option<(&'a [u8], i64, i64)>;

impl World {
    /// Applies whole revisions, up to and including `revision`, in etcd's order.
    pub fn apply(&mut self, revision: i64, events: &[RawEvent<'_>]) -> Vec<Change> {
        let mut step = Step::default();
        for event in events {
            if let Some(key) = self.keyspace.decode(event.key) {
                self.set(
                    key,
                    event.value.map(|v| (v, event.created, event.modified)),
                    event.modified,
                    &mut step,
                );
            }
        }
        self.finish(revision, step)
    }

    /// Applies a list taken at `revision`: what is not in it is gone. No delete is lost, however long the World was
    /// not watched.
    pub fn replace(&mut self, revision: i64, list: &[RawEvent<'_>]) -> Vec<Change> {
        let mut step = Step::default();
        let mut listed = BTreeSet::new();
        for kv in list {
            let Some(key) = self.keyspace.decode(kv.key) else { continue };
            if self.mod_revision(&key) != kv.modified {
                self.set(key.clone(), kv.value.map(|v| (v, kv.created, kv.modified)), kv.modified, &mut step);
            }
            listed.insert(key);
        }
        for key in self.keys() {
            if !listed.contains(&key) {
                self.set(key, None, revision, &mut step);
            }
        }
        if self.first_list == 0 {
            self.first_list = revision;
            // What the first list shows is the past: it says nothing about when a table changed.
            self.changed = [0; 4];
        }
        self.finish(revision, step)
    }

    /// Every key that the World holds, opaque ones included.
    pub fn keys(&self) -> BTreeSet<Key> {
        let mut keys: BTreeSet<Key> = self.opaque.keys().cloned().collect();
        keys.extend(self.cluster.iter().map(|_| Key::Cluster));
        for (id, entry) in &self.jobs {
            keys.extend(entry.job.iter().map(|_| Key::Job(id.clone())));
            keys.extend(entry.state.iter().map(|_| Key::JobState(id.clone())));
        }
        for (uid, registration) in &self.registrations {
            keys.extend(registration.versions.keys().map(|v| Key::JobVersion(*uid, *v)));
            keys.extend(registration.sources.keys().map(|v| Key::JobSource(*uid, *v)));
        }
        keys.extend(self.evals.keys().map(|id| Key::Eval(*id)));
        for (id, node) in &self.nodes {
            keys.extend(node_keys(*id, node));
        }
        keys.extend(self.leaders.keys().map(|name| Key::Leader(name.clone())));
        keys.extend(self.api_servers.keys().map(|name| Key::ApiServer(name.clone())));
        keys
    }

    fn set(&mut self, key: Key, raw: Raw<'_>, at: i64, step: &mut Step) {
        tables_of(&key).iter().for_each(|table| self.touch(*table, at));
        let was_opaque = self.opaque.remove(&key).is_some();
        let readable = match &key {
            Key::Cluster => self.set_cluster(raw, step),
            Key::Job(id) => self.set_job(id, raw, step),
            Key::JobState(id) => self.set_job_state(id, raw, step),
            Key::JobVersion(uid, version) => self.set_version(*uid, *version, raw, step),
            Key::JobSource(uid, version) => self.set_source(*uid, *version, raw, step),
            Key::Eval(id) => self.set_eval(*id, raw, step),
            Key::Alloc(node, id) => self.set_alloc(*node, *id, raw, step),
            Key::AllocStatus(node, id) => self.set_status(*node, *id, raw, was_opaque, step),
            Key::NodeInfo(id) | Key::NodeLease(id) | Key::NodeState(id) | Key::NodeIntents(id) => {
                self.set_node_key(*id, &key, raw, (was_opaque, at), step)
            }
            Key::Leader(name) => {
                step.changes.push(Change::Leader(name.clone()));
                set_in(&mut self.leaders, name, raw)
            }
            Key::ApiServer(name) => {
                step.changes.push(Change::ApiServer(name.clone()));
                set_in(&mut self.api_servers, name, raw)
            }
        };
        if let (false, Some((_, created, modified))) = (readable, raw) {
            self.opaque.insert(key.clone(), (created, modified));
        }
        if was_opaque || !readable {
            step.changes.push(Change::Opaque(key));
        }
    }

    fn touch(&mut self, table: Table, at: i64) {
        self.changed[table as usize] = self.changed[table as usize].max(at);
    }

    fn set_cluster(&mut self, raw: Raw<'_>, step: &mut Step) -> bool {
        step.changes.push(Change::Cluster);
        let (value, readable) = stored(raw);
        self.cluster = value.map(Arc::new);
        readable
    }

    fn set_job(&mut self, id: &JobId, raw: Raw<'_>, step: &mut Step) -> bool {
        let (value, readable) = stored(raw);
        self.edit_job(id, |entry| {
            step.jobs.entry(id.clone()).or_insert_with(|| entry.job.clone());
            entry.job = value.map(Arc::new);
        });
        readable
    }

    fn set_job_state(&mut self, id: &JobId, raw: Raw<'_>, step: &mut Step) -> bool {
        let (value, readable) = stored(raw);
        let waits = value.is_some();
        self.edit_job(id, |entry| {
            step.states.entry(id.clone()).or_insert_with(|| entry.state.clone());
            entry.state = value.map(Arc::new);
        });
        if waits {
            self.waiting.insert(id.clone());
        } else {
            self.waiting.remove(id);
        }
        readable
    }

    fn set_version(&mut self, uid: JobUid, version: u64, raw: Raw<'_>, step: &mut Step) -> bool {
        step.versions.insert((uid, version));
        let (value, readable) = stored::<Job>(raw);
        let entry = value.zip(raw).map(|(job, (bytes, created, modified))| {
            let groups = job.task_groups.iter().map(|g| (g.name.clone(), group_digest(&job, g))).collect();
            let digest = xxh3_64(bytes);
            VersionEntry { job: job.job_id(), created, modified, digest, groups: Arc::new(groups) }
        });
        let name = |world: &World| world.registrations.get(&uid).and_then(|r| r.job.clone());
        let before = name(self);
        self.edit_registration(uid, |registration| {
            match entry {
                Some(entry) => drop(registration.versions.insert(version, entry)),
                None => drop(registration.versions.remove(&version)),
            }
            registration.job = registration.versions.values().next_back().map(|v| v.job.clone());
        });
        let after = name(self);
        if before == after {
            return readable;
        }
        if let Some(before) = before {
            self.edit_job(&before, |entry| {
                entry.uids.remove(&uid);
            });
        }
        if let Some(after) = after {
            self.edit_job(&after, |entry| {
                entry.uids.insert(uid);
            });
        }
        readable
    }

    fn set_source(&mut self, uid: JobUid, version: u64, raw: Raw<'_>, step: &mut Step) -> bool {
        step.versions.insert((uid, version));
        self.edit_registration(uid, |registration| match raw {
            Some((_, created, modified)) => drop(registration.sources.insert(version, (created, modified))),
            None => drop(registration.sources.remove(&version)),
        });
        true
    }

    fn set_eval(&mut self, id: EvalId, raw: Raw<'_>, step: &mut Step) -> bool {
        let (value, readable) = stored::<Eval>(raw);
        let old = self.evals.remove(&id);
        if let Some(old) = &old {
            self.edit_job(&old.job, |entry| {
                entry.pending.remove(&id);
                entry.evals.remove(&id);
            });
        }
        step.evals.entry(id).or_insert(old);
        if let Some(eval) = value {
            self.edit_job(&eval.job, |entry| {
                entry.evals.insert(id);
                if eval.status == encamp_model::records::EvalStatus::Pending {
                    entry.pending.insert(id);
                }
            });
            self.evals.insert(id, Arc::new(eval));
        }
        readable
    }

    fn set_alloc(&mut self, node: NodeId, id: AllocId, raw: Raw<'_>, step: &mut Step) -> bool {
        let (value, readable) = stored::<AllocRecord>(raw);
        let mut entry = self.take_node(node, step);
        if entry.opaque_allocs.contains_key(&id) == readable {
            step.node(node);
        }
        let old = entry.allocs.get(&id).cloned();
        let status = old.as_ref().and_then(|o| o.status.clone()).or_else(|| entry.orphans.get(&id).cloned());
        let new_status = status.clone();
        let status_opaque = self.is_opaque(&Key::AllocStatus(node, id));
        let new =
            value.map(|record| Arc::new(AllocEntry { id, node, record, status: new_status, status_opaque }));
        let held = entry.opaque_allocs.get(&id).cloned().flatten();

        let edited = Arc::make_mut(&mut entry);
        edited.orphans.remove(&id);
        edited.opaque_allocs.remove(&id);
        edited.allocs.remove(&id);
        match (&new, readable, status) {
            (Some(new), _, _) => drop(edited.allocs.insert(id, new.clone())),
            (None, _, Some(status)) => drop(edited.orphans.insert(id, status)),
            _ => {}
        }
        if !readable {
            let bytes = raw.map(|(bytes, ..)| bytes).unwrap_or_default();
            let name = occupied(old.as_deref(), bytes, edited.orphans.get(&id)).or_else(|| held.clone());
            edited.opaque_allocs.insert(id, name);
        }
        let holds = edited.opaque_allocs.get(&id).cloned().flatten();
        self.set_node(node, entry);

        self.hold(node, id, held.as_ref(), holds.as_ref());
        if new.is_some() {
            self.alloc_nodes.insert(id, node);
        } else if self.alloc_nodes.get(&id) == Some(&node) {
            self.alloc_nodes.remove(&id);
        }
        self.overlay.settle(node, id);
        self.swap_alloc(node, old, new, step);
        readable
    }

    fn set_status(
        &mut self,
        node: NodeId,
        id: AllocId,
        raw: Raw<'_>,
        was_opaque: bool,
        step: &mut Step,
    ) -> bool {
        let (value, readable) = stored::<AllocStatus>(raw);
        let mut entry = self.take_node(node, step);
        if was_opaque == readable {
            step.node(node);
        }
        let edited = Arc::make_mut(&mut entry);
        edited.opaque_keys = edited.opaque_keys + u32::from(!readable) - u32::from(was_opaque);
        let old = edited.allocs.get(&id).cloned();
        edited.orphans.remove(&id);
        let new = old.as_deref().map(|old| {
            Arc::new(AllocEntry { status: value.clone(), status_opaque: !readable, ..old.clone() })
        });
        match (&new, value) {
            (Some(new), _) => drop(edited.allocs.insert(id, new.clone())),
            (None, Some(status)) => drop(edited.orphans.insert(id, status)),
            (None, None) => {}
        }
        // A status may be what tells which name an opaque record holds.
        let held = edited.opaque_allocs.get(&id).cloned();
        let told = edited.orphans.get(&id).and_then(|status| occupied(None, b"", Some(status)));
        let tells = held == Some(None) && told.is_some();
        if tells {
            edited.opaque_allocs.insert(id, told.clone());
        }
        self.set_node(node, entry);
        if tells {
            self.hold(node, id, None, told.as_ref());
        }
        self.swap_alloc(node, old, new, step);
        readable
    }

    /// Moves an opaque allocation's claim on a name.
    fn hold(&mut self, node: NodeId, id: AllocId, before: Option<&Occupied>, after: Option<&Occupied>) {
        if before == after {
            return;
        }
        if let Some(before) = before {
            self.edit_registration(before.uid, |registration| {
                registration.occupied.remove(&(node, id));
            });
        }
        if let Some(after) = after {
            self.edit_registration(after.uid, |registration| {
                registration.occupied.insert((node, id), after.clone());
            });
        }
    }

    /// Puts a new allocation entry in the old one's place, in its registration and in the counters.
    fn swap_alloc(
        &mut self,
        node: NodeId,
        old: Option<Arc<AllocEntry>>,
        new: Option<Arc<AllocEntry>>,
        step: &mut Step,
    ) {
        let Some(id) = old.as_ref().or(new.as_ref()).map(|entry| entry.id) else { return };
        let down = self.nodes.get(&node).is_some_and(|n| n.is_down());
        if let Some(old) = &old {
            self.edit_registration(old.record.uid, |registration| {
                if registration.allocs.get(&id).is_some_and(|held| held.node == node) {
                    registration.allocs.remove(&id);
                }
                uncount(registration, old, down);
            });
        }
        if let Some(new) = &new {
            self.edit_registration(new.record.uid, |registration| {
                registration.allocs.insert(id, new.clone());
                count(registration, new, down);
            });
        }
        step.rooms.insert(node);
        step.allocs.entry((node, id)).or_insert(old);
    }

    fn set_node_key(
        &mut self,
        id: NodeId,
        key: &Key,
        raw: Raw<'_>,
        (was_opaque, at): (bool, i64),
        step: &mut Step,
    ) -> bool {
        let mut entry = self.take_node(id, step);
        step.node(id);
        let was_down = entry.is_down();
        let edited = Arc::make_mut(&mut entry);
        let readable = match key {
            Key::NodeInfo(_) => put(&mut edited.info, raw, Arc::new),
            Key::NodeLease(_) => put(&mut edited.lease, raw, |v| v),
            Key::NodeState(_) => put(&mut edited.state, raw, |v| v),
            _ => put(&mut edited.intents, raw, |v| v),
        };
        edited.opaque_keys = edited.opaque_keys + u32::from(!readable) - u32::from(was_opaque);
        let is_down = entry.is_down();
        let allocs: Vec<_> =
            if was_down == is_down { Vec::new() } else { entry.allocs.values().cloned().collect() };
        self.set_node(id, entry);
        if !allocs.is_empty() {
            // Whether work counts as lost is read off the gate.
            self.touch(Table::Allocs, at);
            self.touch(Table::Jobs, at);
        }
        for alloc in allocs {
            self.edit_registration(alloc.record.uid, |registration| {
                uncount(registration, &alloc, was_down);
                count(registration, &alloc, is_down);
            });
        }
        readable
    }

    /// Takes a node out to be changed and put back.
    fn take_node(&mut self, id: NodeId, step: &mut Step) -> Arc<NodeEntry> {
        let old = self.nodes.remove(&id);
        step.nodes_before.entry(id).or_insert_with(|| old.clone());
        old.unwrap_or_default()
    }

    fn set_node(&mut self, id: NodeId, entry: Arc<NodeEntry>) {
        if entry.is_empty() {
            self.helpful.remove(&(entry.helpful, id));
            self.nodes.remove(&id);
        } else {
            self.nodes.insert(id, entry);
        }
    }

    fn edit_job(&mut self, id: &JobId, edit: impl FnOnce(&mut JobEntry)) {
        let mut entry = self.jobs.remove(id).unwrap_or_default();
        edit(Arc::make_mut(&mut entry));
        if entry.job.is_some() || entry.state.is_some() || !entry.evals.is_empty() || !entry.uids.is_empty() {
            self.jobs.insert(id.clone(), entry);
        }
    }

    fn edit_registration(&mut self, uid: JobUid, edit: impl FnOnce(&mut Registration)) {
        let mut entry = self.registrations.remove(&uid).unwrap_or_default();
        edit(Arc::make_mut(&mut entry));
        if !entry.is_empty() {
            self.registrations.insert(uid, entry);
        }
    }

    /// Takes stock of the rooms that the step touched and tells what changed.
    fn finish(&mut self, revision: i64, step: Step) -> Vec<Change> {
        self.revision = self.revision.max(revision);
        for id in &step.rooms {
            self.take_stock(*id, step.nodes.contains(id), revision);
        }
        let mut changes = step.changes;
        for (id, old) in step.jobs {
            let new = self.jobs.get(&id).and_then(|entry| entry.job.clone());
            changes.push(Change::Job { id, old, new });
        }
        changes.extend(step.versions.into_iter().map(|(uid, version)| Change::Version { uid, version }));
        for (id, old) in step.states {
            let new = self.jobs.get(&id).and_then(|entry| entry.state.clone());
            changes.push(Change::JobState { id, old, new });
        }
        for (id, old) in step.nodes_before.into_iter().filter(|(id, _)| step.nodes.contains(id)) {
            changes.push(Change::Node { id, old, new: self.nodes.get(&id).cloned() });
        }
        for ((node, id), old) in step.allocs {
            let new = self.nodes.get(&node).and_then(|n| n.allocs.get(&id)).cloned();
            changes.push(Change::Alloc { id, node, old, new });
        }
        for (id, old) in step.evals {
            changes.push(Change::Eval { id, old, new: self.evals.get(&id).cloned() });
        }
        changes
    }

    fn take_stock(&mut self, id: NodeId, node_changed: bool, revision: i64) {
        let Some(mut entry) = self.nodes.remove(&id) else { return };
        let node = Arc::make_mut(&mut entry);
        let room = Room::of(node.info.as_ref().map(|i| &i.value), node.holders());
        // Whatever changed of the node itself may help (an attribute, eligibility); of its allocations, freed room.
        if node_changed || helps(&node.room, &room) {
            self.helpful.remove(&(node.helpful, id));
            node.helpful = revision;
            self.helpful.insert((revision, id));
        }
        node.room = room;
        self.nodes.insert(id, entry);
    }
}

impl NodeEntry {
    /// The allocations whose room is not free: not known to have ended.
    pub(crate) fn holders(&self) -> impl Iterator<Item = (AllocId, &AllocRecord)> {
        self.allocs.values().filter(|a| !a.is_terminal()).map(|a| (a.id, &a.record.value))
    }
}

/// Counts an allocation in; one that is stopped and ended counts nowhere.
fn count(registration: &mut Registration, entry: &AllocEntry, down: bool) {
    let group = &entry.record.group;
    let mut counts = registration.counts.remove(group).unwrap_or_default();
    counts.add(entry, down);
    if !counts.is_empty() {
        registration.counts.insert(group.clone(), counts);
    }
}

fn uncount(registration: &mut Registration, entry: &AllocEntry, down: bool) {
    if let Some(counts) = registration.counts.get_mut(&entry.record.group) {
        counts.remove(entry, down);
        if counts.is_empty() {
            registration.counts.remove(&entry.record.group);
        }
    }
}

fn helps(before: &Room, after: &Room) -> bool {
    let (was, is) = (before.free(), after.free());
    is.cpu > was.cpu
        || is.memory_mb > was.memory_mb
        || is.disk_mb > was.disk_mb
        || before.ports.iter().any(|port| !after.port_taken(*port))
}

/// The name that an opaque allocation holds: what can still be read of it, what it was before, or what its node says.
fn occupied(
    old: Option<&AllocEntry>,
    bytes: &[u8],
    status: Option<&Stored<AllocStatus>>,
) -> Option<Occupied> {
    #[derive(Deserialize)]
    struct NameOnly {
        uid: JobUid,
        group: Name,
        index: u32,
    }
    // What is stored now goes first: it is what another process, which lists only now, sees too.
    if let Ok(name) = serde_json::from_slice::<NameOnly>(bytes) {
        return Some(Occupied { uid: name.uid, group: name.group, index: name.index });
    }
    if let Some(old) = old {
        return Some(Occupied {
            uid: old.record.uid,
            group: old.record.group.clone(),
            index: old.record.index,
        });
    }
    let status = status?;
    let rest = status.name.strip_prefix(&*status.job.name)?.strip_prefix('.')?;
    let (group, index) = rest.strip_suffix(']')?.rsplit_once('[')?;
    Some(Occupied { uid: status.uid, group: Name::from(group), index: index.parse().ok()? })
}

/// Decodes a value; false if there is one that cannot be decoded.
fn stored<T: DeserializeOwned>(raw: Raw<'_>) -> (Option<Stored<T>>, bool) {
    let Some((bytes, created, modified)) = raw else { return (None, true) };
    match serde_json::from_slice(bytes) {
        Ok(value) => (Some(Stored { value, created, modified }), true),
        Err(_) => (None, false),
    }
}

fn put<T: DeserializeOwned, S>(
    slot: &mut Option<S>,
    raw: Raw<'_>,
    wrap: impl FnOnce(Stored<T>) -> S,
) -> bool {
    let (value, readable) = stored(raw);
    *slot = value.map(wrap);
    readable
}

fn set_in<T: DeserializeOwned + Clone>(
    map: &mut imbl::OrdMap<Name, Arc<Stored<T>>>,
    name: &Name,
    raw: Raw<'_>,
) -> bool {
    let (value, readable) = stored(raw);
    match value {
        Some(value) => drop(map.insert(name.clone(), Arc::new(value))),
        None => drop(map.remove(name)),
    }
    readable
}

fn node_keys(id: NodeId, node: &NodeEntry) -> impl Iterator<Item = Key> {
    let own = [
        node.info.as_ref().map(|_| Key::NodeInfo(id)),
        node.lease.as_ref().map(|_| Key::NodeLease(id)),
        node.state.as_ref().map(|_| Key::NodeState(id)),
        node.intents.as_ref().map(|_| Key::NodeIntents(id)),
    ];
    let records = node.allocs.keys().map(move |alloc| Key::Alloc(id, *alloc));
    let said =
        node.allocs.values().filter(|a| a.status.is_some()).map(|a| a.id).chain(node.orphans.keys().copied());
    own.into_iter().flatten().chain(records).chain(said.map(move |alloc| Key::AllocStatus(id, alloc)))
}

/// The tables that show something of a key: a job's status is made of its allocations and its unmet wants.
fn tables_of(key: &Key) -> &'static [Table] {
    match key {
        Key::Job(_) | Key::JobVersion(..) | Key::JobSource(..) => &[Table::Jobs],
        Key::Eval(_) => &[Table::Evals],
        Key::JobState(_) => &[Table::Evals, Table::Jobs],
        Key::Alloc(..) | Key::AllocStatus(..) => &[Table::Allocs, Table::Jobs],
        Key::NodeInfo(_) | Key::NodeState(_) | Key::NodeIntents(_) => &[Table::Nodes],
        Key::Cluster | Key::NodeLease(_) | Key::Leader(_) | Key::ApiServer(_) => &[],
    }
}
