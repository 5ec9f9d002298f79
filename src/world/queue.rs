//! The queue of a loop: each key at most once, never one that is being worked on, higher priority first, and
//! priority rising with waiting.

use std::collections::{BTreeMap, BTreeSet};

use encamp_model::Timestamp;

/// A head start of one point of priority, in nanoseconds: a key of priority 51 goes before one of 50 that has waited
/// up to a second longer. So nothing waits for ever.
const HEAD_START_NS: i64 = 1_000_000_000;

/// Keys waiting to be looked at. A value: it has no clock of its own, see [`Queue::set_now`].
#[derive(Clone, Debug)]
pub struct Queue<K> {
    now: Timestamp,
    sequence: u64,
    /// Keys to be looked at now, by rank.
    ready: BTreeMap<Rank, K>,
    ranks: BTreeMap<K, Rank>,
    /// Keys to be looked at later.
    delayed: BTreeSet<(Timestamp, K)>,
    delays: BTreeMap<K, Timestamp>,
    /// Keys being worked on; true if the key became dirty meanwhile, with the rank it would have.
    busy: BTreeMap<K, Option<i64>>,
}

/// Lower goes first: instant of queueing less the head start, then order of queueing.
type Rank = (i64, u64);

/// Priority of a key that nobody gave one.
pub const PRIORITY: i64 = 50;

impl<K: Clone + Ord> Default for Queue<K> {
    fn default() -> Self {
        Queue {
            now: Timestamp::default(),
            sequence: 0,
            ready: BTreeMap::new(),
            ranks: BTreeMap::new(),
            delayed: BTreeSet::new(),
            delays: BTreeMap::new(),
            busy: BTreeMap::new(),
        }
    }
}

impl<K: Clone + Ord> Queue<K> {
    /// Tells what time it is, and readies what was delayed until now.
    pub fn set_now(&mut self, now: Timestamp) {
        // Also back: a clock that was set must not make what is due later seem due for ever.
        self.now = now;
        while let Some((at, key)) = self.delayed.first().cloned() {
            if at > self.now {
                break;
            }
            self.delayed.remove(&(at, key.clone()));
            self.delays.remove(&key);
            self.add(key);
        }
    }

    /// Queues a key with the usual priority.
    pub fn add(&mut self, key: K) {
        self.add_with(key, PRIORITY);
    }

    /// Queues a key. One that waits already keeps its place unless this one is better.
    pub fn add_with(&mut self, key: K, priority: i64) {
        self.queue(key, self.now.0.saturating_sub(priority.saturating_mul(HEAD_START_NS)));
    }

    fn queue(&mut self, key: K, rank: i64) {
        if let Some(waiting) = self.busy.get_mut(&key) {
            *waiting = Some(waiting.map_or(rank, |before| before.min(rank)));
            return;
        }
        if let Some(before) = self.ranks.get(&key).copied() {
            if before.0 <= rank {
                return;
            }
            self.ready.remove(&before);
        }
        self.sequence += 1;
        self.ready.insert((rank, self.sequence), key.clone());
        self.ranks.insert(key, (rank, self.sequence));
    }

    /// Queues a key for an instant. The earliest wish counts.
    pub fn add_at(&mut self, key: K, at: Timestamp) {
        if at <= self.now {
            self.add(key);
            return;
        }
        match self.delays.get(&key).copied() {
            Some(before) if before <= at => return,
            Some(before) => {
                self.delayed.remove(&(before, key.clone()));
            }
            None => {}
        }
        self.delayed.insert((at, key.clone()));
        self.delays.insert(key, at);
    }

    /// Takes the next key and marks it as being worked on, until [`Queue::finish`].
    pub fn pop(&mut self) -> Option<K> {
        let (_, key) = self.ready.pop_first()?;
        self.ranks.remove(&key);
        self.busy.insert(key.clone(), None);
        Some(key)
    }

    /// The work on a key is over; if it became dirty meanwhile it waits again.
    pub fn finish(&mut self, key: &K) {
        if let Some(Some(rank)) = self.busy.remove(key) {
            self.queue(key.clone(), rank);
        }
    }

    /// Is this key being worked on?
    pub fn is_busy(&self, key: &K) -> bool {
        self.busy.contains_key(key)
    }

    /// When the next delayed key is due.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.delayed.first().map(|(at, _)| *at)
    }

    /// Keys ready to be looked at.
    pub fn len(&self) -> usize {
        self.ready.len()
    }

    /// Nothing is ready.
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Queue { now: self.now, sequence: self.sequence, ..Queue::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn a_key_waits_once_and_never_while_worked_on() {
        let mut queue = Queue::default();
        queue.add("a");
        queue.add("a");
        assert_eq!(queue.pop(), Some("a"));
        queue.add("a");
        assert_eq!(queue.pop(), None, "it is being worked on");
        queue.finish(&"a");
        assert_eq!(queue.pop(), Some("a"), "it became dirty meanwhile");
        queue.finish(&"a");
        assert_eq!(queue.pop(), None);
    }

    #[test]
    fn priority_goes_first_but_waiting_catches_up() {
        let mut queue = Queue::default();
        queue.set_now(at(1000));
        queue.add_with("low", 10);
        queue.set_now(at(1030));
        queue.add_with("high", 50);
        assert_eq!(queue.pop(), Some("high"));
        queue.set_now(at(1060));
        queue.add_with("later", 50);
        assert_eq!(queue.pop(), Some("low"), "it has waited 60 s, worth more than 40 points");
    }

    #[test]
    fn a_delayed_key_comes_at_the_earliest_wish() {
        let mut queue = Queue::default();
        queue.set_now(at(10));
        queue.add_at("a", at(30));
        queue.add_at("a", at(20));
        queue.add_at("a", at(40));
        assert_eq!(queue.next_due(), Some(at(20)));
        queue.set_now(at(19));
        assert_eq!(queue.pop(), None);
        queue.set_now(at(20) + Duration::from_nanos(1));
        assert_eq!(queue.pop(), Some("a"));
        assert_eq!(queue.next_due(), None);
    }
}
