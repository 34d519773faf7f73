//! The frames of one recording's file: cut into blocks, trimmed, held to their limit.
//!
//! Called by [`crate::recording`] with the mixed samples in order; calls [`crate::silence`]; makes
//! the outputs. A frame is one sample of each channel.
//!
//! Trimming writes no leading silence at all, and writes trailing silence with a `keep_frames` that
//! stays behind it, so that nothing is held in memory and nothing is read again at the end.

use std::collections::VecDeque;
use std::time::Duration;

use reeld_model::time::time_of;
use reeld_model::{EndedBy, Mono, RecordingSid};
use serde::{Deserialize, Serialize};

use crate::block::Block;
use crate::output::Output;
use crate::silence::{self, HANGOVER, Judge, Verdict};

/// Zeros that are put into a block at once.
static ZEROS: [i16; 320] = [0; 320];

/// A whole block: one write a second. One that is not whole is written after this, so that a call that
/// falls silent, or whose stream is held, leaves nothing in memory for longer.
pub const BLOCK_AGE: Duration = Duration::from_secs(1);

/// Shares of a second that first blocks are of: a tick's, about.
const FIRST_SHARES: u8 = 16;

/// How long a new stream is held until the path's least delay is known, and is on no disk: 25 packets
/// of 20 ms (`segment`). Longer packets take longer.
pub const USUAL_HOLD: Duration = Duration::from_millis(500);

/// What the frames of a recording obey.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct FrameRules {
    /// Frames a second.
    pub(crate) rate_hz: u32,
    /// Frames of the recording's time at which it ends, and why then.
    pub(crate) limit: (u64, EndedBy),
    /// Samples of received silence at which it ends.
    pub(crate) timeout: Option<u64>,
    /// Whether leading and trailing silence goes.
    pub(crate) trim: bool,
}

/// The frames of a file that is being recorded.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Frames {
    recording: RecordingSid,
    channels: usize,
    rules: FrameRules,
    /// When the recording's time begins.
    begun_at: Mono,
    /// Frames of the recording's time so far, those that were trimmed included.
    taken: u64,
    /// Frames of the file so far, those in `block` included.
    total: u64,
    /// Frames of the file up to the end of the last voice.
    voice_end: u64,
    /// Whether `Started` went out.
    started: bool,
    block: Block,
    block_since: Option<Mono>,
    judge: Box<Judge>,
    /// Frames at which the block is given out.
    block_frames: usize,
    /// Frames that are judged at once, and frames of a whole block.
    judged: usize,
    whole_block: usize,
    /// The samples that wait to be judged, and whether a packet covered any of them.
    frame: Vec<i16>,
    frame_covered: bool,
    /// Leading silence that may turn out to be an onset.
    lead: VecDeque<i16>,
    lead_trimmed: u64,
    voiced: bool,
}

impl Frames {
    pub(crate) fn new(
        recording: RecordingSid,
        channels: usize,
        rules: FrameRules,
        begun_at: Mono,
    ) -> Self {
        Self {
            recording,
            channels,
            rules,
            begun_at,
            taken: 0,
            total: 0,
            voice_end: 0,
            started: false,
            block: Block::default(),
            block_since: None,
            block_frames: first_block(recording, rules.rate_hz as usize),
            judge: Box::default(),
            judged: silence::frame(rules.rate_hz),
            whole_block: rules.rate_hz as usize,
            frame: Vec::new(),
            frame_covered: false,
            lead: VecDeque::new(),
            lead_trimmed: 0,
            voiced: false,
        }
    }

    /// Frames of the file so far.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Frames that have come out, and of these how many the file keeps if it ends with them.
    pub(crate) fn given(&self) -> (u64, u64) {
        let given = self.total - (self.block.len() / self.channels) as u64;
        (given, self.keep().min(given))
    }

    /// When the first frame of the file was, if anything has come out.
    pub(crate) fn started(&self) -> Option<Mono> {
        self.started.then(|| self.first_at())
    }

    fn first_at(&self) -> Mono {
        self.begun_at + time_of(self.lead_trimmed, self.rules.rate_hz)
    }

    /// The number that the next frame has in the file, leading silence that is trimmed not counted.
    pub(crate) fn next_frame(&self) -> u64 {
        self.taken.saturating_sub(self.lead_trimmed)
    }

