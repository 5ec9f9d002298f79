//! Which jobs need a run of the planner: evaluator asks it of every job that something happened to, and the planner's
//! answer is right when it says no.
//!
//! O(groups), from counters. An unmet want that is in `job-states` needs nothing until its instant, its floor or
//! (see [`crate::wake`]) helpful room comes.

use std::collections::{BTreeMap, BTreeSet};

use encamp_model::{
    Job, JobId, JobUid, Timestamp,
    job::{JobType, TaskGroup},
    records::{ClientStatus, Desired, JobState, Trigger, Want},
};
use encamp_world::{GroupCounts, JobEntry, Registration, World};

use crate::{Checks, Pace, group::digest_of, plan::is_plannable};

/// Whether a job needs a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// All is as it should be, or noted as unmet.
    Nothing,
    /// Not before this instant.
    At(Timestamp),
    /// Now.
    Now(Call),
}

/// What an evaluation for it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The registration.
    pub uid: JobUid,
    /// Why.
    pub trigger: Trigger,
    /// The instant that came, if it is one.
    pub due: Option<Timestamp>,
    /// Of the job.
    pub priority: i64,
    /// Of the job.
    pub kind: JobType,
}

/// Does this job need a run, room that appeared left aside? A job that cannot be read needs none.
pub fn need(world: &World, id: &JobId, now: Timestamp) -> Need {
    let Some(entry) = world.job(id).filter(|_| is_plannable(world, id)) else { return Need::Nothing };
    let job = entry.job.as_deref().map(|stored| &stored.value);
    let current = job.and_then(|job| job.uid);
    let call = |uid, trigger, due| {
        let (priority, kind) = job.map_or((50, JobType::Service), |job| (job.priority(), job.kind));
        Need::Now(Call { uid, trigger, due, priority, kind })
    };
    if let Some(old) = purged(world, entry, current) {
        return call(old, Trigger::JobDeregister, None);
    }
    let (Some(job), Some(uid)) = (job, current) else { return Need::Nothing };
    let nothing = Registration::default();
    let registration = world.registration(uid).map_or(&nothing, |r| &**r);
    let state = entry.state_of(uid).map(|stored| &stored.value);
    if job.stop {
        let runs = registration.counts.values().any(|counts| counts.wanted() > 0);
        let over = runs || state.is_some();
        return if over { call(uid, Trigger::JobDeregister, None) } else { Need::Nothing };
    }
    let gone =
        |counts: (&encamp_model::Name, &GroupCounts)| job.group(counts.0).is_none() && counts.1.wanted() > 0;
    if registration.counts.iter().any(gone)
        || state.is_some_and(|s| s.wants.keys().any(|g| job.group(g).is_none()))
    {
        return call(uid, Trigger::Scheduled, None);
    }
    let mut answer = Need::Nothing;
    for group in &job.task_groups {
        match of_group(world, job, group, registration, state, now) {
            Short::Nothing => {}
            Short::Now(trigger, due) => return call(uid, trigger, due),
            Short::At(at) => {
                answer = match answer {
                    Need::At(before) => Need::At(before.min(at)),
                    _ => Need::At(at),
                }
            }
        }
    }
    answer
}

/// A registration of this name that is not the current one and of which something is left to be done: not what has
/// ended, which gc takes away.
fn purged(world: &World, entry: &JobEntry, current: Option<JobUid>) -> Option<JobUid> {
    let stale = entry.state.as_ref().map(|s| s.uid).filter(|uid| Some(*uid) != current);
    let runs = |uid: &&JobUid| {
        let registration = world.registration(**uid);
        Some(**uid) != current
            && registration.is_some_and(|r| r.counts.values().any(|c| c.live() + c.lost > 0))
    };
    entry.uids.iter().find(runs).copied().or(stale)
}

enum Short {
    Nothing,
    At(Timestamp),
    Now(Trigger, Option<Timestamp>),
}

/// What is to be done about a group, as far as counters tell.
#[derive(Debug, Default)]
struct Tally {
    /// Missing, lost or refused.
    gaps: u32,
    /// To be replaced, not running.
    idle: u32,
    /// To be replaced, running.
    running: u32,
    /// Of a version that only the agent can tell from the current one.
    rewritten: u32,
}

