//! A recording that goes on in another process: parked by one daemon, resumed by the next.
//!
//! Called by the recorder where a daemon hands its calls over, and by the next one before recovery. A parked
//! take ends as if the daemon had stopped, so that nothing is lost where nobody resumes it.
//!
//! **Park**: what the take keeps is in its header and in the record behind it, as of a sealed one, and all
//! that it has beyond that stays between. *P1: parked; recovery completes it.*
//!
//! **Resume**: the header says again that sizes are unknown, and the take is cut to what the next daemon's
//! capture goes on from. *P2: header or cut; recovery takes it for a take that is not sealed (F0, B4).*

use reeld_model::RecordingSid;

use crate::found::Found;
use crate::live::{Resumed, Waiting};
use crate::seal;
use crate::store::{Inner, Store};
use crate::take::Take;
use crate::{End, Stage, StoreError};

#[cfg(test)]
mod tests;

/// From where a parked recording goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GoesOn {
    /// Frames that capture has given out; what the take has beyond them comes again.
    pub frames: u64,
    /// Of these, how many the file keeps if it ends with them.
    pub keep_frames: u64,
    /// Frames a second.
    pub rate_hz: u32,
    /// The wall-clock time of the first frame, milliseconds since the Unix epoch, where there is one: the
    /// parked take's own goes before it.
    pub started_ms: Option<i64>,
}

impl Store {
    /// Parks a take, which would end as `end` says: durable when this returns.
    ///
    /// # Errors
    /// What the system says. The take is in the spool as it was appended, and [`Store::recover`] finishes it.
    pub fn park(&self, mut take: Take, end: &End) -> Result<(), StoreError> {
        self.inner.heed(self.inner.park(&mut take, end))
    }

    /// Makes a parked recording this process's: its take is handed out by [`Store::take`], and goes on.
    ///
    /// # Errors
    /// [`StoreError::NotLive`] where nothing is known of it or it has ended, [`StoreError::TakeInUse`], and what
    /// the system says. Recovery finishes it then.
    pub fn resume(&self, sid: RecordingSid, goes_on: GoesOn) -> Result<(), StoreError> {
        self.inner.heed(self.inner.resume(sid, goes_on))
    }
}

impl Inner {
    fn park(&self, take: &mut Take, end: &End) -> Result<(), StoreError> {
        let stored = self.ended(take, end)?;
        if stored.record.frames == 0 {
            // Nobody's loss: recovery finds it empty.
            return Ok(());
        }
        let crypt = take.crypt.as_ref();
        seal::park(&take.file, &take.path, &stored, take.data_end(), crypt)
    }

    fn resume(&self, sid: RecordingSid, goes_on: GoesOn) -> Result<(), StoreError> {
        let owner = self.live.own(sid).ok_or(StoreError::TakeInUse { sid })?;
        let known = self.catalog.get(sid)?;
        let live = known.filter(|stored| stored.record.stage == Stage::Live);
        let mut begun = live.ok_or(StoreError::NotLive { sid })?;
        let found = Found::parked(self.spool.take_path(sid), &self.keys, sid)?;
        let parked = found.record(&self.keys, sid)?;
        let parked = parked.and_then(|stored| stored.record.started_ms);
        let GoesOn {
            frames,
            keep_frames,
            rate_hz,
            started_ms,
        } = goes_on;
        begun.record.rate_hz = rate_hz;
        begun.record.started_ms = parked.or(started_ms);
        let channels = begun.record.channels;
        let data_bytes = frames * seal::frame_bytes(channels);
        let (file, crypt) = found.go_on(channels, rate_hz, data_bytes)?;
        owner.offer(Waiting {
            file,
            begun,
            crypt,
            resumed: Some(Resumed {
                frames,
                keep_frames,
            }),
        });
        Ok(())
    }
}
