//! One load: calls at once through a daemon of its own, each recording held exact, and what that cost.
//!
//! Called by `capture` and `growth`; it calls `daemon`, `call` and the synthetic caller. The order: start the
//! daemon, open the calls, send, stop, fetch and compare, end the daemon.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZero;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context;
use tempfile::TempDir;

use super::bare::Bare;
use super::call::Call;
use super::daemon::Daemon;
use super::encoders::Encoders;
use super::percentile::{millis, percentile, round};
use super::report::Figures;
use super::watch::{self, Watched};
use super::{descriptors, hands, interrupt, usage};
use crate::caller::{self, Plan, Sent, Sockets};

/// Packets a second of one stream.
pub(super) const PACKETS_A_SECOND: u64 = 50;

/// From so many streams on they share a socket a thread: so many sockets, each cold in the cache, would
/// cost the sender more than the streams do.
const SHARED: usize = 1_000;

/// Streams of one sending thread: a packet costs it some 4 µs, so this is half a core.
const STREAMS_A_THREAD: usize = 2_500;

/// From so many calls on the sender's threads go before all others, as another machine's would: it needs half of two
/// cores, and what it sends late is no load of so many calls.
const AHEAD: usize = 2_000;

pub(super) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What is to be recorded.
pub(super) struct Load<'a> {
    /// Calls at once, two tracks each.
    pub(super) calls: u32,
    /// How long each lasts.
    pub(super) seconds: u32,
    /// What the sounds come from.
    pub(super) seed: u64,
    /// Where the daemon's folder is made.
    pub(super) parent: Option<&'a Path>,
    /// Whether all encoders are kept busy meanwhile.
    pub(super) encode: bool,
    /// Whether recordings are encrypted.
    pub(super) encrypt: bool,
    /// Packets of a stream that leave at once.
    pub(super) bundle: NonZero<usize>,
}

/// What was measured of the daemon.
pub(super) struct Measured {
    packets_recorded: u64,
    kernel_drops: u64,
    /// How tracks are not what was said.
    pub(super) differences: Vec<String>,
    cpu: Duration,
    /// By thread name.
    cpu_by_thread: BTreeMap<String, Duration>,
    writeback: Duration,
    resident_before: u64,
    watched: Watched,
    mp3s: u64,
    /// From stop to fetchable, sorted.
    waits: Vec<Duration>,
    sent: Sent,
    /// What was sent.
    pub(super) plan: Plan,
}

/// A new key in a daemon's folder, and the table that names it.
fn encryption(folder: &TempDir) -> anyhow::Result<String> {
    let path = folder.path().join("key");
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    let mut key = [0; 32];
    getrandom::fill(&mut key)?;
    writeln!(file, "{}", hex::encode(key))?;
    Ok("[store]\nencryption_key = \"key\"\n".to_owned())
}

