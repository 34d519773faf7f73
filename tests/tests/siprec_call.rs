//! A recording client's call, by UDP and by TCP, with sipp as the client: recorded to the sample, the caller
//! left and the callee right, whatever the order of its lines; ended by its BYE, or by ours.

use std::time::{Duration, Instant};

use reeld_tests::client::call_sid;
use reeld_tests::siprec::{
    Bed, SDP, Scenario, Transport, metadata, multipart, offer, ports, recordings,
};
use reeld_tests::{Setup, Tape, judge, spoken};

const TALK: Duration = Duration::from_millis(2_000);
const SAMPLES: usize = 8_000;

/// One second of sound for each of these ports at once.
fn speak(to: &[std::net::SocketAddr]) -> Vec<Tape> {
    spoken::speak(to, SAMPLES)
}

fn a_call_is_recorded(transport: Transport) {
    let bed = Bed::start(Setup::new());
    let client = bed.client();
    let sid = call_sid(1);
    // The callee's line is the first one.
    let sdp = offer(&[("2", "sendonly"), ("1", "sendonly")]);
    let xml = metadata("c2Vzc2lvbg==", &[("ann", "1"), ("bob", "2")]);
    let scenario = Scenario::new("call")
        .invite(&sid, &sdp, &xml)
        .wait(TALK)
        .bye();
    let running = bed.begin(&scenario, transport);
    let [inbound, outbound] = ports(&client, &sid);
    let open = client.call(&sid);
    assert_eq!(
        open["participants"][0]["aor"], "sip:ann@a.example",
        "{open}"
    );
    assert_eq!(
        (&open["from"], &open["to"]),
        (&"sip:ann@a.example".into(), &"sip:bob@a.example".into())
    );
    let figure = |name: &str| client.figure(&format!("reeld_incoming_{name}"));
    client.wait_figure("reeld_incoming_calls_begun_total{source=\"siprec\"}", 1);
    let calls = ["calls", "calls_begun_total", "recordings_total"]
        .map(|name| figure(&format!("{name}{{source=\"siprec\"}}")));
    assert_eq!(calls, [1, 1, 1]);
    if let Transport::Tcp = transport {
        assert_eq!(figure("connections{by=\"sip-tcp\"}"), 1);
    }
    let tapes = speak(&[inbound, outbound]);
    running.finish();
    let ended = Instant::now();
    let json = recordings(&client, &sid, 1).remove(0);
    // BYE to fetchable, with a look every few milliseconds and a busy machine.
    assert!(
        ended.elapsed() < Duration::from_secs(2),
        "{:?}",
        ended.elapsed()
    );
    assert_eq!(
        (&json["ended_by"], &json["source"]),
        (&"call-completed".into(), &"Trunking".into()),
        "{json}"
    );
    // INVITE, ACK, BYE.
    let way = match transport {
        Transport::Udp => "sip-udp",
        Transport::Tcp => "sip-tcp",
    };
    let taken = figure(&format!("messages_total{{by=\"{way}\",result=\"taken\"}}"));
    let over = figure("calls_ended_total{source=\"siprec\",cause=\"hung-up\"}");
    let open = figure("calls{source=\"siprec\"}");
    // A busy machine may have made the client say it again.
    assert!(taken >= 3, "{taken}");
    assert_eq!((over, open), (1, 0));
    assert_eq!(json["warnings"], serde_json::json!([]), "{json}");
    let participants = &json["participants"];
    assert_eq!(
        (&participants[0]["track"], &participants[1]["track"]),
        (&"inbound".into(), &"outbound".into())
    );
    assert_eq!(json["signalling"]["session_id"], "c2Vzc2lvbg==", "{json}");
    let wav = client.heard(&json);
    for (channel, tape) in wav.dual().into_iter().zip(&tapes) {
        judge::exact(channel, &tape.samples());
    }
    let ended = client.call(&sid);
    assert_eq!(
        (&ended["status"], &ended["external_id"]),
        (&"completed".into(), &"c2Vzc2lvbg==".into()),
        "{ended}"
    );
}

#[test]
fn a_call_is_recorded_by_udp() {
    a_call_is_recorded(Transport::Udp);
}

