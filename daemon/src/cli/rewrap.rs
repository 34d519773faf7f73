//! `reeld rewrap`: brings every recording's data key under `store.encryption_key`, by the running daemon or
//! here when none runs.

use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;

use super::Source;
use super::verify::Bar;
use crate::socket::client::reach;
use crate::socket::message::{Reply, Request};

#[derive(Debug, Args)]
pub(super) struct Rewrap {
    #[command(flatten)]
    source: Source,
}

impl Rewrap {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.source.config()?;
        let bar = Bar::new();
        let reply = reach(&config, false)?.ask(Request::Rewrap, &mut |reply| bar.show(&reply))?;
        bar.clear();
        let Reply::Rewrapped {
            rewrapped,
            current,
            clear,
            left,
            problems,
        } = reply
        else {
            bail!("the daemon answered something else than was asked");
        };
        let mut out = stdout().lock();
        for problem in &problems {
            writeln!(out, "{problem}")?;
        }
        writeln!(
            out,
            "{rewrapped} recordings brought under the key, {current} were under it, {clear} are in clear, \
             {left} are left as they were"
        )?;
        Ok(if left == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}
