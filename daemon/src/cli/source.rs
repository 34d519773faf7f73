//! The flags that say which configuration and which data folder a command means.

use std::path::PathBuf;

use clap::Args;
use reeld_config::{Config, Flags, Loaded, load};

/// Where the configuration comes from; without any of it, the embedded defaults.
#[derive(Debug, Args)]
pub(super) struct Source {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data folder, over data_dir of the configuration
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl Source {
    /// The configuration, with this process's environment, and a listening address over it.
    pub(super) fn load(self, listen: Option<String>) -> anyhow::Result<Loaded> {
        let flags = Flags {
            data_dir: self.data_dir,
            listen,
        };
        Ok(load(self.config.as_deref(), std::env::vars_os(), &flags)?)
    }

    /// The configuration alone, for commands that only need to find the data folder.
    pub(super) fn config(self) -> anyhow::Result<Config> {
        self.load(None).map(|loaded| loaded.config)
    }
}
