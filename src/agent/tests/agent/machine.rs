//! A driver whose tasks run in a made-up machine, which outlives the agents on it.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use encamp_agent::Clock;
use encamp_drivers::{
    Config, Driver, Ended, Error, Exit, Fingerprint, Handle, Recovered, Signal, TaskControl, TaskDirs,
    TaskSpec,
};
use encamp_model::{AllocId, Timestamp, records::DriverInfo};
use tokio::sync::watch;

/// What happens when a task is told to stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stops {
    /// It ends at once.
    #[default]
    AtOnce,
    /// It ends when killed.
    Slowly,
    /// It cannot be stopped.
    Never,
}

struct Process {
    alloc: AllocId,
    run: u64,
    started: Timestamp,
    spec: TaskSpec,
    ended: watch::Sender<Option<Ended>>,
}

#[derive(Default)]
struct State {
    processes: BTreeMap<PathBuf, Arc<Process>>,
    log: Vec<String>,
    stops: Stops,
    start_takes: Duration,
    unreadable: bool,
    answers_lost: bool,
}

/// The machine. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Machine {
    state: Arc<Mutex<State>>,
    clock: Clock,
}

impl Machine {
    pub(crate) fn new(clock: Clock) -> Self {
        Machine { state: Arc::default(), clock }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while held")
    }

    /// What was done to it: `start <alloc>`, `stop <alloc>`, `end <alloc>`, by the last digits of the ids.
    pub(crate) fn log(&self) -> Vec<String> {
        self.lock().log.clone()
    }

    pub(crate) fn forget_log(&self) {
        self.lock().log.clear();
    }

    pub(crate) fn set_stops(&self, stops: Stops) {
        self.lock().stops = stops;
    }

    /// Whether the records of tasks can be read just now.
    pub(crate) fn set_unreadable(&self, unreadable: bool) {
        self.lock().unreadable = unreadable;
    }

    /// Whether starts work, but whoever asked for them does not hear of it.
    pub(crate) fn set_answers_lost(&self, lost: bool) {
        self.lock().answers_lost = lost;
    }

    pub(crate) fn set_start_takes(&self, time: Duration) {
        self.lock().start_takes = time;
    }

    /// Allocations with a process now.
    pub(crate) fn running(&self) -> Vec<AllocId> {
        let state = self.lock();
        let mut all: Vec<_> =
            state.processes.values().filter(|p| p.ended.borrow().is_none()).map(|p| p.alloc).collect();
        all.sort();
        all
    }

    /// The last spec that an allocation's only task was started with.
    pub(crate) fn spec(&self, alloc: AllocId) -> Option<TaskSpec> {
        self.lock().processes.values().find(|p| p.alloc == alloc).map(|p| p.spec.clone())
    }

    /// Ends an allocation's process.
    pub(crate) fn exit(&self, alloc: AllocId, code: i32) {
        self.end(alloc, Exit::Exited { code });
    }

    fn end(&self, alloc: AllocId, exit: Exit) {
        let mut state = self.lock();
        let process =
            state.processes.values().find(|p| p.alloc == alloc && p.ended.borrow().is_none()).cloned();
        let Some(process) = process else { return };
        state.log.push(format!("end {}", tail(alloc)));
        let ended = Ended {
            run: process.run,
            exit,
            when: self.clock.now(),
            started: process.started,
            log_bytes_dropped: 0,
        };
        process.ended.send_replace(Some(ended));
    }
}

pub(crate) fn tail(alloc: AllocId) -> u128 {
    alloc.as_u128() & 0xffff
}

#[async_trait]
impl Driver for Machine {
    fn name(&self) -> &'static str {
        "fake"
    }

    async fn fingerprint(&self) -> Fingerprint {
        let info = DriverInfo { detected: true, healthy: true, description: String::new() };
        Fingerprint { info, attributes: BTreeMap::from([("driver.fake".to_owned(), "1".to_owned())]) }
    }

    fn validate(&self, config: &Config) -> Result<(), Error> {
        match config.contains_key("bad") {
            true => {
                Err(Error::Config { driver: "fake", field: "bad".to_owned(), reason: "is bad".to_owned() })
            }
            false => Ok(()),
        }
    }

    async fn start(&self, spec: TaskSpec) -> Result<Handle, Error> {
        let takes = self.lock().start_takes;
        tokio::time::sleep(takes).await;
        let now_ns = self.clock.boot_ns();
        if let Some(deadline) = spec.start_deadline_ns.filter(|deadline| *deadline <= now_ns) {
            return Err(Error::TooLate { late_ms: (now_ns - deadline) / 1_000_000 });
        }
        let mut state = self.lock();
        state.log.push(format!("start {}", tail(spec.alloc)));
        let process = Arc::new(Process {
            alloc: spec.alloc,
            run: spec.run,
            started: self.clock.now(),
            ended: watch::Sender::new(None),
            spec: spec.clone(),
        });
        let key = spec.dirs.state_dir.clone();
        assert!(
            state.processes.get(&key).is_none_or(|old| old.ended.borrow().is_some()),
            "{} is started twice",
            spec.alloc
        );
        state.processes.insert(key.clone(), Arc::clone(&process));
        if state.answers_lost {
            return Err(Error::SupervisorDied { state_dir: key });
        }
        drop(state);
        Ok(Handle::new(Control { machine: self.clone(), process }))
    }

    async fn recover(&self, dirs: &TaskDirs) -> Result<Recovered, Error> {
        if self.lock().unreadable {
            let path = dirs.state_dir.join("start.json");
            return Err(Error::Damaged { path, reason: "for the test".to_owned() });
        }
        let Some(process) = self.lock().processes.get(&dirs.state_dir).cloned() else {
            return Ok(Recovered::Never);
        };
        let ended = process.ended.borrow().clone();
        Ok(match ended {
            Some(ended) => Recovered::Ended(ended),
            None => Recovered::Running(Handle::new(Control { machine: self.clone(), process })),
        })
    }
}

struct Control {
    machine: Machine,
    process: Arc<Process>,
}

#[async_trait]
impl TaskControl for Control {
    fn pid(&self) -> Option<u32> {
        None
    }

    fn started(&self) -> Timestamp {
        self.process.started
    }

    fn run(&self) -> u64 {
        self.process.run
    }

    async fn wait(&self) -> Result<Ended, Error> {
        let mut ended = self.process.ended.subscribe();
        let seen = ended.wait_for(Option::is_some).await.expect("the process, which we hold, has the sender");
        Ok(seen.clone().expect("waited for"))
    }

    async fn stop(&self, _signal: Signal, timeout: Duration) -> Result<Ended, Error> {
        let alloc = self.process.alloc;
        let stops = {
            let mut state = self.machine.lock();
            state.log.push(format!("stop {}", tail(alloc)));
            state.stops
        };
        match stops {
            Stops::AtOnce => {}
            Stops::Slowly => tokio::time::sleep(timeout).await,
            Stops::Never => {
                let state_dir = self.process.spec.dirs.state_dir.clone();
                return Err(Error::StopTimeout { state_dir, waited_ms: 1 });
            }
        }
        self.machine.end(alloc, Exit::Signaled { signal: 2 });
        self.wait().await
    }

    async fn signal(&self, _signal: Signal) -> Result<(), Error> {
        Ok(())
    }
}
