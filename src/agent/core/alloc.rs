//! One allocation as its node sees it: what is wanted, where each task stands, and the status that follows from it.

use std::{collections::BTreeMap, sync::Arc};

use encamp_model::{
    JobId, Name, Timestamp,
    job::{Job, Task, TaskGroup},
    records::{AllocRecord, AllocStatus, ClientStatus, Desired, StopReason, TaskEvent, TaskPhase, TaskState},
};
use serde::{Deserialize, Serialize};

use crate::restart::History;

/// What the planner's range says of an allocation.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// A record.
    Record(Arc<AllocRecord>),
    /// A value that cannot be decoded: its tasks are left alone.
    Opaque,
}

/// What is known of the record now.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Wanted {
    /// From the disk or from the range; the record itself is in [`AllocState::record`].
    Record,
    /// The range holds a value that cannot be decoded.
    Opaque,
    /// The range does not hold it. Means something only once a read of `cluster`, asked for at or after this number,
    /// showed our uid.
    Absent {
        /// Counts absences.
        seen: u64,
        /// The read was made.
        confirmed: bool,
    },
}

/// Where a task is between two decisions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "is")]
pub enum Phase {
    /// Never started.
    #[default]
    Idle,
    /// Handed to its driver; may or may not run.
    Starting,
    /// Runs.
    Running,
    /// Ended, to be started again.
    Waiting {
        /// Not before this instant (nanoseconds since boot).
        until_ns: u64,
    },
    /// Told to stop.
    Stopping,
    /// Over for good.
    Dead,
}

/// Longest message of an event, bytes: they all go into one value, with those of the other tasks.
const MESSAGE_MAX: usize = 256;

/// A stop that did not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FailedStop {
    /// When to try again (nanoseconds since boot).
    pub(crate) retry_ns: u64,
    /// Failures in a row.
    pub(crate) failures: u32,
}

/// One task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskRun {
    /// What is reported of it.
    pub state: TaskState,
    /// Where it is.
    pub phase: Phase,
    /// Number of the present or last start.
    #[serde(default)]
    pub run: u64,
    /// What its restart policy has used up.
    #[serde(default)]
    pub history: History,
    /// It ran since the machine's boot, so that it may be restarted without the lease.
    #[serde(default)]
    pub restartable: bool,
    /// It ran, or its driver tried: the allocation can no longer be refused.
    #[serde(default)]
    pub touched: bool,
    /// The last stop failed.
    #[serde(skip)]
    pub(crate) failed_stop: Option<FailedStop>,
}

impl TaskRun {
    /// A supervisor may hold it, or will again: its ports and its room are taken.
    pub(crate) fn occupies(&self) -> bool {
        match self.phase {
            Phase::Starting | Phase::Running | Phase::Stopping => true,
            Phase::Waiting { .. } => self.restartable,
            Phase::Idle | Phase::Dead => false,
        }
    }

    /// Nothing is to be done about it, as far as its phase goes.
    fn settled(&self) -> bool {
        match self.phase {
            Phase::Starting | Phase::Running | Phase::Dead => true,
            Phase::Stopping => self.failed_stop.is_none(),
            Phase::Idle | Phase::Waiting { .. } => false,
        }
    }

    /// Adds an event, dropping the oldest over the bound.
    pub(crate) fn event(
        &mut self,
        kind: &str,
        time: Timestamp,
        message: impl Into<String>,
    ) -> &mut TaskEvent {
        let events = &mut self.state.events;
        if events.len() >= TaskState::MAX_EVENTS {
            events.drain(..=events.len() - TaskState::MAX_EVENTS);
        }
        let mut message = message.into();
        let whole = (0..=MESSAGE_MAX.min(message.len())).rev().find(|at| message.is_char_boundary(*at));
        message.truncate(whole.unwrap_or(0));
        events.push(TaskEvent { kind: kind.to_owned(), time, message, ..TaskEvent::default() });
        events.last_mut().expect("just pushed")
    }

