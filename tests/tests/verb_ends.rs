//! How a recording with the `<Record>` verb's rules ends, with somebody who speaks: by silence, by a
//! key, at its maximum length, by a stop; for the right reason, at the right time, with the right
//! samples, none of a word's trimmed, and the digits that were pressed.
//!
//! espeak-ng speaks, ffmpeg sends it, and the keys are sipp's captures as they are, under an SSRC of
//! their own. Each call is recorded twice, trimmed and whole: the whole one tells when it ended, on its
//! own media timeline. The bounds are on that, not on the clock.

use std::fs;
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use reeld_tests::client::{Started, call_sid};
use reeld_tests::line::{FRAME, dbov, mu_law, utterance};
use reeld_tests::script::{Law, Script, duration_of};
use reeld_tests::speech::{SPOKEN, say};
use reeld_tests::{
    Client, Sender, Setup, Span, Voice, Wav, capture_file, peer, reference, span::instant_of,
};
use serde_json::Value;

/// As the verb's caller writes them.
const RULES: [(&str, &str); 3] = [("Timeout", "3"), ("FinishOnKey", "#"), ("MaxLength", "30")];

/// By how much an end may be elsewhere, in samples: 100 ms.
const NEAR: usize = 800;

/// What trimming keeps beyond what is surely heard, in samples at most: its hangover of 200 ms, and the
/// soft end of a word.
const KEPT: usize = 2_800;

/// What is quieter on a still line is not heard: −46 dBov.
const HEARD: f64 = -46.0;

const PACKET: usize = 160;

/// Somebody who speaks twice, with a pause shorter than the timeout, and silence around.
#[derive(Debug)]
struct Spoken {
    codes: Vec<u8>,
    /// The first and the end of what is heard, in samples.
    first: usize,
    end: usize,
}

impl Spoken {
    /// The `one`th and the next of espeak-ng's sentences.
    fn new(one: usize, lead_ms: usize, behind_ms: usize) -> Self {
        let mut line = vec![0.0; lead_ms * 8];
        for (number, pause_ms) in [(one, 2_200), (one + 1, behind_ms)] {
            let (voice, words) = SPOKEN[number];
            line.extend(utterance(&say(voice, words)).expect("a sentence"));
            line.resize(line.len() + pause_ms * 8, 0.0);
        }
        let heard = |frame: &[f64]| dbov(frame) > HEARD;
        let first = line.chunks(FRAME).position(heard).expect("it is heard");
        let frames = line.len() / FRAME;
        let last = line.chunks(FRAME).take(frames).rposition(heard);
        Self {
            codes: mu_law(&line),
            first: first * FRAME,
            end: (last.expect("it is heard") + 1) * FRAME,
        }
    }

    fn samples(&self) -> Vec<i16> {
        reference::decode(Law::Mu, &self.codes)
    }
}

/// The two recordings of a call.
#[derive(Debug)]
struct Both {
    trimmed: Started,
    whole: Started,
}

impl Both {
    fn start(client: &Client, rules: &[(&str, &str)]) -> Self {
        let start = |trim| {
            let form = [rules, &[("Trim", trim)]].concat();
            client.start(&call_sid(1), &form)
        };
        Self {
            trimmed: start("trim-silence"),
            whole: start("do-not-trim"),
        }
    }

    /// Waits for both, holds them to have ended so, and the whole one to be what was sent, with silence
    /// behind; what it says of itself, and both files.
    #[track_caller]
    fn ended(&self, client: &Client, by: &str, digits: &str, sent: &[i16]) -> (Value, Wav, Wav) {
        for started in [&self.trimmed, &self.whole] {
            let json = client.wait_completed(&started.sid);
            assert_eq!(json["ended_by"], by, "{json}");
            assert_eq!(json["digits"].as_str().unwrap_or(""), digits, "{json}");
        }
        let (trimmed, whole) = (client.wav(&self.trimmed.sid), client.wav(&self.whole.sid));
        let there = sent.len().min(whole.frames());
        assert!(
            whole.mono()[..there] == sent[..there],
            "the whole one differs"
        );
        assert!(whole.mono()[there..].iter().all(|sample| *sample == 0));
        (client.recording(&self.whole.sid), trimmed, whole)
    }
}

/// Where the trimmed file lies in the whole one.
#[track_caller]
fn place(trimmed: &Wav, whole: &Wav) -> usize {
    let piece = trimmed.mono();
    let found = whole
        .mono()
        .windows(piece.len())
        .position(|part| part == piece);
    found.expect("the trimmed file is a piece of the whole one")
}

/// Holds a trimmed file to have all that was heard up to `end`, and little more.
#[track_caller]
fn assert_trimmed(trimmed: &Wav, whole: &Wav, spoken: &Spoken, end: usize) {
    let from = place(trimmed, whole);
    let to = from + trimmed.frames();
    let (first, lead) = (spoken.first, spoken.first.saturating_sub(from));
    assert!(
        from <= first && lead <= KEPT,
        "from {from}, heard from {first}"
    );
    assert!(
        to >= end && to <= end + KEPT,
        "up to {to}, heard up to {end}"
    );
}

