//! One call, one sender that never changes where it sends: started, paused, resumed, stopped,
//! started again, and two recordings that overlap, of which one is paused. By plain HTTP, and by
//! Twilio's SDKs as they are on PyPI and npm (`tests/sdk/control.py` and `.js`).

use std::net::SocketAddr;
use std::time::Instant;

use reeld_tests::client::{call_sid, media_address};
use reeld_tests::judge::{self, Piece};
use reeld_tests::script::Law;
use reeld_tests::sdk::Conversation;
use reeld_tests::span::instant_of;
use reeld_tests::{Client, MediaKind, Sdk, Sender, Setup, Span, Tape, Voice, Wav, for_each_media};
use serde_json::json;

for_each_media!(one_sender_serves_all_recordings_of_its_call);

#[test]
fn todays_python_sdk_controls_what_a_sender_streams() {
    judge(MediaKind::Local, Some(Sdk::Python9));
}

#[test]
fn an_old_python_sdk_controls_what_a_sender_streams() {
    judge(MediaKind::Local, Some(Sdk::Python6));
}

#[test]
fn todays_node_sdk_controls_what_a_sender_streams() {
    judge(MediaKind::Local, Some(Sdk::Node6));
}

#[test]
fn an_old_node_sdk_controls_what_a_sender_streams() {
    judge(MediaKind::Local, Some(Sdk::Node3));
}

/// Who starts and changes the call's recordings.
enum Control<'a> {
    /// The harness's client, which also looks where the answers say that RTP goes.
    Client(&'a Client, &'a str, SocketAddr),
    /// An application on an SDK.
    Application(Conversation),
}

impl Control<'_> {
    /// Starts a recording of the inbound track; its Sid.
    fn start(&mut self) -> String {
        match self {
            Self::Client(client, call, to) => {
                let started = client.start(call, &[("RecordingTrack", "inbound")]);
                assert_eq!(
                    started.inbound(),
                    *to,
                    "the sender's destination never changes"
                );
                started.sid
            }
            Self::Application(application) => {
                let made = application.ask(&json!(["create", {"recording_track": "inbound"}]));
                assert_eq!(made["status"], "in-progress", "{made}");
                made["sid"].as_str().expect("a Sid").to_owned()
            }
        }
    }

    fn change(&mut self, sid: &str, status: &str, behavior: &str) {
        match self {
            Self::Client(client, call, to) => {
                let mut form = vec![("Status", status)];
                if !behavior.is_empty() {
                    form.push(("PauseBehavior", behavior));
                }
                let json = client.change(call, sid, &form).expect(200).json();
                assert_eq!(json["status"], status, "{json}");
                assert_eq!(media_address(&json, "inbound"), Some(*to), "{json}");
            }
            Self::Application(application) => {
                let mut options = json!({"status": status});
                if !behavior.is_empty() {
                    options["pause_behavior"] = behavior.into();
                }
                let changed = application.ask(&json!(["update", sid, options]));
                assert_eq!(changed["status"], status, "{changed}");
            }
        }
    }

    /// Stops `Twilio.CURRENT` where that is refused.
    fn refused(&mut self, status: u16, code: u64) {
        match self {
            Self::Client(client, call, _) => {
                let form = [("Status", "stopped")];
                let refused = client.change(call, "Twilio.CURRENT", &form);
                refused.expect_error(status, code);
            }
            Self::Application(application) => {
                let stop = json!(["update", "Twilio.CURRENT", {"status": "stopped"}]);
                let refused = application.ask(&stop);
                assert_eq!(refused, json!({"error": [status, code]}));
            }
        }
    }
}

const PACKET: usize = 160;

/// Holds a recording to begin and end, and each of its pieces, to where the daemon acted.
fn judge_edges(name: &str, wav: &Wav, pieces: &[Piece], edges: &[Span], sent: &[Instant]) {
    assert_eq!(pieces.len() * 2, edges.len(), "{name}: {pieces:?}");
    for (place, (piece, edges)) in pieces.iter().zip(edges.chunks(2)).enumerate() {
        let what = format!("{name}, piece {place}");
        edges[0].assert_holds(
            &format!("{what}, begin"),
            instant_of(piece.tape, sent, PACKET),
        );
        edges[1].assert_holds(
            &format!("{what}, end"),
            instant_of(piece.tape_end(), sent, PACKET),
        );
    }
    assert!(
        pieces[0].at <= PACKET,
        "{name} begins with sound: {pieces:?}"
    );
    let last = pieces[pieces.len() - 1];
    assert!(
        wav.frames() <= last.end() + 2 * PACKET,
        "{name} ends with sound: {pieces:?}"
    );
}

