//! While a process cannot serve yet: its port is bound, and whoever asks is told so.

use std::time::Duration;

use axum::{
    Router,
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use tokio::net::TcpListener;

use crate::{
    config::{ApiConfig, Exposed},
    error::Error,
    server,
};

/// All that is answered comes at once: nobody needs longer.
const DRAIN: Duration = Duration::from_millis(100);

/// Answers every request with 503 and the reason until `other` ends; the listener can then be served.
///
/// # Errors
/// If it would be open to everybody: see [`ApiConfig::check`]. `other` is not begun then.
pub async fn serve_while<T>(
    listener: &TcpListener,
    mut config: ApiConfig,
    other: impl Future<Output = T>,
) -> Result<T, Exposed> {
    // A listener whose address cannot be told is refused by whoever serves it next.
    if let Ok(bound) = listener.local_addr() {
        config.check(bound)?;
    }
    config.limits.drain = DRAIN;
    let router = Router::new().fallback(waiting);
    Ok(server::run_beside(listener, router, config, other).await)
}

async fn waiting() -> Response {
    let why = "this server waits for etcd; its log says what is wrong";
    let mut response = Error::Unavailable(why.to_owned()).into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}
