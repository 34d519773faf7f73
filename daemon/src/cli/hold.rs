//! `reeld hold`: puts recordings on legal hold, releases them, lists those that are, through the running
//! daemon or in the data folder when none runs.

use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use jiff::Timestamp;
use reeld_model::RecordingSid;

use super::Source;
use crate::socket::client::reach;
use crate::socket::message::{HoldLine, Reply, Request};

#[derive(Debug, Args)]
pub(super) struct Hold {
    /// Which recordings; without any, those that are on hold are listed
    sids: Vec<RecordingSid>,
    /// Releases them
    #[arg(long, requires = "sids")]
    release: bool,
    #[command(flatten)]
    source: Source,
}

impl Hold {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.source.config()?;
        let mut out = stdout().lock();
        if self.sids.is_empty() {
            let holds = asked(&config, Request::Holds)?;
            for hold in &holds {
                writeln!(out, "{}", line(hold)?)?;
            }
            writeln!(out, "{} recordings are on hold", holds.len())?;
            return Ok(ExitCode::SUCCESS);
        }
        for sid in self.sids {
            if self.release {
                asked(&config, Request::Release { sid })?;
                writeln!(out, "{sid} is released")?;
            } else {
                for hold in asked(&config, Request::Hold { sid })? {
                    writeln!(out, "{}", line(&hold)?)?;
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn asked(config: &reeld_config::Config, request: Request) -> anyhow::Result<Vec<HoldLine>> {
    let reply = reach(config, false)?.ask(request, &mut |_| {})?;
    let Reply::Holds { holds } = reply else {
        bail!("the daemon answered something else than was asked");
    };
    Ok(holds)
}

fn line(hold: &HoldLine) -> anyhow::Result<String> {
    let since = Timestamp::from_millisecond(hold.since_ms)?;
    Ok(format!(
        "{}  {}  on hold since {since:.0}",
        hold.sid, hold.account
    ))
}
