//! Rules about allocations: where they may go, what they may take, what may be changed of them.

use std::collections::{BTreeMap, BTreeSet};

use encamp_model::{
    AllocId, Job, Key, NodeId,
    digest::group_digest,
    job::{JobType, TaskGroup},
    records::{AllocRecord, Ask, ClientStatus, Desired, Gate, StopReason},
};

use super::{
    Rule, Run, Violation, Written,
    ledger::{Holders, capacity, exceeds, peak, port_clash},
    nodes::lacks,
    violation,
};

pub(super) fn check(run: &Run<'_>, found: &mut Vec<Violation>) {
    let job = run.world.job(run.job).and_then(|e| e.job.as_deref()).map(|j| &j.value);
    for alloc in &run.allocs {
        match &alloc.before {
            None => placed(run, job, alloc, found),
            Some(before) => changed(run, job, alloc, before, found),
        }
    }
    names(run, job, found);
    rooms(run, found);
    if let Some(job) = job {
        job.task_groups.iter().for_each(|group| pace(run, job, group, found));
    }
}

impl Run<'_> {
    /// Every record of the World as it would be after the run.
    pub(super) fn records_after(&self) -> impl Iterator<Item = (NodeId, AllocId, &AllocRecord)> {
        let written: BTreeMap<AllocId, &AllocRecord> =
            self.allocs.iter().map(|a| (a.id, &a.record)).collect();
        let stored = self.world.allocs().map(|a| (a.node, a.id, &a.record.value));
        let kept = stored.filter(move |(_, id, _)| !written.contains_key(id));
        kept.chain(self.allocs.iter().map(|a| (a.node, a.id, &a.record)))
    }

    fn said(&self, id: AllocId) -> ClientStatus {
        let Some(alloc) = self.world.alloc(id) else { return ClientStatus::Pending };
        // What cannot be read may be anything that holds room.
        let unread = if self.is_unreadable(id) { ClientStatus::Running } else { ClientStatus::Pending };
        alloc.status.as_ref().map_or(unread, |s| s.status)
    }

    fn is_unreadable(&self, id: AllocId) -> bool {
        self.world.alloc(id).is_some_and(|a| self.world.is_opaque(&Key::AllocStatus(a.node, id)))
    }

    pub(super) fn ended(&self, id: AllocId) -> bool {
        !matches!(self.said(id), ClientStatus::Pending | ClientStatus::Running)
    }

    fn is_down(&self, node: NodeId) -> bool {
        self.world.node(node).and_then(|n| n.state.as_ref()).is_some_and(|s| s.gate == Gate::Down)
    }

    /// Is this wanted record one that its job has nothing against?
    pub(super) fn stands(&self, node: NodeId, id: AllocId, record: &AllocRecord) -> bool {
        if self.is_unreadable(id) {
            let declared = self.world.job(self.job).and_then(|e| e.job.as_deref());
            return !self.is_down(node) || declared.is_some_and(|j| j.kind == JobType::Batch);
        }
        match self.said(id) {
            ClientStatus::Refused | ClientStatus::Lost => false,
            ClientStatus::Pending | ClientStatus::Running if self.is_down(node) => false,
            _ => !self.outdated(record),
        }
    }

    /// Can a task see that its job changed since this record's version?
    fn outdated(&self, record: &AllocRecord) -> bool {
        let Some(job) = self.world.job(self.job).and_then(|e| e.job.as_deref()) else { return false };
        let Some(group) = job.group(&record.group) else { return true };
        let before = self.world.registration(record.uid).and_then(|r| r.versions.get(&record.version));
        let before = before.and_then(|v| v.groups.get(&record.group));
        record.version != job.version && before.is_some_and(|b| b.visible != group_digest(job, group).visible)
    }
}

fn placed(run: &Run<'_>, job: Option<&Job>, alloc: &Written, found: &mut Vec<Violation>) {
    let record = &alloc.record;
    let Some((job, group)) = job.and_then(|j| Some((j, j.group(&record.group)?))) else {
        found.push(violation(Rule::Version, format!("{} is of no job or group", alloc.id)));
        return;
    };
    if Some(record.uid) != job.uid || record.version != job.version || job.stop {
        found.push(violation(Rule::Version, format!("{} is of version {}", alloc.id, record.version)));
    }
    let fixed = record.desired == Desired::Run && record.reason.is_none() && record.next.is_none();
    if !fixed {
        found.push(violation(Rule::Reason, format!("{} is placed and told to stop", alloc.id)));
    }
    demand(run, group, alloc, found);
    let Some(node) = run.world.node(alloc.node) else {
        found.push(violation(Rule::Closed, format!("{} goes to a node that is not there", alloc.id)));
        return;
    };
    let open = node.state.as_ref().is_some_and(|s| s.gate == Gate::Ready && s.eligible)
        && node.intents.as_ref().is_none_or(|i| i.eligible)
        && node.opaque_allocs.is_empty()
        && node.opaque_keys == 0;
    if !open {
        found.push(violation(Rule::Closed, format!("{} goes to {}", alloc.id, alloc.node)));
    }
    let lack = node.info.as_deref().and_then(|info| Some((&info.name, lacks(job, group, info)?)));
    if let Some((name, lack)) = lack {
        found.push(violation(Rule::Feasible, format!("{} goes to {name}: {lack}", alloc.id)));
    }
    distinct(run, job, group, alloc, found);
    after(run, alloc, found);
    links(run, alloc, found);
}

