//! Codecs beside G.711, each against a straight decode of the same packets.

use std::time::Duration;

use reeld_codec::resample::Resampler;
use reeld_codec::{g722, l16, opus};
use reeld_model::{Channels, OpenCall, Track, TrackSelection};

use super::bench::{Bench, OPENED, Sender, Taped, open_call, plain, settings};

const OFFER: &str = "v=0\r\no=- 7 7 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
    m=audio 30026 RTP/AVP 9 107 96 97 98 18\r\na=rtpmap:107 opus/48000/2\r\n\
    a=rtpmap:96 L16/8000\r\na=rtpmap:97 L16/48000/2\r\na=rtpmap:98 L16/11025\r\n";

/// Packets of a codec, and how many units of its stamp and milliseconds each has.
pub(super) struct Stream {
    pub(super) payload_type: u8,
    pub(super) payloads: Vec<Vec<u8>>,
    pub(super) units: usize,
    pub(super) ms: u64,
}

/// Something like a voice, from `rate_hz`.
pub(super) fn voice(rate_hz: u32, ms: usize) -> Vec<i16> {
    let mut angle = 0.0;
    (0..rate_hz as usize * ms / 1_000)
        .map(|i| {
            let time = i as f64 / f64::from(rate_hz);
            let hz = 150.0 + 40.0 * (time * 3.0).sin();
            angle += std::f64::consts::TAU * hz / f64::from(rate_hz);
            let sum: f64 = (1..14)
                .map(|k| (angle * f64::from(k)).sin() / f64::from(k))
                .sum();
            #[expect(clippy::cast_possible_truncation, reason = "a sum made into samples")]
            let sample = (6_000.0 * sum * (0.6 + 0.4 * (time * 9.0).sin())) as i16;
            sample
        })
        .collect()
}

/// Sends the packets in this order, each in the time of its turn; what was recorded.
fn record(stream: &Stream, order: &[usize]) -> Taped {
    let open = OpenCall {
        sdp: Some(OFFER.to_owned()),
        ..open_call()
    };
    record_in(Bench::with(settings(), open), stream, order)
}

/// The same in a call of its own.
pub(super) fn record_in(mut bench: Bench, stream: &Stream, order: &[usize]) -> Taped {
    let sid = bench.start(1, plain(Channels::Mono, TrackSelection::Inbound));
    let mut sender = Sender {
        samples: stream.units,
        ..Sender::new(Track::Inbound)
    };
    let packets: Vec<Vec<u8>> = stream
        .payloads
        .iter()
        .map(|payload| sender.packet(stream.payload_type, payload))
        .collect();
    for (at, &number) in order.iter().enumerate() {
        // A packet that is lost takes its time all the same.
        let due = u64::try_from(number.max(at) + 1).unwrap() * stream.ms;
        bench.run_to(OPENED + Duration::from_millis(due));
        bench.send(&sender, &packets[number]);
    }
    bench.stop(sid);
    bench.taped.remove(&sid).unwrap()
}

pub(super) fn in_order(stream: &Stream) -> Vec<usize> {
    (0..stream.payloads.len()).collect()
}

/// Every eleventh packet is overtaken by one, every seventeenth by three.
pub(super) fn mixed(stream: &Stream) -> Vec<usize> {
    let mut order = in_order(stream);
    for at in (20..order.len() - 4).step_by(11) {
        order.swap(at, at + 1);
    }
    for at in (27..order.len() - 4).step_by(17) {
        order[at..at + 4].rotate_left(1);
    }
    order
}

/// A straight decode at the timeline's rate, where the codec gives `rate_hz`.
fn straight(natural: &[i16], rate_hz: u32) -> Vec<i16> {
    brought(natural, rate_hz, 8_000)
}

/// All of a sound at another rate.
pub(super) fn brought(natural: &[i16], from_hz: u32, to_hz: u32) -> Vec<i16> {
    let mut resampler = Resampler::new(from_hz, to_hz).unwrap();
    let mut samples = Vec::new();
    resampler.process(natural, &mut samples);
    resampler.flush(&mut samples);
    samples
}

