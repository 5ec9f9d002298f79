//! Heartbeat: turns each node's lease and intents into its gate, `node-states/<node>` (design §5, "Nodes").
//!
//! Invariants:
//! - A gate is true at the revision it is written at: *ready* compares that the lease is there, *disconnected* and
//!   *down* that it is gone, and all compare the gate and the intents that they were made from.
//! - *Down*, which has work replaced, is never said of a node within TTL + grace of this loop's own start, reconnect or
//!   the end of NOSPACE ([`Cx::since`]), nor faster than the brake (`brake.rs`) lets it.
//! - Nothing is written while nothing changes.
//!
//! This loop is the only writer of gates. One that cannot be read is rewritten from lease and intents, comparing its
//! mod revision: left alone, its node would take no work for ever, and nobody would notice that node's death.
//!
//! Start with [`transition`].

mod brake;
#[cfg(test)]
mod tests;
mod transition;

use std::time::Duration;

use encamp_model::{Key, NodeId, Timestamp, Unit, records::Gate};
use encamp_world::{
    Change, NodeEntry, World,
    control::{Controller, Cx, Outcome, Queue},
};

pub use transition::{Decision, Intents, Seen, transition};

/// The times that verdicts keep to.
#[derive(Clone, Debug)]
pub struct Config {
    /// From a lost lease to *down*.
    pub grace: Duration,
    /// Life of a lease whose node's info cannot be read.
    pub lease_ttl: Duration,
    /// How far back the brake looks for nodes that went down.
    pub brake_window: Duration,
    /// Pause between two verdicts in a datacenter while the brake holds.
    pub brake_pause: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            grace: Duration::from_secs(5),
            lease_ttl: Duration::from_secs(10),
            brake_window: Duration::from_secs(60),
            brake_pause: Duration::from_secs(10),
        }
    }
}

/// The longest lease that is believed: a larger number in a node's info would keep that node from ever going down.
const LEASE_TTL_MAX: Duration = Duration::from_secs(600);

/// The loop. See the crate's text.
#[derive(Debug, Default)]
pub struct Heartbeat {
    config: Config,
    brake: brake::Brake,
}

impl Heartbeat {
    /// With other times than the usual ones.
    pub fn new(config: Config) -> Self {
        Heartbeat { config, brake: brake::Brake::default() }
    }

    /// The earliest instant at which this node may be declared down, whatever its own gate's age.
    fn down_from(&mut self, node: &NodeEntry, world: &World, cx: &Cx) -> Timestamp {
        let ttl = node.info.as_ref().map_or(self.config.lease_ttl, |info| {
            Duration::from_secs(info.lease_ttl_s.into()).min(LEASE_TTL_MAX)
        });
        // A lease that was alive when we began to look needs its whole life to show that it is not renewed.
        let heard = cx.since + ttl + self.config.grace;
        let braked = self.brake.not_before(node, world, cx.now, &self.config);
        braked.map_or(heard, |at| at.max(heard))
    }
}

impl Controller for Heartbeat {
    type Key = NodeId;
    const NAME: &'static str = "heartbeat";

    fn dirty(&self, change: &Change, world: &World, queue: &mut Queue<NodeId>) {
        match change {
            Change::Node { id, .. } => queue.add(*id),
            Change::Alloc { node, .. } if world.node(*node).is_some_and(|n| n.gate().is_none()) => {
                queue.add(*node);
            }
            _ => {}
        }
    }

    fn all(&self, world: &World, queue: &mut Queue<NodeId>) {
        world.nodes().for_each(|(id, _)| queue.add(id));
    }

    fn reconcile(&mut self, id: &NodeId, world: &World, cx: &mut Cx) -> Outcome {
        let mut outcome = Outcome::nothing();
        let Some(node) = world.node(*id) else { return outcome };
        let seen = Seen::of(*id, node, world);
        let waits = !seen.lease && node.gate() == Some(Gate::Disconnected);
        let down_from = if waits { self.down_from(node, world, cx) } else { cx.now };
        match transition(&seen, cx.now, self.config.grace, down_from) {
            Decision::Stay => {}
            Decision::LookAgain(at) => outcome.look_again(at),
            Decision::Write(state) => {
                if state.gate == Gate::Down {
                    self.brake.declared(node, state.since);
                }
                let mut unit = guards(*id, world, &seen);
                unit.put(Key::NodeState(*id), &state);
                outcome.units.push(unit);
            }
        }
        outcome
    }

    fn reset(&mut self) {
        self.brake = brake::Brake::default();
    }
}

/// What every gate rests on.
fn guards(id: NodeId, world: &World, seen: &Seen<'_>) -> Unit {
    let mut unit = Unit::new();
    for key in [Key::NodeState(id), Key::NodeIntents(id), Key::NodeLease(id)] {
        let modified = world.mod_revision(&key);
        unit.unchanged(key, modified);
    }
    if seen.gate.is_none() {
        // gc takes info and gate away together: a gate must not come back without its node.
        match seen.registered {
            true => unit.exists(Key::NodeInfo(id)),
            false => unit.unchanged(Key::NodeInfo(id), 0),
        };
    }
    unit
}
