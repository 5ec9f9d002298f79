//! Pauses between attempts: growing, with jitter so that many agents don't come back at once.

use std::time::Duration;

/// Longest pause.
const MOST: Duration = Duration::from_secs(5);

/// Doubling pauses.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    /// From 100 ms to 5 s.
    pub(crate) fn usual() -> Self {
        Backoff { next: Duration::from_millis(100) }
    }

    /// The next pause.
    pub(crate) fn next_delay(&mut self) -> Duration {
        let delay = self.next.mul_f64(0.5 + rand::random::<f64>());
        self.next = (self.next * 2).min(MOST);
        delay
    }
}
