//! What outlives the process: the tag of our subscriptions, and, over a restart in mid-call, what is recorded.
//!
//! JSON, so that a person can read it; what is new in it needs `#[serde(default)]`. What was under way is not kept: the
//! next process asks about each call at once, and makes anew what is not as it should be.

use reeld_model::{AccountSid, CallSid};
use serde::{Deserialize, Serialize};

use super::call::Session;
use super::follower::Follower;

/// All of it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) tag: String,
    #[serde(default)]
    pub(super) sessions: Vec<KeptSession>,
}

/// A call that is recorded.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeptSession {
    pub(super) sip_call_id: String,
    pub(super) session: Session,
}

impl Follower {
    /// What the next process is to know, as bytes; the calls where they go on there (`with_calls`).
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep(&self, with_calls: bool) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&self.kept(with_calls))
    }

    /// Takes up what [`Follower::keep`] wrote, of the calls that `is_open` says go on; how many that are.
    ///
    /// # Errors
    /// The bytes are none of these.
    pub fn take_up(
        &mut self,
        bytes: &[u8],
        is_open: impl Fn(AccountSid, CallSid) -> bool,
    ) -> Result<usize, serde_json::Error> {
        let mut kept: Kept = serde_json::from_slice(bytes)?;
        kept.sessions
            .retain(|one| is_open(one.session.account, one.session.call));
        let count = kept.sessions.len();
        self.go_on_with(kept);
        Ok(count)
    }
}
