//! A store in memory, a made-up machine, and agents on it, in virtual time.

use std::{
    future::poll_fn,
    path::Path,
    sync::{Arc, Mutex},
    task::{Poll, Waker},
    time::Duration,
};

use encamp_agent::{Agent, AgentHandle, Clock, Config, Error};
use encamp_model::{
    AllocId, ClusterUid, EvalId, JobUid, Key, Keyspace, Name, NodeId, Timestamp,
    job::Job,
    records::{AllocRecord, AllocStatus, Ask, ClientStatus, ClusterRecord, Desired, LAYOUT, LeaseRecord},
};
use encamp_store::{Kv, MemoryStore, Op, Store, Txn};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::machine::Machine;

/// Longest that a condition is waited for, in virtual time.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Lab {
    /// The test's own connection.
    pub(crate) store: MemoryStore,
    pub(crate) keys: Keyspace,
    pub(crate) machine: Machine,
    pub(crate) clock: Clock,
    pub(crate) folder: tempfile::TempDir,
}

/// Freezes an agent as SIGSTOP does: it is not polled, and the world goes on.
#[derive(Clone, Default)]
pub(crate) struct Ice(Arc<Mutex<(bool, Option<Waker>)>>);

impl Ice {
    pub(crate) fn freeze(&self) {
        self.0.lock().expect("no panic").0 = true;
    }

    pub(crate) fn thaw(&self) {
        let mut state = self.0.lock().expect("no panic");
        state.0 = false;
        if let Some(waker) = state.1.take() {
            waker.wake();
        }
    }

    async fn around<T>(self, run: impl Future<Output = T>) -> T {
        let mut run = std::pin::pin!(run);
        poll_fn(|cx| {
            let mut state = self.0.lock().expect("no panic");
            if state.0 {
                state.1 = Some(cx.waker().clone());
                return Poll::Pending;
            }
            drop(state);
            run.as_mut().poll(cx)
        })
        .await
    }
}

/// An agent that runs.
pub(crate) struct Running {
    pub(crate) handle: AgentHandle,
    pub(crate) node: NodeId,
    pub(crate) shutdown: CancellationToken,
    pub(crate) ice: Ice,
    tasks: JoinSet<Result<(), Error>>,
}

impl Running {
    /// Dies in the middle of whatever it does.
    pub(crate) async fn crash(mut self) {
        self.tasks.shutdown().await;
    }

    /// How it ended by itself.
    pub(crate) async fn ended(&mut self) -> Result<(), Error> {
        let end = tokio::time::timeout(PATIENCE, self.tasks.join_next()).await;
        end.expect("the agent ends").expect("one task").expect("no panic")
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.tasks.try_join_next().is_some()
    }
}

pub(crate) fn alloc(n: u128) -> AllocId {
    AllocId::from_bits(n)
}

pub(crate) fn uid() -> JobUid {
    JobUid::from_bits(77)
}

pub(crate) fn cluster(n: u128) -> ClusterUid {
    ClusterUid::from_bits(n)
}

pub(crate) fn record() -> AllocRecord {
    AllocRecord {
        uid: uid(),
        version: 0,
        group: Name::from("g"),
        index: 0,
        desired: Desired::Run,
        reason: None,
        ask: Ask { cpu: 10, memory_mb: 10, disk_mb: 0 },
        ports: Vec::new(),
        after: Vec::new(),
        previous: None,
        next: None,
        eval: EvalId::from_bits(1),
        created: Timestamp::from_secs(1),
    }
}

pub(crate) fn stopped() -> AllocRecord {
    AllocRecord { desired: Desired::Stop, ..record() }
}

/// A service of one task `t`, with these settings of its group beside.
pub(crate) fn service(group: &Value) -> Job {
    let mut whole = json!({ "Name": "g", "Tasks": [{ "Name": "t", "Driver": "fake", "Config": {} }] });
    for (key, value) in group.as_object().into_iter().flatten() {
        whole[key] = value.clone();
    }
    serde_json::from_value(json!({ "ID": "web", "Name": "web", "TaskGroups": [whole] })).expect("a job")
}

impl Lab {
    /// With a cluster and job version 0.
    pub(crate) async fn new() -> Self {
        let lab = Self::bare();
        lab.found(1).await;
        lab.put(&Key::JobVersion(uid(), 0), &service(&json!({}))).await;
        lab
    }

