//! Lists, tables and their indexes, leaders.

use encamp_model::{
    InstanceId, Key, Name, Timestamp, Unit,
    records::{Gate, LeaderRecord},
};

use super::{alloc_id, job_id, node, uid};
use crate::{
    Change, Table,
    testing::{TestWorld, objects},
};

#[test]
fn a_delete_missed_while_away_comes_with_what_was_deleted() {
    let mut store = TestWorld::new();
    store.register(&objects::job("web", uid(1), 0));
    store.place(node(1), alloc_id(1), &objects::alloc(uid(1), 0, 0));
    let mut behind = store.world().clone();
    store.delete(Key::Alloc(node(1), alloc_id(1)));
    store.delete(Key::Job(job_id("web")));
    store.register(&objects::job("web", uid(2), 0));
    let changes = store.list_into(&mut behind);
    assert!(
        changes.iter().any(|c| matches!(c, Change::Alloc { old: Some(_), new: None, .. })),
        "{changes:?}"
    );
    let purged = changes.iter().any(|c| {
        matches!(c, Change::Job { old: Some(old), new: Some(new), .. }
            if old.uid == Some(uid(1)) && new.uid == Some(uid(2)))
    });
    assert!(purged, "one change shows that the name belongs to another registration: {changes:?}");
    assert_eq!(behind.revision(), store.revision());
}

#[test]
fn a_list_that_shows_nothing_new_tells_nothing() {
    let mut store = TestWorld::new();
    store.join(&objects::node_info(node(1)));
    let mut world = store.world().clone();
    let before = world.table_index(Table::Nodes);
    assert!(store.list_into(&mut world).is_empty());
    assert_eq!(world.table_index(Table::Nodes), before);
}

#[test]
fn a_table_counts_from_the_first_list_and_then_by_its_own_changes() {
    let mut store = TestWorld::new();
    store.join(&objects::node_info(node(1)));
    let mut world = store.listed();
    let listed = store.revision();
    for table in [Table::Jobs, Table::Evals, Table::Allocs, Table::Nodes] {
        assert_eq!((world.table_index(table), world.table_changed(table)), (listed, false));
    }
    store.delete(Key::NodeState(node(1)));
    store.list_into(&mut world);
    assert_eq!(world.table_index(Table::Nodes), store.revision(), "a delete is a change");
    assert_eq!(world.table_index(Table::Jobs), listed);
}

#[test]
fn several_writes_of_one_revision_make_one_change_a_thing() {
    let mut store = TestWorld::new();
    let record = objects::alloc(uid(1), 0, 0);
    let mut unit = Unit::new();
    unit.put(Key::NodeInfo(node(1)), &objects::node_info(node(1)));
    unit.put(Key::NodeLease(node(1)), &objects::lease());
    unit.put(Key::Alloc(node(1), alloc_id(1)), &record);
    unit.put(
        Key::AllocStatus(node(1), alloc_id(1)),
        &objects::status("web", &record, encamp_model::records::ClientStatus::Running, Timestamp::default()),
    );
    let changes = store.write(&unit.writes);
    let [Change::Node { old: None, .. }, Change::Alloc { old: None, new: Some(new), .. }] = &changes[..]
    else {
        panic!("{changes:?}")
    };
    assert!(new.status.is_some());
}

#[test]
fn the_epoch_is_the_leader_keys_revision_while_it_is_ours() {
    let mut store = TestWorld::new();
    let (us, them) = (InstanceId::from_bits(1), InstanceId::from_bits(2));
    let key = Key::Leader(Name::from("planner"));
    let record = |instance| LeaderRecord { instance, address: String::new() };
    store.put(key.clone(), &record(us));
    let first = store.world().epoch("planner", us);
    assert_eq!(first, Some(store.revision()));
    store.put(key.clone(), &record(us));
    assert!(store.world().epoch("planner", us) > first, "anything but success is a new epoch");
    store.put(key, &record(them));
    assert_eq!(store.world().epoch("planner", us), None);
}

#[test]
fn only_gate_and_intent_together_let_placements_in() {
    use encamp_model::records::NodeIntents;
    for (gate, eligible, intent, wanted) in [
        (Gate::Ready, true, None, true),
        (Gate::Ready, true, Some(true), true),
        (Gate::Ready, true, Some(false), false),
        (Gate::Ready, false, Some(true), false),
        (Gate::Disconnected, true, None, false),
        (Gate::Down, true, None, false),
    ] {
        let mut store = TestWorld::new();
        store.join(&objects::node_info(node(1)));
        let mut state = objects::gate(gate);
        state.eligible = eligible;
        store.put(Key::NodeState(node(1)), &state);
        if let Some(eligible) = intent {
            store.put(Key::NodeIntents(node(1)), &NodeIntents { generation: 1, eligible });
        }
        let takes = store.world().node(node(1)).map(|n| n.takes_placements());
        assert_eq!(takes, Some(wanted), "{gate:?} {eligible} {intent:?}");
    }
}
