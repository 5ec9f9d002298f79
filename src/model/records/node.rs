//! Nodes: what an agent says of its machine, what people want of it, and the gate that the planner reads.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ids::NodeId, records::Ask, time::Timestamp};

/// What a driver can do on a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriverInfo {
    /// It is there.
    pub detected: bool,
    /// It can run tasks now.
    pub healthy: bool,
    /// For people: why not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// The network that tasks are told about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeNetwork {
    /// Interface name.
    pub device: String,
    /// Address of the node that tasks can be reached under.
    pub ip: String,
    /// The same with its prefix length.
    pub cidr: String,
    /// Link speed in Mbit/s.
    pub mbits: i64,
}

/// Room of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeResources {
    /// All there is.
    pub total: Ask,
    /// Kept from tasks.
    #[serde(default)]
    pub reserved: Ask,
    /// Ports kept from tasks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reserved_ports: Vec<u16>,
    /// First and last port that the planner may choose.
    pub port_range: (u16, u16),
}

/// `nodes/<node>/info`: the fingerprint, written by the agent at registration and on change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// Its id.
    pub id: NodeId,
    /// Host name unless configured.
    pub name: String,
    /// Datacenter, `dc1` unless configured.
    pub datacenter: String,
    /// Class, empty unless configured.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub class: String,
    /// Region.
    pub region: String,
    /// `ip:port` of the agent's own HTTP API.
    pub http_addr: String,
    /// Version of the agent.
    pub version: String,
    /// Room.
    pub resources: NodeResources,
    /// Network, if the machine has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<NodeNetwork>,
    /// Drivers by name.
    #[serde(default)]
    pub drivers: BTreeMap<String, DriverInfo>,
    /// `kernel.name`, `cpu.arch`, `unique.network.ip-address`, …
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    /// Configured by the node's owner.
    #[serde(default)]
    pub meta: BTreeMap<String, String>,
    /// The kernel's boot id: with the data folder's lock it tells a restart from a twin.
    pub boot_id: String,
    /// Seconds that the node's lease lives without a heartbeat.
    pub lease_ttl_s: u32,
}

/// `nodes/<node>/lease`: on the agent's etcd lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRecord {
    /// This start of the agent.
    pub instance: crate::ids::InstanceId,
    /// Its address, for the message that a twin prints.
    pub http_addr: String,
    /// The kernel's boot id.
    pub boot_id: String,
    /// The data folder's lock file (device and inode): with the boot id it tells a restart from a copied folder.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub lock: String,
}

/// `node-intents/<node>`: what people want of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeIntents {
    /// Counts up with every change.
    pub generation: u64,
    /// New work may come.
    pub eligible: bool,
}

/// What the gate says of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gate {
    /// Its lease is alive.
    Ready,
    /// Its lease is gone for less than the grace.
    Disconnected,
    /// Declared down: its work is replaced.
    Down,
}

/// `node-states/<node>`: the gate, the one thing that the planner and the api go by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    /// Ready, disconnected or down.
    pub gate: Gate,
    /// New work may come, as far as the intents that it was made from said.
    pub eligible: bool,
    /// When `gate` last changed, on heartbeat's clock.
    pub since: Timestamp,
    /// Generation of the intents that it was made from; 0 for none.
    #[serde(default)]
    pub generation: u64,
}
