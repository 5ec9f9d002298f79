//! Who leads a loop, as a value: campaign, epoch, and the new epoch after anything but success.
//!
//! A loop leads while its World shows its instance id under `leaders/<loop>`; its epoch is that key's mod revision
//! there. So it never decides on a World older than its election, and what it wrote under an older epoch either is
//! in the World that shows the newer one, or can never land.

use std::time::Duration;

use encamp_model::{InstanceId, Key, Keyspace, Timestamp, records::LeaderRecord};
use encamp_store::{Compare, Condition, LeaseId, NO_LEASE, Op, Test, Txn};
use encamp_world::World;

use crate::retry::Backoff;

/// How often a follower looks whether the leader key is on no lease: then somebody put it by hand, and nobody leads.
const LOOK: Duration = Duration::from_secs(10);
/// The longest pause between two tries.
const MOST: Duration = Duration::from_secs(5);
/// The shortest pause after a try that succeeded: the World shows it long before.
const PACE: Duration = Duration::from_millis(50);

/// Where a loop stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Another leads, or nobody yet.
    Follower,
    /// Leads under this epoch.
    Leader {
        /// Mod revision of the leader key.
        epoch: i64,
    },
    /// Led under this epoch until a transaction failed; a new epoch must show before it writes again.
    Suspended {
        /// The epoch that ended.
        epoch: i64,
    },
}

/// The leadership of one loop.
#[derive(Debug)]
pub(crate) struct Leadership {
    key: Key,
    record: LeaderRecord,
    role: Role,
    /// A campaign or rewrite is in flight.
    asking: bool,
    /// What is in flight only looks whether another's key is on a lease.
    looking: bool,
    /// Not before this instant: the last try failed.
    not_before: Timestamp,
    /// When a follower looks at another's leader key again.
    next_look: Timestamp,
    backoff: Backoff,
}

impl Leadership {
    pub(crate) fn new(name: &'static str, instance: InstanceId, address: String) -> Self {
        Leadership {
            key: Key::Leader(name.into()),
            record: LeaderRecord { instance, address },
            role: Role::Follower,
            asking: false,
            looking: false,
            not_before: Timestamp::default(),
            next_look: Timestamp::default(),
            backoff: Backoff::exact(Duration::from_millis(50), MOST),
        }
    }

    pub(crate) fn role(&self) -> Role {
        self.role
    }

    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    pub(crate) fn instance(&self) -> InstanceId {
        self.record.instance
    }

    /// Looks at who the World says leads. True if a new epoch of ours begins with it.
    pub(crate) fn see(&mut self, world: &World) -> bool {
        let Key::Leader(name) = &self.key else { return false };
        let shown = world.epoch(name, self.record.instance);
        let known = match self.role {
            Role::Follower => None,
            Role::Leader { epoch } | Role::Suspended { epoch } => Some(epoch),
        };
        match shown {
            None => self.role = Role::Follower,
            Some(epoch) if known != Some(epoch) => {
                self.role = Role::Leader { epoch };
                return true;
            }
            Some(_) => {}
        }
        false
    }

    /// Something failed: whatever is unanswered may or may not land. Nothing more is written under this epoch.
    pub(crate) fn suspend(&mut self) {
        if let Role::Leader { epoch } = self.role {
            self.role = Role::Suspended { epoch };
        }
    }

    /// The transaction that is due now, if any: a campaign where nobody leads, a rewrite where we are suspended.
    pub(crate) fn poll(
        &mut self,
        world: &World,
        keys: &Keyspace,
        lease: Option<LeaseId>,
        now: Timestamp,
    ) -> Option<Txn> {
        let expected = match self.role {
            Role::Leader { .. } => return None,
            // An opaque leader key has a mod revision too.
            Role::Follower => world.mod_revision(&self.key),
            Role::Suspended { epoch } => epoch,
        };
        let others = self.role == Role::Follower && expected != 0;
        let lease = lease?;
        // A clock that was set back must not hold it up longer than any delay is.
        if self.asking || (now < self.not_before && self.not_before <= now + MOST) {
            return None;
        }
        if others {
            if now < self.next_look && self.next_look <= now + LOOK {
                return None;
            }
            self.next_look = now + LOOK;
        }
        self.looking = others;
        self.asking = true;
        let raw = keys.encode(&self.key);
        let value = serde_json::to_vec(&self.record).expect("model types serialise");
        // Comparing the mod revision, not only that the key is our campaign's: of repeated rewrites one lands at
        // most, so that a late one cannot end an epoch that has begun.
        let mut txn = Txn::new().when(Compare::unchanged(raw.clone(), expected));
        if others {
            txn = txn.when(Compare::new(raw.clone(), Test::Equal, Condition::Lease(NO_LEASE)));
        }
        Some(txn.then(Op::put_on_lease(raw, value, lease)))
    }

    /// The answer to it. Success is only believed when the World shows it.
    pub(crate) fn answered(&mut self, failed: bool, now: Timestamp) {
        self.asking = false;
        if std::mem::take(&mut self.looking) {
            // That another leads is no failure, and no reason to be slow when it ends.
            return;
        }
        // After a success too, the next try waits, longer each time until a unit is committed: what fails whatever
        // the epoch must not become a storm of epochs.
        let delay = self.backoff.next_delay();
        self.not_before = now + if failed { delay } else { delay.max(PACE) };
    }

    /// A unit was committed under the present epoch: the next new one may come at once.
    pub(crate) fn succeeded(&mut self) {
        self.backoff.reset();
        self.not_before = Timestamp::default();
    }

    /// When [`Leadership::poll`] may have something again without anything else happening.
    pub(crate) fn due(&self) -> [Option<Timestamp>; 2] {
        let waits = !matches!(self.role, Role::Leader { .. }) && !self.asking;
        let look = (self.role == Role::Follower).then_some(self.next_look);
        let retry = Some(self.not_before).filter(|at| *at > Timestamp::default());
        [look.filter(|_| waits), retry.filter(|_| waits)]
    }
}
