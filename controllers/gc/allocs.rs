//! Allocations that ended and hold no name, and statuses without a record.
//!
//! An allocation that ended is what tells the planner that nothing more is to be done under its name: a failed one is
//! kept, a complete one of a batch job is done. It is garbage only once the record itself says that it is over (told
//! to stop, or succeeded), or its declaration is gone. All of that is compared: a record told to stop never runs again,
//! a status that is terminal stays so, and a registration that was purged never comes back under its uid.

use encamp_model::{AllocId, Key, NodeId, Timestamp, Unit, records::Desired};
use encamp_world::{AllocEntry, World, control::Outcome};

use crate::{Config, is_nameless_job, once_due, rests_on, take};

pub(crate) fn judge(world: &World, config: &Config, now: Timestamp, node: NodeId, id: AllocId) -> Outcome {
    let Some(entry) = world.node(node).and_then(|n| n.allocs.get(&id)) else {
        let mut outcome = Outcome::nothing();
        outcome.units.extend(orphan(world, node, id));
        return outcome;
    };
    let Some(status) = entry.status.as_ref().filter(|s| s.status.is_terminal()) else {
        return Outcome::nothing();
    };
    let Some(unit) = removal(world, entry) else { return Outcome::nothing() };
    once_due(status.value.modified + config.alloc_age, now, || vec![unit])
}

/// Record and status together, if the allocation holds no name any more. That it has ended is for the caller to know.
pub(crate) fn removal(world: &World, entry: &AllocEntry) -> Option<Unit> {
    let mut unit = Unit::new();
    take(&mut unit, world, Key::Alloc(entry.node, entry.id));
    take(&mut unit, world, Key::AllocStatus(entry.node, entry.id));
    if entry.record.desired == Desired::Stop || entry.record.next.is_some() {
        return Some(unit);
    }
    let named = world.registration(entry.record.uid).and_then(|r| r.job.as_ref());
    let name = named.or(entry.status.as_ref().map(|s| &s.job))?;
    let key = Key::Job(name.clone());
    if is_nameless_job(world, name) {
        return None;
    }
    let job = world.job(name).and_then(|entry| entry.job.as_deref());
    // Of a declared job the planner says what is over, a group that was removed included; of any other, this does.
    let declared = job.is_some_and(|j| j.uid == Some(entry.record.uid));
    rests_on(&mut unit, world, key);
    (!declared).then_some(unit)
}

/// A status whose record is gone. An agent writes a status only while its record exists, so that it stays garbage. A
/// record that cannot be read is there: its status is no orphan.
pub(crate) fn orphan(world: &World, node: NodeId, id: AllocId) -> Option<Unit> {
    let (record, status) = (Key::Alloc(node, id), Key::AllocStatus(node, id));
    if world.mod_revision(&record) != 0 || world.mod_revision(&status) == 0 {
        return None;
    }
    let mut unit = Unit::new();
    take(&mut unit, world, status);
    rests_on(&mut unit, world, record);
    Some(unit)
}
