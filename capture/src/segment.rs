//! From RTP time stamps to places on the call's timeline.
//!
//! Called by [`crate::track`]. A segment is a run of packets of one SSRC whose time stamps tell
//! their places; it is anchored where its first packet arrived. Inside it the stamp rules, whatever
//! the network does to the arrival. A new one begins where the stamp contradicts the arrival: after
//! a jump, and after a pause over which it stood still.
//!
//! Invariants: a packet that follows its predecessor without a gap in sequence and stamp lies right
//! behind it; a segment never begins before the end of the one before it, so that what was received
//! is never overwritten.
//!
//! RFC 3550 §5.1 (time stamp), §A.1.

use reeld_model::MediaPlace;

/// How far a stamp's place may move against the arrival from one packet to the next, in samples:
/// 500 ms. Jitter, a loss and a hold stay below it; a jump does not.
const JUMP: i64 = 4_000;

/// How long a sender may pause with its stamp standing still before the pause is kept, in samples:
/// 2 s. Below it, a stall of the sender's machine is the likelier reason.
const STANDSTILL: i64 = 16_000;

/// One segment of a track.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    /// Place of the stamp 0 of the extended stamps.
    origin: MediaPlace,
    /// The extended stamp of the newest packet of sound.
    newest_stamp: i64,
    /// Samples in it.
    newest_samples: i64,
    /// Where its stamp puts it, less where its arrival puts it.
    newest_lead: i64,
}

/// Where a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placed {
    /// Here, in this segment.
    At(MediaPlace),
    /// The stamp contradicts the arrival: a new segment has begun, and the packet is its first.
    Restarted(MediaPlace),
}

impl Segment {
    /// A segment whose first packet has `samples` samples, the stamp `stamp` and a last sample at
    /// `arrived`; it begins no earlier than `not_before`.
    pub(crate) fn begin(
        stamp: u32,
        samples: i64,
        arrived: MediaPlace,
        not_before: MediaPlace,
    ) -> (Self, MediaPlace) {
        let stamp = i64::from(stamp);
        let place = (arrived + -samples).max(not_before);
        let segment = Self {
            origin: place + -stamp,
            newest_stamp: stamp,
            newest_samples: samples,
            newest_lead: place - (arrived + -samples),
        };
        (segment, place)
    }

    /// The place of a packet that came in order, `steps` (≥ 1) sequence numbers after the newest
    /// one.
    pub(crate) fn place_newest(
        &mut self,
        stamp: u32,
        steps: i64,
        samples: i64,
        arrived: MediaPlace,
        not_before: MediaPlace,
    ) -> Placed {
        let extended = self.extend(stamp);
        let place = self.origin + extended;
        let lead = place - (arrived + -samples);
        let moved = lead - self.newest_lead;
        let contiguous = steps == 1 && extended - self.newest_stamp == self.newest_samples;
        let broken = if contiguous {
            moved < -STANDSTILL
        } else {
            moved.abs() > JUMP
        };
        if broken {
            let place;
            (*self, place) = Self::begin(stamp, samples, arrived, not_before);
            return Placed::Restarted(place);
        }
        self.newest_stamp = extended;
        self.newest_samples = samples;
        self.newest_lead = lead;
        Placed::At(place)
    }

    /// The place of a packet that was overtaken; `None` if its stamp is not one of this segment's
    /// recent ones.
    pub(crate) fn place_overtaken(&self, stamp: u32) -> Option<MediaPlace> {
        let extended = self.extend(stamp);
        let behind = self.newest_stamp - extended;
        (-JUMP..=2 * STANDSTILL)
            .contains(&behind)
            .then(|| self.origin + extended)
    }

    /// The stamp, extended over its wrap by the shorter way from the newest one.
    fn extend(&self, stamp: u32) -> i64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "modulo 2^32 is meant"
        )]
        let difference = stamp.wrapping_sub(self.newest_stamp as u32);
        #[expect(clippy::cast_possible_wrap, reason = "a half turn back is negative")]
        let difference = difference as i32;
        self.newest_stamp + i64::from(difference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: MediaPlace = MediaPlace(1_000);

    fn begin(stamp: u32) -> Segment {
        Segment::begin(stamp, 160, FIRST, MediaPlace(i64::MIN)).0
    }

    #[test]
    fn the_first_packet_ends_where_it_arrived() {
        let (_, place) = Segment::begin(5, 160, FIRST, MediaPlace(i64::MIN));
        assert_eq!(place, MediaPlace(840));
        let (_, place) = Segment::begin(5, 160, FIRST, MediaPlace(900));
        assert_eq!(place, MediaPlace(900));
    }

    #[test]
    fn jitter_moves_nothing_and_the_wrap_is_no_event() {
        let mut segment = begin(u32::MAX - 159);
        for (packet, late) in [(1, 0), (2, 1_200), (3, -300), (4, 0)] {
            let stamp = (u32::MAX - 159).wrapping_add(packet * 160);
            let exact = FIRST + i64::from(packet) * 160;
            let placed = segment.place_newest(stamp, 1, 160, exact + late, MediaPlace(i64::MIN));
            assert_eq!(placed, Placed::At(exact + -160));
        }
        assert_eq!(segment.place_overtaken(0), Some(FIRST));
    }

    #[test]
    fn a_hold_with_a_running_stamp_keeps_the_segment() {
        let mut segment = begin(0);
        let hold = 5 * 8_000;
        let placed = segment.place_newest(hold, 1, 160, FIRST + i64::from(hold), FIRST);
        assert_eq!(placed, Placed::At(FIRST + i64::from(hold) + -160));
    }

    #[test]
    fn a_pause_with_the_stamp_standing_still_is_kept() {
        let mut segment = begin(0);
        let arrived = FIRST + 40_000;
        let placed = segment.place_newest(160, 1, 160, arrived, FIRST);
        assert_eq!(placed, Placed::Restarted(arrived + -160));
    }

    #[test]
    fn a_stray_stamp_makes_no_gap() {
        let mut segment = begin(0);
        let arrived = FIRST + 160;
        for stray in [1 << 31, 1 << 30, (1 << 31) + 7] {
            let placed = segment.place_newest(stray, 1, 160, arrived, FIRST);
            assert_eq!(placed, Placed::Restarted(arrived + -160));
        }
    }

    #[test]
    fn a_burst_ahead_of_time_is_kept_whole() {
        let mut segment = begin(0);
        for packet in 1..500_u32 {
            let placed = segment.place_newest(packet * 160, 1, 160, FIRST, FIRST);
            assert_eq!(
                placed,
                Placed::At(MediaPlace(840 + i64::from(packet) * 160))
            );
        }
    }
}
