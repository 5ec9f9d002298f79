//! The gate's next state, as a pure function of what is seen.

use std::time::Duration;

use encamp_model::{
    Key, NodeId, Timestamp,
    records::{Gate, NodeIntents, NodeState},
};
use encamp_world::{NodeEntry, World};

/// What people want of a node, as far as it can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intents<'a> {
    /// Nothing: it is eligible.
    Absent,
    /// Something that cannot be read: what the gate says already stays, and a new gate lets nothing in.
    Opaque,
    /// This.
    Said(&'a NodeIntents),
}

/// All that a gate is made from.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The gate; `None` if there is none or it cannot be read.
    pub gate: Option<&'a NodeState>,
    /// The node's info is there, readable or not.
    pub registered: bool,
    /// Something is meant to run on it.
    pub works: bool,
    /// Its lease is there, readable or not.
    pub lease: bool,
    /// What people want of it.
    pub intents: Intents<'a>,
}

impl<'a> Seen<'a> {
    /// Of one node of a World.
    pub fn of(id: NodeId, node: &'a NodeEntry, world: &World) -> Self {
        let there = |key: Key| world.mod_revision(&key) != 0;
        let intents = match &node.intents {
            Some(intents) => Intents::Said(&intents.value),
            None if there(Key::NodeIntents(id)) => Intents::Opaque,
            None => Intents::Absent,
        };
        Seen {
            gate: node.state.as_ref().map(|s| &s.value),
            registered: there(Key::NodeInfo(id)),
            works: node.allocs.values().any(|alloc| alloc.is_live()),
            lease: there(Key::NodeLease(id)),
            intents,
        }
    }
}

/// What is to be done about a gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing, until something changes.
    Stay,
    /// Nothing now; time alone may change that.
    LookAgain(Timestamp),
    /// Store this gate.
    Write(NodeState),
}

/// The next state of a gate. `down_from` is the earliest instant at which the node may be declared down, besides
/// `grace` having passed since its lease was seen to be gone.
///
/// A node that has no info gets no gate, and one that lost its info while its lease lives keeps what it has: its agent
/// writes both together, so that somebody took the info away by hand. If gate, info and lease were all taken away,
/// while work is still meant to run there, it gets a gate all the same: only *down* has that work replaced.
pub fn transition(seen: &Seen<'_>, now: Timestamp, grace: Duration, down_from: Timestamp) -> Decision {
    if !seen.registered && (seen.lease || (seen.gate.is_none() && !seen.works)) {
        return Decision::Stay;
    }
    let (eligible, generation) = match (seen.intents, seen.gate) {
        (Intents::Said(intents), _) => (intents.eligible, intents.generation),
        (Intents::Absent, _) => (true, 0),
        (Intents::Opaque, Some(gate)) => (gate.eligible, gate.generation),
        (Intents::Opaque, None) => (false, 0),
    };
    let state = |gate, since| NodeState { gate, eligible, since, generation };
    let Some(before) = seen.gate else {
        let gate = if seen.lease { Gate::Ready } else { Gate::Disconnected };
        return Decision::Write(state(gate, now));
    };
    let due = (before.since + grace).max(down_from);
    let next = match (before.gate, seen.lease) {
        (Gate::Ready, true) => state(Gate::Ready, before.since),
        (Gate::Disconnected | Gate::Down, true) => state(Gate::Ready, now),
        (Gate::Ready, false) => state(Gate::Disconnected, now),
        // An instant that far ahead was written on another clock. Judged on ours it would hold this node's verdict, or
        // through the brake everybody's, until our clock gets there.
        (gate, false) if before.since > now + grace => state(gate, now),
        (Gate::Disconnected, false) if now >= due => state(Gate::Down, now),
        (gate, false) => state(gate, before.since),
    };
    if next != *before {
        Decision::Write(next)
    } else if before.gate == Gate::Disconnected {
        Decision::LookAgain(due)
    } else {
        Decision::Stay
    }
}
