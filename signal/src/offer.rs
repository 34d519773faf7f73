//! The SDP of who has calls recorded: its lines as they are offered, what capture is told of them, and the answer
//! (RFC 8866, RFC 3264, RFC 7866 §7).
//!
//! Called by `siprec` and `rtpengine`. A reader of our own, since a whole offer may not be lost to one line of it: clients leave
//! out `c=`, `t=` or `s=`, put attributes of ICE into RTP/AVP, or X-es where an address was. What capture gets is
//! an offer of ours, with the lines that are recorded and no others, so a codec is judged in one place; what
//! the client gets are its own lines, in its order.
//!
//! Bounds: [`MOST_LINES`] of [`MOST_BYTES`].

use std::fmt::{self, Write as _};
use std::net::IpAddr;

use reeld_model::Track;
use serde::{Deserialize, Serialize};

mod ours;

/// Bytes of an offer that are read.
const MOST_BYTES: usize = 32 * 1024;
/// Media lines of an offer.
pub(crate) const MOST_LINES: usize = 32;
/// Attributes of a line that are kept.
const MOST_ATTRIBUTES: usize = 128;
/// Keys of a line that are kept.
const MOST_KEYS: usize = 32;

/// An offer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Offer {
    pub(crate) lines: Vec<Line>,
    /// What could not be read as it was meant.
    #[serde(skip)]
    pub(crate) warnings: Vec<String>,
}

/// A media line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) media: String,
    pub(crate) port: u16,
    proto: String,
    formats: String,
    /// Where its RTP comes from, if it says so.
    address: Option<IpAddr>,
    /// Whether its address is the unspecified one, which says hold (RFC 3264 §8.4).
    is_nowhere: bool,
    /// What of its attributes tells of the sound.
    attributes: Vec<String>,
    /// Its `a=crypto`, which capture chooses from.
    #[serde(default)]
    keys: Keys,
    /// Whether it offers DTLS.
    #[serde(default)]
    is_dtls: bool,
    pub(crate) label: Option<String>,
    mid: Option<String>,
    direction: Direction,
    /// Whether it is another way for what a line before it is.
    #[serde(default)]
    is_alternative: bool,
}

/// Attributes with SRTP keys in them: they are kept for capture, and shown to nobody.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Keys(Vec<String>);

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.0.len())
    }
}

/// What a line says of who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
enum Direction {
    /// The client sends: `sendonly`, `sendrecv` or nothing said.
    #[default]
    Sends,
    /// Nobody sends to us: `inactive`.
    Silent,
    /// The client says that it receives, `recvonly`: a pause, or the word that it takes for ours.
    Receives,
}

impl Direction {
    fn named(name: &str) -> Option<Self> {
        match name {
            "sendonly" | "sendrecv" => Some(Self::Sends),
            "inactive" => Some(Self::Silent),
            "recvonly" => Some(Self::Receives),
            _ => None,
        }
    }
}

impl Offer {
    /// Reads an offer; `None` where there is no media line in it.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MOST_BYTES)]);
        let mut offer = Self::default();
        let (mut address, mut is_nowhere) = (None, false);
        let mut direction = Direction::default();
        let mut alternatives = Vec::new();
        // Lines that end in CR alone are seen too.
        for line in text.split(['\r', '\n']) {
            let Some((kind, value)) = line.trim().split_once('=') else {
                continue;
            };
            let value = value.trim();
            match (kind, offer.lines.last_mut()) {
                ("m", _) => match Line::read(value, address, is_nowhere, direction) {
                    Some(line) if offer.lines.len() < MOST_LINES => offer.lines.push(line),
                    Some(_) => {
                        offer
                            .warnings
                            .push(format!("sdp: more than {MOST_LINES} lines"));
                        break;
                    }
                    None => offer
                        .warnings
                        .push("sdp: a media line cannot be read".to_owned()),
                },
                ("c", None) => (address, is_nowhere) = connection(value),
                ("c", Some(line)) => (line.address, line.is_nowhere) = connection(value),
                ("a", None) => {
                    direction = Direction::named(value).unwrap_or(direction);
                    alternatives.extend(value.strip_prefix("group:ANAT "));
                }
                ("a", Some(line)) => line.take(value),
                _ => {}
            }
        }
        for group in alternatives {
            offer.choose(group);
        }
        (!offer.lines.is_empty()).then_some(offer)
    }

    /// Of lines that are one stream by several networks (RFC 4091), one is recorded: the first by IPv4, else the first.
    fn choose(&mut self, mids: &str) {
        let mids: Vec<&str> = mids.split_ascii_whitespace().collect();
        let is_of_it = |line: &Line| line.mid.as_deref().is_some_and(|mid| mids.contains(&mid));
        let of_it = (0..self.lines.len())
            .filter(|index| is_of_it(&self.lines[*index]) && self.lines[*index].is_used());
        let of_it: Vec<usize> = of_it.collect();
        let by_ipv4 = |index: &&usize| self.lines[**index].address.is_some_and(|at| at.is_ipv4());
        let chosen = of_it.iter().find(by_ipv4).or(of_it.first()).copied();
        for index in of_it {
            self.lines[index].is_alternative = Some(index) != chosen;
        }
    }

    /// What capture is told: the lines of the tracks, in the order of the tracks.
    ///
    /// `reaches` says whether RTP from an address can get to a media port at all; from where it cannot
    /// nothing is awaited, and `media.allow` decides.
    pub(crate) fn for_capture(
        tracks: [Option<&Line>; 2],
        reaches: impl Fn(IpAddr) -> bool,
    ) -> Option<String> {
        let lines: Vec<&Line> = match tracks {
            [Some(inbound), Some(outbound)] => vec![inbound, outbound],
            [Some(line), None] | [None, Some(line)] => vec![line],
            [None, None] => return None,
        };
        let mut text =
            "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n".to_owned();
        for line in lines {
            text.push_str(&line.for_capture(&reaches));
        }
        Some(text)
    }
}

