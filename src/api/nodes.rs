//! Nodes: the list, one, and what runs on it.

use axum::response::Response;
use encamp_model::NodeId;
use encamp_world::{Table, World};

use crate::{
    allocations,
    auth::Action,
    blocking::Subject,
    call::{Api, Call},
    error::Error,
    routes::Routes,
    wire::node::{NodeOut, NodeStub, modify_index},
};

pub(crate) fn routes() -> Routes<Api> {
    Routes::new()
        .get("/v1/nodes", Action::ReadNodes, list)
        .get("/v1/node/{node}", Action::ReadNodes, read)
        .get("/v1/node/{node}/allocations", Action::ReadNodes, allocs)
}

fn table(world: &World) -> Subject {
    Subject::Table(Table::Nodes, world.nodes().all(|(_, node)| node.info.is_none()))
}

fn id(call: &Call) -> Result<NodeId, Error> {
    crate::ids::parse("node", call.param("node"))
}

async fn list(call: Call) -> Result<Response, Error> {
    let look = call.look(table).await?;
    let resources = call.query.flag("resources");
    let nodes = look.world.nodes().filter(|(id, _)| call.query.has_prefix(&id.to_string()));
    let lines = nodes.filter_map(|(_, node)| {
        let info = node.info.as_ref()?;
        Some(NodeStub::new(node, info, resources))
    });
    Ok(call.page(look.meta, lines.collect(), |line: &NodeStub| line.common.id.to_string()))
}

async fn read(call: Call) -> Result<Response, Error> {
    let id = id(&call)?;
    let changed = |world: &World| world.node(id).filter(|n| n.info.is_some()).map(|n| modify_index(n));
    let look = call.look(|world| Subject::Object(Table::Nodes, changed(world))).await?;
    let tls = call.api.config.peers_tls.is_some();
    let node = look.world.node(id);
    match node.and_then(|node| Some(NodeOut::new(node, node.info.as_ref()?, tls))) {
        Some(out) => Ok(call.answer(&look.meta, &out)),
        None => Err(look.not_found("node")),
    }
}

/// In full, as clients expect here.
async fn allocs(call: Call) -> Result<Response, Error> {
    let id = id(&call)?;
    let look = call.look(allocations::table).await?;
    let mut lines = Vec::new();
    for entry in look.world.node(id).into_iter().flat_map(|node| node.allocs.values()) {
        lines.push(allocations::in_full(&call.api, &look.world, entry).await?);
    }
    Ok(call.answer(&look.meta, &lines))
}
