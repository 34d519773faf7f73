//! The last packets of the stream before the one that is heard, which may still come.
//!
//! Called by [`crate::call`]; a part of [`crate::track`].

use reeld_model::MediaPlace;

use super::{Content, TrackState, signed};
use crate::packet::RtpPacket;
use crate::segment;
use crate::sequence::Arrival;

impl TrackState {
    /// Takes a late packet of the stream before the one that is heard.
    pub(crate) fn take_straggler<'a>(
        &mut self,
        packet: &RtpPacket<'_>,
        arrived: MediaPlace,
        scratch: &'a mut Vec<i16>,
    ) -> Content<'a> {
        let payload = self.payloads.get(packet.payload_type);
        let Some(stream) = &mut self.before else {
            return Content::Nothing;
        };
        let number = stream.sequence.extended(packet.sequence);
        let steps = stream.sequence.steps_to(packet.sequence);
        if stream.sequence.note(packet.sequence) == Arrival::Duplicate {
            self.counts.duplicates += 1;
            return Content::Nothing;
        }
        if steps < 0 {
            // It was counted as lost when its stream ended.
            self.counts.lost = self.counts.lost.saturating_sub(1);
        }
        self.counts.packets += 1;
        self.counts.reordered += 1;
        self.counts.payload_bytes += packet.payload.len() as u64;
        let decodes =
            payload.filter(|payload| payload.is_audio() && !self.decoders.needs_order(*payload));
        let decoded = decodes.and_then(|payload| {
            let stamp = packet.timestamp;
            self.decoders
                .decode(payload, packet.payload, stamp, false, scratch)
        });
        let placed = decoded.and_then(|before| {
            let samples = signed(scratch.len() - before);
            let placed = segment::Packet {
                stamp: packet.timestamp,
                number,
                steps,
                samples,
                arrived,
                behind: self.end,
            };
            let place = stream.segment.as_mut()?.place_overtaken(&placed)?;
            Some((place, samples, before))
        });
        let Some((place, length, before)) = placed else {
            self.note_late();
            return Content::Nothing;
        };
        let samples = &mut scratch[before..];
        self.silence_muted(place, samples);
        Content::Sound {
            place,
            samples,
            length,
            gap: None,
        }
    }
}
