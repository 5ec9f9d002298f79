//! The loop driven by its own `dirty`, beside an evaluator that misses nothing.

use encamp_model::{
    AllocId, ClusterUid, InstanceId, Key, Unit,
    records::{Desired, EvalStatus, Gate, StopReason, Want},
};
use encamp_sched::{
    audit::{Law, audit_settled},
    harness::{
        Cluster, Driver, job,
        moves::{any_move, make},
        node,
    },
};
use proptest::prelude::*;

use super::*;

/// Planner and evaluator until neither has anything to write.
fn rest(driver: &mut Driver<Planner>, cluster: &mut Cluster) {
    for _ in 0..500 {
        let planned = driver.run(cluster);
        let called = cluster.call();
        if !called && !planned {
            return;
        }
    }
    panic!("no end");
}

fn web() -> JobId {
    JobId::new("default", "web")
}

fn context(cluster: &Cluster) -> Cx {
    Cx::new(Planner::NAME, ClusterUid::from_bits(1), InstanceId::from_bits(1), 1, cluster.now)
}

fn fleet_of(nodes: u32, words: &[&str]) -> Cluster {
    let mut cluster = Cluster::new();
    (1..=nodes).for_each(|n| cluster.join(&node(n, words)));
    cluster
}

fn answers(units: &[Unit]) -> usize {
    units.iter().flat_map(|unit| &unit.writes).filter(|write| matches!(write.key(), Key::Eval(_))).count()
}

#[test]
fn a_small_job_is_placed_and_answered_in_one_unit() {
    let mut cluster = fleet_of(3, &[]);
    cluster.apply(&job("web", &["count=5"]));
    let outcome = Planner::new().reconcile(&web(), cluster.world(), &mut context(&cluster));
    assert_eq!((outcome.units.len(), outcome.units[0].placed.len(), answers(&outcome.units)), (1, 5, 1));
}

#[test]
fn a_large_one_is_answered_by_the_run_after() {
    let mut cluster = fleet_of(30, &["cpu=4000", "mem=4000"]);
    cluster.apply(&job("web", &["count=200", "cpu=10", "mem=10"]));
    let mut planner = Planner::new();
    let mut cx = context(&cluster);
    let first = planner.reconcile(&web(), cluster.world(), &mut cx);
    assert_eq!((first.units.len(), answers(&first.units), first.cut), (200, 0, true));
    first.units.iter().for_each(|unit| cluster.write(unit));
    let second = planner.reconcile(&web(), cluster.world(), &mut cx);
    assert_eq!((second.units.len(), answers(&second.units)), (1, 1));
}

#[test]
fn a_run_is_cut_at_its_budget_and_goes_on() {
    let mut cluster = fleet_of(3, &[]);
    cluster.apply(&job("web", &["count=10"]));
    let mut driver = Driver::new(Planner::new(), &cluster).with_budget(4);
    rest(&mut driver, &mut cluster);
    assert_eq!(cluster.world().allocs().count(), 10);
    assert_eq!(audit_settled(cluster.world()), Vec::new());
}

#[test]
fn room_that_is_only_assumed_blocks_nobody_for_good() {
    let mut cluster = fleet_of(1, &[]);
    cluster.apply(&job("other", &["cpu=1000"]));
    let other =
        Planner::new().reconcile(&JobId::new("default", "other"), cluster.world(), &mut context(&cluster));
    cluster.store.assume(&other.units[0].placed);
    cluster.apply(&job("web", &["cpu=1000"]));
    // The other's placement is on its way: it is too early to say that this one has to wait.
    let early = Planner::new().reconcile(&web(), cluster.world(), &mut context(&cluster));
    assert!(early.units.is_empty() && early.again.is_some(), "{early:?}");
    // It is seen to have landed: now it is certain.
    cluster.write(&other.units[0]);
    let late = Planner::new().reconcile(&web(), cluster.world(), &mut context(&cluster));
    assert_eq!((late.units.len(), answers(&late.units)), (1, 1));
}

#[test]
fn distinct_hosts_is_not_waited_for_as_if_it_were_assumed_room() {
    let mut cluster = fleet_of(1, &[]);
    cluster.apply(&job("other", &[]));
    let other =
        Planner::new().reconcile(&JobId::new("default", "other"), cluster.world(), &mut context(&cluster));
    cluster.store.assume(&other.units[0].placed);
    cluster.apply(&job("web", &["count=2", "distinct_hosts"]));
    let outcome = Planner::new().reconcile(&web(), cluster.world(), &mut context(&cluster));
    assert_eq!((outcome.again, answers(&outcome.units)), (None, 1), "{outcome:?}");
}

