use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use base64::Engine as _;
use encamp_model::{AllocId, EvalId, NodeId};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::lab::{Lab, node, web};
use crate::{ApiConfig, LocalAgent, LogChunk, LogError, LogPosition, LogSource, Origin, Token};

pub(super) const ALLOC: u128 = 0xa1;

/// An agent whose one allocation has one task, `server`, that prints what the test says.
#[derive(Default)]
pub(super) struct FakeAgent {
    /// Files by number; `None`: not there yet.
    pub(super) files: Mutex<Option<BTreeMap<u64, Vec<u8>>>>,
    pub(super) ended: Mutex<bool>,
    pub(super) servers: Vec<String>,
}

impl FakeAgent {
    pub(super) fn with(files: &[(u64, &str)]) -> Arc<Self> {
        let files = files.iter().map(|(n, text)| (*n, text.as_bytes().to_vec())).collect();
        Arc::new(FakeAgent { files: Mutex::new(Some(files)), ..FakeAgent::default() })
    }

    fn print(&self, file: u64, text: &str) {
        let mut files = self.files.lock().unwrap();
        files.get_or_insert_default().entry(file).or_default().extend_from_slice(text.as_bytes());
    }

    fn end(&self) {
        *self.ended.lock().unwrap() = true;
    }

    fn check(&self, source: &LogSource) -> Result<BTreeMap<u64, Vec<u8>>, LogError> {
        if source.alloc != AllocId::from_bits(ALLOC) {
            return Err(LogError::UnknownAlloc(source.alloc));
        }
        if source.task != "server" {
            return Err(LogError::UnknownTask(source.task.clone()));
        }
        let files = self.files.lock().unwrap().clone();
        files.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound).into())
    }
}

#[async_trait]
impl LocalAgent for FakeAgent {
    fn node_id(&self) -> NodeId {
        node()
    }

    fn api_servers(&self) -> Vec<String> {
        self.servers.clone()
    }

    fn stats(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("num_allocations".to_owned(), "1".to_owned())])
    }

    fn problem(&self) -> Option<String> {
        None
    }

    async fn seek_log(
        &self,
        source: &LogSource,
        origin: Origin,
        offset: u64,
    ) -> Result<LogPosition, LogError> {
        let files = self.check(source)?;
        let total: u64 = files.values().map(|f| f.len() as u64).sum();
        let mut left = if origin == Origin::Start { offset } else { total.saturating_sub(offset) };
        for (file, bytes) in &files {
            if left < bytes.len() as u64 {
                return Ok(LogPosition { file: *file, offset: left });
            }
            left -= bytes.len() as u64;
        }
        let last = files.last_key_value();
        Ok(last.map_or(LogPosition::default(), |(n, b)| LogPosition { file: *n, offset: b.len() as u64 }))
    }

    async fn read_log(&self, source: &LogSource, at: LogPosition, len: usize) -> Result<LogChunk, LogError> {
        for (file, bytes) in self.check(source)?.range(at.file..) {
            let offset = if *file == at.file { at.offset } else { 0 };
            let rest = &bytes[usize::try_from(offset).unwrap()..];
            if !rest.is_empty() {
                let bytes = rest[..rest.len().min(len)].to_vec();
                let next = LogPosition { file: *file, offset: offset + bytes.len() as u64 };
                return Ok(LogChunk { bytes, from: LogPosition { file: *file, offset }, next });
            }
        }
        Ok(LogChunk { bytes: Vec::new(), from: at, next: at })
    }

    fn may_print(&self, _: &LogSource) -> bool {
        !*self.ended.lock().unwrap()
    }
}

/// A process with that agent, and its allocation placed.
async fn lab_with(agent: Arc<FakeAgent>) -> Lab {
    let lab = Lab::with(ApiConfig::new("127.0.0.1:4646"), Some(agent)).await;
    placed(&lab, "127.0.0.1:1").await;
    lab
}

pub(super) async fn placed(lab: &Lab, http_addr: &str) {
    lab.join(node(), http_addr).await;
    let eval: EvalId = lab.register(&web("web")).await["EvalID"].as_str().unwrap().parse().unwrap();
    lab.place(node(), AllocId::from_bits(ALLOC), &lab.declared("web"), eval).await;
}

