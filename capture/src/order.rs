//! The order of a track's packets, for codecs that can only be decoded in it.
//!
//! Called by [`crate::call`] with each packet of the source that is heard; it calls nothing. What a
//! packet holds, and where its sound lies, does not belong here.
//!
//! A packet of such a codec that has overtaken another waits until that comes, or until the reorder
//! window is over. Those of other codecs never wait, and a packet that comes in order costs two
//! comparisons. A packet that waits keeps its arrival, so its place does not change.
//!
//! Bounds: [`MOST`] packets wait, none longer than the call's reorder window; memory is allocated
//! for those that wait, and for no others.

use reeld_model::Mono;
use serde::{Deserialize, Serialize};

use crate::packet::RtpPacket;

/// Packets that wait at most: 1.28 s of 20 ms. A step in sequence beyond it is a break, not order.
const MOST: usize = 64;

/// The order of one track.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Order {
    /// Sequence number of the newest packet that went on.
    newest: Option<u16>,
    /// Those that wait, by sequence.
    waiting: Vec<Waiting>,
}

/// A packet that waits.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Waiting {
    pub(crate) arrival: Mono,
    sequence: u16,
    pub(crate) datagram: Box<[u8]>,
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It goes on now, and after it whatever [`Order::next`] gives.
    Now,
    /// It waits.
    Waits,
    /// Those that wait go on, all of them; then it is offered again, and goes on or waits.
    AfterAll,
    /// The same packet waits already.
    Twice,
}

impl Order {
    /// Says whether it is a packet's turn, and takes it if not; `in_order` if its codec needs order.
    pub(crate) fn offer(&mut self, packet: &RtpPacket<'_>, arrival: Mono, in_order: bool) -> Turn {
        let ahead = self.ahead(packet.sequence);
        if ahead <= 1 || (!in_order && self.waiting.is_empty()) {
            if ahead > 0 {
                self.newest = Some(packet.sequence);
            }
            return Turn::Now;
        }
        if usize::from(ahead.unsigned_abs()) > MOST || self.waiting.len() >= MOST {
            if self.waiting.is_empty() {
                self.newest = Some(packet.sequence);
                return Turn::Now;
            }
            return Turn::AfterAll;
        }
        let ahead_of = |waiting: &Waiting| ahead_of(packet.sequence, waiting.sequence) <= 0;
        let at = self.waiting.iter().position(ahead_of);
        let at = at.unwrap_or(self.waiting.len());
        let twice = self.waiting.get(at);
        if twice.is_some_and(|waiting| waiting.sequence == packet.sequence) {
            return Turn::Twice;
        }
        let waiting = Waiting {
            arrival,
            sequence: packet.sequence,
            datagram: packet.datagram.into(),
        };
        self.waiting.insert(at, waiting);
        Turn::Waits
    }

    /// Whether packets wait that have overtaken this one, which is not too late for its turn.
    pub(crate) fn is_overtaken(&self, sequence: u16) -> bool {
        let last = self.waiting.last();
        last.is_some_and(|last| ahead_of(sequence, last.sequence) < 0) && self.ahead(sequence) > 0
    }

    /// The arrival of the packet that has waited longest.
    pub(crate) fn oldest(&self) -> Option<Mono> {
        self.waiting.iter().map(|waiting| waiting.arrival).min()
    }

    /// The next packet whose turn has come: those before it have gone on, or one that arrived before
    /// `edge` waits, so that what is missing before it is lost.
    pub(crate) fn next(&mut self, edge: Option<Mono>) -> Option<Waiting> {
        let first = self.waiting.first()?;
        let is_overdue = edge
            .zip(self.oldest())
            .is_some_and(|(edge, oldest)| oldest <= edge);
        if self.ahead(first.sequence) > 1 && !is_overdue {
            return None;
        }
        let first = self.waiting.remove(0);
        if self.ahead(first.sequence) > 0 {
            self.newest = Some(first.sequence);
        }
        Some(first)
    }

    /// A new stream begins, whose first packet is still to come.
    pub(crate) fn begin(&mut self) {
        self.newest = None;
        self.waiting = Vec::new();
    }

    /// How far a sequence number is ahead of the newest: 1 for the first packet of all.
    fn ahead(&self, sequence: u16) -> i16 {
        self.newest.map_or(1, |newest| ahead_of(sequence, newest))
    }
}

/// How far `one` is ahead of `other`, by the shorter way around.
fn ahead_of(one: u16, other: u16) -> i16 {
    #[expect(clippy::cast_possible_wrap, reason = "a half turn back is negative")]
    let ahead = one.wrapping_sub(other) as i16;
    ahead
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(sequence: u16) -> RtpPacket<'static> {
        RtpPacket {
            sequence,
            timestamp: 0,
            ssrc: 1,
            payload_type: 9,
            payload: &[],
            datagram: &[],
        }
    }

    /// What goes on when these come, one a millisecond, with a window of 200 of them.
    fn through(sequences: &[u16]) -> Vec<u16> {
        let mut order = Order::default();
        let mut out = Vec::new();
        for (now, &sequence) in (1u64..).zip(sequences) {
            let edge = now.saturating_sub(200);
            let mut turn = order.offer(&packet(sequence), Mono(now), true);
            if turn == Turn::AfterAll {
                out.extend(std::iter::from_fn(|| order.next(Some(Mono(now)))).map(|w| w.sequence));
                turn = order.offer(&packet(sequence), Mono(now), true);
                assert_ne!(turn, Turn::AfterAll);
            }
            if turn == Turn::Now {
                out.push(sequence);
            }
            assert!(order.waiting.len() <= MOST);
            let ready = std::iter::from_fn(|| order.next(Some(Mono(edge))));
            out.extend(ready.map(|waiting| waiting.sequence));
        }
        out.extend(std::iter::from_fn(|| order.next(Some(Mono(u64::MAX)))).map(|w| w.sequence));
        out
    }

    #[test]
    fn what_was_overtaken_is_waited_for() {
        let begin = u16::MAX - 2;
        let mixed: Vec<u16> = [0, 2, 1, 5, 3, 4, 7, 6, 6, 7]
            .map(|ahead| begin.wrapping_add(ahead))
            .into();
        let expected: Vec<u16> = (0..8).map(|ahead| begin.wrapping_add(ahead)).collect();
        let went = through(&mixed);
        assert_eq!(went[..8], expected);
        assert_eq!(
            went.len(),
            10,
            "what comes twice later is the track's to see"
        );
        assert_eq!(through(&[1, 3, 3, 2]), [1, 2, 3]);
    }

    #[test]
    fn a_loss_is_waited_for_no_longer_than_the_window() {
        let came: Vec<u16> = (0..1_000).filter(|number| number % 9 != 4).collect();
        assert_eq!(through(&came), came);
        assert_eq!(through(&[1, 2, 9_000, 9_001]), [1, 2, 9_000, 9_001]);
        assert_eq!(through(&[1, 3, 9_000, 9_001]), [1, 3, 9_000, 9_001]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_here(sequences in proptest::collection::vec(any::<u16>(), 1..400), near: bool) {
            let sequences: Vec<u16> =
                sequences.iter().map(|number| if near { number % 90 } else { *number }).collect();
            let mut went = through(&sequences);
            let mut came = sequences;
            went.sort_unstable();
            came.sort_unstable();
            went.dedup();
            came.dedup();
            prop_assert_eq!(went, came);
        }
    }
}
