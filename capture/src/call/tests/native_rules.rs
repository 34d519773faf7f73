//! What is measured in time is right at other rates too: trim, timeout, length, keys, losses, drift.

use std::time::Duration;

use reeld_codec::dtmf;
use reeld_model::{
    Channels, ConcealedRange, EndedBy, PauseBehavior, Rules, StartRecording, Track, TrackSelection,
    Trim,
};

use super::bench::{Bench, OPENED, Sender, open_call, plain, settings};
use super::codecs::{g722_natural, in_order, record_in, voice};
use super::native::{l16_stream, native, play};
use crate::{Dtmf, Rate, Settings};

/// 16 kHz, or 48.
const RATES: [(u8, u32); 2] = [(118, 16_000), (126, 48_000)];

fn ms(rate_hz: u32, ms: usize) -> usize {
    rate_hz as usize * ms / 1_000
}

fn with(rules: Rules) -> StartRecording {
    StartRecording {
        rules,
        ..plain(Channels::Mono, TrackSelection::Inbound)
    }
}

/// A second and a half of silence, a second of voice, two of silence.
fn surrounded(rate_hz: u32) -> Vec<i16> {
    let quiet = |length| vec![0; ms(rate_hz, length)];
    [quiet(1_500), voice(rate_hz, 1_000), quiet(2_000)].concat()
}

#[test]
fn silence_is_trimmed_to_the_same_time() {
    for (payload_type, rate_hz) in RATES {
        let said = surrounded(rate_hz);
        let mut bench = native(None);
        let start = StartRecording {
            trim: Trim::TrimSilence,
            ..plain(Channels::Mono, TrackSelection::Inbound)
        };
        let sid = bench.start(1, start);
        let stream = l16_stream(payload_type, rate_hz, &said);
        play(&mut bench, &mut Sender::new(Track::Inbound), &stream);
        let taped = bench.stop(sid);
        // 200 ms before and behind are kept.
        assert_eq!(taped.started, Some(OPENED + Duration::from_millis(1_300)));
        let kept = ms(rate_hz, 1_300)..ms(rate_hz, 2_700);
        assert!(taped.samples == said[kept], "{rate_hz}: {}", taped.frames());
    }
}

#[test]
fn a_timeout_and_a_length_are_as_long_as_they_say() {
    for (payload_type, rate_hz) in RATES {
        let said = surrounded(rate_hz);
        let stream = l16_stream(payload_type, rate_hz, &said);
        let mut bench = native(None);
        let timeout = Some(Duration::from_millis(1_600));
        let by_silence = bench.start(
            1,
            with(Rules {
                timeout,
                ..Rules::default()
            }),
        );
        let max_length = Some(Duration::from_millis(2_250));
        let by_length = bench.start(
            2,
            with(Rules {
                max_length,
                ..Rules::default()
            }),
        );
        play(&mut bench, &mut Sender::new(Track::Inbound), &stream);
        bench.run_for(Duration::from_secs(1));
        for (sid, length, ended_by) in [
            (by_silence, 2_500 + 1_600, EndedBy::Timeout),
            (by_length, 2_250, EndedBy::MaxLength),
        ] {
            let taped = &bench.taped[&sid];
            assert_eq!(taped.ended_by(), Some(ended_by));
            assert!(
                taped.samples == said[..ms(rate_hz, length)],
                "{rate_hz}: {}",
                taped.frames()
            );
        }
    }
}

#[test]
fn a_pause_is_its_length_of_silence() {
    for (payload_type, rate_hz) in RATES {
        let said = voice(rate_hz, 3_000);
        let stream = l16_stream(payload_type, rate_hz, &said);
        let mut bench = native(None);
        let sid = bench.start(1, plain(Channels::Mono, TrackSelection::Inbound));
        let mut sender = Sender {
            samples: stream.units,
            ..Sender::new(Track::Inbound)
        };
        for (number, payload) in stream.payloads.iter().enumerate() {
            bench.run_for(Duration::from_millis(20));
            let packet = sender.packet(payload_type, payload);
            bench.send(&sender, &packet);
            match number {
                49 => bench.pause(sid, PauseBehavior::Silence),
                99 => bench.change(sid, reeld_model::ChangeRecording::Resume),
                _ => {}
            }
        }
        let taped = bench.stop(sid);
        let mut truth = said;
        truth[ms(rate_hz, 1_000)..ms(rate_hz, 2_000)].fill(0);
        assert!(taped.samples == truth, "{rate_hz}");
    }
}

#[test]
fn keys_that_come_as_events_have_their_length_by_their_codecs_clock() {
    let (wide, _) = g722_natural();
    let said = voice(16_000, 1_000);
    // G.722's stamps are at 8 kHz and its sound at 16; L16's are its sound's.
    for (stream, units) in [(wide, 800_u16), (l16_stream(118, 16_000, &said), 1_600)] {
        for dtmf in [Dtmf::Silence, Dtmf::Tone] {
            let rate = Rate::Native;
            let settings = Settings {
                rate,
                dtmf,
                ..settings()
            };
            let mut bench = Bench::with(settings, open_call());
            let sid = bench.start(1, plain(Channels::Mono, TrackSelection::Inbound));
            let mut sender = Sender::new(Track::Inbound);
            play(&mut bench, &mut sender, &stream);
            let stamp = sender.timestamp;
            for part in 1..=5 {
                bench.run_for(Duration::from_millis(20));
                sender.timestamp = stamp;
                let [high, low] = (units / 5 * part).to_be_bytes();
                let packet = sender.packet(101, &[1, 8, high, low]);
                bench.send(&sender, &packet);
            }
            sender.timestamp = stamp.wrapping_add(u32::from(units));
            play(&mut bench, &mut sender, &stream);
            let taped = bench.stop(sid);
            let before = stream.payloads.len() * 320;
            assert_eq!(taped.frames(), 2 * before + 1_600);
            assert_eq!(taped.summary.as_ref().unwrap().digits, "1");
            let mut expected = vec![0; 1_600];
            if dtmf == Dtmf::Tone {
                dtmf::tone('1', 8, 16_000, 0, &mut expected);
            }
            assert!(
                taped.samples[before..][..1_600] == expected,
                "{units} {dtmf:?}"
            );
        }
    }
}

