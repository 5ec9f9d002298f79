use std::sync::Arc;
use std::time::Duration;

use encamp_store::{Error, Op, Range, Store, Txn};

use crate::support::{apply, put, show};

async fn list(store: &dyn Store, range: Range) -> String {
    let listing = store.list(&range).await.expect("a list is answered");
    listing.kvs.iter().map(show).collect::<Vec<_>>().join(" ")
}

pub(crate) async fn a_list_is_one_revision_of_exactly_its_range_in_order(store: Arc<dyn Store>) {
    let store = &*store;
    for key in ["p/b", "p/a", "p0", "p", "p/a/x", "o/z"] {
        put(store, key, "v").await;
    }
    let last = put(store, "p/c", "v").await;
    assert_eq!(list(store, Range::prefix("p/")).await, "p/a=v p/a/x=v p/b=v p/c=v");
    assert_eq!(list(store, Range::key("p")).await, "p=v");
    assert_eq!(list(store, Range::span("p/a/", "p/c")).await, "p/a/x=v p/b=v");
    assert_eq!(list(store, Range::prefix("none")).await, "");
    let listing = store.list(&Range::prefix("none")).await.unwrap();
    assert_eq!(listing.revision, last, "the revision is the store's, also of an empty range");
}

pub(crate) async fn ranges_may_have_no_bounds_but_not_be_empty(store: Arc<dyn Store>) {
    let store = &*store;
    apply(store, Txn::new().then(Op::put(vec![0], "first")).then(Op::put(vec![0xff, 0xff], "last"))).await;
    put(store, "mid", "v").await;
    assert_eq!(store.list(&Range::all()).await.unwrap().kvs.len(), 3);
    assert_eq!(store.list(&Range::prefix("")).await.unwrap().kvs.len(), 3);
    assert_eq!(store.list(&Range::prefix(vec![0xff])).await.unwrap().kvs.len(), 1);
    for range in [Range::span("b", "a"), Range::span("a", "a"), Range::span("a", "")] {
        let error = store.list(&range).await.unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
        let error = store.txn(Txn::new().then(Op::delete_range(range))).await.unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
    }
    assert_eq!(store.list(&Range::all()).await.unwrap().kvs.len(), 3, "nothing was deleted");
    apply(store, Txn::new().then(Op::delete_range(Range::all()))).await;
    assert_eq!(list(store, Range::all()).await, "");
}

pub(crate) async fn a_get_tells_a_revision_that_has_everything_before_it(store: Arc<dyn Store>) {
    let written = put(&*store, "a", "1").await;
    let (found, revision) = store.get(b"a").await.unwrap();
    assert_eq!((found.map(|kv| show(&kv)), revision), (Some("a=1".into()), written));
    let others = put(&*store, "b", "1").await;
    let (found, revision) = store.get(b"none").await.unwrap();
    assert_eq!((found, revision), (None, others));
}

pub(crate) async fn records_keep_etcds_bookkeeping(store: Arc<dyn Store>) {
    let lease = store.lease_grant(Duration::from_secs(60)).await.unwrap();
    let created = put(&*store, "a", "1").await;
    let changed = apply(&*store, Txn::new().then(Op::put_on_lease("a", "2", lease))).await;
    let kv = store.get(b"a").await.unwrap().0.unwrap();
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version, kv.lease), (created, changed, 2, lease));
    apply(&*store, Txn::new().then(Op::delete("a"))).await;
    let again = put(&*store, "a", "3").await;
    let kv = store.get(b"a").await.unwrap().0.unwrap();
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version, kv.lease), (again, again, 1, 0));
}

pub(crate) async fn a_server_tells_of_itself(store: Arc<dyn Store>) {
    let revision = put(&*store, "a", "1").await;
    let status = store.status().await.unwrap();
    assert_eq!((status.revision, status.no_space), (revision, false));
    assert!(!status.version.is_empty() && !status.endpoint.is_empty() && status.leader != 0);
}
