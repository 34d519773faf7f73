//! The MP3 of a recording, judged by other people's readers: ffprobe sees its length and rate,
//! ffmpeg and minimp3 decode it, and what they hear is what is in the WAV.

use std::fs;
use std::path::Path;
use std::time::Duration;

use reeld_tests::{MediaKind, Setup, Wav, for_each_media, judge, peer, voices};

for_each_media!(an_mp3_is_what_its_wav_is);

/// LAME's and a decoder's delay together, at most, in samples.
const DELAY: usize = 2_500;

fn an_mp3_is_what_its_wav_is(media: MediaKind) {
    let daemon = Setup::new().media(media).start();
    let client = daemon.client();
    let (mono, dual) = voices::recorded(client);
    for (started, channels, bit_rate) in [(&mono, 1, 32_000), (&dual, 2, 48_000)] {
        let wav = client.finish(started);
        let mp3 = client.mp3(&started.sid);
        let file = daemon.folder().join(format!("{channels}.mp3"));
        fs::write(&file, &mp3).expect("the temporary folder can be written");
        ffprobe_sees(&file, &wav, channels, bit_rate);
        let by_ffmpeg = decode_with_ffmpeg(&file);
        assert_eq!(
            by_ffmpeg.len(),
            wav.frames() * channels,
            "by its Info frame it is as long"
        );
        let by_minimp3 = decode_with_minimp3(&mp3);
        for (name, decoded, delay) in [("ffmpeg", by_ffmpeg, 0), ("minimp3", by_minimp3, DELAY)] {
            for (channel, recorded) in wav.channels.iter().enumerate() {
                let heard: Vec<i16> = decoded
                    .iter()
                    .skip(channel)
                    .step_by(channels)
                    .copied()
                    .collect();
                let (alike, shift) = judge::correlation(recorded, &heard, DELAY);
                assert!(alike > 0.9, "{name}, channel {channel}: {alike} at {shift}");
                assert!(
                    shift <= delay,
                    "{name}, channel {channel}: {shift} samples late"
                );
            }
        }
        // A second fetch comes from the cache and is the same.
        assert!(client.mp3(&started.sid) == mp3, "two fetches differ");
    }
}

fn ffprobe_sees(file: &Path, wav: &Wav, channels: usize, bit_rate: u32) {
    let entries = "format=duration,bit_rate:stream=codec_name,sample_rate,channels";
    let name = file.display().to_string();
    let args = [
        "-v",
        "error",
        "-show_entries",
        entries,
        "-of",
        "flat",
        &name,
    ];
    let seen = peer::run("ffprobe", args, &[], Duration::from_secs(30))
        .success()
        .text();
    let field = |name: &str| {
        let line = seen.lines().find(|line| line.contains(name));
        let value = line
            .and_then(|line| line.split('=').nth(1))
            .map(|value| value.trim_matches('"'));
        value
            .unwrap_or_else(|| panic!("no {name} in {seen}"))
            .to_owned()
    };
    assert_eq!(field("codec_name"), "mp3");
    assert_eq!(field("sample_rate"), "8000");
    assert_eq!(field("channels"), channels.to_string());
    let wanted = wav.frames() as f64 / 8_000.0;
    let duration: f64 = field("format.duration").parse().expect("a number");
    // ffprobe 5.1 counts whole frames of 72 ms, with the delays of encoder and decoder and LAME's
    // run-out, four frames at most: of `lame`'s own files it says the same. What is decoded is as long
    // as the WAV, to the sample.
    assert!(
        (0.0..4.0 * 0.072).contains(&(duration - wanted)),
        "ffprobe sees {duration} s of {wanted} s"
    );
    let rate: f64 = field("format.bit_rate").parse().expect("a number");
    assert!(
        (rate / f64::from(bit_rate) - 1.0).abs() < 0.05,
        "{rate} bit/s"
    );
}

fn decode_with_ffmpeg(file: &Path) -> Vec<i16> {
    let name = file.display().to_string();
    let args = ["-v", "error", "-i", &name, "-f", "s16le", "-"];
    let run = peer::run("ffmpeg", args, &[], Duration::from_secs(30)).success();
    assert_eq!(run.stderr, "", "ffmpeg finds nothing to complain of");
    run.stdout
        .chunks_exact(2)
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
        .collect()
}

fn decode_with_minimp3(mp3: &[u8]) -> Vec<i16> {
    let mut decoder = minimp3::Decoder::new(mp3);
    let mut samples = Vec::new();
    loop {
        match decoder.next_frame() {
            Ok(frame) => samples.extend(frame.data),
            Err(minimp3::Error::Eof) => return samples,
            Err(error) => panic!("minimp3: {error}"),
        }
    }
}
