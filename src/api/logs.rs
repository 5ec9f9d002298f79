//! `/v1/client/fs/logs/:alloc`: what a task printed, from the agent that has it; followed, if asked, while it prints.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use base64::Engine as _;
use encamp_model::AllocId;
use futures::stream;
use serde::Serialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    auth::Action,
    call::{Api, Call},
    error::Error,
    local::{LocalAgent, LogChunk, LogError, LogPosition, LogSource, Origin, Stream},
    proxy::{PASSED_ON, Passed, pass_on},
    query::Query,
    routes::Routes,
};

/// Most bytes read at a time.
const CHUNK: usize = 64 << 10;
/// How often the end of a followed log is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How often an empty frame tells a follower that we are alive.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Time for an agent to begin its answer.
const AGENT_TIME: Duration = Duration::from_secs(30);

pub(crate) fn routes() -> Routes<Api> {
    Routes::new().get("/v1/client/fs/logs/{alloc}", Action::ReadLogs, logs)
}

/// What is wanted of a log.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    source: LogSource,
    origin: Origin,
    offset: u64,
    follow: bool,
    plain: bool,
}

impl Wanted {
    /// Reads the parameters.
    pub(crate) fn parse(alloc: &str, query: &Query) -> Result<Self, Error> {
        let alloc: AllocId = crate::ids::parse("alloc", alloc)?;
        let malformed = |text: &str| Error::Malformed(text.to_owned());
        let task = query.given("task").ok_or_else(|| malformed("must provide task name"))?.to_owned();
        let stream = match query.given("type") {
            Some("stdout") => Stream::Stdout,
            Some("stderr") => Stream::Stderr,
            _ => return Err(malformed("must provide log type with value \"stdout\" or \"stderr\"")),
        };
        let origin = match query.given("origin") {
            None | Some("start") => Origin::Start,
            Some("end") => Origin::End,
            Some(_) => return Err(malformed("the origin must be \"start\" or \"end\"")),
        };
        Ok(Wanted {
            source: LogSource { alloc, task, stream },
            origin,
            offset: query.number("offset")?,
            follow: query.flag("follow"),
            plain: query.flag("plain"),
        })
    }
}

async fn logs(call: Call) -> Result<Response, Error> {
    let wanted = Wanted::parse(call.param("alloc"), &call.query)?;
    let id = wanted.source.alloc;
    let world = match call.world().await {
        Ok(world) => world,
        // Logs are most wanted when things are down: what was known of the allocation will do.
        Err(error) => Some(call.api.process.world()).filter(|w| w.alloc(id).is_some()).ok_or(error)?,
    };
    let Some(entry) = world.alloc(id) else { return Err(Error::NotFound { what: "alloc", meta: None }) };
    if let Some(agent) = call.api.agent.clone().filter(|agent| agent.node_id() == entry.node) {
        return local(agent, wanted, call.api.shutdown.clone()).await;
    }
    if call.headers.get(PASSED_ON).is_some_and(|from| from == "api") {
        // Its address led here, where it is not: passing it on again would go round in circles.
        return Err(Error::NodeUnreachable(format!("node {} is not served at its own address", entry.node)));
    }
    let Some(info) = world.node(entry.node).and_then(|node| node.info.as_ref()) else {
        return Err(Error::NodeUnreachable(format!(
            "node {} of allocation {id} is not known any more",
            entry.node
        )));
    };
    let mut headers = HeaderMap::new();
    if let Some(token) = &call.api.config.token {
        let value = HeaderValue::from_str(token.reveal());
        let mut value = value.map_err(|_| Error::Internal("the token is no header value".to_owned()))?;
        value.set_sensitive(true);
        headers.insert(HeaderName::from_static("x-nomad-token"), value);
    }
    let passed = Passed {
        address: &info.http_addr,
        tls: call.api.config.peers_tls.as_ref(),
        method: call.method.clone(),
        path: call.uri.path_and_query().map_or("/", |path| path.as_str()),
        headers,
        body: Bytes::new(),
        from: "api",
        time: AGENT_TIME,
    };
    pass_on(passed).await
}

