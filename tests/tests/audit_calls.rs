//! The audit trail of calls that come by themselves: each recording that one begins, with who brought it and from where, and
//! its end; strangers by their number, in no more lines than a quiet day has.

use std::net::UdpSocket;
use std::time::Duration;

use reeld_tests::audiosocket::{self, FRAME};
use reeld_tests::client::call_sid;
use reeld_tests::patience::wait_for;
use reeld_tests::siprec::{Bed, STRICT_HEADERS, Scenario, Transport, metadata, multipart, offer};
use reeld_tests::siprec::{ports, recordings};
use reeld_tests::trail::{deeds, told};
use reeld_tests::{Setup, spoken};

#[test]
fn a_recording_that_a_call_begins_is_told_with_who_brought_it_and_how_it_ended() {
    let bed = Bed::start(Setup::new());
    let client = bed.client();
    let sid = call_sid(1);
    let sdp = offer(&[("1", "sendonly"), ("2", "sendonly")]);
    let body = multipart(&sdp, &metadata("eA==", &[("ann", "1"), ("bob", "2")]));
    let headers = format!("{STRICT_HEADERS}User-Agent: Border/7 (audited)\nX-Call-Sid: {sid}\n");
    let scenario = Scenario::new("audited")
        .request("INVITE", &headers, &body, 200)
        .wait(Duration::from_millis(1_500))
        .bye();
    let running = bed.begin(&scenario, Transport::Tcp);
    let [inbound, _] = ports(&client, &sid);
    let _ = spoken::speak(&[inbound], 50 * 160);
    running.finish();
    let json = recordings(&client, &sid, 1).remove(0);
    let recording = json["sid"].as_str().expect("a Sid");
    let entries = deeds(&bed.daemon, &["--recording", recording], 2);
    let found: Vec<_> = entries.iter().map(told).collect();
    let wanted = [
        ["start", "siprec", "Border/7 (audited)", "0"],
        ["end", "siprec", "call-completed", "0"],
    ];
    assert_eq!(found, wanted);
    for entry in &entries {
        assert_eq!(entry["address"], "127.0.0.1", "{entry}");
        assert_eq!(entry["account"], client.account(), "{entry}");
        assert_eq!(entry["call"], sid, "{entry}");
    }
    // Without an agent, and stopped by the API: that is one entry, of who did it.
    let bed = audiosocket::Bed::start(Setup::new());
    let client = bed.client();
    let mut connection = bed.call(1);
    connection.say(&vec![5; 25 * FRAME]);
    let call = audiosocket::call_sid(&client, 1);
    let change = client.change(&call, "Twilio.CURRENT", &[("Status", "stopped")]);
    change.expect(200);
    connection.hang_up();
    let json = recordings(&client, &call, 1).remove(0);
    let recording = json["sid"].as_str().expect("a Sid");
    let entries = deeds(&bed.daemon, &["--recording", recording], 2);
    let found: Vec<_> = entries.iter().map(told).collect();
    let wanted = [
        ["start", "audiosocket", "", "0"],
        ["stop", client.account(), "", "200"],
    ];
    assert_eq!(found, wanted);
    assert_eq!(entries[0]["address"], "127.0.0.1");
}

#[test]
fn a_flood_of_strangers_is_two_entries_that_count_them_all() {
    const FLOOD: u64 = 2_000;
    let setup = Setup::new().set("sip.allow", vec!["192.0.2.0/24".to_owned()]);
    let mut bed = Bed::start(setup);
    let client = bed.client();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has free ports");
    let send = |number: u64| {
        let request = format!(
            "REGISTER sip:x SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK{number}\r\nFrom: <sip:a@b>;tag=1\r\n\
             To: <sip:c@d>\r\nCall-ID: {number}\r\nCSeq: 1 REGISTER\r\nContent-Length: 0\r\n\r\n"
        );
        let sent = socket.send_to(request.as_bytes(), bed.server);
        sent.expect("loopback takes it");
    };
    let strangers = "reeld_incoming_messages_total{by=\"sip-udp\",result=\"stranger\"}";
    send(0);
    client.wait_figure(strangers, 1);
    let first = deeds(&bed.daemon, &[], 1).remove(0);
    assert_eq!(told(&first), ["turn-away", "sip", "not-allowed", "0"]);
    assert_eq!(
        (&first["address"], &first["bytes"]),
        (&"127.0.0.1".into(), &1.into())
    );
    let lines = bed.daemon.log().lines().count();
    for number in 1..=FLOOD {
        send(number);
        if number % 50 == 0 {
            client.wait_figure(strangers, number + 1);
        }
    }
    // Three more looks at who came.
    std::thread::sleep(Duration::from_secs(3));
    let _ = deeds(&bed.daemon, &[], 1);
    let more = bed.daemon.log().lines().count() - lines;
    assert!(more < 20, "{more} lines of the log for {FLOOD} strangers");
    assert!(bed.daemon.terminate().success());
    let all = deeds(&bed.daemon, &[], 2);
    assert_eq!(all[1]["bytes"], FLOOD, "{}", all[1]);
    let log = wait_for("the log's end", Duration::from_secs(20), || {
        let log = bed.daemon.log();
        log.contains("the daemon has ended").then_some(log)
    });
    assert_eq!(log.matches("turn-away").count(), 2, "{log}");
}
