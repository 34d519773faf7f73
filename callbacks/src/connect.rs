//! A connection to a receiver: an address that may be reached, and TLS where the URL has it.
//!
//! Called by `round`. What is resolved here is what is checked and connected to, so that a name
//! which stands for another address a moment later changes nothing. No proxy is used: behind one
//! there would be nothing to check.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use crate::Allow;

/// Addresses of one name that are tried.
const MOST_ADDRESSES: usize = 8;

/// A connection, with TLS or without.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Makes connections.
pub(crate) struct Connector {
    allow: Allow,
    tls: TlsConnector,
}

impl Connector {
    /// One that trusts the system's certificate authorities.
    pub(crate) fn new(allow: Allow) -> Self {
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
            tls: TlsConnector::from(Arc::new(config)),
        }
    }

    /// Connects to the host of `url`; the error says why not, without the URL.
    pub(crate) async fn connect(&self, url: &Url) -> Result<Box<dyn Stream>, String> {
        let stream = self.tcp(url).await?;
        if url.scheme() != "https" {
            return Ok(Box::new(stream));
        }
        let name = match url.host() {
            Some(Host::Domain(name)) => ServerName::try_from(name.to_owned())
                .map_err(|error| format!("TLS: the host is no name: {error}"))?,
            Some(Host::Ipv4(address)) => ServerName::from(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => ServerName::from(IpAddr::V6(address)),
            None => return Err("the URL has no host".to_owned()),
        };
        let stream = self.tls.connect(name, stream).await;
        Ok(Box::new(stream.map_err(|error| format!("TLS: {error}"))?))
    }

    async fn tcp(&self, url: &Url) -> Result<TcpStream, String> {
        let port = url
            .port_or_known_default()
            .ok_or_else(|| "the URL has no port".to_owned())?;
        let found: Vec<SocketAddr> = match url.host() {
            Some(Host::Ipv4(address)) => vec![(address, port).into()],
            Some(Host::Ipv6(address)) => vec![(address, port).into()],
            Some(Host::Domain(name)) => tokio::net::lookup_host((name, port))
                .await
                .map_err(|error| format!("the name cannot be resolved: {error}"))?
                .collect(),
            None => return Err("the URL has no host".to_owned()),
        };
        let mut last = "callbacks.allow has none of the host's addresses".to_owned();
        let allowed = found.iter().filter(|address| self.allow.has(address.ip()));
        for address in allowed.take(MOST_ADDRESSES) {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = format!("cannot connect: {error}"),
            }
        }
        Err(last)
    }
}
