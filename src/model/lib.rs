//! The words of Encamp as types: ids, stored objects, their keys and legal transitions.
//!
//! Invariant: no IO, no clock, no async. Only [`keys`] knows how a key is spelled.

pub mod digest;
pub mod ids;
pub mod job;
pub mod keys;
pub mod records;
pub mod status;
pub mod time;
pub mod unit;

pub use ids::{AllocId, ClusterUid, EvalId, InstanceId, IntentId, JobId, JobUid, Name, NodeId};
pub use job::Job;
pub use keys::{Key, Keyspace};
pub use time::Timestamp;
pub use unit::{Guard, Unit, Write};
