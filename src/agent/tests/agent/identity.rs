//! Whose node it is: restarts, copies, twins, other clusters, lost folders.

use std::{fs, time::Duration};

use encamp_agent::{Config, Error};
use encamp_model::{
    InstanceId, Key,
    records::{ClientStatus, LeaseRecord},
};
use encamp_store::{
    Op, Store as _, Txn,
    memory::{Fault, Gate},
};

use crate::lab::{Lab, Running, alloc, cluster, pass, record, stopped, until};

#[tokio::test(start_paused = true)]
async fn a_restarted_agent_takes_its_node_over_at_once() {
    let lab = Lab::new().await;
    let first = lab.ready().await;
    let (node, before) = (first.node, lab.lease(first.node).await.expect("registered"));
    first.crash().await;
    let began = tokio::time::Instant::now();
    let second = lab.ready().await;
    assert_eq!(second.node, node);
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    let after = lab.lease(node).await.expect("registered");
    assert!(after.instance != before.instance && after.lock == before.lock);
}

#[tokio::test(start_paused = true)]
async fn a_second_agent_on_the_same_folder_is_refused() {
    let lab = Lab::new().await;
    let _first = lab.ready().await;
    let error = lab.open(lab.config(&lab.path())).err().expect("locked");
    assert!(matches!(error, Error::Locked { .. }), "{error}");
}

/// An agent on a copy of the usual folder.
fn copied(lab: &Lab) -> Running {
    let copy = lab.folder.path().join("copy");
    fs::create_dir_all(&copy).expect("made");
    fs::copy(lab.path().join("node-id"), copy.join("node-id")).expect("copied");
    lab.agent_with(Config { http_addr: "10.0.0.2:4646".to_owned(), ..lab.config(&copy) }, "copy")
}

#[tokio::test(start_paused = true)]
async fn a_copied_folder_is_refused_while_the_original_lives_naming_its_address() {
    let lab = Lab::new().await;
    let first = lab.ready().await;
    let mut twin = copied(&lab);
    let error = twin.ended().await.expect_err("refused");
    assert!(matches!(&error, Error::Twin { address, .. } if address == "10.0.0.1:4646"), "{error}");
    assert_eq!(first.handle.problem(), None, "the original is not disturbed");
}

#[tokio::test(start_paused = true)]
async fn of_two_that_register_at_the_same_time_one_is_refused() {
    let lab = Lab::bare();
    let first = lab.agent();
    let mut twin = copied(&lab);
    // Both have seen that nobody holds the node before either writes.
    let (first_gate, twin_gate) = (Gate::new(), Gate::new());
    let gates = (first_gate.clone(), twin_gate.clone());
    lab.store.on_txn(move |call| match call.client {
        "agent" => Fault::Hold(gates.0.clone()),
        "copy" => Fault::Hold(gates.1.clone()),
        _ => Fault::Pass,
    });
    lab.found(1).await;
    for gate in [&first_gate, &twin_gate] {
        tokio::time::timeout(Duration::from_secs(60), gate.wait_held(1)).await.expect("a registration");
    }
    first_gate.open();
    lab.until_healthy(&first).await;
    let ours = lab.lease(first.node).await;
    twin_gate.open();
    let error = twin.ended().await.expect_err("refused");
    assert!(matches!(error, Error::Twin { .. }), "{error}");
    assert_eq!(lab.lease(first.node).await, ours);
    assert_eq!(first.handle.problem(), None);
}

#[tokio::test(start_paused = true)]
async fn a_copied_folder_waits_for_the_originals_lease_to_end() {
    let lab = Lab::new().await;
    let first = lab.ready().await;
    first.crash().await;
    let twin = copied(&lab);
    lab.until_healthy(&twin).await;
    assert_eq!(lab.lease(twin.node).await.expect("registered").http_addr, "10.0.0.2:4646");
}

#[tokio::test(start_paused = true)]
async fn who_sees_its_lease_key_replaced_starts_nothing_and_exits_and_its_tasks_stay() {
    let lab = Lab::new().await;
    let mut agent = lab.ready().await;
    lab.place(agent.node, 1, &record()).await;
    lab.until_running(&[1]).await;
    let other = LeaseRecord {
        instance: InstanceId::from_bits(99),
        http_addr: "10.0.0.9:4646".to_owned(),
        boot_id: String::new(),
        lock: String::new(),
    };
    let lease = lab.store.lease_grant(Duration::from_secs(60)).await.expect("granted");
    let key = lab.keys.encode(&Key::NodeLease(agent.node));
    lab.write(Txn::new().then(Op::put_on_lease(key, serde_json::to_vec(&other).expect("json"), lease))).await;
    let error = agent.ended().await.expect_err("replaced");
    assert!(matches!(&error, Error::Replaced { address, .. } if address == "10.0.0.9:4646"), "{error}");
    lab.place(agent.node, 2, &record()).await;
    pass(30).await;
    assert_eq!(lab.machine.log(), ["start 1"]);
    assert_eq!(lab.lease(agent.node).await, Some(other), "and is not overwritten");
}

