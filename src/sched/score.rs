//! How good a node is for an instance: best fit, and away from its like.

use std::cmp::Reverse;

use encamp_model::{job::JobType, records::Ask};
use encamp_world::Room;

/// The better of two places is the greater one. Ties go to the lower node id, so that a plan can be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    /// Millionths of a point: fit, less the penalty for every instance of the group that is there.
    pub(crate) score: i64,
    /// Position in the order of ids.
    pub(crate) site: Reverse<usize>,
}

/// Points taken off for every instance of the same group on the node.
pub(crate) fn penalty(kind: JobType) -> i64 {
    match kind {
        JobType::Service => 10_000_000,
        // What runs to its end gains less from being spread.
        JobType::Batch => 5_000_000,
    }
}

/// Best fit as documented: 20 − (10^free_cpu + 10^free_memory), where free is the share that would be left. A full
/// node has 18 points, an empty one none.
pub(crate) fn fit(room: &Room, ask: Ask) -> i64 {
    let cpu = share_left(room.capacity.cpu, room.used.cpu + ask.cpu);
    let memory = share_left(room.capacity.memory_mb, room.used.memory_mb + ask.memory_mb);
    let points =
        20.0 - ((cpu * std::f64::consts::LOG2_10).exp2() + (memory * std::f64::consts::LOG2_10).exp2());
    // Between 0 and 18 million: the cast cannot cut anything.
    (points.clamp(0.0, 18.0) * 1e6).round() as i64
}

fn share_left(capacity: i64, used: i64) -> f64 {
    if capacity <= 0 {
        return 0.0;
    }
    ((capacity - used) as f64 / capacity as f64).clamp(0.0, 1.0)
}
