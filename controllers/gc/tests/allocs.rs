//! Ended allocations and orphaned statuses.

use encamp_model::{
    Key,
    records::{AllocRecord, ClientStatus, Desired, StopReason},
};
use encamp_world::testing::{TestWorld, objects};

use super::{HOUR, alloc_id, check, cluster, goes, goes_at, loses_against, node, says, stays, uid, web};
use crate::Garbage;

const KEYS: [fn() -> Key; 2] =
    [|| Key::Alloc(node(1), alloc_id(1)), || Key::AllocStatus(node(1), alloc_id(1))];

fn key() -> Garbage {
    Garbage::Alloc(node(1), alloc_id(1))
}

fn wanted() -> AllocRecord {
    objects::alloc(uid(1), 0, 0)
}

fn stopped() -> AllocRecord {
    AllocRecord { desired: Desired::Stop, reason: Some(StopReason::NotNeeded), ..wanted() }
}

fn with(record: &AllocRecord, status: ClientStatus) -> TestWorld {
    let mut store = cluster();
    store.place(node(1), alloc_id(1), record);
    says(&mut store, 1, record, status, 100);
    store
}

#[test]
fn a_stopped_allocation_goes_an_hour_after_its_end_with_its_status() {
    for status in [ClientStatus::Complete, ClientStatus::Failed, ClientStatus::Refused] {
        let store = with(&stopped(), status);
        let unit = goes_at(&store, &key(), 100 + HOUR);
        check(&store, &unit, &KEYS.map(|k| k()), &[]);
        loses_against(
            &store,
            &unit,
            &[&|s| drop(s.put(KEYS[0](), &stopped())), &|s| says(s, 1, &stopped(), status, 101), &|s| {
                drop(s.apply(&unit))
            }],
        );
    }
}

#[test]
fn a_stopped_allocation_that_may_still_run_stays() {
    let mut store = cluster();
    store.place(node(1), alloc_id(1), &stopped());
    stays(&store, &key());
    for status in [ClientStatus::Pending, ClientStatus::Running] {
        stays(&with(&stopped(), status), &key());
    }
    store.put_raw(KEYS[1](), b"garbage".as_slice());
    stays(&store, &key());
}

#[test]
fn one_that_has_a_successor_goes() {
    let record = AllocRecord { next: Some(alloc_id(2)), ..wanted() };
    let store = with(&record, ClientStatus::Failed);
    check(&store, &goes_at(&store, &key(), 100 + HOUR), &KEYS.map(|k| k()), &[]);
}

#[test]
fn one_that_holds_its_name_stays() {
    for status in [ClientStatus::Failed, ClientStatus::Complete, ClientStatus::Refused] {
        stays(&with(&wanted(), status), &key());
    }
    let mut store = with(&wanted(), ClientStatus::Complete);
    let mut stopped = objects::job("web", uid(1), 1);
    stopped.stop = true;
    store.register(&stopped);
    stays(&store, &key());
}

#[test]
fn one_whose_registration_was_purged_goes_and_rests_on_that() {
    let mut store = with(&wanted(), ClientStatus::Failed);
    store.delete(Key::Job(web()));
    let unit = goes_at(&store, &key(), 100 + HOUR);
    check(&store, &unit, &KEYS.map(|k| k()), &[Key::Job(web())]);
    store.register(&objects::job("web", uid(2), 0));
    assert!(store.clone().apply(&unit).is_err(), "who was looked at is not who is there");
    check(&store, &goes(&store, &key(), 100 + HOUR), &KEYS.map(|k| k()), &[Key::Job(web())]);
}

#[test]
fn an_unreadable_job_is_not_a_purged_one() {
    let mut store = with(&wanted(), ClientStatus::Failed);
    store.put_raw(Key::Job(web()), b"garbage".as_slice());
    stays(&store, &key());
}

#[test]
fn a_declaration_without_a_uid_is_not_another_registration() {
    let mut store = with(&wanted(), ClientStatus::Failed);
    let mut nameless = objects::job("web", uid(1), 0);
    nameless.uid = None;
    store.put(Key::Job(web()), &nameless);
    store.put(Key::JobState(web()), &objects::job_state(uid(1), super::eval_id(7)));
    stays(&store, &key());
    stays(&store, &Garbage::Job(web()));
    stays(&store, &Garbage::Registration(uid(1)));
}

#[test]
fn a_purged_registration_without_versions_is_found_by_what_the_node_says() {
    let mut store = with(&wanted(), ClientStatus::Complete);
    store.delete(Key::Job(web()));
    store.delete(Key::JobVersion(uid(1), 0));
    check(&store, &goes(&store, &key(), 100 + HOUR), &KEYS.map(|k| k()), &[Key::Job(web())]);
}

#[test]
fn one_whose_group_was_removed_goes_once_the_planner_said_so() {
    let mut store = with(&wanted(), ClientStatus::Complete);
    let mut job = objects::job("web", uid(1), 1);
    job.task_groups[0].name = "other".into();
    store.register(&job);
    stays(&store, &key());
    store.place(node(1), alloc_id(1), &stopped());
    check(&store, &goes_at(&store, &key(), 100 + HOUR), &KEYS.map(|k| k()), &[]);
}

#[test]
fn a_status_without_a_record_goes_at_once_also_if_it_cannot_be_read() {
    let mut store = with(&stopped(), ClientStatus::Running);
    store.delete(KEYS[0]());
    let unit = goes(&store, &key(), 0);
    check(&store, &unit, &[KEYS[1]()], &[KEYS[0]()]);
    loses_against(&store, &unit, &[&|s| s.place(node(1), alloc_id(1), &wanted())]);
    store.put_raw(KEYS[1](), b"garbage".as_slice());
    check(&store, &goes(&store, &key(), 0), &[KEYS[1]()], &[KEYS[0]()]);
}

#[test]
fn an_unreadable_record_stays_and_keeps_its_status() {
    let mut store = with(&stopped(), ClientStatus::Complete);
    store.put_raw(KEYS[0](), b"garbage".as_slice());
    stays(&store, &key());
}
