//! An rtpengine that is followed: each call that it carries is a recording, and nobody writes a line.
//!
//! The daemon's `rtpengine` calls [`Follower`], which has no socket, no clock, no file and no task: datagrams of the NG
//! protocol and times go in, and datagrams, and [`Work`] to be done for a call, come out.
//!
//! | module | what it is |
//! | --- | --- |
//! | `follower` | which calls there are, and what is done for one next |
//! | `call` | a call as it is followed; who is on which track, and what is answered to rtpengine |
//! | `ng` | requests with their cookies, sent again until they are answered |
//! | `reply` | what the answers say |
//! | `kept` | what outlives the process |
//!
//! The protocol is that of rtpengine 10.5, as its own documentation has it and as Debian's 10.5.3.5 was seen to speak it.
//! What is relied on, each seen there:
//!
//! - `subscribe request` forks the packets of the named parties as they are: sequence, time stamp, SSRC, payload type;
//! - once more with the same `to-tag` it keeps the ports that it sends from, and not one packet is lost meanwhile;
//!   after a crash of ours it takes the place of what the tag had before, so nothing piles up;
//! - each of these, and each offer and answer, moves `last signal`, which has seconds;
//! - who talks with whom are the tags that have each other as `offer/answer`, the newest first;
//! - the end is told by nobody: `list` lacks the call and `query` does not know it;
//! - but for this: after a re-INVITE a subscription holds what is left of a call once its party is deleted (`reply`).
//!
//! The rule of it all: the live call is never touched. Nothing is sent but `list`, `query`, `subscribe request`,
//! `subscribe answer` and `unsubscribe`, the last three for a tag of ours alone, and `delete` of that tag where nobody is
//! left who talks; no codec is asked for and none refused, so nothing is transcoded.

mod call;
mod follower;
#[doc(hidden)]
pub mod fuzz;
mod kept;
mod ng;
mod reply;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use reeld_model::{AccountSid, Channels, Incoming, NotForked, OpenCall};

use crate::work::Work;

pub use follower::Follower;

/// Randomness, for cookies.
pub type Random = Box<dyn FnMut() -> u64 + Send>;

/// How an rtpengine is followed.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whose its calls are; else the only account's that there is.
    pub account: Option<AccountSid>,
    /// Whether each of its calls is recorded; else those alone that are asked for.
    pub follow: bool,
    /// How the two parties of a call lie in the file.
    pub channels: Channels,
    /// How long rtpengine keeps calls, and speaks to us of them, that it was told to delete (its `delete-delay`).
    pub delete_delay: Duration,
    /// Whether media ports are on loopback, where only loopback reaches them.
    pub media_is_local: bool,
    /// Where it is asked.
    pub address: IpAddr,
    /// Where calls and messages are counted.
    pub incoming: Arc<Incoming>,
}

/// What comes out.
#[derive(Debug)]
pub enum Output {
    /// A datagram for rtpengine.
    Send(Vec<u8>),
    /// Something to be done; its outcome is to be told under this number.
    Work {
        /// The call's number.
        call: u64,
        /// What.
        work: Work,
    },
    /// What an operator should know.
    Warning {
        /// Of which call, by its name in rtpengine; of rtpengine itself where there is none.
        sip_call_id: Option<String>,
        /// What is wrong.
        why: String,
    },
    /// What came of [`Follower::attach`].
    Attached {
        /// The number it was asked under.
        token: u64,
        /// Whether the call's media come.
        outcome: Result<(), NotForked>,
    },
}

/// A call that is asked for: its media are to come to a call of ours, on which others start recordings.
#[derive(Debug, Clone)]
pub struct Attach {
    /// Its name in rtpengine: the SIP Call-ID.
    pub sip_call_id: String,
    /// The call that it is here.
    pub open: OpenCall,
}
