//! What goes in comes out: length to the byte, duration to the sample, sound by two decoders.

use std::io::Cursor;

use ::ogg::PacketReader;
use proptest::prelude::*;

use super::*;
use crate::harness::{channel, correlation, decibels, interleave, judge, speech_at};
use crate::level::Level;

/// Rates of Opus, of MP3, and of an L16 that is neither's.
const SOUND_RATES: [u32; 10] = [
    8_000, 9_600, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000,
];

const SERIAL: u32 = 0x4133_1862;

fn sound(channels: u16, rate_hz: u32, frames: usize) -> Vec<i16> {
    let left = speech_at(rate_hz, 0, frames);
    match channels {
        1 => left,
        _ => interleave(&left, &speech_at(rate_hz, 1, frames)),
    }
}

fn encoded(channels: u16, rate_hz: u32, samples: &[i16], piece: usize) -> Vec<u8> {
    let frames = samples.len() as u64 / u64::from(channels);
    let mut encoder = OggOpusEncoder::new(channels, rate_hz, frames, SERIAL).unwrap();
    let mut out = Vec::new();
    for piece in samples.chunks(piece * usize::from(channels)) {
        encoder.encode(piece, &mut out).unwrap();
    }
    encoder.finish(&mut out).unwrap();
    out
}

/// `samples` of one channel at 48 kHz, which every decoder gives.
fn at_48_khz(rate_hz: u32, samples: &[i16]) -> Vec<i16> {
    let mut resampler = Resampler::new(rate_hz, CLOCK_HZ).unwrap();
    let mut out = Vec::new();
    resampler.process(samples, &mut out);
    resampler.flush(&mut out);
    out
}

/// Samples by ffmpeg's own decoder, which has nothing to complain of.
fn by_ffmpeg(path: &str) -> Vec<u8> {
    judge("ffmpeg", &["-v", "warning", "-i", path, "-f", "s16le", "-"])
}

/// Samples by libopusfile. Without dither, so that silence stays silent.
fn by_opusdec(path: &str) -> Vec<u8> {
    let raw = ["--quiet", "--no-dither", "--rate", "48000"];
    judge("opusdec", &[&raw[..], &[path, "-"]].concat())
}

type Decode = fn(&str) -> Vec<u8>;

const JUDGES: [(&str, Decode); 2] = [("ffmpeg", by_ffmpeg), ("opusdec", by_opusdec)];

fn decoded(opus: &[u8], decode: Decode) -> Vec<i16> {
    let file = tempfile::NamedTempFile::with_suffix(".opus").unwrap();
    std::fs::write(file.path(), opus).unwrap();
    let mut samples = Vec::new();
    crate::wav::bytes_to_samples(&decode(file.path().to_str().unwrap()), &mut samples);
    samples
}

#[test]
fn two_decoders_give_back_the_sound_in_its_place_length_and_level() {
    for (channels, rate_hz) in [1, 2]
        .into_iter()
        .flat_map(|n| SOUND_RATES.map(|hz| (n, hz)))
    {
        let frames = usize::try_from(3 * rate_hz + 123).unwrap();
        let sound = sound(channels, rate_hz, frames);
        let opus = encoded(channels, rate_hz, &sound, 800);
        for (judge, decode) in JUDGES {
            let what = format!("{judge}, {channels} at {rate_hz}");
            let heard = decoded(&opus, decode);
            let count = usize::from(channels);
            // Opus' own rates divide 48 kHz; another's last sample is rounded up to one of them.
            let wanted = Layout::of(channels, rate_hz).unwrap().units(frames as u64);
            assert_eq!(heard.len() as u64, wanted * u64::from(channels), "{what}");
            for which in 0..count {
                let source = at_48_khz(rate_hz, &channel(&sound, count, which));
                let mine = channel(&heard, count, which);
                let end = source.len().min(mine.len()) - 48;
                assert!(mine.len().abs_diff(source.len()) < 8, "{what}");
                // As it is, a quarter of a millisecond late, and as much early.
                let late = correlation(&mine[12..end], &source[..end - 12]);
                let early = correlation(&mine[..end - 12], &source[12..end]);
                let same = correlation(&mine[..end], &source[..end]);
                assert!(same > 0.98, "{what}/{which}: {same}");
                assert!(same > late && same > early, "{what}/{which}: out of step");
                let change = decibels(&mine, &source);
                assert!(change.abs() < 0.15, "{what}/{which}: level {change} dB");
            }
        }
    }
}

