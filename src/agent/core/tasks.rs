//! What the life of a run means for its task: started, not started, ended, found again, not stopped.

use encamp_drivers::{Ended, Exit};
use encamp_model::{
    Timestamp,
    job::JobType,
    records::{TaskPhase, TaskState},
};

use super::{
    Core, Ending, Found, Moment, Phase, RunId, StartFailure, TaskRun,
    alloc::{Alloc, FailedStop},
};
use crate::restart::{self, Decision, Policy};

/// First pause before a failed stop is tried again; doubles up to a minute.
const STOP_PAUSE_NS: u64 = 1_000_000_000;

/// Before a start that the agent itself was not able to make is tried again.
const NOT_NOW_PAUSE_NS: u64 = 5_000_000_000;

impl Core {
    fn run_of(&mut self, run: &RunId) -> Option<&mut Alloc> {
        let alloc = self.allocs.get_mut(&run.alloc)?;
        self.unsettled.insert(run.alloc);
        let task = alloc.saved.tasks.get(&run.task)?;
        let under_way = matches!(task.phase, Phase::Starting | Phase::Running | Phase::Stopping);
        (under_way && task.run == run.run).then_some(alloc)
    }

    pub(super) fn started(&mut self, run: &RunId, at: Timestamp) {
        let Some(alloc) = self.run_of(run) else { return };
        alloc.dirty = true;
        let Some(task) = alloc.saved.tasks.get_mut(&run.task) else { return };
        task.phase = Phase::Running;
        task.touched = true;
        task.restartable = true;
        task.state.state = TaskPhase::Running;
        task.state.started = Some(at);
        task.state.finished = None;
        task.event("Started", at, "the task runs");
    }

    pub(super) fn start_failed(&mut self, run: &RunId, failure: StartFailure, now: &Moment) {
        let Some(alloc) = self.run_of(run) else { return };
        alloc.dirty = true;
        let policy = policy_of(alloc, run);
        let Some(task) = alloc.saved.tasks.get_mut(&run.task) else { return };
        match failure {
            StartFailure::Late => not_tried(task, now),
            StartFailure::NotNow => {
                task.phase = Phase::Waiting { until_ns: now.boot_ns.saturating_add(NOT_NOW_PAUSE_NS) };
            }
            StartFailure::Retry(reason) => {
                task.touched = true;
                task.event("Driver Failure", now.wall, reason);
                decide(alloc, run, policy.as_ref(), false, now);
            }
            StartFailure::Final(reason) => {
                task.touched = true;
                task.event("Driver Failure", now.wall, reason);
                task.event("Not Restarting", now.wall, "another attempt would fail alike");
                task.die(true, now.wall);
            }
        }
        after_death(alloc, run, now);
    }

    pub(super) fn run_ended(&mut self, run: &RunId, ended: &Ended, now: &Moment) {
        let leaving = self.leaving;
        if let Exit::NotStarted { reason, late } = &ended.exit {
            let failure = if *late { StartFailure::Late } else { StartFailure::Retry(reason.clone()) };
            return self.start_failed(run, failure, now);
        }
        let Some(alloc) = self.run_of(run) else { return };
        alloc.dirty = true;
        let policy = policy_of(alloc, run);
        let ending = alloc.is_ending();
        let Some(task) = alloc.saved.tasks.get_mut(&run.task) else { return };
        let asked = task.phase == Phase::Stopping;
        // Who asked it to stop may have been heard of no more: it ended because it was asked to.
        let stopped = ending || (asked && !leaving);
        task.failed_stop = None;
        // The agent may have missed the start: the run's own record says when it was.
        task.touched = true;
        task.state.started = Some(ended.started);
        task.state.finished = Some(ended.when);
        terminated(task, ended);
        if stopped {
            if asked {
                task.event("Killed", now.wall, "stopped as asked");
            }
            task.die(false, now.wall);
        } else if leaving {
            task.restartable = false;
            task.state.state = TaskPhase::Pending;
            task.phase = Phase::Waiting { until_ns: 0 };
        } else {
            decide(alloc, run, policy.as_ref(), ended.exit.success(), now);
        }
        after_death(alloc, run, now);
    }

    pub(super) fn recovered(&mut self, run: &RunId, found: Found, now: &Moment) {
        let Some(alloc) = self.run_of(run) else { return };
        let ending = alloc.is_ending();
        let Some(task) = alloc.saved.tasks.get_mut(&run.task) else { return };
        let starting = task.phase == Phase::Starting;
        if task.phase == Phase::Stopping && !ending {
            // The last agent stopped it to take it along: it is wanted all the same.
            task.phase = Phase::Running;
        }
        // It ran in an earlier boot of the machine.
        let rebooted = task.touched && !task.restartable;
        match found {
            Found::Running(at) if starting => self.started(run, at),
            Found::Running(_) => {
                // A stop that was under way is given again by the next pass.
                task.phase = Phase::Running;
                task.restartable = true;
            }
            Found::Ended(ended) if rebooted && ended.exit == Exit::SupervisorLost => {
                lost_with_boot(alloc, run, now);
            }
            Found::Ended(ended) => self.run_ended(run, &ended, now),
            Found::Never if starting => {
                alloc.dirty = true;
                not_tried(task, now);
            }
            Found::Never if rebooted => lost_with_boot(alloc, run, now),
            Found::Never => {
                let started = task.state.started.unwrap_or(now.wall);
                let exit = Exit::SupervisorLost;
                let ended = Ended { run: run.run, exit, when: now.wall, started, log_bytes_dropped: 0 };
                self.run_ended(run, &ended, now);
            }
        }
    }

