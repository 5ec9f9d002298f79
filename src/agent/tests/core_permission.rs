//! When something may start, and what has to go before.

use std::sync::Arc;

use encamp_drivers::Exit;
use encamp_model::records::{ClientStatus, NodeInfo};

use super::{
    kit::{SECOND, alloc_id, node, record, service, stopped, with_port},
    rig::{Rig, starts, stops},
};
use crate::core::{Entry, Input, StartFailure, Step};

#[test]
fn nothing_new_starts_without_registration_lease_and_list() {
    for (registered, listed, lease_left_s, starts_one) in
        [(true, true, 10, true), (false, true, 10, false), (true, false, 10, false), (true, true, 0, false)]
    {
        let mut rig = Rig::new();
        if registered {
            rig.apply(Input::Registered { good_until_ns: rig.now.boot_ns + lease_left_s * SECOND });
        }
        let steps = rig.pass();
        let epoch = steps.iter().find_map(|s| if let Step::List { epoch } = s { Some(*epoch) } else { None });
        assert_eq!(epoch.is_some(), registered, "a list is asked for once registered");
        if listed {
            rig.apply(Input::Listed { epoch: epoch.unwrap_or(1), entries: Default::default() });
        }
        rig.put(alloc_id(1), record());
        let begun = starts(&rig.pass());
        assert_eq!(begun.len(), usize::from(starts_one), "{registered} {listed} {lease_left_s}");
    }
}

#[test]
fn a_new_start_carries_the_leases_deadline_and_a_restart_none() {
    let mut rig = Rig::ready(service());
    rig.put(alloc_id(1), record());
    let steps = rig.settle();
    let Some(Step::Start { run, deadline_ns: Some(deadline) }) =
        steps.iter().find(|s| matches!(s, Step::Start { .. }))
    else {
        panic!("{steps:?}")
    };
    assert_eq!(*deadline, rig.now.boot_ns + 10 * SECOND);
    rig.started(run);
    rig.exit(run, 1);
    rig.after(100);
    let steps = rig.settle();
    assert!(matches!(&steps[..], [Step::Start { deadline_ns: None, .. }]), "lease long over: {steps:?}");
}

#[test]
fn an_answer_to_a_list_from_before_the_reconnect_does_not_count() {
    let mut rig = Rig::new();
    rig.renew();
    let steps = rig.pass();
    let [Step::List { epoch }] = steps[..] else { panic!("{steps:?}") };
    rig.apply(Input::WatchLost);
    rig.apply(Input::Listed { epoch, entries: Default::default() });
    rig.put(alloc_id(1), record());
    let steps = rig.pass();
    assert!(
        matches!(steps[..], [Step::List { epoch: second }, ..] | [_, Step::List { epoch: second }] if second > epoch),
        "{steps:?}"
    );
    assert_eq!(starts(&steps), []);
    rig.apply(Input::WatchLost);
    assert_eq!(starts(&rig.settle()).len(), 1, "after a list since the last reconnect");
}

#[test]
fn a_list_from_before_the_reconnect_makes_nothing_absent() {
    let mut rig = Rig::ready(service());
    rig.put(alloc_id(1), record());
    rig.run_all();
    rig.apply(Input::WatchLost);
    let steps = rig.pass();
    let epoch = steps.iter().find_map(|s| if let Step::List { epoch } = s { Some(*epoch) } else { None });
    rig.apply(Input::WatchLost);
    rig.apply(Input::Listed { epoch: epoch.expect("asked for"), entries: Default::default() });
    assert_eq!(stops(&rig.settle()), []);
    assert_eq!(rig.client(alloc_id(1)), ClientStatus::Running);
}

#[test]
fn a_renewal_sent_after_the_leases_time_asks_for_a_list_first() {
    let mut rig = Rig::ready(service());
    rig.after(11);
    let sent_ns = rig.now.boot_ns;
    rig.apply(Input::Renewed { sent_ns, good_until_ns: sent_ns + 10 * SECOND });
    rig.put(alloc_id(1), record());
    let steps = rig.pass();
    assert_eq!(starts(&steps), []);
    assert!(steps.iter().any(|s| matches!(s, Step::List { .. })), "{steps:?}");

    let mut rig = Rig::ready(service());
    rig.after(9);
    let sent_ns = rig.now.boot_ns;
    rig.apply(Input::Renewed { sent_ns, good_until_ns: sent_ns + 10 * SECOND });
    rig.put(alloc_id(1), record());
    assert_eq!(starts(&rig.pass()).len(), 1, "in time: no list needed");
}

#[test]
fn after_a_lost_lease_replaced_work_stops_before_anything_starts() {
    let mut rig = Rig::ready(service());
    rig.put(alloc_id(1), record());
    let old = rig.run_all().remove(0);
    rig.after(60);
    rig.apply(Input::LeaseLost);
    rig.entries.insert(alloc_id(1), Entry::Record(Arc::new(stopped(&record()))));
    rig.entries.insert(alloc_id(2), Entry::Record(Arc::new(record())));
    rig.renew();
    let steps = rig.settle();
    assert_eq!((stops(&steps), starts(&steps)), (vec![old.clone()], vec![]));
    let ended = rig.ended(&old, Exit::Signaled { signal: 2 });
    rig.apply(ended);
    assert_eq!(starts(&rig.settle()).len(), 1);
}

