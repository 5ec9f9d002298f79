//! Evaluations: stored ones, and those that jobs wait for.

use axum::response::Response;
use encamp_model::{EvalId, JobId, records::JobState};
use encamp_world::{Stored, Table, World};

use crate::{
    allocations,
    auth::Action,
    blocking::Subject,
    call::{Api, Call},
    error::Error,
    routes::Routes,
    wire::eval::{EvalOut, Placements},
};

pub(crate) fn routes() -> Routes<Api> {
    Routes::new()
        .get("/v1/evaluations", Action::ReadJobs, list)
        .delete("/v1/evaluations", Action::WriteJobs, delete)
        .get("/v1/evaluation/{eval}", Action::ReadJobs, read)
        .get("/v1/evaluation/{eval}/allocations", Action::ReadJobs, allocs)
}

/// The index that a list of evaluations has.
pub(crate) fn table(world: &World) -> Subject {
    Subject::Table(Table::Evals, world.evals().next().is_none() && world.waiting().next().is_none())
}

/// The evaluation that a job waits for, unless it was created meanwhile.
pub(crate) fn blocked_of(world: &World, id: &JobId) -> Option<EvalOut> {
    waiting(world, id).map(|state| EvalOut::blocked(world, id, state))
}

fn waiting<'a>(world: &'a World, id: &JobId) -> Option<&'a Stored<JobState>> {
    let entry = world.job(id)?;
    let uid = entry.job.as_ref()?.uid?;
    entry.state_of(uid).filter(|state| !state.wants.is_empty() && world.eval(state.next).is_none())
}

/// Whose unmet wants will be answered under this id.
fn waiting_for(world: &World, id: EvalId) -> Option<(&JobId, &Stored<JobState>)> {
    world.waiting().find_map(|job| Some((job, waiting(world, job).filter(|state| state.next == id)?)))
}

fn find(world: &World, id: EvalId) -> Option<EvalOut> {
    if let Some(eval) = world.eval(id) {
        return Some(EvalOut::new(world, id, eval, &Placements::of_job(world, eval.uid)));
    }
    waiting_for(world, id).map(|(job, state)| EvalOut::blocked(world, job, state))
}

fn id(call: &Call) -> Result<EvalId, Error> {
    crate::ids::parse("eval", call.param("eval"))
}

async fn list(call: Call) -> Result<Response, Error> {
    let look = call.look(table).await?;
    let world = &look.world;
    let placed = Placements::count(world.allocs());
    let stored = world.evals().map(|(id, eval)| EvalOut::new(world, id, eval, &placed));
    let blocked = world.waiting().filter_map(|job| blocked_of(world, job));
    let (job, status) = (call.query.given("job"), call.query.given("status"));
    let asked = |eval: &EvalOut| {
        call.query.in_namespace(&eval.namespace)
            && call.query.has_prefix(&eval.id.to_string())
            && job.is_none_or(|job| *eval.job_id == *job)
            && status.is_none_or(|status| eval.status == status)
    };
    let mut lines: Vec<EvalOut> = stored.chain(blocked).filter(asked).collect();
    lines.sort_by_key(|eval| eval.id);
    Ok(call.page(look.meta, lines, |eval| eval.id.to_string()))
}

/// Answered ones go by themselves, and pending ones are the planner's to answer.
async fn delete(_: Call) -> Result<Response, Error> {
    Err(Error::NotServed("DELETE /v1/evaluations".to_owned()))
}

async fn read(call: Call) -> Result<Response, Error> {
    let id = id(&call)?;
    let changed = |world: &World| {
        world.eval(id).map(|eval| eval.modified).or_else(|| waiting_for(world, id).map(|(_, s)| s.modified))
    };
    let look = call.look(|world| Subject::Object(Table::Evals, changed(world))).await?;
    match find(&look.world, id) {
        Some(eval) => Ok(call.answer(&look.meta, &eval)),
        None => Err(look.not_found("eval")),
    }
}

async fn allocs(call: Call) -> Result<Response, Error> {
    let id = id(&call)?;
    let look = call.look(allocations::table).await?;
    let uid = look.world.eval(id).map(|eval| eval.uid);
    let registration = uid.and_then(|uid| look.world.registration(uid));
    let placed = registration.into_iter().flat_map(|r| r.allocs.values()).filter(|a| a.record.eval == id);
    let entries = placed.cloned().collect();
    allocations::lines(&call, look.meta.clone(), &look.world, entries).await
}
