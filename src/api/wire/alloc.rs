//! Allocations: the line of a list and the whole.

use std::collections::BTreeMap;

use encamp_model::{
    AllocId, EvalId, Job, JobId, Name, NodeId,
    job::JobType,
    records::{ClientStatus, Desired, NodeInfo},
};
use encamp_world::{AllocEntry, World};
use serde::Serialize;
use serde_json::Value;

use super::{
    eval::Metric,
    resources::{Allocated, Flat, Given},
    task::TaskStateOut,
};

/// What lists and the whole have in common.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Common {
    #[serde(rename = "ID")]
    pub(crate) id: AllocId,
    #[serde(rename = "EvalID")]
    eval_id: EvalId,
    name: String,
    namespace: Name,
    #[serde(rename = "NodeID")]
    node_id: NodeId,
    node_name: String,
    #[serde(rename = "JobID")]
    job_id: Name,
    job_version: u64,
    task_group: Name,
    desired_status: &'static str,
    desired_description: &'static str,
    desired_transition: Transition,
    client_status: &'static str,
    client_description: String,
    task_states: Option<BTreeMap<Name, TaskStateOut>>,
    deployment_status: Option<()>,
    #[serde(rename = "FollowupEvalID")]
    followup_eval_id: String,
    previous_allocation: String,
    next_allocation: String,
    preempted_allocations: Option<()>,
    preempted_by_allocation: String,
    reschedule_tracker: Option<()>,
    create_index: i64,
    modify_index: i64,
    create_time: i64,
    modify_time: i64,
}

/// What was asked of an allocation beside its job.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Transition {
    migrate: Option<bool>,
    migrate_disable_placement: Option<bool>,
    no_shutdown_delay: Option<bool>,
    reschedule: Option<bool>,
    force_reschedule: Option<bool>,
}

/// A line of a list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AllocStub {
    #[serde(flatten)]
    pub(crate) common: Common,
    job_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    allocated_resources: Option<Allocated>,
}

/// The whole.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AllocOut {
    #[serde(flatten)]
    common: Common,
    job: Value,
    resources: Flat,
    shared_resources: Flat,
    task_resources: BTreeMap<Name, Flat>,
    allocated_resources: Allocated,
    metrics: Metric,
    network_status: NetworkStatus,
    #[serde(rename = "DeploymentID")]
    deployment_id: String,
    #[serde(rename = "SigningKeyID")]
    signing_key_id: String,
    alloc_modify_index: i64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkStatus {
    interface_name: String,
    address: String,
    #[serde(rename = "AddressIPv6")]
    address_ipv6: String,
    #[serde(rename = "DNS")]
    dns: Option<()>,
}

/// An allocation with what it is shown beside.
pub(crate) struct View<'a> {
    world: &'a World,
    entry: &'a AllocEntry,
    node: Option<&'a NodeInfo>,
}

impl<'a> View<'a> {
    pub(crate) fn new(world: &'a World, entry: &'a AllocEntry) -> Self {
        let node = world.node(entry.node).and_then(|n| n.info.as_ref()).map(|info| &info.value);
        View { world, entry, node }
    }

