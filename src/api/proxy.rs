//! A request passed on to another process of ours: an agent that has a log, or an api that knows what an agent doesn't.
//! The answer is streamed; when its reader goes away the connection goes, too.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header},
    response::Response,
};
use futures::StreamExt as _;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
};

use crate::{error::Error, gate::host_of};

/// Set on what we pass on, with the kind of process that did: an agent passes nothing on that an api sent it.
pub(crate) const PASSED_ON: HeaderName = HeaderName::from_static("x-encamp-passed-on");
/// Time for a connection, and again for the head of the answer (which a blocking query may delay).
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// A request to pass on.
pub(crate) struct Passed<'a> {
    /// `ip:port` of the other process.
    pub(crate) address: &'a str,
    /// TLS, if it is spoken between us.
    pub(crate) tls: Option<&'a Arc<rustls::ClientConfig>>,
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) path: &'a str,
    /// Headers of the caller that go with it: his credentials, or ours.
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// What we are: `api` or `agent`.
    pub(crate) from: &'static str,
    /// Time for the head of the answer.
    pub(crate) time: Duration,
}

/// The headers of a caller that are passed on with his request.
pub(crate) fn credentials(headers: &HeaderMap) -> HeaderMap {
    let kept = [
        header::AUTHORIZATION,
        header::CONTENT_TYPE,
        header::ACCEPT,
        HeaderName::from_static("x-nomad-token"),
    ];
    kept.into_iter().filter_map(|name| Some((name.clone(), headers.get(&name)?.clone()))).collect()
}

/// Passes a request on and streams the answer.
pub(crate) async fn pass_on(passed: Passed<'_>) -> Result<Response, Error> {
    let address = passed.address.to_owned();
    let unreachable = |why: String| Error::NodeUnreachable(format!("cannot reach {address}: {why}"));
    let connect = TcpStream::connect(&address);
    let stream = match tokio::time::timeout(CONNECT_TIME, connect).await {
        Err(_) => return Err(unreachable(format!("no connection within {} s", CONNECT_TIME.as_secs()))),
        Ok(Err(error)) => return Err(unreachable(error.to_string())),
        Ok(Ok(stream)) => stream,
    };
    match passed.tls {
        None => exchange(stream, passed).await.map_err(unreachable),
        Some(tls) => {
            let host = host_of(&address).unwrap_or_default();
            let name = ServerName::try_from(host).map_err(|error| unreachable(error.to_string()))?;
            let connector = tokio_rustls::TlsConnector::from(tls.clone());
            match tokio::time::timeout(CONNECT_TIME, connector.connect(name, stream)).await {
                Err(_) => Err(unreachable("no TLS handshake in time".to_owned())),
                Ok(Err(error)) => Err(unreachable(error.to_string())),
                Ok(Ok(stream)) => exchange(stream, passed).await.map_err(unreachable),
            }
        }
    }
}

async fn exchange<IO>(io: IO, passed: Passed<'_>) -> Result<Response, String>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await.map_err(|e| e.to_string())?;
    // The set goes with the answer's body, and its task with it.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let mut request = Request::new(Full::new(passed.body));
    *request.method_mut() = passed.method;
    *request.uri_mut() = passed.path.parse().map_err(|_| "the path cannot be passed on".to_owned())?;
    *request.headers_mut() = passed.headers;
    let host = HeaderValue::from_str(passed.address).map_err(|e| e.to_string())?;
    request.headers_mut().insert(header::HOST, host);
    request.headers_mut().insert(PASSED_ON, HeaderValue::from_static(passed.from));
    let answer = tokio::time::timeout(passed.time, sender.send_request(request))
        .await
        .map_err(|_| format!("no answer within {} s", passed.time.as_secs()))?
        .map_err(|e| e.to_string())?;
    let (mut parts, body) = answer.into_parts();
    parts.headers.remove(header::CONNECTION);
    parts.headers.remove(header::TRANSFER_ENCODING);
    let stream = body.into_data_stream().map(move |piece| {
        let _alive = &driver;
        piece
    });
    Ok(Response::from_parts(parts, Body::from_stream(stream)))
}
