//! Whatever a cluster lives through: nothing live is deleted, also by a gc that is late or not alone, and a gc that
//! follows changes misses nothing.

use encamp_model::{
    Key, Timestamp, Unit,
    records::{ClientStatus, Desired, EvalStatus, Gate},
};
use encamp_world::{World, testing::TestWorld};
use proptest::prelude::*;

use super::life::{Event, Life};

fn event() -> impl Strategy<Value = Event> {
    let n = any::<u8>;
    prop_oneof![
        3 => n().prop_map(Event::Register),
        1 => n().prop_map(Event::StopJob),
        1 => n().prop_map(Event::Purge),
        3 => n().prop_map(Event::Evaluate),
        2 => n().prop_map(Event::Answer),
        1 => n().prop_map(Event::Want),
        6 => n().prop_map(Event::Place),
        3 => n().prop_map(Event::Replace),
        2 => n().prop_map(Event::StopAlloc),
        6 => (n(), n()).prop_map(|(a, b)| Event::Says(a, b)),
        2 => n().prop_map(Event::Join),
        2 => n().prop_map(Event::LoseLease),
        4 => n().prop_map(Event::Heartbeat),
        3 => n().prop_map(Event::Wait),
    ]
}

fn events(len: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Event>> {
    proptest::collection::vec(event(), len)
}

/// Every key that a unit deletes is garbage, by rules written apart from gc's own.
#[track_caller]
pub(super) fn assert_garbage(world: &World, unit: &Unit, now: Timestamp) {
    let deleted: Vec<&Key> = unit.writes.iter().map(encamp_model::Write::key).collect();
    for key in &deleted {
        if let Some(why) = live(world, key, &deleted, now) {
            panic!("{key:?} is deleted, but {why}");
        }
    }
}

fn live(world: &World, key: &Key, with: &[&Key], now: Timestamp) -> Option<&'static str> {
    let say = |live: bool, why| live.then_some(why);
    match key {
        Key::Alloc(node, id) => {
            let entry = world.node(*node)?.allocs.get(id)?;
            let gone = is_gone(world, *node);
            // Also of a removed group: the planner tells it to stop.
            let purged =
                !world.jobs().any(|(_, e)| e.job.as_ref().is_some_and(|j| j.uid == Some(entry.record.uid)));
            let over = entry.record.desired == Desired::Stop || entry.record.next.is_some() || purged;
            say(!over, "it holds its name").or(say(!entry.is_terminal() && !gone, "it may run"))
        }
        Key::AllocStatus(node, id) => {
            let record = Key::Alloc(*node, *id);
            say(world.mod_revision(&record) != 0 && !with.contains(&&record), "its record is there")
        }
        Key::Job(id) => {
            let entry = world.job(id)?;
            let job = entry.job.as_ref()?;
            let batch = job.kind == encamp_model::job::JobType::Batch;
            let runs = world.allocs().any(|a| {
                let lost = a.record.desired == Desired::Stop
                    && world.node(a.node).is_some_and(|n| n.gate() == Some(Gate::Down));
                Some(a.record.uid) == job.uid && !a.is_terminal() && !lost
            });
            let young = now.since(Timestamp(job.submit_time?)).as_secs() < 4 * 3600;
            say(!job.stop && !batch, "it is declared")
                .or(say(runs, "it runs"))
                .or(say(young, "it is young"))
                .or(say(!job.stop && undone(world, job), "its work is not done"))
        }
        Key::JobState(id) => {
            let entry = world.job(id)?;
            let uid = entry.job.as_ref().and_then(|job| job.uid);
            let ours = entry.state.as_ref().is_some_and(|state| Some(state.uid) == uid);
            say(ours && !with.contains(&&Key::Job(id.clone())), "these wants are current")
        }
        Key::JobVersion(uid, version) => {
            let named = world.allocs().any(|a| a.record.uid == *uid && a.record.version == *version);
            let current = world
                .jobs()
                .any(|(_, e)| e.job.as_ref().is_some_and(|j| j.uid == Some(*uid) && j.version == *version));
            say(named, "an allocation names it").or(say(current, "it is current"))
        }
        Key::JobSource(uid, version) => {
            let of = Key::JobVersion(*uid, *version);
            say(world.mod_revision(&of) != 0 && !with.contains(&&of), "its version is there")
        }
        Key::Eval(id) => {
            let pending = world.eval(*id)?.status == EvalStatus::Pending;
            let named = world.allocs().any(|a| a.record.eval == *id);
            say(pending, "it is pending").or(say(named, "it placed what is there"))
        }
        Key::NodeInfo(id) | Key::NodeState(id) | Key::NodeIntents(id) => {
            say(!is_gone(world, *id), "it may come back")
                .or(say(!world.node(*id)?.allocs.is_empty(), "something is on it"))
        }
        Key::Cluster | Key::NodeLease(_) | Key::Leader(_) | Key::ApiServer(_) => Some("it is not gc's"),
    }
}