fn demand(run: &Run<'_>, group: &TaskGroup, alloc: &Written, found: &mut Vec<Violation>) {
    let mut ask = Ask::default();
    let mut legacy = None;
    let mut ports: Vec<(&str, i64)> = Vec::new();
    let networks = group.tasks.iter().filter_map(|t| t.resources.as_ref()).flat_map(|r| &r.networks);
    for network in group.networks.iter().chain(networks) {
        ports.extend(network.reserved_ports.iter().map(|p| (&*p.label, p.value)));
        ports.extend(network.dynamic_ports.iter().map(|p| (&*p.label, 0)));
    }
    for task in &group.tasks {
        let named = task.resources.clone().unwrap_or_default();
        ask.cpu = ask.cpu.saturating_add(named.cpu.unwrap_or(100).max(0));
        ask.memory_mb = ask.memory_mb.saturating_add(named.memory_mb.unwrap_or(300).max(0));
        if let Some(disk) = named.disk_mb {
            legacy = Some(legacy.unwrap_or(0) + disk);
        }
    }
    ask.disk_mb = match &group.ephemeral_disk {
        Some(disk) => disk.size_mb.unwrap_or(300),
        None => legacy.unwrap_or(300),
    };
    if ask != alloc.record.ask {
        found.push(violation(
            Rule::Demand,
            format!("{} asks for {:?}, not {ask:?}", alloc.id, alloc.record.ask),
        ));
    }
    let info = run.world.node(alloc.node).and_then(|n| n.info.as_deref());
    let (first, last) = info.map_or((0, 0), |i| i.resources.port_range);
    let reserved = info.map_or(&[][..], |i| &i.resources.reserved_ports);
    let held = &alloc.record.ports;
    let right = |(label, value): &(&str, i64), port: &encamp_model::records::AssignedPort| {
        let chosen = *value != 0 && i64::from(port.value) == *value;
        let given = *value == 0 && (first..=last).contains(&port.value);
        port.label == **label && (chosen || given) && !reserved.contains(&port.value)
    };
    let all = ports.len() == held.len() && ports.iter().zip(held).all(|(wanted, port)| right(wanted, port));
    let values: BTreeSet<u16> = held.iter().map(|p| p.value).collect();
    if !all || values.len() != held.len() {
        found.push(violation(Rule::Port, format!("{} holds {held:?} for {ports:?}", alloc.id)));
    }
}

fn distinct(run: &Run<'_>, job: &Job, group: &TaskGroup, alloc: &Written, found: &mut Vec<Violation>) {
    let asks = |constraints: &[encamp_model::job::Constraint]| {
        constraints.iter().any(|c| c.operand == "distinct_hosts" && c.r_target != "false")
    };
    let (of_job, of_group) = (asks(&job.constraints), asks(&group.constraints));
    if !of_job && !of_group {
        return;
    }
    let beside = run.records_after().filter(|(node, id, record)| {
        *node == alloc.node
            && *id != alloc.id
            && record.uid == alloc.record.uid
            && (of_job || record.group == alloc.record.group)
            && !run.ended(*id)
            && !alloc.record.after.contains(id)
    });
    for (_, id, _) in beside {
        found.push(violation(Rule::Distinct, format!("{} and {id} share {}", alloc.id, alloc.node)));
    }
}

/// `after` is what the unit stops here under the same name, with all that it still waits for, and nothing else.
fn after(run: &Run<'_>, alloc: &Written, found: &mut Vec<Violation>) {
    let record = &alloc.record;
    if record.after.is_empty() {
        return;
    }
    let named: BTreeSet<AllocId> = record.after.iter().copied().collect();
    let stopped = run.allocs.iter().find(|other| {
        other.unit == alloc.unit
            && other.node == alloc.node
            && other.record.desired == Desired::Stop
            && other.before.as_ref().is_some_and(|b| b.desired == Desired::Run)
            && named.contains(&other.id)
    });
    let whole = stopped.is_some_and(|stopped| {
        let waits = stopped.record.after.iter().copied();
        let waits =
            waits.filter(|id| run.world.alloc(*id).is_some_and(|a| a.node == alloc.node) && !run.ended(*id));
        waits.chain([stopped.id]).collect::<BTreeSet<_>>() == named
    });
    let others = run.records_after().filter(|(_, id, other)| {
        *id != alloc.id && other.desired == Desired::Run && other.after.iter().any(|a| named.contains(a))
    });
    if !whole || others.count() > 0 || named.len() != record.after.len() {
        found.push(violation(Rule::After, format!("{} waits for {:?}", alloc.id, record.after)));
    }
}

