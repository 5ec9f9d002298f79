//! The trait that runtime, agent and api are written against, and its few types.

use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::{Error, Event, Kv, LeaseId, Range, Revision, Txn, TxnAnswer};

/// A range as it was at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The records, in key order.
    pub kvs: Vec<Kv>,
    /// The revision this is the state of: watch from `revision + 1` to miss nothing.
    pub revision: Revision,
}

/// One or more *whole* revisions of a watched range, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchBatch {
    /// The last of them: the mod revision of the last event.
    pub revision: Revision,
    /// The changes in etcd's order: by mod revision, and within one in the order of the transaction. Never empty.
    /// Without the records before them (`prev` is `None`): whoever watches has those, and asking etcd for them
    /// made history two to three times slower.
    pub events: Vec<Event>,
}

/// What a watch yields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchItem {
    /// The server has the watch; always the first item, and once. (Until then a silent stream proves nothing.)
    Created,
    /// Changes.
    Events(WatchBatch),
}

/// A watch. It ends after its first error; dropping it cancels it.
pub type WatchStream = BoxStream<'static, Result<WatchItem, Error>>;

/// What a server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The endpoint that answered, for people.
    pub endpoint: String,
    /// The server's version, such as `3.4.23`.
    pub version: String,
    /// Size of the database file, bytes.
    pub db_size: i64,
    /// Bytes of it in use; 0 where the server does not say.
    pub db_size_in_use: i64,
    /// The member id of the leader; 0: there is none.
    pub leader: u64,
    /// The member id of the server that answered.
    pub member: u64,
    /// The store's revision.
    pub revision: Revision,
    /// True while the NOSPACE alarm is up: puts and lease grants fail, deletes work.
    pub no_space: bool,
}

/// An etcd, or what behaves like one. Used as `Arc<dyn Store>`; cheap to share, safe to call from many tasks.
///
/// No method repeats a write by itself. Reads may be tried on another endpoint within the request timeout.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// A linearizable read of a whole range at one revision. A range too large for one answer is read in bounded
    /// sub-ranges at that same revision.
    async fn list(&self, range: &Range) -> Result<Listing, Error>;

    /// A linearizable read of one key, and the revision it was read at: everything up to that revision, by
    /// whomever, had happened.
    async fn get(&self, key: &[u8]) -> Result<(Option<Kv>, Revision), Error>;

    /// Sends a transaction, once. `Ok` with `succeeded: false` is an answer, not an error. After an error for which
    /// [`Error::ambiguous`] holds it may have been applied, or may yet be.
    async fn txn(&self, txn: Txn) -> Result<TxnAnswer, Error>;

    /// Watches a range from a revision on (included), in a connection of its own. Past revisions come from
    /// history; if they are compacted the stream ends with [`Error::Compacted`]. Never fails synchronously:
    /// connection errors are the stream's first item.
    fn watch(&self, range: Range, from: Revision) -> WatchStream;

    /// Grants a lease of at least `ttl` (whole seconds, rounded up; the server may give more).
    async fn lease_grant(&self, ttl: Duration) -> Result<LeaseId, Error>;

    /// Renews a lease and says for how long from the moment of *sending* it is good. A lease that is gone is
    /// [`Error::LeaseGone`], never a duration of zero.
    async fn lease_keep_alive(&self, lease: LeaseId) -> Result<Duration, Error>;

    /// Ends a lease; its keys are deleted in one revision.
    async fn lease_revoke(&self, lease: LeaseId) -> Result<(), Error>;

    /// What a server says of itself. Works without a quorum.
    async fn status(&self) -> Result<Status, Error>;

    /// Forgets history before `revision` (which itself stays readable).
    async fn compact(&self, revision: Revision) -> Result<(), Error>;
}
