//! Requests read and responses written, by the letter and not.

use proptest::prelude::*;

use super::*;

const INVITE: &str = "INVITE sip:rec@srs.example;transport=udp SIP/2.0\r\nVia: SIP/2.0/UDP pc.example:5070;branch=z9hG4bKx;rport, SIP/2.0/TCP b\r\n\
    v: SIP/2.0/UDP c\r\nf: \"A, B\" <sip:a@a.example>;tag=one\r\nTo: <sip:rec@srs.example>\r\ni: 7@a\r\nCSeq: 9 INVITE\r\n\
    Contact: <sip:a@192.0.2.9:5071;+sip.src\r\nRequire: siprec\r\nRequire: timer , x\r\nc: application/sdp;\r\n charset=x\r\n\
    X-Call-Sid: CA1\r\nRecord-Route: <sip:p;lr>\r\nl: 4\r\n\r\nv=0\nmore";

fn request(text: &str) -> Request {
    match Message::read(text.as_bytes()) {
        Some(Message::Request(request)) => *request,
        other => panic!("{other:?}"),
    }
}

fn udp(text: &str) -> Peer {
    Peer::Udp(text.parse().unwrap())
}

#[test]
fn a_request_is_read_with_short_names_folds_and_what_is_not_closed() {
    let request = request(INVITE);
    assert_eq!((request.method.as_str(), request.cseq), ("INVITE", 9));
    assert_eq!(
        (request.call_id(), request.their_tag(), request.own_tag()),
        ("7@a", "one", "")
    );
    assert_eq!(request.body, b"v=0\n");
    assert_eq!(
        request.tokens("require").collect::<Vec<_>>(),
        ["siprec", "timer", "x"]
    );
    assert_eq!(
        request.header("content-type"),
        Some("application/sdp; charset=x")
    );
    assert_eq!(request.header("x-call-sid"), Some("CA1"));
    assert_eq!(
        crate::sip::uri(request.header("contact").unwrap()),
        "sip:a@192.0.2.9:5071"
    );
    assert_eq!(request.all("via").count(), 2);
}

#[test]
fn a_response_goes_where_and_says_what_rfc_3261_has() {
    let request = request(INVITE);
    let from = udp("198.51.100.1:4000");
    let answer = request.answer(
        from,
        Status(200, "OK"),
        "ours",
        &Headers::default().body("application/sdp", "v=0"),
    );
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with(
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP pc.example:5070;branch=z9hG4bKx;rport=4000;received=198.51.100.1, SIP/2.0/TCP b\r\n\
         Via: SIP/2.0/UDP c\r\nRecord-Route: <sip:p;lr>\r\nFrom: \"A, B\" <sip:a@a.example>;tag=one\r\nTo: <sip:rec@srs.example>;tag=ours\r\n\
         Call-ID: 7@a\r\nCSeq: 9 INVITE\r\n"
    ), "{answer}");
    assert!(answer.ends_with("Content-Type: application/sdp\r\nContent-Length: 3\r\n\r\nv=0"));
    assert_eq!(request.answered_at(from.address()), from.address());
    let bare = self::request(&INVITE.replace(";rport", ""));
    assert_eq!(
        bare.answered_at(from.address()),
        "198.51.100.1:5070".parse().unwrap()
    );
    let bare = self::request(&INVITE.replace(
        "pc.example:5070;branch=z9hG4bKx;rport",
        "198.51.100.1;branch=z9hG4bKx",
    ));
    assert_eq!(
        bare.answered_at(from.address()),
        "198.51.100.1:5060".parse().unwrap()
    );
    let trying =
        String::from_utf8(bare.answer(from, Status(100, "Trying"), "ours", &Headers::default()))
            .unwrap();
    assert!(
        !trying.contains("ours") && !trying.contains("received"),
        "{trying}"
    );
}

#[test]
fn transactions_are_told_apart() {
    let invite = request(INVITE);
    let ack = request(&INVITE.replace("INVITE", "ACK"));
    let cancel = request(&INVITE.replace("INVITE", "CANCEL"));
    assert_eq!(invite.transaction(), ack.transaction());
    assert_ne!(invite.transaction(), cancel.transaction());
    let old = |cseq: &str| {
        request(&INVITE.replace("z9hG4bKx", "1").replace("CSeq: 9", cseq)).transaction()
    };
    assert_eq!(old("CSeq: 9"), old("CSeq: 9"));
    assert_ne!(old("CSeq: 9"), old("CSeq: 10"));
}

#[test]
fn lines_may_end_in_lf_alone() {
    let request = request(&INVITE.replace("\r\n", "\n"));
    assert_eq!(request.call_id(), "7@a");
    assert_eq!(request.body, b"v=0\n");
}

