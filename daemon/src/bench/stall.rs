//! `reeld bench stall`: many dual calls at once on a disk that stands still in the middle, each held
//! exact.
//!
//! Called by [`super::Bench::run`]. The daemon runs in this process (`house`), on a disk that can be made
//! to stand still: from then on no write, sync, rename or removal of the store's begins until it goes on.
//! What must hold: no packet is lost and no file damaged, sound waits in bounded memory, and meanwhile a
//! new recording is refused with 503 and a Retry-After, and `/readyz` says why.

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZero;
use std::str::FromStr;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;
use serde::Serialize;

use super::call::Call;
use super::house::House;
use super::load::{self, PACKETS_A_SECOND};
use super::options::Options;
use super::percentile::{millis, percentile};
use super::report::{Machine, SHOWN, print};
use super::usage::{self, Process};
use super::{descriptors, hands, interrupt, watch};
use crate::caller::{self, Sent};
use crate::customer::Customer;

/// Between two looks at the daemon.
const LOOK: Duration = Duration::from_millis(50);

/// From the stall's end until the daemon takes recordings again, at most.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sound on either side of the stall, so that what it does shows.
const AROUND: u32 = 4;

/// The arguments of `reeld bench stall`.
#[derive(Debug, Args)]
pub struct Stall {
    /// Calls at once, recorded dual: two tracks each
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=1_500))]
    calls: u32,
    /// How long the disk stands still
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(3..=20))]
    stall_seconds: u32,
    #[command(flatten)]
    options: Options,
}

/// All figures of one run. Names and units are part of what scripts read, so they stay.
#[derive(Debug, Clone, Serialize)]
struct Report {
    machine: Machine,
    /// Calls at once, two tracks each.
    calls: u32,
    /// Seconds that each call lasted.
    seconds: u32,
    stall_seconds: u32,
    packets_sent: u64,
    /// By the daemon's own count, in the recordings' records.
    packets_recorded: u64,
    packets_dropped_by_kernel: u64,
    /// Tracks that equal what was said, sample for sample, of two for each call.
    tracks_exact: u32,
    /// Frames that became silence for want of room.
    frames_overrun: u64,
    /// Files that `verify` finds something wrong with.
    findings: usize,
    /// The most sound that waited for the disk, and the most that may.
    backlog_bytes_peak: u64,
    backlog_bytes_max: u64,
    /// The most that media threads were behind, smoothed.
    tick_lag_ms_peak: f64,
    /// Of this process, sender included: before the first call, and its most.
    resident_bytes_before: u64,
    resident_bytes_peak: u64,
    /// From the stall's beginning until `/readyz` named it.
    unready_after_ms: f64,
    /// What a start was answered with meanwhile.
    refused: String,
    /// From the stall's end until nothing of it waited any more.
    caught_up_ms: f64,
    /// From the stall's end until `/readyz` was content.
    ready_after_ms: f64,
    /// From the request to stop until the WAV could be fetched, after the stall.
    fetchable_ms_p50: f64,
    fetchable_ms_p99: f64,
    /// The most that the sender was behind its clock.
    sender_behind_ms: f64,
}

/// What was seen of the stall.
#[derive(Debug, Default)]
struct Seen {
    backlog_peak: u64,
    tick_lag_peak: f64,
    unready_after: Option<Duration>,
    refused: Option<String>,
    caught_up: Option<Duration>,
    ready_after: Option<Duration>,
}

