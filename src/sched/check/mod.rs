//! The plan checker: is what a run decided allowed, given the World that it was decided on?
//!
//! Code apart from the planner, from the same words (design laws 2 and 5, §3, §5): it reads the units' writes back
//! and judges the World as it would be after them. Each rule is proved by a mutated plan that it rejects.

mod allocs;
mod answers;
pub(crate) mod ledger;
mod nodes;
mod units;

use std::{collections::BTreeMap, fmt};

use encamp_model::{
    AllocId, EvalId, JobId, Key, NodeId, Timestamp, Unit, Write,
    records::{AllocRecord, Eval, JobState},
};
use encamp_world::World;

/// What a plan must not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// At most 127 operations, 127 guards and 1 MiB a unit.
    Size,
    /// A key is written at most once a run.
    KeyTwice,
    /// The planner writes allocations, evaluations and job states of its key, and deletes only states.
    Foreign,
    /// `placed` names exactly the new allocations.
    Placed,
    /// Whatever is done to an allocation rests on its job.
    JobGuard,
    /// A placement rests on its node's gate and intents.
    GateGuard,
    /// A changed record rests on being there.
    ExistsGuard,
    /// What is replaced because of its node rests on that node's gate.
    LostGuard,
    /// Placements go to nodes that take them.
    Closed,
    /// The node meets the job's datacenters, drivers and constraints.
    Feasible,
    /// No two that must be apart share a node.
    Distinct,
    /// What is placed asks for what the group says.
    Demand,
    /// No node is asked for more than it has.
    Room,
    /// No port is held twice, or outside of what the job or the node's range say.
    Port,
    /// A name has one wanted allocation.
    Name,
    /// No index beyond the count.
    Index,
    /// Only the current version is placed.
    Version,
    /// `after` names what the same unit stops on the same node, with all that it waits for.
    After,
    /// Stop and successor stand or fall together, and name each other.
    Links,
    /// No fewer run than the floor says.
    Floor,
    /// Two batches are a stagger apart.
    Stagger,
    /// Of a record only what was told may change: desired, reason, next; or the version, where nobody can see it.
    Fixed,
    /// What was told to stop stays stopped.
    Resurrected,
    /// A stop has a reason, and the reason holds.
    Reason,
    /// An evaluation that is answered was pending, and says what came of it.
    Answer,
    /// An answer rides in a run of one unit.
    Alone,
    /// Whatever is unmet when an evaluation is answered is in the job's state.
    Unmet,
    /// The state is the current registration's, and announces an unused id.
    State,
}

/// A rule that a plan breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// Where and how.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.detail)
    }
}

/// Judges one run for one job: every rule that it breaks. `now` is the planner's now.
pub fn check(world: &World, job: &JobId, units: &[Unit], now: Timestamp) -> Vec<Violation> {
    let mut found = Vec::new();
    let run = Run::read(world, job, units, now, &mut found);
    units::check(&run, &mut found);
    allocs::check(&run, &mut found);
    answers::check(&run, &mut found);
    found
}

/// A written allocation, in which unit, and what was there before.
struct Written {
    unit: usize,
    node: NodeId,
    id: AllocId,
    record: AllocRecord,
    before: Option<AllocRecord>,
}

/// A run, read back from its units.
struct Run<'a> {
    world: &'a World,
    job: &'a JobId,
    units: &'a [Unit],
    now: Timestamp,
    allocs: Vec<Written>,
    evals: BTreeMap<EvalId, (usize, Eval)>,
    state: Option<(usize, Option<JobState>)>,
}

impl<'a> Run<'a> {
    fn read(
        world: &'a World,
        job: &'a JobId,
        units: &'a [Unit],
        now: Timestamp,
        found: &mut Vec<Violation>,
    ) -> Self {
        let mut run = Run { world, job, units, now, allocs: Vec::new(), evals: BTreeMap::new(), state: None };
        for (nth, unit) in units.iter().enumerate() {
            for write in &unit.writes {
                if !run.note(nth, write) {
                    found.push(violation(Rule::Foreign, format!("unit {nth} writes {:?}", write.key())));
                }
            }
        }
        run
    }

    fn note(&mut self, unit: usize, write: &Write) -> bool {
        match write {
            Write::Put(Key::Alloc(node, id), json) => {
                let Ok(record) = serde_json::from_slice(json) else { return false };
                let before =
                    self.world.alloc(*id).filter(|a| a.node == *node).map(|a| a.record.value.clone());
                self.allocs.push(Written { unit, node: *node, id: *id, record, before });
                true
            }
            Write::Put(Key::Eval(id), json) => match serde_json::from_slice::<Eval>(json) {
                Ok(eval) if eval.job == *self.job => {
                    self.evals.insert(*id, (unit, eval));
                    true
                }
                _ => false,
            },
            Write::Put(Key::JobState(job), json) if job == self.job => match serde_json::from_slice(json) {
                Ok(state) => {
                    self.state = Some((unit, Some(state)));
                    true
                }
                Err(_) => false,
            },
            Write::Delete(Key::JobState(job)) if job == self.job => {
                self.state = Some((unit, None));
                true
            }
            _ => false,
        }
    }
}

fn violation(rule: Rule, detail: impl Into<String>) -> Violation {
    Violation { rule, detail: detail.into() }
}
