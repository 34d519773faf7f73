//! A restart in mid-call, by a supervisor that keeps descriptors: a recording client's session goes on with its call,
//! and its BYE, which reaches the next daemon, ends the same recording. So does one that began without an offer, and asks
//! the next daemon for one.

use std::time::Duration;

use reeld_tests::client::call_sid;
use reeld_tests::siprec::{Bed, Scenario, Transport, metadata, offer, ports, recordings};
use reeld_tests::trail::{deeds, told};
use reeld_tests::{Setup, judge, spoken};

/// A call whose first track is spoken on through a restart: its recording, which has all of it.
fn spoken_through_a_restart(scenario: &Scenario, sid: &str) -> serde_json::Value {
    let mut bed = Bed::start(Setup::new().supervised(Vec::new()));
    let client = bed.client();
    let running = bed.begin(scenario, Transport::Udp);
    let [inbound, _] = ports(&client, sid);
    let (playing, tapes) = spoken::begin(&[inbound], 250 * 160);
    playing.wait_until(0, 50);
    assert!(bed.daemon.terminate().success());
    bed.daemon.start_again();
    let of = |name: &str| client.figure(&format!("reeld_incoming_calls{name}"));
    let (open, begun) = (
        of("{source=\"siprec\"}"),
        of("_begun_total{source=\"siprec\"}"),
    );
    assert_eq!((open, begun), (1, 0), "taken up, and begun elsewhere");
    playing.finish();
    running.finish();
    let json = recordings(&client, sid, 1).remove(0);
    assert_eq!(json["ended_by"], "call-completed", "{json}");
    let wav = client.heard(&json);
    judge::exact(wav.dual()[0], &tapes[0].samples());
    let over = of("_ended_total{source=\"siprec\",cause=\"hung-up\"}");
    assert_eq!((over, of("{source=\"siprec\"}")), (1, 0));
    // One beginning and one end, though two daemons had it.
    let sid = json["sid"].as_str().expect("a Sid");
    let entries = deeds(&bed.daemon, &["--recording", sid], 2);
    let actions: Vec<_> = entries.iter().map(|entry| told(entry)[0].clone()).collect();
    assert_eq!(actions, ["start", "end"]);
    json
}

#[test]
fn a_session_goes_on_in_the_next_daemon() {
    let sid = call_sid(1);
    let sdp = offer(&[("1", "sendonly"), ("2", "sendonly")]);
    let xml = metadata("eA==", &[("ann", "1"), ("bob", "2")]);
    let scenario = Scenario::new("restart")
        .invite(&sid, &sdp, &xml)
        .wait(Duration::from_secs(8))
        .bye();
    let json = spoken_through_a_restart(&scenario, &sid);
    assert_eq!(json["participants"][1]["name"], "bob", "{json}");
}

#[test]
fn so_does_one_without_offers() {
    let sid = call_sid(2);
    let sdp = offer(&[("1", "sendonly"), ("2", "sendonly")]);
    let scenario = Scenario::new("delayed")
        .delayed(&format!("Require: siprec\nX-Call-Sid: {sid}\n"), &sdp)
        .wait(Duration::from_millis(4_500))
        .delayed("", &sdp)
        .wait(Duration::from_millis(3_500))
        .bye();
    let _ = spoken_through_a_restart(&scenario, &sid);
}
