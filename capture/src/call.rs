//! One call: its tracks, its timeline, its recordings.
//!
//! Called by `ingest` (and by tests and fuzzers, with no socket); calls everything else here.
//! Contract: one input, then one full drain of [`Call::poll_output`]. Time only comes in as
//! arguments; `now` of a command or a tick is not before the arrival of any datagram given before
//! it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use reeld_codec::comfort::Noise;
use reeld_model::{
    CallState, CallView, ChangeRecording, EndedBy, MediaPlace, Mono, OpenCall, RecordingRef,
    RecordingView, Refusal, SAMPLE_RATE, SourceRule, StartRecording, StreamView, Track,
    TrackQuality, TrackStats,
};

use crate::frames::BLOCK_AGE;
use crate::inband::Detector;
use crate::output::Output;
use crate::packet::{self, Datagram, RtpPacket, SenderReport};
use crate::payload::PayloadMap;
use crate::recording::{Recording, Report};
use crate::sdp::Offer;
use crate::segment::Move;
use crate::settings::{Rate, Settings};
use crate::source::Admission;
use crate::timeline::{Sound, Timeline};
use crate::track::{Content, TrackState};

use beep::Beeps;

pub use kept::{Given, KeepError, Kept};
use serde::{Deserialize, Serialize};

/// How long after a trusted BYE no RTP may come for it to be believed (contract.md, "Control").
const BYE_DOUBT: Duration = Duration::from_secs(2);

/// Audio flows while the last packet is not older than this.
const FLOWING: Duration = Duration::from_secs(1);

/// How much older than a block and the reorder window a block's first frame may be: a packet's length
/// and a tick, so that blocks of a call that flows are whole.
const BLOCK_DELAY: Duration = Duration::from_millis(50);

/// The port of a track that a datagram came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// The even one.
    Rtp,
    /// The odd one.
    Rtcp,
}

/// Which stream of its source a packet is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    /// The one that is heard.
    Stream,
    /// The one before it.
    StreamBefore,
}

/// An open call.
#[derive(Debug, Serialize, Deserialize)]
pub struct Call {
    open: OpenCall,
    /// Those of the process that has the call.
    #[serde(skip, default = "Settings::nobodys")]
    settings: Arc<Settings>,
    opened_at_ms: i64,
    tracks: [Option<TrackState>; 2],
    timeline: Timeline,
    /// Whether the timeline's rate is decided: nothing is placed before.
    has_rate: bool,
    /// The samples of the packet that is being taken.
    #[serde(skip)]
    scratch: Vec<i16>,
    /// The datagram that is being taken, without its protection.
    #[serde(skip)]
    clear: Vec<u8>,
    /// When a packet of a source that is heard last came, on each track.
    last_sound: [Option<Mono>; 2],
    /// The last key of each track and when it came, so that one that is both an event and a sound is
    /// one key.
    last_key: [Option<keys::Pressed>; 2],
    /// When anything last happened that keeps the call open.
    last_sign: Mono,
    /// When the last packet of a source that is heard came.
    last_packet: Mono,
    /// When a trusted BYE came that is still in doubt.
    bye: Option<Mono>,
    /// Listen for keys in the sound, once a recording asks for them.
    detectors: [Option<Box<Detector>>; 2],
    /// The last offer, and how often it and those before it were answered.
    offer: Option<Box<Offer>>,
    answers: u64,
    answer: Option<String>,
    beeps: Beeps,
    over: bool,
}

impl Call {
    /// Opens a call whose tracks listen on these RTP ports, indexed by [`Track::index`].
    ///
    /// # Errors
    ///
    /// [`Refusal::Sdp`] for an offer that cannot be recorded, [`Refusal::Source`] where nothing says
    /// which source may be heard.
    pub fn open(
        open: OpenCall,
        ports: [Option<u16>; 2],
        settings: Arc<Settings>,
        now: Mono,
        now_unix_ms: i64,
    ) -> Result<Self, Refusal> {
        let track = |port| TrackState::new(port, PayloadMap::usual(), SAMPLE_RATE);
        let mut call = Self {
            opened_at_ms: now_unix_ms,
            tracks: ports.map(|port| port.map(track)),
            has_rate: settings.rate == Rate::Narrow,
            timeline: Timeline::new(now, SAMPLE_RATE, settings.conceal),
            scratch: Vec::new(),
            clear: Vec::new(),
            last_sound: [None; 2],
            last_key: [None; 2],
            last_sign: now,
            last_packet: now,
            bye: None,
            detectors: [None, None],
            offer: None,
            answers: 0,
            answer: None,
            beeps: Beeps::default(),
            over: false,
            settings,
            open,
        };
        let (sdp, source) = (call.open.sdp.take(), call.open.source);
        if sdp.is_some() || source.is_some() {
            call.update(sdp.as_deref(), source)?;
        }
        let unknown = |track: &TrackState| !track.source.has_rule();
        if call.settings.allow.is_empty() && call.tracks.iter().flatten().any(unknown) {
            return Err(Refusal::Source(
                "neither Sdp nor RemoteAddress says where RTP comes from, and media.allow is empty"
                    .to_owned(),
            ));
        }
        Ok(call)
    }

