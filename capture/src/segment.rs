//! From RTP time stamps to places on the call's timeline.
//!
//! Called by [`crate::track`]; calls [`crate::hold`] and [`crate::drift`]. A segment is a run of
//! packets whose time stamps tell their places by one clock. What ties that clock to the timeline is
//! the path's minimum delay: of many packets the one that was least late arrived when its sound was
//! over. So a new segment is held, unsettled, until enough packets have told what the minimum is;
//! then it is moved to where it belongs, at once and whole ([`Move`]). The same is done where the
//! arrival makes the clock doubtful: after a pause over which the stamp stood still, or a stamp that
//! has nothing to do with the last one.
//!
//! Invariants: a packet that follows its predecessor without a gap in sequence and stamp lies right
//! behind it, unless the arrival of all packets for half a second says that the sender paused; a
//! packet is never placed so that it arrived before its sound was over, but for a sender that sends
//! ahead of time without a gap; a segment never begins before the end of the one before it.
//!
//! RFC 3550 §5.1 (time stamp), §A.1.

mod breaks;
mod overtaken;
mod recent;
mod report;
mod squeezed;
mod turns;

use reeld_model::MediaPlace;

use crate::drift::Drift;
use crate::hold::{Hold, Kind};
use recent::Recent;
use serde::{Deserialize, Serialize};
use squeezed::ALIKE;
use turns::Turns;

/// How far the least lateness may be off and the clock still be right, in milliseconds: what a
/// network's minimum delay varies by.
pub(crate) const TRUSTED_MS: i64 = 10;

/// The same after a time without packets, where nothing is lost by placing anew: what the minimum delay
/// is known to within.
const PAUSED_MS: i64 = 6;

/// How far a pause or another route may delay an unbroken run of stamps and the stamps still rule, in
/// milliseconds. A sender that lost its pace once is below it, a pause beyond it.
pub(crate) const LAGGING_MS: i64 = 40;

/// Beyond this a packet is first placed by its arrival, in milliseconds: jitter stays below it.
const FAR_MS: i64 = 180;

/// How far ahead of time a run of stamps may be, in milliseconds: the reorder window's usual length.
const AHEAD_MS: i64 = 200;

/// How early a packet after a gap must be for its stamp to have jumped, in milliseconds.
const EARLY_MS: i64 = 30;

/// A time without packets, in milliseconds, after which the clock is looked at anew.
const PAUSE_MS: i64 = 200;

/// How long after a break the clock before it may be returned to, in milliseconds.
const RETURN_MS: i64 = 1_000;

/// How late a packet may be by the clock before a break and still be of it, in milliseconds.
const OVERTAKEN_MS: i64 = 500;

/// Stamps this far behind the newest are still of the segment: 4 s.
const RECENT_MS: i64 = 4_000;

/// Packets that may be missing before a stream's first.
const MOST_AHEAD: i64 = 4;

/// What ties stamps to places.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Clock {
    /// Place of the stamp 0 of the extended stamps.
    origin: i64,
    /// The extended stamp of the newest packet of sound.
    newest_stamp: i64,
    /// Samples in it.
    newest_samples: i64,
    /// Its extended sequence number.
    newest_number: i64,
}

/// One segment of a track, and what is known of the one before it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Segment {
    /// Samples of the timeline and units of the stamp in a second.
    rate_hz: i64,
    clock_hz: i64,
    clock: Clock,
    /// The newest packet's arrival, and how late it was.
    newest_arrived: i64,
    newest_lateness: i64,
    /// The sequence number of the first packet by this clock.
    first_number: i64,
    /// The stamp of that packet, the samples in it, and how many like it may have been squeezed out just
    /// ahead of it: then what was said at the stamp may have been said before them.
    ambiguous: Option<(i64, i64, i64)>,
    /// The clock before the last break, and when that was.
    previous: Option<(Clock, i64)>,
    /// Boxed, as what few segments have at a time is: a thread with thousands of tracks waits for memory.
    hold: Option<Box<Hold>>,
    drift: Drift,
    recent: Recent,
    /// What to add to the sender's NTP clock for a place, as far as its reports have told: then they
    /// tell when its stamps break as well.
    ntp_offset: Option<i64>,
    /// A report that came before the packets that it is about: the NTP time, the stamp, and the place of
    /// its arrival.
    ahead: Option<(i64, i64, i64)>,
    /// A report that came while its place was not known, likewise.
    unplaced: Option<(i64, i64)>,
    /// By how much later its reports put what follows.
    correction: Option<i64>,
    /// The same where it is little, and can be made up for slowly.
    pace: Option<i64>,
    turns: Turns,
    /// Packets in a row that were as long as the newest; many, until one differs.
    alike: u32,
    /// Whether losses were squeezed out of its stamps, and whether what is not sound came since the
    /// newest packet.
    squeezes: bool,
    is_quiet: bool,
}

