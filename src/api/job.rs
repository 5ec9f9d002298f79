//! `/v1/job/:id`: one job, what belongs to it, stopping and evaluating it.

use axum::response::Response;
use encamp_model::{EvalId, JobId, JobUid, Key, Unit, records::Trigger};
use encamp_world::{Registration, Table, World};
use serde::Serialize;
use serde_json::Value;

use crate::{
    allocations,
    auth::Action,
    blocking::Subject,
    call::{Api, Call, field},
    commit::Decision,
    error::Error,
    evaluations,
    jobs::{self, JobWritten, declare, evaluation, uid_of},
    meta::Meta,
    routes::Routes,
    wire::{
        eval::{EvalOut, Placements},
        job::{Around, Summary, modify_index, whole},
    },
};

pub(crate) fn routes() -> Routes<Api> {
    Routes::new()
        .get("/v1/job/{job}", Action::ReadJobs, read)
        .delete("/v1/job/{job}", Action::WriteJobs, deregister)
        .get("/v1/job/{job}/summary", Action::ReadJobs, summary)
        .get("/v1/job/{job}/versions", Action::ReadJobs, versions)
        .get("/v1/job/{job}/allocations", Action::ReadJobs, allocs)
        .get("/v1/job/{job}/evaluations", Action::ReadJobs, evals)
        .put("/v1/job/{job}/evaluate", Action::WriteJobs, evaluate)
}

fn id(call: &Call) -> JobId {
    JobId::new(call.query.namespace(), call.param("job"))
}

/// The index of a job as it is shown.
fn subject(world: &World, id: &JobId) -> Subject {
    let job = world.job(id).and_then(|entry| entry.job.as_ref());
    Subject::Object(Table::Jobs, job.map(|job| modify_index(world, job)))
}

async fn read(call: Call) -> Result<Response, Error> {
    let id = id(&call);
    let look = call.look(|world| subject(world, &id)).await?;
    let Some(job) = jobs::current(&look.world, &id)? else { return Err(look.not_found("job")) };
    if call.query.flag("canonical") {
        // As it is stored, without the defaults that clients expect to be filled in: `ctl apply` compares with it.
        return Ok(call.answer(&look.meta, &encamp_jobspec::to_api_json(&job.value)));
    }
    let around = Around::current(&look.world, &job, &call.api.config.region);
    Ok(call.answer(&look.meta, &whole(&job, &around)))
}

async fn summary(call: Call) -> Result<Response, Error> {
    let id = id(&call);
    let look = call.look(|world| subject(world, &id)).await?;
    let Some(job) = jobs::current(&look.world, &id)? else { return Err(look.not_found("job")) };
    Ok(call.answer(&look.meta, &Summary::new(&look.world, &job)))
}

/// What versions are answered with.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Versions {
    versions: Vec<Value>,
    diffs: Option<()>,
    #[serde(flatten)]
    meta: Meta,
}

async fn versions(call: Call) -> Result<Response, Error> {
    let id = id(&call);
    let look = call.look(|world| subject(world, &id)).await?;
    let Some(job) = jobs::current(&look.world, &id)? else { return Err(look.not_found("job versions")) };
    let uid = uid_of(&job)?;
    let known = look.world.registration(uid).map(|r| r.versions.keys().rev().copied().collect::<Vec<_>>());
    let mut versions = Vec::new();
    for version in known.unwrap_or_default() {
        if let Some(text) = call.api.job_text(&look.world, uid, version).await? {
            let around = Around::version(&look.world, &text, &call.api.config.region);
            versions.push(whole(&text, &around));
        }
    }
    let answer = Versions { versions, diffs: None, meta: look.meta };
    Ok(call.answer(&answer.meta, &answer))
}

/// The registrations that a question about a name is about: the current one, or all if it asks so, or if the name was
/// purged and only its remains are left.
fn registrations<'a>(world: &'a World, id: &JobId, all: bool) -> Vec<&'a Registration> {
    let Some(entry) = world.job(id) else { return Vec::new() };
    let current: Option<JobUid> = entry.job.as_ref().and_then(|job| job.uid).filter(|_| !all);
    let uids = entry.uids.iter().filter(|uid| current.is_none_or(|current| current == **uid));
    uids.filter_map(|uid| world.registration(*uid)).map(|r| &**r).collect()
}

async fn allocs(call: Call) -> Result<Response, Error> {
    let id = id(&call);
    let look = call.look(allocations::table).await?;
    let chosen = registrations(&look.world, &id, call.query.flag("all"));
    let entries = chosen.into_iter().flat_map(|r| r.allocs.values()).cloned().collect();
    allocations::lines(&call, look.meta.clone(), &look.world, entries).await
}

