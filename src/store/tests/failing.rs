//! An etcd that freezes, dies, or is out of space.

use std::time::Duration;

use encamp_store::{Error, Op, Range, Store, Txn, WatchItem};
use encamp_testkit::{Etcd, EtcdOptions, wait_for};
use futures::StreamExt;
use tokio::time::Instant;

use crate::support::{PATIENCE, apply, batch, connect, created, end, put};

#[tokio::test]
async fn a_frozen_server_is_noticed_by_calls_and_watches() {
    let etcd = Etcd::spawn().await;
    let store = connect(&etcd.url());
    let written = put(&*store, "a", "1").await;
    let mut watch = store.watch(Range::all(), written + 1);
    created(&mut watch).await;
    etcd.freeze();
    let frozen = Instant::now();
    let (ended, answer) = tokio::join!(end(&mut watch), store.txn(Txn::new().then(Op::put("b", "1"))));
    let noticed = frozen.elapsed();
    assert!(ended.retryable(), "{ended:?}");
    let error = answer.unwrap_err();
    assert!(error.ambiguous(), "{error:?}");
    assert!(noticed < Duration::from_secs(8), "two seconds of silence, and a slow machine: {noticed:?}");
    etcd.thaw();
    wait_for("the store to answer again", PATIENCE, async || {
        store.get(b"a").await.map(drop).map_err(|error| error.to_string())
    })
    .await;
}

/// etcd breaks connections that ask for a sign of life too often; ours must not be one of them.
#[tokio::test]
async fn an_idle_watch_is_left_alone() {
    let etcd = Etcd::spawn().await;
    let store = connect(&etcd.url());
    let written = put(&*store, "a", "1").await;
    let mut watch = store.watch(Range::all(), written + 1);
    created(&mut watch).await;
    let silent = tokio::time::timeout(Duration::from_secs(8), watch.next()).await;
    assert!(silent.is_err(), "nothing happened, yet the watch says {silent:?}");
    let seen = put(&*store, "a", "2").await;
    assert_eq!(batch(&mut watch).await.revision, seen);
}

#[tokio::test]
async fn a_killed_server_that_comes_back_is_found_again() {
    let mut etcd = Etcd::spawn().await;
    let store = connect(&etcd.url());
    let written = put(&*store, "a", "1").await;
    let mut watch = store.watch(Range::all(), written + 1);
    created(&mut watch).await;
    etcd.kill9();
    assert!(end(&mut watch).await.retryable());
    let refused = wait_for("a connection to be refused", PATIENCE, async || {
        match store.txn(Txn::new().then(Op::put("a", "lost"))).await {
            Err(error @ Error::Connect { .. }) => Ok(error),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert!(!refused.ambiguous() && refused.to_string().contains(&etcd.url()), "{refused}");
    etcd.restart().await;
    let again = put(&*store, "a", "2").await;
    assert_eq!(again, written + 1, "what was refused was never done");
    let mut watch = store.watch(Range::all(), written + 1);
    assert!(matches!(watch.next().await, Some(Ok(WatchItem::Created))));
    assert_eq!(batch(&mut watch).await.revision, again);
}

#[tokio::test]
async fn out_of_space_puts_fail_and_deletes_work() {
    let args = vec!["--quota-backend-bytes=4194304".to_owned()];
    let etcd = Etcd::spawn_with(EtcdOptions { args, ..EtcdOptions::default() }).await;
    let store = connect(&etcd.url());
    let mut full = None;
    for index in 0..64 {
        let fill = Txn::new().then(Op::put(format!("fill/{index}"), vec![b'x'; 512 * 1024]));
        if let Err(error) = store.txn(fill).await {
            full = Some(error);
            break;
        }
    }
    let error = full.expect("32 MiB do not fit into 4");
    assert!(matches!(error, Error::NoSpace { .. }) && error.ambiguous() && error.retryable(), "{error:?}");
    assert!(store.status().await.unwrap().no_space);
    let grant = store.lease_grant(PATIENCE).await.unwrap_err();
    assert!(matches!(grant, Error::NoSpace { .. }), "{grant:?}");
    let mixed = Txn::new().then(Op::delete("fill/0")).or_else(Op::put("a", "1"));
    let error = store.txn(mixed).await.unwrap_err();
    assert!(matches!(error, Error::NoSpace { .. }), "a put in either branch: {error:?}");
    let emptied = apply(&*store, Txn::new().then(Op::delete_range(Range::prefix("fill/")))).await;
    store.compact(emptied).await.unwrap();
    etcd.ctl(&["defrag"]);
    etcd.ctl(&["alarm", "disarm"]);
    put(&*store, "a", "1").await;
    assert!(!store.status().await.unwrap().no_space);
}
