//! SDP offers read, and answers made (RFC 8866, RFC 3264).
//!
//! Called by [`crate::call`]; calls sdp-types. An offer that cannot be recorded is refused by what
//! is wrong with it: noise in a file is worse than no file.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use reeld_model::SourceRule;
use sdp_types::{Attribute, Connection, Media, Origin, Session};
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::payload::{Payload, PayloadMap};
use crate::srtp::Crypto;

/// The largest offer that is read, in bytes.
const MOST_BYTES: usize = 64 * 1024;

/// What one audio line of an offer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) payloads: Arc<PayloadMap>,
    /// Where its RTP comes from, if it says so.
    pub(crate) source: Option<SourceRule>,
    pub(crate) direction: Direction,
    /// The key of its SRTP; none where it is RTP.
    pub(crate) crypto: Option<Crypto>,
}

/// Which way sound goes, as the offerer says (RFC 8866 §6.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) enum Direction {
    /// Both; also where nothing is said.
    #[default]
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

impl Direction {
    const ALL: [Self; 4] = [
        Self::SendRecv,
        Self::SendOnly,
        Self::RecvOnly,
        Self::Inactive,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// Of a line: its own, else the session's.
    fn of(session: &Session, media: &Media) -> Self {
        let said = media.attributes.iter().chain(&session.attributes);
        said.into_iter()
            .find_map(|said| {
                let is_it = |direction: &Self| direction.as_str() == said.attribute;
                Self::ALL.into_iter().find(is_it)
            })
            .unwrap_or_default()
    }
}

/// An offer that can be recorded. Its text may have keys in it, so it has a Debug of its own.
pub(crate) struct Offer {
    session: Session,
    /// Its audio lines that are in use, in order.
    pub(crate) lines: Vec<Line>,
}

impl Offer {
    /// Reads an offer. The error says what is wrong with it.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        if text.len() > MOST_BYTES {
            return Err(format!("Sdp is longer than {MOST_BYTES} bytes"));
        }
        let session = Session::parse(text.as_bytes())
            .map_err(|error| format!("Sdp cannot be read: {error}"))?;
        let mut lines = Vec::new();
        for media in session.medias.iter().filter(|media| is_used_audio(media)) {
            lines.push(read_line(&session, media)?);
        }
        if lines.is_empty() {
            return Err("Sdp has no audio line that is in use".to_owned());
        }
        Ok(Self { session, lines })
    }

    /// The answer: each line in its order, the audio lines on `legs`, the rest refused. With `sends`
    /// it says that we send to the first of them, where that one is to receive.
    pub(crate) fn answer(
        &self,
        address: IpAddr,
        legs: &[Leg],
        version: u64,
        sends: bool,
    ) -> String {
        // Our own session id, as RFC 3264 §6 has it: the port is ours alone while the call lasts.
        let id = legs.first().map_or(0, |leg| leg.port);
        let mut answer = Session::new(Origin::with_ip_addr(id, version, address), "reeld");
        answer.add_time(sdp_types::Time::new(0, 0));
        answer.set_connection(Connection::from_ip_addr(address));
        let mut legs = legs.iter();
        let mut sends = sends;
        for offered in &self.session.medias {
            let leg = if is_used_audio(offered) {
                legs.next()
            } else {
                None
            };
            let direction = match Direction::of(&self.session, offered) {
                Direction::SendRecv if leg.is_some() && std::mem::take(&mut sends) => {
                    Direction::SendRecv
                }
                Direction::SendRecv | Direction::SendOnly => Direction::RecvOnly,
                Direction::RecvOnly | Direction::Inactive => Direction::Inactive,
            };
            answer.medias.push(answer_line(offered, leg, direction));
        }
        let mut text = Vec::new();
        // Writing into memory cannot fail.
        if answer.write(&mut text).is_err() {
            text.clear();
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// Where an audio line of an offer is received.
#[derive(Debug, Clone)]
pub(crate) struct Leg {
    pub(crate) port: u16,
    /// The value of its `a=crypto`, with a key of ours.
    pub(crate) crypto: Option<String>,
}

impl fmt::Debug for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offer")
            .field("lines", &self.lines)
            .finish_non_exhaustive()
    }
}

