//! The agent's loop: takes what happened, lets the core decide, carries out its steps, reports.
//!
//! Everything that waits is a duty beside the loop (see `duties`); the loop itself never awaits the world, so one slow
//! answer holds up nothing. All inputs that are there are taken before the next pass: a burst costs one pass.

mod boot;
mod duties;
mod launch;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use encamp_drivers::{Driver, Handle};
use encamp_model::{
    AllocId, ClusterUid, InstanceId, Keyspace, Name,
    records::{LeaseRecord, NodeInfo},
};
use encamp_runtime::retry::Backoff;
use encamp_store::{LeaseId, Store};
use futures::{
    StreamExt as _,
    future::{AbortHandle, Abortable, BoxFuture, FutureExt as _},
    stream::FuturesUnordered,
};
use tokio::sync::{
    Semaphore,
    mpsc::{UnboundedReceiver, unbounded_channel},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    Clock, Config, Error,
    core::{Core, Entry, Input, RunId, StartFailure, Step},
    fingerprint::{self, Machine},
    folder::Folder,
    handle::{AgentHandle, Notes, Shared},
    register::{Applicant, Link},
    report::{Identity, Reporter, Verdict},
    retry::pauses,
};
use duties::{Beat, Beside, Event, WatchNews};

/// Drivers by name, as they are given to an agent.
pub type Drivers = Vec<Arc<dyn Driver>>;

/// Starts under way at once.
const STARTS_AT_ONCE: usize = 16;
/// Inputs taken before a pass.
const INPUTS_MAX: usize = 1024;
/// How long an agent that takes its tasks along waits for them, beyond their own kill timeouts.
const LEAVE_MAX: Duration = Duration::from_secs(60);

/// An agent that holds its data folder and has not begun.
pub struct Agent {
    config: Arc<Config>,
    clock: Clock,
    folder: Folder,
    machine: Arc<Machine>,
    drivers: Arc<BTreeMap<&'static str, Arc<dyn Driver>>>,
    shared: Arc<Shared>,
    unreadable: BTreeMap<AllocId, Vec<Name>>,
}

impl Agent {
    /// Opens and locks the data folder, and reads what earlier agents left.
    pub fn open(config: Config, drivers: Drivers, clock: Clock) -> Result<Self, Error> {
        let folder = Folder::open(&config.data_dir)?;
        // Each task takes a connection to its supervisor.
        if let Err(error) = encamp_drivers::raise_open_files() {
            tracing::warn!(%error, "the limit of open files stays as it is");
        }
        let machine = fingerprint::machine(&config, folder.root())?;
        let node = folder.node_id()?;
        let found = folder.load()?;
        let core =
            Core::new(&format!("{} {}", machine.boot_id, folder.identity()), found.states, found.texts);
        let shared = Shared {
            node,
            root: folder.root().to_owned(),
            core: core.into(),
            changed: tokio::sync::watch::Sender::new(0),
            notes: Notes { problem: Some("not registered yet".to_owned()), ..Notes::default() }.into(),
        };
        Ok(Agent {
            config: Arc::new(config),
            clock,
            folder,
            machine: Arc::new(machine),
            drivers: Arc::new(drivers.into_iter().map(|d| (d.name(), d)).collect()),
            shared: Arc::new(shared),
            unreadable: found.unreadable,
        })
    }

    /// A view from beside it.
    pub fn handle(&self) -> AgentHandle {
        AgentHandle(Arc::clone(&self.shared))
    }

    /// Runs until `shutdown`, or until it must not go on. Tasks stay, unless configured otherwise. Dropping the future
    /// is a crash: the next agent on the same folder goes on.
    pub async fn run(
        self,
        store: Arc<dyn Store>,
        keys: Keyspace,
        shutdown: CancellationToken,
    ) -> Result<(), Error> {
        let mut shell = Shell::new(self, store, keys).await?;
        shell.recover().await;
        let outcome = shell.run(&shutdown).await;
        if let Err(error) = &outcome {
            shell.shared.notes().problem = Some(error.to_string());
        }
        outcome
    }
}

