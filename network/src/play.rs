//! Plays a scenario into a call as `ingest` would: sockets that are drained on ticks of 50 ms, one
//! track after the other, RTCP on each fourth; a command takes in first what has come.
//!
//! Called by the tests; calls [`crate::sender`], [`crate::path`], [`crate::listener`] and
//! `reeld_capture::Call`. Virtual hours cost what their packets cost.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use reeld_capture::{Call, Dtmf, Kept, Output, Port, Rate, Settings};
use reeld_codec::g711::{self, Law};
use reeld_model::{
    AccountSid, CallSid, ChangeRecording, Channels, EndedBy, Mono, OpenCall, RecordingRef,
    RecordingSid, StartRecording, Summary, Track, TrackSelection, TrackStats,
};

use crate::listener::{Failure, Listener, Rule};
use crate::path::{MS, Path};
use crate::random::Random;
use crate::scenario::Scenario;
use crate::sender::{Kind, Sender, Sent, nanos};

/// When the call is opened: not 0, so that nothing depends on it.
const OPENED: Mono = Mono(7_000_000_000);

const TICK: u64 = 50 * MS;

/// RTCP is read on each such tick.
const RTCP_EVERY: u64 = 4;

/// How arrivals are told: `ingest`'s clock, or the truth.
pub trait Stamps {
    /// A tick begins.
    fn tick(&mut self, now: Mono);
    /// What is told of a datagram that came at `arrival`; its socket was empty at `emptied`.
    fn arrival(&mut self, arrival: Mono, emptied: Mono, now: Mono) -> Mono;
}

/// The truth.
#[derive(Debug, Clone, Copy)]
pub struct True;

impl Stamps for True {
    fn tick(&mut self, _now: Mono) {}

    fn arrival(&mut self, arrival: Mono, _emptied: Mono, _now: Mono) -> Mono {
        arrival
    }
}

/// What came of a scenario.
#[derive(Debug)]
pub struct Verdict {
    /// Its seed.
    pub seed: u64,
    /// What was broken.
    pub failures: Vec<Failure>,
    /// Markers judged.
    pub checked: u64,
    /// Markers that did not come whole.
    pub skipped: u64,
    /// The largest error of a marker that was found, in milliseconds.
    pub worst_place_ms: f64,
    /// The largest difference between tracks, in milliseconds.
    pub worst_apart_ms: f64,
    /// Frames of the file.
    pub frames: u64,
    /// What the core counted.
    pub stats: [TrackStats; 2],
    /// What the recording's end said.
    pub summary: Option<Summary>,
}

/// A file in full and what was sent, for those who compare samples.
#[derive(Debug, Default)]
pub struct Tape {
    /// The file, interleaved.
    pub file: Vec<i16>,
    /// Of each track all packets that came: by the place of its sound (true time, Q32), what a
    /// reference decoder makes of it.
    pub sent: [BTreeMap<u64, Vec<i16>>; 2],
    /// Each path's least delay in nanoseconds.
    pub base: [u64; 2],
}

/// Plays a scenario.
#[must_use]
pub fn play(scenario: &Scenario) -> Verdict {
    play_with(scenario, &mut True, None)
}

/// Plays a scenario, with arrivals as `stamps` tells them, and onto a tape.
#[must_use]
pub fn play_with(scenario: &Scenario, stamps: &mut dyn Stamps, tape: Option<&mut Tape>) -> Verdict {
    Player::new(scenario, stamps, tape).run()
}

/// As [`play_with`] onto a tape, the call being handed from one process to the next after each `ticks` ticks.
#[must_use]
pub fn play_handed_over(scenario: &Scenario, ticks: u64, tape: &mut Tape) -> Verdict {
    let mut stamps = True;
    let mut player = Player::new(scenario, &mut stamps, Some(tape));
    player.handed_over = Some(ticks);
    player.run()
}

/// What the judge says of the file that an all-knowing recorder would make of the packets that came
/// by the stop: each where the truth puts it, and so many frames later on each track. Without those
/// that is nothing, or the judge is wrong.
#[must_use]
pub fn play_ideal(scenario: &Scenario, later: [i64; 2]) -> Verdict {
    let mut tape = Tape::default();
    let mut stamps = True;
    let mut player = Player::new(scenario, &mut stamps, Some(&mut tape));
    player.ideal = Some(later);
    player.run()
}

