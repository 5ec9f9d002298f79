//! The one World of a process, and who is told when it moves.

use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use encamp_model::{Keyspace, Timestamp};
use encamp_world::{Change, World};
use tokio::sync::{Notify, mpsc, watch};

/// What one step of the World changed.
#[derive(Clone, Debug)]
pub struct Step {
    /// The changes, in etcd's order.
    pub changes: Arc<[Change]>,
    /// The World was listed anew.
    pub relisted: bool,
}

/// A subscriber's end: every step from the subscription on.
pub type Steps = mpsc::UnboundedReceiver<Step>;

/// Is this process fit to answer?
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Why the World may be behind, if it may: since when, and what failed.
    pub behind: Option<(Timestamp, String)>,
    /// The `cluster` key is gone or another's: nothing is written.
    pub foreign: Option<String>,
    /// Something that this process cannot outlive: it must end, so that another takes over.
    pub fatal: Option<String>,
}

impl Health {
    /// One line for `/healthz`; `None` when all is well.
    pub fn problem(&self) -> Option<String> {
        self.fatal
            .clone()
            .or_else(|| self.foreign.clone())
            .or_else(|| self.behind.as_ref().map(|(_, why)| why.clone()))
    }
}

/// Holds the latest snapshot and passes steps on. Written by the reflector alone.
pub(crate) struct Hub {
    latest: ArcSwap<World>,
    revision: watch::Sender<i64>,
    health: watch::Sender<Health>,
    subscribers: Mutex<Vec<mpsc::UnboundedSender<Step>>>,
    list_aside: Notify,
}

impl Hub {
    pub(crate) fn new(keyspace: Arc<Keyspace>) -> Self {
        Hub {
            latest: ArcSwap::from_pointee(World::new(keyspace)),
            revision: watch::Sender::new(0),
            health: watch::Sender::new(Health::default()),
            subscribers: Mutex::new(Vec::new()),
            list_aside: Notify::new(),
        }
    }

    /// Asks the reflector to list the World aside: for a fence that no event can be had for.
    pub(crate) fn list_aside(&self) {
        self.list_aside.notify_one();
    }

    /// Resolves when somebody asked for a list.
    pub(crate) async fn list_wanted(&self) {
        self.list_aside.notified().await;
    }

    pub(crate) fn world(&self) -> World {
        World::clone(&self.latest.load())
    }

    pub(crate) fn revisions(&self) -> watch::Receiver<i64> {
        self.revision.subscribe()
    }

    pub(crate) fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    pub(crate) fn set_health(&self, edit: impl FnOnce(&mut Health)) {
        self.health.send_if_modified(|health| {
            let before = health.clone();
            edit(health);
            *health != before
        });
    }

    /// Steps from now on. The snapshot taken after subscribing is at or past the first of them.
    pub(crate) fn subscribe(&self) -> Steps {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.subscribers.lock().expect("no panic while locked").push(sender);
        receiver
    }

    /// Shows a new World; whoever is told finds it (or a later one) in [`Hub::world`].
    pub(crate) fn publish(&self, world: &World, changes: Vec<Change>, relisted: bool) {
        self.latest.store(Arc::new(world.clone()));
        let step = Step { changes: changes.into(), relisted };
        self.subscribers.lock().expect("no panic while locked").retain(|s| s.send(step.clone()).is_ok());
        self.revision.send_replace(world.revision());
    }
}