#[test]
fn one_side_of_a_call_is_not_heard_on_the_other() {
    let frames = 5 * 8_000;
    let (voice, silence) = (speech_at(8_000, 0, frames), vec![0; frames]);
    for (sound, quiet) in [
        (interleave(&voice, &silence), 1),
        (interleave(&silence, &voice), 0),
    ] {
        let opus = encoded(2, 8_000, &sound, 160);
        for (judge, decode) in JUDGES {
            let heard = decoded(&opus, decode);
            let leak = Level::of(&channel(&heard, 2, quiet));
            assert!(leak.peak <= 1, "{judge}: {} on the silent side", leak.peak);
            assert!(Level::of(&channel(&heard, 2, 1 - quiet)).peak > 1_000);
        }
    }
}

#[test]
fn the_first_sample_and_the_last_come_through() {
    // Loud from edge to edge: what is cut too early or too late is silence there.
    let tone: Vec<i16> = (0..8_400)
        .map(|i| if i % 16 < 8 { 9_000 } else { -9_000 })
        .collect();
    let heard = decoded(&encoded(1, 8_000, &tone, 800), by_ffmpeg);
    assert_eq!(heard.len(), tone.len() * 6);
    for edge in [&heard[..480], &heard[heard.len() - 480..]] {
        let level = Level::of(edge).dbov() - Level::of(&tone).dbov();
        assert!(level > -6.0, "{level} dB");
    }
}

#[test]
fn ffprobe_and_opusinfo_show_the_duration_and_find_no_fault() {
    for (channels, frames) in [(1, 1_u32), (1, 8_000), (2, 100_003)] {
        let sound = sound(channels, 8_000, usize::try_from(frames).unwrap());
        let file = tempfile::NamedTempFile::with_suffix(".opus").unwrap();
        std::fs::write(file.path(), encoded(channels, 8_000, &sound, 4_000)).unwrap();
        let path = file.path().to_str().unwrap();
        let fields = "format=duration:stream=codec_name,sample_rate,channels";
        let plain = "default=nk=1:nw=1";
        let args = ["-v", "warning", "-show_entries", fields, "-of", plain, path];
        let shown = String::from_utf8(judge("ffprobe", &args)).unwrap();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[..3], ["opus", "48000", &channels.to_string()]);
        let seconds: f64 = lines[3].parse().unwrap();
        let wanted = f64::from(frames) / 8_000.0;
        // ffprobe counts the pre-skip of 20 ms too.
        let more = seconds - wanted;
        assert!((-0.001..0.021).contains(&more), "{seconds} for {wanted}");

        let info = String::from_utf8(judge("opusinfo", &[path])).unwrap();
        assert!(
            info.contains("(hard-CBR)") && info.contains("Pre-skip: 960"),
            "{info}"
        );
        let length = format!(
            "Playback length: {}m:{:02}.{:03}s",
            frames / 480_000,
            frames / 8_000 % 60,
            frames % 8_000 / 8
        );
        assert!(info.contains(&length), "{length}: {info}");
        assert!(!info.to_lowercase().contains("warning"), "{info}");
    }
}

#[test]
fn pages_say_where_they_are() {
    // 20 ms of lead and 2 s 990 ms: 151 packets, the last of them cut.
    let frames = 3 * 8_000 - 80;
    let opus = encoded(1, 8_000, &sound(1, 8_000, frames), 77);
    let mut reader = PacketReader::new(Cursor::new(opus));
    let mut ends = Vec::new();
    let mut packets = 0;
    while let Some(packet) = reader.read_packet().unwrap() {
        assert_eq!(packet.stream_serial(), SERIAL);
        packets += 1;
        if packet.last_in_page() {
            ends.push((packet.absgp_page(), packet.last_in_stream()));
        }
    }
    let end = 960 + frames as u64 * 6;
    assert_eq!(packets, 2 + 151);
    let expected = [0, 0, 48_000, 96_000, 144_000, end];
    assert_eq!(ends.iter().map(|end| end.0).collect::<Vec<_>>(), expected);
    assert!(ends[5].1 && !ends[4].1);
}

