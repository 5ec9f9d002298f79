//! For tests: a cluster without agents, loops or clock, in which each of these is one call.
//!
//! [`Cluster`] plays evaluator and planner to the end ([`Cluster::settle`]), with every plan judged by the checker and
//! every World by the audit; people, nodes and agents are what the test says they are. [`script`] is the same as text.

mod driver;
pub mod moves;
mod objects;
pub mod script;

use std::collections::{BTreeMap, BTreeSet};

use encamp_model::{
    AllocId, ClusterUid, EvalId, InstanceId, Job, JobId, JobUid, Key, NodeId, Timestamp, Unit,
    records::{
        AllocStatus, ClientStatus, Desired, Eval, EvalStatus, Gate, NodeInfo, NodeIntents, NodeState, Trigger,
    },
};
use encamp_world::{
    AllocEntry, Change, World,
    control::Cx,
    testing::{TestWorld, objects as stored},
};

use crate::{Fleet, Need, audit::audit, check::check, evaluation, need, turn, wake};

pub use driver::Driver;
pub use objects::{group, job, node};

/// A cluster of which every move is the test's.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// What is stored.
    pub store: TestWorld,
    /// The clock of all loops.
    pub now: Timestamp,
    planner: Cx,
    evaluator: Cx,
    fleet: Fleet,
    ids: u128,
    /// Every unit that was written, in order.
    pub log: Vec<Unit>,
    /// What changed since somebody took note, in order.
    pub changes: Vec<Change>,
}

impl Default for Cluster {
    fn default() -> Self {
        Cluster::new()
    }
}

impl Cluster {
    /// Nothing stored, at 1,000 s after 1970.
    pub fn new() -> Self {
        let (cluster, instance) = (ClusterUid::from_bits(1), InstanceId::from_bits(1));
        let now = Timestamp::from_secs(1000);
        Cluster {
            store: TestWorld::new(),
            now,
            planner: Cx::new("planner", cluster, instance, 1, now),
            evaluator: Cx::new("evaluator", cluster, instance, 1, now),
            fleet: Fleet::new(),
            ids: 0,
            log: Vec::new(),
            changes: Vec::new(),
        }
    }

    /// The World.
    pub fn world(&self) -> &World {
        self.store.world()
    }

    /// The same cluster with another budget a run.
    pub fn with_budget(mut self, budget: usize) -> Self {
        self.planner.budget = budget;
        self
    }

    fn next(&mut self) -> u128 {
        self.ids += 1;
        self.ids
    }

    /// Stores a value, whoever wrote it.
    pub fn put(&mut self, key: Key, value: &impl serde::Serialize) {
        let changes = self.store.put(key, value);
        self.changes.extend(changes);
    }

    /// Makes a value unreadable.
    pub fn garble(&mut self, key: Key) {
        let changes = self.store.put_raw(key, "{\"from\":\"a later version\"}");
        self.changes.extend(changes);
    }

    fn write_all(&mut self, writes: &[encamp_model::Write]) {
        let changes = self.store.write(writes);
        self.changes.extend(changes);
    }

    /// A node joins, or says something else of itself.
    pub fn join(&mut self, info: &NodeInfo) {
        // A node that is there keeps its heartbeat and its gate's history: only the gate opens again.
        let mut unit = Unit::new();
        unit.put(Key::NodeInfo(info.id), info).put(Key::NodeLease(info.id), &stored::lease());
        self.write_all(&unit.writes);
        self.gate(info.id, Gate::Ready, true);
    }

    /// Heartbeat's verdict on a node.
    pub fn gate(&mut self, node: NodeId, gate: Gate, eligible: bool) {
        let state = NodeState { gate, eligible, since: self.now, generation: 0 };
        self.put(Key::NodeState(node), &state);
    }

    /// What people want of a node.
    pub fn intend(&mut self, node: NodeId, eligible: bool) {
        let generation = 1 + u64::try_from(self.store.revision()).unwrap_or(0);
        self.put(Key::NodeIntents(node), &NodeIntents { generation, eligible });
    }

    /// Registers a job as the api does: a new version if the declaration changed, and always an evaluation.
    pub fn apply(&mut self, job: &Job) -> EvalId {
        let id = job.job_id();
        let before = self.world().job(&id).and_then(|e| e.job.as_deref()).map(|j| j.value.clone());
        let mut job = job.clone();
        let (uid, version) = match &before {
            Some(before) => (before.uid, before.version),
            None => (Some(JobUid::from_bits(self.next())), 0),
        };
        (job.uid, job.version) = (uid, version);
        let mut unit = Unit::new();
        if before.as_ref() != Some(&job) {
            job.version += u64::from(before.is_some());
            unit.put(Key::Job(id.clone()), &job);
            unit.put(Key::JobVersion(job.uid.expect("just set"), job.version), &job);
        }
        let trigger = if job.stop { Trigger::JobDeregister } else { Trigger::JobRegister };
        self.ask(unit, &job, trigger, false)
    }

    /// Purges a job as the api does.
    pub fn purge(&mut self, id: &JobId) {
        let job = self.world().job(id).and_then(|e| e.job.as_deref()).map(|j| j.value.clone());
        let job = job.expect("a job that is there");
        let mut unit = Unit::new();
        unit.delete(Key::Job(id.clone()));
        self.ask(unit, &job, Trigger::JobDeregister, false);
    }

