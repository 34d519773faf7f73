//! A certificate authority of a test's own, and servers with good and bad certificates.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned};
use tempfile::TempDir;

/// A certificate authority that nobody trusts but who is given its file.
#[derive(Debug)]
pub struct Authority {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
    written: AtomicUsize,
}

/// A client's connection over TLS.
pub type Tls = StreamOwned<ClientConnection, TcpStream>;

/// A certificate and its key, in PEM. They go with their authority.
#[derive(Debug)]
pub struct Files {
    /// The certificate.
    pub cert: PathBuf,
    /// Its key, which only we may read.
    pub key: PathBuf,
}

impl Files {
    /// Takes the content of others.
    ///
    /// # Panics
    /// When they cannot be copied.
    pub fn put(&self, others: &Self) {
        for (from, to) in [(&others.cert, &self.cert), (&others.key, &self.key)] {
            fs::copy(from, to).unwrap_or_else(|error| panic!("{from:?}: {error}"));
        }
    }
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
        Self {
            folder,
            issuer,
            written: AtomicUsize::new(0),
        }
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

    /// A certificate that it has signed and its key, as files.
    ///
    /// # Panics
    /// When they cannot be made or written.
    #[must_use]
    pub fn files(&self, names: &[&str]) -> Files {
        self.write(params(names))
    }

    /// The same with a certificate that ended years ago.
    ///
    /// # Panics
    /// When they cannot be made or written.
    #[must_use]
    pub fn expired_files(&self, names: &[&str]) -> Files {
        let mut params = params(names);
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
        self.write(params)
    }

    /// A connection of who trusts it to the daemon at `base` (`https://127.0.0.1:8443`).
    ///
    /// # Panics
    /// When there is no connection. What is wrong with the other side's certificate shows when it is
    /// first written to.
    #[must_use]
    pub fn connect(&self, base: &str) -> Tls {
        let mut roots = RootCertStore::empty();
        roots
            .add(self.issuer.der().clone())
            .expect("it is a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has what the default versions need")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let address = base.trim_start_matches("https://");
        let stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("{base}: {error}"));
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .expect("a timeout can be set");
        let name = ServerName::try_from("localhost").expect("a name");
        let connection = ClientConnection::new(Arc::new(config), name).expect("it can be begun");
        StreamOwned::new(connection, stream)
    }

    fn write(&self, params: CertificateParams) -> Files {
        let key = key();
        let certificate = params.signed_by(&key, &self.issuer);
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let path = |what: &str| self.folder.path().join(format!("{number}.{what}.pem"));
        let files = Files {
            cert: path("cert"),
            key: path("key"),
        };
        let pem = certificate.expect("it can be signed").pem();
        fs::write(&files.cert, pem).expect("the temporary folder can be written");
        fs::write(&files.key, key.serialize_pem()).expect("the temporary folder can be written");
        let secret = fs::Permissions::from_mode(0o600);
        fs::set_permissions(&files.key, secret).expect("it is ours");
        files
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
