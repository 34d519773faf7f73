//! `reeld serve`: the daemon in the foreground.

use std::io::{IsTerminal as _, stderr};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::Source;
use crate::telemetry;

#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    source: Source,
    /// The address and port of the API, over api.listen of the configuration
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<String>,
}

impl Serve {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let loaded = self.source.load(self.listen)?;
        // Dropped last, so that what is said at the end is written.
        let _logging = telemetry::start(&loaded.config.log)?;
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_name("reeld-api")
            .enable_all()
            .build()
            .context("the runtime cannot be started")?;
        runtime.block_on(async {
            let mut terminate = signal(SignalKind::terminate())?;
            let mut interrupt = signal(SignalKind::interrupt())?;
            let mut hangup = signal(SignalKind::hangup())?;
            // Elsewhere it says that the certificate is to be read again.
            let is_of_terminal = stderr().is_terminal() && loaded.config.api.tls.is_none();
            crate::run(loaded.config, async {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                    _ = hangup.recv(), if is_of_terminal => {}
                }
            })
            .await
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
