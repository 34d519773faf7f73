//! With `capture.rate = "native"` wideband stays wideband: G.722 as ffmpeg sends it is recorded at
//! 16 kHz, its MP3 too, also where the daemon is killed in the middle of it; and what is imported keeps
//! its rate.
//!
//! The sound is a tone that rises from 300 Hz to 6.3 kHz, so that half of it is beyond what 8 kHz holds.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reeld_tests::client::call_sid;
use reeld_tests::sender::Part;
use reeld_tests::sender::Playing;
use reeld_tests::{Client, MediaKind, Sender, Setup, Voice, Wav, for_each_media, judge, peer};

for_each_media!(
    g722_is_recorded_at_16_khz_and_so_is_its_mp3,
    what_a_kill_leaves_is_at_its_rate,
    an_import_keeps_its_rate
);

const RATE: u32 = 16_000;
const SECONDS: usize = 4;
/// Packets before the kill: six seconds.
const PACKETS: usize = 300;
/// What a kill may cost, in samples: 1.5 s.
const MOST: usize = 24_000;

/// `seconds` of the rising tone, as ffmpeg makes it.
fn tone(seconds: usize) -> String {
    let slope = 3_000.0 / seconds as f64;
    format!("aevalsrc=0.5*sin(2*PI*t*(300+{slope}*t)):s={RATE}:d={seconds}")
}

