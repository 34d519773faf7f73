//! Calls with SRTP: exact, through new keys and processes; what is not authentic is counted and never heard.

use std::sync::Arc;
use std::time::Duration;

use reeld_model::{Beep, Channels, EndedBy, StartRecording, Track, TrackSelection};

use super::bench::{Bench, Sender, open_call, plain, settings};
use crate::srtp::suite::Suite;
use crate::srtp::tests::Twin;
use crate::{Kept, Port, Secret, Settings};

fn offer(lines: &[&Twin]) -> String {
    let mut text =
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n".to_owned();
    for twin in lines {
        text += &format!(
            "m=audio 4000 RTP/SAVP 0\r\na=crypto:{}\r\n",
            twin.attribute()
        );
    }
    text
}

fn bench(lines: &[&Twin]) -> Bench {
    let mut open = open_call();
    open.sdp = Some(offer(lines));
    Bench::with(secret(), open)
}

fn secret() -> Settings {
    Settings {
        secret: Secret::new([7; 32]),
        ..settings()
    }
}

/// A sender that protects.
struct Secure {
    sender: Sender,
    twin: Twin,
    /// Its rollover counter.
    roc: u64,
    sound: Vec<i16>,
}

impl Secure {
    fn new(track: Track, suite: Suite) -> Self {
        Self {
            sender: Sender::new(track),
            twin: Twin::new(suite, 1 + u8::try_from(track.index()).unwrap()),
            roc: 0,
            sound: Vec::new(),
        }
    }

    fn say(&mut self, bench: &mut Bench) {
        let last = self.sender.sequence;
        let (bytes, samples) = self.sender.next();
        let sealed = self.twin.seal(&bytes, self.roc);
        if self.sender.sequence < last {
            self.roc += 1;
        }
        bench.send(&self.sender, &sealed);
        self.sound.extend(samples);
    }
}

fn say(bench: &mut Bench, sides: &mut [Secure], packets: usize) {
    for _ in 0..packets {
        bench.run_for(Duration::from_millis(20));
        for side in &mut *sides {
            side.say(bench);
        }
    }
}

