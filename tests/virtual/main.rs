//! The loops on a store in memory, in virtual time: races that were found on paper, each staged and survived.
//!
//! Real controllers, runtime and commit logic; agents are small stand-ins that say what a test wants said. Whatever
//! happens, the audit is clean at the end ([`cluster::Cluster::settled`]).

mod agent;
mod cluster;
mod epochs;
mod garbage;
mod names;
mod nodes;
mod orders;
mod updates;
