//! A call between two processes, in what the seeds of `network` have none of: an offer, keys, noise, a trim, a
//! pause, a beep; and a state of an earlier version.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reeld_model::{
    Beep, ChangeRecording, Channels, PauseBehavior, Rules, StartRecording, Track, TrackSelection,
    Trim,
};

use super::bench::{Bench, Sender, Taped, open_call, plain, settings};
use crate::{Kept, Settings};

const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                     m=audio 4000 RTP/AVP 0 96 13 97\r\na=rtpmap:96 telephone-event/8000\r\na=rtpmap:97 speex/8000\r\n\
                     a=sendrecv\r\n";

impl Bench {
    /// The call goes to another process.
    fn hand_over(&mut self) {
        let kept = self.call.keep().unwrap();
        self.call = Kept::read(&kept).unwrap().into_call(Arc::new(concealing()));
    }
}

fn concealing() -> Settings {
    Settings {
        conceal: true,
        ..settings()
    }
}

/// A call with something of everything; the process changes at each `every`th step.
struct Play {
    bench: Bench,
    senders: [Sender; 2],
    step: usize,
    every: usize,
}

impl Play {
    fn new(every: usize) -> Self {
        let mut open = open_call();
        open.sdp = Some(OFFER.to_owned());
        Self {
            bench: Bench::with(concealing(), open),
            senders: Track::ALL.map(Sender::new),
            step: 0,
            every,
        }
    }

    fn step(&mut self) {
        self.step += 1;
        if self.every > 0 && self.step.is_multiple_of(self.every) {
            self.bench.hand_over();
        }
    }

    fn speak(&mut self, packets: usize) {
        for number in 0..packets {
            self.bench.run_for(Duration::from_millis(20));
            for sender in &mut self.senders {
                let (bytes, _) = sender.next();
                // Some are lost.
                if number % 17 != 5 {
                    self.bench.send(sender, &bytes);
                }
            }
            self.step();
        }
    }

    /// A packet of another kind from the inbound track; its stamp stands still where it is an event.
    fn other(&mut self, payload_type: u8, payload: &[u8], samples: usize) {
        self.bench.run_for(Duration::from_millis(20));
        let [sender, _] = &mut self.senders;
        let usual = std::mem::replace(&mut sender.samples, samples);
        let bytes = sender.packet(payload_type, payload);
        sender.samples = usual;
        self.bench.send(sender, &bytes);
        self.step();
    }

    fn all(mut self) -> Bench {
        let trimmed = StartRecording {
            trim: Trim::TrimSilence,
            rules: Rules {
                timeout: Some(Duration::from_secs(5)),
                finish_on_key: "#".to_owned(),
                ..Rules::default()
            },
            ..plain(Channels::Mono, TrackSelection::Inbound)
        };
        let beep = Beep {
            ssrc: 7,
            sequence: 7,
            timestamp: 7,
        };
        let beeping = StartRecording {
            beep: Some(beep),
            ..plain(Channels::Mono, TrackSelection::Both)
        };
        self.bench.start(1, trimmed);
        let dual = self
            .bench
            .start(2, plain(Channels::Dual, TrackSelection::Both));
        self.speak(60);
        let last = self.bench.start(3, beeping);
        self.speak(60);
        self.bench.pause(dual, PauseBehavior::Silence);
        self.speak(20);
        self.bench.change(dual, ChangeRecording::Resume);
        self.other(13, &[40], 160);
        for _ in 0..10 {
            self.bench.run_for(Duration::from_millis(20));
            let [sender, _] = &mut self.senders;
            sender.timestamp = sender.timestamp.wrapping_add(160);
            self.step();
        }
        self.other(97, &[1; 20], 160);
        self.speak(40);
        for length in 1..6_u16 {
            let [high, low] = (length * 80).to_be_bytes();
            self.other(96, &[11, 0, high, low], 0);
        }
        self.speak(30);
        self.bench.stop(dual);
        self.bench.stop(last);
        self.bench
    }
}

fn assert_same(one: &Taped, other: &Taped) {
    assert!(
        one.samples == other.samples,
        "{} and {} samples",
        one.samples.len(),
        other.samples.len()
    );
    assert_eq!(one.summary, other.summary);
    assert_eq!((one.started, one.silence), (other.started, other.silence));
}

#[test]
fn a_call_goes_on_as_if_nothing_had_been() {
    let whole = Play::new(0).all();
    // The key that ends the first one.
    assert!(
        whole
            .taped
            .values()
            .all(|taped| taped.summary.is_some() && taped.frames() > 8_000)
    );
    for every in [1, 7, 50] {
        let parts = Play::new(every).all();
        assert_eq!(parts.call.view().sdp, whole.call.view().sdp);
        assert_eq!(parts.call.stats(), whole.call.stats());
        for (sid, taped) in &whole.taped {
            // A beep that sounds begins again, so who waits for it begins later.
            if sid.as_bytes() != &[3; 16] || every == 50 {
                assert_same(&parts.taped[sid], taped);
            }
        }
    }
}

/// A call of the first version, kept after this much of it.
fn kept() -> Play {
    let mut play = Play::new(0);
    play.bench
        .start(2, plain(Channels::Dual, TrackSelection::Both));
    play.speak(21);
    play
}

/// To be written anew only where the form changes so that what is there cannot be read: then a daemon of before
/// hands over nothing to one of after.
#[test]
fn a_call_that_an_earlier_version_kept_is_taken_up() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/call/tests/kept-1.msgpack");
    let mut play = kept();
    if std::env::var_os("WRITE_STATE").is_some() {
        std::fs::write(&path, play.bench.call.keep().unwrap()).unwrap();
    }
    let bytes = std::fs::read(&path).unwrap();
    let given = play.bench.call.given();
    play.bench.call = Kept::read(&bytes)
        .unwrap()
        .into_call(Arc::new(concealing()));
    assert_eq!(play.bench.call.given(), given);
    let mut whole = kept();
    for play in [&mut play, &mut whole] {
        play.speak(100);
        let [sid] = play.bench.call.given()[..] else {
            panic!("one recording runs")
        };
        play.bench.stop(sid.recording);
    }
    for (sid, taped) in &whole.bench.taped {
        assert_same(&play.bench.taped[sid], taped);
    }
}
