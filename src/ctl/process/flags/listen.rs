//! Where a process serves HTTP, and who may ask.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use clap::Args;
use encamp_api::{ApiConfig, Token};
use tokio::net::TcpListener;

use crate::error::{Error, Result};

/// Flags about the HTTP API.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "HTTP")]
pub(crate) struct ListenArgs {
    /// Address to listen on
    #[arg(long, env = "CTL_BIND", value_name = "IP", default_value = "127.0.0.1")]
    pub(crate) bind: IpAddr,
    /// Port to listen on; 0 takes a free one
    #[arg(long, env = "CTL_HTTP_PORT", value_name = "PORT", default_value_t = 4646)]
    pub(crate) http_port: u16,
    /// Address under which others reach this process, if not the one it listens on
    #[arg(long, env = "CTL_ADVERTISE", value_name = "HOST[:PORT]")]
    pub(crate) advertise: Option<String>,
    /// Further names under which requests may address this process
    #[arg(long = "host", env = "CTL_HOSTS", value_name = "NAME", value_delimiter = ',')]
    pub(crate) hosts: Vec<String>,
    /// File with the secret that callers must present
    #[arg(long, env = "CTL_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Serve beyond loopback without TLS and token, all the same
    #[arg(long, env = "CTL_INSECURE")]
    pub(crate) insecure: bool,
}

impl ListenArgs {
    /// The secret, if one is set.
    ///
    /// # Errors
    /// If its file cannot be read, or is empty.
    pub(crate) fn token(&self) -> Result<Option<Token>> {
        let Some(path) = &self.token_file else { return Ok(None) };
        let path = path.display().to_string();
        let text =
            std::fs::read_to_string(&path).map_err(|source| Error::File { path: path.clone(), source })?;
        let token = Token::new(&text).ok_or_else(|| {
            Error::usage(format!("--token-file {path}: the file is empty"), "It holds one line, the secret.")
        })?;
        Ok(Some(token))
    }

    /// Opens the port.
    ///
    /// # Errors
    /// If it is taken or not to be had.
    pub(crate) async fn listener(&self) -> Result<TcpListener> {
        let at = SocketAddr::new(self.bind, self.http_port);
        TcpListener::bind(at).await.map_err(|error| {
            let next = match error.kind() {
                std::io::ErrorKind::AddrInUse => "Another process has that port: --http-port takes another.",
                _ => "--bind and --http-port say where to listen.",
            };
            Error::process(format!("cannot listen on {at}: {error}"), next)
        })
    }

    /// The API's settings for the socket that was opened.
    ///
    /// # Errors
    /// If it would be open to everybody, or the token cannot be read.
    pub(crate) fn config(&self, bound: SocketAddr) -> Result<ApiConfig> {
        let mut config = ApiConfig::new(self.advertised(bound));
        config.hosts.clone_from(&self.hosts);
        config.token = self.token()?;
        config.insecure = self.insecure;
        config.check(bound).map_err(|exposed| Error::usage(exposed.to_string(), ""))?;
        Ok(config)
    }

    /// `HOST:PORT` under which others reach the process.
    fn advertised(&self, bound: SocketAddr) -> String {
        match &self.advertise {
            None => bound.to_string(),
            Some(host) => match host.parse::<IpAddr>() {
                Ok(ip) => SocketAddr::new(ip, bound.port()).to_string(),
                Err(_) if host.contains(':') => host.clone(),
                Err(_) => format!("{host}:{}", bound.port()),
            },
        }
    }
}