/// A datagram under way, by arrival and then by the order of sending.
#[derive(Debug, PartialEq, Eq)]
struct Flight {
    arrival: u64,
    order: u64,
    again: bool,
    sent: Sent,
}

impl Ord for Flight {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.arrival, self.order, self.again).cmp(&(other.arrival, other.order, other.again))
    }
}

impl PartialOrd for Flight {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

#[derive(Debug)]
struct Way {
    track: Track,
    sender: Sender,
    path: Path,
    order: u64,
    /// RTP and RTCP under way.
    flights: [BinaryHeap<Reverse<Flight>>; 2],
    /// When each socket was last empty.
    emptied: [u64; 2],
    /// Of the first packet of sound to arrive: when, and where its sound begins by the truth.
    first: Option<(u64, u64)>,
    /// Where the earliest sound begins by the truth.
    earliest: Option<u64>,
    /// When the last packet of sound and the last RTCP packet came.
    last: Option<u64>,
    bye: Option<u64>,
}

struct Player<'a> {
    scenario: &'a Scenario,
    stamps: &'a mut dyn Stamps,
    tape: Option<&'a mut Tape>,
    call: Call,
    ways: [Way; 2],
    listener: Listener,
    summary: Option<Summary>,
    ticks: u64,
    ideal: Option<[i64; 2]>,
    /// Ticks after which another process has the call, again and again.
    handed_over: Option<u64>,
}

fn sid() -> RecordingSid {
    RecordingSid::from_bytes([3; 16])
}

/// The settings of every call here: an end is always asked for.
#[must_use]
pub fn settings() -> Settings {
    let day = Duration::from_secs(86_400);
    Settings {
        reorder_window: Duration::from_millis(200),
        first_packet: day,
        inactivity: day,
        max_length: day,
        conceal: true,
        dtmf: Dtmf::Silence,
        rate: Rate::Narrow,
        allow: "127.0.0.0/8".parse().into_iter().collect(),
        advertise: [127, 0, 0, 1].into(),
        secret: reeld_capture::Secret::default(),
    }
}

/// A call of both tracks that was opened at a fixed instant, which is returned with it.
#[must_use]
pub fn open() -> (Call, Mono) {
    let open = OpenCall::new(
        AccountSid::from_bytes([1; 16]),
        CallSid::from_bytes([2; 16]),
    );
    let ports = [Some(20_000), Some(20_002)];
    let call = Call::open(open, ports, Arc::new(settings()), OPENED, 0)
        .expect("a call without an offer, from an allowed network");
    (call, OPENED)
}

/// The recording that every scenario makes.
#[must_use]
pub fn dual() -> StartRecording {
    StartRecording::new(sid(), Channels::Dual, TrackSelection::Both)
}

fn mono(at: u64) -> Mono {
    Mono(OPENED.0 + at)
}

impl<'a> Player<'a> {
    fn new(scenario: &'a Scenario, stamps: &'a mut dyn Stamps, tape: Option<&'a mut Tape>) -> Self {
        let ways = Track::ALL.map(|track| {
            let plan = &scenario.tracks[track.index()];
            let lane = 10 + 2 * track.index() as u64;
            Way {
                track,
                sender: Sender::new(plan.sender.clone(), Random::new(scenario.seed, lane)),
                path: Path::new(plan.path.clone(), Random::new(scenario.seed, lane + 1)),
                order: 0,
                flights: Default::default(),
                emptied: [0; 2],
                first: None,
                earliest: None,
                last: None,
                bye: None,
            }
        });
        Self {
            listener: Listener::new(ways.each_ref().map(|way| way.path.base())),
            ways,
            scenario,
            stamps,
            tape,
            call: open().0,
            summary: None,
            ticks: 0,
            ideal: None,
            handed_over: None,
        }
    }

