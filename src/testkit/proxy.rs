//! A proxy before etcd that counts transactions and holds some of them back, with or without their having been
//! done. Plain HTTP/2, every stream both ways, so that watches and leases pass as they are.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::wait_for;

/// The one call that is counted and held.
const TXN: &str = "/etcdserverpb.KV/Txn";

type Body = Either<Incoming, Full<Bytes>>;
type Upstream = SendRequest<Body>;

/// What happens to a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It passes.
    Pass,
    /// It is held before etcd sees it. It is done when released, even if who sent it is gone by then.
    HoldRequest,
    /// etcd does it at once; the answer is held.
    HoldAnswer,
}

/// The proxy. Dropping it breaks all connections.
#[derive(Debug)]
pub struct TxnProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _accepting: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    upstream: String,
    state: Mutex<State>,
    /// Bumped to break all connections.
    cuts: tokio::sync::watch::Sender<u64>,
}

struct State {
    plan: Box<dyn FnMut(u64) -> Step + Send>,
    seen: u64,
    done: u64,
    held: Vec<oneshot::Sender<()>>,
    refusing: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "seen {}, done {}, held {}", self.seen, self.done, self.held.len())
    }
}

impl TxnProxy {
    /// Starts one before the etcd at `upstream` (`127.0.0.1:PORT`, plain).
    ///
    /// # Panics
    /// If there is no port to listen on.
    pub async fn spawn(upstream: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port on loopback");
        let address = listener.local_addr().expect("a bound socket has an address");
        let state =
            State { plan: Box::new(|_| Step::Pass), seen: 0, done: 0, held: Vec::new(), refusing: false };
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            state: Mutex::new(state),
            cuts: tokio::sync::watch::Sender::new(0),
        });
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, _accepting: accepting }
    }

    /// Where clients connect.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Decides about each transaction from now on; it is given the transaction's number since the start, from 1.
    pub fn plan(&self, plan: impl FnMut(u64) -> Step + Send + 'static) {
        self.shared.lock().plan = Box::new(plan);
    }

    /// Passes `count` more transactions, then does `step` with all further ones.
    pub fn pass_then(&self, count: u64, step: Step) {
        let last = self.seen() + count;
        self.plan(move |number| if number <= last { Step::Pass } else { step });
    }

    /// How many transactions clients have sent.
    pub fn seen(&self) -> u64 {
        self.shared.lock().seen
    }

    /// How many of them etcd has answered, whether or not the answer went on.
    pub fn done(&self) -> u64 {
        self.shared.lock().done
    }

    /// How many are held now.
    pub fn held(&self) -> usize {
        self.shared.lock().held.len()
    }

    /// Waits until at least so many are held.
    ///
    /// # Panics
    /// If they aren't within `timeout`.
    pub async fn wait_held(&self, count: usize, timeout: Duration) {
        wait_for("transactions held by the proxy", timeout, async || {
            if self.held() >= count { Ok(()) } else { Err(format!("{:?}", self.shared.lock())) }
        })
        .await;
    }

    /// Lets what is held go on, and all further ones pass.
    pub fn release(&self) {
        let mut state = self.shared.lock();
        state.plan = Box::new(|_| Step::Pass);
        for held in state.held.drain(..) {
            // Whose answer was held may have gone away.
            let _ = held.send(());
        }
    }

    /// Loses what is held: requests are never done, answers never arrive. All further ones pass.
    pub fn drop_held(&self) {
        let mut state = self.shared.lock();
        state.plan = Box::new(|_| Step::Pass);
        state.held.clear();
    }

    /// Breaks all connections. New ones are accepted. What is held stays held.
    pub fn cut(&self) {
        self.shared.cuts.send_modify(|count| *count += 1);
    }

    /// Refuses new connections, or accepts them again.
    pub fn refuse(&self, refusing: bool) {
        self.shared.lock().refusing = refusing;
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no panic under this lock but in a test's own plan")
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    // What is held must outlive the connection it came on.
    let detached = Arc::new(Mutex::new(JoinSet::new()));
    loop {
        let Ok((inbound, _)) = listener.accept().await else { continue };
        if shared.lock().refusing {
            continue;
        }
        let mut cuts = shared.cuts.subscribe();
        let (shared, detached) = (Arc::clone(&shared), Arc::clone(&detached));
        connections.spawn(async move {
            tokio::select! {
                // Either side's end is the end of both; there is nobody to tell.
                _ = connection(inbound, shared, detached) => {}
                _ = cuts.changed() => {}
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

type Detached = Arc<Mutex<JoinSet<()>>>;

/// Joins one client's connection with one to etcd.
async fn connection(inbound: TcpStream, shared: Arc<Shared>, detached: Detached) -> Result<(), io::Error> {
    let upstream = connect(&shared.upstream, &detached).await?;
    inbound.set_nodelay(true)?;
    let service = service_fn(move |request| {
        let (shared, detached, upstream) = (Arc::clone(&shared), Arc::clone(&detached), upstream.clone());
        async move { forward(request, shared, detached, upstream).await }
    });
    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    server.serve_connection(TokioIo::new(inbound), service).await.map_err(io::Error::other)
}

async fn connect(upstream: &str, detached: &Detached) -> Result<Upstream, io::Error> {
    let stream = TcpStream::connect(upstream).await?;
    stream.set_nodelay(true)?;
    let client = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (sender, connection) = client.handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    // It ends by itself with the last sender.
    run(detached, async move { drop(connection.await) });
    Ok(sender)
}

fn run(detached: &Detached, task: impl Future<Output = ()> + Send + 'static) {
    let mut tasks = detached.lock().expect("no panic under this lock");
    while tasks.try_join_next().is_some() {}
    tasks.spawn(task);
}

async fn forward(
    request: Request<Incoming>,
    shared: Arc<Shared>,
    detached: Detached,
    mut upstream: Upstream,
) -> Result<Response<Incoming>, io::Error> {
    if request.uri().path() != TXN {
        return upstream.send_request(request.map(Either::Left)).await.map_err(io::Error::other);
    }
    let (parts, body) = request.into_parts();
    let body = Full::new(body.collect().await.map_err(io::Error::other)?.to_bytes());
    let request = Request::from_parts(parts, Either::Right(body));
    let (answer, answered) = oneshot::channel();
    let task = transaction(request, shared, upstream);
    run(&detached, async move {
        // The client may be gone: the transaction was done all the same.
        let _ = answer.send(task.await);
    });
    answered.await.map_err(io::Error::other)?
}

/// One transaction's way, which does not depend on its sender's waiting for it.
async fn transaction(
    request: Request<Body>,
    shared: Arc<Shared>,
    mut upstream: Upstream,
) -> Result<Response<Incoming>, io::Error> {
    let step = {
        let mut state = shared.lock();
        state.seen += 1;
        let number = state.seen;
        (state.plan)(number)
    };
    if step == Step::HoldRequest {
        hold(&shared).await?;
    }
    let answer = upstream.send_request(request).await.map_err(io::Error::other)?;
    shared.lock().done += 1;
    if step == Step::HoldAnswer {
        hold(&shared).await?;
    }
    Ok(answer)
}

/// Until released; an error if lost.
async fn hold(shared: &Shared) -> Result<(), io::Error> {
    let (release, released) = oneshot::channel();
    shared.lock().held.push(release);
    released.await.map_err(io::Error::other)
}
