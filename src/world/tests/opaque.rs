//! What cannot be decoded is there all the same.

use encamp_model::{
    Key, Timestamp,
    records::{ClientStatus, Gate},
};

use super::{alloc_id, assert_same, job_id, node, uid};
use crate::{
    Change,
    testing::{TestWorld, objects},
};

const GARBAGE: &[u8] = b"{\"layout\": 99}";

fn store() -> TestWorld {
    let mut store = TestWorld::new();
    store.register(&objects::job("web", uid(1), 0));
    store.join(&objects::node_info(node(1)));
    store
}

fn takes(store: &TestWorld) -> bool {
    store.world().node(node(1)).is_some_and(|n| n.takes_placements())
}

#[test]
fn an_opaque_job_is_not_an_absence() {
    let mut store = store();
    let key = Key::Job(job_id("web"));
    let changes = store.put_raw(key.clone(), GARBAGE);
    let [Change::Opaque(opaque), Change::Job { old: Some(_), new: None, .. }] = &changes[..] else {
        panic!("{changes:?}")
    };
    assert_eq!(opaque, &key);
    assert!(store.world().is_opaque(&key));
    assert_eq!(store.world().mod_revision(&key), store.revision(), "a unit can rest on it");
    assert!(store.world().keys().contains(&key));
    store.register(&objects::job("web", uid(1), 1));
    assert!(!store.world().is_opaque(&key));
    assert_eq!(store.world().opaque().count(), 0);
}

#[test]
fn a_node_with_an_opaque_allocation_takes_no_placements_until_it_is_gone() {
    let mut store = store();
    assert!(takes(&store));
    store.put_raw(Key::Alloc(node(1), alloc_id(1)), GARBAGE);
    assert!(!takes(&store));
    let before = store.revision();
    let changes = store.delete(Key::Alloc(node(1), alloc_id(1)));
    assert!(takes(&store));
    assert!(
        changes.iter().any(
            |c| matches!(c, Change::Node { old: Some(old), new: Some(_), .. } if !old.takes_placements())
        ),
        "{changes:?}"
    );
    assert_eq!(store.world().helped_since(before).count(), 1, "who waits for room must look again");
}

#[test]
fn every_opaque_key_of_a_node_keeps_placements_away() {
    let alloc = objects::alloc(uid(1), 0, 0);
    for key in [
        Key::NodeInfo(node(1)),
        Key::NodeLease(node(1)),
        Key::NodeState(node(1)),
        Key::NodeIntents(node(1)),
        Key::AllocStatus(node(1), alloc_id(1)),
        Key::AllocStatus(node(1), alloc_id(2)),
    ] {
        let mut store = store();
        store.place(node(1), alloc_id(1), &alloc);
        store.put_raw(key.clone(), GARBAGE);
        store.put_raw(key.clone(), b"still garbage".as_slice());
        assert!(!takes(&store), "{key:?}");
        let before = store.revision();
        let changes = store.delete(key.clone());
        assert_eq!(store.world().node(node(1)).map(|n| n.opaque_keys), Some(0), "{key:?}");
        assert!(changes.iter().any(|c| matches!(c, Change::Node { .. })), "{key:?}: {changes:?}");
        assert_eq!(store.world().helped_since(before).count(), 1, "{key:?}");
        assert_same(store.world(), &store.listed());
    }
}

#[test]
fn an_unreadable_status_leaves_its_allocation_in_its_room() {
    let mut store = store();
    let record = objects::alloc(uid(1), 0, 0);
    store.place(node(1), alloc_id(1), &record);
    let done = objects::status("web", &record, ClientStatus::Complete, Timestamp::default());
    store.put(Key::AllocStatus(node(1), alloc_id(1)), &done);
    assert_eq!(store.world().room(node(1)).used.cpu, 0);
    store.put_raw(Key::AllocStatus(node(1), alloc_id(1)), GARBAGE);
    assert_eq!(store.world().room(node(1)).used.cpu, 100, "nobody can tell that it ended");
}

