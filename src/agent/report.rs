//! What the node says: which transaction is due, and what its answer means. Sans IO.
//!
//! At most one transaction is in flight; whatever changes meanwhile goes with the next, without a timer. Each compares
//! the mod revision of our lease key (our *epoch*) and that every allocation it speaks of still has its record. After
//! an ambiguous answer the epoch is renewed first, by rewriting the lease key: what was under way under the old one
//! has then landed or never will, and cannot overwrite newer news.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use encamp_model::{
    AllocId, Key, Keyspace, NodeId,
    records::{AllocStatus, LeaseRecord, NodeInfo},
    status::may_follow,
};
use encamp_store::{Compare, LeaseId, Op, OpAnswer, Revision, Txn, TxnAnswer};

/// Statuses in one transaction: of etcd's 128 compares and operations, one is the lease key's and one the info's.
pub const STATUSES_MAX: usize = 126;

/// Bytes of statuses in one transaction: an etcd as it comes takes 1.5 MiB.
const BYTES_MAX: usize = 1 << 20;

/// Who we are in every transaction.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The node.
    pub node: NodeId,
    /// How keys are spelled.
    pub keys: Keyspace,
    /// What is under our lease key.
    pub record: LeaseRecord,
}

/// What a transaction said.
#[derive(Clone, Debug)]
struct Sent {
    statuses: Vec<(AllocId, Arc<AllocStatus>)>,
    info: Option<Arc<NodeInfo>>,
}

/// What an answer means for the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Fine,
    /// Our lease key is gone: register again.
    Unregistered,
    /// Somebody else's is there.
    Replaced {
        /// Where that one is.
        address: String,
    },
}

/// The pipeline's state.
#[derive(Debug)]
pub struct Reporter {
    me: Identity,
    epoch: Option<(Revision, LeaseId)>,
    fence: bool,
    in_flight: Option<Sent>,
    told: BTreeMap<AllocId, Arc<AllocStatus>>,
    /// Allocations of which there may be something to say.
    pending: BTreeSet<AllocId>,
    told_info: Option<Arc<NodeInfo>>,
    /// Statuses in the next transaction, at most: fewer after one that was too large.
    most: usize,
    /// Allocations whose statuses alone are too large: said without events.
    bare: BTreeSet<AllocId>,
    /// Allocations whose record etcd does not have: their statuses are gc's business.
    gone: BTreeSet<AllocId>,
}

impl Reporter {
    /// Nothing was told yet, and there is no epoch to tell it under.
    pub fn new(me: Identity) -> Self {
        Reporter {
            me,
            epoch: None,
            fence: false,
            in_flight: None,
            told: BTreeMap::new(),
            pending: BTreeSet::new(),
            told_info: None,
            most: STATUSES_MAX,
            bare: BTreeSet::new(),
            gone: BTreeSet::new(),
        }
    }

    /// Registered: our lease key has this mod revision, `info` is what etcd holds, and `told` its statuses.
    pub fn registered(
        &mut self,
        epoch: Revision,
        lease: LeaseId,
        info: Arc<NodeInfo>,
        told: BTreeMap<AllocId, Arc<AllocStatus>>,
    ) {
        self.epoch = Some((epoch, lease));
        self.fence = false;
        self.told = told;
        self.told_info = Some(info);
        self.gone.clear();
    }

    /// The lease is gone: nothing can be said until we are registered again.
    pub fn unregistered(&mut self) {
        self.epoch = None;
    }

    /// The lease key's mod revision as read, which moves when a fence landed late. An older reading changes nothing.
    pub fn epoch_is(&mut self, epoch: Revision) {
        if let Some((known, _)) = &mut self.epoch {
            *known = epoch.max(*known);
        }
    }

    /// A transaction is under way.
    pub fn busy(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Something may be new about these.
    pub fn news(&mut self, ids: impl IntoIterator<Item = AllocId>) {
        self.pending.extend(ids);
    }

    /// The allocation is no longer here.
    pub fn forget(&mut self, id: AllocId) {
        self.told.remove(&id);
        self.pending.remove(&id);
        self.gone.remove(&id);
        self.bare.remove(&id);
    }

    /// The next transaction, if one is due and none is in flight. `status` says what is to be said of an allocation;
    /// `None`: nothing for now.
    pub fn next<'a>(
        &mut self,
        status: impl Fn(AllocId) -> Option<&'a Arc<AllocStatus>>,
        info: &Arc<NodeInfo>,
    ) -> Option<Txn> {
        let (epoch, lease) = self.epoch?;
        if self.in_flight.is_some() {
            return None;
        }
        let lease_key = self.key(&Key::NodeLease(self.me.node));
        let txn = Txn::new().when(Compare::unchanged(lease_key.clone(), epoch));
        let txn = txn.or_else(Op::get(lease_key.clone()));
        if self.fence {
            self.in_flight = Some(Sent { statuses: Vec::new(), info: None });
            return Some(txn.then(Op::put_on_lease(lease_key, json(&self.me.record), lease)));
        }
        let sent = Sent {
            statuses: self.batch(status),
            info: (self.told_info.as_ref() != Some(info)).then(|| Arc::clone(info)),
        };
        if sent.statuses.is_empty() && sent.info.is_none() {
            return None;
        }
        let txn = self.speak(txn, &sent);
        self.in_flight = Some(sent);
        Some(txn)
    }

