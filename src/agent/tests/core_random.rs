//! Any order of events: what must never happen does not.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use encamp_model::{
    AllocId,
    job::JobType,
    records::{AllocRecord, ClientStatus, Desired},
};
use proptest::prelude::*;
use serde_json::json;

use super::{
    kit::{SECOND, alloc_id, job, node, record, stopped, with_port},
    rig::Rig,
};
use crate::core::{Entry, Input, RunId, StartFailure, Step};

#[derive(Clone, Debug)]
enum Op {
    Place { id: u8, port: u8, after: Option<u8> },
    Stop(u8),
    Remove(u8),
    Opaque(u8),
    Exit { which: u8, code: i32 },
    StartFails { which: u8, late: bool },
    StopFails(u8),
    WatchLost,
    LeaseLost,
    Renew,
    Foreign,
    Shrink(bool),
    Answer,
    Time(u8),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..6u8, 0..3u8, proptest::option::of(0..6u8)).prop_map(|(id, port, after)| Op::Place { id, port, after }),
        3 => (0..6u8).prop_map(Op::Stop),
        1 => (0..6u8).prop_map(Op::Remove),
        1 => (0..6u8).prop_map(Op::Opaque),
        4 => (any::<u8>(), 0..2i32).prop_map(|(which, code)| Op::Exit { which, code }),
        2 => (any::<u8>(), any::<bool>()).prop_map(|(which, late)| Op::StartFails { which, late }),
        1 => any::<u8>().prop_map(Op::StopFails),
        1 => Just(Op::WatchLost),
        1 => Just(Op::LeaseLost),
        3 => Just(Op::Renew),
        1 => Just(Op::Foreign),
        1 => any::<bool>().prop_map(Op::Shrink),
        6 => Just(Op::Answer),
        3 => (1..30u8).prop_map(Op::Time),
    ]
}

/// The world around a core, which knows what really runs.
struct World {
    rig: Rig,
    registered: bool,
    lease_until_ns: u64,
    foreign: bool,
    listed: bool,
    asked: Option<u64>,
    cluster: Option<u64>,
    /// Started, and not ended.
    runs: BTreeMap<(AllocId, String), RunId>,
    starting: Vec<RunId>,
    stopping: BTreeSet<RunId>,
    ever_started: BTreeSet<AllocId>,
    ever_ran: BTreeSet<(AllocId, String)>,
    records: BTreeMap<AllocId, AllocRecord>,
    ends: BTreeMap<AllocId, ClientStatus>,
}

impl World {
    fn new() -> Self {
        let restart = json!({ "RestartPolicy": { "Attempts": 1, "Interval": 60 * SECOND, "Delay": 5 * SECOND, "Mode": "fail" } });
        let job = job(JobType::Service, &restart, &[("a", json!({})), ("b", json!({}))]);
        let mut rig = Rig::ready(job);
        rig.apply(Input::LeaseLost);
        World {
            rig,
            registered: false,
            lease_until_ns: 0,
            foreign: false,
            listed: false,
            asked: None,
            cluster: None,
            runs: BTreeMap::new(),
            starting: Vec::new(),
            stopping: BTreeSet::new(),
            ever_started: BTreeSet::new(),
            ever_ran: BTreeSet::new(),
            records: BTreeMap::new(),
            ends: BTreeMap::new(),
        }
    }

