//! SRTP of one track: its keys from SDP, and its packets without their protection.
//!
//! Called by [`crate::call`], which makes it of offers and gives it each datagram of a track that has keys,
//! before anything else looks at it; a track without keys never comes here. Calls RustCrypto's primitives
//! in `session`. RFC 3711, RFC 4568 (SDES), RFC 6188, RFC 7714; `docs/design/decisions` says why the
//! transform is ours.
//!
//! - Nothing of a packet that is not authentic changes anything but a count: an SSRC has a state from its first
//!   authentic packet on, and there are [`MOST_STREAMS`] of them at most.
//! - A new key does not end the one before: what is under way is still opened, until [`GRACE`] after the first
//!   packet of the new one.
//! - Of an SSRC that is not known yet the rollover counter is 0, or 1 where the packets around the first wrap
//!   were lost, or goes on under a new key (RFC 3711 §3.3.1), which not every sender does.

use std::fmt;
use std::time::Duration;

use reeld_model::Mono;
use serde::{Deserialize, Serialize};

use master::Master;
use session::Session;
use stream::Stream;

pub(crate) use attribute::Crypto;

mod attribute;
mod master;
mod session;
mod stream;
pub(crate) mod suite;

/// SSRCs under one key whose indices are known; the one that was longest without a packet makes room. A track is
/// one stream at a time.
const MOST_STREAMS: usize = 16;

/// Keys before the present one that are still tried.
const MOST_BEFORE: usize = 2;

/// How long a key is still tried after the first packet under the next one.
const GRACE: Duration = Duration::from_secs(10);

/// After so long without a packet of an SSRC its sequence numbers may have turned once more than it looks: half
/// a turn of packets of 2.5 ms.
const LONG: Duration = Duration::from_secs(60);

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opened {
    /// It is in the buffer, without its protection.
    Clear,
    /// It is not protected, and need not be.
    AsItIs,
    /// It has come before, or is too old to know.
    Again,
    /// It is not authentic.
    Forged,
}

/// The keys of a track.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Srtp {
    /// The one that the last offer has; none where it has none, and what is under way of those before it
    /// is still opened.
    now: Option<Key>,
    /// Those before, the latest first.
    before: Vec<Key>,
    /// When those before are tried no more, once that is known.
    until: Option<Mono>,
    /// What the answer calls the key of ours, and that key.
    tag: u32,
    ours: Option<Ours>,
    /// Whether a packet was refused: it is told once.
    #[serde(default)]
    has_refused: bool,
    /// The suite of the last packet of sound.
    #[serde(default)]
    heard: Option<suite::Suite>,
}

/// A key of the sender's.
#[derive(Serialize, Deserialize)]
#[serde(from = "KeptKey")]
struct Key {
    master: Master,
    #[serde(skip)]
    session: Box<Session>,
    rtp: Vec<Stream>,
    rtcp: Vec<Stream>,
}

/// A key as it is kept.
#[derive(Deserialize)]
struct KeptKey {
    master: Master,
    rtp: Vec<Stream>,
    rtcp: Vec<Stream>,
}

/// A key of ours.
#[derive(Serialize, Deserialize)]
#[serde(from = "KeptOurs")]
struct Ours {
    master: Master,
    #[serde(skip)]
    session: Box<Session>,
    /// The SSRC and the index of the last packet that was sent.
    sent: Option<(u32, u64)>,
}

/// A key of ours as it is kept.
#[derive(Deserialize)]
struct KeptOurs {
    master: Master,
    sent: Option<(u32, u64)>,
}

impl Srtp {
    /// Takes what an offer says of a track's keys; `draw` gives as many random bytes as it is asked for, for
    /// a key of ours.
    pub(crate) fn offered(
        srtp: &mut Option<Box<Self>>,
        offered: Option<&Crypto>,
        draw: impl FnOnce(&mut [u8]),
    ) {
        let Some(crypto) = offered else {
            if let Some(srtp) = srtp {
                srtp.change(None);
            }
            return;
        };
        let srtp = srtp.get_or_insert_with(|| {
            Box::new(Self {
                now: None,
                before: Vec::new(),
                until: None,
                tag: 0,
                ours: None,
                has_refused: false,
                heard: None,
            })
        });
        srtp.tag = crypto.tag;
        let is_same = srtp
            .now
            .as_ref()
            .is_some_and(|key| key.master.is(&crypto.master));
        if is_same && srtp.ours.is_some() {
            // Its streams go on, and so does the key of ours that was answered.
            return;
        }
        // One that was left and is taken up again goes on where it was.
        let mut before = srtp.before.iter();
        let known = before.position(|key| key.master.is(&crypto.master));
        let key = match known {
            Some(at) => srtp.before.remove(at),
            None => Key::new(crypto.master.clone()),
        };
        srtp.change(Some(key));
        let suite = crypto.master.suite;
        let mut bytes = vec![0; suite.inline_bytes()];
        draw(&mut bytes);
        // The rollover counter goes on under a new key (RFC 3711 §3.3.1).
        let sent = srtp.ours.as_ref().and_then(|ours| ours.sent);
        srtp.ours = Master::new(suite, bytes, Vec::new()).map(|master| Ours::new(master, sent));
    }

