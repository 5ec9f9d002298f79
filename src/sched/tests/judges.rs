//! Each rule of the checker and each law of the audit, proved by a mutation that it rejects.

use encamp_model::{
    AllocId, EvalId, Guard, JobId, JobUid, Key, NodeId, Timestamp, Unit, Write,
    records::{
        AllocRecord, AllocStatus, ClientStatus, Desired, Eval, EvalStatus, Gate, JobState, StopReason,
        Trigger,
    },
};
use encamp_world::testing::{TestWorld, objects};

use crate::{
    audit::{Law, audit, audit_settled},
    check::{Rule, check},
    harness::{Cluster, job, node},
};

fn web() -> JobId {
    JobId::new("default", "web")
}

fn node_id(n: u32) -> NodeId {
    NodeId::from_bits(u128::from(n))
}

/// A cluster in which `web` has an update pending that replaces two of three in place of the old ones, and a plan.
fn updating() -> (Cluster, Vec<Unit>) {
    let mut cluster = Cluster::new();
    cluster.join(&node(1, &["cpu=600"]));
    cluster.join(&node(2, &["cpu=600"]));
    cluster.join(&node(3, &["dc=dc2", "cpu=600"]));
    cluster.apply(&job("web", &["dc=dc1", "count=2", "cpu=500", "static=http:80", "update=2/30"]));
    cluster.settle();
    cluster.agents();
    cluster.apply(&job("web", &["dc=dc1", "count=2", "cpu=600", "static=http:80", "update=2/30", "env=new"]));
    let units = cluster.plan(&web());
    assert_eq!(units.len(), 1, "a small plan is one unit");
    (cluster, units)
}

fn rules(cluster: &Cluster, units: &[Unit]) -> Vec<Rule> {
    let mut rules: Vec<Rule> =
        check(cluster.world(), &web(), units, cluster.now).iter().map(|v| v.rule).collect();
    rules.sort();
    rules.dedup();
    rules
}

/// Changes the record of each write of an allocation that `pick` chooses; placements keep in step.
fn edit(unit: &mut Unit, pick: impl Fn(&AllocRecord) -> bool, change: impl Fn(&mut AllocRecord)) {
    for write in &mut unit.writes {
        let Write::Put(key @ Key::Alloc(..), json) = write else { continue };
        let mut record: AllocRecord = serde_json::from_slice(json).expect("a record");
        if pick(&record) {
            change(&mut record);
            *write = Write::Put(key.clone(), serde_json::to_vec(&record).expect("a record"));
            return;
        }
    }
    panic!("nothing to mutate");
}

fn new(record: &AllocRecord) -> bool {
    record.desired == Desired::Run
}

fn old(record: &AllocRecord) -> bool {
    record.desired == Desired::Stop
}

fn drop_guard(unit: &mut Unit, which: impl Fn(&Guard) -> bool) {
    let before = unit.guards.len();
    unit.guards.retain(|guard| !which(guard));
    assert_ne!(unit.guards.len(), before, "nothing to drop");
}

fn edit_eval(unit: &mut Unit, change: impl Fn(&mut Eval)) {
    for write in &mut unit.writes {
        let Write::Put(key @ Key::Eval(_), json) = write else { continue };
        let mut eval: Eval = serde_json::from_slice(json).expect("an evaluation");
        change(&mut eval);
        *write = Write::Put(key.clone(), serde_json::to_vec(&eval).expect("an evaluation"));
    }
}

/// Moves a placement to another node, guards and all.
fn relocate(unit: &mut Unit, cluster: &Cluster, to: NodeId) {
    let placed = unit.placed[0].clone();
    let from = Key::Alloc(placed.node, placed.alloc);
    for write in &mut unit.writes {
        if write.key() == &from {
            let Write::Put(_, json) = write.clone() else { continue };
            *write = Write::Put(Key::Alloc(to, placed.alloc), json);
        }
    }
    unit.placed[0].node = to;
    for key in [Key::NodeState(to), Key::NodeIntents(to)] {
        let at = cluster.world().mod_revision(&key);
        unit.unchanged(key, at);
    }
}

type Mutation = fn(&mut Cluster, &mut Vec<Unit>);

fn mutations() -> Vec<(Rule, Mutation)> {
    [of_units(), of_places(), of_names(), of_stops(), of_answers()].concat()
}

