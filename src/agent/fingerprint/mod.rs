//! What a node says of itself: looked at when the agent starts, and again from time to time.
//!
//! What fluctuates by itself (CPU frequency, free disk) is read once, so that a changed fingerprint means a changed
//! machine.

pub(crate) mod machine;
pub(crate) mod network;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use encamp_drivers::Driver;
use encamp_model::{
    NodeId,
    records::{Ask, NodeInfo, NodeResources},
};

pub use machine::{Cpu, Disk, Machine};

use crate::{Config, Error};

/// The version that constraints on `nomad.version` see: of the generation whose job language is served.
pub const NOMAD_VERSION: &str = "1.9.0";

/// Takes a node's whole fingerprint.
pub async fn take(
    config: &Config,
    node: NodeId,
    machine: &Machine,
    drivers: &[Arc<dyn Driver>],
) -> Result<NodeInfo, Error> {
    let network = network::fingerprint(config)?;
    let mut attributes = machine.attributes();
    attributes.insert("unique.node.id".to_owned(), node.to_string());
    attributes.insert("unique.network.ip-address".to_owned(), network.ip.clone());
    let mut found = BTreeMap::new();
    for driver in drivers {
        let print = driver.fingerprint().await;
        attributes.extend(print.attributes);
        found.insert(driver.name().to_owned(), print.info);
    }
    let name = config.name.clone().unwrap_or_else(|| machine.hostname.clone());
    Ok(NodeInfo {
        id: node,
        name,
        datacenter: config.datacenter.clone(),
        class: config.class.clone(),
        region: config.region.clone(),
        http_addr: config.http_addr.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        resources: NodeResources {
            total: Ask {
                cpu: machine.cpu.total_mhz,
                memory_mb: machine.memory_bytes >> 20,
                disk_mb: machine.disk.free_bytes >> 20,
            },
            reserved: config.reserved,
            reserved_ports: config.reserved_ports.clone(),
            port_range: config.port_range,
        },
        network: Some(network),
        drivers: found,
        attributes,
        meta: config.meta.clone(),
        boot_id: machine.boot_id.clone(),
        lease_ttl_s: u32::try_from(config.lease_ttl.as_secs()).unwrap_or(u32::MAX),
    })
}

/// Looks at the machine that `config.data_dir` is on.
pub fn machine(config: &Config, data_dir: &Path) -> Result<Machine, Error> {
    Machine::look(data_dir, config.total_compute_mhz)
}
