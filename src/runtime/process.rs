//! A process: its World, its session, and what api and loops need of both.

use std::{sync::Arc, time::Duration};

use encamp_model::{EvalId, InstanceId, Keyspace, Timestamp, Unit, records::ClusterRecord};
use encamp_store::{LeaseId, Store};
use encamp_world::World;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    Clock, CommitError, Health, Steps, cluster, commit,
    fence::{Fence, Waiter, api_server, reached},
    hub::Hub,
    reflector::Reflector,
    retry, session, task,
};

/// What went wrong beneath a process.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// etcd.
    #[error(transparent)]
    Store(encamp_store::Error),
    /// The `cluster` key does not let this process start.
    #[error("{key}: {reason}")]
    Cluster {
        /// The key as spelled in etcd.
        key: String,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// The World did not come to a revision in time.
    #[error("this server's view of etcd is behind (revision {revision} is not reached yet); try again")]
    Behind {
        /// The revision.
        revision: i64,
    },
    /// The process has no lease at the moment.
    #[error("this server has no session with etcd at the moment; try again")]
    NoSession,
    /// The process shuts down.
    #[error("this server is shutting down")]
    ShuttingDown,
}

/// How a process presents itself.
#[derive(Clone, Debug)]
pub struct Options {
    /// Name of the region, written if this process creates the `cluster` key.
    pub region: String,
    /// Address of the process, for people and for other processes.
    pub address: String,
    /// It serves the API: it is announced under `api-servers/`.
    pub serves_api: bool,
    /// How long the process's lease lives without it.
    pub session_ttl: Duration,
    /// Where instants come from.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            region: "global".into(),
            address: String::new(),
            serves_api: false,
            session_ttl: Duration::from_secs(5),
            clock: Clock::System,
        }
    }
}

/// How long a waiter waits for a revision of our own making.
const PATIENCE: Duration = Duration::from_secs(10);

/// One process's connection to an installation. Cheap to clone.
#[derive(Clone)]
pub struct Process {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    keys: Keyspace,
    instance: InstanceId,
    address: String,
    clock: Clock,
    cluster: ClusterRecord,
    hub: Arc<Hub>,
    lease: watch::Receiver<Option<LeaseId>>,
    fences: mpsc::UnboundedSender<Waiter>,
}

impl Process {
    /// Joins the installation under `keys` (creating its `cluster` key if there is none), and returns when the World
    /// was listed once. Waits for etcd as long as it takes.
    ///
    /// # Errors
    /// If the `cluster` key is unreadable or of a newer layout, or `shutdown` came first.
    pub async fn start(
        store: Arc<dyn Store>,
        keys: Keyspace,
        options: Options,
        shutdown: CancellationToken,
    ) -> Result<Process, Error> {
        let joined = retry::until_ok("joining the installation", &shutdown, || async {
            match cluster::ensure(&*store, &keys, &options.region).await {
                Err(Error::Store(error)) if error.retryable() => Err(error),
                verdict => Ok(verdict),
            }
        });
        let cluster = joined.await.ok_or(Error::ShuttingDown)??;
        let hub = Arc::new(Hub::new(Arc::new(keys.clone())));
        let instance = InstanceId::random();
        let lease = watch::Sender::new(None);
        let (fences, waiters) = mpsc::unbounded_channel();
        let fence = Fence {
            store: store.clone(),
            hub: hub.clone(),
            keys: keys.clone(),
            instance,
            address: options.address.clone(),
            revisions: hub.revisions(),
            lease: lease.subscribe(),
        };
        let reflector =
            Reflector { store: store.clone(), hub: hub.clone(), clock: options.clock, cluster: cluster.uid };
        let announced = options.serves_api.then(|| api_server(&keys, instance, &options.address));
        let inner = Inner {
            store: store.clone(),
            keys,
            instance,
            address: options.address,
            clock: options.clock,
            cluster,
            hub: hub.clone(),
            lease: lease.subscribe(),
            fences,
        };
        let session = session::run(store, options.session_ttl, announced, lease, shutdown.clone());
        vital("reflector", &hub, reflector.run(shutdown.clone()));
        vital("session", &hub, session);
        vital("fence", &hub, fence.run(waiters, shutdown.clone()));
        tokio::select! {
            _ = async { hub.revisions().wait_for(|revision| *revision > 0).await.map(|r| *r) } => {}
            () = shutdown.cancelled() => return Err(Error::ShuttingDown),
        }
        Ok(Process { inner: Arc::new(inner) })
    }