    /// What is new, at most as much as fits; what turns out not to be is pending no more.
    fn batch<'a>(
        &mut self,
        status: impl Fn(AllocId) -> Option<&'a Arc<AllocStatus>>,
    ) -> Vec<(AllocId, Arc<AllocStatus>)> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        let mut said = Vec::new();
        for id in &self.pending {
            let Some(status) = status(*id).filter(|_| !self.gone.contains(id)) else { continue };
            let short = self.bare.contains(id).then(|| without_events(status));
            let status = short.as_ref().unwrap_or(status);
            let told = self.told.get(id);
            if told.is_some_and(|told| Arc::ptr_eq(told, status) || same(told, status)) {
                said.push(*id);
                continue;
            }
            if told.is_some_and(|told| contradicts(told, status)) {
                tracing::error!(alloc = %id, told = ?told.map(|t| t.status), now = ?status.status, "not said");
                said.push(*id);
                continue;
            }
            bytes += json(&**status).len();
            if batch.len() >= self.most || (bytes > BYTES_MAX && !batch.is_empty()) {
                break;
            }
            batch.push((*id, Arc::clone(status)));
        }
        for id in said {
            self.pending.remove(&id);
        }
        batch
    }

    fn speak(&self, mut txn: Txn, sent: &Sent) -> Txn {
        if let Some(info) = &sent.info {
            txn = txn.then(Op::put(self.key(&Key::NodeInfo(self.me.node)), json(&**info)));
        }
        for (id, status) in &sent.statuses {
            let alloc = self.key(&Key::Alloc(self.me.node, *id));
            txn = txn
                .when(Compare::exists(alloc.clone()))
                .then(Op::put(self.key(&Key::AllocStatus(self.me.node, *id)), json(&**status)))
                .or_else(Op::get(alloc));
        }
        txn
    }

    /// The answer to the transaction in flight.
    pub fn answered(&mut self, answer: &TxnAnswer) -> Verdict {
        let Some(sent) = self.in_flight.take() else { return Verdict::Fine };
        if answer.succeeded {
            if self.fence {
                self.fence = false;
                self.epoch_is(answer.revision);
            }
            self.most = self.most.saturating_mul(2).min(STATUSES_MAX);
            self.told.extend(sent.statuses);
            self.told_info = sent.info.or(self.told_info.take());
            return Verdict::Fine;
        }
        let mut reads = answer.answers.iter().map(|a| match a {
            OpAnswer::Get { kvs } => kvs.first(),
            _ => None,
        });
        let Some(lease) = reads.next().flatten() else {
            self.epoch = None;
            return Verdict::Unregistered;
        };
        for ((id, _), read) in sent.statuses.iter().zip(reads) {
            if read.is_none() {
                self.gone.insert(*id);
            }
        }
        match serde_json::from_slice::<LeaseRecord>(&lease.value) {
            Ok(record) if record.instance == self.me.record.instance => {
                self.epoch_is(lease.mod_revision);
                Verdict::Fine
            }
            other => {
                self.epoch = None;
                let address = other.map_or_else(|_| "an unknown address".to_owned(), |r| r.http_addr);
                Verdict::Replaced { address }
            }
        }
    }

    /// The transaction in flight got no answer. If it may have been applied, a fence goes first.
    pub fn failed(&mut self, ambiguous: bool) {
        let Some(sent) = self.in_flight.take() else { return };
        if ambiguous {
            self.fence = true;
            for (id, _) in &sent.statuses {
                self.told.remove(id);
            }
            if sent.info.is_some() {
                self.told_info = None;
            }
        }
    }

    /// The transaction in flight is more than etcd takes: half as many statuses go with the next, and one that is too
    /// large by itself goes without its events.
    pub fn too_large(&mut self) {
        match self.in_flight.as_ref().map(|sent| sent.statuses.as_slice()) {
            Some([(id, _)]) => {
                self.bare.insert(*id);
            }
            Some(statuses) => self.most = (statuses.len() / 2).max(1),
            None => {}
        }
    }

    fn key(&self, key: &Key) -> String {
        self.me.keys.encode(key)
    }
}

/// Must `new` not be said of an allocation of which `told` was said?
fn contradicts(told: &AllocStatus, new: &AllocStatus) -> bool {
    told.uid == new.uid && !may_follow(told.status, new.status)
}

fn without_events(status: &AllocStatus) -> Arc<AllocStatus> {
    let mut short = status.clone();
    for task in short.tasks.values_mut() {
        task.events.clear();
    }
    Arc::new(short)
}

/// Do both say the same, whenever they were written?
pub fn same(a: &AllocStatus, b: &AllocStatus) -> bool {
    a.uid == b.uid
        && a.job == b.job
        && a.name == b.name
        && a.version == b.version
        && a.status == b.status
        && a.description == b.description
        && a.tasks == b.tasks
}

pub(crate) fn json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("model types serialise")
}
