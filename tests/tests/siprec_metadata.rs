//! Metadata of recording clients: changed in mid-call, broken in ways, and of makers who do otherwise than RFC 7865.
//! Each call is recorded; what is wrong is listed with it.

use std::time::Duration;

use reeld_tests::client::call_sid;
use reeld_tests::script::Law;
use reeld_tests::siprec::{
    Bed, SDP, STRICT_HEADERS, Scenario, Transport, metadata, multipart, offer, ports, recordings,
};
use reeld_tests::{Sender, Setup, Tape, Voice, judge};

const XML: &str =
    "Content-Type: application/rs-metadata+xml\nContent-Disposition: recording-session\n";

#[test]
fn who_comes_and_goes_in_mid_call_is_in_the_record() {
    let bed = Bed::start(Setup::new());
    let client = bed.client();
    let sid = call_sid(1);
    let lines = offer(&[("1", "sendonly"), ("2", "sendonly")]);
    let before = metadata("eA==", &[("ann", "1"), ("bob", "2")]);
    // A transfer: metadata alone; then with an offer in which a third line takes the place of the second.
    let after = metadata("eA==", &[("ann", "1"), ("eve", "2")]);
    let third = offer(&[("1", "sendonly"), ("2", "sendonly"), ("3", "sendonly")])
        .replace("m=audio 40002", "m=audio 0");
    let last = metadata("eA==", &[("ann", "1"), ("dan", "3")]);
    let pause = Duration::from_millis(700);
    let scenario = Scenario::new("transfer")
        .invite(&sid, &lines, &before)
        .wait(pause)
        .request("UPDATE", XML, &after, 200)
        .wait(pause)
        .request("INVITE", STRICT_HEADERS, &multipart(&third, &last), 200)
        .wait(Duration::from_millis(1_800))
        .bye();
    let running = bed.begin(&scenario, Transport::Udp);
    let [inbound, outbound] = ports(&client, &sid);
    let tape = Tape::noise(Law::Mu, 5, 120 * 160);
    let playing = Sender::new().start(inbound, Voice::new(5).say(tape.codes()));
    std::thread::sleep(Duration::from_millis(1_700));
    assert_eq!(ports(&client, &sid), [inbound, outbound], "the ports stay");
    let other = Tape::noise(Law::Mu, 6, 20 * 160);
    Sender::new().play(outbound, Voice::new(6).say(other.codes()));
    playing.finish();
    running.finish();
    let json = recordings(&client, &sid, 1).remove(0);
    let names: Vec<&str> = json["participants"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|one| one["name"].as_str())
        .collect();
    assert_eq!(names, ["ann", "bob", "eve", "dan"], "{json}");
    let left: Vec<bool> = json["participants"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| !one["left"].is_null())
        .collect();
    assert_eq!(left, [false, true, true, false], "{json}");
    assert_eq!(json["participants"][3]["track"], "outbound", "{json}");
    let wav = client.heard(&json);
    judge::exact(wav.dual()[0], &tape.samples());
    judge::exact(wav.dual()[1], &other.samples());

    // Found by whom it was of, at any time, and by its session.
    let found = |filter: &str| {
        let reply = client.get(&client.path(&format!("/Recordings.json?{filter}")));
        reply.expect(200).json()["recordings"]
            .as_array()
            .map(Vec::len)
    };
    for one in [
        "Participant=DAN",
        "Participant=sip:bob@a.example",
        "SessionId=eA%3D%3D",
    ] {
        assert_eq!(found(one), Some(1), "{one}");
    }
    for none in ["Participant=zoe", "Participant=eA%3D%3D", "SessionId=dan"] {
        assert_eq!(found(none), Some(0), "{none}");
    }
    let both = client.get(&client.path(&format!("/Recordings.json?Participant=dan&CallSid={sid}")));
    assert!(
        both.expect(400).text().contains("Participant"),
        "it says what is wrong"
    );
}

