//! `reeld verify`: everything read back and compared, by the running daemon or here when none runs.

use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::bail;
use bytesize::ByteSize;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use reeld_store::Store;

use super::Source;
use crate::socket::client::{daemon, reach};
use crate::socket::message::{Reply, Request};
use crate::{owner, settings};

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// Makes the catalog anew from the media and the old catalog; with the daemon stopped
    #[arg(long)]
    rebuild: bool,
    #[command(flatten)]
    source: Source,
}

impl Verify {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        if self.rebuild {
            return rebuild(self.source);
        }
        let config = self.source.config()?;
        let bar = Bar::new();
        let reply = reach(&config, false)?.ask(Request::Verify, &mut |reply| bar.show(&reply))?;
        bar.clear();
        let Reply::Report {
            records,
            bytes,
            findings,
        } = reply
        else {
            bail!("the daemon answered something else than was asked");
        };
        let mut out = stdout().lock();
        for finding in &findings {
            writeln!(out, "{finding}")?;
        }
        let size = ByteSize(bytes);
        writeln!(
            out,
            "{records} recordings whole, {size} read, {} findings",
            findings.len()
        )?;
        Ok(if findings.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

fn rebuild(source: Source) -> anyhow::Result<ExitCode> {
    let config = source.config()?;
    if !config.data_dir.exists() {
        bail!("there is no data folder {}", config.data_dir.display());
    }
    if daemon(&config.data_dir)?.is_some() {
        bail!("a daemon has the data folder: stop it first, then rebuild");
    }
    let folder = owner::enter(&config.data_dir)?;
    let bar = Bar::new();
    let rebuilt = Store::rebuild(settings::store(&config, &folder), &mut |now| {
        bar.show(&now.into())
    })?;
    bar.clear();
    let mut out = stdout().lock();
    for problem in &rebuilt.problems {
        writeln!(out, "{problem}")?;
    }
    writeln!(
        out,
        "{} records made anew from media, {} kept without, {} of deleted recordings, {} problems",
        rebuilt.from_media,
        rebuilt.kept,
        rebuilt.deleted,
        rebuilt.problems.len()
    )?;
    Ok(if rebuilt.problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A progress bar on standard error; indicatif draws none where that is no terminal.
pub(super) struct Bar(ProgressBar);

impl Bar {
    pub(super) fn new() -> Self {
        let bar = ProgressBar::new(0);
        if let Ok(style) =
            ProgressStyle::with_template("{wide_bar} {pos}/{len} recordings {msg} {eta} left")
        {
            bar.set_style(style);
        }
        Self(bar)
    }

    pub(super) fn show(&self, reply: &Reply) {
        if let Reply::Progress { done, total, bytes } = reply {
            self.0.set_length(*total);
            self.0.set_position(*done);
            self.0.set_message(ByteSize(*bytes).to_string());
        }
    }

    pub(super) fn clear(&self) {
        self.0.finish_and_clear();
    }
}