impl Line {
    fn read(
        value: &str,
        address: Option<IpAddr>,
        is_nowhere: bool,
        direction: Direction,
    ) -> Option<Self> {
        let mut words = value.split_ascii_whitespace();
        let media = words.next()?.to_ascii_lowercase();
        let port = words.next()?.split('/').next()?.parse().ok()?;
        let proto = words.next()?.to_ascii_uppercase();
        // Commas between them, and names where numbers belong, are seen.
        let formats = words.flat_map(|word| word.split(','));
        let formats = formats.filter(|format| {
            media != "audio" || format.parse::<u8>().is_ok_and(|number| number < 128)
        });
        let formats = formats.take(64).collect::<Vec<_>>().join(" ");
        Some(Self {
            media,
            port,
            proto,
            formats,
            address,
            is_nowhere,
            attributes: Vec::new(),
            keys: Keys::default(),
            is_dtls: false,
            label: None,
            mid: None,
            direction,
            is_alternative: false,
        })
    }

    fn take(&mut self, attribute: &str) {
        let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        match name.as_str() {
            "label" => self.label = Some(short(value)),
            "mid" => self.mid = Some(short(value)),
            "rtpmap" | "fmtp" | "ptime" if self.attributes.len() < MOST_ATTRIBUTES => {
                let value = value.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
                if name != "rtpmap" || !is_odd_static(&value) {
                    self.attributes.push(short(&format!("{name}:{value}")));
                }
            }
            "crypto" if self.keys.0.len() < MOST_KEYS => {
                self.keys.0.push(short(&format!("{name}:{value}")));
            }
            "fingerprint" => self.is_dtls = true,
            _ => self.direction = Direction::named(&name).unwrap_or(self.direction),
        }
    }

    /// Whether nothing is sent on it for now: by its direction, or for want of an address.
    pub(crate) const fn is_paused(&self) -> bool {
        !matches!(self.direction, Direction::Sends) || self.is_nowhere
    }

    /// Whether all that says a pause is that the client receives.
    pub(crate) const fn says_that_it_receives(&self) -> bool {
        matches!(self.direction, Direction::Receives) && !self.is_nowhere
    }

    /// Takes it for one that is sent, whatever it says.
    pub(crate) const fn sends(&mut self) {
        self.direction = Direction::Sends;
    }

    /// Why it is not recorded, if it is not. A line that is switched off is no fault.
    pub(crate) fn fault(&self) -> Option<String> {
        if self.media != "audio" {
            return Some(format!("{} is not recorded", self.media));
        }
        if self.is_alternative {
            return Some("it is another way for a line that is recorded (ANAT)".to_owned());
        }
        if self.is_secure() && self.keys.0.is_empty() && self.is_dtls
            || self.proto.starts_with("UDP/TLS/")
        {
            return Some(format!(
                "SRTP ({}) with keys by DTLS is not built",
                self.proto
            ));
        }
        if !self.is_secure() && !matches!(self.proto.as_str(), "RTP/AVP" | "RTP/AVPF") {
            return Some(format!("{} is not built", self.proto));
        }
        reeld_capture::offer_fault(&format!(
            "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n{}",
            self.for_capture(&|_| false)
        ))
    }

