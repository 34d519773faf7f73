//! Commands, their answers and their refusals: control, by value, from `api` and `signal` through
//! `ingest` to `capture`.
//!
//! A [`Request`] is a command with a reply to call once. Whoever takes a request must answer it,
//! also when it refuses.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    AccountSid, CallSid, Channels, EndedBy, LiveStatus, Load, PauseBehavior, RecordingSid,
    StartRecording, Track, TrackSelection, TrackStats,
};

/// Where commands go: what `api` holds of the capture side.
pub trait Control: Send + Sync + 'static {
    /// Gives a request on. Never blocks; a request that cannot be taken is answered with
    /// [`Refusal::Overloaded`] or [`Refusal::ShuttingDown`] at once.
    fn submit(&self, request: Request);

    /// How full the capture side is.
    fn gauges(&self) -> Gauges;

    /// What is put off and refused for what there is to do. Who starts a recording asks it before
    /// anything of the recording is begun; what was begun is not refused for it any more.
    fn load(&self) -> Load;
}

/// A command and whom to tell of it.
pub struct Request {
    /// What to do.
    pub command: Command,
    /// Called exactly once, from any thread; must not block.
    pub reply: Reply,
}

/// The other end of a [`Request`].
pub type Reply = Box<dyn FnOnce(Result<Answer, Refusal>) + Send>;

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("command", &self.command)
            .finish_non_exhaustive()
    }
}

/// What `api` and `signal` can ask of a call. Each is answered with [`Answer::Call`] or
/// [`Answer::Recording`].
#[derive(Debug, Clone)]
pub enum Command {
    /// Opens a call, or returns it as it is when it is open.
    OpenCall(OpenCall),
    /// The call as it is now.
    DescribeCall {
        /// Whose call.
        account: AccountSid,
        /// Which call.
        call: CallSid,
    },
    /// A new offer for an open call (a re-INVITE), or new source rules.
    UpdateCall {
        /// Whose call.
        account: AccountSid,
        /// Which call.
        call: CallSid,
        /// The sender's new offer, if one is given.
        sdp: Option<String>,
        /// The new source, if one is given.
        source: Option<SourceRule>,
    },
    /// Ends the call: its recordings end, its ports are freed.
    CompleteCall {
        /// Whose call.
        account: AccountSid,
        /// Which call.
        call: CallSid,
        /// How.
        ending: Ending,
    },
    /// Starts a recording on a call.
    StartRecording {
        /// The call; opened first when it is not open and `may_open` is set.
        call: OpenCall,
        /// Whether a call that is not open is opened (`api.start_unknown_call`).
        may_open: bool,
        /// The recording.
        start: StartRecording,
    },
    /// Changes a recording that runs.
    ChangeRecording {
        /// Whose call.
        account: AccountSid,
        /// Which call.
        call: CallSid,
        /// Which recording.
        recording: RecordingRef,
        /// To what.
        change: ChangeRecording,
    },
}

/// How a call ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// As it is told to: what is behind its last packet is its silence.
    Now,
    /// It may have ended so long ago. Where it ends in that much silence, that is not the call's.
    Late(Duration),
    /// Nothing is heard of it any more: its recordings end with their last packet ([`EndedBy::Inactivity`]).
    Silent,
}

/// A call as it is opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenCall {
    /// Whose call.
    pub account: AccountSid,
    /// Its name here.
    pub call: CallSid,
    /// Its name elsewhere, if the CallSid was made from one.
    pub external_id: Option<String>,
    /// Who calls.
    pub from: Option<String>,
    /// Who is called.
    pub to: Option<String>,
    /// The sender's SDP offer.
    pub sdp: Option<String>,
    /// Where RTP comes from, if it is known.
    pub source: Option<SourceRule>,
    /// The tracks to open ports for.
    pub tracks: TrackSelection,
    /// Whether its end is signalled, so that none is guessed from packets: neither `capture.first_packet` nor
    /// `capture.inactivity` nor an RTCP BYE ends it.
    #[serde(default)]
    pub is_signalled: bool,
}

impl OpenCall {
    /// A call of both tracks of which nothing else is known.
    #[must_use]
    pub const fn new(account: AccountSid, call: CallSid) -> Self {
        Self {
            account,
            call,
            external_id: None,
            from: None,
            to: None,
            sdp: None,
            source: None,
            tracks: TrackSelection::Both,
            is_signalled: false,
        }
    }
}

/// `RemoteAddress`: the one source that tracks listen to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRule {
    /// The sender's address.
    pub address: IpAddr,
    /// Its port, if that is known too.
    pub port: Option<u16>,
}

/// Which recording of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordingRef {
    /// The one with this Sid.
    Sid(RecordingSid),
    /// `Twilio.CURRENT`: the only one in progress or paused.
    Current,
}

/// A change of a running recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeRecording {
    /// `Status=paused`.
    Pause(PauseBehavior),
    /// `Status=in-progress`.
    Resume,
    /// `Status=stopped`, or an end that another part of the daemon orders.
    Stop(EndedBy),
}

