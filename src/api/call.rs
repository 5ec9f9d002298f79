//! One request on its way to a handler, and the way back.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::{RawPathParams, Request},
    http::{HeaderMap, HeaderValue, Method, Uri, header, request::Parts},
    response::{IntoResponse, Response},
};
use encamp_runtime::Process;
use encamp_world::World;
use http_body_util::BodyExt as _;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use crate::{
    auth::{Action, authorize},
    config::ApiConfig,
    error::Error,
    local::LocalAgent,
    meta::Meta,
    query::Query,
    texts::Texts,
};

/// What every handler can reach.
#[derive(Clone)]
pub(crate) struct Api {
    inner: Arc<Shared>,
}

/// The parts of [`Api`].
pub(crate) struct Shared {
    pub(crate) process: Process,
    pub(crate) config: ApiConfig,
    pub(crate) agent: Option<Arc<dyn LocalAgent>>,
    pub(crate) texts: Texts,
    /// Ends blocking queries and log followers.
    pub(crate) shutdown: CancellationToken,
}

impl Api {
    pub(crate) fn new(
        process: Process,
        config: ApiConfig,
        agent: Option<Arc<dyn LocalAgent>>,
        shutdown: CancellationToken,
    ) -> Self {
        Api { inner: Arc::new(Shared { process, config, agent, texts: Texts::default(), shutdown }) }
    }

    /// Etcd is within reach, as far as this process knows.
    pub(crate) fn known_leader(&self) -> bool {
        self.process.health().problem().is_none()
    }
}

impl Api {
    /// Nanoseconds for which etcd may have gone on without us.
    pub(crate) fn silence(&self) -> u64 {
        let behind = self.process.health().behind;
        let silence = behind.map(|(since, _)| self.process.now().since(since)).unwrap_or_default();
        u64::try_from(silence.as_nanos()).unwrap_or(u64::MAX)
    }
}

impl std::ops::Deref for Api {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.inner
    }
}

/// What every route is served with, whatever serves it: an api process, or an agent's own server.
pub(crate) trait Served: Clone + Send + Sync + 'static {
    /// The settings.
    fn config(&self) -> &ApiConfig;
}

impl Served for Api {
    fn config(&self) -> &ApiConfig {
        &self.config
    }
}

/// A request that was let in.
pub(crate) struct Call<S = Api> {
    pub(crate) api: S,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) query: Query,
    pub(crate) body: Bytes,
    params: Vec<(String, String)>,
}

impl<S: Served> Call<S> {
    /// Lets a request in (or not) and reads all of it, within bounds.
    pub(crate) async fn receive(api: S, action: Action, request: Request) -> Result<Self, Error> {
        let (mut parts, body) = request.into_parts();
        authorize(api.config().token.as_ref(), &parts.headers, action)?;
        let query = Query::parse(&parts.uri)?;
        if let Some(region) = query.given("region").filter(|region| *region != api.config().region) {
            let region: String = region.chars().take(64).collect();
            return Err(Error::Refused(format!(
                "No path to region {region:?}: this is {:?}",
                api.config().region
            )));
        }
        let limits = &api.config().limits;
        let body = read_body(body, &parts.headers, limits.body, limits.body_time).await?;
        let params = path_params(&mut parts, &api).await;
        Ok(Call { api, method: parts.method, uri: parts.uri, headers: parts.headers, query, body, params })
    }
}

impl<S> Call<S> {
    /// A part of the path, by its name in the route.
    pub(crate) fn param(&self, name: &str) -> &str {
        // A route that a handler is mounted on has the parameters that the handler reads.
        self.params.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// The body as a JSON object; one without a body counts as empty.
    pub(crate) fn object(&self) -> Result<Map<String, Value>, Error> {
        if self.body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Map::new());
        }
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(map)) => Ok(map),
            Ok(_) => Err(Error::Malformed("the body must be a JSON object".to_owned())),
            Err(error) if error.is_eof() => Err(Error::Malformed("unexpected EOF".to_owned())),
            Err(error) => Err(Error::Malformed(format!("invalid JSON: {error}"))),
        }
    }

    /// JSON, for people if they ask.
    pub(crate) fn json(&self, value: &impl Serialize) -> Response {
        let bytes = if self.query.flag("pretty") {
            serde_json::to_vec_pretty(value)
        } else {
            serde_json::to_vec(value)
        };
        let mut response = Body::from(bytes.expect("answers have text keys only")).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }

    /// A read's answer.
    pub(crate) fn answer(&self, meta: &Meta, value: &impl Serialize) -> Response {
        let mut response = self.json(value);
        meta.write(response.headers_mut());
        response
    }
}

impl Call {
    /// A World at or past everything committed before this request, unless it does without.
    pub(crate) async fn world(&self) -> Result<World, Error> {
        if self.query.stale { Ok(self.api.process.world()) } else { Ok(self.api.process.fresh().await?) }
    }

    /// A write's answer.
    pub(crate) fn written(&self, meta: &Meta, value: &impl Serialize) -> Response {
        let mut response = self.json(value);
        meta.write_index(response.headers_mut());
        response
    }
}

/// A field of a request's object, whatever the case of its key.
pub(crate) fn field<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object
        .get(name)
        .or_else(|| object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
        .filter(|value| !value.is_null())
}

async fn path_params<S: Send + Sync>(parts: &mut Parts, state: &S) -> Vec<(String, String)> {
    use axum::extract::FromRequestParts as _;
    match RawPathParams::from_request_parts(parts, state).await {
        Ok(params) => params.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        // Bytes that are no text name nothing that we have.
        Err(_) => Vec::new(),
    }
}

/// How much of a body that is too large is read and dropped: a client that is still sending would otherwise see a broken
/// connection in place of the answer.
const DROPPED_MOST: usize = 16 << 20;

async fn read_body(body: Body, headers: &HeaderMap, most: usize, time: Duration) -> Result<Bytes, Error> {
    let too_large = || Error::TooLarge(format!("the request's body is larger than {most} bytes"));
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    let asks_first = headers.contains_key(header::EXPECT);
    if announced.is_some_and(|len| len > DROPPED_MOST as u64 || (asks_first && len > most as u64)) {
        return Err(too_large());
    }
    match tokio::time::timeout(time, collect(body, most)).await {
        Err(_) => Err(Error::TooSlow),
        Ok(Ok(Some(bytes))) => Ok(bytes),
        Ok(Ok(None)) => Err(too_large()),
        Ok(Err(error)) => Err(Error::Malformed(format!("the request's body broke off: {error}"))),
    }
}

/// The whole body, or `None` if it is larger than `most` bytes.
async fn collect(mut body: Body, most: usize) -> Result<Option<Bytes>, axum::Error> {
    let mut bytes = Vec::new();
    let mut seen = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        seen += data.len();
        if seen <= most {
            bytes.extend_from_slice(&data);
        } else if seen > DROPPED_MOST {
            break;
        }
    }
    Ok((seen <= most).then(|| bytes.into()))
}
