//! The crate as the daemon uses it: real sockets on loopback, real calls, a sink that collects.

#![expect(
    clippy::unwrap_used,
    reason = "all of this is test code, also what clippy does not see as such: a panic is a failed test"
)]

mod control;
mod ends;
mod handover;
mod rig;
mod sound;