#[test]
fn an_allocation_of_unreadable_status_counts_as_running_and_not_by_version() {
    let status = Key::AllocStatus(node(1), alloc_id(1));
    for record_first in [true, false] {
        let mut store = store();
        let place = |store: &mut TestWorld| {
            store.place(node(1), alloc_id(1), &objects::alloc(uid(1), 0, 0));
        };
        if record_first {
            place(&mut store);
        }
        store.put_raw(status.clone(), GARBAGE);
        if !record_first {
            place(&mut store);
        }
        let entry = store.world().alloc(alloc_id(1)).expect("placed").clone();
        assert_eq!((entry.said(), entry.is_live(), entry.status_opaque), (ClientStatus::Running, true, true));
        assert_eq!(entry.client_status(Some(Gate::Ready)), ClientStatus::Running);
        assert_eq!(entry.client_status(Some(Gate::Down)), ClientStatus::Lost);
        let counts = |store: &TestWorld| store.world().registration(uid(1)).map(|r| r.counts["web"].clone());
        let ready = counts(&store).expect("counted");
        assert_eq!((ready.pending, ready.running, ready.by_version.len()), (0, 1, 0));
        store.put(Key::NodeState(node(1)), &objects::gate(Gate::Down));
        let down = counts(&store).expect("counted");
        assert_eq!((down.running, down.lost, down.lost_unknown), (0, 1, 1));
        store.delete(status.clone());
        let gone = counts(&store).expect("counted");
        assert_eq!((gone.lost, gone.lost_unknown), (1, 0));
        assert_eq!(store.world().alloc(alloc_id(1)).map(|a| a.status_opaque), Some(false));
        assert_same(store.world(), &store.listed());
    }
}

/// The index that the opaque record of allocation 1 holds, in registration 1's books.
fn held(store: &TestWorld) -> Option<u32> {
    let registration = store.world().registration(uid(1))?;
    registration.occupied.get(&(node(1), alloc_id(1))).map(|o| o.index)
}

#[test]
fn the_name_stays_occupied_by_what_can_still_be_read() {
    let mut store = store();
    let partial = format!("{{\"uid\":\"{}\",\"group\":\"web\",\"index\":3,\"desired\":\"sing\"}}", uid(1));
    store.put_raw(Key::Alloc(node(1), alloc_id(1)), partial);
    assert_eq!(held(&store), Some(3));
    store.delete(Key::Alloc(node(1), alloc_id(1)));
    assert_eq!(held(&store), None);
}

#[test]
fn the_name_stays_occupied_by_the_record_before() {
    let mut store = store();
    store.place(node(1), alloc_id(1), &objects::alloc(uid(1), 0, 4));
    store.put_raw(Key::Alloc(node(1), alloc_id(1)), GARBAGE);
    store.put_raw(Key::Alloc(node(1), alloc_id(1)), b"worse".as_slice());
    assert_eq!(held(&store), Some(4));
    assert!(store.world().alloc(alloc_id(1)).is_none());
    store.place(node(1), alloc_id(1), &objects::alloc(uid(1), 0, 4));
    assert_eq!(held(&store), None);
    assert!(store.world().alloc(alloc_id(1)).is_some());
    assert_same(store.world(), &store.listed());
}

#[test]
fn the_name_stays_occupied_by_what_its_node_says_before_or_after() {
    let status =
        objects::status("web", &objects::alloc(uid(1), 0, 5), ClientStatus::Running, Timestamp::default());
    let mut first = store();
    first.put(Key::AllocStatus(node(1), alloc_id(1)), &status);
    first.put_raw(Key::Alloc(node(1), alloc_id(1)), GARBAGE);
    assert_eq!(held(&first), Some(5));
    let mut later = store();
    later.put_raw(Key::Alloc(node(1), alloc_id(1)), GARBAGE);
    assert_eq!(held(&later), None);
    later.put(Key::AllocStatus(node(1), alloc_id(1)), &status);
    assert_eq!(held(&later), Some(5));
    assert_same(later.world(), &later.listed());
}

#[test]
fn an_opaque_gate_is_no_gate_and_counts_as_not_down() {
    let mut store = store();
    store.place(node(1), alloc_id(1), &objects::alloc(uid(1), 0, 0));
    store.put(Key::NodeState(node(1)), &objects::gate(Gate::Down));
    let lost = |store: &TestWorld| store.world().registration(uid(1)).map(|r| r.counts["web"].lost);
    assert_eq!(lost(&store), Some(1));
    store.put_raw(Key::NodeState(node(1)), GARBAGE);
    assert_eq!(lost(&store), Some(0));
    assert_same(store.world(), &store.listed());
}
