//! A recording that no call has sent, as the store is told of it.
//!
//! Called by `catalog` and `http`, which put it into a store of theirs before a daemon is started over it.

use anyhow::bail;
use reeld_model::{
    AccountSid, CallSid, Channels, EndedBy, RecordingSid, SAMPLE_RATE, Summary, TrackSelection,
    TrackStats, Trim,
};
use reeld_store::{Begun, End, NewRecording, Origin, Store};

/// A recording to be made, and whose.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recording {
    pub(super) account: AccountSid,
    pub(super) sid: RecordingSid,
    pub(super) channels: Channels,
    /// Milliseconds since the Unix epoch.
    pub(super) created_ms: i64,
}

impl Recording {
    /// Begins it: its take and its record are durable then.
    pub(super) fn begin(self, store: &Store) -> anyhow::Result<()> {
        let new = NewRecording {
            sid: self.sid,
            account: self.account,
            call: CallSid::from_bytes(*self.sid.as_bytes()),
            parties: Default::default(),
            channels: self.channels,
            track: TrackSelection::Both,
            trim: Trim::DoNotTrim,
            origin: Origin::ControlApi,
            created_ms: self.created_ms,
            tags: Default::default(),
            signalling_json: String::new(),
            idempotency_token: None,
            subscription: None,
            action: None,
        };
        match store.begin(new)? {
            Begun::New(_) => Ok(()),
            Begun::Repeated(_) => bail!("{} was begun before", self.sid),
        }
    }

    /// Gives it its sound, interleaved, and finishes it: its file and its record are durable then.
    pub(super) fn finish(self, store: &Store, samples: &[i16]) -> anyhow::Result<()> {
        let frames = samples.len() as u64 / u64::from(self.channels.count());
        let mut take = store.take(self.sid)?;
        take.append(samples, frames)?;
        let stats = TrackStats {
            packets: frames.div_ceil(160),
            ..TrackStats::default()
        };
        let summary = Summary {
            ended_by: EndedBy::Stopped,
            frames,
            digits: String::new(),
            tracks: [stats; 2],
            quality: Default::default(),
            rate_hz: SAMPLE_RATE,
        };
        let length_ms = i64::try_from(frames * 1_000 / u64::from(SAMPLE_RATE))?;
        let end = End {
            summary,
            started_ms: Some(self.created_ms),
            ended_ms: self.created_ms + length_ms,
        };
        store.finish(take, end)?;
        Ok(())
    }
}
