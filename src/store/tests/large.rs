//! Lists too large for one answer.

use std::sync::atomic::{AtomicBool, Ordering};

use encamp_store::etcd::EtcdStore;
use encamp_store::{Error, Op, Options, Range, Store, Txn};
use encamp_testkit::Etcd;

use crate::support::apply;

const KEYS: usize = 120;
const VALUE: usize = 4 * 1024;

/// All keys with one generation, in one transaction.
fn generation(number: u64) -> Txn {
    let value = format!("{number:>VALUE$}");
    (0..KEYS).fold(Txn::new(), |txn, key| txn.then(Op::put(format!("g/{key:03}"), value.clone())))
}

fn limited(etcd: &Etcd, answer_bytes_max: usize) -> EtcdStore {
    let mut options = Options::new([etcd.url()]);
    options.answer_bytes_max = answer_bytes_max;
    EtcdStore::new(options).expect("a plain URL is fine")
}

#[tokio::test]
async fn a_list_in_parts_is_still_one_revision() {
    let etcd = Etcd::spawn().await;
    // Of 480 KiB; so eight parts or more.
    let store = limited(&etcd, 64 * 1024);
    apply(&store, generation(0)).await;
    let done = AtomicBool::new(false);
    let write = async {
        let mut number = 0;
        while !done.load(Ordering::Relaxed) {
            number += 1;
            apply(&store, generation(number)).await;
        }
    };
    let read = async {
        let mut generations = Vec::new();
        for _ in 0..10 {
            let listing = store.list(&Range::prefix("g/")).await.unwrap();
            assert_eq!(listing.kvs.len(), KEYS);
            assert!(listing.kvs.is_sorted_by(|a, b| a.key < b.key));
            assert!(listing.kvs.iter().all(|kv| kv.mod_revision == listing.revision), "all of one revision");
            generations.push(listing.revision);
        }
        done.store(true, Ordering::Relaxed);
        generations
    };
    let ((), generations) = tokio::join!(write, read);
    assert!(generations.first() < generations.last(), "there were writes meanwhile: {generations:?}");
}

#[tokio::test]
async fn a_record_too_large_by_itself_is_said_to_be() {
    let etcd = Etcd::spawn().await;
    let store = limited(&etcd, 2 * 1024);
    apply(&store, Txn::new().then(Op::put("big", "x".repeat(VALUE))).then(Op::put("small", "x"))).await;
    let error = store.list(&Range::all()).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
    assert_eq!(store.list(&Range::prefix("s")).await.unwrap().kvs.len(), 1);
}
