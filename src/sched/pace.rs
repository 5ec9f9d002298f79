//! How fast a changed job replaces what runs: `update`'s max_parallel and stagger.
//!
//! One floor for all reasons to stop: at least count − max_parallel *running* instances are left running. What does
//! not run costs nothing to replace; a successor counts from running. So a version that does not come up stalls.

use std::time::Duration;

use encamp_model::{
    Job, Timestamp,
    job::{JobType, TaskGroup},
};

/// Pause between two batches unless the job names one.
pub const STAGGER_DEFAULT: Duration = Duration::from_secs(30);

/// The update strategy that holds for a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Running instances replaced at a time.
    pub max_parallel: u32,
    /// Between two batches.
    pub stagger: Duration,
}

impl Pace {
    /// `None`: all at once (no strategy, max_parallel 0, or a batch job, for which `update` means nothing).
    pub fn of(job: &Job, group: &TaskGroup) -> Option<Pace> {
        if job.kind == JobType::Batch {
            return None;
        }
        let update = job.update_of(group)?;
        let max_parallel = u32::try_from(update.max_parallel.unwrap_or(0)).unwrap_or(0);
        let stagger =
            update.stagger.map_or(STAGGER_DEFAULT, |ns| Duration::from_nanos(ns.max(0).unsigned_abs()));
        (max_parallel > 0).then_some(Pace { max_parallel, stagger })
    }

    /// Running instances that must stay.
    pub fn floor(&self, count: usize) -> u32 {
        u32::try_from(count).unwrap_or(u32::MAX).saturating_sub(self.max_parallel)
    }
}

/// What replacing may begin now, and what the rest waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// Running instances that may be replaced now.
    pub(crate) now: usize,
    /// What the rest waits for once these are replaced.
    pub(crate) then: Wait,
}

/// What the next batch waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    Time(Timestamp),
    Floor(u32),
}

/// What a slower clock than the planner's may wait beyond two pauses before it asks, so that two loops whose clocks
/// differ a little never ask each other in vain.
const CLOCKS_APART: Duration = Duration::from_secs(60);

impl Pace {
    /// Did a clock far ahead of this one note when the last batch began? Then waiting for it could take any time; the
    /// floor holds all the same.
    pub(crate) fn is_ahead(&self, last: Timestamp, now: Timestamp) -> bool {
        last > now + self.stagger
    }

    /// Did a clock far ahead of this one say when the next batch is due?
    pub(crate) fn is_due_ahead(&self, due: Timestamp, now: Timestamp) -> bool {
        due > now + self.stagger + self.stagger + CLOCKS_APART
    }
}

/// `running` instances of `count` run; the last batch began at `last`.
pub(crate) fn allowance(
    pace: Option<Pace>,
    count: usize,
    running: u32,
    last: Option<Timestamp>,
    now: Timestamp,
) -> Allowance {
    let Some(pace) = pace else { return Allowance { now: usize::MAX, then: Wait::Floor(0) } };
    let due = last.map(|at| at + pace.stagger).filter(|due| *due > now);
    if let Some(due) = due {
        return Allowance { now: 0, then: Wait::Time(due) };
    }
    let floor = pace.floor(count);
    let free = running.saturating_sub(floor);
    let then = match (free > 0, pace.stagger.is_zero()) {
        (true, false) => Wait::Time(now + pace.stagger),
        _ => Wait::Floor(floor),
    };
    Allowance { now: free as usize, then }
}
