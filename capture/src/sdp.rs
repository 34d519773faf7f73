//! SDP offers read, and answers made (RFC 8866, RFC 3264).
//!
//! Called by [`crate::call`]; calls sdp-types. An offer that cannot be recorded is refused by what
//! is wrong with it: noise in a file is worse than no file.

use std::net::IpAddr;
use std::sync::Arc;

use reeld_model::SourceRule;
use sdp_types::{Attribute, Connection, Media, Origin, Session};
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::payload::{Payload, PayloadMap};

/// The largest offer that is read, in bytes.
const MOST_BYTES: usize = 64 * 1024;

/// What one audio line of an offer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) payloads: Arc<PayloadMap>,
    /// Where its RTP comes from, if it says so.
    pub(crate) source: Option<SourceRule>,
    pub(crate) direction: Direction,
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

/// An offer that can be recorded.
#[derive(Debug)]
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

    /// The answer: each line in its order, the audio lines on `ports`, the rest refused. With `sends`
    /// it says that we send to the first of them, where that one is to receive.
    pub(crate) fn answer(
        &self,
        address: IpAddr,
        ports: &[u16],
        version: u64,
        sends: bool,
    ) -> String {
        // Our own session id, as RFC 3264 §6 has it: the port is ours alone while the call lasts.
        let id = ports.first().copied().unwrap_or(0);
        let mut answer = Session::new(Origin::with_ip_addr(id, version, address), "reeld");
        answer.add_time(sdp_types::Time::new(0, 0));
        answer.set_connection(Connection::from_ip_addr(address));
        let mut ports = ports.iter();
        let mut sends = sends;
        for offered in &self.session.medias {
            let port = if is_used_audio(offered) {
                ports.next().copied()
            } else {
                None
            };
            let direction = match Direction::of(&self.session, offered) {
                Direction::SendRecv if port.is_some() && std::mem::take(&mut sends) => {
                    Direction::SendRecv
                }
                Direction::SendRecv | Direction::SendOnly => Direction::RecvOnly,
                Direction::RecvOnly | Direction::Inactive => Direction::Inactive,
            };
            answer.medias.push(answer_line(offered, port, direction));
        }
        let mut text = Vec::new();
        // Writing into memory cannot fail.
        if answer.write(&mut text).is_err() {
            text.clear();
        }
        String::from_utf8_lossy(&text).into_owned()
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
    let attributes = || media.attributes.iter().chain(&session.attributes);
    for (needed, what) in [
        ("crypto", "SRTP keys (a=crypto)"),
        ("fingerprint", "DTLS (a=fingerprint)"),
        ("ice-ufrag", "ICE (a=ice-ufrag)"),
    ] {
        if attributes().any(|attribute| attribute.attribute == needed) {
            return Err(format!("Sdp asks for {what}, which is not built yet"));
        }
    }
    if !matches!(media.proto.as_str(), "RTP/AVP" | "RTP/AVPF") {
        return Err(format!(
            "Sdp asks for {}, and only RTP/AVP is built",
            media.proto
        ));
    }
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
    })
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

