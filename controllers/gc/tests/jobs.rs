//! Dead jobs and stale wants.

use encamp_model::{
    Job, Key,
    job::JobType,
    records::{AllocRecord, ClientStatus, Desired, EvalStatus, Gate, StopReason},
};
use encamp_world::{
    control::{Controller, Queue},
    testing::{TestWorld, objects},
};

use super::{
    HOUR, alloc_id, at, check, cluster, eval_id, goes, goes_at, loses_against, node, says, stays, uid, web,
};
use crate::{Garbage, Gc};

fn key() -> Garbage {
    Garbage::Job(web())
}

fn stopped() -> Job {
    let mut job = objects::job("web", uid(1), 1);
    job.stop = true;
    job.submit_time = Some(at(50).0);
    job
}

fn batch(count: i64) -> Job {
    let mut job = objects::job("web", uid(1), 0);
    job.kind = JobType::Batch;
    job.task_groups[0].count = Some(count);
    job
}

/// A batch job of two instances that ended like this, at seconds 100 and 200.
fn ended(first: ClientStatus, second: ClientStatus) -> TestWorld {
    let mut store = cluster();
    store.register(&batch(2));
    for (n, status) in [(1, first), (2, second)] {
        let record = instance(n);
        store.place(node(1), alloc_id(n), &record);
        says(&mut store, n, &record, status, i64::try_from(n * 100).expect("small"));
    }
    store
}

fn instance(n: u128) -> AllocRecord {
    objects::alloc(uid(1), 0, u32::try_from(n).expect("small") - 1)
}

#[test]
fn a_node_that_goes_down_makes_the_jobs_dirty_that_stopped_on_it() {
    let mut store = cluster();
    let stopped = AllocRecord {
        desired: Desired::Stop,
        reason: Some(StopReason::JobStopped),
        ..objects::alloc(uid(1), 0, 0)
    };
    store.place(node(1), alloc_id(1), &stopped);
    let changes = store.put(Key::NodeState(node(1)), &objects::gate(Gate::Down));
    let mut queue = Queue::default();
    changes.iter().for_each(|change| Gc::default().dirty(change, store.world(), &mut queue));
    let dirty: Vec<Garbage> = std::iter::from_fn(|| queue.pop()).collect();
    assert!(dirty.contains(&Garbage::Job(web())), "{dirty:?}");
}

#[test]
fn a_stopped_job_goes_four_hours_after_its_last_end_with_its_wants() {
    let mut store = cluster();
    store.register(&stopped());
    check(&store, &goes_at(&store, &key(), 50 + 4 * HOUR), &[Key::Job(web())], &[Key::JobState(web())]);
    let record = AllocRecord { desired: Desired::Stop, ..instance(1) };
    store.place(node(1), alloc_id(1), &record);
    stays(&store, &key());
    says(&mut store, 1, &record, ClientStatus::Complete, 300);
    store.put(Key::JobState(web()), &objects::job_state(uid(1), eval_id(1)));
    let unit = goes_at(&store, &key(), 300 + 4 * HOUR);
    check(&store, &unit, &[Key::Job(web()), Key::JobState(web())], &[]);
    loses_against(
        &store,
        &unit,
        &[&|s| s.register(&objects::job("web", uid(1), 2)), &|s| {
            drop(s.put(Key::JobState(web()), &objects::job_state(uid(1), eval_id(2))))
        }],
    );
}

#[test]
fn a_service_that_was_not_stopped_stays_whatever_became_of_it() {
    for status in [ClientStatus::Failed, ClientStatus::Complete] {
        let mut store = cluster();
        store.place(node(1), alloc_id(1), &instance(1));
        says(&mut store, 1, &instance(1), status, 100);
        stays(&store, &key());
    }
}

#[test]
fn a_batch_job_goes_once_all_its_work_has_ended_and_before_its_allocations() {
    let store = ended(ClientStatus::Complete, ClientStatus::Complete);
    let unit = goes_at(&store, &key(), 200 + 4 * HOUR);
    check(&store, &unit, &[Key::Job(web())], &[Key::JobState(web())]);
    let alloc = Garbage::Alloc(node(1), alloc_id(1));
    stays(&store, &alloc);
    let mut purged = store;
    assert!(purged.apply(&unit).is_ok());
    goes(&purged, &alloc, 200 + 4 * HOUR);
}