fn one_sender_serves_all_recordings_of_its_call(media: MediaKind) {
    judge(media, None);
}

fn judge(media: MediaKind, sdk: Option<Sdk>) {
    let daemon = Setup::new().media(media).start();
    let client = daemon.client();
    let call = call_sid(1);
    let opened = client
        .open_call(&[("CallSid", &call), ("From", "+1"), ("To", "+2")])
        .expect(201);
    let to = media_address(&opened.json(), "inbound").expect("an inbound port");
    let mut control = match sdk {
        None => Control::Client(client, &call, to),
        Some(sdk) => {
            let mut application = sdk.application("control", &daemon);
            application.env("LIVE_CALL", &call);
            let mut application = Conversation::start(sdk, application);
            // An SDK takes its time to load; what is timed begins after that.
            let nonsense = application.ask(&json!(["update", "Twilio.CURRENT", {"status": "x"}]));
            assert_eq!(nonsense, json!({"error": [400, 20_422]}));
            Control::Application(application)
        }
    };

    let tape = Tape::noise(Law::Mu, 1, 400 * PACKET);
    let playing = Sender::new().start(to, Voice::new(1).say(tape.codes()));
    playing.wait_until(0, 25);
    let (start_1, first) = Span::of(|| control.start());
    playing.wait_until(0, 75);
    let (pause_1, ()) = Span::of(|| control.change("Twilio.CURRENT", "paused", "skip"));
    playing.wait_until(0, 100);
    let (resume_1, ()) = Span::of(|| control.change(&first, "in-progress", ""));
    playing.wait_until(0, 150);
    let (stop_1, ()) = Span::of(|| control.change("Twilio.CURRENT", "stopped", ""));

    playing.wait_until(0, 160);
    let (start_2, second) = Span::of(|| control.start());
    playing.wait_until(0, 200);
    let (start_3, third) = Span::of(|| control.start());
    control.refused(400, 20_422);
    playing.wait_until(0, 230);
    let (pause_3, ()) = Span::of(|| control.change(&third, "paused", "silence"));
    playing.wait_until(0, 250);
    let (stop_2, ()) = Span::of(|| control.change(&second, "stopped", ""));
    playing.wait_until(0, 270);
    let (resume_3, ()) = Span::of(|| control.change(&third, "in-progress", ""));
    playing.wait_until(0, 300);
    let (stop_3, ()) = Span::of(|| control.change(&third, "stopped", ""));
    control.refused(404, 20_404);
    let sent = playing.stop().remove(0);

    for started in [&first, &second, &third] {
        client.wait_completed(started);
    }
    let [wav_1, wav_2, wav_3] = [&first, &second, &third].map(|one| client.wav(one));
    let [pieces_1, pieces_2, pieces_3] =
        [&wav_1, &wav_2, &wav_3].map(|wav| judge::pieces(wav.mono(), &tape));
    judge_edges(
        "first",
        &wav_1,
        &pieces_1,
        &[start_1, pause_1, resume_1, stop_1],
        &sent,
    );
    judge_edges("second", &wav_2, &pieces_2, &[start_2, stop_2], &sent);
    judge_edges(
        "third",
        &wav_3,
        &pieces_3,
        &[start_3, pause_3, resume_3, stop_3],
        &sent,
    );
    assert!(
        pieces_1[1].at - pieces_1[0].end() <= PACKET,
        "skip leaves nothing: {pieces_1:?}"
    );
    let [kept, silent] = [
        pieces_3[1].at - pieces_3[0].end(),
        pieces_3[1].tape - pieces_3[0].tape_end(),
    ];
    assert!(
        kept.abs_diff(silent) <= PACKET,
        "silence leaves the pause's length: {pieces_3:?}"
    );

    let state = client.call(&call);
    assert_eq!(media_address(&state, "inbound"), Some(to), "{state}");
    let list = client
        .get(&client.path(&format!("/Calls/{call}/Recordings.json")))
        .expect(200)
        .json();
    let sids: Vec<&str> = list["recordings"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|recording| recording["sid"].as_str())
        .collect();
    assert_eq!(sids, [&third, &second, &first]);
    client.complete_call(&call).expect(200);
    if let Control::Application(application) = control {
        application.end();
    }
}