#[test]
fn the_same_sound_is_the_same_bytes_however_it_comes() {
    let sound = sound(2, 11_025, 30_000);
    assert!(encoded(2, 11_025, &sound, 1) == encoded(2, 11_025, &sound, 30_000));
}

#[test]
fn bytes_come_out_while_samples_go_in() {
    let mut encoder = OggOpusEncoder::new(1, 8_000, 80_000, SERIAL).unwrap();
    let mut out = Vec::new();
    encoder.encode(&sound(1, 8_000, 40_000), &mut out).unwrap();
    let half = encoder.total_bytes() / 2;
    assert!(out.len() as u64 > half - 3_500, "{} of {half}", out.len());
}

#[test]
fn a_broken_promise_is_an_error() {
    let mut out = Vec::new();
    let mut encoder = OggOpusEncoder::new(2, 8_000, 2, SERIAL).unwrap();
    assert!(matches!(
        encoder.encode(&[1; 3], &mut out),
        Err(Error::Opus(_))
    ));
    assert!(matches!(
        encoder.encode(&[1; 6], &mut out),
        Err(Error::Opus(_))
    ));
    let encoder = OggOpusEncoder::new(1, 8_000, 1, SERIAL).unwrap();
    assert!(matches!(encoder.finish(&mut out), Err(Error::Opus(_))));
    for (channels, rate_hz) in [(3, 8_000), (0, 8_000), (1, 7_999), (1, 48_001), (1, 47_999)] {
        assert!(
            matches!(
                encoded_len(channels, rate_hz, 1),
                Err(Error::Unsupported(_))
            ),
            "{channels} at {rate_hz}"
        );
    }
}

#[test]
fn a_length_inside_stands_before_the_frame_and_behind_the_paddings() {
    let of = |packet: &[u8]| {
        let mut out = vec![7];
        self_delimit(packet, &mut out).map(|()| out)
    };
    assert_eq!(of(&[0x08, 5, 6]).unwrap(), [7, 0x08, 2, 5, 6]);
    assert_eq!(of(&[0x08]).unwrap(), [7, 0x08, 0]);
    // Code 3, one frame, two bytes of padding; then none.
    assert_eq!(
        of(&[0x0b, 0x41, 2, 5, 0, 0]).unwrap(),
        [7, 0x0b, 0x41, 2, 1, 5, 0, 0]
    );
    assert_eq!(of(&[0x0b, 0x01, 5]).unwrap(), [7, 0x0b, 0x01, 1, 5]);
    for packet in [
        &[][..],
        &[0x09, 1, 1],
        &[0x0b],
        &[0x0b, 0x02, 1, 1],
        &[0x0b, 0x41],
        &[0x0b, 0x41, 255],
        &[0x0b, 0x41, 9, 1],
        &[8; 253],
    ] {
        assert!(of(packet).is_err(), "{packet:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn length_is_known_before_the_first_byte(
        frames in prop_oneof![Just(0_usize), 1_usize..2_000, 0_usize..100_000],
        channels in 1_u16..=2,
        rate_hz in prop::sample::select(&SOUND_RATES[..]),
        piece in 1_usize..5_000,
        loud: bool,
    ) {
        let mut sound = sound(channels, rate_hz, frames);
        if !loud {
            sound.fill(0);
        }
        let opus = encoded(channels, rate_hz, &sound, piece);
        let length = encoded_len(channels, rate_hz, frames as u64).unwrap();
        prop_assert_eq!(opus.len() as u64, length);
        let end = PRE_SKIP as u64 + Layout::of(channels, rate_hz).unwrap().units(frames as u64);
        let mut reader = PacketReader::new(Cursor::new(opus));
        let mut last = None;
        while let Some(packet) = reader.read_packet().unwrap() {
            last = Some((packet.absgp_page(), packet.last_in_stream()));
        }
        prop_assert_eq!(last, Some((end, true)));
    }

    #[test]
    fn no_bytes_panic(packet: Vec<u8>) {
        let mut out = Vec::new();
        if self_delimit(&packet, &mut out).is_ok() {
            prop_assert_eq!(out.len(), packet.len() + 1);
        }
    }
}
