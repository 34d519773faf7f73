//! `reeld bench encode`: how many times faster than real time one core makes MP3 and Opus, beside
//! LAME's own command line with the same settings.
//!
//! Called by [`super::Bench::run`]; it calls `codec`, as the API's encoder threads do, and the `lame`
//! command (Debian's package of that name). Both encode the same WAV (`dialog`), one after the other
//! in turn, from a file to a file; what counts is processor time, by the kernel, user and system: of
//! the thread here, of the child process there, which takes some milliseconds to start.
//!
//! What LAME's command makes must be what reeld makes, byte for byte behind the Info frame: else the
//! settings are not the same, and nothing was compared.

use std::fmt;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use reeld_codec::mp3::{self, Mp3Encoder};
use reeld_codec::ogg_opus::OggOpusEncoder;
use reeld_codec::wav;
use serde::Serialize;

use super::dialog::{self, RATE_HZ};
use super::options::Options;
use super::percentile::round;
use super::report::{Machine, print};
use super::{interrupt, usage};
use crate::caller;

/// reeld's MP3 throughput over that of the `lame` command, at the least. Both spend 95 % of their time in
/// the same libmp3lame, so what is missing to 1 would be ours; 5 % is what two measurements on a machine
/// that others use may differ by.
const LEAST_RATIO: f64 = 0.95;

/// Bytes of sound encoded at a time, as the API's encoder threads have it.
const PIECE_BYTES: usize = 64 * 1024;

/// The arguments of `reeld bench encode`.
#[derive(Debug, Args)]
pub struct Encode {
    /// How long the recordings are, one mono and one dual
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..=7_200))]
    seconds: u32,
    /// How often each is encoded
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
    #[command(flatten)]
    options: Options,
}

/// All figures of one run. Names and units are part of what scripts read, so they stay.
#[derive(Debug, Clone, Serialize)]
struct Report {
    machine: Machine,
    /// Of each recording.
    seconds: u32,
    /// Of each encoding.
    runs: u32,
    encodings: Vec<Encoding>,
    /// What `ratio` must be at the least.
    least_ratio: f64,
}

/// One format of one recording.
#[derive(Debug, Clone, Serialize)]
struct Encoding {
    format: &'static str,
    channels: u16,
    /// Of the file that reeld makes.
    bytes: u64,
    reeld: Speed,
    /// LAME's own command line, where there is one to compare with.
    lame: Option<Lame>,
    /// reeld's median over its.
    ratio: Option<f64>,
}

/// The `lame` command.
#[derive(Debug, Clone, Serialize)]
struct Lame {
    command: String,
    speed: Speed,
}

/// Seconds of sound for each second of one core.
#[derive(Debug, Clone, Copy, Serialize)]
struct Speed {
    median: f64,
    least: f64,
    most: f64,
}

/// What reeld encodes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Mp3,
    Opus,
}

impl Encode {
    /// Measures and prints.
    pub(super) fn run(self) -> anyhow::Result<()> {
        interrupt::watch()?;
        let folder = super::folder(self.options.data_dir.as_deref())?;
        let mut encodings = Vec::new();
        for channels in [1, 2] {
            let source = folder.path().join(format!("{channels}.wav"));
            let file = dialog::wav(self.options.seed, channels, self.seconds);
            fs::write(&source, file).with_context(|| source.display().to_string())?;
            for format in [Format::Mp3, Format::Opus] {
                encodings.push(self.measure(format, channels, &source)?);
            }
        }
        let report = Report {
            machine: Machine::here(),
            seconds: self.seconds,
            runs: self.runs,
            encodings,
            least_ratio: LEAST_RATIO,
        };
        print(&report, self.options.json)?;
        report.judge()
    }

