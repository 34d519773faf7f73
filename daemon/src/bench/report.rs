//! The figures of a capture measurement: what they are, and how they are printed.
//!
//! Called by `capture`, which fills it; it calls nobody. Names and units are part of what scripts
//! read, so they stay.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// All figures of one run.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Report {
    pub(super) machine: Machine,
    /// Calls at once, two tracks each.
    pub(super) calls: u32,
    /// Seconds that each call lasted.
    pub(super) seconds: u32,
    pub(super) packets_sent: u64,
    /// By the daemon's own count, in the recordings' records.
    pub(super) packets_recorded: u64,
    /// Sent, not recorded, and not dropped by the kernel.
    pub(super) packets_lost_by_reeld: u64,
    /// Dropped at the daemon's sockets, by `/proc/net/udp`.
    pub(super) packets_dropped_by_kernel: u64,
    /// Tracks that equal what was said, sample for sample, of two for each call.
    pub(super) tracks_exact: u32,
    /// User and system time of the daemon from the first packet to the last recording that can be
    /// fetched, a packet.
    pub(super) cpu_us_per_packet: f64,
    /// The same by thread name.
    pub(super) cpu_us_per_packet_by_thread: BTreeMap<String, f64>,
    pub(super) bare_loop_packets_sent: u64,
    pub(super) bare_loop_packets: u64,
    /// Processor time of a bare receive loop for the same streams, a packet.
    pub(super) bare_loop_cpu_us_per_packet: f64,
    /// The daemon's over the bare loop's.
    pub(super) cpu_ratio_to_bare_loop: f64,
    /// Resident memory before the first call.
    pub(super) resident_bytes_before: u64,
    /// Its most while packets came.
    pub(super) resident_bytes_peak: u64,
    /// The difference, a call.
    pub(super) resident_bytes_per_call: u64,
    /// From the request to stop until the WAV can be fetched.
    pub(super) fetchable_ms_p50: f64,
    pub(super) fetchable_ms_p99: f64,
    /// The most that the sender was behind its clock, to the daemon or to the bare loop.
    pub(super) sender_behind_ms: f64,
    /// Processor time of the sender's threads, a packet to the daemon.
    pub(super) sender_cpu_us_per_packet: f64,
}

/// What it ran on.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Machine {
    pub(super) processor: String,
    pub(super) cores: usize,
    pub(super) kernel: String,
    /// `release`, or `debug`, whose figures say little.
    pub(super) build: &'static str,
}

impl Machine {
    /// This machine.
    pub(super) fn here() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let processor = read("/proc/cpuinfo")
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
            .map_or_else(
                || std::env::consts::ARCH.to_owned(),
                |(_, name)| name.trim().to_owned(),
            );
        Self {
            processor,
            cores: std::thread::available_parallelism().map_or(1, Into::into),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            build: if cfg!(debug_assertions) {
                "debug"
            } else {
                "release"
            },
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            processor,
            cores,
            kernel,
            build,
        } = self;
        write!(
            f,
            "{processor}, {cores} cores, Linux {kernel}, {build} build"
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.machine)?;
        let mut row = |name: &str, value: String| writeln!(f, "{name:<34} {value:>12}");
        row("calls at once (two tracks each)", self.calls.to_string())?;
        row("seconds", self.seconds.to_string())?;
        row("packets sent", self.packets_sent.to_string())?;
        row("packets recorded", self.packets_recorded.to_string())?;
        row(
            "packets lost by reeld",
            self.packets_lost_by_reeld.to_string(),
        )?;
        row(
            "packets dropped by the kernel",
            self.packets_dropped_by_kernel.to_string(),
        )?;
        row(
            "tracks exact",
            format!("{}/{}", self.tracks_exact, 2 * self.calls),
        )?;
        row("CPU, µs a packet", format!("{:.2}", self.cpu_us_per_packet))?;
        for (thread, micros) in &self.cpu_us_per_packet_by_thread {
            row(&format!("  {thread}"), format!("{micros:.2}"))?;
        }
        row(
            "bare receive loop, µs a packet",
            format!("{:.2}", self.bare_loop_cpu_us_per_packet),
        )?;
        row("ratio", format!("{:.2}", self.cpu_ratio_to_bare_loop))?;
        row(
            "resident memory, KiB a call",
            format!("{:.1}", kib(self.resident_bytes_per_call)),
        )?;
        row(
            "resident memory before, MiB",
            format!("{:.1}", kib(self.resident_bytes_before) / 1_024.0),
        )?;
        row(
            "resident memory at peak, MiB",
            format!("{:.1}", kib(self.resident_bytes_peak) / 1_024.0),
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
        row(
            "sender, µs a packet",
            format!("{:.2}", self.sender_cpu_us_per_packet),
        )
    }
}

fn kib(bytes: u64) -> f64 {
    bytes as f64 / 1_024.0
}
