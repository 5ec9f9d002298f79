//! Nodes long down.

use encamp_model::{
    Key,
    records::{AllocRecord, ClientStatus, Desired, Gate, NodeIntents},
};
use encamp_world::testing::{TestWorld, objects};

use super::{
    HOUR, alloc_id, at, check, cluster, goes, goes_at, judge, loses_against, node, says, stays, uid,
};
use crate::Garbage;

fn key() -> Garbage {
    Garbage::Node(node(1))
}

/// Node 1, down since second 1,000.
fn down() -> TestWorld {
    let mut store = cluster();
    store.delete(Key::NodeLease(node(1)));
    let mut gate = objects::gate(Gate::Down);
    gate.since = at(1000);
    store.put(Key::NodeState(node(1)), &gate);
    store
}

const DUE: i64 = 1000 + 24 * HOUR;

fn own_keys() -> [Key; 3] {
    [Key::NodeInfo(node(1)), Key::NodeState(node(1)), Key::NodeIntents(node(1))]
}

#[test]
fn a_node_that_is_down_for_a_day_goes_whole() {
    let mut store = down();
    store.put(Key::NodeIntents(node(1)), &NodeIntents { generation: 3, eligible: false });
    let unit = goes_at(&store, &key(), DUE);
    check(&store, &unit, &own_keys(), &[Key::NodeLease(node(1))]);
    loses_against(
        &store,
        &unit,
        &[
            &|s| drop(s.put(Key::NodeLease(node(1)), &objects::lease())),
            &|s| drop(s.put(Key::NodeInfo(node(1)), &objects::node_info(node(1)))),
            &|s| drop(s.put(Key::NodeState(node(1)), &objects::gate(Gate::Ready))),
            &|s| drop(s.put(Key::NodeIntents(node(1)), &NodeIntents { generation: 4, eligible: true })),
        ],
    );
    assert!(store.apply(&unit).is_ok());
    assert!(store.world().node(node(1)).is_none());
}

#[test]
fn a_node_that_may_come_back_stays() {
    stays(&cluster(), &key());
    let mut store = down();
    store.put(Key::NodeLease(node(1)), &objects::lease());
    stays(&store, &key());
    for gate in [Gate::Ready, Gate::Disconnected] {
        let mut store = down();
        store.put(Key::NodeState(node(1)), &objects::gate(gate));
        stays(&store, &key());
    }
    let mut store = down();
    store.put_raw(Key::NodeState(node(1)), b"garbage".as_slice());
    stays(&store, &key());
    store.delete(Key::NodeState(node(1)));
    stays(&store, &key());
}

#[test]
fn what_was_told_to_stop_on_it_goes_first_and_then_the_node() {
    let mut store = down();
    let stopped = AllocRecord { desired: Desired::Stop, ..objects::alloc(uid(1), 0, 0) };
    store.place(node(1), alloc_id(1), &stopped);
    says(&mut store, 1, &stopped, ClientStatus::Running, 10);
    let unit = goes_at(&store, &key(), DUE);
    let said = [Key::Alloc(node(1), alloc_id(1)), Key::AllocStatus(node(1), alloc_id(1))];
    let gone = [Key::NodeInfo(node(1)), Key::NodeState(node(1)), Key::NodeLease(node(1))];
    check(&store, &unit, &said, &gone);
    assert!(judge(&store, &key(), DUE).cut, "the node itself is next");
    assert!(store.apply(&unit).is_ok());
    let unit = goes(&store, &key(), DUE);
    check(&store, &unit, &own_keys()[..2], &[Key::NodeLease(node(1)), Key::NodeIntents(node(1))]);
}

#[test]
fn what_is_wanted_or_holds_its_name_keeps_its_node() {
    for status in [None, Some(ClientStatus::Running), Some(ClientStatus::Failed)] {
        let mut store = down();
        let record = objects::alloc(uid(1), 0, 0);
        store.place(node(1), alloc_id(1), &record);
        if let Some(status) = status {
            says(&mut store, 1, &record, status, 10);
        }
        let outcome = judge(&store, &key(), DUE);
        assert!(outcome.units.is_empty(), "{status:?}: {outcome:?}");
    }
    let mut store = down();
    store.put_raw(Key::Alloc(node(1), alloc_id(1)), b"garbage".as_slice());
    assert!(judge(&store, &key(), DUE).units.is_empty());
}

#[test]
fn statuses_that_nobody_reads_go_before_the_node() {
    let mut store = down();
    let record = objects::alloc(uid(1), 0, 0);
    says(&mut store, 1, &record, ClientStatus::Complete, 10);
    store.put_raw(Key::AllocStatus(node(1), alloc_id(2)), b"garbage".as_slice());
    let outcome = judge(&store, &key(), DUE);
    assert_eq!((outcome.units.len(), outcome.cut), (2, true));
    assert!(store.apply_all(&outcome.units).is_empty());
    assert!(store.apply(&goes(&store, &key(), DUE)).is_ok());
    assert!(store.world().node(node(1)).is_none());
}

#[test]
fn what_is_left_of_a_node_that_was_taken_away_by_hand_goes_at_once() {
    let mut store = TestWorld::new();
    store.put(Key::NodeIntents(node(1)), &NodeIntents { generation: 1, eligible: true });
    let stopped = AllocRecord { desired: Desired::Stop, ..objects::alloc(uid(1), 0, 0) };
    store.place(node(1), alloc_id(1), &stopped);
    let unit = goes(&store, &key(), 0);
    loses_against(&store, &unit, &[&|s| s.join(&objects::node_info(node(1)))]);
    assert!(store.apply(&unit).is_ok());
    let unit = goes(&store, &key(), 0);
    loses_against(&store, &unit, &[&|s| s.join(&objects::node_info(node(1)))]);
    assert!(store.apply(&unit).is_ok());
    assert!(store.world().node(node(1)).is_none());
}
