//! Users and roles.

use encamp_store::etcd::{EtcdStore, User};
use encamp_store::{Error, Op, Options, Range, Store, Txn};
use encamp_testkit::Etcd;

use crate::support::{PATIENCE, batch, created, end, put};

const ROOT: &str = "--user=root:root-secret";

/// An etcd on which `encamp` may read and write `/encamp/` and nothing else.
async fn spawn() -> Etcd {
    let etcd = Etcd::spawn().await;
    etcd.ctl(&["user", "add", "root:root-secret"]);
    etcd.ctl(&["user", "grant-role", "root", "root"]);
    etcd.ctl(&["role", "add", "encamp"]);
    etcd.ctl(&["role", "grant-permission", "encamp", "--prefix=true", "readwrite", "/encamp/"]);
    etcd.ctl(&["user", "add", "encamp:secret"]);
    etcd.ctl(&["user", "grant-role", "encamp", "encamp"]);
    etcd.ctl(&["auth", "enable"]);
    etcd
}

fn store(etcd: &Etcd, user: Option<(&str, &str)>) -> EtcdStore {
    let mut options = Options::new([etcd.url()]);
    options.user = user.map(|(name, password)| User { name: name.to_owned(), password: password.to_owned() });
    EtcdStore::new(options).expect("the options fit")
}

fn assert_denied<T: std::fmt::Debug>(answer: Result<T, Error>) {
    let error = answer.unwrap_err();
    assert!(matches!(error, Error::Denied { .. }) && !error.ambiguous() && !error.retryable(), "{error:?}");
}

#[tokio::test]
async fn a_role_opens_its_prefix_and_nothing_else() {
    let etcd = spawn().await;
    let store = store(&etcd, Some(("encamp", "secret")));
    let written = put(&store, "/encamp/a", "1").await;
    assert_eq!(store.list(&Range::prefix("/encamp/")).await.unwrap().kvs.len(), 1);
    let mut watch = store.watch(Range::prefix("/encamp/"), written);
    created(&mut watch).await;
    assert_eq!(batch(&mut watch).await.revision, written);
    let lease = store.lease_grant(PATIENCE).await.unwrap();
    store.lease_keep_alive(lease).await.unwrap();
    store.lease_revoke(lease).await.unwrap();
    store.status().await.unwrap();

    assert_denied(store.list(&Range::all()).await);
    assert_denied(store.get(b"/other").await);
    assert_denied(store.txn(Txn::new().then(Op::put("/other", "1"))).await);
    assert_denied::<()>(Err(end(&mut store.watch(Range::prefix("/other"), 1)).await));
}

#[tokio::test]
async fn nobody_and_a_wrong_password_are_denied() {
    let etcd = spawn().await;
    for user in [None, Some(("encamp", "wrong")), Some(("nobody", "secret"))] {
        let store = store(&etcd, user);
        assert_denied(store.list(&Range::prefix("/encamp/")).await);
        assert_denied(store.txn(Txn::new().then(Op::put("/encamp/a", "1"))).await);
        assert_denied::<()>(Err(end(&mut store.watch(Range::prefix("/encamp/"), 1)).await));
    }
}

#[tokio::test]
async fn a_token_that_the_server_forgot_is_renewed() {
    let mut etcd = spawn().await;
    let store = store(&etcd, Some(("encamp", "secret")));
    put(&store, "/encamp/a", "1").await;
    // Tokens live in the server's memory.
    etcd.restart().await;
    let written = put(&store, "/encamp/a", "2").await;
    etcd.ctl(&[ROOT, "role", "grant-permission", "encamp", "--prefix=true", "readwrite", "/more/"]);
    assert_eq!(put(&store, "/more/a", "1").await, written + 1, "a role that grew is used at once");
}
