//! A take as a crash left it, in clear or encrypted: what recovery asks of it, and its end.
//!
//! Called by recovery. It calls `seal` for files in clear and `crypt` for the others, so that recovery's
//! cases are the same for both.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use reeld_model::{Channels, RecordingSid};

use crate::crypt::{ENVELOPE_BYTES, Growing, Keyring, Opened, is_encrypted};
use crate::seal;
use crate::spool::{UNKNOWN_BYTES, header};
use crate::stored::Stored;
use crate::{Record, StoreError};

/// See the file's header.
pub(crate) struct Found {
    file: File,
    path: PathBuf,
    kind: Kind,
}

enum Kind {
    Clear,
    /// Its whole pieces, whatever follows them.
    Encrypted(Box<Growing>),
    /// An encrypted file's first bytes, which never became whole: no sound was written to it.
    Torn,
}

impl Found {
    /// Opens the take at `path`.
    ///
    /// # Errors
    /// [`StoreError::KeyMissing`] where it is encrypted under another key, [`StoreError::Damaged`] where the envelope of one with
    /// sound cannot be read, else what the system says.
    pub(crate) fn open(
        path: PathBuf,
        keys: &Keyring,
        sid: RecordingSid,
    ) -> Result<Self, StoreError> {
        let io = |e| StoreError::io("read", &path, e);
        let file = take_file(&path)?;
        let length = file.metadata().map_err(io)?.len();
        let head = length.min(ENVELOPE_BYTES as u64);
        let mut begins = vec![0; usize::try_from(head).expect("at most ENVELOPE_BYTES")];
        file.read_exact_at(&mut begins, 0).map_err(io)?;
        let is_blank = begins.iter().all(|byte| *byte == 0);
        let is_short = length <= ENVELOPE_BYTES as u64;
        let is_lost = is_blank && length == ENVELOPE_BYTES as u64;
        let kind = if is_lost || (is_short && is_encrypted(&begins)) {
            // Whole or not, nothing follows it.
            match Growing::resume(&file, keys, sid) {
                Ok(growing) => Kind::Encrypted(Box::new(growing)),
                Err(_) => Kind::Torn,
            }
        } else if is_encrypted(&begins) {
            let growing = Growing::resume(&file, keys, sid);
            Kind::Encrypted(Box::new(growing.map_err(|shut| shut.of(sid, "read"))?))
        } else {
            Kind::Clear
        };
        Ok(Self { file, path, kind })
    }

    /// Opens the take at `path` that another process parked and nothing has torn since: an encrypted one is not read
    /// whole.
    ///
    /// # Errors
    /// As [`Found::open`].
    pub(crate) fn parked(
        path: PathBuf,
        keys: &Keyring,
        sid: RecordingSid,
    ) -> Result<Self, StoreError> {
        let file = take_file(&path)?;
        // What is in clear, and what does not end as a parked take, is what `open` finds.
        match Growing::parked(&file, keys, sid) {
            Ok(growing) => Ok(Self {
                file,
                path,
                kind: Kind::Encrypted(Box::new(growing)),
            }),
            Err(_) => Self::open(path, keys, sid),
        }
    }

    /// The record behind it, where there is one.
    pub(crate) fn record(
        &self,
        keys: &Keyring,
        sid: RecordingSid,
    ) -> Result<Option<Stored>, StoreError> {
        let io = |e| StoreError::io("read", &self.path, e);
        match self.kind {
            Kind::Clear => seal::trailer(&self.file, sid).map_err(io),
            Kind::Encrypted(_) => {
                let length = self.file.metadata().map_err(io)?.len();
                // What does not open is not sealed; its pieces have been judged one by one.
                let opened = Opened::open(&self.file, length, keys, sid).ok();
                Ok(opened.and_then(Opened::into_stored))
            }
            Kind::Torn => Ok(None),
        }
    }

    /// Its record, where it was sealed and its samples are what the record says; made durable, as it may be only in
    /// memory since the process died.
    pub(crate) fn sealed(
        &mut self,
        keys: &Keyring,
        sid: RecordingSid,
    ) -> Result<Option<Stored>, StoreError> {
        let sealed = self.record(keys, sid)?;
        let Some(sealed) = sealed else {
            return Ok(None);
        };
        // What cannot be read whole is not sealed either.
        if self.checksum(&sealed.record).ok() != sealed.record.blake3 {
            return Ok(None);
        }
        let synced = self.file.sync_data();
        synced.map_err(|e| StoreError::io("sync", &self.path, e))?;
        Ok(Some(sealed))
    }

    /// Whether it has more than `sealed`, its record, keeps.
    pub(crate) fn keeps_more(&self, sealed: &Stored) -> Result<bool, StoreError> {
        match &self.kind {
            Kind::Clear => {
                let metadata = self.file.metadata();
                let metadata = metadata.map_err(|e| StoreError::io("read", &self.path, e))?;
                let whole = seal::served_bytes(&sealed.record) + sealed.frame().len() as u64;
                Ok(metadata.len() != whole)
            }
            Kind::Encrypted(growing) => Ok(growing.keeps_more(sealed.record.data_bytes())),
            Kind::Torn => Ok(false),
        }
    }

