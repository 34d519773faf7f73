//! `reeld bench document`: `docs/ref/performance.md`, out of the JSON files that the measurements wrote.
//!
//! Called by [`super::Bench::run`] and `make bench`. What is measured and how stands here, what came out in the
//! files, which are committed beside the document; names of figures are the files' own. A test holds the document to
//! what is written here of those files.

use std::fmt::Write as _;
use std::fs;
use std::io::{Write as _, stdout};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde_json::{Map, Value};

use super::bounds;
use super::percentile::millis;

/// The arguments of `reeld bench document`.
#[derive(Debug, Args)]
pub struct Document {
    /// Where the files are: capture.json and the others that `make bench` writes
    dir: PathBuf,
}

/// A section of the document: a file of figures and how they were got.
struct Section {
    /// The file's name, without `.json`.
    file: &'static str,
    title: &'static str,
    how: &'static str,
}

const HEAD: &str = "# Performance

Made by `make bench` out of what `reeld bench` printed as JSON (`daemon/src/bench/document.rs`); do not edit it. Times
and costs vary with the machine, so what counts is ratios, and each ratio is of one run. Sender and receiver share the
machine's cores. `--check` fails where a bound of `daemon/src/bench/bounds.rs` is missed; a packet lost, a recording
that is not exact and a sender that was more than 200 ms late fail every run. Each section names what `make bench` runs;
its table says how many seconds and runs the figures are of.
";

const SECTIONS: [Section; 10] = [
    Section {
        file: "capture",
        title: "A packet's cost",
        how: "`reeld bench capture --calls 500 --seconds 60 --runs 5 --peer ffmpeg --peer gstreamer`: a daemon of its own, a child
process on its defaults, records 1,000 tracks of G.711 in packets of 20 ms, which a synthetic caller spreads evenly
over the packet time. Then the same streams go to a loop that waits in epoll, receives one packet a call and throws it
away; the two alternate, and costs are the medians of the runs, counts their sums, memory the most.

- *CPU µs per packet*: user and system time of all of the daemon's threads (`/proc/PID/stat`), from the first packet
  until the last recording can be fetched, over the packets sent; by thread from `/proc/PID/task/*/stat`. *Steady*: from a
  quarter of the sending time to seven eighths, by the scheduler's own count (`schedstat`), over the packets of that time.
- *kernel writeback*: time of the kernel's threads `kworker/u*` and `jbd2/*` over the same time as the daemon's. They
  write its pages to the disk, and do what else the kernel queues to them, so it is the most that writeback can be.
- *bare loop*: its thread's time (getrusage). *Ratio*: the daemon's over it.
- *packets at once*: what of a stream leaves together; 1 is one packet each 20 ms. From 2,000 calls on the sender's threads
  go before others (nice -20), as another machine's would.
- *lost*: sent, and not in the recordings' own counts; what `/proc/net/udp` says was dropped at the daemon's sockets is
  told apart. *Exact*: every file is fetched, and each sample compared with what was said.
- *resident*: `VmRSS`, before the first call and at its most while packets come, the difference by calls and by tracks.
- *fetchable*: from the request that stops a recording until a HEAD of its WAV is answered with 200.
- *sender*: its threads' time over the packets, which includes the kernel's delivery to the receiver's sockets.

Peers get the packets of ten calls, 20 streams, a process a stream, each decoding to its own WAV; their cost is their
processes' in steady state, looked at as the daemon's is. Beside it stands the daemon's for the same 20 streams, and the
ratio to the daemon's with all calls.",
    },
    Section {
        file: "full",
        title: "2,500 calls",
        how: "`reeld bench capture --calls 2500 --seconds 60 --runs 5`: 5,000 tracks, 250,000 packets a second, measured the same way.",
    },
    Section {
        file: "busy",
        title: "2,500 calls while every encoder is busy",
        how: "`reeld bench capture --calls 2500 --seconds 60 --encode --bundle 3`: the same, three packets of a stream at a time, since one by one sender
and daemon leave nothing of two cores, and 1 to 4 of 15,000,000 packets came too late; while twice as many customers as there are encoders
ask for MP3s of two minutes, each several in turn; an encoder a core, nothing kept. The daemon's cost includes them.",
    },
    Section {
        file: "growth",
        title: "Growth",
        how: "`reeld bench growth`: the same at more and more calls. With the calls the cost of a packet has to fall or stay, and from
100 calls on what each further call takes of memory (the first ones live in what the daemon's start has left free): at
most 1.15 times the least at fewer calls, which is what runs differ by. How it goes
on is in [capacity.md](../design/capacity.md).",
    },
    Section {
        file: "end",
        title: "From the end of a call",
        how: "`reeld bench end`: from a call's end until its `completed` callback has come and its file can be fetched, while other
calls are live; of calls sent in real time and stopped through the API, and of recordings out of virtual time, short and
of an hour.",
    },
    Section {
        file: "siprec",
        title: "Calls that come by themselves",
        how: "`reeld bench siprec`: recording clients (SIPREC by UDP) call at a steady rate, speak on both tracks for their time and
hang up, so that soon as many end as begin. Every track is compared sample by sample. *Fetchable* is from the BYE's leaving
until a HEAD of the WAV has its 200; its p99 is bound to 100 ms.",
    },
    Section {
        file: "stall",
        title: "A disk that stands still",
        how: "`reeld bench stall`: calls are recorded on a disk that for some seconds begins no write, sync, rename or removal. Sound
waits in memory, `/readyz` and the answer to a start say why nothing new is taken, and afterwards every track is compared
sample by sample. It fails where a packet was lost or a track is not exact. The sender is in the same process.",
    },
    Section {
        file: "encode",
        title: "Encoding",
        how: "`reeld bench encode`: seconds of sound encoded in a second of one core's time, user and system, from a WAV to a file; in
turn with the `lame` command at the same settings, whose file has to be the same byte for byte behind its Info frame. The
ratio is of the medians, and 0.95 is its bound.",
    },
    Section {
        file: "catalog",
        title: "A million recordings",
        how: "`reeld bench catalog`: a catalog is filled, once spread over a year and once within one day; recordings are put in beside
it, each step durable; then a daemon is started over it and asked over one connection, one request after the other, and
killed and started again. Bounds: p99 of every list 5 ms, start 3 s, resident memory 256 MiB, 2,000 durable inserts a
second.",
    },
    Section {
        file: "http",
        title: "Downloads",
        how: "`reeld bench http`: WAVs of 5 MB and 1 MB, all in the page cache, downloaded by the same client from reeld and from
nginx (sendfile) in turn: bytes of bodies for a second of the server's processor time, user and system. The ratio is of
the medians, and 0.7 is its bound.",
    },
];

/// How a line begins that says that figures do not count.
const BROKEN: &str = "**These figures do not count: ";

/// What is no figure: it stands above.
const MACHINE: &str = "machine";

/// What something is called that is measured beside others of its kind.
const WHAT: &str = "what";

/// Of runs by themselves the document has their number; what each came to is in the files.
const RUNS: &str = "runs";

/// What stands at a column's head, and what is below.
type Column<'a> = (String, &'a Map<String, Value>);