    /// Whether it is in use (RFC 3264 §6: port 0 is not).
    pub(crate) const fn is_used(&self) -> bool {
        self.port != 0
    }

    /// Whether its RTP is to be protected (RFC 3711 §12). Keys in RTP/AVP are no keys, as in capture.
    fn is_secure(&self) -> bool {
        matches!(self.proto.as_str(), "RTP/SAVP" | "RTP/SAVPF")
    }

    fn for_capture(&self, reaches: &impl Fn(IpAddr) -> bool) -> String {
        let (proto, keys) = if self.is_secure() {
            ("RTP/SAVP", self.keys.0.as_slice())
        } else {
            ("RTP/AVP", &[][..])
        };
        let mut text = format!("m=audio {} {proto} {}\r\n", self.port.max(1), self.formats);
        match self.address.filter(|address| reaches(*address)) {
            Some(address) => put(
                &mut text,
                format_args!("c=IN {} {address}", version(address)),
            ),
            None => text.push_str("c=IN IP4 0.0.0.0\r\n"),
        }
        for attribute in self.attributes.iter().chain(keys) {
            put(&mut text, format_args!("a={attribute}"));
        }
        text.push_str("a=sendonly\r\n");
        text
    }
}

/// Which payload types of a line an answer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Formats {
    /// Those that capture decodes.
    Built,
    /// All that were offered: rtpengine takes no answer with fewer (it would have to transcode).
    Offered,
}

/// What is answered to a client: who we are in it, and how often we have answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer<'a> {
    /// A number of the session that is ours alone.
    pub(crate) id: u64,
    pub(crate) version: u64,
    /// What capture answered to [`Offer::for_capture`].
    pub(crate) of_capture: &'a str,
    pub(crate) formats: Formats,
}

impl Answer<'_> {
    /// The answer to `offer`, of which `tracks` says which line is which track's.
    pub(crate) fn text(self, offer: &Offer, tracks: [Option<usize>; 2]) -> String {
        let Captured { address, lines } = Captured::read(self.of_capture);
        let address = address.unwrap_or("IN IP4 0.0.0.0");
        let mut text = format!(
            "v=0\r\no=reeld {} {} {address}\r\ns=reeld\r\nc={address}\r\nt=0 0\r\n",
            self.id, self.version
        );
        for (index, line) in offer.lines.iter().enumerate() {
            // Capture's lines are the tracks'.
            let track = tracks.iter().position(|place| *place == Some(index));
            match track.and_then(|track| lines.get(track)) {
                Some(captured) if line.is_used() => {
                    let formats = match self.formats {
                        Formats::Built => captured.formats,
                        Formats::Offered => &line.formats,
                    };
                    put(
                        &mut text,
                        format_args!("m=audio {} {} {formats}", captured.port, line.proto),
                    );
                    match self.formats {
                        Formats::Built => {
                            for attribute in &captured.attributes {
                                put(&mut text, format_args!("a={attribute}"));
                            }
                            for attribute in line.echoed(captured) {
                                put(&mut text, format_args!("a={attribute}"));
                            }
                        }
                        Formats::Offered => {
                            for attribute in &line.attributes {
                                put(&mut text, format_args!("a={attribute}"));
                            }
                        }
                    }
                    line.echo(&mut text);
                    text.push_str(match line.direction {
                        Direction::Sends => "a=recvonly\r\n",
                        Direction::Silent | Direction::Receives => "a=inactive\r\n",
                    });
                }
                _ => {
                    // RFC 3264 §6: at least one format, of which nothing is read.
                    let formats = if line.formats.is_empty() {
                        "0"
                    } else {
                        &line.formats
                    };
                    put(
                        &mut text,
                        format_args!("m={} 0 {} {formats}", line.media, line.proto),
                    );
                    line.echo(&mut text);
                }
            }
        }
        text
    }
}

