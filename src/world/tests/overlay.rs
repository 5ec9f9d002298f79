//! Assumed writes: they take room until etcd's echo, and no longer.

use std::sync::Arc;

use encamp_model::{Key, unit::Placed};

use super::{alloc_id, node, uid};
use crate::testing::{TestWorld, objects};

fn placed(n: u128) -> Placed {
    Placed { node: node(1), alloc: alloc_id(n), record: Arc::new(objects::alloc(uid(1), 0, 0)) }
}

fn cpu(store: &TestWorld) -> i64 {
    store.world().room(node(1)).used.cpu
}

#[test]
fn an_assumed_placement_takes_room_until_its_echo_and_is_not_counted_twice() {
    let mut store = TestWorld::new();
    store.join(&objects::node_info(node(1)));
    store.assume(&[placed(1), placed(2)]);
    assert_eq!(cpu(&store), 200);
    assert_eq!(store.world().allocs().count(), 0, "an assumption is no allocation");
    store.place(node(1), alloc_id(1), &placed(1).record);
    assert_eq!((cpu(&store), store.world().overlay().len()), (200, 1));
    store.place(node(1), alloc_id(2), &placed(2).record);
    assert_eq!(cpu(&store), 200);
    assert!(store.world().overlay().is_empty());
}

#[test]
fn a_placement_deleted_before_anybody_looked_is_settled_too() {
    let mut store = TestWorld::new();
    store.join(&objects::node_info(node(1)));
    store.place(node(1), alloc_id(1), &placed(1).record);
    store.assume(&[placed(1)]);
    store.delete(Key::Alloc(node(1), alloc_id(1)));
    assert_eq!((cpu(&store), store.world().overlay().len()), (0, 0));
}

#[test]
fn what_an_assumed_placement_waits_for_is_part_of_its_chain() {
    let mut store = TestWorld::new();
    store.join(&objects::node_info(node(1)));
    store.place(node(1), alloc_id(1), &objects::alloc(uid(1), 0, 0));
    let mut successor = objects::alloc(uid(1), 1, 0);
    successor.after = vec![alloc_id(1)];
    successor.ask.cpu = 150;
    store.assume(&[Placed { node: node(1), alloc: alloc_id(2), record: Arc::new(successor) }]);
    assert_eq!(cpu(&store), 150, "either it runs or what it waits for");
}

#[test]
fn assumptions_of_a_snapshot_and_dropped_ones_bear_on_nobody_else() {
    let mut store = TestWorld::new();
    store.join(&objects::node_info(node(1)));
    let snapshot = store.world().clone();
    store.assume(&[placed(1)]);
    assert_eq!(snapshot.room(node(1)).used.cpu, 0);
    let dropped = store.world().with_overlay(Default::default());
    assert_eq!(dropped.room(node(1)).used.cpu, 0);
}
