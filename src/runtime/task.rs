//! The only place that spawns tasks: each has a name, and its panic is logged under it.
#![allow(clippy::disallowed_methods)]

use std::future::Future;

use futures::FutureExt as _;
use tokio::task::JoinHandle;

/// Runs a future beside the others. A panic ends the task, is logged with its name, and reaches whoever awaits the
/// handle.
pub fn spawn<F>(name: &'static str, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(async move {
        match std::panic::AssertUnwindSafe(future).catch_unwind().await {
            Ok(output) => output,
            Err(panic) => {
                tracing::error!(task = name, "task panicked");
                std::panic::resume_unwind(panic)
            }
        }
    })
}
