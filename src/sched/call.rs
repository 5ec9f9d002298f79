//! The evaluation that asks the planner to look at a job.

use encamp_model::{
    EvalId, JobId, Key, NodeId, Unit,
    records::{Eval, EvalStatus, Trigger},
};
use encamp_world::{World, control::Cx};

use crate::Call;

/// The evaluation for a call. It has the id that the job's state announced, if that is still unused, and rests on
/// nobody having made it.
pub fn evaluation(
    world: &World,
    job: &JobId,
    call: &Call,
    node: Option<NodeId>,
    cx: &mut Cx,
) -> (EvalId, Unit) {
    let entry = world.job(job);
    let announced = entry.and_then(|entry| entry.state_of(call.uid)).map(|state| state.next);
    let id = announced.filter(|id| world.mod_revision(&Key::Eval(*id)) == 0).unwrap_or_else(|| cx.eval_id());
    // The evaluation whose unmet wants this one answers.
    let of_job = entry.into_iter().flat_map(|entry| &entry.evals);
    let previous = of_job.copied().find(|before| {
        let outcome = world.eval(*before).and_then(|eval| eval.outcome.as_ref());
        outcome.is_some_and(|outcome| outcome.next == Some(id))
    });
    // Work is lost with a node: say with which.
    let lost = || {
        let allocs = world.registration(call.uid).into_iter().flat_map(|r| r.allocs.values());
        let down = |node: NodeId| world.node(node).is_some_and(|n| n.is_down());
        allocs.filter(|a| a.is_live()).map(|a| a.node).find(|node| down(*node))
    };
    let node = node.or_else(|| (call.trigger == Trigger::NodeUpdate).then(lost).flatten());
    let eval = Eval {
        job: job.clone(),
        uid: call.uid,
        priority: call.priority,
        kind: call.kind,
        trigger: call.trigger,
        node,
        previous,
        due: call.due,
        force_reschedule: false,
        status: EvalStatus::Pending,
        description: String::new(),
        created: cx.now,
        outcome: None,
    };
    let mut unit = Unit::new();
    unit.unchanged(Key::Eval(id), 0).put(Key::Eval(id), &eval);
    (id, unit)
}
