//! Random runs against a model too simple to be wrong: it keeps a full copy of the state at every revision.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::bytes;
use crate::{Compare, Core, Error, EventKind, Kv, Op, Range, RangeRequest, Revision, Txn};

type State = BTreeMap<Bytes, Kv>;

#[derive(Clone, Debug)]
enum Step {
    Txn { guards: Vec<(u8, bool)>, success: Vec<Write>, failure: Vec<Write> },
    Grant(i64),
    Revoke(i64),
    Renew(i64),
    Advance(u64),
    Compact(i64),
}

#[derive(Clone, Debug)]
enum Write {
    Put(u8, i64),
    Delete(u8, u8),
}

#[derive(Default)]
struct Model {
    /// Every revision's whole state; index 0 is revision 1.
    states: Vec<State>,
    leases: BTreeMap<i64, (Duration, i64)>,
    now: Duration,
    compacted: Revision,
}

impl Model {
    fn new() -> Self {
        Self { states: vec![State::new()], ..Self::default() }
    }

    fn revision(&self) -> Revision {
        self.states.len() as Revision
    }

    fn now_state(&self) -> &State {
        self.states.last().unwrap()
    }

    fn apply(&mut self, writes: &[Write]) -> bool {
        let revision = self.revision() + 1;
        let mut next = self.now_state().clone();
        let mut changed = false;
        for write in writes {
            match write {
                Write::Put(_, lease) if *lease != 0 && !self.leases.contains_key(lease) => return false,
                Write::Put(key, lease) => {
                    let old = next.get(&name(*key));
                    let kv = Kv {
                        key: name(*key),
                        value: bytes(&revision.to_string()),
                        create_revision: old.map_or(revision, |kv| kv.create_revision),
                        mod_revision: revision,
                        version: old.map_or(1, |kv| kv.version + 1),
                        lease: *lease,
                    };
                    next.insert(name(*key), kv);
                    changed = true;
                }
                Write::Delete(from, to) => {
                    let before = next.len();
                    next.retain(|key, _| *key < name(*from) || *key >= name(*to));
                    changed |= next.len() < before;
                }
            }
        }
        if changed {
            self.states.push(next);
        }
        true
    }

    fn end_lease(&mut self, id: i64) {
        if self.leases.remove(&id).is_some() && self.now_state().values().any(|kv| kv.lease == id) {
            let next = self.now_state().iter().filter(|(_, kv)| kv.lease != id);
            self.states.push(next.map(|(key, kv)| (key.clone(), kv.clone())).collect());
        }
    }

    fn advance(&mut self, by: u64) {
        self.now += Duration::from_secs(by);
        let mut due: Vec<(Duration, i64)> = self
            .leases
            .iter()
            .filter(|(_, lease)| lease.0 <= self.now)
            .map(|(id, lease)| (lease.0, *id))
            .collect();
        due.sort_unstable();
        for (_, id) in due {
            self.end_lease(id);
        }
    }
}

fn name(key: u8) -> Bytes {
    bytes(&format!("k{key}"))
}

fn writes() -> impl Strategy<Value = Vec<Write>> {
    let write = prop_oneof![
        3 => (0..8u8, 0..4i64).prop_map(|(key, lease)| Write::Put(key, lease)),
        1 => (0..8u8, 1..4u8).prop_map(|(from, count)| Write::Delete(from, (from + count).min(9))),
    ];
    prop::collection::vec(write, 0..4).prop_map(without_clashes)
}

/// Drops the writes that etcd would refuse to see together.
fn without_clashes(writes: Vec<Write>) -> Vec<Write> {
    let mut kept: Vec<Write> = Vec::new();
    for write in writes {
        let clashes = kept.iter().any(|other| match (&write, other) {
            (Write::Put(a, _), Write::Put(b, _)) => a == b,
            (Write::Put(key, _), Write::Delete(from, to)) | (Write::Delete(from, to), Write::Put(key, _)) => {
                from <= key && key < to
            }
            (Write::Delete(..), Write::Delete(..)) => false,
        });
        if !clashes {
            kept.push(write);
        }
    }
    kept
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let guards = prop::collection::vec((0..8u8, any::<bool>()), 0..3);
    let step = prop_oneof![
        8 => (guards, writes(), writes())
            .prop_map(|(guards, success, failure)| Step::Txn { guards, success, failure }),
        2 => (1..4i64).prop_map(Step::Grant),
        1 => (1..4i64).prop_map(Step::Revoke),
        1 => (1..4i64).prop_map(Step::Renew),
        2 => (0..4u64).prop_map(Step::Advance),
        1 => (0..6i64).prop_map(Step::Compact),
    ];
    prop::collection::vec(step, 1..40)
}