    fn run(mut self) -> Verdict {
        let (start, stop) = (self.scenario.start, self.scenario.stop);
        self.run_to(start);
        self.drain(start, true);
        self.call
            .start(mono(start), dual())
            .expect("both tracks are open");
        self.outputs();
        self.run_to(stop);
        self.drain(stop, true);
        if let Some(later) = self.ideal {
            return self.judge_ideal(later);
        }
        let ended = self.summary.as_ref().map(|summary| summary.ended_by);
        if self.scenario.bye {
            if ended != Some(EndedBy::Bye) {
                self.fail_end(stop, "no bye");
            }
            // Anywhere from the first BYE to what came last is at its instant.
            let begins = self.listener.begins().unwrap_or(0);
            let end = begins + self.listener.frames() * 125_000;
            let byes = self.ways.iter().filter_map(|way| way.bye);
            let last = self.ways.iter().filter_map(|way| way.last);
            let (from, to) = (byes.clone().min(), byes.chain(last).max());
            self.listener
                .end(end.clamp(from.unwrap_or(stop), to.unwrap_or(stop)));
            return self.verdict();
        }
        if ended.is_some() {
            self.fail_end(stop, "by itself");
        } else {
            let change = ChangeRecording::Stop(EndedBy::Stopped);
            let which = RecordingRef::Sid(sid());
            if self.call.change(mono(stop), which, change).is_err() {
                self.fail_end(stop, "stop refused");
            }
            self.outputs();
            if self.summary.is_none() {
                // An end may settle with time.
                self.run_to(stop + 5_000 * MS);
            }
            if self.summary.is_none() {
                self.fail_end(stop, "never");
            }
        }
        self.listener.end(stop);
        self.verdict()
    }

    fn judge_ideal(mut self, later: [i64; 2]) -> Verdict {
        let should = self.should_begin();
        let begin = should.iter().copied().min().unwrap_or(0);
        let frames = (self.scenario.stop - begin) / 125_000;
        let mut file = vec![0; 2 * frames as usize];
        let tape = self.tape.take().map(std::mem::take).unwrap_or_default();
        for track in 0..2 {
            for (place, samples) in &tape.sent[track] {
                let at = (nanos(*place) + tape.base[track]) as i64 - begin as i64;
                let at = (at + 62_500).div_euclid(125_000) + later[track];
                for (sample, at) in samples.iter().zip(at..) {
                    if (0..frames as i64).contains(&at) {
                        file[2 * at as usize + track] = *sample;
                    }
                }
            }
        }
        self.listener.begin(begin, &should);
        self.listener.hear(&file);
        self.listener.end(self.scenario.stop);
        self.verdict()
    }

    fn fail_end(&mut self, at: u64, why: &'static str) {
        self.listener
            .fail(Rule::Ended, None, at as f64 / 1e9, f64::NAN, why);
    }

    fn verdict(mut self) -> Verdict {
        let possible = self.listener.checked + self.listener.skipped;
        if self.listener.checked * 20 < possible || self.listener.checked == 0 {
            self.listener
                .fail(Rule::Few, None, 0.0, self.listener.checked as f64, "");
        }
        Verdict {
            seed: self.scenario.seed,
            checked: self.listener.checked,
            skipped: self.listener.skipped,
            worst_place_ms: self.listener.worst_place_ms,
            worst_apart_ms: self.listener.worst_apart_ms,
            frames: self.listener.frames(),
            failures: self.listener.failures,
            stats: self.call.stats(),
            summary: self.summary,
        }
    }

    fn run_to(&mut self, at: u64) {
        while (self.ticks + 1) * TICK <= at {
            self.ticks += 1;
            let now = self.ticks * TICK;
            self.drain(now, self.ticks.is_multiple_of(RTCP_EVERY));
            self.call.handle_tick(mono(now));
            self.outputs();
            if self
                .handed_over
                .is_some_and(|ticks| self.ticks.is_multiple_of(ticks))
            {
                let kept = self.call.keep().expect("a call can be kept");
                let settings = Arc::new(settings());
                let kept = Kept::read(&kept).expect("it was kept so");
                self.call = kept.into_call(settings);
            }
        }
    }

