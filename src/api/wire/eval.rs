//! Evaluations, and why groups could not be placed.

use std::{collections::BTreeMap, sync::Arc};

use encamp_model::{
    EvalId, JobId, JobUid, Name,
    job::JobType,
    records::{Eval, EvalStatus, JobState, NodeReason, PlacementFailure, Want},
};
use encamp_world::{AllocEntry, Stored, World};
use serde::Serialize;

use super::{resources::Flat, second};

/// One evaluation.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct EvalOut {
    #[serde(rename = "ID")]
    pub(crate) id: EvalId,
    pub(crate) namespace: Name,
    priority: i64,
    #[serde(rename = "Type")]
    kind: JobType,
    triggered_by: String,
    #[serde(rename = "JobID")]
    pub(crate) job_id: Name,
    job_modify_index: i64,
    #[serde(rename = "NodeID")]
    node_id: String,
    node_modify_index: i64,
    #[serde(rename = "DeploymentID")]
    deployment_id: String,
    pub(crate) status: &'static str,
    status_description: String,
    previous_eval: String,
    next_eval: String,
    blocked_eval: String,
    class_eligibility: BTreeMap<String, bool>,
    #[serde(rename = "FailedTGAllocs")]
    failed_groups: BTreeMap<Name, Metric>,
    queued_allocations: BTreeMap<Name, u32>,
    plan_annotations: Annotations,
    snapshot_index: i64,
    create_index: i64,
    pub(crate) modify_index: i64,
    create_time: i64,
    modify_time: i64,
}

/// How many allocations each evaluation placed, by group: counted once for all evaluations that are shown.
pub(crate) struct Placements(BTreeMap<EvalId, BTreeMap<Name, u32>>);

impl Placements {
    pub(crate) fn count<'a>(allocs: impl Iterator<Item = &'a Arc<AllocEntry>>) -> Self {
        let mut counts: BTreeMap<EvalId, BTreeMap<Name, u32>> = BTreeMap::new();
        for alloc in allocs {
            let groups = counts.entry(alloc.record.eval).or_default();
            *groups.entry(alloc.record.group.clone()).or_default() += 1;
        }
        Placements(counts)
    }

    /// Of one job's evaluations.
    pub(crate) fn of_job(world: &World, uid: JobUid) -> Self {
        Placements::count(world.registration(uid).into_iter().flat_map(|r| r.allocs.values()))
    }
}

/// What a plan did, as far as it can still be told: the allocations that it placed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Annotations {
    #[serde(rename = "DesiredTGUpdates")]
    desired: BTreeMap<Name, Updates>,
    preempted_allocs: Option<()>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Updates {
    ignore: u32,
    place: u32,
    migrate: u32,
    stop: u32,
    in_place_update: u32,
    destructive_update: u32,
    canary: u32,
    preemptions: u32,
    disconnect: u32,
    reconnect: u32,
    reschedule_now: u32,
    reschedule_later: u32,
}

/// Why a group could not be placed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Metric {
    nodes_evaluated: u32,
    nodes_filtered: u32,
    nodes_in_pool: u32,
    node_pool: &'static str,
    nodes_available: BTreeMap<String, u32>,
    class_filtered: Option<()>,
    constraint_filtered: Option<BTreeMap<String, u32>>,
    nodes_exhausted: u32,
    class_exhausted: Option<()>,
    dimension_exhausted: Option<BTreeMap<String, u32>>,
    quota_exhausted: Option<()>,
    resources_exhausted: Option<BTreeMap<Name, Flat>>,
    scores: Option<()>,
    score_meta_data: Vec<()>,
    allocation_time: i64,
    coalesced_failures: u32,
    /// Ours: some nodes by name, with what was checked, seen and wanted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nodes: Vec<Reason>,
    /// Ours: the smallest amount that was missing, by dimension.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    shortfall: BTreeMap<String, i64>,
}

/// Why one node was refused.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Reason {
    node: String,
    check: String,
    seen: String,
    wanted: String,
}

impl Metric {
    /// Of what was placed: nothing is kept of that.
    pub(crate) fn none() -> Self {
        Metric::new(&PlacementFailure::default())
    }

    fn new(why: &PlacementFailure) -> Self {
        let some = |map: &BTreeMap<String, u32>| Some(map.clone()).filter(|map| !map.is_empty());
        Metric {
            nodes_evaluated: why.nodes_evaluated,
            nodes_filtered: why.nodes_filtered,
            nodes_in_pool: why.nodes_evaluated,
            node_pool: "default",
            nodes_available: why.nodes_available.clone(),
            class_filtered: None,
            constraint_filtered: some(&why.filtered),
            nodes_exhausted: why.nodes_exhausted,
            class_exhausted: None,
            dimension_exhausted: some(&why.exhausted),
            quota_exhausted: None,
            resources_exhausted: None,
            scores: None,
            score_meta_data: Vec::new(),
            allocation_time: 0,
            coalesced_failures: why.coalesced,
            nodes: why.nodes.iter().map(Reason::new).collect(),
            shortfall: why.shortfall.clone(),
        }
    }
}

impl Reason {
    fn new(reason: &NodeReason) -> Self {
        let NodeReason { node, check, seen, wanted } = reason.clone();
        Reason { node, check, seen, wanted }
    }
}

