//! Nodes long down, and what is left on them.
//!
//! Every unit compares that the lease is gone and the gate as it was: the planner places only on a ready node whose gate
//! it compares, so that nothing new can have come to this one, and an agent that comes back registers with a lease. First
//! go the allocations that were told to stop (nobody else will say that they ended), then, once nothing names the node,
//! its info, gate and intents together. An allocation that still holds its name keeps its node.

use encamp_model::{AllocId, Key, NodeId, Timestamp, Unit, records::Gate};
use encamp_world::{NodeEntry, World, control::Outcome};

use crate::{Config, allocs, once_due, rests_on, take};

pub(crate) fn judge(world: &World, config: &Config, now: Timestamp, id: NodeId) -> Outcome {
    let Some(node) = world.node(id) else { return Outcome::nothing() };
    let Some(due) = gone_since(world, config, id, node) else { return Outcome::nothing() };
    let mut outcome = once_due(due, now, || leftovers(world, id, node));
    if now < due {
        return outcome;
    }
    if !outcome.units.is_empty() {
        // The node itself goes when they are gone.
        outcome.cut = true;
    } else if node.allocs.is_empty() && node.opaque_allocs.is_empty() {
        let mut unit = on_gone_node(world, id);
        for key in [Key::NodeInfo(id), Key::NodeState(id), Key::NodeIntents(id)] {
            take(&mut unit, world, key);
        }
        outcome.units.extend((!unit.is_empty()).then_some(unit));
    }
    outcome
}

/// From when on this node is garbage; `None` while it is not known to be gone.
fn gone_since(world: &World, config: &Config, id: NodeId, node: &NodeEntry) -> Option<Timestamp> {
    let absent = |key: Key| world.mod_revision(&key) == 0;
    if !absent(Key::NodeLease(id)) {
        return None;
    }
    match &node.state {
        Some(state) => (state.gate == Gate::Down).then(|| state.since + config.node_age),
        // Taken away by hand: nothing will ever make a gate of it again, unless it registers.
        None => (absent(Key::NodeInfo(id)) && absent(Key::NodeState(id))).then(Timestamp::default),
    }
}

/// What makes everything on this node garbage.
fn on_gone_node(world: &World, id: NodeId) -> Unit {
    let mut unit = Unit::new();
    for key in [Key::NodeInfo(id), Key::NodeState(id), Key::NodeLease(id)] {
        rests_on(&mut unit, world, key);
    }
    unit
}

fn leftovers(world: &World, id: NodeId, node: &NodeEntry) -> Vec<Unit> {
    let stopped = node.allocs.values().filter_map(|alloc| allocs::removal(world, alloc)).map(|removal| {
        let mut unit = on_gone_node(world, id);
        unit.absorb(removal);
        unit
    });
    let unreadable = world.opaque().filter_map(|(key, _)| match key {
        Key::AllocStatus(on, alloc) if *on == id => Some(*alloc),
        _ => None,
    });
    let said: Vec<AllocId> = node.orphans.keys().copied().chain(unreadable).collect();
    stopped.chain(said.into_iter().filter_map(|alloc| allocs::orphan(world, id, alloc))).collect()
}
