//! Keys, ranges, records and events: the nouns that every part which touches the store shares.

use std::fmt;

use bytes::Bytes;

/// etcd's logical clock: one step for each transaction that changes something. A fresh store is at 1.
pub type Revision = i64;

/// A lease's number; [`NO_LEASE`] means "none".
pub type LeaseId = i64;

/// The lease of a key that is on no lease.
pub const NO_LEASE: LeaseId = 0;

/// A record as stored, with etcd's bookkeeping.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Kv {
    /// The whole key, prefix included.
    pub key: Bytes,
    /// The value; empty in a delete event.
    pub value: Bytes,
    /// Revision at which the key came into being since its last deletion; 0 in a delete event.
    pub create_revision: Revision,
    /// Revision of the last change; in a delete event, of the deletion.
    pub mod_revision: Revision,
    /// Number of puts since creation, from 1; 0 in a delete event.
    pub version: i64,
    /// The lease whose end deletes this key, or [`NO_LEASE`].
    pub lease: LeaseId,
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventKind {
    /// Created or overwritten.
    Put,
    /// Deleted, by request or by the end of its lease.
    Delete,
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Put or delete.
    pub kind: EventKind,
    /// The record after the change; after a delete only `key` and `mod_revision` mean something.
    pub kv: Kv,
    /// The record before the change, when the watch asked for it and it is not compacted away.
    pub prev: Option<Kv>,
}

/// A span of keys, half open, in byte order.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Range {
    /// First key.
    pub start: Bytes,
    /// Key after the last; `None`: no upper bound.
    pub end: Option<Bytes>,
}

impl Range {
    /// Exactly one key.
    pub fn key(key: impl Into<Bytes>) -> Self {
        let start = key.into();
        let mut end = Vec::with_capacity(start.len() + 1);
        end.extend_from_slice(&start);
        end.push(0);
        Self { start, end: Some(end.into()) }
    }

    /// Every key that begins with `prefix`; the empty prefix is [`Range::all`].
    pub fn prefix(prefix: impl Into<Bytes>) -> Self {
        let start = prefix.into();
        let end = prefix_end(&start);
        Self { start, end }
    }

    /// Keys from `start` (included) to `end` (not included).
    pub fn span(start: impl Into<Bytes>, end: impl Into<Bytes>) -> Self {
        Self { start: start.into(), end: Some(end.into()) }
    }

    /// Every key there is.
    pub fn all() -> Self {
        Self { start: Bytes::new(), end: None }
    }

    /// Is `key` inside?
    pub fn contains(&self, key: &[u8]) -> bool {
        key >= self.start.as_ref() && self.end.as_ref().is_none_or(|end| key < end.as_ref())
    }

    /// Does the range name one key and no other?
    pub fn is_single(&self) -> bool {
        self.end.as_ref().is_some_and(|end| {
            end.len() == self.start.len() + 1 && end.starts_with(&self.start) && end.last() == Some(&0)
        })
    }

    /// True if no key can be inside.
    pub fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.start)
    }
}

/// The first key after every key that begins with `prefix`, or `None` if there is none (all bytes 0xff).
fn prefix_end(prefix: &[u8]) -> Option<Bytes> {
    let last = prefix.iter().rposition(|byte| *byte < 0xff)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end.into())
}

impl fmt::Debug for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, ", self.start.escape_ascii())?;
        match &self.end {
            Some(end) => write!(f, "{})", end.escape_ascii()),
            None => f.write_str("∞)"),
        }
    }
}

/// Values may hold secrets and are long: `{:?}` shows the length only.
impl fmt::Debug for Kv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Kv {{ {} ({} B) create {} mod {} version {} lease {:x} }}",
            self.key.escape_ascii(),
            self.value.len(),
            self.create_revision,
            self.mod_revision,
            self.version,
            self.lease
        )
    }
}
