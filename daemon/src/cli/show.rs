//! `reeld show`: a recording's record, and what happened to its sound, from the running daemon or
//! from the data folder when none runs.

use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use reeld_model::{RecordingSid, TrackSelection};

use super::Source;
use crate::socket::client::reach;
use crate::socket::message::{Reply, Request};
use crate::socket::shown::{Quality, Shown, Track};

#[derive(Debug, Args)]
pub(super) struct Show {
    /// Which recording
    sid: RecordingSid,
    /// As JSON, with each range that was concealed
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: Source,
}

impl Show {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let request = Request::Show { sid: self.sid };
        let reply = reach(&self.source.config()?, false)?.ask(request, &mut |_| {})?;
        let Reply::Recording(shown) = reply else {
            bail!("the daemon answered something else than was asked");
        };
        if self.json {
            writeln!(stdout(), "{}", serde_json::to_string_pretty(&shown)?)?;
        } else {
            write!(stdout(), "{}", text(&shown))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A recording for people: a line for each thing, and a table of its tracks.
fn text(shown: &Shown) -> String {
    let Shown {
        sid,
        call_sid,
        account_sid,
        status,
        from,
        to,
        external_id,
        date_created,
        date_updated,
        start_time,
        duration_ms,
        frames,
        channels,
        track,
        rate_hz,
        ended_by,
        recovered,
        digits,
        blake3,
        held_since,
        damaged,
        tags,
        quality,
    } = shown;
    let instant =
        |at: &Option<jiff::Timestamp>| at.map_or_else(|| "-".to_owned(), |at| format!("{at:.3}"));
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let ended = ended_by.map_or("-", |by| by.as_str());
    let recovery = if *recovered { ", by recovery" } else { "" };
    let mut lines = vec![
        ("recording", sid.to_string()),
        ("call", call_sid.to_string()),
        ("account", account_sid.to_string()),
        ("from", or_dash(from)),
        ("to", or_dash(to)),
        ("status", status.clone()),
        ("created", instant(date_created)),
        ("started", instant(start_time)),
        ("updated", instant(date_updated)),
        (
            "duration",
            format!(
                "{}.{:03} s, {frames} frames",
                duration_ms / 1_000,
                duration_ms % 1_000
            ),
        ),
        ("channels", format!("{channels}, {}", track.as_str())),
        ("rate", format!("{rate_hz} Hz")),
        ("ended by", format!("{ended}{recovery}")),
        (
            "digits",
            if digits.is_empty() { "-" } else { digits }.to_owned(),
        ),
        ("blake3", or_dash(blake3)),
    ];
    if let Some(name) = external_id {
        lines.insert(2, ("external id", name.clone()));
    }
    if held_since.is_some() {
        lines.push(("on hold since", instant(held_since)));
    }
    if let Some(what) = damaged {
        lines.push(("damaged", what.clone()));
    }
    if tags.as_object().is_none_or(|tags| !tags.is_empty()) {
        lines.push(("tags", tags.to_string()));
    }
    let mut text = String::new();
    for (name, value) in lines {
        text += &format!("{name:LABEL$}{}\n", printable(&value));
    }
    text + "\n" + &table(quality, *track)
}

/// Columns before a line's value.
const LABEL: usize = 19;

/// Control characters, which a From may have, do nothing to a terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// The quality of the tracks that the recording has, a column each.
fn table(quality: &Quality, track: TrackSelection) -> String {
    let both = [
        (TrackSelection::Inbound, &quality.inbound),
        (TrackSelection::Outbound, &quality.outbound),
    ];
    let columns: Vec<Vec<(&str, String)>> = both
        .into_iter()
        .filter(|(one, _)| [*one, TrackSelection::Both].contains(&track))
        .map(|(one, track)| rows(one.as_str(), track))
        .collect();
    let widths: Vec<usize> = columns
        .iter()
        .map(|rows| rows.iter().map(|(_, cell)| cell.chars().count()).max())
        .map(Option::unwrap_or_default)
        .collect();
    let mut text = String::new();
    for row in 0..columns.first().map_or(0, Vec::len) {
        let mut line = format!("{:LABEL$}", columns[0][row].0);
        for (column, width) in columns.iter().zip(&widths) {
            line += &format!("{:>width$}  ", column[row].1);
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// A track's column: what each row is called, and what it says.
fn rows(name: &str, track: &Track) -> Vec<(&'static str, String)> {
    let names = |names: &[String]| match names {
        [] => "-".to_owned(),
        names => printable(&names.join(", ")),
    };
    let ms = |ms: u64| format!("{ms} ms");
    let drift = track
        .drift_ppm
        .map_or_else(|| "-".to_owned(), |ppm| format!("{ppm:+.1} ppm"));
    vec![
        ("quality", name.to_owned()),
        ("packets", track.packets.to_string()),
        ("lost", track.lost.to_string()),
        ("recovered late", track.reordered.to_string()),
        ("duplicates", track.duplicates.to_string()),
        (
            "strays",
            format!("{} late, {} foreign", track.late, track.foreign),
        ),
        ("not authentic", track.unauthentic.to_string()),
        ("dropped by kernel", track.kernel_dropped.to_string()),
        ("longest gap", ms(track.longest_gap_ms)),
        ("jitter", format!("{:.3} ms", track.jitter_ms)),
        ("drift", drift),
        ("segments", track.segments.to_string()),
        ("concealed", ms(track.concealed_ms)),
        ("filled", ms(track.filled_ms)),
        ("corrected", ms(track.corrected_ms)),
        ("events", track.events.to_string()),
        ("comfort noise", track.comfort_noise.to_string()),
        ("codecs", names(&track.codecs)),
        ("undecodable", track.undecodable.to_string()),
        ("undecodable types", names(&track.undecodable_types)),
        ("sources", names(&track.sources)),
        ("srtp", track.srtp.clone().unwrap_or_else(|| "-".to_owned())),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(track: &str) -> Shown {
        let side = |packets: u64| {
            json!({
                "packets": packets, "payload_bytes": 8000, "lost": 5, "reordered": 4,
                "duplicates": 3, "late": 2, "foreign": 1, "malformed": 0, "stun": 0, "rtcp": 9,
                "undecodable": 8, "events": 6, "comfort_noise": 7, "segments": 2,
                "kernel_dropped": 0, "concealed_ms": 100, "filled_ms": 40, "corrected_ms": 1,
                "longest_gap_ms": 140, "jitter_ms": 1.25, "drift_ppm": -200.5,
                "codecs": ["PCMU", "G722"], "undecodable_types": ["18 G729"],
                "sources": ["127.0.0.1:4000"], "concealed_ranges": [[100, 200]],
            })
        };
        let recording = json!({
            "sid": "RE00000000000000000000000000000001",
            "call_sid": "CA00000000000000000000000000000001",
            "account_sid": "AC00000000000000000000000000000001",
            "status": "completed", "from": "evil\u{1b}[2J", "to": null, "external_id": "abc@pbx",
            "date_created": "2026-11-24T17:14:16Z", "date_updated": "2026-11-24T17:14:21Z",
            "start_time": "2026-11-24T17:14:16.25Z", "duration_ms": 5059, "frames": 80944,
            "channels": 2, "track": track, "rate_hz": 16000, "ended_by": "stopped",
            "recovered": false, "digits": "12#", "blake3": "ab".repeat(32), "tags": {},
            "held_since": "2026-11-24T17:15:00Z", "damaged": "its samples have another checksum",
            "quality": { "inbound": side(250), "outbound": side(3) },
        });
        serde_json::from_value(recording).unwrap()
    }

    #[test]
    fn a_recording_is_a_line_a_thing_and_a_table() {
        let text = text(&shown("both"));
        assert!(!text.contains('\u{1b}'), "{text:?}");
        for line in [
            "external id        abc@pbx",
            "started            2026-11-24T17:14:16.250Z",
            "duration           5.059 s, 80944 frames",
            "on hold since      2026-11-24T17:15:00.000Z",
            "damaged            its samples have another checksum",
            "quality                      inbound           outbound",
            "packets                          250                  3",
            "drift                     -200.5 ppm         -200.5 ppm",
            "codecs                    PCMU, G722         PCMU, G722",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line}:\n{text}");
        }
    }

    #[test]
    fn a_track_that_is_not_recorded_has_no_column() {
        let text = text(&shown("outbound"));
        let quality = text.lines().find(|line| line.starts_with("quality"));
        assert!(quality.is_some_and(|line| !line.contains("inbound")));
    }

    #[test]
    fn what_goes_over_the_socket_comes_out_of_it() {
        let shown = shown("both");
        let line = serde_json::to_string(&Reply::Recording(Box::new(shown.clone()))).unwrap();
        let Ok(Reply::Recording(back)) = serde_json::from_str(&line) else {
            panic!("{line}");
        };
        assert_eq!(*back, shown);
    }
}
