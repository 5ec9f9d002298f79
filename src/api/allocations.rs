//! Allocations: lists and the whole.

use std::sync::Arc;

use axum::response::Response;
use encamp_model::AllocId;
use encamp_world::{AllocEntry, Table, World};
use serde_json::Value;

use crate::{
    auth::Action,
    blocking::Subject,
    call::{Api, Call},
    error::Error,
    meta::Meta,
    routes::Routes,
    wire::{
        alloc::{AllocOut, AllocStub, View},
        job::{Around, whole},
    },
};

pub(crate) fn routes() -> Routes<Api> {
    Routes::new().get("/v1/allocations", Action::ReadJobs, list).get(
        "/v1/allocation/{alloc}",
        Action::ReadJobs,
        read,
    )
}

/// The index that a list of allocations has.
pub(crate) fn table(world: &World) -> Subject {
    Subject::Table(Table::Allocs, world.allocs().next().is_none())
}

async fn list(call: Call) -> Result<Response, Error> {
    let look = call.look(table).await?;
    let asked = |entry: &Arc<AllocEntry>| {
        let job = View::new(&look.world, entry).job_id();
        call.query.has_prefix(&entry.id.to_string())
            && job.is_none_or(|job| call.query.in_namespace(&job.namespace))
    };
    let entries = look.world.allocs().filter(|entry| asked(entry)).cloned().collect();
    lines(&call, look.meta.clone(), &look.world, entries).await
}

/// A list of allocations, sorted by id: with `?resources` what they were given, without `?task_states=false` what
/// their tasks did.
pub(crate) async fn lines(
    call: &Call,
    meta: Meta,
    world: &World,
    mut entries: Vec<Arc<AllocEntry>>,
) -> Result<Response, Error> {
    let no_states = call.query.given("task_states").is_some() && !call.query.flag("task_states");
    entries.sort_by_key(|entry| entry.id);
    // Paged before they are written out: a page of few must not cost as much as all.
    let (entries, next) = crate::query::page(&call.query, entries, |entry| entry.id.to_string());
    let mut lines: Vec<AllocStub> = Vec::with_capacity(entries.len());
    for entry in entries {
        let view = View::new(world, &entry);
        if call.query.flag("resources") {
            let job = call.api.job_text(world, entry.record.uid, entry.record.version).await?;
            lines.push(view.stub_with_resources(!no_states, job.as_deref()));
        } else {
            lines.push(view.stub(!no_states));
        }
    }
    let meta = Meta { next_token: next.unwrap_or_default(), ..meta };
    Ok(call.answer(&meta, &lines))
}

/// An allocation with all that is shown of it.
pub(crate) async fn in_full(api: &Api, world: &World, entry: &AllocEntry) -> Result<AllocOut, Error> {
    let job = api.job_text(world, entry.record.uid, entry.record.version).await?;
    let shown = job
        .as_deref()
        .map_or(Value::Null, |job| whole(job, &Around::version(world, job, &api.config.region)));
    Ok(View::new(world, entry).whole(job.as_deref(), shown))
}

async fn read(call: Call) -> Result<Response, Error> {
    let id: AllocId = crate::ids::parse("alloc", call.param("alloc"))?;
    let changed = |world: &World| world.alloc(id).map(|entry| View::new(world, entry).modify_index());
    let look = call.look(|world| Subject::Object(Table::Allocs, changed(world))).await?;
    let Some(entry) = look.world.alloc(id).cloned() else { return Err(look.not_found("alloc")) };
    let out = in_full(&call.api, &look.world, &entry).await?;
    Ok(call.answer(&look.meta, &out))
}
