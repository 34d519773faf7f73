//! The figures of a catalog measurement, their bounds, and how they are printed.
//!
//! Called by `catalog`, which fills it; it calls nobody. Names and units are part of what scripts
//! read, so they stay.

use std::fmt;

use serde::Serialize;

use super::inserts::Inserts;
use super::lists::Times;
use crate::bench::report::Machine;

/// Of every list, milliseconds.
const LIST_MS_P99: f64 = 5.0;

/// From the process's start until it is ready, milliseconds.
const START_MS: f64 = 3_000.0;

/// At any time.
const RESIDENT_BYTES: u64 = 256 << 20;

/// Records put into the catalog, each durable.
const INSERTED_A_SECOND: f64 = 2_000.0;

/// The catalog that the bounds are of.
const RECORDINGS: u32 = 1_000_000;

/// All figures of one run.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Report {
    pub(super) machine: Machine,
    /// In the catalog, beside those that are inserted.
    pub(super) recordings: u32,
    pub(super) over_a_year: Figures,
    pub(super) in_one_day: Figures,
}

/// What was measured over one catalog.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Figures {
    /// Records put in, not durable one by one.
    pub(super) fill_a_second: f64,
    /// Of the catalog's folder once it was full.
    pub(super) disk_bytes: u64,
    pub(super) disk_bytes_a_recording: u64,
    pub(super) inserts: Inserts,
    /// From the process's start until `/readyz` is 200.
    pub(super) start_ms: f64,
    /// The same after a kill.
    pub(super) start_after_crash_ms: f64,
    pub(super) resident_bytes_at_start: u64,
    /// Once all had been asked for.
    pub(super) resident_bytes_after: u64,
    pub(super) resident_bytes_after_crash: u64,
    /// The daemon's processor time from its start to the last request.
    pub(super) cpu_ms: f64,
    pub(super) lists: Vec<Times>,
    pub(super) deletes: Times,
}

impl Report {
    /// The bounds that were missed, a sentence each. They are those of a million recordings or more;
    /// a smaller catalog shows nothing.
    pub(super) fn missed(&self) -> Vec<String> {
        if self.recordings < RECORDINGS {
            return Vec::new();
        }
        let shapes = [
            ("over a year", &self.over_a_year),
            ("in one day", &self.in_one_day),
        ];
        shapes
            .into_iter()
            .flat_map(|(shape, figures)| {
                figures
                    .missed()
                    .into_iter()
                    .map(move |missed| format!("{shape}: {missed}"))
            })
            .collect()
    }
}

impl Figures {
    fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        for Times { what, ms_p99, .. } in &self.lists {
            if *ms_p99 >= LIST_MS_P99 {
                missed.push(format!(
                    "{what}: p99 {ms_p99} ms, and {LIST_MS_P99} is the bound"
                ));
            }
        }
        for (when, ms) in [
            ("", self.start_ms),
            (" after a kill", self.start_after_crash_ms),
        ] {
            if ms >= START_MS {
                missed.push(format!("start{when}: {ms} ms, and {START_MS} is the bound"));
            }
        }
        for (when, bytes) in [
            ("at start", self.resident_bytes_at_start),
            ("after all requests", self.resident_bytes_after),
            ("after a kill", self.resident_bytes_after_crash),
        ] {
            if bytes >= RESIDENT_BYTES {
                missed.push(format!(
                    "resident {when}: {bytes} bytes, and {RESIDENT_BYTES} is the bound"
                ));
            }
        }
        let inserted = self.inserts.inserted_a_second;
        if inserted < INSERTED_A_SECOND {
            missed.push(format!(
                "{inserted} inserted a second, and {INSERTED_A_SECOND} is the bound"
            ));
        }
        missed
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.machine)?;
        writeln!(f, "{} recordings over a year", self.recordings)?;
        self.over_a_year.fmt(f)?;
        writeln!(f, "{} recordings in one day", self.recordings)?;
        self.in_one_day.fmt(f)
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: String| writeln!(f, "{name:<38} {value:>26}");
        row("filled, a second", format!("{:.0}", self.fill_a_second))?;
        row(
            "catalog on disk, MiB",
            format!("{:.0}", mib(self.disk_bytes)),
        )?;
        row(
            "  bytes a recording",
            self.disk_bytes_a_recording.to_string(),
        )?;
        let Inserts {
            recordings,
            threads,
            inserted_a_second,
            begun_a_second,
            finished_a_second,
        } = &self.inserts;
        row("inserted, by threads", format!("{recordings}, {threads}"))?;
        row(
            "  records alone, durable, a second",
            format!("{inserted_a_second:.0}"),
        )?;
        row("  begun, durable, a second", format!("{begun_a_second:.0}"))?;
        row(
            "  finished, durable, a second",
            format!("{finished_a_second:.0}"),
        )?;
        row("start until ready, ms", format!("{:.0}", self.start_ms))?;
        row(
            "  after a kill, ms",
            format!("{:.0}", self.start_after_crash_ms),
        )?;
        row(
            "resident at start, MiB",
            format!("{:.0}", mib(self.resident_bytes_at_start)),
        )?;
        row(
            "  after all requests, MiB",
            format!("{:.0}", mib(self.resident_bytes_after)),
        )?;
        row(
            "  after a kill, MiB",
            format!("{:.0}", mib(self.resident_bytes_after_crash)),
        )?;
        row(
            "CPU of start and requests, ms",
            format!("{:.0}", self.cpu_ms),
        )?;
        row("requests, ms", "p50      p99     most".to_owned())?;
        for Times {
            what,
            ms_p50,
            ms_p99,
            ms_most,
            ..
        } in self.lists.iter().chain([&self.deletes])
        {
            row(
                &format!("  {what}"),
                format!("{ms_p50:.2} {ms_p99:>8.2} {ms_most:>8.2}"),
            )?;
        }
        Ok(())
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