    fn change(&mut self, key: Option<Key>) {
        if let Some(before) = std::mem::replace(&mut self.now, key) {
            self.before.insert(0, before);
            self.before.truncate(MOST_BEFORE);
        }
        if self.now.is_none() {
            self.ours = None;
        }
        self.until = None;
    }

    /// What the answer says of the key of ours, if packets are to be protected.
    pub(crate) fn answer(&self) -> Option<String> {
        let ours = self.ours.as_ref()?;
        Some(Crypto::value(self.tag, &ours.master))
    }

    /// The suite of the last authentic packet, by its name in SDP.
    pub(crate) fn heard(&self) -> Option<&'static str> {
        self.heard.map(suite::Suite::name)
    }

    /// Whether this is the first packet that is refused.
    pub(crate) fn refuses_first(&mut self) -> bool {
        !std::mem::replace(&mut self.has_refused, true)
    }

    /// Opens a datagram into `clear`.
    pub(crate) fn open(&mut self, datagram: &[u8], arrival: Mono, clear: &mut Vec<u8>) -> Opened {
        if self.until.is_some_and(|until| arrival > until) {
            self.before.clear();
            self.until = None;
        }
        let Some(packet) = Packet::read(datagram) else {
            // STUN and what is no packet at all: counted as what it is.
            return Opened::AsItIs;
        };
        let mut was_there = false;
        for place in 0..=self.before.len() {
            let (now, before) = (&mut self.now, &mut self.before);
            // Under a new key the rollover counter goes on from the last one.
            let known = match (place, &packet) {
                (0, Packet::Rtp { ssrc, sequence, .. }) => before
                    .iter()
                    .find_map(|key| Some(key.stream(*ssrc)?.index(*sequence))),
                _ => None,
            };
            let key = match place.checked_sub(1) {
                None => now.as_mut(),
                Some(place) => before.get_mut(place),
            };
            let Some(key) = key else { continue };
            match key.open(datagram, &packet, known, arrival, clear) {
                Opened::Clear => {
                    if matches!(packet, Packet::Rtp { .. }) {
                        self.heard = Some(key.master.suite);
                    }
                    if place == 0 && !self.before.is_empty() {
                        self.until.get_or_insert(arrival + GRACE);
                    }
                    return Opened::Clear;
                }
                Opened::Again => was_there = true,
                Opened::Forged | Opened::AsItIs => {}
            }
        }
        if self.now.is_none() {
            if !self.before.is_empty() {
                self.until.get_or_insert(arrival + GRACE);
            }
            return Opened::AsItIs;
        }
        if was_there {
            Opened::Again
        } else {
            Opened::Forged
        }
    }

    /// Protects an RTP packet that is to be sent, if packets are to be protected. `false` where it cannot be.
    pub(crate) fn seal(&mut self, packet: &mut Vec<u8>) -> bool {
        let Some(ours) = &mut self.ours else {
            return true;
        };
        let Some(Packet::Rtp {
            ssrc,
            sequence,
            header,
        }) = Packet::read(packet)
        else {
            return false;
        };
        let index = match ours.sent {
            Some((last, index)) if last == ssrc => {
                Stream::new(ssrc, index, Mono(0)).index(sequence)
            }
            _ => sequence.into(),
        };
        let highest = match ours.sent {
            Some((last, highest)) if last == ssrc => highest.max(index),
            _ => index,
        };
        ours.sent = Some((ssrc, highest));
        ours.session.seal_rtp(packet, header, (ssrc, index))
    }
}

/// What of a packet is in the clear.
enum Packet {
    Rtp {
        ssrc: u32,
        sequence: u16,
        /// Bytes of its header, with CSRCs and extension.
        header: usize,
    },
    Rtcp {
        ssrc: u32,
    },
}

