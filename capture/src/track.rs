//! One track: from packets of the source that is heard to samples with a place.
//!
//! Called by [`crate::call`]; calls [`crate::source`], [`crate::payload`], [`crate::sequence`],
//! [`crate::segment`] and [`crate::event`].

mod quality;
mod straggler;

use std::net::SocketAddr;
use std::sync::Arc;

use reeld_model::{MediaPlace, SAMPLE_RATE, TrackStats};
use serde::{Deserialize, Serialize};

use crate::decode::Decoders;
use crate::event::{Event, Events};
use crate::fill::Gap;
use crate::order::Order;
use crate::pace::Pace;
use crate::packet::{RtpPacket, SenderReport};
use crate::payload::{Name, Payload, PayloadMap};
use crate::segment::{self, Known, Move, Segment};
use crate::sequence::{Arrival, Sequence};
use crate::source::Source;
use crate::srtp::Srtp;

/// The length of a packet that cannot be decoded before any other was seen, in milliseconds.
const USUAL_MS: i64 = 20;

/// Places of packets that follow each other may be this far apart where their samples' rate and the
/// timeline's have no whole ratio.
const ROUNDING: i64 = 2;

/// The end of a track that had no sound yet.
const NOWHERE: MediaPlace = MediaPlace(i64::MIN);

/// A track of an open call.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TrackState {
    /// The RTP port.
    pub(crate) port: u16,
    /// Its keys, once an offer had any.
    #[serde(default)]
    pub(crate) srtp: Option<Box<Srtp>>,
    pub(crate) source: Source,
    /// Shared by all tracks that nothing was offered for.
    #[serde(with = "crate::payload::kept")]
    pub(crate) payloads: Arc<PayloadMap>,
    /// What waits for packets that it has overtaken.
    pub(crate) order: Order,
    decoders: Decoders,
    /// Samples a second of its places: the call's.
    rate_hz: u32,
    /// The codec of the last packet of sound, by its SDP name; and all so far, in the order of their
    /// coming.
    codec: Option<Name>,
    codecs: Vec<Name>,
    /// The payload type of the last packet of sound.
    sound_type: Option<u8>,
    counts: TrackStats,
    stream: Option<Stream>,
    /// The stream before it, whose last packets may still come.
    before: Option<Box<Stream>>,
    /// Behind the last sample of all segments so far.
    end: MediaPlace,
    usual_samples: i64,
    /// Samples of the longest packet so far.
    longest: i64,
    /// Sound that was placed is to be moved, before anything else is written; and the end of the track
    /// then, which what is yet to be written is not part of.
    moved: Option<(Move, MediaPlace)>,
    /// Where an event stands, in which no sound is heard.
    muted: Option<(MediaPlace, MediaPlace)>,
    pace: Pace,
    /// Interarrival jitter in sixteenths of a sample (RFC 3550 §A.8).
    jitter: i64,
    /// What is known of the sender from the streams before.
    known: Known,
    /// A report whose packets have not come yet, from where it came, and the place of its arrival.
    report: Option<(SenderReport, SocketAddr, MediaPlace)>,
    /// Payload types that could not be decoded, one bit each.
    undecodable: u128,
}

/// The stream of one SSRC.
#[derive(Debug, Serialize, Deserialize)]
struct Stream {
    sequence: Sequence,
    segment: Option<Segment>,
    events: Events,
    /// Whether something came since the last sound that explains its absence.
    quiet: bool,
    last_lateness: Option<i64>,
}

/// What a packet holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content<'a> {
    /// Sound.
    Sound {
        place: MediaPlace,
        /// None for what cannot be decoded.
        samples: &'a [i16],
        /// Its time in samples.
        length: i64,
        /// Where the sound before it ended, and why there is none between, if it came in order.
        gap: Option<(MediaPlace, Gap)>,
    },
    /// Comfort noise from this place on, if it is known.
    Noise(Option<MediaPlace>),
    /// A part of an event: a key, if this is its first packet; and where it stands, if that is known.
    Event {
        event: Event,
        place: Option<MediaPlace>,
    },
    /// Nothing to be heard.
    Nothing,
}

impl TrackState {
    pub(crate) fn new(port: u16, payloads: Arc<PayloadMap>, rate_hz: u32) -> Self {
        let usual_samples = USUAL_MS * i64::from(rate_hz) / 1_000;
        Self {
            port,
            srtp: None,
            source: Source::default(),
            payloads,
            order: Order::default(),
            decoders: Decoders::new(rate_hz),
            rate_hz,
            codec: None,
            codecs: Vec::new(),
            sound_type: None,
            counts: TrackStats::default(),
            stream: None,
            before: None,
            end: NOWHERE,
            usual_samples,
            longest: usual_samples,
            moved: None,
            muted: None,
            pace: Pace::default(),
            jitter: 0,
            known: Known::default(),
            report: None,
            undecodable: 0,
        }
    }