fn op(write: &Write, revision: Revision) -> Op {
    match write {
        Write::Put(key, lease) => Op::put_on_lease(name(*key), revision.to_string(), *lease),
        Write::Delete(from, to) => Op::delete_range(Range::span(name(*from), name(*to))),
    }
}

fn run(core: &mut Core, model: &mut Model, step: &Step) {
    match step {
        Step::Txn { guards, success, failure } => {
            let next = core.revision() + 1;
            let compare = |(key, there): &(u8, bool)| {
                if *there { Compare::exists(name(*key)) } else { Compare::absent(name(*key)) }
            };
            let txn = Txn {
                compares: guards.iter().map(compare).collect(),
                success: success.iter().map(|write| op(write, next)).collect(),
                failure: failure.iter().map(|write| op(write, next)).collect(),
            };
            let holds =
                guards.iter().all(|(key, there)| model.now_state().contains_key(&name(*key)) == *there);
            let applied = model.apply(if holds { success } else { failure });
            let answer = core.txn(&txn);
            assert_eq!(answer.is_ok(), applied, "{answer:?}");
            assert!(answer.is_ok_and(|answer| answer.succeeded == holds) || !applied);
        }
        Step::Grant(id) => {
            let granted = core.grant(*id, 3, model.now).is_ok();
            assert_eq!(granted, !model.leases.contains_key(id));
            model.leases.entry(*id).or_insert((model.now + Duration::from_secs(3), 3));
        }
        Step::Revoke(id) => {
            assert_eq!(core.revoke(*id).is_ok(), model.leases.contains_key(id));
            model.end_lease(*id);
        }
        Step::Renew(id) => {
            assert_eq!(core.keep_alive(*id, model.now).is_ok(), model.leases.contains_key(id));
            let end = model.now + Duration::from_secs(3);
            model.leases.entry(*id).and_modify(|lease| lease.0 = end);
        }
        Step::Advance(by) => {
            model.advance(*by);
            core.tick(model.now);
        }
        Step::Compact(back) => {
            let revision = core.revision() - back;
            if core.compact(revision).is_ok() {
                model.compacted = revision;
            }
        }
    }
}

/// Every readable revision reads as the model has it; replaying the log over one state gives the next.
fn check(core: &Core, model: &Model) {
    assert_eq!((core.revision(), core.compacted()), (model.revision(), model.compacted));
    for revision in 1..=core.revision() {
        let answer = core.range(&RangeRequest { revision, ..RangeRequest::now(Range::all()) });
        if revision < model.compacted {
            assert_eq!(answer, Err(Error::Compacted { revision: model.compacted }));
            continue;
        }
        let expected: Vec<Kv> = model.states[revision as usize - 1].values().cloned().collect();
        assert_eq!(answer.unwrap().kvs, expected, "at revision {revision}");
    }
    let from = model.compacted.max(1);
    let mut state = model.states[from as usize - 1].clone();
    let mut watcher = core.watch(Range::all(), from + 1, true);
    for event in core.poll(&mut watcher, usize::MAX).unwrap() {
        let old = match event.kind {
            EventKind::Put => state.insert(event.kv.key.clone(), event.kv.clone()),
            EventKind::Delete => state.remove(&event.kv.key),
        };
        assert_eq!(old, event.prev);
    }
    assert_eq!(&state, model.now_state());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn the_core_agrees_with_the_model(steps in steps()) {
        let (mut core, mut model) = (Core::default(), Model::new());
        for step in &steps {
            run(&mut core, &mut model, step);
        }
        check(&core, &model);
    }
}
