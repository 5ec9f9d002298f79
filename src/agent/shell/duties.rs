//! What goes on beside the loop: futures that wait for the world and send [`Event`]s. They hold no state that
//! matters; dropping them loses nothing.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use encamp_drivers::{Driver, Error as DriverError, Handle, Recovered, Signal};
use encamp_model::{
    AllocId, ClusterUid, JobId, JobUid, Key, Name, NodeId,
    job::Job,
    records::{AllocRecord, ApiServerRecord, LeaseRecord, NodeInfo},
};
use encamp_store::{EventKind, Kv, LeaseId, Op, OpAnswer, Range, Revision, Txn, TxnAnswer, WatchItem};
use futures::StreamExt as _;
use tokio::sync::{Semaphore, mpsc::UnboundedSender};

use super::launch::Launch;
use crate::{
    Config, Error,
    core::{Entry, Found, Input, NoText, RunId, StartFailure},
    fingerprint::{self, Machine},
    folder::Folder,
    handle::Shared,
    register::{Applicant, Link, Registered, Whose, register},
    retry::pauses,
};

/// Between two looks at a `cluster` that is another's.
const FOREIGN_PAUSE: Duration = Duration::from_secs(5);
/// Between two looks at who serves the api.
const API_SERVERS_PAUSE: Duration = Duration::from_secs(30);

/// News for the loop.
pub(crate) enum Event {
    /// For the core as it is.
    Core(Input),
    /// From the watch that this list began.
    Watch(u64, WatchNews),
    /// The registration came to its end.
    Registered(Result<Box<Registered>, Error>),
    /// From the heartbeat of this lease.
    Beat(LeaseId, Beat),
    /// The answer to the report in flight.
    Reported(Result<TxnAnswer, encamp_store::Error>),
    /// The pause after a failed report is over.
    ReportAgain,
    /// A job text came, or not.
    JobText(JobUid, u64, Result<Arc<Job>, NoText>),
    /// A task runs, under this handle.
    Running(RunId, Handle),
    /// What became of a run that could not be told at the start.
    Adopted(RunId, Found, Option<Handle>),
    /// A fingerprint.
    Info(Arc<NodeInfo>),
    /// Who serves the api.
    ApiServers(Vec<String>),
}

/// What a watch says.
pub(crate) enum WatchNews {
    Listed(BTreeMap<AllocId, Entry>),
    Changes(Vec<(AllocId, Option<Entry>)>),
    Foreign,
    Lost,
}

/// What a heartbeat says.
pub(crate) enum Beat {
    Renewed { sent_ns: u64, good_until_ns: u64 },
    Gone,
    Replaced { address: String },
    Epoch(Revision),
    Foreign,
}

/// What duties share.
#[derive(Clone)]
pub(crate) struct Beside {
    pub(crate) link: Link,
    pub(crate) tx: UnboundedSender<Event>,
    pub(crate) drivers: Arc<BTreeMap<&'static str, Arc<dyn Driver>>>,
    pub(crate) starts: Arc<Semaphore>,
    pub(crate) config: Arc<Config>,
    pub(crate) shared: Arc<Shared>,
}

impl Beside {
    fn send(&self, event: Event) {
        // The loop is gone only when all of us are being dropped.
        let _ = self.tx.send(event);
    }

    pub(crate) async fn register(self, info: Arc<NodeInfo>, who: Applicant) {
        let registered = register(&self.link, info, &who).await;
        self.send(Event::Registered(registered.map(Box::new)));
    }

    /// Renews the lease three times within its time, and looks whose lease key and cluster are.
    pub(crate) async fn heartbeat(self, lease: LeaseId, ours: ClusterUid) {
        let pause = self.link.ttl / 3;
        let mut next = pause;
        loop {
            tokio::time::sleep(next).await;
            let (began, sent_ns) = (tokio::time::Instant::now(), self.link.clock.boot_ns());
            match self.link.store.lease_keep_alive(lease).await {
                Ok(good_for) => {
                    let good_for_ns = u64::try_from(good_for.as_nanos()).unwrap_or(u64::MAX);
                    let good_until_ns = sent_ns.saturating_add(good_for_ns);
                    self.send(Event::Beat(lease, Beat::Renewed { sent_ns, good_until_ns }));
                    // What is seen can wait; the next renewal cannot.
                    let _ = tokio::time::timeout(pause / 2, self.look_around(lease, ours)).await;
                    next = pause.saturating_sub(began.elapsed());
                }
                Err(encamp_store::Error::LeaseGone { .. }) => {
                    return self.send(Event::Beat(lease, Beat::Gone));
                }
                Err(error) => {
                    tracing::warn!(%error, "lease not renewed");
                    next = (pause / 10).min(Duration::from_secs(1));
                }
            }
        }
    }

