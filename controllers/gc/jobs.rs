//! Dead jobs, and unmet wants of jobs that are gone.
//!
//! A job is dead once it was stopped, or is a batch job with nothing left to do, and all its allocations have ended. The
//! unit compares the declaration, and every placement does too: once it is deleted, nothing is placed for it.
//!
//! Between the World that is looked at and the unit, the planner may still place without a change of the declaration in
//! one case only: a forced evaluation replaces a failed allocation of a batch job. That rewrites the failed one's
//! record, so these records are compared as well; a job with more failed ones than a unit can compare stays until
//! somebody stops it. An evaluation that is made meanwhile, and not answered yet, finds no job and is canceled.

use std::collections::BTreeSet;

use encamp_model::{
    Job, JobId, Key, Timestamp, Unit,
    job::JobType,
    records::{ClientStatus, Desired, Gate},
};
use encamp_world::{AllocEntry, JobEntry, Registration, Stored, World, control::Outcome};

use crate::{Config, any_nameless_alloc, is_nameless_job, once_due, rests_on, take};

/// Failed allocations that a unit compares at most, beside declaration and wants.
const FAILED_MAX: usize = Unit::MAX_OPS - 2;

pub(crate) fn judge(world: &World, config: &Config, now: Timestamp, id: &JobId) -> Outcome {
    let nothing_else = JobEntry::default();
    let entry = world.job(id).map_or(&nothing_else, |entry| entry);
    let mut outcome = Outcome::nothing();
    if let Some((last, unit)) = entry.job.as_ref().and_then(|job| dead(world, id, entry, job)) {
        outcome = once_due(last + config.job_age, now, || vec![unit]);
    }
    if outcome.units.is_empty() && has_stale_state(world, id, entry) {
        let mut unit = Unit::new();
        take(&mut unit, world, Key::JobState(id.clone()));
        rests_on(&mut unit, world, Key::Job(id.clone()));
        outcome.units.push(unit);
    }
    outcome
}

/// Wants of a registration that is not this name's.
fn has_stale_state(world: &World, id: &JobId, entry: &JobEntry) -> bool {
    let there = world.mod_revision(&Key::JobState(id.clone())) != 0;
    match (&entry.job, &entry.state) {
        _ if !there || is_nameless_job(world, id) => false,
        (None, _) => true,
        (Some(job), Some(state)) => job.uid != Some(state.uid),
        (Some(_), None) => false,
    }
}

/// The last instant at which something happened to a dead job, and what deletes it; `None` while it lives.
fn dead(world: &World, id: &JobId, entry: &JobEntry, job: &Stored<Job>) -> Option<(Timestamp, Unit)> {
    let uid = job.uid?;
    if !entry.pending.is_empty() || any_nameless_alloc(world) {
        return None;
    }
    let mut unit = Unit::new();
    take(&mut unit, world, Key::Job(id.clone()));
    take(&mut unit, world, Key::JobState(id.clone()));
    let registration = world.registration(uid);
    if !job.stop {
        let registration = registration.filter(|_| job.kind == JobType::Batch)?;
        let waits = world.mod_revision(&Key::JobState(id.clone())) != 0;
        if waits || !all_done(job, registration) {
            return None;
        }
        let failed: Vec<_> =
            registration.allocs.values().filter(|a| a.said() == ClientStatus::Failed).collect();
        if failed.len() > FAILED_MAX {
            return None;
        }
        failed.iter().for_each(|a| rests_on(&mut unit, world, Key::Alloc(a.node, a.id)));
    }
    let mut last = Timestamp(job.submit_time?);
    if let Some(registration) = registration {
        if !registration.occupied.is_empty() {
            return None;
        }
        for alloc in registration.allocs.values() {
            last = last.max(ended(world, alloc)?);
            if !alloc.is_terminal() {
                // It counts as ended with its node only: should the node come back meanwhile, the job stays.
                rests_on(&mut unit, world, Key::NodeState(alloc.node));
            }
        }
    }
    (unit.guards.len() <= Unit::MAX_OPS).then_some((last, unit))
}

/// Every instance that is wanted of a batch job has ended by itself, as the present version wants it.
fn all_done(job: &Job, registration: &Registration) -> bool {
    if registration.counts.values().any(|c| c.live() + c.lost + c.refused + c.stopping > 0) {
        return false;
    }
    job.task_groups.iter().all(|group| {
        let current = registration.digest(job.version, &group.name);
        let done = registration.allocs.values().filter(|a| {
            a.record.group == group.name
                && a.record.desired == Desired::Run
                && matches!(a.said(), ClientStatus::Complete | ClientStatus::Failed)
                && registration.digest(a.record.version, &group.name).map(|d| d.visible)
                    == current.map(|d| d.visible)
        });
        let names: BTreeSet<u32> = done.map(|a| a.record.index).collect();
        current.is_some()
            && names.iter().filter(|index| (**index as usize) < group.count()).count() == group.count()
    })
}

/// When an allocation ended: by itself, or, once it was told to stop, with its node. `None` if it has not.
fn ended(world: &World, alloc: &AllocEntry) -> Option<Timestamp> {
    if let Some(status) = alloc.status.as_ref().filter(|s| s.status.is_terminal()) {
        return Some(status.value.modified);
    }
    let state = world.node(alloc.node)?.state.as_ref().filter(|s| s.gate == Gate::Down)?;
    (alloc.record.desired == Desired::Stop).then_some(state.since)
}
