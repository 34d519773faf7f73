//! Payload types: what they decode to, and what those are called that cannot be decoded.
//!
//! Called by [`crate::sdp`], which makes a map from an offer, by [`crate::track`], and by
//! [`crate::decode`]; calls nothing. How a payload is decoded does not belong here.
//!
//! RFC 3551 §6 has the static types; RFC 3551 §4.5.2 and RFC 7587 §4.1 say why a clock need not be
//! the sound's rate.

use std::sync::{Arc, LazyLock};

use reeld_codec::g711::Law;
use reeld_codec::{g722, opus};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_big_array::BigArray;

/// Letters of a codec's name that are kept.
const MOST_LETTERS: usize = 32;

/// What a payload type stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Payload {
    /// ITU-T G.711 at 8 kHz, one byte a sample.
    G711(Law),
    /// ITU-T G.722 at 64 kbit/s.
    G722,
    /// Linear samples.
    L16 {
        /// 8000 to 48000.
        rate_hz: u32,
        /// 1 or 2.
        channels: u8,
    },
    /// RFC 7587.
    Opus,
    /// RFC 3389 comfort noise: silence, in the sender's words.
    ComfortNoise,
    /// RFC 4733 telephone-event: keys.
    TelephoneEvent,
}

impl Payload {
    /// By its name, clock rate and channels in an SDP `rtpmap` (names are case-insensitive,
    /// RFC 8866 §6.6).
    pub(crate) fn by_name(name: &str, clock_hz: u32, channels: u8) -> Option<Self> {
        match (name.to_ascii_lowercase().as_str(), clock_hz, channels) {
            ("pcmu", 8_000, 1) => Some(Self::G711(Law::Mu)),
            ("pcma", 8_000, 1) => Some(Self::G711(Law::A)),
            ("g722", 8_000, 1) => Some(Self::G722),
            // RFC 7587 §7 wants 2 whatever is sent; some leave it out.
            ("opus", opus::CLOCK_HZ, 1 | 2) => Some(Self::Opus),
            ("l16", 8_000..=48_000, 1 | 2) => Some(Self::L16 {
                rate_hz: clock_hz,
                channels,
            }),
            ("cn", 8_000..=48_000, 1) => Some(Self::ComfortNoise),
            ("telephone-event", 8_000..=48_000, 1) => Some(Self::TelephoneEvent),
            _ => None,
        }
    }

    /// Its name in SDP.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::G711(Law::Mu) => "PCMU",
            Self::G711(Law::A) => "PCMA",
            Self::G722 => "G722",
            Self::L16 { .. } => "L16",
            Self::Opus => "opus",
            Self::ComfortNoise => "CN",
            Self::TelephoneEvent => "telephone-event",
        }
    }

    /// Units of its RTP stamps a second; for comfort noise and events, which have the clock of the
    /// sound that they go with, the usual 8000.
    pub(crate) const fn clock_hz(self) -> u32 {
        match self {
            Self::G711(_) | Self::G722 | Self::ComfortNoise | Self::TelephoneEvent => 8_000,
            Self::L16 { rate_hz, .. } => rate_hz,
            Self::Opus => opus::CLOCK_HZ,
        }
    }

    /// Samples a second of its sound.
    pub(crate) const fn natural_rate_hz(self) -> u32 {
        match self {
            Self::G722 => g722::RATE_HZ,
            Self::G711(_)
            | Self::L16 { .. }
            | Self::Opus
            | Self::ComfortNoise
            | Self::TelephoneEvent => self.clock_hz(),
        }
    }

    /// Whether it carries sound.
    pub(crate) const fn is_audio(self) -> bool {
        !matches!(self, Self::ComfortNoise | Self::TelephoneEvent)
    }

    /// Whether a packet can only be decoded after those before it.
    pub(crate) const fn is_stateful(self) -> bool {
        matches!(self, Self::G722 | Self::Opus)
    }
}

/// A codec's name in SDP: one of [`Payload::name`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Name(&'static str);

impl Name {
    pub(crate) const fn of(payload: Payload) -> Self {
        Self(payload.name())
    }

    pub(crate) const fn as_str(self) -> &'static str {
        self.0
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let l16 = Payload::L16 {
            rate_hz: 8_000,
            channels: 1,
        };
        let (mu, a) = (Payload::G711(Law::Mu), Payload::G711(Law::A));
        let sound = [mu, a, Payload::G722, l16, Payload::Opus];
        let mut known = sound.into_iter().map(Self::of);
        known
            .find(|known| known.0 == name)
            .ok_or_else(|| D::Error::custom(format!("no codec is called {name:?}")))
    }
}

