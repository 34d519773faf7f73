//! Media in the catalog's engine, on `kv`: one folder for everything, for little turnover (what
//! deletion gives back to the disk is design.md's table, "Where the bytes live").
//!
//! Called through [`Media`]. Keys are the Sid and a number (u32, big-endian): 0 and up are the
//! file as it is served in pieces of [`CHUNK_BYTES`], [`TRAILER`] is the record in its frame. Of a file that is
//! encrypted they are the file as it lies, and [`TRAILER`] is `reeldENC` and its length (u64, little-endian).
//!
//! Lock: `readers` is held for a look at the map alone. Invariants: the pieces of a recording go
//! when its last reader is done; a recording whose pieces are going gets no new reader. Pieces go
//! in batches, the first last, so that what is left after a crash is still found under its Sid.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use reeld_model::RecordingSid;

use super::reader::{Encrypted, Raw, Source, encrypted_trailer};
use super::{Gone, Media, MediaReader};
use crate::crypt::{Keyring, is_encrypted};
use crate::kv::{Changes, Table, Value};
use crate::locks::lock;
use crate::rewrap::Rewrapped;
use crate::seal;
use crate::stored::Stored;
use crate::{Record, StoreError};

/// Bytes of a piece: design.md's table compares it with a value a recording.
const CHUNK_BYTES: u64 = 1 << 16;

/// The number of the trailer.
const TRAILER: u32 = u32::MAX;

/// Pieces that are written or removed in one batch: 1 MiB.
const BATCH: u32 = 16;

#[derive(Clone)]
pub(crate) struct SledMedia {
    table: Table,
    keys: Arc<Keyring>,
    readers: Arc<Mutex<HashMap<RecordingSid, Readers>>>,
}

/// Who reads a recording.
#[derive(Default)]
struct Readers {
    open: usize,
    /// Its pieces go now.
    is_going: bool,
    /// What waits for the last reader.
    gone: Option<Gone>,
}

impl SledMedia {
    pub(crate) fn new(table: Table, keys: Arc<Keyring>) -> Self {
        Self {
            table,
            keys,
            readers: Arc::default(),
        }
    }

    /// Whether it has nothing.
    pub(crate) fn is_empty(&self) -> Result<bool, StoreError> {
        self.table
            .range(..)
            .next()
            .transpose()
            .map(|first| first.is_none())
    }

    /// A reader of a recording's pieces; `None` where there are none or they are going.
    fn reader(&self, sid: RecordingSid) -> Result<Option<Chunks>, StoreError> {
        let mut readers = lock(&self.readers);
        let is_going = |readers: &Readers| readers.is_going || readers.gone.is_some();
        if readers.get(&sid).is_some_and(is_going) {
            return Ok(None);
        }
        let Some(first) = self.table.get(&chunk(sid, 0))? else {
            return Ok(None);
        };
        readers.entry(sid).or_default().open += 1;
        drop(readers);
        Ok(Some(Chunks {
            media: self.clone(),
            sid,
            cached: Some((0, first)),
        }))
    }

    /// Bytes of an encrypted file; 0, which no such file has, where nothing says how many.
    fn encrypted_bytes(&self, sid: RecordingSid) -> Result<u64, StoreError> {
        let trailer = self.table.get(&chunk(sid, TRAILER))?;
        let length = trailer.and_then(|bytes| bytes.get(8..)?.first_chunk().copied());
        Ok(length.map_or(0, u64::from_le_bytes))
    }

    fn remove_chunks(&self, sid: RecordingSid) -> Result<(), StoreError> {
        loop {
            let keys: Vec<Vec<u8>> = self
                .table
                .range(chunk(sid, 1)..=chunk(sid, TRAILER))
                .take(BATCH as usize)
                .map(|pair| pair.map(|(key, _)| key.to_vec()))
                .collect::<Result<_, _>>()?;
            let is_last = keys.is_empty();
            let mut changes = Changes::default();
            keys.into_iter().for_each(|key| changes.remove(key));
            if is_last {
                changes.remove(chunk(sid, 0));
            }
            self.table.apply(changes)?;
            if is_last {
                return Ok(());
            }
        }
    }

    /// Removes what nobody reads any more; `is_going` has been set.
    fn finish_removal(&self, sid: RecordingSid, gone: Gone) -> Result<(), StoreError> {
        let removed = self.remove_chunks(sid);
        lock(&self.readers).remove(&sid);
        removed?;
        gone()
    }
}

fn chunk(sid: RecordingSid, number: u32) -> Vec<u8> {
    [sid.as_bytes().as_slice(), &number.to_be_bytes()].concat()
}

fn sid_of(key: &[u8]) -> Option<RecordingSid> {
    key.first_chunk().map(|sid| RecordingSid::from_bytes(*sid))
}

impl Media for SledMedia {
    fn adopt(&self, stored: &Stored, path: &Path) -> Result<(), StoreError> {
        let sid = stored.record.sid;
        let io = |e| StoreError::io("read", path, e);
        let mut file = File::open(path).map_err(io)?;
        let mut begins = [0; 8];
        let is_encrypted = match file.read_exact_at(&mut begins, 0) {
            Ok(()) => is_encrypted(&begins),
            Err(e) => return Err(io(e)),
        };
        let (length, trailer) = if is_encrypted {
            let length = file.metadata().map_err(io)?.len();
            (length, [begins.as_slice(), &length.to_le_bytes()].concat())
        } else {
            (seal::served_bytes(&stored.record), stored.frame())
        };
        let mut changes = Changes::default();
        let mut left = length;
        for number in 0.. {
            if left == 0 {
                changes.put(chunk(sid, TRAILER), trailer);
                return self.table.apply(changes);
            }
            let piece = left.min(CHUNK_BYTES);
            let mut bytes = vec![0; usize::try_from(piece).expect("at most CHUNK_BYTES")];
            io::Read::read_exact(&mut file, &mut bytes).map_err(io)?;
            changes.put(chunk(sid, number), bytes);
            left -= piece;
            if number % BATCH == BATCH - 1 {
                self.table.apply(std::mem::take(&mut changes))?;
            }
        }
        Ok(())
    }