    /// Over for good.
    pub(crate) fn die(&mut self, failed: bool, time: Timestamp) {
        self.phase = Phase::Dead;
        self.failed_stop = None;
        self.state.state = TaskPhase::Dead;
        self.state.failed = failed;
        if self.state.started.is_some() && self.state.finished.is_none() {
            self.state.finished = Some(time);
        }
    }
}

/// Why the tasks of an allocation are being stopped though its record does not say so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// This task failed for good.
    Failed(Name),
    /// This task was the leader, and it ended.
    LeaderDead(Name),
}

/// The last word on an allocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// A terminal status.
    pub status: ClientStatus,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// What is kept on disk of an allocation, so that an agent that comes back goes on where the last one was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AllocState {
    /// The last record seen.
    pub record: Option<Arc<AllocRecord>>,
    /// The job version it goes by; differs from the record's until that version's text is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The job it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
    /// Its tasks.
    #[serde(default)]
    pub tasks: BTreeMap<Name, TaskRun>,
    /// Why it is ending by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// The machine's boot in which this was written: instants since boot mean nothing in another.
    pub boot_id: String,
}

/// An allocation in memory.
#[derive(Clone, Debug)]
pub(crate) struct Alloc {
    pub(crate) saved: AllocState,
    pub(crate) wanted: Wanted,
    /// The text of `saved.version`.
    pub(crate) job: Option<Arc<Job>>,
    /// What etcd held when the node registered: an agent that lost its own state goes by it.
    pub(crate) told: Option<Arc<AllocStatus>>,
    /// What was last computed for etcd.
    pub(crate) status: Option<Arc<AllocStatus>>,
    /// What it waits for before it starts, for people.
    pub(crate) waits: String,
    /// Something changed since the last save.
    pub(crate) dirty: bool,
}

/// Something of it was tried, by what was said of it.
fn tried(told: &AllocStatus) -> bool {
    told.status != ClientStatus::Pending || told.tasks.values().any(|task| task.started.is_some())
}

impl Alloc {
    pub(crate) fn new(saved: AllocState, wanted: Wanted) -> Self {
        Alloc { saved, wanted, job: None, told: None, status: None, waits: String::new(), dirty: true }
    }

    pub(crate) fn record(&self) -> Option<&Arc<AllocRecord>> {
        self.saved.record.as_ref()
    }

    pub(crate) fn group(&self) -> Option<&TaskGroup> {
        self.job.as_ref()?.group(&self.record()?.group)
    }

    pub(crate) fn task(&self, name: &str) -> Option<&Task> {
        self.group()?.task(name)
    }

    /// Something of it may run or will run again by itself.
    pub(crate) fn occupies(&self) -> bool {
        self.saved.tasks.values().any(TaskRun::occupies)
    }

    /// Nothing of it ever ran, and no driver has it in hand.
    pub(crate) fn untouched(&self) -> bool {
        let in_hand = |t: &TaskRun| matches!(t.phase, Phase::Starting | Phase::Running | Phase::Stopping);
        self.saved.tasks.values().all(|t| !t.touched && !in_hand(t))
    }

    /// Its job's text is there, but could never be read; so nothing of it was ever tried.
    pub(crate) fn is_unreadable_and_untouched(&self) -> bool {
        let unread = self.job.is_none() && self.saved.job.is_some() && self.saved.version.is_none();
        unread && !self.ended() && self.saved.tasks.is_empty() && !self.told.as_deref().is_some_and(tried)
    }

    pub(crate) fn ended(&self) -> bool {
        self.saved.verdict.is_some()
    }

    /// Whatever of it still runs is to end, and stays ended.
    pub(crate) fn is_ending(&self) -> bool {
        self.told_to_stop().is_some() || self.saved.ending.is_some() || self.ended()
    }

