//! Registrations, orphans, names.

use encamp_model::{
    Key, Timestamp,
    records::{ClientStatus, EvalStatus},
};

use super::{alloc_id, assert_same, eval_id, job_id, node, uid};
use crate::testing::{TestWorld, objects};

fn running(record: &encamp_model::records::AllocRecord) -> encamp_model::records::AllocStatus {
    objects::status("web", record, ClientStatus::Running, Timestamp::default())
}

#[test]
fn a_status_may_come_before_its_record_and_stay_after_it() {
    let mut store = TestWorld::new();
    let record = objects::alloc(uid(1), 0, 0);
    let (key, said) = (Key::Alloc(node(1), alloc_id(1)), Key::AllocStatus(node(1), alloc_id(1)));
    store.put(said.clone(), &running(&record));
    let orphans = |store: &TestWorld| store.world().node(node(1)).map_or(0, |n| n.orphans.len());
    assert_eq!(orphans(&store), 1);
    let since = store.world().mod_revision(&said);
    store.put(key.clone(), &record);
    assert_eq!(orphans(&store), 0);
    assert_eq!(store.world().alloc(alloc_id(1)).map(|a| a.said()), Some(ClientStatus::Running));
    store.delete(key);
    assert_eq!(orphans(&store), 1);
    assert_eq!(store.world().mod_revision(&said), since, "gc can compare it");
    store.delete(said);
    assert!(store.world().node(node(1)).is_none(), "nothing is left under its id");
}

#[test]
fn a_purged_name_keeps_its_registrations_until_their_versions_are_gone() {
    let mut store = TestWorld::new();
    store.register(&objects::job("web", uid(1), 0));
    store.place(node(1), alloc_id(1), &objects::alloc(uid(1), 0, 0));
    store.delete(Key::Job(job_id("web")));
    store.register(&objects::job("web", uid(2), 0));
    let entry = store.world().job(&job_id("web")).expect("it was registered anew");
    assert_eq!(entry.uids.iter().copied().collect::<Vec<_>>(), {
        let mut both = vec![uid(1), uid(2)];
        both.sort();
        both
    });
    let old = store.world().registration(uid(1)).expect("its allocation still runs");
    assert_eq!(old.job, Some(job_id("web")));
    store.delete(Key::Alloc(node(1), alloc_id(1)));
    store.delete(Key::JobVersion(uid(1), 0));
    assert!(store.world().registration(uid(1)).is_none());
    assert_eq!(store.world().job(&job_id("web")).map(|e| e.uids.len()), Some(1));
    assert_same(store.world(), &store.listed());
}

#[test]
fn versions_tell_what_a_change_means_and_sources_hold_no_text() {
    let mut store = TestWorld::new();
    let mut job = objects::job("web", uid(1), 0);
    store.register(&job);
    store.put_raw(Key::JobSource(uid(1), 0), b"job \"web\" {}".as_slice());
    job.version = 1;
    job.task_groups[0].count = Some(5);
    store.register(&job);
    let registration = store.world().registration(uid(1)).expect("it is registered");
    assert_eq!(registration.digest(0, "web"), registration.digest(1, "web"), "the count is in no digest");
    assert_ne!(registration.versions[&0].digest, registration.versions[&1].digest);
    assert_eq!(registration.sources.len(), 1);
    assert_eq!(registration.digest(2, "web"), None);
}

#[test]
fn a_job_id_with_a_slash_is_found_by_every_path() {
    let mut store = TestWorld::new();
    store.register(&objects::job("team/web", uid(1), 0));
    store.put(
        Key::Eval(eval_id(1)),
        &objects::eval("team/web", uid(1), EvalStatus::Pending, Timestamp::default()),
    );
    store.put(Key::JobState(job_id("team/web")), &objects::job_state(uid(1), eval_id(2)));
    let entry = store.world().job(&job_id("team/web")).expect("it is registered");
    assert_eq!((entry.pending.len(), entry.uids.len()), (1, 1));
    assert!(entry.state_of(uid(1)).is_some() && entry.state_of(uid(2)).is_none());
    assert_eq!(store.world().waiting().collect::<Vec<_>>(), [&job_id("team/web")]);
    assert_same(store.world(), &store.listed());
}

#[test]
fn an_answered_evaluation_is_no_longer_pending_and_a_deleted_one_leaves_no_job_behind() {
    let mut store = TestWorld::new();
    for status in [EvalStatus::Pending, EvalStatus::Complete] {
        store.put(Key::Eval(eval_id(1)), &objects::eval("web", uid(1), status, Timestamp::default()));
        let entry = store.world().job(&job_id("web")).expect("an evaluation names it");
        assert_eq!(entry.pending.len(), usize::from(status == EvalStatus::Pending));
        assert_eq!(entry.evals.len(), 1);
    }
    store.delete(Key::Eval(eval_id(1)));
    assert!(store.world().job(&job_id("web")).is_none());
}

#[test]
fn an_allocation_id_on_two_nodes_is_kept_apart() {
    let mut store = TestWorld::new();
    store.place(node(1), alloc_id(1), &objects::alloc(uid(1), 0, 0));
    store.place(node(2), alloc_id(1), &objects::alloc(uid(1), 0, 1));
    store.delete(Key::Alloc(node(1), alloc_id(1)));
    assert_eq!(store.world().alloc(alloc_id(1)).map(|a| a.node), Some(node(2)));
    let registration = store.world().registration(uid(1)).expect("one is left");
    assert_eq!((registration.allocs.len(), registration.counts["web"].pending), (1, 1));
}
