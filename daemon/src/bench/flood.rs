//! `reeld bench flood`: one track's port is flooded by strangers who know its stream, beside other calls.
//!
//! Called by [`super::Bench::run`]. It calls `daemon`, `call` and the synthetic caller. The source that is flooded has
//! been heard for some seconds when the flood begins. What must hold: the others are exact, the flooded track
//! loses less than [`MOST_LOST`], memory stays, and each packet of the flood is counted as a stranger's or as
//! dropped for want of room.

use std::fmt;
use std::num::NonZero;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;
use serde::Serialize;

use super::call::Call;
use super::daemon::Daemon;
use super::load::{self, PACKETS_A_SECOND};
use super::options::Options;
use super::percentile::millis;
use super::report::{Machine, SHOWN, print};
use super::{descriptors, hands, interrupt, watch};
use crate::caller::{self, Flooded, Sent};

/// Sound before the flood, so that the source is known, and behind it. The sender begins a moment after it is told to.
const AROUND: u32 = 3;

/// Of the packets of the track that is flooded, by the promise.
const MOST_LOST: f64 = 0.001;

/// What memory may grow by from the flood's beginning on, bytes: what the calls' own recording needs, and no more
/// for more packets.
const MOST_GROWN: u64 = 16 << 20;

/// The arguments of `reeld bench flood`.
#[derive(Debug, Args)]
pub struct Flood {
    /// Calls beside the one that is flooded, recorded dual: two tracks each
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
    calls: u32,
    /// How long the flood lasts
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Packets a second of the flood, as far as this machine can send them
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1_000..=2_000_000))]
    rate: u32,
    #[command(flatten)]
    options: Options,
}

/// All figures of one run. Names and units are part of what scripts read, so they stay.
#[derive(Debug, Clone, Serialize)]
struct Report {
    machine: Machine,
    /// Calls beside the one that is flooded, two tracks each.
    calls: u32,
    /// Seconds of the flood.
    seconds: u32,
    flood_packets: u64,
    flood_packets_per_second: f64,
    /// By the record of the track that is flooded.
    flood_packets_foreign: u64,
    flood_packets_without_room: u64,
    flooded_track_packets_sent: u64,
    flooded_track_packets_recorded: u64,
    flooded_track_lost: f64,
    flooded_track_exact: bool,
    other_packets_sent: u64,
    other_packets_recorded: u64,
    other_tracks_exact: u32,
    /// Before the first call, when the flood begins, and the most.
    resident_bytes_before: u64,
    resident_bytes_unflooded: u64,
    resident_bytes_peak: u64,
    /// Of the daemon, while packets came.
    cpu_ms_per_second: f64,
    /// The most that the calls' sender was behind its clock.
    sender_behind_ms: f64,
}

