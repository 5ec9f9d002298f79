//! Random clusters: whatever people, nodes and agents do, every plan passes the checker, every World the audit, and
//! evaluator and planner come to an end at which nothing is left to do.

use encamp_model::{JobId, records::Desired};
use proptest::prelude::*;

use crate::{
    Fleet, Need,
    audit::{Law, audit_settled},
    harness::{
        Cluster,
        moves::{any_move, make},
        node,
    },
    need, wake,
};

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
        steps in prop::collection::vec(any_move(), 1..40),
        budget in prop_oneof![Just(2_usize), Just(4096)],
    ) {
        let mut cluster = Cluster::new().with_budget(budget);
        for (n, cpu) in (1..).zip(first) {
            cluster.join(&node(n, &[&format!("cpu={}", cpu * 100), "meta.fast=true", "ports=20000-20002"]));
        }
        for step in &steps {
            make(&mut cluster, step, &mut Cluster::settle);
        }
        at_rest(&mut cluster);
    }
}
