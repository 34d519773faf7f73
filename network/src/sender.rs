//! A sender of one track: its clock, its RTP and RTCP, and what befalls it in mid-call.
//!
//! Called by [`mod@crate::play`]; calls [`crate::sound`]. It says what it sends in the order of
//! sending; a packet leaves when the last of its samples was heard, by the sender's clock.
//!
//! RFC 3550 §5.1, §6.4.1, §6.6; RFC 3389 (comfort noise); RFC 4733 (telephone events).

use std::collections::VecDeque;

use reeld_codec::g711::Law;
use reeld_model::Track;

use crate::random::Random;
use crate::sound::{self, ONE, Piece};

/// What befalls a sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Another SSRC, with or without a BYE of the old one; sequence and stamp begin anew.
    Ssrc(bool),
    /// The other law: payload types 0 and 8.
    Law,
    /// Another packet time, in samples.
    Ptime(u64),
    /// From now on each packet has a time of its own, or no more.
    Varying(bool),
    /// Nothing for so many samples, and from another port after it if so.
    Hold(u64, Stamp, bool),
    /// Discontinuous transmission for so many samples, and of it so many samples between comfort
    /// noise packets: 0 is none at all, more than its length one at its begin.
    Dtx(u64, u64),
    /// The stamp jumps.
    Jump(u32),
    /// Sequence and stamp begin anew under the same SSRC.
    Restart,
    /// A key is held for so many samples and sent as an event.
    Key(u8, u64),
}

/// What the stamp does over a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamp {
    /// It runs on.
    Runs,
    /// It stands still.
    Stands,
    /// Another SSRC comes back.
    Anew,
}

impl Event {
    /// Whether the stamps before it do not tell the places after it.
    #[must_use]
    pub const fn breaks(self) -> bool {
        matches!(
            self,
            Self::Ssrc(_) | Self::Jump(_) | Self::Restart | Self::Hold(..)
        )
    }

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ssrc(_) => "ssrc",
            Self::Law => "law",
            Self::Ptime(_) => "ptime",
            Self::Varying(_) => "varying",
            Self::Hold(_, Stamp::Runs, false) => "hold, stamp runs",
            Self::Hold(_, Stamp::Runs, true) => "hold, stamp runs, moved",
            Self::Hold(_, Stamp::Stands, false) => "hold, stamp stands",
            Self::Hold(_, Stamp::Stands, true) => "hold, stamp stands, moved",
            Self::Hold(_, Stamp::Anew, false) => "hold, new ssrc",
            Self::Hold(_, Stamp::Anew, true) => "hold, new ssrc, moved",
            Self::Dtx(_, 0) => "dtx",
            Self::Dtx(..) => "dtx, comfort noise",
            Self::Jump(_) => "stamp jump",
            Self::Restart => "restart",
            Self::Key(..) => "key",
        }
    }
}

/// How a sender begins and what befalls it.
#[derive(Debug, Clone, PartialEq)]
pub struct SenderPlan {
    /// Whose sound.
    pub track: Track,
    /// True time of its first sample, in samples in Q32.
    pub origin: u64,
    /// How much faster its clock runs than true time, in millionths.
    pub skew_ppm: i64,
    /// Its law.
    pub law: Law,
    /// Samples a packet.
    pub samples: u64,
    /// Where its sequence and its stamp begin.
    pub first: (u16, u32),
    /// Share of packets that were lost ahead of a fork that leaves no gap in the stamps.
    pub squeezed: f64,
    /// Samples between sender reports, if it sends any; one follows each break at once.
    pub reports: Option<u64>,
    /// Its NTP clock less true time, in seconds.
    pub ntp_offset: u64,
    /// What befalls it, by its own samples, in order.
    pub events: Vec<(u64, Event)>,
    /// Its samples after which it says BYE and falls silent.
    pub ends_at: Option<u64>,
}

/// What is in a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Sound that begins at this place (true time, Q32).
    Sound {
        /// Its place.
        place: u64,
        /// Its samples.
        samples: u64,
        /// What it has of a marker.
        piece: Option<Piece>,
        /// What last befell the sender.
        after: &'static str,
    },
    /// RTP without sound: comfort noise, keys.
    Quiet,
    /// RTCP.
    Rtcp,
}

/// A datagram as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// When: nanoseconds of true time since the call was opened.
    pub at: u64,
    /// From which port.
    pub from: u16,
    /// What is in it.
    pub kind: Kind,
    /// Nanoseconds of sound in it.
    pub time: u64,
    /// The datagram.
    pub bytes: Vec<u8>,
}

