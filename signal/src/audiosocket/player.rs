//! Sound placed by its arrival, as RTP.
//!
//! Called by [`super::Session`]. AudioSocket has no time stamps and leaves silence out, so that when a frame came is all
//! that says where it belongs. A TCP connection loses nothing and keeps the order; what it does to time is to hold
//! frames up and then bring all of them at once. So a frame that comes late is one of two things:
//!
//! - what was held up: the frames behind it come in a burst, until they are in time again. It follows the one before it.
//! - what was said after a silence: those behind it are as late. By so much as the least late of them it begins later.
//!
//! Which of the two is known within [`WAIT`], for which such a frame is held. Others go out at once. So a silence is put in
//! where all that came for so long was late by it, and came at its pace. What came together and was followed by nothing is
//! taken for held up, whatever it is late by up to [`HELD_UP`]: what it was late by is silence before the next sound, if it
//! was any. Arrivals are the kernel's, and nothing is decided before all that is there was read
//! ([`super::Session::handle_bytes`]), so that whoever reads may be late too.
//!
//! Stamps tell the sender's own time: frames that follow each other have stamps that do. A silence is a step of the
//! stamp, in whole frames where it nearly is. What the clocks differ by, and what the delay is, `capture` finds out as of
//! any RTP (`capture/src/segment.rs`).
//!
//! Where the call takes long to be open, all of it goes out by so much later, at its pace. Whoever sends faster than
//! time is not read any further ([`Player::has_room`]): no file outgrows time, and nothing of it is lost.
//!
//! RFC 3550 §5.1 (header), RFC 3551 §4.5.11 (L16), RFC 4733 (keys).

use std::collections::VecDeque;

use reeld_codec::resample::Resampler;
use reeld_model::Mono;

use super::{KEYS, Sound};

/// How long it may take until it is known whether a frame was held up: what `capture` takes for jitter is longer.
const WAIT: i64 = 140_000_000;

/// How much later than those before it a frame is that may be behind a silence; or three quarters of a frame, where that
/// is more. Asterisk has frames of 20 ms, of which one may be missing.
const MISSING: i64 = 15_000_000;

/// What came together and is followed by nothing was held up, if it is later by less than this.
const HELD_UP: i64 = 320_000_000;

/// Frames that are held at most, once the call is open; what is looked at to decide about one.
const MOST_HELD: usize = 256;

/// Frames that wait until the call is open at most: 40 s of them.
const MOST_UNDECIDED: usize = 2_048;

/// How far ahead of its time a packet may go out: less than `capture` takes.
const AHEAD: i64 = 100_000_000;

/// Sound that waits at most, in bytes: 5 s at 48 kHz, 32 s at 8 kHz.
const MOST_WAITING: usize = 480_000;

/// Packets that wait to go out of a call that was open in time: of 20 ms, 1.3 s.
const MOST_QUEUED: usize = 64;

/// A call that takes longer to be open has its sound go out later; what is less is jitter.
const PROMPT: i64 = 100_000_000;

/// Frames by which the least lateness is known.
const ENOUGH: u32 = 250;

/// Bytes of sound in a packet at most: 20 ms at 48 kHz, and within what a datagram may have.
const MOST_PAYLOAD: usize = 1_920;

/// From what a stream starts, which is random (RFC 3550 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed {
    /// Its SSRC.
    pub ssrc: u32,
    /// Its first sequence number.
    pub sequence: u16,
    /// Its first time stamp.
    pub stamp: u32,
}

/// A frame of sound.
#[derive(Debug)]
struct Held {
    arrival: i64,
    sound: Sound,
    /// Big-endian.
    payload: Vec<u8>,
}

impl Held {
    fn samples(&self) -> i64 {
        i64::try_from(self.payload.len() / 2).unwrap_or(i64::MAX)
    }

    fn duration(&self) -> i64 {
        nanos(self.samples(), self.sound.clock_hz)
    }
}

/// Where the sound that has gone out ends: so many samples behind an instant.
#[derive(Debug, Clone, Copy)]
struct Clock {
    origin: i64,
    samples: i64,
    clock_hz: u32,
}

