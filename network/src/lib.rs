//! The bad network, seeded: what judges the capture core (docs/design/testing.md).
//!
//! Called by its own tests, by `fuzz/`, and by whoever wants a seed played; calls
//! `reeld_capture::Call` as `ingest` does, in virtual time. Everything follows from a seed, nothing
//! from a clock.
//!
//! ```text
//! scenario ─ sender (sound, RTP, RTCP) ▸ path (loss, delay, order) ▸ play (ticks of 50 ms) ▸ Call
//!                └── where each marker was said ──────────────────────────▸ listener ◂── outputs
//! ```
//!
//! Written from the issue's rules and not from the core: the truth of a sound's place is the
//! sender's time plus the least delay of its path, and a packet's samples end where it arrives
//! (docs/design/decisions/0001-a-packets-samples-end-where-it-arrived.md).

#![forbid(unsafe_code)]
#![expect(
    clippy::cast_possible_truncation,
    reason = "dice, counters that wrap and places that are small by construction; a wrong one fails a test"
)]

pub mod chaos;
pub mod listener;
pub mod path;
pub mod play;
pub mod random;
pub mod scenario;
pub mod sender;
pub mod sound;
pub mod tally;

pub use listener::{Failure, Rule};
pub use play::{Verdict, play};
pub use scenario::Scenario;
pub use tally::{Tally, seeds};
