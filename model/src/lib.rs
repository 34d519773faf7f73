//! The nouns that two crates' signatures share: Sids, tracks, status and its legal steps,
//! media time, statistics, and the commands that control gives to capture.
//!
//! Every crate may use this one; it uses none of ours. A type belongs here only when two crates'
//! signatures name it; what one crate alone needs lives there.
//!
//! No I/O, no async, no clock: time and randomness arrive as arguments.

#![forbid(unsafe_code)]

pub mod control;
pub mod fork;
pub mod incoming;
pub mod load;
pub mod quality;
pub mod recording;
pub mod sid;
pub mod stats;
pub mod time;
pub mod track;

pub use control::{
    Answer, CallState, CallView, ChangeRecording, Command, Control, Ending, Gauges, OpenCall,
    RecordingRef, RecordingView, Refusal, Reply, Request, SourceRule, StreamView,
};
pub use fork::{Fork, Forks, NotForked};
pub use incoming::{Bringer, Incoming};
pub use load::{Cause, Load, Readings, Step, Verdict};
pub use quality::{ConcealedRange, TrackQuality};
pub use recording::{
    Beep, EndedBy, LiveStatus, PauseBehavior, Rules, StartRecording, Summary, Trim,
};
pub use sid::{AccountSid, CallSid, KeySid, RecordingSid, SidError};
pub use stats::TrackStats;
pub use time::{MediaPlace, Mono, SAMPLE_RATE};
pub use track::{Channels, Track, TrackSelection};