impl Clock {
    fn end(&self) -> i64 {
        self.origin + nanos(self.samples, self.clock_hz)
    }
}

/// How late the least late of the last frames was, in nanoseconds: of two runs, so that what is long ago is forgotten.
#[derive(Debug, Clone, Copy, Default)]
struct Least {
    before: Option<i64>,
    now: Option<i64>,
    count: u32,
}

impl Least {
    fn note(&mut self, lateness: i64) {
        if self.count == ENOUGH {
            (self.before, self.now, self.count) = (self.now, None, 0);
        }
        self.count += 1;
        self.now = Some(self.now.map_or(lateness, |now| now.min(lateness)));
    }

    fn get(&self) -> i64 {
        let both = self.before.into_iter().chain(self.now);
        both.min().unwrap_or(0)
    }
}

/// The sound of a connection.
#[derive(Debug)]
pub(super) struct Player {
    seed: Seed,
    sequence: u16,
    stamp: u32,
    /// Keys since the last sound: each has a stamp of its own.
    keys: u32,
    /// When the first sound came.
    began: Option<i64>,
    clock: Option<Clock>,
    least: Least,
    held: VecDeque<Held>,
    /// Until when that came which was last taken for held up, and nothing since was in time.
    excused: Option<i64>,
    /// Packets, and when each may go out.
    queue: VecDeque<(i64, Vec<u8>)>,
    /// Bytes in both.
    waiting: usize,
    is_open: bool,
    /// By how much later all goes out.
    delay: i64,
    down: Option<Down>,
}

/// Sound of a rate that RTP has none for here, being brought down.
#[derive(Debug)]
struct Down {
    sound: Sound,
    resampler: Resampler,
    samples: Vec<i16>,
}

impl Down {
    fn new(sound: Sound) -> Option<Self> {
        // The filter is of the ratio, whatever the rates are.
        let to_hz = 48_000 / (sound.rate_hz / sound.clock_hz);
        Some(Self {
            sound,
            resampler: Resampler::new(48_000, to_hz).ok()?,
            samples: Vec::new(),
        })
    }
}

impl Player {
    pub(super) fn new(seed: Seed) -> Self {
        Self {
            seed,
            sequence: seed.sequence,
            stamp: seed.stamp,
            keys: 0,
            began: None,
            clock: None,
            least: Least::default(),
            held: VecDeque::new(),
            excused: None,
            queue: VecDeque::new(),
            waiting: 0,
            is_open: false,
            delay: 0,
            down: None,
        }
    }

    /// Takes a frame of little-endian samples that came at `now`.
    pub(super) fn take(&mut self, sound: Sound, bytes: &[u8], now: Mono) {
        let samples = bytes
            .chunks_exact(2)
            .map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
        let payload: Vec<u8> = if sound.rate_hz == sound.clock_hz {
            samples.flat_map(i16::to_be_bytes).collect()
        } else {
            if self.down.as_ref().is_none_or(|down| down.sound != sound) {
                self.down = Down::new(sound);
            }
            let Some(down) = &mut self.down else { return };
            let input: Vec<i16> = samples.collect();
            down.samples.clear();
            down.resampler.process(&input, &mut down.samples);
            down.samples
                .iter()
                .flat_map(|sample| sample.to_be_bytes())
                .collect()
        };
        if payload.is_empty() {
            return;
        }
        self.waiting += payload.len();
        // Of a connection nothing overtakes what came before it.
        let arrival = instant(now).max(self.held.back().map_or(i64::MIN, |held| held.arrival));
        self.began.get_or_insert(arrival);
        self.held.push_back(Held {
            arrival,
            sound,
            payload,
        });
    }

