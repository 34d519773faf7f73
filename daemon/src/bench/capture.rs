//! `reeld bench capture`: many dual calls at once through a daemon, each held exact, and the same
//! streams into a bare receive loop.
//!
//! Called by [`super::Bench::run`]. The order: start the daemon, open the calls, send, stop, fetch
//! and compare, end the daemon, then the bare loop; so neither disturbs the other.

use std::collections::BTreeSet;
use std::io::{Write, stdout};
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Args;

use super::bare::{self, Bare};
use super::call::Call;
use super::daemon::Daemon;
use super::percentile::{millis, percentile, round};
use super::report::{Machine, Report};
use super::usage::{self, Process};
use super::{descriptors, hands, interrupt};
use crate::caller::{self, Plan, Sockets};

/// Packets a second of one stream.
pub(super) const PACKETS_A_SECOND: u64 = 50;

/// How often resident memory is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Differences that a failure shows.
pub(super) const SHOWN: usize = 5;

/// The most that the sender may be behind its clock: as much as a jitter buffer would bear. What is later
/// than that is no load of so many calls, but fewer and bursts.
const BEHIND: Duration = Duration::from_millis(200);

/// From so many streams on they share a socket a thread: so many sockets, each cold in the cache, would
/// cost the sender more than the streams do.
const SHARED: usize = 1_000;

/// Streams of one sending thread: a packet costs it some 4 µs, so this is half a core.
const STREAMS_A_THREAD: usize = 2_500;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The arguments of `reeld bench capture`.
#[derive(Debug, Args)]
pub struct Capture {
    /// Calls at once, recorded dual: two tracks each
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=3_000))]
    calls: u32,
    /// How long each call lasts
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Where the daemon's folder is made and removed again; the system's temporary folder if not given
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Prints JSON instead of a table
    #[arg(long)]
    json: bool,
    /// What the sounds come from: the same in every run, so that runs can be compared
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What was measured of the daemon.
struct Measured {
    packets_sent: u64,
    packets_recorded: u64,
    kernel_drops: u64,
    differences: Vec<String>,
    cpu: Duration,
    /// By thread name.
    cpu_by_thread: Vec<(String, Duration)>,
    resident_before: u64,
    resident_peak: u64,
    /// From stop to fetchable, sorted.
    waits: Vec<Duration>,
    sender_behind: Duration,
    sender_cpu: Duration,
    /// What was sent.
    plan: Plan,
}

