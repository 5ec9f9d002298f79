//! One loop as a value: its queue, its pipeline, its leadership. No IO, no clock: it is told and asked.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use encamp_model::{AllocId, ClusterUid, InstanceId, Keyspace, NodeId, Timestamp, Unit};
use encamp_store::{LeaseId, Txn};
use encamp_world::{
    Change, Overlay, World,
    control::{Controller, Cx, Queue},
};

pub use crate::leadership::Role;
use crate::{leadership::Leadership, pack::Packed, retry::Backoff};

/// Transactions in flight at most: more gain little and cost latency (design §9).
const IN_FLIGHT: usize = 4;
/// Operations that wait for a place in flight at most, before no further key is looked at: eight transactions' worth.
const BACKLOG_OPS: usize = 8 * Unit::MAX_OPS;
/// Keys looked at in one poll: then what they decided is sent, and answers are taken in.
const SLICE: usize = 64;
/// How often everything is looked at without an event.
pub const RESYNC: Duration = Duration::from_secs(60);

/// A transaction of a driver, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TxnId(u64);

/// How a transaction ended, as far as the sender knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Committed at this revision.
    Committed(i64),
    /// A comparison did not hold: nothing was written.
    Conflict,
    /// Anything else: it may be written, now or later.
    Unknown,
}

/// What happened to a run's units.
#[derive(Debug, Default)]
struct Run {
    /// Units not answered yet.
    unanswered: usize,
    /// Revision that the World must reach.
    reach: i64,
    /// Look at the key again at once.
    again: bool,
    /// A unit was not committed.
    failed: bool,
    /// Its placements, which are assumed until it ends.
    placed: Vec<(NodeId, AllocId)>,
}

/// A key whose transactions fail: looked at again after growing pauses, and sent alone.
#[derive(Debug)]
struct Suspect {
    until: Timestamp,
    backoff: Backoff,
}

impl Suspect {
    fn new() -> Self {
        let backoff = Backoff::exact(Duration::from_millis(200), Duration::from_secs(30));
        Suspect { until: Timestamp::default(), backoff }
    }

    fn failed(&mut self, now: Timestamp) {
        self.until = now + self.backoff.next_delay();
    }
}

/// What came of a reconcile: for logs, metrics and tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran<K> {
    /// The key.
    pub key: K,
    /// Units it returned.
    pub units: usize,
    /// Placements among them.
    pub placed: usize,
}

/// One loop.
pub struct Driver<C: Controller> {
    controller: C,
    keys: Keyspace,
    cluster: ClusterUid,
    world: World,
    overlay: Overlay,
    queue: Queue<C::Key>,
    leadership: Leadership,
    lease: Option<LeaseId>,
    cx: Option<Cx>,
    runs: BTreeMap<C::Key, Run>,
    backlog: VecDeque<(C::Key, Unit)>,
    backlog_ops: usize,
    in_flight: BTreeMap<TxnId, Vec<C::Key>>,
    asking: Option<TxnId>,
    next_txn: u64,
    /// Keys whose transactions failed for another reason than a lost race.
    suspects: BTreeMap<C::Key, Suspect>,
    /// Nothing but lost races ended the present epoch, if anything did.
    only_conflicts: bool,
    /// The last poll left keys for the next.
    more: bool,
    failures: Backoff,
    resync: Option<Duration>,
    next_resync: Timestamp,
    /// When it was polled last.
    polled: Timestamp,
    ran: Vec<Ran<C::Key>>,
}

