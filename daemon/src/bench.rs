//! `reeld bench`: the load generators and measurements that the README's figures come from.
//!
//! The command line calls [`Bench::run`]; it calls the synthetic [`crate::caller`] and, through
//! [`crate::customer`], a daemon of its own: a child process of the same binary, of which only what
//! it shows to the outside is used (HTTP, RTP, `/proc`). Each figure stands beside a baseline of the
//! same run. Each load is bounded and stops by itself, or at SIGINT and SIGTERM; its folder and its
//! child go with it. `end` and `stall` run the daemon in their own process: the one records an hour in a
//! second, the other makes the disk stand still.
//!
//! - `capture`: calls at once, held exact, beside a bare receive loop and other programs (`peer`);
//! - `growth`: the same at more and more calls;
//! - `load`: what both put on the daemon; `encoders`: that are busy meanwhile; `bounds`: what `--check` holds;
//! - `document`: docs/ref/performance.md out of what all of them wrote;
//! - `end`: from the end of a call to its callback and its file, of short and long recordings alike;
//! - `siprec`: recording clients' calls that come and go, held exact, and from their BYE to their file;
//! - `stall`: a disk that stands still under calls at once, held exact;
//! - `flood`: strangers at one port, beside calls that are held exact;
//! - `encode`: how fast MP3 and Opus are made, beside LAME's own command; `dialog`: of which sound;
//! - `catalog`: lists, inserts, start-up and memory over a million recordings;
//! - `http`, `nginx`: WAV downloads, beside nginx with the same files;
//! - `recording`: one that no call has sent;
//! - `connection`: a kept-alive HTTP connection that costs little;
//! - `call`, `hands`: one call of them, and several requests at once;
//! - `house`, `receiver`, `tape`: `end`'s and `stall`'s daemon, who gets its callbacks, and a recording out of virtual
//!   time;
//! - `descriptors`: their limit, raised; `percentile`: of sorted times;
//! - `daemon`: the child process;
//! - `usage`: what `/proc` says of processor time, memory and dropped packets; `watch`: while packets flow;
//! - `bare`: the receive loop that does nothing else;
//! - `interrupt`: what SIGINT and SIGTERM do;
//! - `options`: what every measurement can be told;
//! - `report`: the figures, as table and JSON.

mod bare;
mod bounds;
mod call;
mod capture;
mod catalog;
mod connection;
mod daemon;
mod descriptors;
mod dialog;
mod document;
mod encode;
mod encoders;
mod end;
mod flood;
mod growth;
mod hands;
mod house;
mod http;
mod interrupt;
mod load;
mod nginx;
mod options;
mod peer;
mod percentile;
mod receiver;
mod recording;
mod report;
mod siprec;
mod stall;
mod tape;
mod usage;
mod watch;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;
use tempfile::TempDir;

/// What to measure.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Records calls, holds every file to what was said, and says what a packet and a call cost
    Capture(capture::Capture),
    /// The same at more and more calls: what a packet costs must not grow, nor what a call keeps in memory
    Growth(growth::Growth),
    /// Writes docs/ref/performance.md from the JSON files of the other measurements
    Document(document::Document),
    /// Ends calls while others are live, and says how long it is until their callback and their file
    End(end::End),
    /// Has recording clients' calls come and go, holds every file to what was said, and says how soon it is there
    Siprec(siprec::Siprec),
    /// Makes the disk stand still under calls that are recorded, and holds every file to what was said
    Stall(stall::Stall),
    /// Floods one track's port, and holds every file to what was said
    Flood(flood::Flood),
    /// Encodes recordings on one core, beside the `lame` command, and says how fast
    Encode(encode::Encode),
    /// Sends WAV files, and says what a byte costs beside nginx
    Http(http::Http),
    /// Fills a catalog and says what lists, inserts, start-up, disk and memory cost
    Catalog(catalog::Catalog),
}

impl Bench {
    /// Measures and prints to standard output.
    ///
    /// # Errors
    /// The measurement could not be made, or shows that a promise was broken: a packet lost, a
    /// recording that is not exact. The figures are printed in that case too.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Capture(capture) => capture.run()?,
            Self::Growth(growth) => growth.run()?,
            Self::Document(document) => document.run()?,
            Self::End(end) => end.run()?,
            Self::Siprec(siprec) => siprec.run()?,
            Self::Stall(stall) => stall.run()?,
            Self::Flood(flood) => flood.run()?,
            Self::Encode(encode) => encode.run()?,
            Self::Http(http) => http.run()?,
            Self::Catalog(catalog) => catalog.run()?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A folder for a measured daemon: in `parent`, or where temporary files go.
fn folder(parent: Option<&Path>) -> anyhow::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("reeld-bench-");
    match parent {
        Some(parent) => builder
            .tempdir_in(parent)
            .with_context(|| parent.display().to_string()),
        None => Ok(builder.tempdir()?),
    }
}
