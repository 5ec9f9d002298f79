//! Connections: accepted, bounded in number and time, drained at shutdown.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::{
    config::{ApiConfig, Exposed},
    routes::enter,
};

/// Pause after an error of the listener itself (out of file descriptors), which the next accept would meet, too.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Largest head of a request.
const HEAD_BYTES: usize = 64 << 10;

/// Serves `router` until `shutdown`, then lets requests under way end for [`crate::Limits::drain`].
pub(crate) async fn run(
    listener: TcpListener,
    router: Router,
    config: ApiConfig,
    shutdown: CancellationToken,
) -> Result<(), Exposed> {
    // A listener whose address cannot be told is taken for one that anybody reaches.
    let bound = listener.local_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
    config.check(bound)?;
    let server = Server::new(router, config, shutdown);
    let connections = server.accept(&listener).await;
    drop(listener);
    server.drain(connections).await;
    Ok(())
}

/// Serves `router` on a listener that others go on with, until `other` ends: then no connection is left.
pub(crate) async fn run_beside<T>(
    listener: &TcpListener,
    router: Router,
    config: ApiConfig,
    other: impl Future<Output = T>,
) -> T {
    let ended = CancellationToken::new();
    let server = Server::new(router, config, ended.clone());
    let serve = async {
        let connections = server.accept(listener).await;
        server.drain(connections).await;
    };
    let other = async {
        let out = other.await;
        ended.cancel();
        out
    };
    tokio::join!(serve, other).1
}

/// The next connection, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a request's task panicked");
    }
}

#[derive(Clone)]
struct Server {
    acceptor: Option<TlsAcceptor>,
    router: Router,
    config: Arc<ApiConfig>,
    shutdown: CancellationToken,
}

impl Server {
    fn new(router: Router, config: ApiConfig, shutdown: CancellationToken) -> Self {
        let acceptor = config.tls.clone().map(TlsAcceptor::from);
        Server { acceptor, router, config: Arc::new(config), shutdown }
    }

    /// Accepts until shutdown; answers the connections that are left then.
    async fn accept(&self, listener: &TcpListener) -> JoinSet<()> {
        let places = Arc::new(Semaphore::new(self.config.limits.connections));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = accept(listener, &places) => accepted,
                () = self.shutdown.cancelled() => return connections,
            };
            while let Some(ended) = connections.try_join_next() {
                report(ended);
            }
            match accepted {
                Ok((stream, place)) => drop(connections.spawn(self.clone().connection(stream, place))),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Lets requests under way end for the time that they have.
    async fn drain(&self, mut connections: JoinSet<()>) {
        let drained = async {
            while let Some(ended) = connections.join_next().await {
                report(ended);
            }
        };
        if tokio::time::timeout(self.config.limits.drain, drained).await.is_err() {
            tracing::info!("requests under way were cut off at shutdown");
            connections.shutdown().await;
        }
    }

    async fn connection(self, stream: TcpStream, _place: OwnedSemaphorePermit) {
        let local = stream.local_addr().ok();
        // Log followers and index waiters want their bytes now.
        let _ = stream.set_nodelay(true);
        match self.acceptor.clone() {
            None => self.http(stream, local).await,
            Some(acceptor) => {
                let handshake = tokio::time::timeout(self.config.limits.head_time, acceptor.accept(stream));
                match handshake.await {
                    Ok(Ok(stream)) => self.http(stream, local).await,
                    Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
                    Err(_) => tracing::debug!("TLS handshake took too long"),
                }
            }
        }
    }

    async fn http<IO>(self, io: IO, local: Option<SocketAddr>)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Server { router, config, shutdown, .. } = self;
        let head_time = config.limits.head_time;
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let entered = enter(router.clone(), config.clone(), local, request.map(Body::new));
            async move { Ok::<_, std::convert::Infallible>(entered.await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(head_time)
            .max_header_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(io), service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended");
        }
    }
}