fn links(run: &Run<'_>, alloc: &Written, found: &mut Vec<Violation>) {
    let Some(previous) = alloc.record.previous else { return };
    let old = run.allocs.iter().find(|other| other.id == previous && other.unit == alloc.unit);
    let same = old.is_some_and(|old| {
        old.record.desired == Desired::Stop
            && old.record.next == Some(alloc.id)
            && (old.record.uid, &old.record.group, old.record.index)
                == (alloc.record.uid, &alloc.record.group, alloc.record.index)
    });
    if !same {
        found.push(violation(Rule::Links, format!("{} follows {previous}, which does not say so", alloc.id)));
    }
}

fn changed(
    run: &Run<'_>,
    job: Option<&Job>,
    alloc: &Written,
    before: &AllocRecord,
    found: &mut Vec<Violation>,
) {
    let after = &alloc.record;
    if before.desired == Desired::Stop {
        found.push(violation(Rule::Resurrected, format!("{} was told to stop before", alloc.id)));
    }
    let told = AllocRecord {
        desired: after.desired,
        reason: after.reason,
        next: after.next,
        version: after.version,
        ..before.clone()
    };
    if told != *after {
        found.push(violation(Rule::Fixed, format!("{} changes what is fixed", alloc.id)));
    }
    if after.desired == Desired::Run {
        let current = job.is_some_and(|j| Some(after.uid) == j.uid && after.version == j.version);
        if !current
            || run.outdated(before)
            || run.ended(alloc.id)
            || after.reason.is_some()
            || after.next != before.next
        {
            found.push(violation(Rule::Fixed, format!("{} is rewritten, which a task can see", alloc.id)));
        }
        return;
    }
    if after.version != before.version {
        found.push(violation(Rule::Fixed, format!("{} is stopped and changes its version", alloc.id)));
    }
    if !reason_holds(run, job, alloc, before) {
        found.push(violation(Rule::Reason, format!("{} is stopped for {:?}", alloc.id, after.reason)));
    }
    let replaced = after.next != before.next;
    let there =
        |next| run.allocs.iter().any(|o| Some(o.id) == next && o.unit == alloc.unit && o.before.is_none());
    if replaced && !there(after.next) {
        found.push(violation(
            Rule::Links,
            format!("{} names a successor that its unit does not place", alloc.id),
        ));
    }
}

fn reason_holds(run: &Run<'_>, job: Option<&Job>, alloc: &Written, before: &AllocRecord) -> bool {
    let current = job.filter(|j| j.uid == Some(before.uid));
    let group = current.and_then(|j| j.group(&before.group));
    let replaced = alloc.record.next.is_some();
    match alloc.record.reason {
        None => false,
        Some(StopReason::JobPurged) => current.is_none(),
        Some(StopReason::JobStopped) => current.is_some_and(|j| j.stop),
        Some(StopReason::NotNeeded) => {
            let new = |id| run.allocs.iter().any(|w| w.id == id && w.before.is_none());
            let twins = run.records_after().filter(|(_, id, r)| {
                !new(*id)
                    && r.desired == Desired::Run
                    && (r.uid, &r.group, r.index) == (before.uid, &before.group, before.index)
            });
            current.is_some()
                && (group.is_none_or(|g| before.index as usize >= g.count()) || twins.count() > 0)
        }
        Some(StopReason::Updated | StopReason::Constraint) if run.is_unreadable(alloc.id) => false,
        Some(StopReason::Updated) => replaced && group.is_some() && run.outdated(before),
        Some(StopReason::Constraint) => {
            let info = run.world.node(alloc.node).and_then(|n| n.info.as_deref());
            let lacking = current.zip(group).zip(info).is_some_and(|((j, g), i)| lacks(j, g, i).is_some());
            replaced && lacking
        }
        Some(StopReason::NodeDown) => {
            let done = run.is_unreadable(alloc.id) && current.is_some_and(|j| j.kind == JobType::Batch);
            replaced && run.is_down(alloc.node) && !run.ended(alloc.id) && !done
        }
        Some(StopReason::Refused) => replaced && run.said(alloc.id) == ClientStatus::Refused,
        Some(StopReason::Rescheduled) => {
            let pending = run.world.job(run.job).into_iter().flat_map(|e| &e.pending);
            let forced = pending.filter_map(|id| run.world.eval(*id)).any(|e| e.force_reschedule);
            replaced && forced && run.said(alloc.id) == ClientStatus::Failed
        }
    }
}

