//! Planner: answers evaluations. It alone writes allocations and job states, and it alone changes evaluations.
//!
//! Invariants: pure; its key is a job, so that no two runs write the same allocation, state or evaluation; it acts
//! only on pending evaluations, and an answered one has left nothing unmet that is not in `job-states`. What it does
//! is [`encamp_sched::turn`]; here is only when.

#[cfg(test)]
mod tests;

use encamp_model::{JobId, JobUid, Key};
use encamp_sched::{Fleet, turn};
use encamp_world::{
    Change, World,
    control::{Controller, Cx, Outcome, Queue},
};

/// The loop. What it remembers between runs is only the classes of nodes.
#[derive(Clone, Debug, Default)]
pub struct Planner {
    fleet: Fleet,
}

impl Planner {
    /// A planner that knows nothing yet.
    pub fn new() -> Self {
        Planner::default()
    }
}

impl Controller for Planner {
    type Key = JobId;

    const NAME: &'static str = "planner";

    fn dirty(&self, change: &Change, world: &World, queue: &mut Queue<JobId>) {
        match change {
            Change::Eval { new, .. } => {
                new.iter().for_each(|eval| queue_pending(&eval.job, world, queue));
            }
            Change::Job { id, .. } | Change::JobState { id, .. } => queue_pending(id, world, queue),
            Change::Alloc { old, new, .. } => {
                for uid in old.iter().chain(new).map(|alloc| alloc.record.uid) {
                    queue_registration(uid, world, queue);
                }
            }
            Change::Version { uid, .. } => queue_registration(*uid, world, queue),
            Change::Node { new, .. } => {
                let uids = new.iter().flat_map(|node| node.allocs.values()).map(|alloc| alloc.record.uid);
                let uids: std::collections::BTreeSet<_> = uids.collect();
                uids.into_iter().for_each(|uid| queue_registration(uid, world, queue));
            }
            Change::Opaque(Key::Job(id) | Key::JobState(id)) => queue_pending(id, world, queue),
            Change::Opaque(Key::Eval(_)) => self.all(world, queue),
            Change::Opaque(_) | Change::Cluster | Change::Leader(_) | Change::ApiServer(_) => {}
        }
    }

    fn all(&self, world: &World, queue: &mut Queue<JobId>) {
        world.jobs().for_each(|(id, _)| queue_pending(id, world, queue));
    }

    fn reconcile(&mut self, key: &JobId, world: &World, cx: &mut Cx) -> Outcome {
        turn(world, &mut self.fleet, key, cx)
    }

    fn reset(&mut self) {
        self.fleet = Fleet::new();
    }
}

fn queue_registration(uid: JobUid, world: &World, queue: &mut Queue<JobId>) {
    if let Some(id) = world.registration(uid).and_then(|r| r.job.as_ref()) {
        queue_pending(id, world, queue);
    }
}

/// Queues a job that has pending evaluations, with the highest of their priorities.
fn queue_pending(id: &JobId, world: &World, queue: &mut Queue<JobId>) {
    let pending = world.job(id).into_iter().flat_map(|entry| &entry.pending);
    let priority = pending.filter_map(|eval| world.eval(*eval)).map(|eval| eval.priority).max();
    if let Some(priority) = priority {
        queue.add_with(id.clone(), priority);
    }
}
