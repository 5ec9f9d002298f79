//! How to reach etcd: endpoints, credentials, timeouts. Checked once, before anything connects.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use etcd_client::{Certificate, ConnectOptions, Identity, TlsOptions};

use crate::Error;

/// How long a connection with a request under way may be silent before HTTP/2 asks for a sign of life. etcd breaks a
/// connection on its third ping if they are less than 5 s apart (`--grpc-keepalive-min-time`), or come while no
/// request is under way; so this is not what notices a frozen server early, but it ends a long list's wait for one.
const PING_INTERVAL: Duration = Duration::from_secs(6);

/// How long the answer to a ping may take.
const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// How to reach etcd. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct Options {
    /// `http://host:port`, `https://host:port` or `host:port` (https if `tls` is given). All of one cluster.
    pub endpoints: Vec<String>,
    /// Needed if an endpoint is https.
    pub tls: Option<Tls>,
    /// Needed if etcd has authentication on. The token is renewed by itself.
    pub user: Option<User>,
    /// How long one request may take, tries on other endpoints included.
    pub request_timeout: Duration,
    /// The same for the list of a whole range, which may be large.
    pub list_timeout: Duration,
    /// The same for a lease's renewal on one endpoint: short beside a lease's time to live, so that an endpoint that
    /// hangs leaves time for another.
    pub keep_alive_timeout: Duration,
    /// How long one connection may take to come about.
    pub connect_timeout: Duration,
    /// How long a watch may be silent before the server is asked for a sign of life...
    pub watch_silence: Duration,
    /// ...and how long it may then take to give one before the watch counts as broken.
    pub watch_timeout: Duration,
    /// Largest answer taken, bytes. A list that is larger is read in parts.
    pub answer_bytes_max: usize,
}

/// TLS: whom to trust, and who we are. PEM texts.
#[derive(Clone)]
pub struct Tls {
    /// Certificate of the authority that signed the server's.
    pub ca: Vec<u8>,
    /// Our certificate and private key, if the server wants one.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    /// The name the server's certificate must be for, if not the endpoint's host.
    pub server_name: Option<String>,
}

/// An etcd user.
#[derive(Clone)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Its password.
    pub password: String,
}

impl Options {
    /// Defaults: 5 s a request, 30 s a list, 1.5 s a lease's renewal, 2 s to connect, 3 s until a watch notices that the server is frozen,
    /// 512 MiB an answer.
    pub fn new(endpoints: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            tls: None,
            user: None,
            request_timeout: Duration::from_secs(5),
            list_timeout: Duration::from_secs(30),
            keep_alive_timeout: Duration::from_millis(1500),
            connect_timeout: Duration::from_secs(2),
            watch_silence: Duration::from_secs(1),
            watch_timeout: Duration::from_secs(2),
            answer_bytes_max: 512 * 1024 * 1024,
        }
    }

    /// The endpoints with their scheme; says what is wrong before anything connects.
    pub(super) fn checked_endpoints(&self) -> Result<Vec<String>, Error> {
        let trimmed = self.endpoints.iter().map(|endpoint| endpoint.trim().trim_end_matches('/'));
        let endpoints: Vec<&str> = trimmed.filter(|endpoint| !endpoint.is_empty()).collect();
        if endpoints.is_empty() {
            return Err(config("no endpoint given; use --etcd http://HOST:2379[,…]"));
        }
        endpoints.into_iter().map(|endpoint| self.with_scheme(endpoint)).collect()
    }

    fn with_scheme(&self, endpoint: &str) -> Result<String, Error> {
        let (scheme, host) = match endpoint.split_once("://") {
            Some(parts) => parts,
            None if self.tls.is_some() => ("https", endpoint),
            None => ("http", endpoint),
        };
        match (scheme, &self.tls) {
            ("http", None) | ("https", Some(_)) => {}
            ("http", Some(_)) => {
                return Err(config(&format!("{endpoint}: TLS options are given but the endpoint is http")));
            }
            ("https", None) => {
                return Err(config(&format!(
                    "{endpoint}: https needs the CA certificate of etcd; where a public \
                     authority signed it: /etc/ssl/certs/ca-certificates.crt"
                )));
            }
            _ => return Err(config(&format!("{endpoint}: must begin with http:// or https://"))),
        }
        if host.is_empty() || host.contains(['/', '?', '#', '@', ' ']) {
            return Err(config(&format!("{endpoint}: must be SCHEME://HOST:PORT and nothing else")));
        }
        Ok(format!("{scheme}://{host}"))
    }

    pub(super) fn connect_options(&self) -> ConnectOptions {
        let mut options = ConnectOptions::new()
            .with_connect_timeout(self.connect_timeout)
            .with_keep_alive(PING_INTERVAL, PING_TIMEOUT)
            .with_keep_alive_while_idle(false);
        if let Some(tls) = &self.tls {
            options = options.with_tls(tls.client_options());
        }
        if let Some(user) = &self.user {
            options = options.with_user(&user.name, &user.password).with_auto_token_refresh(true);
        }
        options
    }
}

