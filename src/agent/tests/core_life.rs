//! From the first start to the last word.

use std::{collections::BTreeMap, sync::Arc};

use encamp_drivers::{Ended, Exit, Signal};
use encamp_model::{
    job::JobType,
    records::{ClientStatus, StopReason, TaskPhase, TaskState},
};
use serde_json::json;

use super::{
    kit::{alloc_id, job, record, service, stopped},
    rig::{Rig, starts, stops},
};
use crate::core::{Found, Input, Phase, RunId, StartFailure, Step};

const MINUTE_NS: i64 = 60_000_000_000;

#[test]
fn a_service_is_restarted_twice_then_fails_for_good() {
    let mut rig = Rig::ready(service());
    rig.now.random = 0.32;
    rig.put(alloc_id(1), record());
    let mut run = rig.run_all().remove(0);
    for restart in 1..=2 {
        rig.exit(&run, 1);
        assert_eq!(starts(&rig.settle()), [], "not before the delay");
        assert_eq!(rig.client(alloc_id(1)), ClientStatus::Pending);
        rig.after(16);
        assert_eq!(starts(&rig.settle()), [], "15 s and 0.32 × 25 % of jitter are 16.2 s");
        rig.after(1);
        run = rig.run_all().remove(0);
        assert_eq!((run.run, rig.status(alloc_id(1)).tasks["t"].restarts), (restart + 1, restart));
    }
    rig.exit(&run, 1);
    rig.settle();
    let status = rig.status(alloc_id(1));
    assert_eq!((status.status, &*status.description), (ClientStatus::Failed, "task \"t\" failed"));
    assert!(status.tasks["t"].failed);
    let events = rig.events(alloc_id(1), "t");
    let again = "Restarting: Task restarting in 16.2s (within the restart policy)";
    assert_eq!(events[2..4], ["Terminated: Exit Code: 1", again], "the oldest are dropped: {events:?}");
    assert_eq!(
        events.last().map(String::as_str),
        Some("Not Restarting: 2 restarts within 30m did not help, and the mode is \"fail\"")
    );
    assert!(events.len() <= TaskState::MAX_EVENTS);
    rig.after(3600);
    assert_eq!(rig.settle(), [], "ended is ended");
}

#[test]
fn an_end_that_is_told_twice_is_not_the_next_runs() {
    let mut rig = Rig::ready(service());
    rig.put(alloc_id(1), record());
    let first = rig.run_all().remove(0);
    rig.exit(&first, 1);
    rig.after(15);
    let second = rig.run_all().remove(0);
    rig.exit(&first, 1);
    rig.settle();
    assert_eq!(rig.client(alloc_id(1)), ClientStatus::Running);
    assert_eq!(rig.core.under_way(), [second]);
}

#[test]
fn mode_delay_waits_for_the_next_interval_and_counts_anew() {
    let restart = json!({ "RestartPolicy": { "Attempts": 1, "Interval": MINUTE_NS, "Delay": MINUTE_NS / 60, "Mode": "delay" } });
    let mut rig = Rig::ready(job(JobType::Service, &restart, &[("t", json!({}))]));
    rig.put(alloc_id(1), record());
    let mut run = rig.run_all().remove(0);
    rig.exit(&run, 1);
    rig.after(1);
    run = rig.run_all().remove(0);
    rig.exit(&run, 1);
    rig.after(58);
    assert_eq!(starts(&rig.settle()), []);
    rig.after(1);
    run = rig.run_all().remove(0);
    rig.exit(&run, 1);
    rig.after(1);
    assert_eq!(rig.run_all().len(), 1, "a new interval, a new attempt");
}

#[test]
fn a_batch_task_that_ends_well_is_complete_and_on_success_wins_where_given() {
    let mut rig = Rig::ready(job(JobType::Batch, &json!({}), &[("t", json!({}))]));
    rig.put(alloc_id(1), record());
    let run = rig.run_all().remove(0);
    rig.exit(&run, 0);
    rig.settle();
    assert_eq!(rig.client(alloc_id(1)), ClientStatus::Complete);

    let keep = json!({ "RestartPolicy": { "OnSuccess": true } });
    let mut rig = Rig::ready(job(JobType::Batch, &json!({}), &[("t", keep)]));
    rig.put(alloc_id(1), record());
    let run = rig.run_all().remove(0);
    rig.exit(&run, 0);
    rig.settle();
    assert_eq!(rig.client(alloc_id(1)), ClientStatus::Pending);

    let once = json!({ "RestartPolicy": { "OnSuccess": false } });
    let mut rig = Rig::ready(job(JobType::Service, &once, &[("t", json!({}))]));
    rig.put(alloc_id(1), record());
    let run = rig.run_all().remove(0);
    rig.exit(&run, 0);
    rig.settle();
    assert_eq!(rig.client(alloc_id(1)), ClientStatus::Complete);
}

