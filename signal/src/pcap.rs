//! Calls in captures of the network (`.pcap`, `.pcapng`), played through `capture` as if live.
//!
//! Called by the daemon's import; calls [`reeld_capture::Call`]. Two passes over the file:
//!
//! ```text
//! file ▸ frame ▸ dialog (SIP) and flow (RTP) ▸ plan        first pass: which calls there are
//! file ▸ frame ▸ plan's routes ▸ capture::Call ▸ Sink      second pass: their packets, in their time
//! ```
//!
//! The arrival times are the capture's, from its first packet on; a tick comes each 50 ms of them,
//! as in `ingest`. The file is streamed, memory is bounded by its calls and not by its length. Calls
//! that run at once beyond `MOST_AT_ONCE` wait for another pass.
//!
//! No input panics; a damaged file gives what is whole before the damage.

mod dialog;
mod file;
mod flow;
mod frame;
mod plan;
mod play;

use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;
use std::time::Duration;

use reeld_capture::{Output, Settings};
use reeld_model::{AccountSid, CallSid, Channels, Mono, RecordingSid, TrackSelection};

pub use file::Damage;
use file::{Frame, Frames};
use frame::{Packet, Peeler};
use plan::{Plan, Planner};

/// Calls that are played in one pass: each has a file open.
const MOST_AT_ONCE: usize = 256;

/// A step back in a file's time stamps beyond this is a clock that was set, or two files in one; a
/// smaller one is packets that changed places.
const STEP_BACK: i64 = 1_000_000_000;

/// Where a file's time begins on the monotonic clock: late enough that what `capture` looks back
/// over lies behind zero.
const ORIGIN: Mono = Mono(3_600_000_000_000);

/// How calls are imported.
#[derive(Debug, Clone)]
pub struct Import {
    /// Whose they are.
    pub account: AccountSid,
    /// The CallSid of the file's only call; made from its Call-ID, or its addresses and time, where
    /// none is given.
    pub call: Option<CallSid>,
    /// The settings of live calls. What they say of sources and of calls that fall silent does not
    /// apply: the file says where streams come from and when they end.
    pub settings: Settings,
}

/// A recording that begins.
#[derive(Debug, Clone)]
pub struct Beginning {
    /// Whose it is.
    pub account: AccountSid,
    /// Its call.
    pub call: CallSid,
    /// The call's Call-ID, or its addresses and time.
    pub external_id: String,
    /// Who calls: the URI of From.
    pub from: Option<String>,
    /// Who is called: the URI of To.
    pub to: Option<String>,
    /// Two channels where both directions are there.
    pub channels: Channels,
    /// The tracks that are there.
    pub track: TrackSelection,
    /// When its first packet was captured.
    pub created_ms: i64,
    /// BLAKE3 of the file, as far as it was read: what tells a repeated import from another file's
    /// call of the same addresses and time.
    pub fingerprint: [u8; 32],
}

/// Where recordings go.
pub trait Sink {
    /// Begins a recording and names it; `None` where it is not wanted, which the sink reports.
    fn begin(&mut self, beginning: &Beginning) -> Option<RecordingSid>;

    /// Takes the outputs of a recording that was begun, in order. `unix_ms` tells the wall-clock
    /// time of their instants.
    fn push(&mut self, output: Output, unix_ms: &dyn Fn(Mono) -> i64);

    /// Hears how far the import is, in bytes of the passes so far and of those known. False stops
    /// it: calls that are being played are left without an end.
    fn progress(&mut self, done: u64, total: u64) -> bool;
}

/// What came of a file, beside its recordings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Calls that were found.
    pub calls: usize,
    /// What was not imported, a line each.
    pub problems: Vec<String>,
    /// What is worth saying and is nobody's fault.
    pub notes: Vec<String>,
    /// Whether the sink stopped it.
    pub stopped: bool,
}

