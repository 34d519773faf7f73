//! A hold: packets whose place may still move, until enough of them have told where they belong.
//!
//! Called by [`crate::segment`]. It counts packets and keeps how late the least late of them was;
//! the sound itself waits in the mix, whose base does not pass it.
//!
//! The length of a hold is what the network's promise asks for: of any 25 packets one comes within
//! 5 ms of the path's minimum delay.

use reeld_model::MediaPlace;
use serde::{Deserialize, Serialize};

/// Packets that tell the minimum delay.
const ENOUGH: u32 = 25;

/// The longest hold, in milliseconds: 25 packets of 120 ms.
const LONGEST_MS: i64 = 3_000;

/// A hold without a packet for this long, and the time of so many packets more, ends, in
/// milliseconds: losses and jitter are over by then, and what is held is not on the disk.
const IDLE_MS: i64 = 200;
const IDLE_PACKETS: i64 = 12;

/// While packets still come less late than those before, as they do when a sender catches up, a hold
/// goes on until this many are not.
const STABLE: u32 = 5;

/// The most sound in a hold, in milliseconds: half of what a ring can have.
const MOST_MS: i64 = 4_000;

/// A clock is confirmed by a packet that is no later than this by it, in milliseconds.
const CONFIRMED_MS: i64 = 10;

/// In a hold that ends early, lateness up to this may be jitter, in milliseconds: the clock before
/// it goes on.
const JITTER_MS: i64 = 160;

/// How far from whole packets a squeezed loss may seem, in milliseconds.
const WHOLE_MS: i64 = 6;

/// Nothing is moved further back than this, in milliseconds: the reorder window's usual length.
const WINDOW_MS: i64 = 200;

/// A segment that begins this near to the end of the last one follows it, in milliseconds.
const NEAR_MS: i64 = 5;

/// Why packets are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// They begin a segment, placed by the arrival of the first.
    Fresh {
        /// Where the clock before it would have them, in samples against that place, and how late
        /// the least late may be by it for it to go on.
        back: Option<(i64, i64)>,
    },
    /// They are late by the clock that placed them; beyond `tolerated`, if all of them are, it was
    /// the sender.
    Doubt {
        /// In samples.
        tolerated: i64,
        /// After a pause: so many samples early, if the least late is, it was the sender as well.
        early: Option<i64>,
        /// Up to so many packets, of so many samples each, may have been squeezed out before; and how
        /// late the least late was then.
        squeezed: Option<(i64, i64, i64)>,
    },
}

/// Packets that are held.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Hold {
    kind: Kind,
    /// The first one's place for now, those that it has overtaken included.
    pub(crate) from: MediaPlace,
    /// The place for now of the one that opened it.
    pub(crate) opened_at: MediaPlace,
    /// The end of what is before it.
    pub(crate) floor: MediaPlace,
    /// The sequence number of the newest packet before it.
    pub(crate) after: i64,
    /// The place of the first one's arrival, and the last one's.
    opened: i64,
    newest: i64,
    count: u32,
    /// How late the least late was, by the place it has for now; and packets since.
    least: i64,
    since_least: u32,
    /// Samples in it, and in the longest of its packets.
    samples: i64,
    longest: i64,
    /// By how much later the sender's reports put it; where they may mean a time before so many packets,
    /// the samples of each and how many at most, which its own packets tell.
    reported: Option<i64>,
    or_later: Option<(i64, i64)>,
}

/// What a hold came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Samples by which all of it belongs later; earlier if negative.
    pub(crate) by: i64,
    /// Whether it is a segment of its own.
    pub(crate) is_new: bool,
}

impl Hold {
    /// Begins a hold with a packet of `length` samples behind the one of the number `after`, that was
    /// placed at `from` and arrived at `arrived`.
    pub(crate) fn open(
        kind: Kind,
        from: MediaPlace,
        floor: MediaPlace,
        arrived: i64,
        (after, length): (i64, i64),
    ) -> Self {
        let (count, least, samples) = match kind {
            Kind::Fresh { .. } => (1, 0, length),
            // Its first packet is noted like the rest.
            Kind::Doubt { .. } => (0, i64::MAX, 0),
        };
        Self {
            kind,
            from,
            opened_at: from,
            floor,
            after,
            opened: arrived,
            newest: arrived,
            count,
            least,
            since_least: 0,
            samples,
            longest: length,
            reported: None,
            or_later: None,
        }
    }

    /// Whether its packets begin a segment.
    pub(crate) fn is_fresh(&self) -> bool {
        matches!(self.kind, Kind::Fresh { .. })
    }

    /// Whether packets may have been squeezed out before it.
    pub(crate) fn is_squeezed(&self) -> bool {
        matches!(
            self.kind,
            Kind::Doubt {
                squeezed: Some(_),
                ..
            }
        )
    }

    /// How late the least late of its packets was, by the place it has for now.
    pub(crate) fn least(&self) -> i64 {
        self.least
    }

    /// How early, below nought, a packet may seem by the place it has for now, since it may move back.
    pub(crate) fn earliest(&self, rate_hz: i64) -> i64 {
        let window = -WINDOW_MS * rate_hz / 1_000;
        match self.kind {
            // Who stalled and catches up is in time by the clock before it.
            Kind::Fresh { back } => back
                .map(|(back, _)| back)
                .filter(|back| *back >= -MOST_MS * rate_hz / 1_000)
                .map_or(window, |back| back.min(window)),
            Kind::Doubt { .. } => 0,
        }
    }

    /// How late the least late of a segment's first packets was; nought where they do not begin one.
    pub(crate) fn least_of_fresh(&self) -> i64 {
        if self.is_fresh() { self.least } else { 0 }
    }

