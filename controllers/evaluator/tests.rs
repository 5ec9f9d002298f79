//! The loop driven by its own `dirty`, beside a planner that does all it can.

use std::time::Duration;

use encamp_model::{
    JobId,
    records::{ClientStatus, Gate, Trigger},
};
use encamp_sched::{
    Fleet, Need,
    harness::{
        Cluster, Driver, job,
        moves::{any_move, make},
        node,
    },
    need, wake,
};
use proptest::prelude::*;

use super::*;

/// Evaluator and planner until neither has anything to write.
fn rest(driver: &mut Driver<Evaluator>, cluster: &mut Cluster) {
    for _ in 0..500 {
        let called = driver.run(cluster);
        let planned = cluster.plan_all();
        if !called && !planned {
            return;
        }
    }
    panic!("no end");
}

fn pending(cluster: &Cluster, name: &str) -> Vec<Trigger> {
    let world = cluster.world();
    let entry = world.job(&JobId::new("default", name));
    let evals = entry.into_iter().flat_map(|entry| &entry.pending);
    evals.filter_map(|id| world.eval(*id)).map(|eval| eval.trigger).collect()
}

fn running(words: &[&str]) -> (Cluster, Driver<Evaluator>) {
    let mut cluster = Cluster::new();
    cluster.join(&node(1, &[]));
    cluster.join(&node(2, &[]));
    cluster.apply(&job("web", words));
    let mut driver = Driver::new(Evaluator::new(), &cluster);
    rest(&mut driver, &mut cluster);
    cluster.agents();
    rest(&mut driver, &mut cluster);
    (cluster, driver)
}

#[test]
fn a_lost_node_calls_for_its_jobs_only_and_once() {
    let (mut cluster, mut driver) = running(&["count=2"]);
    cluster.apply(&job("other", &["constraint=${node.unique.name}|=|n2"]));
    rest(&mut driver, &mut cluster);
    cluster.gate(NodeIdOf::n(1), Gate::Down, true);
    assert!(driver.run(&mut cluster));
    assert_eq!(pending(&cluster, "web"), [Trigger::NodeUpdate]);
    assert_eq!(pending(&cluster, "other"), []);
    let told: Vec<_> = cluster.world().evals().filter_map(|(_, eval)| eval.node).collect();
    assert_eq!(told, [NodeIdOf::n(1)]);
    assert!(!driver.run(&mut cluster), "one is enough");
}

#[test]
fn a_record_that_could_not_be_read_calls_for_its_job_once_it_is_gone() {
    let (mut cluster, mut driver) = running(&["count=2"]);
    let alloc = cluster.world().allocs().next().expect("placed").clone();
    let key = Key::Alloc(alloc.node, alloc.id);
    cluster.garble(key.clone());
    rest(&mut driver, &mut cluster);
    assert_eq!(cluster.world().allocs().count(), 1, "its name is held");
    let changes = cluster.store.delete(key);
    cluster.changes.extend(changes);
    assert!(driver.run(&mut cluster));
    assert_eq!(pending(&cluster, "web"), [Trigger::Scheduled]);
}

#[test]
fn a_refused_instance_calls_for_its_job() {
    let mut cluster = Cluster::new();
    cluster.join(&node(1, &[]));
    cluster.apply(&job("web", &[]));
    let mut driver = Driver::new(Evaluator::new(), &cluster);
    rest(&mut driver, &mut cluster);
    let id = cluster.world().allocs().next().expect("placed").id;
    cluster.say(id, ClientStatus::Refused);
    driver.run(&mut cluster);
    assert_eq!(pending(&cluster, "web"), [Trigger::AllocStop]);
}

#[test]
fn a_node_that_no_longer_meets_a_changed_constraint_calls_for_its_jobs() {
    let (mut cluster, mut driver) = running(&["count=1"]);
    cluster.join(&node(1, &["meta.fast=true"]));
    cluster.apply(&job("web", &["count=1", "constraint=${meta.fast}|=|true"]));
    rest(&mut driver, &mut cluster);
    assert_eq!(cluster.world().allocs().count(), 1, "it may stay");
    cluster.join(&node(1, &["meta.fast=false"]));
    driver.run(&mut cluster);
    assert_eq!(pending(&cluster, "web"), [Trigger::Scheduled]);
}

