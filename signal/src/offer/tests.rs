//! Offers as clients send them, and their answers.

use proptest::prelude::*;

use super::*;
use crate::siprec::vendors::sdp;

fn read(text: &str) -> Offer {
    Offer::read(text.as_bytes()).unwrap()
}

const CAPTURED: &str = "v=0\r\no=- 20000 1 IN IP4 127.0.0.1\r\ns=reeld\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
    m=audio 20000 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtcp:20001\r\na=recvonly\r\n\
    m=audio 20002 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\na=recvonly\r\n";

#[test]
fn what_clients_leave_out_or_add_is_no_fault() {
    for text in [
        "v=0\no=- 1516628962 0 IN IP4 0.0.0.0\ns=-\nm=audio 35011 RTP/AVP 0 8 3 101\na=label:1\n",
        "v=0\r\no=B 1 1 IN IP4 X.X.X.X\r\nc=IN IP4 X.X.X.X\r\nm=audio 22294 RTP/AVP 8 18\r\n",
        "v=0\r\nm=audio 4000 RTP/AVP 0\r\na=ice-ufrag:x\r\na=candidate:H 1 UDP 2 192.0.2.1 60550 typ host\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\r\n",
        "  v=0\r\n  m=audio 4000 RTP/AVP 8 101\r\n  a=rtpmap:101 telephone-event/8000\r\n  a=3gOoBTC\r\n",
        "v=0\r\nm=audio 4000 RTP/AVPF 8\r\nb=AS:84\r\na=rtcp:60552 IN IP4 192.168.1.224\r\n",
    ] {
        let offer = read(text);
        assert_eq!(offer.lines.len(), 1);
        assert_eq!(offer.lines[0].fault(), None, "{text}");
        assert!(!offer.lines[0].is_paused());
    }
    assert_eq!(Offer::read(b"v=0\r\ns=-\r\n"), None);
    assert_eq!(Offer::read(b""), None);
}

#[test]
fn what_cannot_be_recorded_is_named() {
    for (line, said) in [
        ("m=video 4000 RTP/AVP 97", "video"),
        ("m=audio 4000 RTP/SAVP 0", "RTP/SAVP without keys"),
        (
            "m=audio 4000 RTP/SAVP 0\r\na=fingerprint:sha-256 00",
            "DTLS",
        ),
        (
            "m=audio 4000 RTP/SAVP 0\r\na=crypto:1 F8_128_HMAC_SHA1_80 inline:x",
            "F8_128_HMAC_SHA1_80",
        ),
        ("m=audio 4000 UDP/TLS/RTP/SAVPF 0", "DTLS"),
        ("m=audio 4000 TCP/MSRP *", "TCP/MSRP"),
        ("m=audio 4000 RTP/AVP 18", "G729"),
        ("m=audio 4000 RTP/AVP", "no codec"),
    ] {
        let fault = read(&format!("v=0\r\n{line}\r\n")).lines[0].fault();
        let fault = fault.unwrap_or_default();
        assert!(fault.contains(said), "{line}: {fault}");
    }
}

#[test]
fn a_pause_has_several_spellings() {
    for (change, is_paused) in [
        ("a=sendonly", false),
        ("a=sendrecv", false),
        ("a=inactive", true),
        ("a=recvonly", true),
    ] {
        let offer = read(&sdp(["1", "2"]).replace("a=sendonly", change));
        assert_eq!(
            offer.lines.iter().filter(|line| line.is_paused()).count(),
            if is_paused { 2 } else { 0 }
        );
    }
    let nowhere = sdp(["1", "2"]).replace("c=IN IP4 192.0.2.1", "c=IN IP4 0.0.0.0");
    assert!(read(&nowhere).lines.iter().all(Line::is_paused));
    // A line's own address and direction are before the session's.
    let own = nowhere.replace(
        "m=audio 4002 RTP/AVP 8 101\r\n",
        "m=audio 4002 RTP/AVP 8 101\r\nc=IN IP4 192.0.2.1\r\n",
    );
    assert!(!read(&own).lines[1].is_paused());
    let session =
        "v=0\r\na=inactive\r\nm=audio 4000 RTP/AVP 0\r\nm=audio 4002 RTP/AVP 0\r\na=sendonly\r\n";
    assert_eq!(
        read(session)
            .lines
            .iter()
            .map(Line::is_paused)
            .collect::<Vec<_>>(),
        [true, false]
    );
}

