//! A real etcd, through etcd-client.
//!
//! etcd-client does not fail over, so there is one client for each endpoint and the rotation is ours: all calls go
//! to one endpoint until it fails. A request that provably never left is tried on the next one; a read also if its
//! connection broke; a write that may have left is never sent again.
//!
//! Each watch has a connection of its own, so that a large answer and the stream of events do not wait for each
//! other, and a stuck watch cannot hold up a lease's renewal.

mod assemble;
mod convert;
mod endpoints;
mod failure;
mod options;
mod pages;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use etcd_client::{Client, GetOptions};

use crate::{
    Error, Kv, LeaseId, Listing, NO_LEASE, Op, Range, Revision, Status, Store, Txn, TxnAnswer, WatchStream,
};
use endpoints::{Endpoints, Kind};
use failure::{Failure, FailureKind};
pub use options::{Options, Tls, User};

/// A real etcd. Clones share connections. See the module's text.
#[derive(Clone)]
pub struct EtcdStore {
    endpoints: Arc<Endpoints>,
}

impl EtcdStore {
    /// Checks the options. Connects only when first used, and again whenever needed.
    ///
    /// # Errors
    /// [`Error::Config`] if the options cannot work.
    pub fn new(options: Options) -> Result<Self, Error> {
        Ok(Self { endpoints: Arc::new(Endpoints::new(options)?) })
    }

    /// The endpoint in use, for people.
    pub fn endpoint(&self) -> &str {
        self.endpoints.current()
    }

    /// One read of a range, at one revision.
    async fn read(&self, range: &Range, options: GetOptions, at: Option<Revision>) -> Result<Listing, Error> {
        let (key, end) = convert::range(range)?;
        let mut options = options.with_range(end);
        if let Some(revision) = at {
            options = options.with_revision(revision);
        }
        let (within, bytes_max) =
            (self.endpoints.options().list_timeout, self.endpoints.options().answer_bytes_max);
        let request = |client: Client| {
            let (key, options) = (key.clone(), options.clone());
            async move {
                let mut kv = client.kv_client().max_decoding_message_size(bytes_max);
                let response = kv.get(key, Some(options)).await?.0;
                let header = convert::header(response.header)?;
                let kvs = response.kvs.into_iter().map(convert::kv).collect();
                Ok(Listing { kvs, revision: at.unwrap_or(header.revision) })
            }
        };
        self.endpoints.call("list", Kind::Read, within, request).await
    }

    /// A request other than a list, with the usual timeout.
    async fn call<T, F>(
        &self,
        what: &'static str,
        kind: Kind,
        request: impl Fn(Client) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        self.endpoints.call(what, kind, self.endpoints.options().request_timeout, request).await
    }
}

#[async_trait]
impl Store for EtcdStore {
    async fn list(&self, range: &Range) -> Result<Listing, Error> {
        match self.read(range, GetOptions::new(), None).await {
            Err(Error::TooLarge { .. }) => pages::list(self, range).await,
            answer => answer,
        }
    }

    async fn get(&self, key: &[u8]) -> Result<(Option<Kv>, Revision), Error> {
        let request = |client: Client| {
            let key = key.to_vec();
            async move {
                let response = client.kv_client().get(key, None).await?.0;
                let header = convert::header(response.header)?;
                Ok((response.kvs.into_iter().next().map(convert::kv), header.revision))
            }
        };
        self.call("get", Kind::Read, request).await
    }

    async fn txn(&self, txn: Txn) -> Result<TxnAnswer, Error> {
        let kind = if txn.is_read_only() { Kind::Read } else { Kind::Write };
        let bytes_max = self.endpoints.options().answer_bytes_max;
        let converted = convert::txn(&txn)?;
        let request = |client: Client| {
            let txn = converted.clone();
            async move {
                let mut kv = client.kv_client().max_decoding_message_size(bytes_max);
                convert::txn_answer(kv.txn(txn).await?.0)
            }
        };
        // etcd does not say which lease is gone.
        self.call("txn", kind, request).await.map_err(|error| match error {
            Error::LeaseGone { lease: NO_LEASE } => Error::LeaseGone { lease: first_lease(&txn) },
            error => error,
        })
    }

    fn watch(&self, range: Range, from: Revision) -> WatchStream {
        watch::stream(Arc::clone(&self.endpoints), range, from)
    }

    async fn lease_grant(&self, ttl: Duration) -> Result<LeaseId, Error> {
        let ttl_s = crate::whole_seconds(ttl);
        let request =
            |client: Client| async move { Ok(client.lease_client().grant(ttl_s, None).await?.id()) };
        self.call("lease grant", Kind::Write, request).await
    }

    async fn lease_keep_alive(&self, lease: LeaseId) -> Result<Duration, Error> {
        let request = |client: Client| async move {
            renew(client, lease).await.map_err(|failure| failure.of_lease(lease))
        };
        // Renewing twice does no harm: it counts as a read.
        let within = self.endpoints.options().keep_alive_timeout;
        let mut left = self.endpoints.count();
        loop {
            left -= 1;
            match self.endpoints.call("lease keep-alive", Kind::Read, within, request).await {
                // The endpoint that hung has been left: there is time for another.
                Err(Error::Timeout { .. }) if left > 0 => {}
                answer => return answer,
            }
        }
    }

    async fn lease_revoke(&self, lease: LeaseId) -> Result<(), Error> {
        let request = |client: Client| async move {
            let revoked = client.lease_client().revoke(lease).await;
            revoked.map(drop).map_err(|error| Failure::from(error).of_lease(lease))
        };
        self.call("lease revoke", Kind::Write, request).await
    }

    async fn status(&self) -> Result<Status, Error> {
        let request = |client: Client| async move {
            let status = client.maintenance_client().status().await?.0;
            let header = convert::header(status.header)?;
            Ok(Status {
                endpoint: String::new(),
                version: status.version,
                db_size: status.db_size,
                db_size_in_use: status.db_size_in_use,
                leader: status.leader,
                member: header.member_id,
                revision: header.revision,
                no_space: status.errors.iter().any(|error| error.contains("NOSPACE")),
            })
        };
        let status = self.call("status", Kind::Read, request).await?;
        Ok(Status { endpoint: self.endpoint().to_owned(), ..status })
    }

    async fn compact(&self, revision: Revision) -> Result<(), Error> {
        let request = |client: Client| async move {
            client.kv_client().compact(revision, None).await?;
            Ok(())
        };
        self.call("compact", Kind::Write, request).await
    }
}

/// Renews a lease. The client swallows the answer to the first renewal unless it says that the lease is gone, so
/// there is a second one.
async fn renew(client: Client, lease: LeaseId) -> Result<Duration, Failure> {
    let (mut keeper, mut answers) = client.lease_client().keep_alive(lease).await?;
    keeper.keep_alive().await?;
    let answer = answers.message().await?;
    let answer =
        answer.ok_or_else(|| Failure::new(FailureKind::Unavailable, "the server ended the stream"))?;
    match u64::try_from(answer.ttl()) {
        Ok(ttl_s) if ttl_s > 0 => Ok(Duration::from_secs(ttl_s)),
        // A dead lease's renewal is answered `Ok`, with no time to live.
        _ => Err(Failure::new(FailureKind::LeaseGone(lease), "no time to live")),
    }
}

/// The first lease that a transaction names.
fn first_lease(txn: &Txn) -> LeaseId {
    let leases = txn.success.iter().chain(&txn.failure).filter_map(|op| match op {
        Op::Put { lease, .. } if *lease != NO_LEASE => Some(*lease),
        _ => None,
    });
    leases.into_iter().next().unwrap_or(NO_LEASE)
}
