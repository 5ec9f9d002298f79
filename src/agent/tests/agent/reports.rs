//! What is said: batched, one at a time, once.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use encamp_model::{Key, records::ClientStatus};
use encamp_store::{
    Op, Txn,
    memory::{Fault, Gate},
};

use crate::lab::{Lab, Running, alloc, record, until};

fn statuses(lab: &Lab, agent: &Running, txn: &Txn) -> usize {
    let any = lab.keys.encode(&Key::AllocStatus(agent.node, alloc(0)));
    let folder = any[..any.rfind('/').expect("a folder") + 1].to_owned();
    let puts =
        txn.success.iter().filter_map(|op| if let Op::Put { key, .. } = op { Some(key) } else { None });
    puts.filter(|key| key.starts_with(folder.as_bytes())).count()
}

#[tokio::test(start_paused = true)]
async fn many_changes_make_few_transactions_and_never_two_at_once() {
    let lab = Lab::new().await;
    let agent = lab.ready().await;
    // Every report takes a second; were there two at once, their spans would overlap.
    let spans: Arc<Mutex<Vec<tokio::time::Instant>>> = Arc::default();
    let seen = Arc::clone(&spans);
    lab.store.on_txn(move |call| {
        if call.client != "agent" || call.txn.is_read_only() {
            return Fault::Pass;
        }
        seen.lock().expect("no panic").push(tokio::time::Instant::now());
        Fault::Delay(Duration::from_secs(1))
    });
    for n in 1..=60 {
        lab.place(agent.node, n, &record()).await;
    }
    for n in 1..=60 {
        lab.until_said(agent.node, n, ClientStatus::Running).await;
    }
    let spans = spans.lock().expect("no panic");
    assert!(spans.len() <= 6, "{} transactions for 60 allocations", spans.len());
    assert!(spans.windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_secs(1)), "{spans:?}");
    for record in lab.store.log() {
        if statuses(&lab, &agent, &record.txn) > 0 {
            assert!(record.txn.compares.len() <= 128 && record.txn.success.len() <= 128);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_report_that_lands_late_does_not_overwrite_newer_news() {
    let lab = Lab::new().await;
    let agent = lab.ready().await;
    let gate = Gate::new();
    let late = gate.clone();
    let mut once = true;
    lab.store.on_txn(move |call| {
        if call.client == "agent" && !call.txn.is_read_only() && std::mem::take(&mut once) {
            return Fault::TimeoutThenApply(late.clone());
        }
        Fault::Pass
    });
    lab.place(agent.node, 1, &record()).await;
    tokio::time::timeout(Duration::from_secs(120), gate.wait_held(1)).await.expect("a report is sent");
    lab.until_running(&[1]).await;
    lab.machine.exit(alloc(1), 1);
    let said = until("newer news is there", async || match lab.status(agent.node, 1).await {
        Some(status) if status.tasks["t"].restarts == 1 => Ok(status),
        other => Err(format!("{other:?}")),
    })
    .await;
    gate.open();
    let now = lab.status(agent.node, 1).await.expect("there");
    assert_eq!(now.tasks["t"].restarts, said.tasks["t"].restarts);
    assert_eq!(agent.handle.problem(), None);
}

#[tokio::test(start_paused = true)]
async fn ambiguous_answers_of_every_kind_are_survived() {
    for fault in [
        Fault::ApplyThenTimeout,
        Fault::NoSpaceAfterApply,
        Fault::NoSpace,
        Fault::UnavailableAfterApply,
        Fault::Unavailable,
    ] {
        let lab = Lab::new().await;
        let agent = lab.ready().await;
        let mut left = 3;
        let name = format!("{fault:?}");
        lab.store.on_txn(move |call| {
            if call.client == "agent" && !call.txn.is_read_only() && left > 0 {
                left -= 1;
                return fault.clone();
            }
            Fault::Pass
        });
        lab.place(agent.node, 1, &record()).await;
        let status = lab.until_said(agent.node, 1, ClientStatus::Running).await;
        assert_eq!(status.tasks["t"].restarts, 0, "{name}");
        assert_eq!(lab.machine.log(), ["start 1"], "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_status_is_not_written_for_a_record_that_is_gone() {
    let lab = Lab::new().await;
    let agent = lab.ready().await;
    lab.place(agent.node, 1, &record()).await;
    lab.place(agent.node, 2, &record()).await;
    lab.until_said(agent.node, 1, ClientStatus::Running).await;
    lab.store.client("agent").hold_watches();
    let txn = Txn::new()
        .then(Op::delete(lab.keys.encode(&Key::Alloc(agent.node, alloc(1)))))
        .then(Op::delete(lab.keys.encode(&Key::AllocStatus(agent.node, alloc(1)))));
    lab.write(txn).await;
    lab.machine.exit(alloc(1), 1);
    lab.machine.exit(alloc(2), 1);
    until("the other one is told", async || match lab.status(agent.node, 2).await {
        Some(status) if status.tasks["t"].restarts == 1 => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert!(lab.status(agent.node, 1).await.is_none());
}
