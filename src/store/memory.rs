//! A store in memory, in virtual time, with faults on demand: what controllers and runtime are tested on.
//!
//! It speaks through [`encamp_etcd::Core`], so its semantics are etcd's. It has no task of its own: leases end
//! lazily, whenever anybody calls, and a watch wakes by itself when the next lease is due. Time is tokio's, so that
//! with a paused clock hours pass in milliseconds. Make it inside the runtime whose clock it shall follow.
//!
//! Each [`MemoryStore::client`] is one process's connection to the shared core: it can be cut off, its watches
//! held back, its transactions delayed or lost, apart from the others. See [`fault`].

mod control;
pub mod fault;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use encamp_etcd::{Core, RangeRequest};
use tokio::time::Instant;

use crate::{
    Error, Kv, LeaseId, Listing, NO_LEASE, Range, Revision, Status, Store, Txn, TxnAnswer, WatchStream,
};
pub use fault::{Fault, Gate, TxnCall, TxnRecord};

/// How long a caller whose answer is lost waits before it gives up, as the real client does by default.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How many transactions the log remembers.
const LOG_MAX: usize = 65_536;

/// One client's handle; clones are the same client. See the module's text.
#[derive(Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
    client: Arc<str>,
}

struct Shared {
    origin: Instant,
    state: Mutex<State>,
    /// Asked before each transaction. Apart from the state, so that it may be slow or look at the store.
    hook: Mutex<Option<Box<Hook>>>,
    /// Bumped whenever a watch may have something new to look at.
    changed: tokio::sync::watch::Sender<u64>,
}

type Hook = dyn FnMut(&TxnCall<'_>) -> Fault + Send;

struct State {
    core: Core,
    clients: BTreeMap<Arc<str>, Client>,
    log: VecDeque<TxnRecord>,
    txns: u64,
}

/// What is wrong with one client's connection.
#[derive(Clone, Default)]
struct Client {
    cut: bool,
    watches_held: bool,
    /// A watch begun under an older number is broken.
    watch_epoch: u64,
    txns: u64,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store, and its first client, named `main`.
    pub fn new() -> Self {
        Self::with_core(Core::default())
    }

    /// A store that goes on from a given state. The core's instants are taken as counted from now.
    pub fn with_core(core: Core) -> Self {
        let state = State { core, clients: BTreeMap::new(), log: VecDeque::new(), txns: 0 };
        let shared = Shared {
            origin: Instant::now(),
            state: Mutex::new(state),
            hook: Mutex::new(None),
            changed: tokio::sync::watch::Sender::new(0),
        };
        Self { shared: Arc::new(shared), client: "main".into() }
    }

    /// Another process's connection to the same store. The same name is the same client.
    pub fn client(&self, name: &str) -> Self {
        Self { shared: Arc::clone(&self.shared), client: name.into() }
    }

    /// The state, with every lease ended whose time is up.
    fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.shared.state.lock().expect("no panic while holding the state");
        if !state.core.tick(self.shared.now()).is_empty() {
            self.shared.wake();
        }
        state
    }

    fn with_client<T>(&self, change: impl FnOnce(&mut Client) -> T) -> T {
        change(self.lock().clients.entry(Arc::clone(&self.client)).or_default())
    }

    fn endpoint(&self) -> String {
        format!("memory://{}", self.client)
    }

    fn timeout(&self, what: &'static str) -> Error {
        let timeout_ms = u64::try_from(REQUEST_TIMEOUT.as_millis()).expect("5 s in ms fits");
        Error::Timeout { endpoint: self.endpoint(), what, timeout_ms }
    }

    fn unavailable(&self, what: &'static str, reason: &str) -> Error {
        Error::Unavailable { endpoint: self.endpoint(), what, reason: reason.to_owned() }
    }

    /// The way to the server and back: a real await, and lost while the client is cut off.
    async fn travel(&self, what: &'static str) -> Result<(), Error> {
        tokio::task::yield_now().await;
        if self.with_client(|client| client.cut) {
            tokio::time::sleep(REQUEST_TIMEOUT).await;
            return Err(self.timeout(what));
        }
        Ok(())
    }

    /// One request that is not a transaction.
    async fn call<T>(
        &self,
        what: &'static str,
        request: impl FnOnce(&mut Core, Duration) -> Result<T, encamp_etcd::Error>,
    ) -> Result<T, Error> {
        self.travel(what).await?;
        let now = self.shared.now();
        let answer = {
            let mut state = self.lock();
            let before = concerns_watches(&state.core);
            let answer = request(&mut state.core, now).map_err(|error| self.translate(error));
            if concerns_watches(&state.core) != before {
                self.shared.wake();
            }
            answer
        };
        self.travel(what).await?;
        answer
    }

    fn translate(&self, error: encamp_etcd::Error) -> Error {
        use encamp_etcd::Error as Core;
        let (endpoint, reason) = (self.endpoint(), error.to_string());
        match error {
            Core::Compacted { revision } => Error::Compacted { revision },
            Core::NoSpace => Error::NoSpace { endpoint },
            Core::LeaseNotFound { lease } => Error::LeaseGone { lease },
            Core::TooManyOps { .. } | Core::TooLarge { .. } => Error::TooLarge { endpoint, reason },
            Core::FutureRevision { .. }
            | Core::EmptyKey
            | Core::EmptyRange
            | Core::DuplicateKey
            | Core::LeaseExists { .. }
            | Core::TtlTooLarge { .. } => Error::Invalid { endpoint, reason },
        }
    }

    fn apply(&self, txn: Txn) -> Result<TxnAnswer, Error> {
        let at = self.shared.now();
        let mut state = self.lock();
        let answer = state.core.txn(&txn).map_err(|error| self.translate(error));
        if state.log.len() == LOG_MAX {
            state.log.pop_front();
        }
        let client = self.client.to_string();
        state.log.push_back(TxnRecord { client, at, txn, answer: answer.clone().ok() });
        drop(state);
        self.shared.wake();
        answer
    }

    /// What is to happen to this transaction; counts it.
    fn ask(&self, txn: &Txn) -> Fault {
        let of_client = self.with_client(|client| {
            client.txns += 1;
            client.txns
        });
        let number = {
            let mut state = self.lock();
            state.txns += 1;
            state.txns
        };
        let mut hook = self.shared.hook.lock().expect("no panic inside a hook");
        let call = TxnCall { client: &self.client, number, of_client, txn };
        hook.as_mut().map_or(Fault::Pass, |hook| hook(&call))
    }

    async fn suffer(&self, fault: Fault, txn: Txn) -> Result<TxnAnswer, Error> {
        match fault {
            Fault::Pass => self.apply(txn),
            Fault::Delay(time) => {
                tokio::time::sleep(time).await;
                self.apply(txn)
            }
            Fault::Hold(gate) => {
                gate.opened().await;
                self.apply(txn)
            }
            Fault::HoldAnswer(gate) => {
                let answer = self.apply(txn);
                gate.opened().await;
                answer
            }
            Fault::ApplyThenTimeout => {
                // What the server answered is exactly what the caller does not learn.
                drop(self.apply(txn));
                tokio::time::sleep(REQUEST_TIMEOUT).await;
                Err(self.timeout("txn"))
            }
            Fault::TimeoutThenApply(gate) => {
                let late = self.clone();
                gate.when_opened(move || drop(late.apply(txn)));
                tokio::time::sleep(REQUEST_TIMEOUT).await;
                Err(self.timeout("txn"))
            }
            Fault::NoSpaceAfterApply => {
                drop(self.apply(txn));
                Err(Error::NoSpace { endpoint: self.endpoint() })
            }
            Fault::NoSpace => Err(Error::NoSpace { endpoint: self.endpoint() }),
            Fault::UnavailableAfterApply => {
                drop(self.apply(txn));
                Err(self.unavailable("txn", "connection lost"))
            }
            Fault::Unavailable => Err(self.unavailable("txn", "connection lost")),
        }
    }
}

