mod braked;
mod loops;
mod random;
mod table;

use std::time::Duration;

use encamp_model::{
    ClusterUid, InstanceId, Key, NodeId, Timestamp, Unit,
    records::{Gate, NodeState},
};
use encamp_world::{
    control::{Controller, Cx, Outcome},
    testing::{TestWorld, objects},
};

use crate::Heartbeat;

fn node(n: u128) -> NodeId {
    NodeId::from_bits(n)
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

/// A store, a leader and its clock.
struct Sim {
    store: TestWorld,
    leader: Heartbeat,
    now: Timestamp,
    /// Since when the leader leads.
    since: Timestamp,
}

impl Sim {
    /// A leader that began long before second 1,000, with `nodes` ready nodes in `dc1`.
    fn new(nodes: u128) -> Self {
        let mut store = TestWorld::new();
        for n in 1..=nodes {
            store.join(&objects::node_info(node(n)));
        }
        Sim { store, leader: Heartbeat::default(), now: at(1000), since: at(0) }
    }

    fn cx(&self) -> Cx {
        let mut cx =
            Cx::new(Heartbeat::NAME, ClusterUid::from_bits(1), InstanceId::from_bits(1), 1, self.now);
        cx.since = self.since;
        cx
    }

    /// What the leader decides of one node, unwritten.
    fn decide(&mut self, n: u128) -> Outcome {
        let mut cx = self.cx();
        self.leader.reconcile(&node(n), self.store.world(), &mut cx)
    }

    /// Its one unit.
    fn unit(&mut self, n: u128) -> Unit {
        let outcome = self.decide(n);
        let [unit] = &outcome.units[..] else { panic!("one unit is expected of node {n}: {outcome:?}") };
        unit.clone()
    }

    /// Judges every node on one World and then writes what was decided, until nothing is left to write.
    fn settle(&mut self) {
        for _ in 0..4 {
            let ids: Vec<NodeId> = self.store.world().nodes().map(|(id, _)| id).collect();
            let mut cx = self.cx();
            let units: Vec<Unit> = ids
                .iter()
                .flat_map(|id| self.leader.reconcile(id, self.store.world(), &mut cx).units)
                .collect();
            let lost = self.store.apply_all(&units);
            assert!(lost.is_empty(), "nobody else writes: {lost:?}");
            if units.is_empty() {
                return;
            }
        }
        panic!("still writing after four rounds at {}", self.now);
    }

    fn wait(&mut self, secs: u64) {
        self.now = self.now + Duration::from_secs(secs);
    }

    /// Time passes, second by second.
    fn run(&mut self, secs: u64) {
        for _ in 0..secs {
            self.wait(1);
            self.settle();
        }
    }

    fn lose(&mut self, n: u128) {
        self.store.delete(Key::NodeLease(node(n)));
    }

    fn renew(&mut self, n: u128) {
        self.store.put(Key::NodeLease(node(n)), &objects::lease());
    }

    fn state(&self, n: u128) -> Option<NodeState> {
        self.store.world().node(node(n))?.state.as_ref().map(|s| s.value.clone())
    }

    fn gate(&self, n: u128) -> Option<Gate> {
        self.state(n).map(|s| s.gate)
    }

    fn down(&self) -> usize {
        self.store.world().nodes().filter(|(_, n)| n.is_down()).count()
    }

    /// Another process takes over, with nothing in its memory.
    fn fail_over(&mut self) {
        self.leader = Heartbeat::default();
    }
}
