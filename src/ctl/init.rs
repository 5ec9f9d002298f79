//! `init`: an example job to start from.

use std::{fs::OpenOptions, io::Write};

use clap::Args;

use crate::{
    error::{Error, Result},
    exit::Exit,
    screen::Screen,
};

/// Write an example job file
#[derive(Args, Clone, Debug)]
pub(crate) struct InitArgs {
    /// Where to
    #[arg(value_name = "FILE", default_value = "example.nomad")]
    file: String,
}

/// Writes the example, never over another file.
///
/// # Errors
/// If there is such a file, or it cannot be written.
pub(crate) fn run(args: &InitArgs, screen: &mut Screen) -> Result<Exit> {
    let path = &args.file;
    let opened = OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = opened.map_err(|source| match source.kind() {
        std::io::ErrorKind::AlreadyExists => Error::usage(
            format!("{path} exists already and is left as it is"),
            "Give another name (`ctl init FILE`), or move it away.",
        ),
        _ => Error::File { path: path.clone(), source },
    })?;
    let written = file.write_all(encamp_jobspec::EXAMPLE.as_bytes());
    written.map_err(|source| Error::File { path: path.clone(), source })?;
    screen.line(format!("Example job file written to {path}"))?;
    Ok(Exit::Ok)
}