/// What a watch waits for: news, the loss of history, and the end of a lease.
fn concerns_watches(core: &Core) -> (Revision, Revision, Option<Duration>) {
    (core.revision(), core.compacted(), core.next_expiry())
}

impl Shared {
    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn wake(&self) {
        self.changed.send_modify(|count| *count += 1);
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn list(&self, range: &Range) -> Result<Listing, Error> {
        let request = RangeRequest::now(range.clone());
        let answer = self.call("list", |core, _| core.range(&request)).await?;
        Ok(Listing { kvs: answer.kvs, revision: answer.revision })
    }

    async fn get(&self, key: &[u8]) -> Result<(Option<Kv>, Revision), Error> {
        let request = RangeRequest::now(Range::key(key.to_vec()));
        let answer = self.call("get", |core, _| core.range(&request)).await?;
        Ok((answer.kvs.into_iter().next(), answer.revision))
    }

    async fn txn(&self, txn: Txn) -> Result<TxnAnswer, Error> {
        self.travel("txn").await?;
        let fault = self.ask(&txn);
        let answer = self.suffer(fault, txn).await;
        self.travel("txn").await?;
        answer
    }

    fn watch(&self, range: Range, from: Revision) -> WatchStream {
        watch::stream(self.clone(), range, from)
    }

    async fn lease_grant(&self, ttl: Duration) -> Result<LeaseId, Error> {
        let ttl_s = crate::whole_seconds(ttl);
        self.call("lease grant", |core, now| core.grant(NO_LEASE, ttl_s, now)).await.map(|grant| grant.id)
    }

    async fn lease_keep_alive(&self, lease: LeaseId) -> Result<Duration, Error> {
        let ttl_s = self.call("lease keep-alive", |core, now| core.keep_alive(lease, now)).await?;
        Ok(Duration::from_secs(ttl_s.unsigned_abs()))
    }

    async fn lease_revoke(&self, lease: LeaseId) -> Result<(), Error> {
        self.call("lease revoke", |core, _| core.revoke(lease)).await.map(drop)
    }

    async fn status(&self) -> Result<Status, Error> {
        self.call("status", |core, _| {
            Ok(Status {
                endpoint: self.endpoint(),
                version: "memory".to_owned(),
                db_size: 0,
                db_size_in_use: 0,
                leader: 1,
                member: 1,
                revision: core.revision(),
                no_space: core.no_space(),
            })
        })
        .await
    }

    async fn compact(&self, revision: Revision) -> Result<(), Error> {
        self.call("compact", |core, _| core.compact(revision)).await
    }
}
