use std::sync::Arc;
use std::time::Duration;

use encamp_store::{Error, LeaseId, Op, Range, Store, Txn};
use tokio::time::Instant;

use crate::support::{apply, created, put, trace_until};

async fn two_keys_on(store: &dyn Store, lease: LeaseId) -> i64 {
    let txn = Txn::new().then(Op::put_on_lease("b", "v", lease)).then(Op::put_on_lease("a", "v", lease));
    apply(store, txn).await
}

async fn assert_gone(store: &dyn Store, lease: LeaseId) {
    let error = store.lease_keep_alive(lease).await.unwrap_err();
    assert!(matches!(error, Error::LeaseGone { lease: gone } if gone == lease), "{error:?}");
    let error = store.lease_revoke(lease).await.unwrap_err();
    assert!(matches!(error, Error::LeaseGone { lease: gone } if gone == lease), "{error:?}");
}

pub(crate) async fn the_end_of_a_lease_deletes_its_keys_in_one_revision(store: Arc<dyn Store>) {
    let lease = store.lease_grant(Duration::from_secs(60)).await.unwrap();
    let written = two_keys_on(&*store, lease).await;
    put(&*store, "other", "v").await;
    let mut watch = store.watch(Range::all(), written + 2);
    created(&mut watch).await;
    store.lease_revoke(lease).await.unwrap();
    let ended = written + 2;
    assert_eq!(trace_until(&mut watch, ended).await, format!("{ended}-a {ended}-b"));
    assert_gone(&*store, lease).await;
    let empty = store.lease_grant(Duration::from_secs(60)).await.unwrap();
    store.lease_revoke(empty).await.unwrap();
    assert_eq!(store.get(b"a").await.unwrap().1, ended, "a lease without keys ends without a revision");
}

pub(crate) async fn an_expired_lease_deletes_its_keys_and_not_too_early(store: Arc<dyn Store>) {
    const TTL: Duration = Duration::from_secs(2);
    let lease = store.lease_grant(TTL).await.unwrap();
    let granted = Instant::now();
    let written = two_keys_on(&*store, lease).await;
    let mut watch = store.watch(Range::all(), written + 1);
    created(&mut watch).await;
    let ended = written + 1;
    assert_eq!(trace_until(&mut watch, ended).await, format!("{ended}-a {ended}-b"));
    let lived = granted.elapsed();
    assert!(lived > TTL - Duration::from_millis(200), "{lived:?}");
    assert_gone(&*store, lease).await;
}

pub(crate) async fn a_renewed_lease_lives_on(store: Arc<dyn Store>) {
    const TTL: Duration = Duration::from_secs(3);
    let lease = store.lease_grant(TTL).await.unwrap();
    two_keys_on(&*store, lease).await;
    let granted = Instant::now();
    while granted.elapsed() < TTL + Duration::from_secs(1) {
        assert_eq!(store.lease_keep_alive(lease).await.unwrap(), TTL);
        tokio::time::sleep(TTL / 6).await;
    }
    assert!(store.get(b"a").await.unwrap().0.is_some());
    store.lease_revoke(lease).await.unwrap();
    assert_gone(&*store, lease).await;
}

pub(crate) async fn a_put_takes_a_key_off_its_lease(store: Arc<dyn Store>) {
    let old = store.lease_grant(Duration::from_secs(60)).await.unwrap();
    let new = store.lease_grant(Duration::from_secs(60)).await.unwrap();
    assert_ne!(old, new);
    two_keys_on(&*store, old).await;
    apply(&*store, Txn::new().then(Op::put_on_lease("a", "v", new)).then(Op::put("b", "v"))).await;
    store.lease_revoke(old).await.unwrap();
    let left = store.list(&Range::all()).await.unwrap();
    assert_eq!(left.kvs.iter().map(|kv| kv.lease).collect::<Vec<_>>(), [new, 0]);
    store.lease_revoke(new).await.unwrap();
    assert_eq!(store.list(&Range::all()).await.unwrap().kvs.len(), 1);
}
