//! Calls at their own rate: which it is, and that what was sent is what is recorded.

use std::time::Duration;

use reeld_codec::g711::{self, Law};
use reeld_codec::l16;
use reeld_model::{Channels, OpenCall, Track, TrackSelection};

use super::bench::{Bench, OPENED, Sender, Taped, open_call, plain, settings};
use super::codecs::{
    Stream, brought, g722_natural, in_order, mixed, opus_natural, record_in, voice,
};
use crate::{Rate, Settings};

/// An offer of one line with these formats; Opus at most as `captured` says.
fn offer(formats: &str, captured: &str) -> String {
    format!(
        "v=0\r\no=- 7 7 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=audio 30026 RTP/AVP {formats}\r\na=rtpmap:107 opus/48000/2\r\n{captured}\
         a=rtpmap:96 L16/44100\r\na=rtpmap:98 L16/11025\r\na=rtpmap:99 L16/37800\r\n"
    )
}

/// A call whose rate is its own.
pub(super) fn native(sdp: Option<String>) -> Bench {
    let settings = Settings {
        rate: Rate::Native,
        ..settings()
    };
    let open = OpenCall { sdp, ..open_call() };
    Bench::with(settings, open)
}

/// L16 of 20 ms packets.
pub(super) fn l16_stream(payload_type: u8, rate_hz: u32, said: &[i16]) -> Stream {
    let units = rate_hz as usize / 50;
    let packet = |part: &[i16]| {
        let mut bytes = Vec::new();
        l16::encode(part, &mut bytes);
        bytes
    };
    Stream {
        payload_type,
        payloads: said.chunks_exact(units).map(packet).collect(),
        units,
        ms: 20,
    }
}

/// Sends each packet when its sound is over.
pub(super) fn play(bench: &mut Bench, sender: &mut Sender, stream: &Stream) {
    sender.samples = stream.units;
    for payload in &stream.payloads {
        bench.run_for(Duration::from_millis(stream.ms));
        let packet = sender.packet(stream.payload_type, payload);
        bench.send(sender, &packet);
    }
}

fn assert_exact(taped: &Taped, rate_hz: u32, truth: &[i16], what: &str) {
    assert_eq!(taped.rate_hz, Some(rate_hz), "{what}");
    assert_eq!(taped.frames(), truth.len(), "{what}");
    let differs = taped
        .samples
        .iter()
        .zip(truth)
        .position(|(one, other)| one != other);
    assert_eq!(differs, None, "{what}");
}

#[test]
fn g722_is_the_decode_itself_on_both_tracks_each_in_its_place() {
    let (stream, truth) = g722_natural();
    let mut bench = native(None);
    let sid = bench.start(1, plain(Channels::Dual, TrackSelection::Both));
    let sum = bench.start(2, plain(Channels::Mono, TrackSelection::Both));
    let mut senders = Track::ALL.map(Sender::new);
    let packets = stream.payloads.len();
    // The callee is 210 ms behind.
    let (late, shift) = (Duration::from_millis(210), 3_360);
    let mut events = Vec::new();
    for track in Track::ALL {
        let later = if track == Track::Outbound {
            late
        } else {
            Duration::ZERO
        };
        for number in 0..packets {
            let due = Duration::from_millis(20 * (number as u64 + 1)) + later;
            events.push((OPENED + due, track.index(), number));
        }
    }
    events.sort_unstable();
    for (due, track, number) in events {
        bench.run_to(due);
        let packet = senders[track].packet(9, &stream.payloads[number]);
        bench.send(&senders[track], &packet);
    }
    let mixed = bench.stop(sum).samples.clone();
    let taped = bench.stop(sid);
    assert_eq!(taped.rate_hz, Some(16_000));
    assert_eq!(taped.started, Some(OPENED));
    assert_eq!(taped.frames(), truth.len() + shift);
    let (left, right) = (taped.channel(0), taped.channel(1));
    assert!(left[..truth.len()] == truth && left[truth.len()..] == vec![0; shift]);
    assert!(right[..shift] == vec![0; shift] && right[shift..] == truth);
    let sums = left
        .iter()
        .zip(&right)
        .map(|(one, other)| one.saturating_add(*other));
    assert!(mixed == sums.collect::<Vec<_>>());
    let summary = taped.summary.as_ref().unwrap();
    for stats in summary.tracks {
        assert_eq!((stats.segments, stats.filled, stats.corrected), (1, 0, 0));
    }
}