/// What is known of a sender from the segments before.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Known {
    /// What to add to its NTP clock for a place.
    pub(crate) ntp_offset: Option<i64>,
    /// How much faster its clock is than ours, in parts per billion.
    pub(crate) drift_ppb: Option<i64>,
    /// Whether losses were squeezed out of its stamps.
    pub(crate) squeezes: bool,
}

/// A packet to place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packet {
    pub(crate) stamp: u32,
    /// Its extended sequence number.
    pub(crate) number: i64,
    /// Sequence numbers from the newest packet before it to this one.
    pub(crate) steps: i64,
    /// Its length in samples of the timeline.
    pub(crate) samples: i64,
    /// The place of its arrival.
    pub(crate) arrived: MediaPlace,
    /// Behind the last sample of the track so far.
    pub(crate) behind: MediaPlace,
}

/// How a packet follows the newest one.
#[derive(Debug, Clone, Copy)]
struct Step {
    /// Without a gap in sequence and stamp.
    contiguous: bool,
    /// After a time without packets.
    paused: bool,
    /// What is not sound came between.
    is_quiet: bool,
    /// Its number tells of more time than its stamp, and its arrival of less.
    is_odd: bool,
}

/// What becomes of the clock at a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    GoesOn,
    /// Its stamp has nothing to do with the last one.
    Breaks,
    /// It came further ahead of time than is kept.
    IsAhead,
}

/// What has been placed from `from` on belongs `by` samples later (earlier if negative).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Move {
    pub(crate) from: MediaPlace,
    pub(crate) by: i64,
}

/// Where a packet goes, and what goes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) place: MediaPlace,
    /// To be done before the packet is written.
    pub(crate) moved: Option<Move>,
    /// Whether a segment was found to have begun.
    pub(crate) segments: u64,
}

impl Segment {
    /// A segment whose first packet's last sample lies at its arrival, for now.
    pub(crate) fn begin(
        packet: &Packet,
        rate_hz: u32,
        clock_hz: u32,
        known: &Known,
    ) -> (Self, MediaPlace) {
        let (rate_hz, clock_hz) = (i64::from(rate_hz), i64::from(clock_hz.max(1)));
        let stamp = i64::from(packet.stamp);
        let place = (packet.arrived + -packet.samples).max(packet.behind);
        let mut segment = Self {
            rate_hz,
            clock_hz,
            clock: Clock {
                origin: place.0 - stamp * rate_hz / clock_hz,
                newest_stamp: stamp,
                newest_samples: packet.samples,
                newest_number: packet.number,
            },
            newest_arrived: packet.arrived.0,
            newest_lateness: 0,
            first_number: packet.number,
            ambiguous: (known.squeezes).then_some((stamp, packet.samples, MOST_AHEAD)),
            previous: None,
            hold: None,
            drift: Drift::hinted(u32::try_from(rate_hz).unwrap_or(u32::MAX), known.drift_ppb),
            recent: Recent::new(),
            ntp_offset: known.ntp_offset,
            ahead: None,
            unplaced: None,
            correction: None,
            pace: None,
            turns: Turns::default(),
            alike: ALIKE,
            squeezes: known.squeezes,
            is_quiet: false,
        };
        segment.recent.note(0);
        segment.open_hold(Kind::Fresh { back: None }, place, packet);
        (segment, place)
    }

    /// From where on places may still move, if they may.
    pub(crate) fn held_from(&self) -> Option<MediaPlace> {
        self.hold.as_ref().map(|hold| hold.from)
    }

    fn is_fresh(&self) -> bool {
        self.hold.as_ref().is_some_and(|hold| hold.is_fresh())
    }

    /// Whether a packet of `samples` samples at `place` came so far ahead of time that there is no place
    /// for it.
    pub(crate) fn is_ahead(&self, place: MediaPlace, samples: i64, arrived: MediaPlace) -> bool {
        place + samples - arrived > self.most_ahead()
    }

