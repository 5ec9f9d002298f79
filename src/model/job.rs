//! The canonical job: what a user declared, in the HTTP API's spelling and with nothing invented.
//!
//! Every level keeps what it does not know in `extra`, so a carried block comes back as it was given. Absent stays
//! absent: what a missing value *means* is answered by accessors (`TaskGroup::count()`), never written back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ids::{JobId, JobUid, Name};

/// Fields that this version of Encamp does not interpret, kept word for word.
pub type Extra = Map<String, Value>;

/// A whole job as stored under `jobs/…` and `job-versions/…`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Job {
    /// Name users address the job by; unique in its namespace. May hold `/`.
    #[serde(rename = "ID")]
    pub id: Name,
    /// Display name; the id unless given.
    #[serde(default)]
    pub name: Name,
    /// Namespace, `default` unless given.
    #[serde(default = "default_namespace")]
    pub namespace: Name,
    /// Region, `global` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Which kind of work this is, `service` unless given.
    #[serde(rename = "Type", default)]
    pub kind: JobType,
    /// 1 (least) to 100 (most), 50 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
    /// Accepted for old clients; placing is never all-or-nothing.
    #[serde(default, skip_serializing_if = "is_false")]
    pub all_at_once: bool,
    /// Datacenters whose nodes may be used; `*` globs are allowed. Empty means every one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub datacenters: Vec<String>,
    /// Constraints on every group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<Constraint>,
    /// How a changed job replaces what runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<Update>,
    /// The groups, at least one.
    #[serde(default)]
    pub task_groups: Vec<TaskGroup>,
    /// Free key-value pairs, visible to tasks as `NOMAD_META_*`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub meta: BTreeMap<String, String>,
    /// True once the job was asked to stop; part of the declaration.
    #[serde(default, skip_serializing_if = "is_false")]
    pub stop: bool,
    /// Identity of this registration: a purged and re-registered job has another. Absent before admission.
    #[serde(rename = "UID", default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<JobUid>,
    /// Counts from 0 and changes only with the declaration.
    #[serde(default)]
    pub version: u64,
    /// When this version was submitted, in nanoseconds since 1970. Not part of the declaration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submit_time: Option<i64>,
    /// What is carried.
    #[serde(flatten)]
    pub extra: Extra,
}

impl Job {
    /// Namespace and name together.
    pub fn job_id(&self) -> JobId {
        JobId { namespace: self.namespace.clone(), name: self.id.clone() }
    }

    /// Priority, 50 if none was given.
    pub fn priority(&self) -> i64 {
        self.priority.unwrap_or(50)
    }

    /// The group of this name.
    pub fn group(&self, name: &str) -> Option<&TaskGroup> {
        self.task_groups.iter().find(|g| &*g.name == name)
    }

    /// The update strategy that holds for a group: its own, else the job's.
    pub fn update_of<'a>(&'a self, group: &'a TaskGroup) -> Option<&'a Update> {
        group.update.as_ref().or(self.update.as_ref())
    }
}

/// The kinds of job this version runs. Others are refused by name at admission.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobType {
    /// Runs until told to stop.
    #[default]
    Service,
    /// Runs until it ends well.
    Batch,
}

impl JobType {
    /// As written in a job file.
    pub fn as_str(self) -> &'static str {
        match self {
            JobType::Service => "service",
            JobType::Batch => "batch",
        }
    }
}

/// `update`: replaced in batches of `max_parallel`, `stagger` apart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Update {
    /// Pause between two batches, in nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stagger: Option<i64>,
    /// Instances replaced at a time; 0 means all at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_parallel: Option<i64>,
    /// What is carried (health fields, which need deployments).
    #[serde(flatten)]
    pub extra: Extra,
}

/// A group: `count` instances of the same tasks, each placed together on one node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TaskGroup {
    /// Unique in the job.
    pub name: Name,
    /// Instances wanted; read it through [`TaskGroup::count`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<i64>,
    /// Constraints on every task of the group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<Constraint>,
    /// Overrides the job's `update`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<Update>,
    /// What happens when a task of this group exits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<RestartPolicy>,
    /// Ports shared by the tasks of an instance.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<Network>,
    /// Disk shared by the tasks of an instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ephemeral_disk: Option<EphemeralDisk>,
    /// The tasks, at least one.
    #[serde(default)]
    pub tasks: Vec<Task>,
    /// Free key-value pairs over the job's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub meta: BTreeMap<String, String>,
    /// What is carried.
    #[serde(flatten)]
    pub extra: Extra,
}

impl TaskGroup {
    /// Instances wanted, 1 if none was given. Admission has refused negative numbers.
    pub fn count(&self) -> usize {
        usize::try_from(self.count.unwrap_or(1)).unwrap_or(0)
    }