impl Line {
    /// What of the offer's attributes the answer has as they are: how long packets are, and which keys a
    /// telephone-event stands for (RFC 4733 §2.5.1.1), which some clients want to read.
    fn echoed<'a>(&'a self, captured: &'a CapturedLine<'_>) -> impl Iterator<Item = &'a str> {
        let is_event = |number: &str| {
            captured.attributes.iter().any(|map| {
                let map = map
                    .strip_prefix("rtpmap:")
                    .and_then(|map| map.split_once(' '));
                map.is_some_and(|(own, name)| own == number && name.starts_with("telephone-event"))
            })
        };
        let own = self.attributes.iter().map(String::as_str);
        own.filter(move |attribute| match attribute.split_once(':') {
            Some(("ptime", _)) => true,
            Some(("fmtp", value)) => value.split(' ').next().is_some_and(is_event),
            _ => false,
        })
    }

    fn echo(&self, text: &mut String) {
        for (name, value) in [("label", &self.label), ("mid", &self.mid)] {
            if let Some(value) = value {
                put(text, format_args!("a={name}:{value}"));
            }
        }
    }
}

/// Capture's answer, which is ours: one line a track.
#[derive(Debug, Default)]
struct Captured<'a> {
    address: Option<&'a str>,
    lines: Vec<CapturedLine<'a>>,
}

#[derive(Debug, Default)]
struct CapturedLine<'a> {
    port: u16,
    formats: &'a str,
    attributes: Vec<&'a str>,
}

impl<'a> Captured<'a> {
    fn read(text: &'a str) -> Self {
        let mut captured = Self::default();
        for line in text.lines() {
            let Some((kind, value)) = line.trim().split_once('=') else {
                continue;
            };
            match (kind, captured.lines.last_mut()) {
                ("c", None) => captured.address = Some(value),
                ("m", _) => {
                    let mut words = value.splitn(4, ' ').skip(1);
                    let port = words.next().and_then(|port| port.parse().ok());
                    captured.lines.push(CapturedLine {
                        port: port.unwrap_or(0),
                        formats: words.nth(1).unwrap_or_default(),
                        attributes: Vec::new(),
                    });
                }
                ("a", Some(line))
                    if ["rtpmap:", "fmtp:", "rtcp:", "crypto:"]
                        .iter()
                        .any(|kept| value.starts_with(kept)) =>
                {
                    line.attributes.push(value);
                }
                _ => {}
            }
        }
        captured
    }
}

/// Which line is which track's, after a new offer: a line keeps its track for as long as it is in use, and a
/// track that is free goes to the first line that has none. `first` is the track of the first of these.
pub(crate) fn allot(
    offer: &Offer,
    recordable: &[bool],
    before: [Option<usize>; 2],
    first: impl Fn(&[usize]) -> Option<(usize, Track)>,
) -> [Option<usize>; 2] {
    let is_there =
        |index: usize| recordable.get(index).is_some_and(|is| *is) && offer.lines[index].is_used();
    let mut tracks =
        before.map(|index| index.filter(|index| *index < offer.lines.len() && is_there(*index)));
    let new: Vec<usize> = (0..offer.lines.len())
        .filter(|index| is_there(*index) && !tracks.contains(&Some(*index)))
        .collect();
    let mut new_ones = new.clone();
    if tracks == [None, None]
        && let Some((index, track)) = first(&new)
    {
        tracks[track.index()] = Some(index);
        new_ones.retain(|one| *one != index);
    }
    for index in new_ones {
        match tracks.iter_mut().find(|track| track.is_none()) {
            Some(track) => *track = Some(index),
            None => break,
        }
    }
    tracks
}

/// Whether an rtpmap gives a static payload type (RFC 3551 §6) another clock than it has, or none: G722/16000 sounds
/// right and is not. Its number says what it is.
fn is_odd_static(map: &str) -> bool {
    let (number, encoding) = map.split_once(' ').unwrap_or((map, ""));
    let (name, clock) = encoding.split_once('/').unwrap_or((encoding, ""));
    let is_static = [("0", "PCMU"), ("8", "PCMA"), ("9", "G722"), ("13", "CN")]
        .into_iter()
        .any(|(own, known)| number == own && name.eq_ignore_ascii_case(known));
    is_static && clock.split('/').next() != Some("8000")
}

/// The address of a `c=`, and whether it is the unspecified one.
fn connection(value: &str) -> (Option<IpAddr>, bool) {
    let address = value
        .split_ascii_whitespace()
        .nth(2)
        .and_then(|address| address.split('/').next()?.parse::<IpAddr>().ok());
    match address {
        Some(address) if address.is_unspecified() => (None, true),
        address => (address, false),
    }
}

const fn version(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "IP4",
        IpAddr::V6(_) => "IP6",
    }
}

fn put(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing into a string cannot fail.
    let _ = text.write_fmt(line);
    text.push_str("\r\n");
}

fn short(text: &str) -> String {
    text[..text.floor_char_boundary(256.min(text.len()))].to_owned()
}

#[cfg(test)]
mod tests;
