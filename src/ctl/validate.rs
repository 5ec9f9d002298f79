//! `validate FILE`: is this a job? Asks no server.

use clap::Args;

use crate::{
    error::Result,
    exit::Exit,
    jobfile::{self, VarArgs},
    screen::Screen,
};

/// Check a job file without sending it anywhere
#[derive(Args, Clone, Debug)]
pub(crate) struct ValidateArgs {
    /// Job file in HCL or JSON; `-` reads stdin
    #[arg(value_name = "FILE")]
    file: String,
    #[command(flatten)]
    vars: VarArgs,
}

/// Parses and says so.
///
/// # Errors
/// Every mistake with its place.
pub(crate) fn run(args: &ValidateArgs, screen: &mut Screen) -> Result<Exit> {
    let file = jobfile::load(&args.file, &args.vars, screen)?;
    jobfile::warn(screen, "", &file.warnings);
    screen.line("Job validation successful")?;
    Ok(Exit::Ok)
}
