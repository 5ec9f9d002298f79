//! The records themselves: their present state, their past since the last compaction, and the log of changes.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use crate::types::{Event, EventKind, Kv, LeaseId, Range, Revision};

/// A key's state from `revision` on, until the next entry.
#[derive(Clone, Debug)]
struct Past {
    revision: Revision,
    /// `None`: deleted.
    kv: Option<Kv>,
}

/// All versions of all keys since the last compaction.
///
/// The present is kept apart from the past, since nearly every read wants the present, and the past of deleted
/// keys must not slow it down.
#[derive(Clone, Debug)]
pub(crate) struct History {
    /// The last revision that changed anything.
    revision: Revision,
    /// The oldest revision still readable; 0: never compacted.
    compacted: Revision,
    live: BTreeMap<Bytes, Kv>,
    past: BTreeMap<Bytes, Vec<Past>>,
    /// Changes by revision, each in the order of its transaction.
    log: BTreeMap<Revision, Vec<Event>>,
}

impl History {
    /// An empty store, at revision 1 as etcd's.
    pub(crate) fn new() -> Self {
        Self { revision: 1, compacted: 0, live: BTreeMap::new(), past: BTreeMap::new(), log: BTreeMap::new() }
    }

    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    pub(crate) fn compacted(&self) -> Revision {
        self.compacted
    }

    /// Present state of one key.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Kv> {
        self.live.get(key)
    }

    /// Present state of a range, in key order.
    pub(crate) fn live(&self, range: &Range) -> impl Iterator<Item = &Kv> {
        within(&self.live, range).map(|(_, kv)| kv)
    }

    /// State of a range at a revision that is neither compacted nor to come, in key order.
    pub(crate) fn at(&self, range: &Range, revision: Revision) -> impl Iterator<Item = &Kv> {
        within(&self.past, range).filter_map(move |(_, versions)| {
            let newer = versions.partition_point(|past| past.revision <= revision);
            versions[..newer].last().and_then(|past| past.kv.as_ref())
        })
    }

    /// Changes from `from` on, oldest first: one entry a revision, never empty.
    pub(crate) fn since(&self, from: Revision) -> impl Iterator<Item = (Revision, &[Event])> {
        self.log.range(from..).map(|(revision, events)| (*revision, events.as_slice()))
    }

    /// Begins a write. All its changes carry one revision, which exists only if there is at least one.
    pub(crate) fn write(&mut self) -> Writer<'_> {
        Writer { history: self, events: Vec::new() }
    }

    /// Forgets what was before `revision`. What `revision` itself changed stays in the log, deletions included.
    pub(crate) fn compact(&mut self, revision: Revision) {
        self.compacted = revision;
        self.log = self.log.split_off(&revision);
        self.past.retain(|_, versions| {
            let newer = versions.partition_point(|past| past.revision <= revision);
            versions.drain(..newer.saturating_sub(1));
            if versions.first().is_some_and(|past| past.revision <= revision && past.kv.is_none()) {
                versions.remove(0);
            }
            !versions.is_empty()
        });
    }
}

/// The part of an ordered map that lies in a range. Tolerates an empty range, where `BTreeMap::range` panics.
fn within<'a, V>(
    map: &'a BTreeMap<Bytes, V>,
    range: &Range,
) -> impl Iterator<Item = (&'a Bytes, &'a V)> + use<'a, V> {
    let end = match &range.end {
        Some(end) if *end > range.start => Bound::Excluded(end.clone()),
        Some(_) => Bound::Excluded(range.start.clone()),
        None => Bound::Unbounded,
    };
    map.range((Bound::Included(range.start.clone()), end))
}

/// One write under way: the changes of one revision to be.
pub(crate) struct Writer<'a> {
    history: &'a mut History,
    events: Vec<Event>,
}

impl Writer<'_> {
    /// What the operations so far leave.
    pub(crate) fn reader(&self) -> &History {
        self.history
    }

    /// Writes a key and returns what was there.
    pub(crate) fn put(&mut self, key: &Bytes, value: &Bytes, lease: LeaseId) -> Option<Kv> {
        let revision = self.history.revision + 1;
        let prev = self.history.live.get(key).cloned();
        let kv = Kv {
            key: key.clone(),
            value: value.clone(),
            create_revision: prev.as_ref().map_or(revision, |kv| kv.create_revision),
            mod_revision: revision,
            version: prev.as_ref().map_or(0, |kv| kv.version) + 1,
            lease,
        };
        self.history.live.insert(key.clone(), kv.clone());
        self.record(EventKind::Put, kv, prev.clone());
        prev
    }

    /// Deletes a range and returns what was there.
    pub(crate) fn delete(&mut self, range: &Range) -> Vec<Kv> {
        let gone: Vec<Kv> = self.history.live(range).cloned().collect();
        let mod_revision = self.history.revision + 1;
        for prev in &gone {
            self.history.live.remove(&prev.key);
            let kv = Kv { key: prev.key.clone(), mod_revision, ..Kv::default() };
            self.record(EventKind::Delete, kv, Some(prev.clone()));
        }
        gone
    }

    /// Ends the write; the store's revision afterwards.
    pub(crate) fn finish(self) -> Revision {
        if !self.events.is_empty() {
            self.history.revision += 1;
            self.history.log.insert(self.history.revision, self.events);
        }
        self.history.revision
    }

    fn record(&mut self, kind: EventKind, kv: Kv, prev: Option<Kv>) {
        let state = (kind == EventKind::Put).then(|| kv.clone());
        let versions = self.history.past.entry(kv.key.clone()).or_default();
        versions.push(Past { revision: kv.mod_revision, kv: state });
        self.events.push(Event { kind, kv, prev });
    }
}
