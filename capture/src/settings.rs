//! What a call needs of the configuration.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use ipnet::IpNet;
use sha1::Sha1;

/// Settings of every call.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long a place on the timeline stays open for late packets: `capture.reorder_window`.
    pub reorder_window: Duration,
    /// A recording that got no packet in this time ends: `capture.first_packet`.
    pub first_packet: Duration,
    /// A call without a packet for this time ends its recordings: `capture.inactivity`.
    pub inactivity: Duration,
    /// No file is longer than this: `capture.max_length`.
    pub max_length: Duration,
    /// Networks that a track may come from where nothing says its source: `media.allow`.
    pub allow: Vec<IpNet>,
    /// Whether lost packets are concealed: `capture.conceal`.
    pub conceal: bool,
    /// What stands in the file where a key was sent as an event: `capture.dtmf`.
    pub dtmf: Dtmf,
    /// The rate of a call's timeline: `capture.rate`.
    pub rate: Rate,
    /// The address that callers are told to send to: `media.advertise`, else `media.address`.
    pub advertise: IpAddr,
    /// What keys of ours for SRTP are drawn from.
    pub secret: Secret,
}

impl Settings {
    /// What a call has until it is told whose it is.
    pub(crate) fn nobodys() -> Arc<Self> {
        Arc::new(Self {
            reorder_window: Duration::ZERO,
            first_packet: Duration::MAX,
            inactivity: Duration::MAX,
            max_length: Duration::MAX,
            allow: Vec::new(),
            conceal: false,
            dtmf: Dtmf::Silence,
            rate: Rate::Narrow,
            advertise: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            secret: Secret::default(),
        })
    }
}

/// Random bytes that a process draws at its start and nobody else knows. All zeros by default, which is for calls
/// that answer nobody: those out of files, and tests.
#[derive(Clone, Default)]
pub struct Secret([u8; 32]);

impl Secret {
    /// Of the system's random bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// As many bytes as `out` has, the same for the same `name` and for no other (HMAC-SHA1 as a PRF, in the
    /// manner of RFC 5869 §2.3).
    pub(crate) fn draw(&self, name: &[u8], out: &mut [u8]) {
        for (number, chunk) in (0_u8..).zip(out.chunks_mut(20)) {
            let mac =
                Hmac::<Sha1>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
            let bytes = mac.chain_update(name).chain_update([number]).finalize();
            chunk.copy_from_slice(&bytes.into_bytes()[..chunk.len()]);
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// What stands in the file in place of an RFC 4733 event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dtmf {
    /// Silence of its length: a key may be a card's number.
    #[default]
    Silence,
    /// Its two tones.
    Tone,
}

/// The rate of a call's timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rate {
    /// 8 kHz, whatever the codec.
    #[default]
    Narrow,
    /// The best of what the call begins with.
    Native,
}