#[test]
fn a_call_is_recorded_by_tcp() {
    a_call_is_recorded(Transport::Tcp);
}

#[test]
fn one_mixed_line_without_metadata_is_a_mono_recording() {
    let bed = Bed::start(Setup::new());
    let client = bed.client();
    let sid = call_sid(2);
    let headers = format!("X-Call-Sid: {sid}\n{SDP}");
    let sdp = offer(&[("1", "sendonly")]).replace("a=sendonly\n", "");
    let scenario = Scenario::new("mixed")
        .request("INVITE", &headers, &sdp, 200)
        .wait(TALK)
        .bye();
    let running = bed.begin(&scenario, Transport::Udp);
    let [inbound, _] = ports(&client, &sid);
    let tapes = speak(&[inbound]);
    running.finish();
    let json = recordings(&client, &sid, 1).remove(0);
    assert!(json["warnings"].to_string().contains("none came"), "{json}");
    judge::exact(client.heard(&json).mono(), &tapes[0].samples());
}

#[test]
fn a_call_without_a_name_is_named_by_its_session_and_parts_of_it_are_one_call() {
    let bed = Bed::start(Setup::new());
    let client = bed.client();
    let xml = metadata("dGhlIHNlc3Npb24=", &[("ann", "1"), ("bob", "2")]);
    let body = multipart(&offer(&[("1", "sendonly"), ("2", "sendonly")]), &xml);
    let name = format!("reeld-call\0{}\0dGhlIHNlc3Npb24=", client.account());
    let sid = format!("CA{}", &blake3::hash(name.as_bytes()).to_hex()[..32]);
    for part in 1..=2 {
        let scenario = Scenario::new("part")
            .request("INVITE", reeld_tests::siprec::STRICT_HEADERS, &body, 200)
            .wait(TALK)
            .bye();
        let running = bed.begin(&scenario, Transport::Udp);
        let _ = speak(&ports(&client, &sid));
        running.finish();
        assert_eq!(recordings(&client, &sid, part).len(), part);
    }
}

#[test]
fn a_silent_call_lasts_until_its_bye_and_is_absent() {
    // Neither the first packet nor inactivity ends what is signalled.
    let setup = Setup::new()
        .set("capture.first_packet", "1s")
        .set("capture.inactivity", "1s");
    let bed = Bed::start(setup);
    let client = bed.client();
    let sid = call_sid(3);
    let xml = metadata("eA==", &[("ann", "1"), ("bob", "2")]);
    let sdp = offer(&[("1", "sendonly"), ("2", "sendonly")]);
    let running = bed.begin(
        &Scenario::new("silent")
            .invite(&sid, &sdp, &xml)
            .wait(Duration::from_secs(4))
            .bye(),
        Transport::Udp,
    );
    let _ = ports(&client, &sid);
    std::thread::sleep(Duration::from_millis(2_500));
    assert_eq!(client.call(&sid)["status"], "in-progress");
    running.finish();
    let json = recordings(&client, &sid, 1).remove(0);
    assert_eq!(
        (&json["status"], &json["ended_by"]),
        (&"absent".into(), &"call-completed".into()),
        "{json}"
    );
}

#[test]
fn a_call_that_the_api_ends_is_hung_up() {
    let bed = Bed::start(Setup::new());
    let client = bed.client();
    for (number, transport) in [(4, Transport::Udp), (5, Transport::Tcp)] {
        let sid = call_sid(number);
        let xml = metadata("eA==", &[("ann", "1"), ("bob", "2")]);
        let sdp = offer(&[("1", "sendonly"), ("2", "sendonly")]);
        let running = bed.begin(
            &Scenario::new("hung_up").invite(&sid, &sdp, &xml).hung_up(),
            transport,
        );
        let _ = speak(&ports(&client, &sid));
        client.complete_call(&sid).expect(200);
        running.finish();
        assert_eq!(
            recordings(&client, &sid, 1)[0]["ended_by"],
            "call-completed"
        );
    }
    let over = "reeld_incoming_calls_ended_total{source=\"siprec\",cause=\"here\"}";
    assert_eq!(client.figure(over), 2);
}
