//! Any packets, any times, any commands: bytes as a script for a call, and what no script may break.
//!
//! Called by `fuzz/` with bytes of libFuzzer's and by `network/tests/fuzz_short.rs` with seeded ones;
//! calls `reeld_capture::Call`. It fails where a rule is broken: nothing follows an end, frames add
//! up, no output is large, nothing is sent to who is not heard, and no file begins more than a reorder window
//! before its first packet (a burst was said before it came) or ends more than one behind the last. Every script ends, since its bytes and
//! its time are bounded.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use reeld_capture::{Call, Output, Port};
use reeld_model::{
    Beep, ChangeRecording, Channels, EndedBy, Mono, PauseBehavior, RecordingRef, RecordingSid,
    Rules, StartRecording, Track, TrackSelection, Trim,
};

use crate::play;

const TICK: Duration = Duration::from_millis(50);

/// Virtual time of a script: 10 minutes.
const MOST_TICKS: u32 = 12_000;

/// The reorder window, and what a tick and rounding add, in frames.
const WINDOW: u64 = 1_600 + 400 + 8;

/// Samples of an output at most: 10 s of two channels.
const MOST_SAMPLES: usize = 160_000;

/// Bytes of a datagram that is sent: what goes through any network.
const MOST_SENT: usize = 1_300;

const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
    m=audio 4000 RTP/AVP 0 8 13 101\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\n";

#[derive(Debug, Default)]
struct Taped {
    channels: u64,
    /// When its first frame was.
    begun: Option<Mono>,
    frames: u64,
    kept: u64,
    ended: bool,
}

#[derive(Debug, Default, Clone, Copy)]
struct Stream {
    ssrc: u32,
    sequence: u16,
    stamp: u32,
}

struct Chaos<'a> {
    script: &'a [u8],
    call: Call,
    now: Mono,
    ticks: u32,
    streams: [Stream; 2],
    taped: BTreeMap<RecordingSid, Taped>,
    first_arrival: Option<Mono>,
    /// The longest packet in samples: a byte is one at most two of them with G.711, events last longer.
    longest: u64,
}

/// Plays a script; the frames of all its files.
///
/// # Errors
/// A file that is longer than time.
///
/// # Panics
/// Where another rule is broken.
pub fn call(script: &[u8]) -> Result<u64, String> {
    let (call, now) = play::open();
    let mut chaos = Chaos {
        script,
        call,
        now,
        ticks: 0,
        streams: Default::default(),
        taped: BTreeMap::new(),
        first_arrival: None,
        longest: 0,
    };
    while !chaos.script.is_empty() {
        chaos.step();
    }
    chaos.call.complete(chaos.now, EndedBy::CallCompleted);
    chaos.drain();
    chaos.judge()
}

