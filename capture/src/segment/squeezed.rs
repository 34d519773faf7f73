//! Losses that a fork squeezed out of the stamps.
//!
//! Called by [`crate::segment`]'s packets and by [`crate::track`] with what is not sound. Some forks go
//! on with the stamp where packets were lost, as if the time had not been: then the sequence numbers
//! tell the place, if the packet can have arrived by then.

use reeld_model::MediaPlace;

use super::{FAR_MS, Packet, Segment, TRUSTED_MS, extend};

/// Packets in a row that are equally long, so that those that are missing were so too.
pub(super) const ALIKE: u32 = 4;

impl Segment {
    /// Makes up for what was squeezed out before a packet, by `packet.steps` and its stamp, extended.
    /// Whether its number tells of more than that.
    pub(super) fn mend_squeezed(&mut self, extended: i64, packet: &Packet) -> bool {
        let step = self.at(extended) - self.at(self.clock.newest_stamp);
        let squeezed = packet.steps * packet.samples - step;
        if self.alike < ALIKE
            || packet.steps < 2
            || packet.samples <= 0
            || step <= 0
            || squeezed <= 0
        {
            return false;
        }
        // A packet cannot have come before its sound was over, by the least delay that is known.
        // That is not known yet while the segment's first packets come.
        let least = self.hold.as_ref().map_or(0, |hold| hold.least_of_fresh());
        let least = match &self.hold {
            Some(hold) if hold.is_fresh() => least - self.samples(FAR_MS),
            // A clock that differs may be behind by then.
            _ => self.recent.least().min(0),
        };
        let lateness = self.lateness(extended, packet) - squeezed;
        let arrived = lateness >= least - self.samples(TRUSTED_MS);
        let mends = squeezed % packet.samples == 0 && arrived;
        if mends {
            self.clock.origin += squeezed;
            self.squeezes = true;
            let last = (self.clock.newest_number, self.clock.newest_stamp);
            let end = self.clock.newest_stamp + self.in_units(self.clock.newest_samples);
            let by = (squeezed, packet.samples);
            self.turns.note_squeezed(last, (end, extended), by);
        }
        !mends
    }

    /// The same before the first packet behind sound that is none, which was sent `length` units of
    /// the clock behind its stamp.
    pub(crate) fn note_quiet(&mut self, number: i64, stamp: u32, length: i64, arrived: MediaPlace) {
        self.is_quiet = true;
        // As if it were sound that was over when it was sent; or, where it takes no time, that began
        // then and came when it was over.
        let samples = self.clock.newest_samples;
        let before = (length - self.in_units(samples)).max(0);
        let extended = extend(self.clock.newest_stamp, stamp) + before;
        let end = self.at(extended) + samples;
        let sent = self.at(extended - before + length);
        let packet = Packet {
            stamp,
            number,
            steps: number - self.clock.newest_number,
            samples,
            arrived: arrived + (end - sent),
            behind: arrived,
        };
        self.mend_squeezed(extended, &packet);
    }
}
