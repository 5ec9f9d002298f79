//! Nodes that change, go and come back while plans are on their way.

use std::time::Duration;

use encamp_model::records::{ClientStatus, Gate as NodeGate};
use encamp_store::{
    Op,
    memory::{Fault, Gate},
};

use crate::cluster::{Cluster, service};

#[tokio::test(start_paused = true)]
async fn a_node_whose_info_shrank_under_a_plan() {
    let cluster = Cluster::new().await;
    let small = cluster.node(1, 1_000);
    let _server = cluster.server("a").await;
    cluster
        .until("the node is ready", || {
            cluster.world().nodes().next().and_then(|(_, n)| n.gate()).map(drop).ok_or(())
        })
        .await;
    small.order(|orders| orders.silent = true);
    cluster.register(service("web", 1, 900)).await.unwrap();
    cluster.until("it is placed", || if cluster.allocs("web").len() == 1 { Ok(()) } else { Err(()) }).await;
    small.reinfo(|info| info.resources.total.cpu = 500).await;
    small.order(|orders| orders.silent = false);
    cluster
        .until("the node refuses", || {
            match cluster.allocs("web").iter().any(|a| a.said() == ClientStatus::Refused) {
                true => Ok(()),
                false => Err(()),
            }
        })
        .await;
    cluster.node(2, 1_000);
    cluster.until_running("web", 1).await;
    assert_eq!(cluster.running("web")[0].node.as_u128() & 0xff, 2);
    cluster.settled().await;
}

#[tokio::test(start_paused = true)]
async fn an_eligibility_intent_a_gate_and_a_placement_crossing() {
    let cluster = Cluster::new().await;
    let node = cluster.node(1, 1_000);
    let _server = cluster.server("a").await;
    cluster
        .until("the node is ready", || {
            cluster.world().nodes().next().and_then(|(_, n)| n.gate()).map(drop).ok_or(())
        })
        .await;
    let (plan, gate) = (Gate::new(), Gate::new());
    let (held_plan, held_gate) = (plan.clone(), gate.clone());
    cluster.store.on_txn(move |call| {
        let puts = |prefix: &[u8]| {
            call.txn.success.iter().any(|op| matches!(op, Op::Put { key, .. } if key.starts_with(prefix)))
        };
        if puts(b"/encamp/allocs/") {
            Fault::Hold(held_plan.clone())
        } else if puts(b"/encamp/node-states/") {
            Fault::Hold(held_gate.clone())
        } else {
            Fault::Pass
        }
    });
    cluster.register(service("web", 1, 100)).await.unwrap();
    plan.wait_held(1).await;
    cluster.eligible(node.id, false).await;
    gate.wait_held(1).await;
    plan.open();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(cluster.allocs("web").is_empty(), "the intent was there first");
    gate.open();
    cluster.store.clear_hook();
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(cluster.allocs("web").is_empty());
    cluster.eligible(node.id, true).await;
    cluster.until_running("web", 1).await;
    cluster.settled().await;
}

#[tokio::test(start_paused = true)]
async fn work_of_a_node_that_went_down_is_replaced_and_stops_when_it_comes_back() {
    let cluster = Cluster::new().await;
    let first = cluster.node(1, 1_000);
    let _server = cluster.server("a").await;
    cluster.register(service("web", 2, 100)).await.unwrap();
    cluster.until_running("web", 2).await;
    cluster.node(2, 1_000);
    cluster
        .until("both are ready", || {
            if cluster.world().nodes().filter(|(_, n)| n.takes_placements()).count() == 2 {
                Ok(())
            } else {
                Err(())
            }
        })
        .await;
    cluster.network(1).cut();
    cluster
        .until("its work runs elsewhere", || {
            let on: Vec<_> = cluster.running("web").iter().map(|a| a.node.as_u128() & 0xff).collect();
            if on == [2, 2] { Ok(()) } else { Err(on) }
        })
        .await;
    let gate = cluster.world().node(first.id).and_then(|n| n.gate());
    assert_eq!(gate, Some(NodeGate::Down));
    cluster.network(1).heal();
    cluster
        .until("it is ready again, and what was replaced ended there", || {
            let world = cluster.world();
            let node = world.node(first.id).cloned().unwrap();
            let left: Vec<_> = node.allocs.values().filter(|a| !a.is_terminal()).map(|a| a.id).collect();
            if left.is_empty() && node.gate() == Some(NodeGate::Ready) {
                Ok(())
            } else {
                Err((left, node.gate()))
            }
        })
        .await;
    cluster.until_running("web", 2).await;
    cluster.settled().await;
}

#[tokio::test(start_paused = true)]
async fn too_large_a_count_waits_and_is_placed_when_a_node_joins() {
    let cluster = Cluster::new().await;
    cluster.node(1, 1_000);
    let _server = cluster.server("a").await;
    cluster.register(service("web", 15, 100)).await.unwrap();
    cluster.until_running("web", 10).await;
    cluster.settled().await;
    let world = cluster.world();
    let waits = world.jobs().filter(|(_, entry)| entry.state.is_some()).count();
    assert_eq!(waits, 1, "the want is written down");
    cluster.node(2, 1_000);
    cluster.until_running("web", 15).await;
    let world = cluster.settled().await;
    assert_eq!(world.jobs().filter(|(_, entry)| entry.state.is_some()).count(), 0, "and crossed off");
}