impl ChangeRecording {
    /// The status that the change leads to.
    #[must_use]
    pub const fn target(self) -> LiveStatus {
        match self {
            Self::Pause(_) => LiveStatus::Paused,
            Self::Resume => LiveStatus::InProgress,
            Self::Stop(_) => LiveStatus::Stopped,
        }
    }
}

/// What a command came to.
#[derive(Debug, Clone)]
pub enum Answer {
    /// The call after the command.
    Call(CallView),
    /// The recording and its call after the command.
    Recording(RecordingView, CallView),
}

/// A call's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallState {
    /// Its ports are open.
    InProgress,
    /// It has ended.
    Completed,
}

/// A call as it is.
#[derive(Debug, Clone)]
pub struct CallView {
    /// Whose call.
    pub account: AccountSid,
    /// Its name.
    pub call: CallSid,
    /// Its name elsewhere.
    pub external_id: Option<String>,
    /// Who calls.
    pub from: Option<String>,
    /// Who is called.
    pub to: Option<String>,
    /// Open or ended.
    pub state: CallState,
    /// When it was opened, milliseconds since the Unix epoch.
    pub opened_at_ms: i64,
    /// Its streams, one a track.
    pub streams: Vec<StreamView>,
    /// Samples a second of its timeline: 8,000 until its first sound, which decides.
    pub rate_hz: u32,
    /// Its recordings that still run.
    pub recordings: Vec<RecordingView>,
    /// The answer to the last SDP offer.
    pub sdp: Option<String>,
}

/// One track's stream as it is.
#[derive(Debug, Clone)]
pub struct StreamView {
    /// Which track.
    pub track: Track,
    /// The address that callers are told to send to.
    pub address: IpAddr,
    /// The RTP port; RTCP is on the next one.
    pub port: u16,
    /// The source that the track is locked to.
    pub source: Option<SocketAddr>,
    /// The SSRC that it hears.
    pub ssrc: Option<u32>,
    /// The codec of the last packet, by its SDP name.
    pub codec: Option<&'static str>,
    /// What was counted since the call was opened.
    pub stats: TrackStats,
}

/// A recording that capture holds, as it is.
#[derive(Debug, Clone)]
pub struct RecordingView {
    /// Its name.
    pub sid: RecordingSid,
    /// Its status.
    pub status: LiveStatus,
    /// Its channels.
    pub channels: Channels,
    /// Its tracks.
    pub track: TrackSelection,
    /// Length so far, in frames at `rate_hz`.
    pub frames: u64,
    /// Frames a second: its call's.
    pub rate_hz: u32,
}

/// Why a command was not carried out. Nothing was changed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// No such call is open here.
    #[error("the call is not open")]
    CallUnknown,
    /// No such recording is held on this call.
    #[error("no such recording runs on the call")]
    RecordingUnknown,
    /// `Twilio.CURRENT` with more than one running.
    #[error("{0} recordings run on the call, so Twilio.CURRENT names none of them")]
    CurrentIsAmbiguous(usize),
    /// The step is not legal from where the recording is (Twilio's 16114).
    #[error("a recording that is {} cannot become {}", from.as_str(), to.as_str())]
    IllegalStep {
        /// Where it is.
        from: LiveStatus,
        /// What was asked for.
        to: LiveStatus,
    },
    /// The SDP cannot be used; the text says why.
    #[error("{0}")]
    Sdp(String),
    /// The call has no port for a track that the recording asks for.
    #[error("the call was opened without the {} track", .0.as_str())]
    TrackNotOpen(Track),
    /// No source rule and media address not on loopback, or a source outside `media.allow`.
    #[error("{0}")]
    Source(String),
    /// No beep can be played to the caller; the text says why.
    #[error("{0}")]
    Beep(String),
    /// Every port of `media.ports` is taken or rests.
    #[error("no free media port in {0}")]
    NoPort(String),
    /// `capture.max_recordings` are running.
    #[error("capture.max_recordings ({0}) are running")]
    TooManyRecordings(usize),
    /// The capture side has more to do than it can.
    #[error("the capture side is overloaded")]
    Overloaded,
    /// The daemon is stopping.
    #[error("the daemon is stopping")]
    ShuttingDown,
}

/// How full the capture side is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Calls open.
    pub calls: usize,
    /// Recordings running.
    pub recordings: usize,
    /// Recordings that may run.
    pub max_recordings: usize,
    /// Port pairs free now.
    pub free_port_pairs: usize,
    /// Ports of the range that somebody else holds, seen so far.
    pub ports_in_use_elsewhere: u64,
    /// Whether the daemon is stopping.
    pub shutting_down: bool,
    /// Sums over all calls since the start.
    pub totals: TrackStats,
    /// Frames that were lost between media thread and disk, for want of room.
    pub overrun_frames: u64,
}

/// A recording's free-form tags: a JSON object kept with it.
pub type Tags = serde_json::Map<String, Value>;