fn of_units() -> Vec<(Rule, Mutation)> {
    vec![
        (Rule::Size, |_, units| {
            (0..130).for_each(|n| {
                units[0].exists(Key::Eval(EvalId::from_bits(n)));
            });
        }),
        (Rule::KeyTwice, |_, units| {
            let again = units[0].writes[0].clone();
            units[0].writes.push(again);
        }),
        (Rule::Foreign, |_, units| {
            units[0].delete(Key::Job(web()));
        }),
        (Rule::Foreign, |_, units| {
            units[0].put(Key::NodeState(node_id(1)), &objects::gate(Gate::Down));
        }),
        (Rule::Placed, |_, units| drop(units[0].placed.pop())),
        (Rule::JobGuard, |_, units| drop_guard(&mut units[0], |g| matches!(g.key(), Key::Job(_)))),
        (Rule::JobGuard, |cluster, _| {
            cluster.apply(&job("web", &["count=7"]));
        }),
        (Rule::GateGuard, |_, units| drop_guard(&mut units[0], |g| matches!(g.key(), Key::NodeState(_)))),
        (Rule::GateGuard, |_, units| drop_guard(&mut units[0], |g| matches!(g.key(), Key::NodeIntents(_)))),
        (Rule::ExistsGuard, |_, units| {
            drop_guard(&mut units[0], |g| matches!(g, Guard::Exists(Key::Alloc(..))));
        }),
        (Rule::LostGuard, |_, units| {
            edit(&mut units[0], old, |r| r.reason = Some(StopReason::NodeDown));
            drop_guard(&mut units[0], |g| matches!(g.key(), Key::NodeState(_)));
        }),
    ]
}

fn of_places() -> Vec<(Rule, Mutation)> {
    vec![
        (Rule::Closed, |cluster, _| cluster.gate(node_id(1), Gate::Ready, false)),
        (Rule::Closed, |cluster, _| cluster.gate(node_id(1), Gate::Disconnected, true)),
        (Rule::Closed, |cluster, _| cluster.intend(node_id(1), false)),
        (Rule::Closed, |cluster, _| {
            cluster.store.put_raw(Key::Alloc(node_id(1), AllocId::from_bits(99)), "{}");
        }),
        (Rule::Feasible, |cluster, units| relocate(&mut units[0], cluster, node_id(3))),
        (Rule::Feasible, |cluster, _| {
            let mut info = node(1, &["cpu=600"]);
            info.drivers.clear();
            cluster.join(&info);
        }),
        (Rule::Demand, |_, units| edit(&mut units[0], new, |r| r.ask.cpu = 1)),
        (Rule::Room, |_, units| edit(&mut units[0], new, |r| r.after.clear())),
        (Rule::Room, |cluster, _| cluster.join(&node(1, &["cpu=599"]))),
        (Rule::Port, |_, units| edit(&mut units[0], new, |r| r.ports[0].value = 81)),
        (Rule::Port, |_, units| edit(&mut units[0], new, |r| r.ports.clear())),
        (Rule::Port, |_, units| edit(&mut units[0], new, |r| r.after.clear())),
    ]
}

fn of_names() -> Vec<(Rule, Mutation)> {
    vec![
        (Rule::Name, |_, units| {
            edit(&mut units[0], old, |r| {
                r.desired = Desired::Run;
                r.reason = None;
            });
        }),
        (Rule::Index, |_, units| edit(&mut units[0], new, |r| r.index = 2)),
        (Rule::Version, |_, units| edit(&mut units[0], new, |r| r.version = 0)),
        (Rule::Version, |_, units| edit(&mut units[0], new, |r| r.uid = JobUid::from_bits(77))),
        (Rule::After, |_, units| {
            edit(&mut units[0], new, |r| r.after = vec![AllocId::from_bits(5)]);
        }),
        (Rule::After, |_, units| {
            let twice = units[0].placed[0].record.after[0];
            edit(&mut units[0], new, |r| r.after.push(twice));
        }),
        (Rule::Links, |_, units| edit(&mut units[0], old, |r| r.next = None)),
        (Rule::Links, |_, units| edit(&mut units[0], new, |r| r.index = 1 - r.index)),
    ]
}

