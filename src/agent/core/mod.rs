//! The agent's mind: what is wanted × what runs × what is permitted → steps. No IO, no clock, no random number.
//!
//! The shell feeds [`Input`]s with the [`Moment`] they came at, then asks [`Core::pass`] for [`Step`]s and carries
//! them out in their order: saves before starts, stops before starts. Everything a pass decides follows from the
//! state alone, so a pass that is repeated, or run late, decides the same.
//!
//! Invariants: nothing new starts without permission (lease renewed within its time, range listed since boot,
//! reconnect and any gap of the lease); nothing starts that shares a port with, or waits for, what may still run; an
//! allocation is refused only if nothing of it was ever tried; a task of an absent record is stopped only after a
//! confirmed absence; an allocation that ended stays ended, whether the disk says so or etcd.

mod alloc;
mod fit;
mod inputs;
mod pass;
mod tasks;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use encamp_drivers::{Ended, Signal};
use encamp_model::{
    AllocId, JobId, JobUid, Name, Timestamp,
    job::Job,
    records::{AllocRecord, AllocStatus, NodeInfo, TaskPhase},
};

use alloc::{Alloc, Wanted};
pub use alloc::{AllocState, Ending, Entry, Phase, TaskRun, Verdict};
pub use pass::kill_settings;

/// When something came in, and the chance that goes with it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// Time since the machine's boot (CLOCK_BOOTTIME), nanoseconds.
    pub boot_ns: u64,
    /// Wall clock, for what people read.
    pub wall: Timestamp,
    /// A random number in `[0, 1)`: the jitter of a restart.
    pub random: f64,
}

/// Which task of which allocation, and which of its runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunId {
    /// The allocation.
    pub alloc: AllocId,
    /// The task.
    pub task: Name,
    /// Counts its starts, from 1.
    pub run: u64,
}

/// Why a driver did not start a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartFailure {
    /// The start deadline had passed: not the task's fault, and as if nothing had been tried.
    Late,
    /// The agent itself could not (its disk is full, say): no attempt either, but not at once again.
    NotNow,
    /// Another attempt may do better.
    Retry(String),
    /// Another attempt would fail alike.
    Final(String),
}

/// What a driver found of a task after the agent's start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It runs (since when).
    Running(Timestamp),
    /// It ended.
    Ended(Ended),
    /// This run left no trace.
    Never,
}

/// Why there is no job text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoText {
    /// For people.
    pub reason: String,
    /// The job it is of, if the value says that much.
    pub job: Option<JobId>,
}

/// Everything that can happen to an agent.
#[derive(Clone, Debug)]
pub enum Input {
    /// Registered, with a new lease that is good until then.
    Registered {
        /// Nanoseconds since boot.
        good_until_ns: u64,
    },
    /// What etcd held of this node's statuses when it registered. Counts with the next list.
    Told(BTreeMap<AllocId, Arc<AllocStatus>>),
    /// The lease was renewed.
    Renewed {
        /// When the renewal was sent.
        sent_ns: u64,
        /// Until when it is good.
        good_until_ns: u64,
    },
    /// The lease is gone; a registration follows.
    LeaseLost,
    /// The whole range, read after this list was asked for, with `cluster` read afterwards and ours.
    Listed {
        /// Of [`Step::List`].
        epoch: u64,
        /// All there is.
        entries: BTreeMap<AllocId, Entry>,
    },
    /// A record came or changed.
    Put(AllocId, Entry),
    /// A record went.
    Removed(AllocId),
    /// The watch ended: what the range holds is not known any more.
    WatchLost,
    /// `cluster` still is ours, read after [`Step::ReadCluster`] was given.
    ClusterIsOurs {
        /// Of that step.
        absences: u64,
    },
    /// `cluster` is gone or another's: nothing that the range says or lacks counts until a list passes again.
    ClusterIsForeign,
    /// A job version's text, or why there is none.
    JobText {
        /// The registration.
        uid: JobUid,
        /// The version.
        version: u64,
        /// The text.
        text: Result<Arc<Job>, NoText>,
    },
    /// What a driver found of a run that was under way when the last agent ended.
    Recovered(RunId, Found),
    /// A start worked.
    Started(RunId, Timestamp),
    /// A start did not work.
    StartFailed(RunId, StartFailure),
    /// A run ended.
    Ended(RunId, Ended),
    /// A stop did not work: something of it still runs.
    StopFailed(RunId, String),
    /// The node's present fingerprint.
    Node(Arc<NodeInfo>),
    /// The agent ends and takes its tasks along (`ctl dev` on request): they are stopped, and start again with
    /// the next agent if still wanted.
    Leave,
}

