//! `reeld callbacks`: what waits in the outbox and what was given up on, of the running daemon or of
//! the data folder when none runs.

use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::bail;
use clap::Subcommand;
use jiff::Timestamp;

use super::Source;
use crate::socket::client::reach;
use crate::socket::message::{CallbackLine, Reply, Request};

#[derive(Debug, Subcommand)]
pub(super) enum Callbacks {
    /// Lists the callbacks that wait: when each is tried next, and why it has failed
    Pending {
        #[command(flatten)]
        source: Source,
    },
    /// Lists the callbacks that were given up on, the oldest first
    Dead {
        #[command(flatten)]
        source: Source,
    },
    /// Sends all of them again, those given up on as if they were new
    Retry {
        #[command(flatten)]
        source: Source,
    },
}

impl Callbacks {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let (source, request) = match self {
            Self::Pending { source } => (source, Request::CallbacksPending),
            Self::Dead { source } => (source, Request::CallbacksDead),
            Self::Retry { source } => (source, Request::CallbacksRetry),
        };
        let reply = reach(&source.config()?, false)?.ask(request, &mut |_| {})?;
        let mut out = stdout().lock();
        match reply {
            Reply::Callbacks {
                waiting,
                dead,
                callbacks,
            } => {
                for callback in callbacks {
                    writeln!(out, "{}", line(&callback)?)?;
                }
                writeln!(
                    out,
                    "callbacks of {waiting} recordings wait, {dead} were given up on"
                )?;
            }
            Reply::Retried { waiting } => {
                writeln!(out, "callbacks of {waiting} recordings are tried now")?;
            }
            Reply::Token { .. }
            | Reply::Accounts { .. }
            | Reply::Removed
            | Reply::Key { .. }
            | Reply::Keys { .. }
            | Reply::Link { .. }
            | Reply::Progress { .. }
            | Reply::Report { .. }
            | Reply::Rewrapped { .. }
            | Reply::Recording(_)
            | Reply::Holds { .. }
            | Reply::Status(_)
            | Reply::Audit { .. }
            | Reply::Imported(_)
            | Reply::Refused { .. } => bail!("the daemon answered something else than was asked"),
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn line(callback: &CallbackLine) -> anyhow::Result<String> {
    let CallbackLine {
        sid,
        status,
        host,
        made_ms: _,
        at_ms,
        attempts,
        last_error,
    } = callback;
    let at = Timestamp::from_millisecond(*at_ms)?;
    Ok(format!(
        "{sid}  {status:11}  {at:.0}  {attempts:3} failed  {host}  {last_error}"
    ))
}
