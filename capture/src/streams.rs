//! Which call and track each stream is of that comes to an open port, where nothing signals calls.
//!
//! Called by `ingest` with each datagram of such a port; it calls nothing. A stream is an SSRC of a source, which is an
//! address with its port. What it says is `K`, the call's name, which the caller gives when a call begins.
//!
//! The rules:
//! - A stream has to show itself: [`SHOWN`] packets whose numbers are near each other, from a network that is allowed.
//!   They are held, and come first.
//! - One that follows a break is the same track: another stream of its source has sent nothing since the new one's first
//!   packet, and its last one is not older than `follow`. Not where the source has several calls at once: it would be a
//!   guess whose.
//! - One beside another stream of its source is that call's outbound track with `pairs`, if that is free, and else a call
//!   of its own.
//! - A call that is over stays over for as long as its streams go on: they are not heard until they were silent for
//!   `timeout`, so that what was ended is not begun again by its next packet.
//!
//! Bounds: [`MOST_SHOWING`] that show themselves, of [`MOST_HELD`] packets each; `most` calls at once, [`BEGINS_A_SECOND`]
//! new ones a second. For a packet of a stream that is known there is one look-up and no allocation.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use reeld_model::{Mono, Track};

/// Packets of a stream that must have come.
const SHOWN: usize = 5;

/// Packets that are held of one: more than those where there is no room for another call yet.
const MOST_HELD: usize = 32;

/// Streams that show themselves at once.
const MOST_SHOWING: usize = 1_024;

/// A stream that shows itself and is silent for so long is forgotten; for so much less where there is no room.
const FORGOTTEN: Duration = Duration::from_secs(2);
const FORGOTTEN_IN_A_CROWD: Duration = Duration::from_millis(250);

/// Between two looks for such ones.
const SWEEP: Duration = Duration::from_millis(50);

/// Calls that may begin in a second.
const BEGINS_A_SECOND: u32 = 50;

/// How far packets may lie apart in sequence to be of one stream: a second of 20 ms.
const NEAR: u16 = 50;

/// How an open port is set up.
#[derive(Debug, Clone)]
pub struct StreamRules {
    /// Networks that streams may come from.
    pub allow: Vec<IpNet>,
    /// Whether two streams of a source at once are the two tracks of a call.
    pub pairs: bool,
    /// How long a break may be that a new stream of a source follows.
    pub follow: Duration,
    /// How long a stream of a call that is over must be silent to be a new one.
    pub timeout: Duration,
    /// Calls at once.
    pub most: usize,
}

/// A packet that waits until its stream has shown itself, or its recording has begun.
#[derive(Debug)]
pub struct HeldPacket {
    /// When it came.
    pub arrival: Mono,
    /// All of it.
    pub datagram: Box<[u8]>,
}

/// What a datagram is of.
#[derive(Debug)]
pub enum Found<K> {
    /// A call's track.
    Known(K, Track),
    /// A stream that has shown itself and is of no call yet: [`Streams::begin`] or [`Streams::refuse`] is to be called
    /// for it. This datagram is held like the rest.
    New(u32),
    /// A stream that has become a call's: these come first, this datagram last of them.
    Joins(K, Track, Vec<HeldPacket>),
    /// Nothing that is heard, or not yet.
    Nothing,
}

/// What came to nothing since it was last asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unheard {
    /// Datagrams from networks that are not allowed.
    pub strangers: u64,
    /// From where the last of them came.
    pub last_stranger: Option<IpAddr>,
    /// Datagrams that are no RTP.
    pub malformed: u64,
    /// Datagrams of streams for which there was no room, of calls or of what shows itself.
    pub crowded: u64,
}

impl Unheard {
    /// Whether it is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what came to nothing since.
    pub fn add(&mut self, more: &Self) {
        self.strangers += more.strangers;
        self.last_stranger = more.last_stranger.or(self.last_stranger);
        self.malformed += more.malformed;
        self.crowded += more.crowded;
    }
}

/// A stream's name.
type Name = (SocketAddr, u32);

/// A stream that a call has.
#[derive(Debug)]
struct Heard<K> {
    key: K,
    track: Track,
    last: Mono,
    is_over: bool,
}