#[test]
fn each_codec_is_exact_at_its_own_rate_also_out_of_order() {
    let mut cases = vec![{
        let (stream, natural) = g722_natural();
        ("G.722", stream, natural, 16_000, None)
    }];
    for size in [480, 960, 2_880] {
        let (stream, natural) = opus_natural(size, 0);
        cases.push(("Opus", stream, natural, 48_000, None));
    }
    let (stream, natural) = opus_natural(960, 0);
    let captured = "a=fmtp:107 useinbandfec=1;sprop-maxcapturerate=16000\r\n";
    cases.push((
        "Opus that was captured at 16 kHz",
        stream,
        brought(&natural, 48_000, 16_000),
        16_000,
        Some(offer("107 0", captured)),
    ));
    for (payload_type, rate_hz, sdp) in [
        (118, 16_000, None),
        (126, 48_000, None),
        (96, 44_100, Some(offer("96", ""))),
    ] {
        let said = voice(rate_hz, 2_000);
        let stream = l16_stream(payload_type, rate_hz, &said);
        cases.push(("L16", stream, said, rate_hz, sdp));
    }
    let said = voice(37_800, 2_000);
    let stream = l16_stream(99, 37_800, &said);
    let truth = brought(&said, 37_800, 44_100);
    cases.push((
        "L16 that no MP3 has",
        stream,
        truth,
        44_100,
        Some(offer("99", "")),
    ));
    for (what, stream, truth, rate_hz, sdp) in cases {
        for order in [in_order(&stream), mixed(&stream)] {
            let taped = record_in(native(sdp.clone()), &stream, &order);
            assert_exact(&taped, rate_hz, &truth, what);
            let stats = taped.summary.unwrap().tracks[0];
            assert_eq!(
                (stats.late, stats.lost, stats.segments),
                (0, 0, 1),
                "{what}"
            );
            assert_eq!((stats.filled, stats.corrected), (0, 0), "{what}");
        }
    }
}

#[test]
fn a_call_of_g711_is_at_8_khz() {
    for sdp in [None, Some(offer("0 9", "")), Some(offer("18 0 107", ""))] {
        let mut bench = native(sdp);
        let sid = bench.start(1, plain(Channels::Mono, TrackSelection::Inbound));
        let sent = Sender::new(Track::Inbound).play(&mut bench, 60);
        assert_exact(bench.stop(sid), 8_000, &sent, "PCMU");
    }
}

#[test]
fn the_rate_is_the_best_of_what_was_offered_and_what_is_heard() {
    let (wide, _) = g722_natural();
    let narrow = Stream {
        payload_type: 0,
        payloads: vec![vec![0x23; 160]; 50],
        units: 160,
        ms: 20,
    };
    let two_lines = format!("{}m=audio 30028 RTP/AVP 9 0\r\n", offer("0 107", ""));
    for (sdp, heard, rate_hz) in [
        (None, &narrow, 8_000),
        (None, &wide, 16_000),
        (Some(offer("9 0", "")), &narrow, 16_000),
        (Some(offer("0 9", "")), &wide, 16_000),
        (Some(offer("107 9", "")), &wide, 48_000),
        // The other track's line says that it is wide.
        (Some(two_lines), &narrow, 16_000),
    ] {
        let what = format!("{sdp:?} and {}", heard.payload_type);
        let mut bench = native(sdp);
        let sid = bench.start(1, plain(Channels::Mono, TrackSelection::Inbound));
        play(&mut bench, &mut Sender::new(Track::Inbound), heard);
        let view = bench.call.view();
        assert_eq!(
            (view.rate_hz, view.recordings[0].rate_hz),
            (rate_hz, rate_hz)
        );
        let length = heard.payloads.len() * rate_hz as usize / 50;
        let taped = bench.stop(sid);
        assert_eq!(
            (taped.rate_hz, taped.frames()),
            (Some(rate_hz), length),
            "{what}"
        );
    }
}

