//! `version`.

use crate::{error::Result, exit::Exit, screen::Screen};

/// Prints what this binary is.
///
/// # Errors
/// If nobody reads it.
pub(crate) fn run(screen: &mut Screen) -> Result<Exit> {
    screen.line(concat!("Encamp v", env!("CARGO_PKG_VERSION")))?;
    Ok(Exit::Ok)
}
