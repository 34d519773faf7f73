//! A connection to a receiver: an address that may be reached, and TLS where the URL has it.
//!
//! Called by `round`; it asks `names`. What is resolved here is what is checked and connected to, so
//! that a name which stands for another address a moment later changes nothing. No proxy is used:
//! behind one there would be nothing to check. The authorities are the system's, or those in
//! `SSL_CERT_FILE` and `SSL_CERT_DIR` where they are set (rustls-native-certs), read once.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use crate::Allow;
use crate::failure::{Failure, Kind};
use crate::names::{self, Names};

/// Addresses of one name that are tried.
const MOST_ADDRESSES: usize = 8;

/// A connection, with TLS or without.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Makes connections.
pub(crate) struct Connector {
    allow: Allow,
    names: Names,
    tls: TlsConnector,
}

impl Connector {
    /// One that asks the system for addresses and trusts its certificate authorities.
    pub(crate) fn new(allow: Allow) -> Self {
        Self::asking(allow, names::system())
    }

    fn asking(allow: Allow, names: Names) -> Self {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "certificate authorities");
        }
        let (added, _) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            tracing::warn!("no certificate authority is known here: no https callback is trusted");
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has what the default versions need")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            allow,
            names,
            tls: TlsConnector::from(Arc::new(config)),
        }
    }

    /// Connects to the host of `url`.
    pub(crate) async fn connect(&self, url: &Url) -> Result<Box<dyn Stream>, Failure> {
        let stream = self.tcp(url).await?;
        if url.scheme() != "https" {
            return Ok(Box::new(stream));
        }
        let name = match url.host() {
            Some(Host::Domain(name)) => ServerName::try_from(name.to_owned())
                .map_err(|error| Failure::new(Kind::Tls, format!("TLS: the host: {error}")))?,
            Some(Host::Ipv4(address)) => ServerName::from(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => ServerName::from(IpAddr::V6(address)),
            None => return Err(Failure::new(Kind::Name, "the URL has no host")),
        };
        let stream = self.tls.connect(name, stream).await;
        Ok(Box::new(stream.map_err(|error| {
            Failure::new(Kind::Tls, format!("TLS: {}", said(&error)))
        })?))
    }

    async fn tcp(&self, url: &Url) -> Result<TcpStream, Failure> {
        let port = url
            .port_or_known_default()
            .ok_or_else(|| Failure::new(Kind::Name, "the URL has no port"))?;
        let found: Vec<SocketAddr> = match url.host() {
            Some(Host::Ipv4(address)) => vec![(address, port).into()],
            Some(Host::Ipv6(address)) => vec![(address, port).into()],
            Some(Host::Domain(name)) => {
                (self.names)(name.to_owned(), port).await.map_err(|error| {
                    Failure::new(Kind::Name, format!("the name cannot be resolved: {error}"))
                })?
            }
            None => return Err(Failure::new(Kind::Name, "the URL has no host")),
        };
        let mut last = Failure::new(
            Kind::Refused,
            "callbacks.allow has none of the host's addresses",
        );
        let allowed = found.iter().filter(|address| self.allow.has(address.ip()));
        for address in allowed.take(MOST_ADDRESSES) {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => {
                    last = Failure::new(Kind::Connect, format!("cannot connect: {error}"));
                }
            }
        }
        Err(last)
    }
}

