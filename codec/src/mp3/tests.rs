//! What goes in comes out: length to the byte, duration to the sample, sound by four decoders.

use proptest::prelude::*;

use super::*;
use crate::Error;
use crate::harness::{channel, correlation, decibels, interleave, judge, speech, speech_at};

/// Every number of channels at every rate.
pub(super) const LAYOUTS: [(u16, u32); 18] = [
    (1, 8_000),
    (2, 8_000),
    (1, 11_025),
    (2, 11_025),
    (1, 12_000),
    (2, 12_000),
    (1, 16_000),
    (2, 16_000),
    (1, 22_050),
    (2, 22_050),
    (1, 24_000),
    (2, 24_000),
    (1, 32_000),
    (2, 32_000),
    (1, 44_100),
    (2, 44_100),
    (1, 48_000),
    (2, 48_000),
];

fn encoded(channels: u16, samples: &[i16], piece: usize) -> Vec<u8> {
    encoded_at(8_000, channels, samples, piece)
}

fn encoded_at(rate_hz: u32, channels: u16, samples: &[i16], piece: usize) -> Vec<u8> {
    let frames = samples.len() as u64 / u64::from(channels);
    let mut encoder = Mp3Encoder::new(channels, rate_hz, frames).unwrap();
    let mut out = Vec::new();
    for piece in samples.chunks(piece * usize::from(channels)) {
        encoder.encode(piece, &mut out).unwrap();
    }
    encoder.finish(&mut out).unwrap();
    out
}

#[test]
fn every_decoder_gives_back_each_sample_in_its_place_and_level() {
    let frames = 10 * 8_000 + 123;
    let (left, right) = (speech(0, frames), speech(1, frames));
    for (channels, sound) in [(1, left.clone()), (2, interleave(&left, &right))] {
        let mp3 = encoded(channels, &sound, 800);
        let by_symphonia = decode(&mp3[..], 1 << 20).unwrap();
        assert_eq!(
            (by_symphonia.channels, by_symphonia.rate_hz),
            (channels, 8_000)
        );
        assert_eq!(by_symphonia.damaged, 0);
        let by_ffmpeg = ffmpeg_samples(&mp3);
        let by_minimp3 = minimp3_samples(&mp3, channels);
        for (judge, heard) in [
            ("symphonia", &by_symphonia.samples),
            ("ffmpeg", &by_ffmpeg),
            ("minimp3", &by_minimp3),
        ] {
            assert_eq!(heard.len(), sound.len(), "{judge}, {channels} channels");
            let count = usize::from(channels);
            for (which, source) in [&left, &right].into_iter().take(count).enumerate() {
                let mine = channel(heard, count, which);
                let likeness = correlation(&mine, source);
                assert!(
                    likeness > 0.97,
                    "{judge} {channels}/{which}: correlation {likeness}"
                );
                let change = decibels(&mine, source);
                assert!(
                    change.abs() < 0.15,
                    "{judge} {channels}/{which}: level {change} dB"
                );
            }
        }
    }
}

#[test]
fn each_rate_comes_back_whole_and_in_its_place() {
    for (channels, rate_hz) in LAYOUTS {
        let frames = usize::try_from(3 * rate_hz + 123).unwrap();
        let left = speech_at(rate_hz, 0, frames);
        let sound = match channels {
            1 => left.clone(),
            _ => interleave(&left, &speech_at(rate_hz, 1, frames)),
        };
        let mp3 = encoded_at(rate_hz, channels, &sound, 800);
        let by_symphonia = decode(&mp3[..], 1 << 20).unwrap();
        assert_eq!(
            (
                by_symphonia.channels,
                by_symphonia.rate_hz,
                by_symphonia.damaged
            ),
            (channels, rate_hz, 0)
        );
        for (judge, heard) in [
            ("symphonia", &by_symphonia.samples),
            ("ffmpeg", &ffmpeg_samples(&mp3)),
        ] {
            assert_eq!(heard.len(), sound.len(), "{judge}, {channels} at {rate_hz}");
            let mine = channel(heard, channels.into(), 0);
            let likeness = correlation(&mine, &left);
            assert!(
                likeness > 0.97,
                "{judge}, {channels} at {rate_hz}: {likeness}"
            );
            let change = decibels(&mine, &left);
            assert!(
                change.abs() < 0.15,
                "{judge}, {channels} at {rate_hz}: {change} dB"
            );
        }
    }
}