/// A sender at work.
#[derive(Debug)]
pub struct Sender {
    plan: SenderPlan,
    random: Random,
    step: u64,
    /// Its samples so far.
    at: u64,
    samples: u64,
    varying: bool,
    law: Law,
    port: u16,
    ssrc: u32,
    sequence: u16,
    /// The stamp of its sample 0.
    stamp: u32,
    next_event: usize,
    /// Whether a packet was sent since the last event.
    steady: bool,
    next_report: u64,
    packets: u32,
    after: &'static str,
    ready: VecDeque<Sent>,
    over: bool,
    spare: Vec<Vec<u8>>,
}

/// Nanoseconds of a place.
#[must_use]
pub fn nanos(place: u64) -> u64 {
    ((u128::from(place) * 125_000) >> 32) as u64
}

impl Sender {
    /// A sender by plan.
    #[must_use]
    pub fn new(plan: SenderPlan, mut random: Random) -> Self {
        let fast = 1_000_000 + plan.skew_ppm;
        let step = (u128::from(ONE) * 1_000_000 / fast.unsigned_abs() as u128) as u64;
        Self {
            step,
            at: 0,
            samples: plan.samples,
            varying: false,
            law: plan.law,
            port: 40_000 + 100 * plan.track.index() as u16,
            ssrc: random.next_u32(),
            sequence: plan.first.0,
            stamp: plan.first.1,
            next_event: 0,
            steady: false,
            next_report: 4_000,
            packets: 0,
            after: "begin",
            ready: VecDeque::new(),
            over: false,
            spare: Vec::new(),
            random,
            plan,
        }
    }

    /// When the next datagram is sent; `None` if none ever is.
    pub fn next_at(&mut self) -> Option<u64> {
        while self.ready.is_empty() && !self.over {
            self.work();
        }
        self.ready.front().map(|sent| sent.at)
    }

    /// The next datagram.
    pub fn next_sent(&mut self) -> Option<Sent> {
        self.next_at()?;
        self.ready.pop_front()
    }

    /// Takes back a buffer.
    pub fn recycle(&mut self, mut bytes: Vec<u8>) {
        if self.spare.len() < 64 {
            bytes.clear();
            self.spare.push(bytes);
        }
    }

    /// Samples of its clock that lie in the marker.
    #[must_use]
    pub fn samples_of_mark(&self, mark: u64) -> u64 {
        sound::samples_of_mark(mark, self.plan.origin, self.step)
    }

    fn place(&self, at: u64) -> u64 {
        self.plan.origin + at * self.step
    }

    fn work(&mut self) {
        if self.plan.ends_at.is_some_and(|end| self.at >= end) {
            self.say_bye();
            self.over = true;
            return;
        }
        if let Some((at, event)) = self.plan.events.get(self.next_event).copied()
            && at <= self.at
        {
            self.next_event += 1;
            self.after = event.name();
            self.steady = false;
            self.befall(event);
            return;
        }
        let samples = if self.varying {
            80 * self.random.between(1, 12)
        } else {
            self.samples
        };
        // Not at the edge of a gap, where neither stamp nor sequence could ever show it.
        if self.steady && self.plan.squeezed > 0.0 && self.random.chance(self.plan.squeezed) {
            // The fork never had it: a sequence number is gone, and no time has passed in the stamps.
            self.at += samples;
            self.stamp = self.stamp.wrapping_sub(samples as u32);
            self.sequence = self.sequence.wrapping_add(1);
            return;
        }
        self.steady = true;
        let stamp = self.stamp_at(self.at);
        let place = self.place(self.at);
        let mut bytes = self.head(u8::from(self.law == Law::A) << 3, stamp);
        let piece = sound::encode(
            self.plan.track,
            self.law,
            place,
            self.step,
            samples,
            &mut bytes,
        );
        self.at += samples;
        self.packets = self.packets.wrapping_add(1);
        let kind = Kind::Sound {
            place,
            samples,
            piece,
            after: self.after,
        };
        self.send(self.at, kind, samples, bytes);
        if let Some(every) = self.plan.reports
            && self.at >= self.next_report
        {
            self.next_report = self.at + every;
            self.report();
        }
    }