#[test]
fn an_instant_comes_by_the_clock_alone() {
    let (mut cluster, mut driver) = running(&["count=2", "update=1/30"]);
    cluster.apply(&job("web", &["count=2", "update=1/30", "env=new"]));
    rest(&mut driver, &mut cluster);
    cluster.agents();
    rest(&mut driver, &mut cluster);
    cluster.now = cluster.now + Duration::from_secs(29);
    assert!(!driver.run(&mut cluster));
    cluster.now = cluster.now + Duration::from_secs(1);
    assert!(driver.run(&mut cluster));
    assert_eq!(pending(&cluster, "web"), [Trigger::RollingUpdate]);
}

#[test]
fn the_evaluation_that_was_announced_is_the_one_that_is_made() {
    let mut cluster = Cluster::new();
    let asked = cluster.apply(&job("web", &[]));
    let mut driver = Driver::new(Evaluator::new(), &cluster);
    rest(&mut driver, &mut cluster);
    let id = JobId::new("default", "web");
    let announced = cluster.world().job(&id).and_then(|e| e.state.as_ref()).expect("it waits").next;
    cluster.join(&node(1, &[]));
    driver.run(&mut cluster);
    let eval = cluster.world().eval(announced).expect("made under the announced id");
    assert_eq!((eval.previous, eval.trigger), (Some(asked), Trigger::QueuedAllocs));
    assert_eq!(eval.node, cluster.world().nodes().next().map(|(id, _)| id));
}

#[test]
fn one_freed_slot_wakes_one_of_many() {
    let mut cluster = Cluster::new();
    cluster.join(&node(1, &["cpu=100"]));
    for n in 0..300 {
        cluster.apply(&job(&format!("j{n:03}"), &[]));
    }
    let mut driver = Driver::new(Evaluator::new(), &cluster);
    rest(&mut driver, &mut cluster);
    cluster.join(&node(2, &["cpu=300", "mem=1000"]));
    let made = cluster.log.len();
    rest(&mut driver, &mut cluster);
    let evals =
        cluster.log[made..].iter().filter(|unit| unit.guards.iter().any(|g| matches!(g.key(), Key::Eval(_))));
    // Three are called and three answered: nobody else is looked at.
    assert_eq!(evals.count(), 6);
    assert_eq!(cluster.world().allocs().count(), 4);
}

#[test]
fn a_call_in_flight_is_not_made_again() {
    let (mut cluster, _) = running(&["count=2"]);
    cluster.gate(NodeIdOf::n(1), Gate::Down, true);
    let world = cluster.world().clone();
    let mut evaluator = Evaluator::new();
    let ids = (encamp_model::ClusterUid::from_bits(1), encamp_model::InstanceId::from_bits(1));
    let mut cx = Cx::new(Evaluator::NAME, ids.0, ids.1, 1, cluster.now);
    let work = Work::Job(JobId::new("default", "web"));
    assert_eq!(evaluator.reconcile(&work, &world, &mut cx).units.len(), 1);
    assert_eq!(evaluator.reconcile(&work, &world, &mut cx).units.len(), 0, "the World does not show it yet");
    evaluator.reset();
    assert_eq!(evaluator.reconcile(&work, &world, &mut cx).units.len(), 1, "assumptions end with the epoch");
}

/// Node ids of the harness.
struct NodeIdOf;

impl NodeIdOf {
    fn n(number: u128) -> encamp_model::NodeId {
        encamp_model::NodeId::from_bits(number)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_change_is_missed(steps in prop::collection::vec(any_move(), 1..40)) {
        let mut cluster = Cluster::new();
        cluster.join(&node(1, &["ports=20000-20002", "meta.fast=true"]));
        let mut driver = Driver::new(Evaluator::new(), &cluster);
        for step in &steps {
            make(&mut cluster, step, &mut |cluster| rest(&mut driver, cluster));
        }
        rest(&mut driver, &mut cluster);
        let world = cluster.world();
        for (id, _) in world.jobs() {
            let left = need(world, id, cluster.now);
            assert!(!matches!(left, Need::Now(_)), "{id} still needs {left:?}");
        }
        assert_eq!(wake(world, &mut Fleet::new(), usize::MAX, &|_| false), Vec::new());
    }
}
