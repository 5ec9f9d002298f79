//! A watch of the store in memory: a cursor into the core's history, woken by changes and by the end of leases.

use encamp_etcd::Watcher;
use futures::StreamExt;
use futures::stream;

use super::MemoryStore;
use crate::{Error, Range, Revision, WatchBatch, WatchItem, WatchStream};

/// How many revisions may share an item, as with etcd.
const REVISIONS_MAX: usize = 1000;

struct Watch {
    store: MemoryStore,
    watcher: Watcher,
    epoch: u64,
    changed: tokio::sync::watch::Receiver<u64>,
}

pub(super) fn stream(store: MemoryStore, range: Range, from: Revision) -> WatchStream {
    let first = stream::once(open(store, range, from));
    first
        .flat_map(|opened| match opened {
            Ok(watch) => {
                let created = stream::once(async { Ok(WatchItem::Created) });
                created.chain(stream::unfold(Some(watch), next)).boxed()
            }
            Err(error) => stream::once(async { Err(error) }).boxed(),
        })
        .boxed()
}

async fn open(store: MemoryStore, range: Range, from: Revision) -> Result<Watch, Error> {
    store.travel("watch").await?;
    if range.is_empty() {
        return Err(store.translate(encamp_etcd::Error::EmptyRange));
    }
    let epoch = store.with_client(|client| client.watch_epoch);
    let watcher = store.lock().core.watch(range, from, false);
    let changed = store.shared.changed.subscribe();
    Ok(Watch { store, watcher, epoch, changed })
}

/// The next item; after an error, the end.
async fn next(watch: Option<Watch>) -> Option<(Result<WatchItem, Error>, Option<Watch>)> {
    let mut watch = watch?;
    loop {
        watch.changed.borrow_and_update();
        match watch.poll() {
            Ok(Some(batch)) => return Some((Ok(WatchItem::Events(batch)), Some(watch))),
            Ok(None) => watch.wait().await,
            Err(error) => return Some((Err(error), None)),
        }
    }
}

impl Watch {
    fn poll(&mut self) -> Result<Option<WatchBatch>, Error> {
        let client = self.store.with_client(|client| client.clone());
        if client.watch_epoch != self.epoch {
            return Err(self.store.unavailable("watch", "connection lost"));
        }
        if client.watches_held {
            return Ok(None);
        }
        let polled = self.store.lock().core.poll(&mut self.watcher, REVISIONS_MAX);
        let events = polled.map_err(|error| self.store.translate(error))?;
        Ok(events.last().map(|last| last.kv.mod_revision).map(|revision| WatchBatch { revision, events }))
    }

    /// Until something changed, or the next lease is due.
    async fn wait(&mut self) {
        let due = self.store.lock().core.next_expiry().map(|due| self.store.shared.origin + due);
        let changed = async {
            self.changed.changed().await.expect("the store, which we hold, has the sender");
        };
        match due {
            Some(due) => {
                tokio::select! {
                    () = changed => {}
                    () = tokio::time::sleep_until(due) => {}
                }
            }
            None => changed.await,
        }
    }
}