impl Document {
    /// Prints the document.
    pub(super) fn run(self) -> anyhow::Result<()> {
        Ok(stdout().write_all(document(&self.read()?).as_bytes())?)
    }

    /// The sections' reports, in their order.
    fn read(&self) -> anyhow::Result<Vec<Value>> {
        let read = |section: &Section| {
            let path = self.dir.join(section.file).with_extension("json");
            let text = fs::read_to_string(&path)
                .with_context(|| format!("{} (`make bench` writes it)", path.display()))?;
            serde_json::from_str(&text).with_context(|| path.display().to_string())
        };
        SECTIONS.iter().map(read).collect()
    }
}

/// The document, of the sections' reports in their order.
fn document(reports: &[Value]) -> String {
    let mut out = HEAD.to_owned();
    let machine = reports
        .first()
        .map_or(&Value::Null, |report| &report["machine"]);
    let field = |name: &str| value(name, &machine[name]);
    let (cores, kernel) = (field("cores"), field("kernel"));
    let (processor, build) = (field("processor"), field("build"));
    _ = writeln!(
        out,
        "\nMeasured on {processor}, {cores} cores, Linux {kernel}, {build} build."
    );
    for (section, report) in SECTIONS.iter().zip(reports) {
        _ = writeln!(out, "\n## {}\n\n{}", section.title, section.how);
        if let Some(report) = report.as_object() {
            for broken in broken(report) {
                _ = writeln!(out, "\n{BROKEN}{broken}**");
            }
            tables(&mut out, report);
        }
    }
    out
}

/// Why figures are not of the load that they should be of: what fails a run, seen in its report.
fn broken(report: &Map<String, Value>) -> Vec<String> {
    let mut found = Vec::new();
    let sizes = report
        .get("sizes")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    for figures in std::iter::once(report).chain(sizes.filter_map(Value::as_object)) {
        let of = |name: &str| {
            figures
                .get(name)
                .and_then(Value::as_f64)
                .unwrap_or_default()
        };
        let calls = thousands(
            figures
                .get("calls")
                .and_then(Value::as_u64)
                .unwrap_or_default(),
        );
        let behind = of("sender_behind_ms");
        if behind > millis(bounds::BEHIND) {
            found.push(format!(
                "at {calls} calls the sender was {behind:.0} ms behind its clock."
            ));
        }
        let lost = of("packets_sent") - of("packets_recorded");
        if lost > 0.0 {
            found.push(format!(
                "at {calls} calls {lost:.0} packets were not recorded."
            ));
        }
    }
    found
}

