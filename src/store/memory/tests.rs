use std::time::Duration;

use futures::{FutureExt, StreamExt};
use tokio::time::Instant;

use super::{Fault, Gate, MemoryStore};
use crate::{Compare, Error, Op, Range, Store, Txn, WatchItem, WatchStream};

const TIMEOUT: Duration = Duration::from_secs(5);

fn put(key: &'static str) -> Txn {
    Txn::new().then(Op::put(key, "v"))
}

async fn created(store: &MemoryStore) -> WatchStream {
    let mut watch = store.watch(Range::all(), store.revision() + 1);
    assert_eq!(watch.next().await.unwrap().unwrap(), WatchItem::Created);
    watch
}

/// The keys of the next item.
async fn keys(watch: &mut WatchStream) -> String {
    match watch.next().await.unwrap().unwrap() {
        WatchItem::Created => panic!("created twice"),
        WatchItem::Events(batch) => {
            let keys: Vec<_> =
                batch.events.iter().map(|event| event.kv.key.escape_ascii().to_string()).collect();
            keys.join(" ")
        }
    }
}

async fn has(store: &MemoryStore, key: &str) -> bool {
    store.get(key.as_bytes()).await.unwrap().0.is_some()
}

/// A store whose first transaction suffers `fault`.
fn first_suffers(fault: Fault) -> MemoryStore {
    let store = MemoryStore::new();
    store.on_txn(move |call| if call.number == 1 { fault.clone() } else { Fault::Pass });
    store
}

#[tokio::test(start_paused = true)]
async fn lost_answers_are_ambiguous_and_the_write_is_there() {
    for fault in [Fault::ApplyThenTimeout, Fault::NoSpaceAfterApply, Fault::UnavailableAfterApply] {
        let store = first_suffers(fault.clone());
        let error = store.txn(put("a")).await.unwrap_err();
        assert!(error.ambiguous(), "{fault:?}: {error}");
        assert!(has(&store, "a").await, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn lost_requests_are_just_as_ambiguous_and_the_write_is_not_there() {
    for fault in [Fault::NoSpace, Fault::Unavailable] {
        let store = first_suffers(fault.clone());
        assert!(store.txn(put("a")).await.unwrap_err().ambiguous(), "{fault:?}");
        assert!(!has(&store, "a").await, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_timed_out_txn_lands_when_the_gate_opens() {
    let gate = Gate::new();
    let store = first_suffers(Fault::TimeoutThenApply(gate.clone()));
    let begun = Instant::now();
    assert_eq!(store.txn(put("late")).await.unwrap_err().label(), "timeout");
    assert_eq!(begun.elapsed(), TIMEOUT);
    assert!(!has(&store, "late").await);
    gate.open();
    assert!(has(&store, "late").await);
    assert_eq!(store.log().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_held_request_is_not_applied_and_a_held_answer_is() {
    for (fault, gate, applied) in
        [Gate::new(), Gate::new()].into_iter().zip([false, true]).map(|(gate, answer)| {
            let fault = if answer { Fault::HoldAnswer(gate.clone()) } else { Fault::Hold(gate.clone()) };
            (fault, gate, answer)
        })
    {
        let store = first_suffers(fault);
        let mut call = store.txn(put("a"));
        assert!(call.as_mut().now_or_never().is_none());
        tokio::select! {
            answer = &mut call => panic!("held, yet {answer:?}"),
            () = gate.wait_held(1) => {}
        }
        assert_eq!(has(&store, "a").await, applied);
        gate.open();
        assert_eq!(call.await.unwrap().revision, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_delayed_txn_is_overtaken() {
    let store = MemoryStore::new();
    store.on_txn(|call| {
        if call.txn.compares.is_empty() { Fault::Pass } else { Fault::Delay(Duration::from_millis(30)) }
    });
    let first_in = Txn::new().when(Compare::absent("a")).then(Op::put("a", "slow"));
    let (slow, fast) = tokio::join!(store.txn(first_in), store.txn(put("a")));
    assert!(fast.unwrap().succeeded && !slow.unwrap().succeeded);
    assert_eq!((store.txns(), store.txns_of_client()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_cut_client_is_alone_until_healed() {
    let store = MemoryStore::new();
    let other = store.client("other");
    let mut watch = created(&store).await;
    store.cut();
    assert_eq!(watch.next().await.unwrap().unwrap_err().label(), "unavailable");
    assert!(watch.next().await.is_none(), "an error ends a watch");
    assert_eq!(store.txn(put("a")).await.unwrap_err().label(), "timeout");
    assert_eq!(store.lease_grant(TIMEOUT).await.unwrap_err().label(), "timeout");
    let mut again = store.watch(Range::all(), 1);
    assert_eq!(again.next().await.unwrap().unwrap_err().label(), "timeout");
    other.txn(put("b")).await.unwrap();
    store.heal();
    assert!(!has(&store, "a").await && has(&store, "b").await);
}

#[tokio::test(start_paused = true)]
async fn a_cut_loses_the_answer_of_what_was_under_way() {
    let gate = Gate::new();
    let store = first_suffers(Fault::Hold(gate.clone()));
    let call = store.txn(put("a"));
    let meanwhile = async {
        gate.wait_held(1).await;
        store.cut();
        gate.open();
    };
    let (answer, ()) = tokio::join!(call, meanwhile);
    assert_eq!(answer.unwrap_err().label(), "timeout");
    store.heal();
    assert!(has(&store, "a").await);
}

#[tokio::test(start_paused = true)]
async fn held_watches_stay_behind_and_then_miss_nothing() {
    let store = MemoryStore::new();
    let other = store.client("other");
    let (mut held, mut free) = (created(&store).await, created(&other).await);
    store.hold_watches();
    for key in ["a", "b"] {
        other.txn(put(key)).await.unwrap();
        assert_eq!(keys(&mut free).await, key);
    }
    assert!(held.next().now_or_never().is_none());
    store.release_watches();
    assert_eq!(keys(&mut held).await, "a b");
    other.cut_all_watches();
    assert!(held.next().await.unwrap().is_err() && free.next().await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn an_idle_watch_sees_a_lease_end_on_time() {
    let store = MemoryStore::new();
    let lease = store.lease_grant(Duration::from_millis(9_500)).await.unwrap();
    store.txn(Txn::new().then(Op::put_on_lease("leased", "v", lease))).await.unwrap();
    let begun = Instant::now();
    let mut watch = created(&store).await;
    assert_eq!(keys(&mut watch).await, "leased");
    assert_eq!(begun.elapsed(), Duration::from_secs(10), "rounded up to whole seconds");
    assert_eq!(store.lease_keep_alive(lease).await.unwrap_err().label(), "lease_gone");
}

#[tokio::test(start_paused = true)]
async fn a_change_of_leader_extends_leases() {
    let store = MemoryStore::new();
    let lease = store.lease_grant(TIMEOUT).await.unwrap();
    tokio::time::advance(Duration::from_secs(4)).await;
    store.change_leader();
    tokio::time::advance(Duration::from_secs(4)).await;
    assert!(store.lease_keep_alive(lease).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn out_of_space_is_told_as_such_until_it_ends() {
    let store = MemoryStore::new();
    store.set_no_space(true);
    assert!(matches!(store.txn(put("a")).await, Err(Error::NoSpace { .. })));
    assert!(store.status().await.unwrap().no_space);
    store.set_no_space(false);
    store.txn(put("a")).await.unwrap();
    assert!(!store.inspect(encamp_etcd::Core::no_space));
}
