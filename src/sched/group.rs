//! What is to be done about each instance of a group: a pure comparison of what is declared with what is.

use std::collections::{BTreeMap, BTreeSet};

use encamp_model::{
    Job,
    digest::{GroupDigest, group_digest},
    job::TaskGroup,
    records::{ClientStatus, Desired, StopReason},
};
use encamp_world::{AllocEntry, Registration, World};

use crate::{Checks, checks::Distinct, place::Neighbours};

/// An instance that needs an allocation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot<'w> {
    pub(crate) index: u32,
    /// The allocation that it follows, and why that one stops.
    pub(crate) old: Option<(&'w AllocEntry, StopReason)>,
}

/// What is to be done about a group. Each wanted allocation is in exactly one place.
#[derive(Debug, Default)]
pub(crate) struct Decision<'w> {
    /// Not needed any more.
    pub(crate) stop: Vec<(&'w AllocEntry, StopReason)>,
    /// Only the agent reads what changed: written in place.
    pub(crate) rewrite: Vec<&'w AllocEntry>,
    /// Missing, lost, refused, or to be replaced though nothing runs: at once.
    pub(crate) at_once: Vec<Slot<'w>>,
    /// Missing beyond those: not to be looked at in the same run.
    pub(crate) more: usize,
    /// Running ones to be replaced: as the update's pace allows.
    pub(crate) paced: Vec<Slot<'w>>,
    /// Failed ones that a forced evaluation replaces. Not remembered when they find no room.
    pub(crate) forced: Vec<Slot<'w>>,
    /// Live and as they should be, rewritten ones included; and those of which nobody can tell.
    pub(crate) kept: Vec<&'w AllocEntry>,
    /// Wanted ones that run, on nodes that are not down.
    pub(crate) running: u32,
}

/// Missing instances that one run looks at: more than a run may place, and few enough for any count.
const GAPS_MAX: usize = 1 << 16;

/// What an allocation is compared with.
pub(crate) struct Wanted<'a> {
    /// Instances; 0 for a stopped job or a group that is gone.
    pub(crate) count: u32,
    /// Why those beyond the count stop.
    pub(crate) excess: StopReason,
    /// The current version, and the group's digest in it.
    pub(crate) version: u64,
    pub(crate) digest: Option<GroupDigest>,
    /// Replace failed ones placed at or before this revision.
    pub(crate) force: Option<i64>,
    /// What may have ended by itself is done: a batch job's work of which nobody can tell is not done again.
    pub(crate) is_batch: bool,
    /// Is the node of this allocation down?
    pub(crate) is_down: &'a dyn Fn(&AllocEntry) -> bool,
    /// Does the node of this allocation meet the group's checks?
    pub(crate) may_stay: &'a dyn Fn(&AllocEntry) -> bool,
}

/// Decides about a group. `occupied` are indexes that records hold which cannot be read: they count as present.
pub(crate) fn decide<'w>(
    registration: &Registration,
    allocs: &[&'w AllocEntry],
    occupied: &BTreeSet<u32>,
    wanted: &Wanted<'_>,
) -> Decision<'w> {
    let mut decision = Decision::default();
    let mut named: BTreeMap<u32, &AllocEntry> = BTreeMap::new();
    for alloc in allocs.iter().filter(|a| a.record.desired == Desired::Run) {
        if alloc.record.index >= wanted.count {
            decision.stop.push((alloc, wanted.excess));
        } else if let Some(other) = named.insert(alloc.record.index, alloc) {
            // Nothing of ours brings this about; should it be so, the elder keeps the name.
            let (keep, stop) =
                if other.record.created <= alloc.record.created { (other, *alloc) } else { (*alloc, other) };
            named.insert(alloc.record.index, keep);
            decision.stop.push((stop, StopReason::NotNeeded));
        }
    }
    named.values().for_each(|alloc| one(registration, alloc, wanted, &mut decision));
    let opaque = occupied.iter().filter(|index| **index < wanted.count && !named.contains_key(index)).count();
    let missing = (wanted.count as usize).saturating_sub(named.len() + opaque);
    let free = (0..wanted.count).filter(|index| !named.contains_key(index) && !occupied.contains(index));
    let gaps = free.take(missing.min(GAPS_MAX)).map(|index| Slot { index, old: None });
    decision.at_once.extend(gaps);
    decision.more = missing.saturating_sub(GAPS_MAX);
    // Gaps first, then work that is lost, then what a change replaces: the first ones get the room.
    decision
        .at_once
        .sort_by_key(|slot| (slot.old.map(|(_, reason)| reason != StopReason::NodeDown), slot.index));
    decision
}