fn of_stops() -> Vec<(Rule, Mutation)> {
    vec![
        (Rule::Stagger, |cluster, _| {
            let uid = cluster.world().job(&web()).and_then(|e| e.job.as_deref()?.uid).expect("registered");
            let batches = [("app".into(), cluster.now)].into();
            let state = JobState { batches, ..objects::job_state(uid, EvalId::from_bits(500)) };
            cluster.store.put(Key::JobState(web()), &state);
        }),
        (Rule::Fixed, |_, units| edit(&mut units[0], old, |r| r.ask.cpu = 1)),
        (Rule::Fixed, |_, units| edit(&mut units[0], old, |r| r.version = 1)),
        (Rule::Resurrected, |cluster, _| {
            let allocs: Vec<_> = cluster.world().allocs().cloned().collect();
            for alloc in allocs {
                let stopped = AllocRecord { desired: Desired::Stop, ..alloc.record.value.clone() };
                cluster.store.put(Key::Alloc(alloc.node, alloc.id), &stopped);
            }
        }),
        (Rule::Reason, |_, units| edit(&mut units[0], old, |r| r.reason = None)),
        (Rule::Reason, |_, units| edit(&mut units[0], old, |r| r.reason = Some(StopReason::JobStopped))),
        (Rule::Reason, |_, units| edit(&mut units[0], old, |r| r.reason = Some(StopReason::JobPurged))),
        (Rule::Reason, |_, units| edit(&mut units[0], old, |r| r.reason = Some(StopReason::NotNeeded))),
        (Rule::Reason, |_, units| edit(&mut units[0], old, |r| r.reason = Some(StopReason::NodeDown))),
        (Rule::Reason, |_, units| edit(&mut units[0], old, |r| r.reason = Some(StopReason::Refused))),
        (Rule::Reason, |_, units| edit(&mut units[0], old, |r| r.reason = Some(StopReason::Rescheduled))),
        (Rule::Reason, |_, units| edit(&mut units[0], old, |r| r.reason = Some(StopReason::Constraint))),
    ]
}

fn of_answers() -> Vec<(Rule, Mutation)> {
    vec![
        (Rule::Answer, |_, units| edit_eval(&mut units[0], |e| e.outcome = None)),
        (Rule::Answer, |cluster, _| {
            let done: Vec<_> = cluster.world().evals().map(|(id, e)| (id, e.value.clone())).collect();
            for (id, eval) in done {
                cluster.store.put(Key::Eval(id), &Eval { status: EvalStatus::Complete, ..eval });
            }
        }),
        (Rule::Alone, |_, units| {
            let mut one = units[0].clone();
            let answers = one.writes.iter().position(|w| matches!(w.key(), Key::Eval(_))).expect("an answer");
            let mut other = Unit::new();
            other.writes.push(one.writes.remove(answers));
            *units = vec![one, other];
        }),
        (Rule::Unmet, |_, units| {
            units[0].writes.retain(|w| matches!(w.key(), Key::Eval(_)));
            units[0].placed.clear();
        }),
        (Rule::State, |_, units| {
            let state = objects::job_state(JobUid::from_bits(99), EvalId::from_bits(600));
            units[0].put(Key::JobState(web()), &state);
        }),
    ]
}

#[test]
fn the_checker_rejects_each_mutation() {
    for (nth, (rule, mutate)) in mutations().into_iter().enumerate() {
        let (mut cluster, mut units) = updating();
        mutate(&mut cluster, &mut units);
        let found = rules(&cluster, &units);
        assert!(found.contains(&rule), "mutation {nth} breaks {rule:?}, and the checker sees {found:?}");
    }
}

#[test]
fn the_checker_rejects_a_batch_below_the_floor() {
    let (mut cluster, units) = updating();
    let mut one = cluster.world().job(&web()).and_then(|e| e.job.clone()).expect("registered").value.clone();
    one.update.as_mut().expect("it has one").max_parallel = Some(1);
    cluster.store.put(Key::Job(web()), &one);
    assert!(rules(&cluster, &units).contains(&Rule::Floor));
}

#[test]
fn the_checker_rejects_two_on_a_host() {
    let mut cluster = Cluster::new();
    cluster.join(&node(1, &[]));
    cluster.join(&node(2, &[]));
    cluster.apply(&job("web", &["count=2", "distinct_hosts"]));
    let mut units = cluster.plan(&web());
    let other = units[0].placed[1].node;
    relocate(&mut units[0], &cluster, other);
    assert_eq!(rules(&cluster, &units), [Rule::Distinct]);
}

#[test]
fn every_rule_is_proved() {
    let mut proved: Vec<Rule> = mutations().iter().map(|(rule, _)| *rule).collect();
    proved.extend([Rule::Floor, Rule::Distinct]);
    proved.sort();
    proved.dedup();
    assert_eq!(proved.len(), Rule::State as usize + 1, "{proved:?}");
}

