//! TLS of the API, and of what else the daemon serves: the certificate and its key as files, read at the
//! start and again when somebody says so.
//!
//! The daemon makes a [`Tls`] of the configuration's two files and calls [`Tls::reload`] on SIGHUP;
//! `serve` asks for what is current at each new connection, so that open ones go on with what they
//! began with. rustls on ring, TLS 1.2 and 1.3, and the service's protocol alone.
//!
//! Invariant: what is current has a certificate and the key that belongs to it. A reload that finds
//! anything else, or a certificate that is not good today, changes nothing. No error of a key's file
//! says what is in it.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};

/// A certificate that is good for less than this is warned of: renewals come a month before.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// Why certificate and key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file has not what it should have, in PEM.
    #[error("{}: there is no {what} in PEM in it", path.display())]
    Empty {
        /// Which.
        path: PathBuf,
        /// What it lacks.
        what: &'static str,
    },
    /// The two do not go together, or are of a kind that rustls does not take.
    #[error("{} with {}: {reason}", cert.display(), key.display())]
    Refused {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's.
        key: PathBuf,
        /// In words.
        reason: String,
    },
    /// The new certificate is not good today, so the one in use stays.
    #[error("{}: {reason}", path.display())]
    NotGood {
        /// The certificate's file.
        path: PathBuf,
        /// In words.
        reason: String,
    },
}

/// A service's certificate and key. A cheap handle: clones share what is current.
#[derive(Debug, Clone)]
pub struct Tls {
    shared: Arc<Shared>,
}

/// Whose certificate it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service {
    /// The configuration's section that names the files: `tls_cert` and `tls_key`.
    pub section: &'static str,
    /// What is spoken, by its ALPN name; clients that name nothing are taken too.
    pub alpn: &'static [u8],
}

impl Service {
    /// The API: HTTP/1.1.
    pub const API: Self = Self {
        section: "api",
        alpn: b"http/1.1",
    };
}

#[derive(Debug)]
struct Shared {
    service: Service,
    cert: PathBuf,
    key: PathBuf,
    current: RwLock<Loaded>,
}

#[derive(Debug, Clone)]
struct Loaded {
    config: Arc<ServerConfig>,
    chain: Vec<CertificateDer<'static>>,
}

/// How long a certificate is good for, seen from one instant.
#[derive(Debug, PartialEq, Eq)]
enum Good {
    Well,
    /// It is, and not for long.
    EndsSoon(String),
    Not(String),
}

impl Tls {
    /// Reads both files. A certificate that has expired is taken: better that than no service, and
    /// [`Tls::warnings`] says so.
    ///
    /// # Errors
    /// [`TlsError`], which names the file.
    pub fn load(service: Service, cert: &Path, key: &Path) -> Result<Self, TlsError> {
        Ok(Self {
            shared: Arc::new(Shared {
                service,
                current: RwLock::new(read(service, cert, key)?),
                cert: cert.to_owned(),
                key: key.to_owned(),
            }),
        })
    }

    /// Reads both files again, for the connections that come from now on, at `now_ms` since the Unix
    /// epoch.
    ///
    /// # Errors
    /// [`TlsError`]: what was in use stays.
    pub fn reload(&self, now_ms: i64) -> Result<(), TlsError> {
        let Shared {
            service,
            cert,
            key,
            current,
        } = &*self.shared;
        let new = read(*service, cert, key)?;
        if let Some(reason) = new.chain.iter().find_map(|one| match good(one, now_ms) {
            Good::Not(reason) => Some(reason),
            Good::Well | Good::EndsSoon(_) => None,
        }) {
            return Err(TlsError::NotGood {
                path: cert.clone(),
                reason,
            });
        }
        *current.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    /// What an operator should know of what is current, a sentence each.
    #[must_use]
    pub fn warnings(&self, now_ms: i64) -> Vec<String> {
        let Shared {
            service: Service { section, .. },
            cert,
            key,
            ..
        } = &*self.shared;
        let of_chain = self.current().chain;
        let mut warnings: Vec<String> = of_chain
            .iter()
            .filter_map(|one| match good(one, now_ms) {
                Good::Well => None,
                Good::EndsSoon(reason) | Good::Not(reason) => {
                    Some(format!("{section}.tls_cert {}: {reason}", cert.display()))
                }
            })
            .collect();
        // Gone since it was read: the next reload says so.
        let mode = fs::metadata(key).map_or(0, |of_key| of_key.permissions().mode());
        if mode & 0o007 != 0 {
            warnings.push(format!(
                "{section}.tls_key {}: everybody on this machine may read it (mode {:o})",
                key.display(),
                mode & 0o777
            ));
        }
        warnings
    }

    /// The configuration's section that names its files.
    #[must_use]
    pub fn section(&self) -> &'static str {
        self.shared.service.section
    }

