//! What a call needs of the configuration.

use std::net::IpAddr;
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
    /// The address that callers are told to send to: `media.advertise`, else `media.address`.
    pub advertise: IpAddr,
}