    fn open(&self, record: &Record) -> Result<Option<MediaReader>, StoreError> {
        let sid = record.sid;
        let Some(chunks) = self.reader(sid)? else {
            return Ok(None);
        };
        let source = if chunks.is_encrypted() {
            let length = self.encrypted_bytes(sid)?;
            Encrypted::open(Raw::Chunks(chunks), length, &self.keys, record)?
        } else {
            Source::Chunks(chunks)
        };
        Ok(Some(MediaReader::new(source, seal::served_bytes(record))))
    }

    fn trailer(&self, sid: RecordingSid) -> Result<Option<Option<Stored>>, StoreError> {
        match self.table.get(&chunk(sid, TRAILER))? {
            Some(frame) if is_encrypted(&frame) => {
                let Some(chunks) = self.reader(sid)? else {
                    return Ok(None);
                };
                let length = self.encrypted_bytes(sid)?;
                encrypted_trailer(Raw::Chunks(chunks), length, &self.keys, sid).map(Some)
            }
            Some(frame) => Ok(Some(
                Stored::from_frame(&frame).filter(|stored| stored.record.sid == sid),
            )),
            None => Ok(self.table.has(&chunk(sid, 0))?.then_some(None)),
        }
    }

    fn has(&self, sid: RecordingSid) -> Result<bool, StoreError> {
        Ok(self.table.has(&chunk(sid, TRAILER))? || self.table.has(&chunk(sid, 0))?)
    }

    fn rewrap(&self, sids: &[RecordingSid], tally: &mut Rewrapped) -> Result<(), StoreError> {
        let Some(current) = self.keys.current() else {
            return Ok(());
        };
        for sid in sids {
            // While it is open, nobody removes its pieces.
            let Some(_reader) = self.reader(*sid)? else {
                continue; // deleted since
            };
            let Some(first) = self.table.get(&chunk(*sid, 0))? else {
                continue;
            };
            let envelope = is_encrypted(&first).then_some(&*first);
            let Some(rewrap) = tally.plan(*sid, envelope, &self.keys, current)? else {
                continue;
            };
            let mut bytes = first.to_vec();
            for write in [rewrap.first, rewrap.then].into_iter().flatten() {
                let at = usize::try_from(write.at).expect("within the envelope");
                bytes[at..at + write.bytes.len()].copy_from_slice(&write.bytes);
            }
            // One value, which the engine writes whole or not at all.
            let mut changes = Changes::default();
            changes.put(chunk(*sid, 0), bytes);
            self.table.apply(changes)?;
            tally.rewrapped += 1;
        }
        Ok(())
    }

    fn remove(&self, sid: RecordingSid, gone: Gone) -> Result<(), StoreError> {
        let mut readers = lock(&self.readers);
        let entry = readers.entry(sid).or_default();
        if entry.open > 0 {
            entry.gone = Some(gone);
            return Ok(());
        }
        entry.is_going = true;
        drop(readers);
        self.finish_removal(sid, gone)
    }

    fn each(
        &self,
        tell: &mut dyn FnMut(RecordingSid) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut from = Vec::new();
        loop {
            let Some(pair) = self.table.range(from..).next() else {
                return Ok(());
            };
            let (key, _) = pair?;
            let Some(sid) = sid_of(&key) else {
                return Err(StoreError::Catalog(format!(
                    "odd media key {}",
                    hex::encode(&key)
                )));
            };
            tell(sid)?;
            // Over the rest of its pieces in one step.
            from = chunk(sid, TRAILER);
            from.push(0);
        }
    }
}

/// An open recording's pieces.
pub(super) struct Chunks {
    media: SledMedia,
    sid: RecordingSid,
    cached: Option<(u32, Value)>,
}

impl Chunks {
    fn is_encrypted(&self) -> bool {
        self.cached
            .as_ref()
            .is_some_and(|(number, value)| *number == 0 && is_encrypted(value))
    }

    /// Reads some bytes at `place`; 0 where there are none.
    pub(super) fn read_at(&mut self, buffer: &mut [u8], place: u64) -> io::Result<usize> {
        let Ok(number) = u32::try_from(place / CHUNK_BYTES) else {
            return Ok(0);
        };
        if self
            .cached
            .as_ref()
            .is_none_or(|(cached, _)| *cached != number)
        {
            let value = self
                .media
                .table
                .get(&chunk(self.sid, number))
                .map_err(io::Error::other)?;
            self.cached = value.map(|value| (number, value));
        }
        let Some((_, value)) = &self.cached else {
            return Ok(0);
        };
        let start = usize::try_from(place % CHUNK_BYTES).expect("below CHUNK_BYTES");
        let rest = value.get(start..).unwrap_or_default();
        let size = rest.len().min(buffer.len());
        buffer[..size].copy_from_slice(&rest[..size]);
        Ok(size)
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        let mut readers = lock(&self.media.readers);
        let Some(entry) = readers.get_mut(&self.sid) else {
            return;
        };
        entry.open -= 1;
        if entry.open > 0 {
            return;
        }
        let Some(gone) = entry.gone.take() else {
            readers.remove(&self.sid);
            return;
        };
        entry.is_going = true;
        drop(readers);
        if let Err(error) = self.media.finish_removal(self.sid, gone) {
            // The tombstone is still there: the next start's recovery removes what is left.
            tracing::error!(recording = %self.sid, %error, "media not removed after a download");
        }
    }
}
