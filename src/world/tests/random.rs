//! Whatever is written in whatever batches, a World is what a list of the same revision would make.

use std::collections::BTreeMap;

use encamp_model::{
    EvalId, Key, Keyspace, Name, Timestamp,
    job::TaskGroup,
    keys::DEFAULT_PREFIX,
    records::{AssignedPort, ClientStatus, Desired, EvalStatus, Gate, JobState, NodeIntents},
};
use proptest::prelude::*;

use super::{alloc_id, assert_same, dump, eval_id, job_id, node, uid};
use crate::{
    Change, GroupCounts, RawEvent, World,
    testing::{TestWorld, objects},
};

/// One write; the numbers choose key and value.
type Op = (u8, u8, u8, u8);

const JOBS: [&str; 3] = ["web", "team/db", "x"];

/// Registrations 0..4 belong to names 0, 1, 2, 0: two under one name.
fn name_of(registration: u8) -> &'static str {
    JOBS[usize::from(registration % 4) % 3]
}

/// Key and value of a write; `None` deletes.
fn decode((kind, which, a, b): Op) -> (Key, Option<Vec<u8>>) {
    let n = u128::from(which);
    let registration = which % 4;
    let key = match kind % 11 {
        0 => Key::Job(job_id(name_of(registration))),
        1 => Key::JobState(job_id(name_of(registration))),
        2 => Key::JobVersion(uid(u128::from(registration)), u64::from(a % 3)),
        3 => Key::JobSource(uid(u128::from(registration)), u64::from(a % 3)),
        4 => Key::Eval(eval_id(n % 4)),
        5 | 6 => Key::Alloc(node(n % 3), alloc_id(n % 9)),
        7 => Key::AllocStatus(node(n % 3), alloc_id(n % 9)),
        8 => Key::NodeState(node(n % 3)),
        9 => Key::NodeInfo(node(n % 3)),
        _ => [Key::NodeLease(node(n % 3)), Key::NodeIntents(node(n % 3))][usize::from(a % 2)].clone(),
    };
    let value = match b % 8 {
        0 | 1 => None,
        2 => Some(garbage(&key)),
        _ => Some(value(&key, which, a, b)),
    };
    (key, value)
}

/// What cannot be decoded. An allocation still tells its name, as one written by a newer version would.
fn garbage(key: &Key) -> Vec<u8> {
    match key {
        Key::Alloc(_, id) => {
            let n = id.as_u128() & 0xff;
            let (uid, index) = (uid(n % 4), n);
            serde_json::json!({ "uid": uid, "group": "web", "index": index, "desired": "sing" })
                .to_string()
                .into_bytes()
        }
        _ => b"{\"never\":".to_vec(),
    }
}

fn value(key: &Key, which: u8, a: u8, b: u8) -> Vec<u8> {
    let json = |value: serde_json::Result<Vec<u8>>| value.expect("model types serialise");
    let at = Timestamp::from_secs(i64::from(a));
    match key {
        Key::Job(_) => {
            let mut job = objects::job(name_of(which % 4), uid(u128::from(which % 4)), u64::from(a % 3));
            job.stop = b.is_multiple_of(2);
            json(serde_json::to_vec(&job))
        }
        Key::JobVersion(_, version) => {
            let mut job = objects::job(name_of(which % 4), uid(u128::from(which % 4)), *version);
            job.meta.insert("a".into(), a.to_string());
            if b.is_multiple_of(2) {
                job.task_groups.push(TaskGroup { name: Name::from("other"), ..TaskGroup::default() });
            }
            json(serde_json::to_vec(&job))
        }
        Key::JobSource(..) => vec![b'x'; usize::from(a)],
        Key::JobState(_) => {
            let state: JobState = objects::job_state(uid(u128::from(which % 4)), eval_id(7));
            json(serde_json::to_vec(&state))
        }
        Key::Eval(_) => {
            let statuses =
                [EvalStatus::Pending, EvalStatus::Complete, EvalStatus::Failed, EvalStatus::Canceled];
            let name = name_of(a % 4);
            let eval = objects::eval(name, uid(u128::from(a % 4)), statuses[usize::from(b % 4)], at);
            json(serde_json::to_vec(&eval))
        }
        Key::Alloc(_, id) => json(serde_json::to_vec(&record(id.as_u128() & 0xff, a, b))),
        Key::AllocStatus(_, id) => {
            let statuses = [
                ClientStatus::Pending,
                ClientStatus::Running,
                ClientStatus::Complete,
                ClientStatus::Failed,
                ClientStatus::Refused,
                ClientStatus::Lost,
            ];
            let n = id.as_u128() & 0xff;
            let name = JOBS[usize::try_from(n % 4 % 3).expect("small")];
            let status = objects::status(name, &record(n, 0, 0), statuses[usize::from(a % 6)], at);
            json(serde_json::to_vec(&status))
        }
        Key::NodeState(_) => {
            let mut state = objects::gate([Gate::Ready, Gate::Disconnected, Gate::Down][usize::from(a % 3)]);
            state.eligible = b.is_multiple_of(2);
            json(serde_json::to_vec(&state))
        }
        Key::NodeInfo(id) => {
            let mut info = objects::node_info(*id);
            info.resources.total.cpu = i64::from(a) * 10;
            json(serde_json::to_vec(&info))
        }
        Key::NodeLease(_) => json(serde_json::to_vec(&objects::lease())),
        _ => {
            json(serde_json::to_vec(&NodeIntents { generation: u64::from(a), eligible: b.is_multiple_of(2) }))
        }
    }
}

