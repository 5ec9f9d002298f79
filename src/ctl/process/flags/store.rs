//! How to reach etcd.

use std::path::PathBuf;

use clap::Args;
use encamp_model::Keyspace;
use encamp_store::etcd::{EtcdStore, Options, Tls, User};

use crate::error::{Error, Result};

/// Flags about etcd.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "etcd")]
pub(crate) struct StoreArgs {
    /// Endpoints of one etcd cluster
    #[arg(long, env = "CTL_ETCD", value_name = "URL[,URL]", value_delimiter = ',')]
    pub(crate) etcd: Vec<String>,
    /// Where all keys begin
    #[arg(long, env = "CTL_PREFIX", value_name = "PREFIX", default_value = "/encamp/")]
    pub(crate) prefix: String,
    /// Certificate of the authority that signed etcd's
    #[arg(long, env = "CTL_ETCD_CA", value_name = "FILE")]
    pub(crate) etcd_ca: Option<PathBuf>,
    /// Our certificate, if etcd wants one
    #[arg(long, env = "CTL_ETCD_CERT", value_name = "FILE", requires = "etcd_key")]
    pub(crate) etcd_cert: Option<PathBuf>,
    /// Its private key
    #[arg(long, env = "CTL_ETCD_KEY", value_name = "FILE", requires = "etcd_cert")]
    pub(crate) etcd_key: Option<PathBuf>,
    /// User, if etcd has authentication on
    #[arg(long, env = "CTL_ETCD_USER", value_name = "NAME", requires = "etcd_password_file")]
    pub(crate) etcd_user: Option<String>,
    /// File with that user's password
    #[arg(long, env = "CTL_ETCD_PASSWORD_FILE", value_name = "FILE", requires = "etcd_user")]
    pub(crate) etcd_password_file: Option<PathBuf>,
}

impl StoreArgs {
    /// The store; connects when it is first used.
    ///
    /// # Errors
    /// If no endpoint is given, one is wrong, or a file cannot be read.
    pub(crate) fn store(&self) -> Result<EtcdStore> {
        if self.etcd.iter().all(|endpoint| endpoint.trim().is_empty()) {
            return Err(Error::usage(
                "no etcd is given",
                "Give --etcd URL[,URL], or CTL_ETCD in the environment. `ctl dev` brings its own.",
            ));
        }
        let mut options = Options::new(self.etcd.iter().cloned());
        options.tls = self.tls()?;
        options.user = self.user()?;
        EtcdStore::new(options).map_err(|error| {
            Error::usage(error.to_string(), "Endpoints are given by --etcd or CTL_ETCD, as http://HOST:2379.")
        })
    }

    /// How keys are spelled.
    ///
    /// # Errors
    /// If the prefix cannot be one.
    pub(crate) fn keyspace(&self) -> Result<Keyspace> {
        let inner = self.prefix.trim_matches('/');
        if !self.prefix.starts_with('/') || inner.is_empty() || self.prefix.contains(['~', '\0']) {
            return Err(Error::usage(
                format!("--prefix {:?} cannot be one", self.prefix),
                "It begins with / and names at least one folder, without ~: /encamp/",
            ));
        }
        Ok(Keyspace::new(&self.prefix))
    }

    fn tls(&self) -> Result<Option<Tls>> {
        let identity = self.etcd_cert.as_deref().zip(self.etcd_key.as_deref());
        let Some(ca) = &self.etcd_ca else {
            return match identity {
                None => Ok(None),
                Some(_) => Err(Error::usage(
                    "--etcd-cert without --etcd-ca",
                    "Give the certificate of the authority that signed etcd's with --etcd-ca FILE.",
                )),
            };
        };
        let tls = Tls::from_files(ca, identity);
        tls.map(Some).map_err(|error| Error::usage(error.to_string(), "The files are PEM texts."))
    }

    fn user(&self) -> Result<Option<User>> {
        let (Some(name), Some(path)) = (&self.etcd_user, &self.etcd_password_file) else { return Ok(None) };
        let read = std::fs::read_to_string(path);
        let text = read.map_err(|source| Error::File { path: path.display().to_string(), source })?;
        Ok(Some(User { name: name.clone(), password: text.trim_end_matches(['\r', '\n']).to_owned() }))
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;

    fn args(flags: &[&str]) -> StoreArgs {
        let command = StoreArgs::augment_args(clap::Command::new("x"));
        let words = std::iter::once("x").chain(flags.iter().copied());
        StoreArgs::from_arg_matches(&command.try_get_matches_from(words).unwrap()).unwrap()
    }

    fn refused(flags: &[&str]) -> String {
        match args(flags).store() {
            Ok(_) => panic!("{flags:?} was accepted"),
            Err(error) => error.render("ctl"),
        }
    }

    #[test]
    fn what_cannot_reach_an_etcd_is_refused_before_anything_connects() {
        assert!(refused(&[]).contains("--etcd URL"));
        assert!(refused(&["--etcd", "ftp://h:1"]).contains("http://"));
        assert!(refused(&["--etcd", "https://h:1"]).contains("CA certificate"));
        assert!(refused(&["--etcd", "https://h:1", "--etcd-ca", "/nonexistent"]).contains("/nonexistent"));
        let pair = ["--etcd", "h:1", "--etcd-cert", "/c", "--etcd-key", "/k"];
        assert!(refused(&pair).contains("--etcd-ca FILE"));
        let user = ["--etcd", "h:1", "--etcd-user", "u", "--etcd-password-file", "/nonexistent/p"];
        assert!(refused(&user).contains("/nonexistent/p"));
        assert!(args(&["--etcd", "http://a:1,b:2"]).store().is_ok());
    }

    #[test]
    fn a_prefix_is_a_folder() {
        let prefix = |text: &str| args(&["--prefix", text]).keyspace();
        assert_eq!(prefix("/a/b").unwrap().prefix(), "/a/b/");
        for text in ["", "/", "//", "encamp/", "/en~camp/"] {
            assert!(prefix(text).is_err(), "{text:?}");
        }
    }
}