    /// The task of this name.
    pub fn task(&self, name: &str) -> Option<&Task> {
        self.tasks.iter().find(|t| &*t.name == name)
    }
}

/// `ephemeral_disk`: what the allocation folder may hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EphemeralDisk {
    /// In MB (2^20 bytes).
    #[serde(rename = "SizeMB", default, skip_serializing_if = "Option::is_none")]
    pub size_mb: Option<i64>,
    /// What is carried (`Sticky`, `Migrate`).
    #[serde(flatten)]
    pub extra: Extra,
}

/// One task: a process (or container, or VM) and what it needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Task {
    /// Unique in the group.
    pub name: Name,
    /// Which driver runs it (`raw_exec`, `docker`, …).
    #[serde(default)]
    pub driver: String,
    /// The user to run as, where the driver allows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The driver's own settings.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub config: Map<String, Value>,
    /// Environment of the task; interpolated by the agent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Free key-value pairs over the group's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub meta: BTreeMap<String, String>,
    /// Constraints of this task, which bind the whole instance.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<Constraint>,
    /// What the task may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Overrides fields of the group's restart policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<RestartPolicy>,
    /// Time between the stop signal and the kill, in nanoseconds; 5 s unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kill_timeout: Option<i64>,
    /// The signal that asks the task to stop; `SIGINT` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kill_signal: Option<String>,
    /// When it exits, the other tasks of the instance are stopped.
    #[serde(default, skip_serializing_if = "is_false")]
    pub leader: bool,
    /// Rotation of what it prints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_config: Option<LogConfig>,
    /// What is carried.
    #[serde(flatten)]
    pub extra: Extra,
}

/// `logs`: output files kept per stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LogConfig {
    /// Files kept, 10 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_files: Option<i64>,
    /// Size at which a file is rotated in MB, 10 unless given.
    #[serde(rename = "MaxFileSizeMB", default, skip_serializing_if = "Option::is_none")]
    pub max_file_size_mb: Option<i64>,
    /// What is carried.
    #[serde(flatten)]
    pub extra: Extra,
}

/// `restart`: what the agent does when a task exits. Unset fields mean what the job's type says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RestartPolicy {
    /// Restarts allowed within `interval`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<i64>,
    /// The window in which attempts are counted, in nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<i64>,
    /// Pause before a restart, in nanoseconds; up to 25 % jitter is added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<i64>,
    /// `delay`: wait for the next interval; `fail`: give up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Of 2016: restart also after a success. Unless given: true for service, false for batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_success: Option<bool>,
    /// What is carried.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A condition that a node must meet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Constraint {
    /// Left side, most often `${attr.…}`.
    #[serde(rename = "LTarget", default, skip_serializing_if = "String::is_empty")]
    pub l_target: String,
    /// The comparison; `=` unless given.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub operand: String,
    /// Right side.
    #[serde(rename = "RTarget", default, skip_serializing_if = "String::is_empty")]
    pub r_target: String,
    /// What is carried.
    #[serde(flatten)]
    pub extra: Extra,
}

/// What a task may use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Resources {
    /// MHz, 100 unless given.
    #[serde(rename = "CPU", default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<i64>,
    /// MB (2^20 bytes), 300 unless given.
    #[serde(rename = "MemoryMB", default, skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<i64>,
    /// Of 2016: MB of disk for this task.
    #[serde(rename = "DiskMB", default, skip_serializing_if = "Option::is_none")]
    pub disk_mb: Option<i64>,
    /// Ports of this task alone (as of 2016).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<Network>,
    /// What is carried (`IOPS`).
    #[serde(flatten)]
    pub extra: Extra,
}

/// One `network` block.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Network {
    /// `host` or absent; other modes are refused for now.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mode: String,
    /// Accepted and shown; bandwidth is not scheduled.
    #[serde(rename = "MBits", default, skip_serializing_if = "Option::is_none")]
    pub mbits: Option<i64>,
    /// Ports whose number the user chose.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reserved_ports: Vec<Port>,
    /// Ports whose number the planner chooses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dynamic_ports: Vec<Port>,
    /// What is carried.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A named port.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Port {
    /// Name within the network.
    pub label: Name,
    /// The number, 1 to 65535; 0 where the planner chooses it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub value: i64,
    /// Port inside the task's own network, where it has one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub to: i64,
    /// What is carried.
    #[serde(flatten)]
    pub extra: Extra,
}

fn default_namespace() -> Name {
    Name::from("default")
}

fn is_false(value: &bool) -> bool {
    !*value
}

fn is_zero(value: &i64) -> bool {
    *value == 0
}