#[test]
fn a_forced_evaluation_of_a_failed_batch_instance_comes_first() {
    let store = ended(ClientStatus::Complete, ClientStatus::Failed);
    let unit = goes_at(&store, &key(), 200 + 4 * HOUR);
    let failed = Key::Alloc(node(1), alloc_id(2));
    check(&store, &unit, &[Key::Job(web())], &[Key::JobState(web()), failed.clone()]);
    let replaced = AllocRecord { desired: Desired::Stop, next: Some(alloc_id(3)), ..instance(2) };
    loses_against(&store, &unit, &[&|s| drop(s.put(failed.clone(), &replaced))]);
}

#[test]
fn a_batch_job_with_anything_left_to_do_stays() {
    for status in [ClientStatus::Pending, ClientStatus::Running, ClientStatus::Refused] {
        stays(&ended(ClientStatus::Complete, status), &key());
    }
    let mut store = ended(ClientStatus::Complete, ClientStatus::Complete);
    store.register(&batch(3));
    stays(&store, &key());
    let mut store = ended(ClientStatus::Complete, ClientStatus::Complete);
    store.put(Key::JobState(web()), &objects::job_state(uid(1), eval_id(1)));
    stays(&store, &key());
    let mut store = ended(ClientStatus::Complete, ClientStatus::Complete);
    let mut changed = batch(2);
    changed.version = 1;
    changed.meta.insert("a".into(), "b".into());
    store.register(&changed);
    stays(&store, &key());
    let mut store = cluster();
    store.register(&batch(1));
    stays(&store, &key());
    let mut store = ended(ClientStatus::Complete, ClientStatus::Complete);
    store.place(node(1), alloc_id(2), &instance(1));
    stays(&store, &key());
}

#[test]
fn a_pending_evaluation_and_an_unreadable_allocation_keep_a_dead_job() {
    let mut store = cluster();
    store.register(&stopped());
    store.put(Key::Eval(eval_id(1)), &objects::eval("web", uid(1), EvalStatus::Pending, at(60)));
    stays(&store, &key());
    store.put(Key::Eval(eval_id(1)), &objects::eval("web", uid(1), EvalStatus::Complete, at(60)));
    goes_at(&store, &key(), 50 + 4 * HOUR);
    store.put_raw(Key::Alloc(node(1), alloc_id(9)), b"garbage".as_slice());
    stays(&store, &key());
    store.delete(Key::Alloc(node(1), alloc_id(9)));
    store.place(node(1), alloc_id(9), &instance(1));
    store.put_raw(Key::Alloc(node(1), alloc_id(9)), b"garbage".as_slice());
    stays(&store, &key());
}

#[test]
fn what_was_stopped_on_a_node_that_is_down_has_ended() {
    let mut store = cluster();
    store.register(&stopped());
    store.place(node(1), alloc_id(1), &AllocRecord { desired: Desired::Stop, ..instance(1) });
    stays(&store, &key());
    let mut down = objects::gate(Gate::Down);
    down.since = at(500);
    store.put(Key::NodeState(node(1)), &down);
    goes_at(&store, &key(), 500 + 4 * HOUR);
}

#[test]
fn too_many_failed_instances_to_compare_keep_a_batch_job_until_it_is_stopped() {
    let mut store = cluster();
    store.register(&batch(200));
    for n in 1..=200 {
        store.place(node(1), alloc_id(n), &instance(n));
        says(&mut store, n, &instance(n), ClientStatus::Failed, 100);
    }
    stays(&store, &key());
    let mut job = batch(200);
    (job.version, job.stop) = (1, true);
    store.register(&job);
    goes_at(&store, &key(), 100 + 4 * HOUR);
}

#[test]
fn wants_of_another_registration_go_at_once_and_the_job_stays() {
    let mut store = cluster();
    store.put(Key::JobState(web()), &objects::job_state(uid(9), eval_id(1)));
    let unit = goes(&store, &key(), 0);
    check(&store, &unit, &[Key::JobState(web())], &[Key::Job(web())]);
    store.delete(Key::Job(web()));
    let unit = goes(&store, &key(), 0);
    check(&store, &unit, &[Key::JobState(web())], &[Key::Job(web())]);
    loses_against(&store, &unit, &[&|s| s.register(&objects::job("web", uid(9), 0))]);
}

#[test]
fn wants_of_a_job_that_cannot_be_read_stay_and_unreadable_ones_of_no_job_go() {
    let mut store = cluster();
    store.put(Key::JobState(web()), &objects::job_state(uid(9), eval_id(1)));
    store.put_raw(Key::Job(web()), b"garbage".as_slice());
    stays(&store, &key());
    let mut store = TestWorld::new();
    store.put_raw(Key::JobState(web()), b"garbage".as_slice());
    goes(&store, &key(), 0);
    store.register(&objects::job("web", uid(1), 0));
    stays(&store, &key());
}
