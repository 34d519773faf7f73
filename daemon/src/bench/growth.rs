//! `reeld bench growth`: the same measurement at more and more calls. What a packet costs must not grow with
//! them, nor what a call keeps in memory.
//!
//! Called by [`super::Bench::run`]; it calls `load` and `bare` for each size.

use std::fmt;
use std::num::NonZero;

use clap::Args;
use serde::Serialize;

use super::load::{LOOPBACK, Load};
use super::options::Options;
use super::report::{Figures, Machine, print};
use super::{bare, bounds, interrupt};

/// The arguments of `reeld bench growth`.
#[derive(Debug, Args)]
pub struct Growth {
    /// Calls at once, one size after the other; two tracks each
    #[arg(long, value_delimiter = ',', default_value = "10,100,1000,2500",
        value_parser = clap::value_parser!(u32).range(1..=3_000))]
    calls: Vec<u32>,
    /// How long each call lasts
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Fails where a figure grows with the calls
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    options: Options,
}

/// All figures.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Grown {
    pub(super) machine: Machine,
    pub(super) seconds: u32,
    pub(super) sizes: Vec<Size>,
}

/// The figures of so many calls.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Size {
    pub(super) calls: u32,
    #[serde(flatten)]
    pub(super) figures: Figures,
}

impl Growth {
    /// Measures and prints.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let stop = interrupt::watch()?;
        let mut grown = Grown {
            machine: Machine::here(),
            seconds: self.seconds,
            sizes: Vec::new(),
        };
        let mut wrong = Vec::new();
        for &calls in &self.calls {
            let load = Load {
                calls,
                seconds: self.seconds,
                seed: self.options.seed,
                parent: self.options.data_dir.as_deref(),
                encode: false,
                encrypt: false,
                bundle: NonZero::<usize>::MIN,
            };
            let measured = load.measure(stop)?;
            let bare = bare::measure(measured.plan.clone(), LOOPBACK, stop)?;
            interrupt::check()?;
            let figures = load.figures(&measured, &bare);
            wrong.extend(
                figures
                    .broken(&measured.differences)
                    .map(|what| format!("at {calls} calls {what}")),
            );
            grown.sizes.push(Size { calls, figures });
        }
        print(&grown, self.options.json)?;
        bounds::hold(&wrong)?;
        if self.check {
            bounds::hold(&grown.missed())?;
        }
        Ok(())
    }
}

impl Grown {
    /// Where a figure is more than it was at fewer calls.
    fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        let cpu: Vec<_> = self
            .sizes
            .iter()
            .map(|size| (size.calls, size.figures.cpu_us_per_packet))
            .collect();
        missed.extend(growth(&cpu, "µs of CPU a packet"));
        missed.extend(growth(&self.memory(), "bytes a further call"));
        missed
    }

    /// What each call beyond those of the size before takes of memory. A call of few is no measure: they live in what the
    /// daemon's start has left free.
    fn memory(&self) -> Vec<(u32, f64)> {
        let sizes: Vec<_> = self
            .sizes
            .iter()
            .filter(|size| size.calls >= bounds::GROWTH_CALLS)
            .map(|size| {
                let all = size.figures.resident_bytes_per_call as f64 * f64::from(size.calls);
                (size.calls, all)
            })
            .collect();
        let further = |pair: &[(u32, f64)]| match pair {
            [(few, least), (many, most)] if many > few => {
                Some((*many, (most - least) / f64::from(many - few)))
            }
            _ => None,
        };
        sizes.windows(2).filter_map(further).collect()
    }
}

/// Where a figure is above the least of the ones before it by more than the bound.
fn growth(by_calls: &[(u32, f64)], unit: &str) -> Vec<String> {
    let mut least = f64::INFINITY;
    let mut found = Vec::new();
    for &(calls, figure) in by_calls {
        if figure > least * bounds::GROWTH {
            found.push(format!(
                "{figure:.2} {unit} at {calls} calls, {least:.2} at fewer: more than {} times as much",
                bounds::GROWTH
            ));
        }
        least = least.min(figure);
    }
    found
}

impl fmt::Display for Grown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, {} s each", self.machine, self.seconds)?;
        writeln!(
            f,
            "{:>6} {:>10} {:>6} {:>9} {:>9} {:>6} {:>10} {:>9} {:>10}",
            "calls",
            "packets",
            "lost",
            "µs/packet",
            "bare loop",
            "ratio",
            "KiB a call",
            "p99, ms",
            "behind, ms"
        )?;
        for Size { calls, figures } in &self.sizes {
            writeln!(
                f,
                "{calls:>6} {:>10} {:>6} {:>9.2} {:>9.2} {:>6.2} {:>10.1} {:>9.1} {:>10.1}",
                figures.packets_sent,
                figures.packets_sent - figures.packets_recorded,
                figures.cpu_us_per_packet,
                figures.bare_loop_cpu_us_per_packet,
                figures.cpu_ratio_to_bare_loop,
                figures.resident_bytes_per_call as f64 / 1_024.0,
                figures.fetchable_ms_p99,
                figures.sender_behind_ms,
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_beyond_noise_is_missed() {
        assert!(growth(&[(10, 20.0), (100, 8.0), (1_000, 8.9)], "µs").is_empty());
        let found = growth(&[(10, 20.0), (100, 8.0), (1_000, 7.0), (2_500, 8.1)], "µs");
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("2500 calls"), "{found:?}");
    }

    #[test]
    fn memory_is_of_the_calls_that_came_on_top() {
        let size = |calls: u32, all: u64| Size {
            calls,
            figures: Figures {
                resident_bytes_per_call: all / u64::from(calls),
                cpu_us_per_packet: 1.0,
                ..Figures::default()
            },
        };
        let grown = |last| Grown {
            machine: Machine::here(),
            seconds: 1,
            sizes: vec![
                size(10, 2_000_000),
                size(100, 5_000_000),
                size(1_000, 85_000_000),
                size(2_500, last),
            ],
        };
        let flat = grown(215_000_000);
        assert!(flat.missed().is_empty(), "{:?}", flat.memory());
        let missed = grown(250_000_000).missed();
        assert_eq!(missed.len(), 1, "{missed:?}");
        assert!(missed[0].contains("2500 calls"), "{missed:?}");
    }
}
