//! How reeld tells silence from speech, beside other ways of doing it, as Markdown tables.
//!
//! Recorded speech (Asterisk's prompts: five languages, four speakers) is made into calls with pauses, and
//! seeded noise is put under it. reeld's capture core is played the calls as RTP in virtual time; each of
//! the others judges the same µ-law in frames of 20 ms, with the same timeouts and the same 200 ms kept
//! around what it hears:
//!
//! - `fixed`: silence is what is at −46 dBov or below (`reeld_codec::level`), as reeld had it before;
//! - `floor`: one floor for the whole band by minimum statistics, and 8 dB above it;
//! - `webrtc`: the `webrtc-vad` crate in its mode 3, the one that hears least;
//! - `earshot`: the `earshot` crate at its own threshold of 0.5, µ-law doubled to its 16 kHz.
//!
//! `make voice` calls it. The calls and what a row says are `tests/src/line.rs` and `tests/src/tally.rs`.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use reeld_codec::{g711, level};

use crate::line::{Chance, NOMINAL, Noise, Plan, Take, mu_law, utterance};
use crate::tally::Tally;
use crate::virtual_call::{Outcome, play};

#[path = "../../../src/line.rs"]
mod line;
#[path = "../../../src/tally.rs"]
mod tally;
#[path = "../../../src/virtual_call.rs"]
mod virtual_call;

const SOUNDS: &str = "/usr/share/asterisk/sounds";
const TIMEOUTS: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(5)];
const PROMPTS: usize = 400;
const TAKES: u64 = 10;
const FRAME: usize = 160;
/// Frames kept around what is heard.
const HANGOVER: u64 = 10;

/// Hears a frame of 20 ms.
type Ear = Box<dyn FnMut(&[i16]) -> bool>;

/// A way to tell silence from speech.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Fixed,
    Floor,
    Webrtc,
    Earshot,
    Reeld,
}

impl Way {
    const ALL: [Self; 5] = [
        Self::Fixed,
        Self::Floor,
        Self::Webrtc,
        Self::Earshot,
        Self::Reeld,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Floor => "floor",
            Self::Webrtc => "webrtc",
            Self::Earshot => "earshot",
            Self::Reeld => "reeld",
        }
    }

    /// Its ear; reeld has none, it is played whole calls.
    fn ear(self) -> Option<Ear> {
        match self {
            Self::Reeld => None,
            Self::Fixed => Some(Box::new(|frame| !level::is_silent(frame))),
            Self::Floor => {
                let mut floor = Floor::default();
                Some(Box::new(move |frame| floor.hears(frame)))
            }
            Self::Webrtc => {
                use webrtc_vad::{SampleRate, Vad, VadMode};
                let rate = SampleRate::Rate8kHz;
                let mut vad = Vad::new_with_rate_and_mode(rate, VadMode::VeryAggressive);
                Some(Box::new(move |frame| {
                    vad.is_voice_segment(frame).expect("20 ms of 8 kHz are a frame")
                }))
            }
            Self::Earshot => {
                let mut detector = earshot::Detector::default_boxed();
                let (mut wide, mut last) = (Vec::new(), 0);
                Some(Box::new(move |frame| {
                    for sample in frame {
                        wide.extend([i16::midpoint(last, *sample), *sample]);
                        last = *sample;
                    }
                    let mut heard = false;
                    while wide.len() >= 256 {
                        heard |= detector.predict_i16(&wide[..256]) >= 0.5;
                        wide.drain(..256);
                    }
                    heard
                }))
            }
        }
    }

    fn judge(self, codes: &[u8]) -> Outcome {
        let Some(mut ear) = self.ear() else {
            return play(codes, &TIMEOUTS);
        };
        let mut samples = vec![0; codes.len()];
        g711::decode(g711::Law::Mu, codes, &mut samples);
        let mut outcome = Outcome {
            ended: vec![None; TIMEOUTS.len()],
            kept: (0, 0),
        };
        let (mut silent, mut first, mut end) = (0, None, 0);
        for (frame, at) in samples.chunks_exact(FRAME).zip(1_u64..) {
            if ear(frame) {
                silent = 0;
                first.get_or_insert(at - 1);
                end = at;
            } else {
                silent += 1;
            }
            for (ended, timeout) in outcome.ended.iter_mut().zip(TIMEOUTS) {
                if ended.is_none() && silent * 20 >= timeout.as_millis() {
                    *ended = Some(at * FRAME as u64);
                }
            }
        }
        if let Some(first) = first {
            let whole = (samples.len() / FRAME) as u64;
            let kept = (first.saturating_sub(HANGOVER), (end + HANGOVER).min(whole));
            outcome.kept = (kept.0 * FRAME as u64, kept.1 * FRAME as u64);
        }
        outcome
    }
}

/// One floor for the whole band.
#[derive(Default)]
struct Floor {
    smooth: f64,
    spans: Vec<f64>,
    least: f64,
    frames: usize,
}

