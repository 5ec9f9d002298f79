//! The built binary on a real etcd, as a user runs it, and as a machine kills it.

#[path = "../virtual/agent.rs"]
mod agent;
mod answers;
mod bad_input;
mod deaths;
mod host;
mod leader;
mod space;
mod spine;
