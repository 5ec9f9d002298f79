//! Units: writes that stand or fall together, with what each decision rests on (design law 5).

use std::{collections::BTreeSet, sync::Arc};

use serde::Serialize;

use crate::{
    ids::{AllocId, NodeId},
    keys::Key,
    records::AllocRecord,
};

/// What must still hold in etcd for a unit to be written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Guard {
    /// The key's mod revision is this one; 0 means that it is absent.
    Unchanged(Key, i64),
    /// The key exists, whatever it holds.
    Exists(Key),
}

impl Guard {
    /// The key it speaks of.
    pub fn key(&self) -> &Key {
        match self {
            Guard::Unchanged(key, _) | Guard::Exists(key) => key,
        }
    }
}

/// One write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Store this value (JSON text).
    Put(Key, Vec<u8>),
    /// Remove the key.
    Delete(Key),
}

impl Write {
    /// The key it touches.
    pub fn key(&self) -> &Key {
        match self {
            Write::Put(key, _) | Write::Delete(key) => key,
        }
    }
}

/// A placement that a unit makes, so that the World can count its room before etcd echoes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// Where.
    pub node: NodeId,
    /// Which.
    pub alloc: AllocId,
    /// What it takes.
    pub record: Arc<AllocRecord>,
}

/// Writes that stand or fall together. Never split over transactions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unit {
    /// What the decision rests on; the epoch is added by the runtime.
    pub guards: BTreeSet<Guard>,
    /// The writes; a key at most once.
    pub writes: Vec<Write>,
    /// The placements among them.
    pub placed: Vec<Placed>,
}

impl Unit {
    /// Most operations of a unit, and most guards: etcd's 128, less one for the epoch.
    pub const MAX_OPS: usize = 127;
    /// Most bytes of a unit: etcd takes 1.5 MiB a request.
    pub const MAX_BYTES: usize = 1 << 20;

    /// An empty unit.
    pub fn new() -> Self {
        Unit::default()
    }

    /// Nothing to write.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// Could etcd take it at all? A unit that is too large or writes a key twice is a mistake of its maker.
    pub fn is_possible(&self) -> bool {
        let keys: BTreeSet<&Key> = self.writes.iter().map(Write::key).collect();
        keys.len() == self.writes.len()
            && self.writes.len() <= Self::MAX_OPS
            && self.guards.len() <= Self::MAX_OPS
            && self.value_bytes() <= Self::MAX_BYTES
    }

    /// Rests on `key` being at `mod_revision` (0: absent).
    pub fn unchanged(&mut self, key: Key, mod_revision: i64) -> &mut Self {
        self.guards.insert(Guard::Unchanged(key, mod_revision));
        self
    }

    /// Rests on `key` being there.
    pub fn exists(&mut self, key: Key) -> &mut Self {
        self.guards.insert(Guard::Exists(key));
        self
    }

    /// Stores `value` under `key`.
    pub fn put(&mut self, key: Key, value: &impl Serialize) -> &mut Self {
        let json = serde_json::to_vec(value).expect("model types serialise");
        self.writes.push(Write::Put(key, json));
        self
    }

    /// Removes `key`.
    pub fn delete(&mut self, key: Key) -> &mut Self {
        self.writes.push(Write::Delete(key));
        self
    }

    /// Stores a new allocation and remembers that it takes room.
    pub fn place(&mut self, node: NodeId, alloc: AllocId, record: AllocRecord) -> &mut Self {
        self.put(Key::Alloc(node, alloc), &record);
        self.placed.push(Placed { node, alloc, record: Arc::new(record) });
        self
    }

    /// Takes over everything of `other`: from now on both stand or fall together.
    pub fn absorb(&mut self, other: Unit) {
        self.guards.extend(other.guards);
        self.writes.extend(other.writes);
        self.placed.extend(other.placed);
    }

    /// Bytes of its values: what counts against [`Unit::MAX_BYTES`], keys and framing being added by the runtime.
    pub fn value_bytes(&self) -> usize {
        self.writes.iter().map(|w| if let Write::Put(_, value) = w { value.len() } else { 0 }).sum()
    }
}
