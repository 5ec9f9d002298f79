//! The only place that reads a clock: the wall's, for people and for what is stored, and the machine's time since boot,
//! on which leases are judged.
#![allow(clippy::disallowed_methods)]

use std::time::{Duration, SystemTime};

use encamp_model::Timestamp;
use nix::time::{ClockId, clock_gettime};
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

    /// Nanoseconds since boot (CLOCK_BOOTTIME): goes on while the machine is suspended, and reads the same in every
    /// process, so that a deadline can be handed to another.
    pub fn boot_ns(&self) -> u64 {
        match self {
            Clock::System => {
                let time = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("linux has this clock");
                u64::try_from(Duration::from(time).as_nanos()).unwrap_or(u64::MAX)
            }
            Clock::Virtual { origin, .. } => u64::try_from(origin.elapsed().as_nanos()).unwrap_or(u64::MAX),
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