/// Which payload type is what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PayloadMap {
    #[serde(with = "BigArray")]
    known: [Option<Payload>; 128],
    /// What an offer calls types that cannot be decoded.
    foreign: Vec<(u8, Box<str>)>,
    /// The types that an offer has, one bit each.
    offered: u128,
    /// The type of sound that an offer has first.
    preferred: Option<u8>,
    /// What an offer says that types are captured at, in Hz, where that is less than they could be.
    captured: Vec<(u8, u32)>,
}

/// How a track's map is kept where its call is handed over: of tracks that nothing was offered for it is one
/// map for all.
pub(crate) mod kept {
    use super::{Arc, Deserialize, Deserializer, PayloadMap, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        map: &Arc<PayloadMap>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let offered = (**map != *PayloadMap::usual()).then_some(&**map);
        offered.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<PayloadMap>, D::Error> {
        let offered = Option::<PayloadMap>::deserialize(deserializer)?;
        Ok(offered.map_or_else(PayloadMap::usual, Arc::new))
    }
}

impl Default for PayloadMap {
    /// Where nothing was negotiated: RFC 3551's static types, 101 for keys, as every gateway has
    /// it, and Asterisk's for the rest, which its external media is sent with and which no SDP goes
    /// with.
    fn default() -> Self {
        let mut known = [None; 128];
        let l16 = |rate_hz, channels| Some(Payload::L16 { rate_hz, channels });
        known[0] = Some(Payload::G711(Law::Mu));
        known[8] = Some(Payload::G711(Law::A));
        known[9] = Some(Payload::G722);
        known[10] = l16(44_100, 2);
        known[11] = l16(44_100, 1);
        known[13] = Some(Payload::ComfortNoise);
        known[101] = Some(Payload::TelephoneEvent);
        known[107] = Some(Payload::Opus);
        known[118] = l16(16_000, 1);
        known[122] = l16(12_000, 1);
        known[123] = l16(24_000, 1);
        known[124] = l16(32_000, 1);
        known[125] = l16(44_100, 1);
        known[126] = l16(48_000, 1);
        Self {
            known,
            foreign: Vec::new(),
            offered: 0,
            preferred: None,
            captured: Vec::new(),
        }
    }
}

impl PayloadMap {
    /// What stands for what where nothing was offered: one map for all, which stays in the cache.
    pub(crate) fn usual() -> Arc<Self> {
        static USUAL: LazyLock<Arc<PayloadMap>> = LazyLock::new(Arc::default);
        Arc::clone(&USUAL)
    }

    /// What `payload_type` stands for; `None` for what cannot be decoded.
    pub(crate) fn get(&self, payload_type: u8) -> Option<Payload> {
        self.known.get(usize::from(payload_type)).copied().flatten()
    }

    /// Says what `payload_type` stands for: `None` for what cannot be decoded, which is then called
    /// `name`.
    pub(crate) fn set(&mut self, payload_type: u8, payload: Option<Payload>, name: Option<&str>) {
        let Some(slot) = self.known.get_mut(usize::from(payload_type)) else {
            return;
        };
        *slot = payload;
        self.offered |= 1 << payload_type;
        self.foreign.retain(|(number, _)| *number != payload_type);
        if payload.is_none()
            && let Some(name) = name
        {
            let letters = name.chars().filter(|letter| letter.is_ascii_graphic());
            let name: String = letters.take(MOST_LETTERS).collect();
            self.foreign.push((payload_type, name.into_boxed_str()));
        }
    }

    /// Says that sound comes as `payload_type` before all others.
    pub(crate) fn prefer(&mut self, payload_type: u8) {
        self.preferred = Some(payload_type);
    }

    /// Says that the sound of `payload_type` was captured at no more than `rate_hz`.
    pub(crate) fn bound(&mut self, payload_type: u8, rate_hz: u32) {
        self.captured.push((payload_type, rate_hz));
    }

    /// Samples a second that the sound of `payload_type` is worth; `None` for what is not sound or
    /// cannot be decoded.
    pub(crate) fn rate_hz(&self, payload_type: u8) -> Option<u32> {
        let payload = self
            .get(payload_type)
            .filter(|payload| payload.is_audio())?;
        let captured = self.captured.iter();
        let captured = captured.filter(|(number, _)| *number == payload_type);
        let most = captured.map(|(_, rate_hz)| *rate_hz).min();
        Some(most.map_or(payload.natural_rate_hz(), |most| {
            most.min(payload.natural_rate_hz())
        }))
    }

    /// The same of the type that the offer prefers; `None` without an offer.
    pub(crate) fn preferred_rate_hz(&self) -> Option<u32> {
        self.rate_hz(self.preferred?)
    }