    /// Gives it up to be gone on with, cut to `data_bytes` of sound at `rate_hz`: its file, and what is known of its
    /// encryption.
    ///
    /// # Errors
    /// Where it has not so much, or what the system says.
    pub(crate) fn go_on(
        self,
        channels: Channels,
        rate_hz: u32,
        data_bytes: u64,
    ) -> Result<(File, Option<Growing>), StoreError> {
        let Self { file, path, kind } = self;
        let io = |e| StoreError::io("go on with", &path, e);
        let short = || io(std::io::ErrorKind::UnexpectedEof.into());
        match kind {
            Kind::Clear => {
                let bytes = seal::HEAD_BYTES + data_bytes;
                if file.metadata().map_err(io)?.len() < bytes {
                    return Err(short());
                }
                file.write_all_at(&header(channels, rate_hz, UNKNOWN_BYTES), 0)
                    .and_then(|()| file.set_len(bytes))
                    .map_err(io)?;
                Ok((file, None))
            }
            Kind::Encrypted(mut growing) => {
                if !growing.cut(data_bytes) {
                    return Err(short());
                }
                file.set_len(growing.end()).map_err(io)?;
                Ok((file, Some(*growing)))
            }
            Kind::Torn => Err(short()),
        }
    }

    /// Whether there is anything in it beside its head.
    pub(crate) fn has_sound(&self) -> Result<bool, StoreError> {
        Ok(match &self.kind {
            Kind::Clear => {
                let metadata = self.file.metadata();
                let metadata = metadata.map_err(|e| StoreError::io("read", &self.path, e))?;
                metadata.len() > seal::HEAD_BYTES
            }
            Kind::Encrypted(growing) => growing.data_bytes() > 0,
            Kind::Torn => false,
        })
    }

    /// Frames a second, where it says so.
    pub(crate) fn rate_hz(&self, record: &Record) -> Result<Option<u32>, StoreError> {
        match &self.kind {
            Kind::Clear => {
                let head = seal::head(&self.file, record.channels);
                let head = head.map_err(|e| StoreError::io("read", &self.path, e))?;
                Ok(head.map(|(rate_hz, _)| rate_hz))
            }
            Kind::Encrypted(growing) => Ok(growing.rate_hz()),
            Kind::Torn => Ok(None),
        }
    }

    /// Bytes of data that are whole frames.
    pub(crate) fn data_bytes(&self, record: &Record) -> Result<u64, StoreError> {
        match &self.kind {
            Kind::Clear => {
                let data = seal::data_bytes(&self.file, record.channels);
                data.map_err(|e| StoreError::io("read", &self.path, e))
            }
            Kind::Encrypted(growing) => Ok(growing.data_bytes()),
            Kind::Torn => Ok(0),
        }
    }

    /// Of the first `data` bytes, how many are left without the silence at their end.
    pub(crate) fn without_silence(&self, record: &Record, data: u64) -> Result<u64, StoreError> {
        let trimmed = match &self.kind {
            Kind::Clear => seal::without_silence(record, data, &mut |bytes, at| {
                self.file.read_exact_at(bytes, seal::HEAD_BYTES + at)
            }),
            Kind::Encrypted(growing) => {
                let mut opened = growing.reader(&self.file);
                seal::without_silence(record, data, &mut |bytes, at| {
                    opened.read_exact_at(bytes, at)
                })
            }
            Kind::Torn => Ok(0),
        };
        trimmed.map_err(|e| StoreError::io("read", &self.path, e))
    }

    /// BLAKE3 of a record's samples.
    pub(crate) fn checksum(&mut self, record: &Record) -> Result<[u8; 32], StoreError> {
        let checksum = match &self.kind {
            Kind::Clear => seal::file_checksum(&mut self.file, record.data_bytes()),
            Kind::Encrypted(growing) => {
                let mut opened = growing.reader(&self.file);
                seal::checksum(&mut opened.sound(), record.data_bytes(), |_| {})
            }
            Kind::Torn => Err(std::io::ErrorKind::UnexpectedEof.into()),
        };
        checksum.map_err(|e| StoreError::io("read", &self.path, e))
    }

    /// Makes it the record's finished file, durable.
    pub(crate) fn seal(&mut self, stored: &Stored) -> Result<(), StoreError> {
        let growing = match &self.kind {
            Kind::Clear | Kind::Torn => None,
            Kind::Encrypted(growing) => Some(&**growing),
        };
        seal::seal(&mut self.file, &self.path, stored, growing)
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// The file of a take, to be read and gone on with.
fn take_file(path: &Path) -> Result<File, StoreError> {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).open(path);
    file.map_err(|e| StoreError::io("read", path, e))
}