/// A table of the plain figures, and one for each group of alike ones, a column each.
fn tables(out: &mut String, report: &Map<String, Value>) {
    let mut plain: Vec<(&str, Vec<String>)> = Vec::new();
    let mut groups: Vec<(String, Vec<Column<'_>>)> = Vec::new();
    let mut alike: Vec<Column<'_>> = Vec::new();
    for (name, figure) in report {
        match figure {
            _ if name == MACHINE => {}
            Value::Array(items) if name == RUNS => {
                plain.push((name, vec![thousands(items.len() as u64)]));
            }
            Value::Array(items) if items.iter().any(Value::is_object) => {
                let columns = items.iter().enumerate();
                let columns = columns.filter_map(|(index, item)| {
                    let item = item.as_object()?;
                    let head = ["peer", "calls", "format"]
                        .iter()
                        .find_map(|name| Some(value(name, item.get(*name)?)));
                    Some((head.unwrap_or_else(|| (index + 1).to_string()), item))
                });
                groups.push((label(name), columns.collect()));
            }
            Value::Object(fields) if fields.values().any(|field| !field.is_number()) => {
                alike.push((label(name), fields));
            }
            // Nothing of the kind was measured.
            Value::Array(items) if items.is_empty() => {}
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_) => plain.push((name, vec![value(name, figure)])),
        }
    }
    if !alike.is_empty() {
        groups.push((String::new(), alike));
    }
    table(out, "figure", &[String::new()], &plain);
    for (name, columns) in groups {
        let heads: Vec<_> = columns.iter().map(|(head, _)| head.clone()).collect();
        let Some((_, first)) = columns.first() else {
            continue;
        };
        let rows: Vec<_> = first
            .iter()
            .flat_map(|(row, figure)| rows(row, figure, &columns))
            .collect();
        table(out, &name, &heads, &rows);
    }
}

/// The rows of a figure of the columns: one, or where it is a list of what has a name of its own, one for each.
fn rows<'a>(row: &'a str, first: &'a Value, columns: &[Column<'_>]) -> Vec<(&'a str, Vec<String>)> {
    let named = |figure: &'a Value| figure.get(WHAT).and_then(Value::as_str);
    let of = |(_, of): &Column<'_>| of.get(row).cloned().unwrap_or_default();
    if let Value::Array(items) = first
        && items.iter().any(|item| named(item).is_some())
    {
        let cell = |index: usize| {
            let cells = columns.iter().map(of);
            cells.map(|list| value(row, &list[index])).collect()
        };
        let items = items.iter().enumerate();
        return items
            .map(|(index, item)| (named(item).unwrap_or(row), cell(index)))
            .collect();
    }
    let cells = columns.iter().map(of);
    let cells = cells.map(|figure| value(row, &figure)).collect();
    vec![(named(first).unwrap_or(row), cells)]
}

fn table(out: &mut String, name: &str, heads: &[String], rows: &[(&str, Vec<String>)]) {
    if rows.is_empty() {
        return;
    }
    _ = writeln!(out, "\n| {name} | {} |", heads.join(" | "));
    _ = writeln!(out, "| --- |{}", " ---: |".repeat(heads.len()));
    for (row, cells) in rows {
        _ = writeln!(out, "| {} | {} |", label(row), cells.join(" | "));
    }
}

/// A figure's name in words.
fn label(name: &str) -> String {
    let words = name
        .replace("resident_bytes", "resident_memory")
        .replace('_', " ")
        .replace("mp3s", "MP3s")
        .replace("cpu", "CPU");
    words
        .split(' ')
        .map(|word| if word == "us" { "µs" } else { word })
        .collect::<Vec<_>>()
        .join(" ")
}

/// A figure as a reader wants it: bytes in KiB or MiB, counts with their thousands set apart.
fn value(name: &str, figure: &Value) -> String {
    match figure {
        Value::Null => String::new(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_u64() {
            Some(bytes) if name.contains("bytes") && bytes < 1 << 20 => {
                format!("{:.1} KiB", bytes as f64 / 1_024.0)
            }
            Some(bytes) if name.contains("bytes") => {
                format!("{:.1} MiB", bytes as f64 / 1_048_576.0)
            }
            Some(count) => thousands(count),
            None if name.contains("bytes") => {
                format!(
                    "{:.1} MiB",
                    number.as_f64().unwrap_or_default() / 1_048_576.0
                )
            }
            None => number.to_string(),
        },
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| value(name, item)).collect();
            items.join(" to ")
        }
        Value::Object(fields) => {
            let fields: Vec<_> = fields
                .iter()
                .filter(|(field, _)| *field != WHAT)
                .map(|(field, figure)| format!("{} {}", label(field), value(field, figure)))
                .collect();
            fields.join(", ")
        }
    }
}

fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests;