impl<C: Controller> Driver<C> {
    /// A loop that has seen nothing yet, for one installation.
    pub fn new(
        controller: C,
        keys: Keyspace,
        cluster: ClusterUid,
        instance: InstanceId,
        address: String,
    ) -> Self {
        let world = World::new(std::sync::Arc::new(keys.clone()));
        Driver {
            controller,
            keys,
            cluster,
            world,
            overlay: Overlay::default(),
            queue: Queue::default(),
            leadership: Leadership::new(C::NAME, instance, address),
            lease: None,
            cx: None,
            runs: BTreeMap::new(),
            backlog: VecDeque::new(),
            backlog_ops: 0,
            in_flight: BTreeMap::new(),
            asking: None,
            next_txn: 0,
            suspects: BTreeMap::new(),
            only_conflicts: true,
            more: false,
            failures: Backoff::exact(Duration::from_millis(100), Duration::from_secs(10)),
            resync: Some(RESYNC),
            next_resync: Timestamp::default(),
            polled: Timestamp::default(),
            ran: Vec::new(),
        }
    }

    /// Without the slow tick: in the simulator it would hide a missed `dirty`.
    #[must_use]
    pub fn without_resync(mut self) -> Self {
        self.resync = None;
        self
    }

    /// Where it stands.
    pub fn role(&self) -> Role {
        if C::ELECTED { self.leadership.role() } else { Role::Leader { epoch: 0 } }
    }

    /// What it did since the last call.
    pub fn take_ran(&mut self) -> Vec<Ran<C::Key>> {
        std::mem::take(&mut self.ran)
    }

    /// Keys ready to be looked at, and transactions in flight.
    pub fn load(&self) -> (usize, usize) {
        (self.queue.len(), self.in_flight.len())
    }

    /// The process's lease came, changed or went.
    pub fn on_lease(&mut self, lease: Option<LeaseId>) {
        self.lease = lease;
    }

    /// The cluster key is gone or another's: nothing is written.
    fn halted(&self) -> bool {
        self.world.cluster().is_none_or(|found| found.uid != self.cluster)
    }

    /// The World moved on by these changes; `relisted` if changes may have been missed by this loop.
    pub fn on_step(&mut self, world: World, changes: &[Change], relisted: bool, now: Timestamp) {
        self.world = world;
        self.queue.set_now(now);
        let begins = if C::ELECTED { self.leadership.see(&self.world) } else { self.cx.is_none() };
        if begins {
            self.begin(now);
        } else if matches!(self.role(), Role::Follower) {
            self.forget();
            return;
        }
        for change in changes {
            if let Change::Alloc { id, node, .. } = change {
                self.overlay.settle(*node, *id);
            }
            self.controller.dirty(change, &self.world, &mut self.queue);
        }
        if relisted && !begins {
            self.controller.reset();
            self.controller.all(&self.world, &mut self.queue);
            if let Some(cx) = &mut self.cx {
                cx.since = now;
            }
        }
        self.settle_runs();
    }

    /// A new epoch: drops what was assumed and looks at everything once.
    fn begin(&mut self, now: Timestamp) {
        let epoch = if let Role::Leader { epoch } = self.role() { epoch } else { 0 };
        // A lost race says nothing about etcd: silence that was listened to before it still counts.
        let since = self.cx.as_ref().filter(|_| self.only_conflicts).map_or(now, |cx| cx.since);
        self.only_conflicts = true;
        self.forget();
        let mut cx = Cx::new(C::NAME, self.cluster, self.leadership.instance(), epoch, now);
        cx.since = since;
        self.cx = Some(cx);
        self.controller.all(&self.world, &mut self.queue);
        self.next_resync = now + self.resync.unwrap_or_default();
        tracing::info!(controller = C::NAME, epoch, revision = self.world.revision(), "leads");
    }

    /// Forgets queue, runs and assumptions. Answers to what is in flight will find nobody: whatever was under the
    /// old epoch is in the World that shows the new one, or can never land.
    fn forget(&mut self) {
        self.queue.clear();
        self.runs.clear();
        self.backlog.clear();
        self.backlog_ops = 0;
        self.in_flight.clear();
        self.overlay.clear();
        self.cx = None;
        self.controller.reset();
    }