/// What is wrong with a handshake, in words where it is a certificate.
fn said(error: &std::io::Error) -> String {
    let inner = error.get_ref();
    let Some(rustls::Error::InvalidCertificate(wrong)) =
        inner.and_then(|inner| inner.downcast_ref::<rustls::Error>())
    else {
        return error.to_string();
    };
    let words = [
        (
            matches!(
                wrong,
                CertificateError::Expired | CertificateError::ExpiredContext { .. }
            ),
            "the certificate has expired",
        ),
        (
            matches!(
                wrong,
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }
            ),
            "the certificate is not valid yet",
        ),
        (
            matches!(
                wrong,
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
            ),
            "the certificate is not of this host",
        ),
        (
            matches!(wrong, CertificateError::UnknownIssuer),
            "the certificate is of no authority that this machine trusts",
        ),
    ];
    let known = words.iter().find(|(is_so, _)| *is_so);
    known.map_or_else(|| error.to_string(), |(_, text)| (*text).to_owned())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Mutex;
    use std::time::Duration;

    use tokio::net::TcpListener;

    use super::*;

    /// Loopback, of which `allow` has the half that stands for the public here.
    const PUBLIC: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
    const PRIVATE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);

    /// Two listeners at one port, and a connector whose name stands for each of `answers` in turn,
    /// and then for the last of them.
    async fn rig(answers: &[&[Ipv4Addr]]) -> (TcpListener, TcpListener, Connector, Url) {
        let public = TcpListener::bind((PUBLIC, 0)).await.unwrap();
        let port = public.local_addr().unwrap().port();
        let private = TcpListener::bind((PRIVATE, port)).await.unwrap();
        let mut answers: Vec<Vec<_>> = answers.iter().map(|found| found.to_vec()).collect();
        answers.reverse();
        let answers = Mutex::new(answers);
        let names: Names = Box::new(move |name, port| {
            assert_eq!(name, "receiver.example");
            let mut answers = answers.lock().unwrap();
            let found = if answers.len() > 1 {
                answers.pop().unwrap()
            } else {
                answers[0].clone()
            };
            let found = found.into_iter().map(|ip| (ip, port).into()).collect();
            Box::pin(std::future::ready(Ok(found)))
        });
        let allow = Allow::new(vec![format!("{PUBLIC}/32").parse().unwrap()]);
        let url = format!("http://receiver.example:{port}/cb");
        (
            public,
            private,
            Connector::asking(allow, names),
            url.parse().unwrap(),
        )
    }

    async fn nobody_came(listener: &TcpListener) {
        let coming = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
        assert!(coming.is_err(), "somebody connected");
    }

    #[tokio::test]
    async fn a_name_that_stands_for_another_address_the_second_time_is_refused_then() {
        let (public, private, connector, url) = rig(&[&[PUBLIC], &[PRIVATE]]).await;
        // What was checked is what is connected to: between the two no name is asked.
        let first = connector.connect(&url).await;
        assert!(first.is_ok());
        public.accept().await.unwrap();
        for _ in 0..3 {
            let again = connector.connect(&url).await.err().unwrap();
            assert_eq!(again.kind, Kind::Refused);
            assert!(again.reason.starts_with("callbacks.allow"), "{again:?}");
        }
        nobody_came(&private).await;
        nobody_came(&public).await;
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_refused_whatever_it_answers() {
        // The widest networks there are: what is not opened by them is not opened by accident.
        let everything = ["0.0.0.0/0", "::/0"].map(|net| net.parse().unwrap());
        let public = ["8.0.0.0/8", "2000::/3"].map(|net| net.parse().unwrap());
        let (_, private, ..) = rig(&[&[PUBLIC]]).await;
        let port = private.local_addr().unwrap().port();
        let refused = async |allow: Vec<ipnet::IpNet>, address: IpAddr| {
            let names: Names = Box::new(move |_, port| {
                Box::pin(std::future::ready(Ok(vec![(address, port).into()])))
            });
            let connector = Connector::asking(Allow::new(allow), names);
            let url = format!("http://receiver.example:{port}/cb")
                .parse()
                .unwrap();
            let failure = connector.connect(&url).await.err();
            let failure = failure.unwrap_or_else(|| panic!("{address} was connected to"));
            assert_eq!(failure.kind, Kind::Refused, "{address}: {failure:?}");
        };
        for inside in [
            "127.0.0.1",
            "::1",
            "10.0.0.1",
            "fd00::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
        ] {
            refused(public.to_vec(), inside.parse().unwrap()).await;
        }
        for never in [
            "0.0.0.0",
            "::",
            "::ffff:0.0.0.0",
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "fe80::1",
            "fd00:ec2::254",
            "100.100.100.200",
            "168.63.129.16",
        ] {
            refused(public.to_vec(), never.parse().unwrap()).await;
            refused(everything.to_vec(), never.parse().unwrap()).await;
        }
        nobody_came(&private).await;
    }

    #[tokio::test]
    async fn of_a_names_addresses_only_those_allowed_are_connected_to() {
        let (public, private, connector, url) = rig(&[&[PRIVATE, PUBLIC]]).await;
        connector.connect(&url).await.map(drop).unwrap();
        public.accept().await.unwrap();
        nobody_came(&private).await;
        // Where the allowed one does not answer, the other is no way out.
        drop(public);
        let failure = connector.connect(&url).await.err().unwrap();
        assert_eq!(failure.kind, Kind::Connect);
        nobody_came(&private).await;
    }
}
