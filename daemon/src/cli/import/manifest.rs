//! The manifest of `reeld import`: a CSV with a file a row, and what is to be kept of it.
//!
//! | column | is |
//! | --- | --- |
//! | `file` | the file's path, from the manifest's folder on |
//! | `sid` | the recording's Sid, `RE` and 32 digits |
//! | `call_sid` | its call's |
//! | `date_created` | RFC 3339 (`2009-07-06T20:00:00Z`), RFC 2822 as Twilio's, or a date alone (UTC) |
//! | `channels` | `1`, `2`, `mono` or `dual`: what the file must have |
//! | `tags` | a JSON object |
//!
//! All but `file` may be missing or empty. A bad row is reported by its line, the rest is read.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use reeld_model::control::Tags;
use reeld_model::{AccountSid, CallSid};
use serde::Deserialize;

use super::name_of;
use crate::import::Job;

/// A manifest's rows.
#[derive(Debug, Default)]
pub(super) struct Manifest {
    pub(super) jobs: Vec<(PathBuf, Job)>,
    pub(super) problems: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    file: String,
    #[serde(default)]
    sid: String,
    #[serde(default)]
    call_sid: String,
    #[serde(default)]
    date_created: String,
    #[serde(default)]
    channels: String,
    #[serde(default)]
    tags: String,
}

/// Reads a manifest. Rows without a CallSid get `call`.
///
/// # Errors
/// It cannot be read at all, or its head has no column `file` or one that is not known.
pub(super) fn read(
    path: &Path,
    account: Option<AccountSid>,
    call: Option<CallSid>,
) -> anyhow::Result<Manifest> {
    let shown = || path.display().to_string();
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_path(path)
        .with_context(shown)?;
    let head = reader.headers().with_context(shown)?.clone();
    if !head.iter().any(|name| name == "file") {
        bail!("{}: its first line has no column \"file\"", shown());
    }
    let known = [
        "file",
        "sid",
        "call_sid",
        "date_created",
        "channels",
        "tags",
    ];
    if let Some(name) = head.iter().find(|name| !known.contains(name)) {
        bail!("{}: a column {name:?} is not known", shown());
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut manifest = Manifest::default();
    let mut record = csv::StringRecord::new();
    loop {
        let line = reader.position().line();
        match reader.read_record(&mut record) {
            Ok(false) => return Ok(manifest),
            Ok(true) => {}
            Err(error) if error.is_io_error() => return Err(error).with_context(shown),
            Err(error) => {
                manifest.problems.push(format!("line {line}: {error}"));
                continue;
            }
        }
        let line = record.position().map_or(line, csv::Position::line);
        let row = record
            .deserialize::<Row>(Some(&head))
            .map_err(anyhow::Error::from);
        match row.and_then(|row| job(row, account, call)) {
            Ok((file, job)) => manifest.jobs.push((folder.join(file), job)),
            Err(error) => manifest.problems.push(format!("line {line}: {error:#}")),
        }
    }
}

fn job(
    row: Row,
    account: Option<AccountSid>,
    call: Option<CallSid>,
) -> anyhow::Result<(PathBuf, Job)> {
    if row.file.is_empty() {
        bail!("no file is named");
    }
    let path = PathBuf::from(&row.file);
    let job = Job {
        name: name_of(&path),
        account,
        call: match &*row.call_sid {
            "" => call,
            sid => Some(sid.parse().context("call_sid")?),
        },
        sid: match &*row.sid {
            "" => None,
            sid => Some(sid.parse().context("sid")?),
        },
        created_ms: match &*row.date_created {
            "" => None,
            date => Some(instant(date).context("date_created")?),
        },
        channels: match &*row.channels {
            "" => None,
            "1" | "mono" => Some(1),
            "2" | "dual" | "stereo" => Some(2),
            other => bail!("channels: {other:?} is neither 1, mono, 2 nor dual"),
        },
        tags: match &*row.tags {
            "" => Tags::default(),
            text => serde_json::from_str(text).context("tags are no JSON object")?,
        },
    };
    Ok((path, job))
}

/// An instant in milliseconds since the Unix epoch.
fn instant(text: &str) -> anyhow::Result<i64> {
    if let Ok(timestamp) = text.parse::<jiff::Timestamp>() {
        return Ok(timestamp.as_millisecond());
    }
    if let Ok(zoned) = jiff::fmt::rfc2822::parse(text) {
        return Ok(zoned.timestamp().as_millisecond());
    }
    let date: Date = text
        .parse()
        .with_context(|| format!("{text:?} is no date of RFC 3339 or RFC 2822"))?;
    Ok(date
        .to_zoned_datetime(TimeZone::UTC)?
        .timestamp()
        .as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> anyhow::Result<Manifest> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.csv");
        std::fs::write(&path, text).unwrap();
        read(&path, None, None)
    }

    #[test]
    fn rows_become_jobs_and_bad_ones_are_named_by_line() {
        let manifest = read_text(
            "file,sid,call_sid,date_created,channels,tags\n\
             a.wav,RE41331862605f3d662488fdafda2e175f,,2009-07-06T20:00:00Z,1,\"{\"\"team\"\": \"\"sales\"\"}\"\n\
             b.wav,nonsense,,,,\n\
             c.wav,,,\"Mon, 06 Jul 2009 20:00:00 +0000\",dual,\n\
             d.wav,,,yesterday,,\n\
             e.wav,,,2009-07-06,,[1]\n\
             f.wav,,too,many,,,,\n\
             g.wav,,,2009-07-06,,\n",
        )
        .unwrap();
        let names: Vec<_> = manifest.jobs.iter().map(|(_, job)| &*job.name).collect();
        assert_eq!(names, ["a.wav", "c.wav", "g.wav"]);
        let [(path, a), (_, c), (_, g)] = &manifest.jobs[..] else {
            panic!("three jobs");
        };
        assert!(path.is_absolute() && path.ends_with("a.wav"));
        assert_eq!(a.created_ms, Some(1_246_910_400_000));
        assert_eq!((a.created_ms, c.created_ms), (c.created_ms, a.created_ms));
        assert_eq!(g.created_ms, Some(1_246_838_400_000));
        assert_eq!((a.channels, c.channels), (Some(1), Some(2)));
        assert_eq!(a.tags["team"], "sales");
        for (problem, says) in manifest.problems.iter().zip([
            "line 3: sid",
            "line 5: date_created",
            "line 6: tags",
            "line 7: ",
        ]) {
            assert!(problem.starts_with(says), "{problem:?}: {says}");
        }
        assert_eq!(manifest.problems.len(), 4);
    }

    #[test]
    fn a_head_that_is_none_is_refused() {
        assert!(read_text("sid,call_sid\n").is_err());
        assert!(read_text("file,colour\n").is_err());
        assert!(read_text("").is_err());
    }
}
