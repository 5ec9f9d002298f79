//! Placed, run, changed, stopped, gone.

use std::time::Duration;

use encamp_model::{
    Key, Name,
    records::{AllocRecord, AssignedPort, ClientStatus, NodeInfo, TaskPhase},
};
use encamp_store::{Op, Store as _, Txn};
use serde_json::json;

use crate::{
    lab::{Lab, alloc, pass, record, service, stopped, uid, until},
    machine::Stops,
};

#[tokio::test(start_paused = true)]
async fn a_placed_allocation_runs_with_its_folders_and_environment_and_is_reported() {
    let lab = Lab::new().await;
    let agent = lab.ready().await;
    let mut placed = record();
    placed.ports.push(AssignedPort { label: Name::from("http"), value: 20001, to: 0, task: None });
    lab.place(agent.node, 1, &placed).await;
    let status = lab.until_said(agent.node, 1, ClientStatus::Running).await;
    assert_eq!((&*status.name, status.version, status.uid), ("web.g[0]", 0, uid()));
    assert_eq!(status.tasks["t"].state, TaskPhase::Running);
    let spec = lab.machine.spec(alloc(1)).expect("started");
    assert_eq!(spec.env["NOMAD_ADDR_http"], "127.0.0.1:20001");
    assert!(spec.start_deadline_ns.is_some());
    let folders = agent.handle.folders(alloc(1)).expect("known");
    for name in ["alloc/data", "alloc/logs", "alloc/tmp", "t/local", "t/secrets", "t/tmp"] {
        assert!(folders.path().join(name).is_dir(), "{name}");
    }
    use std::os::unix::fs::PermissionsExt as _;
    let secrets = std::fs::metadata(folders.task("t").join("secrets")).expect("there");
    assert_eq!(secrets.permissions().mode() & 0o777, 0o700);
    assert!(agent.handle.may_print(alloc(1), "t"));
    assert!(!agent.handle.may_print(alloc(1), "nope"));
}

#[tokio::test(start_paused = true)]
async fn a_stopped_allocation_is_complete_and_its_folder_goes_with_its_record() {
    let lab = Lab::new().await;
    let agent = lab.ready().await;
    lab.place(agent.node, 1, &record()).await;
    lab.until_running(&[1]).await;
    lab.place(agent.node, 1, &stopped()).await;
    lab.until_said(agent.node, 1, ClientStatus::Complete).await;
    let path = agent.handle.folders(alloc(1)).expect("known").path();
    assert!(path.is_dir(), "as long as the record is there");
    assert!(!agent.handle.may_print(alloc(1), "t"));
    // As gc does: record and status together.
    let txn = Txn::new()
        .then(Op::delete(lab.keys.encode(&Key::Alloc(agent.node, alloc(1)))))
        .then(Op::delete(lab.keys.encode(&Key::AllocStatus(agent.node, alloc(1)))));
    lab.write(txn).await;
    until("the folder is gone", async || if path.exists() { Err("there".to_owned()) } else { Ok(()) }).await;
    assert!(agent.handle.allocs().is_empty());
    assert!(
        lab.status(agent.node, 1).await.is_none(),
        "the status is gc's to delete, and is not written again"
    );
}

#[tokio::test(start_paused = true)]
async fn a_successor_starts_when_its_predecessors_task_is_gone() {
    let lab = Lab::new().await;
    let agent = lab.ready().await;
    lab.place(agent.node, 1, &record()).await;
    lab.until_running(&[1]).await;
    lab.machine.set_stops(Stops::Slowly);
    let successor = AllocRecord { after: vec![alloc(1)], ..record() };
    let put = |n, record: &AllocRecord| {
        Op::put(lab.keys.encode(&Key::Alloc(agent.node, alloc(n))), serde_json::to_vec(record).expect("json"))
    };
    lab.write(Txn::new().then(put(2, &successor)).then(put(1, &stopped()))).await;
    lab.until_running(&[2]).await;
    assert_eq!(lab.machine.log(), ["start 1", "stop 1", "end 1", "start 2"]);
}

