//! A job as clients see it: the canonical job, unchanged, with what absent values mean filled in.

use std::collections::BTreeMap;

use encamp_model::{
    Job, JobId, Name,
    job::JobType,
    records::{ClientStatus, Desired, JobState, Want},
};
use encamp_world::{Registration, Stored, World};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::fill;

/// Where a job stands.
pub(crate) fn status(world: &World, job: &Job) -> &'static str {
    let registration = job.uid.and_then(|uid| world.registration(uid));
    let counts = registration.map(|r| &r.counts);
    let total = |count: fn(&encamp_world::GroupCounts) -> u32| -> u32 {
        counts.into_iter().flat_map(BTreeMap::values).map(count).sum()
    };
    if total(|c| c.live() + c.stopping) > 0 {
        return "running";
    }
    let entry = world.job(&job.job_id());
    let waits = entry.is_some_and(|e| !e.pending.is_empty() || wants(world, job).is_some());
    // A job that asks for nothing waits for nothing: to the clients it is dead, as one that has ended.
    let asks = job.task_groups.iter().any(|group| group.count() > 0);
    match (job.stop, waits, total(|c| c.wanted())) {
        (true, _, _) => "dead",
        (false, true, _) => "pending",
        (false, false, 0) if asks => "pending",
        (false, false, _) => "dead",
    }
}

/// What a registration still wants.
fn wants<'a>(world: &'a World, job: &Job) -> Option<&'a Stored<JobState>> {
    world.job(&job.job_id())?.state_of(job.uid?)
}

/// The last change of anything that a job is shown with: its declaration, its wants, its allocations.
pub(crate) fn modify_index(world: &World, job: &Stored<Job>) -> i64 {
    let state = wants(world, job).map_or(0, |s| s.modified);
    let allocs = job.uid.and_then(|uid| world.registration(uid)).map_or(0, |r| allocs_index(r));
    job.modified.max(state).max(allocs)
}

/// The last change of an allocation of a registration.
pub(crate) fn allocs_index(registration: &Registration) -> i64 {
    let changed =
        |a: &encamp_world::AllocEntry| a.record.modified.max(a.status.as_ref().map_or(0, |s| s.modified));
    registration.allocs.values().map(|a| changed(a)).max().unwrap_or(0)
}

/// One line of the jobs list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct JobStub {
    #[serde(rename = "ID")]
    pub(crate) id: Name,
    #[serde(rename = "ParentID")]
    parent_id: String,
    name: Name,
    pub(crate) namespace: Name,
    datacenters: Vec<String>,
    node_pool: String,
    multiregion: Option<()>,
    #[serde(rename = "Type")]
    kind: JobType,
    priority: i64,
    periodic: bool,
    parameterized_job: bool,
    stop: bool,
    status: &'static str,
    status_description: String,
    job_summary: Summary,
    create_index: i64,
    modify_index: i64,
    job_modify_index: i64,
    submit_time: i64,
    version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<BTreeMap<String, String>>,
}

impl JobStub {
    /// The line of a job; with its `Meta` if that was asked for.
    pub(crate) fn new(world: &World, job: &Stored<Job>, with_meta: bool) -> Self {
        JobStub {
            id: job.id.clone(),
            parent_id: String::new(),
            name: shown_name(job),
            namespace: job.namespace.clone(),
            datacenters: datacenters(job),
            node_pool: "default".to_owned(),
            multiregion: None,
            kind: job.kind,
            priority: job.priority(),
            periodic: false,
            parameterized_job: false,
            stop: job.stop,
            status: status(world, job),
            status_description: String::new(),
            job_summary: Summary::new(world, job),
            create_index: job.created,
            modify_index: modify_index(world, job),
            job_modify_index: job.modified,
            submit_time: job.submit_time.unwrap_or(0),
            version: job.version,
            meta: with_meta.then(|| job.meta.clone()),
        }
    }
}

