mod allocs;
mod evals;
mod jobs;
mod life;
mod nodes;
mod random;
mod versions;

use encamp_model::{
    AllocId, EvalId, Guard, JobId, JobUid, Key, NodeId, Timestamp, Unit,
    records::{AllocRecord, ClientStatus},
};
use encamp_world::{
    control::Outcome,
    testing::{TestWorld, objects},
};

use crate::{Config, Garbage, Gc};

const HOUR: i64 = 3600;

fn node(n: u128) -> NodeId {
    NodeId::from_bits(n)
}

fn alloc_id(n: u128) -> AllocId {
    AllocId::from_bits(n)
}

fn uid(n: u128) -> JobUid {
    JobUid::from_bits(n)
}

fn eval_id(n: u128) -> EvalId {
    EvalId::from_bits(n)
}

fn web() -> JobId {
    JobId::new("default", "web")
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

/// What gc with its usual ages decides at `secs`.
fn judge(store: &TestWorld, key: &Garbage, secs: i64) -> Outcome {
    Gc::default().judge(key, store.world(), at(secs))
}

/// Stays until something changes, however long that takes.
#[track_caller]
fn stays(store: &TestWorld, key: &Garbage) {
    let outcome = judge(store, key, 10_000 * HOUR);
    assert!(outcome.units.is_empty() && outcome.again.is_none(), "{key:?}: {outcome:?}");
}

/// Is not due a second before `secs`, and says so; at `secs` goes in one unit, which is returned.
#[track_caller]
fn goes_at(store: &TestWorld, key: &Garbage, secs: i64) -> Unit {
    let before = judge(store, key, secs - 1);
    assert!(before.units.is_empty(), "{key:?} goes early: {before:?}");
    assert_eq!(before.again, Some(at(secs)), "{key:?}");
    goes(store, key, secs)
}

/// Goes at `secs` in one unit, which is returned.
#[track_caller]
fn goes(store: &TestWorld, key: &Garbage, secs: i64) -> Unit {
    let outcome = judge(store, key, secs);
    let [unit] = &outcome.units[..] else { panic!("{key:?} must go in one unit: {outcome:?}") };
    unit.clone()
}

/// The unit deletes exactly these keys, compares each as it is, and rests on these others as they are.
#[track_caller]
fn check(store: &TestWorld, unit: &Unit, deleted: &[Key], rests_on: &[Key]) {
    let mut keys: Vec<Key> = unit.writes.iter().map(|w| w.key().clone()).collect();
    keys.sort();
    let mut wanted = deleted.to_vec();
    wanted.sort();
    assert_eq!(keys, wanted, "deleted");
    assert!(unit.writes.iter().all(|w| matches!(w, encamp_model::Write::Delete(_))), "{unit:?}");
    let guards: std::collections::BTreeSet<Guard> = deleted
        .iter()
        .chain(rests_on)
        .map(|key| Guard::Unchanged(key.clone(), store.value(key).map_or(0, |v| v.modified)))
        .collect();
    assert_eq!(unit.guards, guards, "guards");
}

/// Lands now, and not after any of these writes.
#[track_caller]
fn loses_against(store: &TestWorld, unit: &Unit, rivals: &[&dyn Fn(&mut TestWorld)]) {
    assert_eq!(store.clone().apply(unit).err(), None);
    for (which, rival) in rivals.iter().enumerate() {
        let mut raced = store.clone();
        rival(&mut raced);
        assert!(raced.apply(unit).is_err(), "rival {which} lost");
    }
}

/// Node 1 ready; job `web` (registration 1) of one group, at version 0.
fn cluster() -> TestWorld {
    let mut store = TestWorld::new();
    store.join(&objects::node_info(node(1)));
    store.register(&objects::job("web", uid(1), 0));
    store
}

fn says(store: &mut TestWorld, n: u128, record: &AllocRecord, status: ClientStatus, secs: i64) {
    store.put(Key::AllocStatus(node(1), alloc_id(n)), &objects::status("web", record, status, at(secs)));
}

fn config() -> Config {
    Config::default()
}