    /// Says the call's rate, before the first sound.
    pub(crate) fn set_rate(&mut self, rate_hz: u32) {
        self.rate_hz = rate_hz;
        self.decoders = Decoders::new(rate_hz);
        self.usual_samples = USUAL_MS * i64::from(rate_hz) / 1_000;
        self.longest = self.usual_samples;
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

    /// What is to be moved before anything is written, once.
    pub(crate) fn take_move(&mut self) -> Option<(Move, MediaPlace)> {
        self.moved.take()
    }

    /// From where on places may still move, if they may.
    pub(crate) fn held_from(&self) -> Option<MediaPlace> {
        self.segment()?.held_from()
    }

    /// Decides about sound whose place may still move: at once, or if it has waited long enough at
    /// the place `now`.
    pub(crate) fn decide(&mut self, now: Option<MediaPlace>) {
        let Some(segment) = self
            .stream
            .as_mut()
            .and_then(|stream| stream.segment.as_mut())
        else {
            return;
        };
        if now.is_none_or(|now| segment.is_overdue(now)) {
            let (moved, segments) = segment.decide();
            self.note_moved(moved, segments);
        }
    }

    /// Notes a sender report, while `ssrc` is heard. One of a stream that is yet to be trusted waits for
    /// it.
    pub(crate) fn note_report(
        &mut self,
        (report, from, arrived): (SenderReport, SocketAddr, MediaPlace),
        ssrc: u32,
    ) {
        let segment = self
            .stream
            .as_mut()
            .and_then(|stream| stream.segment.as_mut());
        let placed = segment
            .filter(|_| report.ssrc == ssrc)
            .is_some_and(|segment| {
                let samples = (u128::from(report.ntp) * u128::from(self.rate_hz)) >> 32;
                let ntp = i64::try_from(samples).unwrap_or(i64::MAX);
                segment.note_report(ntp, report.stamp, arrived)
            });
        self.report = (!placed).then_some((report, from, arrived));
    }

    fn segment(&self) -> Option<&Segment> {
        self.stream.as_ref()?.segment.as_ref()
    }

    /// Samples of its longest packet so far.
    pub(crate) fn longest(&self) -> i64 {
        self.longest
    }

    /// By how many samples its sender is behind its places now.
    pub(crate) fn lag(&self) -> i64 {
        self.segment().map_or(0, Segment::lag)
    }

    /// Whether the sender's own clock tells where its sound belongs.
    pub(crate) fn is_reported(&self) -> bool {
        self.segment().is_some_and(Segment::is_reported)
    }

    /// The codec of the last packet of sound, by its SDP name.
    pub(crate) fn codec(&self) -> Option<&'static str> {
        self.codec.map(Name::as_str)
    }

    /// The payload type of the last packet of sound, also where that cannot be decoded.
    pub(crate) fn sound_type(&self) -> Option<u8> {
        self.sound_type
    }

    /// What is known of the sender so far.
    fn known(&self) -> Known {
        let known = self.segment().map(Segment::known).unwrap_or_default();
        Known {
            ntp_offset: known.ntp_offset.or(self.known.ntp_offset),
            drift_ppb: known.drift_ppb.or(self.known.drift_ppb),
            squeezes: known.squeezes || self.known.squeezes,
        }
    }

    /// Keeps sound out of a range, since an event stands there.
    pub(crate) fn mute(&mut self, from: MediaPlace, to: MediaPlace) {
        self.muted = match self.muted {
            Some((first, last)) if from <= last && first <= to => {
                Some((first.min(from), last.max(to)))
            }
            _ => Some((from, to)),
        };
    }

    fn note_moved(&mut self, moved: Option<Move>, segments: u64) {
        self.counts.segments += segments;
        if let Some(moved) = moved.filter(|moved| self.end > moved.from) {
            self.end = self.end + moved.by;
            self.moved = Some((moved, self.end));
        }
    }

    /// Begins a stream: the next packet is its first, wherever the last one was.
    pub(crate) fn begin_stream(&mut self, first_sequence: u16) {
        self.decide(None);
        self.known = self.known();
        self.pace = Pace::default();
        self.decoders.begin();
        self.counts.lost += self
            .stream
            .as_ref()
            .map_or(0, |stream| stream.sequence.lost());
        self.before = self.stream.take().map(Box::new);
        self.stream = Some(Stream {
            sequence: Sequence::new(first_sequence),
            segment: None,
            events: Events::default(),
            quiet: false,
            last_lateness: None,
        });
    }

