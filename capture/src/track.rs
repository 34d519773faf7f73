//! One track: from packets of the source that is heard to samples with a place.
//!
//! Called by [`crate::call`]; calls [`crate::source`], [`crate::payload`], [`crate::sequence`],
//! [`crate::segment`] and [`crate::event`].

use reeld_model::{MediaPlace, TrackStats};

use crate::event::Events;
use crate::packet::RtpPacket;
use crate::payload::{MAX_SAMPLES, Payload, PayloadMap, decode};
use crate::segment::{Placed, Segment};
use crate::sequence::{Arrival, Sequence};
use crate::source::Source;

/// Samples that stand for a packet that cannot be decoded before any other was seen: 20 ms.
const USUAL_SAMPLES: i64 = 160;

/// A track of an open call.
#[derive(Debug)]
pub(crate) struct TrackState {
    /// The RTP port.
    pub(crate) port: u16,
    pub(crate) source: Source,
    pub(crate) payloads: PayloadMap,
    /// The codec of the last packet of sound, by its SDP name.
    pub(crate) codec: Option<&'static str>,
    counts: TrackStats,
    stream: Option<Stream>,
    /// Behind the last sample of all segments so far.
    end: MediaPlace,
    usual_samples: i64,
}

/// The stream of one SSRC.
#[derive(Debug)]
struct Stream {
    sequence: Sequence,
    segment: Option<Segment>,
    events: Events,
}

/// What a packet holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content<'a> {
    /// Samples and their place.
    Sound(MediaPlace, &'a [i16]),
    /// This many samples of what cannot be decoded, and their place.
    Unknown(MediaPlace, i64),
    /// A key was pressed.
    Key(char),
    /// Nothing to be heard.
    Nothing,
}

impl TrackState {
    pub(crate) fn new(port: u16, payloads: PayloadMap) -> Self {
        Self {
            port,
            source: Source::default(),
            payloads,
            codec: None,
            counts: TrackStats::default(),
            stream: None,
            end: MediaPlace(i64::MIN),
            usual_samples: USUAL_SAMPLES,
        }
    }

    /// What was counted since the call was opened.
    pub(crate) fn stats(&self) -> TrackStats {
        let mut stats = self.counts;
        stats.lost += self
            .stream
            .as_ref()
            .map_or(0, |stream| stream.sequence.lost());
        stats
    }

    /// Behind the last sample of all segments so far.
    pub(crate) fn end(&self) -> MediaPlace {
        self.end
    }

    /// The counts, to add to.
    pub(crate) fn counts(&mut self) -> &mut TrackStats {
        &mut self.counts
    }

    /// Begins a stream: the next packet is its first, wherever the last one was.
    pub(crate) fn begin_stream(&mut self, first_sequence: u16) {
        self.counts.lost += self
            .stream
            .take()
            .map_or(0, |stream| stream.sequence.lost());
        self.stream = Some(Stream {
            sequence: Sequence::new(first_sequence),
            segment: None,
            events: Events::default(),
        });
    }

    /// Takes a packet of the source that is heard, which arrived at the place `arrived`.
    pub(crate) fn take<'a>(
        &mut self,
        packet: &RtpPacket<'_>,
        arrived: MediaPlace,
        scratch: &'a mut [i16; MAX_SAMPLES],
    ) -> Content<'a> {
        if self.stream.is_none() {
            self.begin_stream(packet.sequence);
        }
        let Some(stream) = &mut self.stream else {
            return Content::Nothing;
        };
        let steps = stream.sequence.steps_to(packet.sequence);
        let order = stream.sequence.note(packet.sequence);
        match order {
            Arrival::Newest => {}
            Arrival::Reordered => self.counts.reordered += 1,
            Arrival::Duplicate => {
                self.counts.duplicates += 1;
                return Content::Nothing;
            }
        }
        self.counts.packets += 1;
        self.counts.payload_bytes += packet.payload.len() as u64;
        let payload = self.payloads.get(packet.payload_type);
        let samples = match payload {
            Some(Payload::TelephoneEvent) => {
                self.counts.events += 1;
                let key = stream.events.read(packet.timestamp, packet.payload);
                return key.map_or(Content::Nothing, Content::Key);
            }
            Some(Payload::ComfortNoise) => {
                self.counts.comfort_noise += 1;
                return Content::Nothing;
            }
            Some(Payload::G711(law)) => decode(law, packet.payload, scratch),
            None => &[],
        };
        let length = if payload.is_some() {
            self.codec = payload.map(Payload::name);
            i64::try_from(samples.len()).expect("at most MAX_SAMPLES")
        } else {
            self.counts.undecodable += 1;
            self.usual_samples
        };
        if length == 0 {
            return Content::Nothing;
        }
        let Some(place) = self.place(packet.timestamp, steps, order, length, arrived) else {
            return Content::Nothing;
        };
        self.end = self.end.max(place + length);
        if payload.is_none() {
            return Content::Unknown(place, length);
        }
        self.usual_samples = length;
        Content::Sound(place, samples)
    }

    fn place(
        &mut self,
        stamp: u32,
        steps: i64,
        order: Arrival,
        length: i64,
        arrived: MediaPlace,
    ) -> Option<MediaPlace> {
        let stream = self.stream.as_mut()?;
        let Some(segment) = &mut stream.segment else {
            let (segment, place) = Segment::begin(stamp, length, arrived, self.end);
            stream.segment = Some(segment);
            self.counts.segments += 1;
            return Some(place);
        };
        if order == Arrival::Newest {
            return match segment.place_newest(stamp, steps, length, arrived, self.end) {
                Placed::At(place) => Some(place),
                Placed::Restarted(place) => {
                    self.counts.segments += 1;
                    Some(place)
                }
            };
        }
        let place = segment.place_overtaken(stamp);
        if place.is_none() {
            // Its stamp is of no place that is still open.
            self.note_late();
        }
        place
    }

    /// A packet that was counted as taken came too late to be heard.
    pub(crate) fn note_late(&mut self) {
        self.counts.packets -= 1;
        self.counts.late += 1;
    }
}