impl Chaos<'_> {
    fn byte(&mut self) -> u8 {
        let Some((byte, rest)) = self.script.split_first() else {
            return 0;
        };
        self.script = rest;
        *byte
    }

    fn word(&mut self) -> u32 {
        u32::from_be_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
    }

    fn step(&mut self) {
        match self.byte() % 16 {
            0 => self.raw(),
            1 => {
                let ticks = u32::from(self.byte());
                self.wait(ticks * ticks / 8);
            }
            2 => self.wait(1),
            3 => self.start(),
            4 => {
                let behavior = if self.byte() & 1 == 0 {
                    PauseBehavior::Skip
                } else {
                    PauseBehavior::Silence
                };
                self.change(ChangeRecording::Pause(behavior));
            }
            5 => self.change(ChangeRecording::Resume),
            6 => self.change(ChangeRecording::Stop(EndedBy::Stopped)),
            7 => self.rtcp(),
            8 => {
                let mut offer = OFFER.as_bytes().to_vec();
                let at = usize::from(self.byte()) % offer.len();
                offer[at] = self.byte();
                // Refusals are part of the play.
                let _ = self.call.update(std::str::from_utf8(&offer).ok(), None);
            }
            9 => {
                let dropped = self.word();
                self.call.handle_kernel_drops(Track::Inbound, dropped);
            }
            _ => self.rtp(),
        }
        self.drain();
    }

    fn wait(&mut self, ticks: u32) {
        for _ in 0..ticks.min(MOST_TICKS - self.ticks) {
            self.now = self.now + TICK;
            self.ticks += 1;
            self.call.handle_tick(self.now);
            self.drain();
        }
    }

    /// A packet that mostly goes on where its stream was.
    fn rtp(&mut self) {
        let how = self.byte();
        let track = Track::ALL[usize::from(how & 1)];
        let mut stream = self.streams[track.index()];
        let length = match how >> 1 & 3 {
            0 => 160,
            1 => 80 * usize::from(self.byte() % 13),
            2 => usize::from(self.byte()) * 6,
            _ => 4,
        };
        let payload_type = match how >> 3 & 3 {
            0 => 0,
            1 => 8,
            2 => 101,
            _ => self.byte(),
        };
        match how >> 5 {
            0..=3 => {}
            4 => {
                stream.sequence = stream
                    .sequence
                    .wrapping_add_signed(i16::from(self.byte() as i8))
            }
            5 => {
                let by = i32::from(self.byte() as i8) * 160;
                stream.stamp = stream.stamp.wrapping_add_signed(by);
            }
            6 => stream.stamp = self.word(),
            _ => {
                stream.ssrc = u32::from(self.byte() % 3);
                stream.sequence = self.word() as u16;
                stream.stamp = self.word();
            }
        }
        let mut datagram = vec![0x80, payload_type];
        datagram.extend(stream.sequence.to_be_bytes());
        datagram.extend(stream.stamp.to_be_bytes());
        datagram.extend(stream.ssrc.to_be_bytes());
        datagram.extend((0..length).map(|at| at as u8 ^ how));
        stream.sequence = stream.sequence.wrapping_add(1);
        stream.stamp = stream.stamp.wrapping_add(length as u32);
        self.streams[track.index()] = stream;
        let from = 5_000 + u16::from(how == 0xFF);
        self.receive(track, Port::Rtp, from, &datagram);
    }

    fn rtcp(&mut self) {
        let how = self.byte();
        let track = Track::ALL[usize::from(how & 1)];
        let kind = if how & 2 == 0 { 200 } else { 203 };
        let ssrc = self.streams[track.index()].ssrc;
        let mut datagram = vec![0x80, 201, 0, 1];
        datagram.extend(ssrc.to_be_bytes());
        if kind == 200 {
            datagram = vec![0x80, 200, 0, 6];
            datagram.extend(ssrc.to_be_bytes());
            (0..5).for_each(|_| datagram.extend(self.word().to_be_bytes()));
        } else {
            datagram.extend([0x81, kind, 0, 1]);
            datagram.extend(ssrc.to_be_bytes());
        }
        let port = if how & 4 == 0 { Port::Rtcp } else { Port::Rtp };
        self.receive(track, port, 5_001, &datagram);
    }

    fn raw(&mut self) {
        let how = self.byte();
        let length = usize::from(self.byte()).min(self.script.len());
        let (datagram, rest) = self.script.split_at(length);
        self.script = rest;
        let port = if how & 2 == 0 { Port::Rtp } else { Port::Rtcp };
        self.receive(
            Track::ALL[usize::from(how & 1)],
            port,
            5_000 + u16::from(how >> 2 & 3),
            datagram,
        );
    }

    fn receive(&mut self, track: Track, port: Port, from: u16, datagram: &[u8]) {
        let before = Duration::from_millis(u64::from(self.byte()) / 5);
        let arrival = self.now - before;
        let first = self.first_arrival.get_or_insert(arrival);
        *first = arrival.min(*first);
        // Two samples a byte is more than any codec here has, but for what stands for events.
        self.longest = self.longest.max(2 * datagram.len() as u64).max(1_600);
        let from = SocketAddr::from(([127, 0, 0, 1], from));
        self.call
            .handle_datagram(track, port, from, arrival, datagram);
    }

    fn start(&mut self) {
        let how = self.byte();
        let sid = RecordingSid::from_bytes([self.taped.len() as u8; 16]);
        if self.taped.len() == 16 {
            return;
        }
        let channels = if how & 1 == 0 {
            Channels::Mono
        } else {
            Channels::Dual
        };
        let start = StartRecording {
            sid,
            channels,
            track: [
                TrackSelection::Inbound,
                TrackSelection::Outbound,
                TrackSelection::Both,
                TrackSelection::Both,
            ][usize::from(how >> 1 & 3)],
            trim: if how & 8 == 0 {
                Trim::DoNotTrim
            } else {
                Trim::TrimSilence
            },
            rules: Rules {
                timeout: (how & 16 != 0).then_some(Duration::from_secs(2)),
                finish_on_key: if how & 32 == 0 { "" } else { "123#" }.to_owned(),
                max_length: (how & 64 != 0).then_some(Duration::from_secs(20)),
            },
            beep: (how & 128 != 0).then_some(Beep {
                ssrc: u32::from(how),
                sequence: u16::MAX,
                timestamp: u32::MAX,
            }),
        };
        if self.call.start(self.now, start).is_ok() {
            let channels = u64::from(channels.count());
            self.taped.insert(
                sid,
                Taped {
                    channels,
                    ..Taped::default()
                },
            );
        }
    }

    fn change(&mut self, change: ChangeRecording) {
        let which = match self.byte() % 17 {
            16 => RecordingRef::Current,
            number => RecordingRef::Sid(RecordingSid::from_bytes([number; 16])),
        };
        // Refusals are part of the play.
        let _ = self.call.change(self.now, which, change);
    }

    fn drain(&mut self) {
        while let Some(sent) = self.call.poll_transmit() {
            let heard = self.call.view().streams.into_iter();
            let heard = heard.filter_map(|stream| stream.source).collect::<Vec<_>>();
            assert!(heard.contains(&sent.to), "{} is not heard", sent.to);
            assert!(sent.datagram.len() <= MOST_SENT);
        }
        while let Some(output) = self.call.poll_output() {
            let taped = self
                .taped
                .get_mut(&output.recording())
                .expect("outputs are of recordings that were started");
            assert!(!taped.ended, "nothing follows an end");
            match output {
                Output::Started { at, .. } => {
                    assert!(taped.begun.is_none(), "a file begins once");
                    taped.begun = Some(at);
                }
                Output::Audio {
                    samples,
                    keep_frames,
                    ..
                } => {
                    assert!(taped.begun.is_some() && samples.len() <= MOST_SAMPLES);
                    assert!((samples.len() as u64).is_multiple_of(taped.channels));
                    taped.frames += samples.len() as u64 / taped.channels;
                    assert!((taped.kept..=taped.frames).contains(&keep_frames));
                    taped.kept = keep_frames;
                }
                Output::Silence {
                    frames,
                    keep_frames,
                    ..
                } => {
                    assert!(taped.begun.is_some());
                    taped.frames += frames;
                    assert!((taped.kept..=taped.frames).contains(&keep_frames));
                    taped.kept = keep_frames;
                }
                Output::Ended { summary, .. } => {
                    assert_eq!(summary.frames, taped.kept);
                    taped.ended = true;
                }
            }
        }
    }

    fn judge(&self) -> Result<u64, String> {
        let first = self.first_arrival.unwrap_or(self.now);
        let time = |frames: u64| Duration::from_micros(125 * frames);
        for (sid, taped) in &self.taped {
            assert!(taped.ended, "{sid} never ended");
            let Some(begun) = taped.begun else {
                continue;
            };
            let frames = taped.frames;
            let early = first.since(begun + time(WINDOW + self.longest));
            if early > Duration::ZERO {
                return Err(format!("{sid} begins {early:?} before its sound can have"));
            }
            let late = (begun + time(frames)).since(self.now + time(WINDOW));
            if late > Duration::ZERO {
                return Err(format!(
                    "{sid} has {frames} frames, {late:?} more than there was time for"
                ));
            }
        }
        Ok(self.taped.values().map(|taped| taped.frames).sum())
    }
}