fn of_group(
    world: &World,
    job: &Job,
    group: &TaskGroup,
    registration: &Registration,
    state: Option<&JobState>,
    now: Timestamp,
) -> Short {
    let none = GroupCounts::default();
    let counts = registration.counts.get(&group.name).unwrap_or(&none);
    if counts.wanted() as usize > group.count() {
        return Short::Now(Trigger::Scheduled, None);
    }
    let tally = tally(world, job, group, registration, counts);
    let noted = state.and_then(|s| s.wants.get(&group.name)).map_or(&[][..], |w| &w[..]);
    let mut total = 0;
    let mut room = 0;
    let mut at = None;
    for want in noted {
        let (count, version) = match want {
            Want::Room { count, version, .. } => {
                room += count;
                (count, version)
            }
            Want::Time { count, version, at: due } if *due <= now => {
                return if *count > 0 && *version == job.version {
                    Short::Now(Trigger::RollingUpdate, Some(*due))
                } else {
                    Short::Now(Trigger::Scheduled, None)
                };
            }
            // Whoever wrote it had another clock; what is due is for the planner's own to say.
            Want::Time { at: due, .. }
                if Pace::of(job, group).is_some_and(|pace| pace.is_due_ahead(*due, now)) =>
            {
                return Short::Now(Trigger::RollingUpdate, None);
            }
            Want::Time { count, version, at: due } => {
                at = Some(*due);
                (count, version)
            }
            Want::Floor { floor, .. } if counts.running > *floor => {
                return Short::Now(Trigger::RollingUpdate, None);
            }
            Want::Floor { count, version, .. } => (count, version),
        };
        if *version != job.version {
            return Short::Now(Trigger::Scheduled, None);
        }
        total += count;
    }
    let unmet = tally.gaps + tally.idle + tally.running;
    if tally.rewritten > 0 || room < tally.gaps + tally.idle || total != unmet {
        return Short::Now(trigger(counts, &tally, room), None);
    }
    at.map_or(Short::Nothing, Short::At)
}

fn trigger(counts: &GroupCounts, tally: &Tally, room: u32) -> Trigger {
    if tally.gaps + tally.idle <= room {
        return Trigger::Scheduled;
    }
    match (counts.lost, counts.refused) {
        (1.., _) => Trigger::NodeUpdate,
        (0, 1..) => Trigger::AllocStop,
        _ => Trigger::Scheduled,
    }
}

fn tally(
    world: &World,
    job: &Job,
    group: &TaskGroup,
    registration: &Registration,
    counts: &GroupCounts,
) -> Tally {
    let count = u32::try_from(group.count()).unwrap_or(u32::MAX);
    let mut present = counts.live() + counts.complete + counts.failed + occupied(group, registration, count);
    if job.kind == JobType::Batch {
        present += counts.lost_unknown;
    }
    let mut tally = Tally { gaps: count.saturating_sub(present), ..Tally::default() };
    // Versions with other constraints, and whether the agent would read something else, too.
    let mut moved: BTreeMap<u64, bool> = BTreeMap::new();
    let others = counts.by_version.iter().filter(|(version, _)| **version != job.version);
    for (version, counts) in others {
        let Some(before) = registration.digest(*version, &group.name) else { continue };
        let current = digest_of(registration, job, group);
        let policy = before.policy != current.policy;
        if before.visible != current.visible {
            tally.idle += counts.pending + counts.ended;
            tally.running += counts.running;
        } else if before.place != current.place {
            moved.insert(*version, policy);
        } else if policy {
            tally.rewritten += counts.pending + counts.running;
        }
    }
    if !moved.is_empty() {
        compare_places(world, job, group, registration, &moved, &mut tally);
    }
    tally
}

/// Only while some instances are of a version with other constraints: which of them must go. O(instances).
fn compare_places(
    world: &World,
    job: &Job,
    group: &TaskGroup,
    registration: &Registration,
    moved: &BTreeMap<u64, bool>,
    tally: &mut Tally,
) {
    let checks = Checks::of(job, group);
    let wanted = registration.allocs.values().filter(|a| a.record.group == group.name && a.is_live());
    for alloc in wanted.filter(|a| !a.status_opaque) {
        let Some(policy) = moved.get(&alloc.record.version) else { continue };
        let Some(node) = world.node(alloc.node).filter(|node| !node.is_down()) else { continue };
        if node.info.as_deref().is_none_or(|info| checks.hold_on(info)) {
            tally.rewritten += u32::from(*policy);
        } else if alloc.said() == ClientStatus::Running {
            tally.running += 1;
        } else {
            tally.idle += 1;
        }
    }
}

/// Indexes that only records hold which cannot be read.
fn occupied(group: &TaskGroup, registration: &Registration, count: u32) -> u32 {
    let mut held: BTreeSet<u32> = registration
        .occupied
        .values()
        .filter(|o| o.group == group.name && o.index < count)
        .map(|o| o.index)
        .collect();
    if held.is_empty() {
        return 0;
    }
    let wanted = registration.allocs.values().filter(|a| a.record.desired == Desired::Run);
    for alloc in wanted.filter(|a| a.record.group == group.name) {
        held.remove(&alloc.record.index);
    }
    u32::try_from(held.len()).unwrap_or(u32::MAX)
}
