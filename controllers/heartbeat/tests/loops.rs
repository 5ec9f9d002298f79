//! The loop on a store: what is written, what it rests on, and when nothing is.

use std::collections::BTreeSet;

use encamp_model::{
    Guard, Key,
    records::{Gate, NodeIntents},
};
use encamp_world::{
    control::{Controller, Queue},
    testing::objects,
};

use super::{Sim, at, node};

fn guards(sim: &mut Sim) -> BTreeSet<Guard> {
    sim.unit(1).guards
}

#[test]
fn a_registered_node_becomes_ready_and_eligible() {
    let mut sim = Sim::new(0);
    sim.store.put(Key::NodeInfo(node(1)), &objects::node_info(node(1)));
    sim.renew(1);
    let lease = sim.store.world().mod_revision(&Key::NodeLease(node(1)));
    let wanted = BTreeSet::from([
        Guard::Unchanged(Key::NodeState(node(1)), 0),
        Guard::Unchanged(Key::NodeIntents(node(1)), 0),
        Guard::Unchanged(Key::NodeLease(node(1)), lease),
        Guard::Exists(Key::NodeInfo(node(1))),
    ]);
    assert_eq!(guards(&mut sim), wanted);
    sim.settle();
    let state = sim.state(1).expect("it has a gate");
    assert_eq!((state.gate, state.eligible, state.since), (Gate::Ready, true, at(1000)));
}

#[test]
fn a_lost_node_is_disconnected_at_once_and_down_after_the_grace() {
    let mut sim = Sim::new(1);
    sim.lose(1);
    sim.settle();
    assert_eq!(sim.gate(1), Some(Gate::Disconnected));
    let outcome = sim.decide(1);
    assert!(outcome.units.is_empty());
    assert_eq!(outcome.again, Some(at(1005)));
    sim.run(4);
    assert_eq!(sim.gate(1), Some(Gate::Disconnected));
    sim.run(1);
    let state = sim.state(1).expect("it has a gate");
    assert_eq!((state.gate, state.since), (Gate::Down, at(1005)));
}

#[test]
fn down_compares_that_the_lease_is_gone_and_the_gate_unchanged() {
    let mut sim = Sim::new(1);
    sim.lose(1);
    sim.settle();
    sim.wait(5);
    let down = sim.unit(1);
    let gate = sim.store.world().mod_revision(&Key::NodeState(node(1)));
    let wanted = BTreeSet::from([
        Guard::Unchanged(Key::NodeState(node(1)), gate),
        Guard::Unchanged(Key::NodeIntents(node(1)), 0),
        Guard::Unchanged(Key::NodeLease(node(1)), 0),
    ]);
    assert_eq!(down.guards, wanted);

    let mut raced = sim.store.clone();
    raced.put(Key::NodeLease(node(1)), &objects::lease());
    assert_eq!(raced.apply(&down).err(), Some(Guard::Unchanged(Key::NodeLease(node(1)), 0)));
    let mut closed = sim.store.clone();
    closed.put(Key::NodeIntents(node(1)), &NodeIntents { generation: 1, eligible: false });
    assert!(closed.apply(&down).is_err(), "its eligibility was made from other intents");
    let mut twice = sim.store;
    assert!(twice.apply(&down).is_ok());
    assert!(twice.apply(&down).is_err(), "the gate it was made from is gone");
}

#[test]
fn a_node_that_comes_back_is_ready_from_disconnected_and_from_down() {
    for lost_for in [2, 20] {
        let mut sim = Sim::new(1);
        sim.lose(1);
        sim.settle();
        sim.run(lost_for);
        assert_ne!(sim.gate(1), Some(Gate::Ready));
        sim.renew(1);
        sim.settle();
        let state = sim.state(1).expect("it has a gate");
        assert_eq!((state.gate, state.since), (Gate::Ready, sim.now));
    }
}

#[test]
fn a_new_leader_hears_a_whole_ttl_and_grace_before_it_says_down() {
    let mut sim = Sim::new(1);
    sim.lose(1);
    sim.settle();
    sim.fail_over();
    sim.since = at(1003);
    sim.run(17);
    assert_eq!(sim.gate(1), Some(Gate::Disconnected), "lease of 10 s and grace of 5 s since 1003");
    assert_eq!(sim.decide(1).again, Some(at(1018)));
    sim.run(1);
    assert_eq!(sim.gate(1), Some(Gate::Down));
}

#[test]
fn the_silence_is_as_long_as_the_nodes_own_lease_and_bounded() {
    for (ttl, heard) in [(30, 35), (u32::MAX, 605)] {
        let mut sim = Sim::new(1);
        let mut info = objects::node_info(node(1));
        info.lease_ttl_s = ttl;
        sim.store.put(Key::NodeInfo(node(1)), &info);
        sim.lose(1);
        sim.settle();
        sim.since = at(1000);
        assert_eq!(sim.decide(1).again, Some(at(1000 + heard)), "ttl {ttl}");
    }
}

