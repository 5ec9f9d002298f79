//! The brake: when most of a datacenter seems to be gone at once, it is more likely that *we* cannot see it.
//!
//! While more than half of a datacenter's four or more nodes have lost their lease, or went down within the last
//! minute, at most one more is declared down per 10 s. All of it is read from the gates, so that a new leader grants no
//! new burst. Nodes that are down for longer are history: they count neither as lost nor among the datacenter's
//! nodes, or a failure of everything would end the brake by itself half-way.

use std::{cmp::Reverse, collections::BTreeMap};

use encamp_model::{Key, Timestamp, records::Gate};
use encamp_world::{NodeEntry, World};

use crate::Config;

/// Nodes from which on a datacenter has a brake.
const NODES_MIN: usize = 4;

/// How a datacenter's nodes stand.
#[derive(Debug, Default)]
struct Tally {
    /// Not down.
    up: usize,
    /// Of these, without a lease.
    silent: usize,
    /// When the others went down, latest first.
    down: Vec<Timestamp>,
}

impl Tally {
    /// Most of it is gone, and lately.
    fn holds(&self, now: Timestamp, config: &Config) -> bool {
        let lately = self.down.iter().take_while(|at| now.since(**at) < config.brake_window).count();
        let nodes = self.up + lately;
        nodes >= NODES_MIN && 2 * (self.silent + lately) > nodes
    }
}

/// A cache of tallies, and the verdicts that the World does not show yet.
#[derive(Debug, Default)]
pub(crate) struct Brake {
    /// Of this revision.
    revision: i64,
    tallies: BTreeMap<Option<String>, Tally>,
    /// The last verdict of this epoch by datacenter: several nodes are judged on one World, and the unit of the first
    /// one binds the next. (If it fails, a new epoch begins and this is forgotten.)
    declared: BTreeMap<Option<String>, Timestamp>,
}

impl Brake {
    /// The instant before which this node must not be declared down; `None` while the brake does not hold.
    pub(crate) fn not_before(
        &mut self,
        node: &NodeEntry,
        world: &World,
        now: Timestamp,
        config: &Config,
    ) -> Option<Timestamp> {
        if self.revision != world.revision() {
            self.revision = world.revision();
            self.tallies = tallies(world);
        }
        let datacenter = datacenter(node);
        let tally = self.tallies.get(&datacenter).filter(|tally| tally.holds(now, config))?;
        let shown = tally.down.first().copied();
        let last = shown.max(self.declared.get(&datacenter).copied())?;
        Some(last + config.brake_pause)
    }

    /// A node of this datacenter is declared down.
    pub(crate) fn declared(&mut self, node: &NodeEntry, at: Timestamp) {
        self.declared.insert(datacenter(node), at);
    }
}

/// Nodes whose info cannot be read are a datacenter of their own.
fn datacenter(node: &NodeEntry) -> Option<String> {
    node.info.as_ref().map(|info| info.datacenter.clone())
}

fn tallies(world: &World) -> BTreeMap<Option<String>, Tally> {
    let mut tallies: BTreeMap<Option<String>, Tally> = BTreeMap::new();
    for (id, node) in world.nodes() {
        let lease = world.mod_revision(&Key::NodeLease(id)) != 0;
        let gate = node.state.as_ref();
        if node.info.is_none() && gate.is_none() {
            continue;
        }
        let tally = tallies.entry(datacenter(node)).or_default();
        match gate.filter(|state| state.gate == Gate::Down && !lease) {
            Some(down) => tally.down.push(down.since),
            None => {
                tally.up += 1;
                tally.silent += usize::from(!lease);
            }
        }
    }
    for tally in tallies.values_mut() {
        tally.down.sort_unstable_by_key(|at| Reverse(*at));
    }
    tallies
}
