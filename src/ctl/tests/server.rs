//! A server that answers what it was told to, and remembers what it was asked.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use futures::StreamExt as _;
use serde_json::Value;

use crate::{Exit, Screen};

/// When the screens are taken: 2026-11-22T12:00:00Z.
pub(super) const NOW: i64 = 1_795_348_800_000_000_000;

/// The instant some seconds before [`NOW`].
pub(super) fn ago(seconds: i64) -> i64 {
    NOW - seconds * 1_000_000_000
}

#[derive(Clone, Debug)]
struct Answer {
    status: u16,
    body: String,
    /// The connection breaks after the body.
    cut: bool,
}

/// Answers by `METHOD /path`; of several for one the last is given from then on.
#[derive(Default)]
pub(super) struct Mock {
    answers: BTreeMap<String, Vec<Answer>>,
}

struct Shared {
    answers: Mutex<BTreeMap<String, Vec<Answer>>>,
    asked: Mutex<Vec<String>>,
}

/// A running mock.
pub(super) struct Server {
    address: String,
    shared: Arc<Shared>,
}

impl Mock {
    pub(super) fn new() -> Self {
        Mock::default()
    }

    /// `on("GET /v1/jobs", json)`.
    pub(super) fn on(self, what: &str, body: Value) -> Self {
        self.text(what, 200, &body.to_string())
    }

    pub(super) fn text(self, what: &str, status: u16, body: &str) -> Self {
        self.answer(what, Answer { status, body: body.to_owned(), cut: false })
    }

    /// Answers with a text that breaks off.
    pub(super) fn cut(self, what: &str, body: &str) -> Self {
        self.answer(what, Answer { status: 200, body: body.to_owned(), cut: true })
    }

    fn answer(mut self, what: &str, answer: Answer) -> Self {
        self.answers.entry(what.to_owned()).or_default().push(answer);
        self
    }

    pub(super) fn start(self) -> Server {
        let shared = Arc::new(Shared { answers: Mutex::new(self.answers), asked: Mutex::default() });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(shared.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, router).await.unwrap();
            });
        });
        Server { address, shared }
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response {
    let what = format!("{} {}", request.method(), request.uri().path());
    let mut asked = format!("{} {}", request.method(), request.uri());
    if let Some(token) = request.headers().get("X-Nomad-Token") {
        asked.push_str(&format!(" token={}", token.to_str().unwrap()));
    }
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
    if !body.is_empty() {
        asked.push_str(&format!(" {}", String::from_utf8_lossy(&body)));
    }
    shared.asked.lock().unwrap().push(asked);
    let mut answers = shared.answers.lock().unwrap();
    let Some(queue) = answers.get_mut(&what) else {
        return (StatusCode::NOT_FOUND, format!("the mock has no answer to {what}")).into_response();
    };
    let answer = if queue.len() > 1 { queue.remove(0) } else { queue[0].clone() };
    let status = StatusCode::from_u16(answer.status).unwrap();
    if answer.cut {
        let cut = async {
            // A pause lets the text out before.
            tokio::task::yield_now().await;
            Err(io::Error::other("cut"))
        };
        let pieces = futures::stream::once(async { Ok(answer.body) }).chain(futures::stream::once(cut));
        return (status, Body::from_stream(pieces)).into_response();
    }
    (status, [(header::CONTENT_TYPE, "application/json")], answer.body).into_response()
}

/// What a run of the program left.
pub(super) struct Ran {
    pub(super) exit: Exit,
    pub(super) out: String,
    pub(super) err: String,
}

impl Ran {
    /// The screen is exactly this, and fits 80 columns but for Nomad's own lines with a whole id.
    #[track_caller]
    pub(super) fn shows(&self, exit: Exit, lines: &[&str]) {
        let seen: Vec<&str> = self.out.lines().collect();
        assert_eq!(
            (self.exit, &seen[..]),
            (exit, lines),
            "on stdout:\n{}\non stderr:\n{}",
            self.out,
            self.err
        );
        for line in seen {
            assert!(line.chars().count() <= 80 || line.starts_with("==>"), "wider than 80 columns: {line:?}");
        }
    }

    /// It ended with 1, printed no data, and said all of this.
    #[track_caller]
    pub(super) fn fails(&self, parts: &[&str]) {
        assert_eq!((self.exit, self.out.as_str()), (Exit::Error, ""), "on stderr:\n{}", self.err);
        for part in parts {
            assert!(self.err.contains(part), "{part:?} is not in:\n{}", self.err);
        }
    }
}

impl Server {
    /// Runs `ctl` with these words against the server.
    pub(super) fn ctl(&self, words: &[&str]) -> Ran {
        let mut all = vec!["--address", &self.address];
        all.extend(words);
        ctl(&all)
    }

    /// What it was asked, in order: `METHOD /path?query body`.
    pub(super) fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap().clone()
    }
}

/// Runs `ctl` with these words.
pub(super) fn ctl(words: &[&str]) -> Ran {
    named("ctl", words)
}

/// Runs the program under a name.
pub(super) fn named(program: &str, words: &[&str]) -> Ran {
    let (out, err) = (Buffer::default(), Buffer::default());
    let words = std::iter::once(program).chain(words.iter().copied()).map(String::from).collect();
    let exit = crate::run_at(words, Screen::new(out.clone(), err.clone()), NOW);
    Ran { exit, out: out.take(), err: err.take() }
}

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
