//! Transactions: conditions, and what is done if they all hold or if one does not.

use std::cmp::Ordering;

use bytes::Bytes;

use crate::types::{Kv, LeaseId, NO_LEASE, Range, Revision};

/// If every compare holds, `success` is done, else `failure`; either way at one revision, all or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txn {
    /// All must hold. None at all: always holds.
    pub compares: Vec<Compare>,
    /// Done in this order if all compares hold. A key may be put only once, and not be deleted beside.
    pub success: Vec<Op>,
    /// Done in this order otherwise.
    pub failure: Vec<Op>,
}

impl Txn {
    /// An empty transaction to build on.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a condition.
    #[must_use]
    pub fn when(mut self, compare: Compare) -> Self {
        self.compares.push(compare);
        self
    }

    /// Adds an operation for the case that all conditions hold.
    #[must_use]
    pub fn then(mut self, op: Op) -> Self {
        self.success.push(op);
        self
    }

    /// Adds an operation for the case that a condition does not hold.
    #[must_use]
    pub fn or_else(mut self, op: Op) -> Self {
        self.failure.push(op);
        self
    }

    /// True if neither branch can change anything: such a transaction is safe to send again.
    pub fn is_read_only(&self) -> bool {
        self.success.iter().chain(&self.failure).all(|op| matches!(op, Op::Get { .. }))
    }

    /// True if a branch puts: what etcd refuses while it is out of space, whichever branch would be taken.
    pub fn has_puts(&self) -> bool {
        self.success.iter().chain(&self.failure).any(|op| matches!(op, Op::Put { .. }))
    }

    /// Bytes of all keys and values, with room for the encoding: an upper estimate of the request's size.
    pub fn size_bytes(&self) -> usize {
        let compares: usize = self.compares.iter().map(Compare::size_bytes).sum();
        let ops: usize = self.success.iter().chain(&self.failure).map(Op::size_bytes).sum();
        compares + ops
    }
}

/// Encoding overhead of one compare or operation: tags, lengths and numbers of the wire format.
const OVERHEAD_BYTES: usize = 32;

/// A condition on one key. An absent key has version, create and mod revision and lease 0, and a value that
/// no comparison holds for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compare {
    /// The key looked at.
    pub key: Bytes,
    /// How the stored side (left) must relate to the given one (right).
    pub test: Test,
    /// What is compared, and with which value.
    pub condition: Condition,
}

/// The relation that must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Test {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// stored `<` given
    Less,
    /// stored `>` given
    Greater,
}

/// The field compared, with the given value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Number of puts since creation.
    Version(i64),
    /// Revision of creation.
    Create(Revision),
    /// Revision of the last change.
    Mod(Revision),
    /// The value, in byte order.
    Value(Bytes),
    /// The lease.
    Lease(LeaseId),
}

impl Compare {
    /// Any condition.
    pub fn new(key: impl Into<Bytes>, test: Test, condition: Condition) -> Self {
        Self { key: key.into(), test, condition }
    }

    /// The key was last changed at exactly this revision; 0: the key is absent.
    pub fn unchanged(key: impl Into<Bytes>, mod_revision: Revision) -> Self {
        Self::new(key, Test::Equal, Condition::Mod(mod_revision))
    }

    /// The key was created at exactly this revision, whatever was put since.
    pub fn created_at(key: impl Into<Bytes>, create_revision: Revision) -> Self {
        Self::new(key, Test::Equal, Condition::Create(create_revision))
    }

    /// The key exists.
    pub fn exists(key: impl Into<Bytes>) -> Self {
        Self::new(key, Test::Greater, Condition::Create(0))
    }

    /// The key does not exist.
    pub fn absent(key: impl Into<Bytes>) -> Self {
        Self::new(key, Test::Equal, Condition::Create(0))
    }

    /// The key exists with exactly this value.
    pub fn value(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Self::new(key, Test::Equal, Condition::Value(value.into()))
    }

    /// Does it hold for this state of the key?
    pub fn holds(&self, stored: Option<&Kv>) -> bool {
        let number = |field: fn(&Kv) -> i64| stored.map_or(0, field);
        let order = match &self.condition {
            Condition::Version(given) => number(|kv| kv.version).cmp(given),
            Condition::Create(given) => number(|kv| kv.create_revision).cmp(given),
            Condition::Mod(given) => number(|kv| kv.mod_revision).cmp(given),
            Condition::Lease(given) => number(|kv| kv.lease).cmp(given),
            Condition::Value(given) => match stored {
                Some(kv) => kv.value.cmp(given),
                None => return false,
            },
        };
        match self.test {
            Test::Equal => order == Ordering::Equal,
            Test::NotEqual => order != Ordering::Equal,
            Test::Less => order == Ordering::Less,
            Test::Greater => order == Ordering::Greater,
        }
    }

    fn size_bytes(&self) -> usize {
        let value = if let Condition::Value(value) = &self.condition { value.len() } else { 0 };
        OVERHEAD_BYTES + self.key.len() + value
    }
}

/// One operation of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Writes a key; a put without a lease takes the key off the lease it was on.
    Put {
        /// The key.
        key: Bytes,
        /// The new value.
        value: Bytes,
        /// The lease to put it on, or [`NO_LEASE`].
        lease: LeaseId,
    },
    /// Deletes every key of a range; none is not an error.
    Delete {
        /// What to delete.
        range: Range,
    },
    /// Reads a range as the operations before it leave it.
    Get {
        /// What to read.
        range: Range,
    },
}

impl Op {
    /// Writes a key that is on no lease.
    pub fn put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Self::Put { key: key.into(), value: value.into(), lease: NO_LEASE }
    }

    /// Writes a key that is deleted when the lease ends.
    pub fn put_on_lease(key: impl Into<Bytes>, value: impl Into<Bytes>, lease: LeaseId) -> Self {
        Self::Put { key: key.into(), value: value.into(), lease }
    }

    /// Deletes one key.
    pub fn delete(key: impl Into<Bytes>) -> Self {
        Self::Delete { range: Range::key(key) }
    }

    /// Deletes a range.
    pub fn delete_range(range: Range) -> Self {
        Self::Delete { range }
    }

    /// Reads one key.
    pub fn get(key: impl Into<Bytes>) -> Self {
        Self::Get { range: Range::key(key) }
    }

    /// Reads a range.
    pub fn get_range(range: Range) -> Self {
        Self::Get { range }
    }

    fn size_bytes(&self) -> usize {
        OVERHEAD_BYTES
            + match self {
                Self::Put { key, value, .. } => key.len() + value.len(),
                Self::Delete { range } | Self::Get { range } => {
                    range.start.len() + range.end.as_ref().map_or(1, Bytes::len)
                }
            }
    }
}

/// What one operation answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpAnswer {
    /// Written.
    Put,
    /// How many keys were deleted.
    Delete {
        /// Number of keys.
        deleted: i64,
    },
    /// What was read, in key order.
    Get {
        /// The records.
        kvs: Vec<Kv>,
    },
}

/// What a transaction answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnAnswer {
    /// All compares held, and `success` was done.
    pub succeeded: bool,
    /// The store's revision after it: its own if it changed something. Of a transaction that changed nothing
    /// this is somebody else's revision, which may never show in a watched range: never wait for it.
    pub revision: Revision,
    /// One answer for each operation of the branch that was taken.
    pub answers: Vec<OpAnswer>,
}
