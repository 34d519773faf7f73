//! `reeld bench`: the load generators and measurements that the README's figures come from.
//!
//! Called by the command line; it calls the synthetic [`crate::caller`] and a daemon of its own, a
//! child process of the same binary, only through what it shows to the outside: HTTP ([`crate::customer`]), RTP, `/proc`.
//! Each load is bounded and stops by itself; its folder and its child go with it.
//!
//! - `capture`: calls at once, held exact, beside a bare receive loop;
//! - `daemon`: the child process;
//! - `usage`: what `/proc` says of processor time, memory and dropped packets;
//! - `bare`: the receive loop that does nothing else;
//! - `report`: the figures, as table and JSON.

mod bare;
mod capture;
mod daemon;
mod report;
mod usage;

use clap::{Args, Subcommand};

/// The arguments of `reeld bench`.
#[derive(Debug, Args)]
pub struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Many calls at once over RTP: losses, exactness, CPU per packet, memory per call
    Capture(capture::Capture),
}

/// Runs a measurement and prints it to standard output.
///
/// # Errors
/// The measurement could not be made, or shows that a promise was broken: a packet lost, a
/// recording that is not exact. The figures are printed in that case too.
pub fn run(bench: &Bench) -> anyhow::Result<()> {
    match &bench.what {
        What::Capture(capture) => capture.run(),
    }
}
