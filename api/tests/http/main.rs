//! The API over real sockets, on a real store, with a small capture side of the tests' own.
//!
//! One file a part of the contract; the harness knows HTTP only as bytes, so that it can send what
//! no client library would.

#![expect(
    clippy::unwrap_used,
    reason = "a test stops at the first thing that is wrong, in its helpers too"
)]

mod bad_input;
mod capture;
mod control;
mod eager;
mod faces;
mod harness;
mod instance;
mod links;
mod list;
mod media;
mod quality;
mod representations;