    /// The World as this process knows it now: a snapshot.
    pub fn world(&self) -> World {
        self.inner.hub.world()
    }

    /// This process's id, new at each start.
    pub fn instance(&self) -> InstanceId {
        self.inner.instance
    }

    /// Its address.
    pub fn address(&self) -> &str {
        &self.inner.address
    }

    /// The present instant on its clock.
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// Its clock.
    pub fn clock(&self) -> Clock {
        self.inner.clock
    }

    /// How keys are spelled.
    pub fn keyspace(&self) -> &Keyspace {
        &self.inner.keys
    }

    /// The installation that it serves.
    pub fn cluster(&self) -> &ClusterRecord {
        &self.inner.cluster
    }

    /// The store, for what is not in the World (old versions, sources).
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.store
    }

    /// A World at or past everything that was committed, by whomever, when this was called.
    ///
    /// # Errors
    /// If etcd does not answer, or the World stays behind.
    pub async fn fresh(&self) -> Result<World, Error> {
        let (sender, receiver) = oneshot::channel();
        self.inner.fences.send(sender).map_err(|_| Error::ShuttingDown)?;
        receiver.await.map_err(|_| Error::ShuttingDown)??;
        Ok(self.world())
    }

    /// A World at or past a revision that is known to show in it.
    ///
    /// # Errors
    /// If it isn't reached within ten seconds.
    pub async fn reached(&self, revision: i64) -> Result<World, Error> {
        reached(&mut self.inner.hub.revisions(), revision, PATIENCE).await?;
        Ok(self.world())
    }

    /// The World's revision as it moves, for blocking queries.
    pub fn revisions(&self) -> watch::Receiver<i64> {
        self.inner.hub.revisions()
    }

    /// Commits a unit that also creates `evals/<eval>`, waits until the World shows it, and returns its revision.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] if what it compares has changed; the others say what to do.
    pub async fn commit(&self, unit: &Unit, eval: EvalId) -> Result<i64, CommitError> {
        let revision = commit::commit(&*self.inner.store, &self.inner.keys, unit, eval).await?;
        if let Err(error) = self.reached(revision).await {
            // It is committed: the caller gets its answer, if from a World that is a little behind.
            tracing::warn!(%error, revision, "the World lags behind an own write");
        }
        Ok(revision)
    }

    /// Is this process fit to answer?
    pub fn health(&self) -> Health {
        self.inner.hub.health().borrow().clone()
    }

    /// Resolves when something happened that this process cannot outlive, with what to tell.
    pub async fn failed(&self) -> String {
        let mut health = self.inner.hub.health();
        let fatal = health.wait_for(|health| health.fatal.is_some()).await.map(|health| health.fatal.clone());
        match fatal {
            Ok(why) => why.unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }

    /// Resolves when this process, shutting down, has given its lease back: whoever waits for its leadership need not
    /// wait until the lease runs out.
    pub async fn given_back(&self) {
        let mut lease = self.inner.lease.clone();
        while lease.changed().await.is_ok() {}
    }

    pub(crate) fn steps(&self) -> Steps {
        self.inner.hub.subscribe()
    }

    pub(crate) fn lease(&self) -> watch::Receiver<Option<LeaseId>> {
        self.inner.lease.clone()
    }
}

/// Runs a task that the process cannot go on without: if it panics, the process's health says so for good.
fn vital(name: &'static str, hub: &Arc<Hub>, future: impl Future<Output = ()> + Send + 'static) {
    let hub = hub.clone();
    let running = task::spawn(name, future);
    task::spawn("vital", async move {
        if running.await.is_err() {
            hub.set_health(|health| health.fatal = Some(format!("the {name} task panicked (see the log)")));
        }
    });
}
