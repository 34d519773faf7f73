//! Whose turn it is: packets of the source that is heard on their way to the track.
//!
//! Called by [`crate::call`], of which it is a part; calls [`crate::order`]. A packet that has waited
//! is taken with the arrival that it had, so its place is what it would have been.

use reeld_model::{Mono, Track};

use super::{Call, Of};
use crate::order::Turn;
use crate::packet::{self, Datagram, RtpPacket};

/// An edge of time that everything came before.
const ALWAYS: Mono = Mono(u64::MAX);

impl Call {
    /// Takes a packet of the source that is heard, and what has waited for it, each in its turn.
    pub(super) fn receive(&mut self, track: Track, arrival: Mono, packet: &RtpPacket<'_>) {
        if !self.has_rate {
            self.decide_rate(track, packet.payload_type);
        }
        let Some(state) = &mut self.tracks[track.index()] else {
            return;
        };
        let in_order = state.needs_order(packet.payload_type);
        if state.order.is_overtaken(packet.sequence) {
            state.counts().reordered += 1;
        }
        let mut turn = state.order.offer(packet, arrival, in_order);
        if turn == Turn::AfterAll {
            self.release(track, ALWAYS);
            let Some(state) = &mut self.tracks[track.index()] else {
                return;
            };
            turn = state.order.offer(packet, arrival, in_order);
        }
        match turn {
            Turn::Now => {
                // An overtaken packet is no later than those that wait for it, as it would have been
                // without them: how late it was tells nothing of the path's delay.
                let state = self.tracks[track.index()].as_ref();
                let oldest = state.and_then(|state| state.order.oldest());
                self.take(
                    track,
                    oldest.map_or(arrival, |oldest| oldest.min(arrival)),
                    packet,
                    Of::Stream,
                );
            }
            Turn::Waits | Turn::AfterAll => {}
            Turn::Twice => {
                if let Some(state) = &mut self.tracks[track.index()] {
                    state.counts().duplicates += 1;
                }
            }
        }
        self.release(track, arrival - self.settings.reorder_window);
    }

    /// Takes the packets whose turn has come, and those that have waited since before `edge`.
    fn release(&mut self, track: Track, edge: Mono) {
        let next = |call: &mut Self| call.tracks[track.index()].as_mut()?.order.next(Some(edge));
        while let Some(waiting) = next(self) {
            if let Datagram::Rtp(packet) = packet::read(&waiting.datagram) {
                self.take(track, waiting.arrival, &packet, Of::Stream);
            }
        }
    }

    /// Takes what has waited for the reorder window: what is missing before it is lost.
    pub(super) fn release_overdue(&mut self, now: Mono) {
        for track in Track::ALL {
            self.release(track, now - self.settings.reorder_window);
        }
    }

    /// Takes all that waits: a command counts for what has arrived before it.
    pub(super) fn release_all(&mut self) {
        for track in Track::ALL {
            self.release(track, ALWAYS);
        }
    }
}
