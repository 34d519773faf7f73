//! The Ogg Opus of a recording, judged by other people's readers: curl fetches it in parts, ffprobe
//! sees its length, ffmpeg plays it over HTTP and seeks in it, and what it hears is what is in the WAV.

use std::fs;
use std::path::Path;
use std::time::Duration;

use reeld_tests::{Client, MediaKind, Setup, Wav, for_each_media, judge, peer, voices};

for_each_media!(an_opus_file_is_what_its_wav_is);

const BOUND: Duration = Duration::from_secs(30);

/// Decoders give 48 kHz, of which ffmpeg makes the recording's rate again.
const OPUS_HZ: usize = 48_000;
const RATE_HZ: usize = 8_000;

/// What ffmpeg's resampler may be late, in samples of the recording.
const DELAY: usize = 2;

fn an_opus_file_is_what_its_wav_is(media: MediaKind) {
    let daemon = Setup::new().media(media).start();
    let client = daemon.client();
    let (mono, dual) = voices::recorded(client);
    for (started, channels) in [(&mono, 1), (&dual, 2)] {
        let wav = client.finish(started);
        let path = client.path(&format!("/Recordings/{}.opus", started.sid));
        let whole = by_curl(client, &path);
        assert!(whole.len() * 2 < wav.frames() * channels * 2, "it is small");
        let file = daemon.folder().join(format!("{channels}.opus"));
        fs::write(&file, &whole).expect("the temporary folder can be written");
        ffprobe_sees(&file, &wav, channels);
        let url = format!("{}{path}", client.base());
        is_heard(&decoded(&url, None), &wav, channels);
        // From the middle on, over HTTP: a player that seeks asks for a range.
        let middle = wav.frames() / RATE_HZ / 2;
        let end = decoded(&url, Some(middle));
        let left = wav.frames() - middle * RATE_HZ;
        assert_eq!(end.len(), left * channels, "what follows second {middle}");
        client.delete(&started.sid).expect(204);
        client.get_public(&path).expect(404);
    }
}

/// The file as curl has it: whole, and the same in three parts, the last of which is asked for first.
fn by_curl(client: &Client, path: &str) -> Vec<u8> {
    let head = client.curl(&["--head"], path).expect(200);
    assert_eq!(head.header("content-type"), Some("audio/ogg; codecs=opus"));
    let length: usize = head
        .header("content-length")
        .and_then(|length| length.parse().ok())
        .expect("its length is known before it is made");
    let parts = [
        format!("{}-", length - 1_000),
        format!("0-{}", length / 2 - 1),
        format!("{}-{}", length / 2, length - 1_001),
    ];
    let [end, beginning, middle] =
        parts.map(|range| client.curl(&["--range", &range], path).expect(206).body);
    let whole = client.curl(&[], path).expect(200).body;
    assert_eq!(whole.len(), length);
    assert!(
        [beginning, middle, end].concat() == whole,
        "the parts are the whole"
    );
    whole
}

fn ffprobe_sees(file: &Path, wav: &Wav, channels: usize) {
    let name = file.display().to_string();
    let fields = "format=duration:stream=codec_name,channels";
    let plain = "default=nk=1:nw=1";
    let args = [
        "-v",
        "warning",
        "-show_entries",
        fields,
        "-of",
        plain,
        &name,
    ];
    let run = peer::run("ffprobe", args, &[], BOUND).success();
    assert_eq!(run.stderr, "", "ffprobe finds nothing to complain of");
    let seen = run.text();
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!(lines[..2], ["opus", &channels.to_string()]);
    let duration: f64 = lines[2].parse().expect("a number");
    // ffprobe counts the 20 ms that decoders drop.
    let more = duration - wav.frames() as f64 / RATE_HZ as f64;
    assert!((-0.001..0.021).contains(&more), "{duration} s");
}

/// The samples that ffmpeg hears at 48 kHz, brought to the recording's rate, from a second on.
fn decoded(url: &str, from: Option<usize>) -> Vec<i16> {
    let (from, rate) = (from.unwrap_or(0).to_string(), RATE_HZ.to_string());
    let input = ["-v", "warning", "-ss", &from, "-i", url];
    let output = ["-ar", &rate, "-f", "s16le", "-"];
    let args = input.into_iter().chain(output);
    let run = peer::run("ffmpeg", args, &[], BOUND).success();
    assert_eq!(run.stderr, "", "ffmpeg finds nothing to complain of");
    run.stdout
        .chunks_exact(2)
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
        .collect()
}

fn is_heard(heard: &[i16], wav: &Wav, channels: usize) {
    assert_eq!(OPUS_HZ % RATE_HZ, 0);
    assert_eq!(heard.len(), wav.frames() * channels, "to the sample");
    for (channel, recorded) in wav.channels.iter().enumerate() {
        let mine: Vec<i16> = heard
            .iter()
            .skip(channel)
            .step_by(channels)
            .copied()
            .collect();
        let (alike, shift) = judge::correlation(recorded, &mine, 400);
        assert!(alike > 0.9, "channel {channel}: {alike} at {shift}");
        assert!(shift <= DELAY, "channel {channel}: {shift} samples late");
        let (early, shift) = judge::correlation(&mine, recorded, 400);
        assert!(
            shift <= DELAY,
            "channel {channel}: {shift} samples early ({early})"
        );
        let power = |samples: &[i16]| -> f64 {
            samples
                .iter()
                .map(|&sample| f64::from(sample).powi(2))
                .sum()
        };
        let change = 10.0 * (power(&mine) / power(recorded)).log10();
        assert!(change.abs() < 0.5, "channel {channel}: {change} dB");
    }
}
