//! A whole turn of the planner for one job: a plan, and the answers to the evaluations that asked for it.
//!
//! An evaluation is answered by a run of one unit, so that nothing of what it says can be missing. A plan that fits
//! into one unit takes the answers along; after a larger one the next run, which finds nothing to do, writes them.

use std::time::Duration;

use encamp_model::{
    EvalId, JobId, JobUid, Key, Timestamp, Unit,
    records::{Eval, EvalOutcome, EvalStatus, JobState, Trigger, Want},
};
use encamp_world::{
    JobEntry, Stored, World,
    control::{Cx, Outcome},
};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{
    Fleet,
    plan::{Plan, Request, is_plannable, plan},
};

/// Bytes of answers in one unit; what is left over is answered by the next run.
const ANSWER_BYTES_MAX: usize = 512 << 10;
/// Evaluations answered by one unit.
const ANSWERS_MAX: usize = 48;
/// After what etcd has not confirmed stood in the way: look again then, should no change come first.
const EARLY_RETRY: Duration = Duration::from_millis(100);

/// Answers the pending evaluations of a job. Without any, or while the job cannot be read, nothing is done.
pub fn turn(world: &World, fleet: &mut Fleet, job: &JobId, cx: &mut Cx) -> Outcome {
    let Some(entry) = world.job(job).filter(|_| is_plannable(world, job)) else { return Outcome::nothing() };
    let mut pending: Vec<(EvalId, &Stored<Eval>)> =
        entry.pending.iter().filter_map(|id| Some((*id, &**world.eval(*id)?))).collect();
    pending.sort_by_key(|(_, eval)| eval.created);
    let uid = entry.job.as_ref().and_then(|job| job.uid);
    let ours = pending.iter().find(|(_, eval)| Some(eval.uid) == uid).or(pending.first());
    let Some(eval) = ours.map(|(id, _)| *id) else { return Outcome::nothing() };
    // An evaluation made for an instant carries it: the planner's clock may be behind its maker's.
    let due = pending.iter().filter_map(|(_, eval)| eval.due).max();
    let now = due.map_or(cx.now, |due| due.max(cx.now));
    let forced = pending.iter().filter(|(_, eval)| eval.force_reschedule && Some(eval.uid) == uid);
    let sequence = cx.sequence();
    let request = Request {
        job,
        now,
        eval,
        force: forced.map(|(_, eval)| eval.created).max(),
        seed: xxh3_64_with_seed(&cx.epoch.to_le_bytes(), sequence),
        budget: cx.budget,
    };
    let mut plan = plan(world, fleet, request, &mut || cx.alloc_id());
    let units = std::mem::take(&mut plan.units);
    if !plan.is_settled() {
        let again = plan.early.then(|| cx.now + EARLY_RETRY);
        return Outcome { units, again, cut: plan.cut };
    }
    let turn = Turn { world, job, entry, uid, pending: &pending, now, sequence };
    let (answer, rest) = turn.answer(plan, cx);
    match merged(&units, &answer) {
        Some(one) => Outcome { units: vec![one], again: None, cut: rest },
        // The run after these has nothing to do but to answer.
        None => {
            let cut = !units.is_empty();
            Outcome { units, again: None, cut }
        }
    }
}

/// All of it as one unit, if etcd takes one of that size.
fn merged(units: &[Unit], answer: &Unit) -> Option<Unit> {
    let writes = units.iter().map(|u| u.writes.len()).sum::<usize>() + answer.writes.len();
    if writes > Unit::MAX_OPS {
        return None;
    }
    let mut one = Unit::new();
    units.iter().chain([answer]).for_each(|unit| one.absorb(unit.clone()));
    (one.guards.len() <= Unit::MAX_OPS && one.value_bytes() <= Unit::MAX_BYTES).then_some(one)
}

struct Turn<'a> {
    world: &'a World,
    job: &'a JobId,
    entry: &'a JobEntry,
    uid: Option<JobUid>,
    pending: &'a [(EvalId, &'a Stored<Eval>)],
    now: Timestamp,
    sequence: u64,
}

impl Turn<'_> {
    /// The job's state, if it changes, and the answers; true if some evaluations are left for the next run.
    fn answer(&self, plan: Plan, cx: &mut Cx) -> (Unit, bool) {
        let mut unit = Unit::new();
        let outcome = EvalOutcome {
            failed_groups: plan.failed.clone(),
            queued: plan.queued.clone(),
            next: None,
            snapshot_revision: self.world.revision(),
            epoch: cx.epoch,
            sequence: self.sequence,
            finished: self.now,
        };
        let state = self.state(plan, cx);
        let outcome = EvalOutcome { next: state.as_ref().map(|s| s.next), ..outcome };
        let key = Key::JobState(self.job.clone());
        let before = self.entry.state.as_deref();
        match state {
            Some(state) if before.is_none_or(|b| b.value != state) => {
                unit.put(key, &state);
            }
            None if before.is_some() => {
                unit.delete(key);
            }
            _ => {}
        }
        for (nth, (id, eval)) in self.pending.iter().enumerate() {
            if nth >= ANSWERS_MAX || (nth > 0 && unit.value_bytes() > ANSWER_BYTES_MAX) {
                return (unit, true);
            }
            let key = Key::Eval(*id);
            unit.exists(key.clone()).put(key, &self.answered(eval, &outcome));
        }
        (unit, false)
    }

    fn answered(&self, eval: &Eval, outcome: &EvalOutcome) -> Eval {
        let mut eval = eval.clone();
        if Some(eval.uid) == self.uid {
            eval.status = EvalStatus::Complete;
            eval.outcome = Some(outcome.clone());
            return eval;
        }
        // Nothing of that registration runs any more: what asked for just this is answered.
        let meant = eval.trigger == Trigger::JobDeregister;
        eval.status = if meant { EvalStatus::Complete } else { EvalStatus::Canceled };
        if !meant {
            eval.description = "the job was purged or registered anew".to_owned();
        }
        eval.outcome = Some(EvalOutcome {
            snapshot_revision: outcome.snapshot_revision,
            epoch: outcome.epoch,
            sequence: outcome.sequence,
            finished: outcome.finished,
            ..EvalOutcome::default()
        });
        eval
    }

    /// The unmet wants to be stored; what has not changed is kept as it is.
    fn state(&self, plan: Plan, cx: &mut Cx) -> Option<JobState> {
        let uid = self.uid.filter(|_| !plan.wants.is_empty())?;
        let before = self.entry.state_of(uid).map(|stored| &stored.value);
        let mut wants = plan.wants;
        for (group, wants) in &mut wants {
            let old = before.and_then(|b| b.wants.get(group)).map_or(&[][..], |w| &w[..]);
            for want in wants {
                if let Some(same) = old.iter().find(|old| self.still(old, want)) {
                    want.clone_from(same);
                }
            }
        }
        // An id is used once: after its evaluation was made, the next one needs another.
        let unused = before.map(|b| b.next).filter(|next| self.world.eval(*next).is_none());
        let next = unused.unwrap_or_else(|| cx.eval_id());
        Some(JobState { uid, wants, next, batches: plan.batches })
    }

    /// Is it the same want, tried on nodes that have not changed since in a way that could help?
    fn still(&self, old: &Want, new: &Want) -> bool {
        match (old, new) {
            (
                Want::Room { count, version, shape, revision, .. },
                Want::Room { count: new_count, version: new_version, shape: new_shape, .. },
            ) => {
                (count, version, shape) == (new_count, new_version, new_shape)
                    && self.world.helped_since(*revision).next().is_none()
            }
            _ => false,
        }
    }
}
