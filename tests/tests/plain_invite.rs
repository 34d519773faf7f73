//! An INVITE like that to a telephone, as FreeSWITCH makes it for `eavesdrop`: one line of
//! audio, no metadata, no word of SIPREC. It is recorded, mixed as it comes, and who called whom is its From and To.

use std::time::Duration;

use reeld_tests::client::call_sid;
use reeld_tests::siprec::{Bed, Scenario, Transport, ports, recordings};
use reeld_tests::{Setup, judge, spoken};

/// What FreeSWITCH offers, with its own headers.
const SDP: &str = "v=0\no=FreeSWITCH 1764144000 1764144001 IN IP4 127.0.0.1\ns=FreeSWITCH\nc=IN IP4 127.0.0.1\nt=0 0\n\
    m=audio 40000 RTP/AVP 0 8 101 13\na=rtpmap:0 PCMU/8000\na=rtpmap:8 PCMA/8000\na=rtpmap:101 telephone-event/8000\n\
    a=fmtp:101 0-15\na=rtpmap:13 CN/8000\na=ptime:20";
const HEADERS: &str = "User-Agent: FreeSWITCH-mod_sofia/1.10.12\nAllow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE\n\
    Supported: timer, path, replaces\nAllow-Events: talk, hold, conference, refer\nX-FS-Support: update_display,send_info\n\
    Content-Disposition: session\nContent-Type: application/sdp\n";

fn a_plain_call_is_recorded(transport: Transport) {
    let bed = Bed::start(Setup::new());
    let client = bed.client();
    let sid = call_sid(1);
    let from = "\"Ann\" <sip:+15550100@fs.example>";
    let headers = format!("X-Call-Sid: {sid}\n{HEADERS}");
    // Put on hold, and taken again.
    let hold = format!("{SDP}\na=inactive").replace("1764144001", "1764144002");
    let taken = format!("{SDP}\na=sendrecv").replace("1764144001", "1764144003");
    let scenario = Scenario::plain("plain", from)
        .request("INVITE", &headers, SDP, 200)
        .wait(Duration::from_millis(6_000))
        .request("INVITE", HEADERS, &hold, 200)
        .wait(Duration::from_millis(500))
        .request("INVITE", HEADERS, &taken, 200)
        .wait(Duration::from_millis(500))
        .bye();
    let running = bed.begin(&scenario, transport);
    let [inbound, _] = ports(&client, &sid);
    let open = client.call(&sid);
    assert_eq!(open["from"], "sip:+15550100@fs.example", "{open}");
    let tapes = spoken::speak(&[inbound], 100 * 160);
    running.finish();
    let json = recordings(&client, &sid, 1).remove(0);
    assert_eq!(json["ended_by"], "call-completed", "{json}");
    for figure in [
        "calls_begun_total{source=\"sip\"}",
        "calls_ended_total{source=\"sip\",cause=\"hung-up\"}",
        "recordings_total{source=\"sip\"}",
    ] {
        let count = client.figure(&format!("reeld_incoming_{figure}"));
        assert_eq!(count, 1, "{figure}");
    }
    assert_eq!(json["warnings"], serde_json::json!([]), "{json}");
    let wav = client.heard(&json);
    judge::exact(wav.mono(), &tapes[0].samples());
}

#[test]
fn by_udp() {
    a_plain_call_is_recorded(Transport::Udp);
}

#[test]
fn by_tcp() {
    a_plain_call_is_recorded(Transport::Tcp);
}
