//! A take: a recording's samples as they are appended, valid up to the last block.
//!
//! Called by the recorder's writer (`append`) and by `finish`. It writes one file of the spool
//! and nothing else; what happens to that file at the end is `seal`'s and `finish`'s.
//!
//! Invariants: the file is the header and then whole frames, except while a write runs or after
//! one failed; `frames` counts those that are surely whole. A running BLAKE3 covers them, and a
//! copy of it stands at the place where the file would be cut, so that the end reads nothing
//! again. After a failed write nothing is appended any more. No lock: one thread owns a take.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use blake3::Hasher;
use reeld_codec::wav;
use reeld_model::{Channels, EndedBy, RecordingSid};

use crate::crypt::Growing;
use crate::disk::Disk;
use crate::error::is_full;
use crate::live::{Owner, Waiting};
use crate::reserve::Reserve;
use crate::seal;
use crate::spool::{UNKNOWN_BYTES, header};
use crate::stored::Stored;
use crate::trouble::{Trouble, again};
use crate::{Record, StoreError};

#[cfg(test)]
mod tests;

/// A recording being written: the one handle with which its samples go to disk.
pub struct Take {
    owner: Owner,
    pub(crate) file: File,
    pub(crate) path: PathBuf,
    /// The record as it was begun.
    pub(crate) begun: Stored,
    /// Where the file is encrypted.
    pub(crate) crypt: Option<Growing>,
    reserve: Arc<Reserve>,
    trouble: Arc<Trouble>,
    disk: Disk,
    frames: u64,
    keep_frames: u64,
    /// `None` where the take was resumed: what was there before was not read again.
    all: Option<Hasher>,
    /// The hasher as it was at `keep_frames`, where that is not the end; `None` where it is not
    /// known because `keep_frames` came to lie within an earlier block.
    kept: Option<Hasher>,
    failed: Option<Failed>,
    /// Bytes after which the disk plays full.
    #[cfg(test)]
    pub(crate) room: Option<u64>,
}

/// Why a take grows no more.
#[derive(Debug, Clone)]
enum Failed {
    Full,
    /// The next block does not fit under RIFF's 4 GiB.
    TooLarge,
    Io {
        what: String,
        kind: io::ErrorKind,
        text: String,
    },
}

impl std::fmt::Debug for Take {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Take")
            .field("sid", &self.sid())
            .field("frames", &self.frames)
            .field("keep_frames", &self.keep_frames)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

impl Take {
    pub(crate) fn new(
        owner: Owner,
        Waiting {
            file,
            begun,
            crypt,
            resumed,
        }: Waiting,
        path: PathBuf,
        (reserve, trouble): (Arc<Reserve>, Arc<Trouble>),
        disk: Disk,
    ) -> Self {
        Self {
            owner,
            file,
            path,
            begun,
            crypt,
            reserve,
            trouble,
            disk,
            frames: resumed.map_or(0, |resumed| resumed.frames),
            keep_frames: resumed.map_or(0, |resumed| resumed.keep_frames),
            all: resumed.is_none().then(Hasher::new),
            kept: None,
            failed: None,
            #[cfg(test)]
            room: None,
        }
    }

    /// Whose take it is.
    #[must_use]
    pub const fn sid(&self) -> RecordingSid {
        self.owner.sid()
    }

    /// How its tracks lie in the file.
    #[must_use]
    pub const fn channels(&self) -> Channels {
        self.begun.record.channels
    }

    /// The wall-clock time of its first frame, milliseconds since the Unix epoch, where it was resumed.
    #[must_use]
    pub const fn started_ms(&self) -> Option<i64> {
        self.begun.record.started_ms
    }

    /// Frames a second.
    #[must_use]
    pub const fn rate_hz(&self) -> u32 {
        self.begun.record.rate_hz
    }

