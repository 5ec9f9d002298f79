//! What an agent is told at its start.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use encamp_model::{ClusterUid, records::Ask};

/// Settings of one agent.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its folder: node id, allocation folders, caches. One agent at a time; made if absent.
    pub data_dir: PathBuf,
    /// Name of the node; the host's name unless given.
    pub name: Option<String>,
    /// Datacenter.
    pub datacenter: String,
    /// Class, may be empty.
    pub class: String,
    /// Region.
    pub region: String,
    /// Key-value pairs that constraints and tasks can read.
    pub meta: BTreeMap<String, String>,
    /// Room kept from tasks.
    pub reserved: Ask,
    /// Ports kept from tasks.
    pub reserved_ports: Vec<u16>,
    /// First and last port that the planner may choose.
    pub port_range: (u16, u16),
    /// How long the node's lease lives without a heartbeat; whole seconds.
    pub lease_ttl: Duration,
    /// Take the cluster of this uid for ours though the data folder knows another.
    pub accept_cluster: Option<ClusterUid>,
    /// Interface whose address tasks are told; the one of the default route unless given, else loopback.
    pub network_interface: Option<String>,
    /// Address (without port) that tasks are told, over what the interface says.
    pub advertise: Option<String>,
    /// `ip:port` of this agent's HTTP API, as others reach it.
    pub http_addr: String,
    /// MHz in all, where the machine does not say or says wrong.
    pub total_compute_mhz: Option<i64>,
    /// Stop the tasks when the agent ends; they stay otherwise.
    pub stop_tasks_on_exit: bool,
    /// How often the fingerprint is taken anew.
    pub fingerprint_interval: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            data_dir: PathBuf::from("/var/lib/encamp"),
            name: None,
            datacenter: "dc1".to_owned(),
            class: String::new(),
            region: "global".to_owned(),
            meta: BTreeMap::new(),
            reserved: Ask::default(),
            reserved_ports: Vec::new(),
            port_range: (20000, 32000),
            lease_ttl: Duration::from_secs(10),
            accept_cluster: None,
            network_interface: None,
            advertise: None,
            http_addr: "127.0.0.1:4646".to_owned(),
            total_compute_mhz: None,
            stop_tasks_on_exit: false,
            fingerprint_interval: Duration::from_secs(60),
        }
    }
}