/// Kept as its text.
impl Serialize for Offer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = Vec::new();
        self.session.write(&mut text).map_err(S::Error::custom)?;
        String::from_utf8_lossy(&text).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Offer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::read(&text).map_err(D::Error::custom)
    }
}

/// What is wrong with an offer, if it cannot be recorded. Who has several lines asks of each alone, so that
/// one costs no other.
#[must_use]
pub fn offer_fault(text: &str) -> Option<String> {
    Offer::read(text).err()
}

fn is_used_audio(media: &Media) -> bool {
    media.media == "audio" && media.port != 0
}

fn read_line(session: &Session, media: &Media) -> Result<Line, String> {
    let crypto = read_crypto(session, media)?;
    let mut payloads = PayloadMap::default();
    let mut names = Vec::new();
    let mut preferred = None;
    for format in media.fmt.split_ascii_whitespace() {
        let Ok(payload_type) = format.parse::<u8>() else {
            return Err(format!("Sdp has {format:?} for a payload type"));
        };
        let meaning = Meaning::of(media, payload_type);
        if preferred.is_none() && meaning.payload.is_some_and(Payload::is_audio) {
            preferred = Some(payload_type);
        }
        payloads.set(payload_type, meaning.payload, meaning.name);
        if meaning.payload == Some(Payload::Opus)
            && let Some(rate_hz) = captured_hz(media, payload_type)
        {
            payloads.bound(payload_type, rate_hz);
        }
        names.push(
            meaning
                .name
                .map_or_else(|| payloads.describe(payload_type), str::to_owned),
        );
    }
    let Some(preferred) = preferred else {
        return Err(format!(
            "Sdp offers no codec that is built: {}",
            names.join(", ")
        ));
    };
    payloads.prefer(preferred);
    let address = media
        .connections
        .first()
        .or(session.connection.as_ref())
        .and_then(address);
    Ok(Line {
        payloads: Arc::new(payloads),
        source: address.map(|address| SourceRule {
            address,
            port: None,
        }),
        direction: Direction::of(session, media),
        crypto,
    })
}

/// The key of a line's SRTP, `None` for RTP. The error names what of its transport is not built.
///
/// Keys in RTP/AVP are passed over, and the answer has none, which declines them: RFC 4568 §5 has keys in
/// RTP/SAVP alone, and who offers them in RTP/AVP ("best effort") sends RTP then.
fn read_crypto(session: &Session, media: &Media) -> Result<Option<Crypto>, String> {
    let is_secure = media.proto.starts_with("RTP/SAVP");
    let keys = || values(media, "crypto");
    // Who offers SDES and DTLS in RTP/SAVP lets the answer choose.
    let chooses = is_secure && keys().next().is_some();
    let attributes = || media.attributes.iter().chain(&session.attributes);
    for (needed, what) in [
        ("fingerprint", "DTLS (a=fingerprint)"),
        ("ice-ufrag", "ICE (a=ice-ufrag)"),
    ] {
        let is_needed = attributes().any(|attribute| attribute.attribute == needed);
        if is_needed && !(chooses && needed == "fingerprint") {
            return Err(format!("Sdp asks for {what}, which is not built yet"));
        }
    }
    match media.proto.as_str() {
        "RTP/AVP" | "RTP/AVPF" => Ok(None),
        "RTP/SAVP" | "RTP/SAVPF" if !chooses => Err(format!(
            "Sdp asks for {} without keys for it (a=crypto)",
            media.proto
        )),
        "RTP/SAVP" | "RTP/SAVPF" => Crypto::choose(keys())
            .map(Some)
            .map_err(|fault| format!("Sdp has no SRTP key (a=crypto) that can be used: {fault}")),
        other => Err(format!(
            "Sdp asks for {other}, and only RTP/AVP and RTP/SAVP are built"
        )),
    }
}

/// What a line means by a payload type.
struct Meaning<'a> {
    /// `None` for what cannot be decoded.
    payload: Option<Payload>,
    /// The name that the line gives it.
    name: Option<&'a str>,
    clock_hz: u32,
}