#[test]
fn intents_are_answered_with_their_generation() {
    let mut sim = Sim::new(1);
    sim.store.put(Key::NodeIntents(node(1)), &NodeIntents { generation: 7, eligible: false });
    let intents = sim.store.world().mod_revision(&Key::NodeIntents(node(1)));
    assert!(guards(&mut sim).contains(&Guard::Unchanged(Key::NodeIntents(node(1)), intents)));
    sim.settle();
    let state = sim.state(1).expect("it has a gate");
    assert_eq!((state.gate, state.eligible, state.generation), (Gate::Ready, false, 7));
    assert_eq!(state.since, at(0), "it was ready before");
    sim.lose(1);
    sim.settle();
    sim.run(5);
    let state = sim.state(1).expect("it has a gate");
    assert_eq!((state.gate, state.eligible, state.generation), (Gate::Down, false, 7));
}

#[test]
fn an_unreadable_gate_is_made_anew_and_compares_what_was_there() {
    let mut sim = Sim::new(1);
    sim.store.put_raw(Key::NodeState(node(1)), b"garbage".as_slice());
    let modified = sim.store.revision();
    assert!(guards(&mut sim).contains(&Guard::Unchanged(Key::NodeState(node(1)), modified)));
    sim.settle();
    assert_eq!(sim.gate(1), Some(Gate::Ready));
}

#[test]
fn an_unreadable_lease_is_a_lease_and_an_unreadable_info_a_node() {
    let mut sim = Sim::new(1);
    sim.store.put_raw(Key::NodeLease(node(1)), b"garbage".as_slice());
    sim.store.put_raw(Key::NodeInfo(node(1)), b"garbage".as_slice());
    sim.settle();
    sim.run(30);
    assert_eq!(sim.gate(1), Some(Gate::Ready));
    sim.lose(1);
    sim.settle();
    sim.run(30);
    assert_eq!(sim.gate(1), Some(Gate::Down));
}

#[test]
fn work_on_a_node_that_was_taken_away_by_hand_is_given_up_as_lost() {
    let mut sim = Sim::new(1);
    let record = objects::alloc(encamp_model::JobUid::from_bits(1), 0, 0);
    let key = Key::Alloc(node(1), encamp_model::AllocId::from_bits(1));
    sim.store.put(key.clone(), &record);
    for taken in [Key::NodeInfo(node(1)), Key::NodeState(node(1)), Key::NodeLease(node(1))] {
        sim.store.delete(taken);
    }
    assert!(guards(&mut sim).contains(&Guard::Unchanged(Key::NodeInfo(node(1)), 0)));
    sim.settle();
    sim.run(6);
    assert_eq!(sim.gate(1), Some(Gate::Down));
    sim.store.delete(key);
    sim.store.delete(Key::NodeState(node(1)));
    sim.settle();
    assert_eq!(sim.gate(1), None, "nothing is there any more");
}

#[test]
fn nothing_is_written_while_nothing_changes() {
    let mut sim = Sim::new(3);
    sim.lose(2);
    sim.lose(3);
    sim.settle();
    sim.run(60);
    let before = sim.store.revision();
    sim.fail_over();
    sim.run(600);
    assert_eq!(sim.store.revision(), before);
    assert_eq!((sim.gate(1), sim.gate(2)), (Some(Gate::Ready), Some(Gate::Down)));
}

#[test]
fn whatever_changes_of_a_node_makes_it_dirty_and_nothing_else_does() {
    let mut sim = Sim::new(1);
    let mut queue = Queue::default();
    let uid = encamp_model::JobUid::from_bits(1);
    for change in
        sim.store.put(Key::Alloc(node(1), encamp_model::AllocId::from_bits(1)), &objects::alloc(uid, 0, 0))
    {
        sim.leader.dirty(&change, sim.store.world(), &mut queue);
    }
    assert!(queue.is_empty());
    let intents = NodeIntents { generation: 1, eligible: true };
    let written = [
        sim.store.put(Key::NodeIntents(node(1)), &intents),
        sim.store.delete(Key::NodeLease(node(1))),
        sim.store.put_raw(Key::NodeState(node(1)), b"garbage".as_slice()),
        sim.store.delete(Key::NodeInfo(node(1))),
    ];
    for changes in written {
        changes.iter().for_each(|c| sim.leader.dirty(c, sim.store.world(), &mut queue));
        assert_eq!(queue.pop(), Some(node(1)), "{changes:?}");
        queue.finish(&node(1));
    }
    sim.leader.all(sim.store.world(), &mut queue);
    assert_eq!(queue.len(), 1);
}
