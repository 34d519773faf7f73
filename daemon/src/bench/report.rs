//! The figures of a capture measurement: what they are, and how they are printed.
//!
//! Called by `load`, `peer` and `capture`, which fill them; it calls `bounds`. Names and units are part of what
//! scripts and `document` read, so they stay.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Write, stdout};
use std::time::Duration;

use serde::Serialize;

use super::bounds;
use super::percentile::median;

/// Differences that a failure shows.
pub(super) const SHOWN: usize = 5;

/// All figures of a measurement. Counts are of all its runs together, costs the median of them, peaks the most.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Report {
    pub(super) machine: Machine,
    /// Calls at once, two tracks each.
    pub(super) calls: u32,
    /// Seconds that each call lasted.
    pub(super) seconds: u32,
    /// Whether every encoder was kept busy.
    pub(super) encoders_busy: bool,
    #[serde(flatten)]
    pub(super) figures: Figures,
    /// The least and the most of the runs.
    pub(super) cpu_ratio_to_bare_loop_least: f64,
    pub(super) cpu_ratio_to_bare_loop_most: f64,
    /// Each run by itself.
    pub(super) runs: Vec<Figures>,
    /// What peers did with some of the streams.
    pub(super) peers: Vec<PeerFigures>,
}

/// The figures of one run.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Figures {
    /// Packets of a stream that left at once.
    pub(super) packets_at_once: usize,
    pub(super) packets_sent: u64,
    /// By the daemon's own count, in the recordings' records.
    pub(super) packets_recorded: u64,
    /// Sent, not recorded, and not dropped by the kernel.
    pub(super) packets_lost_by_reeld: u64,
    /// Dropped at the daemon's sockets, by `/proc/net/udp`.
    pub(super) packets_dropped_by_kernel: u64,
    /// Tracks that equal what was said, sample for sample.
    pub(super) tracks_exact: u64,
    /// Tracks recorded.
    pub(super) tracks: u64,
    /// User and system time of the daemon from the first packet to the last recording that can be
    /// fetched, a packet.
    pub(super) cpu_us_per_packet: f64,
    /// The same by thread name.
    pub(super) cpu_us_per_packet_by_thread: BTreeMap<String, f64>,
    /// The daemon's from a quarter of the sending time to seven eighths, a packet sent meanwhile.
    pub(super) cpu_us_per_packet_steady: f64,
    /// The kernel's own threads that write to the disk, over the same time as the daemon's, a packet.
    pub(super) kernel_writeback_us_per_packet: f64,
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
    /// The difference, a track.
    pub(super) resident_bytes_per_track: u64,
    /// From the request to stop until the WAV can be fetched.
    pub(super) fetchable_ms_p50: f64,
    pub(super) fetchable_ms_p99: f64,
    /// MP3 files of two minutes that were encoded meanwhile.
    pub(super) mp3s_encoded: u64,
    /// The most that the sender was behind its clock, to the daemon or to the bare loop.
    pub(super) sender_behind_ms: f64,
    /// Processor time of the sender's threads, a packet to the daemon.
    pub(super) sender_cpu_us_per_packet: f64,
}

/// What a peer did, a process a stream.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct PeerFigures {
    /// Its name and version.
    pub(super) peer: String,
    pub(super) streams: usize,
    pub(super) seconds: u32,
    pub(super) packets_sent: u64,
    /// User and system time of its processes from a quarter of the sending time to seven eighths, a packet.
    pub(super) cpu_us_per_packet_steady: f64,
    /// The daemon's for the same streams.
    pub(super) reeld_cpu_us_per_packet_steady_same_streams: f64,
    /// The peer's over that.
    pub(super) cpu_ratio_to_reeld_same_streams: f64,
    /// The peer's over the daemon's steady state with all calls.
    pub(super) cpu_ratio_to_reeld_under_load: f64,
    pub(super) resident_bytes_per_stream: u64,
    /// Within a tenth of a second.
    pub(super) files_of_the_right_length: usize,
    pub(super) shortest_file_seconds: f64,
    pub(super) sender_behind_ms: f64,
}

/// What it ran on.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Machine {
    pub(super) processor: String,
    pub(super) cores: usize,
    pub(super) kernel: String,
    /// `release`, or `debug`, whose figures say little.
    pub(super) build: &'static str,
}

/// Prints a report to standard output: JSON, or a table.
pub(super) fn print(report: &(impl Serialize + fmt::Display), json: bool) -> anyhow::Result<()> {
    let text = if json {
        format!("{}\n", serde_json::to_string_pretty(report)?)
    } else {
        report.to_string()
    };
    Ok(stdout().write_all(text.as_bytes())?)
}