/// What the shell is to do, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Write the allocation's state to disk, before anything that follows.
    Save(AllocId),
    /// Stop a run; answered by [`Input::Ended`] or [`Input::StopFailed`].
    Stop {
        /// What.
        run: RunId,
        /// How it is asked.
        signal: Signal,
        /// How long it may take before it is killed.
        timeout: Duration,
    },
    /// Start a run; answered by [`Input::Started`], [`Input::StartFailed`] or [`Input::Ended`].
    Start {
        /// What.
        run: RunId,
        /// Not after this instant (nanoseconds since boot); `None` for a restart, which goes on without a lease.
        deadline_ns: Option<u64>,
    },
    /// List the own range anew and watch from there.
    List {
        /// To be given back.
        epoch: u64,
    },
    /// Read `cluster`, linearizably.
    ReadCluster {
        /// To be given back.
        absences: u64,
    },
    /// Read a job version's text.
    FetchJob {
        /// The registration.
        uid: JobUid,
        /// The version.
        version: u64,
    },
    /// Remove the allocation's folder and all that is kept of it.
    Remove(AllocId),
    /// Remove a job text that nothing here names any more.
    ForgetJob {
        /// The registration.
        uid: JobUid,
        /// The version.
        version: u64,
    },
}

/// A job text, or the way to it.
#[derive(Clone, Debug)]
pub(crate) enum Text {
    Known(Arc<Job>),
    Asked { failures: u32 },
    Failed { retry_ns: u64, failures: u32 },
}

/// An allocation as others may see it.
#[derive(Clone, Debug)]
pub struct View {
    /// The last record seen, if any was ever readable.
    pub record: Option<Arc<AllocRecord>>,
    /// The job text that it goes by.
    pub job: Option<Arc<Job>>,
    /// Its tasks, and whether each may have a process or will have one again.
    pub tasks: BTreeMap<Name, bool>,
    /// What is reported of it.
    pub status: Option<Arc<AllocStatus>>,
}

/// The state machine. See the module's text.
#[derive(Clone, Debug)]
pub struct Core {
    boot_id: String,
    info: Option<Arc<NodeInfo>>,
    allocs: BTreeMap<AllocId, Alloc>,
    jobs: BTreeMap<(JobUid, u64), Text>,
    registered: bool,
    lease_until_ns: u64,
    /// Which list would be good enough, which was asked for, which came.
    list_needed: u64,
    list_asked: u64,
    list_done: u64,
    /// How many absences were seen, and at which the last read of `cluster` was asked for.
    absences: u64,
    cluster_asked: u64,
    foreign: bool,
    leaving: bool,
    /// What etcd holds of our statuses, until a list says that it is our etcd.
    told: BTreeMap<AllocId, Arc<AllocStatus>>,
    /// Stops that the last list asked for: until they are done or have failed nothing new starts.
    stops_first: BTreeSet<AllocId>,
    /// Allocations that a pass must look at: something came in for them, or they wait for something. The others are
    /// as they should be, and cost nothing.
    unsettled: BTreeSet<AllocId>,
    /// Allocations of which there is something new to say.
    news: BTreeSet<AllocId>,
}

impl Core {
    /// The agent as it comes up, with what its predecessors saved. Every task that was
    /// under way needs an [`Input::Recovered`] before the first pass. `boot_id` names the machine's boot and the data
    /// folder: what was saved under another (the machine was restarted, the folder copied) starts nothing by itself.
    pub fn new(
        boot_id: &str,
        saved: BTreeMap<AllocId, AllocState>,
        texts: BTreeMap<(JobUid, u64), Arc<Job>>,
    ) -> Self {
        let jobs = texts.into_iter().map(|(key, job)| (key, Text::Known(job))).collect();
        let mut core = Core {
            boot_id: boot_id.to_owned(),
            info: None,
            allocs: BTreeMap::new(),
            jobs,
            registered: false,
            lease_until_ns: 0,
            list_needed: 1,
            list_asked: 0,
            list_done: 0,
            absences: 0,
            cluster_asked: 0,
            foreign: false,
            leaving: false,
            told: BTreeMap::new(),
            stops_first: BTreeSet::new(),
            unsettled: saved.keys().copied().collect(),
            news: BTreeSet::new(),
        };
        for (id, mut state) in saved {
            if state.boot_id != boot_id {
                forget_boot(&mut state, boot_id);
            }
            let mut alloc = Alloc::new(state, Wanted::Record);
            alloc.job = core.text_of(&alloc.saved);
            core.allocs.insert(id, alloc);
        }
        core
    }