    /// With nothing at all in etcd.
    pub(crate) fn bare() -> Self {
        let clock = Clock::virtual_from(Timestamp::from_secs(1_000_000));
        Lab {
            store: MemoryStore::new(),
            keys: Keyspace::new("/encamp/"),
            machine: Machine::new(clock),
            clock,
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    pub(crate) async fn found(&self, n: u128) {
        let record = ClusterRecord { uid: cluster(n), layout: LAYOUT, region: "global".to_owned() };
        self.put(&Key::Cluster, &record).await;
    }

    pub(crate) fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn config(&self, path: &Path) -> Config {
        Config {
            data_dir: path.to_owned(),
            network_interface: Some("lo".to_owned()),
            http_addr: "10.0.0.1:4646".to_owned(),
            ..Config::default()
        }
    }

    pub(crate) fn open(&self, config: Config) -> Result<Agent, Error> {
        Agent::open(config, vec![Arc::new(self.machine.clone())], self.clock)
    }

    /// An agent on the usual folder, connected as the client `agent`.
    pub(crate) fn agent(&self) -> Running {
        self.agent_with(self.config(&self.path()), "agent")
    }

    pub(crate) fn agent_with(&self, config: Config, client: &str) -> Running {
        let agent = self.open(config).expect("opens its folder");
        let handle = agent.handle();
        let shutdown = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let ice = Ice::default();
        let run = agent.run(Arc::new(self.store.client(client)), self.keys.clone(), shutdown.clone());
        tasks.spawn(ice.clone().around(run));
        Running { node: handle.node_id(), handle, shutdown, ice, tasks }
    }

    /// An agent that is registered and has listed.
    pub(crate) async fn ready(&self) -> Running {
        let agent = self.agent();
        self.until_healthy(&agent).await;
        agent
    }

    pub(crate) async fn until_healthy(&self, agent: &Running) {
        until("the agent is healthy", async || match agent.handle.problem() {
            None => Ok(()),
            Some(problem) => Err(problem),
        })
        .await;
    }

    pub(crate) async fn put(&self, key: &Key, value: &impl Serialize) {
        self.put_raw(key, serde_json::to_vec(value).expect("json")).await;
    }

    pub(crate) async fn put_raw(&self, key: &Key, value: Vec<u8>) {
        self.write(Txn::new().then(Op::put(self.keys.encode(key), value))).await;
    }

    pub(crate) async fn delete(&self, key: &Key) {
        self.write(Txn::new().then(Op::delete(self.keys.encode(key)))).await;
    }

    pub(crate) async fn write(&self, txn: Txn) {
        assert!(self.store.txn(txn).await.expect("an answer").succeeded);
    }

    pub(crate) async fn place(&self, node: NodeId, n: u128, record: &AllocRecord) {
        self.put(&Key::Alloc(node, alloc(n)), record).await;
    }

    pub(crate) async fn read(&self, key: &Key) -> Option<Kv> {
        self.store.get(self.keys.encode(key).as_bytes()).await.expect("an answer").0
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, key: &Key) -> Option<T> {
        let kv = self.read(key).await?;
        Some(serde_json::from_slice(&kv.value).expect("a value of ours"))
    }

    pub(crate) async fn status(&self, node: NodeId, n: u128) -> Option<AllocStatus> {
        self.get(&Key::AllocStatus(node, alloc(n))).await
    }

    pub(crate) async fn lease(&self, node: NodeId) -> Option<LeaseRecord> {
        self.get(&Key::NodeLease(node)).await
    }

    pub(crate) async fn until_said(&self, node: NodeId, n: u128, wanted: ClientStatus) -> AllocStatus {
        until(&format!("{n} is said to be {wanted:?}"), async || match self.status(node, n).await {
            Some(status) if status.status == wanted => Ok(status),
            other => Err(format!("{other:?}")),
        })
        .await
    }

    pub(crate) async fn until_running(&self, wanted: &[u128]) {
        let wanted: Vec<_> = wanted.iter().map(|n| alloc(*n)).collect();
        until("these run", async || {
            let running = self.machine.running();
            if running == wanted { Ok(()) } else { Err(format!("{running:?}; {:?}", self.machine.log())) }
        })
        .await;
    }
}

/// Waits for a condition; says what was seen last if it does not come.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let began = tokio::time::Instant::now();
    loop {
        match look().await {
            Ok(value) => return value,
            Err(seen) => {
                assert!(began.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}; last seen: {seen}")
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Lets virtual time pass, in which something must not happen.
pub(crate) async fn pass(secs: u64) {
    tokio::time::sleep(Duration::from_secs(secs)).await;
}
