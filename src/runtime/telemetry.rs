//! Logs: where they go and at which level.
//!
//! Levels: `error` a person must act; `warn` something failed and is tried again; `info` a decision or a change of
//! role; `debug` each run; `trace` each transaction. Logged where handled; spans carry job, eval, alloc, node.

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, fmt, util::SubscriberInitExt as _};

/// Sends logs to stderr. `level` is a level or a filter such as `info,encamp_runtime=debug`.
///
/// # Errors
/// If `level` is no filter.
pub fn init(level: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(level)
        .map_err(|error| format!("log level \"{level}\": {error}; try error, warn, info, debug or trace"))?;
    // A second call (tests, `dev` within a test) keeps the first subscriber.
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let _ = lines.with_ansi(std::io::stderr().is_terminal()).finish().try_init();
    Ok(())
}
