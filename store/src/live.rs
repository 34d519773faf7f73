//! Which recordings this process is making: one owner each, from `begin` to the end.
//!
//! Called by the store's life of a recording and by recovery, which leaves owned takes alone. It
//! is memory only; after a crash nobody owns anything.

use std::collections::HashMap;
use std::fs::File;
use std::sync::{Arc, Mutex};

use reeld_model::RecordingSid;

use crate::StoreError;
use crate::crypt::Growing;
use crate::locks::lock;
use crate::stored::Stored;

#[derive(Clone, Default)]
pub(crate) struct Live(Arc<Mutex<HashMap<RecordingSid, Phase>>>);

enum Phase {
    /// Its files are being made or removed, or it is with its writer.
    Held,
    /// Its take waits for its writer.
    Waiting(Box<Waiting>),
}

/// What a writer is handed.
pub(crate) struct Waiting {
    pub(crate) file: File,
    pub(crate) begun: Stored,
    /// Where the file is encrypted.
    pub(crate) crypt: Option<Growing>,
    /// What the take has already, where another process began it.
    pub(crate) resumed: Option<Resumed>,
}

/// Of a take that goes on: frames that are in it, and of these how many it keeps if it ends with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Resumed {
    pub(crate) frames: u64,
    pub(crate) keep_frames: u64,
}

/// The right to a recording's files; whoever drops it leaves them to recovery.
pub(crate) struct Owner {
    sid: RecordingSid,
    live: Live,
    is_offered: bool,
}

impl Live {
    /// Makes the caller the recording's owner; `None` where it has one.
    pub(crate) fn own(&self, sid: RecordingSid) -> Option<Owner> {
        let mut phases = lock(&self.0);
        if phases.contains_key(&sid) {
            return None;
        }
        phases.insert(sid, Phase::Held);
        Some(Owner {
            sid,
            live: self.clone(),
            is_offered: false,
        })
    }

    /// Takes up what [`Owner::offer`] put down.
    pub(crate) fn accept(&self, sid: RecordingSid) -> Result<(Owner, Waiting), StoreError> {
        let mut phases = lock(&self.0);
        match phases.insert(sid, Phase::Held) {
            Some(Phase::Waiting(waiting)) => Ok((
                Owner {
                    sid,
                    live: self.clone(),
                    is_offered: false,
                },
                *waiting,
            )),
            Some(Phase::Held) => Err(StoreError::TakeInUse { sid }),
            None => {
                phases.remove(&sid);
                Err(StoreError::NotLive { sid })
            }
        }
    }

    /// Whether somebody owns the recording.
    pub(crate) fn has(&self, sid: RecordingSid) -> bool {
        lock(&self.0).contains_key(&sid)
    }
}

impl Owner {
    pub(crate) const fn sid(&self) -> RecordingSid {
        self.sid
    }

    /// Puts the recording down for its writer.
    pub(crate) fn offer(mut self, waiting: Waiting) {
        self.is_offered = true;
        lock(&self.live.0).insert(self.sid, Phase::Waiting(Box::new(waiting)));
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if !self.is_offered {
            lock(&self.live.0).remove(&self.sid);
        }
    }
}