/// A stream that shows itself.
#[derive(Debug)]
struct Showing {
    first: Mono,
    last: Mono,
    sequence: u16,
    shown: usize,
    held: Vec<HeldPacket>,
}

/// The streams of an open port.
#[derive(Debug)]
pub struct Streams<K> {
    rules: StreamRules,
    heard: HashMap<Name, Heard<K>>,
    showing: HashMap<Name, Showing>,
    calls: usize,
    begun: (Mono, u32),
    /// When room was last looked for among what shows itself.
    swept: Mono,
    unheard: Unheard,
}

impl<K: Copy + Eq> Streams<K> {
    /// None yet.
    #[must_use]
    pub fn new(rules: StreamRules) -> Self {
        Self {
            rules,
            heard: HashMap::default(),
            showing: HashMap::default(),
            calls: 0,
            begun: (Mono(0), 0),
            swept: Mono(0),
            unheard: Unheard::default(),
        }
    }

    /// Takes a datagram that came to the RTP port.
    pub fn offer(&mut self, from: SocketAddr, arrival: Mono, datagram: &[u8]) -> Found<K> {
        let [first, second, high, low, ..] = *datagram else {
            self.unheard.malformed += 1;
            return Found::Nothing;
        };
        // RFC 5761 §4: reports on the port of the sound.
        let is_report = (192..=223).contains(&second);
        let at = if is_report { 4 } else { 8 };
        let ssrc = datagram
            .get(at..at + 4)
            .and_then(|ssrc| ssrc.try_into().ok());
        let Some(ssrc) = ssrc.filter(|_| first >> 6 == 2) else {
            self.unheard.malformed += 1;
            return Found::Nothing;
        };
        let name = (from, u32::from_be_bytes(ssrc));
        if let Some(heard) = self.heard.get_mut(&name) {
            if !is_report {
                heard.last = heard.last.max(arrival);
            }
            return if heard.is_over {
                Found::Nothing
            } else {
                Found::Known(heard.key, heard.track)
            };
        }
        let address = from.ip().to_canonical();
        if !self.rules.allow.iter().any(|net| net.contains(&address)) {
            self.unheard.strangers += 1;
            self.unheard.last_stranger = Some(address);
            return Found::Nothing;
        }
        if is_report {
            return Found::Nothing;
        }
        self.show(name, arrival, u16::from_be_bytes([high, low]), datagram)
    }

    /// Which track a report is of that came to the RTCP port, the next one: by its SSRC, from a source's own port or the
    /// next.
    #[must_use]
    pub fn report(&self, from: SocketAddr, datagram: &[u8]) -> Option<(K, Track)> {
        let ssrc = datagram.get(4..8)?.try_into().ok()?;
        let ssrc = u32::from_be_bytes(ssrc);
        let below = SocketAddr::new(from.ip(), from.port().wrapping_sub(1));
        let heard = [below, from]
            .into_iter()
            .find_map(|from| self.heard.get(&(from, ssrc)))?;
        (!heard.is_over).then_some((heard.key, heard.track))
    }

    /// The call of a stream that is new begins; what was held of it.
    pub fn begin(&mut self, from: SocketAddr, ssrc: u32, key: K) -> Vec<HeldPacket> {
        let name = (from, ssrc);
        let Some(showing) = self.showing.remove(&name) else {
            return Vec::new();
        };
        self.calls += 1;
        self.begun.1 += 1;
        self.hear(name, key, Track::Inbound, showing.last);
        showing.held
    }

    /// A stream that is new is nobody's: it may show itself again.
    pub fn refuse(&mut self, from: SocketAddr, ssrc: u32) {
        self.showing.remove(&(from, ssrc));
        self.unheard.crowded += 1;
    }

    /// When the first of what is held of a stream came.
    #[must_use]
    pub fn began(&self, from: SocketAddr, ssrc: u32) -> Option<Mono> {
        self.showing.get(&(from, ssrc)).map(|showing| showing.first)
    }

    /// A call is over; whether it was open here.
    pub fn close(&mut self, key: K) -> bool {
        let mut was_open = false;
        for heard in self.heard.values_mut().filter(|heard| heard.key == key) {
            was_open |= !std::mem::replace(&mut heard.is_over, true);
        }
        self.calls -= usize::from(was_open && self.calls > 0);
        was_open
    }

