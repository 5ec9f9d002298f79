//! The agent's two clocks: the machine's time since boot, on which leases are judged, and the wall, for people.
//!
//! CLOCK_BOOTTIME goes on while the machine is suspended, and reads the same in every process, so that a deadline can
//! be handed to a supervisor.

use encamp_model::Timestamp;
use nix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

use crate::core::Moment;

/// Where an agent's instants come from.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// The machine's clocks.
    System,
    /// Tokio's clock as if the machine had booted at `origin`: with paused time, virtual time.
    Virtual {
        /// What the wall clock read at `origin`.
        start: Timestamp,
        /// Tokio's instant of the boot.
        origin: Instant,
    },
}

impl Clock {
    /// A clock that follows tokio's time from now on. Make it inside the runtime.
    pub fn virtual_from(start: Timestamp) -> Self {
        Clock::Virtual { start, origin: Instant::now() }
    }

    /// Nanoseconds since boot.
    pub fn boot_ns(&self) -> u64 {
        match self {
            Clock::System => u64::try_from(read(ClockId::CLOCK_BOOTTIME)).unwrap_or(0),
            Clock::Virtual { origin, .. } => u64::try_from(origin.elapsed().as_nanos()).unwrap_or(u64::MAX),
        }
    }

    /// The wall clock.
    pub fn wall(&self) -> Timestamp {
        match self {
            Clock::System => Timestamp(read(ClockId::CLOCK_REALTIME)),
            Clock::Virtual { start, origin } => *start + origin.elapsed(),
        }
    }

    /// Now, with a random number.
    pub fn moment(&self) -> Moment {
        Moment { boot_ns: self.boot_ns(), wall: self.wall(), random: rand::random() }
    }
}

fn read(clock: ClockId) -> i64 {
    let time = clock_gettime(clock).expect("linux has these clocks");
    time.tv_sec().saturating_mul(1_000_000_000).saturating_add(time.tv_nsec())
}
