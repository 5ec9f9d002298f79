//! What an api process is told at its start, and the check that it is not exposed by accident.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

/// A secret that callers present. Never printed.
#[derive(Clone)]
pub struct Token(Arc<str>);

impl Token {
    /// From its text; surrounding white space (a file's last newline) does not count. `None` if nothing is left.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Token(Arc::from(text)))
    }

    /// Is this the token? Takes the same time whichever byte differs.
    pub fn matches(&self, presented: &str) -> bool {
        let (ours, theirs) = (self.0.as_bytes(), presented.as_bytes());
        let mut difference = u8::from(ours.len() != theirs.len());
        for (i, byte) in ours.iter().enumerate() {
            difference |= byte ^ theirs.get(i).copied().unwrap_or(!byte);
        }
        std::hint::black_box(difference) == 0
    }

    /// The text, for the header of a request that we make ourselves.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Bounds on what one client can make us hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a request's body; more is answered 413.
    pub body: usize,
    /// Time for a request's head, which is also how long an idle connection is kept.
    pub head_time: Duration,
    /// Time for a request's body.
    pub body_time: Duration,
    /// Connections at a time; more wait in the listen queue.
    pub connections: usize,
    /// Time that requests under way have at shutdown.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            body: 1 << 20,
            head_time: Duration::from_secs(30),
            body_time: Duration::from_secs(30),
            connections: 2048,
            drain: Duration::from_secs(3),
        }
    }
}

/// The settings of one process's HTTP API.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// The process's name, as `agent/self` and `agent/members` show it.
    pub name: String,
    /// Our region: requests for another one are refused.
    pub region: String,
    /// The datacenter shown by `agent/self`.
    pub datacenter: String,
    /// `ip:port` (or `host:port`) under which others reach this API.
    pub advertise: String,
    /// Further host names that are ours. Loopback, `advertise` and the address of the connection always are.
    pub hosts: Vec<String>,
    /// What callers must present; `None`: nothing, which [`ApiConfig::check`] allows on loopback only.
    pub token: Option<Token>,
    /// Serve TLS with this.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Speak TLS with this to agents and api processes; `None`: plain HTTP.
    pub peers_tls: Option<Arc<rustls::ClientConfig>>,
    /// The operator accepts an address beyond loopback without TLS and token.
    pub insecure: bool,
    /// Bounds.
    pub limits: Limits,
}

impl ApiConfig {
    /// Settings for a process that is reached under `advertise`, with the defaults for all else.
    pub fn new(advertise: impl Into<String>) -> Self {
        ApiConfig {
            name: "encamp".to_owned(),
            region: "global".to_owned(),
            datacenter: "dc1".to_owned(),
            advertise: advertise.into(),
            hosts: Vec::new(),
            token: None,
            tls: None,
            peers_tls: None,
            insecure: false,
            limits: Limits::default(),
        }
    }

    /// May this be served on `bound`? Whoever can write here can run commands on every node, so that anything but
    /// loopback needs TLS and a token, or the operator's word.
    ///
    /// # Errors
    /// What is missing, and the ways out.
    pub fn check(&self, bound: SocketAddr) -> Result<(), Exposed> {
        let missing = match (self.tls.is_some(), self.token.is_some()) {
            (true, true) => return Ok(()),
            (false, true) => "TLS",
            (true, false) => "a token",
            (false, false) => "TLS and a token",
        };
        if self.insecure || bound.ip().is_loopback() {
            return Ok(());
        }
        Err(Exposed { bound, missing })
    }
}

/// A listener that anybody could use to run commands on every node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "refusing to serve the API on {bound} without {missing}: whoever reaches it can run commands on every node; \
     bind to a loopback address, give a certificate and a token file, or pass --insecure"
)]
pub struct Exposed {
    /// Where it would listen.
    pub bound: SocketAddr,
    /// What is missing.
    pub missing: &'static str,
}
