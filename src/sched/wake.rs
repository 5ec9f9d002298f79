//! Which blocked jobs room that appeared should wake.
//!
//! Blocked groups are kept by shape. They are tried by priority, then age, on a working copy of the nodes that changed
//! since; a shape is closed at its first group that doesn't fit. So one freed slot wakes one of ten thousand jobs that
//! wait for it, and a node that joins wakes as many as it can take.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use encamp_model::{
    Job, JobId, JobUid, Name, NodeId,
    job::TaskGroup,
    records::{Desired, JobState, Want},
};
use encamp_world::{AllocEntry, Registration, World};

use crate::{
    Checks, Demand, Fleet,
    group::neighbours,
    place::{Chain, Neighbours, Placer},
    plan::is_plannable,
    sites::Sites,
};

/// A blocked job that may fit now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Woken {
    /// The job.
    pub job: JobId,
    /// Its registration.
    pub uid: JobUid,
    /// A node that has room for it.
    pub node: NodeId,
}

/// A group that waits for room.
struct Blocked<'w> {
    /// Higher goes first, then the one that has waited longer.
    rank: (Reverse<i64>, i64),
    id: &'w JobId,
    uid: JobUid,
    job: &'w Job,
    group: &'w TaskGroup,
    count: u32,
    shape: u64,
    revision: i64,
}

/// What a shape asks for.
struct Shape {
    demand: Demand,
    checks: Checks,
}

/// The jobs that room which appeared since they were tried should wake, best first, at most `max`. Those that are
/// `called` (an evaluation is pending, or on its way) are counted as taking room, and not named.
pub fn wake(world: &World, fleet: &mut Fleet, max: usize, called: &dyn Fn(&JobId) -> bool) -> Vec<Woken> {
    let Some((latest, _)) = world.helped_since(0).last() else { return Vec::new() };
    let mut blocked: Vec<Blocked<'_>> = world.waiting().flat_map(|id| blocked_groups(world, id)).collect();
    let Some(oldest) = blocked.iter().map(|b| b.revision).min().filter(|oldest| *oldest < latest) else {
        return Vec::new();
    };
    blocked.sort_by(|a, b| (a.rank, a.id).cmp(&(b.rank, b.id)));
    let mut shapes: BTreeMap<u64, Shape> = BTreeMap::new();
    for group in &blocked {
        shapes.entry(group.shape).or_insert_with(|| Shape {
            demand: Demand::of(group.group),
            checks: Checks::of(group.job, group.group),
        });
    }
    let mut sites = Sites::of(world, fleet);
    sites.list.retain(|site| site.entry.helpful > oldest);
    pick(world, &mut sites, &blocked, &shapes, max, called)
}

fn pick(
    world: &World,
    sites: &mut Sites<'_>,
    blocked: &[Blocked<'_>],
    shapes: &BTreeMap<u64, Shape>,
    max: usize,
    called: &dyn Fn(&JobId) -> bool,
) -> Vec<Woken> {
    // `None`: closed.
    let mut placers: BTreeMap<u64, Option<Placer<'_>>> = BTreeMap::new();
    let mut woken: Vec<Woken> = Vec::new();
    let mut named = BTreeSet::new();
    let mut open = shapes.len();
    for group in blocked {
        if woken.len() >= max || open == 0 {
            break;
        }
        let slot = placers.entry(group.shape).or_insert_with(|| {
            let shape = &shapes[&group.shape];
            let neighbours = neighbours_of(world, sites, group, shape);
            Some(Placer::new(sites, &shape.checks, &shape.demand, 0, neighbours))
        });
        let Some(placer) = slot else { continue };
        let (node, all) = try_group(world, sites, placer, group);
        if !all {
            *slot = None;
            open -= 1;
        }
        let Some(node) = node else { continue };
        if !called(group.id) && named.insert(group.id) {
            woken.push(Woken { job: group.id.clone(), uid: group.uid, node });
        }
    }
    woken
}

/// The first node that takes one of the group, and whether all of it fits.
fn try_group(
    world: &World,
    sites: &mut Sites<'_>,
    placer: &mut Placer<'_>,
    group: &Blocked<'_>,
) -> (Option<NodeId>, bool) {
    let mut first = None;
    for nth in 0..group.count {
        let Some(spot) = placer.anywhere(sites, u64::from(nth)) else {
            return (first.or_else(|| in_place(world, sites, placer, group)), false);
        };
        first.get_or_insert(sites.list[spot.site].id);
        placer.took(sites, &spot, encamp_model::AllocId::MIN, None);
    }
    (first, true)
}

/// A node on which one of the group's own allocations could be replaced in the room that it has.
fn in_place(world: &World, sites: &Sites<'_>, placer: &Placer<'_>, group: &Blocked<'_>) -> Option<NodeId> {
    let registration = world.registration(group.uid)?;
    let own = registration.allocs.values().filter(|a| {
        a.record.group == group.group.name
            && a.record.desired == Desired::Run
            && a.record.version != group.job.version
            && sites.position(a.node).is_some()
    });
    own.filter_map(|a| {
        Chain::of(world, a).filter(|chain| placer.beside(sites, chain, 0).is_some()).map(|_| a.node)
    })
    .next()
}

fn neighbours_of(world: &World, sites: &Sites<'_>, group: &Blocked<'_>, shape: &Shape) -> Neighbours {
    let nothing = Registration::default();
    let registration = world.registration(group.uid).map_or(&nothing, |r| &**r);
    let allocs: Vec<&AllocEntry> = registration.allocs.values().map(|a| &**a).collect();
    let mut neighbours = neighbours(world, group.job, group.group, &shape.checks, registration, &allocs);
    // What has not changed since the group was tried cannot help it.
    let stale = sites.list.iter().filter(|site| site.entry.helpful <= group.revision);
    neighbours.refused.extend(stale.map(|site| site.id));
    neighbours
}

fn blocked_groups<'w>(world: &'w World, id: &'w JobId) -> Vec<Blocked<'w>> {
    let Some(entry) = world.job(id).filter(|_| is_plannable(world, id)) else { return Vec::new() };
    let Some(job) = entry.job.as_deref().filter(|job| !job.stop) else { return Vec::new() };
    let Some((uid, state)) = job.uid.and_then(|uid| Some((uid, entry.state_of(uid)?))) else {
        return Vec::new();
    };
    let rank = (Reverse(job.priority()), state.created);
    let rooms = rooms(&state.value).filter_map(|(name, count, version, shape, revision)| {
        let group = job.group(name).filter(|_| version == job.version)?;
        Some(Blocked { rank, id, uid, job: &job.value, group, count, shape, revision })
    });
    rooms.collect()
}

fn rooms(state: &JobState) -> impl Iterator<Item = (&Name, u32, u64, u64, i64)> {
    let wants = state.wants.iter().flat_map(|(group, wants)| wants.iter().map(move |want| (group, want)));
    wants.filter_map(|(group, want)| match want {
        Want::Room { count, version, shape, revision, .. } => {
            Some((group, *count, *version, *shape, *revision))
        }
        Want::Time { .. } | Want::Floor { .. } => None,
    })
}
