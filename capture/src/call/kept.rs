//! A call between two processes: all that it knows as bytes, and a call made of these again.
//!
//! Called by `ingest` where a daemon hands its calls to the next one. A call that was taken up goes on to the
//! sample, but for decoders with a memory, which begin anew (`crate::decode`), and a beep that sounds, which
//! begins again.
//!
//! The bytes are MessagePack with the fields' names, so that a daemon takes up what the version before it left:
//! what it does not know is passed over, what is new needs `#[serde(default)]`. A test reads what an
//! earlier version wrote.

use std::sync::Arc;

use reeld_model::{AccountSid, CallSid, Channels, Mono, RecordingSid};
use serde::{Deserialize, Serialize};

use super::Call;
use crate::settings::Settings;

/// A call that cannot be kept, or made again of what was kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// It cannot be written.
    #[error("a call cannot be kept: {0}")]
    Encode(#[from] rmp_serde::encode::Error),
    /// It cannot be read.
    #[error("a call cannot be taken up: {0}")]
    Decode(#[from] rmp_serde::decode::Error),
}

/// A call that was kept, and has no settings yet. Instants in it are of this machine's CLOCK_MONOTONIC since
/// it was booted.
#[derive(Debug)]
pub struct Kept(Call);

impl Kept {
    /// Reads what [`Call::keep`] wrote.
    ///
    /// # Errors
    /// [`KeepError::Decode`].
    pub fn read(bytes: &[u8]) -> Result<Self, KeepError> {
        Ok(Self(rmp_serde::from_slice(bytes)?))
    }

    /// Whose call it is, and which one.
    #[must_use]
    pub fn key(&self) -> (AccountSid, CallSid) {
        (self.0.open.account, self.0.open.call)
    }

    /// The call, with this process's `settings`.
    #[must_use]
    pub fn into_call(self, settings: Arc<Settings>) -> Call {
        Call { settings, ..self.0 }
    }
}

/// What has come out of a recording that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// Which one.
    pub recording: RecordingSid,
    /// How its tracks lie in the file.
    pub channels: Channels,
    /// Frames that came out as sound and silence.
    pub frames: u64,
    /// Of these, how many the file keeps if it ends with them.
    pub keep_frames: u64,
    /// Frames a second.
    pub rate_hz: u32,
    /// When its first frame was, if anything has come out.
    pub started: Option<Mono>,
}

impl Call {
    /// All that the call knows. Its outputs have been drained.
    ///
    /// # Errors
    /// [`KeepError::Encode`].
    pub fn keep(&self) -> Result<Vec<u8>, KeepError> {
        Ok(rmp_serde::to_vec_named(self)?)
    }

    /// What has come out of each recording that runs.
    #[must_use]
    pub fn given(&self) -> Vec<Given> {
        let recordings = self.timeline.recordings.iter();
        recordings.map(|recording| recording.given()).collect()
    }
}
