//! `run FILE`: Nomad's way. Registers a job and follows its evaluation.

use clap::Args;

use crate::{
    cx::Cx,
    error::Result,
    exit::Exit,
    jobfile::{self, VarArgs},
    monitor::monitor,
};

/// Register a job and follow it until everything that can be placed is placed
#[derive(Args, Clone, Debug)]
pub(crate) struct RunArgs {
    /// Job file in HCL or JSON; `-` reads stdin
    #[arg(value_name = "FILE")]
    file: String,
    /// Return at once with the evaluation's id
    #[arg(long)]
    detach: bool,
    /// Print the job as JSON, as it would be sent, and send nothing
    #[arg(long)]
    output: bool,
    #[command(flatten)]
    vars: VarArgs,
}

/// Registers and monitors.
///
/// # Errors
/// Those of the file and of asking.
pub(crate) async fn run(args: &RunArgs, cx: &mut Cx<'_>) -> Result<Exit> {
    let file = jobfile::load_for(cx, &args.file, &args.vars)?;
    if args.output {
        cx.screen.line(format!("{:#}", serde_json::json!({ "Job": file.json })))?;
        return Ok(Exit::Ok);
    }
    cx.client = cx.client.within(&file.job.namespace);
    let registered = cx.client.register(&file.submission()).await?;
    jobfile::warn(cx.screen, &registered.warnings, &file.warnings);
    if args.detach {
        cx.screen.line("Job registration successful")?;
        cx.screen.line(format!("Evaluation ID: {}", registered.eval_id))?;
        return Ok(Exit::Ok);
    }
    monitor(cx, &registered.eval_id).await
}