    pub(super) fn stop_failed(&mut self, run: &RunId, reason: &str, now: &Moment) {
        let Some(alloc) = self.run_of(run) else { return };
        alloc.dirty = true;
        let Some(task) = alloc.saved.tasks.get_mut(&run.task) else { return };
        let failures = task.failed_stop.as_ref().map_or(0, |f| f.failures);
        let pause = (STOP_PAUSE_NS << failures.min(6)).min(60 * STOP_PAUSE_NS);
        if failures == 0 {
            task.event("Killing", now.wall, format!("could not be stopped: {reason}"));
        }
        task.failed_stop = Some(FailedStop { retry_ns: now.boot_ns + pause, failures: failures + 1 });
        self.stops_first.remove(&run.alloc);
    }
}

/// As if the start had not been asked for.
fn not_tried(task: &mut TaskRun, now: &Moment) {
    task.phase = if task.touched { Phase::Waiting { until_ns: now.boot_ns } } else { Phase::Idle };
}

/// The machine went down under a run: nobody's fault, and its start is a new one.
fn lost_with_boot(alloc: &mut Alloc, run: &RunId, now: &Moment) {
    alloc.dirty = true;
    let stopped = alloc.is_ending();
    let Some(task) = alloc.saved.tasks.get_mut(&run.task) else { return };
    task.state.finished = Some(now.wall);
    task.event("Terminated", now.wall, "ended with the machine, which was restarted");
    if stopped {
        return task.die(false, now.wall);
    }
    task.state.state = TaskPhase::Pending;
    task.phase = Phase::Waiting { until_ns: 0 };
}

fn policy_of(alloc: &Alloc, run: &RunId) -> Option<Policy> {
    let group = alloc.group()?;
    let task = alloc.task(&run.task);
    let kind = alloc.job.as_ref()?.kind;
    Some(Policy::of(kind, group.restart_policy.as_ref(), task.and_then(|t| t.restart_policy.as_ref())))
}

fn terminated(task: &mut TaskRun, ended: &Ended) {
    let (message, code, signal) = match &ended.exit {
        Exit::Exited { code } => (format!("Exit Code: {code}"), Some(*code), None),
        Exit::Signaled { signal } => {
            (format!("Exit Code: {}, Signal: {signal}", 128 + signal), Some(128 + signal), Some(*signal))
        }
        other => (format!("Exit Code: unknown, {other}"), None, None),
    };
    let event = task.event("Terminated", ended.when, message);
    event.exit_code = code;
    event.signal = signal;
}

fn decide(alloc: &mut Alloc, run: &RunId, policy: Option<&Policy>, success: bool, now: &Moment) {
    // Without its text the job's kind is unknown: the more cautious defaults hold.
    let policy = policy.copied().unwrap_or_else(|| Policy::of(JobType::Batch, None, None));
    let Some(task) = alloc.saved.tasks.get_mut(&run.task) else { return };
    match restart::decide(&policy, &mut task.history, success, now.boot_ns, now.random) {
        Decision::Done => task.die(false, now.wall),
        Decision::GiveUp { reason } => {
            task.event("Not Restarting", now.wall, reason);
            task.die(true, now.wall);
        }
        Decision::Restart { delay, reason } => {
            let pause = restart::human(delay);
            task.event("Restarting", now.wall, format!("Task restarting in {pause} ({reason})"));
            task.state.state = TaskPhase::Pending;
            task.state.restarts += 1;
            let delay_ns = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
            task.phase = Phase::Waiting { until_ns: now.boot_ns.saturating_add(delay_ns) };
        }
    }
}

/// A task that died for good may take the others along.
fn after_death(alloc: &mut Alloc, run: &RunId, now: &Moment) {
    let Some(task) = alloc.saved.tasks.get(&run.task).filter(|t| t.phase == Phase::Dead) else { return };
    let failed = task.state.failed;
    let leader = alloc.task(&run.task).is_some_and(|t| t.leader);
    if alloc.is_ending() || !(failed || leader) {
        return;
    }
    alloc.saved.ending = Some(match failed {
        true => Ending::Failed(run.task.clone()),
        false => Ending::LeaderDead(run.task.clone()),
    });
    let (kind, why) = match failed {
        true => ("Sibling Task Failed", format!("task \"{}\" of this allocation failed", run.task)),
        false => ("Leader Task Dead", format!("leader task \"{}\" of this allocation ended", run.task)),
    };
    for (name, other) in &mut alloc.saved.tasks {
        if *name != run.task && other.phase != Phase::Dead {
            other.event(kind, now.wall, why.clone());
        }
    }
}

/// A task as it is before anything was tried.
pub(super) fn received(now: &Moment) -> TaskRun {
    let mut task = TaskRun { state: TaskState::default(), ..TaskRun::default() };
    task.event("Received", now.wall, "the task came to this node");
    task
}
