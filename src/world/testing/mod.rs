//! For tests of loops: a World with etcd's semantics, and objects to fill it with.
//!
//! [`TestWorld`] applies units as etcd would: all guards hold at once, then all writes land under one revision, and
//! the World sees them as an event. It has no clock and no fault of its own; where those matter, the store in memory
//! is used.

pub mod objects;

use std::{collections::BTreeMap, sync::Arc};

use encamp_model::{Guard, Key, Keyspace, Unit, Write, keys::DEFAULT_PREFIX, unit::Placed};
use serde::Serialize;

use crate::{Change, Overlay, RawEvent, World};

/// A value with the revisions that created and changed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestValue {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Revision that created the key.
    pub created: i64,
    /// Revision that changed it last.
    pub modified: i64,
}

/// Keys and values as etcd holds them, and the World that watches them. A clone is a fork of both.
#[derive(Clone, Debug)]
pub struct TestWorld {
    keyspace: Arc<Keyspace>,
    values: BTreeMap<Key, TestValue>,
    world: World,
}

impl Default for TestWorld {
    fn default() -> Self {
        TestWorld::new()
    }
}

impl TestWorld {
    /// Nothing stored, and the first list made: the World is at revision 1, as an empty etcd is.
    pub fn new() -> Self {
        let keyspace = Arc::new(Keyspace::new(DEFAULT_PREFIX));
        let mut world = World::new(keyspace.clone());
        world.replace(1, &[]);
        TestWorld { keyspace, values: BTreeMap::new(), world }
    }

    /// The World, at the store's revision.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The store's revision.
    pub fn revision(&self) -> i64 {
        self.world.revision()
    }

    /// What is stored under a key.
    pub fn value(&self, key: &Key) -> Option<&TestValue> {
        self.values.get(key)
    }

    /// Every key that is stored.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.values.keys()
    }

    /// Stores a value, under a revision of its own.
    pub fn put(&mut self, key: Key, value: &impl Serialize) -> Vec<Change> {
        self.put_raw(key, serde_json::to_vec(value).expect("model types serialise"))
    }

    /// Stores any bytes, under a revision of its own.
    pub fn put_raw(&mut self, key: Key, bytes: impl Into<Vec<u8>>) -> Vec<Change> {
        self.write(&[Write::Put(key, bytes.into())])
    }

    /// Removes a key, under a revision of its own; of a key that is absent, nothing happens.
    pub fn delete(&mut self, key: Key) -> Vec<Change> {
        self.write(&[Write::Delete(key)])
    }

    /// Several writes under one revision, without guards: what others do to etcd.
    pub fn write(&mut self, writes: &[Write]) -> Vec<Change> {
        let at = self.revision() + 1;
        let mut events = Vec::new();
        for write in writes {
            match write {
                Write::Put(key, bytes) => {
                    let created = self.values.get(key).map_or(at, |v| v.created);
                    self.values
                        .insert(key.clone(), TestValue { bytes: bytes.clone(), created, modified: at });
                    events.push((self.keyspace.encode(key), Some(bytes.as_slice()), created));
                }
                Write::Delete(key) => {
                    if self.values.remove(key).is_some() {
                        events.push((self.keyspace.encode(key), None, 0));
                    }
                }
            }
        }
        if events.is_empty() {
            return Vec::new();
        }
        let raw: Vec<_> = events
            .iter()
            .map(|(key, value, created)| RawEvent {
                key: key.as_bytes(),
                value: *value,
                created: *created,
                modified: at,
            })
            .collect();
        self.world.apply(at, &raw)
    }

    /// Applies a unit as one transaction: the changes, or the first guard that does not hold.
    ///
    /// Panics on a unit that etcd or law 5 would refuse whatever is stored: too many operations or guards, too many
    /// bytes, a key written twice, a placement without its record.
    pub fn apply(&mut self, unit: &Unit) -> Result<Vec<Change>, Guard> {
        check(unit);
        if let Some(guard) = unit.guards.iter().find(|guard| !self.holds(guard)) {
            return Err(guard.clone());
        }
        Ok(self.write(&unit.writes))
    }

    /// Applies units in order; the guards of those that lost.
    pub fn apply_all<'a>(&mut self, units: impl IntoIterator<Item = &'a Unit>) -> Vec<Guard> {
        units.into_iter().filter_map(|unit| self.apply(unit).err()).collect()
    }

    /// Does a guard hold?
    pub fn holds(&self, guard: &Guard) -> bool {
        let modified = self.values.get(guard.key()).map_or(0, |v| v.modified);
        match guard {
            Guard::Unchanged(_, wanted) => modified == *wanted,
            Guard::Exists(_) => modified > 0,
        }
    }

    /// Takes these placements for made, as the runtime does between sending a unit and seeing it.
    pub fn assume(&mut self, placed: &[Placed]) {
        let mut overlay: Overlay = self.world.overlay().clone();
        placed.iter().for_each(|p| overlay.assume(p));
        self.world = self.world.with_overlay(overlay);
    }

    /// A World made from one list of what is stored: it must equal [`TestWorld::world`].
    pub fn listed(&self) -> World {
        let mut world = World::new(self.keyspace.clone());
        self.list_into(&mut world);
        world
    }

    /// Lets a World that fell behind list anew.
    pub fn list_into(&self, world: &mut World) -> Vec<Change> {
        let values: Vec<_> = self.values.iter().map(|(key, v)| (self.keyspace.encode(key), v)).collect();
        let list: Vec<_> = values
            .iter()
            .map(|(key, v)| RawEvent {
                key: key.as_bytes(),
                value: Some(&v.bytes),
                created: v.created,
                modified: v.modified,
            })
            .collect();
        world.replace(self.revision(), &list)
    }
}

/// What no store takes.
fn check(unit: &Unit) {
    assert!(unit.writes.len() <= Unit::MAX_OPS, "{} operations in {unit:?}", unit.writes.len());
    assert!(unit.guards.len() <= Unit::MAX_OPS, "{} guards in {unit:?}", unit.guards.len());
    assert!(unit.value_bytes() <= Unit::MAX_BYTES, "{} bytes in a unit", unit.value_bytes());
    let keys: std::collections::BTreeSet<_> = unit.writes.iter().map(Write::key).collect();
    assert_eq!(keys.len(), unit.writes.len(), "a key is written twice in {unit:?}");
    for placed in &unit.placed {
        let key = Key::Alloc(placed.node, placed.alloc);
        assert!(keys.contains(&key), "{key:?} is placed but not written");
    }
}
