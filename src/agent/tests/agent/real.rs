//! On this machine, with real supervisors: the agent dies, the task does not.

use std::{fs, path::PathBuf, sync::Arc};

use encamp_agent::{Agent, AgentHandle, Clock, Config, Error};
use encamp_drivers::{RawExec, Supervisor, logs::Stream};
use encamp_model::{
    AllocId, Job, Key, Keyspace, NodeId,
    records::{AllocStatus, ClientStatus, ClusterRecord, LAYOUT, NodeInfo},
};
use encamp_store::{MemoryStore, Op, Store, Txn};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::lab::{cluster, record, stopped, uid, until};

struct Bench {
    store: MemoryStore,
    keys: Keyspace,
    folder: tempfile::TempDir,
    /// Its own: cgroups of this machine are named by it.
    alloc: AllocId,
}

struct Running {
    handle: AgentHandle,
    node: NodeId,
    tasks: JoinSet<Result<(), Error>>,
}

impl Running {
    /// Dies in the middle of whatever it does.
    async fn crash(mut self) {
        self.tasks.shutdown().await;
    }
}

impl Bench {
    async fn new(kind: &str, script: &str, group: Value) -> Self {
        let bench = Bench {
            store: MemoryStore::new(),
            keys: Keyspace::new("/encamp/"),
            folder: tempfile::tempdir().expect("a folder"),
            alloc: AllocId::random(),
        };
        let task = json!({ "Name": "t", "Driver": "raw_exec",
            "Config": { "command": "/bin/sh", "args": ["-c", script] },
            "Env": { "WHERE": "${NOMAD_GROUP_NAME}@${attr.kernel.name}" } });
        let mut whole = json!({ "Name": "g", "Tasks": [task] });
        for (key, value) in group.as_object().into_iter().flatten() {
            whole[key] = value.clone();
        }
        let job: Job = serde_json::from_value(
            json!({ "ID": "web", "Name": "web", "Type": kind, "TaskGroups": [whole] }),
        )
        .expect("a job");
        let record = ClusterRecord { uid: cluster(1), layout: LAYOUT, region: "global".to_owned() };
        bench.put(&Key::Cluster, &record).await;
        bench.put(&Key::JobVersion(uid(), 0), &job).await;
        bench
    }

    async fn put(&self, key: &Key, value: &impl serde::Serialize) {
        let value = serde_json::to_vec(value).expect("json");
        self.store.txn(Txn::new().then(Op::put(self.keys.encode(key), value))).await.expect("written");
    }

    async fn agent(&self) -> Running {
        let config = Config {
            data_dir: self.folder.path().join("data"),
            network_interface: Some("lo".to_owned()),
            ..Config::default()
        };
        let driver = RawExec::new(Supervisor::with_program(env!("CARGO_BIN_EXE_encamp-agent-supervise")));
        let agent = Agent::open(config, vec![Arc::new(driver)], Clock::System).expect("opens");
        let handle = agent.handle();
        let mut tasks = JoinSet::new();
        tasks.spawn(agent.run(Arc::new(self.store.clone()), self.keys.clone(), CancellationToken::new()));
        until("healthy", async || handle.problem().map_or(Ok(()), Err)).await;
        Running { node: handle.node_id(), handle, tasks }
    }

    async fn status(&self, node: NodeId) -> Option<AllocStatus> {
        let key = self.keys.encode(&Key::AllocStatus(node, self.alloc));
        let kv = self.store.get(key.as_bytes()).await.expect("an answer").0?;
        Some(serde_json::from_slice(&kv.value).expect("a status"))
    }

    async fn until_said(&self, node: NodeId, wanted: ClientStatus) -> AllocStatus {
        until(&format!("{wanted:?} is said"), async || match self.status(node).await {
            Some(status) if status.status == wanted => Ok(status),
            other => Err(format!("{other:?}")),
        })
        .await
    }

    fn local(&self) -> PathBuf {
        self.folder.path().join("data/alloc").join(self.alloc.to_string()).join("t")
    }

    /// The number that the task wrote into its folder.
    async fn pid(&self, name: &str) -> u32 {
        let path = self.local().join(name);
        until(&format!("a pid in {}", path.display()), async || {
            let text = fs::read_to_string(&path).unwrap_or_default();
            if text.ends_with('\n') { text.trim().parse().map_err(|_| text) } else { Err(text) }
        })
        .await
    }

