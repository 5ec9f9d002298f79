//! What a node is, and what it lends to tasks.

use std::{collections::BTreeMap, path::Path, time::Duration};

use clap::Args;
use encamp_agent::Config;
use encamp_model::{ClusterUid, records::Ask};

use crate::error::{Error, Result};

/// Flags about the node.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Node")]
pub(crate) struct NodeArgs {
    /// Name of the node; the host's name unless given
    #[arg(long, env = "CTL_NAME", value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Where it is
    #[arg(long, env = "CTL_DATACENTER", value_name = "NAME", default_value = "dc1")]
    pub(crate) datacenter: String,
    /// What kind of node it is
    #[arg(long, env = "CTL_CLASS", value_name = "NAME")]
    pub(crate) class: Option<String>,
    /// Key-value pair that constraints and tasks can read; may be given more than once
    #[arg(long, env = "CTL_META", value_name = "KEY=VALUE", value_delimiter = ',')]
    pub(crate) meta: Vec<String>,
    /// Driver that is off unless enabled: raw_exec
    #[arg(long = "enable-driver", env = "CTL_ENABLE_DRIVER", value_name = "NAME", value_delimiter = ',')]
    pub(crate) enable_driver: Vec<String>,
    /// Interface whose address tasks are told; that of the default route unless given
    #[arg(long, env = "CTL_NETWORK_INTERFACE", value_name = "NAME")]
    pub(crate) network_interface: Option<String>,
    /// Room kept from tasks, in MHz and MB
    #[arg(long, env = "CTL_RESERVED", value_name = "cpu=N,memory=N,disk=N")]
    pub(crate) reserved: Option<String>,
    /// Ports kept from tasks
    #[arg(long, env = "CTL_RESERVED_PORTS", value_name = "PORT[-PORT],…")]
    pub(crate) reserved_ports: Option<String>,
    /// Ports that tasks are given where they ask for any
    #[arg(long, env = "CTL_PORT_RANGE", value_name = "FIRST-LAST", default_value = "20000-32000")]
    pub(crate) port_range: String,
    /// How long the node counts as alive without a heartbeat
    #[arg(long, env = "CTL_LEASE_TTL", value_name = "DURATION", default_value = "10s")]
    pub(crate) lease_ttl: String,
    /// Stop all tasks when this process is told to end; they start again with it
    #[arg(long, env = "CTL_STOP_TASKS")]
    pub stop_tasks: bool,
    /// Take this cluster for ours, though the data folder knows another
    #[arg(long, env = "CTL_ACCEPT_CLUSTER", value_name = "UID")]
    pub(crate) accept_cluster: Option<String>,
}

/// Drivers that this version has.
const DRIVERS: [&str; 1] = ["raw_exec"];

impl NodeArgs {
    /// The agent's settings.
    ///
    /// # Errors
    /// Naming the flag whose value is wrong.
    pub(crate) fn config(&self, data_dir: &Path, region: &str, http_addr: &str) -> Result<Config> {
        let accept = self.accept_cluster.as_deref().map(str::parse::<ClusterUid>).transpose();
        Ok(Config {
            data_dir: data_dir.to_owned(),
            name: self.name.clone().filter(|name| !name.trim().is_empty()),
            datacenter: self.datacenter()?,
            class: self.class.clone().unwrap_or_default(),
            region: region.to_owned(),
            meta: meta(&self.meta)?,
            reserved: reserved(self.reserved.as_deref().unwrap_or_default())?,
            reserved_ports: ports(self.reserved_ports.as_deref().unwrap_or_default())?,
            port_range: port_range(&self.port_range)?,
            lease_ttl: lease_ttl(&self.lease_ttl)?,
            accept_cluster: accept.map_err(|_| {
                wrong(
                    "--accept-cluster",
                    self.accept_cluster.as_deref().unwrap_or_default(),
                    "a cluster's uid",
                )
            })?,
            network_interface: self.network_interface.clone(),
            stop_tasks_on_exit: self.stop_tasks,
            http_addr: http_addr.to_owned(),
            ..Config::default()
        })
    }

    /// Jobs name it: one without a name could be asked for by none.
    fn datacenter(&self) -> Result<String> {
        match self.datacenter.trim() {
            "" => Err(wrong("--datacenter", &self.datacenter, "a name, such as dc1")),
            name => Ok(name.to_owned()),
        }
    }

