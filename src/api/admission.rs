//! A submitted job on its way in: read, judged by the job language, and by what is known of the cluster.

use encamp_model::{Job, records::JobSource};
use encamp_world::World;
use serde_json::{Map, Value};

use crate::{
    call::{Call, field},
    error::Error,
};

/// Most bytes of a canonical job, and of its source.
pub(crate) const MAX_JOB: usize = 256 << 10;

/// What a register request asks for.
pub(crate) struct Submitted {
    /// The canonical job, without uid and version.
    pub(crate) job: Job,
    /// What its author should hear.
    pub(crate) warnings: Vec<String>,
    /// The JobModifyIndex that must still hold; 0: the job must not exist.
    pub(crate) check_index: Option<i64>,
    /// The text that it was made from.
    pub(crate) source: Option<JobSource>,
    /// Priority of the evaluation, if not the job's.
    pub(crate) eval_priority: Option<i64>,
}

/// Reads `{"Job": …}` with what may stand beside it, and judges the job.
pub(crate) fn submitted(call: &Call) -> Result<Submitted, Error> {
    let body = call.object()?;
    let job = job_field(&body, call.query.given("namespace"))?;
    let parsed = encamp_jobspec::admit(job).map_err(|found| Error::Refused(found.to_string()))?;
    check_namespace(&parsed.job.namespace)?;
    let size = encamp_jobspec::to_api_json(&parsed.job).to_string().len();
    if size > MAX_JOB {
        return Err(Error::TooLarge(format!("the job holds {size} bytes; at most {MAX_JOB} are stored")));
    }
    let enforce = field(&body, "EnforceIndex").and_then(Value::as_bool).unwrap_or(false);
    let index = field(&body, "JobModifyIndex").and_then(Value::as_i64).unwrap_or(0);
    let eval_priority = field(&body, "EvalPriority").and_then(Value::as_i64).filter(|p| *p > 0);
    Ok(Submitted {
        job: parsed.job,
        warnings: parsed.warnings,
        check_index: enforce.then_some(index),
        source: source(&body)?,
        eval_priority: eval_priority.map(|p| p.min(100)),
    })
}

/// A namespace is a plain name: `*` asks for all of them.
pub(crate) fn check_namespace(namespace: &str) -> Result<(), Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !namespace.is_empty() && namespace.len() <= 128 && namespace.chars().all(plain) {
        return Ok(());
    }
    let shown: String = namespace.chars().take(64).collect();
    Err(Error::Refused(format!(
        "the namespace {shown:?} is no name: up to 128 letters, digits, '-', '_' and '.' are expected"
    )))
}

/// The job of a body, in the namespace of the query if it names none itself.
pub(crate) fn job_field(body: &Map<String, Value>, namespace: Option<&str>) -> Result<Value, Error> {
    let missing = || Error::Malformed("Job must be specified".to_owned());
    let mut job = field(body, "Job").ok_or_else(missing)?.clone();
    if !job.is_object() {
        return Err(Error::Malformed("Job must be an object".to_owned()));
    }
    if let (Some(namespace), Some(map)) = (namespace, job.as_object_mut())
        && field(map, "Namespace").and_then(Value::as_str).is_none_or(str::is_empty)
    {
        map.retain(|key, _| !key.eq_ignore_ascii_case("Namespace"));
        map.insert("Namespace".to_owned(), namespace.into());
    }
    Ok(job)
}

fn source(body: &Map<String, Value>) -> Result<Option<JobSource>, Error> {
    let Some(Value::Object(submission)) = field(body, "Submission") else { return Ok(None) };
    let text = |name| field(submission, name).and_then(Value::as_str).unwrap_or_default();
    let (source, format) = (text("Source"), text("Format"));
    if source.is_empty() {
        return Ok(None);
    }
    if source.len() > MAX_JOB || format.len() > 16 {
        let size = source.len();
        return Err(Error::TooLarge(format!(
            "the job's source holds {size} bytes; at most {MAX_JOB} are stored"
        )));
    }
    let format = if format.is_empty() { "hcl" } else { format };
    Ok(Some(JobSource { format: format.to_owned(), source: source.to_owned() }))
}

/// raw_exec gives a job the agent's own rights, so that an operator has to enable it: refused where nodes are known
/// and none does. With no node known it waits like any other, and this is the warning.
pub(crate) fn check_raw_exec(world: &World, job: &Job) -> Result<Option<String>, Error> {
    let uses = job.task_groups.iter().flat_map(|g| &g.tasks).any(|t| t.driver == "raw_exec");
    if !uses {
        return Ok(None);
    }
    let mut infos = world.nodes().filter_map(|(_, node)| node.info.as_ref()).peekable();
    if infos.peek().is_none() {
        return Ok(Some(
            "no node is known yet: the job waits for one that enables the driver raw_exec".to_owned(),
        ));
    }
    if infos.any(|info| info.drivers.get("raw_exec").is_some_and(|driver| driver.detected)) {
        return Ok(None);
    }
    Err(Error::Refused(
        "driver raw_exec is enabled on no node: start an agent with --enable-driver raw_exec, or use another driver"
            .to_owned(),
    ))
}