async fn evals(call: Call) -> Result<Response, Error> {
    let id = id(&call);
    let look = call.look(evaluations::table).await?;
    let world = &look.world;
    let placed =
        Placements::count(registrations(world, &id, true).into_iter().flat_map(|r| r.allocs.values()));
    let ids = world.job(&id).into_iter().flat_map(|entry| &entry.evals);
    let stored = ids.filter_map(|id| Some((*id, world.eval(*id)?)));
    let mut lines: Vec<EvalOut> = stored.map(|(id, eval)| EvalOut::new(world, id, eval, &placed)).collect();
    lines.extend(evaluations::blocked_of(world, &id));
    // Latest first: clients take the first for the one that matters.
    lines.sort_by(|a, b| b.modify_index.cmp(&a.modify_index).then(a.id.cmp(&b.id)));
    Ok(call.answer(&look.meta, &lines))
}

/// What stopping is answered with.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Deregistered {
    #[serde(rename = "EvalID")]
    eval_id: String,
    eval_create_index: i64,
    job_modify_index: i64,
    #[serde(rename = "VolumeEvalID")]
    volume_eval_id: String,
    volume_eval_index: i64,
    #[serde(flatten)]
    meta: Meta,
}

async fn deregister(call: Call) -> Result<Response, Error> {
    let id = id(&call);
    let purge = call.query.flag("purge");
    let priority = call.query.number("eval_priority")?;
    let now = call.api.process.now();
    let decide = |world: &World| {
        let Some(stored) = jobs::current(world, &id)? else {
            return Ok(Decision::Nothing((None, world.table_index(Table::Jobs))));
        };
        let uid = uid_of(&stored)?;
        let mut job = stored.value.clone();
        let mut unit = Unit::new();
        unit.unchanged(Key::Job(id.clone()), stored.modified);
        if purge {
            unit.delete(Key::Job(id.clone()));
        } else if !stored.stop {
            job.stop = true;
            declare(&mut unit, &mut job, uid, stored.version + 1, now);
        }
        let left = if purge || !stored.stop { 0 } else { stored.modified };
        let eval = EvalId::random();
        let mut record = evaluation(&job, uid, Trigger::JobDeregister, now);
        if (1..=100).contains(&priority) {
            record.priority = i64::try_from(priority).unwrap_or(record.priority);
        }
        unit.put(Key::Eval(eval), &record);
        Ok(Decision::Write(unit, eval, (Some(eval), left)))
    };
    let written = call.api.commit(&format!("job {:?}", id.name), decide).await?;
    let (eval, left) = written.outcome;
    let index = written.revision.unwrap_or(left);
    let answer = Deregistered {
        eval_id: eval.map(|e| e.to_string()).unwrap_or_default(),
        eval_create_index: written.revision.unwrap_or(0),
        job_modify_index: if left > 0 { left } else { index },
        volume_eval_id: String::new(),
        volume_eval_index: 0,
        meta: Meta::new(index, call.api.known_leader()),
    };
    Ok(call.written(&answer.meta, &answer))
}

async fn evaluate(call: Call) -> Result<Response, Error> {
    let body = call.object()?;
    let namespace = field(&body, "Namespace").and_then(Value::as_str).filter(|n| !n.is_empty());
    let id = JobId::new(namespace.unwrap_or(call.query.namespace()), call.param("job"));
    if let Some(named) = field(&body, "JobID").and_then(Value::as_str)
        && !named.is_empty()
        && *named != *id.name
    {
        return Err(Error::Malformed("JobID not same as job name".to_owned()));
    }
    let options = field(&body, "EvalOptions").and_then(Value::as_object);
    let force = options.and_then(|o| field(o, "ForceReschedule")).and_then(Value::as_bool).unwrap_or(false);
    let now = call.api.process.now();
    let decide = |world: &World| {
        let Some(stored) = jobs::current(world, &id)? else {
            return Err(Error::NotFound { what: "job", meta: None });
        };
        let eval = EvalId::random();
        let mut record = evaluation(&stored, uid_of(&stored)?, Trigger::JobEval, now);
        record.force_reschedule = force;
        let mut unit = Unit::new();
        unit.unchanged(Key::Job(id.clone()), stored.modified).put(Key::Eval(eval), &record);
        Ok(Decision::Write(unit, eval, (eval, stored.modified)))
    };
    let written = call.api.commit(&format!("job {:?}", id.name), decide).await?;
    let revision = written.revision.unwrap_or(0);
    let (eval, job_modify_index) = written.outcome;
    let answer = JobWritten {
        eval_id: eval.to_string(),
        eval_create_index: revision,
        job_modify_index,
        warnings: String::new(),
        meta: Meta::new(revision, call.api.known_leader()),
    };
    Ok(call.written(&answer.meta, &answer))
}
