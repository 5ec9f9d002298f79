//! Waiting for a condition instead of sleeping.

use std::time::Duration;

use tokio::time::Instant;

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(20);

/// Looks again and again until `check` gives a value, and returns it.
///
/// # Panics
/// When `timeout` is over, with the last state that `check` told.
pub async fn wait_for<T>(
    what: &str,
    timeout: Duration,
    mut check: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let deadline = Instant::now() + timeout;
    loop {
        match check().await {
            Ok(value) => return value,
            Err(state) if Instant::now() >= deadline => {
                panic!("waited {timeout:?} in vain for: {what}; last seen: {state}")
            }
            Err(_) => tokio::time::sleep(INTERVAL).await,
        }
    }
}
