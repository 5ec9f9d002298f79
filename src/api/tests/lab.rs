//! A process on a store in memory, its routes, and objects to fill it with.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request},
};
use encamp_model::{
    AllocId, EvalId, Job, JobUid, Key, Keyspace, NodeId, Timestamp, Unit,
    records::{
        AllocRecord, AllocStatus, ClientStatus, DriverInfo, NodeNetwork, TaskEvent, TaskPhase, TaskState,
    },
};
use encamp_runtime::{Clock, Process, process::Options};
use encamp_store::{MemoryStore, Range, Store};
use encamp_world::testing::objects;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{ApiConfig, LocalAgent, call::Api, router, routes::enter};

pub(super) const NODE: u128 = 0x11;
pub(super) const NOW: i64 = 1_800_000_000;

/// One api process.
pub(super) struct Lab {
    pub(super) store: MemoryStore,
    pub(super) process: Process,
    pub(super) config: Arc<ApiConfig>,
    pub(super) shutdown: CancellationToken,
    router: Router,
}

/// An answer, read to its end.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Reply {
    pub(super) fn json(&self) -> Value {
        assert_eq!(self.headers["content-type"], "application/json", "{} {}", self.status, self.text);
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e} in {:?}", self.text))
    }

    pub(super) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text);
        self.json()
    }

    pub(super) fn index(&self) -> i64 {
        let index = self.headers.get("x-nomad-index").unwrap_or_else(|| panic!("no index: {}", self.text));
        index.to_str().unwrap().parse().unwrap()
    }

    #[track_caller]
    pub(super) fn fails(&self, status: u16, text: &str) {
        assert!(self.status == status && self.text.contains(text), "{} {}", self.status, self.text);
        let content = self.headers["content-type"].to_str().unwrap();
        assert!(content.starts_with("text/plain"), "{content}");
    }
}

impl Lab {
    pub(super) async fn new() -> Self {
        Lab::with(ApiConfig::new("127.0.0.1:4646"), None).await
    }

    pub(super) async fn with(config: ApiConfig, agent: Option<Arc<dyn LocalAgent>>) -> Self {
        Lab::on(MemoryStore::new(), config, agent).await
    }

    pub(super) async fn on(
        store: MemoryStore,
        config: ApiConfig,
        agent: Option<Arc<dyn LocalAgent>>,
    ) -> Self {
        let shutdown = CancellationToken::new();
        let options = Options {
            address: config.advertise.clone(),
            clock: Clock::virtual_from(Timestamp::from_secs(NOW)),
            ..Options::default()
        };
        let process =
            Process::start(Arc::new(store.clone()), Keyspace::new("/encamp/"), options, shutdown.clone())
                .await
                .expect("a process starts on an empty store");
        let api = Api::new(process.clone(), config.clone(), agent, shutdown.clone());
        Lab { store, process, config: Arc::new(config), shutdown, router: router(api) }
    }

    /// Sends a request as a local client does.
    pub(super) async fn send(&self, method: &str, path: &str, body: impl Into<Body>) -> Reply {
        self.request(method, path, &[("host", "localhost:4646")], body).await
    }