    /// Takes in what has come by `now`.
    fn drain(&mut self, now: u64, all: bool) {
        self.stamps.tick(mono(now));
        for way in &mut self.ways {
            way.send(now, &mut self.listener);
            for (port, which) in [(Port::Rtp, 0), (Port::Rtcp, 1)] {
                if which == 1 && !all {
                    continue;
                }
                while let Some(Reverse(flight)) = way.flights[which].peek()
                    && flight.arrival <= now
                {
                    let Some(Reverse(flight)) = way.flights[which].pop() else {
                        break;
                    };
                    let from = SocketAddr::from((
                        [127, 0, 0, 1],
                        flight.sent.from + u16::from(port == Port::Rtcp),
                    ));
                    let told = self.stamps.arrival(
                        mono(flight.arrival),
                        mono(way.emptied[which]),
                        mono(now),
                    );
                    let bytes = &flight.sent.bytes;
                    way.note(&flight, &mut self.listener, self.tape.as_deref_mut());
                    self.call
                        .handle_datagram(way.track, port, from, told, bytes);
                    way.sender.recycle(flight.sent.bytes);
                }
                way.emptied[which] = now;
            }
        }
        self.outputs();
    }

    fn outputs(&mut self) {
        while let Some(output) = self.call.poll_output() {
            if self.ideal.is_some() {
                continue;
            }
            match output {
                Output::Started { at, .. } => {
                    let should = self.should_begin();
                    self.listener.begin(at.0 - OPENED.0, &should);
                }
                Output::Audio { samples, .. } => {
                    self.listener.hear(&samples);
                    if let Some(tape) = &mut self.tape {
                        tape.file.extend(samples);
                    }
                }
                Output::Silence { frames, .. } => {
                    self.listener.hear_silence(frames);
                    if let Some(tape) = &mut self.tape {
                        tape.file
                            .extend(std::iter::repeat_n(0, 2 * frames as usize));
                    }
                }
                Output::Ended { summary, .. } => self.summary = Some(*summary),
            }
        }
    }

    /// Where a file may begin: at the request where audio flowed; else where the first packet's
    /// sound does that came, or the earliest sound of all.
    fn should_begin(&self) -> Vec<u64> {
        if self.scenario.start > 0 {
            return vec![self.scenario.start];
        }
        let first = self.ways.iter().filter_map(|way| way.first).min();
        let earliest = self.ways.iter().filter_map(|way| way.earliest).min();
        first
            .map(|(_, begin)| begin)
            .into_iter()
            .chain(earliest)
            .collect()
    }
}

impl Way {
    /// Gives the network all that is sent by `now`.
    fn send(&mut self, now: u64, listener: &mut Listener) {
        while self.sender.next_at().is_some_and(|at| at <= now) {
            let Some(sent) = self.sender.next_sent() else {
                return;
            };
            if let Kind::Sound {
                piece: Some(piece),
                samples,
                after,
                ..
            } = sent.kind
            {
                let whole = self.sender.samples_of_mark(piece.mark);
                listener.note_sent(self.track, piece.mark, whole, samples, after);
            }
            let Some((arrival, again)) = self.path.carry(sent.at, sent.time) else {
                self.sender.recycle(sent.bytes);
                continue;
            };
            self.order += 1;
            let order = self.order;
            let flights = &mut self.flights[usize::from(sent.kind == Kind::Rtcp)];
            if let Some(again) = again {
                let sent = sent.clone();
                flights.push(Reverse(Flight {
                    arrival: again,
                    order,
                    again: true,
                    sent,
                }));
            }
            flights.push(Reverse(Flight {
                arrival,
                order,
                again: false,
                sent,
            }));
        }
    }

    /// A datagram has come.
    fn note(&mut self, flight: &Flight, listener: &mut Listener, tape: Option<&mut Tape>) {
        if flight.sent.kind == Kind::Rtcp && !flight.again {
            self.bye = Some(flight.arrival);
        }
        let Kind::Sound { place, piece, .. } = flight.sent.kind else {
            return;
        };
        self.last = Some(flight.arrival);
        if flight.again {
            return;
        }
        let begin = nanos(place) + self.path.base();
        self.first.get_or_insert((flight.arrival, begin));
        self.earliest = Some(self.earliest.map_or(begin, |other| other.min(begin)));
        if let Some(piece) = piece {
            listener.note_came(self.track, piece.mark, piece.samples);
        }
        if let Some(tape) = tape {
            let law = if flight.sent.bytes[1] & 0x7F == 0 {
                Law::Mu
            } else {
                Law::A
            };
            let at = self.track.index();
            let mut samples = Vec::new();
            g711::decode_to(law, &flight.sent.bytes[12..], &mut samples);
            tape.sent[at].insert(place, samples);
            tape.base[at] = self.path.base();
        }
    }
}
