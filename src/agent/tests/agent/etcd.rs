//! On a real etcd: a kill -9 of it, a freeze past the lease, and what `etcdctl` shows.

use std::{sync::Arc, time::Duration};

use encamp_agent::{Agent, AgentHandle, Clock, Config, Error};
use encamp_model::{
    Key, Keyspace,
    records::{AllocStatus, ClientStatus, ClusterRecord, LAYOUT},
};
use encamp_store::{EtcdStore, Op, Options, Store as _, Txn};
use encamp_testkit::Etcd;
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    lab::{alloc, cluster, record, service, stopped, uid, until},
    machine::Machine,
};

struct Bench {
    store: Arc<EtcdStore>,
    keys: Keyspace,
    handle: AgentHandle,
    machine: Machine,
    _folder: tempfile::TempDir,
    _tasks: JoinSet<Result<(), Error>>,
}

impl Bench {
    async fn new(etcd: &Etcd) -> Self {
        let store = Arc::new(EtcdStore::new(Options::new([etcd.url()])).expect("options"));
        let keys = Keyspace::new("/encamp/");
        let folder = tempfile::tempdir().expect("a folder");
        let config = Config {
            data_dir: folder.path().join("data"),
            network_interface: Some("lo".to_owned()),
            lease_ttl: Duration::from_secs(3),
            ..Config::default()
        };
        let machine = Machine::new(Clock::System);
        let agent = Agent::open(config, vec![Arc::new(machine.clone())], Clock::System).expect("opens");
        let handle = agent.handle();
        let mut tasks = JoinSet::new();
        let own = Arc::new(EtcdStore::new(Options::new([etcd.url()])).expect("options"));
        tasks.spawn(agent.run(own, keys.clone(), CancellationToken::new()));
        let bench = Bench { store, keys, handle, machine, _folder: folder, _tasks: tasks };
        let record = ClusterRecord { uid: cluster(1), layout: LAYOUT, region: "global".to_owned() };
        bench.put(&Key::Cluster, &record).await;
        bench.put(&Key::JobVersion(uid(), 0), &service(&json!({}))).await;
        bench
    }

    async fn put(&self, key: &Key, value: &impl serde::Serialize) {
        let (key, value) = (self.keys.encode(key), serde_json::to_vec(value).expect("json"));
        until("etcd takes it", async || {
            let put = Txn::new().then(Op::put(key.clone(), value.clone()));
            self.store.txn(put).await.map(|_| ()).map_err(|e| e.to_string())
        })
        .await;
    }

    async fn until_said(&self, n: u128, wanted: ClientStatus) {
        let key = self.keys.encode(&Key::AllocStatus(self.handle.node_id(), alloc(n)));
        until(&format!("{n} is {wanted:?}"), async || {
            let (kv, _) = self.store.get(key.as_bytes()).await.map_err(|e| e.to_string())?;
            let status: Option<AllocStatus> = kv.and_then(|kv| serde_json::from_slice(&kv.value).ok());
            match status {
                Some(status) if status.status == wanted => Ok(()),
                other => Err(format!("{other:?}; {:?}", self.handle.problem())),
            }
        })
        .await;
    }
}

#[tokio::test]
async fn on_a_real_etcd_tasks_survive_its_kill_and_its_freeze() {
    let mut etcd = Etcd::spawn().await;
    let bench = Bench::new(&etcd).await;
    let node = bench.handle.node_id();
    bench.put(&Key::Alloc(node, alloc(1)), &record()).await;
    bench.until_said(1, ClientStatus::Running).await;
    let shown = etcd.ctl(&["get", "--prefix", "/encamp/nodes/", "--keys-only"]);
    for name in ["info", "lease", &format!("status/{}", alloc(1))] {
        assert!(shown.contains(&format!("/encamp/nodes/{node}/{name}\n")), "{name} in {shown}");
    }

    etcd.kill9();
    etcd.restart().await;
    bench.put(&Key::Alloc(node, alloc(2)), &record()).await;
    bench.until_said(2, ClientStatus::Running).await;

    etcd.freeze();
    until("the agent sees that its lease is not renewed", async || match bench.handle.problem() {
        Some(problem) => Ok(problem),
        None => Err("healthy".to_owned()),
    })
    .await;
    assert_eq!(bench.machine.running(), [alloc(1), alloc(2)], "tasks stay");
    etcd.thaw();
    bench.put(&Key::Alloc(node, alloc(1)), &stopped()).await;
    bench.put(&Key::Alloc(node, alloc(3)), &record()).await;
    bench.until_said(1, ClientStatus::Complete).await;
    bench.until_said(3, ClientStatus::Running).await;
    // Nothing was started or stopped twice.
    let mut log = bench.machine.log();
    log.sort();
    assert_eq!(log, ["end 1", "start 1", "start 2", "start 3", "stop 1"]);
}