#[test]
fn a_port_that_the_node_reserves_is_not_handed_on_to_a_successor() {
    let mut cluster = fleet_of(1, &["ports=20000-20000"]);
    cluster.apply(&job("web", &["dyn=http"]));
    let mut driver = Driver::new(Planner::new(), &cluster);
    rest(&mut driver, &mut cluster);
    cluster.join(&node(1, &["ports=20000-20000", "reserved=20000"]));
    cluster.apply(&job("web", &["dyn=http", "env=new"]));
    rest(&mut driver, &mut cluster);
    assert_eq!(cluster.world().allocs().map(|a| a.record.version).collect::<Vec<_>>(), [0]);
}

#[test]
fn an_unreadable_job_or_state_is_left_alone() {
    for key in [Key::Job(web()), Key::JobState(web())] {
        let mut cluster = fleet_of(1, &[]);
        cluster.apply(&job("web", &[]));
        cluster.garble(key);
        let outcome = Planner::new().reconcile(&web(), cluster.world(), &mut context(&cluster));
        assert!(outcome.units.is_empty(), "{outcome:?}");
    }
}

#[test]
fn a_declaration_without_a_uid_stops_nothing() {
    let mut cluster = fleet_of(1, &[]);
    cluster.apply(&job("web", &["count=2"]));
    let mut driver = Driver::new(Planner::new(), &cluster);
    rest(&mut driver, &mut cluster);
    cluster.evaluate(&web(), false);
    let mut nameless = job("web", &["count=2"]);
    nameless.uid = None;
    cluster.put(Key::Job(web()), &nameless);
    let needed = encamp_sched::need(cluster.world(), &web(), cluster.now);
    assert_eq!(needed, encamp_sched::Need::Nothing);
    rest(&mut driver, &mut cluster);
    assert!(cluster.world().allocs().all(|a| a.record.desired == Desired::Run));
}

#[test]
fn a_placement_loses_against_gate_intent_and_job() {
    let race = |change: fn(&mut Cluster)| {
        let mut cluster = fleet_of(1, &[]);
        cluster.apply(&job("web", &[]));
        let outcome = Planner::new().reconcile(&web(), cluster.world(), &mut context(&cluster));
        change(&mut cluster);
        cluster.store.apply(&outcome.units[0]).is_err()
    };
    let n1 = encamp_model::NodeId::from_bits(1);
    assert_eq!(n1, node(1, &[]).id);
    assert!(race(|c| c.gate(encamp_model::NodeId::from_bits(1), Gate::Ready, false)));
    assert!(race(|c| c.intend(encamp_model::NodeId::from_bits(1), false)));
    assert!(race(|c| {
        c.apply(&job("web", &["count=2"]));
    }));
    assert!(race(|c| c.purge(&web())));
    assert!(!race(|c| {
        c.apply(&job("other", &[]));
    }));
}

#[test]
fn evaluations_of_a_purged_job_are_canceled_after_its_work_is_told_to_stop() {
    let mut cluster = fleet_of(20, &["cpu=4000", "mem=4000"]);
    cluster.apply(&job("web", &["count=150", "cpu=10", "mem=10"]));
    let mut driver = Driver::new(Planner::new(), &cluster);
    rest(&mut driver, &mut cluster);
    cluster.evaluate(&web(), false);
    cluster.purge(&web());
    rest(&mut driver, &mut cluster);
    let world = cluster.world();
    assert!(world.allocs().all(|a| a.record.reason == Some(StopReason::JobPurged)));
    let mut statuses: Vec<EvalStatus> = world.evals().map(|(_, eval)| eval.status).collect();
    statuses.sort();
    assert_eq!(statuses, [EvalStatus::Complete, EvalStatus::Complete, EvalStatus::Canceled]);
    let stops = cluster
        .log
        .iter()
        .position(|unit| answers(std::slice::from_ref(unit)) == 2)
        .expect("answered at once");
    assert_eq!(stops, cluster.log.len() - 1, "the last thing of all");
}

