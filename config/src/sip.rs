//! `[sip]` as it is checked.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use reeld_model::{Channels, PauseBehavior};

use crate::route::CallRoute;
use crate::settings::TlsFiles;

/// `[sip]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sip {
    /// Where the SIPREC recording server listens, by UDP and TCP; `None` is off.
    pub listen: Option<SocketAddr>,
    /// Where it listens for TLS; `None` is off.
    pub tls_listen: Option<SocketAddr>,
    /// Certificate and key for it.
    pub tls: Option<TlsFiles>,
    /// The address that clients are told, where it is not the one that it listens on.
    pub advertise: Option<IpAddr>,
    /// From where it may be called.
    pub allow: Vec<IpNet>,
    /// Whose account a call is, before `calls.routes`; the first rule that fits.
    pub routes: Vec<CallRoute>,
    /// How the two streams of a call lie in the file.
    pub channels: Channels,
    /// What a pause leaves in the file.
    pub pause: PauseBehavior,
}
