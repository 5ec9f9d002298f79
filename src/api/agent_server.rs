//! The HTTP API of an agent without an api in its process: what is local is served, all else is passed on to an api.

use std::{sync::Arc, time::Duration};

use axum::{Router, response::Response};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    agent::{health_answer, healthz_answer},
    auth::Action,
    call::{Call, Served},
    config::{ApiConfig, Exposed},
    error::Error,
    local::LocalAgent,
    logs,
    proxy::{PASSED_ON, Passed, credentials, pass_on},
    routes::Routes,
    server,
    wire::agent::{Health, agent_self},
};

/// Time for an api to begin its answer: a blocking query may take ten minutes and a sixteenth.
const API_TIME: Duration = Duration::from_secs(11 * 60);

/// What an agent's handlers can reach.
#[derive(Clone)]
struct AgentApi {
    config: Arc<ApiConfig>,
    agent: Arc<dyn LocalAgent>,
    shutdown: CancellationToken,
}

impl Served for AgentApi {
    fn config(&self) -> &ApiConfig {
        &self.config
    }
}

/// Serves an agent's own HTTP API until `shutdown`: logs, `agent/self` and health from here, all else from one of
/// [`LocalAgent::api_servers`].
///
/// # Errors
/// If it would be open to everybody: see [`ApiConfig::check`].
pub async fn serve_agent(
    listener: TcpListener,
    config: ApiConfig,
    agent: Arc<dyn LocalAgent>,
    shutdown: CancellationToken,
) -> Result<(), Exposed> {
    let router = agent_router(config.clone(), agent, shutdown.clone());
    server::run(listener, router, config, shutdown).await
}

/// The routes of an agent.
pub(crate) fn agent_router(
    config: ApiConfig,
    agent: Arc<dyn LocalAgent>,
    shutdown: CancellationToken,
) -> Router {
    let api = AgentApi { config: Arc::new(config), agent, shutdown };
    Routes::new()
        .get("/v1/client/fs/logs/{alloc}", Action::ReadLogs, read_logs)
        .get("/v1/agent/self", Action::ReadCluster, own)
        .get("/v1/agent/health", Action::Health, health)
        .get("/healthz", Action::Health, healthz)
        .finish(api, forward)
}

async fn read_logs(call: Call<AgentApi>) -> Result<Response, Error> {
    let wanted = logs::Wanted::parse(call.param("alloc"), &call.query)?;
    match logs::local(call.api.agent.clone(), wanted, call.api.shutdown.clone()).await {
        // Another node's, perhaps: an api knows.
        Err(Error::Missing(_)) if !call.headers.contains_key(PASSED_ON) => forward(call).await,
        answer => answer,
    }
}

async fn own(call: Call<AgentApi>) -> Result<Response, Error> {
    Ok(call.json(&agent_self(&call.api.config, Some(&*call.api.agent), None)))
}

async fn health(call: Call<AgentApi>) -> Result<Response, Error> {
    Ok(health_answer(&call, Health { server: None, client: Some(call.api.agent.problem()) }))
}

async fn healthz(call: Call<AgentApi>) -> Result<Response, Error> {
    Ok(healthz_answer(call.api.agent.problem()))
}

/// Passes a request on to the first api that can be reached. A write is sent once: what may have arrived is not
/// repeated elsewhere.
async fn forward(call: Call<AgentApi>) -> Result<Response, Error> {
    if call.headers.contains_key(PASSED_ON) {
        return Err(Error::NoSuchPath);
    }
    let mut last = Error::Unavailable("no api server is known to this agent".to_owned());
    for address in call.api.agent.api_servers() {
        let passed = Passed {
            address: &address,
            tls: call.api.config.peers_tls.as_ref(),
            method: call.method.clone(),
            path: call.uri.path_and_query().map_or("/", |path| path.as_str()),
            headers: credentials(&call.headers),
            body: call.body.clone(),
            from: "agent",
            time: API_TIME,
        };
        match pass_on(passed).await {
            Err(Error::NodeUnreachable(why)) => last = Error::NodeUnreachable(why),
            answer => return answer,
        }
    }
    Err(last)
}
