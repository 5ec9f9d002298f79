//! `status [X]`: the jobs; or whatever job, node, allocation or evaluation X names.

mod alloc;
mod eval;
mod job;

use clap::Args;

use crate::{
    cx::Cx,
    error::Result,
    exit::Exit,
    find::{self, Match},
    kind::Kind,
    node_status,
    show::{Table, time},
};

/// List the jobs, or show the job, node, allocation or evaluation that a name or id names
#[derive(Args, Clone, Debug)]
pub(crate) struct StatusArgs {
    /// A name, an id, a unique beginning of one, or KIND/NAME
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Look among things of this kind only
    #[arg(long, value_parser = Kind::parse)]
    kind: Option<Kind>,
}

/// Show an allocation
#[derive(Args, Clone, Debug)]
pub(crate) struct AllocStatusArgs {
    /// An allocation's id, or a unique beginning of it
    #[arg(value_name = "ALLOC")]
    id: String,
}

/// Show an evaluation
#[derive(Args, Clone, Debug)]
pub(crate) struct EvalStatusArgs {
    /// An evaluation's id, or a unique beginning of it
    #[arg(value_name = "EVAL")]
    id: String,
}

/// Lists jobs, or finds and shows one thing.
///
/// # Errors
/// If nothing or too much fits; those of asking.
pub(crate) async fn run(args: &StatusArgs, cx: &mut Cx<'_>) -> Result<Exit> {
    let Some(name) = &args.name else { return jobs(cx).await };
    let kinds = args.kind.as_ref().map_or(&Kind::ALL[..], std::slice::from_ref);
    let found = find::any(cx, kinds, name).await?;
    show(cx, &found).await
}

/// `alloc-status`.
///
/// # Errors
/// As [`run`].
pub(crate) async fn run_alloc(args: &AllocStatusArgs, cx: &mut Cx<'_>) -> Result<Exit> {
    let found = find::one(cx, Kind::Alloc, &args.id).await?;
    show(cx, &found).await
}

/// `eval-status`.
///
/// # Errors
/// As [`run`].
pub(crate) async fn run_eval(args: &EvalStatusArgs, cx: &mut Cx<'_>) -> Result<Exit> {
    let found = find::one(cx, Kind::Eval, &args.id).await?;
    show(cx, &found).await
}

async fn show(cx: &mut Cx<'_>, found: &Match) -> Result<Exit> {
    found.enter(cx);
    match found.kind {
        Kind::Job => job::show(cx, &found.id).await,
        Kind::Node => node_status::one(cx, &found.id).await,
        Kind::Alloc => alloc::show(cx, &found.id).await,
        Kind::Eval => eval::show(cx, &found.id).await,
    }
}

async fn jobs(cx: &mut Cx<'_>) -> Result<Exit> {
    let mut jobs = cx.client.jobs("").await?;
    if jobs.is_empty() {
        cx.screen.line("No running jobs")?;
        return Ok(Exit::Ok);
    }
    jobs.sort_by(|a, b| (&a.namespace, &a.id).cmp(&(&b.namespace, &b.id)));
    let every = cx.client.namespace() == "*";
    let mut table = match every {
        true => Table::new(["ID", "Namespace", "Type", "Priority", "Status", "Submit Date"]),
        false => Table::new(["ID", "Type", "Priority", "Status", "Submit Date"]),
    };
    for job in jobs {
        let status = if job.stop { format!("{} (stopped)", job.status) } else { job.status };
        let rest = [job.kind, job.priority.to_string(), status, time::date(job.submit_time)];
        table.row(std::iter::once(job.id).chain(every.then_some(job.namespace)).chain(rest));
    }
    cx.screen.line(table)?;
    Ok(Exit::Ok)
}
