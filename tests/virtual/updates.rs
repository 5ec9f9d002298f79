//! Changed jobs, and leaders that change in their middle.

use std::time::Duration;

use encamp_model::records::{ClientStatus, Desired};

use crate::cluster::{Cluster, changed, rolling, service};

#[tokio::test(start_paused = true)]
async fn failover_between_two_stagger_batches() {
    let cluster = Cluster::new().await;
    cluster.node(1, 10_000);
    let first = cluster.server("a").await;
    cluster.until("a leads", || first.leads("planner").then_some(()).ok_or(())).await;
    let _second = cluster.server("b").await;
    let job = rolling(service("web", 6, 100), 2, Duration::from_secs(300));
    cluster.register(job.clone()).await.unwrap();
    cluster.until_running("web", 6).await;
    let begun = cluster.api.now();
    cluster.register(changed(job, "2")).await.unwrap();
    let new = || cluster.running("web").iter().filter(|a| a.record.version == 1).count();
    cluster.until("the first batch runs", || if new() == 2 { Ok(()) } else { Err(new()) }).await;
    first.die();
    let mut seen = vec![];
    while cluster.api.now().since(begun) < Duration::from_secs(250) {
        seen.push(new());
        assert!(cluster.running("web").len() >= 4, "the floor holds");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(seen.iter().all(|n| *n <= 2), "the new leader keeps the stagger: {seen:?}");
    cluster.until("all are new", || if new() == 6 { Ok(()) } else { Err(new()) }).await;
    let took = cluster.api.now().since(begun);
    assert!(
        took >= Duration::from_secs(600) && took < Duration::from_secs(700),
        "three batches, two pauses: {took:?}"
    );
    cluster.settled().await;
}

#[tokio::test(start_paused = true)]
async fn a_broken_version_stalls_at_the_floor() {
    let cluster = Cluster::new().await;
    let node = cluster.node(1, 10_000);
    let _server = cluster.server("a").await;
    let job = rolling(service("web", 4, 100), 1, Duration::from_secs(10));
    cluster.register(job.clone()).await.unwrap();
    cluster.until_running("web", 4).await;
    node.order(|orders| orders.silent = true);
    cluster.register(changed(job, "2")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(600)).await;
    let kept = cluster
        .allocs("web")
        .iter()
        .filter(|a| a.record.desired == Desired::Run && a.record.version == 0)
        .count();
    assert_eq!(kept, 3, "one at a time, and the one never ran");
    node.order(|orders| orders.silent = false);
    cluster
        .until("all are new", || {
            let versions: Vec<_> = cluster.running("web").iter().map(|a| a.record.version).collect();
            if versions == [1, 1, 1, 1] { Ok(()) } else { Err(versions) }
        })
        .await;
    cluster.settled().await;
}

#[tokio::test(start_paused = true)]
async fn after_through_three_generations() {
    let cluster = Cluster::new().await;
    let node = cluster.node(1, 100);
    let _server = cluster.server("a").await;
    let job = service("web", 1, 100);
    cluster.register(job.clone()).await.unwrap();
    cluster.until_running("web", 1).await;
    node.order(|orders| orders.stubborn = true);
    for mark in ["2", "3"] {
        cluster.register(changed(job.clone(), mark)).await.unwrap();
        cluster.settled().await;
    }
    cluster
        .until("the third generation is placed", || match cluster.allocs("web").len() {
            3 => Ok(()),
            n => Err(n),
        })
        .await;
    let mut allocs = cluster.allocs("web");
    allocs.sort_by_key(|a| a.record.version);
    let (first, second, third) = (&allocs[0], &allocs[1], &allocs[2]);
    assert_eq!(first.said(), ClientStatus::Running, "it does not stop");
    assert_eq!(third.record.desired, Desired::Run);
    assert!(third.record.after.contains(&first.id), "what the second waited for, the third waits for too");
    assert_ne!(second.said(), ClientStatus::Running);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(cluster.running("web").is_empty(), "nothing starts while the first runs");
    node.order(|orders| orders.stubborn = false);
    cluster.until_running("web", 1).await;
    assert_eq!(cluster.running("web")[0].record.version, 2);
    cluster.settled().await;
}

#[tokio::test(start_paused = true)]
async fn what_no_task_can_see_changes_in_place() {
    let cluster = Cluster::new().await;
    cluster.node(1, 1_000);
    let _server = cluster.server("a").await;
    let job = service("web", 2, 100);
    cluster.register(job.clone()).await.unwrap();
    cluster.until_running("web", 2).await;
    let before: Vec<_> = cluster.running("web").iter().map(|a| a.id).collect();
    let mut patient = job;
    patient.task_groups[0].tasks[0].kill_timeout = Some(30_000_000_000);
    cluster.register(patient).await.unwrap();
    cluster
        .until("the records name the new version", || {
            let versions: Vec<_> = cluster.running("web").iter().map(|a| a.record.version).collect();
            if versions == [1, 1] { Ok(()) } else { Err(versions) }
        })
        .await;
    let after: Vec<_> = cluster.running("web").iter().map(|a| a.id).collect();
    assert_eq!(before, after, "the same allocations");
    cluster.settled().await;
}
