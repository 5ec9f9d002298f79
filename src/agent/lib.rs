//! The agent: the process on a node that makes what is declared for it so.
//!
//! [`core`] decides, without IO, clock or randomness; [`run`] moves bytes: it registers the node, keeps its lease,
//! lists and watches `allocs/<node>/`, carries out the core's steps through drivers, and reports
//! under `nodes/<node>/`.
//!
//! Invariants: it never creates `cluster` and writes nothing outside `nodes/<node>/`; every write compares the mod
//! revision of its own lease key, so whoever took the node over is never overwritten; what it decides is on disk before
//! it is done or told; it adopts before it acts and stops before it starts; tasks outlive it.

pub mod config;
pub mod core;
mod dirs;
pub mod env;
mod error;
pub mod fingerprint;
mod folder;
mod handle;
pub mod interpolate;
mod register;
pub mod report;
pub mod restart;
mod retry;
mod shell;
#[cfg(test)]
mod tests;

pub use config::Config;
pub use dirs::AllocDirs;
pub use encamp_runtime::Clock;
pub use error::Error;
pub use folder::{Folder, Found};
pub use handle::{AgentHandle, LogError};
pub use shell::{Agent, Drivers, run};
