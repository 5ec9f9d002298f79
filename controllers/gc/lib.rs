//! gc: deletes what nobody needs any more. Ended allocations, answered evaluations, dead jobs, old versions, nodes long
//! down (design law 5).
//!
//! Invariants:
//! - Every unit only deletes, compares the mod revision of every key it deletes, and compares what makes it garbage.
//!   So two at once are harmless, an old World is harmless, and it works while etcd is out of space. No leader is
//!   elected.
//! - What makes a key garbage, once true, stays true while the compared keys stay as they are; each module says why.
//! - What is live never goes: an allocation that holds its name (a failed one, a complete one of a batch job), a
//!   current version or one that a record names, a pending evaluation, a node that may come back within its age. A
//!   batch job goes *before* its allocations: the other way round, its finished work would run again.
//! - What cannot be read is judged only by what it belongs to, and keeps what may belong to it.
//!
//! Ages are taken between a stored instant and this loop's clock, and the stored one may be another clock's (an
//! agent's, an earlier leader's). A clock that is behind makes history go early, one that is ahead makes it stay
//! longer; neither touches anything live, since age is never the reason, only the patience.
//!
//! Start with [`Gc`]; then a module a kind, each a pure function from a World to an [`Outcome`].

mod allocs;
mod evals;
mod jobs;
mod nodes;
#[cfg(test)]
mod tests;
mod versions;

use std::time::Duration;

use encamp_model::{
    AllocId, EvalId, JobId, JobUid, Key, NodeId, Timestamp, Unit,
    records::{Desired, EvalStatus},
};
use encamp_world::{
    AllocEntry, Change, NodeEntry, World,
    control::{Controller, Cx, Outcome, Queue},
};

/// How long things are kept.
#[derive(Clone, Debug)]
pub struct Config {
    /// An ended allocation that holds no name, after its end.
    pub alloc_age: Duration,
    /// An answered evaluation, after its answer.
    pub eval_age: Duration,
    /// A dead job, after the last thing that happened to it.
    pub job_age: Duration,
    /// A node, after it went down.
    pub node_age: Duration,
    /// Versions of a registered job, the current one included.
    pub versions_kept: usize,
    /// Units of one run; what is left waits for their answers.
    pub units_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        let hours = |n: u64| Duration::from_secs(n * 3600);
        Config {
            alloc_age: hours(1),
            eval_age: hours(1),
            job_age: hours(4),
            node_age: hours(24),
            versions_kept: 6,
            units_max: 64,
        }
    }
}

/// What one run looks at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Garbage {
    /// An allocation's record and status.
    Alloc(NodeId, AllocId),
    /// An evaluation.
    Eval(EvalId),
    /// A job name: its declaration and unmet wants.
    Job(JobId),
    /// A registration: its versions and sources.
    Registration(JobUid),
    /// A node, and what is left on one that is long down.
    Node(NodeId),
}

/// The loop. See the crate's text.
#[derive(Clone, Debug, Default)]
pub struct Gc {
    config: Config,
}

impl Gc {
    /// With other ages than the usual ones.
    pub fn new(config: Config) -> Self {
        Gc { config }
    }

    /// What may be deleted for a key, and when to look again.
    pub fn judge(&self, key: &Garbage, world: &World, now: Timestamp) -> Outcome {
        let mut outcome = match key {
            Garbage::Alloc(node, id) => allocs::judge(world, &self.config, now, *node, *id),
            Garbage::Eval(id) => evals::judge(world, &self.config, now, *id),
            Garbage::Job(id) => jobs::judge(world, &self.config, now, id),
            Garbage::Registration(uid) => versions::judge(world, &self.config, *uid),
            Garbage::Node(id) => nodes::judge(world, &self.config, now, *id),
        };
        if outcome.units.len() > self.config.units_max {
            outcome.units.truncate(self.config.units_max);
            outcome.cut = true;
        }
        outcome
    }
}

impl Controller for Gc {
    type Key = Garbage;
    const NAME: &'static str = "gc";
    const ELECTED: bool = false;

    fn dirty(&self, change: &Change, world: &World, queue: &mut Queue<Garbage>) {
        match change {
            Change::Alloc { id, node, old, new } => {
                alloc_changed((*node, *id), old.as_deref(), new.as_deref(), world, queue);
            }
            Change::Eval { id, old, new } => {
                queue.add(Garbage::Eval(*id));
                if let Some(eval) = new.as_ref().or(old.as_ref()) {
                    queue.add(Garbage::Job(eval.job.clone()));
                }
            }
            Change::Job { id, old, new } => {
                queue.add(Garbage::Job(id.clone()));
                for uid in [old, new].into_iter().flatten().filter_map(|job| job.uid) {
                    registration(uid, world, queue);
                }
            }
            Change::JobState { id, old, .. } => {
                queue.add(Garbage::Job(id.clone()));
                if let Some(old) = old {
                    queue.add(Garbage::Eval(old.next));
                }
            }
            Change::Version { uid, .. } => registration(*uid, world, queue),
            Change::Node { id, old, new } => {
                queue.add(Garbage::Node(*id));
                let went_down =
                    |node: &NodeEntry| node.is_down() && !old.as_ref().is_some_and(|o| o.is_down());
                if let Some(node) = new.as_deref().filter(|node| went_down(node)) {
                    gone_with(node, world, queue);
                }
            }
            Change::Opaque(Key::AllocStatus(node, id)) => queue.add(Garbage::Alloc(*node, *id)),
            // It may have been what kept any version and any job.
            Change::Opaque(Key::Alloc(node, id)) if !world.is_opaque(&Key::Alloc(*node, *id)) => {
                world.registrations().for_each(|(uid, _)| queue.add(Garbage::Registration(*uid)));
                world.jobs().for_each(|(id, _)| queue.add(Garbage::Job(id.clone())));
            }
            Change::Opaque(_) | Change::Cluster | Change::Leader(_) | Change::ApiServer(_) => {}
        }
    }