/// [`Agent::open`] and [`Agent::run`] in one, on the machine's clock.
pub async fn run(
    config: Config,
    store: Arc<dyn Store>,
    keys: Keyspace,
    drivers: Drivers,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    Agent::open(config, drivers, Clock::System)?.run(store, keys, shutdown).await
}

struct Shell {
    beside: Beside,
    folder: Folder,
    machine: Arc<Machine>,
    shared: Arc<Shared>,
    rx: UnboundedReceiver<Event>,
    duties: FuturesUnordered<BoxFuture<'static, ()>>,
    reporter: Reporter,
    info: Arc<NodeInfo>,
    host: BTreeMap<String, String>,
    handles: BTreeMap<(AllocId, Name), Handle>,
    unreadable: BTreeMap<AllocId, Vec<Name>>,
    /// Our cluster, once registered (or as the folder remembers it).
    cluster: Option<ClusterUid>,
    lease: Option<(LeaseId, AbortOnDropHandle<()>)>,
    was_registered: bool,
    registering: bool,
    watch: Option<(u64, AbortHandle)>,
    watch_backoff: Option<Backoff>,
    report_backoff: Option<Backoff>,
    report_paused: bool,
    /// States that could not be written: they are written before anything else is said or done.
    unsaved: BTreeSet<AllocId>,
    opaque: BTreeSet<AllocId>,
}

impl Shell {
    async fn new(agent: Agent, store: Arc<dyn Store>, keys: Keyspace) -> Result<Self, Error> {
        let Agent { config, clock, folder, machine, drivers, shared, unreadable } = agent;
        let all: Vec<_> = drivers.values().cloned().collect();
        let info = Arc::new(fingerprint::take(&config, shared.node, &machine, &all).await?);
        let record = LeaseRecord {
            instance: InstanceId::random(),
            http_addr: config.http_addr.clone(),
            boot_id: machine.boot_id.clone(),
            lock: folder.identity(),
        };
        let me = Identity { node: shared.node, keys, record };
        let (tx, rx) = unbounded_channel();
        let link = Link { store, me: me.clone(), clock, ttl: config.lease_ttl };
        let starts = Arc::new(Semaphore::new(STARTS_AT_ONCE));
        let cluster = folder.cluster()?;
        shared.notes().info = Some(Arc::clone(&info));
        Ok(Shell {
            beside: Beside { link, tx, drivers, starts, config, shared: Arc::clone(&shared) },
            folder,
            machine,
            shared,
            rx,
            duties: FuturesUnordered::new(),
            reporter: Reporter::new(me),
            info,
            host: host_env(),
            handles: BTreeMap::new(),
            unreadable,
            cluster,
            lease: None,
            was_registered: false,
            registering: false,
            watch: None,
            watch_backoff: None,
            report_backoff: None,
            report_paused: false,
            unsaved: BTreeSet::new(),
            opaque: BTreeSet::new(),
        })
    }

    async fn run(&mut self, shutdown: &CancellationToken) -> Result<(), Error> {
        self.apply(Input::Node(Arc::clone(&self.info)));
        let fingerprints = self.beside.clone().fingerprints(self.shared.node, Arc::clone(&self.machine));
        self.beside(fingerprints);
        let api_servers = self.beside.clone().api_servers();
        self.beside(api_servers);
        self.register();
        let mut leaving_until: Option<tokio::time::Instant> = None;
        loop {
            let wake = self.pass();
            if leaving_until.is_some() && self.shared.core().under_way().is_empty() {
                return self.leave().await;
            }
            tokio::select! {
                Some(event) = self.rx.recv() => {
                    self.take(event)?;
                    for _ in 1..INPUTS_MAX {
                        let Ok(event) = self.rx.try_recv() else { break };
                        self.take(event)?;
                    }
                }
                Some(()) = self.duties.next() => {}
                () = sleep(wake) => {}
                () = sleep_until(leaving_until) => return self.leave().await,
                () = shutdown.cancelled(), if leaving_until.is_none() => {
                    if !self.beside.config.stop_tasks_on_exit {
                        return Ok(());
                    }
                    self.apply(Input::Leave);
                    leaving_until = Some(tokio::time::Instant::now() + LEAVE_MAX);
                }
            }
        }
    }