/// What minimp3 hears, the Info frame's silence and the codec's delay cut off by the numbers that
/// the Info frame gives to other decoders.
fn minimp3_samples(mp3: &[u8], channels: u16) -> Vec<i16> {
    let mut decoder = minimp3::Decoder::new(mp3);
    let mut samples = Vec::new();
    loop {
        match decoder.next_frame() {
            Ok(frame) => {
                assert_eq!(
                    (frame.channels, frame.sample_rate),
                    (usize::from(channels), 8_000)
                );
                samples.extend(frame.data);
            }
            Err(minimp3::Error::Eof) => break,
            Err(error) => panic!("minimp3: {error}"),
        }
    }
    let layout = Layout::of(channels, 8_000).unwrap();
    let mp3_frames = mp3.len() as u64 / layout.frame_bytes();
    assert_eq!(samples.len() as u64, mp3_frames * 576 * u64::from(channels));
    let decoder_delay = 529;
    let skip = usize::try_from(576 + DELAY).unwrap() + decoder_delay;
    let tag = 4 + if channels == 1 { 9 } else { 17 } + 141;
    let end = usize::from(mp3[tag + 1] & 0x0f) << 8 | usize::from(mp3[tag + 2]);
    let kept = samples.len() / usize::from(channels) - skip - (end - decoder_delay);
    samples.drain(..skip * usize::from(channels));
    samples.truncate(kept * usize::from(channels));
    samples
}

/// What ffmpeg hears. It cuts the padding only where it can seek, so it gets a file.
fn ffmpeg_samples(mp3: &[u8]) -> Vec<i16> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), mp3).unwrap();
    let path = file.path().to_str().unwrap();
    let mut samples = Vec::new();
    let bytes = judge("ffmpeg", &["-v", "error", "-i", path, "-f", "s16le", "-"]);
    crate::wav::bytes_to_samples(&bytes, &mut samples);
    samples
}

#[test]
fn one_side_of_a_call_is_not_heard_on_the_other() {
    let frames = 5 * 8_000;
    let (voice, silence) = (speech(0, frames), vec![0; frames]);
    for (sound, quiet) in [
        (interleave(&voice, &silence), 1),
        (interleave(&silence, &voice), 0),
    ] {
        let heard = decode(&encoded(2, &sound, 160)[..], 1 << 20).unwrap();
        let leak = crate::level::Level::of(&channel(&heard.samples, 2, quiet));
        assert!(leak.peak <= 1, "peak {} on the silent side", leak.peak);
        let mine = channel(&heard.samples, 2, 1 - quiet);
        assert!(correlation(&mine, &voice) > 0.97);
    }
}

#[test]
fn ffprobe_shows_the_duration() {
    for frames in [1_u32, 8_000, 100_003] {
        let sound = speech(0, usize::try_from(frames).unwrap());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), encoded(1, &sound, 4_000)).unwrap();
        let fields = "format=duration:stream=sample_rate,channels,bit_rate";
        let path = file.path().to_str().unwrap();
        let args = [
            "-v",
            "error",
            "-show_entries",
            fields,
            "-of",
            "default=nk=1:nw=1",
            path,
        ];
        let shown = String::from_utf8(judge("ffprobe", &args)).unwrap();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[..3], ["8000", "1", "32000"]);
        let seconds: f64 = lines[3].parse().unwrap();
        let wanted = f64::from(frames) / 8_000.0;
        // ffprobe counts whole MP3 frames, with delay and padding: two or three of 72 ms more.
        assert!(
            (0.0..0.217).contains(&(seconds - wanted)),
            "{frames}: {seconds} for {wanted}"
        );
    }
}