#[test]
fn what_has_ended_of_a_purged_job_is_not_written_so_that_gc_may_delete_it_meanwhile() {
    let mut cluster = fleet_of(2, &[]);
    cluster.apply(&job("web", &["count=3"]));
    let mut driver = Driver::new(Planner::new(), &cluster);
    rest(&mut driver, &mut cluster);
    cluster.agents();
    let ended: Vec<AllocId> = cluster.world().allocs().take(2).map(|a| a.id).collect();
    cluster.say(ended[0], encamp_model::records::ClientStatus::Failed);
    cluster.say(ended[1], encamp_model::records::ClientStatus::Complete);
    cluster.purge(&web());
    let outcome = Planner::new().reconcile(&web(), cluster.world(), &mut context(&cluster));
    for id in &ended {
        let node = cluster.world().alloc(*id).expect("not deleted yet").node;
        cluster.store.delete(Key::Alloc(node, *id));
    }
    outcome.units.iter().for_each(|unit| cluster.write(unit));
    assert_eq!(answers(&outcome.units), 1, "one stop and the answer");
    let left: Vec<_> = cluster.world().allocs().map(|a| a.record.reason).collect();
    assert_eq!(left, [Some(StopReason::JobPurged)]);
}

#[test]
fn ended_work_of_a_purged_job_needs_no_run() {
    let mut cluster = fleet_of(1, &[]);
    cluster.apply(&job("web", &["count=2"]));
    let mut driver = Driver::new(Planner::new(), &cluster);
    rest(&mut driver, &mut cluster);
    let ids: Vec<AllocId> = cluster.world().allocs().map(|a| a.id).collect();
    ids.iter().for_each(|id| cluster.say(*id, encamp_model::records::ClientStatus::Failed));
    cluster.purge(&web());
    rest(&mut driver, &mut cluster);
    assert!(cluster.world().allocs().all(|a| a.record.desired == Desired::Run));
    let left = encamp_sched::need(cluster.world(), &web(), cluster.now);
    assert_eq!(left, encamp_sched::Need::Nothing);
}

#[test]
fn a_want_remembers_the_last_world_that_it_was_tried_on() {
    let mut cluster = fleet_of(1, &[]);
    cluster.apply(&job("web", &["cpu=5000"]));
    let mut driver = Driver::new(Planner::new(), &cluster);
    rest(&mut driver, &mut cluster);
    let revision = |cluster: &Cluster| {
        let state = cluster.world().job(&web()).and_then(|e| e.state.clone()).expect("it waits");
        match state.wants["app"].as_slice() {
            [Want::Room { revision, .. }] => *revision,
            other => panic!("{other:?}"),
        }
    };
    let first = revision(&cluster);
    cluster.evaluate(&web(), false);
    rest(&mut driver, &mut cluster);
    assert_eq!(revision(&cluster), first, "no node changed: nothing is written");
    cluster.join(&node(2, &[]));
    cluster.evaluate(&web(), false);
    rest(&mut driver, &mut cluster);
    assert!(revision(&cluster) > first, "the new node was tried, too");
}

#[test]
fn very_many_evaluations_are_answered_in_several_runs() {
    let mut cluster = fleet_of(1, &[]);
    cluster.apply(&job("web", &[]));
    (0..100).for_each(|_| cluster.evaluate(&web(), false));
    let mut driver = Driver::new(Planner::new(), &cluster);
    rest(&mut driver, &mut cluster);
    assert!(cluster.world().evals().all(|(_, eval)| eval.status == EvalStatus::Complete));
    assert_eq!(cluster.world().allocs().count(), 1);
}

#[test]
fn a_failover_between_two_batches_keeps_their_distance() {
    let mut cluster = fleet_of(40, &["cpu=4000", "mem=4000"]);
    let words = ["count=300", "cpu=10", "mem=10", "update=100/30"];
    cluster.apply(&job("web", &words));
    let mut driver = Driver::new(Planner::new(), &cluster);
    rest(&mut driver, &mut cluster);
    cluster.agents();
    cluster.apply(&job("web", &[&words[..], &["env=new"]].concat()));
    let first = Planner::new().reconcile(&web(), cluster.world(), &mut context(&cluster));
    assert_eq!((first.units.len(), answers(&first.units)), (100, 0), "a batch too large for one unit");
    first.units.iter().for_each(|unit| cluster.write(unit));
    // The leader dies before it could note when that was; the new version runs at once.
    cluster.agents();
    assert!(cluster.world().job(&web()).is_some_and(|entry| entry.state.is_none()));
    cluster.now = cluster.now + std::time::Duration::from_secs(10);
    let mut driver = Driver::new(Planner::new(), &cluster);
    rest(&mut driver, &mut cluster);
    let of_version = |cluster: &Cluster, version| {
        let wanted = cluster.world().allocs().filter(|a| a.record.desired == Desired::Run);
        wanted.filter(|a| a.record.version == version).count()
    };
    assert_eq!(of_version(&cluster, 1), 100, "thirty seconds have not passed");
    cluster.now = cluster.now + std::time::Duration::from_secs(20);
    rest(&mut driver, &mut cluster);
    assert_eq!(of_version(&cluster, 1), 200);
}

