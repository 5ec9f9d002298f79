//! One pass over everything: first what must end, then what may begin.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use encamp_drivers::{Signal, signal_by_name};
use encamp_model::{
    AllocId, JobUid,
    job::Task,
    records::{Ask, ClientStatus, TaskPhase},
};

use super::{
    Core, Ending, Moment, Phase, RunId, Step, Text, Verdict,
    alloc::{Alloc, Wanted},
    fit::{Taken, missing_driver},
    tasks::received,
};

/// Between the stop signal and the kill, unless the task says otherwise.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// Steps by kind: their order is the promise of [`Core::pass`].
#[derive(Default)]
struct Plan {
    stops: Vec<Step>,
    starts: Vec<Step>,
    rest: Vec<Step>,
}

impl Core {
    /// What is to be done now. Carry out every step in order before the next input.
    pub fn pass(&mut self, now: &Moment) -> Vec<Step> {
        let mut plan = Plan::default();
        if self.registered && self.list_asked < self.list_needed {
            self.list_asked = self.list_needed;
            plan.rest.push(Step::List { epoch: self.list_needed });
        }
        let ids: Vec<AllocId> = std::mem::take(&mut self.unsettled).into_iter().collect();
        for id in &ids {
            self.learn(*id, now, &mut plan);
            self.end(*id, now, &mut plan);
        }
        self.begin(&ids, now, &mut plan);
        self.ask_for_cluster(&ids, &mut plan);
        self.remove(&ids, &mut plan);
        let mut steps = Vec::new();
        for id in ids {
            let Some(alloc) = self.allocs.get_mut(&id) else { continue };
            if (alloc.dirty || alloc.status.is_none()) && alloc.refresh_status(now.wall) {
                self.news.insert(id);
            }
            if std::mem::take(&mut alloc.dirty) && alloc.saved.record.is_some() {
                steps.push(Step::Save(id));
            }
            if !alloc.settled() {
                self.unsettled.insert(id);
            }
        }
        steps.append(&mut plan.stops);
        steps.append(&mut plan.starts);
        steps.append(&mut plan.rest);
        steps
    }

    /// The next instant (nanoseconds since boot) at which a pass may decide something new without an input.
    pub fn next_wake(&self, now: &Moment) -> Option<u64> {
        // Whatever waits is unsettled.
        let waiting = self.unsettled.iter().filter_map(|id| self.allocs.get(id));
        let tasks = waiting.flat_map(|a| a.saved.tasks.values());
        let waits = tasks.filter_map(|task| match (&task.phase, &task.failed_stop) {
            (Phase::Waiting { until_ns }, _) => Some(*until_ns),
            (_, Some(failed)) => Some(failed.retry_ns),
            _ => None,
        });
        let texts = self.jobs.values().filter_map(|text| match text {
            Text::Failed { retry_ns, .. } => Some(*retry_ns),
            _ => None,
        });
        // The lease's end starts nothing, but what is told of our health changes.
        let lease = std::iter::once(self.lease_until_ns);
        waits.chain(texts).chain(lease).filter(|at| *at > now.boot_ns && *at < u64::MAX).min()
    }

    /// Finds the text that the record names, and makes the tasks that it describes.
    fn learn(&mut self, id: AllocId, now: &Moment, plan: &mut Plan) {
        let Some(alloc) = self.allocs.get_mut(&id) else { return };
        let Some(record) = alloc.saved.record.clone() else { return };
        if !alloc.ended() && (alloc.job.is_none() || alloc.saved.version != Some(record.version)) {
            let key = (record.uid, record.version);
            match self.jobs.get(&key) {
                Some(Text::Known(job)) => {
                    alloc.saved.version = Some(record.version);
                    alloc.saved.job = Some(job.job_id());
                    alloc.job = Some(Arc::clone(job));
                    alloc.waits.clear();
                    alloc.dirty = true;
                }
                Some(Text::Asked { .. }) => {}
                Some(Text::Failed { retry_ns, .. }) if *retry_ns > now.boot_ns => {}
                other if alloc.wanted == Wanted::Record && self.registered => {
                    let failures =
                        if let Some(Text::Failed { failures, .. }) = other { *failures } else { 0 };
                    self.jobs.insert(key, Text::Asked { failures });
                    plan.rest.push(Step::FetchJob { uid: record.uid, version: record.version });
                }
                _ => {}
            }
        }
        if alloc.saved.tasks.is_empty() && !alloc.ended() && alloc.job.is_some() {
            match alloc.group().map(|g| &g.tasks).filter(|tasks| !tasks.is_empty()) {
                Some(_) => alloc.make_tasks(&received(now)),
                // Nothing can ever run of it, whatever is wanted.
                None => {
                    let description = format!(
                        "version {} of its job has no group \"{}\" with tasks",
                        record.version, record.group
                    );
                    alloc.saved.verdict = Some(Verdict { status: ClientStatus::Refused, description });
                }
            }
            alloc.dirty = true;
        }
    }

