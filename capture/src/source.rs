//! The source lock: whom a track listens to (RTP bleed, design.md, "Let no one in").
//!
//! Called by [`crate::call`] for each RTP packet. A track listens to one source and one SSRC at a
//! time. A new one must show itself: until it has, its packets are held, and when it has, they are
//! heard from the first on.
//!
//! | whose packet | heard |
//! | --- | --- |
//! | from the address that a rule names (SDP, `RemoteAddress`), while nobody is heard | at once |
//! | from an allowed network, while nobody is heard | after [`STRANGER`] packets of one SSRC |
//! | of the source that is heard | at once |
//! | of its address, but a new SSRC or a jump in sequence | after [`KNOWN`] packets |
//! | from another allowed address, the old one silent for 2 s | at once if it continues, else after [`STRANGER`] |
//!
//! RTCP is believed from the source that is heard alone: [`Source::is_reporter`]. What this lets in is
//! in `SECURITY.md`. Who alone can be heard for now is told to `ingest`, which has the kernel drop all
//! others: [`Source::only`].
//!
//! Bounds: [`MOST_CANDIDATES`] candidates of [`MOST_HELD`] packets each. Only holding allocates.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use reeld_model::quality::MOST_NAMES;
use reeld_model::{Mono, SourceRule};
use serde::{Deserialize, Serialize};

use crate::packet::RtpPacket;

/// Packets of one SSRC that an unknown source must show.
const STRANGER: usize = 5;

/// Packets that a known address must show for a new SSRC or after a jump (RFC 3550 §A.1,
/// MIN_SEQUENTIAL).
const KNOWN: usize = 2;

/// How long the old source must be silent before another address is listened to.
const SILENT: Duration = Duration::from_secs(2);

/// For how long after its last packet the source that is heard is the only one for sure: a filter is taken
/// away up to a second after it is asked for, and then [`SILENT`] is not over.
const SURE: Duration = Duration::from_secs(1);

/// A step in sequence beyond this is a jump (RFC 3550 §A.1, MAX_DROPOUT).
const MOST_DROPPED: i64 = 3_000;

/// A step back beyond this is a jump: 4 s of 20 ms packets, more than any window keeps open.
const MOST_BACK: i64 = 200;

/// How far ahead of its last packet a straggler of a stream may be that is over.
const MOST_AHEAD: i64 = 64;

/// How long packets of the stream before may still come: more than a reorder window.
const STRAGGLING: Duration = Duration::from_millis(500);

/// How far packets of a candidate may lie apart in sequence to be of one stream: a second of 20 ms.
const NEAR: i64 = 50;

const MOST_CANDIDATES: usize = 4;
const MOST_HELD: usize = 16;

/// What becomes of a packet.
#[derive(Debug)]
pub(crate) enum Admission {
    /// It is of the source that is heard.
    Heard,
    /// It begins a new stream, or continues the old one from a new address: what was held comes
    /// first, then this packet.
    Begins {
        /// Packets of the stream that came before, in the order of their arrival.
        held: Vec<Held>,
        /// Whether sequence and stamps go on where the old source was.
        continues: bool,
    },
    /// It is a late packet of the stream before the one that is heard.
    Straggler,
    /// It is not heard. It may be held, to be given back once its source is trusted.
    Foreign,
}

/// A packet that waits for its source to be trusted.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) arrival: Mono,
    pub(crate) datagram: Box<[u8]>,
}

/// The lock of one track.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Source {
    rule: Option<SourceRule>,
    heard: Option<Heard>,
    /// Who was heard before, and until when.
    before: Option<(Heard, Mono)>,
    candidates: Vec<Candidate>,
    /// Where the RTCP of who is heard comes from.
    reporter: Option<SocketAddr>,
    /// Addresses that were heard, in the order of their coming, [`MOST_NAMES`] at most.
    heard_so_far: Vec<SocketAddr>,
}

/// Who is heard.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Heard {
    pub(crate) address: SocketAddr,
    pub(crate) ssrc: u32,
    pub(crate) last_arrival: Mono,
    sequence: u16,
    timestamp: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct Candidate {
    address: SocketAddr,
    ssrc: u32,
    sequence: u16,
    /// Packets that it has shown, those that came twice once.
    shown: usize,
    held: Vec<Held>,
}

impl Source {
    /// Who is heard.
    pub(crate) fn heard(&self) -> Option<Heard> {
        self.heard
    }

