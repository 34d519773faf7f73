//! The life of a recording: begin, take, finish or abort.
//!
//! Called by `api` (begin, abort) and the recorder (take, finish). It calls the spool, the
//! catalog, `seal` and the media, in the order that makes each step repeatable after a crash.
//! `docs/ref/storage.md` has the same procedures; `recover` takes up what a crash left, and its
//! tests build the folder as each crash point leaves it.
//!
//! **Begin**
//! 1. Room is checked; the Sid and the token are looked up.
//! 2. The take is made, with a header of unknown sizes. *B2: a take without a start file.*
//! 3. The start file is written whole, and both names become durable. *B3: a take and a start
//!    file without a record.* Nobody was told of the recording: recovery removes both.
//! 4. The record, live, becomes durable in the catalog. *B4: a live recording.* It is answered.
//!
//! **Finish**
//! 1. The take is sealed: final header, cut to what is kept, its record behind it, `fdatasync`.
//!    *F1: sealed in the spool*; within the step: *F0: header final, rest cut or not, trailer
//!    torn or missing*.
//! 2. The media take it in, durable: for files, a rename and a sync of both folders. *F2: in the
//!    media, live in the catalog.*
//! 3. The record, completed, becomes durable in the catalog, and with it the event that tells of
//!    it, which may be sent from here on. *F3: completed, start file left.*
//! 4. What is left in the spool is removed. The record is returned, and the caller tells of it.
//!
//! An empty recording becomes absent instead: its record first (3), then its files are removed
//! (4). *A3: absent, take and start file left.*
//!
//! **Abort** takes the record out of the catalog, durable, and then the files away: what a crash
//! leaves between is B3.

use reeld_model::quality::{MOST_CONCEALED, MOST_NAMES};
use reeld_model::{RecordingSid, SAMPLE_RATE, Summary, TrackQuality};

use crate::catalog::{Insert, MOST_PENDING, Told};
use crate::live::Waiting;
use crate::record::NewRecording;
use crate::seal;
use crate::store::{Inner, Store};
use crate::stored::{Stored, token_hash};
use crate::take::Take;
use crate::{EventStatus, Record, Stage, StoreError};

#[cfg(test)]
mod tests;

/// Bytes that are kept of a codec's name or a source's; an IPv6 address with its port has 47.
const NAME_BYTES: usize = 64;

/// What [`Store::begin`] came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Begun {
    /// A new recording: its record, live.
    New(Record),
    /// The idempotency token has begun this one before: its record as it is now.
    Repeated(Record),
}

/// What is known at a recording's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// What capture says of it.
    pub summary: Summary,
    /// The wall-clock time of the file's first frame, milliseconds since the Unix epoch.
    pub started_ms: Option<i64>,
    /// When it ended, milliseconds since the Unix epoch.
    pub ended_ms: i64,
}

impl Store {
    /// Begins a recording: its take and its live record are durable when this returns.
    ///
    /// # Errors
    /// [`StoreError::NoSpace`], [`StoreError::ReadOnly`], [`StoreError::Failing`], [`StoreError::SidTaken`],
    /// [`StoreError::OutboxFull`], else what the system or the engine says. Nothing of the recording is left then.
    pub fn begin(&self, new: NewRecording) -> Result<Begun, StoreError> {
        self.inner.heed(self.inner.begin(new))
    }

    /// Undoes [`Store::begin`] where capture refused the recording: no take, record or token is
    /// left.
    ///
    /// # Errors
    /// [`StoreError::NotLive`], [`StoreError::TakeInUse`], else what the system or the engine
    /// says.
    pub fn abort(&self, sid: RecordingSid) -> Result<(), StoreError> {
        let inner = &*self.inner;
        let (_owner, _) = inner.live.accept(sid)?;
        let undone = inner.catalog.remove(sid);
        inner.heed(undone.and_then(|()| inner.spool.clear(sid)))
    }

    /// Hands out the take of a recording that was begun, once.
    ///
    /// # Errors
    /// [`StoreError::NotLive`], [`StoreError::TakeInUse`].
    pub fn take(&self, sid: RecordingSid) -> Result<Take, StoreError> {
        let (owner, waiting) = self.inner.live.accept(sid)?;
        let path = self.inner.spool.take_path(sid);
        let inner = &*self.inner;
        let signs = (inner.reserve.clone(), inner.trouble.clone());
        Ok(Take::new(
            owner,
            waiting,
            path,
            signs,
            inner.config.disk.clone(),
        ))
    }

