//! A track listens to one source: a stranger's packets are counted as foreign and never heard, the
//! first packets of the right one are kept, and another takes over only when it has been silent.

use std::net::Ipv4Addr;
use std::time::Duration;

use reeld_tests::client::call_sid;
use reeld_tests::script::{Cue, Law, Packet, Script};
use reeld_tests::sender::{Part, Playing};
use reeld_tests::{Client, Sender, Setup, Tape, Voice, judge};
use serde_json::Value;

fn tape(seed: u64, seconds: usize) -> Tape {
    Tape::noise(Law::Mu, seed, seconds * 8_000)
}

fn say(seed: u64, seconds: usize, at: Duration) -> Script {
    let mut script = Voice::new(seed).say(tape(seed, seconds).codes());
    script.0.iter_mut().for_each(|cue| cue.at += at);
    script
}

fn inbound(client: &Client, call: &str) -> Value {
    let json = client.call(call);
    let streams = json["streams"].as_array().expect("streams");
    streams
        .iter()
        .find(|stream| stream["track"] == "inbound")
        .expect("an inbound one")
        .clone()
}

#[test]
fn a_stranger_is_counted_and_never_heard() {
    let daemon = Setup::new().start();
    let client = daemon.client();
    let started = client.start(&call_sid(1), &[("RecordingTrack", "inbound")]);
    let (caller, stranger) = (Sender::new(), Sender::new());
    let part = |sender: &Sender, script| Part {
        sender: sender.clone(),
        to: started.inbound(),
        script,
    };
    // The stranger knows even the caller's SSRC and numbers: RTP bleed, as it was found in the wild.
    let mut forged = Voice::new(1).say(tape(2, 2).codes());
    forged
        .0
        .iter_mut()
        .for_each(|cue| cue.at += Duration::from_millis(305));
    Playing::start(vec![
        part(&caller, say(1, 3, Duration::ZERO)),
        part(&stranger, forged),
    ])
    .finish();
    let stream = inbound(client, &started.call);
    assert_eq!(stream["source"], caller.address().to_string(), "{stream}");
    assert_eq!(stream["ssrc"], Voice::new(1).ssrc, "{stream}");
    assert_eq!(
        stream["codec"]
            .as_str()
            .map(str::to_ascii_uppercase)
            .as_deref(),
        Some("PCMU")
    );
    client.stop(&started);
    let json = client.wait_completed(&started.sid);
    let counts = &json["tracks"]["inbound"];
    assert_eq!(
        (&counts["packets"], &counts["foreign"]),
        (&150.into(), &100.into()),
        "{counts}"
    );
    let wav = client.wav(&started.sid);
    assert_eq!(
        judge::exact(wav.mono(), &tape(1, 3).samples()).lead,
        0,
        "its first packets are kept"
    );
}

#[test]
fn four_packets_of_a_stranger_do_not_lock_a_track() {
    let daemon = Setup::new().start();
    let client = daemon.client();
    let started = client.start(&call_sid(1), &[("RecordingTrack", "inbound")]);
    let mut stray = say(2, 1, Duration::ZERO);
    stray.0.truncate(4);
    Sender::new().play(started.inbound(), stray);
    Sender::new().play(started.inbound(), say(1, 2, Duration::ZERO));
    client.stop(&started);
    let json = client.wait_completed(&started.sid);
    let counts = &json["tracks"]["inbound"];
    assert_eq!(
        (&counts["packets"], &counts["foreign"]),
        (&100.into(), &4.into()),
        "{counts}"
    );
    judge::exact(client.wav(&started.sid).mono(), &tape(1, 2).samples());
}

