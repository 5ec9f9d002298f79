//! What can be made to happen to a transaction, and the gate that lets it go on.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::{Txn, TxnAnswer};

/// A transaction on its way, shown to the hook of [`super::MemoryStore::on_txn`] before anything is applied.
#[derive(Debug)]
pub struct TxnCall<'a> {
    /// Who sends it.
    pub client: &'a str,
    /// Its number among all transactions of the store, from 1.
    pub number: u64,
    /// Its number among this client's, from 1.
    pub of_client: u64,
    /// What it says.
    pub txn: &'a Txn,
}

/// What is to happen to it.
#[derive(Clone, Debug, Default)]
pub enum Fault {
    /// Nothing unusual.
    #[default]
    Pass,
    /// Applied and answered that much later; others overtake it.
    Delay(Duration),
    /// Applied when the gate opens. The caller waits as long as that takes.
    Hold(Gate),
    /// Applied at once, answered when the gate opens.
    HoldAnswer(Gate),
    /// Applied at once; the caller gets a timeout, after the time that takes.
    ApplyThenTimeout,
    /// The caller gets a timeout, after the time that takes; applied when the gate opens, be that before or after.
    TimeoutThenApply(Gate),
    /// Applied; the caller is told that space is out.
    NoSpaceAfterApply,
    /// Not applied; the caller is told that space is out.
    NoSpace,
    /// Applied; the connection is lost before the answer.
    UnavailableAfterApply,
    /// Not applied; the connection is lost.
    Unavailable,
}

/// Holds transactions until the test opens it. Clones are the same gate; once open it stays open.
#[derive(Clone, Default)]
pub struct Gate {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    /// (open, number of transactions held)
    state: tokio::sync::watch::Sender<(bool, usize)>,
    deferred: Mutex<Vec<Box<dyn FnOnce() + Send>>>,
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the gate for good. What was to be applied late is applied before this returns, oldest first; what
    /// waits goes on as soon as its task runs.
    pub fn open(&self) {
        let deferred = {
            let mut deferred = self.deferred();
            self.inner.state.send_modify(|(open, _)| *open = true);
            std::mem::take(&mut *deferred)
        };
        deferred.into_iter().for_each(|apply| apply());
    }

    /// How many transactions have come to it so far.
    pub fn held(&self) -> usize {
        self.inner.state.borrow().1
    }

    /// Waits until so many transactions have come to it.
    pub async fn wait_held(&self, count: usize) {
        let mut state = self.inner.state.subscribe();
        state.wait_for(|(_, held)| *held >= count).await.expect("the gate, which we hold, has the sender");
    }

    pub(super) async fn opened(&self) {
        let mut state = self.inner.state.subscribe();
        self.count();
        state.wait_for(|(open, _)| *open).await.expect("the gate, which we hold, has the sender");
    }

    pub(super) fn when_opened(&self, apply: impl FnOnce() + Send + 'static) {
        let mut deferred = self.deferred();
        if self.inner.state.borrow().0 {
            drop(deferred);
            apply();
        } else {
            deferred.push(Box::new(apply));
        }
        self.count();
    }

    fn count(&self) {
        self.inner.state.send_modify(|(_, held)| *held += 1);
    }

    fn deferred(&self) -> std::sync::MutexGuard<'_, Vec<Box<dyn FnOnce() + Send>>> {
        self.inner.deferred.lock().expect("nothing runs under this lock that could panic")
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (open, held) = *self.inner.state.borrow();
        write!(f, "Gate {{ open: {open}, held: {held} }}")
    }
}

/// A transaction that reached the core.
#[derive(Clone, Debug)]
pub struct TxnRecord {
    /// Who sent it.
    pub client: String,
    /// When it was applied, since the store was made.
    pub at: Duration,
    /// What it said.
    pub txn: Txn,
    /// What the core answered, whether or not the client learnt it; `None`: refused.
    pub answer: Option<TxnAnswer>,
}