    /// Encodes a recording as often as it is to be, in turn with the `lame` command.
    fn measure(&self, format: Format, channels: u16, source: &Path) -> anyhow::Result<Encoding> {
        let made = source.with_extension(format.name());
        let reference = source.with_extension("lame.mp3");
        let (mut own, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..self.runs {
            interrupt::check()?;
            let before = caller::thread_cpu()?;
            encode(format, channels, source, &made)?;
            own.push(caller::thread_cpu()?.saturating_sub(before));
            if format == Format::Mp3 {
                theirs.push(lame(channels, source, &reference)?);
            }
        }
        let bytes = fs::metadata(&made)?.len();
        let reeld = Speed::of(self.seconds, own)?;
        let lame = match format {
            Format::Mp3 => {
                same(channels, &made, &reference)?;
                Some(Lame {
                    command: format!(
                        "lame {} {channels}.wav {channels}.mp3",
                        arguments(channels)?.join(" ")
                    ),
                    speed: Speed::of(self.seconds, theirs)?,
                })
            }
            Format::Opus => None,
        };
        let ratio = lame
            .as_ref()
            .map(|lame| round(reeld.median / lame.speed.median));
        Ok(Encoding {
            format: format.name(),
            channels,
            bytes,
            reeld,
            lame,
            ratio,
        })
    }
}

impl Format {
    const fn name(self) -> &'static str {
        match self {
            Self::Mp3 => "mp3",
            Self::Opus => "opus",
        }
    }
}

/// Encodes a WAV to a file as an encoder thread does.
fn encode(format: Format, channels: u16, source: &Path, made: &Path) -> anyhow::Result<()> {
    enum Coder {
        Mp3(Mp3Encoder),
        Opus(OggOpusEncoder),
    }
    let mut source = File::open(source)?;
    let mut made = File::create(made)?;
    source.read_exact(&mut [0; wav::HEADER_BYTES])?;
    let mut left = source.metadata()?.len() - wav::HEADER_BYTES as u64;
    let frames = left / u64::from(channels * wav::SAMPLE_BYTES);
    let mut coder = match format {
        Format::Mp3 => Coder::Mp3(Mp3Encoder::new(channels, RATE_HZ, frames)?),
        Format::Opus => Coder::Opus(OggOpusEncoder::new(channels, RATE_HZ, frames, 1)?),
    };
    let mut piece = vec![0; PIECE_BYTES];
    let (mut samples, mut bytes) = (Vec::new(), Vec::new());
    while left > 0 {
        let count = usize::try_from(left).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES));
        source.read_exact(&mut piece[..count])?;
        left -= count as u64;
        samples.clear();
        bytes.clear();
        wav::bytes_to_samples(&piece[..count], &mut samples);
        match &mut coder {
            Coder::Mp3(encoder) => encoder.encode(&samples, &mut bytes)?,
            Coder::Opus(encoder) => encoder.encode(&samples, &mut bytes)?,
        }
        made.write_all(&bytes)?;
    }
    bytes.clear();
    match coder {
        Coder::Mp3(encoder) => encoder.finish(&mut bytes)?,
        Coder::Opus(encoder) => encoder.finish(&mut bytes)?,
    }
    Ok(made.write_all(&bytes)?)
}

/// What the `lame` command is told before the names of its files.
fn arguments(channels: u16) -> anyhow::Result<Vec<String>> {
    let mut arguments = vec!["--silent".to_owned()];
    arguments.extend(mp3::lame_arguments(channels, RATE_HZ)?);
    Ok(arguments)
}

/// Encodes a WAV by the `lame` command; the processor time that it took.
fn lame(channels: u16, source: &Path, made: &Path) -> anyhow::Result<Duration> {
    let before = usage::children_cpu()?;
    let mut command = Command::new("lame");
    command.args(arguments(channels)?).args([source, made]);
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .context(
            "the command `lame`, to compare with, cannot be run (Debian has it in the package lame)",
        )?;
    ensure!(status.success(), "`lame` failed: {status}");
    Ok(usage::children_cpu()?.saturating_sub(before))
}

