//! Small valid objects to start from: tests change the field that they are about.

use encamp_model::{
    AllocId, EvalId, InstanceId, Job, JobId, JobUid, Key, Name, NodeId, Timestamp,
    job::{JobType, TaskGroup},
    records::{
        AllocRecord, AllocStatus, Ask, ClientStatus, Desired, Eval, EvalOutcome, EvalStatus, Gate, JobState,
        LeaseRecord, NodeInfo, NodeResources, NodeState, Trigger,
    },
};

use super::TestWorld;

/// A job with one group `web` of one instance and no tasks, as it is stored: with uid and version.
pub fn job(name: &str, uid: JobUid, version: u64) -> Job {
    let mut job: Job = serde_json::from_value(serde_json::json!({ "ID": name, "Name": name }))
        .expect("an id is all that a job must have");
    job.task_groups = vec![TaskGroup { name: Name::from("web"), ..TaskGroup::default() }];
    job.uid = Some(uid);
    job.version = version;
    job.submit_time = Some(0);
    job
}

/// The fingerprint of a node `node-<n>` in `dc1`: 4,000 MHz, 8,192 MB, 100,000 MB.
pub fn node_info(node: NodeId) -> NodeInfo {
    NodeInfo {
        id: node,
        name: format!("node-{}", node.short()),
        datacenter: "dc1".into(),
        class: String::new(),
        region: "global".into(),
        http_addr: "127.0.0.1:4646".into(),
        version: "0.1.0".into(),
        resources: NodeResources {
            total: Ask { cpu: 4000, memory_mb: 8192, disk_mb: 100_000 },
            reserved: Ask::default(),
            reserved_ports: Vec::new(),
            port_range: (20_000, 32_000),
        },
        network: None,
        drivers: Default::default(),
        attributes: Default::default(),
        meta: Default::default(),
        boot_id: "boot".into(),
        lease_ttl_s: 10,
    }
}

/// A heartbeat.
pub fn lease() -> LeaseRecord {
    LeaseRecord {
        instance: InstanceId::from_bits(1),
        http_addr: "127.0.0.1:4646".into(),
        boot_id: "boot".into(),
        lock: String::new(),
    }
}

/// A gate that lets work in, or not, since 1970.
pub fn gate(gate: Gate) -> NodeState {
    NodeState { gate, eligible: true, since: Timestamp::default(), generation: 0 }
}

/// Instance `index` of group `web`, wanted, asking for 100 MHz, 100 MB, 100 MB.
pub fn alloc(uid: JobUid, version: u64, index: u32) -> AllocRecord {
    AllocRecord {
        uid,
        version,
        group: Name::from("web"),
        index,
        desired: Desired::Run,
        reason: None,
        ask: Ask { cpu: 100, memory_mb: 100, disk_mb: 100 },
        ports: Vec::new(),
        after: Vec::new(),
        previous: None,
        next: None,
        eval: EvalId::from_bits(1),
        created: Timestamp::default(),
    }
}

/// What a node says of an instance of group `web`, at an instant.
pub fn status(job: &str, record: &AllocRecord, status: ClientStatus, at: Timestamp) -> AllocStatus {
    AllocStatus {
        uid: record.uid,
        job: JobId::new("default", job),
        name: record.name(job),
        version: record.version,
        status,
        description: String::new(),
        tasks: Default::default(),
        modified: at,
    }
}

/// An evaluation of a service; an answered one was answered at `at` and made then, too.
pub fn eval(job: &str, uid: JobUid, status: EvalStatus, at: Timestamp) -> Eval {
    let outcome = EvalOutcome { finished: at, ..EvalOutcome::default() };
    Eval {
        job: JobId::new("default", job),
        uid,
        priority: 50,
        kind: JobType::Service,
        trigger: Trigger::JobRegister,
        node: None,
        previous: None,
        due: None,
        force_reschedule: false,
        status,
        description: String::new(),
        created: at,
        outcome: (status != EvalStatus::Pending).then_some(outcome),
    }
}

/// A registration that waits for nothing in particular.
pub fn job_state(uid: JobUid, next: EvalId) -> JobState {
    JobState { uid, wants: Default::default(), next, batches: Default::default() }
}

impl TestWorld {
    /// Registers a job as the api does: declaration and version (not its source) under one revision.
    pub fn register(&mut self, job: &Job) {
        let uid = job.uid.expect("a stored job has a uid");
        let mut unit = encamp_model::Unit::new();
        unit.put(Key::Job(job.job_id()), job);
        unit.put(Key::JobVersion(uid, job.version), job);
        self.write(&unit.writes);
    }

    /// Adds a node that is ready: info and lease under one revision, then the gate.
    pub fn join(&mut self, info: &NodeInfo) {
        let mut unit = encamp_model::Unit::new();
        unit.put(Key::NodeInfo(info.id), info);
        unit.put(Key::NodeLease(info.id), &lease());
        self.write(&unit.writes);
        self.put(Key::NodeState(info.id), &gate(Gate::Ready));
    }

    /// Places an allocation, without a status.
    pub fn place(&mut self, node: NodeId, id: AllocId, record: &AllocRecord) {
        self.put(Key::Alloc(node, id), record);
    }
}