fn is_gone(world: &World, id: encamp_model::NodeId) -> bool {
    let node = world.node(id);
    node.is_none_or(|n| n.lease.is_none() && matches!(n.gate(), None | Some(Gate::Down)))
}

fn undone(world: &World, job: &encamp_model::Job) -> bool {
    let group = &job.task_groups[0];
    let ended = world.allocs().filter(|a| {
        Some(a.record.uid) == job.uid
            && a.record.group == group.name
            && a.record.desired == Desired::Run
            && matches!(a.said(), ClientStatus::Complete | ClientStatus::Failed)
    });
    ended.count() < group.count()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    #[test]
    fn a_gc_that_follows_changes_misses_nothing_and_deletes_nothing_live(
        lives in proptest::collection::vec(events(1..40), 1..6),
    ) {
        let mut life = Life::new();
        for events in lives {
            events.into_iter().for_each(|event| life.happen(event));
            life.run_gc();
            let missed = life.sweep(life.store.world());
            prop_assert!(missed.is_empty(), "missed: {missed:?}");
        }
        life.wait(60 * 24 * 30);
        life.run_gc();
        let missed = life.sweep(life.store.world());
        prop_assert!(missed.is_empty(), "missed: {missed:?}");
    }

    #[test]
    fn a_gc_on_an_old_world_deletes_nothing_live(before in events(1..150), after in events(0..30)) {
        let mut life = Life::new();
        before.into_iter().for_each(|event| life.happen(event));
        let old = life.store.world().clone();
        after.into_iter().for_each(|event| life.happen(event));
        life.wait(300);
        // Each unit that lands is judged on the World that it lands on.
        for unit in life.sweep(&old) {
            life.collect(&unit);
        }
    }

    #[test]
    fn two_at_once_end_where_one_does(events in events(1..150), order in any::<u64>()) {
        let mut life = Life::new();
        events.into_iter().for_each(|event| life.happen(event));
        life.wait(60 * 30);
        let units = life.sweep(life.store.world());
        let settle = |store: &mut TestWorld| {
            while let units = life.sweep(store.world())
                && !units.is_empty()
            {
                store.apply_all(&units);
            }
        };
        let mut alone = life.store.clone();
        settle(&mut alone);
        let mut both = life.store.clone();
        for (n, unit) in units.iter().enumerate() {
            let twice = if order >> (n % 64) & 1 == 0 { [unit, unit] } else { [unit, &units[0]] };
            both.apply_all(twice);
        }
        settle(&mut both);
        prop_assert_eq!(both.keys().collect::<Vec<_>>(), alone.keys().collect::<Vec<_>>());
    }

    #[test]
    fn in_the_end_only_what_is_named_or_declared_is_left(events in events(1..200)) {
        let mut life = Life::new();
        events.into_iter().for_each(|event| life.happen(event));
        for _ in 0..3 {
            life.wait(60 * 24 * 30);
            life.run_gc();
        }
        let world = life.store.world();
        for alloc in world.allocs().filter(|a| a.is_terminal()) {
            let key = Key::Alloc(alloc.node, alloc.id);
            prop_assert!(live(world, &key, &[], life.now).is_some(), "{:?} is left", key);
        }
        for (id, eval) in world.evals() {
            let announced = world.job(&eval.job).and_then(|j| j.state.as_ref()).is_some_and(|s| s.next == id);
            prop_assert!(announced || live(world, &Key::Eval(id), &[], life.now).is_some(), "{:?} is left", eval);
        }
        for (uid, registration) in world.registrations() {
            let declared =
                world.jobs().any(|(_, e)| e.job.as_ref().is_some_and(|j| j.uid == Some(*uid)));
            prop_assert!(declared || !registration.allocs.is_empty(), "{:?} is left", registration);
            let named = registration.allocs.len();
            prop_assert!(registration.versions.len() <= 6 + named || !declared);
        }
        for (id, node) in world.nodes().filter(|(_, n)| n.is_down() && n.lease.is_none()) {
            prop_assert!(!node.allocs.is_empty(), "{} is left", id);
        }
    }
}