    /// Takes in what etcd holds of it. A last word there is the last word here, and what was said to run is never
    /// refused, even if our own memory of it is gone.
    pub(crate) fn heed(&mut self, told: Arc<AllocStatus>) {
        match self.record() {
            Some(record) if record.uid != told.uid => return,
            Some(_) => {}
            // Until its record can be read.
            None => {
                self.told = Some(told);
                return;
            }
        }
        if told.status.is_terminal() && !self.ended() {
            let verdict = Verdict { status: told.status, description: told.description.clone() };
            self.saved.verdict = Some(verdict);
            self.waits.clear();
            self.status.get_or_insert_with(|| Arc::clone(&told));
            self.dirty = true;
        }
        if tried(&told) {
            for task in self.saved.tasks.values_mut().filter(|t| !t.touched) {
                task.touched = true;
                self.dirty = true;
            }
        }
        self.told = Some(told);
    }

    /// Its tasks, as its group describes them: what etcd holds of them is where they go on.
    pub(crate) fn make_tasks(&mut self, received: &TaskRun) {
        let Some(group) = self.group() else { return };
        let told = self.told.as_deref();
        let make = |task: &Task| {
            let state = told.and_then(|told| told.tasks.get(&task.name));
            let run = match state {
                Some(state) => {
                    let state = TaskState { state: TaskPhase::Pending, failed: false, ..state.clone() };
                    TaskRun { state, touched: told.is_some_and(tried), ..TaskRun::default() }
                }
                None => TaskRun { touched: told.is_some_and(tried), ..received.clone() },
            };
            (task.name.clone(), run)
        };
        self.saved.tasks = group.tasks.iter().map(make).collect();
    }

    /// No pass would change anything, until something comes in for it.
    pub(crate) fn settled(&self) -> bool {
        let Some(record) = self.record() else { return !matches!(self.wanted, Wanted::Absent { .. }) };
        let text_known = self.job.is_some() && self.saved.version == Some(record.version);
        match self.wanted {
            Wanted::Absent { .. } => false,
            _ if self.ended() => self.saved.tasks.values().all(TaskRun::settled),
            Wanted::Record if !text_known => false,
            _ => !self.saved.tasks.is_empty() && self.saved.tasks.values().all(TaskRun::settled),
        }
    }

    /// Some task of it waits to be started, and nothing about it says that it must not.
    pub(crate) fn may_begin(&self) -> bool {
        let waits = |t: &TaskRun| matches!(t.phase, Phase::Idle | Phase::Waiting { .. });
        !self.ended()
            && self.saved.ending.is_none()
            && self.told_to_stop().is_none()
            && self.job.is_some()
            && self.saved.tasks.values().any(waits)
    }

    /// Its record, or its confirmed absence, says that it is to stop. What the record said once holds, though it be
    /// unreadable or gone meanwhile: a stop is for good.
    pub(crate) fn told_to_stop(&self) -> Option<Option<StopReason>> {
        match self.wanted {
            Wanted::Absent { confirmed: true, .. } => Some(None),
            Wanted::Record | Wanted::Opaque | Wanted::Absent { confirmed: false, .. } => {
                let record = self.record()?;
                (record.desired == Desired::Stop).then_some(record.reason)
            }
        }
    }

    fn client_status(&self) -> ClientStatus {
        match &self.saved.verdict {
            Some(verdict) => verdict.status,
            None if self.saved.tasks.values().any(|t| t.state.state == TaskPhase::Running) => {
                ClientStatus::Running
            }
            None => ClientStatus::Pending,
        }
    }

    /// Computes the status anew; `true` if it says something new.
    pub(crate) fn refresh_status(&mut self, now: Timestamp) -> bool {
        let (Some(record), Some(job)) = (self.record().cloned(), self.saved.job.clone()) else {
            return false;
        };
        let version = self.saved.version.unwrap_or(record.version);
        let description = match &self.saved.verdict {
            Some(verdict) => verdict.description.clone(),
            None => self.waits.clone(),
        };
        let mut fresh = AllocStatus {
            uid: record.uid,
            name: record.name(&job.name),
            job,
            version,
            status: self.client_status(),
            description,
            tasks: self.saved.tasks.iter().map(|(name, t)| (name.clone(), t.state.clone())).collect(),
            modified: now,
        };
        if let Some(old) = &self.status {
            fresh.modified = old.modified;
            if **old == fresh {
                return false;
            }
            fresh.modified = now;
        }
        self.status = Some(Arc::new(fresh));
        true
    }
}
