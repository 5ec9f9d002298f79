//! What can go wrong with a task, told apart by what the agent does next.

use std::{io, path::PathBuf};

/// An error of a driver.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The task's `config` block is wrong: starting it again changes nothing.
    #[error("{driver}: {field}: {reason}")]
    Config {
        /// The driver.
        driver: &'static str,
        /// The field of the block.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The spec makes no sense (a task name with `/`, a log folder outside the root): a defect of the caller.
    #[error("task {task}: {reason}")]
    Spec {
        /// The task.
        task: String,
        /// What is wrong.
        reason: String,
    },
    /// The task could not be executed: no such file, no permission, no such user. It never ran; unless the user was at
    /// fault, that is on disk as its end.
    #[error("{reason}")]
    NotStarted {
        /// What was tried and why it failed, with its path.
        reason: String,
    },
    /// The start deadline had passed: the agent's lease may be gone, so nothing was started. Not the task's fault.
    #[error("not started: the start deadline had passed by {late_ms} ms")]
    TooLate {
        /// By how much, milliseconds.
        late_ms: u64,
    },
    /// Another supervisor holds these folders: recover instead.
    #[error("{} is held by a running supervisor", state_dir.display())]
    Busy {
        /// The folder.
        state_dir: PathBuf,
    },
    /// The supervisor ended before it said whether the task runs. [`recover`](crate::Driver::recover) tells.
    #[error("the supervisor in {} ended before it answered; see supervisor.log there", state_dir.display())]
    SupervisorDied {
        /// The folder.
        state_dir: PathBuf,
    },
    /// The supervisor lives but does not answer (stopped, or the machine is overloaded). After a start, the task may
    /// yet run: [`recover`](crate::Driver::recover) tells.
    #[error("the supervisor in {} does not answer {what}", state_dir.display())]
    Unresponsive {
        /// The folder.
        state_dir: PathBuf,
        /// What was asked.
        what: &'static str,
    },
    /// Processes of the task are still there, SIGKILL notwithstanding: nothing that conflicts may start.
    #[error("task in {} was killed but has not ended within {waited_ms} ms", state_dir.display())]
    StopTimeout {
        /// The folder.
        state_dir: PathBuf,
        /// How long it was waited for, milliseconds.
        waited_ms: u64,
    },
    /// The supervisor could not do it. After a start: nothing was tried, nothing is on disk.
    #[error("the supervisor in {} refused: {reason}", state_dir.display())]
    Refused {
        /// The folder.
        state_dir: PathBuf,
        /// Its words.
        reason: String,
    },
    /// A record on disk cannot be read. The task is left alone.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The system refused.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb: "open", "lock".
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// A short word for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Error::Config { .. } => "config",
            Error::Spec { .. } => "spec",
            Error::NotStarted { .. } => "not_started",
            Error::TooLate { .. } => "too_late",
            Error::Busy { .. } => "busy",
            Error::SupervisorDied { .. } => "supervisor_died",
            Error::Unresponsive { .. } => "unresponsive",
            Error::StopTimeout { .. } => "stop_timeout",
            Error::Refused { .. } => "refused",
            Error::Damaged { .. } => "damaged",
            Error::Io { .. } => "io",
        }
    }

    pub(crate) fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { what, path, source }
    }
}
