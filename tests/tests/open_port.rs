//! RTP that comes to an open port, with nothing that signals it: each source is a call, recorded from its first packet
//! on; what follows a break is the same recording, what is beside it the other track, and silence or an RTCP BYE ends it.

use std::fs;
use std::time::Duration;

use reeld_tests::open_port::{Bed, call_sid};
use reeld_tests::script::Law;
use reeld_tests::{Sender, Setup, Tape, Voice, Wav, judge, peer, reference};
use serde_json::Value;

const BRIEF: &str = "timeout = \"2s\"\n";

fn wav(bed: &Bed, json: &Value) -> Wav {
    bed.client().heard(json)
}

#[test]
fn ffmpeg_sends_and_is_recorded_until_its_bye() {
    let bed = Bed::start(Setup::new(), "channels = \"mono\"\n");
    let copy = bed.daemon.folder().join("sent.mulaw");
    let url = format!("rtp://{}", bed.port);
    let args = [
        "-v",
        "error",
        "-re",
        "-f",
        "lavfi",
        "-i",
        "aevalsrc=0.5*sin(2*PI*t*(300+100*t)):s=8000:d=4",
        "-filter_complex",
        "[0:a]asetnsamples=160,asplit=2[rtp][copy]",
        "-map",
        "[rtp]",
        "-c:a",
        "pcm_mulaw",
        "-rtpflags",
        "send_bye",
        "-f",
        "rtp",
        &url,
        "-map",
        "[copy]",
        "-c:a",
        "pcm_mulaw",
        "-f",
        "mulaw",
        &copy.display().to_string(),
    ];
    peer::run("ffmpeg", args, &[], Duration::from_secs(60)).success();
    // Long before the timeout of 30 s.
    let json = bed.recordings(1).remove(0);
    assert_eq!(json["ended_by"], "bye", "{json}");
    let over = "reeld_incoming_calls_ended_total{source=\"open-port\",cause=\"hung-up\"}";
    bed.client().wait_figure(over, 1);
    for name in ["calls_begun_total", "recordings_total"] {
        let name = format!("reeld_incoming_{name}{{source=\"open-port\"}}");
        assert_eq!(bed.client().figure(&name), 1, "{name}");
    }
    assert_eq!(json["source"], "Trunking", "{json}");
    let sent = fs::read(copy).expect("ffmpeg wrote its copy");
    judge::exact(wav(&bed, &json).mono(), &reference::decode(Law::Mu, &sent));
}

#[test]
fn gstreamer_sends_and_is_recorded_until_it_is_silent() {
    let bed = Bed::start(Setup::new(), &format!("{BRIEF}channels = \"mono\"\n"));
    let tape = Tape::noise(Law::A, 1, 3 * 8_000);
    let file = bed.daemon.folder().join("sound.alaw");
    fs::write(&file, tape.codes()).expect("the temporary folder can be written");
    let location = format!("location={}", file.display());
    let (host, port) = (
        format!("host={}", bed.port.ip()),
        format!("port={}", bed.port.port()),
    );
    let args = [
        "-q",
        "filesrc",
        &location,
        "blocksize=160",
        "!",
        "audio/x-alaw,rate=8000,channels=1",
        "!",
        "rawaudioparse",
        "use-sink-caps=false",
        "format=alaw",
        "sample-rate=8000",
        "num-channels=1",
        "!",
        "rtppcmapay",
        "min-ptime=20000000",
        "max-ptime=20000000",
        "!",
        "udpsink",
        &host,
        &port,
    ];
    peer::run("gst-launch-1.0", args, &[], Duration::from_secs(60)).success();
    let json = bed.recordings(1).remove(0);
    assert_eq!(json["ended_by"], "inactivity", "{json}");
    judge::exact(wav(&bed, &json).mono(), &tape.samples());
}

#[test]
fn what_follows_a_break_is_the_same_recording_and_its_name_is_its_source_s() {
    let bed = Bed::start(Setup::new(), BRIEF);
    let client = bed.client();
    let tape = Tape::noise(Law::Mu, 1, 150 * 160);
    let (one, other) = tape.codes().split_at(75 * 160);
    let first = Voice::new(1);
    let script = first
        .say(one)
        .then(Duration::from_millis(1_000), Voice::new(2).say(other));
    let sender = Sender::new();
    sender.play(bed.port, script);
    let json = bed.recordings(1).remove(0);
    let call = call_sid(&client, sender.address(), first.ssrc);
    assert_eq!(json["call_sid"], call, "{json}");
    let external_id = format!("rtp:{}/{:08x}", sender.address(), first.ssrc);
    assert_eq!(client.call(&call)["external_id"], external_id);
    let wav = wav(&bed, &json);
    let [inbound, outbound] = wav.dual();
    assert!(
        outbound.iter().all(|sample| *sample == 0),
        "nobody was there"
    );
    let pieces = judge::pieces(inbound, &tape);
    assert_eq!(pieces.len(), 2, "{pieces:?}");
    let lengths = pieces.iter().map(|piece| piece.length).sum::<usize>();
    assert_eq!(lengths, 150 * 160, "{pieces:?}");
    // A second less a packet, and what a busy machine adds.
    let silence = pieces[1].at - pieces[0].end();
    assert!((7_000..=9_000).contains(&silence), "{pieces:?}");
}

#[test]
fn two_streams_of_a_source_at_once_are_its_tracks_or_its_calls() {
    let tapes = [1, 2].map(|seed| Tape::noise(Law::Mu, seed, 100 * 160));
    let voices = [1, 2].map(Voice::new);
    let script = || {
        let mut later = voices[1].say(tapes[1].codes());
        let all: Vec<usize> = (0..later.len()).collect();
        later = later.delaying(&all, Duration::from_millis(200));
        voices[0].say(tapes[0].codes()).beside(later)
    };
    let bed = Bed::start(Setup::new(), BRIEF);
    Sender::new().play(bed.port, script());
    let json = bed.recordings(1).remove(0);
    let dual = wav(&bed, &json);
    for (channel, tape) in dual.dual().into_iter().zip(&tapes) {
        judge::exact(channel, &tape.samples());
    }
    let bed = Bed::start(Setup::new(), &format!("{BRIEF}channels = \"mono\"\n"));
    let client = bed.client();
    let sender = Sender::new();
    sender.play(bed.port, script());
    for json in bed.recordings(2) {
        let is_of =
            |voice: &Voice| json["call_sid"] == call_sid(&client, sender.address(), voice.ssrc);
        let at = voices.iter().position(is_of).expect("one of both");
        judge::exact(wav(&bed, &json).mono(), &tapes[at].samples());
    }
}

#[test]
fn payload_types_mean_what_the_configuration_says() {
    let keys = format!("{BRIEF}channels = \"mono\"\npayloads = [\"96=PCMA/8000\"]\n");
    let bed = Bed::start(Setup::new(), &keys);
    let tape = Tape::noise(Law::A, 1, 50 * 160);
    let voice = Voice::new(1).with_law(Law::A);
    let mut script = voice.say(tape.codes());
    script
        .0
        .iter_mut()
        .for_each(|cue| cue.bytes[1] = cue.bytes[1] & 0x80 | 96);
    Sender::new().play(bed.port, script);
    let json = bed.recordings(1).remove(0);
    judge::exact(wav(&bed, &json).mono(), &tape.samples());
}