#[test]
fn a_successor_waits_until_what_it_names_has_no_supervisor() {
    let mut rig = Rig::ready(service());
    rig.put(alloc_id(1), record());
    let old = rig.run_all().remove(0);
    let mut successor = record();
    successor.after = vec![alloc_id(1)];
    rig.put(alloc_id(1), stopped(&record()));
    rig.put(alloc_id(2), successor);
    let steps = rig.settle();
    assert_eq!((stops(&steps), starts(&steps)), (vec![old.clone()], vec![]));
    assert_eq!(rig.status(alloc_id(2)).description, "waits for allocation 00000000 to end");
    // The record may be gone already: only supervisors count.
    rig.remove(alloc_id(1));
    assert_eq!(starts(&rig.settle()), []);
    rig.exit(&old, 0);
    assert_eq!(starts(&rig.settle()).len(), 1);
}

#[test]
fn a_failed_stop_blocks_its_port_is_repeated_and_blocks_nothing_else() {
    let mut rig = Rig::ready(service());
    rig.put(alloc_id(1), with_port(record(), 8080));
    let old = rig.run_all().remove(0);
    rig.put(alloc_id(1), stopped(&with_port(record(), 8080)));
    rig.settle();
    rig.apply(Input::StopFailed(old.clone(), "will not die".to_owned()));
    rig.put(alloc_id(2), with_port(record(), 8080));
    rig.put(alloc_id(3), with_port(record(), 8081));
    let begun = starts(&rig.settle());
    assert_eq!(begun.iter().map(|r| r.alloc).collect::<Vec<_>>(), [alloc_id(3)]);
    assert!(rig.status(alloc_id(2)).description.contains("port 8080 (http)"));
    rig.after(1);
    assert_eq!(stops(&rig.settle()), std::slice::from_ref(&old), "tried again");
    rig.exit(&old, 0);
    assert_eq!(starts(&rig.settle()).len(), 1);
}

#[test]
fn a_late_start_was_no_attempt_and_happens_with_the_next_lease() {
    let mut rig = Rig::ready(service());
    rig.put(alloc_id(1), record());
    let run = starts(&rig.settle()).remove(0);
    rig.after(20);
    rig.fails_to_start(&run, StartFailure::Late);
    assert_eq!(starts(&rig.settle()), []);
    assert_eq!(rig.status(alloc_id(1)).tasks["t"].restarts, 0);
    rig.apply(Input::LeaseLost);
    rig.renew();
    let again = starts(&rig.settle());
    assert_eq!((again.len(), again[0].run), (1, 2));
}

#[test]
fn what_was_late_never_ran_and_can_still_be_refused() {
    let mut rig = Rig::ready(service());
    rig.put(alloc_id(1), record());
    let run = starts(&rig.settle()).remove(0);
    rig.fails_to_start(&run, StartFailure::Late);
    let mut small = node();
    small.resources.total.cpu = 50;
    rig.apply(Input::Node(Arc::new(small)));
    assert_eq!(starts(&rig.settle()), []);
    assert_eq!(rig.client(alloc_id(1)), ClientStatus::Refused);
}

#[test]
fn what_does_not_fit_the_node_is_refused_with_the_reason_and_never_started() {
    let small = |change: fn(&mut NodeInfo)| {
        let mut info = node();
        change(&mut info);
        info
    };
    for (info, reason) in [
        (
            small(|n| n.resources.total.cpu = 50),
            "cpu: 100 MHz more are wanted, but 0 of the node's 50 MHz are taken",
        ),
        (
            small(|n| n.resources.reserved.memory_mb = 950),
            "memory: 100 MB more are wanted, but 0 of the node's 50 MB are taken",
        ),
        (small(|n| n.drivers.clear()), "driver fake is not enabled here"),
    ] {
        let mut rig = Rig::ready(service());
        rig.apply(Input::Node(Arc::new(info)));
        rig.put(alloc_id(1), record());
        assert_eq!(starts(&rig.settle()), []);
        let status = rig.status(alloc_id(1));
        assert_eq!((status.status, &*status.description), (ClientStatus::Refused, reason));
        rig.apply(Input::Node(Arc::new(node())));
        assert_eq!(starts(&rig.settle()), [], "refused is refused");
    }
}

#[test]
fn a_group_that_its_job_does_not_have_is_refused() {
    let mut rig = Rig::ready(service());
    let mut other = record();
    other.group = "nope".into();
    rig.put(alloc_id(1), other);
    assert_eq!(rig.settle(), []);
    let status = rig.status(alloc_id(1));
    assert_eq!(status.status, ClientStatus::Refused);
    assert_eq!(status.description, "version 0 of its job has no group \"nope\" with tasks");
}

