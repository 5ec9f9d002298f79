//! Names: purged ones that come back, odd ones, and ones that something unreadable holds.

use std::collections::BTreeSet;

use encamp_model::{JobId, Key, records::Desired};
use encamp_store::{Op, Store as _, Txn};

use crate::cluster::{Cluster, changed, service};

#[tokio::test(start_paused = true)]
async fn purge_and_re_register_under_the_same_name() {
    let cluster = Cluster::new().await;
    let node = cluster.node(1, 300);
    let _server = cluster.server("a").await;
    let first = cluster.register(service("web", 3, 100)).await.unwrap();
    cluster.until_running("web", 3).await;
    node.order(|orders| orders.stubborn = true);
    cluster.purge("web").await;
    let second = cluster.register(service("web", 2, 100)).await.unwrap();
    assert_ne!(first, second, "another registration has another uid");
    cluster
        .until("the old ones are told to stop", || {
            let left: Vec<_> =
                cluster.running("web").iter().filter(|a| a.record.uid == first).map(|a| a.id).collect();
            if left.is_empty() { Ok(()) } else { Err(left) }
        })
        .await;
    node.order(|orders| orders.stubborn = false);
    cluster.until_running("web", 2).await;
    assert!(cluster.running("web").iter().all(|a| a.record.uid == second));
    cluster.settled().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_id_with_a_slash() {
    let cluster = Cluster::new().await;
    cluster.node(1, 1_000);
    let _server = cluster.server("a").await;
    let name = "team/web app%2F";
    cluster.register(service(name, 2, 100)).await.unwrap();
    cluster.until_running(name, 2).await;
    assert!(cluster.world().job(&JobId::new("default", name)).is_some());
    cluster.register(changed(service(name, 1, 100), "2")).await.unwrap();
    cluster
        .until("one of the new version runs", || {
            let versions: Vec<_> = cluster.running(name).iter().map(|a| a.record.version).collect();
            if versions == [1] { Ok(()) } else { Err(versions) }
        })
        .await;
    cluster.purge(name).await;
    cluster.until_running(name, 0).await;
    cluster.settled().await;
}

#[tokio::test(start_paused = true)]
async fn an_opaque_allocation_keeps_its_name_and_its_node_takes_nothing() {
    let cluster = Cluster::new().await;
    cluster.node(1, 1_000);
    let _server = cluster.server("a").await;
    cluster.register(service("web", 2, 100)).await.unwrap();
    cluster.until_running("web", 2).await;
    cluster.node(2, 1_000);
    let garbled = cluster.running("web")[0].clone();
    let key = cluster.keys.encode(&Key::Alloc(garbled.node, garbled.id));
    cluster.store.txn(Txn::new().then(Op::put(key.clone(), "{garbage"))).await.unwrap();
    cluster.register(service("web", 4, 100)).await.unwrap();
    cluster.register(service("other", 2, 100)).await.unwrap();
    cluster.until_running("other", 2).await;
    cluster.until_running("web", 3).await;
    let placed: BTreeSet<_> = cluster.allocs("web").iter().map(|a| a.record.index).collect();
    assert!(!placed.contains(&garbled.record.index), "its name is not given away: {placed:?}");
    assert!(cluster.running("other").iter().all(|a| a.node != garbled.node), "its node takes nothing new");
    let (kv, _) = cluster.store.get(key.as_bytes()).await.unwrap();
    assert_eq!(&*kv.unwrap().value, b"{garbage", "and nobody touched it");

    let mended = serde_json::to_vec(&garbled.record.value).unwrap();
    cluster.store.txn(Txn::new().then(Op::put(key, mended))).await.unwrap();
    cluster.until_running("web", 4).await;
    assert!(cluster.allocs("web").iter().all(|a| a.record.desired == Desired::Run));
    cluster.settled().await;
}
