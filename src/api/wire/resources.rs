//! Resources in their two shapes: one struct a task as of 2016, and today's nested one.

use std::collections::BTreeMap;

use encamp_model::{
    Name,
    job::{Job, Network, TaskGroup},
    records::{AllocRecord, Ask, AssignedPort, NodeInfo},
};
use serde::Serialize;

/// What something may use, as of 2016.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Flat {
    #[serde(rename = "CPU")]
    cpu: i64,
    cores: i64,
    #[serde(rename = "MemoryMB")]
    memory_mb: i64,
    #[serde(rename = "MemoryMaxMB")]
    memory_max_mb: i64,
    #[serde(rename = "DiskMB")]
    disk_mb: i64,
    #[serde(rename = "IOPS")]
    iops: i64,
    #[serde(rename = "SecretsMB")]
    secrets_mb: i64,
    #[serde(rename = "NUMA")]
    numa: Option<()>,
    devices: Option<()>,
    networks: Option<Vec<Net>>,
}

impl Flat {
    /// CPU in MHz, memory and disk in MB (2^20 bytes), and the networks.
    pub(crate) fn new(ask: Ask, networks: Option<Net>) -> Self {
        Flat {
            cpu: ask.cpu,
            memory_mb: ask.memory_mb,
            disk_mb: ask.disk_mb,
            networks: networks.map(|network| vec![network]),
            ..Flat::default()
        }
    }
}

/// A network with its ports.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Net {
    pub(crate) mode: String,
    pub(crate) device: String,
    #[serde(rename = "CIDR")]
    pub(crate) cidr: String,
    #[serde(rename = "IP")]
    pub(crate) ip: String,
    pub(crate) hostname: String,
    #[serde(rename = "MBits")]
    pub(crate) mbits: i64,
    #[serde(rename = "DNS")]
    pub(crate) dns: Option<()>,
    pub(crate) reserved_ports: Option<Vec<PortOut>>,
    pub(crate) dynamic_ports: Option<Vec<PortOut>>,
}

/// A port of a network.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PortOut {
    pub(crate) label: Name,
    pub(crate) value: u16,
    pub(crate) to: u16,
    pub(crate) host_network: &'static str,
}

