//! The store as one value: every request is a method, every answer is final.

use std::time::Duration;

use bytes::Bytes;

use crate::check;
use crate::error::Error;
use crate::history::{History, Writer};
use crate::lease::{Grant, LeaseInfo, Lessor};
use crate::txn::{Op, OpAnswer, Txn, TxnAnswer};
use crate::types::{Kv, LeaseId, NO_LEASE, Range, Revision};

/// Limits, with etcd's defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Largest allowed of a transaction's compares, success and failure operations (`--max-txn-ops`).
    pub txn_ops_max: usize,
    /// Largest request, bytes (`--max-request-bytes`).
    pub request_bytes_max: usize,
    /// Shortest time to live of a lease, seconds: etcd's, from its election timeout.
    pub lease_ttl_s_min: i64,
}

impl Default for Config {
    fn default() -> Self {
        Self { txn_ops_max: 128, request_bytes_max: 3 * 512 * 1024, lease_ttl_s_min: 2 }
    }
}

/// A read of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeRequest {
    /// What to read.
    pub range: Range,
    /// At which revision; 0: now.
    pub revision: Revision,
    /// At most so many records; 0: all.
    pub limit: usize,
    /// Only count.
    pub count_only: bool,
}

impl RangeRequest {
    /// All of a range as it is now.
    pub fn now(range: Range) -> Self {
        Self { range, revision: 0, limit: 0, count_only: false }
    }
}

/// The answer to a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeAnswer {
    /// The records, in key order; none if only the count was asked for.
    pub kvs: Vec<Kv>,
    /// How many records the range holds, whatever the limit.
    pub count: usize,
    /// The limit cut something off.
    pub more: bool,
    /// The store's revision now, which is not the revision read if that was an older one.
    pub revision: Revision,
}

/// The answer to a delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// The records that were deleted, as they were, in key order.
    pub prev: Vec<Kv>,
    /// The store's revision afterwards.
    pub revision: Revision,
}

/// The store. Deterministic: a clone that is given the same calls stays equal.
#[derive(Clone, Debug)]
pub struct Core {
    config: Config,
    history: History,
    lessor: Lessor,
    no_space: bool,
}

impl Default for Core {
    fn default() -> Self {
        Self::new(Config::default())
    }
}

impl Core {
    /// An empty store at revision 1.
    pub fn new(config: Config) -> Self {
        Self { config, history: History::new(), lessor: Lessor::default(), no_space: false }
    }

    /// The current revision.
    pub fn revision(&self) -> Revision {
        self.history.revision()
    }

    /// The oldest revision still readable; 0: never compacted.
    pub fn compacted(&self) -> Revision {
        self.history.compacted()
    }

    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    /// Reads a range.
    ///
    /// # Errors
    /// [`Error::EmptyRange`], [`Error::Compacted`], [`Error::FutureRevision`].
    pub fn range(&self, request: &RangeRequest) -> Result<RangeAnswer, Error> {
        check::range(&request.range)?;
        let revision = self.revision();
        if request.revision > revision {
            return Err(Error::FutureRevision { revision });
        }
        if request.revision > 0 && request.revision < self.compacted() {
            return Err(Error::Compacted { revision: self.compacted() });
        }
        Ok(if request.revision <= 0 || request.revision == revision {
            answer(self.history.live(&request.range), request, revision)
        } else {
            answer(self.history.at(&request.range, request.revision), request, revision)
        })
    }

    /// Present state of one key.
    pub fn get(&self, key: &[u8]) -> Option<&Kv> {
        self.history.get(key)
    }

    /// Writes one key; the record it replaced, and the store's revision.
    ///
    /// # Errors
    /// [`Error::EmptyKey`], [`Error::TooLarge`], [`Error::NoSpace`], [`Error::LeaseNotFound`].
    pub fn put(
        &mut self,
        key: &Bytes,
        value: &Bytes,
        lease: LeaseId,
    ) -> Result<(Option<Kv>, Revision), Error> {
        if key.is_empty() {
            return Err(Error::EmptyKey);
        }
        check::size(key.len() + value.len(), &self.config)?;
        self.check_space()?;
        self.check_lease(lease)?;
        let mut writer = self.history.write();
        let prev = put(&mut writer, &mut self.lessor, key, value, lease);
        Ok((prev, writer.finish()))
    }

    /// Deletes a range, also when space is out. Deleting nothing is no change.
    ///
    /// # Errors
    /// [`Error::EmptyRange`].
    pub fn delete(&mut self, range: &Range) -> Result<Deleted, Error> {
        check::range(range)?;
        let mut writer = self.history.write();
        let prev = delete(&mut writer, &mut self.lessor, range);
        Ok(Deleted { prev, revision: writer.finish() })
    }

    /// Does a transaction, wholly or not at all.
    ///
    /// # Errors
    /// [`Error::TooManyOps`], [`Error::TooLarge`], [`Error::EmptyKey`], [`Error::EmptyRange`],
    /// [`Error::DuplicateKey`] (of either branch), [`Error::NoSpace`] (if either branch puts),
    /// [`Error::LeaseNotFound`] (of the branch taken).
    pub fn txn(&mut self, txn: &Txn) -> Result<TxnAnswer, Error> {
        check::txn(txn, &self.config)?;
        if txn.has_puts() {
            self.check_space()?;
        }
        let succeeded = txn.compares.iter().all(|compare| compare.holds(self.history.get(&compare.key)));
        let branch = if succeeded { &txn.success } else { &txn.failure };
        for op in branch {
            if let Op::Put { lease, .. } = op {
                self.check_lease(*lease)?;
            }
        }
        let mut writer = self.history.write();
        let answers = branch.iter().map(|op| apply(&mut writer, &mut self.lessor, op)).collect();
        Ok(TxnAnswer { succeeded, revision: writer.finish(), answers })
    }