    /// Whether each frame is judged, and so must be appended with its own coverage.
    pub(crate) fn judges(&self) -> bool {
        self.rules.trim || self.rules.timeout.is_some()
    }

    /// Appends `frames` frames, which `read` puts into the block itself from the one with the number it
    /// is given on; not where each is judged. Says so when that ends the recording.
    pub(crate) fn append_from(
        &mut self,
        frames: usize,
        out: &mut VecDeque<Output>,
        mut read: impl FnMut(usize, &mut [i16]),
    ) -> Option<EndedBy> {
        debug_assert!(!self.judges(), "frames are appended without their coverage");
        let (frames, ended) = self.allowed(frames);
        self.taken += frames as u64;
        let mut done = 0;
        while done < frames {
            let part = self.room().min(frames - done);
            let whole = self.whole_block * self.channels;
            read(done, self.block.next(part * self.channels, whole));
            self.note_pushed(part, out);
            done += part;
        }
        ended
    }

    /// Appends whole frames that are to be judged; says so when that ends the recording.
    pub(crate) fn append(
        &mut self,
        samples: &[i16],
        covered: bool,
        out: &mut VecDeque<Output>,
    ) -> Option<EndedBy> {
        debug_assert!(self.judges(), "what needs no judge is read into the block");
        let (frames, ended) = self.allowed(samples.len() / self.channels);
        let mut samples = &samples[..frames * self.channels];
        self.taken += frames as u64;
        while !samples.is_empty() {
            let missing = self.judged * self.channels - self.frame.len();
            let (part, rest) = samples.split_at(missing.min(samples.len()));
            self.frame.extend_from_slice(part);
            self.frame_covered |= covered;
            samples = rest;
            if part.len() == missing && self.close_frame(out) {
                return Some(EndedBy::Timeout);
            }
        }
        ended
    }

    /// Appends frames of digital silence that no packet covers.
    pub(crate) fn append_silence(
        &mut self,
        frames: u64,
        out: &mut VecDeque<Output>,
    ) -> Option<EndedBy> {
        let (mut frames, ended) = self.allowed(usize::try_from(frames).unwrap_or(usize::MAX));
        self.taken += frames as u64;
        if self.judges() {
            // The frame that waits is filled up; whole frames of nothing need no judge; the rest
            // waits for its frame.
            while frames > 0 && !self.frame.is_empty() {
                self.frame.resize(self.frame.len() + self.channels, 0);
                frames -= 1;
                if self.frame.len() == self.judged * self.channels && self.close_frame(out) {
                    return Some(EndedBy::Timeout);
                }
            }
            let rest = frames % self.judged;
            frames -= rest;
            self.frame
                .resize(self.frame.len() + rest * self.channels, 0);
        }
        if self.rules.trim && !self.voiced {
            self.hold_silence(frames);
        } else {
            self.push_silence(frames as u64, out);
        }
        ended
    }

    /// Gives out a block that has waited long enough, or whose first frame lies `most` or more before
    /// the frame that is `behind` the last one that was appended: what is held does not make it older.
    pub(crate) fn handle_tick(
        &mut self,
        now: Mono,
        behind: u64,
        most: u64,
        out: &mut VecDeque<Output>,
    ) {
        if self.block.is_empty() {
            return;
        }
        let since = *self.block_since.get_or_insert(now);
        let age = (self.block.len() / self.channels) as u64 + behind;
        if now.since(since) >= BLOCK_AGE || age >= most {
            self.give_block(out);
        }
    }

    /// Gives out what is left; the frames that the file has.
    pub(crate) fn finish(&mut self, out: &mut VecDeque<Output>) -> u64 {
        if !self.frame.is_empty() {
            self.close_frame(out);
        }
        self.give_block(out);
        self.keep()
    }

    /// How many of `frames` the limit allows, and the end if it is reached with them.
    fn allowed(&self, frames: usize) -> (usize, Option<EndedBy>) {
        let (limit, by) = self.rules.limit;
        let left = usize::try_from(limit.saturating_sub(self.taken)).unwrap_or(usize::MAX);
        if frames >= left {
            (left, Some(by))
        } else {
            (frames, None)
        }
    }

