//! What is to be done for a call, and what came of it.
//!
//! Made by `siprec` and `rtpengine`, done by the daemon: the capture side by `model`'s commands, the record by the store.

use reeld_model::{AccountSid, CallSid, Channels, OpenCall, RecordingSid, TrackSelection};

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

/// A call as it begins.
#[derive(Debug, Clone)]
pub struct Begin {
    /// The call.
    pub open: OpenCall,
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
    /// Anything else, which the log has.
    Broken,
}
