//! The test bench: a call, a clock that only moves when told, and what comes out by recording.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use reeld_codec::g711::{self, Law};
use reeld_model::{
    AccountSid, CallSid, ChangeRecording, Channels, EndedBy, Mono, OpenCall, PauseBehavior,
    RecordingRef, RecordingSid, StartRecording, Summary, Track, TrackSelection,
};

use crate::{Call, Output, Port, Settings, Transmit};

/// When the bench's call is opened: not 0, so that nothing depends on it.
pub(super) const OPENED: Mono = Mono(7_000_000_000);

/// What came out of one recording.
#[derive(Debug, Default)]
pub(super) struct Taped {
    pub(super) samples: Vec<i16>,
    pub(super) channels: usize,
    pub(super) started: Option<Mono>,
    /// Frames a second, once it has started.
    pub(super) rate_hz: Option<u32>,
    pub(super) keep: u64,
    pub(super) summary: Option<Summary>,
    /// Frames that came as `Output::Silence`.
    pub(super) silence: u64,
}

impl Taped {
    pub(super) fn ended_by(&self) -> Option<EndedBy> {
        self.summary.as_ref().map(|summary| summary.ended_by)
    }

    pub(super) fn frames(&self) -> usize {
        self.samples.len() / self.channels.max(1)
    }

    /// One channel of the file.
    pub(super) fn channel(&self, channel: usize) -> Vec<i16> {
        self.samples
            .iter()
            .skip(channel)
            .step_by(self.channels)
            .copied()
            .collect()
    }

    /// The file without the silence around it.
    pub(super) fn sound(&self) -> Vec<i16> {
        let first = self
            .samples
            .iter()
            .position(|sample| *sample != 0)
            .unwrap_or(0);
        let last = self
            .samples
            .iter()
            .rposition(|sample| *sample != 0)
            .map_or(0, |last| last + 1);
        self.samples[first..last.max(first)].to_vec()
    }
}

/// A call under test.
pub(super) struct Bench {
    pub(super) call: Call,
    pub(super) now: Mono,
    pub(super) taped: BTreeMap<RecordingSid, Taped>,
    /// What was sent, and when.
    pub(super) sent: Vec<(Mono, Transmit)>,
    channels: BTreeMap<RecordingSid, usize>,
    next_tick: Mono,
}

pub(super) fn settings() -> Settings {
    Settings {
        reorder_window: Duration::from_millis(200),
        first_packet: Duration::from_secs(60),
        inactivity: Duration::from_secs(300),
        max_length: Duration::from_secs(12 * 3600),
        conceal: false,
        dtmf: crate::Dtmf::Silence,
        rate: crate::Rate::Narrow,
        allow: vec!["127.0.0.0/8".parse().unwrap()],
        advertise: "127.0.0.1".parse().unwrap(),
        secret: crate::Secret::default(),
    }
}

