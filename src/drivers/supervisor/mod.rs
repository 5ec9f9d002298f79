//! One small process a task: this binary re-executed, with one thread and no runtime.
//!
//! It outlives the agent. It holds a lock on the task's state folder for as long as it lives, listens on a socket
//! there, keeps the task's output in rotated files, and writes down how the task ended before anyone is told.
//!
//! | in the state folder | what |
//! |---|---|
//! | `lock` | locked by the supervisor; the agent takes it first and hands it down, so there is no moment without |
//! | `start.json` | which process, since when, which run: on disk before the task's program is executed |
//! | `exit.json` | how that run ended: on disk before the socket closes; counts only for the start that it names |
//! | `exit.reserved` | disk space for the exit record, so that a full disk cannot lose it |
//! | `socket` | stop and signal; a connection that ends means: look at `exit.json` |
//! | `supervisor.log` | its last words, if it ever has any |
//!
//! | what dies | what happens |
//! |---|---|
//! | the agent | nothing; the next one finds lock, socket and records |
//! | the task | leftovers are killed, pipes drained, the end recorded |
//! | the supervisor | the parent-death signal kills the main process; whoever looks next kills the rest (cgroup, then marks in the environment) and records `SupervisorLost` |
//! | the machine | records of another boot: `SupervisorLost`, nothing is signalled |
//! | the state folder | the task runs on; the supervisor ends with it, and by SIGTERM, though the end cannot be written |
//!
//! A state folder copied elsewhere names processes that are the original's: they are left alone, and nothing is started
//! while they live. One that is put back from a copy names, or has forgotten, processes that nobody else can reach:
//! they are killed before the next run. An agent that comes up stops the tasks of folders that were removed beneath its
//! own (`orphans`).
//!
//! Code map: `client` is the agent's side, `settle` what it does after a supervisor that is gone. `launch` sets the
//! supervisor up, `spawn` is fork to exec, `run` the loop, `peers` the socket, `output` pipes to files, `contain`
//! cgroups. `record` and `protocol` are what both sides read.

mod client;
mod contain;
mod launch;
mod orphans;
mod output;
mod peers;
mod protocol;
mod record;
mod run;
mod settle;
mod spawn;

use std::{env, process::ExitCode};

pub use client::Supervisor;
pub(crate) use orphans::end as end_orphans;
pub(crate) use protocol::{Identity, Launch};

/// First argument of a process that is to be a supervisor.
const MARK: &str = "__supervise";

/// Runs this process as a supervisor if it was started as one. To be called first thing in `main`, while there is one
/// thread.
pub fn supervisor_main() -> Option<ExitCode> {
    (env::args_os().nth(1)? == MARK).then(launch::main)
}