#[tokio::test(start_paused = true)]
async fn a_new_version_is_adopted_in_place() {
    let lab = Lab::new().await;
    let agent = lab.ready().await;
    lab.place(agent.node, 1, &record()).await;
    lab.until_said(agent.node, 1, ClientStatus::Running).await;
    lab.put(&Key::JobVersion(uid(), 1), &service(&json!({ "RestartPolicy": { "Attempts": 0 } }))).await;
    lab.place(agent.node, 1, &AllocRecord { version: 1, ..record() }).await;
    until("version 1 is reported", async || {
        let status = lab.status(agent.node, 1).await;
        if status.as_ref().is_some_and(|s| s.version == 1) { Ok(()) } else { Err(format!("{status:?}")) }
    })
    .await;
    assert_eq!(lab.machine.log(), ["start 1"]);
    lab.machine.exit(alloc(1), 3);
    let status = lab.until_said(agent.node, 1, ClientStatus::Failed).await;
    assert_eq!(status.description, "task \"t\" failed");
}

#[tokio::test(start_paused = true)]
async fn a_failed_task_is_restarted_after_its_delay() {
    let lab = Lab::new().await;
    let agent = lab.ready().await;
    lab.place(agent.node, 1, &record()).await;
    lab.until_running(&[1]).await;
    lab.machine.exit(alloc(1), 1);
    let began = tokio::time::Instant::now();
    lab.until_said(agent.node, 1, ClientStatus::Pending).await;
    lab.until_running(&[1]).await;
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(15) && took < Duration::from_millis(18_900), "{took:?}");
    let status = lab.until_said(agent.node, 1, ClientStatus::Running).await;
    assert_eq!(status.tasks["t"].restarts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_bad_config_fails_without_a_start_and_without_restarts() {
    let lab = Lab::new().await;
    let agent = lab.ready().await;
    let bad = json!({ "Tasks": [{ "Name": "t", "Driver": "fake", "Config": { "bad": true } }] });
    lab.put(&Key::JobVersion(uid(), 0), &service(&bad)).await;
    lab.place(agent.node, 1, &record()).await;
    let status = lab.until_said(agent.node, 1, ClientStatus::Failed).await;
    assert!(status.tasks["t"].events.iter().any(|e| e.kind == "Driver Failure" && e.message.contains("bad")));
    assert!(lab.machine.log().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_refused() {
    let lab = Lab::new().await;
    let agent = lab.ready().await;
    let info: NodeInfo = lab.get(&Key::NodeInfo(agent.node)).await.expect("registered");
    let mut big = record();
    big.ask.cpu = info.resources.total.cpu + 1;
    lab.place(agent.node, 1, &big).await;
    let status = lab.until_said(agent.node, 1, ClientStatus::Refused).await;
    assert!(status.description.starts_with("cpu: "), "{}", status.description);
    assert!(lab.machine.log().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_read_leaves_its_task_alone() {
    let lab = Lab::new().await;
    let agent = lab.ready().await;
    lab.place(agent.node, 1, &record()).await;
    lab.until_running(&[1]).await;
    lab.put_raw(&Key::Alloc(agent.node, alloc(1)), b"{\"from\":\"the future\"}".to_vec()).await;
    lab.put_raw(&Key::Alloc(agent.node, alloc(2)), b"nonsense".to_vec()).await;
    until("both are counted", async || match agent.handle.opaque_records() {
        2 => Ok(()),
        n => Err(n.to_string()),
    })
    .await;
    lab.store.client("agent").cut_watches();
    pass(60).await;
    assert_eq!((lab.machine.log(), agent.handle.opaque_records()), (vec!["start 1".to_owned()], 2));
    lab.place(agent.node, 1, &stopped()).await;
    lab.until_running(&[]).await;
}

#[tokio::test(start_paused = true)]
async fn a_cut_watch_and_a_compaction_lose_nothing() {
    let lab = Lab::new().await;
    let agent = lab.ready().await;
    for n in 1..=3 {
        lab.place(agent.node, n, &record()).await;
    }
    lab.until_running(&[1, 2, 3]).await;
    lab.store.client("agent").hold_watches();
    lab.delete(&Key::Alloc(agent.node, alloc(1))).await;
    lab.place(agent.node, 2, &stopped()).await;
    lab.place(agent.node, 4, &record()).await;
    lab.store.compact(lab.store.revision()).await.expect("compacts");
    lab.store.client("agent").cut_watches();
    lab.store.client("agent").release_watches();
    lab.until_running(&[3, 4]).await;
    let log = lab.machine.log();
    let start_4 = log.iter().position(|l| l == "start 4").expect("started");
    for ended in ["end 1", "end 2"] {
        let at = log.iter().position(|l| l == ended).expect("ended");
        assert!(at < start_4, "what must stop stops before anything starts: {log:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_absent_record_needs_a_read_of_cluster() {
    let lab = Lab::new().await;
    let agent = lab.ready().await;
    lab.place(agent.node, 1, &record()).await;
    lab.until_running(&[1]).await;
    // Another installation's etcd: our record is not there, and neither is our uid.
    let txn = Txn::new()
        .then(Op::delete(lab.keys.encode(&Key::Alloc(agent.node, alloc(1)))))
        .then(Op::delete(lab.keys.encode(&Key::Cluster)));
    lab.write(txn).await;
    until("the agent says so", async || match agent.handle.problem() {
        Some(problem) if problem.contains("another cluster") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    pass(60).await;
    assert_eq!(lab.machine.log(), ["start 1"], "nothing is touched");
    lab.found(1).await;
    lab.until_running(&[]).await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_fails_blocks_its_port_and_is_tried_again() {
    let lab = Lab::new().await;
    let agent = lab.ready().await;
    let port = || AssignedPort { label: Name::from("http"), value: 20001, to: 0, task: None };
    lab.place(agent.node, 1, &AllocRecord { ports: vec![port()], ..record() }).await;
    lab.until_running(&[1]).await;
    lab.machine.set_stops(Stops::Never);
    lab.place(agent.node, 1, &AllocRecord { ports: vec![port()], ..stopped() }).await;
    lab.place(agent.node, 2, &AllocRecord { ports: vec![port()], ..record() }).await;
    lab.place(agent.node, 3, &record()).await;
    lab.until_running(&[1, 3]).await;
    until("it says what it waits for", async || match lab.status(agent.node, 2).await {
        Some(status) if status.description.starts_with("waits for port 20001 (http)") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    pass(60).await;
    assert_eq!(lab.machine.running(), [alloc(1), alloc(3)]);
    lab.machine.set_stops(Stops::AtOnce);
    lab.until_running(&[2, 3]).await;
}

#[tokio::test(start_paused = true)]
async fn a_start_of_which_nobody_can_tell_is_not_failed_but_asked_about_again() {
    let lab = Lab::new().await;
    let agent = lab.ready().await;
    lab.machine.set_answers_lost(true);
    lab.machine.set_unreadable(true);
    lab.place(agent.node, 1, &record()).await;
    lab.until_running(&[1]).await;
    pass(60).await;
    assert_eq!(lab.status(agent.node, 1).await.map(|s| s.status), Some(ClientStatus::Pending));
    lab.machine.set_unreadable(false);
    let status = lab.until_said(agent.node, 1, ClientStatus::Running).await;
    assert_eq!((lab.machine.log(), status.tasks["t"].restarts), (vec!["start 1".to_owned()], 0));
}

#[tokio::test(start_paused = true)]
async fn a_queued_start_that_is_told_to_stop_is_not_begun() {
    let lab = Lab::new().await;
    let agent = lab.ready().await;
    lab.machine.set_start_takes(Duration::from_secs(5));
    for n in 1..=17 {
        lab.place(agent.node, n, &record()).await;
    }
    until("the agent knows them", async || match agent.handle.allocs().len() {
        17 => Ok(()),
        n => Err(n.to_string()),
    })
    .await;
    lab.place(agent.node, 17, &stopped()).await;
    let status = lab.until_said(agent.node, 17, ClientStatus::Complete).await;
    assert!(status.tasks["t"].started.is_none());
    assert!(!lab.machine.log().contains(&"start 17".to_owned()), "{:?}", lab.machine.log());
}

#[tokio::test(start_paused = true)]
async fn a_job_that_cannot_be_read_is_named_and_its_allocation_ends_when_told_to() {
    let lab = Lab::new().await;
    let agent = lab.ready().await;
    lab.put_raw(&Key::JobVersion(uid(), 1), br#"{"ID":"web","TaskGroups":7}"#.to_vec()).await;
    let placed = AllocRecord { version: 1, ..record() };
    lab.place(agent.node, 1, &placed).await;
    let status = lab.until_said(agent.node, 1, ClientStatus::Pending).await;
    assert!(status.description.starts_with("version 1 of its job cannot be read: "), "{status:?}");
    assert_eq!(status.job, encamp_model::JobId::new("default", "web"));
    lab.place(agent.node, 1, &AllocRecord { version: 1, ..stopped() }).await;
    lab.until_said(agent.node, 1, ClientStatus::Complete).await;
    assert!(lab.machine.log().is_empty());
}