impl Load<'_> {
    /// Puts it on a daemon, to its end.
    pub(super) fn measure(&self, stop: &AtomicBool) -> anyhow::Result<Measured> {
        // The daemon has a pair of sockets for each track, which it inherits the limit for; so has this
        // process in the end, the sender's and the bare loop's.
        descriptors::raise(4 * u64::from(self.calls), self.calls)?;
        let folder = super::folder(self.parent)?;
        let mut more = String::new();
        if self.encode {
            more.push_str(&Encoders::config());
        }
        if self.encrypt {
            more.push_str(&encryption(&folder)?);
        }
        let daemon = Daemon::start_with(folder, self.calls, &more)?;
        let measured = self.with(&daemon, stop).with_context(|| daemon.log())?;
        daemon.stop()?;
        Ok(measured)
    }

    fn with(&self, daemon: &Daemon, stop: &AtomicBool) -> anyhow::Result<Measured> {
        let (customer, process) = (daemon.customer(), daemon.process());
        let encoders = self.encode.then(|| Encoders::new(daemon)).transpose()?;
        let resident_before = process.resident()?;
        let packets = u64::from(self.seconds) * PACKETS_A_SECOND;
        let numbers: Vec<_> = (0..u64::from(self.calls)).collect();
        let calls = hands::each(&numbers, |&number| {
            Call::start(customer, self.seed, number, packets, None)
        })?;
        let plan = plan(&calls, self.bundle);
        let ports: BTreeSet<_> = plan.streams.iter().map(|stream| stream.to.port()).collect();

        let (cpu_before, threads_before) = (process.cpu()?, process.cpu_by_thread()?);
        let writeback_before = usage::writeback()?;
        let send = || watch::during(&[process], self.seconds, || caller::send(&plan, stop));
        let (sent, mp3s) = match &encoders {
            None => (send()?, 0),
            Some(encoders) => encoders.busy_during(customer, send)?,
        };
        let (sent, watched) = sent;
        let sent = sent?;
        interrupt::check()?;
        let kernel_drops = usage::dropped(&ports)?;
        let mut waits = hands::each(&calls, |call| call.stop_until_fetchable(customer))?;
        let cpu = process.cpu()?.saturating_sub(cpu_before);
        let writeback = usage::writeback()?.saturating_sub(writeback_before);
        let threads = process.cpu_by_thread()?.into_iter();

        let checked = hands::each(&calls, |call| call.check(customer))?;
        waits.sort();
        Ok(Measured {
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
            writeback,
            resident_before,
            watched,
            mp3s,
            waits,
            sent,
            plan,
        })
    }

    /// The figures of what was measured, beside the bare loop's for the same streams.
    pub(super) fn figures(&self, of: &Measured, bare: &Bare) -> Figures {
        let packets_sent = of.sent.packets.iter().sum::<u64>();
        let cpu = per_packet(of.cpu, packets_sent);
        let bare_cpu = per_packet(bare.cpu, bare.received);
        let missing = packets_sent.saturating_sub(of.packets_recorded);
        let grown = of.watched.resident_peak.saturating_sub(of.resident_before);
        let tracks = 2 * u64::from(self.calls);
        Figures {
            packets_at_once: of.plan.bundle.get(),
            packets_sent,
            packets_recorded: of.packets_recorded,
            packets_lost_by_reeld: missing.saturating_sub(of.kernel_drops),
            packets_dropped_by_kernel: of.kernel_drops,
            tracks_exact: tracks - of.differences.len() as u64,
            tracks,
            cpu_us_per_packet: cpu,
            cpu_us_per_packet_by_thread: of
                .cpu_by_thread
                .iter()
                .map(|(name, spent)| (name.clone(), per_packet(*spent, packets_sent)))
                .collect(),
            cpu_us_per_packet_steady: of.watched.cpu_us_per_packet(of.plan.streams.len()),
            kernel_writeback_us_per_packet: per_packet(of.writeback, packets_sent),
            bare_loop_packets_sent: bare.sent,
            bare_loop_packets: bare.received,
            bare_loop_cpu_us_per_packet: bare_cpu,
            cpu_ratio_to_bare_loop: if bare_cpu > 0.0 {
                round(cpu / bare_cpu)
            } else {
                0.0
            },
            resident_bytes_before: of.resident_before,
            resident_bytes_peak: of.watched.resident_peak,
            resident_bytes_per_call: grown / u64::from(self.calls),
            resident_bytes_per_track: grown / tracks,
            fetchable_ms_p50: percentile(&of.waits, 50),
            fetchable_ms_p99: percentile(&of.waits, 99),
            mp3s_encoded: of.mp3s,
            sender_behind_ms: millis(of.sent.latest.max(bare.sender_behind)),
            sender_cpu_us_per_packet: per_packet(of.sent.cpu, packets_sent),
        }
    }
}

/// The streams of these calls, to be sent together.
pub(super) fn plan(calls: &[Call], bundle: NonZero<usize>) -> Plan {
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
        bundle,
        ahead: calls.len() >= AHEAD,
    }
}

/// Microseconds of `time` for each of `packets`.
pub(super) fn per_packet(time: Duration, packets: u64) -> f64 {
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