    /// Says how many frames a second follow: once, before the first [`Take::append`]. Without it
    /// they are 8,000. The file's header has the rate before the file has any sound, so that
    /// recovery finds it there.
    ///
    /// # Errors
    /// [`StoreError::Io`] where the header cannot be written, or where the rate is 0 or would
    /// change what has been appended.
    pub fn set_rate(&mut self, rate_hz: u32) -> Result<(), StoreError> {
        if rate_hz == self.rate_hz() {
            return Ok(());
        }
        let refused = |reason| {
            let source = io::Error::new(io::ErrorKind::InvalidInput, reason);
            Err(StoreError::io("set the rate of", &self.path, source))
        };
        if rate_hz == 0 {
            return refused("a rate of 0 Hz");
        }
        if self.frames > 0 {
            return refused("it has sound already");
        }
        let (head, at) = match &self.crypt {
            None => (header(self.channels(), rate_hz, UNKNOWN_BYTES).to_vec(), 0),
            Some(growing) => (growing.rate(rate_hz)?, growing.end()),
        };
        let written = self
            .disk
            .pass()
            .and_then(|()| self.file.write_all_at(&head, at));
        if let Err(error) = written {
            return Err(self.fail(&error));
        }
        if let Some(growing) = &mut self.crypt {
            growing.has_rate(rate_hz, &head);
        }
        self.begun.record.rate_hz = rate_hz;
        Ok(())
    }

    /// Frames (one sample a channel) that are surely in the file.
    #[must_use]
    pub const fn frames(&self) -> u64 {
        self.frames
    }

    /// Of these, how many the file keeps if it ends now.
    #[must_use]
    pub const fn keep_frames(&self) -> u64 {
        self.keep_frames
    }

    /// Bytes of its file that are to outlive it: what it keeps and, where it is encrypted, more of that piece.
    pub(crate) fn file_bytes(&self) -> u64 {
        match &self.crypt {
            None => seal::HEAD_BYTES + self.keep_frames * self.frame_bytes(),
            Some(growing) => growing.end(),
        }
    }

    /// Why the recording ends here, where a write failed.
    pub(crate) fn failure(&self) -> Option<EndedBy> {
        self.failed.as_ref().map(|failed| match failed {
            Failed::TooLarge => EndedBy::MaxSize,
            Failed::Full => EndedBy::DiskFull,
            Failed::Io { .. } => EndedBy::DiskFailed,
        })
    }

    /// Appends interleaved samples, whole frames, with one write.
    ///
    /// `keep_frames`: of all frames appended so far (these included), how many the file keeps if
    /// it ends now: less than all of them only for trailing silence of a trimmed recording. It
    /// never falls, and is at most all; what is outside that is taken as the nearest that is in.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`] or [`StoreError::Io`]: finish the take. What was whole before is
    /// kept, and each further call returns the same error.
    pub fn append(&mut self, samples: &[i16], keep_frames: u64) -> Result<(), StoreError> {
        if let Some(failed) = &self.failed {
            return Err(self.error(failed.clone()));
        }
        let width = usize::from(self.begun.record.channels.count());
        debug_assert!(samples.len().is_multiple_of(width), "whole frames");
        let samples = &samples[..samples.len() - samples.len() % width];
        let data_end = self.data_end() + samples.len() as u64 * u64::from(wav::SAMPLE_BYTES);
        if data_end > seal::HEAD_BYTES + u64::from(wav::MAX_DATA_BYTES) {
            self.failed = Some(Failed::TooLarge);
            return Err(self.error(Failed::TooLarge));
        }
        if !self.reserve.lets_takes_grow() {
            self.failed = Some(Failed::Full);
            return Err(self.error(Failed::Full));
        }
        let bytes = wav::sample_bytes(samples);
        let (whole, failed) = self.put(&bytes)?;
        self.count(&bytes[..whole], keep_frames);
        match failed {
            None => Ok(()),
            Some(error) => Err(self.fail(&error)),
        }
    }

    /// Writes samples at the end: how many bytes of them are whole frames in the file now, and why not all.
    fn put(&mut self, bytes: &[u8]) -> Result<(usize, Option<io::Error>), StoreError> {
        let Some(growing) = &self.crypt else {
            let frame_bytes = usize::try_from(self.frame_bytes()).expect("at most 4");
            return Ok(match self.write(bytes, self.data_end()) {
                Ok(()) => (bytes.len(), None),
                Err((done, error)) => (done - done % frame_bytes, Some(error)),
            });
        };
        let block = growing.block(bytes)?;
        let (written, failed) = match self.write(&block.bytes, growing.end()) {
            Ok(()) => (block.bytes.len(), None),
            Err((done, error)) => (done, Some(error)),
        };
        let whole = self
            .crypt
            .as_mut()
            .map(|growing| growing.has_block(&block, written));
        Ok((whole.unwrap_or(0), failed))
    }

