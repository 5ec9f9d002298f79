//! Whatever happens to nodes and leaders: no verdict without its reasons, and in the end gates say what leases say.

use std::collections::BTreeMap;

use encamp_model::{
    Key, Timestamp,
    records::{Gate, NodeIntents},
};
use proptest::prelude::*;

use super::{Sim, at, node};

#[derive(Clone, Debug)]
enum Step {
    Lose(u128),
    Renew(u128),
    Intend(u128, bool),
    Spoil(u128),
    FailOver,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let n = 1u128..7;
    prop_oneof![
        3 => n.clone().prop_map(Step::Lose),
        2 => n.clone().prop_map(Step::Renew),
        1 => (n.clone(), any::<bool>()).prop_map(|(n, eligible)| Step::Intend(n, eligible)),
        1 => n.prop_map(Step::Spoil),
        1 => Just(Step::FailOver),
        4 => (1u64..8).prop_map(Step::Wait),
    ]
}

/// Where each gate stood before.
type Gates = BTreeMap<u128, (Gate, Timestamp)>;

fn gates(sim: &Sim) -> Gates {
    (1..7).filter_map(|n| sim.state(n).map(|s| (n, (s.gate, s.since)))).collect()
}

fn judge(sim: &Sim, before: &Gates) {
    for (n, (gate, since)) in gates(sim) {
        if gate != Gate::Down || before.get(&n).is_some_and(|(gate, _)| *gate == Gate::Down) {
            continue;
        }
        assert_eq!(sim.store.world().mod_revision(&Key::NodeLease(node(n))), 0, "node {n} has a lease");
        let (was, lost) = before[&n];
        assert_eq!(was, Gate::Disconnected, "node {n}");
        assert!(since.since(lost).as_secs() >= 5, "node {n}: {lost} to {since}");
        assert!(since.since(sim.since).as_secs() >= 15, "node {n}: led since {}, {since}", sim.since);
    }
}

proptest! {
    #[test]
    fn gates_end_as_leases_say_and_no_verdict_comes_early(steps in proptest::collection::vec(step(), 1..80)) {
        let mut sim = Sim::new(6);
        let mut generation = 0;
        for step in steps {
            match step {
                Step::Lose(n) => sim.lose(n),
                Step::Renew(n) => sim.renew(n),
                Step::Spoil(n) => drop(sim.store.put_raw(Key::NodeState(node(n)), b"x".as_slice())),
                Step::Intend(n, eligible) => {
                    generation += 1;
                    sim.store.put(Key::NodeIntents(node(n)), &NodeIntents { generation, eligible });
                }
                Step::FailOver => {
                    sim.fail_over();
                    sim.since = sim.now;
                }
                Step::Wait(secs) => {
                    for _ in 0..secs {
                        let before = gates(&sim);
                        sim.run(1);
                        judge(&sim, &before);
                    }
                }
            }
        }
        sim.run(120);
        for n in 1..7 {
            let state = sim.state(n).expect("every node has a gate");
            let lease = sim.store.world().mod_revision(&Key::NodeLease(node(n))) != 0;
            prop_assert_eq!(state.gate, if lease { Gate::Ready } else { Gate::Down }, "node {}", n);
            let entry = sim.store.world().node(node(n)).expect("it is registered");
            let (eligible, generation) =
                entry.intents.as_ref().map_or((true, 0), |i| (i.eligible, i.generation));
            prop_assert_eq!((state.eligible, state.generation), (eligible, generation));
            prop_assert!(state.since >= at(0));
        }
    }
}