#[test]
fn bytes_come_out_while_samples_go_in() {
    let sound = speech(1, 16_000);
    let mut encoder = Mp3Encoder::new(1, 8_000, 16_000).unwrap();
    let mut out = Vec::new();
    encoder.encode(&sound[..8_000], &mut out).unwrap();
    let half = encoder.total_bytes() / 2;
    assert!(out.len() as u64 > half - 5 * 288, "{} of {half}", out.len());
}

#[test]
fn a_broken_promise_is_an_error() {
    let mut out = Vec::new();
    let mut encoder = Mp3Encoder::new(2, 8_000, 2).unwrap();
    assert!(matches!(
        encoder.encode(&[1; 3], &mut out),
        Err(Error::Encoder(_))
    ));
    assert!(matches!(
        encoder.encode(&[1; 6], &mut out),
        Err(Error::Encoder(_))
    ));
    let encoder = Mp3Encoder::new(1, 8_000, 1).unwrap();
    assert!(matches!(encoder.finish(&mut out), Err(Error::Encoder(_))));
    assert!(matches!(
        Mp3Encoder::new(3, 8_000, 1),
        Err(Error::Unsupported(_))
    ));
    assert!(matches!(
        Mp3Encoder::new(1, 9_600, 1),
        Err(Error::Unsupported(_))
    ));
    assert!(matches!(
        Mp3Encoder::new(1, 8_000, 1 << 40),
        Err(Error::TooLong { .. })
    ));
}

#[test]
fn damage_is_counted_and_garbage_refused() {
    let sound = speech(0, 40_000);
    let mp3 = encoded(1, &sound, 40_000);
    let mut hurt = mp3.clone();
    hurt[20 * 288 + 4..24 * 288].fill(0xff);
    let heard = decode(&hurt[..], 1 << 20).unwrap();
    assert!(heard.damaged > 0);
    assert!(
        heard.samples.len().abs_diff(sound.len()) <= 6 * 576,
        "{}",
        heard.samples.len()
    );

    assert!(matches!(
        decode(&b"no sound here"[..], 1 << 20),
        Err(Error::Damaged(_))
    ));
    assert!(matches!(decode(&[][..], 1 << 20), Err(Error::Damaged(_))));
    assert!(matches!(
        decode(&mp3[..], 39_999),
        Err(Error::TooLong { limit: 39_999 })
    ));
    assert_eq!(decode(&mp3[..], 40_000).unwrap().samples.len(), 40_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn length_is_known_before_the_first_byte(
        frames in prop_oneof![Just(0_usize), 1_usize..2_000, 0_usize..100_000],
        (channels, rate_hz) in prop::sample::select(&LAYOUTS[..]),
        piece in 1_usize..5_000,
    ) {
        let left = speech_at(rate_hz, 0, frames);
        let sound = match channels {
            1 => left,
            _ => interleave(&left, &speech_at(rate_hz, 1, frames)),
        };
        let mp3 = encoded_at(rate_hz, channels, &sound, piece);
        prop_assert_eq!(mp3.len() as u64, encoded_len(channels, rate_hz, frames as u64).unwrap());
        let heard = decode(&mp3[..], frames as u64).unwrap();
        prop_assert_eq!(heard.rate_hz, rate_hz);
        prop_assert_eq!(heard.samples.len(), sound.len());
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(
        noise in prop::collection::vec(any::<u8>(), 0..3_000),
        frames in 0_usize..5,
    ) {
        let mut bytes = encoded(1, &speech(0, frames * 576), 576);
        bytes.truncate(frames * 288);
        bytes.extend(noise);
        // Either answer is right; what counts is that there is one.
        drop(decode(&bytes[..], 1 << 16));
    }
}

#[test]
fn a_rate_takes_nothing_from_the_sound_and_can_be_encoded() {
    for (sound, rate) in [
        (8_000, 8_000),
        (8_001, 11_025),
        (16_000, 16_000),
        (37_800, 44_100),
        (48_000, 48_000),
        (96_000, 48_000),
    ] {
        assert_eq!(rate_for(sound), rate);
    }
    for rate in RATES {
        assert!(Layout::of(2, rate).is_some(), "{rate}");
    }
}
