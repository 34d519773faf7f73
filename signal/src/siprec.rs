//! A SIPREC recording server (RFC 7866): recording clients call it, and each call is a recording.
//!
//! The daemon's `siprec` calls [`Agent`], which has no socket, no clock, no file and no task: messages and times
//! go in, and messages, and [`Work`](crate::work::Work) to be done for a call, come out. The daemon sends the ones and does the
//! other by `model`'s commands and the store, and tells what came of it ([`Outcome`](crate::work::Outcome)).
//!
//! | module | what it is |
//! | --- | --- |
//! | `agent` | what is done for a request, and what is sent when |
//! | `transaction`, `dialog`, `timer` | a request's answer, once; a recording session; how long it lives |
//! | `message` | a request read, a response written, a stream's messages told apart |
//! | `body`, `xml`, `metadata` | several parts; a bounded tree; who takes part |
//! | `parties` | who is on which track |
//!
//! An INVITE that is no recording client's, of one line and without metadata, is recorded likewise: its From and To are
//! who takes part.
//!
//! The rule of it all: what others record is recorded. A fault of the metadata is a warning that the recording
//! keeps; only what SIP or SDP make impossible is refused.

mod agent;
mod body;
mod dialog;
#[doc(hidden)]
pub mod fuzz;
mod message;
mod metadata;
mod parties;
mod stream;
mod timer;
mod transaction;
#[cfg(test)]
pub(crate) mod vendors;
mod xml;

use std::net::SocketAddr;
use std::sync::Arc;

use ipnet::IpNet;
use reeld_model::incoming::Way;
use reeld_model::{AccountSid, Channels, Incoming, PauseBehavior};
use serde::{Deserialize, Serialize};

pub use agent::{Agent, Output, Random};
pub use stream::{Framer, Unframed};

pub use crate::route::Route;

/// Whom a message is from or for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Peer {
    /// By UDP.
    Udp(SocketAddr),
    /// By a connection that the daemon has a number for.
    Stream {
        /// Its number.
        connection: u64,
        /// The other end.
        address: SocketAddr,
        /// Whether it is a TLS connection.
        #[serde(default)]
        is_tls: bool,
    },
}

impl Peer {
    /// Its address.
    #[must_use]
    pub const fn address(self) -> SocketAddr {
        match self {
            Self::Udp(address) | Self::Stream { address, .. } => address,
        }
    }

    /// How its messages come.
    const fn way(self) -> Way {
        match self {
            Self::Udp(_) => Way::SipUdp,
            Self::Stream { is_tls: false, .. } => Way::SipTcp,
            Self::Stream { is_tls: true, .. } => Way::SipTls,
        }
    }

    /// What a Via calls how its messages go (RFC 3261 §20.42).
    const fn transport(self) -> &'static str {
        match self {
            Self::Udp(_) => "UDP",
            Self::Stream { is_tls: false, .. } => "TCP",
            Self::Stream { is_tls: true, .. } => "TLS",
        }
    }
}

/// How the server is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The networks that may call it.
    pub allow: Vec<IpNet>,
    /// Whose account a session is; the first that fits.
    pub routes: Vec<Route>,
    /// Where clients reach it: the address in its Contact.
    pub contact: SocketAddr,
    /// The same for who calls by TLS.
    pub tls_contact: SocketAddr,
    /// What a pause leaves in the file.
    pub pause: PauseBehavior,
    /// How the tracks of a session of two lines lie in the file.
    pub channels: Channels,
    /// Whether media ports are on loopback, where only loopback reaches them.
    pub media_is_local: bool,
    /// Where calls and messages are counted.
    pub incoming: Arc<Incoming>,
}

/// The account of who comes by no rule: the only one there is, and from loopback alone.
pub type SoleAccount = Option<AccountSid>;