/// How the instances of a job's groups stand.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Summary {
    #[serde(rename = "JobID")]
    job_id: Name,
    namespace: Name,
    summary: BTreeMap<Name, GroupSummary>,
    children: Children,
    create_index: i64,
    modify_index: i64,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Children {
    pending: u32,
    running: u32,
    dead: u32,
}

/// Instances of one group, by where they stand.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct GroupSummary {
    queued: u32,
    complete: u32,
    failed: u32,
    running: u32,
    starting: u32,
    lost: u32,
    unknown: u32,
}

impl Summary {
    pub(crate) fn new(world: &World, job: &Stored<Job>) -> Self {
        let mut groups: BTreeMap<Name, GroupSummary> =
            job.task_groups.iter().map(|g| (g.name.clone(), GroupSummary::default())).collect();
        let registration = job.uid.and_then(|uid| world.registration(uid));
        for alloc in registration.into_iter().flat_map(|r| r.allocs.values()) {
            let gate = world.node(alloc.node).and_then(|n| n.gate());
            let group = groups.entry(alloc.record.group.clone()).or_default();
            match alloc.client_status(gate) {
                ClientStatus::Pending if alloc.record.desired == Desired::Stop => {}
                ClientStatus::Pending => group.starting += 1,
                ClientStatus::Running => group.running += 1,
                ClientStatus::Complete => group.complete += 1,
                ClientStatus::Failed | ClientStatus::Refused => group.failed += 1,
                ClientStatus::Lost => group.lost += 1,
            }
        }
        for (group, wants) in wants(world, job).into_iter().flat_map(|s| &s.wants) {
            // What waits for an instant or a floor still runs, in its old version.
            let rooms = wants.iter().map(|w| if let Want::Room { count, .. } = w { *count } else { 0 });
            groups.entry(group.clone()).or_default().queued += rooms.sum::<u32>();
        }
        Summary {
            job_id: job.id.clone(),
            namespace: job.namespace.clone(),
            summary: groups,
            children: Children::default(),
            create_index: job.created,
            modify_index: modify_index(world, job),
        }
    }
}

/// What a job is shown with that is not declared.
pub(crate) struct Around<'a> {
    pub(crate) region: &'a str,
    pub(crate) status: &'a str,
    pub(crate) create_index: i64,
    pub(crate) modify_index: i64,
    pub(crate) job_modify_index: i64,
}

impl<'a> Around<'a> {
    /// Of a declaration as it stands.
    pub(crate) fn current(world: &World, job: &Stored<Job>, region: &'a str) -> Self {
        Around {
            region,
            status: status(world, job),
            create_index: job.created,
            modify_index: modify_index(world, job),
            job_modify_index: job.modified,
        }
    }

    /// Of a version that may not be the current one: indexes are those of its own key.
    pub(crate) fn version(world: &World, job: &Job, region: &'a str) -> Self {
        let registration = job.uid.and_then(|uid| world.registration(uid));
        let of = |version| registration.and_then(|r| r.versions.get(&version)).map_or(0, |v| v.modified);
        let first = registration.and_then(|r| r.versions.values().map(|v| v.created).min()).unwrap_or(0);
        let modified = of(job.version);
        Around {
            region,
            status: status(world, job),
            create_index: first,
            modify_index: modified,
            job_modify_index: modified,
        }
    }
}

/// The whole job. What was declared and what is carried comes back as it was given; only what is absent is filled in.
pub(crate) fn whole(job: &Job, around: &Around<'_>) -> Value {
    let Value::Object(mut out) = encamp_jobspec::to_api_json(job) else { return Value::Null };
    out.insert("Name".into(), json!(shown_name(job)));
    out.insert("Status".into(), around.status.into());
    out.insert("CreateIndex".into(), around.create_index.into());
    out.insert("ModifyIndex".into(), around.modify_index.into());
    out.insert("JobModifyIndex".into(), around.job_modify_index.into());
    out.insert("Datacenters".into(), json!(datacenters(job)));
    fill(&mut out, job_defaults(around.region));
    each(&mut out, "Constraints", constraint);
    if let Some(Value::Object(update)) = out.get_mut("Update") {
        fill(update, update_defaults());
    }
    if let Some(Value::Array(groups)) = out.get_mut("TaskGroups") {
        for (shown, group) in groups.iter_mut().zip(&job.task_groups) {
            if let Value::Object(shown) = shown {
                let update = job.update_of(group).map_or(Value::Null, |u| json!(u));
                whole_group(shown, job, update);
            }
        }
    }
    Value::Object(out)
}

