//! A cluster in which everybody but gc writes what they may, in any order: what gc must not disturb.

use std::time::Duration;

use encamp_model::{
    Key, NodeId, Timestamp, Unit,
    job::JobType,
    records::{ClientStatus, Desired, EvalStatus, Gate},
    status::may_follow,
};
use encamp_world::{
    AllocEntry, Change, World,
    control::{Controller, Queue},
    testing::{TestWorld, objects},
};

use super::{alloc_id, eval_id, node, uid};
use crate::{Garbage, Gc};

/// One thing that happens; the number chooses to whom.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    Register(u8),
    StopJob(u8),
    Purge(u8),
    Evaluate(u8),
    Answer(u8),
    Want(u8),
    Place(u8),
    Replace(u8),
    StopAlloc(u8),
    Says(u8, u8),
    Join(u8),
    LoseLease(u8),
    Heartbeat(u8),
    Wait(u8),
}

/// Names of jobs: the first and third are batch jobs.
const JOBS: [&str; 3] = ["web", "team/db", "x"];

pub(super) struct Life {
    pub(super) store: TestWorld,
    pub(super) now: Timestamp,
    pub(super) queue: Queue<Garbage>,
    gc: Gc,
    ids: u128,
}

impl Life {
    pub(super) fn new() -> Self {
        Life {
            store: TestWorld::new(),
            now: Timestamp::from_secs(1_000_000),
            queue: Queue::default(),
            gc: Gc::default(),
            ids: 0,
        }
    }

    fn id(&mut self) -> u128 {
        self.ids += 1;
        self.ids
    }

    fn noted(&mut self, changes: &[Change]) {
        changes.iter().for_each(|c| self.gc.dirty(c, self.store.world(), &mut self.queue));
    }

    fn put(&mut self, key: Key, value: &impl serde::Serialize) {
        let changes = self.store.put(key, value);
        self.noted(&changes);
    }

    fn write(&mut self, unit: &Unit) {
        let changes = self.store.write(&unit.writes);
        self.noted(&changes);
    }

    /// Applies a unit of gc's, if its guards hold, after a look at what it deletes.
    pub(super) fn collect(&mut self, unit: &Unit) -> bool {
        let before = self.store.world().clone();
        let Ok(changes) = self.store.apply(unit) else { return false };
        super::random::assert_garbage(&before, unit, self.now);
        self.noted(&changes);
        true
    }

    /// All that gc would do now, on a World of its own.
    pub(super) fn sweep(&self, world: &World) -> Vec<Unit> {
        let mut queue = Queue::default();
        self.gc.all(world, &mut queue);
        let mut units = Vec::new();
        while let Some(key) = queue.pop() {
            units.extend(self.gc.judge(&key, world, self.now).units);
        }
        units
    }

    /// Lets the loop run, driven by changes and instants alone, until it waits.
    pub(super) fn run_gc(&mut self) {
        self.queue.set_now(self.now);
        while let Some(key) = self.queue.pop() {
            let outcome = self.gc.judge(&key, self.store.world(), self.now);
            for unit in &outcome.units {
                assert!(self.collect(unit), "nobody else writes: {unit:?}");
            }
            self.queue.finish(&key);
            if outcome.cut {
                self.queue.add(key.clone());
            }
            if let Some(at) = outcome.again {
                assert!(at > self.now, "{key:?} is due and does not go");
                self.queue.add_at(key, at);
            }
        }
    }

    pub(super) fn wait(&mut self, minutes: u64) {
        self.now = self.now + Duration::from_secs(60 * minutes);
    }

    pub(super) fn happen(&mut self, event: Event) {
        match event {
            Event::Register(n) => self.declare(n, false),
            Event::StopJob(n) => self.declare(n, true),
            Event::Purge(n) => {
                let changes = self.store.delete(Key::Job(name(n)));
                self.noted(&changes);
            }
            Event::Evaluate(n) => self.evaluate(n),
            Event::Answer(n) => self.answer(n),
            Event::Want(n) => self.want(n),
            Event::Place(n) => self.place(n),
            Event::Replace(n) => self.replace(n),
            Event::StopAlloc(n) => self.stop(n),
            Event::Says(n, status) => self.says(n, status),
            Event::Join(n) => self.join(n),
            Event::LoseLease(n) => {
                let changes = self.store.delete(Key::NodeLease(which_node(n)));
                self.noted(&changes);
            }
            Event::Heartbeat(n) => self.heartbeat(which_node(n)),
            // Minutes to two days.
            Event::Wait(n) => self.wait(u64::from(n).pow(2) / 20),
        }
    }

