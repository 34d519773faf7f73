//! Control in XML, in both versions: where a call takes its RTP, a recording's live status, and the
//! list of a call's recordings.

use std::net::SocketAddr;

use reeld_tests::client::call_sid;
use reeld_tests::script::Law;
use reeld_tests::{Reply, Sender, Setup, Tape, Voice, judge};
use roxmltree::Document;

/// The text of the first element of this name.
fn field(reply: &Reply, name: &str) -> String {
    let text = reply.text();
    let document = Document::parse(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let found = document.descendants().find(|node| node.has_tag_name(name));
    found
        .unwrap_or_else(|| panic!("no {name} in {text}"))
        .text()
        .unwrap_or("")
        .to_owned()
}

/// `<Media><Stream track="inbound" address="127.0.0.1" port="20000"/>…</Media>`
fn media(reply: &Reply, track: &str) -> SocketAddr {
    let text = reply.text();
    let document = Document::parse(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let media = document
        .descendants()
        .find(|node| node.has_tag_name("Media"));
    let media = media.unwrap_or_else(|| panic!("no Media in {text}"));
    let stream = media
        .children()
        .find(|node| node.has_tag_name("Stream") && node.attribute("track") == Some(track));
    let stream = stream.unwrap_or_else(|| panic!("no {track} in {text}"));
    let part = |name| {
        stream
            .attribute(name)
            .unwrap_or_else(|| panic!("no {name} in {text}"))
    };
    format!("{}:{}", part("address"), part("port"))
        .parse()
        .expect("an address")
}

#[test]
fn a_call_is_controlled_in_xml() {
    let daemon = Setup::new().start();
    let client = daemon.client();
    for (number, version) in (1..).zip([client.old_path(""), client.path("")]) {
        let call = call_sid(number);
        let form = [
            ("CallSid", call.as_str()),
            ("From", "+15550001"),
            ("To", "Müller & Söhne <7>"),
        ];
        let opened = client.post(&format!("{version}/Calls"), &form).expect(201);
        assert_eq!(field(&opened, "Sid"), call);
        let to = media(&opened, "inbound");
        assert_ne!(media(&opened, "outbound"), to);
        let called = if number == 1 { "Called" } else { "To" };
        assert_eq!(field(&opened, called), "Müller & Söhne <7>");

        let recordings = format!("{version}/Calls/{call}/Recordings");
        let started = client
            .post(&recordings, &[("RecordingTrack", "inbound")])
            .expect(201);
        let sid = field(&started, "Sid");
        assert_eq!(field(&started, "Status"), "in-progress");
        assert_eq!(media(&started, "inbound"), to);
        let location = started.header("location").expect("a Location").to_owned();
        assert!(location.ends_with(&sid), "{location}");

        let tape = Tape::noise(Law::Mu, number, 8_000);
        Sender::new().play(to, Voice::new(number).say(tape.codes()));
        let change = |status: &str| {
            let changed = client.post(&format!("{recordings}/{sid}"), &[("Status", status)]);
            assert_eq!(field(&changed.expect(200), "Status"), status);
        };
        change("paused");
        change("in-progress");
        change("stopped");
        let state = client.get(&format!("{version}/Calls/{call}")).expect(200);
        assert_eq!(media(&state, "inbound"), to);
        let json = client.wait_completed(&sid);
        assert_eq!(json["call_sid"], call, "{json}");
        judge::exact(client.wav(&sid).mono(), &tape.samples());
        let list = client.get(&recordings).expect(200);
        assert_eq!(field(&list, "Sid"), sid);
        let done = client.post(
            &format!("{version}/Calls/{call}"),
            &[("Status", "completed")],
        );
        let status = if number == 1 { "2" } else { "completed" };
        assert_eq!(field(&done.expect(200), "Status"), status);
    }
    let refused = client
        .post(&client.old_path("/Calls/CA1/Recordings"), &[])
        .expect(404);
    assert_eq!(field(&refused, "Status"), "404");
}