#[test]
fn another_takes_over_after_two_seconds_of_silence_alone() {
    let daemon = Setup::new().start();
    let client = daemon.client();
    let started = client.start(&call_sid(1), &[("RecordingTrack", "inbound")]);
    let part = |script| Part {
        sender: Sender::new(),
        to: started.inbound(),
        script,
    };
    // The caller ends at 1 s. Somebody speaks from 1.5 s to 2.5 s, too early; somebody else from
    // 5 s on, when all have been silent for more than two seconds.
    Playing::start(vec![
        part(say(1, 1, Duration::ZERO)),
        part(say(2, 1, Duration::from_millis(1_500))),
        part(say(3, 1, Duration::from_millis(5_000))),
    ])
    .finish();
    client.stop(&started);
    let json = client.wait_completed(&started.sid);
    let counts = &json["tracks"]["inbound"];
    assert_eq!(
        (&counts["packets"], &counts["foreign"]),
        (&100.into(), &50.into()),
        "{counts}"
    );
    let wav = client.wav(&started.sid);
    let reference = {
        let third = wav
            .mono()
            .iter()
            .rposition(|&sample| sample != 0)
            .expect("sound")
            + 1
            - 8_000;
        let mut reference = tape(1, 1).samples();
        reference.resize(third, 0);
        reference.extend(tape(3, 1).samples());
        reference
    };
    judge::exact(wav.mono(), &reference);
    assert!(
        reference.len().abs_diff(6 * 8_000) <= 320,
        "{} samples",
        reference.len()
    );
}

#[test]
fn a_given_address_is_the_only_one() {
    let daemon = Setup::new().start();
    let client = daemon.client();
    let (caller, stranger) = (Sender::new(), Sender::new());
    let address = caller.address().to_string();
    let form = [
        ("RecordingTrack", "inbound"),
        ("RemoteAddress", address.as_str()),
    ];
    let started = client.start(&call_sid(1), &form);
    stranger.play(started.inbound(), say(2, 1, Duration::ZERO));
    caller.play(started.inbound(), say(1, 1, Duration::ZERO));
    client.stop(&started);
    let json = client.wait_completed(&started.sid);
    assert_eq!(json["tracks"]["inbound"]["foreign"], 50, "{json}");
    judge::exact(client.wav(&started.sid).mono(), &tape(1, 1).samples());
}

#[test]
fn a_source_outside_media_allow_is_not_heard() {
    let daemon = Setup::new()
        .set("media.allow", vec!["192.0.2.0/24"])
        .start();
    let client = daemon.client();
    let started = client.start(&call_sid(1), &[("RecordingTrack", "inbound")]);
    Sender::new().play(started.inbound(), say(1, 1, Duration::ZERO));
    let stream = inbound(client, &started.call);
    assert_eq!(stream["stats"]["foreign"], 50, "{stream}");
    client.stop(&started);
    client.wait_status(&started.sid, "absent");
    // A source that is named is heard, whatever media.allow says of those that are not.
    let sender = Sender::new();
    let named = [
        ("RemoteAddress", "127.0.0.1"),
        ("RecordingTrack", "inbound"),
    ];
    let started = client.start(&call_sid(2), &named);
    sender.play(started.inbound(), say(1, 1, Duration::ZERO));
    let stream = inbound(client, &started.call);
    assert_eq!(stream["stats"]["packets"], 50, "{stream}");
}

/// A key of RFC 4733, pressed and let go by one who counts as `voice` does.
fn key(voice: &Voice, code: u8, at: Duration) -> Script {
    let packets = [(0_u16, 0, 160_u16), (1, 0x80, 320), (2, 0x80, 320)];
    let cues = packets.into_iter().map(|(place, end, length)| {
        let [high, low] = length.to_be_bytes();
        let packet = Packet {
            payload_type: 101,
            marker: false,
            sequence: voice.sequence.wrapping_add(place),
            timestamp: voice.timestamp,
            ssrc: voice.ssrc,
            payload: vec![code, end | 10, high, low],
        };
        Cue {
            at: at + u32::from(place) * Duration::from_millis(20),
            bytes: packet.bytes(),
        }
    });
    Script(cues.collect())
}

