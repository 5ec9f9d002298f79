//! Rules about evaluations and the job's state.

use std::collections::{BTreeMap, BTreeSet};

use encamp_model::{
    Name,
    records::{Desired, EvalStatus, JobState, Want},
};

use super::{Rule, Run, Violation, violation};

pub(super) fn check(run: &Run<'_>, found: &mut Vec<Violation>) {
    for (id, (_, eval)) in &run.evals {
        let before = run.world.eval(*id);
        let was_pending = before.is_some_and(|e| e.status == EvalStatus::Pending && e.uid == eval.uid);
        if !was_pending || eval.status == EvalStatus::Pending || eval.outcome.is_none() {
            found.push(violation(Rule::Answer, format!("{id} becomes {:?}", eval.status)));
        }
    }
    if !run.evals.is_empty() && run.units.len() != 1 {
        found.push(violation(Rule::Alone, format!("answers in a run of {} units", run.units.len())));
    }
    let entry = run.world.job(run.job);
    let job = entry.and_then(|e| e.job.as_deref());
    let state = match &run.state {
        Some((_, state)) => state.as_ref(),
        None => entry.and_then(|e| e.state.as_deref()).map(|s| &s.value),
    };
    if let (Some((_, Some(state))), uid) = (&run.state, job.and_then(|j| j.uid)) {
        if Some(state.uid) != uid || state.wants.values().all(Vec::is_empty) {
            found.push(violation(Rule::State, "the state is another registration's, or says nothing"));
        }
        if run.world.eval(state.next).is_some() {
            found.push(violation(Rule::State, format!("{} is announced and was used", state.next)));
        }
    }
    if run.evals.values().any(|(_, eval)| eval.status != EvalStatus::Pending) {
        unmet(run, state, found);
    }
}

/// What is missing after the run, by group, against what the state says.
fn unmet(run: &Run<'_>, state: Option<&JobState>, found: &mut Vec<Violation>) {
    let entry = run.world.job(run.job);
    let current = entry.and_then(|e| e.job.as_deref());
    let uid = current.and_then(|j| j.uid);
    let wanted = run.records_after().filter(|(.., record)| record.desired == Desired::Run);
    let mut good: BTreeMap<&Name, BTreeSet<u32>> = BTreeMap::new();
    for (node, id, record) in wanted {
        let in_name = entry.is_some_and(|e| e.uids.contains(&record.uid)) || Some(record.uid) == uid;
        if !in_name {
            continue;
        }
        if Some(record.uid) != uid && run.ended(id) {
            continue;
        }
        if Some(record.uid) != uid || current.is_some_and(|j| j.stop) {
            found.push(violation(Rule::Unmet, format!("{id} of {} still runs", record.uid)));
        } else if run.stands(node, id, record) {
            good.entry(&record.group).or_default().insert(record.index);
        }
    }
    let Some(job) = current.filter(|j| !j.stop) else { return };
    let registration = uid.and_then(|uid| run.world.registration(uid));
    for group in &job.task_groups {
        let opaque = registration.into_iter().flat_map(|r| r.occupied.values());
        let opaque = opaque.filter(|o| o.group == group.name).map(|o| o.index);
        let mut good = good.remove(&group.name).unwrap_or_default();
        good.extend(opaque.filter(|index| (*index as usize) < group.count()));
        let noted = state.and_then(|s| s.wants.get(&group.name)).map_or(&[][..], |w| &w[..]);
        let noted: u64 = noted
            .iter()
            .map(|want| match want {
                Want::Room { count, .. } | Want::Time { count, .. } | Want::Floor { count, .. } => {
                    u64::from(*count)
                }
            })
            .sum();
        let good = good.len() as u64;
        if good + noted < group.count() as u64 {
            let detail = format!("{}: {good} of {} stand, {noted} are noted", group.name, group.count());
            found.push(violation(Rule::Unmet, detail));
        }
    }
}
