//! A core with a hand on everything: time, lease, list, drivers.

use std::{collections::BTreeMap, sync::Arc};

use encamp_drivers::{Ended, Exit};
use encamp_model::{
    AllocId, Timestamp,
    job::Job,
    records::{AllocRecord, AllocStatus, ClientStatus, TaskPhase},
};

use super::kit::{SECOND, node, service, uid};
use crate::core::{AllocState, Core, Entry, Input, Moment, NoText, RunId, StartFailure, Step};

pub(super) struct Rig {
    pub(super) core: Core,
    pub(super) now: Moment,
    pub(super) entries: BTreeMap<AllocId, Entry>,
    pub(super) jobs: BTreeMap<u64, Arc<Job>>,
    /// Why other versions' texts are not to be had.
    pub(super) no_text: NoText,
}

impl Rig {
    /// An agent that nobody has registered yet.
    pub(super) fn new() -> Self {
        Self::with_saved(BTreeMap::new(), "boot")
    }

    pub(super) fn with_saved(saved: BTreeMap<AllocId, AllocState>, boot_id: &str) -> Self {
        let texts = BTreeMap::from([((uid(), 0), service())]);
        let mut rig = Rig {
            core: Core::new(boot_id, saved, texts),
            now: Moment { boot_ns: 100 * SECOND, wall: Timestamp::from_secs(1000), random: 0.0 },
            entries: BTreeMap::new(),
            jobs: BTreeMap::from([(0, service())]),
            no_text: NoText { reason: "none".to_owned(), job: None },
        };
        rig.apply(Input::Node(Arc::new(node())));
        rig
    }

    /// An agent with lease and list, whose job (version 0) is this one.
    pub(super) fn ready(job: Arc<Job>) -> Self {
        let mut rig = Rig::new();
        rig.core = Core::new("boot", BTreeMap::new(), BTreeMap::from([((uid(), 0), Arc::clone(&job))]));
        rig.apply(Input::Node(Arc::new(node())));
        rig.jobs.insert(0, job);
        rig.renew();
        rig.settle();
        rig
    }

    pub(super) fn apply(&mut self, input: Input) {
        self.core.apply(input, &self.now);
    }

    pub(super) fn renew(&mut self) {
        self.apply(Input::Registered { good_until_ns: self.now.boot_ns + 10 * SECOND });
    }

    pub(super) fn pass(&mut self) -> Vec<Step> {
        self.core.pass(&self.now)
    }

    pub(super) fn after(&mut self, secs: u64) {
        self.now.boot_ns += secs * SECOND;
        self.now.wall = self.now.wall + std::time::Duration::from_secs(secs);
    }

    /// Passes, answering lists, texts and reads of `cluster`; gives what is for drivers and the disk.
    pub(super) fn settle(&mut self) -> Vec<Step> {
        let mut out = Vec::new();
        for _ in 0..20 {
            let steps = self.pass();
            if steps.is_empty() {
                return out;
            }
            for step in steps {
                match step {
                    Step::List { epoch } => {
                        let entries = self.entries.clone();
                        self.apply(Input::Listed { epoch, entries });
                    }
                    Step::FetchJob { uid, version } => {
                        let text = self.jobs.get(&version).cloned().ok_or_else(|| self.no_text.clone());
                        self.apply(Input::JobText { uid, version, text });
                    }
                    Step::ReadCluster { absences } => self.apply(Input::ClusterIsOurs { absences }),
                    Step::Save(_) => {}
                    other => out.push(other),
                }
            }
        }
        panic!("does not settle: {out:?}");
    }

    pub(super) fn put(&mut self, id: AllocId, record: AllocRecord) {
        let entry = Entry::Record(Arc::new(record));
        self.entries.insert(id, entry.clone());
        self.apply(Input::Put(id, entry));
    }

    pub(super) fn remove(&mut self, id: AllocId) {
        self.entries.remove(&id);
        self.apply(Input::Removed(id));
    }

    pub(super) fn started(&mut self, run: &RunId) {
        self.apply(Input::Started(run.clone(), self.now.wall));
    }

    /// Settles and lets everything start that is to.
    pub(super) fn run_all(&mut self) -> Vec<RunId> {
        let runs = starts(&self.settle());
        for run in &runs {
            self.started(run);
        }
        runs
    }

    pub(super) fn ended(&self, run: &RunId, exit: Exit) -> Input {
        let ended =
            Ended { run: run.run, exit, when: self.now.wall, started: self.now.wall, log_bytes_dropped: 0 };
        Input::Ended(run.clone(), ended)
    }

    pub(super) fn exit(&mut self, run: &RunId, code: i32) {
        let input = self.ended(run, Exit::Exited { code });
        self.apply(input);
    }

    pub(super) fn fails_to_start(&mut self, run: &RunId, failure: StartFailure) {
        self.apply(Input::StartFailed(run.clone(), failure));
    }

    pub(super) fn status(&mut self, id: AllocId) -> AllocStatus {
        let said = self.core.status(id).map(|status| (**status).clone());
        said.unwrap_or_else(|| panic!("nothing is said of {id}"))
    }

    pub(super) fn client(&mut self, id: AllocId) -> ClientStatus {
        self.status(id).status
    }

    /// `type: message` of each event of a task.
    pub(super) fn events(&mut self, id: AllocId, task: &str) -> Vec<String> {
        let status = self.status(id);
        status.tasks[task].events.iter().map(|e| format!("{}: {}", e.kind, e.message)).collect()
    }

    pub(super) fn phase(&mut self, id: AllocId, task: &str) -> TaskPhase {
        self.status(id).tasks[task].state
    }
}

pub(super) fn starts(steps: &[Step]) -> Vec<RunId> {
    steps
        .iter()
        .filter_map(|s| if let Step::Start { run, .. } = s { Some(run.clone()) } else { None })
        .collect()
}

pub(super) fn stops(steps: &[Step]) -> Vec<RunId> {
    steps
        .iter()
        .filter_map(|s| if let Step::Stop { run, .. } = s { Some(run.clone()) } else { None })
        .collect()
}