#[tokio::test(start_paused = true)]
async fn another_cluster_is_refused_with_tasks_accepted_on_request_and_joined_without() {
    let lab = Lab::new().await;
    let agent = lab.ready().await;
    let node = agent.node;
    lab.place(node, 1, &record()).await;
    lab.until_running(&[1]).await;
    agent.crash().await;
    let txn = Txn::new()
        .then(Op::delete(lab.keys.encode(&Key::Alloc(node, alloc(1)))))
        .then(Op::delete(lab.keys.encode(&Key::NodeLease(node))));
    lab.write(txn).await;
    lab.found(2).await;
    let mut refused = lab.agent();
    let error = refused.ended().await.expect_err("another cluster");
    let text = error.to_string();
    assert!(matches!(error, Error::OtherCluster { .. }), "{text}");
    assert!(
        text.contains(&format!("--accept-cluster {}", cluster(2))) && text.contains("empty data folder"),
        "{text}"
    );
    assert_eq!(lab.machine.running(), [alloc(1)]);
    assert!(lab.lease(node).await.is_none());
    refused.crash().await;
    let accepting = Config { accept_cluster: Some(cluster(2)), ..lab.config(&lab.path()) };
    let agent = lab.agent_with(accepting, "agent");
    lab.until_healthy(&agent).await;
    lab.until_running(&[]).await;
    until("all is gone", async || match agent.handle.allocs().len() {
        0 => Ok(()),
        n => Err(n.to_string()),
    })
    .await;
    agent.crash().await;
    lab.found(3).await;
    lab.ready().await;
}

#[tokio::test(start_paused = true)]
async fn a_newer_layout_is_refused() {
    let lab = Lab::bare();
    let newer = serde_json::json!({ "uid": cluster(1), "layout": 99, "region": "global" });
    lab.put(&Key::Cluster, &newer).await;
    let error = lab.agent().ended().await.expect_err("newer");
    assert!(matches!(error, Error::NewerLayout { found: 99, .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_lost_folder_ends_the_agent_and_its_tasks_stay() {
    let lab = Lab::new().await;
    let mut agent = lab.ready().await;
    lab.place(agent.node, 1, &record()).await;
    lab.until_running(&[1]).await;
    fs::rename(lab.path(), lab.folder.path().join("moved")).expect("moved");
    let error = agent.ended().await.expect_err("lost");
    assert!(matches!(error, Error::FolderLost { .. }), "{error}");
    assert_eq!(lab.machine.running(), [alloc(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_changes_under_a_running_agent_stops_it_from_touching_anything() {
    let lab = Lab::new().await;
    let agent = lab.ready().await;
    lab.place(agent.node, 1, &record()).await;
    lab.until_running(&[1]).await;
    lab.found(2).await;
    until("it is noticed", async || match agent.handle.problem() {
        Some(problem) if problem.contains("another cluster") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let before = lab.store.log().len();
    lab.place(agent.node, 1, &stopped()).await;
    lab.place(agent.node, 2, &record()).await;
    lab.machine.exit(alloc(1), 1);
    pass(60).await;
    assert_eq!(lab.machine.log(), ["start 1", "end 1", "start 1"], "but for restarts under the policy");
    let wrote = lab.store.log()[before..].iter().any(|r| r.client == "agent" && r.txn.has_puts());
    assert!(!wrote, "and it writes nothing");
    lab.found(1).await;
    lab.until_running(&[2]).await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_its_restart_goes_on_in_its_folder_but_not_in_a_copy_of_it() {
    for (folder, starts) in [("copy", 1), ("data", 2)] {
        let lab = Lab::new().await;
        let first = lab.ready().await;
        lab.place(first.node, 1, &record()).await;
        lab.until_running(&[1]).await;
        lab.machine.exit(alloc(1), 1);
        lab.until_said(first.node, 1, ClientStatus::Pending).await;
        first.crash().await;
        let path = lab.folder.path().join(folder);
        if folder == "copy" {
            let copied = std::process::Command::new("cp").arg("-a").arg(lab.path()).arg(&path).status();
            assert!(copied.expect("cp runs").success());
        }
        lab.store.client("agent").cut();
        let _next = lab.agent_with(lab.config(&path), "agent");
        pass(60).await;
        let log = lab.machine.log();
        assert_eq!(log.iter().filter(|line| *line == "start 1").count(), starts, "{folder}: {log:?}");
    }
}