    /// Says anew what signals a recording's call, while it is live; `false` where it is not. Durable.
    ///
    /// # Errors
    /// What the system or the engine says.
    pub fn set_signalling(&self, sid: RecordingSid, json: &str) -> Result<bool, StoreError> {
        let inner = &*self.inner;
        let amended = inner.catalog.amend(sid, &mut |record| {
            if record.stage == Stage::Live {
                json.clone_into(&mut record.signalling_json);
            }
        });
        let amended = inner.heed(amended)?;
        Ok(amended.is_some_and(|stored| stored.record.stage == Stage::Live))
    }

    /// Ends a recording: its media and its record are durable when this returns. A take that
    /// could not be written to the end gives a whole file of what was written, ended by `DiskFull`
    /// or `DiskFailed` (or `MaxSize`, where a WAV file holds no more).
    ///
    /// # Errors
    /// What the system or the engine says. The take is kept then, and [`Store::mend`] finishes it
    /// once the disk lets it; where the process ends before, [`Store::recover`] does.
    pub fn finish(&self, mut take: Take, end: End) -> Result<Record, StoreError> {
        let inner = &*self.inner;
        let finished = inner.heed(inner.finish(&mut take, &end));
        if let Err(error) = &finished {
            inner.keep_unfinished(take, end, error);
        }
        finished
    }
}

/// What a record may hold of a track's quality: names come from a sender's SDP, and a record must
/// stay far below what is looked through for it at a file's end (`stored`).
fn bounded(mut quality: TrackQuality) -> TrackQuality {
    for names in [
        &mut quality.codecs,
        &mut quality.undecodable,
        &mut quality.sources,
    ] {
        names.truncate(MOST_NAMES);
        for name in names {
            name.truncate(name.floor_char_boundary(NAME_BYTES));
        }
    }
    quality.concealed.truncate(MOST_CONCEALED);
    if let Some(suite) = &mut quality.srtp {
        suite.truncate(suite.floor_char_boundary(NAME_BYTES));
    }
    quality
}

impl Inner {
    fn begin(&self, new: NewRecording) -> Result<Begun, StoreError> {
        let (subscription, action) = (new.subscription.clone(), new.action.clone());
        let begun = Stored::begun(new);
        let sid = begun.record.sid;
        if let Some(token) = begun.token
            && let Some(first) = self.catalog.by_token(begun.record.account, token)?
            && let Some(first) = self.catalog.get(first)?
        {
            return Ok(Begun::Repeated(first.record));
        }
        self.check_room()?;
        self.check_keys()?;
        let told = Told {
            status: subscription.as_ref(),
            action: action.as_ref(),
        };
        if told != Told::default() && self.catalog.outbox().is_full() {
            return Err(StoreError::OutboxFull {
                recordings: MOST_PENDING,
            });
        }
        let owner = self.live.own(sid).ok_or(StoreError::SidTaken { sid })?;
        if self.catalog.get(sid)?.is_some() {
            return Err(StoreError::SidTaken { sid });
        }
        let (file, crypt) = self.spool.create(&begun, &self.keys)?;
        let inserted = self.catalog.insert(&begun, told);
        if let Ok(Insert::New) = inserted {
            let record = begun.record.clone();
            owner.offer(Waiting {
                file,
                begun,
                crypt,
                resumed: None,
            });
            return Ok(Begun::New(record));
        }
        // What cannot be removed now is B3, which the next start removes.
        if let Err(error) = self.spool.clear(sid) {
            tracing::error!(recording = %sid, %error, "a take that was not begun stays");
        }
        match inserted? {
            Insert::Repeated(first) => Ok(Begun::Repeated(first.record)),
            Insert::New | Insert::Taken => Err(StoreError::SidTaken { sid }),
        }
    }

    /// [`Store::finish`]; it can be repeated with the same take.
    pub(crate) fn finish(&self, take: &mut Take, end: &End) -> Result<Record, StoreError> {
        let stored = self.ended(take, end)?;
        if stored.record.frames == 0 {
            return self.make_absent(stored);
        }
        self.seal(take, &stored)?;
        self.complete(&stored)?;
        Ok(stored.record)
    }

