//! Leases: who is on which, and when each ends.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use crate::error::Error;
use crate::types::{LeaseId, NO_LEASE};

/// etcd's bound of a time to live, seconds.
const TTL_S_MAX: i64 = 9_000_000_000;

/// A granted lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Its number.
    pub id: LeaseId,
    /// Its time to live, seconds: what was asked, or the store's minimum.
    pub ttl_s: i64,
}

/// A lease as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseInfo {
    /// What each renewal gives, seconds.
    pub granted_ttl_s: i64,
    /// What is left of it now.
    pub remaining: Duration,
    /// The keys on it, in order.
    pub keys: Vec<Bytes>,
}

#[derive(Clone, Debug)]
struct Lease {
    ttl_s: i64,
    deadline: Duration,
    keys: BTreeSet<Bytes>,
}

/// All leases. Knows the keys on them but cannot delete any: that is the core's part.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lessor {
    leases: BTreeMap<LeaseId, Lease>,
    /// The same leases by their end; ties by number, so that the order of expiry is fixed.
    deadlines: BTreeSet<(Duration, LeaseId)>,
    /// The number last made up for a grant that named none.
    last_id: LeaseId,
}

impl Lessor {
    pub(crate) fn grant(
        &mut self,
        id: LeaseId,
        ttl_s: i64,
        ttl_s_min: i64,
        now: Duration,
    ) -> Result<Grant, Error> {
        if ttl_s > TTL_S_MAX {
            return Err(Error::TtlTooLarge { ttl_s });
        }
        if self.leases.contains_key(&id) {
            return Err(Error::LeaseExists { lease: id });
        }
        let id = if id == NO_LEASE { self.unused_id() } else { id };
        let ttl_s = ttl_s.max(ttl_s_min);
        let deadline = now + seconds(ttl_s);
        self.leases.insert(id, Lease { ttl_s, deadline, keys: BTreeSet::new() });
        self.deadlines.insert((deadline, id));
        Ok(Grant { id, ttl_s })
    }

    pub(crate) fn exists(&self, id: LeaseId) -> bool {
        self.leases.contains_key(&id)
    }

    /// Renews; the time to live, seconds.
    pub(crate) fn keep_alive(&mut self, id: LeaseId, now: Duration) -> Result<i64, Error> {
        let lease = self.leases.get_mut(&id).ok_or(Error::LeaseNotFound { lease: id })?;
        self.deadlines.remove(&(lease.deadline, id));
        lease.deadline = now + seconds(lease.ttl_s);
        self.deadlines.insert((lease.deadline, id));
        Ok(lease.ttl_s)
    }

    pub(crate) fn info(&self, id: LeaseId, now: Duration) -> Option<LeaseInfo> {
        self.leases.get(&id).map(|lease| LeaseInfo {
            granted_ttl_s: lease.ttl_s,
            remaining: lease.deadline.saturating_sub(now),
            keys: lease.keys.iter().cloned().collect(),
        })
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = LeaseId> {
        self.leases.keys().copied()
    }

    /// Forgets a lease and names the keys that were on it, in order.
    pub(crate) fn remove(&mut self, id: LeaseId) -> Option<BTreeSet<Bytes>> {
        let lease = self.leases.remove(&id)?;
        self.deadlines.remove(&(lease.deadline, id));
        Some(lease.keys)
    }

    /// Moves a key between leases, either of which may be [`NO_LEASE`] or gone.
    pub(crate) fn reattach(&mut self, key: &Bytes, from: LeaseId, to: LeaseId) {
        if let Some(lease) = self.leases.get_mut(&from) {
            lease.keys.remove(key);
        }
        if let Some(lease) = self.leases.get_mut(&to) {
            lease.keys.insert(key.clone());
        }
    }

    /// Gives every lease its full time from now, as a new etcd leader does.
    pub(crate) fn renew_all(&mut self, now: Duration) {
        self.deadlines.clear();
        for (id, lease) in &mut self.leases {
            lease.deadline = now + seconds(lease.ttl_s);
            self.deadlines.insert((lease.deadline, *id));
        }
    }

    /// When the next lease ends, and which.
    pub(crate) fn next_deadline(&self) -> Option<(Duration, LeaseId)> {
        self.deadlines.first().copied()
    }

    fn unused_id(&mut self) -> LeaseId {
        loop {
            self.last_id += 1;
            if !self.leases.contains_key(&self.last_id) {
                return self.last_id;
            }
        }
    }
}

fn seconds(count: i64) -> Duration {
    Duration::from_secs(count.unsigned_abs())
}
