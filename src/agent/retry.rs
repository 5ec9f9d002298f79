//! Pauses between attempts: growing from 100 ms to 5 s, with jitter so that many agents don't come back at once.

use std::time::Duration;

use encamp_runtime::retry::Backoff;

/// The pauses before the second, third, … attempt.
pub(crate) fn pauses() -> Backoff {
    Backoff::jittered(Duration::from_millis(100), Duration::from_secs(5))
}