    /// A transaction was answered, or given up.
    pub fn on_answer(&mut self, id: TxnId, answer: Answer, now: Timestamp) {
        self.queue.set_now(now);
        if self.asking == Some(id) {
            self.asking = None;
            self.leadership.answered(!matches!(answer, Answer::Committed(_)), now);
            return;
        }
        let Some(keys) = self.in_flight.remove(&id) else { return };
        for key in keys {
            let Some(run) = self.runs.get_mut(&key) else { continue };
            run.unanswered -= 1;
            match answer {
                Answer::Committed(revision) => run.reach = run.reach.max(revision),
                Answer::Conflict => run.failed = true,
                Answer::Unknown => {
                    run.failed = true;
                    self.suspects.entry(key).or_insert_with(Suspect::new).failed(now);
                }
            }
        }
        match answer {
            Answer::Committed(_) => {
                self.failures.reset();
                self.leadership.succeeded();
            }
            Answer::Conflict | Answer::Unknown => self.on_failure(answer, now),
        }
        self.settle_runs();
    }

    fn on_failure(&mut self, answer: Answer, now: Timestamp) {
        tracing::debug!(controller = C::NAME, ?answer, "transaction failed");
        self.only_conflicts &= answer == Answer::Conflict;
        if C::ELECTED {
            // Send no more; the rest of this epoch is dropped when the next one shows.
            self.leadership.suspend();
            return;
        }
        // Without an epoch, each run stands for itself: its keys are looked at again later, on a newer World.
        let again = now + self.failures.next_delay();
        let failed: Vec<C::Key> =
            self.runs.iter().filter(|(_, run)| run.failed).map(|(key, _)| key.clone()).collect();
        self.backlog.retain(|(key, unit)| {
            let drop = failed.contains(key);
            if drop {
                self.backlog_ops -= unit.writes.len();
            }
            !drop
        });
        for key in failed {
            let in_flight = self.in_flight.values().flatten().filter(|k| **k == key).count();
            if let Some(run) = self.runs.get_mut(&key) {
                run.unanswered = in_flight;
            }
            self.queue.add_at(key, again);
        }
    }

    /// Ends the runs whose units are all answered and whose answers the World has reached.
    fn settle_runs(&mut self) {
        let revision = self.world.revision();
        let done: Vec<C::Key> = self
            .runs
            .iter()
            .filter(|(_, run)| run.unanswered == 0 && run.reach <= revision)
            .map(|(key, _)| key.clone())
            .collect();
        for key in done {
            let Some(run) = self.runs.remove(&key) else { continue };
            self.queue.finish(&key);
            for (node, alloc) in run.placed {
                self.overlay.settle(node, alloc);
            }
            if !run.failed {
                self.suspects.remove(&key);
            }
            if run.again && !run.failed {
                self.queue.add(key);
            }
        }
    }

    /// What to send now. Also runs reconciles, as far as the pipeline has room.
    pub fn poll(&mut self, now: Timestamp) -> Vec<(TxnId, Txn)> {
        self.queue.set_now(now);
        self.polled = now;
        let mut out = Vec::new();
        self.more = false;
        if self.halted() {
            return out;
        }
        let awaited = matches!(self.leadership.role(), Role::Suspended { .. }) && !self.in_flight.is_empty();
        if C::ELECTED
            && !awaited
            && let Some(txn) = self.leadership.poll(&self.world, &self.keys, self.lease, now)
        {
            let id = self.txn_id();
            self.asking = Some(id);
            out.push((id, txn));
        }
        let Role::Leader { epoch } = self.role() else { return out };
        if let (Some(every), true) = (self.resync, self.cx.is_some()) {
            // Also when the clock was set back.
            if now >= self.next_resync || self.next_resync > now + every {
                self.next_resync = now + every;
                self.controller.all(&self.world, &mut self.queue);
            }
        }
        for _ in 0..SLICE {
            if self.backlog_ops >= BACKLOG_OPS || !self.run_one(now) {
                break;
            }
        }
        self.more = self.backlog_ops < BACKLOG_OPS && !self.queue.is_empty();
        self.send(epoch, &mut out);
        out
    }