    /// The type of G.711 that an offer has, PCMU before PCMA.
    pub(crate) fn negotiated_g711(&self) -> Option<(u8, Payload)> {
        [Law::Mu, Law::A].into_iter().find_map(|law| {
            let payload = Payload::G711(law);
            let is_it =
                |number: &u8| self.offered >> number & 1 == 1 && self.get(*number) == Some(payload);
            Some(((0..128).find(is_it)?, payload))
        })
    }

    /// What `payload_type` is called where it cannot be decoded: `18 G729`, or the number alone.
    pub(crate) fn describe(&self, payload_type: u8) -> String {
        match self.foreign_name(payload_type) {
            Some(name) => format!("{payload_type} {name}"),
            None => payload_type.to_string(),
        }
    }

    /// Time of a packet that cannot be decoded, in samples at 8 kHz, where its codec's frames tell
    /// it.
    pub(crate) fn foreign_samples(&self, payload_type: u8, bytes: usize) -> Option<i64> {
        /// Longer packets are not believed: 120 ms.
        const MOST: usize = 960;
        let name = self.foreign_name(payload_type)?.to_ascii_uppercase();
        let samples = match name.as_str() {
            // 10 bytes for 10 ms, and 2 for a frame of comfort noise at the end.
            "G729" | "G729A" => bytes.div_ceil(10) * 80,
            // 33 bytes for 20 ms.
            "GSM" => bytes / 33 * 160,
            // 24, 20 or 4 bytes for 30 ms.
            "G723" => bytes.div_ceil(24) * 240,
            // 38 bytes for 20 ms, or 50 for 30.
            "ILBC" if bytes > 0 && bytes.is_multiple_of(38) => bytes / 38 * 160,
            "ILBC" => bytes / 50 * 240,
            // 4 bits a sample.
            "G726-32" | "G721" | "DVI4" => bytes * 2,
            _ => 0,
        };
        let samples = i64::try_from(samples).ok()?;
        (1..=MOST as i64).contains(&samples).then_some(samples)
    }

    fn foreign_name(&self, payload_type: u8) -> Option<&str> {
        if self.get(payload_type).is_some() {
            return None;
        }
        let named = self
            .foreign
            .iter()
            .find(|(number, _)| *number == payload_type);
        named.map(|(_, name)| &**name).or(match payload_type {
            2 => Some("G721"),
            3 => Some("GSM"),
            4 => Some("G723"),
            5 | 6 | 16 | 17 => Some("DVI4"),
            7 => Some("LPC"),
            12 => Some("QCELP"),
            14 => Some("MPA"),
            15 => Some("G728"),
            18 => Some("G729"),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_clocks_and_rates() {
        let l16 = Payload::L16 {
            rate_hz: 44_100,
            channels: 2,
        };
        for (name, clock_hz, channels, payload, natural) in [
            ("PCMU", 8_000, 1, Payload::G711(Law::Mu), 8_000),
            ("g722", 8_000, 1, Payload::G722, 16_000),
            ("OPUS", 48_000, 2, Payload::Opus, 48_000),
            ("L16", 44_100, 2, l16, 44_100),
        ] {
            assert_eq!(Payload::by_name(name, clock_hz, channels), Some(payload));
            assert_eq!(payload.clock_hz(), clock_hz);
            assert_eq!(payload.natural_rate_hz(), natural);
            assert!(payload.name().eq_ignore_ascii_case(name));
        }
        assert_eq!(Payload::by_name("G722", 16_000, 1), None);
        assert_eq!(Payload::by_name("L16", 96_000, 1), None);
        assert_eq!(Payload::by_name("PCMU", 8_000, 2), None);
    }

    #[test]
    fn what_cannot_be_decoded_has_a_name_and_a_length() {
        let mut map = PayloadMap::default();
        assert_eq!(map.describe(18), "18 G729");
        assert_eq!(map.describe(99), "99");
        assert_eq!(map.foreign_samples(18, 20), Some(160));
        assert_eq!(map.foreign_samples(18, 12), Some(160));
        assert_eq!(map.foreign_samples(3, 66), Some(320));
        assert_eq!(map.foreign_samples(99, 20), None);
        assert_eq!(map.foreign_samples(18, 60_000), None);
        map.set(99, None, Some("AMR-WB"));
        map.set(98, None, Some("iLBC"));
        assert_eq!(map.describe(99), "99 AMR-WB");
        assert_eq!(map.foreign_samples(98, 38), Some(160));
        assert_eq!(map.foreign_samples(98, 50), Some(240));
        map.set(99, Some(Payload::Opus), Some("opus"));
        assert_eq!(map.describe(99), "99");
        assert_eq!(map.foreign_samples(0, 160), None);
    }
}