    fn text_of(&self, state: &AllocState) -> Option<Arc<Job>> {
        match self.jobs.get(&(state.record.as_ref()?.uid, state.version?)) {
            Some(Text::Known(job)) => Some(Arc::clone(job)),
            _ => None,
        }
    }

    /// A run whose allocation's state is lost, but whose driver knows of it.
    pub fn reconstruct(&mut self, run: RunId) {
        let blank = self.blank();
        let alloc = self.allocs.entry(run.alloc).or_insert_with(|| Alloc::new(blank, Wanted::Record));
        let task = TaskRun {
            phase: Phase::Running,
            run: run.run,
            restartable: true,
            touched: true,
            ..TaskRun::default()
        };
        alloc.saved.tasks.insert(run.task, task);
        self.unsettled.insert(run.alloc);
    }

    /// The range was listed since boot, since the last reconnect and since any gap of the lease.
    pub fn listed(&self) -> bool {
        self.list_done == self.list_needed && !self.foreign
    }

    /// May something new start now, and until when?
    pub fn permission(&self, now: &Moment) -> Option<u64> {
        let good = self.registered && now.boot_ns < self.lease_until_ns && self.listed() && !self.leaving;
        good.then_some(self.lease_until_ns)
    }

    /// Runs that are under way: after a start of the agent, those that drivers must be asked about.
    pub fn under_way(&self) -> Vec<RunId> {
        let mut runs = Vec::new();
        for (id, alloc) in &self.allocs {
            for (name, task) in &alloc.saved.tasks {
                if matches!(task.phase, Phase::Starting | Phase::Running | Phase::Stopping) {
                    runs.push(RunId { alloc: *id, task: name.clone(), run: task.run });
                }
            }
        }
        runs
    }

    /// True if something here runs or would run again by itself.
    pub fn has_tasks(&self) -> bool {
        self.allocs.values().any(|a| !a.ended() && a.saved.tasks.values().any(|t| t.touched))
    }

    /// What is to be on disk of an allocation.
    pub fn state(&self, alloc: AllocId) -> Option<&AllocState> {
        self.allocs.get(&alloc).map(|a| &a.saved)
    }

    /// Is this run still to be started, as far as is known now?
    pub fn is_wanted(&self, run: &RunId) -> bool {
        !self.leaving && self.allocs.get(&run.alloc).is_some_and(|alloc| !alloc.is_ending())
    }

    /// The allocations here, in the order of their ids.
    pub fn ids(&self) -> impl Iterator<Item = AllocId> + '_ {
        self.allocs.keys().copied()
    }

    /// What is known of an allocation.
    pub fn view(&self, alloc: AllocId) -> Option<View> {
        let alloc = self.allocs.get(&alloc)?;
        Some(View {
            record: alloc.record().cloned(),
            job: alloc.job.clone(),
            tasks: alloc
                .saved
                .tasks
                .iter()
                .map(|(name, t)| (name.clone(), t.occupies() || t.state.state == TaskPhase::Running))
                .collect(),
            status: alloc.status.clone(),
        })
    }

    /// What is to be reported of an allocation; nothing while its record is not there or cannot be read.
    pub fn status(&self, alloc: AllocId) -> Option<&Arc<AllocStatus>> {
        let alloc = self.allocs.get(&alloc)?;
        alloc.status.as_ref().filter(|_| alloc.wanted == Wanted::Record)
    }

    /// Allocations whose status changed since this was asked last.
    pub fn take_news(&mut self) -> BTreeSet<AllocId> {
        std::mem::take(&mut self.news)
    }

    /// `cluster` is gone or another's: for `/healthz`.
    pub fn is_foreign(&self) -> bool {
        self.foreign
    }
}

/// The machine came up anew: nothing runs, instants since boot mean nothing, and a start is new again.
fn forget_boot(state: &mut AllocState, boot_id: &str) {
    boot_id.clone_into(&mut state.boot_id);
    for task in state.tasks.values_mut() {
        task.restartable = false;
        task.history = crate::restart::History::default();
        if let Phase::Waiting { until_ns } = &mut task.phase {
            *until_ns = 0;
        }
    }
}