    fn all(&self, world: &World, queue: &mut Queue<Garbage>) {
        for (id, node) in world.nodes() {
            queue.add(Garbage::Node(id));
            let ended = node.allocs.values().filter(|a| a.is_terminal()).map(|a| a.id);
            ended.chain(node.orphans.keys().copied()).for_each(|a| queue.add(Garbage::Alloc(id, a)));
        }
        for (key, _) in world.opaque() {
            match key {
                Key::AllocStatus(node, id) => queue.add(Garbage::Alloc(*node, *id)),
                Key::JobState(id) => queue.add(Garbage::Job(id.clone())),
                _ => {}
            }
        }
        let answered = world.evals().filter(|(_, eval)| eval.status != EvalStatus::Pending);
        answered.for_each(|(id, _)| queue.add(Garbage::Eval(id)));
        world.jobs().for_each(|(id, _)| queue.add(Garbage::Job(id.clone())));
        world.registrations().for_each(|(uid, _)| queue.add(Garbage::Registration(*uid)));
    }

    fn reconcile(&mut self, key: &Garbage, world: &World, cx: &mut Cx) -> Outcome {
        self.judge(key, world, cx.now)
    }
}

/// An allocation's record or status changed: it may be garbage, or the last thing that kept others.
fn alloc_changed(
    at: (NodeId, AllocId),
    old: Option<&AllocEntry>,
    new: Option<&AllocEntry>,
    world: &World,
    queue: &mut Queue<Garbage>,
) {
    if new.is_none_or(AllocEntry::is_terminal) {
        queue.add(Garbage::Alloc(at.0, at.1));
    }
    if world.node(at.0).is_some_and(|n| n.info.is_none() || n.is_down()) {
        queue.add(Garbage::Node(at.0));
    }
    for entry in [old, new].into_iter().flatten() {
        if let Some(job) = world.registration(entry.record.uid).and_then(|r| r.job.clone()) {
            queue.add(Garbage::Job(job));
        }
    }
    if let Some(old) = old.filter(|old| new.is_none_or(|new| new.record.version != old.record.version)) {
        queue.add(Garbage::Registration(old.record.uid));
    }
    if let Some(old) = old.filter(|_| new.is_none()) {
        queue.add(Garbage::Eval(old.record.eval));
    }
}

/// A node went down: what was told to stop on it has ended, which may have been the last of a job.
fn gone_with(node: &NodeEntry, world: &World, queue: &mut Queue<Garbage>) {
    for alloc in node.allocs.values().filter(|a| a.record.desired == Desired::Stop) {
        if let Some(job) = world.registration(alloc.record.uid).and_then(|r| r.job.clone()) {
            queue.add(Garbage::Job(job));
        }
    }
}

/// A registration, and those of its allocations that wait for nothing but its end.
fn registration(uid: JobUid, world: &World, queue: &mut Queue<Garbage>) {
    queue.add(Garbage::Registration(uid));
    if let Some(registration) = world.registration(uid) {
        let ended = registration.allocs.values().filter(|a| a.is_terminal());
        ended.for_each(|a| queue.add(Garbage::Alloc(a.node, a.id)));
    }
}

/// Deletes a key that must still be as this World shows it. One that is absent must stay so.
fn take(unit: &mut Unit, world: &World, key: Key) {
    let modified = world.mod_revision(&key);
    if modified != 0 {
        unit.delete(key.clone());
    }
    unit.unchanged(key, modified);
}

/// Is there a declaration that does not tell whose it is? It cannot be read, or has no uid.
fn is_nameless_job(world: &World, id: &JobId) -> bool {
    let declared = world.job(id).and_then(|entry| entry.job.as_deref());
    world.is_opaque(&Key::Job(id.clone())) || declared.is_some_and(|job| job.uid.is_none())
}

/// Rests on a key that it leaves alone.
fn rests_on(unit: &mut Unit, world: &World, key: Key) {
    let modified = world.mod_revision(&key);
    unit.unchanged(key, modified);
}

/// These units now, or at `due` if that is yet to come.
fn once_due(due: Timestamp, now: Timestamp, units: impl FnOnce() -> Vec<Unit>) -> Outcome {
    let mut outcome = Outcome::nothing();
    if now < due {
        outcome.look_again(due);
    } else {
        outcome.units = units();
    }
    outcome
}

/// Is there an allocation record that cannot be read and may be anybody's? It may name any version of any job.
fn any_nameless_alloc(world: &World) -> bool {
    world.opaque().any(|(key, _)| match key {
        Key::Alloc(node, id) => {
            world.node(*node).is_none_or(|n| !matches!(n.opaque_allocs.get(id), Some(Some(_))))
        }
        _ => false,
    })
}