#[test]
fn both_tracks_are_exact_each_with_its_key_through_new_keys_and_processes() {
    let suites = [Suite::AesCm128Sha1Tag80, Suite::AeadAes128Gcm];
    let mut sides = [0, 1].map(|at| Secure::new(Track::ALL[at], suites[at]));
    let mut bench = bench(&[&sides[0].twin, &sides[1].twin]);
    let sid = bench.start(1, plain(Channels::Dual, TrackSelection::Both));
    say(&mut bench, &mut sides, 50);
    let first = bench.call.view().sdp.unwrap();
    for suite in suites {
        assert!(
            first.contains(&format!("a=crypto:1 {} inline:", suite.name())),
            "{first}"
        );
    }
    // The same keys: the same answer but for its version.
    let again = offer(&[&sides[0].twin, &sides[1].twin]);
    bench.call.update(Some(&again), None).unwrap();
    let keys = |sdp: &str| -> Vec<String> {
        let lines = sdp.lines().filter(|line| line.starts_with("a=crypto"));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(keys(&bench.call.view().sdp.unwrap()), keys(&first));
    let new = [3, 4].map(|seed| Twin::new(Suite::AesCm256Sha1Tag80, seed));
    let rekeyed = offer(&[&new[0], &new[1]]);
    bench.call.update(Some(&rekeyed), None).unwrap();
    let second = keys(&bench.call.view().sdp.unwrap());
    assert!(second.iter().all(|key| !first.contains(key)) && second[0] != second[1]);
    // What is under way is still heard.
    say(&mut bench, &mut sides, 10);
    for (side, twin) in sides.iter_mut().zip(new) {
        side.twin = twin;
    }
    say(&mut bench, &mut sides, 20);
    let kept = bench.call.keep().unwrap();
    bench.call = Kept::read(&kept).unwrap().into_call(Arc::new(secret()));
    say(&mut bench, &mut sides, 20);
    let taped = bench.stop(sid);
    for (at, side) in sides.iter().enumerate() {
        assert_eq!(taped.channel(at)[..side.sound.len()], side.sound);
        let summary = taped.summary.as_ref().unwrap();
        let stats = summary.tracks[at];
        assert_eq!((stats.packets, stats.lost, stats.unauthentic), (100, 0, 0));
        assert_eq!(
            summary.quality[at].srtp.as_deref(),
            Some("AES_256_CM_HMAC_SHA1_80")
        );
    }
}

#[test]
fn what_is_not_authentic_is_counted_and_never_heard() {
    let mut side = Secure::new(Track::Inbound, Suite::AesCm128Sha1Tag32);
    let mut bench = bench(&[&Twin::new(Suite::AesCm128Sha1Tag32, 99)]);
    let sid = bench.start(1, plain(Channels::Mono, TrackSelection::Inbound));
    // A wrong key, and none at all.
    say(&mut bench, std::slice::from_mut(&mut side), 50);
    side.sender.play(&mut bench, 50);
    assert_eq!(bench.call.stats()[0].unauthentic, 100);
    let view = bench.call.view();
    assert_eq!((view.streams[0].source, view.streams[0].ssrc), (None, None));
    let taped = bench.stop(sid);
    assert_eq!(taped.samples, Vec::<i16>::new());
    let summary = taped.summary.as_ref().unwrap();
    assert_eq!((summary.frames, summary.tracks[0].unauthentic), (0, 100));
    assert_eq!(summary.quality[0].srtp, None);
}

#[test]
fn replays_and_forgeries_do_not_disturb_a_stream() {
    let mut side = Secure::new(Track::Inbound, Suite::AesCm128Sha1Tag80);
    let mut bench = bench(&[&side.twin]);
    let sid = bench.start(1, plain(Channels::Mono, TrackSelection::Inbound));
    for number in 0..100_u16 {
        bench.run_for(Duration::from_millis(20));
        let (bytes, samples) = side.sender.next();
        let roc = u64::from(number > 5);
        let sealed = side.twin.seal(&bytes, roc);
        let mut forged = sealed.clone();
        forged[20] ^= 1;
        // Whoever can send from the sender's own address has no key.
        for datagram in [&forged, &bytes, &sealed, &sealed] {
            bench.send(&side.sender, datagram);
        }
        side.sound.extend(samples);
    }
    let taped = bench.stop(sid);
    assert_eq!(taped.samples[..side.sound.len()], side.sound);
    let stats = taped.summary.as_ref().unwrap().tracks[0];
    assert_eq!(
        (stats.packets, stats.duplicates, stats.unauthentic),
        (100, 100, 200)
    );
}

#[test]
fn a_bye_is_believed_if_it_is_authentic() {
    let mut side = Secure::new(Track::Inbound, Suite::AeadAes256Gcm);
    let mut bench = bench(&[&side.twin]);
    let sid = bench.start(1, plain(Channels::Mono, TrackSelection::Inbound));
    say(&mut bench, std::slice::from_mut(&mut side), 50);
    let [a, b, c, d] = side.sender.ssrc.to_be_bytes();
    let bye = [0x80, 201, 0, 1, a, b, c, d, 0x81, 203, 0, 1, a, b, c, d];
    let mut from = side.sender.from;
    from.set_port(from.port() + 1);
    let send = |bench: &mut Bench, bytes: &[u8]| {
        let now = bench.now;
        bench
            .call
            .handle_datagram(Track::Inbound, Port::Rtcp, from, now, bytes);
    };
    send(&mut bench, &bye);
    bench.run_for(Duration::from_secs(5));
    assert!(bench.taped[&sid].summary.is_none());
    let sealed = side.twin.seal_report(&bye);
    send(&mut bench, &sealed);
    bench.run_for(Duration::from_secs(5));
    assert_eq!(bench.taped[&sid].ended_by(), Some(EndedBy::Bye));
    let stats = bench.call.stats()[0];
    assert_eq!((stats.rtcp, stats.unauthentic), (1, 1));
}

#[test]
fn a_beep_is_protected_with_the_key_of_the_answer() {
    let mut side = Secure::new(Track::Inbound, Suite::AesCm128Sha1Tag80);
    let mut bench = bench(&[&side.twin]);
    say(&mut bench, std::slice::from_mut(&mut side), 10);
    bench.start(
        1,
        StartRecording {
            beep: Some(Beep {
                ssrc: 77,
                sequence: 65_530,
                timestamp: 1_000,
            }),
            ..plain(Channels::Mono, TrackSelection::Inbound)
        },
    );
    say(&mut bench, std::slice::from_mut(&mut side), 50);
    let sdp = bench.call.view().sdp.unwrap();
    let key = sdp.lines().find_map(|line| line.strip_prefix("a=crypto:"));
    let theirs = Twin::answered(key.unwrap());
    assert_eq!(bench.sent.len(), 26);
    for (number, (_, sent)) in bench.sent.iter().enumerate() {
        let roc = u64::from(number > 5);
        let clear = theirs.open(&sent.datagram, roc).expect("it is authentic");
        assert_eq!(sent.datagram.len(), clear.len() + 10);
    }
}

#[test]
fn nothing_of_a_key_is_shown() {
    let side = Secure::new(Track::Inbound, Suite::AesCm128Sha1Tag80);
    let bench = bench(&[&side.twin]);
    let attribute = side.twin.attribute();
    let (_, inline) = attribute.split_once("inline:").unwrap();
    let view = format!("{:?}", bench.call.view());
    let call = format!("{:?}", bench.call);
    assert!(!call.contains(inline) && !view.contains(inline));
}
