//! What agent and supervisor say to each other, JSON both ways. One message to launch, over a socket pair; then lines
//! over the socket in the state folder, each answered by one line.

use std::{collections::BTreeMap, path::PathBuf};

use encamp_model::{AllocId, Name};
use serde::{Deserialize, Serialize};

use super::record::StartRecord;
use crate::{LogLimits, proc::ProcId};

/// Longest launch message, bytes: environment and arguments are bounded by the kernel at 2 MiB; JSON escapes grow.
pub(crate) const MAX_LAUNCH: u64 = 16 << 20;
/// Longest line on the socket, bytes.
pub(crate) const MAX_LINE: usize = 4096;

/// As whom a task runs, looked up by the agent (a name service may hang; the supervisor must not).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
}

/// All that a supervisor needs to know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Launch {
    pub(crate) alloc: AllocId,
    pub(crate) task: Name,
    pub(crate) run: u64,
    /// What the program was called in the job, for messages.
    pub(crate) command: String,
    /// Tried in order: the first that can be executed is the program.
    pub(crate) programs: Vec<PathBuf>,
    /// Arguments after the program's name.
    pub(crate) args: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    /// Absent: as the agent.
    pub(crate) identity: Option<Identity>,
    /// See [`crate::TaskDirs::root`].
    pub(crate) root: PathBuf,
    pub(crate) cwd: PathBuf,
    pub(crate) log_dir: PathBuf,
    pub(crate) logs: LogLimits,
    pub(crate) kill_signal: i32,
    pub(crate) kill_timeout_ms: u64,
    pub(crate) start_deadline_ns: Option<u64>,
    pub(crate) cgroups: bool,
    /// The soft limit of open files that a task is given; absent: the supervisor's own.
    #[serde(default)]
    pub(crate) open_files: Option<u64>,
}

/// What came of a launch.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// The task's program runs.
    Started(StartRecord),
    /// It could not be executed; that is on disk as its end.
    NotStarted { reason: String, late_ms: Option<u64> },
    /// Nothing was tried, nothing is on disk.
    Failed { reason: String },
}

/// A line to a supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    /// Who are you? (The connection then stays open until the end.)
    Hello,
    /// Signal the task's process group, and kill all after the timeout.
    Stop { signal: i32, timeout_ms: u64 },
    /// Signal the main process.
    Signal { signal: i32 },
}

/// A supervisor's line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reply {
    /// The main process that it supervises.
    pub(crate) id: ProcId,
    /// Why it did not do it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}