#[test]
fn an_answer_has_the_offer_s_lines_in_its_order() {
    let text = sdp(["one", "two"]) + "m=video 5000 RTP/AVP 96\r\na=label:three\r\n";
    let offer = read(&text);
    let answer = Answer {
        id: 7,
        version: 3,
        of_capture: CAPTURED,
        formats: Formats::Built,
    };
    // The second line is the first track's.
    let answer = answer.text(&offer, [Some(1), Some(0)]);
    assert!(answer.starts_with(
        "v=0\r\no=reeld 7 3 IN IP4 127.0.0.1\r\ns=reeld\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    ));
    let lines: Vec<&str> = answer
        .lines()
        .filter(|line| line.starts_with("m=") || line.starts_with("a=label"))
        .collect();
    assert_eq!(
        lines,
        [
            "m=audio 20002 RTP/AVP 8",
            "a=label:one",
            "m=audio 20000 RTP/AVP 0 101",
            "a=label:two",
            "m=video 0 RTP/AVP 96",
            "a=label:three",
        ]
    );
    assert_eq!(answer.matches("a=recvonly").count(), 2);
    let paused = read(&text.replace("a=sendonly", "a=inactive"));
    let answer = Answer {
        id: 7,
        version: 4,
        of_capture: CAPTURED,
        formats: Formats::Built,
    }
    .text(&paused, [Some(0), Some(1)]);
    assert_eq!(
        (
            answer.matches("a=inactive").count(),
            answer.matches("a=recvonly").count()
        ),
        (2, 0)
    );
    assert_eq!(
        Answer {
            id: 1,
            version: 1,
            of_capture: "",
            formats: Formats::Built,
        }
        .text(&paused, [None, None])
        .matches(" 0 RTP/AVP")
        .count(),
        3
    );
}

#[test]
fn a_line_keeps_its_track_and_a_free_track_takes_the_next_line() {
    let first = |lines: &[usize]| lines.first().map(|line| (*line, Track::Inbound));
    let three = sdp(["1", "2"]) + "m=audio 4004 RTP/AVP 0\r\n";
    let offer = read(&three);
    let tracks = allot(&offer, &[true; 3], [None, None], |_| {
        Some((1, Track::Inbound))
    });
    assert_eq!(tracks, [Some(1), Some(0)]);
    // The line of the inbound track goes: the third one takes its place, the other stays.
    let transfer = read(&three.replace("m=audio 4002", "m=audio 0"));
    assert_eq!(
        allot(&transfer, &[true; 3], tracks, first),
        [Some(2), Some(0)]
    );
    assert_eq!(
        allot(&offer, &[false, true, true], [None, None], first),
        [Some(1), Some(2)]
    );
    assert_eq!(
        allot(&offer, &[false; 3], [Some(0), None], first),
        [None, None]
    );
    assert_eq!(allot(&offer, &[], [Some(9), None], first), [None, None]);
}

#[test]
fn capture_is_told_only_of_addresses_from_where_sound_can_come() {
    let offer = read(&sdp(["1", "2"]));
    let tracks = [Some(&offer.lines[1]), Some(&offer.lines[0])];
    let text = Offer::for_capture(tracks, |_| true).unwrap();
    assert_eq!(text.matches("c=IN IP4 192.0.2.1").count(), 2);
    assert!(text.find("m=audio 4002").unwrap() < text.find("m=audio 4000").unwrap());
    assert_eq!(reeld_capture::offer_fault(&text), None);
    let text = Offer::for_capture(tracks, |_| false).unwrap();
    assert_eq!(text.matches("192.0.2.1").count(), 0);
    assert_eq!(Offer::for_capture([None, None], |_| true), None);
}

proptest! {
    #[test]
    fn no_text_panics(bytes: Vec<u8>, lines in proptest::collection::vec("[vocmat]=(audio |IN IP4 |rtpmap:)?[ -~]{0,30}", 0..20)) {
        let _ = Offer::read(&bytes);
        if let Some(offer) = Offer::read(lines.join("\n").as_bytes()) {
            let recordable: Vec<bool> = offer.lines.iter().map(|line| line.fault().is_none()).collect();
            let tracks = allot(&offer, &recordable, [None, Some(3)], |lines| lines.first().map(|line| (*line, Track::Inbound)));
            let answer = Answer { id: 1, version: 1, of_capture: CAPTURED, formats: Formats::Built }.text(&offer, tracks);
            prop_assert_eq!(answer.matches("\r\nm=").count(), offer.lines.len());
        }
    }
}

const KEY: &str = "1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^31";

#[test]
fn keys_are_captures_and_shown_to_nobody() {
    let offer = read(&format!(
        "v=0\r\nm=audio 4000 RTP/SAVPF 0\r\na=crypto:{KEY}\r\na=label:1\r\n\
         m=audio 4002 RTP/AVP 8\r\na=crypto:{KEY}\r\n"
    ));
    assert_eq!(offer.lines[0].fault(), None);
    assert!(!format!("{offer:?}").contains("WVNf"));
    let tracks = [Some(&offer.lines[0]), Some(&offer.lines[1])];
    let text = Offer::for_capture(tracks, |_| true).unwrap();
    assert!(text.contains("m=audio 4000 RTP/SAVP 0\r\n"), "{text}");
    assert!(text.contains("m=audio 4002 RTP/AVP 8\r\n"), "{text}");
    // "Best effort" is none: keys in RTP/AVP are no keys.
    assert_eq!(text.matches("a=crypto:").count(), 1, "{text}");
    let captured = CAPTURED.replacen("RTP/AVP", "RTP/SAVP", 1).replacen(
        "a=rtcp:20001",
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:ours",
        1,
    );
    let answer = Answer {
        formats: Formats::Built,
        id: 1,
        version: 1,
        of_capture: &captured,
    };
    let answer = answer.text(&offer, [Some(0), Some(1)]);
    assert!(
        answer.contains("m=audio 20000 RTP/SAVPF 0 101\r\n"),
        "{answer}"
    );
    assert!(
        answer.contains("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:ours"),
        "{answer}"
    );
    assert!(!answer.contains("WVNf"), "{answer}");
}

#[test]
fn attributes_are_read_however_they_are_written() {
    let text = "v=0\rm=audio 4000 RTP/AVP 9,96 0 101 telephone-event 300\ra=RTPMAP: 96  opus/48000/2\ra=rtpmap:9 G722/16000\r\
        a=rtpmap:0 PCMU\ra=rtpmap:101\ttelephone-event/8000\ra=fmtp:101 0-16\ra=ptime:30\ra=SendOnly\ra=Label: 7\r";
    let line = &read(text).lines[0];
    assert_eq!(line.fault(), None);
    assert_eq!(line.formats, "9 96 0 101");
    assert_eq!(
        line.attributes,
        [
            "rtpmap:96 opus/48000/2",
            "rtpmap:101 telephone-event/8000",
            "fmtp:101 0-16",
            "ptime:30"
        ]
    );
    assert_eq!(line.label.as_deref(), Some("7"));
}

#[test]
fn the_answer_says_again_how_keys_and_packets_are() {
    let captured = CAPTURED.replacen("a=rtcp", "a=rtpmap:101 telephone-event/8000\r\na=rtcp", 1);
    let offer = read(
        "v=0\r\nm=audio 4000 RTP/AVP 0 18 101\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n\
         a=fmtp:18 annexb=no\r\na=ptime:20\r\n",
    );
    let answer = Answer {
        id: 7,
        version: 1,
        of_capture: &captured,
        formats: Formats::Built,
    };
    let text = answer.text(&offer, [Some(0), None]);
    for said in ["a=fmtp:101 0-15\r\n", "a=ptime:20\r\n"] {
        assert!(text.contains(said), "{said} in {text}");
    }
    assert!(!text.contains("annexb"), "{text}");
}

#[test]
fn of_a_stream_by_two_networks_one_line_is_recorded() {
    let offer = read(
        "v=0\r\na=group:ANAT 1 2\r\na=group:ANAT 3 4\r\nm=audio 4000 RTP/AVP 0\r\nc=IN IP6 2001:db8::1\r\na=mid:1\r\n\
         m=audio 4000 RTP/AVP 0\r\nc=IN IP4 192.0.2.1\r\na=mid:2\r\nm=audio 4002 RTP/AVP 0\r\nc=IN IP6 2001:db8::1\r\na=mid:3\r\n\
         m=audio 0 RTP/AVP 0\r\nc=IN IP4 192.0.2.1\r\na=mid:4\r\n",
    );
    let faults = offer.lines.iter().map(|line| line.fault().is_some());
    assert_eq!(faults.collect::<Vec<_>>(), [true, false, false, false]);
}
