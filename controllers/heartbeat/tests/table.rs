//! The transition function, row by row.

use std::time::Duration;

use encamp_model::{
    Timestamp,
    records::{Gate, NodeIntents, NodeState},
};

use super::at;
use crate::{Decision, Intents, Seen, transition};
use Gate::{Disconnected, Down, Ready};

const GRACE: Duration = Duration::from_secs(5);
const NOW: i64 = 100;

fn state(gate: Gate, since: i64) -> NodeState {
    NodeState { gate, eligible: true, since: at(since), generation: 0 }
}

fn check(gate: Option<NodeState>, lease: bool, down_from: i64, wanted: Decision) {
    let seen = Seen { gate: gate.as_ref(), registered: true, works: false, lease, intents: Intents::Absent };
    let seen_text = format!("{gate:?}, lease {lease}, down from {down_from}");
    assert_eq!(transition(&seen, at(NOW), GRACE, at(down_from)), wanted, "{seen_text}");
}

#[test]
fn the_gate_follows_the_lease() {
    let write = |gate| Decision::Write(state(gate, NOW));
    check(None, true, 0, write(Ready));
    check(None, false, 0, write(Disconnected));
    check(Some(state(Ready, 1)), true, 0, Decision::Stay);
    check(Some(state(Ready, 1)), false, 0, write(Disconnected));
    check(Some(state(Disconnected, 99)), true, 0, write(Ready));
    check(Some(state(Down, 1)), true, 0, write(Ready));
    check(Some(state(Down, 1)), false, 0, Decision::Stay);
}

#[test]
fn down_waits_for_the_grace_and_for_the_instant_from_which_it_may_be_said() {
    check(Some(state(Disconnected, 96)), false, 0, Decision::LookAgain(at(101)));
    check(Some(state(Disconnected, 95)), false, 0, Decision::Write(state(Down, NOW)));
    check(Some(state(Disconnected, 1)), false, 107, Decision::LookAgain(at(107)));
    check(Some(state(Disconnected, 99)), false, 101, Decision::LookAgain(at(104)));
    check(Some(state(Disconnected, 1)), false, NOW, Decision::Write(state(Down, NOW)));
}

#[test]
fn an_instant_of_a_clock_that_is_ahead_is_brought_back() {
    check(Some(state(Disconnected, 5000)), false, 0, Decision::Write(state(Disconnected, NOW)));
    check(Some(state(Down, 5000)), false, 0, Decision::Write(state(Down, NOW)));
    check(Some(state(Disconnected, 102)), false, 0, Decision::LookAgain(at(107)));
    check(Some(state(Ready, 5000)), true, 0, Decision::Stay);
}

#[test]
fn a_node_without_info_gets_no_gate() {
    let unregistered =
        |gate, lease| Seen { gate, registered: false, works: false, lease, intents: Intents::Absent };
    let decide = |seen: Seen<'_>| transition(&seen, at(NOW), GRACE, at(0));
    assert_eq!(decide(unregistered(None, true)), Decision::Stay);
    assert_eq!(decide(unregistered(None, false)), Decision::Stay);
    let ready = state(Ready, 1);
    assert_eq!(decide(unregistered(Some(&ready), true)), Decision::Stay);
    assert_eq!(decide(unregistered(Some(&ready), false)), Decision::Write(state(Disconnected, NOW)));
}

#[test]
fn eligibility_comes_with_the_generation_it_was_made_from_and_leaves_since_alone() {
    let said = |generation, eligible| NodeIntents { generation, eligible };
    let made = |eligible, generation| NodeState { gate: Ready, eligible, since: at(1), generation };
    let decide = |before: &NodeState, intents: Intents<'_>| {
        let seen = Seen { gate: Some(before), registered: true, works: false, lease: true, intents };
        transition(&seen, at(NOW), GRACE, at(0))
    };
    let closed = made(false, 3);
    assert_eq!(decide(&made(true, 0), Intents::Said(&said(3, false))), Decision::Write(closed.clone()));
    assert_eq!(decide(&closed, Intents::Said(&said(3, false))), Decision::Stay);
    assert_eq!(decide(&closed, Intents::Said(&said(4, false))), Decision::Write(made(false, 4)));
    assert_eq!(decide(&closed, Intents::Said(&said(5, true))), Decision::Write(made(true, 5)));
    assert_eq!(decide(&closed, Intents::Absent), Decision::Write(made(true, 0)));
    assert_eq!(decide(&closed, Intents::Opaque), Decision::Stay, "what was read last holds");
    let fresh = Seen { gate: None, registered: true, works: false, lease: true, intents: Intents::Opaque };
    let wanted = NodeState { gate: Ready, eligible: false, since: at(NOW), generation: 0 };
    assert_eq!(transition(&fresh, at(NOW), GRACE, Timestamp::default()), Decision::Write(wanted));
}
