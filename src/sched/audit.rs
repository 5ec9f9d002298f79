//! The audit: what must hold in any World, whoever wrote it and whenever it is looked at.
//!
//! Like [`crate::check`] it is apart from the planner, and each rule is proved by a World that it rejects.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use encamp_model::{
    AllocId, JobUid, Key, Name, NodeId,
    job::JobType,
    records::{AllocRecord, ClientStatus, Desired, EvalStatus, Gate, Trigger},
};
use encamp_world::{AllocEntry, NodeEntry, World};

use crate::check::ledger::{Holders, capacity, exceeds, peak, port_clash};

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Law {
    /// No node is asked for more than it had when the last of it was placed.
    Room,
    /// No port is held twice on a node.
    Port,
    /// A name has one wanted allocation; an update's predecessor is told to stop.
    Name,
    /// An allocation's job version is stored.
    Version,
    /// An allocation and its successor name each other, and the one that was followed stops.
    Links,
    /// `after` names allocations of the same node, each awaited by at most one that is wanted.
    After,
    /// A stop has a reason, and only a stop has.
    Reason,
    /// At most one evaluation that people did not ask for is pending a job.
    Pending,
    /// An answered evaluation says what came of it, a pending one doesn't.
    Answer,
    /// An unmet want is noted for a registration that is there.
    State,
    /// Settled Worlds only: what was told to stop has ended, where the node can say so.
    Stopped,
    /// Settled Worlds only: nothing is pending.
    Quiet,
    /// Settled Worlds only: as many instances stand or are noted as unmet as the job declares.
    Count,
}

/// A law that a World breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub law: Law,
    /// Where and how.
    pub detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.law, self.detail)
    }
}

/// What is wrong with a World at any time.
pub fn audit(world: &World) -> Vec<Finding> {
    let mut found = Vec::new();
    for (id, node) in world.nodes() {
        rooms(id, node, &mut found);
    }
    allocs(world, &mut found);
    evals(world, &mut found);
    found
}

/// What is wrong with a World in which every loop and agent had the time it needs.
pub fn audit_settled(world: &World) -> Vec<Finding> {
    let mut found = audit(world);
    for alloc in world.allocs().filter(|a| a.record.desired == Desired::Stop && !ended(world, a.id)) {
        let ready =
            world.node(alloc.node).and_then(|n| n.state.as_ref()).is_some_and(|s| s.gate == Gate::Ready);
        if ready {
            found.push(finding(Law::Stopped, format!("{} was told to stop and has not ended", alloc.id)));
        }
    }
    for (id, eval) in world.evals().filter(|(_, e)| e.status == EvalStatus::Pending) {
        if !world.is_opaque(&Key::Job(eval.job.clone())) && !world.is_opaque(&Key::JobState(eval.job.clone()))
        {
            found.push(finding(Law::Quiet, format!("{id} of {} is pending", eval.job)));
        }
    }
    counts(world, &mut found);
    found
}

fn rooms(id: NodeId, node: &NodeEntry, found: &mut Vec<Finding>) {
    let Some(info) = node.info.as_deref() else { return };
    // One of unreadable status holds its room from then on; before, it may have ended, and others came.
    let known = node.allocs.values().filter(|a| !a.status_opaque);
    let held: Vec<_> = known.filter(|a| !a.said().is_terminal()).collect();
    // What was placed before the node said what it has now may be more than that; what came later may not.
    let later = held.iter().any(|a| a.record.created > info.modified);
    let earlier = held.iter().any(|a| a.record.created < info.modified);
    let judged = held.iter().filter(|a| !earlier || a.record.created > info.modified);
    let holders: Holders<'_> = judged.map(|a| (a.id, &a.record.value)).collect();
    let (asked, room) = (peak(&holders), capacity(info));
    if later && exceeds(asked, room) {
        found.push(finding(Law::Room, format!("{id} is asked for {asked:?} of {room:?}")));
    }
    if let Some((a, b, port)) = port_clash(&holders) {
        found.push(finding(Law::Port, format!("{a} and {b} hold {port} on {id}")));
    }
}

fn allocs(world: &World, found: &mut Vec<Finding>) {
    let mut named: BTreeMap<(JobUid, &Name, u32), AllocId> = BTreeMap::new();
    let mut awaited: BTreeSet<AllocId> = BTreeSet::new();
    for alloc in world.allocs() {
        let record: &AllocRecord = &alloc.record;
        let version = Key::JobVersion(record.uid, record.version);
        if world.mod_revision(&version) == 0 {
            found.push(finding(
                Law::Version,
                format!("{} is of version {}, which is gone", alloc.id, record.version),
            ));
        }
        if (record.desired == Desired::Stop) != record.reason.is_some() {
            found.push(finding(
                Law::Reason,
                format!("{} is {:?} for {:?}", alloc.id, record.desired, record.reason),
            ));
        }
        links(world, alloc.id, record, found);
        if record.desired == Desired::Stop {
            continue;
        }
        if let Some(other) = named.insert((record.uid, &record.group, record.index), alloc.id) {
            found.push(finding(
                Law::Name,
                format!("{} and {other} are both {}[{}]", alloc.id, record.group, record.index),
            ));
        }
        for waits_for in &record.after {
            let elsewhere = world.alloc(*waits_for).is_some_and(|other| other.node != alloc.node);
            if !awaited.insert(*waits_for) || elsewhere {
                found.push(finding(Law::After, format!("{} waits for {waits_for}", alloc.id)));
            }
        }
    }
}

