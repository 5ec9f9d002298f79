//! `/v1/jobs`: the list, and registering.

use std::sync::Arc;

use axum::response::Response;
use encamp_model::{
    EvalId, Job, JobId, JobUid, Key, Timestamp, Unit,
    records::{Eval, EvalStatus, Trigger},
};
use encamp_world::{Stored, Table, World};
use serde::Serialize;

use crate::{
    admission::{self, Submitted},
    auth::Action,
    blocking::Subject,
    call::{Api, Call},
    commit::Decision,
    echo::without_echo,
    error::Error,
    meta::Meta,
    routes::Routes,
    wire::job::JobStub,
};

pub(crate) fn routes() -> Routes<Api> {
    Routes::new().get("/v1/jobs", Action::ReadJobs, list).put("/v1/jobs", Action::WriteJobs, register).put(
        "/v1/job/{job}",
        Action::WriteJobs,
        register_named,
    )
}

/// The index that a list of jobs has.
pub(crate) fn table(world: &World) -> Subject {
    Subject::Table(Table::Jobs, world.jobs().all(|(_, entry)| entry.job.is_none()))
}

async fn list(call: Call) -> Result<Response, Error> {
    let look = call.look(table).await?;
    let with_meta = call.query.flag("meta");
    let asked = |id: &JobId| call.query.in_namespace(&id.namespace) && call.query.has_prefix(&id.name);
    let jobs = look.world.jobs().filter(|(id, _)| asked(id)).filter_map(|(_, entry)| entry.job.as_ref());
    let lines: Vec<JobStub> = jobs.map(|job| JobStub::new(&look.world, job, with_meta)).collect();
    Ok(call.page(look.meta, lines, |line| format!("{}.{}", line.namespace, line.id)))
}

/// What a write of a job is answered with.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct JobWritten {
    #[serde(rename = "EvalID")]
    pub(crate) eval_id: String,
    pub(crate) eval_create_index: i64,
    pub(crate) job_modify_index: i64,
    pub(crate) warnings: String,
    #[serde(flatten)]
    pub(crate) meta: Meta,
}

async fn register_named(call: Call) -> Result<Response, Error> {
    let submitted = admission::submitted(&call)?;
    if *submitted.job.id != *call.param("job") {
        return Err(Error::Malformed("Job ID does not match the path".to_owned()));
    }
    store(&call, submitted).await
}

async fn register(call: Call) -> Result<Response, Error> {
    let submitted = admission::submitted(&call)?;
    store(&call, submitted).await
}

/// What a register request came to.
struct Registered {
    eval: EvalId,
    /// Of the declaration, if it was left as it is.
    unchanged: Option<i64>,
    warning: Option<String>,
}

async fn store(call: &Call, submitted: Submitted) -> Result<Response, Error> {
    let what = format!("job {:?}", submitted.job.id);
    let (now, region) = (call.api.process.now(), &call.api.config.region);
    let written = call.api.commit(&what, |world| decide(world, &submitted, region, now)).await?;
    let revision = written.revision.unwrap_or(0);
    let Registered { eval, unchanged, warning } = written.outcome;
    let mut warnings = submitted.warnings;
    warnings.extend(warning);
    let answer = JobWritten {
        eval_id: eval.to_string(),
        eval_create_index: revision,
        job_modify_index: unchanged.unwrap_or(revision),
        warnings: warnings.join("\n"),
        meta: Meta::new(revision, call.api.known_leader()),
    };
    Ok(call.written(&answer.meta, &answer))
}

