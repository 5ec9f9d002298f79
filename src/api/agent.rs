//! `/v1/agent` and `/healthz`: this process.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};

use crate::{
    auth::Action,
    call::{Api, Call},
    error::Error,
    routes::Routes,
    status::leader_of,
    wire::agent::{Health, ServerStats, agent_self},
};

pub(crate) fn routes() -> Routes<Api> {
    Routes::new()
        .get("/v1/agent/self", Action::ReadCluster, own)
        .get("/v1/agent/health", Action::Health, health)
        .get("/healthz", Action::Health, healthz)
}

/// Answered from what is known: it must work while etcd is away, since operators ask then.
async fn own(call: Call) -> Result<Response, Error> {
    let api = &call.api;
    let world = api.process.world();
    let server = ServerStats {
        leader: leader_of(&world),
        revision: world.revision(),
        peers: world.api_servers().count(),
        known_leader: api.known_leader(),
        opaque: world.opaque().count(),
    };
    Ok(call.json(&agent_self(&api.config, api.agent.as_deref(), Some(&server))))
}

async fn health(call: Call) -> Result<Response, Error> {
    let server = api_problem(&call.api);
    let client = call.api.agent.as_ref().map(|agent| agent.problem());
    Ok(health_answer(&call, Health { server: Some(server), client }))
}

/// What keeps this process from its work.
fn api_problem(api: &Api) -> Option<String> {
    api.process.health().problem()
}

/// 500 if one part is not well: load balancers look at nothing else.
pub(crate) fn health_answer<S>(call: &Call<S>, health: Health) -> Response {
    let mut response = call.json(&health.shown());
    if !health.is_well() {
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    response
}

async fn healthz(call: Call) -> Result<Response, Error> {
    let agent = call.api.agent.as_ref().and_then(|agent| agent.problem());
    Ok(healthz_answer(api_problem(&call.api).or(agent)))
}

/// `ok`, or 503 and why not.
pub(crate) fn healthz_answer(problem: Option<String>) -> Response {
    match problem {
        None => "ok\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}
