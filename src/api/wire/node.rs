//! Nodes: today's shape and that of 2016 side by side.

use std::collections::BTreeMap;

use encamp_model::{
    NodeId, Timestamp,
    records::{DriverInfo, Gate, NodeInfo},
};
use encamp_world::NodeEntry;
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    instant,
    resources::{Flat, Net, PortOut},
};

/// What lists and the whole have in common.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Common {
    #[serde(rename = "ID")]
    pub(crate) id: NodeId,
    datacenter: String,
    name: String,
    node_class: String,
    node_pool: &'static str,
    drain: bool,
    scheduling_eligibility: &'static str,
    status: &'static str,
    status_description: String,
    drivers: BTreeMap<String, DriverOut>,
    host_volumes: BTreeMap<String, ()>,
    last_drain: Option<()>,
    create_index: i64,
    modify_index: i64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct DriverOut {
    attributes: BTreeMap<String, String>,
    detected: bool,
    healthy: bool,
    health_description: String,
    update_time: String,
}

/// A line of the list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NodeStub {
    #[serde(flatten)]
    pub(crate) common: Common,
    address: String,
    version: String,
    attributes: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_resources: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reserved_resources: Option<Value>,
}

/// The whole.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NodeOut {
    #[serde(flatten)]
    common: Common,
    attributes: BTreeMap<String, String>,
    meta: BTreeMap<String, String>,
    links: BTreeMap<String, String>,
    #[serde(rename = "HTTPAddr")]
    http_addr: String,
    #[serde(rename = "TLSEnabled")]
    tls_enabled: bool,
    #[serde(rename = "SecretID")]
    secret_id: &'static str,
    resources: Flat,
    reserved: Flat,
    node_resources: Value,
    reserved_resources: Value,
    computed_class: String,
    drain_strategy: Option<()>,
    status_updated_at: i64,
    events: Vec<EventOut>,
    host_networks: Option<()>,
    #[serde(rename = "CSIControllerPlugins")]
    csi_controller_plugins: BTreeMap<String, ()>,
    #[serde(rename = "CSINodePlugins")]
    csi_node_plugins: BTreeMap<String, ()>,
    cgroup_parent: &'static str,
    #[serde(rename = "GCVolumesOnNodeGC")]
    gc_volumes_on_node_gc: bool,
    #[serde(rename = "IdentitySigningKeyID")]
    identity_signing_key_id: &'static str,
    last_alloc_update_index: i64,
    last_missed_heartbeat_index: i64,
    node_max_allocs: i64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct EventOut {
    message: String,
    subsystem: &'static str,
    details: Option<BTreeMap<String, String>>,
    timestamp: String,
    create_index: i64,
}

/// A node's last change: of its fingerprint, its gate or what people want of it. Heartbeats change nothing.
pub(crate) fn modify_index(node: &NodeEntry) -> i64 {
    let info = node.info.as_ref().map_or(0, |i| i.modified);
    let state = node.state.as_ref().map_or(0, |s| s.modified);
    info.max(state).max(node.intents.as_ref().map_or(0, |i| i.modified))
}

impl Common {
    fn new(node: &NodeEntry, info: &NodeInfo) -> Self {
        let since = node.state.as_ref().map_or(Timestamp::default(), |s| s.since);
        let drivers = info.drivers.iter().map(|(name, d)| (name.clone(), driver(name, d, info, since)));
        Common {
            id: info.id,
            datacenter: info.datacenter.clone(),
            name: info.name.clone(),
            node_class: info.class.clone(),
            node_pool: "default",
            drain: false,
            scheduling_eligibility: eligibility(node),
            status: status(node),
            status_description: status_description(node),
            drivers: drivers.collect(),
            host_volumes: BTreeMap::new(),
            last_drain: None,
            create_index: node.info.as_ref().map_or(0, |i| i.created),
            modify_index: modify_index(node),
        }
    }
}

