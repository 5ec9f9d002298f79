//! What all tests of this binary share.

use std::sync::Arc;
use std::time::Duration;

use encamp_store::etcd::EtcdStore;
use encamp_store::{EventKind, Kv, Op, Options, Revision, Store, Txn, WatchBatch, WatchItem, WatchStream};
use futures::StreamExt;

/// Generous: the machine may be busy. A test that is fine never waits that long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn connect(url: &str) -> Arc<EtcdStore> {
    Arc::new(EtcdStore::new(Options::new([url])).expect("a plain URL is fine"))
}

/// A put that must work; the revision it made.
pub(crate) async fn put(store: &dyn Store, key: &str, value: &str) -> Revision {
    apply(store, Txn::new().then(Op::put(key.to_owned(), value.to_owned()))).await
}

/// A transaction that must work and succeed; the revision it made.
pub(crate) async fn apply(store: &dyn Store, txn: Txn) -> Revision {
    let answer = store.txn(txn).await.expect("the transaction is answered");
    assert!(answer.succeeded, "its compares hold");
    answer.revision
}

/// The next thing a watch yields.
pub(crate) async fn next(watch: &mut WatchStream) -> Option<Result<WatchItem, encamp_store::Error>> {
    tokio::time::timeout(PATIENCE, watch.next()).await.expect("the watch yields something")
}

/// Waits for the word that a watch is established.
pub(crate) async fn created(watch: &mut WatchStream) {
    match next(watch).await {
        Some(Ok(WatchItem::Created)) => {}
        other => panic!("the first item is Created, not {other:?}"),
    }
}

/// The next changes.
pub(crate) async fn batch(watch: &mut WatchStream) -> WatchBatch {
    match next(watch).await {
        Some(Ok(WatchItem::Events(batch))) => batch,
        other => panic!("changes, not {other:?}"),
    }
}

/// Changes until `revision` is reached, as one text: `revision+key=value` or `revision-key`.
pub(crate) async fn trace_until(watch: &mut WatchStream, revision: Revision) -> String {
    let mut signs = Vec::new();
    loop {
        let batch = batch(watch).await;
        signs.extend(batch.events.iter().map(|event| match event.kind {
            EventKind::Put => format!("{}+{}", event.kv.mod_revision, show(&event.kv)),
            EventKind::Delete => format!("{}-{}", event.kv.mod_revision, event.kv.key.escape_ascii()),
        }));
        if batch.revision >= revision {
            return signs.join(" ");
        }
    }
}

/// How a watch ends.
pub(crate) async fn end(watch: &mut WatchStream) -> encamp_store::Error {
    loop {
        match next(watch).await {
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                assert!(next(watch).await.is_none(), "an error ends a watch");
                return error;
            }
            None => panic!("a watch ends with an error"),
        }
    }
}

pub(crate) fn show(kv: &Kv) -> String {
    format!("{}={}", kv.key.escape_ascii(), kv.value.escape_ascii())
}
