//! `reeld bench http`: WAV downloads from a daemon, and the same files from nginx.
//!
//! Called by [`super::Bench::run`]. Recordings are made in a folder, a daemon is started over it, and
//! nginx over its media. The same client downloads from the one and the other in turn, a few connections
//! at once, each with the next file that nobody has. All files are in memory, since both have been asked
//! for each of them before. The figure is bytes of bodies a second of the server's processor time, user
//! and system. It fails where reeld's is less than [`LEAST_RATIO`] of nginx's.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;
use reeld_config::Config;
use reeld_model::{Channels, RecordingSid};
use reeld_store::Store;
use serde::Serialize;

use super::connection::Connection;
use super::daemon::{self, Daemon};
use super::interrupt;
use super::nginx::Nginx;
use super::options::Options;
use super::percentile::round;
use super::recording::Recording;
use super::report::{Machine, print};
use super::usage::Process;
use crate::caller::Seeded;
use crate::{credentials, settings};

/// reeld's bytes a processor second over nginx's, at least.
const LEAST_RATIO: f64 = 0.7;

/// Bytes of a file's sound: of each length there are as many.
const SIZES: [usize; 2] = [5_000_000, 1_000_000];

const CREATED_MS: i64 = 1_790_000_000_000;

/// The arguments of `reeld bench http`.
#[derive(Debug, Args)]
pub struct Http {
    /// Files of each length, 5 MB and 1 MB
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=500))]
    files: u32,
    /// Connections at once
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    connections: u32,
    /// Runs of each server, in turn
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
    /// How long each run lasts
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Has the daemon keep no audit trail: what one costs is the difference
    #[arg(long)]
    no_audit: bool,
    #[command(flatten)]
    options: Options,
}

/// All figures of one run. Names and units are part of what scripts read, so they stay.
#[derive(Debug, Clone, Serialize)]
struct Report {
    machine: Machine,
    nginx_version: String,
    /// Of each length.
    files: u32,
    connections: u32,
    reeld: Figures,
    nginx: Figures,
    /// Of the medians.
    ratio: f64,
}

/// Of one server's runs.
#[derive(Debug, Clone, Serialize)]
struct Figures {
    /// Bytes of bodies a second of processor time.
    bytes_per_cpu_second_median: f64,
    bytes_per_cpu_second_least: f64,
    bytes_per_cpu_second_most: f64,
    /// Bytes of bodies a second that passed, the client's cost included.
    bytes_per_second_median: f64,
}

/// One run.
#[derive(Debug, Clone, Copy)]
struct Sample {
    bytes: u64,
    cpu: Duration,
    time: Duration,
}

/// Who is measured.
struct Server {
    address: SocketAddr,
    processes: Vec<Process>,
    targets: Vec<String>,
}

impl Http {
    /// Measures and prints.
    pub(super) fn run(self) -> anyhow::Result<()> {
        interrupt::watch()?;
        let folder = super::folder(self.options.data_dir.as_deref())?;
        let beside = super::folder(self.options.data_dir.as_deref())?;
        let sids = self.record(&daemon::data_dir(&folder))?;
        let media = daemon::data_dir(&folder).join("media");
        let audit = if self.no_audit {
            "[audit]\nkeep = \"0s\"\n"
        } else {
            ""
        };
        let daemon = Daemon::start_with(folder, 10, audit)?;
        let nginx = Nginx::start(beside.path(), &media)?;
        let report = self.measure(&daemon, &nginx, &sids);
        let report = report.with_context(|| daemon.log())?;
        drop(nginx);
        daemon.stop()?;
        print(&report, self.options.json)?;
        ensure!(
            report.ratio >= LEAST_RATIO,
            "{} of nginx's bytes a processor second, and {LEAST_RATIO} is the bound",
            report.ratio
        );
        Ok(())
    }

    /// Makes the files.
    fn record(&self, data_dir: &std::path::Path) -> anyhow::Result<Vec<RecordingSid>> {
        let config = Config {
            data_dir: data_dir.to_owned(),
            ..Config::default()
        };
        let store = Store::open(settings::store(&config, data_dir))?;
        credentials::settle(&store, &config, data_dir)?;
        let (account, _) = credentials::read(data_dir)?;
        let mut seeds = Seeded::new(self.options.seed);
        let mut sids = Vec::new();
        for number in 0..self.files {
            for bytes in SIZES {
                interrupt::check()?;
                let mut sid = [0; 16];
                sid[..8].copy_from_slice(&seeds.next_u64().to_be_bytes());
                let recording = Recording {
                    account,
                    sid: RecordingSid::from_bytes(sid),
                    channels: Channels::Mono,
                    created_ms: CREATED_MS + i64::from(number),
                };
                let first = i16::try_from(number)?;
                let samples: Vec<i16> = (first..=20_000).cycle().take(bytes / 2).collect();
                recording.begin(&store)?;
                recording.finish(&store, &samples)?;
                sids.push(recording.sid);
            }
        }
        Ok(sids)
    }