    /// The tasks are gone: so is the node.
    async fn leave(&mut self) -> Result<(), Error> {
        if let Some((lease, heartbeat)) = self.lease.take() {
            drop(heartbeat);
            let _ = self.beside.link.store.lease_revoke(lease).await;
        }
        Ok(())
    }

    fn beside(&self, duty: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let (abort, registration) = AbortHandle::new_pair();
        self.duties.push(Abortable::new(duty, registration).map(|_| ()).boxed());
        abort
    }

    fn apply(&self, input: Input) {
        let now = self.beside.link.moment();
        self.shared.core().apply(input, &now);
    }

    fn register(&mut self) {
        if self.registering {
            return;
        }
        self.registering = true;
        let config = &self.beside.config;
        let who = Applicant {
            known: self.cluster,
            accept: config.accept_cluster,
            has_tasks: self.shared.core().has_tasks(),
            again: self.was_registered,
            data_dir: self.shared.root.clone(),
        };
        let duty = self.beside.clone().register(Arc::clone(&self.info), who);
        self.beside(duty);
    }

    /// One event. An error ends the agent.
    fn take(&mut self, event: Event) -> Result<(), Error> {
        match event {
            Event::Core(input) => {
                if let Input::Ended(run, _) = &input {
                    self.handles.retain(|(alloc, task), handle| {
                        (*alloc, task, handle.run()) != (run.alloc, &run.task, run.run)
                    });
                }
                self.apply(input);
            }
            Event::Watch(epoch, news) => self.watched(epoch, news),
            Event::Registered(outcome) => self.registered(outcome)?,
            Event::Beat(lease, beat) if self.lease.as_ref().is_some_and(|(ours, _)| *ours == lease) => {
                self.beat(beat)?;
            }
            Event::Beat(..) => {}
            Event::Reported(answer) => self.reported(answer)?,
            Event::ReportAgain => self.report_paused = false,
            Event::JobText(uid, version, text) => {
                if let Ok(job) = &text
                    && let Err(error) = self.folder.save_job(uid, version, job)
                {
                    tracing::warn!(%error, "job text not cached");
                }
                self.apply(Input::JobText { uid, version, text });
            }
            Event::Running(run, handle) => self.running(run, handle),
            Event::Adopted(run, found, handle) => self.adopt(run, found, handle),
            Event::Info(info) => {
                if *info != *self.info {
                    tracing::info!("the fingerprint changed");
                    self.info = Arc::clone(&info);
                    self.shared.notes().info = Some(Arc::clone(&info));
                    self.apply(Input::Node(info));
                }
            }
            Event::ApiServers(addresses) => self.shared.notes().api_servers = addresses,
        }
        Ok(())
    }

    fn running(&mut self, run: RunId, handle: Handle) {
        self.handles.insert((run.alloc, run.task.clone()), handle.clone());
        self.apply(Input::Started(run.clone(), handle.started()));
        let wait = self.beside.clone().wait(run, handle);
        self.beside(wait);
    }

    fn registered(&mut self, outcome: Result<Box<crate::register::Registered>, Error>) -> Result<(), Error> {
        self.registering = false;
        let registered = outcome?;
        if self.cluster != Some(registered.cluster) {
            self.folder.set_cluster(registered.cluster)?;
            self.cluster = Some(registered.cluster);
        }
        self.was_registered = true;
        tracing::info!(node = %self.shared.node, cluster = %registered.cluster, "registered");
        let heartbeat = self.beside.clone().heartbeat(registered.lease, registered.cluster);
        // Beside the loop in earnest: a disk or a name service that stalls the loop must not cost the lease.
        let heartbeat = encamp_runtime::task::spawn("heartbeat", heartbeat);
        self.lease = Some((registered.lease, AbortOnDropHandle::new(heartbeat)));
        self.apply(Input::Told(registered.told.clone()));
        self.reporter.registered(registered.epoch, registered.lease, registered.info, registered.told);
        self.reporter.news(self.shared.core().ids());
        self.report_paused = false;
        self.apply(Input::Registered { good_until_ns: registered.good_until_ns });
        Ok(())
    }

