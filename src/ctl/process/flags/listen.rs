//! Where a process serves HTTP, and who may ask.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use clap::Args;
use encamp_api::{ApiConfig, Token};
use tokio::net::TcpListener;

use super::tls::TlsArgs;
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
    /// Certificates.
    #[command(flatten)]
    tls: TlsArgs,
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
        if bound.ip().is_unspecified() && self.advertise.is_none() {
            return Err(Error::usage(
                format!("--bind {} names no address that others could use", bound.ip()),
                "Say under which name or address this process is reached: --advertise HOST.",
            ));
        }
        let mut config = ApiConfig::new(self.advertised(bound));
        if let Some((server, peers)) = self.tls.configs()? {
            (config.tls, config.peers_tls) = (Some(server), Some(peers));
        }
        config.hosts.clone_from(&self.hosts);
        config.token = self.token()?;
        config.insecure = self.insecure;
        config.check(bound).map_err(|exposed| Error::usage(exposed.to_string(), ""))?;
        Ok(config)
    }

    /// What people type to reach the process.
    pub(crate) fn url(config: &ApiConfig) -> String {
        let scheme = if config.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", config.advertise)
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

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;

    fn listen(flags: &[&str]) -> ListenArgs {
        let command = ListenArgs::augment_args(clap::Command::new("x"));
        let words = std::iter::once("x").chain(flags.iter().copied());
        ListenArgs::from_arg_matches(&command.try_get_matches_from(words).unwrap()).unwrap()
    }

    fn bound(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn others_are_told_a_whole_address() {
        let told = |flags: &[&str], at: &str| listen(flags).advertised(bound(at));
        assert_eq!(told(&[], "127.0.0.1:4646"), "127.0.0.1:4646");
        assert_eq!(told(&["--advertise", "10.0.0.5"], "0.0.0.0:4646"), "10.0.0.5:4646");
        assert_eq!(told(&["--advertise", "::1"], "[::]:4646"), "[::1]:4646");
        assert_eq!(told(&["--advertise", "n1.example"], "0.0.0.0:4646"), "n1.example:4646");
        assert_eq!(told(&["--advertise", "n1.example:80"], "0.0.0.0:4646"), "n1.example:80");
    }

    #[test]
    fn an_open_port_needs_tls_and_token_or_the_operators_word() {
        let at = bound("10.0.0.5:4646");
        let refused = listen(&[]).config(at).unwrap_err().render("ctl");
        assert!(refused.contains("TLS and a token") && refused.contains("--insecure"), "{refused}");
        assert!(listen(&["--insecure"]).config(at).is_ok());
        assert!(listen(&[]).config(bound("127.0.0.1:4646")).is_ok());
        let nameless = listen(&["--insecure"]).config(bound("0.0.0.0:4646")).unwrap_err().render("ctl");
        assert!(nameless.contains("--advertise HOST"), "{nameless}");
    }

    #[test]
    fn a_token_file_holds_a_token() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let flags = ["--token-file", path.to_str().unwrap()];
        assert!(listen(&flags).token().unwrap_err().render("ctl").contains("No such file"));
        std::fs::write(&path, " \n").unwrap();
        assert!(listen(&flags).token().unwrap_err().render("ctl").contains("the file is empty"));
        std::fs::write(&path, "s3cret\n").unwrap();
        assert!(listen(&flags).token().unwrap().is_some_and(|token| token.matches("s3cret")));
    }

    #[test]
    fn a_certificate_that_cannot_be_read_is_named_with_its_flag() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.pem");
        std::fs::write(&path, "no pem").unwrap();
        let path = path.to_str().unwrap();
        let flags = ["--tls-cert", path, "--tls-key", path, "--tls-ca", path];
        let error = listen(&flags).config(bound("127.0.0.1:1")).unwrap_err().render("ctl");
        assert!(error.contains("ctl: --tls-key") && error.contains("PEM"), "{error}");
    }
}
