//! Jobs and nodes from a few words: `cpu=500 mem=256 dyn=http static=db:5432 driver=docker meta.rack=a`.

use encamp_model::{
    Job, JobUid, Name, NodeId,
    job::{
        Constraint, EphemeralDisk, JobType, Network, Port, Resources, RestartPolicy, Task, TaskGroup, Update,
    },
    records::{Ask, DriverInfo, NodeInfo},
};
use encamp_world::testing::objects;

/// A node `n<number>` in `dc1` with driver `raw_exec` and 1,000 MHz, 1,000 MB, 10,000 MB, unless words say otherwise.
///
/// Panics on words that it does not know.
pub fn node(number: u32, words: &[&str]) -> NodeInfo {
    let mut info = objects::node_info(NodeId::from_bits(u128::from(number)));
    info.name = format!("n{number}");
    info.resources.total = Ask { cpu: 1000, memory_mb: 1000, disk_mb: 10_000 };
    let healthy = DriverInfo { detected: true, healthy: true, description: String::new() };
    info.drivers.insert("raw_exec".into(), healthy.clone());
    info.attributes.insert("kernel.name".into(), "linux".into());
    for word in words {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let number = || value.parse::<i64>().unwrap_or_else(|_| panic!("a number in {word}"));
        match key {
            "dc" => info.datacenter = value.into(),
            "class" => info.class = value.into(),
            "cpu" => info.resources.total.cpu = number(),
            "mem" => info.resources.total.memory_mb = number(),
            "disk" => info.resources.total.disk_mb = number(),
            "driver" => drop(info.drivers.insert(value.into(), healthy.clone())),
            "sick" => {
                let sick = DriverInfo { detected: true, healthy: false, description: "it is sick".into() };
                info.drivers.insert(value.into(), sick);
            }
            "ports" => {
                let (first, last) = value.split_once('-').expect("ports=first-last");
                info.resources.port_range = (first.parse().expect("a port"), last.parse().expect("a port"));
            }
            "reserved" => info.resources.reserved_ports.push(value.parse().expect("a port")),
            _ => match key.split_once('.') {
                Some(("attr", name)) => drop(info.attributes.insert(name.into(), value.into())),
                Some(("meta", name)) => drop(info.meta.insert(name.into(), value.into())),
                _ => panic!("{word} says nothing about a node"),
            },
        }
    }
    info
}

/// A job from words; those before the first `+` speak of the job and of its group `app`, each further `+` begins
/// another group. As it comes from a person: without uid.
///
/// Panics on words that it does not know.
pub fn job(name: &str, words: &[&str]) -> Job {
    let mut job = objects::job(name, JobUid::MIN, 0);
    (job.uid, job.task_groups) = (None, Vec::new());
    for (nth, words) in words.split(|w| *w == "+").enumerate() {
        let mut of_group = Vec::new();
        for word in words {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            match key {
                "type" if value == "batch" => job.kind = JobType::Batch,
                "priority" => job.priority = value.parse().ok(),
                "dc" => job.datacenters.push(value.into()),
                "stop" => job.stop = true,
                "job_constraint" => job.constraints.push(constraint(value)),
                "update" => job.update = Some(update(value)),
                _ => of_group.push(*word),
            }
        }
        let default = if nth == 0 { "app".to_owned() } else { format!("app{nth}") };
        job.task_groups.push(group(&default, &of_group));
    }
    job
}

/// A group with one task from words.
pub fn group(name: &str, words: &[&str]) -> TaskGroup {
    let mut group = TaskGroup { name: Name::from(name), ..TaskGroup::default() };
    let mut task = Task { name: Name::from("main"), driver: "raw_exec".into(), ..bare_task() };
    let mut resources = Resources { cpu: Some(100), memory_mb: Some(100), ..Resources::default() };
    let mut network = Network::default();
    for word in words {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let number = || value.parse::<i64>().unwrap_or_else(|_| panic!("a number in {word}"));
        match key {
            "group" => group.name = Name::from(value),
            "count" => group.count = Some(number()),
            "cpu" => resources.cpu = Some(number()),
            "mem" => resources.memory_mb = Some(number()),
            "disk" => {
                group.ephemeral_disk = Some(EphemeralDisk { size_mb: Some(number()), ..Default::default() })
            }
            "driver" => task.driver = value.into(),
            "env" => drop(task.env.insert("V".into(), value.into())),
            "restart" => {
                group.restart_policy = Some(RestartPolicy { attempts: Some(number()), ..Default::default() });
            }
            "constraint" => group.constraints.push(constraint(value)),
            "distinct_hosts" => group.constraints.push(constraint("|distinct_hosts|true")),
            "dyn" => network.dynamic_ports.push(Port { label: Name::from(value), ..Default::default() }),
            "static" => {
                let (label, port) = value.split_once(':').expect("static=label:port");
                let value = port.parse().expect("a port");
                network.reserved_ports.push(Port { label: Name::from(label), value, ..Default::default() });
            }
            _ => panic!("{word} says nothing about a job"),
        }
    }
    if network != Network::default() {
        group.networks.push(network);
    }
    task.resources = Some(resources);
    group.tasks.push(task);
    group
}

fn bare_task() -> Task {
    serde_json::from_value(serde_json::json!({ "Name": "main" })).expect("a task needs a name only")
}

/// `left|operand|right`.
fn constraint(text: &str) -> Constraint {
    let mut parts = text.split('|').map(str::to_owned);
    let mut next = || parts.next().unwrap_or_default();
    Constraint { l_target: next(), operand: next(), r_target: next(), ..Constraint::default() }
}

/// `max_parallel/stagger_s`.
fn update(text: &str) -> Update {
    let (parallel, stagger) = text.split_once('/').expect("update=max_parallel/seconds");
    Update {
        max_parallel: parallel.parse().ok(),
        stagger: stagger.parse::<i64>().ok().map(|s| s * 1_000_000_000),
        ..Update::default()
    }
}