fn one<'w>(registration: &Registration, alloc: &'w AllocEntry, wanted: &Wanted<'_>, out: &mut Decision<'w>) {
    let replace = |reason| Slot { index: alloc.record.index, old: Some((alloc, reason)) };
    let change = change(registration, alloc, wanted);
    let said = alloc.said();
    if alloc.status_opaque {
        let down = (wanted.is_down)(alloc);
        if down && !wanted.is_batch {
            out.at_once.push(replace(StopReason::NodeDown));
        } else {
            out.running += u32::from(!down);
            out.kept.push(alloc);
        }
        return;
    }
    match said {
        ClientStatus::Refused => out.at_once.push(replace(StopReason::Refused)),
        ClientStatus::Lost => out.at_once.push(replace(StopReason::NodeDown)),
        ClientStatus::Complete | ClientStatus::Failed => match change {
            Change::Visible => out.at_once.push(replace(StopReason::Updated)),
            _ if said == ClientStatus::Failed
                && wanted.force.is_some_and(|at| alloc.record.created <= at) =>
            {
                out.forced.push(replace(StopReason::Rescheduled));
            }
            _ => {}
        },
        ClientStatus::Pending | ClientStatus::Running => {
            if (wanted.is_down)(alloc) {
                out.at_once.push(replace(StopReason::NodeDown));
                return;
            }
            let runs = said == ClientStatus::Running;
            out.running += u32::from(runs);
            let reason = match change {
                Change::Visible => StopReason::Updated,
                Change::Place { .. } if !(wanted.may_stay)(alloc) => StopReason::Constraint,
                Change::Policy | Change::Place { policy: true } => {
                    out.rewrite.push(alloc);
                    out.kept.push(alloc);
                    return;
                }
                Change::None | Change::Place { policy: false } => {
                    out.kept.push(alloc);
                    return;
                }
            };
            if runs { out.paced.push(replace(reason)) } else { out.at_once.push(replace(reason)) }
        }
    }
}

/// How an allocation's version differs from the current one.
enum Change {
    None,
    Visible,
    Policy,
    Place { policy: bool },
}

fn change(registration: &Registration, alloc: &AllocEntry, wanted: &Wanted<'_>) -> Change {
    if alloc.record.version == wanted.version {
        return Change::None;
    }
    let before = registration.digest(alloc.record.version, &alloc.record.group);
    // A version that cannot be read says nothing about what changed: what runs is left alone.
    let (Some(before), Some(now)) = (before, wanted.digest) else { return Change::None };
    if before.visible != now.visible {
        Change::Visible
    } else if before.place != now.place {
        Change::Place { policy: before.policy != now.policy }
    } else if before.policy != now.policy {
        Change::Policy
    } else {
        Change::None
    }
}

/// The group's digest in the current version: as the World keeps it, or taken from the job.
pub(crate) fn digest_of(registration: &Registration, job: &Job, group: &TaskGroup) -> GroupDigest {
    registration.digest(job.version, &group.name).unwrap_or_else(|| group_digest(job, group))
}

/// What of the job's stored allocations bears on where instances of a group may go. `allocs` are those of the group,
/// or of the whole job.
pub(crate) fn neighbours(
    world: &World,
    job: &Job,
    group: &TaskGroup,
    checks: &Checks,
    registration: &Registration,
    allocs: &[&AllocEntry],
) -> Neighbours {
    let mut neighbours = Neighbours::default();
    let visible = digest_of(registration, job, group).visible;
    for alloc in allocs.iter().filter(|a| a.record.group == group.name) {
        let Some(status) = alloc.status.as_ref().filter(|s| s.status == ClientStatus::Refused) else {
            continue;
        };
        // A refusal speaks of what was asked, and of the node as it was.
        let before = registration.digest(alloc.record.version, &group.name);
        let same = alloc.record.version == job.version || before.is_none_or(|d| d.visible == visible);
        let info = world.node(alloc.node).and_then(|n| n.info.as_deref()).map_or(0, |i| i.modified);
        if same && info < status.modified {
            neighbours.refused.insert(alloc.node);
        }
    }
    if checks.distinct != Distinct::No {
        let held = registration.allocs.values().filter(|a| !a.is_terminal());
        for alloc in held.filter(|a| checks.distinct == Distinct::Job || a.record.group == group.name) {
            neighbours.apart.entry(alloc.node).or_default().insert(alloc.id);
        }
    }
    neighbours
}
