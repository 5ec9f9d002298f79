//! `stop JOB`: stops a job and follows its evaluation. Its history stays, unless purged.

use clap::Args;

use crate::{
    cx::Cx,
    error::{Error, Result},
    exit::Exit,
    find,
    kind::Kind,
    monitor::monitor,
};

/// Stop a job and follow it until all of its instances were told to
#[derive(Args, Clone, Debug)]
pub(crate) struct StopArgs {
    /// The job; a unique beginning of its name needs --yes
    #[arg(value_name = "JOB")]
    job: String,
    /// Forget the job and its history, too
    #[arg(long)]
    purge: bool,
    /// Return at once with the evaluation's id
    #[arg(long)]
    detach: bool,
    /// Accept a job of which only the beginning was given
    #[arg(long, short = 'y')]
    yes: bool,
}

/// Stops and monitors.
///
/// # Errors
/// If no job fits, or only a beginning was given without `--yes`; those of asking.
pub(crate) async fn run(args: &StopArgs, cx: &mut Cx<'_>) -> Result<Exit> {
    let job = find::one(cx, Kind::Job, &args.job).await?;
    if !job.is_exact() && !args.yes {
        return Err(Error::usage(
            format!("{:?} is only the beginning of job {:?}", args.job, job.id),
            format!("Give the whole name, or --yes: `ctl stop {}`.", job.id),
        ));
    }
    job.enter(cx);
    let stopped = cx.client.deregister(&job.id, args.purge).await?;
    if args.detach {
        cx.screen.line(stopped.eval_id)?;
        return Ok(Exit::Ok);
    }
    if stopped.eval_id.is_empty() {
        return Ok(Exit::Ok);
    }
    monitor(cx, &stopped.eval_id).await
}