/// One frame of an answer that is not plain: its bytes stand at this offset of this file.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Frame {
    file: String,
    offset: u64,
    data: String,
}

/// Answers from this process's own agent.
pub(crate) async fn local(
    agent: Arc<dyn LocalAgent>,
    wanted: Wanted,
    shutdown: CancellationToken,
) -> Result<Response, Error> {
    let at = match agent.seek_log(&wanted.source, wanted.origin, wanted.offset).await {
        Ok(at) => at,
        // It will be there when the task starts.
        Err(error) if wanted.follow && is_absent(&error) && agent.may_print(&wanted.source) => {
            LogPosition::default()
        }
        Err(error) => return Err(failure(&wanted.source, &error)),
    };
    let content = if wanted.plain { "text/plain; charset=utf-8" } else { "application/json" };
    let reader = Reader { agent, wanted, at, shutdown, told: Instant::now() };
    let pieces = stream::unfold(Some(reader), |reader| async move { reader?.next().await });
    let mut response = Body::from_stream(pieces).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content));
    Ok(response)
}

fn is_absent(error: &LogError) -> bool {
    matches!(error, LogError::Io(io) if io.kind() == std::io::ErrorKind::NotFound)
}

fn failure(source: &LogSource, error: &LogError) -> Error {
    match error {
        LogError::UnknownAlloc(_) => Error::Missing(error.to_string()),
        LogError::UnknownTask(_) => Error::Malformed(error.to_string()),
        _ if is_absent(error) => {
            Error::Missing(format!("task {:?} has not been started yet; no logs available", source.task))
        }
        LogError::Io(_) => Error::Internal(error.to_string()),
    }
}

fn shutting_down() -> LogError {
    LogError::Io(std::io::Error::other("this server is shutting down"))
}

/// Reads on, piece by piece. Dropped with the answer when its reader goes away.
struct Reader {
    agent: Arc<dyn LocalAgent>,
    wanted: Wanted,
    at: LogPosition,
    shutdown: CancellationToken,
    /// When the follower heard of us last.
    told: Instant,
}

type Piece = Result<Bytes, LogError>;

impl Reader {
    /// The next piece, and the reader if there may be more.
    async fn next(mut self) -> Option<(Piece, Option<Self>)> {
        loop {
            // Asked before reading: what was printed before the end is read even if the end comes in between.
            let more = self.wanted.follow && self.agent.may_print(&self.wanted.source);
            match self.agent.read_log(&self.wanted.source, self.at, CHUNK).await {
                Ok(chunk) => {
                    self.at = chunk.next;
                    if !chunk.bytes.is_empty() {
                        self.told = Instant::now();
                        return Some((Ok(self.piece(chunk)), Some(self)));
                    }
                }
                Err(error) if is_absent(&error) => {}
                Err(error) => return Some((Err(error), None)),
            }
            if !more {
                return None;
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                // Broken off, not ended: whoever reads would take the one for the other.
                () = self.shutdown.cancelled() => return Some((Err(shutting_down()), None)),
            }
            if !self.wanted.plain && self.told.elapsed() >= HEARTBEAT {
                self.told = Instant::now();
                return Some((Ok(Bytes::from_static(b"{}")), Some(self)));
            }
        }
    }

    fn piece(&self, chunk: LogChunk) -> Bytes {
        if self.wanted.plain {
            return chunk.bytes.into();
        }
        let LogSource { task, stream, .. } = &self.wanted.source;
        let frame = Frame {
            file: format!("alloc/logs/{task}.{}.{}", stream.as_str(), chunk.from.file),
            offset: chunk.from.offset,
            data: base64::engine::general_purpose::STANDARD.encode(chunk.bytes),
        };
        serde_json::to_vec(&frame).expect("a frame is two texts and a number").into()
    }
}
