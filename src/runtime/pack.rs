//! Units into transactions: first in, first out, merging equal guards.

use std::collections::{BTreeMap, BTreeSet};

use encamp_model::{Guard, Key, Keyspace, Unit, Write};
use encamp_store::{Compare, Op, Range, Txn};

/// Operations and guards that a transaction takes beside the epoch's.
const MAX: usize = Unit::MAX_OPS;

/// A transaction being filled with whole units.
#[derive(Debug, Default)]
pub(crate) struct Packed {
    guards: BTreeMap<Key, Guard>,
    written: BTreeSet<Key>,
    writes: Vec<Write>,
    bytes: usize,
}

impl Packed {
    /// Does the whole unit fit? It doesn't where it meets another guard or write of the same key: what it compares
    /// must be etcd before the transaction, not in its middle. An empty transaction takes any unit.
    pub(crate) fn fits(&self, unit: &Unit) -> bool {
        if self.writes.is_empty() && self.guards.is_empty() {
            return true;
        }
        let new_guards = unit.guards.iter().filter(|g| !self.guards.contains_key(g.key())).count();
        let meets_guard =
            unit.guards.iter().any(|guard| self.guards.get(guard.key()).is_some_and(|g| g != guard));
        let meets_write = unit.guards.iter().any(|guard| self.written.contains(guard.key()))
            || unit
                .writes
                .iter()
                .any(|write| self.written.contains(write.key()) || self.guards.contains_key(write.key()));
        self.writes.len() + unit.writes.len() <= MAX
            && self.guards.len() + new_guards <= MAX
            && self.bytes + unit.value_bytes() <= Unit::MAX_BYTES
            && !meets_guard
            && !meets_write
    }

    /// Takes a unit in.
    pub(crate) fn push(&mut self, unit: Unit) {
        self.bytes += unit.value_bytes();
        self.guards.extend(unit.guards.into_iter().map(|guard| (guard.key().clone(), guard)));
        self.written.extend(unit.writes.iter().map(|write| write.key().clone()));
        self.writes.extend(unit.writes);
    }

    /// The transaction, under an epoch: the leader key at that mod revision.
    pub(crate) fn into_txn(self, keys: &Keyspace, epoch: Option<(&Key, i64)>) -> Txn {
        let mut compares: Vec<Compare> = self.guards.values().map(|guard| compare(keys, guard)).collect();
        compares.extend(epoch.map(|(key, revision)| Compare::unchanged(keys.encode(key), revision)));
        Txn {
            compares,
            success: self.writes.into_iter().map(|write| op(keys, write)).collect(),
            failure: Vec::new(),
        }
    }
}

/// One unit as a transaction of its own.
pub fn unit_txn(keys: &Keyspace, unit: Unit) -> Txn {
    let mut packed = Packed::default();
    packed.push(unit);
    packed.into_txn(keys, None)
}

fn compare(keys: &Keyspace, guard: &Guard) -> Compare {
    match guard {
        Guard::Unchanged(key, revision) => Compare::unchanged(keys.encode(key), *revision),
        Guard::Exists(key) => Compare::exists(keys.encode(key)),
    }
}

fn op(keys: &Keyspace, write: Write) -> Op {
    match write {
        Write::Put(key, value) => Op::put(keys.encode(&key), value),
        Write::Delete(key) => Op::Delete { range: Range::key(keys.encode(&key)) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use encamp_model::{AllocId, JobId, NodeId};

    fn alloc(n: u128) -> Key {
        Key::Alloc(NodeId::from_bits(1), AllocId::from_bits(n))
    }

    fn unit(guards: &[Guard], writes: &[Key]) -> Unit {
        let mut unit = Unit::new();
        unit.guards.extend(guards.iter().cloned());
        for key in writes {
            unit.put(key.clone(), &"x");
        }
        unit
    }

    #[test]
    fn equal_guards_merge_and_other_guards_of_the_same_key_part() {
        let job = Key::Job(JobId::new("default", "web"));
        let mut packed = Packed::default();
        packed.push(unit(&[Guard::Unchanged(job.clone(), 7)], &[alloc(1)]));
        assert!(packed.fits(&unit(&[Guard::Unchanged(job.clone(), 7)], &[alloc(2)])));
        assert!(!packed.fits(&unit(&[Guard::Unchanged(job.clone(), 8)], &[alloc(2)])));
        assert!(
            !packed.fits(&unit(&[Guard::Exists(job.clone())], &[alloc(2)])),
            "merging would weaken one of them"
        );
    }

    #[test]
    fn a_unit_that_compares_what_another_writes_starts_the_next() {
        let mut packed = Packed::default();
        packed.push(unit(&[], &[alloc(1)]));
        assert!(!packed.fits(&unit(&[Guard::Exists(alloc(1))], &[alloc(2)])));
        assert!(!packed.fits(&unit(&[], &[alloc(1)])), "a key once a transaction");
        let mut packed = Packed::default();
        packed.push(unit(&[Guard::Exists(alloc(1))], &[alloc(2)]));
        assert!(
            !packed.fits(&unit(&[], &[alloc(1)])),
            "nor may the write come beside the guard it would break"
        );
    }

    #[test]
    fn the_epoch_still_fits_beside_the_largest_unit() {
        let guards: Vec<Guard> = (0..127).map(|n| Guard::Exists(alloc(1000 + n))).collect();
        let writes: Vec<Key> = (0..127).map(alloc).collect();
        let mut packed = Packed::default();
        packed.push(unit(&guards, &writes));
        assert!(!packed.fits(&unit(&[], &[alloc(500)])));
        let leader = Key::Leader("planner".into());
        let txn = packed.into_txn(&Keyspace::new("/encamp/"), Some((&leader, 9)));
        assert_eq!((txn.compares.len(), txn.success.len()), (128, 127));
    }
}