    fn measure(
        &self,
        daemon: &Daemon,
        nginx: &Nginx,
        sids: &[RecordingSid],
    ) -> anyhow::Result<Report> {
        let customer = daemon.customer();
        let path = |sid| customer.path(&format!("/Recordings/{sid}.wav"));
        // The media folder's layout is docs/ref/storage.md's.
        let file = |sid: &RecordingSid| {
            let [first, ..] = sid.as_bytes();
            format!("/{}/{sid}.wav", hex::encode([*first]))
        };
        let reeld = Server {
            address: customer.address()?,
            processes: vec![daemon.process()],
            targets: sids.iter().map(path).collect(),
        };
        let nginx_version = nginx.version.clone();
        let nginx = Server {
            address: nginx.address,
            processes: nginx.processes()?,
            targets: sids.iter().map(file).collect(),
        };
        for (path, file) in reeld.targets.iter().zip(&nginx.targets) {
            let sent = Connection::open(reeld.address, "")?.get(path)?;
            let there = Connection::open(nginx.address, "")?.get(file)?;
            // Behind the sound nginx's has the record's few hundred bytes.
            ensure!(
                (sent..sent + 4_096).contains(&there),
                "{path} has {sent} bytes, and its file {there}"
            );
        }
        let mut samples = [Vec::new(), Vec::new()];
        for _ in 0..self.runs {
            for (server, samples) in [&reeld, &nginx].into_iter().zip(&mut samples) {
                samples.push(self.sample(server)?);
            }
        }
        let [reeld, nginx] = samples.map(|samples| Figures::of(&samples));
        Ok(Report {
            machine: Machine::here(),
            nginx_version,
            files: self.files,
            connections: self.connections,
            ratio: round(reeld.bytes_per_cpu_second_median / nginx.bytes_per_cpu_second_median),
            reeld,
            nginx,
        })
    }

    /// Downloads for as long as a run lasts.
    fn sample(&self, server: &Server) -> anyhow::Result<Sample> {
        interrupt::check()?;
        let next = AtomicUsize::new(0);
        let cpu = || {
            let times = server.processes.iter().map(|process| process.cpu());
            times.sum::<anyhow::Result<Duration>>()
        };
        let cpu_before = cpu()?;
        let begun = Instant::now();
        let over = Duration::from_secs(u64::from(self.seconds));
        let download = || {
            let mut connection = Connection::open(server.address, "")?;
            let mut bytes = 0;
            while begun.elapsed() < over {
                interrupt::check()?;
                let number = next.fetch_add(1, Ordering::Relaxed) % server.targets.len();
                bytes += connection.get(&server.targets[number])?;
            }
            anyhow::Ok(bytes)
        };
        let bytes = thread::scope(|scope| {
            let hands: Vec<_> = (0..self.connections)
                .map(|_| scope.spawn(download))
                .collect();
            hands
                .into_iter()
                .map(|hand| {
                    hand.join()
                        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                })
                .sum::<anyhow::Result<u64>>()
        })?;
        Ok(Sample {
            bytes,
            time: begun.elapsed(),
            cpu: cpu()?.saturating_sub(cpu_before),
        })
    }
}

impl Figures {
    fn of(samples: &[Sample]) -> Self {
        let rates = |of: fn(&Sample) -> Duration| {
            let rate = |sample: &Sample| (sample.bytes as f64 / of(sample).as_secs_f64()).round();
            let mut rates: Vec<f64> = samples.iter().map(rate).collect();
            rates.sort_by(f64::total_cmp);
            rates
        };
        let (by_cpu, by_time) = (rates(|sample| sample.cpu), rates(|sample| sample.time));
        Self {
            bytes_per_cpu_second_median: median(&by_cpu),
            bytes_per_cpu_second_least: by_cpu.first().copied().unwrap_or_default(),
            bytes_per_cpu_second_most: by_cpu.last().copied().unwrap_or_default(),
            bytes_per_second_median: median(&by_time),
        }
    }
}

/// The middle of sorted figures.
fn median(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}; nginx {}", self.machine, self.nginx_version)?;
        writeln!(
            f,
            "{} files of 5 MB and {0} of 1 MB, {} connections",
            self.files, self.connections
        )?;
        writeln!(f, "{:<38} {:>10} {:>10}", "", "reeld", "nginx")?;
        let mut row = |name: &str, of: fn(&Figures) -> f64| {
            let [reeld, nginx] = [&self.reeld, &self.nginx].map(|figures| of(figures) / 1e6);
            writeln!(f, "{name:<38} {reeld:>10.0} {nginx:>10.0}")
        };
        row("MB a processor second, median", |of| {
            of.bytes_per_cpu_second_median
        })?;
        row("  least", |of| of.bytes_per_cpu_second_least)?;
        row("  most", |of| of.bytes_per_cpu_second_most)?;
        row("MB a second, median", |of| of.bytes_per_second_median)?;
        writeln!(f, "{:<38} {:>10.2}", "ratio", self.ratio)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_of_the_middle_run() {
        let samples = [(100, 1), (900, 3), (400, 2)].map(|(bytes, cpu)| Sample {
            bytes,
            cpu: Duration::from_secs(cpu),
            time: Duration::from_secs(10),
        });
        let figures = Figures::of(&samples);
        assert_eq!(figures.bytes_per_cpu_second_median, 200.0);
        assert_eq!(figures.bytes_per_cpu_second_least, 100.0);
        assert_eq!(figures.bytes_per_cpu_second_most, 300.0);
        assert_eq!(figures.bytes_per_second_median, 40.0);
    }
}