#[test]
fn keys_that_are_heard_end_it() {
    for (payload_type, rate_hz) in RATES {
        let mut said = voice(rate_hz, 1_000);
        for key in ['5', '5', '#'] {
            let mut tone = vec![0; ms(rate_hz, 100)];
            dtmf::tone(key, 8, rate_hz, 0, &mut tone);
            said.extend(tone);
            said.extend(vec![0; ms(rate_hz, 100)]);
        }
        let mut bench = native(None);
        let finish_on_key = "#".to_owned();
        let sid = bench.start(
            1,
            with(Rules {
                finish_on_key,
                ..Rules::default()
            }),
        );
        let stream = l16_stream(payload_type, rate_hz, &said);
        play(&mut bench, &mut Sender::new(Track::Inbound), &stream);
        let taped = &bench.taped[&sid];
        assert_eq!(taped.ended_by(), Some(EndedBy::Key), "{rate_hz}");
        assert_eq!(taped.summary.as_ref().unwrap().digits, "55#", "{rate_hz}");
    }
}

#[test]
fn a_loss_is_concealed_where_and_as_long_as_it_was() {
    for (payload_type, rate_hz) in RATES {
        let said = voice(rate_hz, 2_000);
        let stream = l16_stream(payload_type, rate_hz, &said);
        let settings = Settings {
            rate: Rate::Native,
            conceal: true,
            ..settings()
        };
        let mut order = in_order(&stream);
        order.remove(50);
        let taped = record_in(Bench::with(settings, open_call()), &stream, &order);
        let gap = ms(rate_hz, 1_000)..ms(rate_hz, 1_020);
        assert_eq!(taped.samples[..gap.start], said[..gap.start]);
        assert_eq!(taped.samples[gap.end..], said[gap.end..]);
        let power = |samples: &mut dyn Iterator<Item = f64>| samples.map(|x| x * x).sum::<f64>();
        let pairs = taped.samples[gap.clone()].iter().zip(&said[gap.clone()]);
        let error = power(&mut pairs.map(|(one, other)| f64::from(*one) - f64::from(*other)));
        let whole = power(&mut said[gap.clone()].iter().copied().map(f64::from));
        assert!(error < whole / 4.0, "{rate_hz}: {}", error / whole);
        let summary = taped.summary.unwrap();
        assert_eq!(summary.tracks[0].concealed, gap.len() as u64);
        let range = ConcealedRange {
            from_frame: gap.start as u64,
            frames: gap.len() as u64,
        };
        assert_eq!(summary.quality[0].concealed, [range]);
        assert_eq!(summary.quality[0].longest_gap_ms, 40);
    }
}

#[test]
fn a_hold_of_minutes_is_as_long_as_it_was() {
    for (payload_type, rate_hz) in RATES {
        let said = voice(rate_hz, 1_000);
        let stream = l16_stream(payload_type, rate_hz, &said);
        let mut bench = native(None);
        let sid = bench.start(1, plain(Channels::Mono, TrackSelection::Inbound));
        let mut sender = Sender::new(Track::Inbound);
        play(&mut bench, &mut sender, &stream);
        bench.run_for(Duration::from_secs(120));
        sender.timestamp = sender.timestamp.wrapping_add(120 * rate_hz);
        play(&mut bench, &mut sender, &stream);
        let taped = bench.stop(sid);
        let quiet = vec![0; 120 * rate_hz as usize];
        assert!(
            taped.samples == [&said[..], &quiet, &said].concat(),
            "{rate_hz}"
        );
        let quality = &taped.summary.as_ref().unwrap().quality[0];
        assert_eq!(quality.longest_gap_ms, 120_020);
    }
}

#[test]
fn a_clock_that_runs_otherwise_is_followed() {
    let (wide, _) = g722_natural();
    let mut bench = native(None);
    let sid = bench.start(1, plain(Channels::Mono, TrackSelection::Inbound));
    let mut sender = Sender::new(Track::Inbound);
    // 200 ppm slow: each packet 4 us later than its stamp says; 150 s are 30 ms.
    let mut packets = 0_u64;
    for _ in 0..50 {
        for payload in &wide.payloads {
            packets += 1;
            bench.run_to(OPENED + Duration::from_nanos(packets * 20_004_000));
            let packet = sender.packet(9, payload);
            bench.send(&sender, &packet);
        }
    }
    let time = packets * 20_004 * 16 / 1_000;
    let taped = bench.stop(sid);
    let error = taped.frames().abs_diff(usize::try_from(time).unwrap());
    assert!(error <= ms(16_000, 5), "{error} samples of {time}");
    let summary = taped.summary.as_ref().unwrap();
    let ppb = summary.quality[0].drift_ppb.unwrap();
    assert!((ppb + 200_000).abs() < 20_000, "{ppb}");
    assert!(summary.tracks[0].corrected > 0);
}
