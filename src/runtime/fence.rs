//! Linearizable reads of the World: a fence shared by all who wait, and never one already sent.

use std::{sync::Arc, time::Duration};

use encamp_model::{InstanceId, Key, Keyspace, records::ApiServerRecord};
use encamp_store::{LeaseId, Op, Store, Txn};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::process::Error;

/// How long the World may take to show the fence's revision before an event of our own is asked for: others write
/// to this etcd too, and their revisions never show in our range.
const PATIENCE: Duration = Duration::from_millis(20);
/// How long a World may take to show our own write.
const GIVE_UP: Duration = Duration::from_secs(10);

pub(crate) type Waiter = oneshot::Sender<Result<i64, Error>>;

/// Answers fences one after the other; whoever comes while one is on its way waits for the next.
pub(crate) struct Fence {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) keys: Keyspace,
    pub(crate) instance: InstanceId,
    pub(crate) address: String,
    pub(crate) revisions: watch::Receiver<i64>,
    pub(crate) lease: watch::Receiver<Option<LeaseId>>,
}

impl Fence {
    pub(crate) async fn run(
        mut self,
        mut waiters: mpsc::UnboundedReceiver<Waiter>,
        shutdown: CancellationToken,
    ) {
        loop {
            let first = tokio::select! {
                waiter = waiters.recv() => match waiter { Some(waiter) => waiter, None => return },
                () = shutdown.cancelled() => return,
            };
            let mut all = vec![first];
            while let Ok(waiter) = waiters.try_recv() {
                all.push(waiter);
            }
            let result = self.fence().await;
            for waiter in all {
                // Whoever gave up waiting needs no answer.
                let _ = waiter.send(result.clone());
            }
        }
    }

    /// A revision that the World has reached, at or past everything committed before the call.
    async fn fence(&mut self) -> Result<i64, Error> {
        let key = self.keys.encode(&Key::Cluster);
        let (_, revision) = self.store.get(key.as_bytes()).await.map_err(Error::Store)?;
        if reached(&mut self.revisions, revision, PATIENCE).await.is_ok() {
            return Ok(revision);
        }
        let own = self.touch().await?;
        reached(&mut self.revisions, own, GIVE_UP).await?;
        Ok(own)
    }

    /// Writes a key of ours, so that an event past everything before it comes.
    async fn touch(&self) -> Result<i64, Error> {
        let key = self.keys.encode(&Key::ApiServer(self.instance.to_string().into()));
        let record = ApiServerRecord { instance: self.instance, address: self.address.clone() };
        let value = serde_json::to_vec(&record).expect("model types serialise");
        let lease = self.lease.borrow().ok_or(Error::NoSession)?;
        let txn = Txn::new().then(Op::put_on_lease(key, value, lease));
        Ok(self.store.txn(txn).await.map_err(Error::Store)?.revision)
    }
}

/// Waits until the World is at or past `revision`.
pub(crate) async fn reached(
    revisions: &mut watch::Receiver<i64>,
    revision: i64,
    patience: Duration,
) -> Result<i64, Error> {
    let reached = tokio::time::timeout(patience, revisions.wait_for(|now| *now >= revision)).await;
    match reached {
        Ok(Ok(now)) => Ok(*now),
        _ => Err(Error::Behind { revision }),
    }
}