    /// Takes a packet of the source that is heard, which arrived at the place `arrived`.
    pub(crate) fn take<'a>(
        &mut self,
        packet: &RtpPacket<'_>,
        arrived: MediaPlace,
        scratch: &'a mut Vec<i16>,
    ) -> Content<'a> {
        if self.stream.is_none() {
            self.begin_stream(packet.sequence);
        }
        let Some(stream) = &mut self.stream else {
            return Content::Nothing;
        };
        let number = stream.sequence.extended(packet.sequence);
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
        let decoded = match payload {
            Some(Payload::TelephoneEvent) => {
                self.counts.events += 1;
                let is_first = !std::mem::replace(&mut stream.quiet, true);
                let event = stream.events.read(packet.timestamp, packet.payload);
                if let Some((event, segment)) = event.zip(stream.segment.as_mut())
                    && is_first
                    && order == Arrival::Newest
                    && !event.is_over
                {
                    segment.note_quiet(number, packet.timestamp, event.length, arrived);
                }
                let segment = stream.segment.as_ref();
                let place = segment.and_then(|segment| segment.place_of(packet.timestamp));
                return event.map_or(Content::Nothing, |mut event| {
                    // Its clock is that of the sound beside it (RFC 4733 §2.1).
                    event.length = segment.map_or(0, |segment| segment.in_samples(event.length));
                    Content::Event { event, place }
                });
            }
            Some(Payload::ComfortNoise) => {
                self.counts.comfort_noise += 1;
                if order != Arrival::Newest {
                    return Content::Nothing;
                }
                let is_first = !std::mem::replace(&mut stream.quiet, true);
                if let Some(segment) = stream.segment.as_mut().filter(|_| is_first) {
                    segment.note_quiet(number, packet.timestamp, 0, arrived);
                }
                let segment = stream.segment.as_ref();
                return Content::Noise(
                    segment.and_then(|segment| segment.place_of(packet.timestamp)),
                );
            }
            Some(payload) => {
                self.sound_type = Some(packet.payload_type);
                let name = Name::of(payload);
                if self.codec != Some(name) {
                    self.codec = Some(name);
                    if !self.codecs.contains(&name) {
                        self.codecs.push(name);
                    }
                }
                if order != Arrival::Newest && self.decoders.needs_order(payload) {
                    // What it sounds like depended on those that have gone on without it.
                    self.note_late();
                    return Content::Nothing;
                }
                let lost = steps > 1;
                let stamp = packet.timestamp;
                self.decoders
                    .decode(payload, packet.payload, stamp, lost, scratch)
            }
            None => {
                self.sound_type = Some(packet.payload_type);
                None
            }
        };
        // Of the samples, how many belong in front of the packet; and its time.
        let before = decoded.unwrap_or(0);
        let mut length = if decoded.is_some() {
            signed(scratch.len() - before)
        } else {
            scratch.clear();
            self.counts.undecodable += 1;
            self.undecodable |= 1 << (packet.payload_type & 0x7F);
            let own = (self.payloads).foreign_samples(packet.payload_type, packet.payload.len());
            own.map_or(self.usual_samples, |samples| {
                samples * i64::from(self.rate_hz) / i64::from(SAMPLE_RATE)
            })
        };
        let before_length = signed(before);
        if length == 0 {
            return Content::Nothing;
        }
        let Some(payload) = payload else {
            // The clock of its stamps is not known, and silence needs no exact place.
            let behind = self.end;
            self.end = behind.max(arrived);
            let follows = order == Arrival::Newest && behind != NOWHERE;
            return Content::Sound {
                place: arrived + -length,
                samples: &[],
                length,
                gap: follows.then_some((behind, Gap::Quiet)),
            };
        };
        let placed = segment::Packet {
            stamp: packet.timestamp,
            number,
            steps,
            samples: length,
            arrived,
            behind: self.end,
        };
        if order != Arrival::Newest {
            let segment = stream.segment.as_mut();
            let Some(place) = segment.and_then(|segment| {
                let place = segment.place_overtaken(&placed)?;
                (!segment.is_ahead(place, length, arrived)).then_some(place)
            }) else {
                // Its stamp is of no place that is still open.
                self.note_late();
                return Content::Nothing;
            };
            self.end = self.end.max(place + length);
            let samples = &mut scratch[before..];
            self.silence_muted(place, samples);
            return Content::Sound {
                place,
                samples,
                length,
                gap: None,
            };
        }
        let Some(mut place) = self.place(&placed, payload.clock_hz()) else {
            self.note_late();
            return Content::Nothing;
        };
        let is_of = |(report, ..): &mut (SenderReport, _, _)| report.ssrc == packet.ssrc;
        if let Some((report, from, arrived)) = self.report.take_if(is_of)
            && self.source.is_reporter(from, true)
        {
            self.note_report((report, from, arrived), packet.ssrc);
        }
        let Some(stream) = &mut self.stream else {
            return Content::Nothing;
        };
        let is_quiet = std::mem::take(&mut stream.quiet);
        let gap = if steps > 1 && !is_quiet {
            Gap::Lost
        } else {
            Gap::Quiet
        };
        let behind = if self.end == NOWHERE { place } else { self.end };
        if decoded.is_some() {
            self.usual_samples = length;
            self.longest = self.longest.max(length);
            length += self.keep_pace(before, scratch);
        }
        self.end = self.end.max(place + length);
        // What belongs in front of the packet is written again, or for the first time; not where
        // the packet turned out to stand elsewhere.
        let joins = place + -before_length <= behind + ROUNDING;
        let own = if joins { 0 } else { before };
        let in_front = signed(before - own);
        (place, length) = (place + -in_front, length + in_front);
        let samples = &mut scratch[own..];
        self.silence_muted(place, samples);
        Content::Sound {
            place,
            samples,
            length,
            gap: Some((behind, gap)),
        }
    }

    /// Places a packet that came in order, and learns from its arrival. None if it came too far ahead
    /// of time.
    fn place(&mut self, packet: &segment::Packet, clock_hz: u32) -> Option<MediaPlace> {
        if self
            .segment()
            .is_some_and(|segment| segment.clock_hz() != clock_hz)
        {
            // Another codec's stamps tell nothing by this clock.
            self.decide(None);
            self.known = self.known();
            self.pace = Pace::default();
            if let Some(stream) = &mut self.stream {
                (stream.segment, stream.last_lateness) = (None, None);
            }
        }
        let Some(stream) = &mut self.stream else {
            return Some(packet.arrived);
        };
        let Some(segment) = &mut stream.segment else {
            let (segment, place) = Segment::begin(packet, self.rate_hz, clock_hz, &self.known);
            let is_ahead = segment.is_ahead(place, packet.samples, packet.arrived);
            stream.segment = Some(segment);
            return (!is_ahead).then_some(place);
        };
        if segment.is_behind_pause(packet) {
            // Where there is no sound nothing is resampled.
            let by = self.pace.take_owed() + segment.drift_over_pause(packet.arrived);
            segment.correct(by);
        }
        let placed = segment.place_newest(packet);
        let is_ahead = segment.is_ahead(placed.place, packet.samples, packet.arrived);
        let lateness = segment.lateness_of_newest();
        if let Some(last) = stream.last_lateness.replace(lateness) {
            // RFC 3550 §A.8, in sixteenths.
            self.jitter += (lateness - last).abs() - ((self.jitter + 8) >> 4);
        }
        if let Some(by) = segment.note_drift() {
            self.pace.owe(by);
        }
        if placed.moved.is_some() || placed.segments > 0 {
            stream.last_lateness = None;
            self.pace = Pace::default();
            self.note_moved(placed.moved, placed.segments);
        }
        (!is_ahead).then_some(placed.place)
    }

    /// Makes a packet, whose own samples begin after `before` of others, longer or shorter where those
    /// behind it would be out of pace; by how many samples.
    fn keep_pace(&mut self, before: usize, scratch: &mut Vec<i16>) -> i64 {
        let step = self.pace.keep(self.rate_hz, before, scratch);
        let segment = self
            .stream
            .as_mut()
            .and_then(|stream| stream.segment.as_mut());
        if let Some(segment) = segment.filter(|_| step != 0) {
            segment.correct(step);
        }
        self.counts.corrected += step.unsigned_abs();
        step
    }

    /// No sound where an event stands.
    fn silence_muted(&self, place: MediaPlace, samples: &mut [i16]) {
        let Some((from, to)) = self.muted else {
            return;
        };
        let index = |edge: MediaPlace| {
            usize::try_from(edge - place)
                .unwrap_or(0)
                .min(samples.len())
        };
        let (first, last) = (index(from), index(to));
        if first < last {
            samples[first..last].fill(0);
        }
    }

    /// Whether a packet of this type must wait for those that it has overtaken.
    pub(crate) fn needs_order(&self, payload_type: u8) -> bool {
        let payload = self.payloads.get(payload_type);
        payload.is_some_and(|payload| self.decoders.needs_order(payload))
    }

    /// A packet that was counted as taken came too late to be heard.
    pub(crate) fn note_late(&mut self) {
        self.counts.packets -= 1;
        self.counts.late += 1;
    }
}

fn signed(samples: usize) -> i64 {
    i64::try_from(samples).expect("a packet's")
}
