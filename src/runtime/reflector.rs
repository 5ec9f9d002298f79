//! Feeds the World: list at revision R, watch from R+1; on any break list aside and apply the difference at once.

use std::sync::Arc;

use encamp_model::{ClusterUid, Key};
use encamp_store::{EventKind, Kv, Range, Store, WatchItem};
use encamp_world::{Change, RawEvent, World};
use futures::StreamExt as _;
use tokio_util::sync::CancellationToken;

use crate::{Clock, hub::Hub, retry::Backoff};

pub(crate) struct Reflector {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) clock: Clock,
    /// The installation that this process serves.
    pub(crate) cluster: ClusterUid,
}

impl Reflector {
    /// Runs until shutdown.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let mut world = self.hub.world();
        let mut backoff = Backoff::usual();
        loop {
            let broke = tokio::select! {
                error = self.list_and_watch(&mut world, &mut backoff) => error,
                () = self.hub.list_wanted() => continue,
                () = shutdown.cancelled() => return,
            };
            let now = self.clock.now();
            self.hub.set_health(|health| match &mut health.behind {
                Some((_, why)) => *why = broke.to_string(),
                behind => *behind = Some((now, broke.to_string())),
            });
            let delay = backoff.next_delay();
            tracing::warn!(error = %broke, retry_in_ms = delay.as_millis(), "the watch broke; listing again");
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    async fn list_and_watch(&self, world: &mut World, backoff: &mut Backoff) -> encamp_store::Error {
        let (start, end) = world.keyspace().world_range();
        let range = Range::span(start, end);
        let listing = match self.store.list(&range).await {
            Ok(listing) => listing,
            Err(error) => return error,
        };
        if listing.revision < world.revision() {
            self.went_back(world.revision(), listing.revision);
        }
        let raw: Vec<RawEvent<'_>> = listing.kvs.iter().map(raw_kv).collect();
        let changes = world.replace(listing.revision, &raw);
        self.publish(world, changes, true);
        let mut watch = self.store.watch(range, listing.revision + 1);
        while let Some(item) = watch.next().await {
            match item {
                Ok(WatchItem::Created) => self.hub.set_health(|health| health.behind = None),
                Ok(WatchItem::Events(batch)) => {
                    backoff.reset();
                    let raw: Vec<RawEvent<'_>> = batch.events.iter().map(raw_event).collect();
                    let changes = world.apply(batch.revision, &raw);
                    self.publish(world, changes, false);
                }
                Err(error) => return error,
            }
        }
        encamp_store::Error::Unavailable {
            endpoint: "etcd".into(),
            what: "watch",
            reason: "the stream ended".into(),
        }
    }

    /// etcd was restored to an older state: what this process knows of revisions is worth nothing there.
    fn went_back(&self, known: i64, found: i64) {
        let why = format!("etcd went back from revision {known} to {found} (restored from a backup?)");
        tracing::error!("{why}; this process ends and must be started anew");
        self.hub.set_health(|health| health.fatal = Some(why));
    }

    fn publish(&self, world: &World, changes: Vec<Change>, relisted: bool) {
        for change in &changes {
            if let Change::Opaque(key) = change {
                let raw = world.keyspace().encode(key);
                match world.is_opaque(key) {
                    true => tracing::warn!(key = raw, "value cannot be read: kept as an opaque entry"),
                    false => tracing::info!(key = raw, "value can be read again"),
                }
            }
        }
        self.check_cluster(world);
        self.hub.publish(world, changes, relisted);
    }

    /// Gone or changed under a running process: loops stop writing, and health says so.
    fn check_cluster(&self, world: &World) {
        let found = match (world.cluster(), world.is_opaque(&Key::Cluster)) {
            (Some(cluster), _) if cluster.uid == self.cluster => None,
            (Some(cluster), _) => Some(format!("another installation's ({})", cluster.uid)),
            (None, true) => Some("unreadable".to_owned()),
            (None, false) => Some("gone".to_owned()),
        };
        let key = world.keyspace().encode(&Key::Cluster);
        let foreign = found.map(|what| {
            format!(
                "{key} is {what}, this process serves {}: nothing is written; restart it if that is meant",
                self.cluster
            )
        });
        self.hub.set_health(|health| {
            if health.foreign.is_none() && foreign.is_some() {
                tracing::error!("{}", foreign.as_deref().unwrap_or_default());
            }
            health.foreign = foreign;
        });
    }
}

fn raw_kv(kv: &Kv) -> RawEvent<'_> {
    RawEvent { key: &kv.key, value: Some(&kv.value), created: kv.create_revision, modified: kv.mod_revision }
}

fn raw_event(event: &encamp_store::Event) -> RawEvent<'_> {
    let value = (event.kind == EventKind::Put).then_some(&*event.kv.value);
    RawEvent { key: &event.kv.key, value, created: event.kv.create_revision, modified: event.kv.mod_revision }
}