    /// A key; whether it is one.
    pub(super) fn press(&mut self, key: u8) -> bool {
        let code = match key.to_ascii_uppercase() {
            digit @ b'0'..=b'9' => digit - b'0',
            b'*' => 10,
            b'#' => 11,
            letter @ b'A'..=b'D' => letter - b'A' + 12,
            _ => return false,
        };
        // It stands in the place of no sound, since how long it was is not said: all of it is in its last packet
        // (RFC 4733 §2.5.1.3).
        let mut packet = self.head(KEYS, true, self.stamp.wrapping_add(self.keys));
        packet.extend([code, 0x80 | 10, 0, 0]);
        self.keys += 1;
        let due = self.clock.map_or(0, |clock| clock.end());
        self.push(due, packet);
        true
    }

    /// The call is open at `now`.
    pub(super) fn open(&mut self, now: Mono) {
        let waited = self.began.map_or(0, |began| instant(now) - began);
        self.delay = if waited < PROMPT { 0 } else { waited };
        self.is_open = true;
        for (due, _) in &mut self.queue {
            *due += self.delay;
        }
        self.judge(Some(instant(now)));
    }

    pub(super) fn handle_time(&mut self, now: Mono) {
        self.judge(Some(instant(now)));
    }

    /// Nothing more comes, or what does is of another kind: all that is held is decided about by what is known.
    pub(super) fn decide_all(&mut self) {
        self.judge(None);
    }

    pub(super) fn hurry(&mut self) {
        self.decide_all();
        self.is_open = true;
        for (due, _) in &mut self.queue {
            *due = i64::MIN;
        }
    }

    /// When something is to be done, though nothing comes.
    pub(super) fn due(&self) -> Option<Mono> {
        if !self.is_open {
            return None;
        }
        let held = self.held.front().map(|held| held.arrival + WAIT);
        let queued = self.queue.front().map(|(due, _)| *due);
        let due = held.into_iter().chain(queued).min()?;
        Some(Mono(u64::try_from(due).unwrap_or(0)))
    }

    pub(super) fn has_room(&self) -> bool {
        // In pace nothing waits; behind a call that was slow to open, as much as that took.
        let is_slow = self.delay > 0 || !self.is_open;
        let is_little = self.waiting < MOST_WAITING && self.held.len() < MOST_UNDECIDED;
        is_little && (is_slow || self.queue.len() < MOST_QUEUED)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty() && self.queue.is_empty()
    }

    /// The next packet that is due.
    pub(super) fn next(&mut self, now: Mono) -> Option<Vec<u8>> {
        let (due, _) = self.queue.front().filter(|_| self.is_open)?;
        if *due > instant(now) {
            return None;
        }
        let (_, packet) = self.queue.pop_front()?;
        self.waiting = self.waiting.saturating_sub(packet.len());
        Some(packet)
    }

    /// Decides about what is held: at `now`, or, without one, now or never.
    fn judge(&mut self, now: Option<i64>) {
        while let Some(front) = self.held.front() {
            let gap = match &self.clock {
                None => 0,
                Some(clock) => {
                    let usual = self.least.get() + missing(front);
                    let (first, least) = self.lateness(clock);
                    if first < usual || least < usual {
                        self.excused = None;
                        0
                    } else if now.is_none_or(|now| now >= front.arrival + WAIT)
                        || self.held.len() >= MOST_HELD
                    {
                        let gap = least - self.least.get();
                        let together = front.arrival + front.duration() / 2;
                        // One alone did not come together with anything.
                        let is_alone = self.in_time().nth(1).is_none();
                        let was_excused = self.excused.is_some();
                        if self.excused.is_some_and(|until| front.arrival < until) {
                            0
                        } else if gap >= HELD_UP || is_alone || was_excused || self.came_at_pace() {
                            self.excused = None;
                            whole(gap, front.duration())
                        } else {
                            self.excused = Some(together);
                            0
                        }
                    } else {
                        return;
                    }
                }
            };
            if let Some(front) = self.held.pop_front() {
                self.play(front, gap);
            }
        }
    }

    /// Whether what is held did not come together.
    fn came_at_pace(&self) -> bool {
        let (Some(first), Some(last)) = (self.held.front(), self.in_time().last()) else {
            return false;
        };
        last.arrival - first.arrival >= first.duration() / 2
    }

