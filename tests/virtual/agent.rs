//! A stand-in for a node's agent: registers, keeps its lease, and says of each allocation what its orders are.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use encamp_model::{
    AllocId, InstanceId, Job, JobUid, Key, Keyspace, NodeId, Timestamp,
    records::{
        AllocRecord, AllocStatus, Ask, ClientStatus, Desired, DriverInfo, LeaseRecord, NodeInfo,
        NodeResources,
    },
};
use encamp_runtime::task;
use encamp_store::{Compare, Op, Range, Store, Txn};
use tokio_util::sync::CancellationToken;

/// What a test tells an agent to do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Orders {
    /// Tasks do not stop when they are told to.
    pub(crate) stubborn: bool,
    /// Tasks end like this once they run.
    pub(crate) ends: Option<ClientStatus>,
    /// Says nothing at all.
    pub(crate) silent: bool,
}

#[derive(Clone)]
pub(crate) struct FakeAgent {
    pub(crate) id: NodeId,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) keys: Keyspace,
    pub(crate) orders: Arc<Mutex<Orders>>,
    pub(crate) info: Arc<Mutex<NodeInfo>>,
    alive: CancellationToken,
}

pub(crate) fn info(id: NodeId, cpu: i64) -> NodeInfo {
    let running = DriverInfo { detected: true, healthy: true, description: String::new() };
    NodeInfo {
        id,
        name: format!("node-{}", id.as_u128() & 0xff),
        datacenter: "dc1".into(),
        class: String::new(),
        region: "global".into(),
        http_addr: "127.0.0.1:1".into(),
        version: "0".into(),
        resources: NodeResources {
            total: Ask { cpu, memory_mb: 100_000, disk_mb: 100_000 },
            reserved: Ask::default(),
            reserved_ports: Vec::new(),
            port_range: (20_000, 32_000),
        },
        network: None,
        drivers: BTreeMap::from([("raw_exec".to_owned(), running)]),
        attributes: BTreeMap::new(),
        meta: BTreeMap::new(),
        boot_id: "boot".into(),
        lease_ttl_s: 10,
    }
}

impl FakeAgent {
    pub(crate) fn start(store: Arc<dyn Store>, keys: Keyspace, info: NodeInfo) -> Self {
        let agent = FakeAgent {
            id: info.id,
            store,
            keys,
            orders: Arc::default(),
            info: Arc::new(Mutex::new(info)),
            alive: CancellationToken::new(),
        };
        task::spawn("fake agent lease", agent.clone().keep());
        task::spawn("fake agent", agent.clone().answer());
        agent
    }

    /// The machine is gone, without a word.
    pub(crate) fn die(&self) {
        self.alive.cancel();
    }

    /// Registers and renews; registers anew when its lease is gone.
    async fn keep(self) {
        while !self.alive.is_cancelled() {
            let lease = match self.store.lease_grant(Duration::from_secs(10)).await {
                Ok(lease) => lease,
                Err(_) => {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
            };
            let _ = self.register(lease).await;
            while self.store.lease_keep_alive(lease).await.is_ok() && !self.alive.is_cancelled() {
                tokio::time::sleep(Duration::from_secs(3)).await;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    async fn register(&self, lease: i64) -> Result<(), encamp_store::Error> {
        let info = serde_json::to_vec(&*self.info.lock().unwrap()).unwrap();
        let record = LeaseRecord {
            instance: InstanceId::from_bits(self.id.as_u128()),
            http_addr: String::new(),
            boot_id: "boot".into(),
            lock: String::new(),
        };
        let lease_key = self.keys.encode(&Key::NodeLease(self.id));
        let txn = Txn::new()
            .then(Op::put(self.keys.encode(&Key::NodeInfo(self.id)), info))
            .then(Op::put_on_lease(lease_key, serde_json::to_vec(&record).unwrap(), lease));
        self.store.txn(txn).await.map(drop)
    }

    /// Looks at its orders twice a (virtual) second and answers.
    async fn answer(self) {
        let mut said: BTreeMap<AllocId, ClientStatus> = BTreeMap::new();
        while !self.alive.is_cancelled() {
            if !self.orders.lock().unwrap().silent {
                let _ = self.answer_once(&mut said).await;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    async fn answer_once(
        &self,
        said: &mut BTreeMap<AllocId, ClientStatus>,
    ) -> Result<(), encamp_store::Error> {
        let (start, end) = self.keys.node_range(self.id);
        let listing = self.store.list(&Range::span(start, end)).await?;
        for kv in listing.kvs {
            let Some(Key::Alloc(_, id)) = self.keys.decode(&kv.key) else { continue };
            let Ok(record) = serde_json::from_slice::<AllocRecord>(&kv.value) else { continue };
            let now = said.get(&id).copied().unwrap_or_default();
            let Some(next) = self.next(&record, now, said) else { continue };
            if self.say(id, &record, next).await? {
                said.insert(id, next);
            }
        }
        Ok(())
    }

    fn next(
        &self,
        record: &AllocRecord,
        now: ClientStatus,
        said: &BTreeMap<AllocId, ClientStatus>,
    ) -> Option<ClientStatus> {
        let orders = self.orders.lock().unwrap().clone();
        let runs = |id: &AllocId| said.get(id) == Some(&ClientStatus::Running);
        match (now, record.desired) {
            (ClientStatus::Pending, Desired::Stop) => Some(ClientStatus::Complete),
            (ClientStatus::Running, Desired::Stop) => (!orders.stubborn).then_some(ClientStatus::Complete),
            (ClientStatus::Pending, Desired::Run) if record.after.iter().any(runs) => None,
            (ClientStatus::Pending, Desired::Run) => {
                let total = self.info.lock().unwrap().resources.total;
                let fits = record.ask.cpu <= total.cpu && record.ask.memory_mb <= total.memory_mb;
                Some(if fits { ClientStatus::Running } else { ClientStatus::Refused })
            }
            (ClientStatus::Running, Desired::Run) => orders.ends,
            _ => None,
        }
    }

    async fn say(
        &self,
        id: AllocId,
        record: &AllocRecord,
        status: ClientStatus,
    ) -> Result<bool, encamp_store::Error> {
        let job = self.job(record.uid, record.version).await?;
        let Some(job) = job else { return Ok(false) };
        let said = AllocStatus {
            uid: record.uid,
            job: job.job_id(),
            name: record.name(&job.id),
            version: record.version,
            status,
            description: String::new(),
            tasks: BTreeMap::new(),
            modified: Timestamp::default(),
        };
        let txn = Txn::new().when(Compare::exists(self.keys.encode(&Key::Alloc(self.id, id)))).then(Op::put(
            self.keys.encode(&Key::AllocStatus(self.id, id)),
            serde_json::to_vec(&said).unwrap(),
        ));
        Ok(self.store.txn(txn).await?.succeeded)
    }

    async fn job(&self, uid: JobUid, version: u64) -> Result<Option<Job>, encamp_store::Error> {
        let key = self.keys.encode(&Key::JobVersion(uid, version));
        let (kv, _) = self.store.get(key.as_bytes()).await?;
        Ok(kv.and_then(|kv| serde_json::from_slice(&kv.value).ok()))
    }
}