    /// How far ahead of its arrival a packet's end may lie, in samples.
    fn most_ahead(&self) -> i64 {
        let earliest = self
            .hold
            .as_ref()
            .map_or(0, |hold| hold.earliest(self.rate_hz));
        self.samples(AHEAD_MS) - earliest
    }

    /// Units of its stamps a second.
    pub(crate) fn clock_hz(&self) -> u32 {
        u32::try_from(self.clock_hz).unwrap_or(0)
    }

    /// Places a packet of sound that came in order.
    pub(crate) fn place_newest(&mut self, packet: &Packet) -> Placed {
        let mut placed = Placed {
            place: MediaPlace(0),
            moved: None,
            segments: 0,
        };
        let is_quiet = std::mem::take(&mut self.is_quiet);
        let extended = extend(self.clock.newest_stamp, packet.stamp);
        let expected = self.at(self.clock.newest_stamp) + self.clock.newest_samples;
        let contiguous = packet.steps == 1 && (self.at(extended) - expected).abs() <= 1;
        self.take_correction(packet, &mut placed);
        let is_odd =
            packet.samples == self.clock.newest_samples && self.mend_squeezed(extended, packet);
        let pause = packet.arrived.0 - self.newest_arrived - packet.samples;
        let step = Step {
            contiguous,
            paused: !contiguous && pause >= self.samples(PAUSE_MS),
            is_quiet,
            is_odd,
        };
        let (extended, lateness) = match self.course(extended, packet, step) {
            Course::Breaks => self.return_or_break(packet, contiguous, &mut placed),
            Course::IsAhead => self.catch_up(extended, packet, contiguous, &mut placed),
            Course::GoesOn => {
                self.go_on(extended, packet, step, &mut placed);
                (extended, self.lateness(extended, packet))
            }
        };
        self.alike = if packet.samples == self.clock.newest_samples {
            self.alike.saturating_add(1)
        } else {
            1
        };
        self.clock.newest_stamp = extended;
        self.clock.newest_samples = packet.samples;
        self.clock.newest_number = packet.number;
        self.newest_lateness = lateness;
        self.newest_arrived = packet.arrived.0;
        self.recent.note(lateness);
        placed.place = MediaPlace(self.at(extended));
        let end = extended + self.in_units(packet.samples);
        if let Some((ntp, stamp, _)) = self.ahead.take_if(|(_, stamp, _)| *stamp < end) {
            self.judge_report(ntp, stamp);
        }
        placed
    }

    /// What a packet's arrival says of its stamp.
    fn course(&self, extended: i64, packet: &Packet, step: Step) -> Course {
        let lateness = self.lateness(extended, packet);
        let moved = lateness - self.newest_lateness;
        let early = match &self.hold {
            // The first packets of a segment tell its place by being less late than the first one.
            Some(hold) if hold.is_fresh() => FAR_MS,
            _ if step.paused => PAUSED_MS,
            _ => EARLY_MS,
        };
        let (early, far) = (self.samples(early), self.samples(FAR_MS));
        let is_early = !step.contiguous && lateness < -early && moved < -early;
        if is_early || lateness > far && moved > far {
            Course::Breaks
        } else if lateness < -self.most_ahead() {
            Course::IsAhead
        } else {
            Course::GoesOn
        }
    }

    /// Holds packets whose clock is in doubt, and decides about them once enough is known.
    fn go_on(&mut self, extended: i64, packet: &Packet, step: Step, placed: &mut Placed) {
        let missing = packet.steps - 1;
        let time = self.at(extended) - self.at(self.clock.newest_stamp);
        let is_longer = time > packet.steps * packet.samples;
        let is_uncertain =
            self.squeezes && missing > 0 && (step.is_quiet || is_longer || step.is_odd);
        // What was late before a pause says nothing of what is late behind it.
        if (is_uncertain || step.paused && is_longer) && !self.is_fresh() {
            self.settle_hold(placed);
        }
        let lateness = self.lateness(extended, packet);
        let trusted = if step.paused { PAUSED_MS } else { TRUSTED_MS };
        if self.hold.is_none() && lateness > self.samples(trusted) {
            let kind = Kind::Doubt {
                tolerated: self.samples(self.tolerated_ms(!step.paused)),
                early: step.paused.then(|| self.samples(PAUSED_MS)),
                squeezed: is_uncertain.then(|| (missing, packet.samples, self.recent.least())),
            };
            self.open_hold(kind, MediaPlace(self.at(extended)), packet);
        }
        let Some(hold) = &mut self.hold else {
            return;
        };
        hold.note(lateness, packet.samples, packet.arrived.0);
        if hold.is_ripe(self.rate_hz) {
            self.settle_hold(placed);
        }
    }