/// Who knows port, SSRC and sequence floods from another address and from another port, before the
/// call, beside it and in a hold of three seconds; presses the key that ends the recording, and says
/// goodbye.
#[test]
fn who_knows_the_whole_call_changes_nothing_of_a_source_that_is_named() {
    let daemon = Setup::new().start();
    let client = daemon.client();
    let caller = Sender::new();
    let address = caller.address().to_string();
    let form = [
        ("RecordingTrack", "inbound"),
        ("RemoteAddress", address.as_str()),
        ("FinishOnKey", "9"),
        ("Timeout", "0"),
    ];
    let started = client.start(&call_sid(1), &form);
    let to = started.inbound();
    let strangers = [Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 7)].map(Sender::at);
    let ms = Duration::from_millis;
    let shifted = |script: Script, by: Duration| {
        Script(
            script
                .0
                .into_iter()
                .map(|cue| Cue {
                    at: cue.at + by,
                    ..cue
                })
                .collect(),
        )
    };
    // One second, three of nothing, one second: stamps go on over the hold.
    let first = Voice::new(1);
    let held = 3_u32;
    let second = Voice {
        sequence: first.sequence.wrapping_add(50),
        timestamp: first.timestamp.wrapping_add(8_000 * (1 + held)),
        ..Voice::new(1)
    };
    let begins = ms(1_000);
    let said = [
        shifted(first.say(tape(1, 1).codes()), begins),
        shifted(second.say(tape(2, 1).codes()), begins + ms(4_000)),
    ];
    let mut rtcp = to;
    rtcp.set_port(to.port() + 1);
    let [one, other] = said;
    let script = one.beside(other);
    let mut parts = vec![Part {
        sender: caller.clone(),
        to,
        script,
    }];
    for stranger in &strangers {
        let part = |to, script| Part {
            sender: stranger.clone(),
            to,
            script,
        };
        // The call's own numbers from its start on, a second early and to its end.
        parts.push(part(to, first.say(tape(3, 6).codes())));
        parts.push(part(to, shifted(second.say(tape(4, 3).codes()), ms(2_500))));
        parts.push(part(
            to,
            key(&first, 9, ms(1_200)).beside(key(&second, 9, ms(3_900))),
        ));
        // In the hold: nothing follows for two seconds, so that it would be believed.
        let bye = |at| {
            Script(vec![Cue {
                at,
                bytes: first.bye(),
            }])
        };
        parts.push(part(rtcp, bye(ms(2_100)).beside(bye(ms(1_500)))));
        parts.push(part(to, bye(ms(2_200))));
    }
    Playing::start(parts).finish();
    client.stop(&started);
    let json = client.wait_completed(&started.sid);
    assert_eq!(json["ended_by"], "stopped", "{json}");
    assert_eq!(json["digits"].as_str().unwrap_or_default(), "", "{json}");
    let counts = &json["tracks"]["inbound"];
    let of = |name: &str| counts[name].as_u64().unwrap_or_else(|| panic!("{counts}"));
    assert_eq!(
        (of("packets"), of("lost"), of("duplicates")),
        (100, 0, 0),
        "{counts}"
    );
    // What the kernel drops of strangers is foreign, whatever it is: RTCP at the RTP port too, if it comes to that.
    let (rtp, rtcp) = (2 * (300 + 150 + 6), 2 * 3);
    assert!(of("foreign") >= rtp, "{counts}");
    assert_eq!(of("foreign") + of("rtcp"), rtp + rtcp, "{counts}");
    assert_eq!(counts["sources"], serde_json::json!([address]), "{counts}");
    let mut reference = tape(1, 1).samples();
    reference.resize(8_000 * 4, 0);
    reference.extend(tape(2, 1).samples());
    let padding = judge::exact(client.wav(&started.sid).mono(), &reference);
    assert_eq!(padding.lead, 0, "it begins with the source's first packet");
}