    /// Takes a datagram without protection.
    fn handle_clear(
        &mut self,
        track: Track,
        port: Port,
        from: SocketAddr,
        arrival: Mono,
        datagram: &[u8],
    ) {
        let Some(state) = &mut self.tracks[track.index()] else {
            return;
        };
        let packet = match packet::read(datagram) {
            Datagram::Rtp(packet) if port == Port::Rtp => packet,
            Datagram::Rtp(_) | Datagram::Malformed => {
                state.counts().malformed += 1;
                return;
            }
            Datagram::Stun => {
                state.counts().stun += 1;
                return;
            }
            Datagram::Rtcp(compound) => {
                state.counts().rtcp += 1;
                let Some(heard) = state.source.heard() else {
                    return;
                };
                let report = packet::sender_report(compound);
                let says_bye = packet::says_bye(compound, heard.ssrc);
                let names_it = says_bye || report.is_some_and(|report| report.ssrc == heard.ssrc);
                let is_reporter = state.source.is_reporter(from, names_it);
                let is_heard = |report: &SenderReport| {
                    is_reporter || report.ssrc != heard.ssrc && heard.address.ip() == from.ip()
                };
                if let Some(report) = report.filter(is_heard) {
                    let arrived = self.timeline.place(arrival);
                    state.note_report((report, from, arrived), heard.ssrc);
                }
                if says_bye && is_reporter {
                    self.bye.get_or_insert(arrival);
                }
                return;
            }
        };
        match state
            .source
            .admit(from, arrival, &packet, &self.settings.allow)
        {
            Admission::Heard => self.receive(track, arrival, &packet),
            Admission::Straggler => self.take(track, arrival, &packet, Of::StreamBefore),
            Admission::Foreign => state.counts().foreign += 1,
            Admission::Begins { held, continues } => {
                // What was held was counted as foreign until now.
                let counts = state.counts();
                counts.foreign = counts.foreign.saturating_sub(held.len() as u64);
                let reread = |datagram| match packet::read(datagram) {
                    Datagram::Rtp(packet) => Some(packet),
                    Datagram::Rtcp(_) | Datagram::Stun | Datagram::Malformed => None,
                };
                let first = held.first().and_then(|first| reread(&first.datagram));
                if !continues {
                    self.release_all();
                    let Some(state) = &mut self.tracks[track.index()] else {
                        return;
                    };
                    state.order.begin();
                    state.begin_stream(first.unwrap_or(packet).sequence);
                }
                for held in &held {
                    if let Some(packet) = reread(&held.datagram) {
                        self.receive(track, held.arrival, &packet);
                    }
                }
                self.receive(track, arrival, &packet);
            }
        }
    }

    /// Counts datagrams that the kernel dropped for want of room (SO_RXQ_OVFL) since the last call.
    pub fn handle_kernel_drops(&mut self, track: Track, dropped: u32) {
        if let Some(state) = &mut self.tracks[track.index()] {
            state.counts().kernel_dropped += u64::from(dropped);
        }
    }

    /// Counts datagrams of strangers that the kernel dropped by a filter for [`Self::only_source`].
    pub fn handle_strangers(&mut self, track: Track, dropped: u32) {
        if let Some(state) = &mut self.tracks[track.index()] {
            state.counts().foreign += u64::from(dropped);
        }
    }

    /// Whose RTP alone a track can hear until a second after `now`: the kernel may drop what others send.
    /// Of RTCP that is not of this address nothing is believed. None where another may be listened to by then.
    #[must_use]
    pub fn only_source(&self, track: Track, now: Mono) -> Option<SourceRule> {
        self.tracks[track.index()].as_ref()?.source.only(now)
    }

    /// Starts a recording.
    ///
    /// # Errors
    ///
    /// [`Refusal::TrackNotOpen`]; [`Refusal::Beep`] where the caller cannot hear one.
    pub fn start(&mut self, now: Mono, start: StartRecording) -> Result<RecordingView, Refusal> {
        let wanted = |track: &Track| start.track.has(*track);
        for track in Track::ALL.into_iter().filter(wanted) {
            if self.tracks[track.index()].is_none() {
                return Err(Refusal::TrackNotOpen(track));
            }
        }
        self.check_beep(&start)?;
        self.release_all();
        self.last_sign = now;
        let (at, beep) = (self.timeline.recordings.len(), start.beep);
        let (stats, rate_hz) = (self.stats(), self.timeline.rate_hz());
        let recording = Recording::new(start, &self.settings, now, stats, rate_hz);
        self.timeline.recordings.push(recording);
        match beep {
            Some(seed) => self.want_beep(seed, now),
            None => self.begin_where_sound_flows(at, now),
        }
        Ok(self.timeline.recordings[at].view())
    }

