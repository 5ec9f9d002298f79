//! An etcd-compatible store's pure core: multi-version keys, transactions, watches, leases, compaction.
//!
//! Invariant: no IO, no clock, no task, no random number. Time comes in as a [`std::time::Duration`] since an
//! origin of the caller's choosing, and the same calls in the same order give the same answers and revisions.
//! The semantics are etcd's own (design §9), so that whatever is proved on this core holds on a real etcd; the
//! contract suite of `encamp-store` runs on both.
//!
//! Start with [`Core`]; the words it speaks are in [`types`] and [`txn`].

mod check;
mod core;
mod error;
mod history;
mod lease;
#[cfg(test)]
mod tests;
pub mod txn;
pub mod types;
mod watch;

pub use self::core::{Config, Core, Deleted, RangeAnswer, RangeRequest};
pub use error::Error;
pub use lease::{Grant, LeaseInfo};
pub use txn::{Compare, Condition, Op, OpAnswer, Test, Txn, TxnAnswer};
pub use types::{Event, EventKind, Kv, LeaseId, NO_LEASE, Range, Revision};
pub use watch::Watcher;