    /// True if tasks may be run as plain processes.
    ///
    /// # Errors
    /// If a driver is named that there is not.
    pub(crate) fn raw_exec(&self) -> Result<bool> {
        match self.enable_driver.iter().find(|name| !DRIVERS.contains(&name.as_str())) {
            Some(name) => Err(wrong("--enable-driver", name, &DRIVERS.join(", "))),
            None => Ok(self.enable_driver.iter().any(|name| name == "raw_exec")),
        }
    }
}

fn wrong(flag: &str, value: &str, wanted: &str) -> Error {
    Error::usage(format!("{flag} {value:?} cannot be read"), format!("It takes {wanted}."))
}

fn meta(pairs: &[String]) -> Result<BTreeMap<String, String>> {
    let pair = |text: &String| match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(wrong("--meta", text, "KEY=VALUE")),
    };
    pairs.iter().map(pair).collect()
}

fn reserved(text: &str) -> Result<Ask> {
    let mut ask = Ask::default();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let fail = || wrong("--reserved", part, "cpu=MHZ,memory=MB,disk=MB");
        let (dimension, amount) = part.split_once('=').ok_or_else(fail)?;
        let amount = amount.parse::<u32>().map_err(|_| fail())?.into();
        match dimension.trim() {
            "cpu" => ask.cpu = amount,
            "memory" => ask.memory_mb = amount,
            "disk" => ask.disk_mb = amount,
            _ => return Err(fail()),
        }
    }
    Ok(ask)
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first > 0 && first <= last).then_some((first, last))
}

fn ports(text: &str) -> Result<Vec<u16>> {
    let mut ports = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (first, last) =
            range(part).ok_or_else(|| wrong("--reserved-ports", part, "ports such as 22,8000-8010"))?;
        ports.extend(first..=last);
    }
    Ok(ports)
}

fn port_range(text: &str) -> Result<(u16, u16)> {
    let found = range(text).filter(|_| text.contains('-'));
    found.ok_or_else(|| wrong("--port-range", text, "FIRST-LAST, such as 20000-32000"))
}

fn lease_ttl(text: &str) -> Result<Duration> {
    let nanos = encamp_jobspec::parse_duration(text).ok().and_then(|n| u64::try_from(n).ok());
    let ttl = nanos.map(Duration::from_nanos).filter(|ttl| ttl.subsec_nanos() == 0);
    ttl.filter(|ttl| (2..=3600).contains(&ttl.as_secs()))
        .ok_or_else(|| wrong("--lease-ttl", text, "whole seconds from 2s to 1h"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct Flags {
        #[command(flatten)]
        node: NodeArgs,
    }

    #[test]
    fn an_empty_name_is_none_and_a_datacenter_has_one() {
        let config = |flags: &[&str]| {
            let words = std::iter::once("ctl").chain(flags.iter().copied());
            <Flags as clap::Parser>::parse_from(words).node.config(Path::new("/d"), "global", "h:1")
        };
        assert_eq!(config(&["--name", ""]).unwrap().name, None);
        assert_eq!(config(&["--name", "n1"]).unwrap().name.as_deref(), Some("n1"));
        assert_eq!(config(&[]).unwrap().datacenter, "dc1");
        assert!(config(&["--datacenter", " "]).unwrap_err().render("ctl").contains("--datacenter"));
    }

    #[test]
    fn room_ports_and_ttl_are_read_and_nonsense_is_refused_by_its_flag() {
        assert_eq!(reserved("cpu=100,memory=256").unwrap(), Ask { cpu: 100, memory_mb: 256, disk_mb: 0 });
        assert_eq!(ports("22,80-82").unwrap(), [22, 80, 81, 82]);
        assert_eq!(port_range("20000-20010").unwrap(), (20000, 20010));
        assert_eq!(lease_ttl("1m").unwrap(), Duration::from_secs(60));
        let refused = [
            reserved("cpu").unwrap_err(),
            reserved("gpu=1").unwrap_err(),
            reserved("cpu=-1").unwrap_err(),
            ports("0").unwrap_err(),
            ports("9-8").unwrap_err(),
            port_range("20000").unwrap_err(),
            lease_ttl("1500ms").unwrap_err(),
            lease_ttl("1s").unwrap_err(),
            lease_ttl("soon").unwrap_err(),
            meta(&["=x".into()]).unwrap_err(),
        ];
        for error in refused {
            let text = error.render("ctl");
            assert!(text.starts_with("ctl: --") && text.contains("It takes"), "{text}");
        }
    }
}