impl Packet {
    /// `None` for what is neither RTP nor RTCP, or too short.
    fn read(datagram: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u32::from_be_bytes(*datagram.get(at..)?.first_chunk()?));
        let half = |at: usize| Some(u16::from_be_bytes(*datagram.get(at..)?.first_chunk()?));
        match datagram {
            // RFC 5761 §4, as in `crate::packet`.
            [128..=191, 192..=223, ..] => Some(Self::Rtcp { ssrc: word(4)? }),
            [first @ 128..=191, ..] => {
                let mut header = 12 + 4 * usize::from(first & 0x0F);
                if first & 0x10 != 0 {
                    header += 4 + 4 * usize::from(half(header + 2)?);
                }
                (datagram.len() >= header).then_some(Self::Rtp {
                    ssrc: word(8)?,
                    sequence: half(2)?,
                    header,
                })
            }
            _ => None,
        }
    }
}

impl Key {
    fn new(master: Master) -> Self {
        Self {
            session: Box::new(Session::new(&master)),
            master,
            rtp: Vec::new(),
            rtcp: Vec::new(),
        }
    }

    fn stream(&self, ssrc: u32) -> Option<&Stream> {
        self.rtp.iter().find(|stream| stream.ssrc == ssrc)
    }

    /// Opens a packet. `known` is the index that it has if its stream goes on from another key.
    fn open(
        &mut self,
        datagram: &[u8],
        packet: &Packet,
        known: Option<u64>,
        arrival: Mono,
        clear: &mut Vec<u8>,
    ) -> Opened {
        match *packet {
            Packet::Rtp {
                ssrc,
                sequence,
                header,
            } => self.open_rtp(datagram, (ssrc, sequence, header), known, arrival, clear),
            Packet::Rtcp { ssrc } => {
                let Some(index) = self.session.rtcp_index(datagram) else {
                    return Opened::Forged;
                };
                let stream = self.rtcp.iter().position(|stream| stream.ssrc == ssrc);
                if stream.is_some_and(|at| !self.rtcp[at].may_be_new(index)) {
                    return Opened::Again;
                }
                if !self.session.open_rtcp(datagram, ssrc, clear) {
                    return Opened::Forged;
                }
                note(&mut self.rtcp, ssrc, index, arrival);
                Opened::Clear
            }
        }
    }

    fn open_rtp(
        &mut self,
        datagram: &[u8],
        (ssrc, sequence, header): (u32, u16, usize),
        known: Option<u64>,
        arrival: Mono,
        clear: &mut Vec<u8>,
    ) -> Opened {
        const TURN: u64 = 1 << 16;
        let mut try_one =
            |index: u64| (self.session).open_rtp(datagram, header, (ssrc, index), clear);
        let mut result = Opened::Forged;
        let mut found = None;
        if let Some(stream) = self.rtp.iter().find(|stream| stream.ssrc == ssrc) {
            let index = stream.index(sequence);
            if !stream.may_be_new(index) {
                result = Opened::Again;
            } else if try_one(index) {
                found = Some(index);
            }
            // A turn may have gone by unseen.
            if found.is_none() && arrival.since(stream.last) >= LONG && try_one(index + TURN) {
                found = Some(index + TURN);
            }
        } else {
            let first = u64::from(sequence);
            // The first packets, around the first wrap, may have been lost.
            let wrapped = (sequence < 1 << 15).then_some(first + TURN);
            let known = known.filter(|known| *known != first);
            let tries = [
                known,
                Some(first),
                wrapped.filter(|one| known != Some(*one)),
            ];
            found = tries.into_iter().flatten().find(|index| try_one(*index));
        }
        let Some(index) = found else { return result };
        note(&mut self.rtp, ssrc, index, arrival);
        Opened::Clear
    }
}

/// Takes the index of an authentic packet.
fn note(streams: &mut Vec<Stream>, ssrc: u32, index: u64, arrival: Mono) {
    if let Some(stream) = streams.iter_mut().find(|stream| stream.ssrc == ssrc) {
        stream.note(index, arrival);
        return;
    }
    if streams.len() == MOST_STREAMS {
        let oldest = streams.iter().enumerate().min_by_key(|(_, one)| one.last);
        if let Some((at, _)) = oldest {
            streams.swap_remove(at);
        }
    }
    streams.push(Stream::new(ssrc, index, arrival));
}

impl Ours {
    fn new(master: Master, sent: Option<(u32, u64)>) -> Self {
        Self {
            session: Box::new(Session::new(&master)),
            master,
            sent,
        }
    }
}

impl From<KeptKey> for Key {
    fn from(KeptKey { master, rtp, rtcp }: KeptKey) -> Self {
        Self {
            rtp,
            rtcp,
            ..Self::new(master)
        }
    }
}

impl From<KeptOurs> for Ours {
    fn from(KeptOurs { master, sent }: KeptOurs) -> Self {
        Self::new(master, sent)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("master", &self.master)
            .field("rtp", &self.rtp)
            .field("rtcp", &self.rtcp)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Ours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ours")
            .field("master", &self.master)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests;
