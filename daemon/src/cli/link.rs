//! `reeld link`: a signed link to a recording, from the running daemon or the data folder's own key
//! when none runs.

use std::io::{Write, stdout};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use clap::builder::PossibleValuesParser;
use reeld_api::link::{FORMATS, MOST_SECONDS};
use reeld_model::RecordingSid;

use super::Source;
use crate::socket::client::reach;
use crate::socket::message::{Reply, Request};

#[derive(Debug, Args)]
pub(super) struct Link {
    /// Which recording
    sid: RecordingSid,
    /// How long it is good for, 1s to 7days
    #[arg(long, default_value = "1h", value_parser = lifetime)]
    expires: Duration,
    /// What it leads to; without it the WAV. A link to sound opens each of its formats and its
    /// peaks, one to json or xml the metadata alone
    #[arg(long, value_parser = PossibleValuesParser::new(FORMATS))]
    format: Option<String>,
    #[command(flatten)]
    source: Source,
}

impl Link {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let request = Request::Link {
            sid: self.sid,
            format: self.format,
            expires_in_s: self.expires.as_secs(),
        };
        let config = self.source.config()?;
        let reply = reach(&config, false)?.ask(request, &mut |_| {})?;
        let Reply::Link { path } = reply else {
            bail!("the daemon answered something else than was asked");
        };
        let base = config.api.public_url;
        let scheme = config.api.tls.map_or("http", |_| "https");
        let base = base.unwrap_or_else(|| format!("{scheme}://{}", config.api.listen));
        writeln!(stdout(), "{base}{path}")?;
        Ok(ExitCode::SUCCESS)
    }
}

fn lifetime(text: &str) -> Result<Duration, String> {
    let lifetime = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if (1..=MOST_SECONDS).contains(&lifetime.as_secs()) {
        Ok(lifetime)
    } else {
        Err("a link is good for 1s to 7days".to_owned())
    }
}
