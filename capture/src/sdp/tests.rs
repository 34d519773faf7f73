//! Offers read, and their answers.

use super::*;
use proptest::prelude::*;
use reeld_codec::g711::Law;

const OFFER: &str = "v=0\r\no=- 7 7 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n\
    m=audio 30026 RTP/AVP 96 8 101 107 9 18 110\r\na=rtpmap:96 pcmu/8000\r\na=label:1\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=rtpmap:107 opus/48000/2\r\n\
    a=rtpmap:110 AMR-WB/16000\r\na=sendonly\r\n\
    m=video 4000 RTP/AVP 97\r\n";

fn legs(crypto: Option<&str>) -> [Leg; 1] {
    [Leg {
        port: 20_000,
        crypto: crypto.map(str::to_owned),
    }]
}

#[test]
fn an_offer_maps_payload_types_and_names_the_source() {
    let offer = Offer::read(OFFER).unwrap();
    let line = &offer.lines[0];
    assert_eq!(line.payloads.get(96), Some(Payload::G711(Law::Mu)));
    assert_eq!(line.payloads.get(8), Some(Payload::G711(Law::A)));
    assert_eq!(line.payloads.get(107), Some(Payload::Opus));
    assert_eq!(line.payloads.get(9), Some(Payload::G722));
    assert_eq!(line.payloads.get(110), None);
    assert_eq!(line.payloads.describe(110), "110 AMR-WB");
    assert_eq!(line.payloads.preferred_rate_hz(), Some(8_000));
    let source = SourceRule {
        address: "192.0.2.7".parse().unwrap(),
        port: None,
    };
    assert_eq!(line.source, Some(source));
}

#[test]
fn what_opus_is_captured_at_is_what_it_is_worth() {
    let rate = |said: &str| {
        let offer = OFFER.replacen("a=sendonly", said, 1);
        Offer::read(&offer).unwrap().lines[0].payloads.rate_hz(107)
    };
    for (said, rate_hz) in [
        ("a=sendonly", 48_000),
        (
            "a=fmtp:107 useinbandfec=1; sprop-maxcapturerate=16000",
            16_000,
        ),
        ("a=fmtp:107 Sprop-MaxCaptureRate=24000;stereo=0", 24_000),
        ("a=fmtp:107 maxplaybackrate=16000", 48_000),
        ("a=fmtp:96 sprop-maxcapturerate=16000", 48_000),
        ("a=fmtp:107 sprop-maxcapturerate=96000", 48_000),
        ("a=fmtp:107 sprop-maxcapturerate=0", 0),
        ("a=fmtp:107 sprop-maxcapturerate=x", 48_000),
    ] {
        assert_eq!(rate(said), Some(rate_hz), "{said}");
    }
}

#[test]
fn the_answer_keeps_the_lines_and_refuses_what_is_no_audio() {
    let offer = Offer::read(OFFER).unwrap();
    let text = offer.answer("127.0.0.1".parse().unwrap(), &legs(None), 2, true);
    let answer = Session::parse(text.as_bytes()).unwrap();
    assert_eq!(answer.medias.len(), 2);
    assert_eq!((answer.medias[0].port, answer.medias[1].port), (20_000, 0));
    assert_eq!(answer.medias[0].fmt, "96 8 101 107 9");
    for said in [
        "a=recvonly",
        "a=label:1",
        "a=rtpmap:96 PCMU/8000",
        "a=rtpmap:107 opus/48000/2",
        "a=fmtp:107 useinbandfec=1",
        "a=rtpmap:9 G722/8000",
        "a=rtcp:20001",
    ] {
        assert!(text.contains(said), "{said} in {text}");
    }
}

#[test]
fn the_answer_says_that_we_send_where_we_do_and_are_heard() {
    for (said, sends, answered) in [
        ("a=sendrecv", false, "a=recvonly"),
        ("a=sendrecv", true, "a=sendrecv"),
        ("a=x", true, "a=sendrecv"),
        ("a=sendonly", true, "a=recvonly"),
        ("a=recvonly", true, "a=inactive"),
        ("a=inactive", true, "a=inactive"),
    ] {
        let offer = Offer::read(&OFFER.replacen("a=sendonly", said, 1)).unwrap();
        let answer = offer.answer("127.0.0.1".parse().unwrap(), &legs(None), 2, sends);
        assert!(answer.contains(answered), "{answered} in {answer}");
    }
    let of_session = OFFER.replacen("t=0 0", "t=0 0\r\na=inactive", 1);
    let of_session = of_session.replacen("a=sendonly\r\n", "", 1);
    let offer = Offer::read(&of_session).unwrap();
    assert_eq!(offer.lines[0].direction, Direction::Inactive);
}

