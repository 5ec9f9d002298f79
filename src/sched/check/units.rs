//! Rules about units as such: size, guards, keys.

use std::collections::BTreeSet;

use encamp_model::{
    Guard, Key, Unit,
    records::{Desired, StopReason},
};

use super::{Rule, Run, Violation, Written, violation};

pub(super) fn check(run: &Run<'_>, found: &mut Vec<Violation>) {
    let mut keys = BTreeSet::new();
    for (nth, unit) in run.units.iter().enumerate() {
        let bytes = unit.value_bytes();
        if unit.writes.len() > Unit::MAX_OPS || unit.guards.len() > Unit::MAX_OPS || bytes > Unit::MAX_BYTES {
            found.push(violation(
                Rule::Size,
                format!(
                    "unit {nth}: {} writes, {} guards, {bytes} bytes",
                    unit.writes.len(),
                    unit.guards.len()
                ),
            ));
        }
        for write in &unit.writes {
            if !keys.insert(write.key()) {
                found.push(violation(Rule::KeyTwice, format!("unit {nth}: {:?}", write.key())));
            }
        }
        let new = run.allocs.iter().filter(|a| a.unit == nth && a.before.is_none());
        let new: BTreeSet<_> = new.map(|a| (a.node, a.id)).collect();
        let placed: BTreeSet<_> = unit.placed.iter().map(|p| (p.node, p.alloc)).collect();
        if new != placed || unit.placed.len() != placed.len() {
            found.push(violation(Rule::Placed, format!("unit {nth} places {placed:?} and writes {new:?}")));
        }
    }
    for alloc in &run.allocs {
        guards(run, alloc, found);
    }
}

fn guards(run: &Run<'_>, alloc: &Written, found: &mut Vec<Violation>) {
    let unit = &run.units[alloc.unit];
    let unchanged = |key: Key| {
        let at = run.world.mod_revision(&key);
        unit.guards.contains(&Guard::Unchanged(key, at))
    };
    let mut missing = |rule, what: &str| {
        found.push(violation(rule, format!("unit {}: {} does not rest on {what}", alloc.unit, alloc.id)));
    };
    // Of a purged job that is its absence, or the revision of another registration.
    if !unchanged(Key::Job(run.job.clone())) {
        missing(Rule::JobGuard, "its job");
    }
    if alloc.before.is_none() {
        if !unchanged(Key::NodeState(alloc.node)) {
            missing(Rule::GateGuard, "the gate of its node");
        }
        if !unchanged(Key::NodeIntents(alloc.node)) {
            missing(Rule::GateGuard, "the intents of its node");
        }
        return;
    }
    if !unit.guards.contains(&Guard::Exists(Key::Alloc(alloc.node, alloc.id))) {
        missing(Rule::ExistsGuard, "being there");
    }
    let lost = matches!(alloc.record.reason, Some(StopReason::NodeDown | StopReason::Constraint));
    if alloc.record.desired == Desired::Stop && lost && !unchanged(Key::NodeState(alloc.node)) {
        missing(Rule::LostGuard, "the gate of the node that it is replaced for");
    }
}