/// Allocation `n` has one registration and index for ever; `after` is often garbage: circles, second waiters.
fn record(n: u128, a: u8, b: u8) -> encamp_model::records::AllocRecord {
    let mut record = objects::alloc(uid(n % 4), u64::from(a % 3), u32::try_from(n).expect("small"));
    record.desired = if b.is_multiple_of(2) { Desired::Stop } else { Desired::Run };
    record.eval = EvalId::from_bits(u128::from(a));
    record.ask.cpu = i64::from(b);
    let waits = |other: &u128| other % 3 == n % 3 && a & (1 << (other % 8)) != 0;
    record.after = (0..9).filter(waits).map(alloc_id).collect();
    record.ports =
        vec![AssignedPort { label: Name::from("http"), value: 20_000 + u16::from(a % 4), to: 0, task: None }];
    record
}

/// An event that owns its bytes.
struct Event {
    key: String,
    value: Option<Vec<u8>>,
    created: i64,
    modified: i64,
}

/// Runs the writes one by one; the store with its World, and all events.
fn run(ops: &[Op]) -> (TestWorld, Vec<Event>) {
    let mut store = TestWorld::new();
    let mut events = Vec::new();
    for op in ops {
        let (key, value) = decode(*op);
        let spelled = store.world().keyspace().encode(&key);
        let before = store.revision();
        match &value {
            Some(bytes) => drop(store.put_raw(key.clone(), bytes.clone())),
            None => drop(store.delete(key.clone())),
        }
        if store.revision() > before {
            let created = store.value(&key).map_or(0, |v| v.created);
            events.push(Event { key: spelled, value, created, modified: store.revision() });
        }
    }
    (store, events)
}

fn apply(world: &mut World, events: &[Event]) -> Vec<Change> {
    let Some(last) = events.last() else { return Vec::new() };
    let raw: Vec<_> = events
        .iter()
        .map(|e| RawEvent {
            key: e.key.as_bytes(),
            value: e.value.as_deref(),
            created: e.created,
            modified: e.modified,
        })
        .collect();
    world.apply(last.modified, &raw)
}

fn empty() -> World {
    let mut world = World::new(std::sync::Arc::new(Keyspace::new(DEFAULT_PREFIX)));
    world.replace(1, &[]);
    world
}

/// Counts a registration's allocations from scratch, by the words of [`GroupCounts`]' fields.
fn recount(world: &World) -> BTreeMap<(encamp_model::JobUid, Name), GroupCounts> {
    let mut out: BTreeMap<_, GroupCounts> = BTreeMap::new();
    for entry in world.allocs() {
        let down = world.node(entry.node).is_some_and(|n| n.gate() == Some(Gate::Down));
        let record = &entry.record.value;
        let counts = out.entry((record.uid, record.group.clone())).or_default();
        let unknown = world.is_opaque(&Key::AllocStatus(entry.node, entry.id));
        let said = entry.status.as_ref().map_or(ClientStatus::Pending, |s| s.status);
        let said = if unknown { ClientStatus::Running } else { said };
        if record.desired == Desired::Stop {
            counts.stopping += u32::from(matches!(said, ClientStatus::Pending | ClientStatus::Running));
            continue;
        }
        *counts.versions.entry(record.version).or_default() += 1;
        let lost = down && matches!(said, ClientStatus::Pending | ClientStatus::Running);
        counts.lost_unknown += u32::from(lost && unknown);
        if !lost && !unknown && !matches!(said, ClientStatus::Refused | ClientStatus::Lost) {
            let version = counts.by_version.entry(record.version).or_default();
            version.pending += u32::from(said == ClientStatus::Pending);
            version.running += u32::from(said == ClientStatus::Running);
            version.ended += u32::from(matches!(said, ClientStatus::Complete | ClientStatus::Failed));
        }
        *match (said, down) {
            (ClientStatus::Complete, _) => &mut counts.complete,
            (ClientStatus::Failed, _) => &mut counts.failed,
            (ClientStatus::Refused, _) => &mut counts.refused,
            (ClientStatus::Lost, _) | (_, true) => &mut counts.lost,
            (ClientStatus::Pending, _) => &mut counts.pending,
            (ClientStatus::Running, _) => &mut counts.running,
        } += 1;
    }
    out.retain(|_, counts| counts.wanted() > 0 || counts.stopping > 0);
    out
}