/// ffmpeg sends `codes` to `port` in packets of 20 ms, in real time.
fn ffmpeg(folder: &Path, port: u16, codes: &[u8]) -> JoinHandle<()> {
    let file = folder.join("spoken.mulaw");
    fs::write(&file, codes).expect("the daemon's folder can be written");
    let (file, url) = (
        file.display().to_string(),
        format!("rtp://127.0.0.1:{port}"),
    );
    thread::spawn(move || {
        let args = [
            "-v", "error", "-re", "-f", "mulaw", "-ar", "8000", "-i", &file,
        ];
        let out = [
            "-af",
            "asetnsamples=n=160",
            "-c:a",
            "pcm_mulaw",
            "-f",
            "rtp",
            &url,
        ];
        // The ports are closed when the call is over, which ffmpeg may take for its own end.
        let _ = peer::run(
            "ffmpeg",
            args.into_iter().chain(out),
            &[],
            Duration::from_secs(60),
        );
    })
}

#[test]
fn silence_behind_the_last_word_ends_it() {
    let spoken = Spoken::new(0, 1_000, 6_000);
    let daemon = Setup::new().start();
    let client = daemon.client();
    let both = Both::start(client, &RULES);
    let sending = ffmpeg(daemon.folder(), both.whole.inbound().port(), &spoken.codes);
    let (json, trimmed, whole) = both.ended(client, "timeout", "", &spoken.samples());
    let due = spoken.end + 3 * 8_000;
    assert!(
        whole.frames().abs_diff(due) <= NEAR,
        "{} for {due}",
        whole.frames()
    );
    let due_ms = due as u64 / 8;
    assert!(
        json["duration_ms"]
            .as_u64()
            .expect("a length")
            .abs_diff(due_ms)
            <= 100,
        "{json}"
    );
    assert_trimmed(&trimmed, &whole, &spoken, spoken.end);
    sending.join().expect("ffmpeg ran");
}

#[test]
fn a_maximum_length_ends_it_in_mid_word() {
    let spoken = Spoken::new(2, 500, 1_000);
    let daemon = Setup::new().start();
    let client = daemon.client();
    let rules = [("Timeout", "3"), ("FinishOnKey", "#"), ("MaxLength", "3")];
    let both = Both::start(client, &rules);
    let sending = ffmpeg(daemon.folder(), both.whole.inbound().port(), &spoken.codes);
    let (json, trimmed, whole) = both.ended(client, "max-length", "", &spoken.samples());
    assert_eq!(json["duration_ms"], 3_000, "{json}");
    assert_trimmed(&trimmed, &whole, &spoken, 24_000);
    sending.join().expect("ffmpeg ran");
}

#[test]
fn silence_alone_ends_it_counted_from_its_start() {
    // Comfort noise as a sender's own, at −55 dBov.
    let line = reeld_tests::line::noise(
        reeld_tests::line::Noise::Pink,
        6 * 8_000,
        &mut reeld_tests::line::Chance::new(3),
    );
    let gain = 32_768.0 * 10.0_f64.powf(-55.0 / 20.0);
    let codes = mu_law(&line.iter().map(|sample| sample * gain).collect::<Vec<_>>());
    let daemon = Setup::new().start();
    let client = daemon.client();
    let form = [&RULES[..], &[("Trim", "do-not-trim")]].concat();
    let started = client.start(&call_sid(1), &form);
    let sending = ffmpeg(daemon.folder(), started.inbound().port(), &codes);
    let json = client.wait_completed(&started.sid);
    assert_eq!(json["ended_by"], "timeout", "{json}");
    assert_eq!(json["duration_ms"], 3_000, "{json}");
    let wav = client.wav(&started.sid);
    assert!(wav.mono() == &reference::decode(Law::Mu, &codes)[..24_000]);
    sending.join().expect("ffmpeg ran");
}

#[test]
fn without_a_packet_no_timeout_ends_it() {
    let daemon = Setup::new().set("capture.first_packet", "4s").start();
    let client = daemon.client();
    let started = client.start(&call_sid(1), &[("Timeout", "1"), ("MaxLength", "2")]);
    let json = client.wait_status(&started.sid, "absent");
    assert_eq!(json["ended_by"], "no-packets", "{json}");
}