impl Flood {
    /// Measures and prints.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let stop = interrupt::watch()?;
        let calls = self.calls + 1;
        descriptors::raise(4 * u64::from(calls), calls)?;
        let daemon = Daemon::start_in(super::folder(self.options.data_dir.as_deref())?, calls)?;
        let measured = self.measure(&daemon, stop).with_context(|| daemon.log());
        let (report, differences) = measured?;
        daemon.stop()?;
        print(&report, self.options.json)?;
        let grown = report
            .resident_bytes_peak
            .saturating_sub(report.resident_bytes_unflooded);
        let counted = report.flood_packets_foreign + report.flood_packets_without_room;
        ensure!(
            differences.is_empty() && report.other_packets_recorded == report.other_packets_sent,
            "other calls: {} packets sent, {} recorded, by a sender that was {} ms behind; not exact: {}",
            report.other_packets_sent,
            report.other_packets_recorded,
            report.sender_behind_ms,
            differences[..differences.len().min(SHOWN)].join("; ")
        );
        ensure!(
            report.flooded_track_lost < MOST_LOST,
            "the flooded track lost {:.3} % of {} packets",
            100.0 * report.flooded_track_lost,
            report.flooded_track_packets_sent
        );
        ensure!(
            grown < MOST_GROWN,
            "memory grew by {grown} bytes under the flood"
        );
        ensure!(
            counted == report.flood_packets,
            "of {} packets of the flood {counted} are counted",
            report.flood_packets
        );
        Ok(())
    }

    fn measure(&self, daemon: &Daemon, stop: &AtomicBool) -> anyhow::Result<(Report, Vec<String>)> {
        let (customer, process) = (daemon.customer(), daemon.process());
        let resident_bytes_before = process.resident()?;
        let seconds = self.seconds + 2 * AROUND;
        let packets = u64::from(seconds) * PACKETS_A_SECOND;
        let numbers: Vec<_> = (0..=u64::from(self.calls)).collect();
        let calls = hands::each(&numbers, |&number| {
            Call::start(customer, self.options.seed, number, packets, None)
        })?;
        let (flooded, others) = calls.split_first().context("there are calls")?;
        let plan = load::plan(&calls, NonZero::<usize>::MIN);
        let cpu_before = process.cpu()?;
        let (both, watched) = watch::during(&[process], seconds, || {
            thread::scope(|scope| -> anyhow::Result<(Sent, Flooded, u64)> {
                let begun = Instant::now();
                let sending = scope.spawn(|| caller::send(&plan, stop));
                thread::sleep(Duration::from_secs(AROUND.into()));
                let unflooded = process.resident()?;
                let time = Duration::from_secs(self.seconds.into());
                let flood = caller::flood(&flooded.streams[0], begun, self.rate, time, stop)?;
                let sent = sending
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
                Ok((sent, flood, unflooded))
            })
        })?;
        let (sent, flood, resident_bytes_unflooded) = both?;
        interrupt::check()?;
        let cpu = process.cpu()?.saturating_sub(cpu_before);
        hands::each(&calls, |call| call.stop_until_fetchable(customer))?;
        // The other track of the flooded call is one of the others.
        let record = flooded.record(customer)?;
        let count = |track: &str, name: &str| {
            let count = record["tracks"][track][name].as_u64();
            count.with_context(|| format!("{track} has no {name}: {record}"))
        };
        let its_own = flooded.check(customer)?.differences;
        let (of_flooded, of_other): (Vec<_>, Vec<_>) = its_own
            .into_iter()
            .partition(|difference| difference.contains(" inbound: "));
        let checked = hands::each(others, |call| call.check(customer))?;
        let recorded = checked.iter().map(|checked| checked.packets).sum::<u64>();
        let mut differences: Vec<_> = checked
            .into_iter()
            .flat_map(|checked| checked.differences)
            .collect();
        differences.extend(of_other);
        let (first, rest) = sent.packets.split_first().context("there are streams")?;
        let flooded_track_packets_recorded = count("inbound", "packets")?;
        let lost = first.saturating_sub(flooded_track_packets_recorded);
        let report = Report {
            machine: Machine::here(),
            calls: self.calls,
            seconds: self.seconds,
            flood_packets: flood.packets,
            flood_packets_per_second: (flood.packets as f64 / flood.took.as_secs_f64()).round(),
            flood_packets_foreign: count("inbound", "foreign")?,
            flood_packets_without_room: count("inbound", "kernel_dropped")?,
            flooded_track_packets_sent: *first,
            flooded_track_packets_recorded,
            flooded_track_lost: lost as f64 / (*first).max(1) as f64,
            flooded_track_exact: of_flooded.is_empty(),
            other_packets_sent: rest.iter().sum(),
            other_packets_recorded: recorded + count("outbound", "packets")?,
            other_tracks_exact: 2 * self.calls + 1 - u32::try_from(differences.len())?,
            resident_bytes_before,
            resident_bytes_unflooded,
            resident_bytes_peak: watched.resident_peak,
            cpu_ms_per_second: millis(cpu) / f64::from(seconds),
            sender_behind_ms: millis(sent.latest),
        };
        Ok((report, differences))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.machine)?;
        let mib = |bytes: u64| format!("{:.1}", bytes as f64 / f64::from(1 << 20));
        let rows = [
            ("calls beside the one flooded", self.calls.to_string()),
            ("seconds of the flood", self.seconds.to_string()),
            ("packets of the flood", self.flood_packets.to_string()),
            ("  a second", self.flood_packets_per_second.to_string()),
            (
                "  counted as a stranger's",
                self.flood_packets_foreign.to_string(),
            ),
            (
                "  dropped for want of room",
                self.flood_packets_without_room.to_string(),
            ),
            (
                "flooded track: packets sent",
                self.flooded_track_packets_sent.to_string(),
            ),
            (
                "  recorded",
                self.flooded_track_packets_recorded.to_string(),
            ),
            (
                "  lost, %",
                format!("{:.3}", 100.0 * self.flooded_track_lost),
            ),
            (
                "  exact",
                if self.flooded_track_exact {
                    "yes"
                } else {
                    "no"
                }
                .to_owned(),
            ),
            (
                "other tracks: packets sent",
                self.other_packets_sent.to_string(),
            ),
            ("  recorded", self.other_packets_recorded.to_string()),
            (
                "  exact",
                format!("{}/{}", self.other_tracks_exact, 2 * self.calls + 1),
            ),
            (
                "resident memory before, MiB",
                mib(self.resident_bytes_before),
            ),
            (
                "  as the flood begins, MiB",
                mib(self.resident_bytes_unflooded),
            ),
            ("  at peak, MiB", mib(self.resident_bytes_peak)),
            (
                "processor time, ms a second",
                format!("{:.1}", self.cpu_ms_per_second),
            ),
            (
                "sender behind its clock, ms, most",
                format!("{:.1}", self.sender_behind_ms),
            ),
        ];
        for (name, value) in rows {
            writeln!(f, "{name:<38} {value:>12}")?;
        }
        Ok(())
    }
}
