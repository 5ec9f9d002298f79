//! One lease a process, for all its `leaders/*` and `api-servers/*` keys. Each new lease gets the process's
//! `api-servers/` key, if it serves the API.

use std::{sync::Arc, time::Duration};

use encamp_store::{Error, LeaseId, Op, Store, Txn};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::retry::{self, Backoff};

/// Keeps a lease alive until shutdown, then ends it, so that others need not wait for it to run out.
pub(crate) async fn run(
    store: Arc<dyn Store>,
    ttl: Duration,
    api_server: Option<(String, Vec<u8>)>,
    lease: watch::Sender<Option<LeaseId>>,
    shutdown: CancellationToken,
) {
    while let Some(id) =
        retry::until_ok("granting the process's lease", &shutdown, || store.lease_grant(ttl)).await
    {
        lease.send_replace(Some(id));
        if let Some((key, value)) = &api_server {
            // Failing, it is put by the next fence that needs it, or under the next lease.
            let txn = Txn::new().then(Op::put_on_lease(key.clone(), value.clone(), id));
            if let Err(error) = store.txn(txn).await {
                tracing::warn!(%error, "this api server is not announced yet");
            }
        }
        keep(&*store, id, ttl, &shutdown).await;
        lease.send_replace(None);
        if shutdown.is_cancelled() {
            let revoke = tokio::time::timeout(Duration::from_secs(1), store.lease_revoke(id)).await;
            tracing::debug!(revoked = matches!(revoke, Ok(Ok(()))), "session ended");
            return;
        }
        tracing::warn!("the process's lease is gone; asking for another");
    }
}

/// Returns when the lease is gone or the process shuts down. Errors that say nothing about the lease are outlived:
/// the lease may well be alive, and what is written compares the epoch anyway.
async fn keep(store: &dyn Store, id: LeaseId, ttl: Duration, shutdown: &CancellationToken) {
    let mut backoff = Backoff::jittered(Duration::from_millis(100), ttl / 3);
    loop {
        let pause = match store.lease_keep_alive(id).await {
            Ok(_) => {
                backoff.reset();
                ttl / 3
            }
            Err(Error::LeaseGone { .. }) => return,
            Err(error) => {
                tracing::warn!(%error, "renewing the process's lease failed");
                backoff.next_delay()
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.cancelled() => return,
        }
    }
}
