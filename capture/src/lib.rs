//! The sans-IO heart of reeld: packets, commands and times in; samples and events out.
//!
//! `ingest` owns sockets and clocks and calls this crate; the daemon's recorder takes what comes
//! out to the store. Data flows one way:
//!
//! ```text
//! datagram ─ (srtp ▸) packet ▸ source ▸ order ▸ track (payload, decode, sequence, segment) ▸ window ▸ mix ▸ recording ─ output
//! ```
//!
//! Contract of [`Call`]: one input (`handle_*`, `start`, `change`, `complete`), then one full drain
//! of [`Call::poll_output`]. Inputs carry their time; no clock is read, nothing blocks, nothing is
//! allocated for a packet once its track is locked to its source and its codec known, but for those
//! that wait for a packet that they have overtaken.
//!
//! [`Streams`] is beside it: which call and track a stream is of that comes to an open port.
//!
//! The timeline's convention: **a packet's samples end at the instant it arrived**, for a sender
//! sends what it has just finished packing. What was received before an instant therefore lies
//! before that instant, which is what makes a stop complete and a pause tight.

#![forbid(unsafe_code)]

mod beep;
mod block;
mod call;
mod decode;
mod drift;
mod event;
mod fill;
mod frames;
#[doc(hidden)]
pub mod fuzz;
mod hold;
mod inband;
mod mix;
mod order;
mod output;
mod pace;
mod packet;
mod pause;
mod payload;
mod recording;
mod sdp;
mod segment;
mod sequence;
mod settings;
mod silence;
mod source;
mod srtp;
mod streams;
mod timeline;
mod track;
mod window;

pub use beep::Transmit;
pub use block::recycle;
pub use call::{Call, Given, KeepError, Kept, Port};
pub use frames::{BLOCK_AGE, USUAL_HOLD};
pub use output::Output;
pub use sdp::offer_fault;
pub use settings::{Dtmf, Rate, Secret, Settings};
pub use streams::{Found, HeldPacket, StreamRules, Streams, Unheard};