    /// Nothing is left behind, also by a failed test.
    async fn clean(&self, node: NodeId) {
        self.put(&Key::Alloc(node, self.alloc), &stopped()).await;
        until("all is over", async || match self.status(node).await {
            Some(status) if status.status.is_terminal() => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    }
}

impl Drop for Bench {
    /// A failed test leaves nothing behind: the supervisor's end is its task's.
    fn drop(&mut self) {
        let state = self.folder.path().join("data/tasks").join(self.alloc.to_string()).join("t");
        let Ok(start) = fs::read(state.join("start.json")) else { return };
        if state.join("exit.json").exists() {
            return;
        }
        let start: Value = serde_json::from_slice(&start).unwrap_or_default();
        if let Some(pid) = start["supervisor"]["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()) {
            let _ =
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
    }
}

fn alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

async fn output(handle: &AgentHandle, alloc: AllocId) -> String {
    let handle = handle.clone();
    tokio::task::spawn_blocking(move || {
        let reader = handle.logs(alloc, "t", Stream::Stdout).expect("logs");
        String::from_utf8(reader.read_at(0, 1 << 20).expect("reads")).expect("text")
    })
    .await
    .expect("no panic")
}

#[tokio::test]
async fn a_task_outlives_its_agent_and_is_adopted_with_the_same_pid() {
    let script = "echo $$ > pid; echo \"$WHERE\"; trap 'exit 0' INT; while :; do sleep 0.05; done";
    let bench = Bench::new("service", script, json!({})).await;
    let first = bench.agent().await;
    let node = first.node;
    bench.put(&Key::Alloc(node, bench.alloc), &record()).await;
    bench.until_said(node, ClientStatus::Running).await;
    let pid = bench.pid("pid").await;
    until("its output is there", async || match output(&first.handle, bench.alloc).await {
        text if text == "g@linux\n" => Ok(()),
        other => Err(other),
    })
    .await;
    first.crash().await;
    assert!(alive(pid));
    let second = bench.agent().await;
    assert_eq!(second.node, node);
    assert!(alive(pid));
    assert!(second.handle.may_print(bench.alloc, "t"));
    bench.clean(node).await;
    assert!(!alive(pid));
    let status = bench.status(node).await.expect("said");
    assert_eq!((status.status, status.tasks["t"].restarts), (ClientStatus::Complete, 0));
    let starts = status.tasks["t"].events.iter().filter(|e| e.kind == "Started").count();
    assert_eq!(starts, 1);
}

#[tokio::test]
async fn a_task_that_ends_with_7_while_its_agent_is_dead_is_reported_as_7_once() {
    let script = "echo $$ > pid; while [ ! -e go ]; do sleep 0.02; done; echo bye; exit 7";
    let group = json!({ "RestartPolicy": { "Attempts": 0, "Mode": "fail" } });
    let bench = Bench::new("batch", script, group).await;
    let first = bench.agent().await;
    let node = first.node;
    bench.put(&Key::Alloc(node, bench.alloc), &record()).await;
    bench.until_said(node, ClientStatus::Running).await;
    let pid = bench.pid("pid").await;
    first.crash().await;
    fs::write(bench.local().join("go"), "").expect("written");
    until("the task ends", async || if alive(pid) { Err("alive".to_owned()) } else { Ok(()) }).await;
    for _ in 0..2 {
        let agent = bench.agent().await;
        let status = bench.until_said(node, ClientStatus::Failed).await;
        let ends: Vec<_> = status.tasks["t"].events.iter().filter_map(|e| e.exit_code).collect();
        assert_eq!(ends, [7]);
        assert_eq!(output(&agent.handle, bench.alloc).await, "bye\n");
        agent.crash().await;
    }
}

#[tokio::test]
async fn a_task_is_restarted_by_its_policy_and_then_failed() {
    let script = "echo run >> runs; exit 3";
    let group = json!({ "RestartPolicy": { "Attempts": 2, "Interval": 60_000_000_000_i64, "Delay": 100_000_000, "Mode": "fail" } });
    let bench = Bench::new("service", script, group).await;
    let agent = bench.agent().await;
    bench.put(&Key::Alloc(agent.node, bench.alloc), &record()).await;
    let status = bench.until_said(agent.node, ClientStatus::Failed).await;
    assert_eq!(status.tasks["t"].restarts, 2);
    assert_eq!(fs::read_to_string(bench.local().join("runs")).expect("written"), "run\nrun\nrun\n");
}

#[tokio::test]
async fn a_command_that_is_not_there_is_a_driver_failure_that_names_it() {
    let bench = Bench::new(
        "batch",
        "true",
        json!({ "RestartPolicy": { "Attempts": 0 },
        "Tasks": [{ "Name": "t", "Driver": "raw_exec", "Config": { "command": "/no/such/thing" } }] }),
    )
    .await;
    let agent = bench.agent().await;
    bench.put(&Key::Alloc(agent.node, bench.alloc), &record()).await;
    let status = bench.until_said(agent.node, ClientStatus::Failed).await;
    let failure = status.tasks["t"].events.iter().find(|e| e.kind == "Driver Failure").expect("told");
    assert!(failure.message.contains("/no/such/thing"), "{}", failure.message);
}

#[tokio::test]
async fn the_fingerprint_says_what_constraints_ask_for() {
    let bench = Bench::new("batch", "true", json!({})).await;
    let agent = bench.agent().await;
    let kv = bench.store.get(bench.keys.encode(&Key::NodeInfo(agent.node)).as_bytes()).await.expect("read").0;
    let info: NodeInfo = serde_json::from_slice(&kv.expect("there").value).expect("info");
    for name in [
        "kernel.name",
        "kernel.version",
        "cpu.arch",
        "cpu.numcores",
        "cpu.frequency",
        "cpu.totalcompute",
        "memory.totalbytes",
        "unique.storage.bytestotal",
        "unique.storage.bytesfree",
        "unique.storage.volume",
        "os.name",
        "unique.hostname",
        "unique.network.ip-address",
        "encamp.version",
        "nomad.version",
        "unique.cgroup.version",
        "driver.raw_exec",
    ] {
        assert!(info.attributes.get(name).is_some_and(|v| !v.is_empty()), "{name}: {:?}", info.attributes);
    }
    assert_eq!(info.attributes["kernel.name"], "linux");
    assert_eq!(info.network.expect("loopback").ip, "127.0.0.1");
    assert!(
        info.resources.total.cpu > 0
            && info.resources.total.memory_mb > 0
            && info.resources.total.disk_mb > 0
    );
    assert!(info.drivers["raw_exec"].healthy);
}
