//! What the HTTP API answers, as far as `ctl` reads it. Tolerant on purpose: a field may be absent or null, unknown
//! ones are ignored, so that one version of `ctl` talks to many of the server.

use std::collections::BTreeMap;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

/// Decodes an answer; null counts as absent everywhere.
///
/// # Errors
/// With the path and the type that differ.
pub(crate) fn decode<T: DeserializeOwned>(mut value: Value) -> Result<T, serde_json::Error> {
    drop_nulls(&mut value);
    serde_json::from_value(value)
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

macro_rules! wire {
    ($($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $kind:ty,)* })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(rename_all = "PascalCase", default)]
        #[allow(missing_docs, reason = "the fields are the API's own, under its names")]
        pub(crate) struct $name { $($(#[$fdoc])* pub(crate) $field: $kind,)* }
    )+};
}

wire! {
    /// A job in a list.
    JobStub {
        #[serde(rename = "ID")] id: String,
        namespace: String,
        #[serde(rename = "Type")] kind: String,
        priority: i64,
        status: String,
        stop: bool,
        submit_time: i64,
        job_summary: JobSummary,
    }
    /// Allocations by state for each group.
    JobSummary { summary: BTreeMap<String, GroupSummary>, }
    /// The states of one group's allocations.
    GroupSummary { queued: i64, starting: i64, running: i64, failed: i64, complete: i64, lost: i64, unknown: i64, }
    /// A job by itself.
    Job {
        #[serde(rename = "ID")] id: String,
        name: String,
        namespace: String,
        #[serde(rename = "Type")] kind: String,
        priority: i64,
        datacenters: Vec<String>,
        status: String,
        stop: bool,
        version: u64,
        submit_time: i64,
        periodic: Option<Value>,
        parameterized_job: Option<Value>,
        task_groups: Vec<TaskGroup>,
    }
    /// A group of a job.
    TaskGroup { name: String, count: i64, tasks: Vec<Task>, }
    /// A task of a group.
    Task { name: String, }
    /// An evaluation, alone or in a list.
    Evaluation {
        #[serde(rename = "ID")] id: String,
        #[serde(rename = "JobID")] job_id: String,
        #[serde(rename = "Type")] kind: String,
        priority: i64,
        triggered_by: String,
        #[serde(rename = "NodeID")] node_id: String,
        status: String,
        status_description: String,
        wait: i64,
        previous_eval: String,
        next_eval: String,
        blocked_eval: String,
        #[serde(rename = "FailedTGAllocs")] failed_tg_allocs: BTreeMap<String, Metric>,
        queued_allocations: BTreeMap<String, i64>,
        create_index: u64,
        modify_index: u64,
        create_time: i64,
    }
    /// Why a group could not be placed.
    Metric {
        nodes_evaluated: i64,
        nodes_filtered: i64,
        nodes_exhausted: i64,
        nodes_available: BTreeMap<String, i64>,
        class_filtered: BTreeMap<String, i64>,
        constraint_filtered: BTreeMap<String, i64>,
        class_exhausted: BTreeMap<String, i64>,
        dimension_exhausted: BTreeMap<String, i64>,
        coalesced_failures: i64,
        /// Ours: the smallest amount that was missing, by dimension.
        shortfall: BTreeMap<String, i64>,
        /// Ours: some nodes by name.
        nodes: Vec<NodeReason>,
    }
    /// Why one node was refused.
    NodeReason { node: String, check: String, seen: String, wanted: String, }
    /// An allocation, alone or in a list.
    Allocation {
        #[serde(rename = "ID")] id: String,
        name: String,
        namespace: String,
        #[serde(rename = "EvalID")] eval_id: String,
        #[serde(rename = "NodeID")] node_id: String,
        node_name: String,
        #[serde(rename = "JobID")] job_id: String,
        job_version: u64,
        task_group: String,
        desired_status: String,
        desired_description: String,
        client_status: String,
        client_description: String,
        task_states: BTreeMap<String, TaskState>,
        allocated_resources: AllocatedResources,
        job: Option<Job>,
        create_index: u64,
        create_time: i64,
        modify_time: i64,
    }
    /// What an allocation takes on its node.
    AllocatedResources { tasks: BTreeMap<String, AllocatedTask>, shared: AllocatedShared, }
    /// What one task takes.
    AllocatedTask { cpu: AllocatedCpu, memory: AllocatedMemory, }
    /// CPU of a task.
    AllocatedCpu { cpu_shares: i64, }
    /// Memory of a task.
    AllocatedMemory { #[serde(rename = "MemoryMB")] memory_mb: i64, }
    /// What the tasks share.
    AllocatedShared { #[serde(rename = "DiskMB")] disk_mb: i64, ports: Vec<AllocatedPort>, }
    /// A port on the node.
    AllocatedPort { label: String, value: u16, #[serde(rename = "HostIP")] host_ip: String, }
    /// How a task stands.
    TaskState { state: String, failed: bool, restarts: u64, started_at: String, finished_at: String, events: Vec<TaskEvent>, }
    /// What happened to a task.
    TaskEvent { #[serde(rename = "Type")] kind: String, time: i64, display_message: String, message: String, }
    /// A node, alone or in a list.
    Node {
        #[serde(rename = "ID")] id: String,
        name: String,
        datacenter: String,
        node_class: String,
        drain: bool,
        scheduling_eligibility: String,
        status: String,
        status_description: String,
        address: String,
        #[serde(rename = "HTTPAddr")] http_addr: String,
        version: String,
        drivers: BTreeMap<String, Driver>,
        resources: Resources,
        reserved: Resources,
    }
    /// A driver of a node.
    Driver { detected: bool, healthy: bool, }
    /// Amounts of a node.
    Resources {
        #[serde(rename = "CPU")] cpu: i64,
        #[serde(rename = "MemoryMB")] memory_mb: i64,
        #[serde(rename = "DiskMB")] disk_mb: i64,
    }
    /// The answer to a registration or a stop.
    Registered {
        #[serde(rename = "EvalID")] eval_id: String,
        warnings: String,
    }
}

/// What an agent says of itself: the one thing that is asked.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AgentSelf {
    /// Numbers and names by subsystem, all texts.
    pub(crate) stats: BTreeMap<String, BTreeMap<String, Value>>,
}

impl AgentSelf {
    /// The id of the node that this agent is.
    pub(crate) fn node_id(&self) -> Option<&str> {
        self.stats.get("client")?.get("node_id")?.as_str().filter(|id| !id.is_empty())
    }
}

impl Allocation {
    /// True when it will never run (again).
    pub(crate) fn is_terminal(&self) -> bool {
        matches!(self.client_status.as_str(), "complete" | "failed" | "lost")
    }

    /// CPU in MHz, memory and disk in MB that it takes.
    pub(crate) fn takes(&self) -> (i64, i64, i64) {
        let tasks = self.allocated_resources.tasks.values();
        let (cpu, memory) = tasks.fold((0, 0), |(c, m), t| (c + t.cpu.cpu_shares, m + t.memory.memory_mb));
        (cpu, memory, self.allocated_resources.shared.disk_mb)
    }

    /// Names of its tasks, from their states or, before there are any, from its job.
    pub(crate) fn task_names(&self) -> Vec<String> {
        if !self.task_states.is_empty() {
            return self.task_states.keys().cloned().collect();
        }
        let groups = self.job.iter().flat_map(|job| &job.task_groups);
        groups
            .filter(|group| group.name == self.task_group)
            .flat_map(|group| group.tasks.iter().map(|task| task.name.clone()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn null_is_absent_at_every_depth_and_unknown_fields_are_ignored() {
        let eval: Evaluation = decode(json!({
            "ID": "e", "Later": 1, "NextEval": null,
            "FailedTGAllocs": {"g": {"ConstraintFiltered": null, "DimensionExhausted": {"cpu": 1}}},
        }))
        .unwrap();
        assert_eq!(eval.next_eval, "");
        assert_eq!(eval.failed_tg_allocs["g"].dimension_exhausted["cpu"], 1);
        assert!(eval.failed_tg_allocs["g"].constraint_filtered.is_empty());
    }
}