    /// Begins a recording at `now` if sound of it flows already; else its first packet begins it.
    fn begin_where_sound_flows(&mut self, at: usize, now: Mono) {
        let track = self.timeline.recordings[at].start().track;
        let mut of_it = Track::ALL.into_iter().filter(|one| track.has(*one));
        let flows = of_it.any(|track| {
            self.last_sound[track.index()].is_some_and(|last| now.since(last) < FLOWING)
        });
        if flows {
            let place = self.earliest(now);
            let instant = self.timeline.instant(place);
            self.timeline.recordings[at].begin_at_request(place, instant);
        }
    }

    /// Changes a recording.
    ///
    /// # Errors
    ///
    /// [`Refusal::RecordingUnknown`] (also for one that has ended), [`Refusal::CurrentIsAmbiguous`],
    /// [`Refusal::IllegalStep`].
    pub fn change(
        &mut self,
        now: Mono,
        which: RecordingRef,
        change: ChangeRecording,
    ) -> Result<RecordingView, Refusal> {
        self.release_all();
        let at = self.find(which)?;
        self.last_sign = now;
        self.decide(None);
        let stats = self.stats();
        let place = match change {
            ChangeRecording::Stop(ended_by) => {
                let (to, report) = (self.end(now), report(&self.tracks));
                return Ok(self.timeline.finish(at, to, ended_by, now, report));
            }
            ChangeRecording::Pause(_) => self.earliest(now),
            // What was received before the resume was said before it.
            ChangeRecording::Resume => self.latest(now),
        };
        let recording = &mut self.timeline.recordings[at];
        recording.change(change, place, now, stats)?;
        Ok(recording.view())
    }

    /// Settles what the reorder window has passed, and looks to the deadlines.
    pub fn handle_tick(&mut self, now: Mono) {
        self.handle_beep(now);
        self.release_overdue(now);
        self.decide(Some(now));
        let settled = self.open_from(now);
        let timeline = &mut self.timeline;
        let settled = settled.min(timeline.mixer.written_end());
        timeline.settle(settled, now, &|| report(&self.tracks));
        let (scale, place) = (timeline.scale(), timeline.place(now));
        let most = scale.samples_in(self.settings.reorder_window + BLOCK_AGE + BLOCK_DELAY);
        let most = u64::try_from(most).unwrap_or(0);
        for recording in &mut timeline.recordings {
            recording.handle_tick(now, place, most, &mut timeline.out);
        }
        self.look_to_deadlines(now);
    }