fn links(world: &World, id: AllocId, record: &AllocRecord, found: &mut Vec<Finding>) {
    let name = |r: &AllocRecord| (r.uid, r.group.clone(), r.index);
    let wrong = |next: &AllocEntry| {
        next.record.previous != Some(id)
            || name(&next.record) != name(record)
            || record.desired == Desired::Run
    };
    if let Some(next) = record.next.and_then(|next| world.alloc(next)).filter(|next| wrong(next)) {
        found.push(finding(Law::Links, format!("{id} is followed by {}", next.id)));
    }
    let previous = record.previous.and_then(|previous| world.alloc(previous));
    if let Some(previous) = previous.filter(|previous| previous.record.next != Some(id)) {
        found.push(finding(Law::Links, format!("{id} follows {}, which does not say so", previous.id)));
    }
}

fn evals(world: &World, found: &mut Vec<Finding>) {
    let mut pending: BTreeSet<_> = BTreeSet::new();
    for (id, eval) in world.evals() {
        if (eval.status == EvalStatus::Pending) == eval.outcome.is_some() {
            found.push(finding(Law::Answer, format!("{id} is {:?}", eval.status)));
        }
        let asked = matches!(eval.trigger, Trigger::JobRegister | Trigger::JobDeregister | Trigger::JobEval);
        if eval.status == EvalStatus::Pending && !asked && !pending.insert(eval.job.clone()) {
            found.push(finding(Law::Pending, format!("{id} is not the only one of {}", eval.job)));
        }
    }
    for (id, entry) in world.jobs() {
        let Some(state) = entry.state.as_deref() else { continue };
        if !entry.uids.contains(&state.uid) && entry.job.as_ref().and_then(|j| j.uid) != Some(state.uid) {
            // Purged a moment ago: the planner has yet to answer for it.
            if entry.pending.is_empty() {
                found.push(finding(Law::State, format!("{id} notes wants of {}", state.uid)));
            }
        }
    }
}

fn counts(world: &World, found: &mut Vec<Finding>) {
    for (id, entry) in world.jobs() {
        let Some(job) = entry.job.as_deref() else { continue };
        let Some(uid) = job.uid else { continue };
        let registration = world.registration(uid);
        let standing = |group: &Name| {
            let allocs = registration.into_iter().flat_map(|r| r.allocs.values());
            let wanted = allocs.filter(|a| a.record.desired == Desired::Run && a.record.group == *group);
            let down =
                |node| world.node(node).and_then(|n| n.state.as_ref()).is_some_and(|s| s.gate == Gate::Down);
            let opaque = |a: &AllocEntry| world.is_opaque(&Key::AllocStatus(a.node, a.id));
            let stands = wanted.filter(|a| match a.said() {
                ClientStatus::Refused | ClientStatus::Lost => false,
                ClientStatus::Running if opaque(a) && job.kind == JobType::Batch => true,
                ClientStatus::Pending | ClientStatus::Running => !down(a.node),
                ClientStatus::Complete | ClientStatus::Failed => true,
            });
            stands.map(|a| a.record.index).collect::<BTreeSet<u32>>()
        };
        for group in job.task_groups.iter() {
            let noted = entry.state_of(uid).and_then(|s| s.wants.get(&group.name)).is_some();
            let declared = if job.stop { 0 } else { group.count() };
            let mut names = standing(&group.name);
            let opaque = registration.into_iter().flat_map(|r| r.occupied.values());
            names.extend(
                opaque.filter(|o| o.group == group.name && (o.index as usize) < declared).map(|o| o.index),
            );
            let stands = names.len();
            if stands > declared || (stands < declared && !noted) {
                found.push(finding(Law::Count, format!("{id}: {stands} of {declared} {} stand", group.name)));
            }
        }
    }
}

fn ended(world: &World, id: AllocId) -> bool {
    let said = world.alloc(id).and_then(|a| a.status.as_ref()).map(|s| s.status);
    !matches!(said, None | Some(ClientStatus::Pending | ClientStatus::Running))
}

fn finding(law: Law, detail: impl Into<String>) -> Finding {
    Finding { law, detail: detail.into() }
}
