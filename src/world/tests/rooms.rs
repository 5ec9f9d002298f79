//! What allocations take, alone and waiting for each other.

use std::{collections::BTreeSet, sync::Arc};

use encamp_model::{
    Key, Name, NodeId, Timestamp,
    records::{AllocRecord, Ask, AssignedPort, ClientStatus},
    unit::Placed,
};
use proptest::prelude::*;

use super::{alloc_id, node, uid};
use crate::testing::{TestWorld, objects};

/// One allocation of a chain: id, (cpu, memory), ids it waits for.
type Waiting<'a> = (u128, (i64, i64), &'a [u128]);

fn record((n, (cpu, memory_mb), after): Waiting<'_>) -> AllocRecord {
    let mut record = objects::alloc(uid(1), 0, u32::try_from(n).expect("small"));
    record.ask = Ask { cpu, memory_mb, disk_mb: 0 };
    record.after = after.iter().map(|n| alloc_id(*n)).collect();
    record.ports = vec![AssignedPort {
        label: Name::from("http"),
        value: 20_000 + u16::try_from(n).expect("small"),
        to: 0,
        task: None,
    }];
    record
}

const NODE: u128 = 1;

fn store(chain: &[Waiting<'_>]) -> TestWorld {
    let mut store = TestWorld::new();
    store.join(&objects::node_info(node(NODE)));
    for waiting in chain {
        store.place(node(NODE), alloc_id(waiting.0), &record(*waiting));
    }
    store
}

fn check(chain: &[Waiting<'_>], wanted: (i64, i64)) {
    let used = store(chain).world().room(node(NODE)).used;
    assert_eq!((used.cpu, used.memory_mb), wanted, "{chain:?}");
}

fn ends(store: &mut TestWorld, node: NodeId, waiting: Waiting<'_>) {
    let status = objects::status("web", &record(waiting), ClientStatus::Complete, Timestamp::default());
    store.put(Key::AllocStatus(node, alloc_id(waiting.0)), &status);
}

#[test]
fn allocations_that_wait_for_nothing_add_up() {
    check(&[], (0, 0));
    check(&[(1, (100, 10), &[]), (2, (200, 20), &[])], (300, 30));
}

#[test]
fn a_waiting_one_and_what_it_waits_for_take_the_larger_by_dimension() {
    check(&[(1, (100, 50), &[]), (2, (200, 20), &[1])], (200, 50));
    check(&[(1, (100, 50), &[]), (2, (120, 20), &[]), (3, (200, 90), &[1, 2])], (220, 90));
}

#[test]
fn three_generations_inherit_and_each_is_counted_once() {
    let chain: &[Waiting<'_>] = &[(1, (300, 10), &[]), (2, (100, 40), &[1]), (3, (200, 20), &[1, 2])];
    check(chain, (300, 40));
    let beside = [chain, &[(4, (50, 5), &[])]].concat();
    check(&beside, (350, 45));
}

#[test]
fn a_chain_shortens_as_its_members_end_and_keeps_the_rest() {
    let chain: &[Waiting<'_>] = &[(1, (300, 10), &[]), (2, (100, 40), &[1]), (3, (200, 20), &[1, 2])];
    let mut store = store(chain);
    ends(&mut store, node(NODE), chain[1]);
    let room = store.world().room(node(NODE));
    assert_eq!((room.used.cpu, room.used.memory_mb), (300, 20), "the third still waits for the first");
    assert!(room.port_taken(20_001) && !room.port_taken(20_002) && room.port_taken(20_003));
    ends(&mut store, node(NODE), chain[0]);
    assert_eq!(store.world().room(node(NODE)).used.cpu, 200);
}

#[test]
fn ports_of_a_chain_are_the_union() {
    let store = store(&[(1, (1, 1), &[]), (2, (1, 1), &[1])]);
    let room = store.world().room(node(NODE));
    assert_eq!(*room.ports, [20_001, 20_002]);
}

#[test]
fn garbage_in_after_takes_no_less_than_it_may() {
    check(&[(1, (100, 1), &[2]), (2, (200, 2), &[1])], (300, 3));
    check(&[(1, (100, 1), &[1])], (100, 1));
    check(&[(1, (100, 1), &[99])], (100, 1));
    check(&[(1, (100, 1), &[]), (2, (50, 1), &[1]), (3, (70, 1), &[1])], (100 + 70, 2));
}

#[test]
fn a_lattice_of_garbage_is_counted_in_bounded_time() {
    let layers: Vec<(u128, [u128; 2])> = (0..400)
        .map(|n: u128| {
            (
                n + 10,
                if n < 2 {
                    [0, 0]
                } else {
                    let low = (n / 2 - 1) * 2 + 10;
                    [low, low + 1]
                },
            )
        })
        .collect();
    let chain: Vec<Waiting<'_>> = layers.iter().map(|(n, after)| (*n, (1, 1), &after[..])).collect();
    let used = store(&chain).world().room(node(NODE)).used;
    assert!((1..=400).contains(&used.cpu), "{used:?}");
}

#[test]
fn a_node_that_shrank_is_overdrawn_and_not_wrapped() {
    let mut store = store(&[(1, (3000, 10), &[])]);
    let mut info = objects::node_info(node(NODE));
    info.resources.total.cpu = 1000;
    info.resources.reserved.cpu = 200;
    info.resources.reserved_ports = vec![22];
    store.put(Key::NodeInfo(node(NODE)), &info);
    let room = store.world().room(node(NODE));
    assert_eq!(room.free().cpu, 800 - 3000);
    assert!(room.port_taken(22));
}

#[test]
fn freed_room_is_helpful_and_taken_room_is_not() {
    let mut store = store(&[(1, (300, 10), &[])]);
    let before = store.revision();
    store.place(node(NODE), alloc_id(2), &record((2, (10, 10), &[])));
    assert_eq!(store.world().helped_since(before).count(), 0, "a placement helps nobody");
    ends(&mut store, node(NODE), (1, (300, 10), &[]));
    let helped: Vec<_> = store.world().helped_since(before).collect();
    assert_eq!(helped, [(store.revision(), node(NODE))]);
}

/// A forest as the planner makes it: tree `n` takes over the room of those in `over`, which nobody else took over.
#[derive(Clone, Debug)]
struct Tree {
    n: u128,
    ask: (i64, i64),
    over: Vec<Tree>,
}

impl Tree {
    fn after(&self) -> Vec<u128> {
        self.over.iter().flat_map(|t| [vec![t.n], t.after()].concat()).collect()
    }

    fn records(&self, out: &mut Vec<AllocRecord>) {
        out.push(record((self.n, self.ask, &self.after())));
        self.over.iter().for_each(|t| t.records(out));
    }

    /// What it takes once those in `ended` have ended: the rule as it is written in the design.
    fn takes(&self, ended: &BTreeSet<u128>) -> (i64, i64) {
        let sum = self.over.iter().fold((0, 0), |sum, t| add(sum, t.takes(ended)));
        let own = if ended.contains(&self.n) { (0, 0) } else { self.ask };
        (own.0.max(sum.0), own.1.max(sum.1))
    }
}

fn add(a: (i64, i64), b: (i64, i64)) -> (i64, i64) {
    (a.0 + b.0, a.1 + b.1)
}

/// Each number pair is an ask; the third says how many of the free trees the new one takes over.
fn grow(seeds: &[(u8, u8, u8)]) -> Vec<Tree> {
    let mut forest: Vec<Tree> = Vec::new();
    for (n, (cpu, memory, takes)) in (1u128..).zip(seeds) {
        let kept = forest.len() - usize::from(takes % 4).min(forest.len());
        let over = forest.split_off(kept);
        forest.push(Tree { n, ask: (i64::from(*cpu), i64::from(*memory)), over });
    }
    forest
}

proptest! {
    #[test]
    fn forests_take_what_the_rule_says_and_an_assumed_tree_never_makes_room(
        seeds in proptest::collection::vec(any::<(u8, u8, u8)>(), 1..24),
        ended in proptest::collection::btree_set(1u128..24, 0..12),
    ) {
        let check = |forest: &[Tree], assumed: Option<&Tree>| {
            let mut records = Vec::new();
            forest.iter().for_each(|t| t.records(&mut records));
            let mut store = store(&[]);
            for record in &records {
                let n = u128::from(record.index);
                store.place(node(NODE), alloc_id(n), record);
                if ended.contains(&n) {
                    ends(&mut store, node(NODE), (n, (0, 0), &[]));
                }
            }
            if let Some(tree) = assumed {
                let record = Arc::new(record((tree.n, tree.ask, &tree.after())));
                store.assume(&[Placed { node: node(NODE), alloc: alloc_id(tree.n), record }]);
            }
            let used = store.world().room(node(NODE)).used;
            (used.cpu, used.memory_mb)
        };
        let sum = |forest: &[Tree], ended: &BTreeSet<u128>| {
            forest.iter().fold((0, 0), |sum, t| add(sum, t.takes(ended)))
        };
        let whole = grow(&seeds);
        prop_assert_eq!(check(&whole, None), sum(&whole, &ended));

        let before = grow(&seeds[..seeds.len() - 1]);
        let newest = whole.last().expect("one seed at least");
        let without = check(&before, None);
        let with = check(&before, Some(newest));
        let alive: BTreeSet<u128> = ended.iter().copied().filter(|n| *n != newest.n).collect();
        prop_assert_eq!(with, sum(&whole, &alive));
        prop_assert!(with.0 >= without.0 && with.1 >= without.1);
    }
}
