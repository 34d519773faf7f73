//! Calls whose media another system forks to us when it is asked: control, by value, from `api` to `signal`.
//!
//! A [`Fork`] is a wish with a reply to call once. Whoever takes it must answer it, also when it refuses.

use std::fmt;

use crate::{CallSid, OpenCall};

/// Where such wishes go: what `api` holds of an rtpengine.
pub trait Forks: Send + Sync + 'static {
    /// Gives a wish on. Never blocks; one that cannot be taken is answered with [`NotForked::Busy`] at once.
    fn submit(&self, fork: Fork);
}

/// A wish: a call's media are to come to a call of ours, on which recordings can be started then.
pub struct Fork {
    /// The call's name there: its SIP Call-ID.
    pub sip_call_id: String,
    /// The call that it is here.
    pub open: OpenCall,
    /// Called exactly once, from any thread; must not block.
    pub reply: Box<dyn FnOnce(Result<(), NotForked>) + Send>,
}

impl fmt::Debug for Fork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fork")
            .field("sip_call_id", &self.sip_call_id)
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}

/// Why a call's media do not come.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotForked {
    /// There is no such call.
    #[error("rtpengine knows no such call")]
    Unknown,
    /// It has not two parties yet.
    #[error("the call has not been answered yet")]
    Unanswered,
    /// It is recorded under another name.
    #[error("the call is recorded as {0}")]
    Elsewhere(CallSid),
    /// Capture cannot take it; why.
    #[error("{0}")]
    Refused(String),
    /// Nobody answers there, or there is too much to do.
    #[error("{0}")]
    Busy(String),
}