    /// Whether RTCP that came `from` there is of the source that is heard; `names_it` says whether it
    /// speaks of the SSRC that is heard. RTCP comes from the port of the sound or the one above
    /// (RFC 3550 §11, RFC 5761). Behind NAT it may come from any: while none came from the usual ones,
    /// the first other port of the same address counts, unless a rule names the port.
    pub(crate) fn is_reporter(&mut self, from: SocketAddr, names_it: bool) -> bool {
        let Some(heard) = self.heard else {
            return false;
        };
        if heard.address.ip() != from.ip() {
            return false;
        }
        let usual = |port: u16| {
            port == heard.address.port() || Some(port) == heard.address.port().checked_add(1)
        };
        let is_named = self.rule.is_some_and(|rule| rule.port.is_some());
        let is_first = || self.reporter.is_none_or(|reporter| reporter == from);
        let is_reporter = usual(from.port()) || !is_named && is_first();
        if is_reporter && names_it {
            self.reporter = Some(from);
        }
        is_reporter
    }

    /// Whose RTP alone can be heard until a second after `now`, whatever comes: everybody else's would be
    /// [`Admission::Foreign`]. None where another may be listened to by then.
    pub(crate) fn only(&self, now: Mono) -> Option<SourceRule> {
        let may_straggle = |(before, until): (Heard, Mono)| {
            now.since(until) < STRAGGLING
                && self
                    .heard
                    .is_none_or(|heard| heard.address != before.address)
        };
        if self.before.is_some_and(may_straggle) {
            return None;
        }
        let named = |rule: &SourceRule| rule.port.is_some();
        let sends = |heard: &Heard| now.since(heard.last_arrival) < SURE;
        let heard = || {
            self.heard.filter(sends).map(|heard| SourceRule {
                address: heard.address.ip(),
                port: Some(heard.address.port()),
            })
        };
        self.rule.filter(named).or_else(heard).or(self.rule)
    }

    /// Addresses that were heard, in the order of their coming.
    pub(crate) fn heard_so_far(&self) -> &[SocketAddr] {
        &self.heard_so_far
    }

    /// Whether something names the source.
    pub(crate) fn has_rule(&self) -> bool {
        self.rule.is_some()
    }

    /// Names the source. One that is heard and does not fit is not heard any more.
    pub(crate) fn set_rule(&mut self, rule: Option<SourceRule>) {
        self.rule = rule;
        if self
            .heard
            .is_some_and(|heard| rule.is_some_and(|rule| !fits(rule, heard.address)))
        {
            self.heard = None;
        }
        self.candidates.clear();
    }

    /// When the oldest packet came that is still held.
    pub(crate) fn oldest_held(&self) -> Option<Mono> {
        self.candidates
            .iter()
            .filter_map(|candidate| Some(candidate.held.first()?.arrival))
            .min()
    }

    /// Decides about one packet.
    pub(crate) fn admit(
        &mut self,
        from: SocketAddr,
        arrival: Mono,
        packet: &RtpPacket<'_>,
        allow: &[IpNet],
    ) -> Admission {
        if let Some(heard) = &mut self.heard
            && heard.address == from
            && heard.ssrc == packet.ssrc
            && is_step(heard.sequence, packet.sequence)
        {
            heard.last_arrival = arrival.max(heard.last_arrival);
            if packet.sequence.wrapping_sub(heard.sequence) < 1 << 15 {
                heard.sequence = packet.sequence;
                heard.timestamp = packet.timestamp;
            }
            return Admission::Heard;
        }
        if let Some((before, until)) = self.before
            && before.address == from
            && before.ssrc == packet.ssrc
            && (-MOST_BACK..=MOST_AHEAD).contains(&steps(before.sequence, packet.sequence))
            && arrival.since(until) < STRAGGLING
        {
            return Admission::Straggler;
        }
        let allowed = match self.rule {
            Some(rule) => fits(rule, from),
            None => allow
                .iter()
                .any(|network| network.contains(&unmapped(from.ip()))),
        };
        if !allowed {
            return Admission::Foreign;
        }
        let needed = match &self.heard {
            None if self.rule.is_some() => 1,
            None => STRANGER,
            Some(heard) if heard.address == from => KNOWN,
            Some(heard) if arrival.since(heard.last_arrival) < SILENT => {
                return Admission::Foreign;
            }
            Some(heard) if heard.continues(packet) => {
                self.listen(from, arrival, packet);
                return Admission::Begins {
                    held: Vec::new(),
                    continues: true,
                };
            }
            Some(_) => STRANGER,
        };
        self.show(from, arrival, packet, needed)
    }