/// Exact, beside padding at both ends of at most 20 ms.
fn assert_exact(taped: &[i16], truth: &[i16], what: &str) {
    let padding = (0..=160).find(|padding| {
        let there = taped.get(*padding..).unwrap_or_default();
        let common = there.len().min(truth.len());
        common + 160 >= truth.len() && there[..common] == truth[..common]
    });
    assert!(
        padding.is_some(),
        "{what}: {} samples recorded, {} sent; first difference at {:?}",
        taped.len(),
        truth.len(),
        taped
            .iter()
            .zip(truth)
            .position(|(one, other)| one != other)
    );
}

fn g722_stream() -> (Stream, Vec<i16>) {
    let (stream, natural) = g722_natural();
    (stream, straight(&natural, 16_000))
}

/// The packets of a voice, and a straight decode of them at their own rate.
pub(super) fn g722_natural() -> (Stream, Vec<i16>) {
    let mut codes = Vec::new();
    g722::Encoder::new().encode(&voice(16_000, 3_000), &mut codes);
    let mut natural = vec![0; codes.len() * 2];
    g722::Decoder::new().decode(&codes, &mut natural);
    let payloads = codes.chunks(160).map(<[u8]>::to_vec).collect();
    let stream = Stream {
        payload_type: 9,
        payloads,
        units: 160,
        ms: 20,
    };
    (stream, natural)
}

fn opus_stream(size: usize, loss_percent: u8) -> (Stream, Vec<i16>) {
    let (stream, natural) = opus_natural(size, loss_percent);
    (stream, straight(&natural, 48_000))
}

pub(super) fn opus_natural(size: usize, loss_percent: u8) -> (Stream, Vec<i16>) {
    let mut encoder = opus::Encoder::new(48_000, loss_percent).unwrap();
    let mut decoder = opus::Decoder::new(48_000).unwrap();
    let mut natural = Vec::new();
    let payloads = voice(48_000, 3_000)
        .chunks_exact(size)
        .map(|part| {
            let mut packet = Vec::new();
            encoder.encode(part, &mut packet).unwrap();
            let mut samples = vec![0; size];
            decoder.decode(&packet, &mut samples).unwrap();
            natural.extend(samples);
            packet
        })
        .collect();
    let stream = Stream {
        payload_type: 107,
        payloads,
        units: size,
        ms: size as u64 / 48,
    };
    (stream, natural)
}

#[test]
fn g722_is_the_straight_decode_also_out_of_order() {
    let (stream, truth) = g722_stream();
    for order in [in_order(&stream), mixed(&stream)] {
        let taped = record(&stream, &order);
        assert_exact(&taped.samples, &truth, "G.722");
        let stats = taped.summary.unwrap().tracks[0];
        assert_eq!((stats.packets, stats.late, stats.lost), (150, 0, 0));
        assert_eq!(stats.segments, 1);
        assert_eq!(stats.reordered > 0, order != in_order(&stream));
    }
}

#[test]
fn opus_is_the_straight_decode_also_out_of_order() {
    for size in [480, 960, 2_880] {
        let (stream, truth) = opus_stream(size, 0);
        for order in [in_order(&stream), mixed(&stream)] {
            let taped = record(&stream, &order);
            assert_exact(&taped.samples, &truth, "Opus");
            let stats = taped.summary.unwrap().tracks[0];
            assert_eq!((stats.late, stats.lost, stats.segments), (0, 0, 1));
            assert_eq!((stats.filled, stats.corrected), (0, 0), "{size}");
        }
    }
}

