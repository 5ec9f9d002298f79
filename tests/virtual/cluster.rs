//! A whole installation on one store in memory.

use std::{fmt::Debug, sync::Arc, time::Duration};

use encamp_model::{
    EvalId, Job, JobId, JobUid, Key, Keyspace, NodeId, Timestamp, Unit,
    job::JobType,
    records::{ClientStatus, Desired, Eval, EvalStatus, NodeIntents, Trigger},
};
use encamp_runtime::{Clock, CommitError, Options, Process, run_controller};
use encamp_store::MemoryStore;
use encamp_world::{AllocEntry, World};
use futures::StreamExt as _;
use tokio_util::sync::CancellationToken;

use crate::agent::{FakeAgent, info};

pub(crate) struct Cluster {
    pub(crate) store: MemoryStore,
    pub(crate) keys: Keyspace,
    clock: Clock,
    /// A process without loops: the tests' eyes, and their api.
    pub(crate) api: Process,
    evals: std::cell::Cell<u128>,
    _shutdown: CancellationToken,
}

/// A process with all loops.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) store: MemoryStore,
}

impl Server {
    /// Its machine is gone, without a word.
    pub(crate) fn die(&self) {
        self.store.cut();
    }

    pub(crate) fn leads(&self, name: &str) -> bool {
        self.process.world().epoch(name, self.process.instance()).is_some()
    }
}

impl Cluster {
    pub(crate) async fn new() -> Self {
        let store = MemoryStore::new();
        let keys = Keyspace::new("/encamp/");
        let clock = Clock::virtual_from(Timestamp::from_secs(1_700_000_000));
        let shutdown = CancellationToken::new();
        let options = Options { address: "api".into(), clock, ..Options::default() };
        let api = Process::start(Arc::new(store.client("api")), keys.clone(), options, shutdown.clone())
            .await
            .unwrap();
        Cluster { store, keys, clock, api, evals: Default::default(), _shutdown: shutdown }
    }

    /// Starts a process with all loops; returns when its World was listed.
    pub(crate) async fn server(&self, name: &str) -> Server {
        self.server_with(name, encamp_gc::Config::default()).await
    }

    pub(crate) async fn server_with(&self, name: &str, gc: encamp_gc::Config) -> Server {
        let store = self.store.client(name);
        let shutdown = CancellationToken::new();
        let options = Options { address: name.into(), clock: self.clock, ..Options::default() };
        let process = Process::start(Arc::new(store.clone()), self.keys.clone(), options, shutdown.clone())
            .await
            .unwrap();
        drop(run_controller(encamp_evaluator::Evaluator::default(), &process, shutdown.clone()));
        drop(run_controller(encamp_planner::Planner::default(), &process, shutdown.clone()));
        drop(run_controller(encamp_heartbeat::Heartbeat::default(), &process, shutdown.clone()));
        let mut swept = run_controller(encamp_gc::Gc::new(gc), &process, shutdown.clone());
        encamp_runtime::task::spawn("swept", async move { while swept.next().await.is_some() {} });
        Server { process, store }
    }

    /// A node's connection to the store.
    pub(crate) fn network(&self, n: u128) -> MemoryStore {
        self.store.client(&format!("node-{n}"))
    }

    /// Starts a node with so many MHz.
    pub(crate) fn node(&self, n: u128, cpu: i64) -> FakeAgent {
        let id = NodeId::from_bits(n);
        FakeAgent::start(Arc::new(self.network(n)), self.keys.clone(), info(id, cpu))
    }

    pub(crate) fn world(&self) -> World {
        self.api.world()
    }

    fn eval_id(&self) -> EvalId {
        self.evals.set(self.evals.get() + 1);
        EvalId::from_bits(0xe000_0000 + self.evals.get())
    }

    /// Registers or changes a job, as the api does.
    pub(crate) async fn register(&self, mut job: Job) -> Result<JobUid, CommitError> {
        loop {
            let world = self.api.fresh().await.unwrap();
            let stored = world.job(&job.job_id()).and_then(|entry| entry.job.clone());
            let eval = self.eval_id();
            let uid = stored.as_ref().and_then(|s| s.uid).unwrap_or(JobUid::from_bits(eval.as_u128()));
            job.uid = Some(uid);
            job.version = stored.as_ref().map_or(0, |s| s.version + 1);
            let mut unit = Unit::new();
            unit.unchanged(Key::Job(job.job_id()), stored.as_ref().map_or(0, |s| s.modified));
            unit.put(Key::Job(job.job_id()), &job).put(Key::JobVersion(uid, job.version), &job);
            unit.put(Key::Eval(eval), &self.eval(&job.job_id(), uid, Trigger::JobRegister));
            match self.api.commit(&unit, eval).await {
                Err(CommitError::Conflict) => continue,
                other => return other.map(|_| uid),
            }
        }
    }

    /// Purges a job, as the api does.
    pub(crate) async fn purge(&self, name: &str) {
        let id = JobId::new("default", name);
        let world = self.api.fresh().await.unwrap();
        let stored = world.job(&id).and_then(|entry| entry.job.clone()).expect("the job is there");
        let eval = self.eval_id();
        let mut unit = Unit::new();
        unit.unchanged(Key::Job(id.clone()), stored.modified).delete(Key::Job(id.clone()));
        unit.put(Key::Eval(eval), &self.eval(&id, stored.uid.unwrap(), Trigger::JobDeregister));
        self.api.commit(&unit, eval).await.unwrap();
    }

