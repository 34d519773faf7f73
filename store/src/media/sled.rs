//! Media in the catalog's engine, on `kv`: one folder for everything, for little turnover (what
//! deletion gives back to the disk is design.md's table, "Where the bytes live").
//!
//! Called through [`Media`]. Keys are the Sid and a number (u32, big-endian): 0 and up are the
//! file as it is served in pieces of [`CHUNK_BYTES`], [`TRAILER`] is the record in its frame.
//!
//! Lock: `readers` is held for a look at the map alone. Invariants: the pieces of a recording go
//! when its last reader is done; a recording whose pieces are going gets no new reader. Pieces go
//! in batches, the first last, so that what is left after a crash is still found under its Sid.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use reeld_model::RecordingSid;

use super::reader::Source;
use super::{Gone, Media, MediaReader};
use crate::kv::{Changes, Table, Value};
use crate::locks::lock;
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
    pub(crate) fn new(table: Table) -> Self {
        Self {
            table,
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
        let length = seal::served_bytes(&stored.record);
        let mut changes = Changes::default();
        let mut left = length;
        for number in 0.. {
            if left == 0 {
                changes.put(chunk(sid, TRAILER), stored.frame());
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
        let mut readers = lock(&self.readers);
        if readers
            .get(&sid)
            .is_some_and(|readers| readers.is_going || readers.gone.is_some())
        {
            return Ok(None);
        }
        if !self.table.has(&chunk(sid, 0))? {
            return Ok(None);
        }
        readers.entry(sid).or_default().open += 1;
        drop(readers);
        let chunks = Chunks {
            media: self.clone(),
            sid,
            cached: None,
        };
        Ok(Some(MediaReader::new(
            Source::Chunks(chunks),
            seal::served_bytes(record),
        )))
    }

    fn trailer(&self, sid: RecordingSid) -> Result<Option<Option<Stored>>, StoreError> {
        match self.table.get(&chunk(sid, TRAILER))? {
            Some(frame) => Ok(Some(
                Stored::from_frame(&frame).filter(|stored| stored.record.sid == sid),
            )),
            None => Ok(self.table.has(&chunk(sid, 0))?.then_some(None)),
        }
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
