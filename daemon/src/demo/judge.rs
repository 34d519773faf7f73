//! Whether the three representations are what they have to be: each returns what to tell of it, or
//! the first thing that is wrong.

use anyhow::{Context, bail, ensure};
use reeld_codec::mp3;
use reeld_model::{SAMPLE_RATE, Track};

use crate::caller::Stream;
use crate::caller::dual::{channel, samples};

/// How alike MP3 and WAV must be: the correlation of their samples.
const LIKENESS: f64 = 0.9;

/// Holds a dual WAV to what was sent: inbound left, outbound right, each sample.
pub(super) fn wav(file: &[u8], streams: &[Stream; 2]) -> anyhow::Result<String> {
    let samples = samples(file)?;
    for (track, stream) in Track::ALL.into_iter().zip(streams) {
        let channel = channel(&samples, track);
        stream
            .compare(channel)
            .map_err(|difference| anyhow::anyhow!("{}: {difference}", track.as_str()))?;
    }
    let seconds = seconds(samples.len() / 2);
    Ok(format!(
        "{seconds:.2} s, 8 kHz, 16 bit, left what was sent inbound and right what was sent outbound, sample for sample"
    ))
}

/// Holds an MP3 to the WAV of the same recording: as long, and alike.
pub(super) fn mp3(file: &[u8], wav: &[u8]) -> anyhow::Result<String> {
    let samples = samples(wav)?;
    let frames = samples.len() / 2;
    // A second more than it may have is enough to see that it is too long.
    let limit = frames as u64 + u64::from(SAMPLE_RATE);
    let decoded = mp3::decode(file, limit).context("the MP3")?;
    ensure!(
        (decoded.channels, decoded.rate_hz, decoded.damaged) == (2, SAMPLE_RATE, 0),
        "the MP3 has {} channels at {} Hz, {} damaged frames",
        decoded.channels,
        decoded.rate_hz,
        decoded.damaged
    );
    let long = decoded.samples.len() / 2;
    ensure!(
        long == frames,
        "the MP3 has {long} frames, the WAV {frames}"
    );
    let mut least = 1.0_f64;
    for track in Track::ALL {
        let of = |samples| channel(samples, track).map(f64::from);
        least = least.min(correlation(of(&decoded.samples), of(&samples)));
    }
    ensure!(
        least >= LIKENESS,
        "the MP3 and the WAV correlate by {least:.3} alone"
    );
    Ok(format!(
        "{:.2} s, decoded again it correlates with the WAV by {least:.3}",
        seconds(long)
    ))
}

/// Holds the 2008 XML to the recording.
pub(super) fn xml(text: &str, sid: &str, call: &str, seconds: u64) -> anyhow::Result<()> {
    let duration = element(text, "Duration").and_then(|text| text.parse::<u64>().ok());
    let Some(duration) = duration else {
        bail!("the XML has no Duration");
    };
    ensure!(
        element(text, "Sid") == Some(sid),
        "the XML has another Sid than {sid}"
    );
    ensure!(
        element(text, "CallSid") == Some(call),
        "the XML has another CallSid than {call}"
    );
    // The stop comes a moment after the last packet.
    ensure!(
        (seconds..=seconds + 2).contains(&duration),
        "the XML's Duration is {duration}, not {seconds}"
    );
    Ok(())
}

fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>"))
        .map(|(content, _)| content)
}

fn seconds(frames: usize) -> f64 {
    frames as f64 / f64::from(SAMPLE_RATE)
}

/// Pearson's, of signals without an offset.
fn correlation(a: impl Iterator<Item = f64>, b: impl Iterator<Item = f64>) -> f64 {
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (a, b) in a.zip(b) {
        ab += a * b;
        aa += a * a;
        bb += b * b;
    }
    ab / (aa * bb).sqrt().max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xml_is_held_to_the_recording() {
        let xml_of = |sid: &str, seconds| {
            format!("<R><Sid>{sid}</Sid><CallSid>CA1</CallSid><Duration>{seconds}</Duration></R>")
        };
        assert!(xml(&xml_of("RE1", 6), "RE1", "CA1", 6).is_ok());
        assert!(xml(&xml_of("RE2", 6), "RE1", "CA1", 6).is_err());
        assert!(xml(&xml_of("RE1", 9), "RE1", "CA1", 6).is_err());
        assert!(xml("<R/>", "RE1", "CA1", 6).is_err());
    }

    #[test]
    fn likeness_is_of_the_shape() {
        let a = [1.0, -2.0, 3.0, 0.5];
        assert!(correlation(a.into_iter(), a.map(|x| x / 2.0).into_iter()) > 0.999);
        assert!(correlation(a.into_iter(), a.map(|x| -x).into_iter()) < 0.0);
        assert!(correlation([0.0; 4].into_iter(), a.into_iter()) < LIKENESS);
    }
}
