//! Logs: to standard error, a line for a person or a JSON object for a machine.
//!
//! `cli::serve` calls [`start`] once, before anything logs. Levels and targets are the
//! configuration's; what may be logged at all is style.md rule 34's matter, at each place.

use std::io::IsTerminal;

use anyhow::{Context, anyhow};
use reeld_config::{Log, LogFormat};
use tracing_subscriber::EnvFilter;

/// Starts logging, for the whole process.
///
/// # Errors
/// The level is none, or logging has been started already.
pub fn start(log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.level).context("log.level")?;
    let on_terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(on_terminal);
    let started = if is_json(log.format, on_terminal, under_systemd()) {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.try_init()
    };
    started.map_err(|error| anyhow!(error)).context("logging")
}

/// A terminal is a person's even when a service has opened it, as desktops do.
fn is_json(format: LogFormat, on_terminal: bool, under_systemd: bool) -> bool {
    match format {
        LogFormat::Json => true,
        LogFormat::Human => false,
        LogFormat::Auto => under_systemd && !on_terminal,
    }
}

/// systemd.exec(5): set for every process of a unit.
fn under_systemd() -> bool {
    std::env::var_os("INVOCATION_ID").is_some() || std::env::var_os("JOURNAL_STREAM").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_get_lines_and_the_journal_gets_json() {
        for (format, on_terminal, under_systemd, json) in [
            (LogFormat::Auto, false, false, false),
            (LogFormat::Auto, false, true, true),
            (LogFormat::Auto, true, true, false),
            (LogFormat::Json, true, false, true),
            (LogFormat::Human, false, true, false),
        ] {
            assert_eq!(is_json(format, on_terminal, under_systemd), json);
        }
    }
}