/// Speech, then sipp's captures of keys from the same socket; when each packet was sent, and where a
/// packet's arrival lies on the recording's time, in samples, by the least delay of the speech.
fn speak_and_press(sender: &Sender, started: &Started, codes: &[u8], keys: &[&str]) -> Vec<usize> {
    let mut script = Voice::new(1).say(codes);
    let speech = script.len();
    let mut firsts = Vec::new();
    for key in keys {
        firsts.push(script.len());
        let pcap = capture_file::of_sipp(&format!("dtmf_2833_{key}.pcap"));
        script = script.then(Duration::from_millis(200), capture_file::read(&pcap));
    }
    let sent = sender.play(started.inbound(), script);
    let origin = (0..speech)
        .map(|packet| sent[packet] - duration_of((packet * PACKET) as u64))
        .min()
        .expect("it speaks");
    let place = |at: Instant| {
        // A packet's samples end when it arrives.
        usize::try_from((at - origin).as_micros() * 8 / 1_000).expect("seconds") + PACKET
    };
    firsts.into_iter().map(|first| place(sent[first])).collect()
}

#[test]
fn the_pound_key_ends_it() {
    let spoken = Spoken::new(4, 400, 600);
    let daemon = Setup::new().start();
    let client = daemon.client();
    let both = Both::start(client, &RULES);
    let pressed = speak_and_press(&Sender::new(), &both.whole, &spoken.codes, &["pound"]);
    let (_, trimmed, whole) = both.ended(client, "key", "#", &spoken.samples());
    assert!(
        whole.frames().abs_diff(pressed[0]) <= NEAR,
        "{} for {pressed:?}",
        whole.frames()
    );
    assert_trimmed(&trimmed, &whole, &spoken, spoken.end);
}

#[test]
fn one_of_several_keys_ends_it_and_an_empty_set_is_none() {
    let spoken = Spoken::new(6, 200, 300);
    let daemon = Setup::new().start();
    let client = daemon.client();
    let several = [
        ("Timeout", "0"),
        ("FinishOnKey", "*29"),
        ("MaxLength", "30"),
    ];
    let both = Both::start(client, &several);
    let none = client.start(&call_sid(1), &[("Timeout", "0"), ("FinishOnKey", "")]);
    let keys = ["5", "pound", "2", "star"];
    let pressed = speak_and_press(&Sender::new(), &both.whole, &spoken.codes, &keys);
    let (_, trimmed, whole) = both.ended(client, "key", "5#2", &spoken.samples());
    assert!(
        whole.frames().abs_diff(pressed[2]) <= NEAR,
        "{} for {pressed:?}",
        whole.frames()
    );
    assert_trimmed(&trimmed, &whole, &spoken, spoken.end);
    client.stop(&none);
    let json = client.wait_completed(&none.sid);
    assert_eq!(
        (&json["ended_by"], &json["digits"]),
        (&"stopped".into(), &"5#2*".into()),
        "{json}"
    );
}

#[test]
fn a_stop_ends_it_in_mid_word() {
    let spoken = Spoken::new(5, 300, 1_000);
    let daemon = Setup::new().start();
    let client = daemon.client();
    let both = Both::start(client, &RULES);
    let Script(cues) = Voice::new(1).say(&spoken.codes);
    let playing = Sender::new().start(both.whole.inbound(), Script(cues));
    playing.wait_until(0, 120);
    let (first, ()) = Span::of(|| client.stop(&both.whole));
    let (second, ()) = Span::of(|| client.stop(&both.trimmed));
    let sent = playing.stop().remove(0);
    for started in [&both.trimmed, &both.whole] {
        let json = client.wait_completed(&started.sid);
        assert_eq!(json["ended_by"], "stopped", "{json}");
    }
    let (trimmed, whole) = (client.wav(&both.trimmed.sid), client.wav(&both.whole.sid));
    first.assert_holds(
        "the whole one's end",
        instant_of(whole.frames(), &sent, PACKET),
    );
    let reference = spoken.samples();
    let said = assert_begins(&whole, &reference);
    // The trimmed one was stopped a moment later.
    let from = (0..=spoken.first)
        .find(|from| trimmed.mono()[..PACKET * 20] == reference[*from..][..PACKET * 20]);
    let from = from.expect("it begins before the first word and in the silence ahead of it");
    assert!(
        spoken.first - from <= KEPT,
        "from {from}, heard from {}",
        spoken.first
    );
    let end = from + assert_begins(&trimmed, &reference[from..]);
    assert!(
        end >= said.min(spoken.end),
        "speech is cut off at {end} of {said}"
    );
    assert!(
        !second.is_before(instant_of(end, &sent, PACKET)),
        "more than was sent"
    );
}

/// Holds a file to be the beginning of what was sent, but for less than 100 ms of silence in which the
/// next packet was on its way; the samples of it that were sent.
#[track_caller]
fn assert_begins(wav: &Wav, sent: &[i16]) -> usize {
    let pairs = wav.mono().iter().zip(sent);
    let same = pairs.take_while(|(one, other)| one == other).count();
    let rest = &wav.mono()[same..];
    assert!(
        rest.len() < NEAR && rest.iter().all(|sample| *sample == 0),
        "{same} are as sent, {} not",
        rest.len()
    );
    same
}