impl<'a> Meaning<'a> {
    /// By the line's `rtpmap`, else by RFC 3551 for a static type.
    fn of(media: &'a Media, payload_type: u8) -> Self {
        let mapped = values(media, "rtpmap").find_map(|value| {
            let (number, encoding) = value.split_once(' ')?;
            (number.parse() == Ok(payload_type)).then_some(encoding.trim())
        });
        let Some(encoding) = mapped else {
            let usual = PayloadMap::default().get(payload_type);
            let payload = usual.filter(|_| payload_type < 96);
            return Self {
                payload,
                name: None,
                clock_hz: payload.map_or(0, Payload::clock_hz),
            };
        };
        let mut parts = encoding.split('/');
        let name = parts.next();
        let clock_hz = parts.next().and_then(|clock| clock.parse().ok());
        let channels = parts.next().map_or(Ok(1), str::parse).unwrap_or(0);
        let payload = name
            .zip(clock_hz)
            .and_then(|(name, clock_hz)| Payload::by_name(name, clock_hz, channels));
        Self {
            payload,
            name,
            clock_hz: clock_hz.unwrap_or(0),
        }
    }
}

/// What an Opus sender says that it captures at most (RFC 7587 §7.1, sprop-maxcapturerate), in Hz. Its
/// maxplaybackrate is of what it hears, which is not recorded.
fn captured_hz(media: &Media, payload_type: u8) -> Option<u32> {
    values(media, "fmtp").find_map(|value| {
        let (number, parameters) = value.split_once(' ')?;
        let is_own = number.parse() == Ok(payload_type);
        let named = parameters
            .split(';')
            .filter(|_| is_own)
            .find_map(|parameter| {
                let (name, value) = parameter.split_once('=')?;
                name.trim()
                    .eq_ignore_ascii_case("sprop-maxcapturerate")
                    .then_some(value.trim())
            });
        named?.parse().ok()
    })
}

/// The values that a line has for an attribute.
fn values<'a>(media: &'a Media, name: &'a str) -> impl Iterator<Item = &'a str> {
    media
        .attributes
        .iter()
        .filter(move |attribute| attribute.attribute == name)
        .filter_map(|attribute| attribute.value.as_deref())
}

/// The address of a connection line; none where it is a name or the unspecified address, which
/// says hold (RFC 3264 §8.4) and not whence.
fn address(connection: &Connection) -> Option<IpAddr> {
    let text = connection.connection_address.split('/').next()?;
    text.parse()
        .ok()
        .filter(|address: &IpAddr| !address.is_unspecified())
}

fn answer_line(offered: &Media, leg: Option<&Leg>, direction: Direction) -> Media {
    let mut line = offered.clone();
    line.connections.clear();
    line.bandwidths.clear();
    line.key = None;
    line.num_ports = None;
    line.port = leg.map_or(0, |leg| leg.port);
    line.attributes.clear();
    let Some(leg) = leg else {
        return line;
    };
    let mut kept = Vec::new();
    for format in offered.fmt.split_ascii_whitespace() {
        let payload_type = format.parse().unwrap_or(u8::MAX);
        let meaning = Meaning::of(offered, payload_type);
        if let Some(payload) = meaning.payload {
            kept.push(format);
            let channels = match payload {
                // Always 2 (RFC 7587 §7).
                Payload::Opus | Payload::L16 { channels: 2, .. } => "/2",
                Payload::G711(_)
                | Payload::G722
                | Payload::L16 { .. }
                | Payload::ComfortNoise
                | Payload::TelephoneEvent => "",
            };
            let map = format!("{format} {}/{}{channels}", payload.name(), meaning.clock_hz);
            line.attributes.push(Attribute::with_value("rtpmap", map));
            if payload == Payload::Opus {
                // What is lost can be had from the next packet, if the sender knows that it is of use.
                let wish = format!("{format} useinbandfec=1");
                line.attributes.push(Attribute::with_value("fmtp", wish));
            }
        }
    }
    line.fmt = kept.join(" ");
    for kept in ["label", "mid"] {
        let said = offered
            .attributes
            .iter()
            .find(|said| said.attribute == kept);
        line.attributes.extend(said.cloned());
    }
    if let Some(crypto) = &leg.crypto {
        line.attributes
            .push(Attribute::with_value("crypto", crypto));
    }
    line.attributes.push(Attribute::new(direction.as_str()));
    line.attributes
        .push(Attribute::with_value("rtcp", leg.port + 1));
    line
}

#[cfg(test)]
mod tests;