    /// How late the newest packet was, in samples.
    pub(crate) fn lateness_of_newest(&self) -> i64 {
        self.newest_lateness
    }

    /// What is known of its sender, for the segment behind it.
    pub(crate) fn known(&self) -> Known {
        Known {
            ntp_offset: self.ntp_offset,
            drift_ppb: self.drift.ppb(),
            squeezes: self.squeezes,
        }
    }

    /// Whether the sender's own clock tells where its sound belongs.
    pub(crate) fn is_reported(&self) -> bool {
        self.ntp_offset.is_some()
    }

    /// By how many samples the sender is behind its places now, whatever the network adds: below
    /// nought if it is ahead of them.
    pub(crate) fn lag(&self) -> i64 {
        // What a segment's first packets are ahead by is where they will be moved.
        let ahead = self.hold.as_ref().map_or(0, |hold| hold.least_of_fresh());
        self.recent.least() - ahead
    }

    /// The drift that a packet in order shows: by how many samples what follows it should be placed
    /// later to be right.
    pub(crate) fn note_drift(&mut self) -> Option<i64> {
        match &self.hold {
            Some(hold) if hold.is_fresh() => return None,
            Some(_) => {
                self.drift.note_doubtful(self.newest_lateness);
                return None;
            }
            None => {}
        }
        let by_delay = self.drift.note(self.newest_arrived, self.newest_lateness);
        let Some(by_report) = self.pace.take() else {
            return by_delay;
        };
        self.drift.begin_anew();
        Some(by_report)
    }

    /// Whether a packet comes after a time without sound, over which its stamp ran on.
    pub(crate) fn is_behind_pause(&self, packet: &Packet) -> bool {
        let extended = extend(self.clock.newest_stamp, packet.stamp);
        let gap = self.at(extended) - self.at(self.clock.newest_stamp) - self.clock.newest_samples;
        let pause = packet.arrived.0 - self.newest_arrived - packet.samples;
        !self.is_fresh() && gap >= self.samples(PAUSE_MS) && pause >= self.samples(PAUSE_MS)
    }

    /// What the drift has come to since it was last told, at `arrived` behind a pause.
    pub(crate) fn drift_over_pause(&mut self, arrived: MediaPlace) -> i64 {
        self.drift.over_pause(arrived.0)
    }

    /// Places what follows the newest packet `by` samples later, for drift.
    pub(crate) fn correct(&mut self, by: i64) {
        if by == 0 {
            return;
        }
        self.clock.origin += by;
        self.newest_lateness -= by;
        self.recent.follow(by);
        self.drift.note_moved(by);
        let end = self.clock.newest_stamp + self.in_units(self.clock.newest_samples);
        self.turns.note_drift(end, by);
    }

    fn lateness(&self, extended: i64, packet: &Packet) -> i64 {
        packet.arrived.0 - (self.at(extended) + packet.samples)
    }

    fn at(&self, extended: i64) -> i64 {
        self.clock.origin + self.in_samples(extended)
    }

    /// Units of the stamp as samples of the timeline.
    pub(crate) fn in_samples(&self, extended: i64) -> i64 {
        if self.rate_hz == self.clock_hz {
            extended
        } else {
            (extended * self.rate_hz).div_euclid(self.clock_hz)
        }
    }

    /// Samples of the timeline as units of the stamp.
    fn in_units(&self, samples: i64) -> i64 {
        samples * self.clock_hz / self.rate_hz
    }

    fn samples(&self, ms: i64) -> i64 {
        ms * self.rate_hz / 1_000
    }
}

/// The stamp, extended over its wrap by the shorter way from `newest`.
fn extend(newest: i64, stamp: u32) -> i64 {
    extend_from(newest, i64::from(stamp))
}

/// A stamp that was extended from elsewhere, by the shorter way from `newest`.
fn extend_from(newest: i64, stamp: i64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "modulo 2^32 is meant")]
    let difference = (stamp - newest) as i32;
    newest + i64::from(difference)
}

#[cfg(test)]
mod tests;
