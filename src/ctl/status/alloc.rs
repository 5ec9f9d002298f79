//! One allocation: where it is, what it has, and what happened to its tasks.

use crate::{
    cx::Cx,
    error::{Error, Result},
    exit::Exit,
    show::{Fields, Table, short, time},
    wire::{Allocation, TaskState},
};

/// Shows an allocation by its whole id.
///
/// # Errors
/// If it is gone; those of asking.
pub(super) async fn show(cx: &mut Cx<'_>, id: &str) -> Result<Exit> {
    let gone = || Error::Unknown { kind: "allocation".into(), given: id.into() };
    let alloc = cx.client.alloc(id).await?.ok_or_else(gone)?;
    cx.screen.line(fields(cx.now, &alloc))?;
    let (cpu, memory, disk) = alloc.takes();
    cx.screen.line(format!("\nResources\nCPU {cpu} MHz, memory {memory} MB, disk {disk} MB"))?;
    let ports = &alloc.allocated_resources.shared.ports;
    if !ports.is_empty() {
        let mut table = Table::new(["Port", "Address"]);
        for port in ports {
            table.row([port.label.clone(), format!("{}:{}", port.host_ip, port.value)]);
        }
        cx.screen.line(format!("\n{table}"))?;
    }
    for (task, state) in &alloc.task_states {
        cx.screen.line(format!("\nTask {task:?} is {:?}{}", state.state, marks(state)))?;
        cx.screen.line(events(cx.now, state))?;
    }
    Ok(Exit::Ok)
}

fn fields(now: i64, alloc: &Allocation) -> Fields {
    Fields::new()
        .with("ID", &alloc.id)
        .with("Eval ID", short(&alloc.eval_id))
        .with("Name", &alloc.name)
        .with("Node ID", short(&alloc.node_id))
        .with("Node Name", &alloc.node_name)
        .with("Job ID", &alloc.job_id)
        .with("Job Version", alloc.job_version)
        .with("Client Status", &alloc.client_status)
        .with_some("Client Description", &alloc.client_description)
        .with("Desired Status", &alloc.desired_status)
        .with_some("Desired Description", &alloc.desired_description)
        .with("Created", time::ago(now, alloc.create_time))
        .with("Modified", time::ago(now, alloc.modify_time))
}

fn marks(state: &TaskState) -> String {
    let failed = if state.failed { ", failed" } else { "" };
    match state.restarts {
        0 => failed.to_owned(),
        1 => format!("{failed}, restarted once"),
        n => format!("{failed}, restarted {n} times"),
    }
}

/// The newest event first.
fn events(now: i64, state: &TaskState) -> String {
    if state.events.is_empty() {
        return "No events yet".into();
    }
    let mut table = Table::new(["Time", "Type", "Description"]);
    for event in state.events.iter().rev() {
        let text = [&event.display_message, &event.message].into_iter().find(|t| !t.is_empty());
        let text = text.map(|t| t.replace('\n', " ")).unwrap_or_default();
        table.row([time::ago(now, event.time), event.kind.clone(), text]);
    }
    table.to_string()
}
