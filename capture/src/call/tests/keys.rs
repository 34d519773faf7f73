//! Keys: each once, however it comes, and what of them is left in the file.

use std::time::Duration;

use reeld_codec::dtmf;
use reeld_codec::g711::{self, Law};
use reeld_model::{Channels, RecordingSid, Rules, StartRecording, Track, TrackSelection};

use super::bench::{Bench, Sender, open_call, plain, settings};
use crate::{Dtmf, Settings};

const STEP: Duration = Duration::from_millis(20);

/// A recording that a key can end, so that the sound is listened to.
fn listening(bench: &mut Bench) -> RecordingSid {
    let start = StartRecording {
        rules: Rules {
            finish_on_key: "#".to_owned(),
            ..Rules::default()
        },
        ..plain(Channels::Mono, TrackSelection::Inbound)
    };
    bench.start(1, start)
}

/// Packets of what `sound` makes of each packet's first sample's number.
fn play(bench: &mut Bench, sender: &mut Sender, packets: u64, sound: impl Fn(u64, &mut [i16])) {
    for packet in 0..packets {
        let mut samples = [0; 160];
        sound(packet * 160, &mut samples);
        let mut payload = Vec::new();
        g711::encode(Law::Mu, &samples, &mut payload);
        bench.run_for(STEP);
        let bytes = sender.packet(0, &payload);
        bench.send(sender, &bytes);
    }
}

fn tone(bench: &mut Bench, sender: &mut Sender, key: char) {
    play(bench, sender, 5, |from, samples| {
        dtmf::tone(key, 8, 8_000, from, samples);
    });
    play(bench, sender, 8, |_, _| {});
}

/// An event of 100 ms: six packets of one stamp, the last three its end.
fn event(bench: &mut Bench, sender: &mut Sender, code: u8) {
    let stamp = sender.timestamp;
    for (packet, length) in [160_u16, 320, 480, 800, 800, 800].into_iter().enumerate() {
        bench.run_for(STEP);
        sender.timestamp = stamp;
        let [high, low] = length.to_be_bytes();
        let end = u8::from(packet >= 3) << 7;
        let bytes = sender.packet(101, &[code, end | 8, high, low]);
        bench.send(sender, &bytes);
    }
    sender.timestamp = stamp.wrapping_add(960);
}

fn digits(bench: &mut Bench, sid: RecordingSid) -> String {
    bench.stop(sid).summary.as_ref().unwrap().digits.clone()
}

#[test]
fn a_key_that_is_heard_twice_was_pressed_twice() {
    let (mut bench, mut sender) = (Bench::new(), Sender::new(Track::Inbound));
    let sid = listening(&mut bench);
    sender.play(&mut bench, 50);
    for key in ['5', '5', '7'] {
        tone(&mut bench, &mut sender, key);
    }
    assert_eq!(digits(&mut bench, sid), "557");
}

#[test]
fn a_key_that_comes_as_an_event_and_as_a_sound_is_one() {
    for event_first in [true, false] {
        let (mut bench, mut sender) = (Bench::new(), Sender::new(Track::Inbound));
        let sid = listening(&mut bench);
        sender.play(&mut bench, 50);
        if event_first {
            event(&mut bench, &mut sender, 5);
            tone(&mut bench, &mut sender, '5');
        } else {
            tone(&mut bench, &mut sender, '5');
            event(&mut bench, &mut sender, 5);
        }
        event(&mut bench, &mut sender, 5);
        assert_eq!(digits(&mut bench, sid), "55", "{event_first}");
    }
}

#[test]
fn an_event_leaves_silence_or_its_tone() {
    for dtmf in [Dtmf::Silence, Dtmf::Tone] {
        let settings = Settings { dtmf, ..settings() };
        let (mut bench, mut sender) = (
            Bench::with(settings, open_call()),
            Sender::new(Track::Inbound),
        );
        let sid = bench.start(1, plain(Channels::Mono, TrackSelection::Inbound));
        let before = sender.play(&mut bench, 50);
        event(&mut bench, &mut sender, 1);
        let after = sender.play(&mut bench, 50);
        let taped = bench.stop(sid);
        let (from, to) = (before.len(), before.len() + 800);
        assert!(taped.samples[..from] == before);
        assert!(taped.samples[before.len() + 960..] == after);
        let mut expected = [0; 800];
        if dtmf == Dtmf::Tone {
            dtmf::tone('1', 8, 8_000, 0, &mut expected);
        }
        assert!(taped.samples[from..to] == expected, "{dtmf:?}");
    }
}
