//! The scrub: every recording's media read back and compared, slowly and for ever.
//!
//! Called by the daemon, a step at a time, as many bytes as `store.scrub` gives a second; the time is
//! told, never asked. It calls the catalog, the media and `integrity`, which marks what is found.
//!
//! A round goes through the recordings in the order of Sids, and begins no sooner than `every` after the
//! round before began. How far it is lies in `<data_dir>/scrub`: after a restart it goes on at the
//! recording that it was at. What it has read leaves the page cache, which is for callers.

use std::collections::VecDeque;
use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use blake3::Hasher;
use reeld_codec::wav;
use reeld_model::RecordingSid;

use crate::catalog::Met;
use crate::folder;
use crate::media::MediaReader;
use crate::spool::header;
use crate::store::Store;
use crate::verify::{ANOTHER_CHECKSUM, ANOTHER_HEADER, Examined, Finding};
use crate::{Stage, StoreError};

#[cfg(test)]
mod tests;

/// Bytes that are read at once.
const BLOCK: usize = 1 << 16;

/// Records that are fetched at once; a step looks at no more than these beside what it reads.
const BATCH: usize = 64;

/// What looking at a recording counts for, in bytes of a step: a read of its record and its file's ends.
const LOOK_BYTES: u64 = 4_096;

/// A scrub, where it is.
pub struct Scrub {
    store: Store,
    every: Duration,
    /// When this round began, milliseconds since the Unix epoch; 0 before the first.
    began_ms: i64,
    is_idle: bool,
    /// The last recording that was judged.
    last: Option<RecordingSid>,
    batch: VecDeque<Met>,
    reading: Option<Reading>,
}

/// A recording that is being read.
struct Reading {
    met: Met,
    media: MediaReader,
    hasher: Hasher,
    left: u64,
}

/// What a step came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Bytes of media read.
    pub bytes: u64,
    /// Recordings judged.
    pub recordings: u64,
    /// Those that are damaged.
    pub damaged: Vec<RecordingSid>,
    /// Whether a round is over.
    pub is_over: bool,
}

impl std::fmt::Debug for Scrub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scrub")
            .field("began_ms", &self.began_ms)
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

impl Scrub {
    /// A scrub of `store` that goes on where the last one was.
    ///
    /// # Errors
    /// What the system says.
    pub fn resume(store: Store, every: Duration) -> Result<Self, StoreError> {
        let text = folder::read(&path(&store))?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let mut words = text.split_whitespace();
        // One that cannot be read is begun anew.
        let began_ms = words.next().and_then(|word| word.parse().ok());
        let last = words.next().map(|word| word.parse().ok());
        Ok(Self {
            store,
            every,
            began_ms: began_ms.unwrap_or(0),
            // Without a Sid the round was over, or none had begun.
            is_idle: last.is_none(),
            last: last.flatten(),
            batch: VecDeque::new(),
            reading: None,
        })
    }

    /// Writes down where it is.
    ///
    /// # Errors
    /// What the system says.
    pub fn save(&self) -> Result<(), StoreError> {
        let mut text = self.began_ms.to_string();
        if !self.is_idle {
            let last = self
                .last
                .map_or_else(|| "-".to_owned(), |sid| sid.to_string());
            text = format!("{text} {last}");
        }
        let path = path(&self.store);
        self.store.inner.spool.pass("write", &path)?;
        folder::write_whole(&path, text.as_bytes())
    }

