//! Finding nodes for the instances of one group.
//!
//! Every node that may run the group is scored once; the best goes on top of a heap; after each placement only the
//! node just used is scored again. Instances of a group ask for the same, so the answer is exact.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
};

use encamp_model::{
    AllocId, NodeId,
    records::{Ask, AssignedPort},
};
use encamp_world::{AllocEntry, World};

use crate::{
    Checks, Demand,
    checks::Distinct,
    ports::PortPlan,
    score::{Rank, fit},
    sites::{Sites, fits, largest},
};

/// What bears on the choice besides room and checks.
#[derive(Debug, Default)]
pub(crate) struct Neighbours {
    /// Instances of the group that stay where they are.
    pub(crate) alike: Vec<NodeId>,
    /// Nodes that refused an instance of this group and have not changed since.
    pub(crate) refused: BTreeSet<NodeId>,
    /// Allocations that an instance must not share a host with (`distinct_hosts`).
    pub(crate) apart: BTreeMap<NodeId, BTreeSet<AllocId>>,
}

/// Where an instance goes.
#[derive(Debug)]
pub(crate) struct Spot {
    pub(crate) site: usize,
    pub(crate) ports: Vec<AssignedPort>,
    /// Allocations whose room it takes over.
    pub(crate) after: Vec<AllocId>,
}

/// An allocation that is about to be stopped, with those it waits for: their room can be taken over as a whole.
#[derive(Debug)]
pub(crate) struct Chain {
    node: NodeId,
    members: Vec<AllocId>,
    ask: Ask,
    ports: BTreeSet<u16>,
}

impl Chain {
    /// `None` if its room is free already.
    pub(crate) fn of(world: &World, last: &AllocEntry) -> Option<Chain> {
        if last.is_terminal() {
            return None;
        }
        let before = last.record.after.iter().filter_map(|id| world.alloc(*id));
        let held = before.filter(|a| a.node == last.node && !a.is_terminal());
        let mut chain =
            Chain { node: last.node, members: Vec::new(), ask: Ask::default(), ports: BTreeSet::new() };
        for alloc in std::iter::once(last).chain(held.map(|a| &**a)) {
            chain.members.push(alloc.id);
            // One runs, or the other: the larger of them, not the sum.
            chain.ask = largest(chain.ask, alloc.record.ask);
            chain.ports.extend(alloc.record.ports.iter().map(|p| p.value));
        }
        Some(chain)
    }
}

/// The nodes for one group, best first.
#[derive(Debug)]
pub(crate) struct Placer<'j> {
    demand: &'j Demand,
    ports: PortPlan<'j>,
    penalty: i64,
    distinct: Distinct,
    /// Nodes that pass every check, room aside.
    pub(crate) feasible: Vec<usize>,
    heap: BinaryHeap<Rank>,
    alike: BTreeMap<usize, i64>,
    apart: BTreeMap<NodeId, BTreeSet<AllocId>>,
}

impl<'j> Placer<'j> {
    pub(crate) fn new(
        sites: &Sites<'_>,
        checks: &Checks,
        demand: &'j Demand,
        penalty: i64,
        neighbours: Neighbours,
    ) -> Self {
        let mut verdicts = BTreeMap::new();
        let feasible: Vec<usize> = (0..sites.list.len())
            .filter(|at| {
                let site = &sites.list[*at];
                checks.hold(site.info, site.class, &mut verdicts) && !neighbours.refused.contains(&site.id)
            })
            .collect();
        let mut alike = BTreeMap::new();
        for node in &neighbours.alike {
            if let Some(at) = sites.position(*node) {
                *alike.entry(at).or_insert(0) += 1;
            }
        }
        let mut placer = Placer {
            demand,
            ports: PortPlan::of(&demand.ports),
            penalty,
            distinct: checks.distinct,
            feasible,
            heap: BinaryHeap::new(),
            alike,
            apart: neighbours.apart,
        };
        let ranks = placer.feasible.iter().filter_map(|at| placer.rank(sites, *at));
        placer.heap = ranks.collect::<Vec<_>>().into();
        placer
    }