    /// The record of a take that ends so; still live where it has no frame.
    pub(crate) fn ended(&self, take: &mut Take, end: &End) -> Result<Stored, StoreError> {
        let Stored { mut record, token } = take.begun.clone();
        // What changed while it ran is in the catalog alone.
        if !record.signalling_json.is_empty()
            && let Some(known) = self.catalog.get(record.sid)?
        {
            record.signalling_json = known.record.signalling_json;
        }
        let End {
            summary:
                Summary {
                    ended_by,
                    frames,
                    digits,
                    tracks,
                    quality,
                    rate_hz,
                },
            started_ms,
            ended_ms,
        } = end.clone();
        if frames != take.keep_frames() && take.failure().is_none() {
            tracing::warn!(
                recording = %record.sid, said = frames, kept = take.keep_frames(),
                "capture and take differ in length; the take's holds"
            );
        }
        if rate_hz != take.rate_hz() && frames > 0 {
            tracing::warn!(
                recording = %record.sid, said = rate_hz, kept = take.rate_hz(),
                "capture and take differ in rate; the take's holds"
            );
        }
        record.frames = take.keep_frames();
        record.rate_hz = take.rate_hz();
        record.quality = quality.map(bounded);
        record.ended_by = Some(take.failure().unwrap_or(ended_by));
        record.digits = digits;
        record.tracks = tracks;
        record.updated_ms = ended_ms;
        if record.frames == 0 {
            return Ok(Stored { record, token });
        }
        record.stage = Stage::Completed;
        record.started_ms = started_ms;
        record.blake3 = Some(match take.checksum() {
            Some(checksum) => checksum,
            None => take.read_checksum(&record)?,
        });
        Ok(Stored { record, token })
    }

    /// Finish, step 1; where the disk is full, once more with the reserve.
    fn seal(&self, take: &mut Take, stored: &Stored) -> Result<(), StoreError> {
        if self.is_adopted(stored)? {
            return Ok(()); // by a try before this one
        }
        self.spool.pass("seal", &take.path)?;
        let mut seal = || seal::seal(&mut take.file, &take.path, stored, take.crypt.as_ref());
        match seal() {
            Err(error) if error.is_full() && self.reserve.release() => seal(),
            result => result,
        }
    }

    /// Finish, steps 2 to 4: a sealed take in the spool becomes a completed recording.
    pub(crate) fn complete(&self, stored: &Stored) -> Result<(), StoreError> {
        let sid = stored.record.sid;
        if !self.is_adopted(stored)? {
            self.media.adopt(stored, &self.spool.take_path(sid))?;
        }
        self.catalog.put(stored)?;
        self.spool.clear(sid)
    }

    /// Whether the media have taken it in, and its take is gone from the spool.
    fn is_adopted(&self, stored: &Stored) -> Result<bool, StoreError> {
        let sid = stored.record.sid;
        Ok(!self.spool.left(sid).take && self.media.has(sid)?)
    }

    /// The end of an empty recording.
    pub(crate) fn make_absent(&self, stored: Stored) -> Result<Record, StoreError> {
        self.make_absent_as(stored, EventStatus::Absent)
    }

    /// [`Inner::make_absent`], told as `ending`.
    pub(crate) fn make_absent_as(
        &self,
        mut stored: Stored,
        ending: EventStatus,
    ) -> Result<Record, StoreError> {
        stored.record.stage = Stage::Absent;
        stored.record.frames = 0;
        self.catalog.put_as(&stored, ending)?;
        self.spool.clear(stored.record.sid)?;
        Ok(stored.record)
    }
}

impl Stored {
    /// A recording's record when it begins.
    pub(crate) fn begun(new: NewRecording) -> Self {
        let NewRecording {
            sid,
            account,
            call,
            parties,
            channels,
            track,
            trim,
            origin,
            created_ms,
            tags,
            signalling_json,
            idempotency_token,
            // The catalog's outbox has them, not the record.
            subscription: _,
            action: _,
        } = new;
        let tags_json = if tags.is_empty() {
            String::new()
        } else {
            serde_json::Value::Object(tags).to_string()
        };
        let record = Record {
            sid,
            account,
            call,
            stage: Stage::Live,
            channels,
            track,
            trim,
            origin,
            created_ms,
            updated_ms: created_ms,
            started_ms: None,
            frames: 0,
            ended_by: None,
            recovered: false,
            blake3: None,
            digits: String::new(),
            tracks: Default::default(),
            tags_json,
            quality: Default::default(),
            rate_hz: SAMPLE_RATE,
            parties,
            signalling_json,
            marks: Default::default(),
        };
        Self {
            record,
            token: idempotency_token.as_deref().map(token_hash),
        }
    }
}
