//! A take that is being written, output by output.
//!
//! Called by the writers and by the import, which has no thread between capture and store; calls
//! `store`. What a write failed on is the caller's to report; what follows it is dropped.

use reeld_capture::Output;
use reeld_model::{EndedBy, Mono, RecordingSid, Summary};
use reeld_store::{End, Store, StoreError, Take};

/// Zeros that are appended at once for silence: a second of two channels at 48 kHz, the most that a
/// second of a recording is, so that a second is never two writes.
static ZEROS: [i16; 96_000] = [0; 96_000];

/// A take that is being written.
pub(crate) struct OpenTake {
    take: Take,
    channels: usize,
    started_ms: Option<i64>,
    /// Set once the take cannot be written any more; what follows is dropped.
    failed: bool,
}

impl OpenTake {
    /// Takes up the take of a recording that was begun.
    pub(crate) fn of(store: &Store, recording: RecordingSid) -> Result<Self, StoreError> {
        let take = store.take(recording)?;
        Ok(Self {
            channels: usize::from(take.channels().count()),
            started_ms: take.started_ms(),
            take,
            failed: false,
        })
    }

    /// Takes an output other than the last. `unix_ms` tells the wall-clock time of an instant.
    pub(crate) fn write(
        &mut self,
        output: &Output,
        unix_ms: &dyn Fn(Mono) -> i64,
    ) -> Result<(), StoreError> {
        let written = match output {
            Output::Started { at, rate_hz, .. } => {
                self.begins_at(unix_ms(*at));
                self.take.set_rate(*rate_hz)
            }
            Output::Audio {
                samples,
                keep_frames,
                ..
            } => self.append(samples, *keep_frames),
            Output::Silence {
                frames,
                keep_frames,
                ..
            } => self.append_silence(*frames, *keep_frames),
            Output::Ended { .. } => Ok(()),
        };
        self.failed |= written.is_err();
        written
    }

    /// Says when the first frame was, in milliseconds since the Unix epoch.
    pub(crate) fn begins_at(&mut self, unix_ms: i64) {
        self.started_ms = Some(unix_ms);
    }

    /// Frames a second.
    pub(crate) fn rate_hz(&self) -> u32 {
        self.take.rate_hz()
    }

    /// Says how many frames a second has, before the first.
    pub(crate) fn set_rate(&mut self, rate_hz: u32) -> Result<(), StoreError> {
        self.take.set_rate(rate_hz)
    }

    /// Frames (one sample a channel) that are in the file.
    pub(crate) fn frames(&self) -> u64 {
        self.take.frames()
    }

    /// Appends interleaved samples; `keep` as in [`Output::Audio`].
    pub(crate) fn append(&mut self, samples: &[i16], keep: u64) -> Result<(), StoreError> {
        if self.failed {
            return Ok(());
        }
        let appended = self.take.append(samples, keep);
        self.failed = appended.is_err();
        appended
    }

    /// What `store` finishes it by, ended at `ended_ms` since the Unix epoch.
    pub(crate) fn end(self, mut summary: Summary, ended_ms: i64) -> (Take, End) {
        if self.failed {
            summary.ended_by = EndedBy::DiskFull;
            summary.frames = summary.frames.min(self.take.frames());
        }
        let end = End {
            summary,
            started_ms: self.started_ms,
            ended_ms,
        };
        (self.take, end)
    }

    fn append_silence(&mut self, mut frames: u64, keep: u64) -> Result<(), StoreError> {
        while frames > 0 && !self.failed {
            let part = frames.min((ZEROS.len() / self.channels) as u64);
            let samples = usize::try_from(part).unwrap_or(0) * self.channels;
            let kept = keep.min(self.take.frames() + part);
            self.append(&ZEROS[..samples], kept)?;
            frames -= part;
        }
        Ok(())
    }
}