#[test]
fn a_shrunk_node_keeps_what_runs_and_refuses_only_what_is_new() {
    let mut rig = Rig::ready(service());
    rig.put(alloc_id(1), record());
    let run = rig.run_all().remove(0);
    let mut info = node();
    info.resources.total.cpu = 50;
    rig.apply(Input::Node(Arc::new(info)));
    rig.put(alloc_id(2), record());
    rig.settle();
    assert_eq!(rig.client(alloc_id(1)), ClientStatus::Running);
    assert_eq!(rig.client(alloc_id(2)), ClientStatus::Refused);
    rig.exit(&run, 1);
    rig.after(15);
    assert_eq!(starts(&rig.settle()).len(), 1, "a restart is no new start");
}

#[test]
fn a_waiting_successor_takes_only_what_its_predecessor_does_not_free() {
    let mut rig = Rig::ready(service());
    let mut big = record();
    big.ask.cpu = 800;
    rig.put(alloc_id(1), big.clone());
    rig.run_all();
    let mut successor = big.clone();
    successor.after = vec![alloc_id(1)];
    rig.put(alloc_id(1), stopped(&big));
    rig.put(alloc_id(2), successor);
    let mut other = record();
    other.ask.cpu = 200;
    rig.put(alloc_id(3), other);
    rig.settle();
    assert_eq!(rig.client(alloc_id(2)), ClientStatus::Pending);
    assert_ne!(rig.client(alloc_id(3)), ClientStatus::Refused);
}

#[test]
fn an_absent_record_stops_its_task_only_after_a_read_of_cluster() {
    let mut rig = Rig::ready(service());
    rig.put(alloc_id(1), record());
    let run = rig.run_all().remove(0);
    rig.settle();
    rig.remove(alloc_id(1));
    let steps = rig.pass();
    let [Step::ReadCluster { absences }] = steps[..] else { panic!("{steps:?}") };
    assert_eq!(rig.pass(), [], "nothing until it is answered");
    rig.apply(Input::ClusterIsOurs { absences: absences - 1 });
    assert_eq!(stops(&rig.pass()), [], "a read from before the absence proves nothing");
    rig.apply(Input::ClusterIsOurs { absences });
    assert_eq!(stops(&rig.pass()), std::slice::from_ref(&run));
    rig.exit(&run, 0);
    assert!(rig.pass().contains(&Step::Remove(alloc_id(1))), "gone and over: the folder goes");
}

#[test]
fn an_ended_allocations_folder_goes_only_after_a_read_of_cluster() {
    let mut rig = Rig::ready(service());
    rig.put(alloc_id(1), stopped(&record()));
    rig.settle();
    assert_eq!(rig.client(alloc_id(1)), ClientStatus::Complete);
    rig.remove(alloc_id(1));
    let steps = rig.pass();
    let [Step::ReadCluster { absences }] = steps[..] else { panic!("{steps:?}") };
    rig.apply(Input::ClusterIsOurs { absences });
    assert!(rig.pass().contains(&Step::Remove(alloc_id(1))));
}

#[test]
fn a_stop_is_not_undone_by_an_older_value() {
    let mut rig = Rig::ready(service());
    rig.put(alloc_id(1), record());
    let run = rig.run_all().remove(0);
    rig.put(alloc_id(1), stopped(&record()));
    rig.settle();
    rig.put(alloc_id(1), record());
    rig.exit(&run, 1);
    rig.after(60);
    rig.renew();
    assert_eq!(rig.settle(), []);
    assert_eq!(rig.client(alloc_id(1)), ClientStatus::Complete);
}

#[test]
fn another_cluster_is_touched_by_nothing_until_ours_is_back() {
    let mut rig = Rig::ready(service());
    rig.put(alloc_id(1), record());
    let run = rig.run_all().remove(0);
    rig.settle();
    rig.remove(alloc_id(1));
    rig.pass();
    rig.apply(Input::ClusterIsForeign);
    rig.put(alloc_id(2), record());
    let steps = rig.pass();
    assert_eq!((stops(&steps), starts(&steps)), (vec![], vec![]));
    assert!(rig.core.is_foreign());
    rig.exit(&run, 1);
    rig.after(15);
    assert_eq!(starts(&rig.pass()).len(), 1, "restarts go on");
    rig.entries.insert(alloc_id(1), Entry::Record(Arc::new(record())));
    // The list's answer carries the proof that `cluster` is ours again.
    rig.renew();
    let begun = starts(&rig.settle());
    assert_eq!(begun.iter().map(|r| r.alloc).collect::<Vec<_>>(), [alloc_id(2)]);
}

#[test]
fn an_opaque_record_leaves_its_tasks_alone() {
    let mut rig = Rig::ready(service());
    rig.put(alloc_id(1), record());
    let run = rig.run_all().remove(0);
    rig.apply(Input::Put(alloc_id(1), Entry::Opaque));
    rig.apply(Input::Put(alloc_id(2), Entry::Opaque));
    assert_eq!(rig.settle(), []);
    rig.exit(&run, 1);
    rig.after(15);
    let begun = starts(&rig.settle());
    assert_eq!(begun.iter().map(|r| (r.alloc, r.run)).collect::<Vec<_>>(), [(alloc_id(1), 2)]);
    assert!(rig.core.status(alloc_id(1)).is_none(), "nothing is said of what cannot be read");
}
