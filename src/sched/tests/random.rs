//! Random clusters: whatever people, nodes and agents do, every plan passes the checker, every World the audit, and
//! evaluator and planner come to an end at which nothing is left to do.

use std::time::Duration;

use encamp_model::{
    JobId, Key, NodeId,
    records::{ClientStatus, Desired, Gate},
};
use proptest::prelude::*;

use crate::{
    Fleet, Need,
    audit::{Law, audit_settled},
    harness::{Cluster, job, node},
    need, wake,
};

#[derive(Clone, Debug)]
enum Move {
    Join(u32, i64, bool),
    Gate(u32, u8),
    Intend(u32, bool),
    Apply(u8, Vec<String>),
    Stop(u8),
    Purge(u8),
    Force(u8),
    Say(usize, u8),
    Opaque(usize),
    Agents,
    Later(u64),
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

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        2 => (1..5_u32, 5..30_i64, any::<bool>()).prop_map(|(n, cpu, fast)| Move::Join(n, cpu * 100, fast)),
        2 => (1..5_u32, 0..4_u8).prop_map(|(n, g)| Move::Gate(n, g)),
        1 => (1..5_u32, any::<bool>()).prop_map(|(n, e)| Move::Intend(n, e)),
        6 => (0..3_u8, words()).prop_map(|(j, w)| Move::Apply(j, w)),
        1 => (0..3_u8).prop_map(Move::Stop),
        1 => (0..3_u8).prop_map(Move::Purge),
        1 => (0..3_u8).prop_map(Move::Force),
        6 => (any::<usize>(), 0..5_u8).prop_map(|(a, s)| Move::Say(a, s)),
        1 => any::<usize>().prop_map(Move::Opaque),
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

fn make(cluster: &mut Cluster, step: &Move) {
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
        Move::Opaque(nth) => {
            let ids: Vec<_> = cluster.world().allocs().map(|a| (a.node, a.id)).collect();
            if let Some((node, id)) = ids.get(nth % ids.len().max(1)) {
                cluster.store.put_raw(Key::Alloc(*node, *id), "{}");
            }
        }
        Move::Agents => cluster.agents(),
        Move::Later(secs) => cluster.now = cluster.now + Duration::from_secs(*secs),
        Move::Settle => cluster.settle(),
        Move::Stop(_) | Move::Purge(_) | Move::Force(_) => {}
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

/// Nothing is left to do, and looking again changes nothing.
fn at_rest(cluster: &mut Cluster) {
    cluster.settle();
    let world = cluster.world().clone();
    for (id, _) in world.jobs() {
        let left = need(&world, id, cluster.now);
        assert!(!matches!(left, Need::Now(_)), "{id} still needs {left:?}");
    }
    assert_eq!(wake(&world, &mut Fleet::new(), usize::MAX, &|_| false), Vec::new());
    let settled = audit_settled(&world);
    let settled: Vec<_> = settled.iter().filter(|f| f.law != Law::Stopped).collect();
    assert!(settled.is_empty(), "{settled:#?}");
    let jobs: Vec<JobId> = world.jobs().filter(|(_, e)| e.job.is_some()).map(|(id, _)| id.clone()).collect();
    let before = records(cluster);
    for id in jobs {
        cluster.evaluate(&id, false);
    }
    cluster.settle();
    assert_eq!(before, records(cluster), "a second look found something to do");
}

fn records(cluster: &Cluster) -> Vec<(encamp_model::AllocId, Desired, u64)> {
    cluster.world().allocs().map(|a| (a.id, a.record.desired, a.record.version)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, max_shrink_iters: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_plan_is_allowed_and_all_come_to_rest(
        first in prop::collection::vec(5..30_i64, 1..4),
        steps in prop::collection::vec(moves(), 1..40),
        budget in prop_oneof![Just(2_usize), Just(4096)],
    ) {
        let mut cluster = Cluster::new().with_budget(budget);
        for (n, cpu) in (1..).zip(first) {
            cluster.join(&node(n, &[&format!("cpu={}", cpu * 100), "meta.fast=true", "ports=20000-20002"]));
        }
        for step in &steps {
            make(&mut cluster, step);
        }
        at_rest(&mut cluster);
    }
}