#[test]
fn no_broken_document_costs_a_call() {
    let bed = Bed::start(Setup::with_ports(256));
    let client = bed.client();
    let good = metadata("eA==", &[("ann", "1"), ("bob", "2")]);
    let lines = offer(&[("1", "sendonly"), ("2", "sendonly")]);
    let broken = [
        "no XML".to_owned(),
        good[..good.len() / 2].to_owned(),
        good.replace("</recording>", ""),
        good.replace("session_id=\"eA==\"", ""),
        good.replace("<send>s-2</send>", "<send>nowhere</send>"),
        good.replace(
            "participant_id=\"p-bob\"><nameID",
            "participant_id=\"other\"><nameID",
        ),
        good.replace("<label>2</label>", "<label>9</label>"),
        good.replace("<name>ann</name>", "<name>ann & <b>&undefined;</name>"),
        good.replace("<datamode>complete</datamode>", ""),
        good.replace("recording", "something"),
    ];
    for (number, xml) in (10..).zip(&broken) {
        let sid = call_sid(number);
        let scenario = Scenario::new("broken")
            .invite(&sid, &lines, xml)
            .wait(Duration::from_millis(600))
            .bye();
        let running = bed.begin(&scenario, Transport::Udp);
        let [inbound, outbound] = ports(&client, &sid);
        let tape = Tape::noise(Law::Mu, number, 10 * 160);
        Sender::new().play(inbound, Voice::new(number).say(tape.codes()));
        Sender::new().play(outbound, Voice::new(number + 100).say(tape.codes()));
        running.finish();
        let json = recordings(&client, &sid, 1).remove(0);
        let warnings = json["warnings"].as_array().expect("a list");
        assert!(!warnings.is_empty(), "nothing is said of {xml}");
        let wav = client.heard(&json);
        judge::exact(wav.dual()[0], &tape.samples());
    }
}

#[test]
fn bodies_of_several_makers_are_recorded() {
    let bed = Bed::start(Setup::with_ports(128));
    let client = bed.client();
    let lines = offer(&[("1", "sendonly"), ("2", "sendonly")]);
    let good = metadata("eA==", &[("ann", "1"), ("bob", "2")]);
    let short = good
        .replace("session_id", "id")
        .replace("stream_id", "id")
        .replace("participant_id", "id")
        .replace(":1\"", "\"");
    let both = multipart(&lines, &short);
    let mixed = offer(&[("1", "sendonly")]).replace("a=sendonly\n", "");
    for (number, headers, body, tracks) in [
        // A type without +xml, ids by their short names, another namespace, no Require.
        (
            30,
            STRICT_HEADERS.replace("Require: siprec\n", ""),
            both.replace("rs-metadata+xml", "rs-metadata"),
            2,
        ),
        // No closing boundary, and a third part.
        (
            31,
            STRICT_HEADERS.to_owned(),
            both.replace(
                "--uniqueBoundary--",
                "--uniqueBoundary\nContent-Type: application/gtd\n\nIAM,\n",
            ),
            2,
        ),
        // One mixed line and metadata of two.
        (32, STRICT_HEADERS.to_owned(), multipart(&mixed, &good), 1),
        // Metadata first, no space behind a header's colon, a wrong length.
        (
            33,
            "Content-Type: multipart/mixed;boundary=B\n".to_owned(),
            format!(
                "--B\nContent-Type:application/ +xml\nContent-Length:2012\n\n{good}\n--B\nContent-Type: application/sdp\n\n{lines}\n--B--"
            ),
            2,
        ),
        // No address anywhere, no t=.
        (
            34,
            SDP.to_owned(),
            lines.replace("c=IN IP4 127.0.0.1\nt=0 0\n", ""),
            2,
        ),
    ] {
        let sid = call_sid(number);
        let headers = format!("X-Call-Sid: {sid}\n{headers}");
        let scenario = Scenario::new("maker")
            .request("INVITE", &headers, &body, 200)
            .wait(Duration::from_millis(700))
            .bye();
        let running = bed.begin(&scenario, Transport::Tcp);
        let to = ports(&client, &sid);
        let tape = Tape::noise(Law::Mu, number, 10 * 160);
        for to in &to[..tracks] {
            Sender::new().play(*to, Voice::new(number).say(tape.codes()));
        }
        running.finish();
        let json = recordings(&client, &sid, 1).remove(0);
        assert_eq!(json["channels"], tracks, "{json}");
        let wav = client.heard(&json);
        if tracks == 2 {
            judge::exact(wav.dual()[0], &tape.samples());
        } else {
            judge::exact(wav.mono(), &tape.samples());
        }
    }
}