    /// A packet of a source that must show itself.
    fn show(
        &mut self,
        from: SocketAddr,
        arrival: Mono,
        packet: &RtpPacket<'_>,
        needed: usize,
    ) -> Admission {
        let known = self
            .candidates
            .iter()
            .position(|candidate| candidate.address == from && candidate.ssrc == packet.ssrc);
        let mut candidate = match known {
            Some(at) => self.candidates.remove(at),
            None => Candidate {
                address: from,
                ssrc: packet.ssrc,
                sequence: packet.sequence,
                shown: 0,
                held: Vec::new(),
            },
        };
        let step = steps(candidate.sequence, packet.sequence);
        if candidate.shown > 0 && step.abs() > NEAR {
            candidate.held.clear();
            candidate.shown = 0;
        }
        if candidate.shown == 0 || step != 0 {
            candidate.shown += 1;
        }
        candidate.sequence = packet.sequence;
        if candidate.shown >= needed {
            self.listen(from, arrival, packet);
            return Admission::Begins {
                held: candidate.held,
                continues: false,
            };
        }
        if candidate.held.len() < MOST_HELD {
            candidate.held.push(Held {
                arrival,
                datagram: packet.datagram.into(),
            });
        }
        if self.candidates.len() == MOST_CANDIDATES {
            self.drop_one(from);
        }
        self.candidates.push(candidate);
        Admission::Foreign
    }

    /// Makes room for a candidate `from` there: of whoever has most of them, counted by address and
    /// then by port, the one that was longest without a packet. So a flood of SSRCs pushes out its
    /// own, and not the one packet of a source that has begun to show itself.
    fn drop_one(&mut self, from: SocketAddr) {
        let count = |of: &dyn Fn(SocketAddr) -> bool| {
            let all = self.candidates.iter().map(|candidate| candidate.address);
            all.chain([from]).filter(|address| of(*address)).count()
        };
        let weight = |address: SocketAddr| {
            let of_host = count(&|other| other.ip() == address.ip());
            (of_host, count(&|other| other == address))
        };
        let weights = self.candidates.iter().map(|one| weight(one.address));
        // The first of the heaviest: `max_by_key` gives the last.
        let heaviest = weights.enumerate().rev().max_by_key(|(_, weight)| *weight);
        if let Some((at, _)) = heaviest {
            self.candidates.remove(at);
        }
    }

    fn listen(&mut self, address: SocketAddr, arrival: Mono, packet: &RtpPacket<'_>) {
        if self.heard.is_none_or(|heard| heard.address != address) {
            self.reporter = None;
        }
        self.before = self.heard.map(|heard| (heard, arrival));
        self.heard = Some(Heard {
            address,
            ssrc: packet.ssrc,
            last_arrival: arrival,
            sequence: packet.sequence,
            timestamp: packet.timestamp,
        });
        self.candidates.clear();
        if self.heard_so_far.last() != Some(&address) && self.heard_so_far.len() < MOST_NAMES {
            self.heard_so_far.push(address);
        }
    }
}

impl Heard {
    /// Whether a packet from another address goes on where this source was: the same SSRC, and
    /// sequence and stamp a little later.
    fn continues(&self, packet: &RtpPacket<'_>) -> bool {
        let ahead = packet.timestamp.wrapping_sub(self.timestamp);
        self.ssrc == packet.ssrc
            && (1..=MOST_DROPPED).contains(&steps(self.sequence, packet.sequence))
            && (1..1 << 31).contains(&ahead)
    }
}

fn fits(rule: SourceRule, from: SocketAddr) -> bool {
    unmapped(rule.address) == unmapped(from.ip())
        && rule.port.is_none_or(|port| port == from.port())
}

/// An IPv4 address that came in IPv6's clothes, without them.
fn unmapped(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

fn is_step(last: u16, next: u16) -> bool {
    (-MOST_BACK..=MOST_DROPPED).contains(&steps(last, next))
}

/// Steps from one sequence number to another, by the shorter way round.
fn steps(from: u16, to: u16) -> i64 {
    #[expect(clippy::cast_possible_wrap, reason = "a half turn back is negative")]
    let steps = to.wrapping_sub(from) as i16;
    i64::from(steps)
}

#[cfg(test)]
mod tests;