    /// The next output, if there is one.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.timeline.out.pop_front()
    }

    /// Whether nothing is to be expected of the call any more: its ports can be freed.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Recordings that run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.timeline.recordings.len()
    }

    /// Counts of each track since the call was opened, indexed by [`Track::index`].
    #[must_use]
    pub fn stats(&self) -> [TrackStats; 2] {
        self.timeline.with_made(stats(&self.tracks))
    }

    /// The call as it is.
    #[must_use]
    pub fn view(&self) -> CallView {
        let stream = |track: Track| {
            let state = self.tracks[track.index()].as_ref()?;
            let heard = state.source.heard();
            Some(StreamView {
                track,
                address: self.settings.advertise,
                port: state.port,
                source: heard.map(|heard| heard.address),
                ssrc: heard.map(|heard| heard.ssrc),
                codec: state.codec(),
                stats: self.stats()[track.index()],
            })
        };
        CallView {
            account: self.open.account,
            call: self.open.call,
            external_id: self.open.external_id.clone(),
            from: self.open.from.clone(),
            to: self.open.to.clone(),
            state: if self.over {
                CallState::Completed
            } else {
                CallState::InProgress
            },
            opened_at_ms: self.opened_at_ms,
            streams: Track::ALL.into_iter().filter_map(stream).collect(),
            rate_hz: self.timeline.rate_hz(),
            recordings: self
                .timeline
                .recordings
                .iter()
                .map(Recording::view)
                .collect(),
            sdp: self.answer.clone(),
        }
    }

    /// Takes a packet in its turn.
    fn take(&mut self, track: Track, arrival: Mono, packet: &RtpPacket<'_>, of: Of) {
        let Some(state) = &mut self.tracks[track.index()] else {
            return;
        };
        self.last_sign = self.last_sign.max(arrival);
        self.last_packet = self.last_packet.max(arrival);
        if self.bye.is_some_and(|bye| arrival.since(bye) > BYE_DOUBT) {
            self.bye = None;
        }
        let arrived = self.timeline.place(arrival);
        let content = match of {
            Of::Stream => state.take(packet, arrived, &mut self.scratch),
            Of::StreamBefore => state.take_straggler(packet, arrived, &mut self.scratch),
        };
        if let Some((moved, end)) = state.take_move() {
            follow(&mut self.timeline, &self.tracks, track, moved, end);
        }
        let (place, samples, length, gap) = match content {
            Content::Sound {
                place,
                samples,
                length,
                gap,
            } => (place, samples, length, gap),
            Content::Nothing => return,
            Content::Noise(place) => return self.begin_noise(track, place, packet.payload),
            Content::Event { event, place } => {
                return self.note_event(track, event, place, arrival);
            }
        };
        self.last_sound[track.index()] = self.last_sound[track.index()].max(Some(arrival));
        let window = self.settings.reorder_window;
        let scale = self.timeline.scale();
        let open_from = || place::open_from(&self.tracks, scale, window, arrival);
        let sound = Sound {
            track,
            place,
            samples,
            length,
            gap,
        };
        let late = self
            .timeline
            .write(&sound, arrival, &open_from, &|| report(&self.tracks));
        let rate_hz = self.timeline.rate_hz();
        let key = match gap {
            Some((behind, _)) if self.timeline.listens_for_keys(track) => self.detectors
                [track.index()]
            .get_or_insert_with(|| Box::new(Detector::new(rate_hz)))
            .note(behind, place, samples),
            _ => None,
        };
        if let Some(key) = key {
            self.press(track, key, keys::By::Sound, arrival);
        }
        if late && let Some(state) = &mut self.tracks[track.index()] {
            state.note_late();
        }
    }

    /// Comfort noise from `place` on, which is the sender's own silence.
    fn begin_noise(&mut self, track: Track, place: Option<MediaPlace>, payload: &[u8]) {
        if let Some((place, noise)) = place.zip(Noise::new(payload)) {
            let rate_hz = self.timeline.rate_hz();
            self.timeline.fills[track.index()].begin_noise(place, noise, rate_hz);
        }
    }

    /// Decides about all sound whose place may still move: all of it, or what has waited long
    /// enough at `now`.
    fn decide(&mut self, now: Option<Mono>) {
        let now = now.map(|now| self.timeline.place(now));
        for track in Track::ALL {
            let Some(state) = &mut self.tracks[track.index()] else {
                continue;
            };
            state.decide(now);
            if let Some((moved, end)) = state.take_move() {
                follow(&mut self.timeline, &self.tracks, track, moved, end);
            }
        }
    }

    /// The recording's place in the list.
    fn find(&self, which: RecordingRef) -> Result<usize, Refusal> {
        let recordings = &self.timeline.recordings;
        match which {
            RecordingRef::Sid(sid) => recordings
                .iter()
                .position(|recording| recording.start().sid == sid)
                .ok_or(Refusal::RecordingUnknown),
            RecordingRef::Current => match recordings.len() {
                0 => Err(Refusal::RecordingUnknown),
                1 => Ok(0),
                several => Err(Refusal::CurrentIsAmbiguous(several)),
            },
        }
    }
}

/// Moves sound of a track that has been placed: see [`crate::segment::Move`]. The track ends at `end`
/// then.
fn follow(
    timeline: &mut Timeline,
    tracks: &[Option<TrackState>; 2],
    track: Track,
    moved: Move,
    end: MediaPlace,
) {
    let to = end + -moved.by;
    // The other track's sound is all written; of this one's, what came with the move is not.
    let other = tracks[1 - track.index()].as_ref().map(TrackState::end);
    timeline.move_sound(track, moved, to, other.map_or(end, |other| end.max(other)));
}

/// Counts of each track, indexed by [`Track::index`].
fn stats(tracks: &[Option<TrackState>; 2]) -> [TrackStats; 2] {
    let of = |track: &Option<TrackState>| {
        track
            .as_ref()
            .map_or_else(TrackStats::default, TrackState::stats)
    };
    [of(&tracks[0]), of(&tracks[1])]
}

/// What a recording that ends now is told of its tracks.
fn report(tracks: &[Option<TrackState>; 2]) -> Report {
    let of = |track: &Option<TrackState>| {
        track
            .as_ref()
            .map_or_else(TrackQuality::default, TrackState::quality)
    };
    Report {
        stats: stats(tracks),
        quality: [of(&tracks[0]), of(&tracks[1])],
    }
}

mod beep;
mod ends;
mod kept;
mod keys;
mod offer;
mod place;
mod rate;
mod secure;
mod turns;

#[cfg(test)]
mod tests;