    /// Asks for an evaluation, by force or not.
    pub fn evaluate(&mut self, id: &JobId, force: bool) {
        let job = self.world().job(id).and_then(|e| e.job.as_deref()).map(|j| j.value.clone());
        self.ask(Unit::new(), &job.expect("a job that is there"), Trigger::JobEval, force);
    }

    fn ask(&mut self, mut unit: Unit, job: &Job, trigger: Trigger, force: bool) -> EvalId {
        let id = EvalId::from_bits(self.next());
        let uid = job.uid.expect("a stored job has a uid");
        let eval = Eval {
            trigger,
            job: job.job_id(),
            priority: job.priority(),
            kind: job.kind,
            force_reschedule: force,
            ..stored::eval(&job.id, uid, EvalStatus::Pending, self.now)
        };
        unit.put(Key::Eval(id), &eval);
        self.write_all(&unit.writes);
        id
    }

    /// What a node says of an allocation.
    pub fn say(&mut self, id: AllocId, status: ClientStatus) {
        let alloc = self.world().alloc(id).expect("an allocation that is there").clone();
        let said = AllocStatus {
            version: alloc.record.version,
            ..stored::status("job", &alloc.record, status, self.now)
        };
        self.put(Key::AllocStatus(alloc.node, id), &said);
    }

    /// Every agent whose node is ready does what it was told: what is to stop ends, and what need not wait runs.
    pub fn agents(&mut self) {
        let ready = |world: &World, alloc: &AllocEntry| {
            world.node(alloc.node).and_then(|n| n.gate()).is_some_and(|gate| gate == Gate::Ready)
        };
        loop {
            let world = self.world();
            let act = |alloc: &AllocEntry| match (alloc.record.desired, alloc.said()) {
                (Desired::Stop, ClientStatus::Pending | ClientStatus::Running) => {
                    Some(ClientStatus::Complete)
                }
                (Desired::Run, ClientStatus::Pending) => {
                    let mut before = alloc.record.after.iter().filter_map(|id| world.alloc(*id));
                    before.all(|a| a.is_terminal()).then_some(ClientStatus::Running)
                }
                _ => None,
            };
            let all = world.allocs().filter(|a| ready(world, a));
            let acts: Vec<_> = all.filter_map(|a| Some((a.id, act(a)?))).collect();
            if acts.is_empty() {
                return;
            }
            for (id, status) in acts {
                self.say(id, status);
            }
        }
    }

    /// Evaluator and planner, until neither has anything to write; panics if they find no end, or on what checker and
    /// audit reject.
    pub fn settle(&mut self) {
        for _ in 0..200 {
            let called = self.call();
            let planned = self.plan_all();
            if !called && !planned {
                return;
            }
        }
        panic!("no end: {:?}", self.log.iter().rev().take(4).collect::<Vec<_>>());
    }

    /// Evaluator's part: an evaluation for every job that needs one.
    pub fn call(&mut self) -> bool {
        self.evaluator.now = self.now;
        let world = self.store.world().clone();
        let pending = |id: &JobId| world.job(id).is_some_and(|entry| !entry.pending.is_empty());
        let mut made: BTreeMap<JobId, Unit> = BTreeMap::new();
        for (id, _) in world.jobs().filter(|(id, _)| !pending(id)) {
            if let Need::Now(call) = need(&world, id, self.now) {
                made.insert(id.clone(), evaluation(&world, id, &call, None, &mut self.evaluator).1);
            }
        }
        let called = |id: &JobId| pending(id) || made.contains_key(id);
        for woken in wake(&world, &mut self.fleet, usize::MAX, &called) {
            let job = world.job(&woken.job).and_then(|e| e.job.as_deref()).expect("woken jobs are there");
            let call = crate::Call {
                uid: woken.uid,
                trigger: Trigger::QueuedAllocs,
                due: None,
                priority: job.priority(),
                kind: job.kind,
            };
            let unit = evaluation(&world, &woken.job, &call, Some(woken.node), &mut self.evaluator).1;
            made.insert(woken.job, unit);
        }
        for unit in made.values() {
            self.write(unit);
        }
        !made.is_empty()
    }

    /// Planner's part: one turn for every job with pending evaluations.
    pub fn plan_all(&mut self) -> bool {
        let jobs: BTreeSet<JobId> = self.world().jobs().map(|(id, _)| id.clone()).collect();
        let mut any = false;
        for job in jobs {
            let units = self.plan(&job);
            any |= !units.is_empty();
            units.iter().for_each(|unit| self.write(unit));
        }
        any
    }

    /// What the planner would write for a job now, judged by the checker.
    pub fn plan(&mut self, job: &JobId) -> Vec<Unit> {
        self.planner.now = self.now;
        let world = self.store.world().clone();
        let due = world.job(job).into_iter().flat_map(|entry| &entry.pending);
        let due = due.filter_map(|id| world.eval(*id)?.due).max();
        let outcome = turn(&world, &mut self.fleet, job, &mut self.planner);
        let now = due.map_or(self.now, |due| due.max(self.now));
        let found = check(&world, job, &outcome.units, now);
        assert!(found.is_empty(), "{found:#?}\nin {:#?}", outcome.units);
        outcome.units
    }

    /// Writes a unit as etcd would; panics on a guard that does not hold.
    pub fn write(&mut self, unit: &Unit) {
        match self.store.apply(unit) {
            Ok(changes) => self.changes.extend(changes),
            Err(guard) => panic!("{guard:?} does not hold for {unit:?}"),
        }
        self.log.push(unit.clone());
        let found = audit(self.world());
        assert!(found.is_empty(), "{found:#?}\nafter {unit:?}");
    }
}