impl Figures {
    /// The figures of all runs together.
    pub(super) fn of_all(runs: &[Self]) -> Self {
        let sum = |of: fn(&Self) -> u64| runs.iter().map(of).sum();
        let most = |of: fn(&Self) -> u64| runs.iter().map(of).max().unwrap_or_default();
        let middle = |of: fn(&Self) -> f64| median(runs.iter().map(of).collect());
        let threads = runs
            .iter()
            .flat_map(|run| run.cpu_us_per_packet_by_thread.keys());
        Self {
            packets_at_once: runs
                .iter()
                .map(|run| run.packets_at_once)
                .max()
                .unwrap_or(1),
            packets_sent: sum(|run| run.packets_sent),
            packets_recorded: sum(|run| run.packets_recorded),
            packets_lost_by_reeld: sum(|run| run.packets_lost_by_reeld),
            packets_dropped_by_kernel: sum(|run| run.packets_dropped_by_kernel),
            tracks_exact: sum(|run| run.tracks_exact),
            tracks: sum(|run| run.tracks),
            cpu_us_per_packet: middle(|run| run.cpu_us_per_packet),
            cpu_us_per_packet_by_thread: threads
                .map(|name| {
                    let of = |run: &Self| run.cpu_us_per_packet_by_thread.get(name).copied();
                    let spent = runs.iter().map(|run| of(run).unwrap_or_default());
                    (name.clone(), median(spent.collect()))
                })
                .collect(),
            cpu_us_per_packet_steady: middle(|run| run.cpu_us_per_packet_steady),
            kernel_writeback_us_per_packet: middle(|run| run.kernel_writeback_us_per_packet),
            bare_loop_packets_sent: sum(|run| run.bare_loop_packets_sent),
            bare_loop_packets: sum(|run| run.bare_loop_packets),
            bare_loop_cpu_us_per_packet: middle(|run| run.bare_loop_cpu_us_per_packet),
            cpu_ratio_to_bare_loop: middle(|run| run.cpu_ratio_to_bare_loop),
            resident_bytes_before: most(|run| run.resident_bytes_before),
            resident_bytes_peak: most(|run| run.resident_bytes_peak),
            resident_bytes_per_call: most(|run| run.resident_bytes_per_call),
            resident_bytes_per_track: most(|run| run.resident_bytes_per_track),
            fetchable_ms_p50: middle(|run| run.fetchable_ms_p50),
            fetchable_ms_p99: middle(|run| run.fetchable_ms_p99),
            mp3s_encoded: sum(|run| run.mp3s_encoded),
            sender_behind_ms: runs
                .iter()
                .map(|run| run.sender_behind_ms)
                .fold(0.0, f64::max),
            sender_cpu_us_per_packet: middle(|run| run.sender_cpu_us_per_packet),
        }
    }

    /// What makes this run a failure, whoever asks: packets lost, tracks of which `differences` tell, a sender
    /// that was no load of so many calls.
    pub(super) fn broken(&self, differences: &[String]) -> impl Iterator<Item = String> {
        let late = Duration::from_secs_f64(self.sender_behind_ms / 1e3);
        let late = (late > bounds::BEHIND).then(|| {
            format!(
                "the sender was {late:.1?} behind its clock, which says nothing of so many calls"
            )
        });
        let wrong =
            (!differences.is_empty() || self.packets_recorded != self.packets_sent).then(|| {
                format!(
                    "{} packets sent, {} recorded; {} tracks not exact: {}",
                    self.packets_sent,
                    self.packets_recorded,
                    differences.len(),
                    differences[..differences.len().min(SHOWN)].join("; ")
                )
            });
        late.into_iter().chain(wrong)
    }
}

impl Report {
    pub(super) fn new(
        machine: Machine,
        calls: u32,
        seconds: u32,
        encoders_busy: bool,
        runs: Vec<Figures>,
        peers: Vec<PeerFigures>,
    ) -> Self {
        let ratios = || runs.iter().map(|run| run.cpu_ratio_to_bare_loop);
        Self {
            machine,
            calls,
            seconds,
            encoders_busy,
            figures: Figures::of_all(&runs),
            cpu_ratio_to_bare_loop_least: ratios().fold(f64::INFINITY, f64::min),
            cpu_ratio_to_bare_loop_most: ratios().fold(0.0, f64::max),
            runs,
            peers,
        }
    }

