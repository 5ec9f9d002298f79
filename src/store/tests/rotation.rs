//! Several endpoints, some of them dead. Two proxies before one etcd stand for two members of a cluster.

use encamp_store::etcd::EtcdStore;
use encamp_store::{Error, Op, Options, Range, Store, Txn};
use encamp_testkit::{Etcd, Step, TxnProxy, free_port};
use tokio::net::TcpListener;

use crate::support::{PATIENCE, connect, created, end, put, trace_until};

fn store(endpoints: &[String]) -> EtcdStore {
    EtcdStore::new(Options::new(endpoints)).expect("plain URLs are fine")
}

fn dead() -> String {
    format!("http://127.0.0.1:{}", free_port())
}

#[tokio::test]
async fn a_dead_endpoint_is_passed_over_by_everything() {
    let etcd = Etcd::spawn().await;
    let endpoints = [dead(), etcd.url()];
    let fresh = || store(&endpoints);
    let written = put(&fresh(), "a", "1").await;
    assert!(fresh().get(b"a").await.unwrap().0.is_some());
    assert_eq!(fresh().list(&Range::all()).await.unwrap().kvs.len(), 1);
    let lease = fresh().lease_grant(PATIENCE).await.unwrap();
    assert_eq!(fresh().lease_keep_alive(lease).await.unwrap(), PATIENCE);
    fresh().lease_revoke(lease).await.unwrap();
    let status_of = fresh();
    assert_eq!(status_of.status().await.unwrap().endpoint, etcd.url());
    let mut watch = fresh().watch(Range::all(), written);
    created(&mut watch).await;
    assert_eq!(trace_until(&mut watch, written).await, format!("{written}+a=1"));
    fresh().compact(written).await.unwrap();
}

#[tokio::test]
async fn with_all_endpoints_dead_nothing_is_ambiguous() {
    let store = store(&[dead(), dead()]);
    let error = store.txn(Txn::new().then(Op::put("a", "1"))).await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }) && !error.ambiguous() && error.retryable(), "{error:?}");
    let error = end(&mut store.watch(Range::all(), 1)).await;
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
}

#[tokio::test]
async fn a_read_goes_on_elsewhere_and_a_write_is_never_sent_twice() {
    let etcd = Etcd::spawn().await;
    let (first, second) = (TxnProxy::spawn(&etcd.address()).await, TxnProxy::spawn(&etcd.address()).await);
    let store = store(&[first.url(), second.url()]);
    let written = put(&store, "a", "1").await;
    let mut watch = store.watch(Range::all(), written + 1);
    created(&mut watch).await;

    first.pass_then(0, Step::HoldAnswer);
    let write = store.txn(Txn::new().then(Op::put("b", "1")));
    let breaks = async {
        first.wait_held(1, PATIENCE).await;
        first.refuse(true);
        first.cut();
    };
    let (answer, ()) = tokio::join!(write, breaks);
    let error = answer.unwrap_err();
    assert!(error.ambiguous(), "it was done, and we cannot know: {error:?}");
    assert_eq!((first.seen(), second.seen()), (2, 0), "sent once");
    assert!(end(&mut watch).await.retryable());

    assert!(store.get(b"b").await.unwrap().0.is_some());
    put(&store, "c", "1").await;
    assert_eq!((store.endpoint(), second.seen()), (second.url().as_str(), 1));
}

#[tokio::test]
async fn a_read_whose_connection_breaks_is_answered_by_the_next() {
    let etcd = Etcd::spawn().await;
    let (first, second) = (TxnProxy::spawn(&etcd.address()).await, TxnProxy::spawn(&etcd.address()).await);
    let store = store(&[first.url(), second.url()]);
    put(&*connect(&etcd.url()), "a", "1").await;
    first.pass_then(0, Step::HoldAnswer);
    let breaks = async {
        first.wait_held(1, PATIENCE).await;
        first.cut();
    };
    let (answer, ()) = tokio::join!(store.txn(Txn::new().then(Op::get("a"))), breaks);
    assert!(answer.unwrap().succeeded);
    assert_eq!((first.seen(), second.seen()), (1, 1));
}

/// A session's lease lives 5 s, and is to be renewed within it though the first endpoint hangs.
#[tokio::test]
async fn a_renewal_that_hangs_goes_on_elsewhere_before_the_lease_ends() {
    let etcd = Etcd::spawn().await;
    let hole = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let hangs = format!("http://{}", hole.local_addr().expect("is bound"));
    let lease = store(&[etcd.url()]).lease_grant(PATIENCE).await.unwrap();
    let store = store(&[hangs, etcd.url()]);
    let asked = tokio::time::Instant::now();
    assert_eq!(store.lease_keep_alive(lease).await.unwrap(), PATIENCE);
    assert!(asked.elapsed() < std::time::Duration::from_millis(3200), "took {:?}", asked.elapsed());
    assert_eq!(store.endpoint(), etcd.url());
    let alone = self::store(&[format!("http://{}", hole.local_addr().expect("is bound"))]);
    let error = alone.lease_keep_alive(lease).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { timeout_ms: 1500, .. }), "{error:?}");
}
