//! What one instance of a group asks of a node: room and ports.

use encamp_model::{
    Name,
    job::{Network, Port, TaskGroup},
    records::Ask,
};

/// MHz of a task that names none.
pub const CPU_DEFAULT_MHZ: i64 = 100;
/// MB of memory of a task that names none.
pub const MEMORY_DEFAULT_MB: i64 = 300;
/// MB of disk of a group that names none.
pub const DISK_DEFAULT_MB: i64 = 300;

/// A port that an instance needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortAsk {
    /// Its name in the job.
    pub label: Name,
    /// The number that the user chose; `None` if the planner chooses.
    pub value: Option<u16>,
    /// Port inside the task's own network, 0 if it has none.
    pub to: u16,
    /// The task whose own network asks for it; `None` for the group's.
    pub task: Option<Name>,
}

/// What one instance of a group asks of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Room: the sum over its tasks.
    pub ask: Ask,
    /// Ports, in the order in which the job names them.
    pub ports: Vec<PortAsk>,
}

impl Demand {
    /// The demand of a group. What is absent means the documented default; nothing is written back.
    pub fn of(group: &TaskGroup) -> Demand {
        let mut ask = Ask { disk_mb: disk(group), ..Ask::default() };
        let mut ports = Vec::new();
        group.networks.iter().for_each(|network| add_ports(network, None, &mut ports));
        for task in &group.tasks {
            let resources = task.resources.as_ref();
            ask.cpu = more(ask.cpu, resources.and_then(|r| r.cpu).unwrap_or(CPU_DEFAULT_MHZ));
            ask.memory_mb =
                more(ask.memory_mb, resources.and_then(|r| r.memory_mb).unwrap_or(MEMORY_DEFAULT_MB));
            for network in resources.iter().flat_map(|r| &r.networks) {
                add_ports(network, Some(&task.name), &mut ports);
            }
        }
        Demand { ask, ports }
    }
}

/// The group's disk, or what its tasks name in the manner of 2016, or the default.
fn disk(group: &TaskGroup) -> i64 {
    if let Some(disk) = &group.ephemeral_disk {
        return more(0, disk.size_mb.unwrap_or(DISK_DEFAULT_MB));
    }
    let named: Vec<i64> =
        group.tasks.iter().filter_map(|t| t.resources.as_ref().and_then(|r| r.disk_mb)).collect();
    if named.is_empty() { DISK_DEFAULT_MB } else { named.into_iter().fold(0, more) }
}

/// Admission refuses what is below zero; nothing may ever be taken off.
fn more(sum: i64, ask: i64) -> i64 {
    sum.saturating_add(ask.max(0))
}

fn add_ports(network: &Network, task: Option<&Name>, out: &mut Vec<PortAsk>) {
    let ask = |port: &Port, value| PortAsk {
        label: port.label.clone(),
        value,
        to: u16::try_from(port.to).unwrap_or(0),
        task: task.cloned(),
    };
    // Admission refuses numbers that are no port; 0 is held by everyone, so such a one fits nowhere.
    out.extend(network.reserved_ports.iter().map(|p| ask(p, Some(u16::try_from(p.value).unwrap_or(0)))));
    out.extend(network.dynamic_ports.iter().map(|p| ask(p, None)));
}
