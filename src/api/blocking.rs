//! Blocking queries: wait until a table or an object changes.

use std::time::Duration;

use axum::response::Response;
use encamp_world::{Table, World};
use rand::Rng as _;
use serde::Serialize;

use crate::{call::Call, error::Error, meta::Meta};

/// Pause between two looks at a World that changes all the time: what a watcher costs is bounded by it.
const PAUSE: Duration = Duration::from_millis(20);

/// What a read is about, and so which index it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A whole table; true if nothing is in it.
    Table(Table, bool),
    /// An object of a table: its last change, or `None` if it is not there.
    Object(Table, Option<i64>),
}

impl Subject {
    /// The index, given the one that was asked with.
    fn index(self, world: &World, asked: i64) -> i64 {
        match self {
            Subject::Table(table, true) if asked == 0 && !world.table_changed(table) => 0,
            Subject::Object(_, Some(changed)) => changed,
            // What is gone changed last when it went, which the table remembers.
            Subject::Table(table, _) | Subject::Object(table, None) => world.table_index(table),
        }
    }
}

/// What a read is answered from.
pub(crate) struct Look {
    /// The snapshot.
    pub(crate) world: World,
    /// What the answer says of it.
    pub(crate) meta: Meta,
}

impl Look {
    /// The error of a read that found nothing.
    pub(crate) fn not_found(self, what: &'static str) -> Error {
        Error::NotFound { what, meta: Some(self.meta) }
    }
}

impl Call {
    /// A snapshot to answer from. With `?index=N` it is one in which the subject's index has passed N, or the latest
    /// when the time to wait is over. The index told never falls below N.
    pub(crate) async fn look(&self, subject: impl Fn(&World) -> Subject) -> Result<Look, Error> {
        if self.query.given("filter").is_some() {
            return Err(Error::NotServed("the parameter filter".to_owned()));
        }
        let asked = self.query.index;
        // Subscribed before the first look, so that no change falls between the two.
        let mut revisions = self.api.process.revisions();
        revisions.mark_unchanged();
        let mut world = self.world().await?;
        if asked > 0 {
            let over = tokio::time::sleep(jittered(self.query.wait));
            tokio::pin!(over);
            while subject(&world).index(&world, asked) <= asked {
                let changed = async {
                    let changed = revisions.changed().await;
                    tokio::time::sleep(PAUSE).await;
                    changed
                };
                tokio::select! {
                    changed = changed => if changed.is_err() { break },
                    () = &mut over => break,
                    () = self.api.shutdown.cancelled() => break,
                }
                let now = self.api.process.world();
                // A World taken before the fence's answer came must not take this read back in time.
                if now.revision() >= world.revision() {
                    world = now;
                }
            }
        }
        let index = subject(&world).index(&world, asked).max(asked);
        let mut meta = Meta::new(index, self.api.known_leader());
        if self.query.stale {
            meta.last_contact = self.api.silence();
        }
        Ok(Look { meta, world })
    }

    /// A page of a table's list.
    pub(crate) fn page<T: Serialize>(
        &self,
        mut meta: Meta,
        items: Vec<T>,
        token: impl Fn(&T) -> String,
    ) -> Response {
        let (items, next) = crate::query::page(&self.query, items, token);
        meta.next_token = next.unwrap_or_default();
        self.answer(&meta, &items)
    }
}

/// Up to a sixteenth more, so that clients who came together do not come back together.
fn jittered(wait: Duration) -> Duration {
    wait + rand::rng().random_range(Duration::ZERO..=wait / 16)
}