#[test]
fn a_batch_noted_by_a_clock_far_ahead_does_not_hold_up_the_next() {
    let mut cluster = fleet_of(2, &[]);
    let words = ["count=4", "update=2/30"];
    cluster.apply(&job("web", &words));
    let mut driver = Driver::new(Planner::new(), &cluster);
    rest(&mut driver, &mut cluster);
    cluster.agents();
    cluster.now = cluster.now + std::time::Duration::from_secs(3600);
    cluster.apply(&job("web", &[&words[..], &["env=new"]].concat()));
    rest(&mut driver, &mut cluster);
    cluster.agents();
    // The next leader's clock is an hour behind.
    cluster.now = encamp_model::Timestamp::from_secs(1000);
    let mut driver = Driver::new(Planner::new(), &cluster);
    rest(&mut driver, &mut cluster);
    let wanted = cluster.world().allocs().filter(|a| a.record.desired == Desired::Run);
    assert!(wanted.map(|a| a.record.version).all(|version| version == 1));
}

#[test]
fn any_count_is_looked_at_in_bounded_time() {
    let mut cluster = fleet_of(1, &[]);
    cluster.apply(&job("web", &["count=4000000000", "cpu=1"]));
    let mut driver = Driver::new(Planner::new(), &cluster);
    rest(&mut driver, &mut cluster);
    let state = cluster.world().job(&web()).and_then(|e| e.state.clone()).expect("it waits");
    let placed = u32::try_from(cluster.world().allocs().count()).expect("a few");
    assert_eq!(placed, 10, "as many as there is memory for");
    assert!(
        matches!(&state.wants["app"][..], [Want::Room { count, .. }] if *count == 4_000_000_000 - placed)
    );
}

#[test]
fn reasons_of_very_many_groups_fit_into_one_answer() {
    let mut cluster = fleet_of(20, &[]);
    let words: Vec<&str> = (0..1500).flat_map(|_| ["constraint=${attr.nothing}|=|1", "+"]).collect();
    cluster.apply(&job("web", &words));
    cluster.evaluate(&web(), false);
    let mut driver = Driver::new(Planner::new(), &cluster);
    rest(&mut driver, &mut cluster);
    let state = cluster.world().job(&web()).and_then(|e| e.state.clone()).expect("it waits");
    assert_eq!(state.wants.len(), 1500, "the last group fits");
    assert!(cluster.world().evals().all(|(_, eval)| eval.status == EvalStatus::Complete));
}

#[test]
fn an_ask_beyond_all_numbers_fits_nowhere() {
    let mut cluster = fleet_of(1, &[]);
    cluster.apply(&job("web", &["cpu=9223372036854775807", "+", "cpu=-5"]));
    let mut driver = Driver::new(Planner::new(), &cluster);
    rest(&mut driver, &mut cluster);
    let world = cluster.world();
    assert!(world.allocs().all(|a| a.record.ask.cpu == 0), "nothing is taken off");
    assert_eq!(world.allocs().count(), 1);
}

#[test]
fn the_same_world_gives_the_same_plan() {
    let mut cluster = fleet_of(5, &[]);
    cluster.apply(&job("web", &["count=9", "dyn=http"]));
    let plan = || Planner::new().reconcile(&web(), cluster.world(), &mut context(&cluster)).units;
    assert_eq!(plan(), plan());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_evaluation_is_missed(steps in prop::collection::vec(any_move(), 1..40), budget in 1..6_usize) {
        let mut cluster = Cluster::new();
        cluster.join(&node(1, &["ports=20000-20002", "meta.fast=true"]));
        let mut driver = Driver::new(Planner::new(), &cluster).with_budget(budget);
        for step in &steps {
            make(&mut cluster, step, &mut |cluster| rest(&mut driver, cluster));
        }
        rest(&mut driver, &mut cluster);
        let found = audit_settled(cluster.world());
        let found: Vec<_> = found.iter().filter(|f| f.law != Law::Stopped).collect();
        assert!(found.is_empty(), "{found:#?}");
        let wanted: Vec<AllocId> =
            cluster.world().allocs().filter(|a| a.record.desired == Desired::Run).map(|a| a.id).collect();
        assert!(wanted.iter().all(|id| cluster.world().alloc(*id).is_some()));
    }
}