    /// The best node with free room.
    pub(crate) fn anywhere(&mut self, sites: &Sites<'_>, seed: u64) -> Option<Spot> {
        while let Some(rank) = self.heap.pop() {
            let site = rank.site.0;
            // A node may have been used, in the room of another, since it was scored.
            let now = self.rank(sites, site);
            if now != Some(rank) {
                self.heap.extend(now);
                continue;
            }
            if let Ok(ports) = self.ports.assign(sites.list[site].room(), sites.list[site].info, seed) {
                return Some(Spot { site, ports, after: Vec::new() });
            }
        }
        None
    }

    /// The node of an allocation that the same unit stops, in the room that it gives up.
    pub(crate) fn beside(&self, sites: &Sites<'_>, chain: &Chain, seed: u64) -> Option<Spot> {
        let at = sites.position(chain.node)?;
        self.feasible.binary_search(&at).ok()?;
        let held = self.apart.get(&chain.node);
        if held.is_some_and(|held| held.iter().any(|id| !chain.members.contains(id))) {
            return None;
        }
        let site = &sites.list[at];
        let mut room = site.room().clone();
        room.used = minus(room.used, chain.ask);
        if !fits(&room, self.demand.ask) {
            return None;
        }
        // Ports that nobody holds come first; then those that are given up with the room.
        let assigned = self.ports.assign(site.room(), site.info, seed).or_else(|_| {
            let reserved = &site.info.resources.reserved_ports;
            let given_up = |p: &u16| chain.ports.contains(p) && !reserved.contains(p);
            let held = site.room().ports.iter().copied().filter(|p| !given_up(p));
            room.ports = std::sync::Arc::new(held.collect());
            self.ports.assign(&room, site.info, seed)
        });
        Some(Spot { site: at, ports: assigned.ok()?, after: chain.members.clone() })
    }

    /// Counts a placement in.
    pub(crate) fn took(&mut self, sites: &mut Sites<'_>, spot: &Spot, alloc: AllocId, chain: Option<&Chain>) {
        let ask = match chain {
            Some(chain) => minus(largest(chain.ask, self.demand.ask), chain.ask),
            None => self.demand.ask,
        };
        sites.list[spot.site].take(ask, &spot.ports);
        *self.alike.entry(spot.site).or_insert(0) += 1;
        if self.distinct != Distinct::No {
            self.apart.entry(sites.list[spot.site].id).or_default().insert(alloc);
        }
        // What was in the heap for this node is told from what is true now when it comes up.
        self.heap.extend(self.rank(sites, spot.site));
    }

    /// Would it fit somewhere if what is only assumed were not there?
    pub(crate) fn fits_unassumed(&self, sites: &Sites<'_>) -> bool {
        let apart = |at: &usize| self.is_apart(sites.list[*at].id);
        let feasible: Vec<usize> = self.feasible.iter().copied().filter(apart).collect();
        sites.fits_unassumed(&feasible, self.demand.ask, &self.ports)
    }

    /// May an instance go there, `distinct_hosts` considered?
    pub(crate) fn is_apart(&self, node: NodeId) -> bool {
        self.apart.get(&node).is_none_or(BTreeSet::is_empty)
    }

    fn rank(&self, sites: &Sites<'_>, at: usize) -> Option<Rank> {
        let site = &sites.list[at];
        if !fits(site.room(), self.demand.ask)
            || !self.ports.fixed_free(site.room())
            || !self.is_apart(site.id)
        {
            return None;
        }
        let alike = self.alike.get(&at).copied().unwrap_or(0);
        let score = fit(site.room(), self.demand.ask) - alike * self.penalty;
        Some(Rank { score, site: Reverse(at) })
    }
}

fn minus(a: Ask, b: Ask) -> Ask {
    Ask { cpu: a.cpu - b.cpu, memory_mb: a.memory_mb - b.memory_mb, disk_mb: a.disk_mb - b.disk_mb }
}