fn whole_group(group: &mut Map<String, Value>, job: &Job, update: Value) {
    let name = group.get("Name").cloned().unwrap_or_default();
    fill(group, group_defaults());
    let given = std::mem::replace(&mut group["Update"], update);
    if let Value::Object(shown) = given {
        // The group's own strategy stands alone: it replaces the job's, as it does for the planner.
        group["Update"] = Value::Object(shown);
    }
    if group["Update"].is_null() {
        group["Update"] = json!({});
    }
    for (field, defaults) in [
        ("Update", update_defaults()),
        ("RestartPolicy", restart_defaults(job.kind)),
        ("ReschedulePolicy", reschedule_defaults()),
        ("EphemeralDisk", json!({ "Migrate": false, "SizeMB": 300, "Sticky": false })),
        ("Scaling", scaling_defaults(&job.job_id(), &name)),
    ] {
        if let Some(Value::Object(block)) = group.get_mut(field) {
            fill(block, defaults);
        }
    }
    each(group, "Constraints", constraint);
    each(group, "Networks", network);
    each(group, "Services", |service| fill(service, service_defaults(&job.namespace)));
    let restart = group["RestartPolicy"].clone();
    each(group, "Tasks", |task| whole_task(task, &restart));
}

fn whole_task(task: &mut Map<String, Value>, group_restart: &Value) {
    fill(task, task_defaults());
    if let Some(Value::Object(resources)) = task.get_mut("Resources") {
        fill(resources, resource_defaults());
        each(resources, "Networks", network);
    }
    if let Some(Value::Object(logs)) = task.get_mut("LogConfig") {
        fill(logs, json!({ "Disabled": false, "MaxFileSizeMB": 10, "MaxFiles": 10 }));
    }
    if let Some(Value::Object(restart)) = task.get_mut("RestartPolicy") {
        fill(restart, group_restart.clone());
    }
    each(task, "Constraints", constraint);
}

/// Edits every object of a list, if there is one.
fn each(map: &mut Map<String, Value>, list: &str, mut edit: impl FnMut(&mut Map<String, Value>)) {
    let Some(Value::Array(items)) = map.get_mut(list) else { return };
    items.iter_mut().filter_map(Value::as_object_mut).for_each(&mut edit);
}

fn constraint(map: &mut Map<String, Value>) {
    fill(map, json!({ "LTarget": "", "Operand": "=", "RTarget": "" }));
}

fn network(map: &mut Map<String, Value>) {
    fill(
        map,
        json!({ "Mode": "host", "Device": "", "CIDR": "", "IP": "", "MBits": 0, "Hostname": "", "DNS": null,
        "DynamicPorts": null, "ReservedPorts": null }),
    );
    for list in ["DynamicPorts", "ReservedPorts"] {
        each(map, list, |port| fill(port, json!({ "Value": 0, "To": 0, "HostNetwork": "default" })));
    }
}

fn job_defaults(region: &str) -> Value {
    json!({
        "Affinities": null, "AllAtOnce": false, "Constraints": null, "ConsulNamespace": "", "DispatchIdempotencyToken": "",
        "Dispatched": false, "Meta": {}, "Multiregion": null, "NodePool": "default", "NomadTokenID": "",
        "ParameterizedJob": null, "ParentID": "", "Payload": null, "Periodic": null, "Priority": 50, "Region": region,
        "Spreads": null, "Stable": false, "StatusDescription": "", "Stop": false, "SubmitTime": 0, "TaskGroups": [],
        "UI": null, "Update": {}, "VaultNamespace": "", "VersionTag": null,
    })
}