    /// Reads about `bytes` bytes; less where the round ends or none is due.
    ///
    /// # Errors
    /// What the engine or the file system as a whole says; a later step goes on.
    pub fn step(&mut self, bytes: u64, now_ms: i64) -> Result<Scrubbed, StoreError> {
        let mut done = Scrubbed::default();
        if self.is_idle {
            let every_ms = i64::try_from(self.every.as_millis()).unwrap_or(i64::MAX);
            if now_ms < self.began_ms.saturating_add(every_ms) && self.began_ms <= now_ms {
                return Ok(done);
            }
            (self.began_ms, self.is_idle) = (now_ms, false);
        }
        let mut left = bytes;
        while left > 0 {
            if let Some(reading) = self.reading.take() {
                let read = self.read(reading, left, &mut done)?;
                left = left.saturating_sub(read);
                continue;
            }
            left = left.saturating_sub(LOOK_BYTES);
            if self.batch.is_empty() {
                let batch = self.store.inner.catalog.after(self.last, BATCH)?;
                self.batch.extend(batch);
            }
            let Some(met) = self.batch.pop_front() else {
                (self.is_idle, self.last, done.is_over) = (true, None, true);
                break;
            };
            self.begin(met, &mut done)?;
        }
        let integrity = &self.store.inner.integrity;
        integrity.count_scrubbed(done.recordings, done.bytes);
        Ok(done)
    }

    /// Opens a recording, or judges it at once where there is nothing to read.
    fn begin(&mut self, met: Met, done: &mut Scrubbed) -> Result<(), StoreError> {
        let inner = &*self.store.inner;
        let sid = met.0;
        let Some(stored) = &met.1 else {
            tracing::error!(recording = %sid, "its record cannot be read (reeld verify)");
            self.last = Some(sid);
            return Ok(());
        };
        if stored.record.stage != Stage::Completed {
            self.last = Some(sid);
            return Ok(());
        }
        let opened = match inner.media.open(&stored.record) {
            Err(error) => return self.judge(met, Examined::of_error(sid, error)?, done),
            Ok(opened) => opened,
        };
        let Some(mut media) = opened else {
            return self.judge(met, Examined::Wrong(Finding::Missing(sid)), done);
        };
        let mut head = [0; wav::HEADER_BYTES];
        if let Err(error) = media.read_exact(&mut head) {
            let finding = Finding::Damaged(sid, format!("its header: {error}"));
            return self.judge(met, Examined::Wrong(finding), done);
        }
        let left = stored.record.data_bytes();
        if head != header(stored.record.channels, stored.record.rate_hz, left) {
            let finding = Finding::Damaged(sid, ANOTHER_HEADER.to_owned());
            return self.judge(met, Examined::Wrong(finding), done);
        }
        self.reading = Some(Reading {
            met,
            media,
            hasher: Hasher::new(),
            left,
        });
        Ok(())
    }

    /// Reads on; how much. A recording that has been read is judged.
    fn read(
        &mut self,
        mut reading: Reading,
        most: u64,
        done: &mut Scrubbed,
    ) -> Result<u64, StoreError> {
        let most = most.min(reading.left).min(BLOCK as u64);
        let mut block = vec![0; usize::try_from(most).expect("at most BLOCK")];
        let read = reading.media.read_exact(&mut block);
        let sid = reading.met.0;
        if let Err(error) = read {
            let finding = Finding::Damaged(sid, format!("its samples: {error}"));
            self.judge(reading.met, Examined::Wrong(finding), done)?;
            return Ok(most.max(1));
        }
        reading.hasher.update(&block);
        reading.left -= most;
        done.bytes += most;
        if reading.left > 0 {
            self.reading = Some(reading);
            return Ok(most);
        }
        reading.media.leave_cache();
        let checksum: [u8; 32] = reading.hasher.finalize().into();
        let wanted = reading
            .met
            .1
            .as_ref()
            .and_then(|stored| stored.record.blake3);
        let examined = if Some(checksum) == wanted {
            Examined::Whole
        } else {
            Examined::Wrong(Finding::Damaged(sid, ANOTHER_CHECKSUM.to_owned()))
        };
        self.judge(reading.met, examined, done)?;
        Ok(most.max(1))
    }

    fn judge(
        &mut self,
        met: Met,
        examined: Examined,
        done: &mut Scrubbed,
    ) -> Result<(), StoreError> {
        done.recordings += 1;
        if self.store.inner.settle(&met, &examined)?.is_some() {
            done.damaged.push(met.0);
        }
        self.last = Some(met.0);
        Ok(())
    }
}

fn path(store: &Store) -> PathBuf {
    store.inner.config.data_dir.join("scrub")
}
