//! Why the core refuses a request. A refused request changed nothing.

use crate::types::{LeaseId, Revision};

/// A refusal, in etcd's sense and, where people know it, with etcd's name for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The revision is older than the last compaction (`ErrCompacted`).
    #[error("required revision has been compacted; history begins at {revision}")]
    Compacted {
        /// The oldest revision still readable.
        revision: Revision,
    },
    /// The revision is yet to come (`ErrFutureRev`).
    #[error("required revision is a future revision; the store is at {revision}")]
    FutureRevision {
        /// The current revision.
        revision: Revision,
    },
    /// A put or compare without a key (`ErrEmptyKey`).
    #[error("key is not provided")]
    EmptyKey,
    /// A range that can hold no key: its end is not after its start.
    #[error("range is empty")]
    EmptyRange,
    /// A key put twice, or put and deleted, in one branch (`ErrDuplicateKey`).
    #[error("duplicate key given in txn request")]
    DuplicateKey,
    /// More compares, or operations in one branch, than allowed (`ErrTooManyOps`).
    #[error("too many operations in txn request: {count}, limit {limit}")]
    TooManyOps {
        /// The largest of compares, success and failure.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// Over the request limit (`ErrRequestTooLarge`).
    #[error("request is too large: {bytes} bytes, limit {limit}")]
    TooLarge {
        /// Estimated size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The NOSPACE alarm is up (`ErrNoSpace`).
    #[error("database space exceeded")]
    NoSpace,
    /// No such lease, or no longer (`ErrLeaseNotFound`).
    #[error("lease {lease:x} not found")]
    LeaseNotFound {
        /// Which.
        lease: LeaseId,
    },
    /// A grant with an id in use (`ErrLeaseExist`).
    #[error("lease {lease:x} already exists")]
    LeaseExists {
        /// Which.
        lease: LeaseId,
    },
    /// A time to live beyond etcd's bound (`ErrLeaseTTLTooLarge`).
    #[error("lease ttl of {ttl_s} s is too large")]
    TtlTooLarge {
        /// What was asked, seconds.
        ttl_s: i64,
    },
}