    /// Notes a packet of `samples` samples that is `lateness` samples late by the place it has for now.
    pub(crate) fn note(&mut self, lateness: i64, samples: i64, arrived: i64) {
        self.count += 1;
        self.samples += samples;
        self.longest = self.longest.max(samples);
        if lateness < self.least {
            self.least = lateness;
            self.since_least = 0;
        } else {
            self.since_least += 1;
        }
        self.newest = arrived;
    }

    /// Notes that a sender report puts it `by` samples later than it is now, or later than that by a number
    /// of packets: samples of each, and how many at most.
    pub(crate) fn note_report(&mut self, by: i64, or_later: Option<(i64, i64)>) {
        (self.reported, self.or_later) = (Some(by), or_later);
    }

    /// By how much later the sender's reports put it than it is, as far as they told.
    pub(crate) fn reported(&self) -> Option<i64> {
        self.reported
    }

    /// Whether enough is known.
    pub(crate) fn is_ripe(&self, rate_hz: i64) -> bool {
        let told = self.count >= ENOUGH && self.since_least >= STABLE;
        let full = self.samples >= MOST_MS * rate_hz / 1_000;
        if self.reported.is_some() && self.or_later.is_none()
            || told
            || full
            || self.is_overdue(self.newest, rate_hz)
        {
            return true;
        }
        let confirmed = CONFIRMED_MS * rate_hz / 1_000;
        match self.kind {
            Kind::Doubt { early: None, .. } => self.least <= confirmed,
            Kind::Doubt {
                early: Some(early), ..
            } => (-early..=early).contains(&self.least),
            Kind::Fresh {
                back: Some((back, _)),
            } => (-confirmed..=confirmed).contains(&(self.least - back)),
            Kind::Fresh { back: None } => false,
        }
    }

    /// Whether it has lasted as long as it may at the place `now`.
    pub(crate) fn is_overdue(&self, now: i64, rate_hz: i64) -> bool {
        now - self.opened >= LONGEST_MS * rate_hz / 1_000
            || now - self.newest >= IDLE_MS * rate_hz / 1_000 + IDLE_PACKETS * self.longest
    }

    /// Where it belongs, by what is known.
    pub(crate) fn verdict(&self, rate_hz: i64) -> Verdict {
        let samples = |ms: i64| ms * rate_hz / 1_000;
        let early = self.count < ENOUGH;
        if let Some(by) = self.reported_by(rate_hz)
            && (self.count == 0 || self.least - by >= -samples(CONFIRMED_MS))
        {
            let is_near = by.abs() <= samples(CONFIRMED_MS);
            let doubted = matches!(self.kind, Kind::Doubt { .. });
            return Verdict {
                by: match self.kind {
                    Kind::Doubt { .. } if is_near => 0,
                    Kind::Fresh { .. } | Kind::Doubt { .. } => self.behind(by, rate_hz),
                },
                is_new: !(doubted && is_near),
            };
        }
        match self.kind {
            Kind::Doubt {
                tolerated,
                early: before,
                squeezed,
            } => {
                if let Some(by) = squeezed.and_then(|squeezed| self.whole(squeezed, rate_hz)) {
                    return Verdict { by, is_new: false };
                }
                let tolerated = tolerated.max(if early { samples(JITTER_MS) } else { 0 });
                let is_early = before.is_some_and(|before| self.least < -before);
                let by = if self.count > 0 && (self.least > tolerated || is_early) {
                    self.behind(self.least, rate_hz)
                } else {
                    0
                };
                Verdict {
                    by,
                    is_new: by != 0,
                }
            }
            Kind::Fresh { back } => {
                if let Some((back, tolerated)) = back {
                    let tolerated = tolerated.max(if early { samples(JITTER_MS) } else { 0 });
                    // Seen from the clock before, everything is that much later.
                    let late = self.least - back;
                    if (-samples(CONFIRMED_MS)..=tolerated).contains(&late) {
                        return Verdict {
                            by: back,
                            is_new: false,
                        };
                    }
                }
                Verdict {
                    by: self.behind(self.least, rate_hz),
                    is_new: true,
                }
            }
        }
    }

    /// Where the reports put it, with what its packets tell of it.
    fn reported_by(&self, rate_hz: i64) -> Option<i64> {
        let by = self.reported?;
        let later = self
            .or_later
            .and_then(|(samples, most)| self.whole((most, samples, by), rate_hz));
        Some(by + later.unwrap_or(0))
    }

    /// How late it is in whole packets, up to `most` of `samples` each.
    fn whole(&self, (most, samples, before): (i64, i64, i64), rate_hz: i64) -> Option<i64> {
        let later = self.least.saturating_sub(before);
        let packets = (later + samples / 2).div_euclid(samples.max(1));
        let off = later - packets * samples;
        let fits = (1..=most).contains(&packets) && off.abs() <= WHOLE_MS * rate_hz / 1_000;
        fits.then_some(packets * samples)
    }

    /// `by`, so that it follows what is before it where it nearly does: neither a hole nor a cut is
    /// made for what the minimum delay is known to within. Beyond that its place is its place, and
    /// the end of what was placed too late gives way.
    fn behind(&self, by: i64, rate_hz: i64) -> i64 {
        let gap = self.from + by - self.floor;
        if gap.abs() <= NEAR_MS * rate_hz / 1_000 {
            self.floor - self.from
        } else {
            // What was to lie before the window is settled: it would be lost.
            by.max(-WINDOW_MS * rate_hz / 1_000)
        }
    }
}