    /// Says whether new work may come to a node, as the api does.
    pub(crate) async fn eligible(&self, node: NodeId, eligible: bool) {
        let world = self.api.fresh().await.unwrap();
        let before = world.node(node).and_then(|n| n.intents.as_ref()).map_or(0, |i| i.generation);
        let eval = self.eval_id();
        let mut unit = Unit::new();
        unit.put(Key::NodeIntents(node), &NodeIntents { generation: before + 1, eligible });
        // The commit wants an evaluation of its own; one for a job that isn't there is canceled.
        unit.put(
            Key::Eval(eval),
            &self.eval(&JobId::new("default", "none"), JobUid::MIN, Trigger::NodeUpdate),
        );
        self.api.commit(&unit, eval).await.unwrap();
    }

    fn eval(&self, job: &JobId, uid: JobUid, trigger: Trigger) -> Eval {
        Eval {
            job: job.clone(),
            uid,
            priority: 50,
            kind: JobType::Service,
            trigger,
            node: None,
            previous: None,
            due: None,
            force_reschedule: false,
            status: EvalStatus::Pending,
            description: String::new(),
            created: self.clock.now(),
            outcome: None,
        }
    }

    /// The allocations of a job name, over all its registrations.
    pub(crate) fn allocs(&self, name: &str) -> Vec<Arc<AllocEntry>> {
        let world = self.world();
        let id = JobId::new("default", name);
        let of_job = |entry: &&Arc<AllocEntry>| {
            world.registration(entry.record.uid).is_some_and(|r| r.job.as_ref() == Some(&id))
        };
        world.allocs().filter(of_job).cloned().collect()
    }

    /// Those that are wanted and run.
    pub(crate) fn running(&self, name: &str) -> Vec<Arc<AllocEntry>> {
        let runs =
            |a: &Arc<AllocEntry>| a.record.desired == Desired::Run && a.said() == ClientStatus::Running;
        self.allocs(name).into_iter().filter(runs).collect()
    }

    /// Waits, in virtual time, for at most an hour.
    pub(crate) async fn until<E: Debug>(&self, what: &str, mut ready: impl FnMut() -> Result<(), E>) {
        let mut audited = 0;
        for _ in 0..36_000 {
            // After every step that the World makes, not only at the end.
            let world = self.world();
            if world.revision() > audited {
                audited = world.revision();
                let findings = encamp_sched::audit::audit(&world);
                assert!(
                    findings.is_empty(),
                    "the audit finds {findings:#?} at {audited}\n{}",
                    self.describe()
                );
            }
            if ready().is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{what}: {:?}\n{}", ready().err(), self.describe());
    }

    pub(crate) async fn until_running(&self, name: &str, count: usize) {
        self.until(&format!("{count} of {name} run"), || match self.running(name).len() {
            n if n == count => Ok(()),
            n => Err(format!("{n} run")),
        })
        .await;
    }

    /// Waits until nothing is pending and nothing changes, and audits.
    pub(crate) async fn settled(&self) -> World {
        self.until("no evaluation is pending", || {
            let world = self.world();
            let pending: Vec<_> =
                world.evals().filter(|(_, e)| e.status == EvalStatus::Pending).map(|(id, _)| id).collect();
            if pending.is_empty() { Ok(()) } else { Err(pending) }
        })
        .await;
        let world = self.api.fresh().await.unwrap();
        let findings = encamp_sched::audit::audit(&world);
        assert!(findings.is_empty(), "the audit finds {findings:#?}\n{}", self.describe());
        world
    }

    fn describe(&self) -> String {
        let world = self.world();
        let allocs = world.allocs().map(|a| {
            format!(
                "  {} v{} on {} {:?} {:?}",
                a.record.name("…"),
                a.record.version,
                a.node.as_u128() & 0xff,
                a.record.desired,
                a.said()
            )
        });
        let evals = world
            .evals()
            .filter(|(_, e)| e.status == EvalStatus::Pending)
            .map(|(id, e)| format!("  pending {id} {:?}", e.trigger));
        let states = world
            .jobs()
            .filter_map(|(id, e)| e.state.as_ref().map(|s| format!("  {id} wants {:?}", s.wants)));
        allocs.chain(evals).chain(states).take(60).collect::<Vec<_>>().join("\n")
    }
}

/// A service with one group `web` of `count` instances that ask for `cpu` MHz each.
pub(crate) fn service(name: &str, count: i64, cpu: i64) -> Job {
    serde_json::from_value(serde_json::json!({
        "ID": name, "Name": name, "Type": "service", "Datacenters": ["dc1"],
        "TaskGroups": [{
            "Name": "web", "Count": count,
            "EphemeralDisk": { "SizeMB": 10 },
            "Tasks": [{ "Name": "t", "Driver": "raw_exec", "Config": { "command": "/bin/true" },
                        "Resources": { "CPU": cpu, "MemoryMB": 10 } }],
        }],
    }))
    .unwrap()
}

/// The same with something changed that a running task can see.
pub(crate) fn changed(mut job: Job, mark: &str) -> Job {
    job.task_groups[0].tasks[0].env.insert("MARK".into(), mark.into());
    job
}

/// The same with `update`.
pub(crate) fn rolling(mut job: Job, max_parallel: i64, stagger: Duration) -> Job {
    let stagger = i64::try_from(stagger.as_nanos()).unwrap();
    job.update = Some(
        serde_json::from_value(serde_json::json!({ "MaxParallel": max_parallel, "Stagger": stagger }))
            .unwrap(),
    );
    job
}