/// Whether a file's first bytes are a capture's.
#[must_use]
pub fn is_capture(head: &[u8]) -> bool {
    // pcap in both orders with micro- and nanoseconds, and pcapng's section header.
    const MAGIC: [[u8; 4]; 5] = [
        [0xd4, 0xc3, 0xb2, 0xa1],
        [0xa1, 0xb2, 0xc3, 0xd4],
        [0x4d, 0x3c, 0xb2, 0xa1],
        [0xa1, 0xb2, 0x3c, 0x4d],
        [0x0a, 0x0d, 0x0d, 0x0a],
    ];
    head.first_chunk::<4>()
        .is_some_and(|first| MAGIC.contains(first))
}

/// Imports the calls of a capture of `length` bytes.
pub fn import<F>(file: &mut F, length: u64, import: &Import, sink: &mut dyn Sink) -> Report
where
    F: Read + Seek + Send,
{
    let mut report = Report::default();
    let mut planner = Planner::default();
    let mut cut = 0_u64;
    let mut pass = Pass {
        hasher: Some(blake3::Hasher::new()),
        ..Pass::default()
    };
    let go_on = pass.run(
        file,
        &mut |at, packet| {
            if let Some((at, packet)) = at.zip(packet) {
                cut += u64::from(packet.is_cut && packet.tcp.is_none());
                planner.note(at, packet);
            }
        },
        &mut |done| sink.progress(done, 2 * length),
    );
    if let Some(damage) = pass.damage.take() {
        report.problems.push(damage.to_string());
    }
    for (link, frames) in &pass.peeler.unknown_links {
        let problem = format!("{frames} frames have link type {link}, which is not read");
        report.problems.push(problem);
    }
    if cut > 0 {
        let problem = format!("{cut} packets are cut by the capture's snap length");
        report.problems.push(problem);
    }
    if !go_on {
        report.stopped = true;
        return report;
    }
    let origin = Origin {
        unix_ns: pass.clock.first,
        fingerprint: pass.hasher.take().unwrap_or_default().finalize().into(),
    };
    let mut plan = planner.plan(import.settings.inactivity);
    report.problems.append(&mut plan.problems);
    report.notes.append(&mut plan.notes);
    report.calls = plan.calls.len();
    if plan.calls.is_empty() {
        if report.problems.is_empty() {
            report.problems.push("no call was found in it".to_owned());
        }
        return report;
    }
    if import.call.is_some() && plan.calls.len() > 1 {
        let calls = plan.calls.len();
        let problem = format!("it has {calls} calls, so that one CallSid names none of them");
        report.problems.push(problem);
        return report;
    }
    play_all(file, length, import, &plan, origin, sink, &mut report);
    report
}

/// The second pass, or as many as it takes.
fn play_all<F: Read + Seek + Send>(
    file: &mut F,
    length: u64,
    import: &Import,
    plan: &Plan,
    origin: Origin,
    sink: &mut dyn Sink,
    report: &mut Report,
) {
    let passes = plan.passes(MOST_AT_ONCE);
    let total = passes.iter().max().map_or(0, |last| last + 1);
    let length_of_all = length * (total as u64 + 1);
    for number in 0..total {
        let mine: Vec<bool> = passes.iter().map(|pass| *pass == number).collect();
        let settings = Arc::new(play::settings_for(&import.settings));
        let mut player = play::Player::new(import, settings, plan, mine, origin);
        let before = length * (number as u64 + 1);
        let mut pass = Pass::default();
        // Two closures need the sink; a cell lends it to one at a time.
        let sink = std::cell::RefCell::new(&mut *sink);
        let go_on = pass.run(
            file,
            &mut |at, packet| {
                if let Some(at) = at {
                    player.advance(at, &mut **sink.borrow_mut());
                    if let Some(packet) = packet {
                        player.take(at, packet, &mut **sink.borrow_mut());
                    }
                }
            },
            &mut |done| sink.borrow_mut().progress(before + done, length_of_all),
        );
        if !go_on {
            report.stopped = true;
            return;
        }
        player.finish(&mut **sink.borrow_mut());
        report.problems.append(&mut player.problems);
    }
}

/// One pass over a file.
#[derive(Default)]
struct Pass {
    clock: Clock,
    peeler: Peeler,
    damage: Option<Damage>,
    /// Takes in what is read, in the first pass.
    hasher: Option<blake3::Hasher>,
}

