//! What a call needs of the configuration.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

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
        })
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