    /// The held frames that came in time to tell of the first: the same ones, however late they are read.
    fn in_time(&self) -> impl Iterator<Item = &Held> {
        let until = self.held.front().map_or(0, |first| first.arrival + WAIT);
        self.held
            .iter()
            .take(MOST_HELD)
            .take_while(move |held| held.arrival < until)
    }

    /// How late the first of the held frames is, and the least late, if they follow each other.
    fn lateness(&self, clock: &Clock) -> (i64, i64) {
        let mut end = clock.end();
        let mut late = self.in_time().map(|held| {
            end += held.duration();
            held.arrival - end
        });
        let first = late.next().unwrap_or(0);
        (first, late.fold(first, i64::min))
    }

    /// Puts a frame behind the ones before it and a silence of `gap` nanoseconds.
    fn play(&mut self, held: Held, gap: i64) {
        let clock_hz = held.sound.clock_hz;
        let is_first = self.clock.is_none();
        let mut clock = self.clock.unwrap_or(Clock {
            // Its sound was over when it came.
            origin: held.arrival - held.duration(),
            samples: 0,
            clock_hz,
        });
        if clock.clock_hz != clock_hz {
            clock = Clock {
                origin: clock.end(),
                samples: 0,
                clock_hz,
            };
        }
        let silence = samples(gap, clock_hz);
        clock.samples += silence;
        self.stamp = self.stamp.wrapping_add(low_bits(silence));
        self.keys = 0;
        // A talkspurt begins (RFC 3551 §4.1).
        let mut is_marked = is_first || silence > 0;
        self.waiting = self.waiting.saturating_sub(held.payload.len());
        for part in held.payload.chunks(MOST_PAYLOAD) {
            let mut packet = self.head(held.sound.payload_type, is_marked, self.stamp);
            is_marked = false;
            packet.extend_from_slice(part);
            let length = i64::try_from(part.len() / 2).unwrap_or(0);
            clock.samples += length;
            self.stamp = self.stamp.wrapping_add(low_bits(length));
            self.push(clock.end(), packet);
        }
        self.least.note(held.arrival - clock.end());
        self.clock = Some(clock);
    }

    fn push(&mut self, end: i64, packet: Vec<u8>) {
        self.waiting += packet.len();
        self.queue.push_back((end + self.delay - AHEAD, packet));
    }

    fn head(&mut self, payload_type: u8, is_marked: bool, stamp: u32) -> Vec<u8> {
        let mut packet = Vec::with_capacity(12 + MOST_PAYLOAD);
        packet.extend([0x80, u8::from(is_marked) << 7 | payload_type]);
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(stamp.to_be_bytes());
        packet.extend(self.seed.ssrc.to_be_bytes());
        self.sequence = self.sequence.wrapping_add(1);
        packet
    }
}

/// By how much more than usual a frame is late that may be behind a missing one.
fn missing(held: &Held) -> i64 {
    MISSING.max(held.duration() * 3 / 4)
}

/// An instant to reckon with: nanoseconds of a clock that began when the machine did.
fn instant(at: Mono) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}

fn nanos(samples: i64, clock_hz: u32) -> i64 {
    let nanos = i128::from(samples) * 1_000_000_000 / i128::from(clock_hz.max(1));
    i64::try_from(nanos).unwrap_or(i64::MAX)
}

fn samples(nanos: i64, clock_hz: u32) -> i64 {
    let samples = (i128::from(nanos) * i128::from(clock_hz) + 500_000_000) / 1_000_000_000;
    i64::try_from(samples).unwrap_or(i64::MAX)
}

/// A silence in whole frames, where it nearly is; never less than nothing.
fn whole(gap: i64, frame: i64) -> i64 {
    let frame = frame.max(1);
    let whole = (gap + frame / 2) / frame * frame;
    if (gap - whole).abs() <= frame / 4 {
        whole
    } else {
        gap
    }
    .max(0)
}

/// Samples as a stamp counts them, which wraps.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a stamp is the low bits of its count"
)]
const fn low_bits(samples: i64) -> u32 {
    samples as u32
}