/// Fails where reeld's file, behind its Info frame, is not what the `lame` command made.
fn same(channels: u16, made: &Path, reference: &Path) -> anyhow::Result<()> {
    let (made, reference) = (fs::read(made)?, fs::read(reference)?);
    let info = usize::try_from(mp3::info_frame_len(channels, RATE_HZ)?)?;
    let sound = made.get(info..).context("the MP3 has no Info frame")?;
    if sound == reference {
        return Ok(());
    }
    let equal = sound.iter().zip(&reference).take_while(|(a, b)| a == b);
    bail!(
        "`lame` makes another file of {channels} channels than reeld does ({} and {} bytes, the first {} equal): \
         it is of another version, or the settings are not the same",
        reference.len(),
        sound.len(),
        equal.count()
    );
}

impl Speed {
    /// Of encodings of `seconds` of sound that took these times.
    fn of(seconds: u32, mut times: Vec<Duration>) -> anyhow::Result<Self> {
        times.sort();
        let (Some(least), Some(most)) = (times.first(), times.last()) else {
            bail!("nothing was measured");
        };
        let of = |time: &Duration| round(f64::from(seconds) / time.as_secs_f64().max(1e-6));
        Ok(Self {
            median: of(&times[times.len() / 2]),
            least: of(most),
            most: of(least),
        })
    }
}

impl Report {
    /// Fails where an encoding is slower than it must be.
    fn judge(&self) -> anyhow::Result<()> {
        let slow = self.encodings.iter().find_map(|encoding| {
            let ratio = encoding.ratio.filter(|ratio| *ratio < self.least_ratio)?;
            Some((encoding, ratio))
        });
        if let Some((encoding, ratio)) = slow {
            bail!(
                "{} of {} channels has {ratio:.2} times the throughput of `lame`, which is less than {}",
                encoding.format,
                encoding.channels,
                self.least_ratio
            );
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}; {} s of telephone sound, {} runs",
            self.machine, self.seconds, self.runs
        )?;
        writeln!(
            f,
            "{:<24} {:>10} {:>8} {:>8} {:>8} {:>6}",
            "times real time, a core", "bytes", "median", "least", "most", "ratio"
        )?;
        let mut row = |name: String, bytes: &str, speed: Speed, ratio: Option<f64>| {
            let ratio = ratio.map_or(String::new(), |ratio| format!("{ratio:.2}"));
            writeln!(
                f,
                "{name:<24} {bytes:>10} {:>8.0} {:>8.0} {:>8.0} {ratio:>6}",
                speed.median, speed.least, speed.most
            )
        };
        for encoding in &self.encodings {
            let Encoding {
                format,
                channels,
                bytes,
                reeld,
                lame,
                ratio,
            } = encoding;
            let name = |who: &str| format!("{who}, {format}, {channels} ch.");
            row(name("reeld"), &bytes.to_string(), *reeld, *ratio)?;
            if let Some(lame) = lame {
                row(name("lame"), "", lame.speed, None)?;
            }
        }
        for lame in self.encodings.iter().filter_map(|of| of.lame.as_ref()) {
            writeln!(f, "{}", lame.command)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoding(ratio: Option<f64>) -> Encoding {
        let speed = Speed::of(10, vec![Duration::from_millis(10)]).unwrap();
        Encoding {
            format: "mp3",
            channels: 1,
            bytes: 1,
            reeld: speed,
            lame: None,
            ratio,
        }
    }

    #[test]
    fn what_is_slower_than_lame_fails() {
        let report = |ratio| Report {
            machine: Machine::here(),
            seconds: 10,
            runs: 1,
            encodings: vec![encoding(None), encoding(Some(ratio))],
            least_ratio: LEAST_RATIO,
        };
        report(0.95).judge().unwrap();
        let error = report(0.94).judge().unwrap_err().to_string();
        assert!(error.contains("0.94"), "{error}");
    }

    #[test]
    fn the_slowest_run_is_the_least() {
        let times = [20, 10, 40].map(Duration::from_millis).to_vec();
        let speed = Speed::of(10, times).unwrap();
        assert_eq!(
            (speed.median, speed.least, speed.most),
            (500.0, 250.0, 1_000.0)
        );
        assert!(Speed::of(10, Vec::new()).is_err());
    }
}