impl EvalOut {
    /// A stored evaluation.
    pub(crate) fn new(world: &World, id: EvalId, eval: &Stored<Eval>, placed: &Placements) -> Self {
        let outcome = eval.outcome.clone().unwrap_or_default();
        let modify_time = if eval.outcome.is_some() { outcome.finished } else { eval.value.created };
        EvalOut {
            triggered_by: trigger(eval),
            node_id: eval.node.map(|n| n.to_string()).unwrap_or_default(),
            node_modify_index: 0,
            status: match eval.status {
                EvalStatus::Pending => "pending",
                EvalStatus::Complete => "complete",
                EvalStatus::Failed => "failed",
                EvalStatus::Canceled => "canceled",
            },
            status_description: eval.description.clone(),
            previous_eval: eval.previous.map(|e| e.to_string()).unwrap_or_default(),
            blocked_eval: outcome.next.map(|e| e.to_string()).unwrap_or_default(),
            failed_groups: outcome
                .failed_groups
                .iter()
                .map(|(g, why)| (g.clone(), Metric::new(why)))
                .collect(),
            queued_allocations: outcome.queued,
            plan_annotations: Annotations::new(world, eval, placed.0.get(&id)),
            snapshot_index: outcome.snapshot_revision,
            create_index: eval.created,
            modify_index: eval.modified,
            create_time: eval.value.created.0,
            modify_time: modify_time.0,
            ..EvalOut::about(world, id, &eval.job, eval.kind, eval.priority)
        }
    }

    /// The evaluation that a job's unmet wants will get: it has an id already, so that clients can watch it.
    pub(crate) fn blocked(world: &World, job: &JobId, state: &Stored<JobState>) -> Self {
        let entry = world.job(job);
        let declared = entry.and_then(|e| e.job.as_ref());
        let kind = declared.map(|j| j.kind).unwrap_or_default();
        let priority = declared.map_or(50, |j| j.priority());
        let before = entry.into_iter().flat_map(|e| &e.evals).filter_map(|id| Some((*id, world.eval(*id)?)));
        let made_by = before
            .filter(|(_, eval)| eval.outcome.as_ref().is_some_and(|o| o.next == Some(state.next)))
            .max_by_key(|(_, eval)| eval.modified);
        let at = made_by.as_ref().and_then(|(_, e)| e.outcome.as_ref()).map_or(0, |o| o.finished.0);
        let mut out = EvalOut::about(world, state.next, job, kind, priority);
        out.triggered_by = "queued-allocs".to_owned();
        out.status = "blocked";
        out.status_description = waits_for(state);
        out.previous_eval = made_by.map(|(id, _)| id.to_string()).unwrap_or_default();
        for (group, wants) in &state.wants {
            out.plan_annotations.desired.insert(group.clone(), Updates::default());
            for want in wants {
                *out.queued_allocations.entry(group.clone()).or_default() += count(want);
                if let Want::Room { why, revision, .. } = want {
                    out.failed_groups.insert(group.clone(), Metric::new(why));
                    out.snapshot_index = out.snapshot_index.max(*revision);
                }
            }
        }
        out.create_index = state.created;
        out.modify_index = state.modified;
        (out.create_time, out.modify_time) = (at, at);
        out
    }

    fn about(world: &World, id: EvalId, job: &JobId, kind: JobType, priority: i64) -> Self {
        let declared = world.job(job).and_then(|e| e.job.as_ref());
        EvalOut {
            id,
            namespace: job.namespace.clone(),
            priority,
            kind,
            triggered_by: String::new(),
            job_id: job.name.clone(),
            job_modify_index: declared.map_or(0, |j| j.modified),
            node_id: String::new(),
            node_modify_index: 0,
            deployment_id: String::new(),
            status: "pending",
            status_description: String::new(),
            previous_eval: String::new(),
            next_eval: String::new(),
            blocked_eval: String::new(),
            class_eligibility: BTreeMap::new(),
            failed_groups: BTreeMap::new(),
            queued_allocations: BTreeMap::new(),
            plan_annotations: Annotations { desired: BTreeMap::new(), preempted_allocs: None },
            snapshot_index: 0,
            create_index: 0,
            modify_index: 0,
            create_time: 0,
            modify_time: 0,
        }
    }
}

impl Annotations {
    fn new(world: &World, eval: &Eval, placed: Option<&BTreeMap<Name, u32>>) -> Self {
        let declared = world.job(&eval.job).and_then(|e| e.job.as_ref());
        let groups = declared.into_iter().flat_map(|job| &job.task_groups);
        let mut desired: BTreeMap<Name, Updates> =
            groups.map(|g| (g.name.clone(), Updates::default())).collect();
        for (group, count) in placed.into_iter().flatten() {
            desired.entry(group.clone()).or_default().place = *count;
        }
        Annotations { desired, preempted_allocs: None }
    }
}

/// Why it was made, in the API's spelling, which is also how it is stored.
fn trigger(eval: &Eval) -> String {
    match serde_json::to_value(eval.trigger) {
        Ok(serde_json::Value::String(text)) => text,
        _ => String::new(),
    }
}

fn count(want: &Want) -> u32 {
    match want {
        Want::Room { count, .. } | Want::Time { count, .. } | Want::Floor { count, .. } => *count,
    }
}

/// What a job waits for, in words.
fn waits_for(state: &JobState) -> String {
    let mut parts = Vec::new();
    for (group, wants) in &state.wants {
        parts.extend(wants.iter().map(|want| {
            let wait = if count(want) == 1 { "1 waits".to_owned() } else { format!("{} wait", count(want)) };
            let what = match want {
                Want::Room { .. } => "for room".to_owned(),
                Want::Time { at, .. } => format!("until {} to be replaced", second(*at)),
                Want::Floor { floor, .. } => format!("to be replaced until more than {floor} run"),
            };
            format!("group {group:?}: {wait} {what}")
        }));
    }
    parts.join("; ")
}
