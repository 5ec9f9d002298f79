//! What goes into a driver and what comes out: the spec of a task, the handle on a running one, how it ended.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use encamp_model::{AllocId, Name, Timestamp, records::Ask};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::Error;

/// A task's `config` block, interpolated.
pub type Config = serde_json::Map<String, serde_json::Value>;

/// The folders of one task. All paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskDirs {
    /// The innermost folder that no task can rename or replace: the one that holds the allocation's folder. What lies
    /// beneath is opened step by step without following links.
    pub root: PathBuf,
    /// For the driver alone: socket, lock, records. Owned by the agent, mode 0700, not reachable for the task; created
    /// if it is not there (its parent must be). One task, one folder, over all its runs.
    pub state_dir: PathBuf,
    /// Where the task runs; beneath `root`.
    pub task_dir: PathBuf,
    /// Where its output goes; beneath `root`.
    pub log_dir: PathBuf,
}

/// How much output of each of a task's streams is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLimits {
    /// Files, at least 1.
    pub max_files: u32,
    /// Bytes a file, at least 1.
    pub max_file_bytes: u64,
}

impl Default for LogLimits {
    fn default() -> Self {
        LogLimits { max_files: 10, max_file_bytes: 10 << 20 }
    }
}

/// What a task needs to run; everything is interpolated and decided.
#[derive(Clone, Debug)]
pub struct TaskSpec {
    /// The allocation.
    pub alloc: AllocId,
    /// The task's name: one path segment, at most 128 bytes.
    pub task: Name,
    /// The driver's own block.
    pub config: Config,
    /// The whole environment; nothing of the agent's is added.
    pub env: BTreeMap<String, String>,
    /// Runs as this user (a name or a uid), if the agent is root; an error if it isn't and the user is another.
    pub user: Option<String>,
    /// Its folders.
    pub dirs: TaskDirs,
    /// How much output is kept.
    pub logs: LogLimits,
    /// Room that was planned for it. `raw_exec` sets no limits.
    pub resources: Ask,
    /// What asks it to stop when nobody says otherwise (SIGTERM to the supervisor, as at shutdown).
    pub kill_signal: Signal,
    /// How long it may take to stop before SIGKILL.
    pub kill_timeout: Duration,
    /// CLOCK_BOOTTIME in nanoseconds after which it must not start: looked at immediately before exec.
    pub start_deadline_ns: Option<u64>,
    /// Which run of the task this is: counts up with each start, so that an end is told from the one before.
    pub run: u64,
}

/// How a run of a task ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// Its main process exited.
    Exited {
        /// With this code.
        code: i32,
    },
    /// Its main process was killed.
    Signaled {
        /// By this signal.
        signal: i32,
    },
    /// It never ran.
    NotStarted {
        /// Why.
        reason: String,
        /// It was refused for its start deadline: not the task's fault.
        late: bool,
    },
    /// Its supervisor was killed, or the machine went down: the run failed, and nobody knows when or how.
    SupervisorLost,
}

impl Exit {
    /// The task did what it was to do.
    pub fn success(&self) -> bool {
        matches!(self, Exit::Exited { code: 0 })
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Exited { code } => write!(f, "exit code {code}"),
            Exit::Signaled { signal } => match Signal::try_from(*signal) {
                Ok(name) => write!(f, "signal {signal} ({name})"),
                Err(_) => write!(f, "signal {signal}"),
            },
            Exit::NotStarted { reason, .. } => write!(f, "not started: {reason}"),
            Exit::SupervisorLost => f.write_str("its supervisor was lost"),
        }
    }
}

/// The end of one run, as recorded on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Which run: [`TaskSpec::run`].
    pub run: u64,
    /// How it ended.
    pub exit: Exit,
    /// When its main process ended; for a lost supervisor, when that was seen.
    pub when: Timestamp,
    /// When it was started.
    pub started: Timestamp,
    /// Bytes of output that could not be stored (disk full).
    #[serde(default)]
    pub log_bytes_dropped: u64,
}

/// What became of the last start.
#[derive(Debug)]
pub enum Recovered {
    /// It runs; this is the handle on it.
    Running(Handle),
    /// It ended, now or while nobody listened.
    Ended(Ended),
    /// There is no trace of a start.
    Never,
}

/// What a driver implements for a running task; used through [`Handle`].
#[async_trait]
pub trait TaskControl: Send + Sync {
    /// Process id of its main process on this machine, if it has one here.
    fn pid(&self) -> Option<u32>;
    /// When it started.
    fn started(&self) -> Timestamp;
    /// Which run it is.
    fn run(&self) -> u64;
    /// Waits for its end. Cancel-safe; any number of callers.
    async fn wait(&self) -> Result<Ended, Error>;
    /// See [`Handle::stop`].
    async fn stop(&self, signal: Signal, timeout: Duration) -> Result<Ended, Error>;
    /// See [`Handle::signal`].
    async fn signal(&self, signal: Signal) -> Result<(), Error>;
}

/// A running task. Clones are the same task; dropping all of them leaves it running.
#[derive(Clone)]
pub struct Handle(Arc<dyn TaskControl>);

impl Handle {
    /// A handle on what `control` controls.
    pub fn new(control: impl TaskControl + 'static) -> Self {
        Handle(Arc::new(control))
    }

    /// Process id of its main process on this machine, if it has one here. For people: signals go through the handle.
    pub fn pid(&self) -> Option<u32> {
        self.0.pid()
    }

    /// When it started, by the machine's wall clock.
    pub fn started(&self) -> Timestamp {
        self.0.started()
    }

    /// Which run of the task it is.
    pub fn run(&self) -> u64 {
        self.0.run()
    }

    /// Waits until it has ended and none of its processes is left. Cancel-safe; any number of callers; an ended task
    /// answers at once. An error means that its end cannot be known now (records damaged), never that it ended.
    pub async fn wait(&self) -> Result<Ended, Error> {
        self.0.wait().await
    }

    /// Asks it to end with `signal`, and after `timeout` kills it and all it left behind. Idempotent: a second call
    /// does not repeat the signal but may shorten the timeout; an ended task answers with its end.
    pub async fn stop(&self, signal: Signal, timeout: Duration) -> Result<Ended, Error> {
        self.0.stop(signal, timeout).await
    }

    /// Sends a signal to its main process; no error if it has ended.
    pub async fn signal(&self, signal: Signal) -> Result<(), Error> {
        self.0.signal(signal).await
    }

    /// Kills it and all it left behind, at once.
    pub async fn kill(&self) -> Result<Ended, Error> {
        self.0.stop(Signal::SIGKILL, Duration::ZERO).await
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("pid", &self.pid()).field("run", &self.run()).finish_non_exhaustive()
    }
}

/// The signal named `SIGTERM`, `TERM`, `term` or `15`.
pub fn signal_by_name(name: &str) -> Option<Signal> {
    if let Ok(number) = name.parse::<i32>() {
        return Signal::try_from(number).ok();
    }
    let upper = name.to_ascii_uppercase();
    let full = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
    full.parse().ok()
}