#[test]
fn what_cannot_be_recorded_is_refused_by_name() {
    for (from, to, said) in [
        (
            "RTP/AVP 96 8 101 107 9 18 110",
            "RTP/SAVP 0",
            "RTP/SAVP without keys for it (a=crypto)",
        ),
        (
            "RTP/AVP 96 8 101 107 9 18 110",
            "UDP/TLS/RTP/SAVPF 0",
            "UDP/TLS/RTP/SAVPF",
        ),
        ("a=label:1", "a=fingerprint:sha-256 00", "a=fingerprint"),
        ("a=label:1", "a=ice-ufrag:x", "a=ice-ufrag"),
        ("96 8 101 107 9 18 110", "110 18", "AMR-WB, 18 G729"),
        ("m=audio", "m=text", "no audio line"),
        ("audio 30026", "audio 0", "no audio line"),
        ("v=0", "w=0", "cannot be read"),
    ] {
        let error = Offer::read(&OFFER.replacen(from, to, 1)).unwrap_err();
        assert!(error.contains(said), "{error:?} names {said}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text: String, lines in proptest::collection::vec("[a-z]=[ -~]{0,40}", 0..12)) {
        for text in [text, format!("v=0\r\n{}", lines.join("\r\n"))] {
            if let Ok(offer) = Offer::read(&text) {
                offer.answer("::1".parse().unwrap(), &legs(None), 1, text.len() % 2 == 0);
            }
        }
    }
}

const KEY: &str = "AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

fn secure(attributes: &str) -> String {
    OFFER
        .replacen("RTP/AVP", "RTP/SAVP", 1)
        .replacen("a=label:1", attributes, 1)
}

#[test]
fn srtp_is_taken_with_a_key_and_answered_with_one_of_ours() {
    let offer = secure(&format!(
        "a=crypto:1 F8_128_HMAC_SHA1_80 inline:x\r\na=crypto:2 {KEY}|2^31\r\na=label:1"
    ));
    let offer = Offer::read(&offer).unwrap();
    assert_eq!(offer.lines[0].crypto.as_ref().unwrap().tag, 2);
    let ours = "2 AES_CM_128_HMAC_SHA1_80 inline:ours";
    let text = offer.answer("127.0.0.1".parse().unwrap(), &legs(Some(ours)), 1, false);
    assert!(
        text.contains("m=audio 20000 RTP/SAVP 96 8 101 107 9\r\n"),
        "{text}"
    );
    let keys: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("crypto"))
        .collect();
    assert_eq!(keys, [format!("a=crypto:{ours}")]);
    // Neither its text nor its key is shown.
    let shown = format!("{offer:?}");
    assert!(
        !shown.contains("WVNf") && !shown.contains("89, 83, 95"),
        "{shown}"
    );
    // Where DTLS is offered beside it, the answer chooses.
    let both = secure(&format!("a=crypto:2 {KEY}\r\na=fingerprint:sha-256 00"));
    assert!(Offer::read(&both).unwrap().lines[0].crypto.is_some());
}

#[test]
fn keys_that_cannot_be_used_are_refused_by_name() {
    for (attributes, said) in [
        (
            "a=crypto:1 F8_128_HMAC_SHA1_80 inline:x".to_owned(),
            "1 F8_128_HMAC_SHA1_80: this suite",
        ),
        (
            format!("a=crypto:1 {KEY} UNENCRYPTED_SRTP"),
            "UNENCRYPTED_SRTP",
        ),
        (format!("a=crypto:1 {KEY}A"), "base64"),
        ("a=fingerprint:sha-256 00".to_owned(), "a=fingerprint"),
        (format!("a=crypto:1 {KEY}\r\na=ice-ufrag:x"), "a=ice-ufrag"),
        ("a=label:1".to_owned(), "without keys"),
    ] {
        let error = Offer::read(&secure(&attributes)).unwrap_err();
        assert!(error.contains(said), "{error:?} names {said}");
        assert!(!error.contains("WVNf"), "{error}");
    }
}

/// "Best effort": who offers keys in RTP/AVP is answered without, and sends RTP.
#[test]
fn keys_in_rtp_avp_are_declined() {
    let offer = OFFER.replacen("a=label:1", &format!("a=crypto:1 {KEY}"), 1);
    let offer = Offer::read(&offer).unwrap();
    assert_eq!(offer.lines[0].crypto, None);
    let text = offer.answer("127.0.0.1".parse().unwrap(), &legs(None), 1, false);
    assert!(
        text.contains("m=audio 20000 RTP/AVP ") && !text.contains("crypto"),
        "{text}"
    );
}
