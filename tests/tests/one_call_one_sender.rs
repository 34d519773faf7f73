//! One call, one sender that never changes where it sends: started, paused, resumed, stopped,
//! started again, and two recordings that overlap, of which one is paused.

use std::time::Instant;

use reeld_tests::client::{call_sid, media_address};
use reeld_tests::judge::{self, Piece};
use reeld_tests::script::Law;
use reeld_tests::span::instant_of;
use reeld_tests::{MediaKind, Sender, Setup, Span, Tape, Voice, Wav, for_each_media};

for_each_media!(one_sender_serves_all_recordings_of_its_call);

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
    let daemon = Setup::new().media(media).start();
    let client = daemon.client();
    let call = call_sid(1);
    let opened = client
        .open_call(&[("CallSid", &call), ("From", "+1"), ("To", "+2")])
        .expect(201);
    let to = media_address(&opened.json(), "inbound").expect("an inbound port");

    let tape = Tape::noise(Law::Mu, 1, 400 * PACKET);
    let playing = Sender::new().start(to, Voice::new(1).say(tape.codes()));
    let start = || {
        let started = client.start(&call, &[("RecordingTrack", "inbound")]);
        assert_eq!(
            started.inbound(),
            to,
            "the sender's destination never changes"
        );
        started
    };
    let change = |sid: &str, status: &str, behavior: &str| {
        let mut form = vec![("Status", status)];
        if !behavior.is_empty() {
            form.push(("PauseBehavior", behavior));
        }
        let json = client.change(&call, sid, &form).expect(200).json();
        assert_eq!(json["status"], status, "{json}");
        assert_eq!(media_address(&json, "inbound"), Some(to), "{json}");
    };

    playing.wait_until(0, 25);
    let (start_1, first) = Span::of(start);
    playing.wait_until(0, 75);
    let (pause_1, ()) = Span::of(|| change("Twilio.CURRENT", "paused", "skip"));
    playing.wait_until(0, 100);
    let (resume_1, ()) = Span::of(|| change(&first.sid, "in-progress", ""));
    playing.wait_until(0, 150);
    let (stop_1, ()) = Span::of(|| change("Twilio.CURRENT", "stopped", ""));

    playing.wait_until(0, 160);
    let (start_2, second) = Span::of(start);
    playing.wait_until(0, 200);
    let (start_3, third) = Span::of(start);
    let ambiguous = client.change(&call, "Twilio.CURRENT", &[("Status", "stopped")]);
    assert_eq!(ambiguous.status, 400, "{}", ambiguous.text());
    playing.wait_until(0, 230);
    let (pause_3, ()) = Span::of(|| change(&third.sid, "paused", "silence"));
    playing.wait_until(0, 250);
    let (stop_2, ()) = Span::of(|| change(&second.sid, "stopped", ""));
    playing.wait_until(0, 270);
    let (resume_3, ()) = Span::of(|| change(&third.sid, "in-progress", ""));
    playing.wait_until(0, 300);
    let (stop_3, ()) = Span::of(|| change(&third.sid, "stopped", ""));
    let none = client.change(&call, "Twilio.CURRENT", &[("Status", "stopped")]);
    none.expect_error(404, 20_404);
    let sent = playing.stop().remove(0);

    for started in [&first, &second, &third] {
        client.wait_completed(&started.sid);
    }
    let [wav_1, wav_2, wav_3] = [&first, &second, &third].map(|one| client.wav(&one.sid));
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
    assert_eq!(sids, [&third.sid, &second.sid, &first.sid]);
    client.complete_call(&call).expect(200);
}