impl Stall {
    /// Measures and prints.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let stop = interrupt::watch()?;
        // The daemon's two for each track and its take's one, and the sender's one for each track.
        descriptors::raise(7 * u64::from(self.calls), self.calls)?;
        let house = House::start(self.options.data_dir.as_deref(), self.calls)?;
        let measured = self.measure(&house, stop);
        let stopped = house.stop();
        let (report, differences) = measured?;
        stopped?;
        print(&report, self.options.json)?;
        ensure!(
            differences.is_empty()
                && report.packets_recorded == report.packets_sent
                && report.frames_overrun == 0
                && report.findings == 0,
            "{} packets sent, {} recorded, by a sender that was {} ms behind; {} frames silenced; {} files damaged; {} tracks not exact: {}",
            report.packets_sent,
            report.packets_recorded,
            report.sender_behind_ms,
            report.frames_overrun,
            report.findings,
            differences.len(),
            differences[..differences.len().min(SHOWN)].join("; ")
        );
        Ok(())
    }

    fn seconds(&self) -> u32 {
        self.stall_seconds + 2 * AROUND
    }

    fn measure(&self, house: &House, stop: &AtomicBool) -> anyhow::Result<(Report, Vec<String>)> {
        let (customer, process) = (house.customer(), Process(std::process::id()));
        let resident_bytes_before = process.resident()?;
        let packets = u64::from(self.seconds()) * PACKETS_A_SECOND;
        let numbers: Vec<_> = (0..u64::from(self.calls)).collect();
        let calls = hands::each(&numbers, |&number| {
            Call::start(customer, self.options.seed, number, packets, None)
        })?;
        let plan = load::plan(&calls, NonZero::<usize>::MIN);
        let ports: BTreeSet<_> = plan.streams.iter().map(|stream| stream.to.port()).collect();
        let (both, watched) = watch::during(&[process], self.seconds(), || {
            thread::scope(|scope| -> anyhow::Result<(Sent, Seen)> {
                let sending = scope.spawn(|| caller::send(&plan, stop));
                let seen = self.stall(house);
                let sent = sending
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
                Ok((sent, seen?))
            })
        })?;
        let (sent, seen) = both?;
        interrupt::check()?;
        let packets_dropped_by_kernel = usage::dropped(&ports)?;
        let mut waits = hands::each(&calls, |call| call.stop_until_fetchable(customer))?;
        waits.sort();
        let checked = hands::each(&calls, |call| call.check(customer))?;
        let packets_recorded = checked.iter().map(|checked| checked.packets).sum();
        let differences: Vec<_> = checked
            .into_iter()
            .flat_map(|checked| checked.differences)
            .collect();
        let metrics = Metrics::of(customer)?;
        let findings = house.store().verify(&mut |_| {})?.findings.len();
        let waited = |time: Option<Duration>, what| time.map(millis).context(what);
        let report = Report {
            machine: Machine::here(),
            calls: self.calls,
            seconds: self.seconds(),
            stall_seconds: self.stall_seconds,
            packets_sent: sent.packets.iter().sum(),
            packets_recorded,
            packets_dropped_by_kernel,
            tracks_exact: 2 * self.calls - u32::try_from(differences.len())?,
            frames_overrun: metrics.count("frames_overrun_total")?,
            findings,
            backlog_bytes_peak: seen.backlog_peak,
            backlog_bytes_max: metrics.count("backlog_bytes_max")?,
            tick_lag_ms_peak: seen.tick_lag_peak * 1e3,
            resident_bytes_before,
            resident_bytes_peak: watched.resident_peak,
            unready_after_ms: waited(seen.unready_after, "/readyz never named the disk")?,
            refused: seen.refused.context("no start was refused")?,
            caught_up_ms: waited(seen.caught_up, "what waited was never written")?,
            ready_after_ms: waited(seen.ready_after, "no recording was taken again")?,
            fetchable_ms_p50: percentile(&waits, 50),
            fetchable_ms_p99: percentile(&waits, 99),
            sender_behind_ms: millis(sent.latest),
        };
        Ok((report, differences))
    }

    /// Makes the disk stand still while packets come, and looks at the daemon until all is as before.
    fn stall(&self, house: &House) -> anyhow::Result<Seen> {
        let (customer, stall) = (house.customer(), house.stall());
        let mut seen = Seen::default();
        let wait = |time: Duration, seen: &mut Seen| -> anyhow::Result<()> {
            let until = Instant::now() + time;
            while Instant::now() < until {
                interrupt::check()?;
                seen.look(&Metrics::of(customer)?)?;
                thread::sleep(LOOK);
            }
            Ok(())
        };
        wait(Duration::from_secs(AROUND.into()), &mut seen)?;
        let begun = Instant::now();
        stall.begin();
        let length = Duration::from_secs(self.stall_seconds.into());
        while begun.elapsed() < length {
            if seen.unready_after.is_none() {
                let ready = customer.ask("/readyz", None)?;
                if ready.status == 503 {
                    ensure!(ready.text.contains("disk"), "/readyz says: {}", ready.text);
                    seen.unready_after = Some(begun.elapsed());
                    seen.refused = Some(refused(customer)?);
                }
            }
            wait(LOOK, &mut seen)?;
        }
        stall.end();
        let ended = Instant::now();
        while ended.elapsed() < PATIENCE && (seen.caught_up.is_none() || seen.ready_after.is_none())
        {
            let metrics = Metrics::of(customer)?;
            seen.look(&metrics)?;
            // Nothing of it is left where the oldest sound came after it.
            let oldest = Duration::from_secs_f64(metrics.value("backlog_oldest_seconds")?);
            if seen.caught_up.is_none() && oldest < ended.elapsed() {
                seen.caught_up = Some(ended.elapsed());
            }
            if seen.ready_after.is_none() && customer.ask("/readyz", None)?.status == 200 {
                seen.ready_after = Some(ended.elapsed());
            }
            interrupt::check()?;
            thread::sleep(LOOK);
        }
        Ok(seen)
    }
}

