//! INVITEs without an offer: the server's goes out with its 200, and the ACK has the answer. A telephone's, a recording
//! client's, one in the middle of a call of which no packet is lost, and one that is never answered.

use std::time::Duration;

use reeld_tests::client::call_sid;
use reeld_tests::script::Law;
use reeld_tests::siprec::{Bed, Scenario, Transport, metadata, offer, ports, recordings};
use reeld_tests::{Sender, Setup, Tape, Voice, judge};

fn of_one() -> String {
    offer(&[("1", "sendonly")]).replace("\na=label:1", "")
}

fn a_telephone_is_recorded(transport: Transport) {
    let bed = Bed::start(Setup::new());
    let client = bed.client();
    let sid = call_sid(1);
    let scenario = Scenario::plain("plain", "<sip:+15550100@pbx.example>")
        .delayed(&format!("X-Call-Sid: {sid}\n"), &of_one())
        .wait(Duration::from_millis(2_500))
        .delayed("", &of_one())
        .wait(Duration::from_millis(500))
        .delayed(
            "Session-Expires: 1800;refresher=uac\nSupported: timer\n",
            "",
        )
        .wait(Duration::from_millis(3_000))
        .bye();
    let running = bed.begin(&scenario, transport);
    let [inbound, _] = ports(&client, &sid);
    let tape = Tape::noise(Law::Mu, 1, 150 * 160);
    let playing = Sender::new().start(inbound, Voice::new(1).say(tape.codes()));
    playing.finish();
    running.finish();
    let json = recordings(&client, &sid, 1).remove(0);
    assert_eq!(json["ended_by"], "call-completed", "{json}");
    assert_eq!(json["channels"], 1, "{json}");
    assert_eq!(json["warnings"], serde_json::json!([]), "{json}");
    let wav = client.wav(json["sid"].as_str().expect("a Sid"));
    judge::exact(wav.mono(), &tape.samples());
}

#[test]
fn a_telephone_by_udp() {
    a_telephone_is_recorded(Transport::Udp);
}

#[test]
fn a_telephone_by_tcp() {
    a_telephone_is_recorded(Transport::Tcp);
}

#[test]
fn a_recording_client_has_a_line_for_each_party() {
    let bed = Bed::start(Setup::new());
    let client = bed.client();
    let sid = call_sid(2);
    let xml = metadata("eA==", &[("ann", "11"), ("bob", "12")]);
    let headers =
        format!("Require: siprec\nX-Call-Sid: {sid}\nContent-Type: application/rs-metadata+xml\n");
    let answer = offer(&[("11", "sendonly"), ("12", "sendonly")]);
    // The metadata come with the INVITE, the SDP with its ACK.
    let scenario = Scenario::new("both")
        .delayed_with(&headers, &xml, &answer)
        .wait(Duration::from_millis(4_000))
        .bye();
    let running = bed.begin(&scenario, Transport::Udp);
    let to = ports(&client, &sid);
    let tapes = [1, 2].map(|seed| Tape::noise(Law::Mu, seed, 100 * 160));
    let playing = [0, 1].map(|side: usize| {
        let voice = Voice::new(side as u64 + 1).say(tapes[side].codes());
        Sender::new().start(to[side], voice)
    });
    for voice in playing {
        voice.finish();
    }
    running.finish();
    let json = recordings(&client, &sid, 1).remove(0);
    assert_eq!(json["warnings"], serde_json::json!([]), "{json}");
    let tracks: Vec<&str> = json["participants"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|one| one["track"].as_str())
        .collect();
    assert_eq!(tracks, ["inbound", "outbound"], "{json}");
    let wav = client.wav(json["sid"].as_str().expect("a Sid"));
    for (side, tape) in tapes.iter().enumerate() {
        judge::exact(wav.dual()[side], &tape.samples());
    }
}

#[test]
fn one_that_is_not_answered_is_hung_up_and_leaves_no_file() {
    let bed = Bed::start(Setup::new());
    let client = bed.client();
    let sid = call_sid(3);
    let scenario = Scenario::plain("unanswered", "<sip:+15550100@pbx.example>")
        .delayed(&format!("X-Call-Sid: {sid}\n"), "")
        .hung_up();
    bed.play(&scenario, Transport::Udp);
    let json = recordings(&client, &sid, 1).remove(0);
    assert_eq!(
        (json["status"].as_str(), json["error_code"].as_u64()),
        (Some("absent"), Some(16101)),
        "{json}"
    );
}