/// What an allocation was given, in today's shape.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Allocated {
    tasks: BTreeMap<Name, TaskGiven>,
    task_lifecycles: BTreeMap<Name, Option<()>>,
    shared: Shared,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct TaskGiven {
    cpu: CpuGiven,
    memory: MemoryGiven,
    networks: Option<Vec<Net>>,
    devices: Option<()>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct CpuGiven {
    cpu_shares: i64,
    reserved_cores: Option<()>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct MemoryGiven {
    #[serde(rename = "MemoryMB")]
    memory_mb: i64,
    #[serde(rename = "MemoryMaxMB")]
    memory_max_mb: i64,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shared {
    #[serde(rename = "DiskMB")]
    disk_mb: i64,
    networks: Option<Vec<Net>>,
    ports: Option<Vec<PortMapping>>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct PortMapping {
    label: Name,
    value: u16,
    to: u16,
    #[serde(rename = "HostIP")]
    host_ip: String,
}

/// What an allocation was given, from which both shapes are made.
pub(crate) struct Given<'a> {
    record: &'a AllocRecord,
    node: Option<&'a NodeInfo>,
    group: Option<&'a TaskGroup>,
}

impl<'a> Given<'a> {
    /// `job` is the version that the record names, if it can still be read.
    pub(crate) fn new(record: &'a AllocRecord, node: Option<&'a NodeInfo>, job: Option<&'a Job>) -> Self {
        Given { record, node, group: job.and_then(|job| job.group(&record.group)) }
    }

    /// The address that the ports are on; empty if the node is not known any more.
    pub(crate) fn ip(&self) -> &str {
        self.node.and_then(|n| n.network.as_ref()).map_or("", |n| &n.ip)
    }

    /// Everything in one, as of 2016.
    pub(crate) fn total(&self) -> Flat {
        Flat::new(self.record.ask, self.network(|_| true))
    }

    /// What the tasks share, as of 2016.
    pub(crate) fn shared(&self) -> Flat {
        let disk_mb = self.record.ask.disk_mb;
        Flat::new(Ask { disk_mb, ..Ask::default() }, self.network(|port| port.task.is_none()))
    }

    /// By task, as of 2016: its own ports, or the group's if it has none, since scripts of that time look here.
    pub(crate) fn by_task(&self) -> BTreeMap<Name, Flat> {
        let tasks = self.group.into_iter().flat_map(|g| &g.tasks);
        let flat = tasks.map(|task| {
            let wanted = task.resources.clone().unwrap_or_default();
            let own = self.network(|port| port.task.as_ref() == Some(&task.name));
            let network = own.or_else(|| self.network(|port| port.task.is_none()));
            let ask = Ask {
                cpu: wanted.cpu.unwrap_or(100),
                memory_mb: wanted.memory_mb.unwrap_or(300),
                disk_mb: wanted.disk_mb.unwrap_or(0),
            };
            (task.name.clone(), Flat::new(ask, network))
        });
        flat.collect()
    }

    /// Today's shape.
    pub(crate) fn nested(&self) -> Allocated {
        let mut tasks = BTreeMap::new();
        for (name, flat) in self.by_task() {
            let own = self.network(|port| port.task.as_ref() == Some(&name));
            let given = TaskGiven {
                cpu: CpuGiven { cpu_shares: flat.cpu, reserved_cores: None },
                memory: MemoryGiven { memory_mb: flat.memory_mb, memory_max_mb: 0 },
                networks: own.map(|n| vec![n]),
                devices: None,
            };
            tasks.insert(name, given);
        }
        let shared: Vec<&AssignedPort> = self.record.ports.iter().filter(|p| p.task.is_none()).collect();
        let mapping = |port: &&AssignedPort| PortMapping {
            label: port.label.clone(),
            value: port.value,
            to: port.to,
            host_ip: self.ip().to_owned(),
        };
        Allocated {
            task_lifecycles: tasks.keys().map(|name| (name.clone(), None)).collect(),
            tasks,
            shared: Shared {
                disk_mb: self.record.ask.disk_mb,
                networks: self.network(|port| port.task.is_none()).map(|n| vec![n]),
                ports: (!shared.is_empty()).then(|| shared.iter().map(mapping).collect()),
            },
        }
    }

    /// The node's network with those of the allocation's ports; `None` if there are none.
    fn network(&self, of: impl Fn(&AssignedPort) -> bool) -> Option<Net> {
        let chosen = self.record.ports.iter().filter(|port| of(port));
        let (reserved, dynamic): (Vec<_>, Vec<_>) = chosen.partition(|port| self.is_reserved(port));
        if reserved.is_empty() && dynamic.is_empty() {
            return None;
        }
        let out = |ports: Vec<&AssignedPort>| {
            let out = ports.into_iter().map(|port| PortOut {
                label: port.label.clone(),
                value: port.value,
                to: port.to,
                host_network: "default",
            });
            Some(out.collect::<Vec<_>>()).filter(|ports| !ports.is_empty())
        };
        let node = self.node.and_then(|n| n.network.clone()).unwrap_or_default();
        Some(Net {
            mode: "host".to_owned(),
            device: node.device,
            cidr: node.cidr,
            ip: node.ip,
            mbits: 0,
            reserved_ports: out(reserved),
            dynamic_ports: out(dynamic),
            ..Net::default()
        })
    }

    /// Did the user choose the number? Where the job can't be read any more, numbers in the planner's range are its.
    fn is_reserved(&self, port: &AssignedPort) -> bool {
        let reserves = |networks: &[Network]| {
            networks.iter().any(|n| n.reserved_ports.iter().any(|p| p.label == port.label))
        };
        let Some(group) = self.group else {
            let (first, last) = self.node.map_or((0, u16::MAX), |n| n.resources.port_range);
            return !(first..=last).contains(&port.value);
        };
        match &port.task {
            None => reserves(&group.networks),
            Some(task) => {
                group.task(task).and_then(|t| t.resources.as_ref()).is_some_and(|r| reserves(&r.networks))
            }
        }
    }
}