    /// Stops what is to be stopped, and closes the book on what is over.
    fn end(&mut self, id: AllocId, now: &Moment, plan: &mut Plan) {
        let leaving = self.leaving;
        let Some(alloc) = self.allocs.get_mut(&id) else { return };
        let cause = alloc.told_to_stop();
        let ending = alloc.is_ending();
        if ending || leaving {
            let names: Vec<_> = alloc.saved.tasks.keys().cloned().collect();
            for task in names {
                end_task(alloc, RunId { alloc: id, task, run: 0 }, ending, now, plan);
            }
        }
        if cause.is_some() && alloc.is_unreadable_and_untouched() {
            let description = std::mem::take(&mut alloc.waits);
            alloc.saved.verdict = Some(Verdict { status: ClientStatus::Complete, description });
            alloc.dirty = true;
        }
        let tasks = &alloc.saved.tasks;
        if alloc.ended() || tasks.is_empty() || tasks.values().any(|t| t.phase != Phase::Dead) {
            return;
        }
        let failed = tasks.iter().find(|(_, t)| t.state.failed).map(|(name, _)| name);
        let verdict = match (failed, &alloc.saved.ending) {
            (_, Some(Ending::Failed(name))) => failure(name),
            (Some(name), _) => failure(name),
            (None, Some(Ending::LeaderDead(name))) => Verdict {
                status: ClientStatus::Complete,
                description: format!("leader task \"{name}\" ended"),
            },
            (None, None) => Verdict {
                status: ClientStatus::Complete,
                description: cause.flatten().map_or_else(String::new, |why| why.describe().to_owned()),
            },
        };
        alloc.saved.verdict = Some(verdict);
        alloc.waits.clear();
        alloc.dirty = true;
    }

    /// Starts what may start: restarts at once, new work with permission.
    fn begin(&mut self, ids: &[AllocId], now: &Moment, plan: &mut Plan) {
        if self.leaving {
            return;
        }
        let allocs = &self.allocs;
        self.stops_first.retain(|id| allocs.get(id).is_some_and(Alloc::occupies));
        let mut order: Vec<_> = ids
            .iter()
            .filter_map(|id| {
                let alloc = self.allocs.get(id).filter(|a| a.may_begin())?;
                Some((alloc.record()?.created, *id))
            })
            .collect();
        if order.is_empty() {
            return;
        }
        order.sort_unstable();
        let mut room = Room::of(&self.allocs);
        for (_, id) in order {
            self.begin_alloc(id, now, &mut room, plan);
        }
    }