    /// Forgets history before `revision`, which itself stays readable.
    ///
    /// # Errors
    /// [`Error::Compacted`] if that is done already, [`Error::FutureRevision`].
    pub fn compact(&mut self, revision: Revision) -> Result<(), Error> {
        if revision <= self.compacted() {
            return Err(Error::Compacted { revision: self.compacted() });
        }
        if revision > self.revision() {
            return Err(Error::FutureRevision { revision: self.revision() });
        }
        self.history.compact(revision);
        Ok(())
    }

    /// Raises or lowers the NOSPACE alarm: while up, puts and lease grants fail, reads and deletes work.
    pub fn set_no_space(&mut self, up: bool) {
        self.no_space = up;
    }

    /// Is the NOSPACE alarm up?
    pub fn no_space(&self) -> bool {
        self.no_space
    }

    /// Grants a lease, with the given number or, for [`NO_LEASE`], the next unused one.
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::LeaseExists`], [`Error::TtlTooLarge`].
    pub fn grant(&mut self, id: LeaseId, ttl_s: i64, now: Duration) -> Result<Grant, Error> {
        self.check_space()?;
        self.lessor.grant(id, ttl_s, self.config.lease_ttl_s_min, now)
    }

    /// Renews a lease; its time to live from now, seconds.
    ///
    /// # Errors
    /// [`Error::LeaseNotFound`]. (On etcd's wire that is an `Ok` with a time to live of 0.)
    pub fn keep_alive(&mut self, id: LeaseId, now: Duration) -> Result<i64, Error> {
        self.lessor.keep_alive(id, now)
    }

    /// Ends a lease and deletes its keys, in order and at one revision (none, if it had no keys).
    ///
    /// # Errors
    /// [`Error::LeaseNotFound`].
    pub fn revoke(&mut self, id: LeaseId) -> Result<Revision, Error> {
        let keys = self.lessor.remove(id).ok_or(Error::LeaseNotFound { lease: id })?;
        let mut writer = self.history.write();
        for key in keys {
            delete(&mut writer, &mut self.lessor, &Range::key(key));
        }
        Ok(writer.finish())
    }

    /// How a lease stands, or `None` if it is gone.
    pub fn time_to_live(&self, id: LeaseId, now: Duration) -> Option<LeaseInfo> {
        self.lessor.info(id, now)
    }

    /// All leases, by number.
    pub fn leases(&self) -> Vec<LeaseId> {
        self.lessor.ids().collect()
    }

    /// Ends every lease whose time is up, earliest first, each at a revision of its own; which they were.
    pub fn tick(&mut self, now: Duration) -> Vec<LeaseId> {
        let mut ended = Vec::new();
        while let Some((deadline, id)) = self.lessor.next_deadline()
            && deadline <= now
        {
            self.revoke(id).expect("the lessor just named it");
            ended.push(id);
        }
        ended
    }

    /// When [`Core::tick`] will next have something to do.
    pub fn next_expiry(&self) -> Option<Duration> {
        self.lessor.next_deadline().map(|(deadline, _)| deadline)
    }

    /// Gives every lease its full time from now: what etcd does when its leader changes.
    pub fn renew_all_leases(&mut self, now: Duration) {
        self.lessor.renew_all(now);
    }

    fn check_space(&self) -> Result<(), Error> {
        if self.no_space { Err(Error::NoSpace) } else { Ok(()) }
    }

    fn check_lease(&self, lease: LeaseId) -> Result<(), Error> {
        if lease == NO_LEASE || self.lessor.exists(lease) {
            Ok(())
        } else {
            Err(Error::LeaseNotFound { lease })
        }
    }
}

fn answer<'a>(
    found: impl Iterator<Item = &'a Kv>,
    request: &RangeRequest,
    revision: Revision,
) -> RangeAnswer {
    let limit = if request.limit == 0 { usize::MAX } else { request.limit };
    let (mut kvs, mut count) = (Vec::new(), 0);
    for kv in found {
        if !request.count_only && count < limit {
            kvs.push(kv.clone());
        }
        count += 1;
    }
    let more = !request.count_only && count > kvs.len();
    RangeAnswer { kvs, count, more, revision }
}

fn apply(writer: &mut Writer<'_>, lessor: &mut Lessor, op: &Op) -> OpAnswer {
    match op {
        Op::Put { key, value, lease } => {
            put(writer, lessor, key, value, *lease);
            OpAnswer::Put
        }
        Op::Delete { range } => {
            let deleted = delete(writer, lessor, range).len();
            OpAnswer::Delete { deleted: i64::try_from(deleted).expect("fewer keys than i64::MAX") }
        }
        Op::Get { range } => OpAnswer::Get { kvs: writer.reader().live(range).cloned().collect() },
    }
}

fn put(
    writer: &mut Writer<'_>,
    lessor: &mut Lessor,
    key: &Bytes,
    value: &Bytes,
    lease: LeaseId,
) -> Option<Kv> {
    let prev = writer.put(key, value, lease);
    lessor.reattach(key, prev.as_ref().map_or(NO_LEASE, |kv| kv.lease), lease);
    prev
}

fn delete(writer: &mut Writer<'_>, lessor: &mut Lessor, range: &Range) -> Vec<Kv> {
    let gone = writer.delete(range);
    for kv in &gone {
        lessor.reattach(&kv.key, kv.lease, NO_LEASE);
    }
    gone
}
