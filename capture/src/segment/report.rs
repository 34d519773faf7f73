//! Sender reports: what a sender's NTP clock says of its stamps (RFC 3550 §6.4.1).
//!
//! Called by [`crate::segment`]'s packets and by [`crate::track`] with reports. Where stamps break, a
//! report says by how much at once; where they do not, it says that the way has changed and not the
//! sender.

use reeld_model::MediaPlace;

use super::{Segment, TRUSTED_MS, extend};

/// What a report must differ by to be followed, in milliseconds.
const NOTICED_MS: i64 = 6;

impl Segment {
    /// Notes a sender report that came at the place `arrived`: the sender's NTP clock at a stamp, in
    /// samples. False if its stamp is none of this segment's.
    pub(crate) fn note_report(&mut self, ntp: i64, stamp: u32, arrived: MediaPlace) -> bool {
        if self.place_of(stamp).is_none() {
            return false;
        }
        let extended = extend(self.clock.newest_stamp, stamp);
        let end = self.clock.newest_stamp + self.in_units(self.clock.newest_samples);
        if extended >= end {
            // What lies between the last packet and the report is not known yet.
            self.ahead = Some((ntp, extended, arrived.0));
        } else {
            self.judge_report(ntp, extended);
        }
        true
    }

    pub(super) fn judge_report(&mut self, ntp: i64, extended: i64) {
        let trusted = self.samples(TRUSTED_MS);
        let now = self.at(extended);
        // A report at the edge of a squeezed loss is of either side: of that where it fits.
        let sides = self.turns.since_stamp(extended);
        let (place, late) = match self.ntp_offset {
            Some(offset) => {
                if sides.len() > 1 && self.hold.as_ref().is_some_and(|hold| hold.is_squeezed()) {
                    // What is held may be off by as much: the next report says which side it is of.
                    return;
                }
                let late = |place: i64| ntp.saturating_add(offset) - place;
                let places = sides.iter().map(|since| now - since);
                let place = places.min_by_key(|place| late(*place).abs());
                let place = place.unwrap_or(now);
                (place, Some(late(place)))
            }
            None => {
                let Some(place) = self.only_place(extended) else {
                    return;
                };
                (place, None)
            }
        };
        let ambiguous = self.ambiguous.filter(|(stamp, ..)| extended <= *stamp);
        match (&mut self.hold, late) {
            // What was said before a loss that may be squeezed says nothing of it.
            (Some(hold), _) if hold.is_squeezed() && place <= hold.opened_at.0 => {}
            (Some(hold), Some(late)) => {
                hold.note_report(late, ambiguous.map(|(_, samples, most)| (samples, most)));
            }
            _ if ambiguous.is_some() => {}
            (Some(hold), None) if hold.is_fresh() => self.unplaced = Some((ntp, extended)),
            (Some(_), None) => self.ntp_offset = Some(place - ntp),
            (None, Some(late)) if late.abs() > trusted => {
                // No packet comes before its sound is over: then the report is of another time.
                if self.recent.least() - late >= -trusted {
                    self.correction = Some(late);
                }
            }
            (None, late) => {
                self.follow_ntp(place + self.recent.least() - ntp);
                if let Some(late) = late {
                    self.keep_pace(late);
                }
            }
        }
    }

    /// Notes by how much later the reports put what follows, to be made up for slowly.
    pub(super) fn keep_pace(&mut self, late: i64) {
        if late.abs() >= self.samples(NOTICED_MS) {
            self.pace = Some(late);
        }
    }

    /// Where a stamp was when it was said, if that is known.
    pub(super) fn only_place(&self, extended: i64) -> Option<i64> {
        match self.turns.since_stamp(extended)[..] {
            [since] => Some(self.at(extended) - since),
            _ => None,
        }
    }

    /// Follows the sender's NTP clock by the least delay, whatever the places' own error: at once
    /// where a packet was less late than any before, and slowly where all are later, which may be
    /// the way and not the clock.
    fn follow_ntp(&mut self, offset: i64) {
        let known = self.ntp_offset.unwrap_or(offset);
        let step = offset - known;
        let slow = if step > 0 { step / 8 } else { step };
        if step <= self.samples(TRUSTED_MS) {
            self.ntp_offset = Some(known + slow);
        }
    }
}
