//! Jobs and records to test with.

use std::{collections::BTreeMap, sync::Arc};

use encamp_model::{
    AllocId, EvalId, JobUid, Name, NodeId, Timestamp,
    job::{Job, JobType},
    records::{AllocRecord, Ask, AssignedPort, Desired, DriverInfo, NodeInfo, NodeNetwork, NodeResources},
};
use serde_json::{Value, json};

pub(super) const SECOND: u64 = 1_000_000_000;

pub(super) fn alloc_id(n: u128) -> AllocId {
    AllocId::from_bits(n)
}

pub(super) fn uid() -> JobUid {
    JobUid::from_bits(77)
}

/// A job of one group `g` with these tasks, each a `(name, what it has beside)`.
pub(super) fn job(kind: JobType, group: &Value, tasks: &[(&str, Value)]) -> Arc<Job> {
    let tasks: Vec<Value> = tasks
        .iter()
        .map(|(name, extra)| {
            let mut task = json!({ "Name": name, "Driver": "fake", "Config": { "command": "x" } });
            merge(&mut task, extra);
            task
        })
        .collect();
    let mut whole = json!({ "Name": "g", "Tasks": tasks });
    merge(&mut whole, group);
    let job =
        json!({ "ID": "web", "Name": "web", "Namespace": "default", "Type": kind, "TaskGroups": [whole] });
    Arc::new(serde_json::from_value(job).expect("a job"))
}

fn merge(into: &mut Value, from: &Value) {
    for (key, value) in from.as_object().into_iter().flatten() {
        into[key] = value.clone();
    }
}

/// A service of one task `t`.
pub(super) fn service() -> Arc<Job> {
    job(JobType::Service, &json!({}), &[("t", json!({}))])
}

pub(super) fn record() -> AllocRecord {
    AllocRecord {
        uid: uid(),
        version: 0,
        group: Name::from("g"),
        index: 0,
        desired: Desired::Run,
        reason: None,
        ask: Ask { cpu: 100, memory_mb: 100, disk_mb: 0 },
        ports: Vec::new(),
        after: Vec::new(),
        previous: None,
        next: None,
        eval: EvalId::from_bits(1),
        created: Timestamp::from_secs(1),
    }
}

pub(super) fn with_port(mut record: AllocRecord, value: u16) -> AllocRecord {
    record.ports.push(AssignedPort { label: Name::from("http"), value, to: 0, task: None });
    record
}

pub(super) fn stopped(record: &AllocRecord) -> AllocRecord {
    AllocRecord { desired: Desired::Stop, ..record.clone() }
}

pub(super) fn node() -> NodeInfo {
    let healthy = DriverInfo { detected: true, healthy: true, description: String::new() };
    NodeInfo {
        id: NodeId::from_bits(5),
        name: "n1".to_owned(),
        datacenter: "dc1".to_owned(),
        class: "big".to_owned(),
        region: "global".to_owned(),
        http_addr: "127.0.0.1:4646".to_owned(),
        version: "0.1.0".to_owned(),
        resources: NodeResources {
            total: Ask { cpu: 1000, memory_mb: 1000, disk_mb: 1000 },
            reserved: Ask::default(),
            reserved_ports: Vec::new(),
            port_range: (20000, 32000),
        },
        network: Some(NodeNetwork {
            device: "eth0".to_owned(),
            ip: "10.0.0.7".to_owned(),
            cidr: "10.0.0.7/24".to_owned(),
            mbits: 1000,
        }),
        drivers: BTreeMap::from([("fake".to_owned(), healthy)]),
        attributes: BTreeMap::from([
            ("kernel.name".to_owned(), "linux".to_owned()),
            ("unique.network.ip-address".to_owned(), "10.0.0.7".to_owned()),
            ("platform.zone".to_owned(), "eu-1".to_owned()),
        ]),
        meta: BTreeMap::from([("rack".to_owned(), "r9".to_owned())]),
        boot_id: "boot".to_owned(),
        lease_ttl_s: 10,
    }
}