#[test]
fn a_lost_opus_packet_is_had_from_the_next() {
    let (stream, truth) = opus_stream(960, 20);
    let lossy: Vec<usize> = in_order(&stream)
        .into_iter()
        .filter(|number| *number % 10 != 7)
        .collect();
    let taped = record(&stream, &lossy);
    let stats = taped.summary.unwrap().tracks[0];
    assert_eq!(stats.lost, 15);
    let power = |samples: &mut dyn Iterator<Item = f64>| samples.map(|x| x * x).sum::<f64>();
    let difference = |(one, other): (&i16, &i16)| f64::from(*one) - f64::from(*other);
    let error = power(&mut taped.samples.iter().zip(&truth).map(difference));
    let whole = power(&mut truth.iter().copied().map(f64::from));
    // Silence in their place would leave a tenth.
    assert!(error < whole / 40.0, "{}", error / whole);
}

#[test]
fn l16_is_exact_at_its_own_rate_and_resampled_at_others() {
    for (payload_type, rate_hz, channels, units) in [
        (96, 8_000, 1, 160),
        (97, 48_000, 2, 960),
        (98, 11_025, 1, 441),
    ] {
        let said = voice(rate_hz, 2_000);
        let payloads = said
            .chunks(units)
            .map(|part| {
                let doubled = part.iter().flat_map(|sample| vec![*sample; channels]);
                let mut bytes = Vec::new();
                l16::encode(&doubled.collect::<Vec<_>>(), &mut bytes);
                bytes
            })
            .collect();
        let stream = Stream {
            payload_type,
            payloads,
            units,
            ms: units as u64 * 1_000 / u64::from(rate_hz),
        };
        for order in [in_order(&stream), mixed(&stream)] {
            let taped = record(&stream, &order);
            assert_exact(&taped.samples, &straight(&said, rate_hz), "L16");
        }
    }
}

#[test]
fn what_cannot_be_decoded_is_silence_of_its_length_and_has_a_name() {
    let stream = Stream {
        payload_type: 18,
        payloads: vec![vec![7; 30]; 100],
        units: 240,
        ms: 30,
    };
    let taped = record(&stream, &in_order(&stream));
    assert_eq!(taped.samples, vec![0; 24_000]);
    let summary = taped.summary.unwrap();
    assert_eq!(summary.tracks[0].undecodable, 100);
    assert_eq!(summary.quality[0].undecodable, ["18 G729"]);
}

/// Opus without an offer: 20 ms of a clock of 48 kHz, which nothing tells.
#[test]
fn the_stamps_of_what_cannot_be_decoded_move_nothing() {
    let stream = Stream {
        payload_type: 96,
        payloads: vec![vec![0x20; 160]; 750],
        units: 960,
        ms: 20,
    };
    let taped = record_in(Bench::new(), &stream, &in_order(&stream));
    assert_eq!(taped.samples, vec![0; 120_000]);
    let summary = taped.summary.unwrap();
    let stats = summary.tracks[0];
    assert_eq!((stats.packets, stats.late), (750, 0));
    assert_eq!((stats.undecodable, stats.segments), (750, 0));
}

#[test]
fn the_codec_changes_in_mid_call() {
    let (wide, wide_truth) = g722_stream();
    let (full, full_truth) = opus_stream(960, 0);
    let mut bench = Bench::with(
        settings(),
        OpenCall {
            sdp: Some(OFFER.to_owned()),
            ..open_call()
        },
    );
    let sid = bench.start(1, plain(Channels::Mono, TrackSelection::Inbound));
    let mut sender = Sender::new(Track::Inbound);
    for (stream, units) in [(&wide, 160), (&full, 960)] {
        sender.samples = units;
        for payload in &stream.payloads {
            bench.run_for(Duration::from_millis(20));
            let packet = sender.packet(stream.payload_type, payload);
            bench.send(&sender, &packet);
        }
    }
    let taped = bench.stop(sid);
    assert_eq!(taped.frames(), wide_truth.len() + full_truth.len());
    let (first, second) = taped.samples.split_at(wide_truth.len());
    assert_exact(first, &wide_truth, "G.722");
    assert_exact(second, &full_truth, "Opus");
}