/// A file whose bytes are hashed as they are read.
struct Hashed<'h, F> {
    file: &'h mut F,
    hasher: Option<&'h mut blake3::Hasher>,
}

impl<F: Read> Read for Hashed<'_, F> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(buffer)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..read]);
        }
        Ok(read)
    }
}

/// What all recordings of a file have in common.
#[derive(Debug, Clone, Copy)]
struct Origin {
    /// The wall-clock time of its first packet.
    unix_ns: i64,
    fingerprint: [u8; 32],
}

/// Frames between two reports of how far a pass is.
const REPORT_EVERY: u64 = 4_096;

impl Pass {
    /// Reads the file from its start; `take` gets each packet with its time. False where `progress`
    /// says so.
    fn run<F: Read + Seek + Send>(
        &mut self,
        file: &mut F,
        take: &mut dyn FnMut(Option<u64>, Option<&Packet<'_>>),
        progress: &mut dyn FnMut(u64) -> bool,
    ) -> bool {
        let begun = file.seek(SeekFrom::Start(0)).map_err(|error| Damage {
            offset: 0,
            what: error.to_string(),
        });
        let mut frames = match begun.and_then(|_| {
            let hasher = self.hasher.as_mut();
            Frames::new(Hashed { file, hasher })
        }) {
            Ok(frames) => frames,
            Err(damage) => {
                self.damage = Some(damage);
                return true;
            }
        };
        let mut read = 0_u64;
        loop {
            let next = frames.next(|frame: Frame<'_>| {
                let at = self.clock.place(frame.unix_ns);
                let mut was_packet = false;
                self.peeler.peel(&frame, |packet| {
                    was_packet = true;
                    take(Some(at), Some(&packet));
                });
                if !was_packet {
                    take(Some(at), None);
                }
            });
            match next {
                Ok(true) => {}
                Ok(false) => break,
                Err(damage) => {
                    self.damage = Some(damage);
                    break;
                }
            }
            read += 1;
            if read.is_multiple_of(REPORT_EVERY) && !progress(frames.position()) {
                return false;
            }
        }
        progress(frames.position())
    }
}

/// A file's time stamps as one time that never runs back: nanoseconds from its first packet.
#[derive(Debug, Default)]
struct Clock {
    first: i64,
    /// What is added to a stamp, since the clock was set back.
    ahead: i64,
    last: Option<i64>,
}

impl Clock {
    fn place(&mut self, unix_ns: i64) -> u64 {
        let last = match self.last {
            Some(last) => last,
            None => {
                self.first = unix_ns;
                unix_ns
            }
        };
        let mut now = unix_ns.saturating_add(self.ahead);
        if last.saturating_sub(now) > STEP_BACK {
            // The clock was set back: time goes on from where it was.
            self.ahead = last.saturating_sub(unix_ns);
            now = last;
        }
        let now = now.max(last);
        self.last = Some(now);
        u64::try_from(now.saturating_sub(self.first)).unwrap_or(0)
    }
}

/// For fuzzers and tests: reads any bytes as a capture and plays what is found into nothing.
/// Returns how many recordings began.
pub fn fuzz(bytes: &[u8], settings: &Settings) -> usize {
    struct Nothing(u8);
    impl Sink for Nothing {
        fn begin(&mut self, _: &Beginning) -> Option<RecordingSid> {
            self.0 = self.0.wrapping_add(1);
            Some(RecordingSid::from_bytes([self.0; 16]))
        }
        fn push(&mut self, _: Output, unix_ms: &dyn Fn(Mono) -> i64) {
            unix_ms(ORIGIN + Duration::from_secs(1));
        }
        fn progress(&mut self, _: u64, _: u64) -> bool {
            true
        }
    }
    let mut nothing = Nothing(0);
    let how = Import {
        account: AccountSid::from_bytes([0; 16]),
        call: None,
        settings: settings.clone(),
    };
    let mut file = std::io::Cursor::new(bytes);
    import(&mut file, bytes.len() as u64, &how, &mut nothing);
    usize::from(nothing.0)
}

#[cfg(test)]
mod tests;