    /// The name that its registration was made under; kept by its status when that is gone.
    pub(crate) fn job_id(&self) -> Option<&'a JobId> {
        let registered = self.world.registration(self.entry.record.uid).and_then(|r| r.job.as_ref());
        registered.or(self.entry.status.as_ref().map(|s| &s.job))
    }

    /// Last change of anything that is shown of it: what is wanted, what its node says, or that its node went down.
    pub(crate) fn modify_index(&self) -> i64 {
        let said = self.entry.status.as_ref().map_or(0, |s| s.modified);
        let lost = self.client_status() == ClientStatus::Lost;
        let gate = self.world.node(self.entry.node).and_then(|n| n.state.as_ref()).map_or(0, |s| s.modified);
        self.entry.record.modified.max(said).max(if lost { gate } else { 0 })
    }

    fn client_status(&self) -> ClientStatus {
        self.entry.client_status(self.world.node(self.entry.node).and_then(|n| n.gate()))
    }

    /// What lists and the whole have in common; with task states unless they are not wanted.
    fn common(&self, task_states: bool) -> Common {
        let record = &self.entry.record;
        let said = self.entry.status.as_ref();
        let job = self.job_id();
        let status = self.client_status();
        let states = said.into_iter().flat_map(|s| &s.tasks);
        Common {
            id: self.entry.id,
            eval_id: record.eval,
            name: record.name(job.map_or("", |j| &j.name)),
            namespace: job.map(|j| j.namespace.clone()).unwrap_or_default(),
            node_id: self.entry.node,
            node_name: self.node.map(|n| n.name.clone()).unwrap_or_default(),
            job_id: job.map(|j| j.name.clone()).unwrap_or_default(),
            job_version: record.version,
            task_group: record.group.clone(),
            desired_status: match record.desired {
                Desired::Run => "run",
                Desired::Stop => "stop",
            },
            desired_description: record.reason.map_or("", |reason| reason.describe()),
            desired_transition: Transition::default(),
            client_status: status.as_api(),
            client_description: self.client_description(status),
            task_states: task_states
                .then(|| states.map(|(name, state)| (name.clone(), TaskStateOut::new(state))).collect()),
            deployment_status: None,
            followup_eval_id: String::new(),
            previous_allocation: text(record.previous),
            next_allocation: text(record.next),
            preempted_allocations: None,
            preempted_by_allocation: String::new(),
            reschedule_tracker: None,
            create_index: record.created,
            modify_index: self.modify_index(),
            create_time: record.value.created.0,
            modify_time: said.map_or(record.value.created, |s| s.value.modified).0,
        }
    }

    fn client_description(&self, status: ClientStatus) -> String {
        let said = self.entry.status.as_ref().map_or("", |s| &s.description);
        if !said.is_empty() {
            return said.to_owned();
        }
        let words = match status {
            ClientStatus::Pending => "No tasks have started",
            ClientStatus::Running => "Tasks are running",
            ClientStatus::Complete => "All tasks have completed",
            ClientStatus::Failed => "Failed tasks",
            ClientStatus::Lost => "Its node is down",
            ClientStatus::Refused => "Its node refused it",
        };
        words.to_owned()
    }

    /// The line of a list.
    pub(crate) fn stub(&self, task_states: bool) -> AllocStub {
        AllocStub { common: self.common(task_states), job_type: self.job_type(), allocated_resources: None }
    }

    /// The line of a list, with resources as of the version that the allocation names.
    pub(crate) fn stub_with_resources(&self, task_states: bool, job: Option<&Job>) -> AllocStub {
        let given = Given::new(&self.entry.record, self.node, job);
        AllocStub { allocated_resources: Some(given.nested()), ..self.stub(task_states) }
    }

    /// The whole, with the version that the allocation names: as shown, and as stored.
    pub(crate) fn whole(&self, job: Option<&Job>, shown: Value) -> AllocOut {
        let record = &self.entry.record;
        let given = Given::new(record, self.node, job);
        let network = self.node.and_then(|n| n.network.as_ref());
        AllocOut {
            job: shown,
            resources: given.total(),
            shared_resources: given.shared(),
            task_resources: given.by_task(),
            allocated_resources: given.nested(),
            metrics: Metric::none(),
            network_status: NetworkStatus {
                interface_name: network.map(|n| n.device.clone()).unwrap_or_default(),
                address: given.ip().to_owned(),
                address_ipv6: String::new(),
                dns: None,
            },
            deployment_id: String::new(),
            signing_key_id: String::new(),
            alloc_modify_index: record.modified,
            common: self.common(true),
        }
    }

    /// Of the job as it stands, or of the evaluation that placed this; empty if both are gone.
    fn job_type(&self) -> &'static str {
        let job = self.job_id().and_then(|id| self.world.job(id)).and_then(|e| e.job.as_ref());
        let kind = job
            .filter(|job| job.uid == Some(self.entry.record.uid))
            .map(|job| job.kind)
            .or_else(|| self.world.eval(self.entry.record.eval).map(|eval| eval.kind));
        kind.map_or("", JobType::as_str)
    }
}

fn text(id: Option<AllocId>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}
