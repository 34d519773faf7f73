//! `reeld status`: the running daemon in a few lines; exit code 1 when none runs.

use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::bail;
use bytesize::ByteSize;
use clap::Args;

use super::Source;
use crate::socket::client::{Reached, daemon};
use crate::socket::message::{self, Reply, Request};

#[derive(Debug, Args)]
pub(super) struct Status {
    #[command(flatten)]
    source: Source,
}

impl Status {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.source.config()?;
        let Some(stream) = daemon(&config.data_dir)? else {
            bail!("no daemon runs on {}", config.data_dir.display());
        };
        let reply = Reached::Daemon(stream).ask(Request::Status, &mut |_| {})?;
        let Reply::Status(status) = reply else {
            bail!("the daemon answered something else than was asked");
        };
        let message::Status {
            pid,
            version,
            free_bytes,
            min_free_bytes,
            writable,
            failing,
            unfinished,
            damaged,
            encryption_key,
            missing_keys,
        } = status;
        let (free, least) = (ByteSize(free_bytes), ByteSize(min_free_bytes));
        let can_write = if writable {
            "takes writes"
        } else {
            "takes no writes"
        };
        writeln!(
            stdout(),
            "reeld {version} runs as process {pid} on {}",
            config.data_dir.display()
        )?;
        writeln!(
            stdout(),
            "the disk {can_write}; {free} free, {least} must stay free"
        )?;
        if let Some(what) = failing {
            writeln!(stdout(), "the disk has failed: {what}")?;
        }
        if let Some(key) = encryption_key {
            writeln!(stdout(), "recordings are encrypted under the key {key}")?;
        }
        for key in missing_keys {
            writeln!(
                stdout(),
                "the key {key} is missing: what is under it is not served (store.old_encryption_keys)"
            )?;
        }
        for (count, what) in [
            (unfinished, "recordings have ended and wait for the disk"),
            (damaged, "recordings are damaged (reeld verify)"),
        ] {
            if count > 0 {
                writeln!(stdout(), "{count} {what}")?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