    fn beat(&mut self, beat: Beat) -> Result<(), Error> {
        if !self.folder.still_ours() {
            return Err(Error::FolderLost { path: self.shared.root.clone() });
        }
        match beat {
            Beat::Renewed { sent_ns, good_until_ns } => self.apply(Input::Renewed { sent_ns, good_until_ns }),
            Beat::Epoch(revision) if !self.reporter.busy() => self.reporter.epoch_is(revision),
            Beat::Epoch(_) => {}
            Beat::Gone => self.unregistered(),
            Beat::Foreign if self.shared.core().is_foreign() => {}
            Beat::Foreign => {
                tracing::error!(ours = ?self.cluster, "`cluster` is gone or another's: touching nothing");
                self.apply(Input::ClusterIsForeign);
            }
            Beat::Replaced { address } => {
                return Err(Error::Replaced { node: self.shared.node.to_string(), address });
            }
        }
        Ok(())
    }

    fn unregistered(&mut self) {
        let Some((lease, heartbeat)) = self.lease.take() else { return };
        drop(heartbeat);
        tracing::warn!(lease, "the node's lease is gone; registering again, tasks stay");
        self.reporter.unregistered();
        self.apply(Input::LeaseLost);
        self.register();
    }

    fn reported(
        &mut self,
        answer: Result<encamp_store::TxnAnswer, encamp_store::Error>,
    ) -> Result<(), Error> {
        match answer {
            Ok(answer) => {
                self.report_backoff = None;
                match self.reporter.answered(&answer) {
                    Verdict::Fine => {}
                    Verdict::Unregistered => self.unregistered(),
                    Verdict::Replaced { address } => {
                        return Err(Error::Replaced { node: self.shared.node.to_string(), address });
                    }
                }
            }
            Err(error) => {
                tracing::warn!(%error, label = error.label(), "report failed");
                if matches!(error, encamp_store::Error::TooLarge { .. }) {
                    self.reporter.too_large();
                }
                self.reporter.failed(error.ambiguous());
                self.report_paused = true;
                let pause = self.report_backoff.get_or_insert_with(pauses).next_delay();
                let again = self.beside.clone().report_again(pause);
                self.beside(again);
            }
        }
        Ok(())
    }

    fn watched(&mut self, epoch: u64, news: WatchNews) {
        if self.watch.as_ref().is_none_or(|(now, _)| *now != epoch) {
            return;
        }
        match news {
            WatchNews::Listed(entries) => {
                self.watch_backoff = None;
                self.note_opaque(entries.iter().map(|(id, entry)| (*id, Some(entry))));
                self.apply(Input::Listed { epoch, entries });
            }
            WatchNews::Changes(changes) => {
                self.note_opaque(changes.iter().map(|(id, entry)| (*id, entry.as_ref())));
                for (id, entry) in changes {
                    self.apply(entry.map_or(Input::Removed(id), |entry| Input::Put(id, entry)));
                }
            }
            WatchNews::Foreign => {
                tracing::error!(ours = ?self.cluster, "etcd holds another cluster: touching nothing");
                self.apply(Input::ClusterIsForeign);
            }
            WatchNews::Lost => {
                self.watch_backoff.get_or_insert_with(pauses);
                self.apply(Input::WatchLost);
            }
        }
    }