    fn begin_alloc(&mut self, id: AllocId, now: &Moment, room: &mut Room, plan: &mut Plan) {
        let (mut restarts, mut fresh) = (Vec::new(), Vec::new());
        let Some(alloc) = self.allocs.get(&id) else { return };
        for (name, task) in &alloc.saved.tasks {
            match task.phase {
                Phase::Waiting { until_ns } if until_ns > now.boot_ns => {}
                Phase::Waiting { .. } if task.restartable => restarts.push(name.clone()),
                Phase::Waiting { .. } | Phase::Idle => fresh.push(name.clone()),
                _ => {}
            }
        }
        for task in restarts {
            self.start(RunId { alloc: id, task, run: 0 }, None, now, plan);
        }
        if fresh.is_empty() || !self.judge(id, now, room) {
            return;
        }
        let waits = self.blocked_by(id, room);
        let deadline_ns = self.permission(now).filter(|_| self.stops_first.is_empty());
        let Some(alloc) = self.allocs.get_mut(&id) else { return };
        let free = waits.is_none();
        let waits = waits.unwrap_or_default();
        if alloc.waits != waits {
            alloc.waits = waits;
            alloc.dirty = true;
        }
        if !free || deadline_ns.is_none() {
            return;
        }
        for port in alloc.record().into_iter().flat_map(|r| &r.ports) {
            room.ports.insert(port.value, id);
        }
        for task in fresh {
            self.start(RunId { alloc: id, task, run: 0 }, deadline_ns, now, plan);
        }
    }

    /// May this allocation's new tasks be thought of? Refuses it if it never started and does not fit.
    fn judge(&mut self, id: AllocId, now: &Moment, room: &mut Room) -> bool {
        let listed = self.listed();
        let Some(alloc) = self.allocs.get(&id) else { return false };
        let Some(record) = alloc.record() else { return false };
        if alloc.wanted != Wanted::Record || alloc.saved.version != Some(record.version) || !listed {
            return false;
        }
        let Some(info) = &self.info else { return false };
        let extra = if alloc.occupies() { Ask::default() } else { Taken::extra(&self.allocs, alloc) };
        if alloc.untouched() {
            let lacks = missing_driver(info, alloc).or_else(|| room.taken.lacks(info, extra));
            if let Some(reason) = lacks {
                self.refuse(id, reason, now);
                return false;
            }
        }
        room.taken.add(extra);
        true
    }

    fn refuse(&mut self, id: AllocId, reason: String, now: &Moment) {
        let Some(alloc) = self.allocs.get_mut(&id) else { return };
        for task in alloc.saved.tasks.values_mut() {
            task.event("Not Started", now.wall, reason.clone());
            task.die(false, now.wall);
        }
        alloc.saved.verdict = Some(Verdict { status: ClientStatus::Refused, description: reason });
        alloc.waits.clear();
        alloc.dirty = true;
    }

    /// What on this node must go before `id` may start.
    fn blocked_by(&self, id: AllocId, room: &Room) -> Option<String> {
        let record = self.allocs.get(&id)?.record()?;
        let before = record.after.iter().find(|named| self.allocs.get(named).is_some_and(Alloc::occupies));
        if let Some(named) = before {
            return Some(format!("waits for allocation {} to end", named.short()));
        }
        record.ports.iter().find_map(|port| match room.ports.get(&port.value) {
            Some(holder) if *holder != id => Some(format!(
                "waits for port {} ({}), held by allocation {}",
                port.value,
                port.label,
                holder.short()
            )),
            _ => None,
        })
    }

    fn start(&mut self, mut run: RunId, deadline_ns: Option<u64>, now: &Moment, plan: &mut Plan) {
        let Some(alloc) = self.allocs.get_mut(&run.alloc) else { return };
        let Some(task) = alloc.saved.tasks.get_mut(&run.task) else { return };
        if task.run == 0 {
            task.event("Task Setup", now.wall, "making the task's folders");
        }
        task.run += 1;
        task.phase = Phase::Starting;
        alloc.dirty = true;
        run.run = task.run;
        plan.starts.push(Step::Start { run, deadline_ns });
    }

    fn ask_for_cluster(&mut self, ids: &[AllocId], plan: &mut Plan) {
        let unsure = ids.iter().filter_map(|id| self.allocs.get(id));
        let newest = unsure.filter_map(|a| match a.wanted {
            Wanted::Absent { seen, confirmed: false } => Some(seen),
            _ => None,
        });
        if let Some(seen) = newest.max()
            && seen > self.cluster_asked
        {
            self.cluster_asked = self.absences;
            plan.rest.push(Step::ReadCluster { absences: self.absences });
        }
    }

