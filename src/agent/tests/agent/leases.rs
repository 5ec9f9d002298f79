//! The lease: kept, lost, and what may start meanwhile.

use std::time::Duration;

use encamp_model::{Key, records::ClientStatus};
use encamp_store::memory::Fault;

use crate::{
    lab::{Lab, alloc, pass, record, stopped, until},
    machine::Stops,
};

#[tokio::test(start_paused = true)]
async fn the_lease_is_kept_and_node_info_is_written_with_it() {
    let lab = Lab::new().await;
    let agent = lab.ready().await;
    let info = lab.read(&Key::NodeInfo(agent.node)).await.expect("registered");
    let lease = lab.read(&Key::NodeLease(agent.node)).await.expect("registered");
    assert_eq!(info.mod_revision, lease.mod_revision, "written together");
    assert!(lease.lease != 0 && info.lease == 0);
    pass(120).await;
    let later = lab.read(&Key::NodeLease(agent.node)).await.expect("kept");
    assert_eq!(later.mod_revision, lease.mod_revision);
    assert_eq!(agent.handle.problem(), None);
}

#[tokio::test(start_paused = true)]
async fn registration_waits_for_cluster_and_never_makes_it() {
    let lab = Lab::bare();
    let agent = lab.agent();
    pass(30).await;
    assert!(lab.read(&Key::Cluster).await.is_none());
    assert!(lab.lease(agent.node).await.is_none());
    lab.found(1).await;
    lab.until_healthy(&agent).await;
}

#[tokio::test(start_paused = true)]
async fn a_cut_off_agent_starts_nothing_new_and_stops_replaced_work_first_when_it_is_back() {
    let lab = Lab::new().await;
    let agent = lab.ready().await;
    lab.place(agent.node, 1, &record()).await;
    lab.place(agent.node, 2, &record()).await;
    lab.until_running(&[1, 2]).await;
    let line = lab.store.client("agent");
    line.cut();
    pass(30).await;
    assert!(lab.lease(agent.node).await.is_none(), "the lease is over");
    assert_eq!(lab.machine.running(), [alloc(1), alloc(2)], "tasks stay");
    // Restarts under the policy go on regardless.
    lab.machine.exit(alloc(2), 1);
    pass(20).await;
    assert_eq!(lab.machine.running(), [alloc(1), alloc(2)]);
    lab.place(agent.node, 1, &stopped()).await;
    lab.place(agent.node, 3, &record()).await;
    lab.machine.forget_log();
    line.heal();
    lab.until_running(&[2, 3]).await;
    assert_eq!(lab.machine.log(), ["stop 1", "end 1", "start 3"]);
    lab.until_said(agent.node, 1, ClientStatus::Complete).await;
    assert!(lab.lease(agent.node).await.is_some(), "registered again");
}

#[tokio::test(start_paused = true)]
async fn a_start_that_outlasts_the_lease_does_not_happen() {
    let lab = Lab::new().await;
    let agent = lab.ready().await;
    lab.machine.set_start_takes(Duration::from_secs(15));
    let line = lab.store.client("agent");
    lab.place(agent.node, 1, &record()).await;
    until("the agent knows", async || match agent.handle.allocs().len() {
        1 => Ok(()),
        n => Err(n.to_string()),
    })
    .await;
    line.cut();
    pass(30).await;
    assert!(lab.machine.log().is_empty());
    lab.machine.set_start_takes(Duration::ZERO);
    line.heal();
    let status = lab.until_said(agent.node, 1, ClientStatus::Running).await;
    assert_eq!(status.tasks["t"].restarts, 0, "late is no attempt");
}

#[tokio::test(start_paused = true)]
async fn a_held_back_watch_does_not_end_the_permission_but_a_broken_one_asks_for_a_list() {
    let lab = Lab::new().await;
    let agent = lab.ready().await;
    lab.store.client("agent").cut_watches();
    lab.place(agent.node, 1, &record()).await;
    lab.until_running(&[1]).await;
    assert_eq!(agent.handle.problem(), None);
}

#[tokio::test(start_paused = true)]
async fn a_purged_lease_key_is_written_again() {
    let lab = Lab::new().await;
    let agent = lab.ready().await;
    lab.delete(&Key::NodeLease(agent.node)).await;
    until("it is back", async || match lab.lease(agent.node).await {
        Some(_) => Ok(()),
        None => Err("absent".to_owned()),
    })
    .await;
    lab.place(agent.node, 1, &record()).await;
    lab.until_running(&[1]).await;
}

#[tokio::test(start_paused = true)]
async fn a_frozen_agent_that_wakes_after_its_lease_stops_replaced_work_before_it_starts_anything() {
    let lab = Lab::new().await;
    let agent = lab.ready().await;
    for n in 1..=3 {
        lab.place(agent.node, n, &record()).await;
    }
    lab.until_running(&[1, 2, 3]).await;
    agent.ice.freeze();
    // The heartbeat is a task of its own, and frozen like the rest.
    let line = lab.store.client("agent");
    line.cut();
    // New work comes while the lease still lives, then the node is taken for down and everything is replaced.
    lab.place(agent.node, 4, &record()).await;
    pass(30).await;
    assert!(lab.lease(agent.node).await.is_none());
    for n in [1, 2, 4] {
        lab.place(agent.node, n, &stopped()).await;
    }
    lab.place(agent.node, 5, &record()).await;
    lab.machine.forget_log();
    lab.machine.set_stops(Stops::Slowly);
    line.heal();
    agent.ice.thaw();
    lab.until_running(&[3, 5]).await;
    let log = lab.machine.log();
    let start = log.iter().position(|l| l == "start 5").expect("started");
    for ended in ["end 1", "end 2"] {
        assert!(log.iter().position(|l| l == ended).expect("ended") < start, "{log:?}");
    }
    assert!(!log.contains(&"start 4".to_owned()), "{log:?}");
    lab.until_said(agent.node, 4, ClientStatus::Complete).await;
}

#[tokio::test(start_paused = true)]
async fn neither_a_stalled_loop_nor_slow_reads_cost_the_lease() {
    let lab = Lab::new().await;
    let agent = lab.ready().await;
    let key = Key::NodeLease(agent.node);
    let before = lab.read(&key).await.expect("registered").mod_revision;
    agent.ice.freeze();
    pass(60).await;
    assert_eq!(lab.read(&key).await.map(|kv| kv.mod_revision), Some(before), "the loop stalls");
    agent.ice.thaw();
    lab.store.on_txn(|call| match call.client == "agent" && call.txn.is_read_only() {
        true => Fault::Delay(Duration::from_secs(20)),
        false => Fault::Pass,
    });
    pass(60).await;
    assert_eq!(lab.read(&key).await.map(|kv| kv.mod_revision), Some(before), "reads are slow");
    lab.until_healthy(&agent).await;
}