    /// What a new connection is served with.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        self.current().config
    }

    fn current(&self) -> Loaded {
        let current = self.shared.current.read();
        current.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn read(service: Service, cert: &Path, key: &Path) -> Result<Loaded, TlsError> {
    let bytes = |path: &Path| {
        fs::read(path).map_err(|source| TlsError::Read {
            path: path.to_owned(),
            source,
        })
    };
    let empty = |path: &Path, what| TlsError::Empty {
        path: path.to_owned(),
        what,
    };
    let chain = CertificateDer::pem_slice_iter(&bytes(cert)?)
        .collect::<Result<Vec<_>, pem::Error>>()
        .ok()
        .filter(|chain| !chain.is_empty())
        .ok_or_else(|| empty(cert, "certificate"))?;
    let secret =
        PrivateKeyDer::from_pem_slice(&bytes(key)?).map_err(|_| empty(key, "private key"))?;
    let refused = |error: rustls::Error| TlsError::Refused {
        cert: cert.to_owned(),
        key: key.to_owned(),
        reason: if let rustls::Error::InconsistentKeys(_) = error {
            "the key is not the certificate's".to_owned()
        } else {
            error.to_string()
        },
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(refused)?
        .with_no_client_auth()
        .with_single_cert(chain.clone(), secret)
        .map_err(refused)?;
    config.alpn_protocols = vec![service.alpn.to_vec()];
    Ok(Loaded {
        config: Arc::new(config),
        chain,
    })
}

/// By webpki, which looks at a certificate's own times before anything else of it (and then finds
/// no authority, since it is given none: who trusts it is the clients' affair).
fn good(certificate: &CertificateDer<'_>, now_ms: i64) -> Good {
    let end = match webpki::EndEntityCert::try_from(certificate) {
        Ok(end) => end,
        Err(error) => return Good::Not(format!("the certificate cannot be read: {error}")),
    };
    let wrong_at = |time| {
        let usage = webpki::KeyUsage::server_auth();
        let time = UnixTime::since_unix_epoch(time);
        end.verify_for_usage(&[], &[], &[], time, usage, None, None)
            .err()
    };
    let now = Duration::from_millis(u64::try_from(now_ms).unwrap_or(0));
    match wrong_at(now) {
        Some(webpki::Error::CertExpired { not_after, .. }) => Good::Not(format!(
            "the certificate has expired at {}",
            instant(not_after)
        )),
        Some(webpki::Error::CertNotValidYet { not_before, .. }) => Good::Not(format!(
            "the certificate is not valid before {}",
            instant(not_before)
        )),
        _ => match wrong_at(now + SOON) {
            Some(webpki::Error::CertExpired { not_after, .. }) => {
                Good::EndsSoon(format!("the certificate expires at {}", instant(not_after)))
            }
            _ => Good::Well,
        },
    }
}

fn instant(time: UnixTime) -> String {
    i64::try_from(time.as_secs())
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .map_or_else(
            || "a time that no calendar has".to_owned(),
            |at| at.to_string(),
        )
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use tempfile::TempDir;

    use super::*;

    /// Noon of the day 2026-06-15.
    const NOW_MS: i64 = 1_781_524_800_000;

    /// A certificate from 2026-01-01 to the first of this year and month, and its key.
    fn write(folder: &TempDir, name: &str, year: i32, month: u8) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(year, month, 1);
        let certificate = params.self_signed(&key).unwrap();
        let paths = ["cert", "key"].map(|what| folder.path().join(format!("{name}.{what}")));
        fs::write(&paths[0], certificate.pem()).unwrap();
        fs::write(&paths[1], key.serialize_pem()).unwrap();
        fs::set_permissions(&paths[1], fs::Permissions::from_mode(0o600)).unwrap();
        let [cert, key] = paths;
        (cert, key)
    }

    #[test]
    fn what_expires_is_told_in_time() {
        let folder = TempDir::new().unwrap();
        for (year, month, wanted) in [
            (2027, 1, ""),
            (2026, 7, ""),
            (2026, 6, "has expired at 2026-06-01T00:00:00Z"),
        ] {
            let (cert, key) = write(&folder, "one", year, month);
            let said = Tls::load(Service::API, &cert, &key)
                .unwrap()
                .warnings(NOW_MS)
                .join(" ");
            assert!(
                said.contains(wanted) && said.is_empty() == wanted.is_empty(),
                "{said}"
            );
        }
        let (cert, key) = write(&folder, "one", 2026, 7);
        let tls = Tls::load(Service::API, &cert, &key).unwrap();
        let days = |days: i64| NOW_MS + days * 24 * 3_600 * 1_000;
        assert!(tls.warnings(days(2))[0].contains("expires at 2026-07-01"));
        assert!(tls.warnings(days(-200))[0].contains("not valid before 2026-01-01"));
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(tls.warnings(NOW_MS)[0].contains("mode 644"));
    }

    #[test]
    fn a_reload_that_finds_nothing_good_changes_nothing() {
        let folder = TempDir::new().unwrap();
        let (cert, key) = write(&folder, "used", 2027, 1);
        let (other_cert, other_key) = write(&folder, "other", 2027, 1);
        let (expired_cert, expired_key) = write(&folder, "expired", 2026, 2);
        let tls = Tls::load(Service::API, &cert, &key).unwrap();
        let used = |tls: &Tls| tls.current().chain[0].clone();
        let first = used(&tls);
        let put = |from: &Path, to: &Path| fs::copy(from, to).map(drop).unwrap();

        put(&other_key, &key);
        let error = tls.reload(NOW_MS).unwrap_err();
        assert!(
            error.to_string().contains("not the certificate's"),
            "{error}"
        );
        put(&expired_cert, &cert);
        put(&expired_key, &key);
        let error = tls.reload(NOW_MS).unwrap_err();
        assert!(matches!(error, TlsError::NotGood { .. }), "{error}");
        let secret = fs::read_to_string(&other_key).unwrap();
        for damaged in ["", "no PEM", &secret[..60], &secret.replace('A', "?")] {
            fs::write(&key, damaged).unwrap();
            let error = tls.reload(NOW_MS).unwrap_err();
            assert!(matches!(
                error,
                TlsError::Empty {
                    what: "private key",
                    ..
                }
            ));
            let said = format!("{error} {error:?}");
            assert!(secret.lines().all(|line| !said.contains(line)), "{said}");
        }
        fs::remove_file(&key).unwrap();
        assert!(matches!(tls.reload(NOW_MS), Err(TlsError::Read { .. })));
        assert_eq!(used(&tls), first);

        put(&other_cert, &cert);
        put(&other_key, &key);
        tls.reload(NOW_MS).unwrap();
        assert_ne!(used(&tls), first);
    }
}
