//! Where a segment's clock breaks, and what is held until that is known.
//!
//! Called by [`super::Segment::place_newest`] and by [`crate::track`]; calls [`crate::hold`].

use reeld_model::MediaPlace;

use super::{
    Clock, FAR_MS, LAGGING_MS, Move, PAUSE_MS, PAUSED_MS, Packet, Placed, RETURN_MS, Recent,
    Segment, TRUSTED_MS, extend, extend_from,
};
use crate::hold::{Hold, Kind, Verdict};

impl Segment {
    /// Follows what the sender's reports have said of what comes now.
    pub(super) fn take_correction(&mut self, packet: &Packet, placed: &mut Placed) {
        let Some(by) = self.correction.take() else {
            return;
        };
        self.previous = Some((self.clock, packet.arrived.0));
        self.first_number = packet.number;
        self.clock.origin += by;
        self.newest_lateness -= by;
        self.recent.follow(by);
        self.drift = self.drift.next();
        placed.segments += 1;
    }

    /// Goes back to the clock before the last break, or begins anew: the packet's stamp, extended, and how
    /// late it is.
    pub(super) fn return_or_break(
        &mut self,
        packet: &Packet,
        contiguous: bool,
        placed: &mut Placed,
    ) -> (i64, i64) {
        if self.returns(packet) {
            // A stray stamp or two: what came before them goes on.
            let extended = extend(self.clock.newest_stamp, packet.stamp);
            return (extended, self.lateness(extended, packet));
        }
        self.settle_hold(placed);
        let behind = packet.behind.0 + placed.moved.map_or(0, |moved| moved.by);
        self.break_off(packet, behind, contiguous);
        (self.clock.newest_stamp, 0)
    }

    /// Begins anew where the packet arrived, if there is no sound yet; the same.
    pub(super) fn catch_up(
        &mut self,
        extended: i64,
        packet: &Packet,
        contiguous: bool,
        placed: &mut Placed,
    ) -> (i64, i64) {
        self.settle_hold(placed);
        let behind = packet.behind.0 + placed.moved.map_or(0, |moved| moved.by);
        if packet.arrived.0 - packet.samples < behind {
            return (extended, self.lateness(extended, packet));
        }
        self.break_off(packet, behind, contiguous);
        (self.clock.newest_stamp, 0)
    }

    /// Decides about what is held, with what is known by now.
    pub(crate) fn decide(&mut self) -> (Option<Move>, u64) {
        let mut placed = Placed {
            place: MediaPlace(0),
            moved: None,
            segments: 0,
        };
        self.settle_hold(&mut placed);
        (placed.moved, placed.segments)
    }

    /// Whether what is held has waited as long as it may at the place `now`.
    pub(crate) fn is_overdue(&self, now: MediaPlace) -> bool {
        self.hold
            .as_ref()
            .is_some_and(|hold| hold.is_overdue(now.0, self.rate_hz))
    }

    /// How late all packets may be and the clock still be right, in milliseconds. A sender whose
    /// reports tell when its stamps break needs no guess.
    pub(super) fn tolerated_ms(&self, contiguous: bool) -> i64 {
        match (self.ntp_offset.is_some(), contiguous) {
            (true, _) => FAR_MS,
            (false, true) => LAGGING_MS,
            (false, false) => PAUSED_MS,
        }
    }

    /// Goes back to the clock before the last break, if the packet is in time by it.
    fn returns(&mut self, packet: &Packet) -> bool {
        let Some((previous, broke_at)) = self.previous else {
            return false;
        };
        if packet.arrived.0 - broke_at > self.samples(RETURN_MS) {
            return false;
        }
        let extended = extend(previous.newest_stamp, packet.stamp);
        let place = previous.origin + self.in_samples(extended);
        let lateness = packet.arrived.0 - (place + packet.samples);
        let fits = (-self.samples(TRUSTED_MS)..=self.samples(FAR_MS)).contains(&lateness);
        if fits {
            self.clock = previous;
            self.previous = None;
            self.hold = None;
        }
        fits
    }

    /// Begins anew where the packet arrived.
    fn break_off(&mut self, packet: &Packet, behind: i64, contiguous: bool) {
        let stamp = i64::from(packet.stamp);
        let place = (packet.arrived.0 - packet.samples).max(behind);
        let old = self.clock;
        let old_place = old.origin + self.in_samples(extend(old.newest_stamp, packet.stamp));
        self.previous = Some((old, packet.arrived.0));
        self.first_number = packet.number;
        self.clock = Clock {
            origin: place - self.in_samples(stamp),
            newest_stamp: stamp,
            newest_samples: packet.samples,
            newest_number: packet.number,
        };
        self.ambiguous = (self.squeezes && packet.steps > 1).then_some((
            stamp,
            packet.samples,
            packet.steps - 1,
        ));
        self.drift = self.drift.next();
        self.recent = Recent::new();
        self.turns.clear();
        // A report that came just before its packet is of the new clock. One of the old clock may have
        // the same stamp, where that stood still: what came nearer to the packet before is that.
        let most = self.in_units(self.samples(RETURN_MS));
        let before = self.newest_arrived;
        self.ahead = self.ahead.and_then(|(ntp, ahead, arrived)| {
            let ahead = extend_from(stamp, ahead);
            let is_near = packet.arrived.0 - arrived < arrived - before;
            let is_of_it = (stamp - most..=stamp + most).contains(&ahead);
            (is_near && is_of_it).then_some((ntp, ahead, arrived))
        });
        let tolerated = self.samples(self.tolerated_ms(contiguous));
        let back = (old_place < place).then_some((old_place - place, tolerated));
        self.open_hold(Kind::Fresh { back }, MediaPlace(place), packet);
    }

    pub(super) fn open_hold(&mut self, kind: Kind, from: MediaPlace, packet: &Packet) {
        // No further back than a window: what lies before it is settled, and would be lost.
        let floor = packet.behind.max(from + -self.samples(PAUSE_MS)).min(from);
        self.hold = Some(Box::new(Hold::open(
            kind,
            from,
            floor,
            packet.arrived.0,
            (self.clock.newest_number, packet.samples),
        )));
    }

    /// Ends the hold.
    pub(super) fn settle_hold(&mut self, placed: &mut Placed) {
        let Some(hold) = self.hold.take() else {
            return;
        };
        let Verdict { by, is_new } = hold.verdict(self.rate_hz);
        placed.segments += u64::from(is_new);
        self.drift.decide_doubtful(by == 0);
        if let Some(late) = hold.reported().filter(|_| by == 0) {
            self.keep_pace(late);
        }
        self.clock.origin += by;
        self.newest_lateness -= by;
        if by != 0 {
            // Packets before it say nothing of what was moved.
            self.recent = Recent::new();
            self.recent.note(hold.least().saturating_sub(by));
        }
        if let Some((ntp, stamp)) = self.unplaced.take()
            && self.ntp_offset.is_none()
            && let Some(place) = self.only_place(stamp)
        {
            self.ntp_offset = Some(place - ntp);
        }
        if by != 0 {
            placed.moved = Some(Move {
                from: hold.from,
                by,
            });
        }
    }
}