/// Zeros are what an absent strategy means: everything at once.
fn update_defaults() -> Value {
    json!({
        "AutoPromote": false, "AutoRevert": false, "Canary": 0, "HealthCheck": "", "HealthyDeadline": 0, "MaxParallel": 0,
        "MinHealthyTime": 0, "ProgressDeadline": 0, "Stagger": 0,
    })
}

fn group_defaults() -> Value {
    json!({
        "Affinities": null, "Constraints": null, "Consul": null, "Count": 1, "Disconnect": null, "EphemeralDisk": {},
        "MaxClientDisconnect": null, "Meta": null, "Migrate": null, "Networks": null, "PreventRescheduleOnLost": false,
        "ReschedulePolicy": {}, "RestartPolicy": {}, "Scaling": null, "Services": null, "ShutdownDelay": null,
        "Spreads": null, "StopAfterClientDisconnect": null, "Tasks": [], "Update": null, "Volumes": null,
    })
}

/// As the agent takes absent fields.
fn restart_defaults(kind: JobType) -> Value {
    let (attempts, interval_s) = match kind {
        JobType::Service => (2, 30 * 60),
        JobType::Batch => (3, 24 * 60 * 60),
    };
    json!({
        "Attempts": attempts, "Delay": 15_000_000_000_i64, "Interval": interval_s * 1_000_000_000_i64, "Mode": "fail",
        "RenderTemplates": false,
    })
}

/// Nothing is rescheduled by itself.
fn reschedule_defaults() -> Value {
    json!({ "Attempts": 0, "Delay": 0, "DelayFunction": "", "Interval": 0, "MaxDelay": 0, "Unlimited": false })
}

fn scaling_defaults(job: &JobId, group: &Value) -> Value {
    json!({
        "ID": "", "CreateIndex": 0, "ModifyIndex": 0, "Enabled": false, "Max": 0, "Min": 0, "Policy": {},
        "Target": { "Namespace": job.namespace, "Job": job.name, "Group": group }, "Type": "horizontal",
    })
}

fn service_defaults(namespace: &Name) -> Value {
    json!({
        "Address": "", "AddressMode": "auto", "CanaryMeta": null, "CanaryTags": null, "Checks": null,
        "Cluster": "default", "Connect": null, "EnableTagOverride": false, "Identity": null, "Kind": "", "Meta": null,
        "Name": "", "Namespace": namespace, "OnUpdate": "require_healthy", "PortLabel": "", "Provider": "",
        "TaggedAddresses": null, "Tags": [], "TaskName": "", "Weights": null,
    })
}

fn task_defaults() -> Value {
    json!({
        "Actions": null, "Affinities": null, "Artifacts": null, "CSIPluginConfig": null, "Config": {}, "Constraints": null,
        "Consul": null, "DispatchPayload": null, "Driver": "", "Env": {}, "Identities": null, "Identity": null,
        "KillSignal": "", "KillTimeout": 5_000_000_000_i64, "Kind": "", "Leader": false, "Lifecycle": null,
        "LogConfig": {}, "Meta": null, "Resources": {}, "RestartPolicy": {}, "ScalingPolicies": null, "Schedule": null,
        "Secrets": null, "Services": null, "ShutdownDelay": 0, "Templates": null, "User": "", "Vault": null,
        "VolumeMounts": null,
    })
}

fn resource_defaults() -> Value {
    json!({
        "CPU": 100, "Cores": 0, "Devices": null, "DiskMB": 0, "IOPS": 0, "MemoryMB": 300, "MemoryMaxMB": 0, "NUMA": null,
        "Networks": null, "SecretsMB": 0,
    })
}

/// No datacenters means all of them.
fn datacenters(job: &Job) -> Vec<String> {
    if job.datacenters.is_empty() { vec!["*".to_owned()] } else { job.datacenters.clone() }
}

fn shown_name(job: &Job) -> Name {
    if job.name.is_empty() { job.id.clone() } else { job.name.clone() }
}
