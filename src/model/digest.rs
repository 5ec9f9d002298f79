//! What a change of a job means for its running allocations, as three hashes a group.

use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

use crate::job::{Job, TaskGroup};

/// The three ways in which two versions of a group can differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GroupDigest {
    /// What a running task can see (driver, config, env, meta, resources, ports): another one replaces.
    pub visible: u64,
    /// What only the agent reads (restart policy, kill timeout and signal): another one is written in place.
    pub policy: u64,
    /// Constraints and datacenters: another one is checked against the node that the allocation is on.
    pub place: u64,
}

/// The digest of one group of a job. The count is in none of them.
pub fn group_digest(job: &Job, group: &TaskGroup) -> GroupDigest {
    let tasks = &group.tasks;
    let visible: Vec<_> = tasks
        .iter()
        .map(|t| {
            (&t.name, &t.driver, &t.user, &t.config, &t.env, &t.meta, &t.resources, t.leader, &t.log_config)
        })
        .collect();
    let policy: Vec<_> = tasks.iter().map(|t| (&t.restart_policy, t.kill_timeout, &t.kill_signal)).collect();
    let place: Vec<_> = tasks.iter().map(|t| &t.constraints).collect();
    GroupDigest {
        visible: hash(&(
            &job.name,
            &job.region,
            &job.meta,
            &group.meta,
            &group.networks,
            &group.ephemeral_disk,
            visible,
        )),
        policy: hash(&(job.kind, &group.restart_policy, policy)),
        place: hash(&(&job.datacenters, &job.constraints, &group.constraints, place)),
    }
}

/// A 64-bit hash of a value's JSON, the same in every process.
pub fn hash(value: &impl Serialize) -> u64 {
    // The types hashed here have string keys only, so that serialising them cannot fail.
    xxh3_64(&serde_json::to_vec(value).expect("model types serialise"))
}
