//! A certificate authority of a test's own, and servers with good and bad certificates.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;

/// A certificate authority that nobody trusts but who is given its file.
#[derive(Debug)]
pub struct Authority {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// A new one of this name.
    ///
    /// # Panics
    /// When there is no temporary folder or no randomness.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut params = params(&[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, key()).expect("it can be made");
        let folder = tempfile::Builder::new().prefix("reeld-test-").tempdir();
        let folder = folder.expect("the temporary folder can be written");
        fs::write(folder.path().join("authority.pem"), issuer.pem())
            .expect("the temporary folder can be written");
        Self { folder, issuer }
    }

    /// Its certificate, in PEM, for who is to trust it.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// A server whose certificate it has signed for these names and addresses.
    ///
    /// # Panics
    /// When a certificate cannot be made of them.
    #[must_use]
    pub fn server(&self, names: &[&str]) -> Arc<ServerConfig> {
        self.sign(params(names))
    }

    /// The same with a certificate that ended years ago.
    ///
    /// # Panics
    /// When a certificate cannot be made of them.
    #[must_use]
    pub fn expired(&self, names: &[&str]) -> Arc<ServerConfig> {
        let mut params = params(names);
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Arc<ServerConfig> {
        let key = key();
        let certificate = params.signed_by(&key, &self.issuer);
        let certificate = certificate.expect("it can be signed");
        configured(certificate.der().clone(), &key)
    }
}

/// A server whose certificate is signed by itself alone.
///
/// # Panics
/// When a certificate cannot be made of the names.
#[must_use]
pub fn self_signed(names: &[&str]) -> Arc<ServerConfig> {
    let key = key();
    let certificate = params(names).self_signed(&key).expect("it can be signed");
    configured(certificate.der().clone(), &key)
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    CertificateParams::new(names).expect("names and addresses")
}

fn key() -> KeyPair {
    KeyPair::generate().expect("the system has randomness")
}

fn configured(certificate: CertificateDer<'static>, key: &KeyPair) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let config =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let config = config
        .with_safe_default_protocol_versions()
        .expect("ring has what the default versions need")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("the key is of the certificate");
    Arc::new(config)
}