    /// Which bounds were missed.
    pub(super) fn missed(&self) -> Vec<String> {
        let figures = &self.figures;
        let mut missed = Vec::new();
        // An encoder's time is no packet's.
        if 2 * self.calls >= bounds::TRACKS
            && !self.encoders_busy
            && figures.cpu_ratio_to_bare_loop > bounds::CPU_RATIO
        {
            missed.push(format!(
                "a packet costs {:.2} times what it costs the bare loop, not {:.1}",
                figures.cpu_ratio_to_bare_loop,
                bounds::CPU_RATIO
            ));
        }
        if figures.resident_bytes_per_track > bounds::RESIDENT_PER_TRACK && !self.encoders_busy {
            missed.push(format!(
                "{:.1} KiB a track, not {:.0}",
                kib(figures.resident_bytes_per_track),
                kib(bounds::RESIDENT_PER_TRACK)
            ));
        }
        if figures.resident_bytes_before > bounds::RESIDENT_BASE {
            missed.push(format!(
                "{:.1} MiB before the first call, not {:.0}",
                kib(figures.resident_bytes_before) / 1_024.0,
                kib(bounds::RESIDENT_BASE) / 1_024.0
            ));
        }
        if self.encoders_busy && figures.mp3s_encoded == 0 {
            missed.push("no MP3 was encoded meanwhile".to_owned());
        }
        for peer in &self.peers {
            if peer.cpu_ratio_to_reeld_under_load < bounds::PEER_RATIO {
                missed.push(format!(
                    "a packet costs {} {:.1} times what it costs reeld, not {:.0}",
                    peer.peer,
                    peer.cpu_ratio_to_reeld_under_load,
                    bounds::PEER_RATIO
                ));
            }
        }
        missed
    }
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
        let of = &self.figures;
        writeln!(f, "{}", self.machine)?;
        let mut row = |name: &str, value: String| writeln!(f, "{name:<42} {value:>16}");
        row("calls at once (two tracks each)", self.calls.to_string())?;
        row("seconds", self.seconds.to_string())?;
        row("runs", self.runs.len().to_string())?;
        row(
            "packets of a stream at once",
            of.packets_at_once.to_string(),
        )?;
        row("packets sent", of.packets_sent.to_string())?;
        row("packets recorded", of.packets_recorded.to_string())?;
        row(
            "packets lost by reeld",
            of.packets_lost_by_reeld.to_string(),
        )?;
        row(
            "packets dropped by the kernel",
            of.packets_dropped_by_kernel.to_string(),
        )?;
        row("tracks exact", format!("{}/{}", of.tracks_exact, of.tracks))?;
        row("CPU, µs a packet", format!("{:.2}", of.cpu_us_per_packet))?;
        for (thread, micros) in &of.cpu_us_per_packet_by_thread {
            row(&format!("  {thread}"), format!("{micros:.2}"))?;
        }
        row(
            "  in steady state",
            format!("{:.2}", of.cpu_us_per_packet_steady),
        )?;
        row(
            "kernel's writeback, µs a packet",
            format!("{:.2}", of.kernel_writeback_us_per_packet),
        )?;
        row(
            "bare receive loop, µs a packet",
            format!("{:.2}", of.bare_loop_cpu_us_per_packet),
        )?;
        let spread = if self.runs.len() > 1 {
            format!(
                " ({:.2} to {:.2})",
                self.cpu_ratio_to_bare_loop_least, self.cpu_ratio_to_bare_loop_most
            )
        } else {
            String::new()
        };
        row("ratio", format!("{:.2}{spread}", of.cpu_ratio_to_bare_loop))?;
        row(
            "resident memory, KiB a call",
            format!("{:.1}", kib(of.resident_bytes_per_call)),
        )?;
        row(
            "resident memory, KiB a track",
            format!("{:.1}", kib(of.resident_bytes_per_track)),
        )?;
        row(
            "resident memory before, MiB",
            format!("{:.1}", kib(of.resident_bytes_before) / 1_024.0),
        )?;
        row(
            "resident memory at peak, MiB",
            format!("{:.1}", kib(of.resident_bytes_peak) / 1_024.0),
        )?;
        row(
            "stop to fetchable, ms, p50",
            format!("{:.1}", of.fetchable_ms_p50),
        )?;
        row(
            "stop to fetchable, ms, p99",
            format!("{:.1}", of.fetchable_ms_p99),
        )?;
        if self.encoders_busy {
            row(
                "MP3s of two minutes encoded meanwhile",
                of.mp3s_encoded.to_string(),
            )?;
        }
        row(
            "sender behind its clock, ms, most",
            format!("{:.1}", of.sender_behind_ms),
        )?;
        row(
            "sender, µs a packet",
            format!("{:.2}", of.sender_cpu_us_per_packet),
        )?;
        for peer in &self.peers {
            writeln!(
                f,
                "\n{}, {} streams, {} s",
                peer.peer, peer.streams, peer.seconds
            )?;
            let mut row = |name: &str, value: String| writeln!(f, "{name:<42} {value:>16}");
            row(
                "CPU in steady state, µs a packet",
                format!("{:.2}", peer.cpu_us_per_packet_steady),
            )?;
            row(
                "reeld's for the same streams",
                format!("{:.2}", peer.reeld_cpu_us_per_packet_steady_same_streams),
            )?;
            row(
                "ratio to that",
                format!("{:.1}", peer.cpu_ratio_to_reeld_same_streams),
            )?;
            row(
                "ratio to reeld's with all calls",
                format!("{:.1}", peer.cpu_ratio_to_reeld_under_load),
            )?;
            row(
                "resident memory, MiB a stream",
                format!("{:.1}", kib(peer.resident_bytes_per_stream) / 1_024.0),
            )?;
            row(
                "files of the right length",
                format!("{}/{}", peer.files_of_the_right_length, peer.streams),
            )?;
            row(
                "shortest file, s",
                format!("{:.2}", peer.shortest_file_seconds),
            )?;
        }
        Ok(())
    }
}

fn kib(bytes: u64) -> f64 {
    bytes as f64 / 1_024.0
}

#[cfg(test)]
mod tests;
