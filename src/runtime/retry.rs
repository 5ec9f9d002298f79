//! Exponential backoff, in one place. The `backoff` crate is used here and nowhere else (see Cargo.toml).

use std::{future::Future, time::Duration};

use backoff::{
    ExponentialBackoffBuilder, SystemClock, backoff::Backoff as _, exponential::ExponentialBackoff,
};
use tokio_util::sync::CancellationToken;

/// Growing delays: doubling from `first` to `most`.
#[derive(Debug)]
pub struct Backoff(ExponentialBackoff<SystemClock>);

impl Backoff {
    /// With jitter of half a delay in both directions, so that many processes don't come back at once.
    pub fn jittered(first: Duration, most: Duration) -> Self {
        Self::new(first, most, 0.5)
    }

    /// Without jitter: for values that must behave the same each time.
    pub fn exact(first: Duration, most: Duration) -> Self {
        Self::new(first, most, 0.0)
    }

    /// What connections to etcd use: 100 ms to 10 s.
    pub fn usual() -> Self {
        Self::jittered(Duration::from_millis(100), Duration::from_secs(10))
    }

    fn new(first: Duration, most: Duration, jitter: f64) -> Self {
        let builder = &mut ExponentialBackoffBuilder::new();
        let builder = builder.with_initial_interval(first).with_max_interval(most).with_multiplier(2.0);
        Backoff(builder.with_randomization_factor(jitter).with_max_elapsed_time(None).build())
    }

    /// The next delay.
    pub fn next_delay(&mut self) -> Duration {
        // Without a maximal elapsed time the crate always has another delay.
        self.0.next_backoff().unwrap_or(self.0.max_interval)
    }

    /// Starts over: the last try succeeded.
    pub fn reset(&mut self) {
        self.0.reset();
    }
}

/// Tries until `attempt` succeeds, with growing pauses. `None` if `shutdown` came first. Each failure is logged as
/// `what`.
pub async fn until_ok<T, E, F>(
    what: &str,
    shutdown: &CancellationToken,
    mut attempt: impl FnMut() -> F,
) -> Option<T>
where
    E: std::fmt::Display,
    F: Future<Output = Result<T, E>>,
{
    let mut backoff = Backoff::usual();
    loop {
        let failure = tokio::select! {
            result = attempt() => match result {
                Ok(value) => return Some(value),
                Err(error) => error,
            },
            () = shutdown.cancelled() => return None,
        };
        let delay = backoff.next_delay();
        tracing::warn!(error = %failure, retry_in_ms = delay.as_millis(), "{what} failed");
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = shutdown.cancelled() => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_most_and_start_over() {
        let mut backoff = Backoff::exact(Duration::from_millis(100), Duration::from_secs(1));
        let delays: Vec<u128> = (0..6).map(|_| backoff.next_delay().as_millis()).collect();
        assert_eq!(delays, [100, 200, 400, 800, 1000, 1000]);
        backoff.reset();
        assert_eq!(backoff.next_delay().as_millis(), 100);
    }
}