/// One unit: declaration, version, source and evaluation; or the evaluation alone, if the declaration is as it was.
fn decide(
    world: &World,
    submitted: &Submitted,
    region: &str,
    now: Timestamp,
) -> Result<Decision<Registered>, Error> {
    let id = submitted.job.job_id();
    let current = current(world, &id)?;
    check_index(submitted.check_index, current.as_deref())?;
    let warning = admission::check_raw_exec(world, &submitted.job)?;
    let eval = EvalId::random();
    let mut unit = Unit::new();
    unit.unchanged(Key::Job(id), current.as_ref().map_or(0, |c| c.modified));
    let mut unchanged = None;
    let mut job = match &current {
        Some(stored) => without_echo(world, stored, &submitted.job, region),
        None => submitted.job.clone(),
    };
    match &current {
        Some(stored) if encamp_jobspec::same_spec(&stored.value, &job) => {
            unchanged = Some(stored.modified);
            job = stored.value.clone();
        }
        Some(stored) => {
            if stored.kind != job.kind {
                let (was, is) = (stored.kind.as_str(), job.kind.as_str());
                return Err(Error::Refused(format!(
                    "the type of job {:?} cannot be changed from {was} to {is}; stop and purge it first",
                    job.id
                )));
            }
            declare(&mut unit, &mut job, uid_of(stored)?, stored.version + 1, now);
        }
        None => declare(&mut unit, &mut job, JobUid::random(), 0, now),
    }
    if let (None, Some(source), Some(uid)) = (unchanged, &submitted.source, job.uid) {
        let key = Key::JobSource(uid, job.version);
        unit.unchanged(key.clone(), 0).put(key, source);
    }
    let uid = uid_of(&job)?;
    let mut record = evaluation(&job, uid, Trigger::JobRegister, now);
    record.priority = submitted.eval_priority.unwrap_or(record.priority);
    unit.put(Key::Eval(eval), &record);
    Ok(Decision::Write(unit, eval, Registered { eval, unchanged, warning }))
}

/// Adds a new version of a declaration to a unit.
pub(crate) fn declare(unit: &mut Unit, job: &mut Job, uid: JobUid, version: u64, now: Timestamp) {
    job.uid = Some(uid);
    job.version = version;
    job.submit_time = Some(now.0);
    let key = Key::JobVersion(uid, version);
    unit.put(Key::Job(job.job_id()), job);
    unit.unchanged(key.clone(), 0).put(key, job);
}

/// A pending evaluation of a job.
pub(crate) fn evaluation(job: &Job, uid: JobUid, trigger: Trigger, now: Timestamp) -> Eval {
    Eval {
        job: job.job_id(),
        uid,
        priority: job.priority(),
        kind: job.kind,
        trigger,
        node: None,
        previous: None,
        due: None,
        force_reschedule: false,
        status: EvalStatus::Pending,
        description: String::new(),
        created: now,
        outcome: None,
    }
}

/// The declaration under a name. One that cannot be read is no absence: nothing may be written over it.
pub(crate) fn current(world: &World, id: &JobId) -> Result<Option<Arc<Stored<Job>>>, Error> {
    let key = Key::Job(id.clone());
    if world.is_opaque(&key) {
        return Err(unreadable(world, &key));
    }
    Ok(world.job(id).and_then(|entry| entry.job.clone()))
}

fn unreadable(world: &World, key: &Key) -> Error {
    let key = world.keyspace().encode(key);
    Error::Internal(format!("{key} holds what this version cannot read; use the version that wrote it"))
}

/// The uid that every stored declaration has.
pub(crate) fn uid_of(job: &Job) -> Result<JobUid, Error> {
    job.uid.ok_or_else(|| Error::Internal(format!("job {:?} is stored without its uid", job.id)))
}

/// The user's own compare-and-set. Never tried again: what he saw is not what is there.
fn check_index(wanted: Option<i64>, current: Option<&Stored<Job>>) -> Result<(), Error> {
    let Some(wanted) = wanted else { return Ok(()) };
    let why = match current {
        None if wanted == 0 => return Ok(()),
        Some(job) if job.modified == wanted => return Ok(()),
        None => "the job does not exist".to_owned(),
        Some(_) if wanted == 0 => "the job exists already".to_owned(),
        Some(job) => format!("the job was changed, at {}", job.modified),
    };
    Err(Error::Refused(format!("Enforcing job modify index {wanted}: {why}")))
}