    /// The api: a new version of a registration, or a new registration. Its evaluation is another event.
    fn declare(&mut self, n: u8, stop: bool) {
        let present = self.store.world().job(&name(n)).and_then(|entry| entry.job.clone());
        if stop && present.as_ref().is_none_or(|job| job.stop) {
            return;
        }
        let (uid, version) = match &present {
            Some(job) => (job.uid.expect("stored jobs have one"), job.version + 1),
            None => (uid(1000 + self.id()), 0),
        };
        let mut job = objects::job(JOBS[usize::from(n) % 3], uid, version);
        job.kind = if n.is_multiple_of(3) || n % 3 == 2 { JobType::Batch } else { JobType::Service };
        job.stop = stop;
        job.submit_time = Some(self.now.0);
        job.task_groups[0].count = Some(2);
        if n > 200 {
            job.task_groups[0].name = "other".into();
        }
        if n > 100 {
            job.meta.insert("n".into(), n.to_string());
        }
        let mut unit = Unit::new();
        unit.put(Key::Job(job.job_id()), &job);
        unit.put(Key::JobVersion(uid, version), &job);
        unit.put(Key::JobSource(uid, version), &"text");
        self.write(&unit);
    }

    fn evaluate(&mut self, n: u8) {
        let Some(job) = self.store.world().job(&name(n)).and_then(|entry| entry.job.clone()) else { return };
        let uid = job.uid.expect("stored jobs have one");
        let world = self.store.world();
        let announced = world.job(&name(n)).and_then(|entry| entry.state.as_ref()).map(|state| state.next);
        let id = announced.filter(|id| world.eval(*id).is_none()).unwrap_or_else(|| eval_id(self.id()));
        let eval = objects::eval(JOBS[usize::from(n) % 3], uid, EvalStatus::Pending, self.now);
        self.put(Key::Eval(id), &eval);
    }

    fn answer(&mut self, n: u8) {
        let world = self.store.world();
        let pending = world.evals().filter(|(_, e)| e.status == EvalStatus::Pending);
        let Some((id, eval)) = pick(pending.collect(), n) else { return };
        let statuses = [EvalStatus::Complete, EvalStatus::Canceled, EvalStatus::Failed];
        let mut answered = eval.value.clone();
        answered.status = statuses[usize::from(n) % 3];
        answered.outcome = objects::eval("", eval.uid, answered.status, self.now).outcome;
        self.put(Key::Eval(id), &answered);
    }

    fn want(&mut self, n: u8) {
        let entry = self.store.world().job(&name(n)).cloned().unwrap_or_default();
        match (&entry.job, &entry.state) {
            (Some(job), None) => {
                let next = eval_id(self.id());
                let state = objects::job_state(job.uid.expect("stored jobs have one"), next);
                self.put(Key::JobState(name(n)), &state);
            }
            (Some(_), Some(_)) => {
                let changes = self.store.delete(Key::JobState(name(n)));
                self.noted(&changes);
            }
            (None, _) => {}
        }
    }

    /// The planner: a name that nobody holds, of the current version, on a node that takes placements. Of a job that
    /// has an evaluation pending.
    fn place(&mut self, n: u8) {
        let world = self.store.world();
        let Some(job) = world.job(&name(n)).and_then(|entry| entry.job.clone()).filter(|job| !job.stop)
        else {
            return;
        };
        let uid = job.uid.expect("stored jobs have one");
        let Some(eval) = pending(world, uid) else { return };
        let group = &job.task_groups[0].name;
        let index = u32::from(n / 3 % 2);
        let held = world.registration(uid).is_some_and(|r| {
            let mut wanted = r.allocs.values().filter(|a| a.record.desired == Desired::Run);
            wanted.any(|a| a.record.group == *group && a.record.index == index)
        });
        let Some(on) = pick(ready(world), n).filter(|_| !held) else { return };
        let mut record = objects::alloc(uid, job.version, index);
        record.group = group.clone();
        record.eval = eval;
        let id = alloc_id(self.id());
        self.put(Key::Alloc(on, id), &record);
    }

