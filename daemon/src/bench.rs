//! `reeld bench`: the load generators and measurements that the documents' figures come from.
//!
//! `cli` calls [`Bench::run`]; it calls [`crate::caller`] for the load and [`crate::customer`] for
//! the API. The daemon under measurement is a process of its own, so that its CPU time and memory are
//! its own. Each figure stands beside a baseline of the same run. Everything is bounded and cleans up
//! after itself.

mod bare;
mod capture;
mod child;

use std::process::ExitCode;

use clap::Subcommand;

/// What to measure.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Records calls and holds every file to what was said
    Capture(capture::Capture),
}

impl Bench {
    /// Measures and prints.
    ///
    /// # Errors
    /// The measurement could not be made. A loss or a wrong file is no error of it: it is printed,
    /// and the exit code is 1.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Capture(capture) => capture.run(),
        }
    }
}
