//! Reading a recording's file as it is served.
//!
//! Called by `api` and verify. It yields the header and the data, and nothing of what lies behind
//! them in a file.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt as _;

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use reeld_codec::wav;
use reeld_model::RecordingSid;

use super::sled::Chunks;
use crate::crypt::{Keyring, Opened, RawBytes, Shut};
use crate::spool::header;
use crate::stored::Stored;
use crate::{Record, StoreError};

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
    Encrypted(Box<Encrypted>),
}

/// An encrypted file, wherever it lies: its header is made of its record, its data are decrypted.
pub(super) struct Encrypted {
    pub(super) head: [u8; wav::HEADER_BYTES],
    pub(super) sound: Opened<Raw>,
}

/// Where an encrypted file's bytes are.
pub(super) enum Raw {
    File(File),
    Chunks(Chunks),
}

impl Encrypted {
    /// Opens the encrypted file of a completed recording, `length` bytes.
    pub(super) fn open(
        raw: Raw,
        length: u64,
        keys: &Keyring,
        record: &Record,
    ) -> Result<Source, StoreError> {
        let sid = record.sid;
        let sound = Opened::open(raw, length, keys, sid).map_err(|shut| shut.of(sid, "open"))?;
        if sound.data_bytes() != record.data_bytes() {
            return Err(StoreError::Damaged {
                sid,
                what: format!(
                    "it has {} bytes of samples, not {}",
                    sound.data_bytes(),
                    record.data_bytes()
                ),
            });
        }
        let head = header(record.channels, record.rate_hz, record.data_bytes());
        Ok(Source::Encrypted(Box::new(Self { head, sound })))
    }

    fn read_at(&mut self, buffer: &mut [u8], place: u64) -> io::Result<usize> {
        let Some(at) = place.checked_sub(self.head.len() as u64) else {
            let start = usize::try_from(place).map_or(self.head.len(), |start| start);
            let rest = &self.head[start..];
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            return Ok(count);
        };
        self.sound.read_at(buffer, at)
    }
}

/// The record that lies with an encrypted file, as [`super::Media::trailer`] has it.
pub(super) fn encrypted_trailer(
    raw: Raw,
    length: u64,
    keys: &Keyring,
    sid: RecordingSid,
) -> Result<Option<Stored>, StoreError> {
    match Opened::open(raw, length, keys, sid) {
        Ok(opened) => Ok(opened.into_stored()),
        Err(Shut::Damaged(_)) => Ok(None),
        Err(shut) => Err(shut.of(sid, "read")),
    }
}

impl RawBytes for Raw {
    fn read_exact_at(&mut self, mut buffer: &mut [u8], mut at: u64) -> io::Result<()> {
        match self {
            Self::File(file) => file.read_exact_at(buffer, at),
            Self::Chunks(chunks) => {
                while !buffer.is_empty() {
                    let read = chunks.read_at(buffer, at)?;
                    if read == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    at += read as u64;
                    buffer = &mut buffer[read..];
                }
                Ok(())
            }
        }
    }
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
        let file = match &self.source {
            Source::File(file) => Some(file),
            Source::Chunks(_) => None,
            Source::Encrypted(encrypted) => match encrypted.sound.raw() {
                Raw::File(file) => Some(file),
                Raw::Chunks(_) => None,
            },
        };
        if let Some(file) = file {
            // Advice; who does not take it keeps the pages.
            let _ = posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
        }
    }

    /// The open file whose first [`MediaReader::len`] bytes are what is served, where media are files in clear;
    /// else the reader again. Like the reader it outlives the recording's deletion.
    ///
    /// # Errors
    /// The reader, whose media are in the catalog's engine, or encrypted.
    pub fn into_file(self) -> Result<File, Self> {
        match self.source {
            Source::File(file) => Ok(file),
            Source::Chunks(_) | Source::Encrypted(_) => Err(self),
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
            Source::Encrypted(encrypted) => encrypted.read_at(buffer, self.place)?,
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
