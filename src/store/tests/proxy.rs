//! The test kit's proxy, through the store: what other tests do to the planner is proved here first.

use std::time::Duration;

use encamp_store::etcd::EtcdStore;
use encamp_store::{Op, Options, Range, Store, Txn};
use encamp_testkit::{Etcd, Step, TxnProxy, wait_for};

use crate::support::{PATIENCE, batch, connect, created, end, put};

async fn setup() -> (Etcd, TxnProxy, EtcdStore) {
    let etcd = Etcd::spawn().await;
    let proxy = TxnProxy::spawn(&etcd.address()).await;
    let store = connect(&proxy.url()).as_ref().clone();
    (etcd, proxy, store)
}

async fn has(etcd: &Etcd, key: &str) -> bool {
    connect(&etcd.url()).get(key.as_bytes()).await.unwrap().0.is_some()
}

fn write(key: &'static str) -> Txn {
    Txn::new().then(Op::put(key, "v"))
}

#[tokio::test]
async fn everything_passes_and_transactions_are_counted() {
    let (_etcd, proxy, store) = setup().await;
    let first = put(&store, "a", "1").await;
    let mut watch = store.watch(Range::all(), first);
    created(&mut watch).await;
    assert_eq!(batch(&mut watch).await.revision, first);
    let lease = store.lease_grant(PATIENCE).await.unwrap();
    assert_eq!(store.lease_keep_alive(lease).await.unwrap(), PATIENCE);
    for key in ["b", "c"] {
        let revision = put(&store, key, "1").await;
        assert_eq!(batch(&mut watch).await.revision, revision);
    }
    assert_eq!((proxy.seen(), proxy.done(), proxy.held()), (3, 3, 0));
}

#[tokio::test]
async fn a_held_request_is_done_when_released() {
    let (etcd, proxy, store) = setup().await;
    proxy.pass_then(1, Step::HoldRequest);
    put(&store, "passes", "v").await;
    let releases = async {
        proxy.wait_held(1, PATIENCE).await;
        assert!(!has(&etcd, "held").await);
        proxy.release();
    };
    let (answer, ()) = tokio::join!(store.txn(write("held")), releases);
    assert!(answer.unwrap().succeeded && has(&etcd, "held").await);
    assert_eq!((proxy.seen(), proxy.done()), (2, 2));
}

#[tokio::test]
async fn a_held_answer_is_of_a_transaction_that_was_done() {
    let (etcd, proxy, store) = setup().await;
    proxy.pass_then(0, Step::HoldAnswer);
    let releases = async {
        proxy.wait_held(1, PATIENCE).await;
        assert!(has(&etcd, "held").await);
        proxy.release();
    };
    let (answer, ()) = tokio::join!(store.txn(write("held")), releases);
    assert!(answer.unwrap().succeeded);
}

#[tokio::test]
async fn a_request_lands_after_its_sender_gave_up() {
    let (etcd, proxy, _) = setup().await;
    let mut options = Options::new([proxy.url()]);
    options.request_timeout = Duration::from_millis(500);
    let store = EtcdStore::new(options).unwrap();
    proxy.pass_then(0, Step::HoldRequest);
    let error = store.txn(write("late")).await.unwrap_err();
    assert!(error.label() == "timeout" && error.ambiguous(), "{error:?}");
    drop(store);
    proxy.cut();
    assert!(!has(&etcd, "late").await);
    proxy.release();
    wait_for("the late write", PATIENCE, async || {
        if has(&etcd, "late").await { Ok(()) } else { Err("absent".to_owned()) }
    })
    .await;
}

#[tokio::test]
async fn what_is_lost_stays_lost_and_a_cut_breaks_everything_once() {
    let (etcd, proxy, store) = setup().await;
    let revision = put(&store, "a", "1").await;
    let mut watch = store.watch(Range::all(), revision + 1);
    created(&mut watch).await;
    proxy.plan(|number| if number == 2 { Step::HoldRequest } else { Step::HoldAnswer });
    let cuts = async {
        proxy.wait_held(2, PATIENCE).await;
        proxy.cut();
        proxy.drop_held();
    };
    // Either may arrive first.
    let writes = futures::future::join_all([store.txn(write("one")), store.txn(write("other"))]);
    let (answers, ()) = tokio::join!(writes, cuts);
    assert!(
        answers.iter().all(|answer| answer.as_ref().is_err_and(encamp_store::Error::ambiguous)),
        "{answers:?}"
    );
    assert!(end(&mut watch).await.retryable());
    put(&store, "after", "v").await;
    assert!(has(&etcd, "one").await != has(&etcd, "other").await, "one of the two was held before etcd");
}