fn counts(world: &World) -> BTreeMap<(encamp_model::JobUid, Name), GroupCounts> {
    let each = world
        .registrations()
        .flat_map(|(uid, r)| r.counts.iter().map(|(group, counts)| ((*uid, group.clone()), counts.clone())));
    each.collect()
}

/// What a change speaks of, and how it says that was before and is now.
fn told(change: &Change) -> Option<(String, String, String)> {
    let (what, old, new) = match change {
        Change::Job { id, old, new } => (format!("job {id}"), format!("{old:?}"), format!("{new:?}")),
        Change::JobState { id, old, new } => (format!("state {id}"), format!("{old:?}"), format!("{new:?}")),
        Change::Eval { id, old, new } => (format!("eval {id}"), format!("{old:?}"), format!("{new:?}")),
        Change::Alloc { id, old, new, .. } => (format!("alloc {id}"), format!("{old:?}"), format!("{new:?}")),
        Change::Node { id, old, new } => (format!("node {id}"), format!("{old:?}"), format!("{new:?}")),
        _ => return None,
    };
    Some((what, old, new))
}

/// The same of a World's own entries.
fn entries(world: &World) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for (id, entry) in world.jobs() {
        out.insert(format!("job {id}"), format!("{:?}", entry.job));
        out.insert(format!("state {id}"), format!("{:?}", entry.state));
    }
    out.extend(world.evals().map(|(id, eval)| (format!("eval {id}"), format!("{:?}", Some(eval)))));
    out.extend(world.allocs().map(|a| (format!("alloc {}", a.id), format!("{:?}", Some(a)))));
    out.extend(world.nodes().map(|(id, n)| (format!("node {id}"), format!("{:?}", Some(n)))));
    out
}

fn of<'a>(entries: &'a BTreeMap<String, String>, what: &str) -> &'a str {
    entries.get(what).map_or("None", String::as_str)
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    proptest::collection::vec(any::<Op>(), 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn batches_single_events_and_one_list_make_the_same_world(ops in ops(), cut in 1usize..9) {
        let (store, events) = run(&ops);
        let mut batched = empty();
        for batch in events.chunks(cut) {
            apply(&mut batched, batch);
        }
        assert_same(store.world(), &store.listed());
        assert_same(&batched, &store.listed());
    }

    #[test]
    fn counters_equal_a_recount(ops in ops()) {
        let (store, _) = run(&ops);
        prop_assert_eq!(counts(store.world()), recount(store.world()));
    }

    #[test]
    fn a_list_after_missed_events_loses_nothing_and_tells_all(ops in ops(), missed in 0usize..60) {
        let (store, events) = run(&ops);
        let seen = events.len().saturating_sub(missed);
        let mut world = empty();
        for event in &events[..seen] {
            apply(&mut world, std::slice::from_ref(event));
        }
        let before = entries(&world);
        let mut told_old = BTreeMap::new();
        let mut told_new = BTreeMap::new();
        for (what, old, new) in store.list_into(&mut world).iter().filter_map(told) {
            prop_assert!(told_old.insert(what.clone(), old).is_none(), "{} is told twice", what);
            told_new.insert(what, new);
        }
        assert_same(&world, &store.listed());
        let after = entries(&world);
        for (what, old) in &told_old {
            prop_assert_eq!(old.as_str(), of(&before, what), "{} before", what);
            prop_assert_eq!(told_new[what].as_str(), of(&after, what), "{} after", what);
        }
        for what in before.keys().chain(after.keys()).filter(|w| !w.starts_with("node")) {
            let silent = !told_old.contains_key(what);
            let same = of(&before, what) == of(&after, what);
            prop_assert!(same || !silent, "{} changed untold", what);
        }
    }

    #[test]
    fn a_snapshot_stays_as_it_was(ops in ops(), cut in 0usize..120) {
        let (_, events) = run(&ops);
        let cut = cut.min(events.len());
        let mut world = empty();
        apply(&mut world, &events[..cut]);
        let snapshot = world.clone();
        let before = dump(&snapshot);
        for event in &events[cut..] {
            apply(&mut world, std::slice::from_ref(event));
        }
        prop_assert_eq!(dump(&snapshot), before);
    }

    #[test]
    fn room_lies_between_the_largest_and_the_sum(ops in ops()) {
        let (store, _) = run(&ops);
        for (id, entry) in store.world().nodes() {
            let asks: Vec<i64> = entry.holders().map(|(_, r)| r.ask.cpu).collect();
            let used = store.world().room(id).used.cpu;
            prop_assert!(used <= asks.iter().sum(), "{} of {:?}", used, asks);
            prop_assert!(used >= asks.iter().copied().max().unwrap_or(0), "{} of {:?}", used, asks);
        }
    }
}