    /// Looks at the next key. False if there is none.
    fn run_one(&mut self, now: Timestamp) -> bool {
        let Some(cx) = &mut self.cx else { return false };
        let Some(key) = self.queue.pop() else { return false };
        if let Some(until) = self.suspects.get(&key).map(|suspect| suspect.until).filter(|until| *until > now)
        {
            self.queue.finish(&key);
            self.queue.add_at(key, until);
            return true;
        }
        cx.now = now;
        let view = self.world.with_overlay(self.overlay.clone());
        let outcome = self.controller.reconcile(&key, &view, cx);
        let units: Vec<Unit> = outcome.units.into_iter().filter(|unit| !unit.is_empty()).collect();
        let placed: Vec<_> = units.iter().flat_map(|unit| &unit.placed).map(|p| (p.node, p.alloc)).collect();
        self.ran.push(Ran { key: key.clone(), units: units.len(), placed: placed.len() });
        if let Some(unit) = units.iter().find(|unit| !unit.is_possible()) {
            tracing::error!(
                controller = C::NAME,
                ?key,
                writes = unit.writes.len(),
                "a unit that etcd cannot take"
            );
            self.suspects.entry(key.clone()).or_insert_with(Suspect::new).failed(now);
            self.queue.finish(&key);
            self.queue.add(key);
            return true;
        }
        if let Some(at) = outcome.again {
            // After the run, so that it is not swallowed by the key being busy.
            self.queue.add_at(key.clone(), at.max(now + Duration::from_nanos(1)));
        }
        let again = outcome.cut && !units.is_empty();
        let run = Run { unanswered: units.len(), again, placed, ..Run::default() };
        self.runs.insert(key.clone(), run);
        for unit in units {
            for placed in &unit.placed {
                self.overlay.assume(placed);
            }
            self.backlog_ops += unit.writes.len();
            self.backlog.push_back((key.clone(), unit));
        }
        self.settle_runs();
        true
    }

    fn send(&mut self, epoch: i64, out: &mut Vec<(TxnId, Txn)>) {
        while self.in_flight.len() < IN_FLIGHT && !self.backlog.is_empty() {
            let mut packed = Packed::default();
            let mut keys = Vec::new();
            while self
                .backlog
                .front()
                .is_some_and(|(key, unit)| packed.fits(unit) && self.may_join(key, &keys))
            {
                let Some((key, unit)) = self.backlog.pop_front() else { break };
                self.backlog_ops -= unit.writes.len();
                packed.push(unit);
                keys.push(key);
            }
            let fence = C::ELECTED.then(|| (self.leadership.key(), epoch));
            let txn = packed.into_txn(&self.keys, fence);
            let id = self.txn_id();
            self.in_flight.insert(id, keys);
            out.push((id, txn));
        }
    }

    /// May a unit of `key` go with those of `others`? What failed before goes alone, so that it fails alone.
    fn may_join(&self, key: &C::Key, others: &[C::Key]) -> bool {
        let suspect = |key: &C::Key| self.suspects.contains_key(key);
        others.iter().all(|other| other == key || (!suspect(other) && !suspect(key)))
    }

    fn txn_id(&mut self) -> TxnId {
        self.next_txn += 1;
        TxnId(self.next_txn)
    }

    /// When to poll again even if nothing happens. What was due at the last poll and could not be done then waits for
    /// something to happen.
    pub fn due(&self) -> Option<Timestamp> {
        if self.more {
            return Some(self.polled);
        }
        let resync = self.resync.filter(|_| self.cx.is_some()).map(|_| self.next_resync);
        let [look, retry] = if C::ELECTED { self.leadership.due() } else { [None, None] };
        [self.queue.next_due(), look, retry, resync]
            .into_iter()
            .flatten()
            .filter(|at| *at > self.polled)
            .min()
    }
}
