//! The only place that reads a clock.
#![allow(clippy::disallowed_methods)]

use std::time::{Duration, SystemTime};

use encamp_model::Timestamp;
use tokio::time::Instant;

/// A source of instants. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// The machine's wall clock.
    System,
    /// Tokio's clock, read as if it had been `start` at `origin`: with paused time, virtual time.
    Virtual {
        /// What it read at `origin`.
        start: Timestamp,
        /// Tokio's instant of the start.
        origin: Instant,
    },
}

impl Clock {
    /// A clock that follows tokio's (paused) time from `start` on. Make it inside the runtime.
    pub fn virtual_from(start: Timestamp) -> Self {
        Clock::Virtual { start, origin: Instant::now() }
    }

    /// The present instant.
    pub fn now(&self) -> Timestamp {
        match self {
            Clock::System => {
                let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
            }
            Clock::Virtual { start, origin } => *start + origin.elapsed(),
        }
    }

    /// Sleeps until an instant of this clock; at once if it has passed. Wakes at least every minute, so that a wall
    /// clock which is set meanwhile is noticed.
    pub async fn sleep_until(&self, at: Timestamp) {
        loop {
            let left = at.since(self.now());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(Duration::from_secs(60))).await;
        }
    }
}

/// Milliseconds since some fixed point, for measuring durations only.
pub fn monotonic() -> Instant {
    Instant::now()
}