/// A settled cluster with a running job, an update's predecessors and a blocked want.
fn settled() -> Cluster {
    let (mut cluster, units) = updating();
    units.iter().for_each(|unit| cluster.write(unit));
    cluster.settle();
    cluster.agents();
    cluster
}

fn first(store: &TestWorld, pick: fn(&AllocRecord) -> bool) -> (NodeId, AllocId, AllocRecord) {
    let alloc = store.world().allocs().find(|a| pick(&a.record)).expect("such an allocation");
    (alloc.node, alloc.id, alloc.record.value.clone())
}

fn change(store: &mut TestWorld, pick: fn(&AllocRecord) -> bool, edit: fn(&mut AllocRecord)) {
    let (node, id, mut record) = first(store, pick);
    edit(&mut record);
    store.put(Key::Alloc(node, id), &record);
}

fn pend(store: &mut TestWorld, n: u128, trigger: Trigger) {
    let uid = first(store, new).2.uid;
    let eval = Eval { trigger, ..objects::eval("web", uid, EvalStatus::Pending, Timestamp::default()) };
    store.put(Key::Eval(EvalId::from_bits(n)), &eval);
}

#[test]
fn the_audit_rejects_each_mutated_world() {
    type Mutation = fn(&mut TestWorld);
    let table: Vec<(Law, Mutation)> = vec![
        (Law::Room, |store| change(store, new, |r| r.ask.cpu = 601)),
        (Law::Port, |store| {
            let (node, _, mut record) = first(store, new);
            record.index = 9;
            store.put(Key::Alloc(node, AllocId::from_bits(900)), &record);
        }),
        (Law::Name, |store| {
            let (_, _, record) = first(store, new);
            store.put(Key::Alloc(node_id(3), AllocId::from_bits(900)), &record);
        }),
        (Law::Version, |store| change(store, new, |r| r.version = 40)),
        (Law::Links, |store| change(store, new, |r| r.previous = Some(AllocId::MIN))),
        (Law::Links, |store| change(store, old, |r| r.next = None)),
        (Law::After, |store| {
            let (_, waited, _) = first(store, old);
            let (_, _, mut record) = first(store, new);
            record.after = vec![waited];
            (record.index, record.previous) = (7, None);
            for (n, node) in [(901, 1), (902, 2)] {
                store.put(Key::Alloc(node_id(node), AllocId::from_bits(n)), &record);
            }
        }),
        (Law::Reason, |store| change(store, new, |r| r.reason = Some(StopReason::Updated))),
        (Law::Reason, |store| change(store, old, |r| r.reason = None)),
        (Law::Pending, |store| {
            pend(store, 700, Trigger::NodeUpdate);
            pend(store, 701, Trigger::QueuedAllocs);
        }),
        (Law::Answer, |store| {
            let (id, eval) = store.world().evals().next().map(|(id, e)| (id, e.value.clone())).expect("one");
            store.put(Key::Eval(id), &Eval { outcome: None, ..eval });
        }),
        (Law::State, |store| {
            let state = objects::job_state(JobUid::from_bits(99), EvalId::from_bits(600));
            store.put(Key::JobState(web()), &state);
        }),
        (Law::Stopped, |store| {
            let (node, id, record) = first(store, old);
            let running = objects::status("web", &record, ClientStatus::Running, Timestamp::default());
            store.put(Key::AllocStatus(node, id), &AllocStatus { ..running });
        }),
        (Law::Quiet, |store| pend(store, 700, Trigger::JobEval)),
        (Law::Count, |store| {
            let (node, id, _) = first(store, new);
            store.delete(Key::Alloc(node, id));
        }),
    ];
    assert_eq!(audit_settled(settled().world()), Vec::new());
    for (nth, (law, mutate)) in table.iter().enumerate() {
        let mut cluster = settled();
        mutate(&mut cluster.store);
        let found: Vec<Law> = audit_settled(cluster.world()).iter().map(|f| f.law).collect();
        assert!(found.contains(law), "world {nth} breaks {law:?}, and the audit sees {found:?}");
        let always = *law < Law::Stopped;
        assert_eq!(audit(cluster.world()).iter().any(|f| f.law == *law), always, "{law:?}");
    }
    let mut laws: Vec<Law> = table.iter().map(|(law, _)| *law).collect();
    laws.sort();
    laws.dedup();
    assert_eq!(laws.len(), Law::Count as usize + 1);
}
