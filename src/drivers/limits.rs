//! How many files may be open: an agent of hundreds of tasks needs more than a shell gives, its tasks get what they would
//! have had without it.

use std::{io, sync::OnceLock};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The soft limit as this process was started with, once it was raised.
static BEFORE: OnceLock<u64> = OnceLock::new();

/// Raises this process's soft limit of open files to the hard one. Tasks started from now on get the one from before:
/// programs that use `select` break where numbers above 1023 come up.
///
/// # Errors
/// If the system refuses; then the limit stays as it is.
pub fn raise_open_files() -> io::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    BEFORE.get_or_init(|| soft);
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}

/// What tasks get; `None` if nothing was raised.
pub(crate) fn open_files_before() -> Option<u64> {
    BEFORE.get().copied()
}