    pub(super) async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Reply {
        let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).unwrap();
        let response = enter(self.router.clone(), self.config.clone(), None, request).await;
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Reply { status: parts.status.as_u16(), headers: parts.headers, text }
    }

    pub(super) async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, Body::empty()).await
    }

    pub(super) async fn put(&self, path: &str, body: &Value) -> Reply {
        self.send("PUT", path, body.to_string()).await
    }

    /// Writes as another process would, and waits until ours has seen it.
    pub(super) async fn write(&self, unit: Unit) -> i64 {
        let txn = encamp_runtime::unit_txn(self.process.keyspace(), unit);
        let answer = self.store.client("others").txn(txn).await.unwrap();
        assert!(answer.succeeded);
        self.process.reached(answer.revision).await.unwrap();
        answer.revision
    }

    pub(super) async fn store_value(&self, key: Key, value: &impl serde::Serialize) -> i64 {
        let mut unit = Unit::new();
        unit.put(key, value);
        self.write(unit).await
    }

    /// What is stored, but for what processes write about themselves.
    pub(super) async fn stored(&self) -> BTreeMap<String, Vec<u8>> {
        let list = self.store.list(&Range::all()).await.unwrap();
        let pairs =
            list.kvs.into_iter().map(|kv| (String::from_utf8(kv.key.to_vec()).unwrap(), kv.value.to_vec()));
        pairs.filter(|(key, _)| !key.contains("/api-servers/") && !key.ends_with("/cluster")).collect()
    }

    /// The keys of one kind.
    pub(super) async fn keys(&self, kind: &str) -> Vec<String> {
        let prefix = format!("/encamp/{kind}/");
        self.stored()
            .await
            .into_keys()
            .filter_map(|key| Some(key.strip_prefix(&prefix)?.to_owned()))
            .collect()
    }

    /// The stored declaration of a job in the default namespace.
    pub(super) fn declared(&self, name: &str) -> Job {
        let id = encamp_model::JobId::new("default", name);
        self.process.world().job(&id).unwrap().job.as_ref().unwrap().value.clone()
    }

    pub(super) async fn register(&self, job: &Value) -> Value {
        self.put("/v1/jobs", &json!({ "Job": job })).await.ok()
    }

    /// A ready node with raw_exec and an address.
    pub(super) async fn join(&self, node: NodeId, http_addr: &str) {
        let mut info = objects::node_info(node);
        info.http_addr = http_addr.to_owned();
        let driver = DriverInfo { detected: true, healthy: true, description: String::new() };
        info.drivers.insert("raw_exec".into(), driver);
        for (key, value) in [("cpu.numcores", "2"), ("kernel.name", "linux"), ("driver.raw_exec", "1")] {
            info.attributes.insert(key.into(), value.into());
        }
        info.meta.insert("rack".into(), "r1".into());
        info.network = Some(NodeNetwork {
            device: "eth0".into(),
            ip: "10.0.0.5".into(),
            cidr: "10.0.0.5/32".into(),
            mbits: 1000,
        });
        let mut unit = Unit::new();
        unit.put(Key::NodeInfo(node), &info).put(Key::NodeLease(node), &objects::lease());
        unit.put(Key::NodeState(node), &objects::gate(encamp_model::records::Gate::Ready));
        self.write(unit).await;
    }

    /// A running allocation of a registered job's first group, as planner and agent would write it.
    pub(super) async fn place(&self, node: NodeId, id: AllocId, job: &Job, eval: EvalId) -> AllocRecord {
        let group = &job.task_groups[0];
        let mut record = objects::alloc(job.uid.unwrap(), job.version, 0);
        record.group = group.name.clone();
        record.eval = eval;
        record.created = Timestamp::from_secs(NOW);
        let labels =
            group.networks.iter().flat_map(|n| &n.dynamic_ports).map(|port| (port.label.clone(), None));
        let own = group.tasks.iter().flat_map(|t| {
            let networks = t.resources.iter().flat_map(|r| &r.networks);
            networks.flat_map(|n| &n.dynamic_ports).map(|port| (port.label.clone(), Some(t.name.clone())))
        });
        for (i, (label, task)) in labels.chain(own).enumerate() {
            let value = 20_000 + u16::try_from(i).unwrap();
            record.ports.push(encamp_model::records::AssignedPort { label, value, to: 0, task });
        }
        let mut unit = Unit::new();
        unit.put(Key::Alloc(node, id), &record);
        unit.put(Key::AllocStatus(node, id), &running(job, &record));
        self.write(unit).await;
        record
    }
}

fn running(job: &Job, record: &AllocRecord) -> AllocStatus {
    let at = Timestamp::from_secs(NOW + 1);
    let event = |kind: &str, message: &str| TaskEvent {
        kind: kind.into(),
        time: at,
        message: message.into(),
        ..TaskEvent::default()
    };
    let state = TaskState {
        state: TaskPhase::Running,
        started: Some(at),
        events: vec![
            event("Received", "Task received by client"),
            event("Started", "Task started by client"),
        ],
        ..TaskState::default()
    };
    let mut status = objects::status(&job.id, record, ClientStatus::Running, at);
    let group = job.group(&record.group).unwrap();
    status.tasks = group.tasks.iter().map(|task| (task.name.clone(), state.clone())).collect();
    status
}

/// A small job.
pub(super) fn web(name: &str) -> Value {
    json!({ "ID": name, "Type": "service", "TaskGroups": [{ "Name": "web", "Count": 1, "Tasks": [
        { "Name": "server", "Driver": "docker", "Config": { "image": "web:1" } } ] }] })
}

pub(super) fn node() -> NodeId {
    NodeId::from_bits(NODE)
}

pub(super) fn uid(lab: &Lab, name: &str) -> JobUid {
    lab.declared(name).uid.unwrap()
}
