//! `apply -f FILE`: kubectl's way. Compares with what is stored, and writes only what differs.

use clap::Args;

use crate::{
    cx::Cx,
    error::Result,
    exit::Exit,
    jobfile::{self, JobFile, VarArgs},
};

/// Make the stored job equal to a file; an equal one is left alone
#[derive(Args, Clone, Debug)]
pub(crate) struct ApplyArgs {
    /// Job file in HCL or JSON; `-` reads stdin. May be given more than once
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true)]
    files: Vec<String>,
    #[command(flatten)]
    vars: VarArgs,
}

/// Applies every file, after all were read: a mistake in the last one writes nothing of the first.
///
/// # Errors
/// Those of the files and of asking.
pub(crate) async fn run(args: &ApplyArgs, cx: &mut Cx<'_>) -> Result<Exit> {
    let mut jobs = Vec::new();
    for file in &args.files {
        jobs.push(jobfile::load_for(cx, file, &args.vars)?);
    }
    for file in jobs {
        let verdict = apply(cx, &file).await?;
        cx.screen.line(format!("job/{} {verdict}", file.job.id))?;
    }
    Ok(Exit::Ok)
}

async fn apply(cx: &mut Cx<'_>, file: &JobFile) -> Result<&'static str> {
    let client = cx.client.within(&file.job.namespace);
    let stored = client.stored_job(&file.job.id).await?;
    let verdict = match stored {
        Some(stored) if is_stored(file, &stored) => return Ok("unchanged"),
        Some(_) => "configured",
        None => "created",
    };
    let registered = client.register(&file.submission()).await?;
    jobfile::warn(cx.screen, &registered.warnings, &file.warnings);
    Ok(verdict)
}

/// True if the server's job declares the same. One that this `ctl` cannot read counts as different: registering an
/// equal one changes nothing on the server either.
fn is_stored(file: &JobFile, stored: &serde_json::Value) -> bool {
    encamp_jobspec::admit(stored.clone())
        .is_ok_and(|stored| encamp_jobspec::same_spec(&stored.job, &file.job))
}
