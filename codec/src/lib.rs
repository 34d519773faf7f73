//! Bytes to samples and back: G.711, Opus, WAV, MP3, and the level of a frame.
//!
//! Called by `capture` (decode, levels), `store` (WAV headers), `api` (MP3, Ogg Opus) and the import. It
//! calls no other crate of ours. A conversion between bytes and samples belongs here; where the
//! samples lie in time, and which file they go to, does not.
//!
//! Samples are 16-bit signed, interleaved by channel. No sockets, clocks or files: readers and
//! buffers arrive as arguments. The only `unsafe` is around LAME, in one module of its own.

pub mod beep;
pub mod comfort;
pub mod conceal;
pub mod dtmf;
mod error;
pub mod g711;
pub mod g722;
#[cfg(test)]
mod harness;
pub mod l16;
pub mod level;
pub mod mp3;
pub mod octaves;
pub mod ogg_opus;
pub mod opus;
pub mod resample;
pub mod tonal;
pub mod warp;
pub mod wav;

pub use error::Error;
