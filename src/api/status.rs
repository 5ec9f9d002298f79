//! `/v1/status`, `/v1/regions`: who leads, who serves.

use axum::response::Response;
use encamp_world::World;

use crate::{
    auth::Action,
    call::{Api, Call},
    error::Error,
    gate::host_of,
    routes::Routes,
};

/// The port that servers talk to each other on, which clients expect in addresses. Nothing of ours listens there.
const SERVER_PORT: u16 = 4647;
/// The loop whose leader is shown as the cluster's.
const LOOP: &str = "planner";

pub(crate) fn routes() -> Routes<Api> {
    Routes::new()
        .get("/v1/status/leader", Action::ReadCluster, leader)
        .get("/v1/status/peers", Action::ReadCluster, peers)
        .get("/v1/regions", Action::ReadCluster, regions)
}

/// An address as clients expect servers to have.
pub(crate) fn server_address(address: &str) -> String {
    match host_of(address) {
        Some(host) if host.contains(':') => format!("[{host}]:{SERVER_PORT}"),
        Some(host) => format!("{host}:{SERVER_PORT}"),
        None => format!("127.0.0.1:{SERVER_PORT}"),
    }
}

/// The address of the process that plans; empty while nobody does.
pub(crate) fn leader_of(world: &World) -> String {
    world.leader(LOOP).map(|leader| server_address(&leader.address)).unwrap_or_default()
}

async fn leader(call: Call) -> Result<Response, Error> {
    let world = call.world().await?;
    Ok(call.json(&leader_of(&world)))
}

async fn peers(call: Call) -> Result<Response, Error> {
    let world = call.world().await?;
    let mut peers: Vec<String> = world.api_servers().map(|(_, s)| server_address(&s.address)).collect();
    peers.push(server_address(&call.api.config.advertise));
    peers.sort();
    peers.dedup();
    Ok(call.json(&peers))
}

async fn regions(call: Call) -> Result<Response, Error> {
    Ok(call.json(&[&call.api.config.region]))
}
