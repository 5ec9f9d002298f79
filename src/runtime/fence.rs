//! Linearizable reads of the World: a fence shared by all who wait, and never one already sent.

use std::{sync::Arc, time::Duration};

use encamp_model::{InstanceId, Key, Keyspace, records::ApiServerRecord};
use encamp_store::{LeaseId, Op, Store, Txn};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::{hub::Hub, process::Error};

/// How long the World may take to show the fence's revision before an event of our own is asked for: others write
/// to this etcd too, and their revisions never show in our range.
const PATIENCE: Duration = Duration::from_millis(20);
/// How long a World may take to show our own write.
const GIVE_UP: Duration = Duration::from_secs(10);

pub(crate) type Waiter = oneshot::Sender<Result<i64, Error>>;

/// Answers fences one after the other; whoever comes while one is on its way waits for the next.
pub(crate) struct Fence {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) hub: Arc<Hub>,
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
        match self.touch().await {
            Ok(own) => reached(&mut self.revisions, own, GIVE_UP).await,
            // No event can be had (out of space, no session): a list taken aside is at or past the fence, too.
            Err(error) => {
                self.hub.list_aside();
                reached(&mut self.revisions, revision, GIVE_UP).await.map_err(|_| error)
            }
        }
    }

    /// Writes a key of ours, so that an event past everything before it comes.
    async fn touch(&self) -> Result<i64, Error> {
        let (key, value) = api_server(&self.keys, self.instance, &self.address);
        let lease = self.lease.borrow().ok_or(Error::NoSession)?;
        let txn = Txn::new().then(Op::put_on_lease(key, value, lease));
        Ok(self.store.txn(txn).await.map_err(Error::Store)?.revision)
    }
}

/// The key and value that announce an api process.
pub(crate) fn api_server(keys: &Keyspace, instance: InstanceId, address: &str) -> (String, Vec<u8>) {
    let record = ApiServerRecord { instance, address: address.to_owned() };
    let key = keys.encode(&Key::ApiServer(instance.to_string().into()));
    (key, serde_json::to_vec(&record).expect("model types serialise"))
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
