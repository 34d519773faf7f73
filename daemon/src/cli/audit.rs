//! `reeld audit`: the audit trail, of the running daemon or of the data folder when none runs.

use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use jiff::Timestamp;
use reeld_model::{AccountSid, RecordingSid};
use reeld_store::{AuditEntry, AuditQuery};
use serde_json::json;

use super::Source;
use crate::clock;
use crate::socket::client::reach;
use crate::socket::message::{Reply, Request};

#[derive(Debug, Args)]
pub(super) struct Audit {
    /// From then on: a time such as 2026-01-31T00:00:00Z, or how long ago, such as 7days
    #[arg(long, value_parser = since)]
    since: Option<i64>,
    /// Of this recording alone
    #[arg(long)]
    recording: Option<RecordingSid>,
    /// Of this account's recordings and calls alone
    #[arg(long)]
    account: Option<AccountSid>,
    /// At most so many entries, the newest; 10000 is the most
    #[arg(long, default_value_t = 1_000)]
    limit: usize,
    /// A JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: Source,
}

impl Audit {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let request = Request::Audit(AuditQuery {
            since_ms: self.since,
            recording: self.recording,
            account: self.account,
            limit: self.limit,
        });
        let reply = reach(&self.source.config()?, false)?.ask(request, &mut |_| {})?;
        let Reply::Audit { entries } = reply else {
            bail!("the daemon answered something else than was asked");
        };
        let mut out = stdout().lock();
        for entry in entries.iter().rev() {
            let line = if self.json {
                object(entry)?
            } else {
                line(entry)?
            };
            writeln!(out, "{line}")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Milliseconds since the Unix epoch.
fn since(text: &str) -> Result<i64, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at.as_millisecond());
    }
    let ago = humantime::parse_duration(text)
        .map_err(|_| "it must be a time such as 2026-01-31T00:00:00Z, or 7days".to_owned())?;
    let ago_ms = i64::try_from(ago.as_millis()).map_err(|error| error.to_string())?;
    Ok(clock::unix_ms().saturating_sub(ago_ms))
}

fn object(entry: &AuditEntry) -> anyhow::Result<String> {
    let at = Timestamp::from_millisecond(entry.at_ms)?;
    let object = json!({
        "at": format!("{at:.3}"),
        "who": entry.who.to_string(),
        "address": entry.address,
        "action": entry.action.as_str(),
        "account": entry.account.map(|sid| sid.to_string()),
        "recording": entry.recording.map(|sid| sid.to_string()),
        "call": entry.call.map(|sid| sid.to_string()),
        "form": entry.form,
        "bytes": entry.bytes,
        "status": entry.status,
    });
    Ok(object.to_string())
}

fn line(entry: &AuditEntry) -> anyhow::Result<String> {
    let at = Timestamp::from_millisecond(entry.at_ms)?;
    let told = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let form = if entry.form.is_empty() {
        "-"
    } else {
        &entry.form
    };
    Ok(format!(
        "{at:.3}  {:14} {:3}  {}  {}  {}  {}  {form}  {}",
        entry.action.as_str(),
        entry.status,
        entry.who,
        told(entry.address.map(|address| address.to_string())),
        told(entry.recording.map(|sid| sid.to_string())),
        told(entry.call.map(|sid| sid.to_string())),
        entry.bytes,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_an_instant_or_a_while_ago() {
        assert_eq!(since("1970-01-01T00:00:02Z"), Ok(2_000));
        let week = since("7days").unwrap();
        assert!((clock::unix_ms() - week - 7 * 86_400_000).abs() < 10_000);
        assert!(since("soon").is_err());
    }
}
