//! Places of what was overtaken, and of what is not sound.
//!
//! Called by [`crate::track`]; calls [`super::turns`]. Neither moves the clock.

use reeld_model::MediaPlace;

use super::{Clock, OVERTAKEN_MS, PAUSE_MS, Packet, RECENT_MS, Segment, extend};

impl Segment {
    /// The place of a packet that was overtaken; `None` if its stamp is not one of this segment's
    /// recent ones.
    pub(crate) fn place_overtaken(&mut self, packet: &Packet) -> Option<MediaPlace> {
        // The first packet by a new clock may have overtaken others by it as well as those before it.
        let previous = self.previous.filter(|_| packet.number < self.first_number);
        let by_previous = previous.and_then(|(clock, _)| self.recent_by(&clock, packet));
        if let Some((place, _)) = by_previous
            && packet.arrived.0 - (place + packet.samples) <= self.samples(OVERTAKEN_MS)
        {
            return Some(MediaPlace(place));
        }
        let (place, extended) = self.recent_by(&self.clock, packet)?;
        let units = self.in_units(packet.samples);
        let place = MediaPlace(place - self.turns.since_packet(packet.number, extended, units));
        if let Some(hold) = &mut self.hold
            && (hold.is_fresh() || packet.number > hold.after)
        {
            // One that was overtaken by the hold's first goes where that one goes.
            hold.from = hold.from.min(place.max(hold.floor));
        }
        Some(place)
    }

    /// The place of a packet by a clock, and its stamp extended, if that is one of the clock's recent ones.
    fn recent_by(&self, clock: &Clock, packet: &Packet) -> Option<(i64, i64)> {
        let extended = extend(clock.newest_stamp, packet.stamp);
        let behind = self.in_samples(clock.newest_stamp) - self.in_samples(extended);
        // What only keys or noise have overtaken may come after losses.
        let is_newest = packet.number > clock.newest_number;
        let ahead = if is_newest { RECENT_MS } else { PAUSE_MS };
        let recent = -self.samples(ahead)..=self.samples(RECENT_MS);
        let place = clock.origin + self.in_samples(extended);
        recent.contains(&behind).then_some((place, extended))
    }

    /// The place of the stamp of what is not sound (events, comfort noise), if it is near.
    pub(crate) fn place_of(&self, stamp: u32) -> Option<MediaPlace> {
        let extended = extend(self.clock.newest_stamp, stamp);
        let ahead = self.in_samples(extended) - self.in_samples(self.clock.newest_stamp);
        let since = self.turns.most_since_stamp(extended);
        let place = self.at(extended) - since;
        // A stray stamp is nowhere.
        (ahead.abs() <= self.samples(60_000)).then_some(MediaPlace(place))
    }
}
