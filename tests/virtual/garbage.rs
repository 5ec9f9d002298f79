//! gc beside everything else.

use std::time::Duration;

use encamp_model::{Key, records::Desired};
use encamp_store::{
    Op,
    memory::{Fault, Gate},
};

use crate::cluster::{Cluster, changed, service};

/// Everything that may go goes at once.
fn eager() -> encamp_gc::Config {
    encamp_gc::Config {
        alloc_age: Duration::ZERO,
        eval_age: Duration::ZERO,
        job_age: Duration::ZERO,
        versions_kept: 1,
        ..encamp_gc::Config::default()
    }
}

#[tokio::test(start_paused = true)]
async fn gc_of_a_version_against_a_placement_of_it() {
    let cluster = Cluster::new().await;
    cluster.node(1, 1_000);
    let _server = cluster.server_with("a", eager()).await;
    let plan = Gate::new();
    let held = plan.clone();
    cluster.store.on_txn(move |call| {
        let places = call
            .txn
            .success
            .iter()
            .any(|op| matches!(op, Op::Put { key, .. } if key.starts_with(b"/encamp/allocs/")));
        if places { Fault::Hold(held.clone()) } else { Fault::Pass }
    });
    let uid = cluster.register(service("web", 1, 100)).await.unwrap();
    plan.wait_held(1).await;
    cluster.store.clear_hook();
    cluster.register(changed(service("web", 1, 100), "2")).await.unwrap();
    cluster
        .until("gc took the first version", || {
            let version = cluster.world().mod_revision(&Key::JobVersion(uid, 0));
            if version == 0 { Ok(()) } else { Err(version) }
        })
        .await;
    plan.open();
    cluster.until_running("web", 1).await;
    assert!(cluster.allocs("web").iter().all(|a| a.record.version == 1), "the held plan was void");
    cluster.settled().await;
}

#[tokio::test(start_paused = true)]
async fn two_gc_at_once_take_the_same_and_nothing_live() {
    let cluster = Cluster::new().await;
    cluster.node(1, 10_000);
    let _first = cluster.server_with("a", eager()).await;
    let _second = cluster.server_with("b", eager()).await;
    cluster.register(service("stays", 3, 100)).await.unwrap();
    cluster.until_running("stays", 3).await;
    for round in 0..5 {
        let mark = round.to_string();
        cluster.register(changed(service("stays", 3, 100), &mark)).await.unwrap();
        cluster.register(service("goes", 3, 100)).await.unwrap();
        cluster.until_running("goes", 3).await;
        cluster.purge("goes").await;
        cluster.until_running("goes", 0).await;
    }
    cluster.until_running("stays", 3).await;
    cluster
        .until("only what is live is left", || {
            let world = cluster.world();
            let stopped: Vec<_> =
                world.allocs().filter(|a| a.record.desired == Desired::Stop).map(|a| a.id).collect();
            let registrations = world.registrations().count();
            if stopped.is_empty() && registrations == 1 { Ok(()) } else { Err((stopped, registrations)) }
        })
        .await;
    cluster.until_running("stays", 3).await;
    cluster.settled().await;
}

#[tokio::test(start_paused = true)]
async fn finished_batch_work_never_runs_again_however_eager_gc_is() {
    let cluster = Cluster::new().await;
    let node = cluster.node(1, 10_000);
    node.order(|orders| orders.ends = Some(encamp_model::records::ClientStatus::Complete));
    let _server =
        cluster.server_with("a", encamp_gc::Config { job_age: Duration::from_secs(3_600), ..eager() }).await;
    let mut batch = service("once", 3, 100);
    batch.kind = encamp_model::job::JobType::Batch;
    cluster.register(batch).await.unwrap();
    cluster
        .until("all ended", || match cluster.allocs("once").iter().filter(|a| a.is_terminal()).count() {
            3 => Ok(()),
            n => Err(n),
        })
        .await;
    tokio::time::sleep(Duration::from_secs(1_800)).await;
    assert_eq!(cluster.allocs("once").len(), 3, "no fourth was ever made");
    cluster.settled().await;
}