#[test]
fn a_task_that_fails_for_good_takes_its_siblings_along() {
    let never = json!({ "RestartPolicy": { "Attempts": 0 } });
    let mut rig = Rig::ready(job(JobType::Service, &json!({}), &[("a", never), ("b", json!({}))]));
    rig.put(alloc_id(1), record());
    let runs = rig.run_all();
    rig.exit(&runs[0], 3);
    assert_eq!(stops(&rig.settle()), [runs[1].clone()]);
    assert_eq!(rig.client(alloc_id(1)), ClientStatus::Running, "until the last one is gone");
    let killed = rig.ended(&runs[1], Exit::Signaled { signal: 2 });
    rig.apply(killed);
    rig.settle();
    let status = rig.status(alloc_id(1));
    assert_eq!((status.status, &*status.description), (ClientStatus::Failed, "task \"a\" failed"));
    assert!(!status.tasks["b"].failed);
    let events = rig.events(alloc_id(1), "b");
    assert!(
        events.contains(&"Sibling Task Failed: task \"a\" of this allocation failed".to_owned()),
        "{events:?}"
    );
    assert!(events.contains(&"Terminated: Exit Code: 130, Signal: 2".to_owned()), "{events:?}");
}

#[test]
fn a_leader_that_ends_stops_the_others_and_that_is_no_failure() {
    let tasks = [
        ("a", json!({ "Leader": true })),
        ("b", json!({ "KillSignal": "SIGTERM", "KillTimeout": 7_000_000_000_i64 })),
    ];
    let mut rig = Rig::ready(job(JobType::Batch, &json!({}), &tasks));
    rig.put(alloc_id(1), record());
    let runs = rig.run_all();
    rig.exit(&runs[0], 0);
    let steps = rig.settle();
    let [Step::Stop { run, signal: Signal::SIGTERM, timeout }] = &steps[..] else { panic!("{steps:?}") };
    assert_eq!(timeout.as_secs(), 7);
    let run = run.clone();
    rig.exit(&run, 1);
    rig.settle();
    assert_eq!(rig.client(alloc_id(1)), ClientStatus::Complete);
}

#[test]
fn a_told_stop_is_complete_with_its_reason_even_before_the_first_start() {
    let mut stop = stopped(&record());
    stop.reason = Some(StopReason::NotNeeded);
    let mut rig = Rig::ready(service());
    rig.put(alloc_id(1), record());
    let run = rig.run_all().remove(0);
    rig.put(alloc_id(1), stop.clone());
    rig.settle();
    rig.exit(&run, 1);
    rig.settle();
    let status = rig.status(alloc_id(1));
    assert_eq!(status.status, ClientStatus::Complete, "a stopped task's exit code does not matter");
    assert_eq!(status.description, StopReason::NotNeeded.describe());

    rig.put(alloc_id(2), stop);
    assert_eq!(rig.settle(), []);
    assert_eq!(rig.client(alloc_id(2)), ClientStatus::Complete);
}

#[test]
fn a_stop_that_comes_while_the_task_starts_is_done_as_soon_as_it_runs() {
    let mut rig = Rig::ready(service());
    rig.put(alloc_id(1), record());
    let run = starts(&rig.settle()).remove(0);
    rig.put(alloc_id(1), stopped(&record()));
    assert_eq!(rig.settle(), []);
    rig.started(&run);
    assert_eq!(stops(&rig.settle()), [run]);
}

#[test]
fn driver_failures_count_as_attempts_unless_they_are_final() {
    let mut rig = Rig::ready(service());
    rig.put(alloc_id(1), record());
    let run = starts(&rig.settle()).remove(0);
    rig.fails_to_start(&run, StartFailure::Retry("no such file".to_owned()));
    rig.settle();
    assert!(rig.events(alloc_id(1), "t").contains(&"Driver Failure: no such file".to_owned()));
    rig.after(15);
    assert_eq!(starts(&rig.settle()), [], "it never ran: trying again is a new start, and the lease is over");
    rig.renew();
    let run = starts(&rig.settle()).remove(0);
    rig.fails_to_start(&run, StartFailure::Final("command is missing".to_owned()));
    rig.settle();
    assert_eq!(rig.client(alloc_id(1)), ClientStatus::Failed);
}

