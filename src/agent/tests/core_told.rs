//! What etcd holds of our statuses, when our own memory is gone.

use std::{collections::BTreeMap, sync::Arc};

use encamp_model::{
    JobId, Name, Timestamp,
    records::{AllocStatus, Ask, ClientStatus, TaskPhase, TaskState},
};

use super::{
    kit::{alloc_id, record, service, uid},
    rig::{Rig, starts, stops},
};
use crate::core::{Entry, Input, RunId};

fn told(status: ClientStatus, tasks: &[(&str, TaskState)]) -> Arc<AllocStatus> {
    Arc::new(AllocStatus {
        uid: uid(),
        name: "web.g[0]".to_owned(),
        job: JobId::new("default", "web"),
        version: 0,
        status,
        description: "as it was told".to_owned(),
        tasks: tasks.iter().map(|(name, state)| (Name::from(*name), state.clone())).collect(),
        modified: Timestamp::from_secs(7),
    })
}

/// An agent that registers with these statuses in etcd, and this record.
fn with_told(told: Arc<AllocStatus>) -> Rig {
    let mut rig = Rig::new();
    rig.entries.insert(alloc_id(1), Entry::Record(Arc::new(record())));
    rig.apply(Input::Told(BTreeMap::from([(alloc_id(1), told)])));
    rig.renew();
    rig
}

#[test]
fn what_was_told_to_have_ended_is_not_started_again() {
    for status in [ClientStatus::Complete, ClientStatus::Failed, ClientStatus::Refused] {
        let mut rig = with_told(told(status, &[]));
        assert_eq!(rig.settle(), [], "{status:?}");
        let said = rig.status(alloc_id(1));
        assert_eq!((said.status, &*said.description), (status, "as it was told"));
        // Nor with the state that is saved of it.
        let saved = BTreeMap::from([(alloc_id(1), rig.core.state(alloc_id(1)).expect("here").clone())]);
        let mut next = Rig::with_saved(saved, "boot");
        next.entries.insert(alloc_id(1), Entry::Record(Arc::new(record())));
        next.renew();
        assert_eq!(next.settle(), [], "{status:?}");
    }
}

#[test]
fn leftovers_of_what_was_told_to_have_ended_are_stopped_before_anything_starts() {
    let mut rig = with_told(told(ClientStatus::Failed, &[]));
    rig.core.reconstruct(RunId { alloc: alloc_id(1), task: Name::from("t"), run: 3 });
    rig.entries.insert(alloc_id(2), Entry::Record(Arc::new(record())));
    let steps = rig.settle();
    let stopped = stops(&steps);
    assert_eq!((stopped.len(), starts(&steps)), (1, vec![]), "{steps:?}");
    rig.exit(&stopped[0], 0);
    assert_eq!(starts(&rig.settle()).len(), 1, "the other one");
    assert_eq!(rig.client(alloc_id(1)), ClientStatus::Failed);
}

#[test]
fn what_was_told_to_run_is_not_refused_and_goes_on_from_its_events() {
    let ran = TaskState { state: TaskPhase::Running, restarts: 4, ..TaskState::default() };
    let mut rig = with_told(told(ClientStatus::Running, &[("t", ran)]));
    let mut big = record();
    big.ask = Ask { cpu: 1_000_000, ..big.ask };
    rig.entries.insert(alloc_id(1), Entry::Record(Arc::new(big)));
    rig.settle();
    let said = rig.status(alloc_id(1));
    assert_eq!((said.status, said.tasks["t"].restarts), (ClientStatus::Pending, 4));
}

#[test]
fn anothers_status_and_that_of_a_record_which_cannot_be_read_yet() {
    let mut other = told(ClientStatus::Failed, &[]);
    Arc::make_mut(&mut other).uid = encamp_model::JobUid::from_bits(78);
    assert_eq!(starts(&with_told(other).settle()).len(), 1);

    let mut rig = with_told(told(ClientStatus::Complete, &[]));
    rig.entries.insert(alloc_id(1), Entry::Opaque);
    rig.settle();
    rig.put(alloc_id(1), record());
    assert_eq!(rig.settle(), []);
    assert_eq!(rig.client(alloc_id(1)), ClientStatus::Complete);
}

#[test]
fn a_list_of_another_cluster_makes_nothing_of_it() {
    let mut rig = Rig::ready(service());
    rig.put(alloc_id(1), record());
    rig.run_all();
    rig.apply(Input::Told(BTreeMap::from([(alloc_id(1), told(ClientStatus::Failed, &[]))])));
    rig.apply(Input::ClusterIsForeign);
    rig.pass();
    assert_eq!(rig.client(alloc_id(1)), ClientStatus::Running);
}
