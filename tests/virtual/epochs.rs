//! What a leader wrote, nearly wrote, or may yet write when another takes over.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use encamp_store::{
    Op,
    memory::{Fault, Gate, TxnCall},
};

use crate::cluster::{Cluster, service};

/// Does the transaction place or rewrite allocations?
fn plans(call: &TxnCall<'_>) -> bool {
    call.txn.success.iter().any(|op| matches!(op, Op::Put { key, .. } if key.starts_with(b"/encamp/allocs/")))
}

/// Lets a test say what happens to the planner's transactions, counted from 1.
fn on_plans(cluster: &Cluster, mut fault: impl FnMut(usize) -> Fault + Send + 'static) -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let seen = count.clone();
    cluster.store.on_txn(move |call| {
        if !plans(call) {
            return Fault::Pass;
        }
        fault(seen.fetch_add(1, Ordering::SeqCst) + 1)
    });
    count
}

#[tokio::test(start_paused = true)]
async fn a_leaders_last_commits_unseen_by_the_next() {
    let cluster = Cluster::new().await;
    for n in 1..=4 {
        cluster.node(n, 100_000);
    }
    let first = cluster.server("a").await;
    cluster.until("a leads", || first.leads("planner").then_some(()).ok_or(())).await;
    let second = cluster.server("b").await;
    second.store.hold_watches();
    cluster.register(service("web", 300, 10)).await.unwrap();
    cluster
        .until("some are placed", || match cluster.allocs("web").len() {
            n if n >= 100 => Ok(()),
            n => Err(n),
        })
        .await;
    first.die();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(!second.leads("planner"), "what it has not seen it must not lead on");
    second.store.release_watches();
    cluster.until_running("web", 300).await;
    assert_eq!(cluster.allocs("web").len(), 300, "none was placed twice");
    cluster.settled().await;
}

#[tokio::test(start_paused = true)]
async fn a_timed_out_transaction_that_lands_after_the_re_plan() {
    let cluster = Cluster::new().await;
    cluster.node(1, 1_000);
    let _server = cluster.server("a").await;
    let late = Gate::new();
    let held = late.clone();
    on_plans(&cluster, move |n| if n == 1 { Fault::TimeoutThenApply(held.clone()) } else { Fault::Pass });
    cluster.register(service("web", 5, 100)).await.unwrap();
    cluster.until_running("web", 5).await;
    late.open();
    cluster.api.fresh().await.unwrap();
    assert_eq!(cluster.allocs("web").len(), 5);
    cluster.settled().await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_unit_in_mid_pipeline() {
    let cluster = Cluster::new().await;
    for n in 1..=3 {
        cluster.node(n, 100_000);
    }
    let _server = cluster.server("a").await;
    let count = on_plans(&cluster, |n| match n {
        3 => Fault::Unavailable,
        n => Fault::Delay(Duration::from_millis(7 * (n as u64 % 3))),
    });
    cluster.register(service("web", 1_000, 10)).await.unwrap();
    cluster.until_running("web", 1_000).await;
    assert!(count.load(Ordering::SeqCst) > 8, "it was a pipeline");
    assert_eq!(cluster.allocs("web").len(), 1_000);
    cluster.settled().await;
}

#[tokio::test(start_paused = true)]
async fn out_of_space_said_of_an_applied_transaction() {
    let cluster = Cluster::new().await;
    cluster.node(1, 100_000);
    let _server = cluster.server("a").await;
    on_plans(&cluster, |n| if n <= 2 { Fault::NoSpaceAfterApply } else { Fault::Pass });
    cluster.register(service("web", 400, 10)).await.unwrap();
    cluster.until_running("web", 400).await;
    assert_eq!(cluster.allocs("web").len(), 400);
    cluster.settled().await;
}

#[tokio::test(start_paused = true)]
async fn a_compaction_during_a_disconnect() {
    let cluster = Cluster::new().await;
    let lost = cluster.node(1, 1_000);
    let server = cluster.server("a").await;
    cluster.register(service("web", 3, 100)).await.unwrap();
    cluster.until_running("web", 3).await;
    server.store.cut();
    lost.die();
    cluster.node(2, 1_000);
    cluster.register(service("more", 2, 100)).await.unwrap();
    cluster.purge("more").await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    encamp_store::Store::compact(&cluster.store, cluster.store.revision()).await.unwrap();
    server.store.heal();
    cluster
        .until("web runs on the other node", || {
            let on: Vec<_> =
                cluster.running("web").iter().map(|a| a.node.as_u128() & 0xff).filter(|n| *n == 2).collect();
            if on.len() == 3 { Ok(()) } else { Err(on) }
        })
        .await;
    assert!(cluster.running("more").is_empty());
    cluster.settled().await;
}
