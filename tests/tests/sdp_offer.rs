//! A call that is opened with the sender's SDP offer: its payload types are what the offer maps,
//! its source is the one that the offer names, and the answer says where to send (RFC 3264).

use reeld_tests::client::media_address;
use reeld_tests::script::{Law, Packet};
use reeld_tests::{Sender, Setup, Tape, Voice, judge};

#[test]
fn an_offer_maps_payload_types_and_names_the_source() {
    let daemon = Setup::new().start();
    let client = daemon.client();
    let (caller, stranger) = (Sender::new(), Sender::at([127, 0, 0, 2].into()));
    let offer = format!(
        "v=0\r\no=pbx 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=audio {} RTP/AVP 18 97 98\r\na=rtpmap:18 G729/8000\r\na=rtpmap:97 PCMA/8000\r\n\
         a=rtpmap:98 telephone-event/8000\r\na=ptime:30\r\na=sendonly\r\n",
        caller.address().port()
    );
    let opened = client
        .open_call(&[("ExternalId", "abc"), ("Sdp", offer.as_str())])
        .expect(201)
        .json();
    assert_eq!(opened["external_id"], "abc", "{opened}");
    let to = media_address(&opened, "inbound").expect("an inbound port");
    let answer = opened["sdp"].as_str().expect("an answer").to_owned();
    let line = answer
        .lines()
        .find(|line| line.starts_with("m=audio "))
        .expect("an audio line");
    assert!(
        line.starts_with(&format!("m=audio {} RTP/AVP 97 98", to.port())),
        "{answer}"
    );
    assert!(answer.contains("a=recvonly"), "{answer}");
    assert!(answer.contains("c=IN IP4 127.0.0.1"), "{answer}");

    let call = opened["sid"].as_str().expect("a CallSid").to_owned();
    let started = client.start(&call, &[("RecordingTrack", "inbound")]);
    assert_eq!(started.inbound(), to);
    let tape = Tape::noise(Law::A, 1, 240 * 50);
    let voice = Voice {
        samples: 240,
        ..Voice::new(1)
    }
    .with_law(Law::A);
    let mut script = voice.say(tape.codes());
    for (place, cue) in script.0.iter_mut().enumerate() {
        let packet = Packet::parse(&cue.bytes).expect("a packet");
        // G.729 is in the offer and not in the answer: it cannot be decoded.
        let payload_type = if place == 20 { 18 } else { 97 };
        cue.bytes = Packet {
            payload_type,
            ..packet
        }
        .bytes();
    }
    stranger.play(to, Voice::new(2).say(tape.codes()));
    caller.play(to, script);
    client.stop(&started);
    let json = client.wait_completed(&started.sid);
    let counts = &json["tracks"]["inbound"];
    assert_eq!(
        (&counts["undecodable"], &counts["foreign"]),
        (&1.into(), &75.into()),
        "{counts}"
    );
    let mut reference = tape.samples();
    reference[20 * 240..21 * 240].fill(0);
    judge::exact(client.wav(&started.sid).mono(), &reference);
}