/// Tries to start a recording, which must be refused; what it is told.
fn refused(customer: &Customer) -> anyhow::Result<String> {
    let path = customer.path("/Calls/CA00000000000000000000000000000000/Recordings.json");
    let answer = customer.ask(&path, Some(&[]))?;
    ensure!(
        answer.status == 503 && answer.retry_after.is_some(),
        "a start on a disk that stands still is answered with {answer:?}"
    );
    let body: serde_json::Value = serde_json::from_str(&answer.text)?;
    let message = body["message"]
        .as_str()
        .context("the refusal says nothing")?;
    Ok(message.to_owned())
}

impl Seen {
    fn look(&mut self, metrics: &Metrics) -> anyhow::Result<()> {
        self.backlog_peak = self.backlog_peak.max(metrics.count("backlog_bytes")?);
        let lag = metrics.value("media_tick_lag_seconds")?;
        self.tick_lag_peak = self.tick_lag_peak.max(lag);
        Ok(())
    }
}

/// What `/metrics` says.
struct Metrics(String);

impl Metrics {
    fn of(customer: &Customer) -> anyhow::Result<Self> {
        Ok(Self(customer.ask("/metrics", None)?.text))
    }

    fn value(&self, name: &str) -> anyhow::Result<f64> {
        self.parse(name)
    }

    fn parse<T: FromStr>(&self, name: &str) -> anyhow::Result<T>
    where
        T::Err: std::error::Error + Send + Sync + 'static,
    {
        let name = format!("reeld_{name} ");
        let line = self.0.lines().find_map(|line| line.strip_prefix(&name));
        Ok(line
            .with_context(|| format!("/metrics has no {name}"))?
            .parse()?)
    }

    fn count(&self, name: &str) -> anyhow::Result<u64> {
        self.parse(name)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.machine)?;
        let mut row = |name: &str, value: String| writeln!(f, "{name:<38} {value:>12}");
        let mib = |bytes: u64| format!("{:.1}", bytes as f64 / f64::from(1 << 20));
        row("calls at once (two tracks each)", self.calls.to_string())?;
        row("seconds", self.seconds.to_string())?;
        row(
            "of these the disk stands still, s",
            self.stall_seconds.to_string(),
        )?;
        row("packets sent", self.packets_sent.to_string())?;
        row("packets recorded", self.packets_recorded.to_string())?;
        row(
            "packets dropped by the kernel",
            self.packets_dropped_by_kernel.to_string(),
        )?;
        row(
            "tracks exact",
            format!("{}/{}", self.tracks_exact, 2 * self.calls),
        )?;
        row("frames silenced", self.frames_overrun.to_string())?;
        row("files damaged", self.findings.to_string())?;
        row(
            "sound that waited at most, MiB",
            mib(self.backlog_bytes_peak),
        )?;
        row("sound that may wait, MiB", mib(self.backlog_bytes_max))?;
        row(
            "media threads behind at most, ms",
            format!("{:.1}", self.tick_lag_ms_peak),
        )?;
        row(
            "resident memory before, MiB",
            mib(self.resident_bytes_before),
        )?;
        row(
            "resident memory at peak, MiB",
            mib(self.resident_bytes_peak),
        )?;
        row(
            "stall to /readyz with 503, ms",
            format!("{:.0}", self.unready_after_ms),
        )?;
        row(
            "its end to all of it written, ms",
            format!("{:.0}", self.caught_up_ms),
        )?;
        row(
            "its end to /readyz with 200, ms",
            format!("{:.0}", self.ready_after_ms),
        )?;
        row(
            "stop to fetchable, ms, p50",
            format!("{:.1}", self.fetchable_ms_p50),
        )?;
        row(
            "stop to fetchable, ms, p99",
            format!("{:.1}", self.fetchable_ms_p99),
        )?;
        row(
            "sender behind its clock, ms, most",
            format!("{:.1}", self.sender_behind_ms),
        )?;
        writeln!(f, "a start meanwhile: {}", self.refused)
    }
}
