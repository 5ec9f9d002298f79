//! The store as the rest of Encamp sees it: list, get, transactions, watches, leases. The only user of
//! etcd-client, and the only place that knows endpoints, credentials and gRPC.
//!
//! Invariants:
//! - A write is sent **once**. Whether to send it again after an ambiguous error is the caller's decision alone
//!   (design, law 5): [`Error::ambiguous`] says which errors those are.
//! - A watch only ever yields whole revisions, in order, none left out; where that can no longer be promised the
//!   stream ends with an error, and the caller lists again.
//! - Reads are linearizable.
//!
//! Start with [`Store`].

mod error;
pub mod etcd;
pub mod memory;
mod store;

pub use encamp_etcd::{
    Compare, Condition, Event, EventKind, Kv, LeaseId, NO_LEASE, Op, OpAnswer, Range, Revision, Test, Txn,
    TxnAnswer,
};
pub use error::Error;
pub use etcd::{EtcdStore, Options};
pub use memory::MemoryStore;
pub use store::{Listing, Status, Store, WatchBatch, WatchItem, WatchStream};

/// A time to live as etcd takes it: whole seconds, rounded up.
fn whole_seconds(ttl: std::time::Duration) -> i64 {
    let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
    i64::try_from(seconds).unwrap_or(i64::MAX)
}
