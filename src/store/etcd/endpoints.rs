//! One client for each endpoint, and which of them is in use.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use etcd_client::{Client, ConnectOptions};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::failure::{Failure, FailureKind};
use super::options::Options;
use crate::Error;

/// May a request be sent again after it may have been received?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Yes: it changes nothing.
    Read,
    /// No.
    Write,
}

pub(super) struct Endpoints {
    options: Options,
    connect: ConnectOptions,
    list: Vec<Endpoint>,
    current: AtomicUsize,
}

struct Endpoint {
    url: String,
    /// Made when first used (a user must be authenticated for it); it connects again by itself when it notices
    /// that its connection is broken.
    client: Mutex<Option<(Instant, Client)>>,
}

impl Endpoints {
    pub(super) fn new(options: Options) -> Result<Self, Error> {
        let list = options.checked_endpoints()?;
        let list = list.into_iter().map(|url| Endpoint { url, client: Mutex::new(None) }).collect();
        let connect = options.connect_options();
        Ok(Self { options, connect, list, current: AtomicUsize::new(0) })
    }

    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    /// How many there are; at least one.
    pub(super) fn count(&self) -> usize {
        self.list.len()
    }

    /// The address in use.
    pub(super) fn current(&self) -> &str {
        &self.list[self.index()].url
    }

    /// Does one request on the shared connections; a stale token is renewed on the way.
    pub(super) async fn call<T, F>(
        &self,
        what: &'static str,
        kind: Kind,
        timeout: Duration,
        request: impl Fn(Client) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut tries = self.tries(what, kind, timeout);
        loop {
            match timeout_at(tries.deadline, self.attempt(tries.index, &request)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(failure)) => tries.failed(failure)?,
                Err(_elapsed) => return Err(tries.timed_out()),
            }
        }
    }

    /// Opens something on a connection of its own, to a server that has a leader; also says on which endpoint.
    pub(super) async fn open<T, F>(
        &self,
        what: &'static str,
        timeout: Duration,
        request: impl Fn(Client) -> F,
    ) -> Result<(usize, T), Error>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut tries = self.tries(what, Kind::Read, timeout);
        loop {
            let options = self.connect.clone().with_require_leader(true);
            let attempt = async { request(connect(self.url(tries.index), options).await?).await };
            match timeout_at(tries.deadline, attempt).await {
                Ok(Ok(opened)) => return Ok((tries.index, opened)),
                Ok(Err(failure)) => tries.failed(failure)?,
                Err(_elapsed) => return Err(tries.timed_out()),
            }
        }
    }

    fn tries(&self, what: &'static str, kind: Kind, timeout: Duration) -> Tries<'_> {
        let begun = Instant::now();
        let deadline = begun + timeout;
        Tries {
            begun,
            endpoints: self,
            what,
            kind,
            timeout,
            deadline,
            index: self.index(),
            left: self.list.len() - 1,
        }
    }

    async fn attempt<T, F>(&self, index: usize, request: &impl Fn(Client) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        match request(self.client(index).await?).await {
            // The server refused to look at it: sending it again with a new token is no second write.
            Err(failure) if failure.kind == FailureKind::StaleToken => {
                self.list[index].client.lock().await.take();
                request(self.client(index).await?).await
            }
            answer => answer,
        }
    }

    /// The shared client of an endpoint.
    async fn client(&self, index: usize) -> Result<Client, Failure> {
        let endpoint = &self.list[index];
        let mut client = endpoint.client.lock().await;
        if let Some((_, client)) = &*client {
            return Ok(client.clone());
        }
        let new = connect(&endpoint.url, self.connect.clone()).await?;
        *client = Some((Instant::now(), new.clone()));
        Ok(new)
    }

    fn index(&self) -> usize {
        self.current.load(Ordering::Relaxed)
    }

    pub(super) fn url(&self, index: usize) -> &str {
        &self.list[index].url
    }

    /// Adds the likely cause that the transport cannot tell: a server that misses our certificate just hangs up, and
    /// under TLS 1.3 its reason often comes too late to be read.
    fn explain(&self, failure: Failure) -> Failure {
        let nameless = self.options.tls.as_ref().is_some_and(|tls| tls.identity.is_none());
        if nameless && failure.kind == FailureKind::Unavailable {
            return failure.with_hint("no client certificate is given, which etcd may demand");
        }
        failure
    }

    /// Gives up a connection that may be dead without our being told, unless there is a newer one than `than`.
    fn forget(&self, index: usize, than: Instant) {
        // Whoever holds the lock is just making a new one.
        if let Ok(mut client) = self.list[index].client.try_lock() {
            client.take_if(|(made, _)| *made <= than);
        }
    }

    /// Goes on to the next endpoint, unless somebody already has.
    pub(super) fn leave(&self, index: usize) {
        let next = (index + 1) % self.list.len();
        let moved = self.current.compare_exchange(index, next, Ordering::Relaxed, Ordering::Relaxed);
        if moved.is_ok() && next != index {
            tracing::warn!(from = %self.list[index].url, to = %self.list[next].url, "etcd endpoint failed, using the next");
        }
    }
}

/// The tries of one request: each endpoint once, from the one in use on, within one deadline over all.
struct Tries<'a> {
    endpoints: &'a Endpoints,
    what: &'static str,
    kind: Kind,
    timeout: Duration,
    begun: Instant,
    deadline: Instant,
    /// The endpoint to try now.
    index: usize,
    /// How many further ones there are.
    left: usize,
}

impl Tries<'_> {
    /// After a failure: on to the next endpoint, or the error that the caller gets.
    ///
    /// A request that never left goes to the next endpoint, and so does a read whose connection broke.
    fn failed(&mut self, failure: Failure) -> Result<(), Error> {
        let elsewhere = match failure.kind {
            FailureKind::Connect => true,
            FailureKind::Unavailable => self.kind == Kind::Read,
            _ => false,
        };
        if failure.is_of_endpoint() {
            self.endpoints.leave(self.index);
        }
        let failure = self.endpoints.explain(failure);
        if !elsewhere || self.left == 0 {
            return Err(failure.into_error(self.endpoints.url(self.index), self.what, self.timeout_ms()));
        }
        tracing::debug!(endpoint = %self.endpoints.url(self.index), what = self.what, ?failure, "trying the next");
        self.index = (self.index + 1) % self.endpoints.list.len();
        self.left -= 1;
        Ok(())
    }

    fn timed_out(&self) -> Error {
        self.endpoints.leave(self.index);
        self.endpoints.forget(self.index, self.begun);
        let endpoint = self.endpoints.url(self.index).to_owned();
        Error::Timeout { endpoint, what: self.what, timeout_ms: self.timeout_ms() }
    }

    fn timeout_ms(&self) -> u64 {
        u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX)
    }
}

/// Nothing that fails here was a request of the caller's: without a user it does not even touch the network.
async fn connect(url: &str, options: ConnectOptions) -> Result<Client, Failure> {
    Client::connect([url], Some(options)).await.map_err(|error| {
        let failure = Failure::from(error);
        match failure.kind {
            FailureKind::Unavailable | FailureKind::Timeout | FailureKind::Other => {
                failure.with_kind(FailureKind::Connect)
            }
            _ => failure,
        }
    })
}
