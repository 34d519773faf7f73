//! The end-to-end tests' harness: a daemon of one's own, callers, clients and judges.
//!
//! Called by the files under `tests/tests/`, one behaviour each; it calls the binary `reeld` as any
//! user would, and the peers (ffmpeg, sipp, rtpengine, sox, curl) that judge it. What is here is what more than
//! one test needs; what only one needs stays in its file.
//!
//! The harness looks at reeld from outside alone (contract.md): sockets, HTTP, files that it is
//! told to read, and `/proc`. It panics with the reason when something outside reeld is missing or
//! when reeld does not keep a promise: a panic is a test's way to fail.
//!
//! Time: senders are paced by the clock, since real time is what is tested. Nothing else sleeps for
//! a fixed time; waiting is polling with a bound ([`patience`]).

#![forbid(unsafe_code)]

pub mod archive;
pub mod audiosocket;
pub mod authority;
pub mod binary;
pub mod capture_file;
pub mod client;
pub mod daemon;
pub mod ears;
pub mod judge;
pub mod line;
pub mod open_port;
pub mod outlives;
pub mod patience;
pub mod peer;
pub mod port_block;
pub mod receiver;
pub mod reference;
pub mod reply;
pub mod rtpengine;
pub mod sandbox;
pub mod script;
pub mod sdk;
pub mod sender;
pub mod setup;
pub mod siprec;
pub mod span;
pub mod speech;
pub mod spoken;
pub mod srtp;
pub mod supervisor;
pub mod tally;
pub mod tape;
pub mod torture;
pub mod trail;
pub mod virtual_call;
pub mod voices;
pub mod wav;

pub use authority::Authority;
pub use client::{Client, Started};
pub use daemon::Daemon;
pub use ears::Ears;
pub use receiver::Receiver;
pub use reply::Reply;
pub use script::{Law, Script, Voice};
pub use sdk::Sdk;
pub use sender::Sender;
pub use setup::{MediaKind, Setup};
pub use span::Span;
pub use tape::Tape;
pub use wav::Wav;

/// Runs a test body once for each kind of media store, as two tests: `local::name`, `sled::name`.
///
/// The body is a function of [`MediaKind`] in the same file.
#[macro_export]
macro_rules! for_each_media {
    ($($name:ident),+ $(,)?) => {
        /// With `media = "local"`.
        mod local {
            $(
                #[test]
                fn $name() {
                    super::$name($crate::MediaKind::Local);
                }
            )+
        }
        /// With `media = "sled"`.
        mod sled {
            $(
                #[test]
                fn $name() {
                    super::$name($crate::MediaKind::Sled);
                }
            )+
        }
    };
}
