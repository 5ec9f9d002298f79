//! One agent dies, the next goes on.

use std::time::Duration;

use encamp_agent::Config;
use encamp_model::records::ClientStatus;

use crate::lab::{Lab, alloc, pass, record, stopped, until};

#[tokio::test(start_paused = true)]
async fn an_end_while_no_agent_runs_is_reported_once() {
    let lab = Lab::new().await;
    let agent = lab.ready().await;
    let node = agent.node;
    lab.place(node, 1, &record()).await;
    lab.until_said(node, 1, ClientStatus::Running).await;
    agent.crash().await;
    lab.machine.exit(alloc(1), 7);
    for _ in 0..3 {
        let agent = lab.ready().await;
        until("the end is reported", async || match lab.status(node, 1).await {
            Some(status) if status.tasks["t"].restarts == 1 => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
        agent.crash().await;
    }
    let status = lab.status(node, 1).await.expect("reported");
    let sevens = status.tasks["t"].events.iter().filter(|e| e.exit_code == Some(7)).count();
    assert_eq!((sevens, status.tasks["t"].restarts), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_earlier_runs_end_is_not_taken_for_that_of_a_start_that_never_happened() {
    let lab = Lab::new().await;
    let agent = lab.ready().await;
    let node = agent.node;
    lab.place(node, 1, &record()).await;
    lab.until_said(node, 1, ClientStatus::Running).await;
    lab.machine.set_start_takes(Duration::from_secs(3600));
    lab.machine.exit(alloc(1), 7);
    // Its second start is under way, and never comes to its end.
    pass(30).await;
    agent.crash().await;
    lab.machine.set_start_takes(Duration::ZERO);
    let _agent = lab.ready().await;
    lab.until_running(&[1]).await;
    let status = lab.until_said(node, 1, ClientStatus::Running).await;
    let sevens = status.tasks["t"].events.iter().filter(|e| e.exit_code == Some(7)).count();
    assert_eq!((sevens, status.tasks["t"].restarts), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_running_task_is_adopted_and_nothing_is_said_again() {
    let lab = Lab::new().await;
    let agent = lab.ready().await;
    let node = agent.node;
    lab.place(node, 1, &record()).await;
    let before = lab.until_said(node, 1, ClientStatus::Running).await;
    agent.crash().await;
    let _agent = lab.ready().await;
    pass(30).await;
    assert_eq!(lab.machine.log(), ["start 1"]);
    assert_eq!(lab.status(node, 1).await, Some(before), "not even with another time");
}

#[tokio::test(start_paused = true)]
async fn with_etcd_away_a_restarted_agent_still_supervises_and_restarts() {
    let lab = Lab::new().await;
    let agent = lab.ready().await;
    let node = agent.node;
    lab.place(node, 1, &record()).await;
    lab.until_said(node, 1, ClientStatus::Running).await;
    agent.crash().await;
    lab.store.client("agent").cut();
    let _agent = lab.agent();
    lab.machine.exit(alloc(1), 1);
    until("it is restarted", async || match lab.machine.log().iter().filter(|l| *l == "start 1").count() {
        2 => Ok(()),
        _ => Err(format!("{:?}", lab.machine.log())),
    })
    .await;
    lab.store.client("agent").heal();
    until("it is reported", async || match lab.status(node, 1).await {
        Some(status) if status.tasks["t"].restarts == 1 && status.status == ClientStatus::Running => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_damaged_state_starts_nothing_a_second_time() {
    let lab = Lab::new().await;
    let agent = lab.ready().await;
    let node = agent.node;
    lab.place(node, 1, &record()).await;
    lab.until_said(node, 1, ClientStatus::Running).await;
    agent.crash().await;
    let state = lab.path().join(format!("state/allocs/{}.json", alloc(1)));
    std::fs::write(state, "{ half").expect("written");
    // The driver's folder is what the made-up machine does not make.
    std::fs::create_dir_all(lab.path().join(format!("tasks/{}/t", alloc(1)))).expect("made");
    let _agent = lab.ready().await;
    pass(30).await;
    assert_eq!(lab.machine.log(), ["start 1"]);
    lab.place(node, 1, &stopped()).await;
    lab.until_running(&[]).await;
}

#[tokio::test(start_paused = true)]
async fn a_task_whose_records_cannot_be_read_is_left_alone_until_they_can() {
    let lab = Lab::new().await;
    let agent = lab.ready().await;
    let node = agent.node;
    lab.place(node, 1, &record()).await;
    let before = lab.until_said(node, 1, ClientStatus::Running).await;
    agent.crash().await;
    lab.machine.set_unreadable(true);
    let _agent = lab.ready().await;
    pass(60).await;
    assert_eq!(lab.machine.log(), ["start 1"]);
    lab.machine.set_unreadable(false);
    pass(20).await;
    assert_eq!(lab.status(node, 1).await, Some(before));
    lab.machine.exit(alloc(1), 7);
    until("its end is told", async || match lab.status(node, 1).await {
        Some(status) if status.tasks["t"].restarts == 1 => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn tasks_outlive_a_shutdown_unless_told_otherwise() {
    let lab = Lab::new().await;
    let mut agent = lab.ready().await;
    let node = agent.node;
    lab.place(node, 1, &record()).await;
    lab.until_said(node, 1, ClientStatus::Running).await;
    agent.shutdown.cancel();
    agent.ended().await.expect("well");
    assert_eq!(lab.machine.running(), [alloc(1)]);
    assert!(lab.lease(node).await.is_some(), "a restart has its time");
    agent.crash().await;
    let taking = Config { stop_tasks_on_exit: true, ..lab.config(&lab.path()) };
    let mut agent = lab.agent_with(taking, "agent");
    lab.until_healthy(&agent).await;
    agent.shutdown.cancel();
    agent.ended().await.expect("well");
    assert!(lab.machine.running().is_empty());
    assert!(lab.lease(node).await.is_none());
    agent.crash().await;
    let mut agent = lab.ready().await;
    lab.until_running(&[1]).await;
    let status = lab.until_said(node, 1, ClientStatus::Running).await;
    assert_eq!(status.tasks["t"].restarts, 0);
    assert!(!agent.has_ended());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_written_down_is_neither_started_nor_reported_nor_an_attempt() {
    let lab = Lab::new().await;
    let agent = lab.ready().await;
    let node = agent.node;
    lab.place(node, 1, &record()).await;
    let before = lab.until_said(node, 1, ClientStatus::Running).await;
    let (states, aside) = (lab.path().join("state/allocs"), lab.path().join("aside"));
    std::fs::rename(&states, &aside).expect("renamed");
    lab.place(node, 2, &record()).await;
    lab.machine.exit(alloc(1), 1);
    pass(120).await;
    assert_eq!(lab.machine.log(), ["start 1", "end 1"]);
    assert_eq!((lab.status(node, 1).await, lab.status(node, 2).await), (Some(before), None));
    std::fs::rename(&aside, &states).expect("renamed");
    lab.until_running(&[1, 2]).await;
    let status = lab.until_said(node, 2, ClientStatus::Running).await;
    assert_eq!(status.tasks["t"].restarts, 0);
    until("the end is told, too", async || match lab.status(node, 1).await {
        Some(status) if status.tasks["t"].restarts == 1 => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}