#[test]
fn what_is_no_message_is_none() {
    for text in [
        "GET / HTTP/1.1\r\nVia: SIP/2.0/UDP a\r\nCSeq: 1 GET\r\n\r\n",
        "INVITE sip:a SIP/2.0\r\nCSeq: 1 INVITE\r\n\r\n",
        "INVITE sip:a SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\n\r\n",
        "INVITE sip:a SIP/2.0\r\nVia: SIP/2.0/UDP a\r\nCSeq: 99999999999 INVITE\r\n\r\n",
        "INVITE\r\n\r\n",
        "x",
    ] {
        assert!(Message::read(text.as_bytes()).is_none(), "{text}");
    }
    assert!(Message::read(&vec![b'x'; MOST_BYTES + 1]).is_none());
    assert!(matches!(
        Message::read(b"\r\n\r\n"),
        Some(Message::KeepAlive)
    ));
    let response = "SIP/2.0 481 Gone\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nCSeq: 1 BYE\r\n\r\n";
    assert!(matches!(
        Message::read(response.as_bytes()),
        Some(Message::Response(Response { status: 481, branch })) if branch == "z9hG4bK1"
    ));
}

#[test]
fn addresses_of_uris() {
    for (uri, address) in [
        ("sip:a@192.0.2.1:5070;transport=udp", Some("192.0.2.1:5070")),
        ("SIP:192.0.2.1", Some("192.0.2.1:5060")),
        ("sips:a;b=c@[2001:db8::1]:7;lr", Some("[2001:db8::1]:7")),
        ("sip:[::1]", Some("[::1]:5060")),
        ("sip:a@b.example", None),
        ("tel:+1", None),
        ("", None),
    ] {
        assert_eq!(
            address_of(uri),
            address.map(|address| address.parse().unwrap()),
            "{uri}"
        );
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes: Vec<u8>, at in 0_usize..700, lines in proptest::collection::vec("(Via|CSeq|v|From|To)?: ?[ -~]{0,30}\r\n", 0..12)) {
        let mut mixed = INVITE.as_bytes()[..at.min(INVITE.len())].to_vec();
        mixed.extend(&bytes);
        let text = format!("INVITE sip:a SIP/2.0\r\n{}\r\n", lines.concat());
        for bytes in [&bytes[..], &mixed, text.as_bytes()] {
            let _ = framed(bytes);
            if let Some(Message::Request(request)) = Message::read(bytes) {
                let _ = (request.transaction(), address_of(&request.uri));
                let from = udp("127.0.0.1:1");
                let answer = request.answer(from, Status(200, "OK"), "t", &Headers::default());
                prop_assert!(Message::read(&answer).is_some());
                request.answered_at(from.address());
            }
        }
    }
}

#[test]
fn vias_are_read_as_they_are_seen() {
    let via = |value: &str| {
        let via = TopVia::read(value)?;
        Some(format!(
            "{} {} {:?} {}",
            via.branch, via.host, via.port, via.has_rport
        ))
    };
    for (value, read) in [
        (
            "SIP / 2.0 / UDP 192.0.2.1:5060 ; branch = z9hG4bKx",
            "z9hG4bKx 192.0.2.1 Some(5060) false",
        ),
        (
            "sip/2.0/udp 192.0.2.1;Branch=z9hG4bKx;RPORT",
            "z9hG4bKx 192.0.2.1 None true",
        ),
        (
            "SIP/2.0/TCP [2001:db8::1]:5061;branch=z9hG4bKx;alias",
            "z9hG4bKx 2001:db8::1 Some(5061) false",
        ),
        (
            "SIP/2.0/TCP [2001:db8::1];branch=z9hG4bKx",
            "z9hG4bKx 2001:db8::1 None false",
        ),
        (
            "SIP/2.0/TCP 2001:db8::1;branch=z9hG4bKx",
            "z9hG4bKx 2001:db8::1 None false",
        ),
        (
            "SIP/2.0/UDP sbc_1.local:5070;branch=z9hG4bK-1---a;rport=",
            "z9hG4bK-1---a sbc_1.local Some(5070) true",
        ),
        (
            "SIP/2.0/UDP a (first);branch=z9hG4bK{a}|b==;i=1",
            "z9hG4bK{a}|b== a None false",
        ),
        ("SIP/2.0/UDP 192.0.2.1:5060", " 192.0.2.1 Some(5060) false"),
    ] {
        assert_eq!(via(value).as_deref(), Some(read), "{value}");
    }
    for value in ["", "SIP/2.0/UDP", "SIP/2.0/UDP ;branch=x", "HTTP/1.1/TCP a"] {
        assert_eq!(via(value), None, "{value}");
    }
}

#[test]
fn a_version_in_small_letters_is_one() {
    let request = request(&INVITE.replacen("SIP/2.0\r\n", "sip/2.0\r\n", 1));
    assert_eq!(request.method, "INVITE");
}