    fn occupied(&self, id: AllocId) -> bool {
        self.runs.keys().any(|(alloc, _)| *alloc == id) || self.starting.iter().any(|r| r.alloc == id)
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Start { run, deadline_ns } => self.check_start(run, deadline_ns),
            Step::Stop { run, .. } => {
                assert!(
                    self.runs.contains_key(&(run.alloc, run.task.to_string())),
                    "stops what does not run: {run:?}"
                );
                self.stopping.insert(run);
            }
            Step::List { epoch } => {
                self.listed = false;
                self.asked = Some(epoch);
            }
            Step::ReadCluster { absences } => self.cluster = Some(absences),
            Step::FetchJob { uid, version } => {
                let text = self.rig.jobs.get(&version).cloned().ok_or_else(|| self.rig.no_text.clone());
                self.rig.apply(Input::JobText { uid, version, text });
            }
            Step::Remove(id) => {
                assert!(!self.occupied(id), "removes what runs");
                assert!(!self.records.contains_key(&id), "removes what is wanted");
                self.ever_started.remove(&id);
                self.ever_ran.retain(|(alloc, _)| *alloc != id);
                self.ends.remove(&id);
            }
            Step::Save(_) | Step::ForgetJob { .. } => {}
        }
    }

    fn check_start(&mut self, run: RunId, deadline_ns: Option<u64>) {
        let key = (run.alloc, run.task.to_string());
        assert!(!self.runs.contains_key(&key), "runs twice: {run:?}");
        assert!(!self.starting.iter().any(|r| (r.alloc, &*r.task) == (run.alloc, &*run.task)));
        assert_ne!(self.ends.get(&run.alloc), Some(&ClientStatus::Refused), "refused and started");
        match deadline_ns {
            Some(deadline) => {
                assert!(self.registered && self.listed && !self.foreign, "new start without permission");
                assert!(self.rig.now.boot_ns < deadline && deadline <= self.lease_until_ns);
                let wanted = &self.records[&run.alloc];
                assert_eq!(wanted.desired, Desired::Run);
                for named in &wanted.after {
                    assert!(!self.occupied(*named), "starts before what it waits for is gone");
                }
            }
            None => assert!(self.ever_ran.contains(&key), "a restart of what never ran"),
        }
        let ports = |id: &AllocId| -> BTreeSet<u16> {
            let Some(record) = self.records.get(id) else { return BTreeSet::new() };
            record.ports.iter().map(|p| p.value).collect()
        };
        let mine = ports(&run.alloc);
        for other in self.runs.keys().map(|(id, _)| id).chain(self.starting.iter().map(|r| &r.alloc)) {
            assert!(*other == run.alloc || ports(other).is_disjoint(&mine), "two on one port");
        }
        self.ever_started.insert(run.alloc);
        self.starting.push(run);
    }

    fn pass(&mut self) {
        for _ in 0..10 {
            let steps = self.rig.pass();
            let first_start = steps.iter().position(|s| matches!(s, Step::Start { .. }));
            let last_stop = steps.iter().rposition(|s| matches!(s, Step::Stop { .. }));
            assert!(first_start.is_none() || last_stop < first_start, "stop before start: {steps:?}");
            let quiet = steps.is_empty();
            for step in steps {
                self.step(step);
            }
            if quiet {
                break;
            }
        }
        let core = &self.rig.core;
        let said: Vec<_> = core.ids().filter_map(|id| Some((id, core.status(id)?.status))).collect();
        for (id, status) in said {
            if let Some(before) = self.ends.get(&id) {
                assert_eq!(*before, status, "ended is ended");
            }
            if status.is_terminal() {
                assert!(!self.occupied(id), "{id} ended with tasks");
                self.ends.insert(id, status);
            }
            if status == ClientStatus::Refused {
                assert!(!self.ever_ran.iter().any(|(alloc, _)| *alloc == id), "started and refused");
            }
        }
    }

    fn pick<T: Clone>(items: impl Iterator<Item = T>, which: u8) -> Option<T> {
        let all: Vec<T> = items.collect();
        (!all.is_empty()).then(|| all[usize::from(which) % all.len()].clone())
    }

    fn gone(&mut self, run: &RunId, code: i32) {
        self.runs.remove(&(run.alloc, run.task.to_string()));
        self.stopping.remove(run);
        self.rig.exit(run, code);
    }

    fn place(&mut self, id: u8, port: u8, after: Option<u8>) {
        let id = alloc_id(u128::from(id));
        if self.records.contains_key(&id) || self.rig.core.state(id).is_some() {
            return;
        }
        let mut placed = with_port(record(), 8000 + u16::from(port));
        placed.after = after.map(|n| alloc_id(u128::from(n))).filter(|n| *n != id).into_iter().collect();
        placed.ask.cpu = 300;
        self.records.insert(id, placed.clone());
        self.rig.put(id, placed);
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Place { id, port, after } => self.place(id, port, after),
            Op::Stop(id) => {
                let id = alloc_id(u128::from(id));
                if let Some(record) = self.records.get_mut(&id) {
                    *record = stopped(record);
                    let record = record.clone();
                    self.rig.put(id, record);
                }
            }
            Op::Remove(id) => {
                let id = alloc_id(u128::from(id));
                self.records.remove(&id);
                self.rig.remove(id);
            }
            Op::Opaque(id) => self.rig.apply(Input::Put(alloc_id(u128::from(id)), Entry::Opaque)),
            Op::Exit { which, code } => {
                if let Some(run) = Self::pick(self.runs.values().cloned(), which) {
                    self.gone(&run, code);
                }
            }
            Op::StartFails { which, late } => {
                if let Some(run) = Self::pick(self.starting.iter().cloned(), which) {
                    self.starting.retain(|r| *r != run);
                    let failure =
                        if late { StartFailure::Late } else { StartFailure::Retry("no".to_owned()) };
                    self.rig.fails_to_start(&run, failure);
                }
            }
            Op::StopFails(which) => {
                if let Some(run) = Self::pick(self.stopping.iter().cloned(), which) {
                    self.stopping.remove(&run);
                    self.rig.apply(Input::StopFailed(run, "no".to_owned()));
                }
            }
            Op::WatchLost => {
                self.listed = false;
                self.asked = None;
                self.rig.apply(Input::WatchLost);
            }
            Op::LeaseLost => {
                self.registered = false;
                self.listed = false;
                self.asked = None;
                self.rig.apply(Input::LeaseLost);
            }
            Op::Renew => self.renew(),
            Op::Foreign => {
                self.foreign = true;
                self.listed = false;
                self.asked = None;
                self.rig.apply(Input::ClusterIsForeign);
            }
            Op::Shrink(small) => {
                let mut info = node();
                info.resources.total.cpu = if small { 400 } else { 1000 };
                self.rig.apply(Input::Node(Arc::new(info)));
            }
            Op::Answer => self.answer(),
            Op::Time(secs) => self.rig.after(u64::from(secs)),
        }
    }

    fn renew(&mut self) {
        let now_ns = self.rig.now.boot_ns;
        let gap = now_ns >= self.lease_until_ns;
        self.lease_until_ns = now_ns + 10 * SECOND;
        if gap || !self.registered {
            self.listed = false;
            self.asked = None;
        }
        let input = if self.registered {
            Input::Renewed { sent_ns: now_ns, good_until_ns: self.lease_until_ns }
        } else {
            Input::Registered { good_until_ns: self.lease_until_ns }
        };
        self.registered = true;
        self.rig.apply(input);
    }

    /// Everything that is under way comes to its end.
    fn answer(&mut self) {
        if let Some(epoch) = self.asked.take() {
            let entry = |r: &AllocRecord| Entry::Record(Arc::new(r.clone()));
            let entries = self.records.iter().map(|(id, r)| (*id, entry(r))).collect();
            self.listed = true;
            self.foreign = false;
            self.rig.apply(Input::Listed { epoch, entries });
        }
        if let Some(absences) = self.cluster.take() {
            self.rig.apply(Input::ClusterIsOurs { absences });
        }
        for run in std::mem::take(&mut self.starting) {
            self.runs.insert((run.alloc, run.task.to_string()), run.clone());
            self.ever_ran.insert((run.alloc, run.task.to_string()));
            self.rig.started(&run);
        }
        for run in std::mem::take(&mut self.stopping) {
            if self.runs.contains_key(&(run.alloc, run.task.to_string())) {
                self.gone(&run, 1);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn no_order_of_events_breaks_a_rule(ops in proptest::collection::vec(op(), 1..120)) {
        let mut world = World::new();
        for op in ops {
            world.apply(op);
            world.pass();
        }
        // In the end everything is as wanted, once the world behaves.
        for id in world.records.keys().copied().collect::<Vec<_>>() {
            let stop = stopped(&world.records[&id]);
            world.records.insert(id, stop.clone());
            world.rig.put(id, stop);
        }
        for _ in 0..8 {
            world.rig.after(70);
            world.renew();
            world.pass();
            world.answer();
            world.pass();
        }
        prop_assert!(world.runs.is_empty(), "still there: {:?}", world.runs);
        for id in world.records.keys() {
            let ended = world.ends.get(id).is_some_and(|s| s.is_terminal());
            prop_assert!(ended, "{id} never ended");
        }
    }
}