    /// Is the lease key still ours, and the cluster? One linearizable read of both.
    async fn look_around(&self, lease: LeaseId, ours: ClusterUid) {
        let keys = [Key::NodeLease(self.link.node()), Key::Cluster];
        let read = keys.iter().fold(Txn::new(), |txn, key| txn.then(Op::get(self.link.key(key))));
        // The next heartbeat looks again; reports compare the lease key anyway.
        let Ok(answer) = self.link.store.txn(read).await else { return };
        let kv = |n: usize| match answer.answers.get(n) {
            Some(OpAnswer::Get { kvs }) => kvs.first(),
            _ => None,
        };
        let mine = self.link.me.record.instance;
        let beat = match kv(0).map(|kv| (kv.mod_revision, serde_json::from_slice::<LeaseRecord>(&kv.value))) {
            None => Beat::Gone,
            Some((revision, Ok(record))) if record.instance == mine => Beat::Epoch(revision),
            Some((_, Ok(record))) => Beat::Replaced { address: record.http_addr },
            Some((_, Err(_))) => Beat::Replaced { address: "an unknown address".to_owned() },
        };
        self.send(Event::Beat(lease, beat));
        if !matches!(Whose::read(kv(1)), Whose::Cluster(uid, _) if uid == ours) {
            self.send(Event::Beat(lease, Beat::Foreign));
        }
    }

    /// Lists the own range, makes sure that it is our cluster's, then watches until something breaks.
    pub(crate) async fn watch(self, epoch: u64, ours: ClusterUid, pause: Duration, was_foreign: bool) {
        tokio::time::sleep(if was_foreign { FOREIGN_PAUSE.max(pause) } else { pause }).await;
        let news = match self.list_and_watch(epoch, ours).await {
            Ok(news) => news,
            Err(error) => {
                tracing::warn!(%error, label = error.label(), "watch of the own range broke; listing anew");
                WatchNews::Lost
            }
        };
        self.send(Event::Watch(epoch, news));
    }

    async fn list_and_watch(&self, epoch: u64, ours: ClusterUid) -> Result<WatchNews, encamp_store::Error> {
        let (start, end) = self.link.keys().node_range(self.link.node());
        let range = Range::span(start, end);
        let listing = self.link.store.list(&range).await?;
        match self.link.whose().await? {
            Whose::Cluster(uid, _) if uid == ours => {}
            _ => return Ok(WatchNews::Foreign),
        }
        let entries = listing.kvs.iter().filter_map(|kv| self.entry(kv)).collect();
        self.send(Event::Watch(epoch, WatchNews::Listed(entries)));
        let mut watch = self.link.store.watch(range, listing.revision + 1);
        while let Some(item) = watch.next().await {
            let WatchItem::Events(batch) = item? else { continue };
            let change = |event: encamp_store::Event| match event.kind {
                EventKind::Put => self.entry(&event.kv).map(|(id, entry)| (id, Some(entry))),
                EventKind::Delete => self.alloc_of(&event.kv).map(|id| (id, None)),
            };
            let changes = batch.events.into_iter().filter_map(change).collect();
            self.send(Event::Watch(epoch, WatchNews::Changes(changes)));
        }
        Ok(WatchNews::Lost)
    }

    fn alloc_of(&self, kv: &Kv) -> Option<AllocId> {
        match self.link.keys().decode(&kv.key) {
            Some(Key::Alloc(node, id)) if node == self.link.node() => Some(id),
            _ => None,
        }
    }

    fn entry(&self, kv: &Kv) -> Option<(AllocId, Entry)> {
        let id = self.alloc_of(kv)?;
        let record = serde_json::from_slice::<AllocRecord>(&kv.value);
        Some((id, record.map_or(Entry::Opaque, |record| Entry::Record(Arc::new(record)))))
    }

