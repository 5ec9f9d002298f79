use std::sync::Arc;

use encamp_store::{Error, EventKind, Op, Range, Revision, Store, Txn, WatchBatch, WatchStream};

use crate::support::{apply, batch, created, end, put, trace_until};

pub(crate) async fn history_then_news_each_once_and_nothing_else(store: Arc<dyn Store>) {
    let first = put(&*store, "p/a", "1").await;
    put(&*store, "p0", "outside").await;
    put(&*store, "p/b", "1").await;
    let mut watch = store.watch(Range::prefix("p/"), first);
    created(&mut watch).await;
    let (a, b) = (first, first + 2);
    assert_eq!(trace_until(&mut watch, b).await, format!("{a}+p/a=1 {b}+p/b=1"));
    put(&*store, "o", "outside").await;
    let both = apply(&*store, Txn::new().then(Op::put("p/c", "2")).then(Op::delete("p/a"))).await;
    assert_eq!(trace_until(&mut watch, both).await, format!("{both}+p/c=2 {both}-p/a"));
}

pub(crate) async fn a_watch_begins_in_the_future_if_told_so(store: Arc<dyn Store>) {
    let now = put(&*store, "a", "1").await;
    let mut watch = store.watch(Range::all(), now + 2);
    created(&mut watch).await;
    put(&*store, "a", "2").await;
    let seen = put(&*store, "a", "3").await;
    assert_eq!(trace_until(&mut watch, seen).await, format!("{seen}+a=3"));
}

pub(crate) async fn a_deletion_tells_key_and_revision_and_no_more(store: Arc<dyn Store>) {
    put(&*store, "a", "1").await;
    let last = apply(&*store, Txn::new().then(Op::delete_range(Range::prefix("a")))).await;
    let mut watch = store.watch(Range::all(), last);
    created(&mut watch).await;
    let events = batch(&mut watch).await.events;
    assert_eq!((events.len(), events[0].kind, &events[0].prev), (1, EventKind::Delete, &None));
    let kv = &events[0].kv;
    assert_eq!((kv.mod_revision, kv.create_revision, kv.version, kv.value.len()), (last, 0, 0, 0));
}

/// Checks what every batch promises.
fn check(batch: &WatchBatch, after: Revision) {
    let revisions: Vec<_> = batch.events.iter().map(|event| event.kv.mod_revision).collect();
    assert!(revisions.is_sorted(), "in order: {revisions:?}");
    assert!(revisions[0] > after, "a revision is never continued in a later batch");
    assert_eq!(revisions.last(), Some(&batch.revision));
}

/// Every third transaction writes seven keys.
fn nth(index: usize) -> Txn {
    let keys = if index.is_multiple_of(3) { 7 } else { 1 };
    (0..keys).fold(Txn::new(), |txn, key| txn.then(Op::put(format!("{key}/{index}"), "v")))
}

const EVENTS_OF_THREE: usize = 9;

/// Reads a watch of `transactions` (a multiple of 3) from [`nth`] on to its end.
async fn read_whole(watch: &mut WatchStream, transactions: usize) {
    let (mut after, mut events) = (0, Vec::new());
    while events.len() < transactions / 3 * EVENTS_OF_THREE {
        let batch = batch(watch).await;
        check(&batch, after);
        after = batch.revision;
        events.extend(batch.events);
    }
    let revisions: Vec<_> = events.chunk_by(|a, b| a.kv.mod_revision == b.kv.mod_revision).collect();
    assert_eq!(revisions.len(), transactions);
    assert!(revisions.iter().all(|events| events.len() == 7 || events.len() == 1));
}

pub(crate) async fn a_burst_arrives_whole_and_in_order(store: Arc<dyn Store>) {
    const TRANSACTIONS: usize = 999;
    let before = put(&*store, "z", "").await;
    let mut watch = store.watch(Range::prefix(""), before + 1);
    created(&mut watch).await;
    let write = async {
        for start in (0..TRANSACTIONS).step_by(9) {
            let in_flight = (start..start + 9).map(|index| apply(&*store, nth(index)));
            futures::future::join_all(in_flight).await;
        }
    };
    tokio::join!(write, read_whole(&mut watch, TRANSACTIONS));
}

pub(crate) async fn history_arrives_whole_and_in_order(store: Arc<dyn Store>) {
    const TRANSACTIONS: usize = 1_500;
    let before = put(&*store, "z", "").await;
    for start in (0..TRANSACTIONS).step_by(50) {
        let in_flight = (start..start + 50).map(|index| apply(&*store, nth(index)));
        futures::future::join_all(in_flight).await;
    }
    let mut watch = store.watch(Range::all(), before + 1);
    created(&mut watch).await;
    read_whole(&mut watch, TRANSACTIONS).await;
}

pub(crate) async fn large_history_arrives_in_whole_revisions(store: Arc<dyn Store>) {
    const REVISIONS: usize = 8;
    const KEYS: usize = 4;
    let mut first = None;
    for _ in 0..REVISIONS {
        let value = vec![b'x'; 300 * 1024];
        let txn = (0..KEYS).fold(Txn::new(), |txn, key| txn.then(Op::put(format!("{key}"), value.clone())));
        first.get_or_insert(apply(&*store, txn).await);
    }
    let mut watch = store.watch(Range::all(), first.expect("there were revisions"));
    created(&mut watch).await;
    // Six times what etcd puts into one message, which it cuts after five events: within a revision of four.
    let (mut after, mut events) = (0, 0);
    while events < REVISIONS * KEYS {
        let batch = batch(&mut watch).await;
        check(&batch, after);
        let revisions = batch.events.chunk_by(|a, b| a.kv.mod_revision == b.kv.mod_revision);
        assert!(revisions.into_iter().all(|events| events.len() == KEYS), "no revision is cut");
        (after, events) = (batch.revision, events + batch.events.len());
    }
}

pub(crate) async fn compacted_history_is_said_to_be_gone(store: Arc<dyn Store>) {
    let first = put(&*store, "a", "1").await;
    let mut kept = 0;
    for value in ["2", "3", "4"] {
        kept = put(&*store, "a", value).await;
    }
    store.compact(kept).await.unwrap();
    let error = end(&mut store.watch(Range::all(), first)).await;
    assert!(matches!(error, Error::Compacted { revision } if revision == kept), "{error:?}");
    let mut watch = store.watch(Range::all(), kept);
    created(&mut watch).await;
    assert_eq!(trace_until(&mut watch, kept).await, format!("{kept}+a=4"));
    let again = store.compact(kept).await.unwrap_err();
    assert!(matches!(again, Error::Compacted { .. }), "{again:?}");
    let future = store.compact(kept + 9).await.unwrap_err();
    assert!(matches!(future, Error::Invalid { .. }), "{future:?}");
    let empty = end(&mut store.watch(Range::span("b", "a"), kept)).await;
    assert!(matches!(empty, Error::Invalid { .. }), "{empty:?}");
}

pub(crate) async fn a_dropped_watch_disturbs_nobody(store: Arc<dyn Store>) {
    let before = put(&*store, "a", "1").await;
    let mut dropped = store.watch(Range::all(), before + 1);
    let mut kept = store.watch(Range::all(), before + 1);
    created(&mut dropped).await;
    created(&mut kept).await;
    drop(dropped);
    let seen = put(&*store, "a", "2").await;
    assert_eq!(trace_until(&mut kept, seen).await, format!("{seen}+a=2"));
}