    /// Logs each undecodable record once, and counts it.
    fn note_opaque<'a>(&mut self, news: impl Iterator<Item = (AllocId, Option<&'a Entry>)>) {
        for (id, entry) in news {
            if entry != Some(&Entry::Opaque) {
                self.opaque.remove(&id);
            } else if self.opaque.insert(id) {
                let key = self.beside.link.key(&encamp_model::Key::Alloc(self.shared.node, id));
                tracing::error!(key, "record cannot be decoded; its tasks are left alone");
                self.shared.notes().opaque += 1;
            }
        }
    }

    /// Lets the core decide, does what it says, and reports. How long until something is due by itself.
    fn pass(&mut self) -> Option<Duration> {
        let now = self.beside.link.moment();
        let (steps, wake) = {
            let mut core = self.shared.core();
            let steps = core.pass(&now);
            self.reporter.news(core.take_news());
            (steps, core.next_wake(&now))
        };
        let changed = !steps.is_empty();
        self.save_again();
        for step in steps {
            self.step(step);
        }
        self.report();
        self.note_health();
        if changed {
            self.shared.changed.send_modify(|n| *n += 1);
        }
        wake.map(|at| Duration::from_nanos(at.saturating_sub(now.boot_ns)))
    }

    fn save_again(&mut self) {
        for id in std::mem::take(&mut self.unsaved) {
            self.save(id);
        }
    }

    fn save(&mut self, id: AllocId) {
        // Not under the core's lock: who serves logs waits for no disk but its own.
        let Some(state) = self.shared.core().state(id).cloned() else { return };
        if let Err(error) = self.folder.save_state(id, &state) {
            tracing::error!(alloc = %id, %error, "state not written: nothing of it is started or reported until it is");
            self.unsaved.insert(id);
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Save(id) => self.save(id),
            Step::Stop { run, signal, timeout } => {
                let handle = self.handles.get(&(run.alloc, run.task.clone())).cloned();
                let stop = self.beside.clone().stop(run, handle, signal, timeout);
                self.beside(stop);
            }
            Step::Start { run, deadline_ns } => self.start(run, deadline_ns),
            Step::List { epoch } => self.list(epoch),
            Step::ReadCluster { absences } => {
                if let Some(ours) = self.cluster {
                    let read = self.beside.clone().read_cluster(absences, ours);
                    self.beside(read);
                }
            }
            Step::FetchJob { uid, version } => {
                let fetch = self.beside.clone().fetch_job(uid, version);
                self.beside(fetch);
            }
            Step::Remove(id) => {
                self.opaque.remove(&id);
                self.unsaved.remove(&id);
                self.reporter.forget(id);
                let remove = self.beside.clone().remove(id, self.shared.root.clone());
                self.beside(remove);
            }
            Step::ForgetJob { uid, version } => self.folder.forget_job(uid, version),
        }
    }

    fn list(&mut self, epoch: u64) {
        if let Some((_, watch)) = self.watch.take() {
            watch.abort();
        }
        let Some(ours) = self.cluster else { return };
        let pause = self.watch_backoff.as_mut().map_or(Duration::ZERO, Backoff::next_delay);
        let foreign = self.shared.core().is_foreign();
        let watch = self.beside.clone().watch(epoch, ours, pause, foreign);
        let abort = self.beside(watch);
        self.watch = Some((epoch, abort));
    }

    fn start(&mut self, run: RunId, deadline_ns: Option<u64>) {
        let launch = if self.unsaved.contains(&run.alloc) {
            Err(StartFailure::NotNow)
        } else {
            let view = self.shared.core().view(run.alloc);
            view.ok_or_else(|| StartFailure::Retry("the allocation is gone".to_owned())).and_then(|view| {
                launch::launch(&run, &view, deadline_ns, &self.info, &self.host, &self.shared.root)
            })
        };
        match launch {
            Ok(launch) => {
                let start = self.beside.clone().start(run, launch);
                self.beside(start);
            }
            Err(failure) => {
                // Taken by the next pass, like any other input.
                let _ = self.beside.tx.send(Event::Core(Input::StartFailed(run, failure)));
            }
        }
    }

    fn report(&mut self) {
        if self.report_paused || self.reporter.busy() {
            return;
        }
        let core = self.shared.core();
        if core.is_foreign() {
            return;
        }
        let txn =
            self.reporter.next(|id| core.status(id).filter(|_| !self.unsaved.contains(&id)), &self.info);
        drop(core);
        if let Some(txn) = txn {
            let report = self.beside.clone().report(txn);
            self.beside(report);
        }
    }

    fn note_health(&self) {
        let core = self.shared.core();
        let problem = if core.is_foreign() {
            Some("etcd holds another cluster: touching nothing".to_owned())
        } else if self.lease.is_none() {
            Some("not registered: no lease".to_owned())
        } else if core.permission(&self.beside.link.moment()).is_none() {
            Some(
                "nothing new is started: the lease is not renewed in time, or the range not listed"
                    .to_owned(),
            )
        } else {
            None
        };
        drop(core);
        self.shared.notes().problem = problem;
    }
}

/// The agent's own environment; what is no text cannot be passed on.
fn host_env() -> BTreeMap<String, String> {
    std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect()
}

async fn sleep(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
