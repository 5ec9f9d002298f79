//! Answered evaluations.

use encamp_model::{Key, records::EvalStatus};
use encamp_world::testing::{TestWorld, objects};

use super::{HOUR, alloc_id, at, check, cluster, eval_id, goes_at, loses_against, node, stays, uid, web};
use crate::Garbage;

fn key() -> Garbage {
    Garbage::Eval(eval_id(5))
}

fn with(status: EvalStatus) -> TestWorld {
    let mut store = cluster();
    store.put(Key::Eval(eval_id(5)), &objects::eval("web", uid(1), status, at(100)));
    store
}

#[test]
fn an_answered_one_goes_an_hour_after_its_answer() {
    for status in [EvalStatus::Complete, EvalStatus::Failed, EvalStatus::Canceled] {
        let store = with(status);
        let unit = goes_at(&store, &key(), 100 + HOUR);
        check(&store, &unit, &[Key::Eval(eval_id(5))], &[Key::JobState(web())]);
        let announces = objects::job_state(uid(1), eval_id(5));
        loses_against(&store, &unit, &[&|s| drop(s.put(Key::JobState(web()), &announces))]);
    }
}

#[test]
fn one_that_was_never_answered_counts_from_its_making() {
    let mut store = cluster();
    let mut eval = objects::eval("web", uid(1), EvalStatus::Canceled, at(100));
    eval.outcome = None;
    store.put(Key::Eval(eval_id(5)), &eval);
    goes_at(&store, &key(), 100 + HOUR);
}

#[test]
fn pending_announced_and_unreadable_ones_stay() {
    stays(&with(EvalStatus::Pending), &key());
    let mut store = with(EvalStatus::Complete);
    store.put(Key::JobState(web()), &objects::job_state(uid(1), eval_id(5)));
    stays(&store, &key());
    store.put_raw(Key::JobState(web()), b"garbage".as_slice());
    stays(&store, &key());
    store.delete(Key::JobState(web()));
    store.put_raw(Key::Eval(eval_id(5)), b"garbage".as_slice());
    stays(&store, &key());
}

#[test]
fn one_that_placed_what_is_still_there_stays_as_long_as_that() {
    let mut store = with(EvalStatus::Complete);
    let mut record = objects::alloc(uid(1), 0, 0);
    record.eval = eval_id(5);
    store.place(node(1), alloc_id(1), &record);
    let outcome = super::judge(&store, &key(), 100 * HOUR);
    assert!(outcome.units.is_empty() && outcome.again.is_none(), "{outcome:?}");
    store.delete(Key::Alloc(node(1), alloc_id(1)));
    goes_at(&store, &key(), 100 + HOUR);
}
