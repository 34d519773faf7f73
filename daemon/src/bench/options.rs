//! What every measurement can be told: where it runs, how it prints, and what its data come from.
//!
//! The measurements have it flattened in their arguments; nothing is called here.

use std::path::PathBuf;

use clap::Args;

/// What every measurement can be told.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Where the daemon's folder is made and removed again; the system's temporary folder if not given
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
    /// Prints JSON instead of a table
    #[arg(long)]
    pub(super) json: bool,
    /// What sounds and names come from: the same in every run, so that runs can be compared
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
}
