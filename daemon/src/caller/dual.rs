//! A dual WAV as its two channels, to be held against what was said.
//!
//! Called by `demo` and `bench` with the files that they fetch; it calls `codec`.

use anyhow::{Context, ensure};
use reeld_codec::wav;
use reeld_model::{SAMPLE_RATE, Track};

/// The interleaved samples of a WAV of two channels, as many as its header says.
///
/// # Errors
/// It is no such WAV, or shorter than its header says.
pub fn samples(file: &[u8]) -> anyhow::Result<Vec<i16>> {
    let mut reader = wav::Reader::new(file).context("the WAV")?;
    ensure!(
        (reader.channels(), reader.rate_hz()) == (2, SAMPLE_RATE),
        "the WAV has {} channels at {} Hz",
        reader.channels(),
        reader.rate_hz()
    );
    // A sample is two bytes, so the file's length bounds what its header promises.
    let mut samples = vec![0; file.len() / 2];
    let read = reader.read(&mut samples).context("the WAV")?;
    samples.truncate(read);
    ensure!(
        read as u64 == reader.frames() * 2,
        "the WAV is shorter than its header says"
    );
    Ok(samples)
}

/// The samples of one track: left is inbound, right is outbound.
pub fn channel(samples: &[i16], track: Track) -> impl Iterator<Item = i16> {
    samples.iter().skip(track.index()).step_by(2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_told_apart() {
        let mut file = wav::header(2, SAMPLE_RATE, 12).to_vec();
        wav::samples_to_bytes(&[1, -1, 2, -2, 3, -3], &mut file);
        let samples = samples(&file).unwrap();
        assert!(channel(&samples, Track::Inbound).eq([1, 2, 3]));
        assert!(channel(&samples, Track::Outbound).eq([-1, -2, -3]));
    }

    #[test]
    fn what_is_no_dual_wav_is_refused() {
        assert!(samples(b"RIFF").is_err());
        assert!(samples(b"").is_err());
        assert!(samples(&wav::header(1, SAMPLE_RATE, 0)).is_err());
        let mut short = wav::header(2, SAMPLE_RATE, 8).to_vec();
        short.extend([0; 4]);
        assert!(samples(&short).is_err());
    }
}
