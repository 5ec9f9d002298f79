//! Old versions of jobs and their sources, each version in a unit of its own.
//!
//! A version goes once it is neither current, nor among the newest few, nor named by any allocation record of the World
//! that is looked at; those of a purged registration go once it has no allocation at all, since they are what tells
//! its name. The unit compares the version and the declaration, and that is enough against a placement of this very
//! version on its way:
//!
//! - To place a current version, the planner compares the declaration that says so. It is the same here and there, and
//!   this version is not its current one, so that no such placement lands before the unit (nor after it: version
//!   numbers only go up, and a new registration has a new uid).
//! - An older version is placed only as successor of a record of that version, which the placement compares to exist.
//!   This World has none, and by the first point none can have come since.
//!
//! An allocation record that cannot be read may name any version: while there is one whose registration cannot be told
//! either, no version goes.

use std::collections::BTreeSet;

use encamp_model::{Job, JobId, JobUid, Key, Unit};
use encamp_world::{Registration, Stored, World, control::Outcome};

use crate::{Config, any_nameless_alloc, is_nameless_job, rests_on, take};

pub(crate) fn judge(world: &World, config: &Config, uid: JobUid) -> Outcome {
    let mut outcome = Outcome::nothing();
    let Some(registration) = world.registration(uid) else { return outcome };
    outcome.units.extend(lone_sources(world, uid, registration));
    let Some(name) = &registration.job else { return outcome };
    let key = Key::Job(name.clone());
    if is_nameless_job(world, name) || !registration.occupied.is_empty() || any_nameless_alloc(world) {
        return outcome;
    }
    for version in old_versions(config, registration, current(world, name, uid)) {
        let mut unit = Unit::new();
        take(&mut unit, world, Key::JobVersion(uid, version));
        take(&mut unit, world, Key::JobSource(uid, version));
        rests_on(&mut unit, world, key.clone());
        outcome.units.push(unit);
    }
    outcome
}

/// The declaration, if it is this registration's.
fn current<'a>(world: &'a World, name: &JobId, uid: JobUid) -> Option<&'a Stored<Job>> {
    world.job(name)?.job.as_deref().filter(|job| job.uid == Some(uid))
}

fn old_versions(config: &Config, registration: &Registration, job: Option<&Stored<Job>>) -> Vec<u64> {
    let versions = &registration.versions;
    let Some(job) = job else {
        return if registration.allocs.is_empty() { versions.keys().copied().collect() } else { Vec::new() };
    };
    if versions.len() <= config.versions_kept {
        return Vec::new();
    }
    let named: BTreeSet<u64> = registration.allocs.values().map(|a| a.record.version).collect();
    let beyond = versions.keys().rev().skip(config.versions_kept).copied();
    beyond.filter(|version| *version != job.version && !named.contains(version)).collect()
}

/// Sources whose version is gone: both are written in one unit, and a version is written once.
fn lone_sources(world: &World, uid: JobUid, registration: &Registration) -> Vec<Unit> {
    let lone = registration.sources.keys().filter(|v| world.mod_revision(&Key::JobVersion(uid, **v)) == 0);
    lone.map(|version| {
        let mut unit = Unit::new();
        take(&mut unit, world, Key::JobSource(uid, *version));
        rests_on(&mut unit, world, Key::JobVersion(uid, *version));
        unit
    })
    .collect()
}
