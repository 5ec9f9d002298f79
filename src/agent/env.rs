//! The environment that a task sees. Pure: the agent's own environment comes in.

use std::{collections::BTreeMap, path::Path};

use encamp_model::{
    AllocId,
    job::{Job, Task, TaskGroup},
    records::{AllocRecord, Ask, NodeInfo},
};

use crate::interpolate::Scope;

/// Everything that a task's environment is made of.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The allocation.
    pub alloc: AllocId,
    /// Its record.
    pub record: &'a AllocRecord,
    /// Its job.
    pub job: &'a Job,
    /// Its group.
    pub group: &'a TaskGroup,
    /// The task.
    pub task: &'a Task,
    /// The node.
    pub node: &'a NodeInfo,
    /// The folder that the allocation's tasks share, as the task sees it.
    pub alloc_dir: &'a Path,
    /// The task's own folder, as the task sees it.
    pub task_dir: &'a Path,
    /// The task's secrets, as the task sees them.
    pub secrets_dir: &'a Path,
    /// The agent's own environment.
    pub host: &'a BTreeMap<String, String>,
}

/// Beginnings of names that are the agent's business alone.
const DENIED_PREFIXES: &[&str] = &[
    "AWS_",
    "AZURE_",
    "CONSUL_",
    "CTL_",
    "ENCAMP_",
    "ETCD",
    "GOOGLE_APPLICATION",
    "KUBE",
    "NOMAD_",
    "SSH_",
    "VAULT_",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "LISTEN_",
    "NOTIFY_SOCKET",
    "WATCHDOG_",
];

/// Words in names that speak of a secret.
const DENIED_WORDS: &[&str] = &[
    "TOKEN",
    "SECRET",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "CREDENTIAL",
    "API_KEY",
    "APIKEY",
    "PRIVATE_KEY",
    "DATABASE_URL",
    "MYSQL_PWD",
];

/// Ends of names that speak of one.
const DENIED_ENDS: &[&str] = &["_AUTH", "_DSN", "_KEY", "_PAT"];

/// May a task see this variable of the agent's?
pub fn is_passed_on(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    !DENIED_PREFIXES.iter().any(|p| upper.starts_with(p))
        && !DENIED_WORDS.iter().any(|w| upper.contains(w))
        && !DENIED_ENDS.iter().any(|end| upper.ends_with(end))
}

/// Room that a task may use: what is told to it and to its driver.
pub fn limits(task: &Task) -> Ask {
    let resources = task.resources.as_ref();
    Ask {
        cpu: resources.and_then(|r| r.cpu).unwrap_or(100),
        memory_mb: resources.and_then(|r| r.memory_mb).unwrap_or(300),
        disk_mb: resources.and_then(|r| r.disk_mb).unwrap_or(0),
    }
}

/// The whole environment of a task: the agent's where that tells no secret, then `NOMAD_…`, then the task's own
/// `env`, interpolated.
pub fn build(inputs: &Inputs<'_>) -> BTreeMap<String, String> {
    let mut env: BTreeMap<String, String> = inputs
        .host
        .iter()
        .filter(|(name, _)| is_passed_on(name))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    env.extend(names(inputs));
    env.extend(ports(inputs));
    env.extend(meta(inputs, &env));
    let scope = scope(inputs, &env);
    let own: BTreeMap<String, String> =
        inputs.task.env.iter().map(|(k, v)| (scope.text(k), scope.text(v))).collect();
    env.extend(own);
    env
}

/// What names stand for in this task, given its environment.
pub fn scope<'a>(inputs: &Inputs<'a>, env: &'a BTreeMap<String, String>) -> Scope<'a> {
    Scope {
        node: inputs.node,
        env,
        group: &inputs.group.name,
        task: &inputs.task.name,
        job: &inputs.job.name,
    }
}

fn names(inputs: &Inputs<'_>) -> BTreeMap<String, String> {
    let Inputs { job, group, task, node, record, .. } = inputs;
    let job_name = if job.name.is_empty() { &job.id } else { &job.name };
    let limits = limits(task);
    let path = |path: &Path| path.to_string_lossy().into_owned();
    [
        ("NOMAD_ALLOC_DIR", path(inputs.alloc_dir)),
        ("NOMAD_TASK_DIR", path(&inputs.task_dir.join("local"))),
        ("NOMAD_SECRETS_DIR", path(inputs.secrets_dir)),
        ("NOMAD_ALLOC_ID", inputs.alloc.to_string()),
        ("NOMAD_SHORT_ALLOC_ID", inputs.alloc.short()),
        ("NOMAD_ALLOC_NAME", record.name(&job.id)),
        ("NOMAD_ALLOC_INDEX", record.index.to_string()),
        ("NOMAD_GROUP_NAME", group.name.to_string()),
        ("NOMAD_TASK_NAME", task.name.to_string()),
        ("NOMAD_JOB_ID", job.id.to_string()),
        ("NOMAD_JOB_NAME", job_name.to_string()),
        ("NOMAD_DC", node.datacenter.clone()),
        ("NOMAD_REGION", node.region.clone()),
        ("NOMAD_NAMESPACE", job.namespace.to_string()),
        ("NOMAD_CPU_LIMIT", limits.cpu.to_string()),
        ("NOMAD_MEMORY_LIMIT", limits.memory_mb.to_string()),
        ("TMPDIR", path(&inputs.task_dir.join("tmp"))),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

fn ports(inputs: &Inputs<'_>) -> BTreeMap<String, String> {
    let ip = inputs.node.network.as_ref().map_or("127.0.0.1", |network| &network.ip);
    let mut env = BTreeMap::new();
    let mut tell = |label: &str, value: u16| {
        let label = clean(label);
        env.insert(format!("NOMAD_IP_{label}"), ip.to_owned());
        env.insert(format!("NOMAD_PORT_{label}"), value.to_string());
        env.insert(format!("NOMAD_HOST_PORT_{label}"), value.to_string());
        env.insert(format!("NOMAD_ADDR_{label}"), address(ip, value));
    };
    for port in &inputs.record.ports {
        match &port.task {
            None => tell(&port.label, port.value),
            Some(task) => {
                tell(&format!("{task}_{}", port.label), port.value);
                if *task == inputs.task.name {
                    tell(&port.label, port.value);
                }
            }
        }
    }
    env
}

fn address(ip: &str, port: u16) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

fn meta(inputs: &Inputs<'_>, env: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let scope = scope(inputs, env);
    let mut all = inputs.job.meta.clone();
    all.extend(inputs.group.meta.clone());
    all.extend(inputs.task.meta.clone());
    let mut out = BTreeMap::new();
    for (key, value) in all {
        let (key, value) = (clean(&key), scope.text(&value));
        out.insert(format!("NOMAD_META_{}", key.to_uppercase()), value.clone());
        out.insert(format!("NOMAD_META_{key}"), value);
    }
    out
}

/// A name that every shell can say.
fn clean(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect()
}