#[test]
fn a_changed_policy_is_adopted_in_place_without_touching_the_task() {
    let mut rig = Rig::ready(service());
    rig.put(alloc_id(1), record());
    let run = rig.run_all().remove(0);
    let never = json!({ "RestartPolicy": { "Attempts": 0 } });
    rig.jobs.insert(1, job(JobType::Service, &json!({}), &[("t", never)]));
    let mut newer = record();
    newer.version = 1;
    rig.put(alloc_id(1), newer);
    assert_eq!(rig.status(alloc_id(1)).version, 0, "until its text is here");
    assert_eq!(rig.settle(), []);
    assert_eq!(rig.status(alloc_id(1)).version, 1);
    rig.exit(&run, 1);
    rig.settle();
    assert_eq!(rig.client(alloc_id(1)), ClientStatus::Failed, "by the new policy");
}

#[test]
fn a_text_that_is_not_there_is_asked_for_again() {
    let mut rig = Rig::ready(service());
    rig.jobs.clear();
    let mut other = record();
    other.version = 4;
    rig.put(alloc_id(1), other);
    assert_eq!(rig.settle(), []);
    let wake = rig.core.next_wake(&rig.now).expect("an instant");
    assert_eq!(wake, rig.now.boot_ns + super::kit::SECOND);
    rig.jobs.insert(4, service());
    rig.now.boot_ns = wake;
    assert_eq!(starts(&rig.settle()).len(), 1);
}

/// A second agent on what the first one saved.
fn next_agent(rig: &Rig, boot_id: &str) -> Rig {
    let saved: BTreeMap<_, _> =
        rig.core.ids().filter_map(|id| Some((id, rig.core.state(id)?.clone()))).collect();
    // Through JSON, as on disk.
    let saved = serde_json::from_value(serde_json::to_value(&saved).expect("states")).expect("states");
    let mut next = Rig::with_saved(saved, boot_id);
    next.entries = rig.entries.clone();
    next.now = rig.now;
    next
}

#[test]
fn the_next_agent_adopts_what_runs_and_says_the_same() {
    let mut rig = Rig::ready(service());
    rig.put(alloc_id(1), record());
    let run = rig.run_all().remove(0);
    rig.settle();
    let before = rig.status(alloc_id(1));
    let mut next = next_agent(&rig, "boot");
    assert_eq!(next.core.under_way(), std::slice::from_ref(&run));
    next.apply(Input::Recovered(run, Found::Running(rig.now.wall)));
    next.renew();
    assert_eq!(next.settle(), []);
    assert!(crate::report::same(&before, &next.status(alloc_id(1))));
}

#[test]
fn an_end_while_nobody_listened_is_counted_once() {
    let mut rig = Rig::ready(service());
    rig.put(alloc_id(1), record());
    let run = rig.run_all().remove(0);
    rig.settle();
    let mut next = next_agent(&rig, "boot");
    let wall = next.now.wall;
    let ended =
        Ended { run: 1, exit: Exit::Exited { code: 7 }, when: wall, started: wall, log_bytes_dropped: 0 };
    next.apply(Input::Recovered(run.clone(), Found::Ended(ended.clone())));
    next.settle();
    // The agent dies once more, after it has written this down: its driver would tell the same end.
    let mut third = next_agent(&next, "boot");
    assert_eq!(third.core.under_way(), []);
    third.apply(Input::Recovered(run, Found::Ended(ended)));
    third.settle();
    let sevens = third.events(alloc_id(1), "t").iter().filter(|e| *e == "Terminated: Exit Code: 7").count();
    assert_eq!((sevens, third.status(alloc_id(1)).tasks["t"].restarts), (1, 1));
}

#[test]
fn a_lost_supervisor_is_a_failed_run_and_a_lost_machine_is_not() {
    for (boot_id, restarts) in [("boot", 1), ("another boot", 0)] {
        let mut rig = Rig::ready(service());
        rig.put(alloc_id(1), record());
        let run = rig.run_all().remove(0);
        rig.settle();
        let mut next = next_agent(&rig, boot_id);
        next.apply(Input::Recovered(run, Found::Never));
        next.settle();
        assert_eq!(next.status(alloc_id(1)).tasks["t"].restarts, restarts, "{boot_id}");
        next.after(15);
        // Without lease: a restart within one boot goes on, the first start in a new one is a new start.
        assert_eq!(starts(&next.settle()).len(), restarts as usize, "{boot_id}");
        next.renew();
        next.settle();
    }
}

