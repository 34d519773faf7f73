//! `reeld import`: recordings out of files, by the running daemon or here when none runs.
//!
//! Each file is opened here, as the user who asks, and handed over open. One that cannot be imported
//! is reported, and the rest goes on.

use std::fs::File;
use std::io::{Write, stderr, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use reeld_config::Config;
use reeld_model::{AccountSid, CallSid};

use super::Source;
use crate::import::{Done, Job};
use crate::socket::client::{Reached, reach};

mod manifest;

#[derive(Debug, Args)]
pub(super) struct Import {
    /// Captures (.pcap, .pcapng), .wav and .mp3 files
    #[arg(value_name = "FILE", required_unless_present = "manifest")]
    files: Vec<PathBuf>,
    /// Whose the recordings become; needed where there are several accounts
    #[arg(long, value_name = "AC…")]
    account: Option<AccountSid>,
    /// The recordings' CallSid; without it, captures give one by their Call-ID and other files by
    /// their name
    #[arg(long, value_name = "CA…")]
    call_sid: Option<CallSid>,
    /// A CSV of files with their columns sid, call_sid, date_created, channels and tags, so that old
    /// URLs live on
    #[arg(long, value_name = "FILE.csv")]
    manifest: Option<PathBuf>,
    #[command(flatten)]
    source: Source,
}

impl Import {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.source.config()?;
        let mut teller = Teller::default();
        let plain = |path: PathBuf| {
            let job = Job {
                name: name_of(&path),
                account: self.account,
                call: self.call_sid,
                sid: None,
                created_ms: None,
                channels: None,
                tags: Default::default(),
            };
            (path, job)
        };
        let mut jobs: Vec<(PathBuf, Job)> = self.files.into_iter().map(plain).collect();
        if let Some(path) = &self.manifest {
            let read = manifest::read(path, self.account, self.call_sid)?;
            jobs.extend(read.jobs);
            for problem in read.problems {
                teller.problem(&path.display().to_string(), &problem)?;
            }
        }
        // Opened before the data folder's owner is taken, who may not read them.
        let opened = jobs.into_iter().map(|(path, job)| {
            let file = File::open(&path);
            (path, job, file)
        });
        // Root may lose its rights on the way, so it opens all; others not too many at once.
        let opened: Box<dyn Iterator<Item = _>> = if nix::unistd::geteuid().is_root() {
            Box::new(opened.collect::<Vec<_>>().into_iter())
        } else {
            Box::new(opened)
        };
        let bar = Bar::new();
        let mut reached = None;
        for (path, job, file) in opened {
            one(&config, &mut reached, &bar, &mut teller, &path, job, file)?;
        }
        bar.0.finish_and_clear();
        teller.end()
    }
}

/// Imports one file.
fn one(
    config: &Config,
    reached: &mut Option<Reached>,
    bar: &Bar,
    teller: &mut Teller,
    path: &Path,
    job: Job,
    file: std::io::Result<File>,
) -> anyhow::Result<()> {
    let shown = path.display().to_string();
    let file = match file {
        Ok(file) => file,
        Err(error) => return teller.problem(&shown, &error.to_string()),
    };
    // A connection is good for one request, the folder for all.
    let reached = match reached {
        Some(folder @ Reached::Folder(_)) => folder,
        other => other.insert(reach(config, false)?),
    };
    bar.begin(&job.name);
    let done = reached
        .import(config, job, file, &mut |done, total| bar.show(done, total))
        .with_context(|| shown.clone());
    bar.0.suspend(|| match done {
        Ok(done) => teller.tell(&shown, &done),
        Err(error) => teller.problem(&shown, &format!("{error:#}")),
    })
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

/// Says what came of the files.
#[derive(Debug, Default)]
struct Teller {
    recordings: usize,
    problems: usize,
}

impl Teller {
    fn tell(&mut self, shown: &str, done: &Done) -> anyhow::Result<()> {
        let mut out = stdout().lock();
        for made in &done.recordings {
            let seconds = made.duration_ms as f64 / 1_000.0;
            let channels = if made.channels == 2 { "dual" } else { "mono" };
            let (sid, call, codec) = (made.sid, made.call, &made.codec);
            writeln!(
                out,
                "{sid}  {call}  {seconds:10.3} s  {channels}  {codec}  {shown}"
            )?;
        }
        self.recordings += done.recordings.len();
        for note in &done.notes {
            writeln!(stderr(), "{shown}: {note}")?;
        }
        for problem in &done.problems {
            self.problem(shown, problem)?;
        }
        Ok(())
    }

    fn problem(&mut self, shown: &str, problem: &str) -> anyhow::Result<()> {
        self.problems += 1;
        writeln!(stderr(), "{shown}: {problem}")?;
        Ok(())
    }

    fn end(self) -> anyhow::Result<ExitCode> {
        let Self {
            recordings,
            problems,
        } = self;
        match problems {
            0 => {
                writeln!(stderr(), "{recordings} recordings imported")?;
                Ok(ExitCode::SUCCESS)
            }
            _ => bail!("{recordings} recordings imported, {problems} problems"),
        }
    }
}

/// A progress bar on standard error; indicatif draws none where that is no terminal.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {percent} % {msg} {eta} left") {
            bar.set_style(style);
        }
        Self(bar)
    }

    fn begin(&self, name: &str) {
        self.0.reset();
        self.0.set_message(name.to_owned());
    }

    fn show(&self, done: u64, total: u64) {
        self.0.set_length(total);
        self.0.set_position(done);
    }
}
