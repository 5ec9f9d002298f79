//! The runtime on a store in memory, in virtual time: a small controller, and everything that can go wrong beneath it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use encamp_etcd::RangeRequest;
use encamp_model::{
    ClusterUid, EvalId, Job, JobId, JobUid, Key, Keyspace, Name, Timestamp, Unit,
    records::{ClusterRecord, JobState, LAYOUT},
};
use encamp_store::{
    MemoryStore, Op, Range, Store, Txn,
    memory::{Fault, Gate},
};
use encamp_world::{
    Change, World,
    control::{Controller, Cx, Outcome, Queue},
};
use tokio_util::sync::CancellationToken;

use crate::{Clock, CommitError, Options, Process, run_controller};

/// Writes a state for every job: a loop as small as can be.
struct Stamp;

impl Controller for Stamp {
    type Key = JobId;
    const NAME: &'static str = "stamp";

    fn dirty(&self, change: &Change, _: &World, queue: &mut Queue<JobId>) {
        if let Change::Job { id, .. } = change {
            queue.add(id.clone());
        }
    }

    fn all(&self, world: &World, queue: &mut Queue<JobId>) {
        for (id, _) in world.jobs() {
            queue.add(id.clone());
        }
    }

    fn reconcile(&mut self, key: &JobId, world: &World, cx: &mut Cx) -> Outcome {
        let Some((job, entry)) = world.job(key).and_then(|e| Some((e.job.clone()?, e))) else {
            return Outcome::nothing();
        };
        if entry.state.is_some() {
            return Outcome::nothing();
        }
        let mut unit = Unit::new();
        unit.unchanged(Key::Job(key.clone()), job.modified);
        let state = JobState {
            uid: job.uid.unwrap_or(JobUid::MIN),
            wants: Default::default(),
            next: cx.eval_id(),
            batches: Default::default(),
        };
        unit.put(Key::JobState(key.clone()), &state);
        Outcome { units: vec![unit], ..Outcome::default() }
    }
}

fn keys() -> Keyspace {
    Keyspace::new("/encamp/")
}

fn job(n: usize) -> (JobId, Vec<u8>) {
    let id = JobId::new("default", format!("job-{n:03}"));
    let job: Job =
        serde_json::from_value(serde_json::json!({"ID": &*id.name, "UID": JobUid::from_bits(n as u128)}))
            .unwrap();
    (id, serde_json::to_vec(&job).unwrap())
}

async fn put_jobs(store: &MemoryStore, numbers: std::ops::Range<usize>) {
    for n in numbers {
        let (id, value) = job(n);
        store.txn(Txn::new().then(Op::put(keys().encode(&Key::Job(id)), value))).await.unwrap();
    }
}

/// A process on a client of its own, with the stamp loop.
async fn process(store: &MemoryStore, name: &str) -> (Process, CancellationToken) {
    let (process, shutdown) = bare(store, name).await;
    // The loop runs on when its stream is dropped.
    drop(run_controller(Stamp, &process, shutdown.clone()));
    (process, shutdown)
}

/// A process without loops.
async fn bare(store: &MemoryStore, name: &str) -> (Process, CancellationToken) {
    let shutdown = CancellationToken::new();
    let clock = Clock::virtual_from(Timestamp::from_secs(1_000_000));
    let options = Options { address: name.into(), clock, ..Options::default() };
    let store = Arc::new(store.client(name));
    let process = Process::start(store, keys(), options, shutdown.clone()).await.unwrap();
    (process, shutdown)
}

/// How many jobs have a state, how many of these were written more than once.
fn stamped(store: &MemoryStore) -> (usize, usize) {
    store.inspect(|core| {
        let listing = core.range(&RangeRequest::now(Range::prefix("/encamp/job-states/"))).unwrap();
        let kvs = listing.kvs;
        (kvs.len(), kvs.iter().filter(|kv| kv.version > 1).count())
    })
}