    /// Notes that a write failed: nothing is appended any more.
    fn fail(&mut self, error: &io::Error) -> StoreError {
        let failed = if is_full(error) {
            self.reserve.release();
            Failed::Full
        } else {
            self.trouble
                .note(&StoreError::io("write", &self.path, again(error)));
            Failed::Io {
                what: format!("write {}", self.path.display()),
                kind: error.kind(),
                text: error.to_string(),
            }
        };
        self.failed = Some(failed.clone());
        self.error(failed)
    }

    /// Takes whole frames that are in the file into the counts and checksums.
    fn count(&mut self, bytes: &[u8], keep_frames: u64) {
        let before = self.frames;
        self.frames += bytes.len() as u64 / self.frame_bytes();
        let keep = keep_frames.clamp(self.keep_frames, self.frames);
        let frame_bytes = self.frame_bytes();
        if let Some(all) = &mut self.all {
            if keep < before {
                if keep != self.keep_frames {
                    self.kept = None;
                }
                all.update(bytes);
            } else {
                let cut =
                    usize::try_from((keep - before) * frame_bytes).expect("it lies within a slice");
                all.update(&bytes[..cut]);
                self.kept = Some(all.clone());
                all.update(&bytes[cut..]);
            }
        }
        self.keep_frames = keep;
    }

    /// Writes at `at`, the end; on failure, how many bytes went in before it.
    fn write(&self, bytes: &[u8], at: u64) -> Result<(), (usize, io::Error)> {
        let mut done = 0;
        while done < bytes.len() {
            match self.write_some(&bytes[done..], at + done as u64) {
                Ok(0) => return Err((done, io::ErrorKind::WriteZero.into())),
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err((done, error)),
            }
        }
        Ok(())
    }

    fn write_some(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        self.disk.pass()?;
        #[cfg(test)]
        if let Some(room) = self.room {
            let left = usize::try_from(room.saturating_sub(at)).unwrap();
            if left == 0 {
                return Err(nix::errno::Errno::ENOSPC.into());
            }
            return self.file.write_at(&bytes[..left.min(bytes.len())], at);
        }
        self.file.write_at(bytes, at)
    }

    /// BLAKE3 of the samples that the file keeps; `None` where only reading them can tell.
    pub(crate) fn checksum(&self) -> Option<[u8; 32]> {
        let hasher = if self.keep_frames == self.frames {
            self.all.as_ref()
        } else {
            self.kept.as_ref()
        };
        hasher.map(|hasher| hasher.finalize().into())
    }

    /// BLAKE3 of a record's samples, read from the file.
    pub(crate) fn read_checksum(&mut self, record: &Record) -> Result<[u8; 32], StoreError> {
        let checksum = match &self.crypt {
            None => seal::file_checksum(&mut self.file, record.data_bytes()),
            Some(growing) => {
                let mut sound = growing.reader(&self.file);
                seal::checksum(&mut sound.sound(), record.data_bytes(), |_| {})
            }
        };
        checksum.map_err(|e| StoreError::io("read", &self.path, e))
    }

    fn frame_bytes(&self) -> u64 {
        seal::frame_bytes(self.begun.record.channels)
    }

    pub(crate) fn data_end(&self) -> u64 {
        seal::HEAD_BYTES + self.frames * self.frame_bytes()
    }

    fn error(&self, failed: Failed) -> StoreError {
        match failed {
            Failed::Full => StoreError::DiskFull { sid: self.sid() },
            Failed::TooLarge => StoreError::Io {
                what: format!("append to {}", self.path.display()),
                source: io::Error::new(io::ErrorKind::FileTooLarge, "a WAV file ends at 4 GiB"),
            },
            Failed::Io { what, kind, text } => StoreError::Io {
                what,
                source: io::Error::new(kind, text),
            },
        }
    }
}