fn names(run: &Run<'_>, job: Option<&Job>, found: &mut Vec<Violation>) {
    let mut named: BTreeMap<_, AllocId> = BTreeMap::new();
    let opaque: BTreeSet<_> = run.world.registrations().flat_map(|(_, r)| r.occupied.values()).collect();
    let opaque: BTreeSet<_> = opaque.iter().map(|o| (o.uid, &o.group, o.index)).collect();
    for (_, id, record) in run.records_after().filter(|(.., r)| r.desired == Desired::Run) {
        let name = (record.uid, &record.group, record.index);
        let new = run.allocs.iter().any(|a| a.id == id && a.before.is_none());
        if let Some(other) = named.insert(name, id) {
            found.push(violation(
                Rule::Name,
                format!("{id} and {other} are both {}[{}]", record.group, record.index),
            ));
        }
        // One that follows a readable record keeps a name that was shared before.
        if new && record.previous.is_none() && opaque.contains(&name) {
            found.push(violation(Rule::Name, format!("{id} takes the name of a record that cannot be read")));
        }
        let beyond =
            job.and_then(|j| j.group(&record.group)).is_some_and(|g| record.index as usize >= g.count());
        if new && beyond {
            found.push(violation(Rule::Index, format!("{id} is {}[{}]", record.group, record.index)));
        }
    }
}

fn rooms(run: &Run<'_>, found: &mut Vec<Violation>) {
    let touched: BTreeSet<NodeId> =
        run.allocs.iter().filter(|a| a.before.is_none()).map(|a| a.node).collect();
    for node in touched {
        let Some(info) = run.world.node(node).and_then(|n| n.info.as_deref()) else { continue };
        let holders: Holders<'_> = run
            .records_after()
            .filter(|(at, id, _)| *at == node && !run.ended(*id))
            .map(|(_, id, record)| (id, record))
            .collect();
        let before: Holders<'_> = holders
            .iter()
            .filter(|(id, _)| run.world.alloc(**id).is_some())
            .map(|(id, r)| (*id, *r))
            .collect();
        // A node may have shrunk under what it runs; then nothing may make it worse.
        let room = capacity(info);
        let (was, is) = (peak(&before), peak(&holders));
        if exceeds(is, room) && exceeds(is, was) {
            found.push(violation(Rule::Room, format!("{}: {is:?} of {room:?}", info.name)));
        }
        if let Some((a, b, port)) = port_clash(&holders) {
            let new = |id| run.allocs.iter().any(|w| w.id == id && w.before.is_none());
            if new(a) || new(b) {
                found.push(violation(Rule::Port, format!("{a} and {b} hold {port} on {}", info.name)));
            }
        }
    }
}

/// The floor of what runs, and the distance of two batches.
fn pace(run: &Run<'_>, job: &Job, group: &TaskGroup, found: &mut Vec<Violation>) {
    let Some(update) = group.update.as_ref().or(job.update.as_ref()) else { return };
    let parallel = usize::try_from(update.max_parallel.unwrap_or(0)).unwrap_or(0);
    if job.kind == JobType::Batch || parallel == 0 {
        return;
    }
    let ours = |record: &AllocRecord| Some(record.uid) == job.uid && record.group == group.name;
    let runs = run.world.allocs().filter(|a| {
        ours(&a.record)
            && a.record.desired == Desired::Run
            && (a.record.index as usize) < group.count()
            && run.said(a.id) == ClientStatus::Running
            && !run.is_down(a.node)
    });
    let runs: BTreeSet<AllocId> = runs.map(|a| a.id).collect();
    let stopped = run.allocs.iter().filter(|a| {
        runs.contains(&a.id) && matches!(a.record.reason, Some(StopReason::Updated | StopReason::Constraint))
    });
    let stopped = stopped.count();
    if stopped == 0 {
        return;
    }
    if runs.len().saturating_sub(stopped) < group.count().saturating_sub(parallel) {
        let detail =
            format!("{}: {stopped} of {} running stop, {parallel} at a time", group.name, runs.len());
        found.push(violation(Rule::Floor, detail));
    }
    let state = run.world.job(run.job).and_then(|e| e.state.as_deref()).filter(|s| Some(s.uid) == job.uid);
    let last = state.and_then(|s| s.batches.get(&group.name)).copied();
    let stagger = u64::try_from(update.stagger.unwrap_or(30_000_000_000)).unwrap_or(0);
    let stagger = std::time::Duration::from_nanos(stagger);
    // One that began further ahead than a whole pause was noted by another clock.
    if last.is_some_and(|last| run.now < last + stagger && last <= run.now + stagger) {
        found.push(violation(Rule::Stagger, format!("{}: a batch began at {last:?}", group.name)));
    }
}