    /// Lets go of what is confirmed gone and over, and of texts that nothing names any more.
    fn remove(&mut self, ids: &[AllocId], plan: &mut Plan) {
        let mut named: Option<BTreeSet<(JobUid, u64)>> = None;
        for id in ids {
            let Some(alloc) = self.allocs.get(id) else { continue };
            let gone = matches!(alloc.wanted, Wanted::Absent { confirmed: true, .. });
            if !gone || alloc.saved.tasks.values().any(|t| t.phase != Phase::Dead) {
                continue;
            }
            self.allocs.remove(id);
            self.stops_first.remove(id);
            named = Some(BTreeSet::new());
            plan.rest.push(Step::Remove(*id));
        }
        let Some(mut named) = named else { return };
        for alloc in self.allocs.values() {
            if let Some(record) = alloc.record() {
                named.insert((record.uid, record.version));
                named.extend(alloc.saved.version.map(|version| (record.uid, version)));
            }
        }
        let unused: Vec<_> = self
            .jobs
            .iter()
            .filter(|(key, text)| !named.contains(key) && !matches!(text, Text::Asked { .. }))
            .map(|(key, _)| *key)
            .collect();
        for (uid, version) in unused {
            self.jobs.remove(&(uid, version));
            plan.rest.push(Step::ForgetJob { uid, version });
        }
    }
}

/// What is taken while a pass hands out starts.
struct Room {
    taken: Taken,
    ports: BTreeMap<u16, AllocId>,
}

impl Room {
    fn of(allocs: &BTreeMap<AllocId, Alloc>) -> Self {
        let mut ports = BTreeMap::new();
        for (id, alloc) in allocs.iter().filter(|(_, a)| a.occupies()) {
            for port in alloc.record().into_iter().flat_map(|r| &r.ports) {
                ports.insert(port.value, *id);
            }
        }
        Room { taken: Taken::by_occupants(allocs), ports }
    }
}

fn failure(task: &str) -> Verdict {
    Verdict { status: ClientStatus::Failed, description: format!("task \"{task}\" failed") }
}

/// How a task is asked to stop, and how long it may take.
pub fn kill_settings(task: Option<&Task>) -> (Signal, Duration) {
    let signal = task.and_then(|t| t.kill_signal.as_deref()).and_then(signal_by_name);
    let timeout = task.and_then(|t| t.kill_timeout).and_then(|ns| u64::try_from(ns).ok());
    (signal.unwrap_or(Signal::SIGINT), timeout.map_or(KILL_TIMEOUT, Duration::from_nanos))
}

/// Brings one task of an ending allocation (or agent) a step nearer to its end.
fn end_task(alloc: &mut Alloc, mut run: RunId, for_good: bool, now: &Moment, plan: &mut Plan) {
    let (signal, timeout) = kill_settings(alloc.task(&run.task));
    let Some(task) = alloc.saved.tasks.get_mut(&run.task) else { return };
    match task.phase {
        Phase::Idle | Phase::Waiting { .. } if for_good => {
            task.die(false, now.wall);
            alloc.dirty = true;
        }
        Phase::Waiting { .. } if task.restartable => {
            task.restartable = false;
            task.phase = Phase::Waiting { until_ns: 0 };
            alloc.dirty = true;
        }
        Phase::Running => {
            let wait = crate::restart::human(timeout);
            task.event("Killing", now.wall, format!("sent {signal}, kill follows in {wait}"));
            task.phase = Phase::Stopping;
            task.state.state = TaskPhase::Running;
            alloc.dirty = true;
            run.run = task.run;
            plan.stops.push(Step::Stop { run, signal, timeout });
        }
        Phase::Stopping => {
            if let Some(failed) = &mut task.failed_stop
                && failed.retry_ns <= now.boot_ns
            {
                // Until it is answered.
                failed.retry_ns = u64::MAX;
                run.run = task.run;
                plan.stops.push(Step::Stop { run, signal, timeout });
            }
        }
        Phase::Idle | Phase::Waiting { .. } | Phase::Starting | Phase::Dead => {}
    }
}
