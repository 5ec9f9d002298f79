//! What happens after a task ended or could not be started: the restart policy as a value. No clock: instants come in.

use std::time::Duration;

use encamp_model::job::{JobType, RestartPolicy};
use serde::{Deserialize, Serialize};

/// What to do once the attempts of an interval are used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Wait for the next interval.
    Delay,
    /// Give up: the task is dead for good.
    Fail,
}

/// A complete policy: the task's fields over the group's over what the job's type says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Restarts allowed within `interval`; none at all means that nothing is ever restarted.
    pub attempts: u32,
    /// The window in which restarts are counted; it opens with the first end of a run.
    pub interval: Duration,
    /// Pause before a restart, without jitter.
    pub delay: Duration,
    /// What follows the last attempt.
    pub mode: Mode,
    /// A run that ended well is restarted too.
    pub on_success: bool,
}

impl Policy {
    /// The policy that holds for a task.
    pub fn of(kind: JobType, group: Option<&RestartPolicy>, task: Option<&RestartPolicy>) -> Self {
        let (attempts, interval, on_success) = match kind {
            JobType::Service => (2, Duration::from_secs(30 * 60), true),
            JobType::Batch => (3, Duration::from_secs(24 * 60 * 60), false),
        };
        let mut policy =
            Policy { attempts, interval, delay: Duration::from_secs(15), mode: Mode::Fail, on_success };
        for given in [group, task].into_iter().flatten() {
            policy.override_with(given);
        }
        policy
    }

    fn override_with(&mut self, given: &RestartPolicy) {
        if let Some(attempts) = given.attempts {
            self.attempts = u32::try_from(attempts.max(0)).unwrap_or(u32::MAX);
        }
        if let Some(interval) = given.interval {
            self.interval = nanos(interval);
        }
        if let Some(delay) = given.delay {
            self.delay = nanos(delay);
        }
        if let Some(mode) = &given.mode {
            self.mode = if mode == "delay" { Mode::Delay } else { Mode::Fail };
        }
        if let Some(on_success) = given.on_success {
            self.on_success = on_success;
        }
    }
}

/// What a task's ends so far used up. `boot_ns` everywhere is the machine's time since boot, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// When the present window opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened_ns: Option<u64>,
    /// Restarts in it.
    #[serde(default)]
    pub used: u32,
}

/// The answer to an end.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// The run ended well and that was all that was wanted.
    Done,
    /// Start again after this pause.
    Restart {
        /// Jitter included.
        delay: Duration,
        /// For people.
        reason: &'static str,
    },
    /// Dead for good.
    GiveUp {
        /// For people.
        reason: String,
    },
}

/// Most jitter, as a share of the delay.
const JITTER: f64 = 0.25;

/// What follows an end at `now_ns`. `jitter` is a random number in `[0, 1)`.
pub fn decide(policy: &Policy, history: &mut History, success: bool, now_ns: u64, jitter: f64) -> Decision {
    if success && !policy.on_success {
        return Decision::Done;
    }
    if policy.attempts == 0 {
        return Decision::GiveUp { reason: "the restart policy allows no restarts".to_owned() };
    }
    let interval_ns = as_ns(policy.interval);
    let open = history.opened_ns.filter(|opened| now_ns.saturating_sub(*opened) < interval_ns);
    let opened_ns = open.unwrap_or_else(|| {
        history.used = 0;
        now_ns
    });
    history.opened_ns = Some(opened_ns);
    if history.used < policy.attempts {
        history.used += 1;
        let delay = policy.delay + policy.delay.mul_f64(JITTER * jitter.clamp(0.0, 1.0));
        return Decision::Restart { delay, reason: "within the restart policy" };
    }
    let left = Duration::from_nanos(opened_ns.saturating_add(interval_ns).saturating_sub(now_ns));
    match policy.mode {
        Mode::Delay => {
            let delay = left.max(policy.delay) + policy.delay.mul_f64(JITTER * jitter.clamp(0.0, 1.0));
            Decision::Restart { delay, reason: "attempts used up, waiting for the next interval" }
        }
        Mode::Fail => Decision::GiveUp {
            reason: format!(
                "{} restart{} within {} did not help, and the mode is \"fail\"",
                policy.attempts,
                if policy.attempts == 1 { "" } else { "s" },
                human(policy.interval)
            ),
        },
    }
}

/// A duration as people write it: `16.2s`, `30m`, `24h`.
pub fn human(time: Duration) -> String {
    let secs = time.as_secs();
    match secs {
        0..60 => {
            let tenths = (time.as_secs_f64() * 10.0).round() / 10.0;
            format!("{tenths}s")
        }
        _ if secs.is_multiple_of(3600) => format!("{}h", secs / 3600),
        _ if secs.is_multiple_of(60) => format!("{}m", secs / 60),
        _ => format!("{}m{}s", secs / 60, secs % 60),
    }
}

fn nanos(value: i64) -> Duration {
    Duration::from_nanos(u64::try_from(value).unwrap_or(0))
}

fn as_ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