impl NodeStub {
    /// The line of a node that has registered; with resources if they were asked for.
    pub(crate) fn new(node: &NodeEntry, info: &NodeInfo, resources: bool) -> Self {
        NodeStub {
            common: Common::new(node, info),
            address: address(info),
            version: info.version.clone(),
            attributes: info.attributes.clone(),
            node_resources: resources.then(|| node_resources(info)),
            reserved_resources: resources.then(|| reserved_resources(info)),
        }
    }
}

impl NodeOut {
    /// The whole of a node that has registered.
    pub(crate) fn new(node: &NodeEntry, info: &NodeInfo, tls: bool) -> Self {
        let statuses = node.allocs.values().filter_map(|a| a.status.as_ref()).map(|s| s.modified);
        let state = node.state.as_ref();
        NodeOut {
            common: Common::new(node, info),
            attributes: info.attributes.clone(),
            meta: info.meta.clone(),
            links: BTreeMap::new(),
            http_addr: info.http_addr.clone(),
            tls_enabled: tls,
            secret_id: "",
            resources: Flat::new(info.resources.total, Some(network(info, None))),
            reserved: Flat::new(
                info.resources.reserved,
                Some(network(info, Some(&info.resources.reserved_ports))),
            ),
            node_resources: node_resources(info),
            reserved_resources: reserved_resources(info),
            computed_class: computed_class(info),
            drain_strategy: None,
            status_updated_at: state.map_or(0, |s| s.since.0 / 1_000_000_000),
            events: events(node),
            host_networks: None,
            csi_controller_plugins: BTreeMap::new(),
            csi_node_plugins: BTreeMap::new(),
            cgroup_parent: "",
            gc_volumes_on_node_gc: false,
            identity_signing_key_id: "",
            last_alloc_update_index: statuses.max().unwrap_or(0),
            last_missed_heartbeat_index: state.filter(|s| s.gate != Gate::Ready).map_or(0, |s| s.modified),
            node_max_allocs: 0,
        }
    }
}

fn status(node: &NodeEntry) -> &'static str {
    match node.gate() {
        None => "initializing",
        Some(Gate::Ready) => "ready",
        Some(Gate::Disconnected) => "disconnected",
        Some(Gate::Down) => "down",
    }
}

fn status_description(node: &NodeEntry) -> String {
    let opaque = node.opaque_allocs.len() + usize::try_from(node.opaque_keys).unwrap_or(0);
    if opaque > 0 {
        return format!("{opaque} of its records cannot be read by this version: it takes no placements");
    }
    String::new()
}

/// Both the gate and the intent must let work in.
fn eligibility(node: &NodeEntry) -> &'static str {
    let gate = node.state.as_ref().is_none_or(|s| s.eligible);
    let intent = node.intents.as_ref().is_none_or(|i| i.eligible);
    if gate && intent { "eligible" } else { "ineligible" }
}

fn driver(name: &str, driver: &DriverInfo, info: &NodeInfo, since: Timestamp) -> DriverOut {
    let own = format!("driver.{name}");
    let attributes = info.attributes.iter().filter(|(key, _)| {
        key.strip_prefix(&own).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    });
    let described = match (driver.description.as_str(), driver.healthy) {
        ("", true) => "Healthy",
        ("", false) => "Unhealthy",
        (text, _) => text,
    };
    DriverOut {
        attributes: attributes.map(|(k, v)| (k.clone(), v.clone())).collect(),
        detected: driver.detected,
        healthy: driver.healthy,
        health_description: described.to_owned(),
        update_time: instant(since),
    }
}

/// What is known of a node's past: when its gate last changed, and to what.
fn events(node: &NodeEntry) -> Vec<EventOut> {
    let Some(state) = &node.state else { return Vec::new() };
    let message = match state.gate {
        Gate::Ready => "Node is ready",
        Gate::Disconnected => "Node heartbeat missed",
        Gate::Down => "Node is down",
    };
    vec![EventOut {
        message: message.to_owned(),
        subsystem: "Cluster",
        details: None,
        timestamp: instant(state.since),
        create_index: state.modified,
    }]
}

