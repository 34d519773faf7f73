//! `reeld bench capture`: many dual calls at once through a daemon, each held exact, and the same
//! streams into a bare receive loop; and a few of them into other programs.
//!
//! Called by [`super::Bench::run`]. Each run is the daemon's load, then the bare loop's, so neither disturbs the
//! other; several runs alternate the two, so that a machine that slows down slows both.

use std::num::NonZero;
use std::sync::atomic::AtomicBool;

use clap::Args;

use super::load::{LOOPBACK, Load};
use super::options::Options;
use super::peer::{self, Peer};
use super::report::{Figures, Machine, PeerFigures, Report, print};
use super::{bare, bounds, interrupt};
use crate::caller::MAX_BUNDLE;

/// How long peers are sent to: a steady state of more than ten seconds.
const PEER_SECONDS: u32 = 20;

/// The arguments of `reeld bench capture`.
#[derive(Debug, Args)]
pub struct Capture {
    /// Calls at once, recorded dual: two tracks each
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=3_000))]
    calls: u32,
    /// How long each call lasts
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Runs, daemon and bare loop in turn; costs are their medians
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
    /// Packets of a stream that leave at once, as of a sender that wakes that much more rarely: cheaper for it
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=MAX_BUNDLE as i64))]
    bundle: u8,
    /// Keeps every encoder busy with MP3 requests meanwhile, as many encoders as cores
    #[arg(long)]
    encode: bool,
    /// Has the daemon encrypt what it records, under a key of this run
    #[arg(long)]
    encrypt: bool,
    /// Sends some of the calls to this program too, a process a track; can be repeated
    #[arg(long, value_enum, value_name = "PROGRAM")]
    peer: Vec<Peer>,
    /// Calls that peers are sent, two tracks each
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    peer_calls: u32,
    /// Fails where a promised bound is missed
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    options: Options,
}

impl Capture {
    /// Measures and prints.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let stop = interrupt::watch()?;
        let load = self.load(self.calls, self.seconds);
        let (mut runs, mut wrong) = (Vec::new(), Vec::new());
        for _ in 0..self.runs {
            let measured = load.measure(stop)?;
            let bare = bare::measure(measured.plan.clone(), LOOPBACK, stop)?;
            interrupt::check()?;
            let figures = load.figures(&measured, &bare);
            wrong.extend(figures.broken(&measured.differences));
            runs.push(figures);
        }
        let peers = if wrong.is_empty() {
            self.peers(&runs, stop)?
        } else {
            Vec::new()
        };
        let report = Report::new(
            Machine::here(),
            self.calls,
            self.seconds,
            self.encode,
            runs,
            peers,
        );
        print(&report, self.options.json)?;
        bounds::hold(&wrong)?;
        if self.check {
            bounds::hold(&report.missed())?;
        }
        Ok(())
    }

    fn load(&self, calls: u32, seconds: u32) -> Load<'_> {
        Load {
            calls,
            seconds,
            seed: self.options.seed,
            parent: self.options.data_dir.as_deref(),
            encode: self.encode,
            encrypt: self.encrypt,
            bundle: NonZero::new(usize::from(self.bundle)).unwrap_or(NonZero::<usize>::MIN),
        }
    }

    /// The peers' figures, and the daemon's for the same streams.
    fn peers(&self, runs: &[Figures], stop: &AtomicBool) -> anyhow::Result<Vec<PeerFigures>> {
        if self.peer.is_empty() {
            return Ok(Vec::new());
        }
        let load = Load {
            encode: false,
            ..self.load(self.peer_calls, PEER_SECONDS)
        };
        let measured = load.measure(stop)?;
        let same = load.figures(&measured, &bare::Bare::default());
        bounds::hold(&same.broken(&measured.differences).collect::<Vec<_>>())?;
        let daemon = [
            same.cpu_us_per_packet_steady,
            Figures::of_all(runs).cpu_us_per_packet_steady,
        ];
        self.peer
            .iter()
            .map(|&peer| peer::measure(peer, measured.plan.clone(), PEER_SECONDS, daemon, stop))
            .collect()
    }
}
