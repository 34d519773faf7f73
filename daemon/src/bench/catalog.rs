//! `reeld bench catalog`: a daemon over a catalog of a million recordings, asked for its lists.
//!
//! Called by [`super::Bench::run`]. Twice, with the recordings spread over a year and with all of them
//! inside one day:
//!
//! 1. the catalog is filled in this process (`records`): records, indices and kept counts as recordings
//!    leave them, no media, since a million files would measure the file system; with a large cache,
//!    since nobody waits for it;
//! 2. with the default cache again, into the full catalog real recordings are begun and finished from many threads, each durable
//!    (`inserts`);
//! 3. a daemon is started over it; the time until it is ready, and its memory;
//! 4. lists are asked for over one kept-alive connection, one request after another (`lists`), then
//!    recordings are deleted;
//! 5. the daemon is killed and another started: the time after a crash.
//!
//! It fails where a bound is missed: `report` has them.

mod inserts;
mod lists;
mod records;
mod report;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;
use reeld_config::Config;
use reeld_store::Store;
use tempfile::TempDir;

use self::records::Shape;
use self::report::{Figures, Report};
use super::daemon::{self, Daemon};
use super::options::Options;
use super::percentile::{millis, round};
use super::report::{Machine, print};
use super::{descriptors, interrupt};
use crate::{credentials, settings};

/// Of the store that the catalog is filled through.
const FILL_CACHE_BYTES: u64 = 2 << 30;

/// Records that are put in between two looks at a signal.
const FILL_AT_ONCE: u32 = 20_000;

/// The arguments of `reeld bench catalog`.
#[derive(Debug, Args)]
pub struct Catalog {
    /// Recordings in the catalog
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1_000..=5_000_000))]
    recordings: u32,
    /// Requests of each kind
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    requests: u32,
    /// Recordings that are begun and finished in the full catalog
    #[arg(long, default_value_t = 8_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    inserts: u32,
    /// Threads that begin and finish them
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=512))]
    writers: u32,
    #[command(flatten)]
    options: Options,
}

impl Catalog {
    /// Measures and prints.
    pub(super) fn run(self) -> anyhow::Result<()> {
        interrupt::watch()?;
        // Begun recordings hold their takes open.
        descriptors::raise(u64::from(self.inserts), self.inserts)?;
        let over_a_year = self.measure(Shape::Year)?;
        let in_one_day = self.measure(Shape::Day)?;
        let report = Report {
            machine: Machine::here(),
            recordings: self.recordings,
            over_a_year,
            in_one_day,
        };
        print(&report, self.options.json)?;
        let missed = report.missed();
        ensure!(missed.is_empty(), "{}", missed.join("; "));
        Ok(())
    }

    fn measure(&self, shape: Shape) -> anyhow::Result<Figures> {
        let folder = super::folder(self.options.data_dir.as_deref())?;
        let data_dir = daemon::data_dir(&folder);
        let config = Config {
            data_dir: data_dir.clone(),
            ..Config::default()
        };
        let mut filling = config.clone();
        filling.store.cache = FILL_CACHE_BYTES;
        let store = Store::open(settings::store(&filling, &data_dir))?;
        credentials::settle(&store, &config, &data_dir)?;
        let (account, _) = credentials::read(&data_dir)?;
        let records = records::Records {
            account,
            count: self.recordings,
            shape,
            seed: self.options.seed,
        };
        let begun = Instant::now();
        let mut filled: u32 = 0;
        while filled < self.recordings {
            interrupt::check()?;
            let most = (self.recordings - filled).min(FILL_AT_ONCE);
            store.fill(records.each(filled..filled + most))?;
            filled += most;
        }
        let fill = begun.elapsed();
        drop(store);
        let disk_bytes = size_of(&data_dir.join("catalog"))?;
        let store = Store::open(settings::store(&config, &data_dir))?;
        let inserts = inserts::measure(&store, &records, self.inserts, self.writers)?;
        drop(store);
        interrupt::check()?;

        let (daemon, start) = started(folder)?;
        let process = daemon.process();
        let resident_at_start = process.resident()?;
        let outcome = lists::measure(daemon.customer(), &records, self.requests, self.inserts);
        let (lists, deletes) = outcome.with_context(|| daemon.log())?;
        let resident_after = process.resident()?;
        let cpu = process.cpu()?;
        let (daemon, start_after_crash) = started(daemon.kill()?)?;
        let resident_after_crash = daemon.process().resident()?;
        daemon.stop()?;
        Ok(Figures {
            fill_a_second: per_second(self.recordings, fill),
            disk_bytes,
            disk_bytes_a_recording: disk_bytes / u64::from(self.recordings),
            inserts,
            start_ms: millis(start),
            start_after_crash_ms: millis(start_after_crash),
            resident_bytes_at_start: resident_at_start,
            resident_bytes_after: resident_after,
            resident_bytes_after_crash: resident_after_crash,
            cpu_ms: millis(cpu),
            lists,
            deletes,
        })
    }
}

/// A daemon over what the folder has, and the time until it was ready.
fn started(folder: TempDir) -> anyhow::Result<(Daemon, Duration)> {
    let begun = Instant::now();
    // Nobody calls it.
    let daemon = Daemon::start_in(folder, 10)?;
    Ok((daemon, begun.elapsed()))
}

fn per_second(count: u32, time: Duration) -> f64 {
    round(f64::from(count) / time.as_secs_f64())
}

/// Bytes that a folder has on disk, blocks that are not written left out.
fn size_of(folder: &Path) -> anyhow::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() {
            size_of(&entry.path())?
        } else {
            metadata.blocks() * 512
        };
    }
    Ok(bytes)
}
