//! The brake: most of a datacenter gone at once.

use encamp_model::{Key, records::Gate};
use encamp_world::testing::objects;

use super::{Sim, at, node};

/// Loses nodes `1..=lost` of `nodes`; the instants at which each further one was down, over `secs`.
fn falls(sim: &mut Sim, lost: u128, secs: i64) -> Vec<i64> {
    (1..=lost).for_each(|n| sim.lose(n));
    sim.settle();
    let mut falls = Vec::new();
    for _ in 0..secs {
        let before = sim.down();
        sim.run(1);
        falls.extend(std::iter::repeat_n(sim.now.0 / 1_000_000_000, sim.down() - before));
    }
    falls
}

#[test]
fn half_of_a_datacenter_goes_down_together() {
    assert_eq!(falls(&mut Sim::new(4), 2, 20), [1005, 1005]);
}

#[test]
fn less_than_four_nodes_have_no_brake() {
    assert_eq!(falls(&mut Sim::new(3), 3, 20), [1005; 3]);
}

#[test]
fn more_than_half_goes_down_one_by_one() {
    assert_eq!(falls(&mut Sim::new(6), 4, 60), [1005, 1015, 1025, 1035]);
}

#[test]
fn a_failure_of_everything_does_not_end_the_brake_half_way() {
    let falls = falls(&mut Sim::new(20), 20, 250);
    // If what is down for longer than a minute counted among the nodes, the second half would go down together.
    for pair in falls.windows(2) {
        assert!(pair[1] - pair[0] >= 10, "{falls:?}");
    }
    assert_eq!(falls.len(), 20, "{falls:?}");
}

#[test]
fn a_failover_grants_no_new_burst() {
    let mut sim = Sim::new(8);
    (1..=8).for_each(|n| sim.lose(n));
    sim.settle();
    sim.run(16);
    assert_eq!(sim.down(), 2);
    for _ in 0..9 {
        sim.fail_over();
        sim.run(1);
    }
    assert_eq!((sim.now, sim.down()), (at(1025), 3), "each 10 s one, whoever leads");
}

#[test]
fn nodes_judged_on_one_world_are_braked_too() {
    let mut sim = Sim::new(6);
    (1..=6).for_each(|n| sim.lose(n));
    sim.settle();
    sim.wait(5);
    let units: Vec<_> = (1..=6).map(|n| sim.decide(n)).collect();
    assert_eq!(units.iter().filter(|o| !o.units.is_empty()).count(), 1, "{units:?}");
    let waiting = units.iter().filter(|o| o.again == Some(at(1015))).count();
    assert_eq!(waiting, 5, "{units:?}");
}

#[test]
fn another_datacenter_is_judged_by_itself() {
    let mut sim = Sim::new(4);
    for n in 5..=8 {
        let mut info = objects::node_info(node(n));
        info.datacenter = "dc2".into();
        sim.store.join(&info);
    }
    sim.lose(8);
    assert_eq!(falls(&mut sim, 4, 6), [1005, 1005], "one of each");
    assert_eq!(sim.gate(8), Some(Gate::Down));
}

#[test]
fn nodes_that_come_back_release_the_brake() {
    let mut sim = Sim::new(5);
    assert_eq!(falls(&mut sim, 4, 6), [1005]);
    let down = (1..=4).find(|n| sim.gate(*n) == Some(Gate::Down)).expect("one is down");
    let back: Vec<u128> = (1..=4).filter(|n| *n != down).take(2).collect();
    back.iter().for_each(|n| sim.renew(*n));
    sim.run(1);
    assert_eq!(sim.down(), 2, "two of five: nothing holds the second back");
}

#[test]
fn an_instant_from_a_clock_ahead_does_not_hold_everybody() {
    let mut sim = Sim::new(6);
    (1..=6).for_each(|n| sim.lose(n));
    let mut ahead = objects::gate(Gate::Down);
    ahead.since = at(900_000);
    sim.store.put(Key::NodeState(node(6)), &ahead);
    sim.settle();
    sim.run(12);
    assert_eq!(sim.down(), 2, "the first 10 s after the instant was brought back to 1000");
}

#[test]
fn a_node_that_is_down_but_heard_again_is_not_counted_as_gone() {
    let mut sim = Sim::new(5);
    let mut state = objects::gate(Gate::Down);
    state.since = at(999);
    sim.store.put(Key::NodeState(node(5)), &state);
    for n in [1, 2] {
        sim.lose(n);
        let mut state = objects::gate(Gate::Disconnected);
        state.since = at(990);
        sim.store.put(Key::NodeState(node(n)), &state);
    }
    let down = [sim.unit(1), sim.unit(2)];
    assert!(sim.store.apply_all(&down).is_empty(), "two of five are silent: both at once");
}
