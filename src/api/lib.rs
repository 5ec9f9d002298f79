//! The HTTP API: the shapes and routes that Nomad's clients know, answered from the World and written to etcd in units.
//!
//! Invariants: every route passes the gate (whose Host, whose Origin), `auth::authorize` and the bounds, because
//! there is no other way to mount one (`routes::Routes`). A read is linearizable unless it asks for `stale`; a write
//! is one unit, decided on a fresh World, and bad input writes nothing. What is stored is never what is shown: `wire`
//! has the shapes. The process holds no state but caches.
//!
//! Start with [`serve`]; each resource has a file with its routes on top.

mod admission;
mod agent;
mod agent_server;
mod allocations;
mod auth;
mod blocking;
mod call;
mod commit;
mod config;
mod echo;
mod error;
mod evaluations;
mod gate;
mod ids;
mod job;
mod jobs;
mod local;
mod logs;
mod meta;
mod nodes;
mod proxy;
mod query;
mod routes;
mod server;
mod status;
#[cfg(test)]
mod tests;
mod texts;
mod unserved;
mod validate;
mod waiting;
mod wire;

use std::sync::Arc;

use axum::Router;
use encamp_runtime::Process;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use agent_server::serve_agent;
pub use config::{ApiConfig, Exposed, Limits, Token};
pub use local::{LocalAgent, LogChunk, LogError, LogPosition, LogSource, Origin, Stream};
pub use waiting::serve_while;

use crate::{call::Api, error::Error, routes::Routes};

/// Serves the API of a process on `listener` until `shutdown`; then requests under way have [`Limits::drain`] to end.
/// `agent` is the agent in the same process, if there is one.
///
/// # Errors
/// If it would be open to everybody: see [`ApiConfig::check`].
pub async fn serve(
    listener: TcpListener,
    process: Process,
    config: ApiConfig,
    agent: Option<Arc<dyn LocalAgent>>,
    shutdown: CancellationToken,
) -> Result<(), Exposed> {
    let router = router(Api::new(process, config.clone(), agent, shutdown.clone()));
    server::run(listener, router, config, shutdown).await
}

/// Every route of an api process.
fn router(api: Api) -> Router {
    Routes::new()
        .with(agent::routes())
        .with(allocations::routes())
        .with(evaluations::routes())
        .with(job::routes())
        .with(jobs::routes())
        .with(logs::routes())
        .with(nodes::routes())
        .with(status::routes())
        .with(unserved::routes())
        .with(validate::routes())
        .finish(api, |_| async { Err(Error::NoSuchPath) })
}
