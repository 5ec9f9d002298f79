//! Evaluator: makes the evaluation for a job that needs a run of the planner when nobody else has.
//!
//! Invariants: pure; at most one evaluation of its making is pending a job; it asks [`encamp_sched::need`] of the jobs
//! that a change concerns, and [`encamp_sched::wake`] which blocked ones freed room should wake: of ten thousand that
//! wait for one slot, one.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use encamp_model::{
    EvalId, JobId, JobUid, Key,
    records::{ClientStatus, Trigger, Want},
};
use encamp_sched::{Call, Fleet, Need, evaluation, need, wake};
use encamp_world::{
    AllocEntry, Change, NodeEntry, World,
    control::{Controller, Cx, Outcome, Queue},
};

/// Most jobs that one look at freed room wakes; the next look follows as soon as these evaluations are made.
const WOKEN_MAX: usize = 1024;

/// What the loop works on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Work {
    /// Does this job need a run, for whatever reason but room?
    Job(JobId),
    /// Which blocked jobs should room that appeared wake?
    Room,
}

/// The loop. What it remembers are the classes of nodes, and the evaluations it made that the World does not show yet.
#[derive(Clone, Debug, Default)]
pub struct Evaluator {
    fleet: Fleet,
    made: BTreeMap<JobId, EvalId>,
}

impl Evaluator {
    /// An evaluator that knows nothing yet.
    pub fn new() -> Self {
        Evaluator::default()
    }

    /// Is an evaluation of this job pending, or on its way?
    fn is_called(&self, job: &JobId, world: &World) -> bool {
        world.job(job).is_some_and(|entry| !entry.pending.is_empty()) || self.made.contains_key(job)
    }

    fn job(&mut self, job: &JobId, world: &World, cx: &mut Cx) -> Outcome {
        let mut outcome = Outcome::nothing();
        if self.is_called(job, world) {
            return outcome;
        }
        match need(world, job, cx.now) {
            Need::Nothing => {}
            Need::At(at) => outcome.look_again(at),
            Need::Now(call) => {
                let (id, unit) = evaluation(world, job, &call, None, cx);
                self.made.insert(job.clone(), id);
                outcome.units.push(unit);
            }
        }
        outcome
    }

    fn room(&mut self, world: &World, cx: &mut Cx) -> Outcome {
        let mut fleet = std::mem::take(&mut self.fleet);
        let woken = wake(world, &mut fleet, WOKEN_MAX, &|job| self.is_called(job, world));
        self.fleet = fleet;
        let mut outcome = Outcome { cut: woken.len() >= WOKEN_MAX, ..Outcome::nothing() };
        for woken in woken {
            let Some(job) = world.job(&woken.job).and_then(|entry| entry.job.as_deref()) else { continue };
            let call = Call {
                uid: woken.uid,
                trigger: Trigger::QueuedAllocs,
                due: None,
                priority: job.priority(),
                kind: job.kind,
            };
            let (id, unit) = evaluation(world, &woken.job, &call, Some(woken.node), cx);
            self.made.insert(woken.job, id);
            outcome.units.push(unit);
        }
        outcome
    }
}

impl Controller for Evaluator {
    type Key = Work;

    const NAME: &'static str = "evaluator";

