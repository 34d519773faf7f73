//! Who may call a SIPREC server, whose account a call is, and what is said where one cannot be: 403, 420, 481, 488, 503.
//! What is no SIP, and what is too much of it, harms nothing.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use reeld_tests::Setup;
use reeld_tests::client::call_sid;
use reeld_tests::siprec::{Bed, SDP, Scenario, Transport, metadata, multipart, offer, ports};

/// How many calls of what brings them were refused for a reason.
fn refused(bed: &Bed) -> impl Fn(&str, &str) -> u64 {
    let client = bed.client();
    move |source, reason| {
        let labels = format!("{{source=\"{source}\",reason=\"{reason}\"}}");
        client.figure(&format!("reeld_incoming_calls_refused_total{labels}"))
    }
}

fn two() -> String {
    offer(&[("1", "sendonly"), ("2", "sendonly")])
}

#[test]
fn what_cannot_be_is_said_by_its_status() {
    let bed = Bed::start(Setup::new().set("capture.max_recordings", 1));
    for (name, headers, body, status) in [
        (
            "extension",
            format!("Require: siprec, unheard-of\n{SDP}"),
            two(),
            420,
        ),
        (
            "srtp",
            SDP.to_owned(),
            two().replace("RTP/AVP", "RTP/SAVP"),
            488,
        ),
        (
            "codec",
            SDP.to_owned(),
            two().replace("AVP 0 8 101", "AVP 18"),
            488,
        ),
        (
            "lineless",
            SDP.to_owned(),
            "v=0\ns=-\nt=0 0".to_owned(),
            488,
        ),
        (
            "encoded",
            format!("Content-Encoding: gzip\n{SDP}"),
            two(),
            415,
        ),
    ] {
        bed.play(
            &Scenario::new(name).request("INVITE", &headers, &body, status),
            Transport::Udp,
        );
    }
    bed.play(
        &Scenario::new("options").request("OPTIONS", "", "", 200),
        Transport::Tcp,
    );
    bed.play(
        &Scenario::new("bye").request("BYE", "", "", 481),
        Transport::Udp,
    );
    // One recording may run: the second call is put off, and the first goes on.
    let sid = call_sid(1);
    let xml = metadata("eA==", &[("ann", "1"), ("bob", "2")]);
    let first = Scenario::new("first")
        .invite(&sid, &two(), &xml)
        .wait(Duration::from_secs(3))
        .bye();
    let running = bed.begin(&first, Transport::Udp);
    let _ = ports(&bed.client(), &sid);
    let second = Scenario::new("second").request("INVITE", SDP, &two(), 503);
    bed.play(&second, Transport::Tcp);
    running.finish();
    let refused = refused(&bed);
    assert_eq!(refused("siprec", "unusable"), 5);
    assert_eq!(refused("siprec", "busy"), 1);
}

#[test]
fn who_is_not_allowed_is_refused_and_a_call_goes_to_its_account() {
    let bed = Bed::start(Setup::new().set("sip.allow", vec!["192.0.2.0/24".to_owned()]));
    bed.play(
        &Scenario::new("stranger").request("INVITE", SDP, &two(), 403),
        Transport::Udp,
    );
    assert!(TcpStream::connect(bed.server).map_or(true, |mut stream| {
        let _ = stream.write_all(b"OPTIONS sip:x SIP/2.0\r\n\r\n");
        stream.read(&mut [0; 16]).map_or(true, |length| length == 0)
    }));
    let client = bed.client();
    assert_eq!(refused(&bed)("siprec", "not-allowed"), 1);
    client.wait_figure(
        "reeld_incoming_connections_refused_total{by=\"sip-tcp\",reason=\"not-allowed\"}",
        1,
    );
    let strangers = "reeld_incoming_messages_total{by=\"sip-udp\",result=\"stranger\"}";
    assert!(client.figure(strangers) >= 1);

    let sid = "AC00000000000000000000000000000009";
    let bed =
        Bed::start(Setup::new().set("sip.routes", vec![format!("{sid}=header:X-Tenant:acme")]));
    let scenario = Scenario::new("unrouted").request("INVITE", SDP, &two(), 403);
    bed.play(&scenario, Transport::Udp);
    // A rule for an account that there is not.
    let headers = format!("X-Tenant: acme\n{SDP}");
    bed.play(
        &Scenario::new("unknown").request("INVITE", &headers, &two(), 500),
        Transport::Udp,
    );
    assert_eq!(refused(&bed)("siprec", "no-account"), 2);

    // And for the one that there is.
    let mut bed = Bed::start(Setup::new());
    let client = bed.client();
    bed.daemon.terminate();
    let config = std::fs::read_to_string(bed.daemon.config()).expect("it is there");
    let rule = format!(
        "[sip]\nroutes = [\"{}=network:127.0.0.0/8 header:X-Tenant:acme\"]",
        client.account()
    );
    std::fs::write(bed.daemon.config(), config.replace("[sip]", &rule)).expect("it can be written");
    bed.daemon.start_again();
    bed.play(&scenario, Transport::Udp);
    let sid = call_sid(9);
    let headers = format!("X-Call-Sid: {sid}\n{headers}");
    let scenario = Scenario::new("routed").request("INVITE", &headers, &two(), 200);
    let running = bed.begin(&scenario.wait(Duration::from_secs(1)).bye(), Transport::Udp);
    let _ = ports(&client, &sid);
    running.finish();
}

#[test]
fn what_is_no_sip_harms_nothing() {
    let bed = Bed::start(Setup::new());
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has free ports");
    let invite = format!(
        "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\n\
         Call-ID: x\r\nCSeq: 1 INVITE\r\nContent-Type: multipart/mixed;boundary=b\r\n\r\n{}",
        multipart(&two(), &"<a>".repeat(10_000))
    );
    for length in 0..invite.len().min(3_000) {
        let _ = socket.send_to(&invite.as_bytes()[..length], bed.server);
    }
    for _ in 0..200 {
        let _ = socket.send_to(&[0xff; 1_400], bed.server);
        let _ = socket.send_to(invite.as_bytes(), bed.server);
    }
    let mut stream = TcpStream::connect(bed.server).expect("it listens");
    let wait = Some(Duration::from_secs(10));
    stream.set_read_timeout(wait).expect("a time is set");
    stream.set_write_timeout(wait).expect("a time is set");
    let mut sent = 0;
    while sent < 1 << 20 && stream.write_all(&[b'x'; 4_096]).is_ok() {
        sent += 4_096;
    }
    // It is closed, or reset where something was unread.
    let end = stream.read(&mut [0; 16]);
    let is_closed = end.as_ref().map_or_else(
        |error| error.kind() == ErrorKind::ConnectionReset,
        |length| *length == 0,
    );
    assert!(is_closed, "a stream without a message is closed: {end:?}");
    let client = bed.client();
    let malformed = |by| {
        let labels = format!("{{by=\"{by}\",result=\"malformed\"}}");
        client.figure(&format!("reeld_incoming_messages_total{labels}"))
    };
    assert_eq!(malformed("sip-tcp"), 1);
    // Those of the 200 that are no text that the kernel had room for, and halves.
    assert!(malformed("sip-udp") > 20);
    bed.play(
        &Scenario::new("options").request("OPTIONS", "", "", 200),
        Transport::Udp,
    );
}
