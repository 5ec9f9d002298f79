//! `node-status [ID]`: the nodes, in the layout that Nomad's users knew first, or one of them with what is free on it.

use clap::Args;

use crate::{
    cx::Cx,
    error::{Error, Result},
    exit::Exit,
    find,
    kind::Kind,
    show::{Fields, Table, short, time},
    wire::{Allocation, Node, Resources},
};

/// List the nodes, or show one
#[derive(Args, Clone, Debug)]
pub(crate) struct NodeStatusArgs {
    /// A node's id, a beginning of it, or its name
    #[arg(value_name = "NODE", conflicts_with = "own")]
    node: Option<String>,
    /// The node that the address belongs to
    #[arg(long = "self")]
    own: bool,
}

/// Lists, or shows one.
///
/// # Errors
/// If no node fits, or `--self` asks where there is no agent; those of asking.
pub(crate) async fn run(args: &NodeStatusArgs, cx: &mut Cx<'_>) -> Result<Exit> {
    if args.own {
        let own = cx.client.agent_self().await?;
        let id = own.node_id().ok_or_else(|| {
            Error::usage(
                "no agent runs in the process at this address",
                "--self is for an agent's own address; `ctl node-status` lists all nodes.",
            )
        })?;
        return one(cx, id).await;
    }
    match &args.node {
        Some(given) => {
            let id = find::one(cx, Kind::Node, given).await?.id;
            one(cx, &id).await
        }
        None => list(cx).await,
    }
}

async fn list(cx: &mut Cx<'_>) -> Result<Exit> {
    let mut nodes = cx.client.nodes("").await?;
    if nodes.is_empty() {
        cx.screen.note("No nodes: `ctl agent --etcd URL` on a machine makes it one.");
        return Ok(Exit::Ok);
    }
    nodes.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    let mut table = Table::new(["ID", "Datacenter", "Name", "Class", "Drain", "Status"]);
    for node in nodes {
        let id = short(&node.id).to_owned();
        table.row([id, node.datacenter, node.name, node.node_class, node.drain.to_string(), node.status]);
    }
    cx.screen.line(table)?;
    Ok(Exit::Ok)
}

/// Shows one node, by its whole id.
///
/// # Errors
/// If it is gone; those of asking.
pub(crate) async fn one(cx: &mut Cx<'_>, id: &str) -> Result<Exit> {
    let gone = || Error::Unknown { kind: "node".into(), given: id.into() };
    let node = cx.client.node(id).await?.ok_or_else(gone)?;
    let mut allocs = cx.client.node_allocs(id).await?;
    allocs.sort_by(|a, b| b.create_index.cmp(&a.create_index).then_with(|| a.name.cmp(&b.name)));
    cx.screen.line(fields(&node))?;
    cx.screen.line(format!("\nResources\n{}", resources(&node, &allocs)))?;
    if allocs.is_empty() {
        cx.screen.line("\nAllocations\nNo allocations placed")?;
        return Ok(Exit::Ok);
    }
    let mut table = Table::new(["ID", "Eval ID", "Job ID", "Task Group", "Desired", "Status", "Created"]);
    for alloc in allocs {
        table.row([
            short(&alloc.id).into(),
            short(&alloc.eval_id).into(),
            alloc.job_id,
            alloc.task_group,
            alloc.desired_status,
            alloc.client_status,
            time::ago(cx.now, alloc.create_time),
        ]);
    }
    cx.screen.line(format!("\nAllocations\n{table}"))?;
    Ok(Exit::Ok)
}

fn fields(node: &Node) -> Fields {
    let drivers = node.drivers.iter().filter(|(_, driver)| driver.detected);
    let drivers = drivers.map(|(name, driver)| match driver.healthy {
        true => name.clone(),
        false => format!("{name} (unhealthy)"),
    });
    Fields::new()
        .with("ID", &node.id)
        .with("Name", &node.name)
        .with("Class", &node.node_class)
        .with("DC", &node.datacenter)
        .with("Drain", node.drain)
        .with("Eligibility", &node.scheduling_eligibility)
        .with("Status", &node.status)
        .with_some("Because", &node.status_description)
        .with_some("Address", &node.http_addr)
        .with("Drivers", drivers.collect::<Vec<_>>().join(", "))
}

/// What the node has, what is reserved and taken, and what is left.
fn resources(node: &Node, allocs: &[Allocation]) -> Table {
    let takes = allocs.iter().filter(|a| !a.is_terminal()).map(Allocation::takes);
    let taken = takes.fold((0, 0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1, sum.2 + one.2));
    let mut table = Table::new(["", "CPU MHz", "Memory MB", "Disk MB"]);
    let Resources { cpu, memory_mb, disk_mb } = node.resources;
    let mut row = |name: &str, (cpu, memory, disk): (i64, i64, i64)| {
        table.row([name.into(), cpu.to_string(), memory.to_string(), disk.to_string()]);
    };
    let reserved = (node.reserved.cpu, node.reserved.memory_mb, node.reserved.disk_mb);
    row("Total", (cpu, memory_mb, disk_mb));
    row("Reserved", reserved);
    row("Allocated", taken);
    let left = |total: i64, reserved: i64, taken: i64| total - reserved - taken;
    row(
        "Unallocated",
        (
            left(cpu, reserved.0, taken.0),
            left(memory_mb, reserved.1, taken.1),
            left(disk_mb, reserved.2, taken.2),
        ),
    );
    table
}
