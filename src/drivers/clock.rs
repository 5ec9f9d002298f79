//! The clocks of this crate: wall time for records, boot time for deadlines across processes, monotonic for waiting.
//!
//! The supervisor is no part of the runtime and has no virtual time; these three functions are all it reads.

use encamp_model::Timestamp;
use nix::time::{ClockId, clock_gettime};

/// Wall time.
pub(crate) fn wall() -> Timestamp {
    Timestamp(i64::try_from(read(ClockId::CLOCK_REALTIME)).unwrap_or(i64::MAX))
}

/// Nanoseconds since boot, suspension included: equal in every process of the machine.
pub(crate) fn boot_ns() -> u64 {
    read(ClockId::CLOCK_BOOTTIME)
}

/// Milliseconds on a clock that only goes forward.
pub(crate) fn monotonic_ms() -> u64 {
    read(ClockId::CLOCK_MONOTONIC) / 1_000_000
}

fn read(clock: ClockId) -> u64 {
    let time = clock_gettime(clock).expect("linux has these clocks");
    let secs = u64::try_from(time.tv_sec()).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec()).unwrap_or(0);
    secs.saturating_mul(1_000_000_000).saturating_add(nanos)
}
