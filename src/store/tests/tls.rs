//! https and client certificates.

use std::path::Path;

use encamp_store::etcd::{EtcdStore, Tls};
use encamp_store::{Error, Options, Range, Store};
use encamp_testkit::{Etcd, EtcdOptions, TlsFiles};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

use crate::support::{batch, created, put};

/// An authority, and what it signed, as PEM files in a folder.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Signs a certificate for 127.0.0.1, good for servers and clients; writes NAME.pem and NAME.key.
    fn sign(&self, folder: &Path, name: &str) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
        std::fs::write(folder.join("ca.pem"), &self.pem).unwrap();
    }
}

async fn spawn(folder: &Path) -> Etcd {
    let authority = Authority::new();
    authority.sign(folder, "server");
    authority.sign(folder, "client");
    let [ca, cert, key] = ["ca.pem", "server.pem", "server.key"].map(|file| folder.join(file));
    Etcd::spawn_with(EtcdOptions { tls: Some(TlsFiles { ca, cert, key }), ..EtcdOptions::default() }).await
}

fn store(etcd: &Etcd, tls: Tls) -> EtcdStore {
    let mut options = Options::new([etcd.url()]);
    options.tls = Some(tls);
    EtcdStore::new(options).expect("the options fit")
}

#[tokio::test]
async fn with_the_certificate_everything_works() {
    let folder = tempfile::tempdir().unwrap();
    let etcd = spawn(folder.path()).await;
    let [ca, cert, key] = ["ca.pem", "client.pem", "client.key"].map(|file| folder.path().join(file));
    let store = store(&etcd, Tls::from_files(&ca, Some((&cert, &key))).unwrap());
    let written = put(&store, "a", "1").await;
    let mut watch = store.watch(Range::all(), written);
    created(&mut watch).await;
    assert_eq!(batch(&mut watch).await.revision, written);
    let lease = store.lease_grant(std::time::Duration::from_secs(60)).await.unwrap();
    store.lease_keep_alive(lease).await.unwrap();
}

#[tokio::test]
async fn without_a_certificate_or_under_another_authority_nothing_does() {
    let folder = tempfile::tempdir().unwrap();
    let etcd = spawn(folder.path()).await;
    let nobody = store(&etcd, Tls::from_files(&folder.path().join("ca.pem"), None).unwrap());
    let error = nobody.list(&Range::all()).await.unwrap_err();
    assert!(error.to_string().contains("no client certificate is given"), "says what is missing: {error}");
    let stranger = Tls { ca: Authority::new().pem.into_bytes(), identity: None, server_name: None };
    let error = store(&etcd, stranger).list(&Range::all()).await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
    assert!(error.to_string().to_lowercase().contains("certificate"), "{error}");
}