    fn dirty(&self, change: &Change, world: &World, queue: &mut Queue<Work>) {
        match change {
            Change::Job { id, .. } => queue.add(Work::Job(id.clone())),
            Change::JobState { id, new, .. } => {
                queue.add(Work::Job(id.clone()));
                // One that waited is served, or looked in vain: the next of its shape may have its turn.
                let waits = |want: &Want| matches!(want, Want::Room { .. });
                if new.as_ref().is_none_or(|state| state.wants.values().flatten().any(waits)) {
                    queue_room(world, queue);
                }
            }
            Change::Eval { old, new, .. } => {
                for eval in old.iter().chain(new) {
                    queue.add(Work::Job(eval.job.clone()));
                }
                queue_room(world, queue);
            }
            Change::Alloc { old, new, .. } => alloc_changed(old.as_deref(), new.as_deref(), world, queue),
            Change::Node { old, new, .. } => node_changed(old.as_deref(), new.as_deref(), world, queue),
            Change::Version { uid, .. } => queue_registration(*uid, world, queue),
            Change::Opaque(Key::Job(id) | Key::JobState(id)) => queue.add(Work::Job(id.clone())),
            Change::Opaque(Key::Alloc(node, alloc)) => {
                let held = world.node(*node).and_then(|n| n.opaque_allocs.get(alloc)?.as_ref());
                held.into_iter().for_each(|held| queue_registration(held.uid, world, queue));
                queue_room(world, queue);
            }
            Change::Opaque(_) | Change::Cluster | Change::Leader(_) | Change::ApiServer(_) => {}
        }
    }

    fn all(&self, world: &World, queue: &mut Queue<Work>) {
        world.jobs().for_each(|(id, _)| queue.add(Work::Job(id.clone())));
        queue_room(world, queue);
    }

    fn reconcile(&mut self, key: &Work, world: &World, cx: &mut Cx) -> Outcome {
        // What the World shows needs no remembering.
        self.made.retain(|_, id| world.mod_revision(&Key::Eval(*id)) == 0);
        match key {
            Work::Job(job) => self.job(job, world, cx),
            Work::Room => self.room(world, cx),
        }
    }

    fn reset(&mut self) {
        *self = Evaluator::default();
    }
}

/// An allocation's job is concerned by anything but a new text of its status; room is, if some came free.
fn alloc_changed(old: Option<&AllocEntry>, new: Option<&AllocEntry>, world: &World, queue: &mut Queue<Work>) {
    let standing =
        |entry: &AllocEntry| (entry.record.desired, entry.record.version, entry.said(), entry.status_opaque);
    if old.map(standing) == new.map(standing) {
        return;
    }
    for uid in old.iter().chain(&new).map(|entry| entry.record.uid).collect::<BTreeSet<JobUid>>() {
        queue_registration(uid, world, queue);
    }
    let holds = |entry: &AllocEntry| !entry.is_terminal();
    let refused = new.is_some_and(|entry| entry.said() == ClientStatus::Refused);
    if (old.is_some_and(holds) && !new.is_some_and(holds)) || refused {
        queue_room(world, queue);
    }
}

/// The jobs on a node are concerned when it goes down, comes back, or says something else of itself; room, by
/// whatever changed.
fn node_changed(old: Option<&NodeEntry>, new: Option<&NodeEntry>, world: &World, queue: &mut Queue<Work>) {
    let info = |node: &NodeEntry| node.info.as_ref().map_or(0, |info| info.modified);
    if old.is_some_and(NodeEntry::is_down) != new.is_some_and(NodeEntry::is_down)
        || old.map(info) != new.map(info)
    {
        let allocs = old.into_iter().chain(new).flat_map(|node| node.allocs.values());
        for uid in allocs.map(|alloc| alloc.record.uid).collect::<BTreeSet<JobUid>>() {
            queue_registration(uid, world, queue);
        }
    }
    // A name that a record held which could not be read is free, or held, from now on.
    let held = |node: Option<&NodeEntry>| node.map(|node| node.opaque_allocs.clone()).unwrap_or_default();
    let (before, after) = (held(old), held(new));
    if before != after {
        let uids = before.values().chain(after.values()).flatten().map(|held| held.uid);
        for uid in uids.collect::<BTreeSet<JobUid>>() {
            queue_registration(uid, world, queue);
        }
    }
    queue_room(world, queue);
}

fn queue_registration(uid: JobUid, world: &World, queue: &mut Queue<Work>) {
    if let Some(id) = world.registration(uid).and_then(|r| r.job.as_ref()) {
        queue.add(Work::Job(id.clone()));
    }
}

fn queue_room(world: &World, queue: &mut Queue<Work>) {
    if world.waiting().next().is_some() {
        queue.add(Work::Room);
    }
}
