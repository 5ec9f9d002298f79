//! TLS of the HTTP API: our certificate for callers, and whom we trust when we call agents and api processes.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
};

use crate::error::{Error, Result};

/// Flags about TLS. All three or none.
#[derive(Args, Clone, Debug)]
pub(crate) struct TlsArgs {
    /// Our certificate, with those between it and the authority's
    #[arg(long, env = "CTL_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its private key
    #[arg(long, env = "CTL_TLS_KEY", value_name = "FILE", requires = "tls_ca")]
    tls_key: Option<PathBuf>,
    /// Certificate of the authority that signed those of agents and api processes
    #[arg(long, env = "CTL_TLS_CA", value_name = "FILE", requires = "tls_cert")]
    tls_ca: Option<PathBuf>,
}

/// What callers see, and what we use as a caller.
type Configs = (Arc<ServerConfig>, Arc<ClientConfig>);

impl TlsArgs {
    /// Both sides, if TLS was asked for.
    ///
    /// # Errors
    /// If a file cannot be read, or they do not fit together.
    pub(crate) fn configs(&self) -> Result<Option<Configs>> {
        let (Some(cert), Some(key), Some(ca)) = (&self.tls_cert, &self.tls_key, &self.tls_ca) else {
            return Ok(None);
        };
        let private =
            PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable("--tls-key", key, error))?;
        let server = ServerConfig::builder().with_no_client_auth();
        let server =
            server.with_single_cert(certificates("--tls-cert", cert)?, private).map_err(|error| {
                let (cert, key) = (cert.display(), key.display());
                Error::usage(
                    format!("--tls-cert {cert} and --tls-key {key}: {error}"),
                    "They have to be a pair.",
                )
            })?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates("--tls-ca", ca)? {
            roots.add(certificate).map_err(|error| unreadable("--tls-ca", ca, error))?;
        }
        let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Ok(Some((Arc::new(server), Arc::new(client))))
    }
}

fn certificates(flag: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if certificates.is_empty() => Err(unreadable(flag, path, pem::Error::NoItemsFound)),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(unreadable(flag, path, error)),
    }
}

fn unreadable(flag: &str, path: &Path, error: impl std::fmt::Display) -> Error {
    Error::usage(format!("{flag} {}: {error}", path.display()), "It is a file of PEM texts.")
}