async fn until(what: &str, mut ready: impl FnMut() -> Result<(), String>) {
    for _ in 0..100_000 {
        match ready() {
            Ok(()) => return,
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
    panic!("{what}: {}", ready().unwrap_err());
}

async fn until_stamped(store: &MemoryStore, count: usize) {
    until("every job is stamped once", || match stamped(store) {
        (n, 0) if n == count => Ok(()),
        state => Err(format!("(stamped, more than once) = {state:?}, wanted {count}")),
    })
    .await;
}

/// Calls the hook for the loop's own writes only, counting from 1.
fn on_stamps(store: &MemoryStore, mut fault: impl FnMut(usize) -> Fault + Send + 'static) {
    let mut count = 0;
    store.on_txn(move |call| {
        let stamps = call
            .txn
            .success
            .iter()
            .any(|op| matches!(op, Op::Put { key, .. } if key.starts_with(b"/encamp/job-states/")));
        if !stamps {
            return Fault::Pass;
        }
        count += 1;
        fault(count)
    });
}

#[tokio::test(start_paused = true)]
async fn jobs_that_were_there_and_jobs_that_come_are_both_seen() {
    let store = MemoryStore::new();
    put_jobs(&store, 0..3).await;
    let _running = process(&store, "a").await;
    put_jobs(&store, 3..6).await;
    until_stamped(&store, 6).await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_unit_in_mid_pipeline_ends_the_epoch_and_all_is_written_once() {
    let store = MemoryStore::new();
    let _running = process(&store, "a").await;
    on_stamps(&store, |n| if n == 3 { Fault::Unavailable } else { Fault::Delay(Duration::from_millis(5)) });
    put_jobs(&store, 0..40).await;
    until_stamped(&store, 40).await;
}

#[tokio::test(start_paused = true)]
async fn a_timed_out_transaction_can_not_land_after_the_re_plan() {
    let store = MemoryStore::new();
    let (process, _shutdown) = process(&store, "a").await;
    let late = Gate::new();
    let held = late.clone();
    on_stamps(&store, move |n| if n == 1 { Fault::TimeoutThenApply(held.clone()) } else { Fault::Pass });
    let epoch = process.world().epoch("stamp", process.instance());
    put_jobs(&store, 0..5).await;
    until_stamped(&store, 5).await;
    let before = store.revision();
    late.open();
    let after = process.fresh().await.unwrap();
    assert_ne!(after.epoch("stamp", process.instance()), epoch, "a new epoch began");
    assert_eq!(store.revision(), before, "the late one wrote nothing");
    until_stamped(&store, 5).await;
}

#[tokio::test(start_paused = true)]
async fn out_of_space_said_of_an_applied_transaction_doubles_nothing() {
    let store = MemoryStore::new();
    let _running = process(&store, "a").await;
    on_stamps(&store, |n| if n == 1 { Fault::NoSpaceAfterApply } else { Fault::Pass });
    put_jobs(&store, 0..5).await;
    until_stamped(&store, 5).await;
}

#[tokio::test(start_paused = true)]
async fn a_follower_takes_over_when_the_leader_is_cut_off_and_a_late_write_of_the_old_one_is_void() {
    let store = MemoryStore::new();
    let (first, _first_shutdown) = process(&store, "a").await;
    until("a leads", || first.world().epoch("stamp", first.instance()).map(drop).ok_or("nobody".into()))
        .await;
    let (second, _second_shutdown) = process(&store, "b").await;
    let late = Gate::new();
    let held = late.clone();
    on_stamps(&store, move |n| if n <= 4 { Fault::TimeoutThenApply(held.clone()) } else { Fault::Pass });
    put_jobs(&store, 0..10).await;
    store.client("a").cut();
    until("b leads", || second.world().epoch("stamp", second.instance()).map(drop).ok_or("a still".into()))
        .await;
    until_stamped(&store, 10).await;
    let before = store.revision();
    late.open();
    second.fresh().await.unwrap();
    assert_eq!(store.revision(), before);
    until_stamped(&store, 10).await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_frees_the_leadership_at_once() {
    let store = MemoryStore::new();
    let (first, shutdown) = process(&store, "a").await;
    until("a leads", || first.world().epoch("stamp", first.instance()).map(drop).ok_or("nobody".into()))
        .await;
    let (second, _second_shutdown) = process(&store, "b").await;
    let begun = second.now();
    shutdown.cancel();
    until("b leads", || second.world().epoch("stamp", second.instance()).map(drop).ok_or("a still".into()))
        .await;
    assert!(second.now().since(begun) < Duration::from_secs(4), "without waiting for the lease to run out");
}

#[tokio::test(start_paused = true)]
async fn a_compaction_during_a_disconnect_loses_no_delete() {
    let store = MemoryStore::new();
    put_jobs(&store, 0..3).await;
    let (process, _shutdown) = process(&store, "a").await;
    until_stamped(&store, 3).await;
    let client = store.client("a");
    client.cut();
    let gone = keys().encode(&Key::Job(job(1).0));
    store.txn(Txn::new().then(Op::Delete { range: Range::key(gone) })).await.unwrap();
    put_jobs(&store, 3..4).await;
    store.compact(store.revision()).await.unwrap();
    client.heal();
    until("the World is etcd again", || {
        let world = process.world();
        let seen = |n: usize| world.job(&job(n).0).is_some_and(|entry| entry.job.is_some());
        let seen = [seen(0), seen(1), seen(2), seen(3)];
        if seen == [true, false, true, true] { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_fence_shows_writes_outside_the_prefix_no_patience() {
    let store = MemoryStore::new();
    let (process, _shutdown) = process(&store, "a").await;
    put_jobs(&store, 0..1).await;
    store.txn(Txn::new().then(Op::put("/other/thing", "x"))).await.unwrap();
    let world = process.fresh().await.unwrap();
    assert!(world.job(&job(0).0).is_some());
    assert!(world.revision() >= store.revision() - 2, "an event of our own came past the foreign write");
}

#[tokio::test(start_paused = true)]
async fn waiting_fences_share_the_next_one_and_never_one_already_sent() {
    let store = MemoryStore::new();
    let (process, _shutdown) = process(&store, "a").await;
    let calls = Arc::new(Mutex::new(0));
    let all: Vec<_> = (0..50)
        .map(|_| {
            let (process, calls) = (process.clone(), calls.clone());
            async move {
                process.fresh().await.unwrap();
                *calls.lock().unwrap() += 1;
            }
        })
        .collect();
    let before = store.revision();
    futures::future::join_all(all).await;
    assert_eq!(*calls.lock().unwrap(), 50);
    assert!(store.revision() - before <= 2, "{} writes for 50 fences", store.revision() - before);
}

#[tokio::test(start_paused = true)]
async fn an_api_unit_is_applied_once_however_ambiguous_the_answers() {
    let store = MemoryStore::new();
    let (process, _shutdown) = process(&store, "api").await;
    for (n, fault) in
        [Fault::ApplyThenTimeout, Fault::UnavailableAfterApply, Fault::Unavailable, Fault::NoSpaceAfterApply]
            .into_iter()
            .enumerate()
    {
        let mut faults = vec![fault.clone()];
        on_evals(&store, move || faults.pop().unwrap_or_default());
        let (id, value) = job(n);
        let mut unit = Unit::new();
        unit.unchanged(Key::Job(id.clone()), 0);
        unit.put(Key::Job(id.clone()), &serde_json::from_slice::<serde_json::Value>(&value).unwrap());
        unit.put(Key::Eval(EvalId::from_bits(n as u128)), &serde_json::json!({}));
        let revision = process
            .commit(&unit, EvalId::from_bits(n as u128))
            .await
            .unwrap_or_else(|e| panic!("{fault:?}: {e}"));
        let stored = process.world().job(&id).and_then(|e| e.job.clone()).unwrap();
        assert_eq!((stored.created, stored.modified), (revision, revision), "{fault:?}: once");
        let again = process.commit(&unit, EvalId::from_bits(100 + n as u128)).await;
        assert!(matches!(again, Err(CommitError::Conflict)), "{fault:?}: the job is there now: {again:?}");
    }
}

fn on_evals(store: &MemoryStore, mut fault: impl FnMut() -> Fault + Send + 'static) {
    store.on_txn(move |call| {
        let evals = call
            .txn
            .success
            .iter()
            .any(|op| matches!(op, Op::Put { key, .. } if key.starts_with(b"/encamp/evals/")));
        if evals { fault() } else { Fault::Pass }
    });
}

#[tokio::test(start_paused = true)]
async fn out_of_space_is_told_and_nothing_is_written() {
    let store = MemoryStore::new();
    let (process, _shutdown) = process(&store, "api").await;
    store.set_no_space(true);
    let mut unit = Unit::new();
    unit.put(Key::Eval(EvalId::from_bits(1)), &serde_json::json!({}));
    let refused = process.commit(&unit, EvalId::from_bits(1)).await;
    assert!(matches!(refused, Err(CommitError::NoSpace(_))), "{refused:?}");
    store.set_no_space(false);
    process.commit(&unit, EvalId::from_bits(1)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn loops_stop_writing_when_the_cluster_key_changes() {
    let store = MemoryStore::new();
    let (process, _shutdown) = process(&store, "a").await;
    put_jobs(&store, 0..1).await;
    until_stamped(&store, 1).await;
    let key = keys().encode(&Key::Cluster);
    let other = ClusterRecord { uid: ClusterUid::from_bits(99), layout: LAYOUT, region: "global".into() };
    store.txn(Txn::new().then(Op::put(key, serde_json::to_vec(&other).unwrap()))).await.unwrap();
    until("health names it", || process.health().foreign.map(drop).ok_or("healthy".into())).await;
    put_jobs(&store, 1..3).await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(stamped(&store), (1, 0), "nothing was written for the other installation");
}

#[tokio::test(start_paused = true)]
async fn a_process_waits_for_etcd_and_refuses_a_newer_layout() {
    let store = MemoryStore::new();
    let newer = ClusterRecord { uid: ClusterUid::from_bits(1), layout: LAYOUT + 1, region: "global".into() };
    let key = keys().encode(&Key::Cluster);
    store.txn(Txn::new().then(Op::put(key, serde_json::to_vec(&newer).unwrap()))).await.unwrap();
    let client = store.client("late");
    client.cut();
    let starting =
        Process::start(Arc::new(client.clone()), keys(), Options::default(), CancellationToken::new());
    let heal = async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        client.heal();
    };
    let (started, ()) = tokio::join!(starting, heal);
    let error = started.err().map(|e| e.to_string()).unwrap_or_default();
    assert!(error.contains("layout 2 is newer"), "{error}");
}

#[test]
fn the_name_of_a_loop_is_a_key_segment() {
    let key = keys().encode(&Key::Leader(Name::from(Stamp::NAME)));
    assert_eq!(key, "/encamp/leaders/stamp");
}

/// Two units a job in one run: the first writes a version, the second compares that it is not there.
struct Cross;

impl Controller for Cross {
    type Key = JobId;
    const NAME: &'static str = "cross";

    fn dirty(&self, change: &Change, _: &World, queue: &mut Queue<JobId>) {
        if let Change::Job { id, .. } = change {
            queue.add(id.clone());
        }
    }

    fn all(&self, world: &World, queue: &mut Queue<JobId>) {
        world.jobs().for_each(|(id, _)| queue.add(id.clone()));
    }

    fn reconcile(&mut self, key: &JobId, world: &World, cx: &mut Cx) -> Outcome {
        let Some(entry) = world.job(key) else { return Outcome::nothing() };
        let Some(uid) = entry.job.as_ref().and_then(|job| job.uid) else { return Outcome::nothing() };
        let written = Key::JobSource(uid, 0);
        let mut units = Vec::new();
        if world.mod_revision(&written) == 0 {
            let mut first = Unit::new();
            first.put(written.clone(), &"x");
            units.push(first);
        }
        if entry.state.is_none() {
            let mut second = Unit::new();
            second.unchanged(written.clone(), world.mod_revision(&written));
            let state =
                JobState { uid, wants: Default::default(), next: cx.eval_id(), batches: Default::default() };
            second.put(Key::JobState(key.clone()), &state);
            units.push(second);
        }
        Outcome { units, ..Outcome::default() }
    }
}

#[tokio::test(start_paused = true)]
async fn two_units_of_which_one_writes_what_the_other_compares_never_share_a_transaction() {
    let store = MemoryStore::new();
    put_jobs(&store, 0..8).await;
    let (process, shutdown) = bare(&store, "a").await;
    drop(run_controller(Cross, &process, shutdown.clone()));
    until_stamped(&store, 8).await;
    for record in store.log().iter().filter(|record| record.answer.as_ref().is_some_and(|a| a.succeeded)) {
        let puts = |key: &[u8]| {
            record.txn.success.iter().any(|op| matches!(op, Op::Put { key: k, .. } if &k[..] == key))
        };
        let own = |key: &[u8]| key.starts_with(b"/encamp/job-");
        let crossed = record.txn.compares.iter().any(|compare| own(&compare.key) && puts(&compare.key));
        assert!(!crossed, "a transaction writes what it compares: {record:?}");
    }
    let world = process.fresh().await.unwrap();
    let conflicts = store.log().iter().filter(|r| r.answer.as_ref().is_some_and(|a| !a.succeeded)).count();
    assert!(conflicts > 0, "the second unit lost against the first and was decided anew");
    assert!((0..8).all(|n| world.job(&job(n).0).is_some_and(|entry| entry.state.is_some())));
}

#[tokio::test(start_paused = true)]
async fn a_leader_key_that_somebody_put_by_hand_is_taken_over() {
    let store = MemoryStore::new();
    let (process, _shutdown) = process(&store, "a").await;
    put_jobs(&store, 0..1).await;
    until_stamped(&store, 1).await;
    let other = serde_json::json!({ "instance": encamp_model::InstanceId::from_bits(9) }).to_string();
    for (n, value) in ["{garbage", &other].into_iter().enumerate() {
        store.txn(Txn::new().then(Op::put("/encamp/leaders/stamp", value.to_owned()))).await.unwrap();
        put_jobs(&store, n + 1..n + 2).await;
        until_stamped(&store, n + 2).await;
        assert!(process.fresh().await.unwrap().epoch("stamp", process.instance()).is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn out_of_space_and_foreign_writes_do_not_stop_linearizable_reads() {
    let store = MemoryStore::new();
    let (process, _shutdown) = process(&store, "api").await;
    put_jobs(&store, 0..1).await;
    store.txn(Txn::new().then(Op::put("/other/thing", "x"))).await.unwrap();
    store.set_no_space(true);
    let world = process.fresh().await.unwrap();
    assert!(world.job(&job(0).0).is_some());
    assert!(world.revision() >= store.revision(), "the list was taken at or past the fence");
}
