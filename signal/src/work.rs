//! What is to be done for a call, and what came of it.
//!
//! Made by `siprec` and `rtpengine`, done by the daemon: the capture side by `model`'s commands, the record by the store.

use std::net::IpAddr;

use reeld_model::incoming::Declined;
use reeld_model::{
    AccountSid, Bringer, CallSid, Channels, Ending, OpenCall, RecordingSid, TrackSelection,
};

/// Something to be done. Of one session there is one at a time.
#[derive(Debug, Clone)]
pub enum Work {
    /// A call is opened, and its recording begun.
    Begin(Box<Begin>),
    /// A call and its recordings change.
    Change(Box<Change>),
    /// A call ends, with its recordings.
    End {
        /// Whose it is.
        account: AccountSid,
        /// Which.
        call: CallSid,
        /// How.
        ending: Ending,
    },
    /// Whether a call is still open, and what it has heard so far ([`Outcome::Seen`]).
    Look {
        /// Whose it is.
        account: AccountSid,
        /// Which.
        call: CallSid,
    },
}

/// A recording that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Its channels.
    pub channels: Channels,
    /// Its tracks.
    pub track: TrackSelection,
}

/// Who brings a call, as the audit trail has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    /// What it is.
    pub bringer: Bringer,
    /// From where it speaks to us.
    pub address: Option<IpAddr>,
    /// What it calls itself.
    pub agent: Option<String>,
}

/// A call as it begins.
#[derive(Debug, Clone)]
pub struct Begin {
    /// The call.
    pub open: OpenCall,
    /// Who brings it.
    pub by: By,
    /// Its recording; none where another starts one by the API.
    pub wanted: Option<Wanted>,
    /// Whether that begins paused.
    pub paused: bool,
    /// What the recording keeps of its signalling: a JSON object.
    pub signalling: String,
}

/// What changes of a call.
#[derive(Debug, Clone)]
pub struct Change {
    /// The call, its parties as they are now; its offer, where there is a new one.
    pub open: OpenCall,
    /// Who brings it.
    pub by: By,
    /// The recordings that run.
    pub recordings: Vec<RecordingSid>,
    /// Whether they pause or go on from now, where that changes.
    pub paused: Option<bool>,
    /// A further recording, for a track that had none.
    pub wanted: Option<Wanted>,
    /// What recordings keep of the signalling, where it is another than before.
    pub signalling: Option<String>,
}

/// What came of some work.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It was done.
    Done {
        /// The answer to the offer, where there was one.
        sdp: Option<String>,
        /// The recording that was begun.
        recording: Option<RecordingSid>,
    },
    /// What was asked for by [`Work::Look`].
    Seen {
        /// RTP packets that its tracks have taken so far.
        packets: u64,
    },
    /// It was not, and nothing is left of it.
    Failed(Failure),
}

/// Why work was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The offer cannot be recorded; why.
    Offer(String),
    /// There is too much to do: later.
    Busy(String),
    /// The call is not there any more.
    Gone,
    /// It is nobody's: no rule is for it, or its account is not there.
    NoAccount,
    /// Anything else, which the log has.
    Broken,
}

impl Failure {
    /// Why a call is not taken that failed so.
    #[must_use]
    pub const fn declined(&self) -> Declined {
        match self {
            Self::Offer(_) => Declined::Unusable,
            Self::Busy(_) => Declined::Busy,
            Self::NoAccount => Declined::NoAccount,
            Self::Gone | Self::Broken => Declined::Broken,
        }
    }
}
