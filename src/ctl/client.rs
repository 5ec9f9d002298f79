//! The HTTP client: one method a call, typed answers, errors that name the address.

use std::{error::Error as _, time::Duration};

use reqwest::{Method, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    error::{Error, Result},
    wire::{self, AgentSelf, Allocation, Evaluation, Job, JobStub, Node, Registered},
};

/// How long the server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take; blocking queries ask for less, streams have no end.
const ANSWER: Duration = Duration::from_secs(30);
/// Answers longer than this are cut in messages.
const MAX_MESSAGE: usize = 2_000;

/// Where to ask, and as whom.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// `http://HOST:PORT`.
    pub(crate) address: String,
    /// Where the address came from, for errors.
    pub(crate) origin: &'static str,
    /// The secret, sent with every request.
    pub(crate) token: Option<String>,
    /// The namespace of jobs; `*` for all in lists.
    pub(crate) namespace: String,
    /// File with the certificate of the authority to trust, beside those of the system.
    pub(crate) ca_cert: Option<String>,
    /// The region, sent if given.
    pub(crate) region: Option<String>,
}

/// A client of one server.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    target: Target,
}

type Query<'a> = [(&'a str, &'a str)];

impl Client {
    /// A client for `target`; nothing is asked yet.
    ///
    /// # Errors
    /// If the address isn't one.
    pub(crate) fn new(target: Target) -> Result<Self> {
        // A second installation fails, which is what "once" means.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let wrong = |reason: String| Error::Address {
            address: target.address.clone(),
            origin: target.origin,
            reason,
        };
        let url = reqwest::Url::parse(&target.address).map_err(|e| wrong(e.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(wrong("it has to begin with http:// or https://".into()));
        }
        let mut http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .user_agent(concat!("ctl/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = &target.ca_cert {
            http = http.tls_certs_merge([authority(path)?]);
        }
        let http = http.build().map_err(|e| wrong(innermost(&e)))?;
        Ok(Client { http, target: Target { address: target.address.trim_end_matches('/').into(), ..target } })
    }

    /// The namespace that jobs are looked for in.
    pub(crate) fn namespace(&self) -> &str {
        &self.target.namespace
    }

    /// The same server, asked about another namespace.
    #[must_use]
    pub(crate) fn within(&self, namespace: &str) -> Self {
        Client {
            target: Target { namespace: namespace.into(), ..self.target.clone() },
            http: self.http.clone(),
        }
    }

    /// Jobs whose id begins so.
    pub(crate) async fn jobs(&self, prefix: &str) -> Result<Vec<JobStub>> {
        self.get("/v1/jobs", &[("prefix", prefix)]).await
    }

    /// A job, if it exists.
    pub(crate) async fn job(&self, id: &str) -> Result<Option<Job>> {
        self.get_opt(&format!("/v1/job/{}", segment(id)), &[]).await
    }

    /// A job exactly as it is stored, if it exists: nothing filled in for what is absent.
    pub(crate) async fn stored_job(&self, id: &str) -> Result<Option<Value>> {
        self.get_opt(&format!("/v1/job/{}", segment(id)), &[("canonical", "true")]).await
    }

    /// Allocations of a job, old ones too.
    pub(crate) async fn job_allocs(&self, id: &str) -> Result<Vec<Allocation>> {
        self.get(&format!("/v1/job/{}/allocations", segment(id)), &[]).await
    }

    /// Evaluations of a job.
    pub(crate) async fn job_evals(&self, id: &str) -> Result<Vec<Evaluation>> {
        self.get(&format!("/v1/job/{}/evaluations", segment(id)), &[]).await
    }

    /// Registers a job: `{"Job": …}` and what goes with it.
    pub(crate) async fn register(&self, body: &Value) -> Result<Registered> {
        let request = self.request(Method::PUT, "/v1/jobs", &[]).json(body).timeout(ANSWER);
        self.decoded("/v1/jobs", self.send(request).await?).await
    }

    /// Stops a job; with `purge` it is forgotten, too.
    pub(crate) async fn deregister(&self, id: &str, purge: bool) -> Result<Registered> {
        let path = format!("/v1/job/{}", segment(id));
        let query: &Query<'_> = if purge { &[("purge", "true")] } else { &[] };
        let request = self.request(Method::DELETE, &path, query).timeout(ANSWER);
        self.decoded(&path, self.send(request).await?).await
    }

    /// An evaluation, if it exists; with `after` the answer waits up to `wait` for a change past that index.
    pub(crate) async fn eval(
        &self,
        id: &str,
        after: Option<u64>,
        wait: Duration,
    ) -> Result<Option<Evaluation>> {
        let (index, wait) = (after.unwrap_or(0).to_string(), format!("{}ms", wait.as_millis()));
        let query: &Query<'_> = &[("index", &index), ("wait", &wait)];
        let path = format!("/v1/evaluation/{}", segment(id));
        self.get_opt(&path, if after.is_some() { query } else { &[] }).await
    }

    /// What an evaluation placed or changed.
    pub(crate) async fn eval_allocs(&self, id: &str) -> Result<Vec<Allocation>> {
        self.get(&format!("/v1/evaluation/{}/allocations", segment(id)), &[]).await
    }

    /// Evaluations whose id begins so.
    pub(crate) async fn evals(&self, prefix: &str) -> Result<Vec<Evaluation>> {
        self.get("/v1/evaluations", &[("prefix", prefix)]).await
    }

    /// Allocations whose id begins so.
    pub(crate) async fn allocs(&self, prefix: &str) -> Result<Vec<Allocation>> {
        self.get("/v1/allocations", &[("prefix", prefix)]).await
    }

    /// An allocation, if it exists.
    pub(crate) async fn alloc(&self, id: &str) -> Result<Option<Allocation>> {
        self.get_opt(&format!("/v1/allocation/{}", segment(id)), &[]).await
    }

    /// Nodes whose id begins so.
    pub(crate) async fn nodes(&self, prefix: &str) -> Result<Vec<Node>> {
        self.get("/v1/nodes", &[("prefix", prefix)]).await
    }

    /// A node, if it exists.
    pub(crate) async fn node(&self, id: &str) -> Result<Option<Node>> {
        self.get_opt(&format!("/v1/node/{}", segment(id)), &[]).await
    }

    /// Allocations on a node, old ones too.
    pub(crate) async fn node_allocs(&self, id: &str) -> Result<Vec<Allocation>> {
        self.get(&format!("/v1/node/{}/allocations", segment(id)), &[]).await
    }

    /// What the agent at the address says of itself.
    pub(crate) async fn agent_self(&self) -> Result<AgentSelf> {
        self.get("/v1/agent/self", &[]).await
    }

    /// A task's output as a stream of bytes; with `follow` it goes on until the task has ended.
    pub(crate) async fn logs(&self, alloc: &str, task: &str, kind: &str, follow: bool) -> Result<Response> {
        let follow = if follow { "true" } else { "false" };
        let query = [("task", task), ("type", kind), ("follow", follow), ("plain", "true")];
        let request = self.request(Method::GET, &format!("/v1/client/fs/logs/{}", segment(alloc)), &query);
        self.send(request).await
    }

    /// An answer as it came, for those who print JSON.
    pub(crate) async fn raw(&self, path: &str, query: &Query<'_>) -> Result<Value> {
        let response = self.send(self.request(Method::GET, path, query).timeout(ANSWER)).await?;
        self.json(path, response).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, query: &Query<'_>) -> Result<T> {
        let response = self.send(self.request(Method::GET, path, query).timeout(ANSWER)).await?;
        self.decoded(path, response).await
    }

    async fn get_opt<T: DeserializeOwned>(&self, path: &str, query: &Query<'_>) -> Result<Option<T>> {
        match self.get(path, query).await {
            Ok(found) => Ok(Some(found)),
            Err(Error::Refused { status: 404, .. }) => Ok(None),
            Err(other) => Err(other),
        }
    }

    fn request(&self, method: Method, path: &str, query: &Query<'_>) -> reqwest::RequestBuilder {
        let target = &self.target;
        let mut request = self.http.request(method, format!("{}{path}", target.address));
        request = request.query(&[("namespace", target.namespace.as_str())]).query(query);
        if let Some(region) = &target.region {
            request = request.query(&[("region", region)]);
        }
        match &target.token {
            Some(token) => request.header("X-Nomad-Token", token),
            None => request,
        }
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Response> {
        let request = request.build().map_err(|e| self.unreachable(&e))?;
        let (method, url) = (request.method().clone(), request.url().clone());
        let response = self.http.execute(request).await.map_err(|e| self.unreachable(&e))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let mut text = response.text().await.unwrap_or_default();
        if text.len() > MAX_MESSAGE {
            text = text.chars().take(MAX_MESSAGE).collect();
            text.push('…');
        }
        let text = match text.trim() {
            "" => status.canonical_reason().unwrap_or("no reason given").to_owned(),
            text => text.to_owned(),
        };
        Err(Error::Refused {
            method: method.to_string(),
            path: url.path().to_owned(),
            status: status.as_u16(),
            text,
        })
    }

    async fn json(&self, path: &str, response: Response) -> Result<Value> {
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(Value::Null);
        }
        let bytes = response.bytes().await.map_err(|e| self.unreachable(&e))?;
        serde_json::from_slice(&bytes).map_err(|e| Error::Answer { path: path.into(), reason: e.to_string() })
    }

    async fn decoded<T: DeserializeOwned>(&self, path: &str, response: Response) -> Result<T> {
        let value = self.json(path, response).await?;
        wire::decode(value).map_err(|e| Error::Answer { path: path.into(), reason: e.to_string() })
    }

    /// The error for a connection that failed or broke.
    pub(crate) fn unreachable(&self, error: &reqwest::Error) -> Error {
        let reason = match error.is_timeout() {
            true => "no answer in time".to_owned(),
            false => innermost(error),
        };
        Error::Unreachable { address: self.target.address.clone(), origin: self.target.origin, reason }
    }
}

/// One segment of a path: job ids hold `/` and whatever else people type.
pub(crate) fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn authority(path: &str) -> Result<reqwest::Certificate> {
    let text = std::fs::read(path).map_err(|source| Error::File { path: path.into(), source })?;
    reqwest::Certificate::from_pem(&text).map_err(|error| {
        Error::usage(format!("--ca-cert {path}: {}", innermost(&error)), "It is a file of PEM texts.")
    })
}

/// The cause at the bottom: "connection refused" rather than "error sending request".
pub(crate) fn innermost(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    let mut text = error.to_string();
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    // "Connection refused (os error 111)" says it twice.
    match text.find(" (os error") {
        Some(at) => text[..at].to_lowercase(),
        None => text,
    }
}