fn answer_line(offered: &Media, port: Option<u16>, direction: Direction) -> Media {
    let mut line = offered.clone();
    line.connections.clear();
    line.bandwidths.clear();
    line.key = None;
    line.num_ports = None;
    line.port = port.unwrap_or(0);
    line.attributes.clear();
    let Some(port) = port else {
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
    line.attributes.push(Attribute::new(direction.as_str()));
    line.attributes
        .push(Attribute::with_value("rtcp", port + 1));
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use reeld_codec::g711::Law;

    const OFFER: &str = "v=0\r\no=- 7 7 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n\
        m=audio 30026 RTP/AVP 96 8 101 107 9 18 110\r\na=rtpmap:96 pcmu/8000\r\na=label:1\r\n\
        a=rtpmap:101 telephone-event/8000\r\na=rtpmap:107 opus/48000/2\r\n\
        a=rtpmap:110 AMR-WB/16000\r\na=sendonly\r\n\
        m=video 4000 RTP/AVP 97\r\n";

    #[test]
    fn an_offer_maps_payload_types_and_names_the_source() {
        let offer = Offer::read(OFFER).unwrap();
        let line = &offer.lines[0];
        assert_eq!(line.payloads.get(96), Some(Payload::G711(Law::Mu)));
        assert_eq!(line.payloads.get(8), Some(Payload::G711(Law::A)));
        assert_eq!(line.payloads.get(107), Some(Payload::Opus));
        assert_eq!(line.payloads.get(9), Some(Payload::G722));
        assert_eq!(line.payloads.get(110), None);
        assert_eq!(line.payloads.describe(110), "110 AMR-WB");
        assert_eq!(line.payloads.preferred_rate_hz(), Some(8_000));
        let source = SourceRule {
            address: "192.0.2.7".parse().unwrap(),
            port: None,
        };
        assert_eq!(line.source, Some(source));
    }

    #[test]
    fn what_opus_is_captured_at_is_what_it_is_worth() {
        let rate = |said: &str| {
            let offer = OFFER.replacen("a=sendonly", said, 1);
            Offer::read(&offer).unwrap().lines[0].payloads.rate_hz(107)
        };
        for (said, rate_hz) in [
            ("a=sendonly", 48_000),
            (
                "a=fmtp:107 useinbandfec=1; sprop-maxcapturerate=16000",
                16_000,
            ),
            ("a=fmtp:107 Sprop-MaxCaptureRate=24000;stereo=0", 24_000),
            ("a=fmtp:107 maxplaybackrate=16000", 48_000),
            ("a=fmtp:96 sprop-maxcapturerate=16000", 48_000),
            ("a=fmtp:107 sprop-maxcapturerate=96000", 48_000),
            ("a=fmtp:107 sprop-maxcapturerate=0", 0),
            ("a=fmtp:107 sprop-maxcapturerate=x", 48_000),
        ] {
            assert_eq!(rate(said), Some(rate_hz), "{said}");
        }
    }

    #[test]
    fn the_answer_keeps_the_lines_and_refuses_what_is_no_audio() {
        let offer = Offer::read(OFFER).unwrap();
        let text = offer.answer("127.0.0.1".parse().unwrap(), &[20_000], 2, true);
        let answer = Session::parse(text.as_bytes()).unwrap();
        assert_eq!(answer.medias.len(), 2);
        assert_eq!((answer.medias[0].port, answer.medias[1].port), (20_000, 0));
        assert_eq!(answer.medias[0].fmt, "96 8 101 107 9");
        for said in [
            "a=recvonly",
            "a=label:1",
            "a=rtpmap:96 PCMU/8000",
            "a=rtpmap:107 opus/48000/2",
            "a=fmtp:107 useinbandfec=1",
            "a=rtpmap:9 G722/8000",
            "a=rtcp:20001",
        ] {
            assert!(text.contains(said), "{said} in {text}");
        }
    }

    #[test]
    fn the_answer_says_that_we_send_where_we_do_and_are_heard() {
        for (said, sends, answered) in [
            ("a=sendrecv", false, "a=recvonly"),
            ("a=sendrecv", true, "a=sendrecv"),
            ("a=x", true, "a=sendrecv"),
            ("a=sendonly", true, "a=recvonly"),
            ("a=recvonly", true, "a=inactive"),
            ("a=inactive", true, "a=inactive"),
        ] {
            let offer = Offer::read(&OFFER.replacen("a=sendonly", said, 1)).unwrap();
            let answer = offer.answer("127.0.0.1".parse().unwrap(), &[20_000], 2, sends);
            assert!(answer.contains(answered), "{answered} in {answer}");
        }
        let of_session = OFFER.replacen("t=0 0", "t=0 0\r\na=inactive", 1);
        let of_session = of_session.replacen("a=sendonly\r\n", "", 1);
        let offer = Offer::read(&of_session).unwrap();
        assert_eq!(offer.lines[0].direction, Direction::Inactive);
    }

    #[test]
    fn what_cannot_be_recorded_is_refused_by_name() {
        for (from, to, said) in [
            ("RTP/AVP 96 8 101 107 9 18 110", "RTP/SAVP 0", "RTP/SAVP"),
            (
                "a=label:1",
                "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x",
                "a=crypto",
            ),
            ("a=label:1", "a=fingerprint:sha-256 00", "a=fingerprint"),
            ("a=label:1", "a=ice-ufrag:x", "a=ice-ufrag"),
            ("96 8 101 107 9 18 110", "110 18", "AMR-WB, 18 G729"),
            ("m=audio", "m=text", "no audio line"),
            ("audio 30026", "audio 0", "no audio line"),
            ("v=0", "w=0", "cannot be read"),
        ] {
            let error = Offer::read(&OFFER.replacen(from, to, 1)).unwrap_err();
            assert!(error.contains(said), "{error:?} names {said}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String, lines in proptest::collection::vec("[a-z]=[ -~]{0,40}", 0..12)) {
            for text in [text, format!("v=0\r\n{}", lines.join("\r\n"))] {
                if let Ok(offer) = Offer::read(&text) {
                    offer.answer("::1".parse().unwrap(), &[2], 1, text.len() % 2 == 0);
                }
            }
        }
    }
}
