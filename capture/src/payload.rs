//! Payload types and what they decode to.
//!
//! Called by [`crate::sdp`], which makes a map from an offer, and by [`crate::track`], which decodes
//! by it; calls `codec`. RFC 3551 §6 has the static types.

use reeld_codec::g711::{self, Law};

/// Samples that fit one packet at most: a datagram's worth of G.711.
pub(crate) const MAX_SAMPLES: usize = 2_048;

/// What a payload type stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payload {
    /// ITU-T G.711 at 8 kHz, one byte a sample.
    G711(Law),
    /// RFC 3389 comfort noise: silence, in the sender's words.
    ComfortNoise,
    /// RFC 4733 telephone-event: keys.
    TelephoneEvent,
}

impl Payload {
    /// By its name and clock rate in an SDP `rtpmap` (names are case-insensitive, RFC 8866 §6.6).
    pub(crate) fn by_name(name: &str, clock_hz: u32) -> Option<Self> {
        match (name.to_ascii_lowercase().as_str(), clock_hz) {
            ("pcmu", 8_000) => Some(Self::G711(Law::Mu)),
            ("pcma", 8_000) => Some(Self::G711(Law::A)),
            ("cn", 8_000) => Some(Self::ComfortNoise),
            ("telephone-event", 8_000) => Some(Self::TelephoneEvent),
            _ => None,
        }
    }

    /// Its name in SDP.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::G711(Law::Mu) => "PCMU",
            Self::G711(Law::A) => "PCMA",
            Self::ComfortNoise => "CN",
            Self::TelephoneEvent => "telephone-event",
        }
    }

    /// Whether it carries sound.
    pub(crate) const fn is_audio(self) -> bool {
        matches!(self, Self::G711(_))
    }
}

/// Which payload type is what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PayloadMap([Option<Payload>; 128]);

impl Default for PayloadMap {
    /// Where nothing was negotiated: RFC 3551's static types, and 101 for keys, as every gateway has
    /// it.
    fn default() -> Self {
        let mut map = [None; 128];
        map[0] = Some(Payload::G711(Law::Mu));
        map[8] = Some(Payload::G711(Law::A));
        map[13] = Some(Payload::ComfortNoise);
        map[101] = Some(Payload::TelephoneEvent);
        Self(map)
    }
}

impl PayloadMap {
    /// What `payload_type` stands for.
    pub(crate) fn get(&self, payload_type: u8) -> Option<Payload> {
        self.0.get(usize::from(payload_type)).copied().flatten()
    }

    /// Says what `payload_type` stands for; `None` for what cannot be decoded.
    pub(crate) fn set(&mut self, payload_type: u8, payload: Option<Payload>) {
        if let Some(slot) = self.0.get_mut(usize::from(payload_type)) {
            *slot = payload;
        }
    }
}

/// Decodes a packet of sound into `out`; returns the samples written, `payload.len()` at most
/// [`MAX_SAMPLES`].
pub(crate) fn decode<'a>(law: Law, payload: &[u8], out: &'a mut [i16; MAX_SAMPLES]) -> &'a [i16] {
    let length = payload.len().min(MAX_SAMPLES);
    g711::decode(law, &payload[..length], &mut out[..length]);
    &out[..length]
}