/// Nodes of one computed class are alike to the planner, but for what is unique to each.
fn computed_class(info: &NodeInfo) -> String {
    let shared = |map: &BTreeMap<String, String>| -> Vec<(String, String)> {
        map.iter().filter(|(k, _)| !k.starts_with("unique.")).map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    let class = (&info.datacenter, &info.class, shared(&info.attributes), shared(&info.meta), &info.drivers);
    format!("v1:{}", encamp_model::digest::hash(&class))
}

fn address(info: &NodeInfo) -> String {
    let network = info.network.as_ref().map(|n| n.ip.clone()).filter(|ip| !ip.is_empty());
    network.or_else(|| crate::gate::host_of(&info.http_addr)).unwrap_or_default()
}

fn network(info: &NodeInfo, reserved: Option<&[u16]>) -> Net {
    let node = info.network.clone().unwrap_or_default();
    let ports = reserved.filter(|ports| !ports.is_empty()).map(|ports| {
        let out = |port: &u16| PortOut { label: "".into(), value: *port, to: 0, host_network: "default" };
        ports.iter().map(out).collect()
    });
    Net {
        mode: "host".to_owned(),
        device: node.device,
        cidr: node.cidr,
        ip: node.ip,
        mbits: node.mbits,
        reserved_ports: ports,
        ..Net::default()
    }
}

fn node_resources(info: &NodeInfo) -> Value {
    let total = info.resources.total;
    let cores: u32 = info.attributes.get("cpu.numcores").and_then(|n| n.parse().ok()).unwrap_or(0);
    let ids: Vec<u32> = (0..cores.min(4096)).collect();
    let speed = if cores > 0 { total.cpu / i64::from(cores) } else { 0 };
    let core = |id: &u32| {
        json!({ "ID": id, "NodeID": 0, "SocketID": 0, "Grade": false, "Disable": false, "BaseSpeed": speed,
            "MaxSpeed": 0, "GuessSpeed": 0 })
    };
    let node = info.network.clone().unwrap_or_default();
    let family = if node.ip.contains(':') { "ipv6" } else { "ipv4" };
    json!({
        "Cpu": { "CpuShares": total.cpu, "TotalCpuCores": cores, "ReservableCpuCores": ids },
        "Memory": { "MemoryMB": total.memory_mb },
        "Disk": { "DiskMB": total.disk_mb },
        "Networks": [{ "Mode": "host", "Device": node.device, "CIDR": node.cidr, "IP": node.ip, "MBits": node.mbits,
            "DNS": null, "Hostname": "", "ReservedPorts": null, "DynamicPorts": null }],
        "NodeNetworks": [{ "Mode": "host", "Device": node.device, "MacAddress": "", "Speed": node.mbits,
            "Addresses": [{ "Family": family, "Alias": "default", "Address": node.ip, "ReservedPorts": "", "Gateway": "" }] }],
        "Devices": null,
        "MinDynamicPort": info.resources.port_range.0,
        "MaxDynamicPort": info.resources.port_range.1,
        "Processors": { "Topology": { "Nodes": [0], "Distances": null, "Cores": ids.iter().map(core).collect::<Vec<_>>(),
            "OverrideTotalCompute": 0, "OverrideWitholdCompute": 0 } },
    })
}

fn reserved_resources(info: &NodeInfo) -> Value {
    let reserved = info.resources.reserved;
    let ports: Vec<String> = info.resources.reserved_ports.iter().map(u16::to_string).collect();
    json!({
        "Cpu": { "CpuShares": reserved.cpu, "ReservedCpuCores": null },
        "Memory": { "MemoryMB": reserved.memory_mb },
        "Disk": { "DiskMB": reserved.disk_mb },
        "Networks": { "ReservedHostPorts": ports.join(",") },
    })
}
