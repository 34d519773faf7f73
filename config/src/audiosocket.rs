//! `[audiosocket]` as it is checked.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use reeld_model::AccountSid;

/// `[audiosocket]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioSocket {
    /// Where Asterisk connects to; `None` is off.
    pub listen: Option<SocketAddr>,
    /// From where it may.
    pub allow: Vec<IpNet>,
    /// Whose calls are that no rule of `calls.routes` is for.
    pub account: Option<AccountSid>,
    /// Connections at once.
    pub max_connections: usize,
    /// How long a connection may bring nothing.
    pub timeout: Duration,
    /// Whether each frame of sound is answered with as much silence.
    pub answers: bool,
}