#[test]
fn keys_and_noise_decide_nothing() {
    let (stream, truth) = g722_natural();
    let mut bench = native(None);
    let sid = bench.start(1, plain(Channels::Mono, TrackSelection::Inbound));
    let mut sender = Sender::new(Track::Inbound);
    for (payload_type, payload) in [(13, &[40_u8][..]), (101, &[5, 10, 0, 160])] {
        bench.run_for(Duration::from_millis(20));
        let packet = sender.packet(payload_type, payload);
        bench.send(&sender, &packet);
    }
    assert_eq!(
        bench.call.view().rate_hz,
        8_000,
        "as long as nothing is known"
    );
    play(&mut bench, &mut sender, &stream);
    let later = bench.start(2, plain(Channels::Mono, TrackSelection::Inbound));
    play(&mut bench, &mut sender, &stream);
    assert_eq!(bench.stop(later).rate_hz, Some(16_000));
    let taped = bench.stop(sid);
    assert_eq!(taped.rate_hz, Some(16_000));
    assert!(taped.samples[..truth.len()] == truth);
    assert_eq!(taped.summary.as_ref().unwrap().digits, "5");
}

#[test]
fn a_codec_of_another_rate_is_brought_to_the_calls() {
    let (wide, wide_truth) = g722_natural();
    let mut codes = Vec::new();
    g711::encode(Law::Mu, &voice(8_000, 2_000), &mut codes);
    let mut narrow_truth = vec![0; codes.len()];
    g711::decode(Law::Mu, &codes, &mut narrow_truth);
    let narrow = Stream {
        payload_type: 0,
        payloads: codes.chunks(160).map(<[u8]>::to_vec).collect(),
        units: 160,
        ms: 20,
    };
    let wide = (&wide, &wide_truth, 16_000);
    let narrow = (&narrow, &narrow_truth, 8_000);
    for (first, second, sdp, rate_hz) in [
        (narrow, wide, None, 8_000),
        (narrow, wide, Some(offer("9 0", "")), 16_000),
        (wide, narrow, None, 16_000),
    ] {
        let mut bench = native(sdp);
        let sid = bench.start(1, plain(Channels::Mono, TrackSelection::Inbound));
        let mut sender = Sender::new(Track::Inbound);
        for (stream, ..) in [first, second] {
            play(&mut bench, &mut sender, stream);
        }
        let truths = [first, second];
        let truths = truths.map(|(_, truth, from_hz)| brought(truth, from_hz, rate_hz));
        let taped = bench.stop(sid);
        assert_exact(taped, rate_hz, &truths.concat(), "both");
        let summary = taped.summary.as_ref().unwrap();
        assert_eq!(summary.quality[0].codecs.len(), 2);
        assert_eq!(summary.tracks[0].filled, 0);
    }
}

#[test]
fn what_cannot_be_decoded_has_its_length_at_any_rate() {
    // G.729 of 30 ms, and a type that says nothing of its length.
    for (payload_type, ms) in [(18, 30), (97, 20)] {
        let mut bench = native(Some(offer("9 18", "")));
        let sid = bench.start(1, plain(Channels::Mono, TrackSelection::Inbound));
        let stream = Stream {
            payload_type,
            payloads: vec![vec![7; 30]; 50],
            units: ms * 8,
            ms: ms as u64,
        };
        play(&mut bench, &mut Sender::new(Track::Inbound), &stream);
        let taped = bench.stop(sid);
        assert_eq!(taped.rate_hz, Some(16_000));
        assert_eq!(taped.samples, vec![0; 50 * 16 * ms], "{payload_type}");
    }
}