    /// The planner: stop and successor in one unit, for what failed, is lost, or is of another version.
    fn replace(&mut self, n: u8) {
        let world = self.store.world();
        let replaceable = world.allocs().filter(|a| {
            let job = declared(world, a);
            let why = a.said() == ClientStatus::Failed
                || world.node(a.node).is_some_and(|n| n.is_down() && !a.is_terminal())
                || job.as_ref().is_some_and(|(version, _)| *version != a.record.version && !a.is_terminal());
            a.record.desired == Desired::Run && job.is_some_and(|(_, stop)| !stop) && why
        });
        let Some(old) = pick(replaceable.cloned().collect(), n) else { return };
        let Some(on) = pick(ready(world), n) else { return };
        let Some((version, _)) = declared(world, &old) else { return };
        let Some(eval) = pending(world, old.record.uid) else { return };
        let next = alloc_id(self.ids + 1);
        self.ids += 1;
        let (mut stopped, mut successor) = (old.record.value.clone(), old.record.value.clone());
        (stopped.desired, stopped.next) = (Desired::Stop, Some(next));
        (successor.version, successor.previous, successor.eval) = (version, Some(old.id), eval);
        let mut unit = Unit::new();
        unit.put(Key::Alloc(old.node, old.id), &stopped);
        unit.place(on, next, successor);
        self.write(&unit);
    }

    /// The planner: what is no longer declared.
    fn stop(&mut self, n: u8) {
        let world = self.store.world();
        let unwanted = world.allocs().filter(|a| {
            a.record.desired == Desired::Run
                && !a.is_terminal()
                && declared(world, a).is_none_or(|(_, stop)| stop)
        });
        let Some(alloc) = pick(unwanted.cloned().collect(), n) else { return };
        let mut record = alloc.record.value.clone();
        record.desired = Desired::Stop;
        self.put(Key::Alloc(alloc.node, alloc.id), &record);
    }

    /// An agent with its lease, of an allocation that it has.
    fn says(&mut self, n: u8, status: u8) {
        let world = self.store.world();
        let Some(alloc) = pick(world.allocs().cloned().collect(), n) else { return };
        let statuses =
            [ClientStatus::Running, ClientStatus::Complete, ClientStatus::Failed, ClientStatus::Refused];
        let status = statuses[usize::from(status) % 4];
        let leased = world.mod_revision(&Key::NodeLease(alloc.node)) != 0;
        let Some(job) = world.registration(alloc.record.uid).and_then(|r| r.job.clone()) else { return };
        if leased && may_follow(alloc.said(), status) {
            let said = objects::status(&job.name, &alloc.record, status, self.now);
            self.put(Key::AllocStatus(alloc.node, alloc.id), &said);
        }
    }

    fn join(&mut self, n: u8) {
        let id = which_node(n);
        let mut unit = Unit::new();
        unit.put(Key::NodeInfo(id), &objects::node_info(id));
        unit.put(Key::NodeLease(id), &objects::lease());
        self.write(&unit);
    }

    fn heartbeat(&mut self, id: NodeId) {
        let world = self.store.world();
        let Some(entry) = world.node(id).filter(|entry| entry.info.is_some()) else { return };
        let gate = match (entry.gate(), entry.lease.is_some()) {
            (_, true) => Gate::Ready,
            (Some(Gate::Disconnected | Gate::Down), false) => Gate::Down,
            (_, false) => Gate::Disconnected,
        };
        if entry.gate() != Some(gate) {
            let mut state = objects::gate(gate);
            state.since = self.now;
            self.put(Key::NodeState(id), &state);
        }
    }
}

/// An evaluation of this registration that is not answered yet: only such a one places.
fn pending(world: &World, uid: encamp_model::JobUid) -> Option<encamp_model::EvalId> {
    let mut of_it = world.evals().filter(|(_, e)| e.uid == uid && e.status == EvalStatus::Pending);
    of_it.next().map(|(id, _)| id)
}

fn name(n: u8) -> encamp_model::JobId {
    encamp_model::JobId::new("default", JOBS[usize::from(n) % 3])
}

fn which_node(n: u8) -> NodeId {
    node(u128::from(n % 3) + 1)
}

fn pick<T>(mut of: Vec<T>, n: u8) -> Option<T> {
    let len = of.len();
    (len > 0).then(|| of.swap_remove(usize::from(n) % len))
}

fn ready(world: &World) -> Vec<NodeId> {
    world.nodes().filter(|(_, n)| n.takes_placements()).map(|(id, _)| id).collect()
}

/// The version that its declaration is at, and whether it is stopped, if there is one that has its group.
fn declared(world: &World, alloc: &AllocEntry) -> Option<(u64, bool)> {
    let name = world.registration(alloc.record.uid)?.job.as_ref()?;
    let job = world.job(name)?.job.as_deref()?;
    let ours = job.uid == Some(alloc.record.uid) && job.group(&alloc.record.group).is_some();
    ours.then_some((job.version, job.stop))
}