    /// Reads `cluster` until there is an answer.
    pub(crate) async fn read_cluster(self, absences: u64, ours: ClusterUid) {
        let mut backoff = pauses();
        loop {
            match self.link.whose().await {
                Ok(Whose::Cluster(uid, _)) if uid == ours => {
                    return self.send(Event::Core(Input::ClusterIsOurs { absences }));
                }
                Ok(other) => {
                    tracing::error!(?other, %ours, "`cluster` is gone or another's: touching nothing");
                    return self.send(Event::Core(Input::ClusterIsForeign));
                }
                Err(error) => tracing::warn!(%error, "`cluster` cannot be read"),
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    pub(crate) async fn fetch_job(self, uid: JobUid, version: u64) {
        let key = self.link.key(&Key::JobVersion(uid, version));
        let text = match self.link.store.get(key.as_bytes()).await {
            Ok((Some(kv), _)) => serde_json::from_slice(&kv.value)
                .map(Arc::new)
                .map_err(|error| NoText { reason: error.to_string(), job: job_id(&kv.value) }),
            Ok((None, _)) => Err(NoText { reason: "it is not in etcd".to_owned(), job: None }),
            Err(error) => Err(NoText { reason: error.to_string(), job: None }),
        };
        if let Err(NoText { reason, .. }) = &text {
            tracing::warn!(key, reason, "a job's text cannot be read; it will be tried again");
        }
        self.send(Event::JobText(uid, version, text));
    }

    pub(crate) async fn report(self, txn: Txn) {
        let answer = self.link.store.txn(txn).await;
        self.send(Event::Reported(answer));
    }

    pub(crate) async fn report_again(self, pause: Duration) {
        tokio::time::sleep(pause).await;
        self.send(Event::ReportAgain);
    }

    pub(crate) async fn fingerprints(self, node: NodeId, machine: Arc<Machine>) {
        let drivers: Vec<_> = self.drivers.values().cloned().collect();
        loop {
            tokio::time::sleep(self.config.fingerprint_interval).await;
            match fingerprint::take(&self.config, node, &machine, &drivers).await {
                Ok(info) => self.send(Event::Info(Arc::new(info))),
                Err(error) => tracing::warn!(%error, "fingerprint failed; the last one holds"),
            }
        }
    }

    pub(crate) async fn api_servers(self) {
        let any = self.link.key(&Key::ApiServer(Name::from("x")));
        let folder = any.strip_suffix('x').unwrap_or(&any).to_owned();
        loop {
            if let Ok(listing) = self.link.store.list(&Range::prefix(folder.clone())).await {
                let address =
                    |kv: &Kv| Some(serde_json::from_slice::<ApiServerRecord>(&kv.value).ok()?.address);
                self.send(Event::ApiServers(listing.kvs.iter().filter_map(address).collect()));
            }
            tokio::time::sleep(API_SERVERS_PAUSE).await;
        }
    }

    /// Makes the folders and starts the task. Bounded, so that a node that gets hundreds at once stays alive; the
    /// deadline goes along, so that waiting here is safe; what is to stop by now is not begun.
    pub(crate) async fn start(self, run: RunId, launch: Launch) {
        let Ok(permit) = self.starts.acquire().await else { return };
        let driver = launch.driver.clone();
        let wanted = self.shared.core().is_wanted(&run);
        let outcome = match wanted {
            true => self.try_start(&run, launch).await,
            false => Err(StartFailure::Late),
        };
        drop(permit);
        match outcome {
            Ok(Some(event)) => self.send(event),
            Ok(None) => {
                let root = self.shared.root.clone();
                self.recover_later(run, Some(driver), root).await;
            }
            Err(failure) => self.send(Event::Core(Input::StartFailed(run, failure))),
        }
    }

    /// `None`: nobody can tell now whether it runs.
    async fn try_start(&self, run: &RunId, launch: Launch) -> Result<Option<Event>, StartFailure> {
        let Some(driver) = self.drivers.get(launch.driver.as_str()) else {
            return Err(StartFailure::Retry(format!("driver {} is not enabled here", launch.driver)));
        };
        driver.validate(&launch.spec.config).map_err(|error| StartFailure::Final(error.to_string()))?;
        make_folders(run, &launch).await?;
        let dirs = launch.spec.dirs.clone();
        match driver.start(launch.spec).await {
            Ok(handle) => Ok(Some(Event::Running(run.clone(), handle))),
            Err(DriverError::TooLate { .. }) => Err(StartFailure::Late),
            Err(error @ (DriverError::Config { .. } | DriverError::Spec { .. })) => {
                Err(StartFailure::Final(error.to_string()))
            }
            // It may run all the same: only what its folder says counts.
            Err(
                error @ (DriverError::Busy { .. }
                | DriverError::SupervisorDied { .. }
                | DriverError::Unresponsive { .. }),
            ) => match recover(driver.as_ref(), &dirs, run.run).await {
                Ok((_, Some(handle))) => Ok(Some(Event::Running(run.clone(), handle))),
                Ok((Found::Ended(ended), None)) => Ok(Some(Event::Core(Input::Ended(run.clone(), ended)))),
                Ok(_) => Err(StartFailure::Retry(error.to_string())),
                Err(unknown) => {
                    tracing::error!(alloc = %run.alloc, task = %run.task, %error, %unknown, "may or may not run");
                    Ok(None)
                }
            },
            Err(DriverError::Io { source, .. }) if is_short_of_room(&source) => {
                tracing::warn!(alloc = %run.alloc, task = %run.task, error = %source, "not started for now");
                Err(StartFailure::NotNow)
            }
            Err(error) => Err(StartFailure::Retry(error.to_string())),
        }
    }

    pub(crate) async fn stop(self, run: RunId, handle: Option<Handle>, signal: Signal, timeout: Duration) {
        let Some(handle) = handle else {
            let reason = "its supervisor cannot be reached".to_owned();
            return self.send(Event::Core(Input::StopFailed(run, reason)));
        };
        self.send(Event::Core(match handle.stop(signal, timeout).await {
            Ok(ended) => Input::Ended(run, ended),
            Err(error) => Input::StopFailed(run, error.to_string()),
        }));
    }

    /// Waits for a run's end. An end that cannot be known is no end.
    pub(crate) async fn wait(self, run: RunId, handle: Handle) {
        let mut backoff = pauses();
        loop {
            match handle.wait().await {
                Ok(ended) => return self.send(Event::Core(Input::Ended(run, ended))),
                Err(error) => tracing::error!(
                    alloc = %run.alloc, task = %run.task, %error, "cannot tell how the task stands"
                ),
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    /// Asks again about a run whose records could not be read.
    pub(crate) async fn recover_later(self, run: RunId, driver: Option<String>, root: std::path::PathBuf) {
        let mut backoff = pauses();
        loop {
            tokio::time::sleep(backoff.next_delay()).await;
            match self.recover(&run, driver.as_deref(), &root).await {
                Ok((found, handle)) => return self.send(Event::Adopted(run, found, handle)),
                Err(error) => tracing::error!(alloc = %run.alloc, task = %run.task, %error, "not recovered"),
            }
        }
    }

    /// What a driver knows of a run: its own driver, or each if that is not known.
    pub(crate) async fn recover(
        &self,
        run: &RunId,
        driver: Option<&str>,
        root: &std::path::Path,
    ) -> Result<(Found, Option<Handle>), DriverError> {
        let dirs = crate::dirs::AllocDirs::new(root, run.alloc).for_driver(&run.task);
        let mut answer = (Found::Never, None);
        for (name, each) in self.drivers.iter() {
            if driver.is_some_and(|wanted| wanted != *name) {
                continue;
            }
            answer = recover(each.as_ref(), &dirs, run.run).await?;
            if answer.0 != Found::Never {
                break;
            }
        }
        Ok(answer)
    }

    pub(crate) async fn remove(self, alloc: AllocId, root: std::path::PathBuf) {
        let removed = tokio::task::spawn_blocking(move || Folder::remove_alloc(&root, alloc)).await;
        if let Ok(Err(error)) = removed {
            tracing::warn!(%alloc, %error, "an ended allocation's folder stays; the next start removes it");
        }
    }
}

/// What a job that cannot be read is called, if its value says at least that.
fn job_id(value: &[u8]) -> Option<JobId> {
    let value: serde_json::Value = serde_json::from_slice(value).ok()?;
    let namespace = value.get("Namespace").and_then(|name| name.as_str()).unwrap_or("default");
    Some(JobId::new(namespace, value.get("ID")?.as_str()?))
}

/// Makes a task's folders, which asks the disk and the name service: either may take its time.
async fn make_folders(run: &RunId, launch: &Launch) -> Result<(), StartFailure> {
    let (dirs, task, user) = (launch.dirs.clone(), run.task.clone(), launch.spec.user.clone());
    let made = tokio::task::spawn_blocking(move || dirs.make(&task, user.as_deref())).await;
    let made = made.unwrap_or_else(|panic| Err(std::io::Error::other(panic)));
    made.map_err(|error| match is_short_of_room(&error) {
        true => {
            tracing::warn!(alloc = %run.alloc, task = %run.task, %error, "folders not made for now");
            StartFailure::NotNow
        }
        false => StartFailure::Retry(format!("the task's folders cannot be made: {error}")),
    })
}

/// The machine lacks what every start needs, for now: not this task's fault.
fn is_short_of_room(error: &std::io::Error) -> bool {
    use nix::libc::{EDQUOT, EMFILE, ENFILE, ENOMEM, ENOSPC};
    matches!(error.raw_os_error(), Some(EDQUOT | EMFILE | ENFILE | ENOMEM | ENOSPC))
}

/// What one driver knows of a run.
async fn recover(
    driver: &dyn Driver,
    dirs: &encamp_drivers::TaskDirs,
    run: u64,
) -> Result<(Found, Option<Handle>), DriverError> {
    Ok(match driver.recover(dirs).await? {
        Recovered::Running(handle) => (Found::Running(handle.started()), Some(handle)),
        Recovered::Ended(ended) if ended.run == run => (Found::Ended(ended), None),
        // An earlier run's end is told already.
        Recovered::Ended(_) | Recovered::Never => (Found::Never, None),
    })
}
