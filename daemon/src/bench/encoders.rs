//! Encoders that are kept busy: MP3 requests for long recordings, from more hands than there are encoders.
//!
//! Called by `load` where `--encode` wants it. The recordings are imported beforehand by `reeld import`, and the
//! daemon keeps no encoded files. Each hand asks for several of its own in turn, so that each answer is encoded
//! anew: a file that is asked for again at once can be the one that was just made, since whoever fetches it has its
//! last byte before its encoder is done with it.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::{Context, ensure};
use reeld_codec::g711::Law;
use reeld_codec::wav;
use reeld_model::{SAMPLE_RATE, Track};

use super::daemon::Daemon;
use super::usage;
use crate::caller::Sound;
use crate::customer::Customer;

/// How long the recordings are. An encoder of low priority beside a full load has to answer within the
/// customer's patience.
const SECONDS: usize = 120;

/// Recordings that a hand asks for in turn.
const EACH: usize = 4;

/// What the voices come from: no call's of the load.
const SEED: u64 = 0x6d70_3300;

/// The recordings that are asked for.
pub(super) struct Encoders {
    paths: Vec<String>,
}

impl Encoders {
    /// The daemon's configuration: an encoder a core, whose files are not kept.
    pub(super) fn config() -> String {
        let workers = usage::cores();
        format!("[encode]\nworkers = {workers}\ncache_bytes = \"0B\"\n")
    }

    /// Imports the recordings, for two hands for each encoder.
    pub(super) fn new(daemon: &Daemon) -> anyhow::Result<Self> {
        let files: Vec<PathBuf> = (0..2 * usage::cores() * EACH)
            .map(|number| {
                let path = daemon.folder().join(format!("long-{number}.wav"));
                fs::write(&path, voices(number as u64)).context("a recording to encode")?;
                anyhow::Ok(path)
            })
            .collect::<Result<_, _>>()?;
        let mut command = daemon.command("import")?;
        let output = command.args(&files).output().context("reeld import")?;
        let said = String::from_utf8_lossy(&output.stdout);
        let customer = daemon.customer();
        let paths: Vec<_> = said
            .lines()
            .filter_map(|line| line.split_whitespace().next())
            .filter(|sid| sid.starts_with("RE"))
            .map(|sid| customer.path(&format!("/Recordings/{sid}.mp3")))
            .collect();
        ensure!(
            output.status.success() && paths.len() == files.len(),
            "reeld import: {said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(Self { paths })
    }

    /// Keeps the encoders busy while `work` runs; its result, and how many files were encoded.
    pub(super) fn busy_during<R>(
        &self,
        customer: &Customer,
        work: impl FnOnce() -> anyhow::Result<R>,
    ) -> anyhow::Result<(R, u64)> {
        let over = AtomicBool::new(false);
        let encoded = AtomicU64::new(0);
        std::thread::scope(|scope| {
            let hands: Vec<_> = self
                .paths
                .chunks(EACH)
                .map(|paths| {
                    let (over, encoded) = (&over, &encoded);
                    scope.spawn(move || -> anyhow::Result<()> {
                        for path in paths.iter().cycle() {
                            if over.load(Ordering::Relaxed) {
                                break;
                            }
                            let (kind, file) = customer.get(path)?;
                            ensure!(kind == "audio/mpeg" && !file.is_empty(), "{path} is {kind}");
                            encoded.fetch_add(1, Ordering::Relaxed);
                        }
                        Ok(())
                    })
                })
                .collect();
            let result = work();
            over.store(true, Ordering::Relaxed);
            for hand in hands {
                hand.join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                    .context("an MP3 while calls were recorded")?;
            }
            Ok((result?, encoded.load(Ordering::Relaxed)))
        })
    }
}

/// A dual WAV of two voices.
fn voices(number: u64) -> Vec<u8> {
    let samples = SECONDS * SAMPLE_RATE as usize;
    let mut tracks = Track::ALL.map(|track| Sound::voice(SEED, number, track));
    let bytes = u32::try_from(samples * 4).unwrap_or(u32::MAX);
    let mut file = wav::header(2, SAMPLE_RATE, bytes).to_vec();
    for _ in 0..samples {
        let frame = tracks.each_mut().map(|track| track.heard(Law::Mu));
        wav::samples_to_bytes(&frame, &mut file);
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::dual;

    #[test]
    fn what_is_encoded_is_sound_on_both_tracks() {
        let samples = dual::samples(&voices(3)).unwrap();
        assert_eq!(samples.len(), 2 * 8_000 * SECONDS);
        for track in Track::ALL {
            let channel: Vec<_> = dual::channel(&samples, track).collect();
            assert!(!reeld_codec::level::is_silent(&channel));
        }
    }
}