fn ffmpeg(args: &[&str]) -> Vec<u8> {
    let args = ["-v", "error"].iter().chain(args).copied();
    peer::run("ffmpeg", args, &[], Duration::from_secs(60))
        .success()
        .stdout
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// ffmpeg's decode of a file into 16 bits, at its own rate.
fn decoded(path: &Path, format: &[&str]) -> Vec<i16> {
    let name = shown(path);
    let args = [format, &["-i", &name, "-f", "s16le", "-"]].concat();
    let pairs = ffmpeg(&args);
    let sample = |pair: &[u8]| i16::from_le_bytes([pair[0], pair[1]]);
    pairs.chunks_exact(2).map(sample).collect()
}

/// What ffprobe says of a file: its rate, and its length in seconds.
fn probed(path: &Path) -> (String, f64) {
    let entries = "stream=sample_rate:format=duration";
    let name = shown(path);
    let args = [
        "-v",
        "error",
        "-show_entries",
        entries,
        "-of",
        "csv=p=0",
        &name,
    ];
    let seen = peer::run("ffprobe", args, &[], Duration::from_secs(30)).success();
    let text = seen.text();
    let mut lines = text.lines();
    let rate = lines.next().expect("a stream").to_owned();
    let duration = lines.next().expect("a length").parse();
    (rate, duration.expect("a number"))
}

fn wav(client: &Client, sid: &str, folder: &Path) -> (PathBuf, Wav) {
    let path = client.old_path(&format!("/Recordings/{sid}"));
    let body = client.get_public(&path).expect(200).body;
    let file = folder.join(format!("{sid}.wav"));
    fs::write(&file, &body).expect("the temporary folder can be written");
    (file, Wav::read_at(RATE, &body))
}

/// Whether it is the same sound, in its second half as in its first: only wideband has that.
#[track_caller]
fn assert_alike(sent: &[i16], heard: &[i16], least: f64) {
    let (_, shift) = judge::correlation(sent, heard, 800);
    let half = sent.len() / 2;
    for part in [0..half, half..sent.len()] {
        let there = &heard[part.start + shift..heard.len().min(part.end + shift)];
        let (alike, _) = judge::correlation(&sent[part.clone()], there, 0);
        assert!(alike > least, "{alike} in {part:?}, shifted by {shift}");
    }
}

fn g722_is_recorded_at_16_khz_and_so_is_its_mp3(media: MediaKind) {
    let daemon = Setup::new()
        .media(media)
        .set("capture.rate", "native")
        .start();
    let client = daemon.client();
    let started = client.start(&call_sid(1), &[("RecordingTrack", "inbound")]);
    let copy = daemon.folder().join("sent.g722");
    let (source, copy_name) = (tone(SECONDS), shown(&copy));
    let url = format!("rtp://127.0.0.1:{}", started.inbound().port());
    let filter = "[0:a]asetnsamples=n=320,asplit=2[rtp][copy]";
    let mut args = vec![
        "-re",
        "-f",
        "lavfi",
        "-i",
        &source,
        "-filter_complex",
        filter,
    ];
    args.extend(["-map", "[rtp]", "-c:a", "g722", "-f", "rtp", &url]);
    args.extend(["-map", "[copy]", "-c:a", "g722", "-f", "g722", &copy_name]);
    ffmpeg(&args);
    client.stop(&started);
    let json = client.wait_completed(&started.sid);
    let (file, recorded) = wav(client, &started.sid, daemon.folder());
    let sent = decoded(&copy, &["-f", "g722"]);
    assert_eq!(sent.len(), SECONDS * RATE as usize);
    assert_alike(&sent, recorded.mono(), 0.99);
    let frames = recorded.frames();
    let (rate, duration) = probed(&file);
    assert_eq!(rate, "16000");
    assert!(
        (duration - frames as f64 / f64::from(RATE)).abs() < 0.001,
        "{duration}"
    );
    assert_eq!(json["rate_hz"], RATE);
    assert_eq!(json["duration"], SECONDS.to_string());
    assert_eq!(json["duration_ms"].as_u64(), Some((frames as u64 + 8) / 16));
    assert_eq!(json["tracks"]["inbound"]["codecs"][0], "G722");

    let file = daemon.folder().join("made.mp3");
    fs::write(&file, client.mp3(&started.sid)).expect("the temporary folder can be written");
    assert_eq!(probed(&file).0, "16000");
    let heard = decoded(&file, &[]);
    assert_eq!(heard.len(), frames, "by its Info frame it is as long");
    assert_alike(recorded.mono(), &heard, 0.9);
}

fn what_a_kill_leaves_is_at_its_rate(media: MediaKind) {
    let mut daemon = Setup::new()
        .media(media)
        .set("capture.rate", "native")
        .start();
    let client = daemon.client().clone();
    let copy = daemon.folder().join("said.g722");
    let (source, copy_name) = (tone(16), shown(&copy));
    ffmpeg(&[
        "-f", "lavfi", "-i", &source, "-c:a", "g722", "-f", "g722", &copy_name,
    ]);
    let codes = fs::read(&copy).expect("ffmpeg wrote it");
    // A packet of 160 bytes is 20 ms and 160 units of G.722's clock, as G.711's is.
    let mut script = Voice::new(7).say(&codes);
    for cue in &mut script.0 {
        cue.bytes[1] = cue.bytes[1] & 0x80 | 9;
    }
    let started = client.start(&call_sid(1), &[("RecordingTrack", "inbound")]);
    let playing = Playing::start(vec![Part {
        sender: Sender::new(),
        to: started.inbound(),
        script,
    }]);
    playing.wait_until(0, PACKETS);
    let killed = daemon.kill_nine();
    let sent = playing.stop();
    daemon.start_again();

    let json = client.wait_completed(&started.sid);
    assert_eq!(
        (&json["recovered"], &json["rate_hz"]),
        (&true.into(), &RATE.into())
    );
    let (file, recorded) = wav(&client, &started.sid, daemon.folder());
    assert_eq!(probed(&file).0, "16000");
    let frames = recorded.frames();
    let spoken = (killed - sent[0][0] + Duration::from_millis(20)).as_millis() as usize * 16;
    assert!(
        frames + MOST >= spoken,
        "{frames} of {spoken} samples are there"
    );
    assert!(frames <= spoken + 640, "longer than it was");
    let said = decoded(&copy, &["-f", "g722"]);
    assert_alike(&said[..frames], recorded.mono(), 0.99);
    assert_eq!(json["duration_ms"].as_u64(), Some((frames as u64 + 8) / 16));
    daemon.command(&["verify"]).success();
}

fn an_import_keeps_its_rate(media: MediaKind) {
    let daemon = Setup::new()
        .media(media)
        .set("capture.rate", "native")
        .start();
    let client = daemon.client();
    let path = daemon.folder().join("wide.wav");
    let (source, name) = (tone(SECONDS), shown(&path));
    ffmpeg(&["-f", "lavfi", "-i", &source, "-c:a", "pcm_s16le", &name]);
    let run = daemon.command(&["import", &name]).success();
    let text = run.text();
    let sid = text.split_whitespace().next().expect("it prints the Sid");
    let json = client.recording(sid);
    assert_eq!(
        (&json["rate_hz"], &json["duration_ms"]),
        (&RATE.into(), &4_000.into())
    );
    let (_, recorded) = wav(client, sid, daemon.folder());
    assert!(
        recorded.mono() == decoded(&path, &[]),
        "not a sample is changed"
    );
}