impl Floor {
    fn hears(&mut self, frame: &[i16]) -> bool {
        let dbov = level::Level::of(frame).dbov();
        let energy = 10.0_f64.powf(dbov / 10.0);
        if dbov < -70.0 {
            return false;
        }
        if self.smooth == 0.0 {
            (self.smooth, self.least) = (energy, energy);
        }
        self.smooth += 0.25 * (energy - self.smooth);
        self.least = self.least.min(self.smooth);
        self.frames += 1;
        let floor = self.spans.iter().copied().fold(self.least, f64::min);
        if self.frames.is_multiple_of(16) {
            self.spans.push(std::mem::replace(&mut self.least, f64::INFINITY));
            if self.spans.len() > 10 {
                self.spans.remove(0);
            }
        }
        energy > (floor * 6.3).clamp(1e-5, 10.0_f64.powf(-2.5))
    }
}

fn prompts() -> Result<Vec<Vec<f64>>, Box<dyn Error>> {
    let mut files = Vec::new();
    for language in fs::read_dir(SOUNDS)? {
        let language = language?.path();
        if language.is_dir() {
            for file in fs::read_dir(language)? {
                files.push(file?.path());
            }
        }
    }
    files.retain(|file| file.extension().is_some_and(|has| has == "wav"));
    files.sort();
    let mut chance = Chance::new(5);
    let mut prompts = Vec::new();
    while prompts.len() < PROMPTS && !files.is_empty() {
        let file = files.swap_remove(chance.below(files.len()));
        prompts.extend(prompt(&file)?);
    }
    Ok(prompts)
}

/// A prompt of 1 to 6 s.
fn prompt(file: &PathBuf) -> Result<Option<Vec<f64>>, Box<dyn Error>> {
    let mut reader = hound::WavReader::open(file)?;
    let (spec, length) = (reader.spec(), reader.duration());
    let fits = spec.sample_rate == 8_000 && spec.channels == 1 && (8_000..48_000).contains(&length);
    if !fits {
        return Ok(None);
    }
    let samples = reader.samples().collect::<Result<Vec<i16>, _>>()?;
    Ok(utterance(&samples))
}

fn tally(way: Way, plan: &Plan, noises: &[Noise], prompts: &[Vec<f64>]) -> Tally {
    let mut tally = Tally::default();
    for noise in noises {
        for seed in 0..TAKES {
            let plan = Plan {
                noise: *noise,
                ..*plan
            };
            let take = Take::make(&plan, prompts, seed);
            tally.note(&take, &TIMEOUTS, &way.judge(&mu_law(&take.samples)));
        }
    }
    tally
}

/// Nanoseconds that a frame costs, on this machine.
fn cost(way: Way, codes: &[u8]) -> Option<u128> {
    let mut ear = way.ear()?;
    let mut samples = vec![0; codes.len()];
    g711::decode(g711::Law::Mu, codes, &mut samples);
    let begun = Instant::now();
    let mut heard = 0_usize;
    for frame in samples.chunks_exact(FRAME).cycle().take(20_000) {
        heard += usize::from(ear(frame));
    }
    assert!(heard < 20_000, "there is silence too");
    Some(begun.elapsed().as_nanos() / 20_000)
}

fn main() -> Result<(), Box<dyn Error>> {
    if !Path::new(SOUNDS).exists() {
        return Err(format!("{SOUNDS} is missing: `make voice` installs it").into());
    }
    let prompts = prompts()?;
    println!("{} prompts, {TAKES} calls of each kind of noise.\n", prompts.len());
    let still = [Noise::White, Noise::Pink, Noise::Fan, Noise::Gated];
    let nominal = Plan {
        noise: Noise::White,
        level: NOMINAL,
        snr: 30.0,
        offset: 0.0,
        pause: 2.5,
    };
    let mut kinds = Vec::new();
    for snr in [30.0, 20.0, 15.0, 10.0, 5.0] {
        let plan = Plan { snr, ..nominal };
        kinds.push((format!("steady, {snr} dB"), plan, &still[..]));
    }
    for snr in [30.0, 20.0, 15.0, 10.0, 5.0] {
        let plan = Plan { snr, ..nominal };
        kinds.push((format!("office, {snr} dB"), plan, &[Noise::Office][..]));
    }
    let low = Plan {
        level: -40.0,
        snr: 20.0,
        ..nominal
    };
    kinds.push(("speech at −40, 20 dB".into(), low, &still[..]));
    let offset = Plan {
        offset: 400.0,
        ..low
    };
    kinds.push(("the same, offset of 400".into(), offset, &still[..]));
    println!("| noise | way | ended early | never | late, ms: 5 / 50 / 95 % | clipped | most, ms | left, ms |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for (name, plan, noises) in &kinds {
        for way in Way::ALL {
            let tally = tally(way, plan, noises, &prompts);
            println!("| {name} | {} | {} |", way.name(), tally.row());
        }
    }
    let codes = mu_law(&Take::make(&Plan { snr: 20.0, ..nominal }, &prompts, 1).samples);
    println!();
    for way in Way::ALL {
        if let Some(cost) = cost(way, &codes) {
            println!("{}: {cost} ns a frame", way.name());
        }
    }
    Ok(())
}