    /// A call came to nothing: its streams may show themselves again.
    pub fn forget(&mut self, key: K) {
        self.close(key);
        self.heard.retain(|_, heard| heard.key != key);
    }

    /// Forgets what has been silent for long enough.
    pub fn expire(&mut self, now: Mono) {
        let timeout = self.rules.timeout;
        self.heard
            .retain(|_, heard| !heard.is_over || now.since(heard.last) < timeout);
        self.showing
            .retain(|_, showing| now.since(showing.last) < FORGOTTEN);
    }

    /// Calls that are open.
    #[must_use]
    pub const fn calls(&self) -> usize {
        self.calls
    }

    /// What came to nothing since this was last asked.
    pub fn take_unheard(&mut self) -> Unheard {
        std::mem::take(&mut self.unheard)
    }

    fn hear(&mut self, name: Name, key: K, track: Track, last: Mono) {
        let heard = Heard {
            key,
            track,
            last,
            is_over: false,
        };
        self.heard.insert(name, heard);
    }

    /// A packet of a stream that must show itself.
    fn show(&mut self, name: Name, arrival: Mono, sequence: u16, datagram: &[u8]) -> Found<K> {
        if !self.showing.contains_key(&name) && self.showing.len() >= MOST_SHOWING {
            // Not for each packet of a flood.
            if arrival.since(self.swept) >= SWEEP {
                self.swept = arrival;
                self.showing
                    .retain(|_, showing| arrival.since(showing.last) < FORGOTTEN_IN_A_CROWD);
            }
            if self.showing.len() >= MOST_SHOWING {
                self.unheard.crowded += 1;
                return Found::Nothing;
            }
        }
        let showing = self.showing.entry(name).or_insert_with(|| Showing {
            first: arrival,
            last: arrival,
            sequence,
            shown: 0,
            held: Vec::new(),
        });
        let step = sequence.wrapping_sub(showing.sequence);
        if showing.shown > 0 && step.min(step.wrapping_neg()) > NEAR {
            showing.held.clear();
            (showing.first, showing.shown) = (arrival, 0);
        }
        if showing.shown == 0 || step != 0 {
            showing.shown += 1;
        }
        showing.sequence = sequence;
        showing.last = showing.last.max(arrival);
        if showing.held.len() < MOST_HELD {
            showing.held.push(HeldPacket {
                arrival,
                datagram: datagram.into(),
            });
        } else {
            self.unheard.crowded += 1;
        }
        if showing.shown < SHOWN {
            return Found::Nothing;
        }
        let first = showing.first;
        if let Some((key, track)) = self.call_of(name.0, first, arrival) {
            let Some(showing) = self.showing.remove(&name) else {
                return Found::Nothing;
            };
            self.hear(name, key, track, arrival);
            return Found::Joins(key, track, showing.held);
        }
        if arrival.since(self.begun.0) >= Duration::from_secs(1) {
            self.begun = (arrival, 0);
        }
        if self.calls >= self.rules.most || self.begun.1 >= BEGINS_A_SECOND {
            // It is held on, and asks again with its next packet.
            return Found::Nothing;
        }
        Found::New(name.1)
    }