    /// Judges the frame that waits and gives it on; whether the silence has lasted too long.
    fn close_frame(&mut self, out: &mut VecDeque<Output>) -> bool {
        let frame = std::mem::take(&mut self.frame);
        let covered = std::mem::take(&mut self.frame_covered);
        let verdict = self
            .judge
            .judge(&frame, self.channels, self.judged, covered);
        if self.rules.trim && !self.voiced && verdict < Verdict::Faint {
            self.lead.extend(&frame);
            let most = self.judge.lead() * self.judged * self.channels;
            let over = self.lead.len().saturating_sub(most);
            self.lead.drain(..over);
            self.lead_trimmed += (over / self.channels) as u64;
        } else {
            if !self.voiced {
                self.voiced = true;
                let lead: Vec<i16> = std::mem::take(&mut self.lead).into();
                self.push(&lead, out);
            }
            if verdict >= Verdict::Faint {
                // Before the push, since a push may give out a block, which states what to keep.
                self.voice_end = self.total + (frame.len() / self.channels) as u64;
            }
            self.push(&frame, out);
        }
        self.frame = frame;
        self.frame.clear();
        self.rules
            .timeout
            .is_some_and(|timeout| self.judge.silent_samples() >= timeout)
    }

    /// Leading silence of digital zeros: of it, what an onset may need is held back.
    fn hold_silence(&mut self, frames: usize) {
        let most = HANGOVER * self.judged;
        self.lead
            .extend(std::iter::repeat_n(0, frames.min(most) * self.channels));
        let over = self.lead.len().saturating_sub(most * self.channels);
        self.lead.drain(..over);
        self.lead_trimmed += (over / self.channels + frames.saturating_sub(most)) as u64;
    }

    fn push(&mut self, mut samples: &[i16], out: &mut VecDeque<Output>) {
        while !samples.is_empty() {
            let part = self.room() * self.channels;
            let (part, rest) = samples.split_at(part.min(samples.len()));
            let whole = self.whole_block * self.channels;
            self.block.next(part.len(), whole).copy_from_slice(part);
            self.note_pushed(part.len() / self.channels, out);
            samples = rest;
        }
    }

    /// Frames that the block has room for: one at least.
    fn room(&self) -> usize {
        self.block_frames - self.block.len() / self.channels
    }

    /// Notes frames that were put into the block, and gives it out if it is full.
    fn note_pushed(&mut self, frames: usize, out: &mut VecDeque<Output>) {
        self.total += frames as u64;
        if self.block.len() == self.block_frames * self.channels {
            self.give_block(out);
        }
    }

    fn push_silence(&mut self, frames: u64, out: &mut VecDeque<Output>) {
        if frames < self.whole_block as u64 {
            let mut left = usize::try_from(frames).expect("less than a block") * self.channels;
            while left > 0 {
                let part = left.min(ZEROS.len());
                self.push(&ZEROS[..part], out);
                left -= part;
            }
            return;
        }
        self.give_block(out);
        self.state_start(out);
        self.total += frames;
        let keep_frames = self.keep();
        out.push_back(Output::Silence {
            recording: self.recording,
            frames,
            keep_frames,
        });
    }

    fn give_block(&mut self, out: &mut VecDeque<Output>) {
        self.block_since = None;
        if self.block.is_empty() {
            return;
        }
        self.state_start(out);
        let keep_frames = self.keep();
        self.block_frames = self.whole_block;
        let samples = self.block.take();
        out.push_back(Output::Audio {
            recording: self.recording,
            samples,
            keep_frames,
        });
    }

    fn state_start(&mut self, out: &mut VecDeque<Output>) {
        if !self.started {
            self.started = true;
            out.push_back(Output::Started {
                recording: self.recording,
                at: self.first_at(),
                rate_hz: self.rules.rate_hz,
            });
        }
    }

    /// Frames of the file that stay if it ends now: all, or for a trimmed file those up to the
    /// hangover behind the last voice.
    fn keep(&self) -> u64 {
        if self.rules.trim {
            (self.voice_end + (HANGOVER * self.judged) as u64).min(self.total)
        } else {
            self.total
        }
    }
}

/// Frames of a recording's first block: some share of a whole one's, so that of recordings that begin
/// together not all have a block to write at the same time ever after.
fn first_block(recording: RecordingSid, whole: usize) -> usize {
    // Its last byte says which writer has it.
    let share = usize::from(recording.as_bytes()[14] % FIRST_SHARES) + 1;
    whole * share / usize::from(FIRST_SHARES)
}
