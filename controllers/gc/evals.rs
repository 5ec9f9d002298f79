//! Answered evaluations.
//!
//! An answered evaluation never becomes pending again. One that an allocation record names as its maker is kept as long
//! as that record, so that `status` can say why something runs; so is one that `job-states/…` announces as the next.

use encamp_model::{EvalId, Key, Timestamp, Unit, records::EvalStatus};
use encamp_world::{World, control::Outcome};

use crate::{Config, once_due, rests_on, take};

pub(crate) fn judge(world: &World, config: &Config, now: Timestamp, id: EvalId) -> Outcome {
    let Some(eval) = world.eval(id).filter(|eval| eval.status != EvalStatus::Pending) else {
        return Outcome::nothing();
    };
    let state = Key::JobState(eval.job.clone());
    let announced = world.job(&eval.job).and_then(|job| job.state.as_ref()).is_some_and(|s| s.next == id);
    if announced || world.is_opaque(&state) {
        return Outcome::nothing();
    }
    let answered = eval.outcome.as_ref().map_or(eval.value.created, |outcome| outcome.finished);
    let due = answered + config.eval_age;
    // The scan below is for those that are due, not for each that was just answered.
    if now >= due && places_still(world, eval.uid, id) {
        return Outcome::nothing();
    }
    once_due(due, now, || {
        let mut unit = Unit::new();
        take(&mut unit, world, Key::Eval(id));
        rests_on(&mut unit, world, state);
        vec![unit]
    })
}

fn places_still(world: &World, uid: encamp_model::JobUid, id: EvalId) -> bool {
    world.registration(uid).is_some_and(|r| r.allocs.values().any(|a| a.record.eval == id))
}