    /// The call, and the track of it, that a stream is of whose first packet came at `first`; the stream that it follows
    /// is not heard any more.
    fn call_of(&mut self, from: SocketAddr, first: Mono, arrival: Mono) -> Option<(K, Track)> {
        let of_source = || {
            let all = self.heard.iter();
            all.filter(|((source, _), heard)| *source == from && !heard.is_over)
        };
        let (_, any) = of_source().next()?;
        if of_source().any(|(_, heard)| heard.key != any.key) {
            return None;
        }
        let fell_silent = of_source().filter(|(_, heard)| {
            heard.last < first && arrival.since(heard.last) <= self.rules.follow
        });
        if let Some((name, heard)) = fell_silent.max_by_key(|(_, heard)| heard.last) {
            let (name, found) = (*name, (heard.key, heard.track));
            self.heard.remove(&name);
            return Some(found);
        }
        let is_beside = any.track == Track::Inbound && any.last >= first;
        let is_alone = of_source().count() == 1;
        (self.rules.pairs && is_beside && is_alone).then_some((any.key, Track::Outbound))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn source(last: u8) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, last], 5_004))
    }

    fn packet(ssrc: u32, sequence: u16) -> Vec<u8> {
        let mut bytes = vec![0x80, 0];
        bytes.extend(sequence.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(ssrc.to_be_bytes());
        bytes.extend([0xff; 160]);
        bytes
    }

    /// A stream, whose its last packet was, and how many were heard.
    type Ran = (u32, Option<(u32, Track)>, usize);

    struct Rig {
        streams: Streams<u32>,
        next: u32,
    }

    impl Rig {
        fn new(pairs: bool) -> Self {
            Self {
                streams: Streams::new(StreamRules {
                    allow: vec!["127.0.0.0/8".parse().unwrap()],
                    pairs,
                    follow: Duration::from_secs(2),
                    timeout: Duration::from_secs(10),
                    most: 100,
                }),
                next: 0,
            }
        }

        /// The call and track of a packet at this millisecond, and how many came with it.
        fn put(&mut self, from: SocketAddr, ssrc: u32, at: u64) -> Option<(u32, Track, usize)> {
            let number = u16::try_from(at / 20 % 60_000).unwrap();
            let arrival = Mono((at + 1_000) * MS);
            match self.streams.offer(from, arrival, &packet(ssrc, number)) {
                Found::Known(key, track) => Some((key, track, 1)),
                Found::Joins(key, track, held) => Some((key, track, held.len())),
                Found::New(ssrc) => {
                    self.next += 1;
                    let held = self.streams.begin(from, ssrc, self.next);
                    Some((self.next, Track::Inbound, held.len()))
                }
                Found::Nothing => None,
            }
        }

        /// A stream of 20 ms packets from one millisecond up to another: whose its last packet was, and packets heard.
        fn run(&mut self, ssrcs: &[u32], from: u64, to: u64) -> Vec<Ran> {
            let mut all: Vec<_> = ssrcs.iter().map(|ssrc| (*ssrc, None, 0)).collect();
            for at in (from..to).step_by(20) {
                for (ssrc, last, heard) in &mut all {
                    if let Some((key, track, count)) = self.put(source(1), *ssrc, at) {
                        (*last, *heard) = (Some((key, track)), *heard + count);
                    }
                }
            }
            all
        }
    }

    use Track::{Inbound, Outbound};

    #[test]
    fn a_stream_shows_itself_and_none_of_it_is_lost() {
        let mut rig = Rig::new(true);
        assert_eq!(rig.run(&[7], 0, 1_000), [(7, Some((1, Inbound)), 50)]);
        // A stranger's, and what is no RTP.
        for at in 0..10 {
            assert_eq!(
                rig.put(SocketAddr::from(([192, 0, 2, 1], 5_004)), 7, at * 20),
                None
            );
        }
        assert!(matches!(
            rig.streams.offer(source(1), Mono(0), b"x"),
            Found::Nothing
        ));
        assert!(matches!(
            rig.streams.offer(source(1), Mono(0), &[0x80; 9]),
            Found::Nothing
        ));
        let unheard = rig.streams.take_unheard();
        assert_eq!((unheard.strangers, unheard.malformed), (10, 2));
        assert!(rig.streams.take_unheard().is_empty());
    }

    #[test]
    fn what_follows_a_break_is_the_same_track_and_what_is_beside_it_the_other() {
        let mut rig = Rig::new(true);
        rig.run(&[7], 0, 1_000);
        assert_eq!(rig.run(&[8], 2_000, 3_000), [(8, Some((1, Inbound)), 50)]);
        assert_eq!(
            rig.run(&[8, 9], 3_000, 4_000),
            [(8, Some((1, Inbound)), 50), (9, Some((1, Outbound)), 50)]
        );
        // The other one changes too; a third one is a call of its own, and its source has two from then on.
        assert_eq!(
            rig.run(&[8, 10], 4_000, 5_000),
            [(8, Some((1, Inbound)), 50), (10, Some((1, Outbound)), 50)]
        );
        assert_eq!(
            rig.run(&[8, 10, 11], 5_000, 6_000)[2],
            (11, Some((2, Inbound)), 50)
        );
        assert_eq!(
            rig.run(&[8, 12], 6_000, 7_000)[1],
            (12, Some((3, Inbound)), 50)
        );
    }

    #[test]
    fn a_break_that_is_too_long_is_an_end() {
        let mut rig = Rig::new(true);
        rig.run(&[7], 0, 1_000);
        assert_eq!(rig.run(&[8], 3_100, 4_000)[0].1, Some((2, Inbound)));
    }

    #[test]
    fn without_pairs_each_stream_at_once_is_a_call() {
        let mut rig = Rig::new(false);
        let all = rig.run(&[7, 8, 9], 0, 1_000);
        let calls: Vec<_> = all.iter().map(|(_, last, heard)| (*last, *heard)).collect();
        assert_eq!(calls, [1, 2, 3].map(|call| (Some((call, Inbound)), 50)));
        assert_eq!(rig.streams.calls(), 3);
        // Alone, one that follows a break is the same call.
        let mut rig = Rig::new(false);
        rig.run(&[7], 0, 1_000);
        assert_eq!(rig.run(&[8], 1_000, 2_000)[0].1, Some((1, Inbound)));
    }

    #[test]
    fn what_is_over_stays_over_while_its_stream_goes_on() {
        let mut rig = Rig::new(true);
        rig.run(&[7], 0, 1_000);
        rig.streams.close(1);
        rig.streams.close(1);
        assert_eq!(rig.streams.calls(), 0);
        assert_eq!(rig.run(&[7], 1_000, 30_000), [(7, None, 0)]);
        rig.streams.expire(Mono(39_000 * MS));
        assert_eq!(rig.run(&[7], 38_000, 38_400), [(7, None, 0)]);
        rig.streams.expire(Mono(60_000 * MS));
        assert_eq!(rig.run(&[7], 60_000, 61_000)[0].1, Some((2, Inbound)));
        // What came to nothing is tried again.
        rig.streams.forget(2);
        assert_eq!(rig.streams.calls(), 0);
        assert_eq!(rig.run(&[7], 61_000, 61_500)[0].1, Some((3, Inbound)));
        rig.streams.close(3);
        // Another stream of the same source is not ended with it.
        rig.streams.close(2);
        assert_eq!(rig.run(&[8], 61_500, 62_000)[0].1, Some((4, Inbound)));
    }

    #[test]
    fn reports_find_their_stream_from_its_port_or_the_next() {
        let mut rig = Rig::new(true);
        rig.run(&[7], 0, 200);
        let report = [0x80, 200, 0, 1, 0, 0, 0, 7];
        let next = SocketAddr::from(([127, 0, 0, 1], 5_005));
        assert_eq!(rig.streams.report(next, &report), Some((1, Inbound)));
        assert_eq!(rig.streams.report(source(1), &report), Some((1, Inbound)));
        assert_eq!(rig.streams.report(source(2), &report), None);
        assert_eq!(rig.streams.report(next, &report[..6]), None);
        let found = rig.streams.offer(source(1), Mono(0), &report);
        assert!(matches!(found, Found::Known(1, Inbound)), "{found:?}");
    }

    #[test]
    fn a_flood_is_bounded_and_a_caller_comes_through_it() {
        let mut rig = Rig::new(true);
        let mut heard = 0;
        for at in (0..4_000).step_by(20) {
            for host in 0..200_u32 {
                let [_, b, c, d] =
                    (0x7f00_0000 + 1_000 + u32::try_from(at).unwrap() * 200 + host).to_be_bytes();
                rig.put(SocketAddr::from(([127, b, c, d], 4_000)), host, at);
            }
            heard += rig.put(source(1), 7, at).map_or(0, |(_, _, count)| count);
        }
        assert!(heard > 100, "{heard}");
        assert!(rig.streams.showing.len() <= MOST_SHOWING);
        // Of those that show themselves no more begin than may.
        let mut rig = Rig::new(true);
        for at in (0..1_900).step_by(20) {
            for host in 0..200 {
                rig.put(source(host), host.into(), at);
            }
        }
        assert_eq!(rig.streams.calls(), 100, "most");
        assert_eq!(rig.next, 100);
    }
}
