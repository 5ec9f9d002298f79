//! How a loop is written: a value without `async`, clock or randomness. The runtime drives it and commits what it
//! returns; the simulator does the same in virtual time.

use std::{fmt::Debug, hash::Hash};

use encamp_model::{AllocId, ClusterUid, EvalId, InstanceId, Timestamp, Unit};
use xxhash_rust::xxh3::xxh3_128;

pub use crate::queue::Queue;
use crate::{Change, World};

/// A controller: which keys does a change make dirty, and what must be written for a key.
///
/// Hidden state is only caches that the World can rebuild.
pub trait Controller: Send {
    /// What it works on: a job, a node.
    type Key: Clone + Eq + Hash + Ord + Debug + Send;

    /// The loop's name: `leaders/<name>`, metrics, logs.
    const NAME: &'static str;

    /// Whether one process leads at a time. Only gc does without: its units delete, and compare all they rest on.
    const ELECTED: bool = true;

    /// Queues the keys that a change makes dirty. `world` is already past the change.
    fn dirty(&self, change: &Change, world: &World, queue: &mut Queue<Self::Key>);

    /// Queues every key that could need work: a new leader, a re-list and the slow tick do this.
    fn all(&self, world: &World, queue: &mut Queue<Self::Key>);

    /// What must be written for a key. Asks "what is missing", never "what happened".
    fn reconcile(&mut self, key: &Self::Key, world: &World, cx: &mut Cx) -> Outcome;

    /// Drops caches: a new epoch began, or the World was listed anew.
    fn reset(&mut self) {}
}

/// What comes into a run besides the World.
#[derive(Clone, Debug)]
pub struct Cx {
    /// The loop's clock.
    pub now: Timestamp,
    /// The loop's epoch; 0 for a loop that is not elected.
    pub epoch: i64,
    /// Placements after which a run is cut.
    pub budget: usize,
    /// When this process began to lead the loop, or the World was reconnected or etcd took writes again: no verdict
    /// on silence is made too soon after it.
    pub since: Timestamp,
    cluster: ClusterUid,
    instance: InstanceId,
    name: &'static str,
    sequence: u64,
}

impl Cx {
    /// Placements after which a run is cut, unless told otherwise.
    pub const BUDGET: usize = 4096;

    /// A context for one loop and epoch. `sequence` starts at 0 with each epoch and only goes up.
    pub fn new(
        name: &'static str,
        cluster: ClusterUid,
        instance: InstanceId,
        epoch: i64,
        now: Timestamp,
    ) -> Self {
        Cx { now, epoch, budget: Self::BUDGET, since: now, cluster, instance, name, sequence: 0 }
    }

    /// A number that no other call in this epoch gets.
    pub fn sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// A new allocation id.
    pub fn alloc_id(&mut self) -> AllocId {
        AllocId::from_bits(self.bits())
    }

    /// A new evaluation id.
    pub fn eval_id(&mut self) -> EvalId {
        EvalId::from_bits(self.bits())
    }

    /// The cluster.
    pub fn cluster(&self) -> ClusterUid {
        self.cluster
    }

    fn bits(&mut self) -> u128 {
        let sequence = self.sequence();
        // An elected loop's epoch is unique in the cluster; the instance tells apart loops that are not elected.
        let seed = format!("{}/{}/{}/{}/{sequence}", self.cluster, self.name, self.instance, self.epoch);
        xxh3_128(seed.as_bytes())
    }
}

/// What a run decided.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The writes, in order.
    pub units: Vec<Unit>,
    /// Look again then, even if nothing changes.
    pub again: Option<Timestamp>,
    /// The run was cut at its budget: look again as soon as its units are answered.
    pub cut: bool,
}

impl Outcome {
    /// Nothing to write.
    pub fn nothing() -> Self {
        Outcome::default()
    }

    /// Look again at this instant, or earlier if another wish was already noted.
    pub fn look_again(&mut self, at: Timestamp) {
        self.again = Some(self.again.map_or(at, |before| before.min(at)));
    }
}
