//! Random moves of people, nodes and agents.

use std::time::Duration;

use encamp_model::{
    AllocId, JobId, Key, NodeId,
    records::{ClientStatus, Gate},
};
use proptest::prelude::*;

use super::{Cluster, job, node};

/// Something that happens to a cluster.
#[derive(Clone, Debug)]
pub enum Move {
    /// A node joins, or is of another size from now on; fast or not.
    Join(u32, i64, bool),
    /// Heartbeat's verdict on a node.
    Gate(u32, u8),
    /// What people want of a node.
    Intend(u32, bool),
    /// A job of a few words is registered.
    Apply(u8, Vec<String>),
    /// A job is stopped.
    Stop(u8),
    /// A job is purged.
    Purge(u8),
    /// A forced evaluation is asked for.
    Force(u8),
    /// A node says something of an allocation.
    Say(usize, u8),
    /// A record becomes unreadable.
    Opaque(usize),
    /// What a node says of an allocation becomes unreadable.
    Unread(usize),
    /// All agents do what they were told.
    Agents,
    /// Seconds pass.
    Later(u64),
    /// The loops come to rest.
    Settle,
}

fn words() -> impl Strategy<Value = Vec<String>> {
    let one = prop_oneof![
        (0..6_i64).prop_map(|n| format!("count={n}")),
        (1..10_i64).prop_map(|n| format!("cpu={}", n * 100)),
        (0..3_u8).prop_map(|v| format!("env={v}")),
        (0..2_u8).prop_map(|v| format!("restart={v}")),
        (1..3_u8, 0..2_u8).prop_map(|(p, s)| format!("update={p}/{}", s * 20)),
        Just("type=batch".to_owned()),
        Just("static=http:80".to_owned()),
        Just("dyn=web".to_owned()),
        Just("distinct_hosts".to_owned()),
        Just("constraint=${meta.fast}|=|true".to_owned()),
        (1..99_u8).prop_map(|p| format!("priority={p}")),
        Just("+".to_owned()),
    ];
    prop::collection::vec(one, 0..6)
}

/// Any move, the likely ones more often.
pub fn any_move() -> impl Strategy<Value = Move> {
    prop_oneof![
        2 => (1..5_u32, 5..30_i64, any::<bool>()).prop_map(|(n, cpu, fast)| Move::Join(n, cpu * 100, fast)),
        2 => (1..5_u32, 0..4_u8).prop_map(|(n, g)| Move::Gate(n, g)),
        1 => (1..5_u32, any::<bool>()).prop_map(|(n, e)| Move::Intend(n, e)),
        6 => (0..3_u8, words()).prop_map(|(j, w)| Move::Apply(j, w)),
        1 => (0..3_u8).prop_map(Move::Stop),
        1 => (0..3_u8).prop_map(Move::Purge),
        1 => (0..3_u8).prop_map(Move::Force),
        8 => (any::<usize>(), 0..5_u8).prop_map(|(a, s)| Move::Say(a, s)),
        1 => any::<usize>().prop_map(Move::Opaque),
        1 => any::<usize>().prop_map(Move::Unread),
        4 => Just(Move::Agents),
        2 => (1..40_u64).prop_map(Move::Later),
        6 => Just(Move::Settle),
    ]
}

fn job_id(n: u8) -> JobId {
    JobId::new("default", format!("job{n}"))
}

fn is_there(cluster: &Cluster, n: u8) -> bool {
    cluster.world().job(&job_id(n)).is_some_and(|entry| entry.job.is_some())
}

/// Makes a move; `settle` brings the loops to rest.
pub fn make(cluster: &mut Cluster, step: &Move, settle: &mut dyn FnMut(&mut Cluster)) {
    match step {
        Move::Join(n, cpu, fast) => {
            cluster
                .join(&node(*n, &[&format!("cpu={cpu}"), &format!("meta.fast={fast}"), "ports=20000-20002"]));
        }
        Move::Gate(n, gate) => {
            let (gate, eligible) =
                [(Gate::Ready, true), (Gate::Down, true), (Gate::Disconnected, true), (Gate::Ready, false)]
                    [usize::from(*gate)];
            cluster.gate(NodeId::from_bits(u128::from(*n)), gate, eligible);
        }
        Move::Intend(n, eligible) => cluster.intend(NodeId::from_bits(u128::from(*n)), *eligible),
        Move::Apply(n, words) => {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            cluster.apply(&job(&format!("job{n}"), &words));
        }
        Move::Stop(n) if is_there(cluster, *n) => {
            let mut job =
                cluster.world().job(&job_id(*n)).and_then(|e| e.job.clone()).expect("there").value.clone();
            job.stop = true;
            cluster.apply(&job);
        }
        Move::Purge(n) if is_there(cluster, *n) => cluster.purge(&job_id(*n)),
        Move::Force(n) if is_there(cluster, *n) => cluster.evaluate(&job_id(*n), true),
        Move::Say(nth, status) => say(cluster, *nth, *status),
        Move::Opaque(nth) => garble(cluster, *nth, Key::Alloc),
        Move::Unread(nth) => garble(cluster, *nth, Key::AllocStatus),
        Move::Agents => cluster.agents(),
        Move::Later(secs) => cluster.now = cluster.now + Duration::from_secs(*secs),
        Move::Settle => settle(cluster),
        Move::Stop(_) | Move::Purge(_) | Move::Force(_) => {}
    }
}

fn garble(cluster: &mut Cluster, nth: usize, key: fn(NodeId, AllocId) -> Key) {
    let ids: Vec<_> = cluster.world().allocs().map(|a| (a.node, a.id)).collect();
    if let Some((node, id)) = ids.get(nth % ids.len().max(1)) {
        cluster.garble(key(*node, *id));
    }
}

/// Something that an agent may say of an allocation that has not ended.
fn say(cluster: &mut Cluster, nth: usize, status: u8) {
    let open: Vec<_> = cluster.world().allocs().filter(|a| !a.is_terminal()).cloned().collect();
    let Some(alloc) = open.get(nth % open.len().max(1)) else { return };
    let status = match status {
        0 => ClientStatus::Failed,
        1 => ClientStatus::Complete,
        2 if alloc.said() == ClientStatus::Pending => ClientStatus::Refused,
        3 => ClientStatus::Pending,
        _ => ClientStatus::Running,
    };
    cluster.say(alloc.id, status);
}
