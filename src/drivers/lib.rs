//! Drivers: how a task becomes processes, behind one small trait.
//!
//! Start reading at [`Driver`]; [`RawExec`] is the driver that runs plain commands. Drivers whose tasks are processes
//! of this machine run them under a *supervisor* ([`supervisor`]): this binary re-executed, single-threaded, one a
//! task, which outlives the agent, keeps the task's output and writes down how it ended.
//!
//! Invariants: a task never runs without a record of its start on disk; its end is on disk before anyone is told; no
//! process is signalled or adopted because of its number alone. A driver makes no choices: what to run arrives
//! interpolated and decided, and whether to run it again is the agent's business.

mod clock;
mod error;
mod files;
mod limits;
pub mod logs;
mod proc;
mod raw_exec;
pub mod supervisor;
#[allow(unsafe_code)] // the one module that may: fork, signal dispositions, close_range
mod sys;
mod task;

use async_trait::async_trait;
use encamp_model::records::DriverInfo;
use std::{collections::BTreeMap, path::Path};

pub use error::Error;
pub use limits::raise_open_files;
pub use nix::sys::signal::Signal;
pub use raw_exec::RawExec;
pub use supervisor::{Supervisor, supervisor_main};
pub use task::{
    Config, Ended, Exit, Handle, LogLimits, Recovered, TaskControl, TaskDirs, TaskSpec, signal_by_name,
};

/// What a driver says of itself on this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// Whether it is there and works.
    pub info: DriverInfo,
    /// Node attributes that it adds, such as `driver.raw_exec` = `1`.
    pub attributes: BTreeMap<String, String>,
}

/// One way to run tasks.
#[async_trait]
pub trait Driver: Send + Sync {
    /// Its name in job files.
    fn name(&self) -> &'static str;

    /// Looks at the machine. Cheap; called at start and from time to time.
    async fn fingerprint(&self) -> Fingerprint;

    /// Whether a task's `config` block makes sense to this driver; the error names the field.
    fn validate(&self, config: &Config) -> Result<(), Error>;

    /// Starts the task and returns once it runs, or could not: see [`Error`] for what each failure means. Cancelling
    /// the call leaves either nothing or something that [`Driver::recover`] finds.
    async fn start(&self, spec: TaskSpec) -> Result<Handle, Error>;

    /// What became of the last start in these folders, asked by an agent that has just come up. Whatever a lost
    /// supervisor left behind is gone when this returns. Asking again gives the same answer.
    async fn recover(&self, dirs: &TaskDirs) -> Result<Recovered, Error>;

    /// Ends what was started in state folders beneath `tasks` that have been removed since: nobody can reach it any
    /// more. Asked by an agent that has just come up, before it recovers anything; gives a line on each, for people.
    async fn end_orphans(&self, tasks: &Path) -> Vec<String> {
        let _ = tasks;
        Vec::new()
    }
}
