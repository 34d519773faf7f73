//! What cannot be taken is refused with 503 that says what is wanting, and taken again when there
//! is room: ports, recordings, disk. What runs is not touched.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use reeld_tests::client::call_sid;
use reeld_tests::patience::wait_for;
use reeld_tests::script::Law;
use reeld_tests::{Reply, Sender, Setup, Tape, Voice, judge};

/// Holds an answer to 503 that names what is wanting and says when to come again.
#[track_caller]
fn assert_unavailable(reply: Reply, named: &str) {
    let reply = reply.expect(503);
    assert!(reply.text().contains(named), "{}", reply.text());
    let after: Option<u32> = reply
        .header("retry-after")
        .and_then(|text| text.parse().ok());
    assert!(after.is_some(), "{:?}", reply.headers);
}

#[test]
fn no_free_port_is_503_until_one_has_rested() {
    let setup = Setup::with_ports(8);
    let range = setup.ports().range();
    let daemon = setup.start();
    let client = daemon.client();
    let first = client.start(&call_sid(1), &[]);
    client.start(&call_sid(2), &[]);
    assert_unavailable(client.try_start(&call_sid(3), &[]), &range);
    assert_unavailable(client.open_call(&[("CallSid", &call_sid(3))]), &range);
    assert_eq!(
        client.get_public("/readyz").status,
        503,
        "it cannot take a new recording"
    );
    assert_eq!(client.get_public("/healthz").status, 200, "but it lives");

    // Another recording of an open call needs no port.
    let again = client.start(&call_sid(1), &[]);
    assert_eq!(again.inbound(), first.inbound());
    client.complete_call(&call_sid(2)).expect(200);
    let freed = wait_for("free port", Duration::from_secs(120), || {
        let reply = client.try_start(&call_sid(3), &[]);
        (reply.status == 201).then_some(reply)
    });
    assert!(freed.json()["media"].is_array());
}

#[test]
fn too_many_recordings_is_503() {
    let daemon = Setup::new().set("capture.max_recordings", 2).start();
    let client = daemon.client();
    let first = client.start(&call_sid(1), &[("RecordingTrack", "inbound")]);
    client.start(&call_sid(2), &[]);
    let refused = client.try_start(&call_sid(3), &[]);
    assert_unavailable(refused, "capture.max_recordings");
    let tape = Tape::noise(Law::Mu, 1, 8_000);
    Sender::new().play(first.inbound(), Voice::new(1).say(tape.codes()));
    judge::exact(client.finish(&first).mono(), &tape.samples());
    client.start(&call_sid(3), &[]);
    // What was refused left nothing behind.
    let list = client
        .get(&client.path("/Recordings.json"))
        .expect(200)
        .json();
    assert_eq!(list["total"], 3, "{list}");
}

#[test]
fn too_little_disk_is_503_and_reading_goes_on() {
    let daemon = Setup::new().set("store.min_free", "4EiB").start_unready();
    let client = daemon.client();
    assert_unavailable(client.try_start(&call_sid(1), &[]), "disk");
    assert_eq!(client.get_public("/readyz").status, 503);
    let list = client
        .get(&client.path("/Recordings.json"))
        .expect(200)
        .json();
    assert_eq!(list["total"], 0, "{list}");
}

#[test]
fn a_call_that_is_not_open_is_21220_where_twilios_answer_is_wanted() {
    let daemon = Setup::new().set("api.start_unknown_call", false).start();
    let client = daemon.client();
    client
        .try_start(&call_sid(1), &[])
        .expect_error(400, 21_220);
    client.open_call(&[("CallSid", &call_sid(1))]).expect(201);
    client.start(&call_sid(1), &[]);
}

#[test]
fn a_port_that_somebody_else_holds_is_skipped() {
    let setup = Setup::with_ports(12);
    let first = setup.ports().first();
    let _rtp = UdpSocket::bind((Ipv4Addr::LOCALHOST, first)).expect("the port is ours");
    let _rtcp = UdpSocket::bind((Ipv4Addr::LOCALHOST, first + 5)).expect("the port is ours");
    let daemon = setup.start();
    let client = daemon.client();
    let started = [1, 2].map(|call| client.start(&call_sid(call), &[]));
    for address in started
        .iter()
        .flat_map(|one| [one.inbound(), one.outbound()])
    {
        assert_eq!(address.port() % 2, 0, "RTP is on the even port of its pair");
        assert!(
            ![first, first + 4].contains(&address.port()),
            "{address} is somebody else's"
        );
    }
    assert_eq!(client.try_start(&call_sid(3), &[]).status, 503);
}