impl Capture {
    /// Measures and prints.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let stop = interrupt::watch()?;
        // The daemon has a pair of sockets for each track, which it inherits the limit for; so has this
        // process in the end, the sender's and the bare loop's.
        descriptors::raise(4 * u64::from(self.calls), self.calls)?;
        let daemon = Daemon::start(self.data_dir.as_deref(), self.calls)?;
        let measured = self.measure(&daemon, stop).with_context(|| daemon.log())?;
        daemon.stop()?;
        let bare = bare::measure(measured.plan.clone(), LOOPBACK, stop)?;
        interrupt::check()?;
        let behind = measured.sender_behind.max(bare.sender_behind);
        let report = self.report(&measured, bare)?;
        let text = if self.json {
            format!("{}\n", serde_json::to_string_pretty(&report)?)
        } else {
            report.to_string()
        };
        stdout().write_all(text.as_bytes())?;
        ensure!(
            behind <= BEHIND,
            "the sender was {behind:.1?} behind its clock: this says nothing of so many calls at once"
        );
        let wrong = &measured.differences;
        if !wrong.is_empty() || measured.packets_recorded != measured.packets_sent {
            bail!(
                "{} packets sent, {} recorded; {} tracks not exact: {}",
                measured.packets_sent,
                measured.packets_recorded,
                wrong.len(),
                wrong[..wrong.len().min(SHOWN)].join("; ")
            );
        }
        Ok(())
    }

    fn measure(&self, daemon: &Daemon, stop: &AtomicBool) -> anyhow::Result<Measured> {
        let (customer, process) = (daemon.customer(), daemon.process());
        let resident_before = process.resident()?;
        let packets = u64::from(self.seconds) * PACKETS_A_SECOND;
        let numbers: Vec<_> = (0..u64::from(self.calls)).collect();
        let calls = hands::each(&numbers, |&number| {
            Call::start(customer, self.seed, number, packets, None)
        })?;
        let plan = plan(&calls);
        let ports: BTreeSet<_> = plan.streams.iter().map(|stream| stream.to.port()).collect();

        let (cpu_before, threads_before) = (process.cpu()?, process.cpu_by_thread()?);
        let (sent, resident_peak) = watching_memory(process, || caller::send(&plan, stop))?;
        let sent = sent?;
        interrupt::check()?;
        let kernel_drops = usage::dropped(&ports)?;
        let mut waits = hands::each(&calls, |call| call.stop_until_fetchable(customer))?;
        let cpu = process.cpu()?.saturating_sub(cpu_before);
        let threads = process.cpu_by_thread()?.into_iter();

        let checked = hands::each(&calls, |call| call.check(customer))?;
        waits.sort();
        Ok(Measured {
            packets_sent: sent.packets.iter().sum(),
            packets_recorded: checked.iter().map(|checked| checked.packets).sum(),
            kernel_drops,
            differences: checked
                .into_iter()
                .flat_map(|checked| checked.differences)
                .collect(),
            cpu,
            cpu_by_thread: threads
                .map(|(name, after)| {
                    let before = threads_before.get(&name).copied().unwrap_or_default();
                    (name, after.saturating_sub(before))
                })
                .filter(|&(_, spent)| spent > Duration::ZERO)
                .collect(),
            resident_before,
            resident_peak,
            waits,
            sender_behind: sent.latest,
            sender_cpu: sent.cpu,
            plan,
        })
    }

    fn report(&self, of: &Measured, bare: Bare) -> anyhow::Result<Report> {
        let cpu_us_per_packet = per_packet(of.cpu, of.packets_sent);
        let bare_loop_cpu_us_per_packet = per_packet(bare.cpu, bare.received);
        let missing = of.packets_sent.saturating_sub(of.packets_recorded);
        let grown = of.resident_peak.saturating_sub(of.resident_before);
        Ok(Report {
            machine: Machine::here(),
            calls: self.calls,
            seconds: self.seconds,
            packets_sent: of.packets_sent,
            packets_recorded: of.packets_recorded,
            packets_lost_by_reeld: missing.saturating_sub(of.kernel_drops),
            packets_dropped_by_kernel: of.kernel_drops,
            tracks_exact: 2 * self.calls - u32::try_from(of.differences.len())?,
            cpu_us_per_packet,
            cpu_us_per_packet_by_thread: of
                .cpu_by_thread
                .iter()
                .map(|(name, spent)| (name.clone(), per_packet(*spent, of.packets_sent)))
                .collect(),
            bare_loop_packets_sent: bare.sent,
            bare_loop_packets: bare.received,
            bare_loop_cpu_us_per_packet,
            cpu_ratio_to_bare_loop: round(cpu_us_per_packet / bare_loop_cpu_us_per_packet),
            resident_bytes_before: of.resident_before,
            resident_bytes_peak: of.resident_peak,
            resident_bytes_per_call: grown / u64::from(self.calls),
            fetchable_ms_p50: percentile(&of.waits, 50),
            fetchable_ms_p99: percentile(&of.waits, 99),
            sender_behind_ms: millis(of.sender_behind.max(bare.sender_behind)),
            sender_cpu_us_per_packet: per_packet(of.sender_cpu, of.packets_sent),
        })
    }
}

/// The streams of these calls, to be sent together.
fn plan(calls: &[Call]) -> Plan {
    let streams: Vec<_> = calls.iter().flat_map(|call| call.streams.clone()).collect();
    let threads = streams.len().div_ceil(STREAMS_A_THREAD);
    Plan {
        sockets: if streams.len() < SHARED {
            Sockets::PerStream
        } else {
            Sockets::PerThread
        },
        streams,
        from: LOOPBACK,
        threads: NonZero::new(threads).unwrap_or(NonZero::<usize>::MIN),
    }
}

/// Runs `work` and returns with its result the most memory that `process` had meanwhile, bytes.
pub(super) fn watching_memory<R>(
    process: Process,
    work: impl FnOnce() -> R,
) -> anyhow::Result<(R, u64)> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| -> anyhow::Result<u64> {
            let mut peak = process.resident()?;
            while !over.load(Ordering::Relaxed) {
                std::thread::sleep(LOOK);
                peak = peak.max(process.resident()?);
            }
            Ok(peak)
        });
        let result = work();
        over.store(true, Ordering::Relaxed);
        let peak = watching
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok((result, peak))
    })
}

/// Microseconds of `time` for each of `packets`.
fn per_packet(time: Duration, packets: u64) -> f64 {
    round(time.as_secs_f64() * 1e6 / packets.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_shared_by_packets() {
        let cost = |packets| per_packet(Duration::from_millis(5), packets);
        assert_eq!((cost(1_000), cost(3_000), cost(0)), (5.0, 1.67, 5_000.0));
    }
}