fn path(rest: &str) -> String {
    format!("/v1/client/fs/logs/{}?task=server&type=stdout{rest}", AllocId::from_bits(ALLOC))
}

/// Frames as `file@offset:text`.
fn frames(text: &str) -> Vec<String> {
    let values = serde_json::Deserializer::from_str(text).into_iter::<Value>().map(Result::unwrap);
    let shown = values.map(|frame| match frame["Data"].as_str() {
        None => "heartbeat".to_owned(),
        Some(data) => {
            let data = base64::engine::general_purpose::STANDARD.decode(data).unwrap();
            format!(
                "{}@{}:{}",
                frame["File"].as_str().unwrap(),
                frame["Offset"],
                String::from_utf8(data).unwrap()
            )
        }
    });
    shown.collect()
}

#[tokio::test(start_paused = true)]
async fn a_log_is_read_across_files_plain_and_in_frames() {
    let agent = FakeAgent::with(&[(3, "one\n"), (4, "two\n"), (7, "three\n")]);
    agent.end();
    let lab = lab_with(agent).await;
    let plain = lab.get(&path("&plain=true")).await;
    assert_eq!(plain.text, "one\ntwo\nthree\n");
    assert!(plain.headers["content-type"].to_str().unwrap().starts_with("text/plain"));
    let framed = lab.get(&path("")).await;
    let expected = [
        "alloc/logs/server.stdout.3@0:one\n",
        "alloc/logs/server.stdout.4@0:two\n",
        "alloc/logs/server.stdout.7@0:three\n",
    ];
    assert_eq!(frames(&framed.text), expected);
    for (rest, text) in [
        ("&offset=5", "wo\nthree\n"),
        ("&offset=3&origin=end", "ee\n"),
        ("&origin=end&offset=10", "two\nthree\n"),
        ("&origin=end", ""),
        ("&offset=999", ""),
        ("&offset=999&origin=end", "one\ntwo\nthree\n"),
        ("&follow=true", "one\ntwo\nthree\n"),
    ] {
        assert_eq!(lab.get(&path(&format!("&plain=true{rest}"))).await.text, text, "{rest}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_followed_log_goes_on_over_rotation_until_the_task_has_ended() {
    let agent = Arc::new(FakeAgent::default());
    let lab = lab_with(agent.clone()).await;
    let prints = async {
        for (file, text) in [(0, "a\n"), (0, "b\n"), (1, "c\n"), (3, "d\n")] {
            tokio::time::sleep(Duration::from_secs(1)).await;
            agent.print(file, text);
        }
        tokio::time::sleep(Duration::from_secs(25)).await;
        // The last words come with the end.
        agent.print(3, "e\n");
        agent.end();
    };
    let (path, plain) = (path("&follow=true"), path("&follow=true&plain=true"));
    let (framed, plain, ()) = tokio::join!(lab.get(&path), lab.get(&plain), prints);
    assert_eq!(plain.text, "a\nb\nc\nd\ne\n");
    let file = |n: u32, rest: &str| format!("alloc/logs/server.stdout.{n}@{rest}");
    let expected = [
        file(0, "0:a\n"),
        file(0, "2:b\n"),
        file(1, "0:c\n"),
        file(3, "0:d\n"),
        "heartbeat".into(),
        "heartbeat".into(),
        file(3, "2:e\n"),
    ];
    assert_eq!(frames(&framed.text), expected);
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_a_log_request_is_said() {
    let lab = lab_with(Arc::new(FakeAgent::default())).await;
    let base = format!("/v1/client/fs/logs/{}", AllocId::from_bits(ALLOC));
    lab.get(&format!("{base}?type=stdout")).await.fails(400, "must provide task name");
    lab.get(&format!("{base}?task=server&type=out")).await.fails(400, "must provide log type");
    lab.get(&format!("{base}?task=other&type=stderr")).await.fails(400, "unknown task name");
    lab.get(&path("&origin=middle")).await.fails(400, "origin");
    lab.get(&path("&offset=x")).await.fails(400, "Invalid offset");
    lab.get(&path("")).await.fails(404, "has not been started yet");
    lab.get("/v1/client/fs/logs/x?task=server&type=stdout").await.fails(500, "UUID must be 36 characters");
    let unknown = path("").replace("a1?", "a2?");
    lab.get(&unknown).await.fails(404, "alloc not found");
}

#[tokio::test]
async fn an_api_passes_on_to_the_agent_and_an_agent_to_the_api() {
    let shutdown = CancellationToken::new();
    let agents = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let agent_addr = agents.local_addr().unwrap().to_string();
    let apis = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api_addr = apis.local_addr().unwrap().to_string();
    let mut config = ApiConfig::new(api_addr.clone());
    config.token = Token::new("sesame");
    let lab = Lab::with(ApiConfig::new("127.0.0.1:4646"), None).await;
    placed(&lab, &agent_addr).await;
    let files = BTreeMap::from([(0, b"hello\n".to_vec())]);
    let agent = Arc::new(FakeAgent {
        files: Mutex::new(Some(files)),
        ended: Mutex::new(true),
        servers: vec!["127.0.0.1:1".into(), api_addr.clone()],
    });
    let mut own = config.clone();
    own.advertise = agent_addr.clone();
    encamp_runtime::task::spawn("agent", crate::serve_agent(agents, own, agent, shutdown.clone()));
    let serving = crate::serve(apis, lab.process.clone(), config, None, shutdown.clone());
    encamp_runtime::task::spawn("api", serving);

    let client = super::tcp::client();
    let get = async |base: &str, path: &str| {
        let request = client.get(format!("http://{base}{path}")).header("X-Nomad-Token", "sesame");
        let reply = request.send().await.unwrap();
        (reply.status().as_u16(), reply.text().await.unwrap())
    };
    assert_eq!(get(&api_addr, &path("&plain=true")).await, (200, "hello\n".to_owned()));
    assert_eq!(get(&agent_addr, &path("&plain=true")).await, (200, "hello\n".to_owned()));
    let (status, jobs) = get(&agent_addr, "/v1/jobs").await;
    assert!(status == 200 && jobs.contains("\"ID\":\"web\""), "{status} {jobs}");
    let (_, own) = get(&agent_addr, "/v1/agent/self").await;
    assert!(own.contains(&node().to_string()), "{own}");
    // Each knows a part only: neither sends it back to the other.
    let elsewhere = path("&plain=true").replace("a1?", "a2?");
    assert_eq!(get(&agent_addr, &elsewhere).await, (404, "alloc not found".to_owned()));
    let bare = client.get(format!("http://{agent_addr}{}", path(""))).send().await.unwrap();
    assert_eq!(bare.status().as_u16(), 403);
    shutdown.cancel();
}

#[tokio::test]
async fn a_follower_is_not_told_an_end_when_the_server_ends() {
    let shutdown = CancellationToken::new();
    let lab = Lab::with(ApiConfig::new("127.0.0.1:4646"), None).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    placed(&lab, &address).await;
    let files = BTreeMap::from([(0, b"hello\n".to_vec())]);
    let agent = Arc::new(FakeAgent { files: Mutex::new(Some(files)), ..FakeAgent::default() });
    let serving = crate::serve_agent(listener, ApiConfig::new(address.clone()), agent, shutdown.clone());
    encamp_runtime::task::spawn("agent", serving);
    let request = super::tcp::client().get(format!("http://{address}{}", path("&plain=true&follow=true")));
    let mut answer = request.send().await.unwrap();
    assert_eq!(answer.chunk().await.unwrap().as_deref(), Some(b"hello\n".as_slice()));
    shutdown.cancel();
    let end = answer.chunk().await;
    assert!(end.is_err(), "broken off, not ended: {end:?}");
}

#[tokio::test]
async fn a_node_that_cannot_be_reached_is_named() {
    let lab = Lab::new().await;
    placed(&lab, "127.0.0.1:1").await;
    lab.get(&path("")).await.fails(502, "cannot reach 127.0.0.1:1");
}

#[tokio::test]
async fn a_log_is_not_passed_round_in_circles() {
    let lab = Lab::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // The node claims the address of the api itself.
    placed(&lab, &address).await;
    let config = ApiConfig::new(address);
    let serving = crate::serve(listener, lab.process.clone(), config, None, lab.shutdown.clone());
    encamp_runtime::task::spawn("api", serving);
    lab.get(&path("")).await.fails(502, "is not served at its own address");
}