    fn befall(&mut self, event: Event) {
        match event {
            Event::Ssrc(bye) => {
                if bye {
                    self.say_bye();
                }
                self.begin_anew();
            }
            Event::Law => {
                self.law = match self.law {
                    Law::Mu => Law::A,
                    Law::A => Law::Mu,
                }
            }
            Event::Ptime(samples) => self.samples = samples,
            Event::Varying(varying) => self.varying = varying,
            Event::Hold(length, stamp, moved) => {
                self.at += length;
                match stamp {
                    Stamp::Runs => {}
                    Stamp::Stands => self.stamp = self.stamp.wrapping_sub(length as u32),
                    Stamp::Anew => self.begin_anew(),
                }
                self.port += 2 * u16::from(moved);
            }
            Event::Dtx(length, every) => {
                let end = self.at + length;
                let mut noise = self.at;
                while every > 0 && noise < end {
                    let stamp = self.stamp_at(noise);
                    let mut bytes = self.head(13, stamp);
                    bytes.push(60);
                    self.send(noise, Kind::Quiet, 0, bytes);
                    noise += every;
                }
                self.at = end;
            }
            Event::Jump(by) => self.stamp = self.stamp.wrapping_add(by),
            Event::Restart => {
                // Far away, or it would be the old packets that come late.
                let far = self.random.between(5_000, 60_000) as u16;
                self.sequence = self.sequence.wrapping_add(far);
                self.stamp = self.random.next_u32();
            }
            Event::Key(code, length) => self.press(code, length),
        }
        if event.breaks() {
            self.next_report = self.at;
        }
    }

    fn begin_anew(&mut self) {
        self.ssrc = self.random.next_u32();
        self.sequence = self.random.next_u16();
        self.stamp = self.random.next_u32();
    }

    /// RFC 4733 §2.5: updates as it lasts, three packets at its end.
    fn press(&mut self, code: u8, length: u64) {
        let stamp = self.stamp_at(self.at);
        let packets = length.div_ceil(self.samples).max(1);
        for packet in 1..=packets + 2 {
            let duration = (packet * self.samples).min(packets * self.samples);
            let end = u8::from(packet >= packets) << 7;
            let mut bytes = self.head(101, stamp);
            bytes.extend([code, end | 10]);
            bytes.extend((duration as u16).to_be_bytes());
            self.send(self.at + duration, Kind::Quiet, 0, bytes);
        }
        self.at += packets * self.samples;
    }

    fn stamp_at(&self, at: u64) -> u32 {
        self.stamp.wrapping_add(at as u32)
    }

    fn head(&mut self, payload_type: u8, stamp: u32) -> Vec<u8> {
        let mut bytes = self.spare.pop().unwrap_or_default();
        bytes.extend([0x80, payload_type]);
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(stamp.to_be_bytes());
        bytes.extend(self.ssrc.to_be_bytes());
        self.sequence = self.sequence.wrapping_add(1);
        bytes
    }

    fn send(&mut self, at: u64, kind: Kind, samples: u64, bytes: Vec<u8>) {
        self.ready.push_back(Sent {
            at: nanos(self.place(at)),
            from: self.port,
            kind,
            time: samples * 125_000,
            bytes,
        });
    }

    /// RFC 3550 §6.4.1 and §6.5: a sender report without blocks, and a name.
    fn report(&mut self) {
        let mut bytes = vec![0x80, 200, 0, 6];
        bytes.extend(self.ssrc.to_be_bytes());
        let place = u128::from(self.place(self.at));
        let seconds = (place / 8_000) + (u128::from(self.plan.ntp_offset) << 32);
        bytes.extend((seconds as u64).to_be_bytes());
        bytes.extend(self.stamp_at(self.at).to_be_bytes());
        bytes.extend(self.packets.to_be_bytes());
        bytes.extend(self.packets.wrapping_mul(160).to_be_bytes());
        bytes.extend([0x81, 202, 0, 3]);
        bytes.extend(self.ssrc.to_be_bytes());
        bytes.extend([1, 3, b'a', b'@', b'b', 0, 0, 0]);
        self.send(self.at, Kind::Rtcp, 0, bytes);
    }

    fn say_bye(&mut self) {
        let mut bytes = vec![0x80, 201, 0, 1];
        bytes.extend(self.ssrc.to_be_bytes());
        bytes.extend([0x81, 203, 0, 1]);
        bytes.extend(self.ssrc.to_be_bytes());
        self.send(self.at, Kind::Rtcp, 0, bytes);
    }
}