pub(super) fn open_call() -> OpenCall {
    OpenCall::new(
        AccountSid::from_bytes([1; 16]),
        CallSid::from_bytes([2; 16]),
    )
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(settings(), open_call())
    }

    pub(super) fn with(settings: Settings, open: OpenCall) -> Self {
        let ports = [Some(20_000), Some(20_002)];
        let call = Call::open(open, ports, Arc::new(settings), OPENED, 0).unwrap();
        Self {
            call,
            now: OPENED,
            taped: BTreeMap::new(),
            sent: Vec::new(),
            channels: BTreeMap::new(),
            next_tick: OPENED + Duration::from_millis(50),
        }
    }

    /// Moves the clock, ticking every 50 ms on the way, and when a beep has something due.
    pub(super) fn run_to(&mut self, at: Mono) {
        loop {
            let beep = self.call.beep_due().map(|due| due.max(self.now));
            let next = beep.map_or(self.next_tick, |due| due.min(self.next_tick));
            if next > at {
                break;
            }
            self.now = next;
            if next == self.next_tick {
                self.call.handle_tick(self.now);
                self.next_tick = self.next_tick + Duration::from_millis(50);
            } else {
                self.call.handle_beep(self.now);
            }
            self.drain();
        }
        self.now = self.now.max(at);
    }

    pub(super) fn run_for(&mut self, time: Duration) {
        self.run_to(self.now + time);
    }

    pub(super) fn send(&mut self, sender: &Sender, bytes: &[u8]) {
        self.call
            .handle_datagram(sender.track, Port::Rtp, sender.from, self.now, bytes);
        self.drain();
    }

    pub(super) fn start(&mut self, number: u8, start: StartRecording) -> RecordingSid {
        let sid = RecordingSid::from_bytes([number; 16]);
        self.channels
            .insert(sid, usize::from(start.channels.count()));
        self.call
            .start(self.now, StartRecording { sid, ..start })
            .unwrap();
        self.drain();
        sid
    }

    pub(super) fn change(&mut self, sid: RecordingSid, change: ChangeRecording) {
        self.call
            .change(self.now, RecordingRef::Sid(sid), change)
            .unwrap();
        self.drain();
    }

    pub(super) fn pause(&mut self, sid: RecordingSid, behavior: PauseBehavior) {
        self.change(sid, ChangeRecording::Pause(behavior));
    }

    pub(super) fn stop(&mut self, sid: RecordingSid) -> &Taped {
        self.change(sid, ChangeRecording::Stop(EndedBy::Stopped));
        &self.taped[&sid]
    }

    pub(super) fn drain(&mut self) {
        while let Some(datagram) = self.call.poll_transmit() {
            self.sent.push((self.now, datagram));
        }
        while let Some(output) = self.call.poll_output() {
            let sid = output.recording();
            let taped = self.taped.entry(sid).or_default();
            taped.channels = self.channels.get(&sid).copied().unwrap_or(1);
            assert!(taped.summary.is_none(), "nothing follows the end");
            match output {
                Output::Started { at, rate_hz, .. } => {
                    taped.rate_hz = Some(rate_hz);
                    assert!(taped.started.is_none() && taped.samples.is_empty());
                    taped.started = Some(at);
                }
                Output::Audio {
                    samples,
                    keep_frames,
                    ..
                } => {
                    assert!(taped.started.is_some() && !samples.is_empty());
                    taped.samples.extend(samples);
                    assert!(keep_frames >= taped.keep && keep_frames <= taped.frames() as u64);
                    taped.keep = keep_frames;
                }
                Output::Silence {
                    frames,
                    keep_frames,
                    ..
                } => {
                    assert!(taped.started.is_some() && frames > 0);
                    let zeros = usize::try_from(frames).unwrap() * taped.channels;
                    taped.samples.extend(std::iter::repeat_n(0, zeros));
                    taped.silence += frames;
                    assert!(keep_frames >= taped.keep && keep_frames <= taped.frames() as u64);
                    taped.keep = keep_frames;
                }
                Output::Ended { summary, .. } => {
                    assert_eq!(summary.frames, taped.keep);
                    assert_eq!(summary.rate_hz, taped.rate_hz.unwrap_or(summary.rate_hz));
                    taped
                        .samples
                        .truncate(usize::try_from(taped.keep).unwrap() * taped.channels);
                    taped.summary = Some(*summary);
                }
            }
        }
    }
}

/// A recording with nothing asked for.
pub(super) fn plain(channels: Channels, track: TrackSelection) -> StartRecording {
    StartRecording::new(RecordingSid::from_bytes([0; 16]), channels, track)
}

/// A sender of one track: its sound is a walk that never repeats soon and is never zero.
pub(super) struct Sender {
    pub(super) track: Track,
    pub(super) from: SocketAddr,
    pub(super) law: Law,
    pub(super) samples: usize,
    pub(super) ssrc: u32,
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
    pub(super) state: u32,
}

impl Sender {
    pub(super) fn new(track: Track) -> Self {
        let port = 40_000 + u16::try_from(track.index()).unwrap();
        Self {
            track,
            from: SocketAddr::from(([127, 0, 0, 1], port)),
            law: Law::Mu,
            samples: 160,
            ssrc: 0x1000 + u32::from(port),
            sequence: 65_530,
            timestamp: u32::MAX - 1_000,
            state: 0x9E37_79B9 ^ u32::from(port),
        }
    }

    pub(super) fn time(&self) -> Duration {
        Duration::from_micros(self.samples as u64 * 125)
    }

    /// The next packet, and the samples that a reference decoder makes of it.
    pub(super) fn next(&mut self) -> (Vec<u8>, Vec<i16>) {
        let payload: Vec<u8> = (0..self.samples)
            .map(|_| {
                self.state = self
                    .state
                    .wrapping_mul(1_664_525)
                    .wrapping_add(1_013_904_223);
                let [.., code] = self.state.to_be_bytes().map(|byte| byte & 0x3F);
                let [byte, ..] = self.state.to_be_bytes();
                // Loud codes alone: neither is digital silence.
                0x80 & byte | code & 0x2F
            })
            .collect();
        let mut samples = vec![0; payload.len()];
        g711::decode(self.law, &payload, &mut samples);
        (
            self.packet(if self.law == Law::Mu { 0 } else { 8 }, &payload),
            samples,
        )
    }

    /// A packet of any payload type; sequence and stamp go on.
    pub(super) fn packet(&mut self, payload_type: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x80, payload_type];
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.timestamp.to_be_bytes());
        bytes.extend(self.ssrc.to_be_bytes());
        bytes.extend(payload);
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self
            .timestamp
            .wrapping_add(u32::try_from(self.samples).unwrap());
        bytes
    }

    /// Sends `packets` in real time; the samples that were sent.
    pub(super) fn play(&mut self, bench: &mut Bench, packets: usize) -> Vec<i16> {
        let mut sent = Vec::new();
        for _ in 0..packets {
            bench.run_for(self.time());
            let (bytes, samples) = self.next();
            bench.send(self, &bytes);
            sent.extend(samples);
        }
        sent
    }
}
