//! Reading a recording's file as it is served.
//!
//! Called by `api` and verify. It yields the header and the data, and nothing of what lies behind
//! them in a file.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt as _;

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

use super::sled::Chunks;

/// A recording's WAV file as it is served: 44 bytes of header, then the data. It can be sent to
/// another thread, and keeps working when the recording is deleted meanwhile.
pub struct MediaReader {
    source: Source,
    length: u64,
    place: u64,
}

pub(super) enum Source {
    File(File),
    Chunks(Chunks),
}

impl std::fmt::Debug for MediaReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MediaReader")
            .field("length", &self.length)
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

impl MediaReader {
    pub(super) const fn new(source: Source, length: u64) -> Self {
        Self {
            source,
            length,
            place: 0,
        }
    }

    /// Bytes of the whole file.
    #[expect(
        clippy::len_without_is_empty,
        reason = "it has a header, so it is never empty"
    )]
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.length
    }

    /// Lets the system forget what it has of the file in memory: for who reads it once.
    pub(crate) fn leave_cache(&self) {
        if let Source::File(file) = &self.source {
            // Advice; who does not take it keeps the pages.
            let _ = posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
        }
    }

    /// The open file whose first [`MediaReader::len`] bytes are what is served, where media are files;
    /// else the reader again. Like the reader it outlives the recording's deletion.
    ///
    /// # Errors
    /// The reader, whose media are in the catalog's engine.
    pub fn into_file(self) -> Result<File, Self> {
        match self.source {
            Source::File(file) => Ok(file),
            Source::Chunks(_) => Err(self),
        }
    }
}

impl Read for MediaReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.length.saturating_sub(self.place);
        let most = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if most == 0 {
            return Ok(0);
        }
        let buffer = &mut buffer[..most];
        let read = match &mut self.source {
            Source::File(file) => file.read_at(buffer, self.place)?,
            Source::Chunks(chunks) => chunks.read_at(buffer, self.place)?,
        };
        if read == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("the media end at {} of {} bytes", self.place, self.length),
            ));
        }
        self.place += read as u64;
        Ok(read)
    }
}

impl Seek for MediaReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::Current(by) => self.place.checked_add_signed(by),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
        };
        self.place = place.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "a place before the file's start",
            )
        })?;
        Ok(self.place)
    }
}
