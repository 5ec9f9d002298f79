//! One loop driven by its own `dirty` and queue, as the runtime drives it: what it misses stays undone.

use encamp_model::{ClusterUid, InstanceId};
use encamp_world::control::{Controller, Cx, Queue};

use super::Cluster;

/// A loop, its queue and its context.
#[derive(Debug)]
pub struct Driver<C: Controller> {
    /// The loop.
    pub controller: C,
    queue: Queue<C::Key>,
    cx: Cx,
}

impl<C: Controller> Driver<C> {
    /// A new leader, whose epoch is the store's revision, that has looked at everything once.
    pub fn new(controller: C, cluster: &Cluster) -> Self {
        let ids = (ClusterUid::from_bits(1), InstanceId::from_bits(2));
        let cx = Cx::new(C::NAME, ids.0, ids.1, cluster.store.revision(), cluster.now);
        let mut queue = Queue::default();
        controller.all(cluster.world(), &mut queue);
        Driver { controller, queue, cx }
    }

    /// The same loop with another budget a run.
    #[must_use]
    pub fn with_budget(mut self, budget: usize) -> Self {
        self.cx.budget = budget;
        self
    }

    /// Takes note of what changed since it was last asked to.
    pub fn see(&mut self, cluster: &mut Cluster) {
        for change in std::mem::take(&mut cluster.changes) {
            self.controller.dirty(&change, cluster.world(), &mut self.queue);
        }
    }

    /// The next key, worked on to the answer of its units; `None` if nothing is to be done now.
    pub fn step(&mut self, cluster: &mut Cluster) -> Option<C::Key> {
        self.see(cluster);
        self.cx.now = cluster.now;
        self.queue.set_now(cluster.now);
        let key = self.queue.pop()?;
        let world = cluster.world().clone();
        let outcome = self.controller.reconcile(&key, &world, &mut self.cx);
        outcome.units.iter().for_each(|unit| cluster.write(unit));
        self.see(cluster);
        if outcome.cut {
            self.queue.add(key.clone());
        }
        self.queue.finish(&key);
        if let Some(at) = outcome.again {
            self.queue.add_at(key.clone(), at);
        }
        Some(key)
    }

    /// Works until nothing is to be done now; true if anything was written.
    pub fn run(&mut self, cluster: &mut Cluster) -> bool {
        let before = cluster.log.len();
        for _ in 0..100_000 {
            if self.step(cluster).is_none() {
                return cluster.log.len() > before;
            }
        }
        panic!("no end: {:?}", cluster.log.last());
    }
}