impl Tls {
    /// Reads PEM files. `identity` is the certificate's and the key's path.
    ///
    /// # Errors
    /// [`Error::Config`] naming the file that cannot be read.
    pub fn from_files(ca: &Path, identity: Option<(&Path, &Path)>) -> Result<Self, Error> {
        let identity = match identity {
            Some((certificate, key)) => Some((read(certificate)?, read(key)?)),
            None => None,
        };
        Ok(Self { ca: read(ca)?, identity, server_name: None })
    }

    fn client_options(&self) -> TlsOptions {
        let mut options = TlsOptions::new().ca_certificate(Certificate::from_pem(&self.ca));
        if let Some((certificate, key)) = &self.identity {
            options = options.identity(Identity::from_pem(certificate, key));
        }
        match &self.server_name {
            Some(name) => options.domain_name(name),
            None => options,
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|error| config(&format!("cannot read {}: {error}", path.display())))
}

fn config(reason: &str) -> Error {
    Error::Config { reason: reason.to_owned() }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let identity = if self.identity.is_some() { "with" } else { "without" };
        write!(f, "Tls({identity} a client certificate)")
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "User({})", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::{Options, Tls, User};

    fn checked(endpoints: &[&str], tls: bool) -> Result<Vec<String>, String> {
        let mut options = Options::new(endpoints.iter().copied());
        options.tls = tls.then(|| Tls { ca: Vec::new(), identity: None, server_name: None });
        options.checked_endpoints().map_err(|error| error.to_string())
    }

    #[test]
    fn endpoints_get_a_scheme_and_lose_a_slash() {
        assert_eq!(
            checked(&["a:2379", " http://b:1/ ", ""], false),
            Ok(vec!["http://a:2379".into(), "http://b:1".into()])
        );
        assert_eq!(checked(&["a:2379"], true), Ok(vec!["https://a:2379".into()]));
    }

    #[test]
    fn what_cannot_work_is_refused_with_the_reason() {
        let cases: [(&[&str], bool, &str); 6] = [
            (&[], false, "no endpoint"),
            (&["http://a:1"], true, "TLS options are given"),
            (&["https://a:1"], false, "CA certificate"),
            (&["unix://a"], false, "must begin with"),
            (&["http://a:1/path"], false, "nothing else"),
            (&["http://user@a:1"], false, "nothing else"),
        ];
        for (endpoints, tls, reason) in cases {
            let error = checked(endpoints, tls).unwrap_err();
            assert!(error.contains(reason), "{endpoints:?}: {error}");
        }
    }

    #[test]
    fn an_unreadable_file_is_named() {
        let error = Tls::from_files("/nonexistent/ca.pem".as_ref(), None).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/ca.pem"), "{error}");
    }

    #[test]
    fn debug_shows_no_secret() {
        let mut options = Options::new(["a:1"]);
        options.user = Some(User { name: "root".into(), password: "hunter2".into() });
        let identity = Some((b"cert".to_vec(), b"hunter2".to_vec()));
        options.tls = Some(Tls { ca: Vec::new(), identity, server_name: None });
        assert!(!format!("{options:?}").contains("hunter2"));
    }
}
