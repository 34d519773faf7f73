//! ffmpeg is the caller: what it sends over RTP is recorded sample for sample, whether it packs as
//! it likes (1,024 samples a packet) or in 20 ms, and its RTCP BYE ends the recording where it ends.
//!
//! ffmpeg writes the same µ-law a second time to a file: that is what it sent.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use reeld_tests::client::call_sid;
use reeld_tests::script::Law;
use reeld_tests::{MediaKind, Setup, for_each_media, judge, peer, reference};

for_each_media!(
    packets_as_ffmpeg_likes_them_are_exact,
    packets_of_20_ms_end_with_their_bye
);

/// The call: long enough for several blocks of a take.
const SECONDS: usize = 4;
/// ffmpeg's own time between its last packet and its BYE, or its end: some 30 ms on a quiet machine.
const GOODBYE: Duration = Duration::from_millis(150);

/// ffmpeg sends a changing tone to `port` in real time; the µ-law that it sent.
fn call(folder: &Path, port: u16, filter: &str, flags: &[&str]) -> Vec<u8> {
    let copy = folder.join("sent.mulaw");
    let source = format!("aevalsrc=0.5*sin(2*PI*t*(300+100*t)):s=8000:d={SECONDS}");
    let filter = format!("[0:a]{filter},asplit=2[rtp][copy]");
    let url = format!("rtp://127.0.0.1:{port}");
    let copy_name = copy.display().to_string();
    let mut args = vec![
        "-v",
        "error",
        "-re",
        "-f",
        "lavfi",
        "-i",
        &source,
        "-filter_complex",
        &filter,
    ];
    args.extend(["-map", "[rtp]", "-c:a", "pcm_mulaw"]);
    args.extend(flags);
    args.extend(["-f", "rtp", &url]);
    args.extend([
        "-map",
        "[copy]",
        "-c:a",
        "pcm_mulaw",
        "-f",
        "mulaw",
        &copy_name,
    ]);
    peer::run("ffmpeg", args, &[], Duration::from_secs(60)).success();
    let sent = fs::read(copy).expect("ffmpeg wrote its copy");
    assert_eq!(sent.len(), SECONDS * 8_000);
    sent
}

fn packets_as_ffmpeg_likes_them_are_exact(media: MediaKind) {
    let daemon = Setup::new().media(media).start();
    let client = daemon.client();
    let started = client.start(&call_sid(1), &[("RecordingTrack", "inbound")]);
    let sent = call(daemon.folder(), started.inbound().port(), "anull", &[]);
    let ended = Instant::now();
    client.stop(&started);
    let stopped = ended.elapsed();
    let json = client.wait_completed(&started.sid);
    let wav = client.wav(&started.sid);
    let padding = judge::exact(wav.mono(), &reference::decode(Law::Mu, &sent));
    assert_eq!(padding.lead, 0, "it starts at its first packet");
    let most = Duration::from_millis(128) + GOODBYE + stopped;
    assert!(
        padding.trail as u128 <= most.as_millis() * 8,
        "{padding:?} in {stopped:?}"
    );
    assert_eq!(json["duration"], SECONDS.to_string());
    assert_eq!(
        json["duration_ms"].as_u64(),
        Some((wav.frames() as u64 * 2 + 8) / 16)
    );
    assert_eq!(json["channels"], 1);
    assert_eq!(json["ended_by"], "stopped");
}

fn packets_of_20_ms_end_with_their_bye(media: MediaKind) {
    let daemon = Setup::new().media(media).start();
    let client = daemon.client();
    let started = client.start(&call_sid(1), &[("RecordingTrack", "inbound")]);
    let flags = ["-rtpflags", "send_bye"];
    let sent = call(
        daemon.folder(),
        started.inbound().port(),
        "asetnsamples=n=160",
        &flags,
    );
    let json = client.wait_completed(&started.sid);
    assert_eq!(json["ended_by"], "bye");
    let wav = client.wav(&started.sid);
    let padding = judge::exact(wav.mono(), &reference::decode(Law::Mu, &sent));
    assert_eq!(padding.lead, 0);
    let most = Duration::from_millis(20) + GOODBYE;
    assert!(padding.trail as u128 <= most.as_millis() * 8, "{padding:?}");
}