#[test]
fn what_ran_before_the_machine_went_down_is_not_refused_on_a_node_that_shrank() {
    let mut rig = Rig::ready(service());
    rig.put(alloc_id(1), record());
    let run = rig.run_all().remove(0);
    rig.settle();
    let mut next = next_agent(&rig, "another boot");
    let mut small = super::kit::node();
    small.resources.total.cpu = 50;
    next.apply(Input::Node(Arc::new(small)));
    next.apply(Input::Recovered(run, Found::Never));
    next.renew();
    assert_eq!(starts(&next.settle()).len(), 1);
}

#[test]
fn a_start_that_left_no_trace_is_no_attempt() {
    let mut rig = Rig::ready(service());
    rig.put(alloc_id(1), record());
    let run = starts(&rig.settle()).remove(0);
    let mut next = next_agent(&rig, "boot");
    next.apply(Input::Recovered(run, Found::Never));
    assert_eq!(starts(&next.settle()), [], "not without the lease");
    next.renew();
    assert_eq!(starts(&next.settle()).len(), 1);
}

#[test]
fn a_leaving_agent_stops_its_tasks_and_the_next_starts_them_again() {
    let mut rig = Rig::ready(service());
    rig.put(alloc_id(1), record());
    let run = rig.run_all().remove(0);
    rig.settle();
    rig.apply(Input::Leave);
    assert_eq!(stops(&rig.settle()), std::slice::from_ref(&run));
    let killed = rig.ended(&run, Exit::Signaled { signal: 2 });
    rig.apply(killed);
    rig.settle();
    assert_eq!(rig.core.under_way(), [] as [RunId; 0]);
    assert_eq!(
        (rig.client(alloc_id(1)), rig.phase(alloc_id(1), "t")),
        (ClientStatus::Pending, TaskPhase::Pending)
    );
    let state = rig.core.state(alloc_id(1)).expect("kept");
    assert_eq!(state.tasks["t"].phase, Phase::Waiting { until_ns: 0 });
    let mut next = next_agent(&rig, "boot");
    assert_eq!(starts(&next.settle()), []);
    next.renew();
    assert_eq!(starts(&next.settle()).len(), 1);
    assert_eq!(next.status(alloc_id(1)).tasks["t"].restarts, 0);
}

#[test]
fn an_unread_state_is_rebuilt_from_what_its_driver_knows() {
    let mut rig = Rig::new();
    let run = RunId { alloc: alloc_id(1), task: "t".into(), run: 4 };
    rig.core.reconstruct(run.clone());
    rig.apply(Input::Recovered(run.clone(), Found::Running(rig.now.wall)));
    rig.entries.insert(alloc_id(1), crate::core::Entry::Record(Arc::new(record())));
    rig.renew();
    assert_eq!(rig.settle(), [], "it is not started a second time");
    rig.put(alloc_id(1), stopped(&record()));
    assert_eq!(stops(&rig.settle()), [run]);
}

#[test]
fn a_task_being_stopped_is_not_restarted_whatever_becomes_of_its_record() {
    for case in ["opaque", "absent", "back"] {
        let mut rig = Rig::ready(service());
        rig.put(alloc_id(1), record());
        let run = rig.run_all().remove(0);
        rig.put(alloc_id(1), stopped(&record()));
        assert_eq!(stops(&rig.pass()).len(), 1);
        match case {
            "opaque" => rig.apply(Input::Put(alloc_id(1), crate::core::Entry::Opaque)),
            "absent" => rig.apply(Input::Removed(alloc_id(1))),
            _ => rig.put(alloc_id(1), record()),
        }
        rig.exit(&run, 1);
        rig.after(60);
        assert_eq!(starts(&rig.pass()), [], "{case}");
        let phase = rig.core.state(alloc_id(1)).map(|state| state.tasks["t"].phase);
        assert_eq!(phase, Some(Phase::Dead), "{case}");
    }
}

#[test]
fn what_has_no_readable_text_says_so_and_ends_when_told_to() {
    let mut rig = Rig::ready(service());
    rig.no_text.job = Some(encamp_model::JobId::new("default", "web"));
    let unread = encamp_model::records::AllocRecord { version: 3, ..record() };
    rig.put(alloc_id(1), unread.clone());
    assert_eq!(rig.settle(), []);
    let said = rig.status(alloc_id(1));
    let why = "version 3 of its job cannot be read: none";
    assert_eq!((said.status, &*said.description, said.version), (ClientStatus::Pending, why, 3));
    rig.put(alloc_id(1), stopped(&unread));
    rig.settle();
    let said = rig.status(alloc_id(1));
    assert_eq!((said.status, &*said.description), (ClientStatus::Complete, why));
}
