//! First INVITEs and what follows as makers of clients send them, written after what is seen of each: all are
//! recorded, on the right tracks, with as many lines in the answer as in the offer.

use reeld_model::TrackSelection::{Both, Inbound};

use super::*;
use crate::siprec::vendors::{ACME, BROADWORKS, INTRADO, OPENSIPS, SONUS};

/// An INVITE with these headers instead of the usual ones, and this body.
fn invite(headers: &str, body: &str) -> String {
    format!(
        "INVITE sip:rec@127.0.0.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bKfirst\r\n\
         From: <sip:src@127.0.0.1>;tag=theirs\r\nTo: <sip:rec@127.0.0.1>\r\nCall-ID: call@src\r\nCSeq: 101 INVITE\r\n\
         {headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Both parts, apart by this boundary, each with these headers; `close` is what ends them.
fn parts(boundary: &str, of_sdp: &str, sdp: &str, of_xml: &str, xml: &str, close: &str) -> String {
    format!("--{boundary}\r\n{of_sdp}\r\n{sdp}\r\n--{boundary}\r\n{of_xml}\r\n{xml}\r\n{close}")
}

fn begun(rig: &mut Rig, text: &str) -> (Box<Begin>, String) {
    let sent = rig.put(text);
    let begin = match rig.works.front() {
        Some((_, Work::Begin(begin))) => begin.clone(),
        other => panic!("{other:?} {sent:?} for {text}"),
    };
    let answer = rig.done(Some(1)).remove(0);
    assert_eq!(status(std::slice::from_ref(&answer)), ["200"]);
    (begin, answer)
}

fn medias(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| line.starts_with("m="));
    lines
        .map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .collect()
}

const ONE: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";

#[test]
fn each_maker_s_invite_is_recorded() {
    let two = sdp(["1", "2"]);
    let xml =
        "Content-Type: application/rs-metadata+xml\r\nContent-Disposition: recording-session\r\n";
    let plain = "Content-Type: application/sdp\r\n";
    let cisco = "Supported: 100rel,timer,resource-priority,replaces,sdp-anat\r\nRequire: 100relsiprec\r\nMin-SE:  1800\r\n\
        Cisco-Guid: 2967454021-1296568810-2195116643-3918495780\r\nTimestamp: 1581564919\r\nContact: <sip:127.0.0.1:5070>;+sip.src\r\n\
        Expires: 180\r\nSession-ID: 812eae44;remote=00000000000000000000000000000000\r\nMime-Version: 1.0\r\n\
        Content-Type: multipart/mixed;boundary=uniqueBoundary\r\n";
    let gtd = format!(
        "{}--uniqueBoundary\r\nContent-Type: application/gtd\r\nContent-Disposition: signal;handling=optional\r\n\r\nIAM,\r\n--uniqueBoundary--\r\n",
        parts(
            "uniqueBoundary",
            "Content-Type: application/sdp\r\nContent-Disposition: session;handling=required\r\n",
            &two.replace("sendonly", "inactive"),
            xml,
            STRICT,
            ""
        )
    );
    let four = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nc=IN IP4 192.0.2.1\r\nm=audio 49170 RTP/AVP 0\r\na=label:96\r\na=sendonly\r\n\
        m=video 49174 RTP/AVPF 96\r\na=rtpmap:96 H.264/90000\r\na=label:97\r\na=sendonly\r\nm=audio 51372 RTP/AVP 0\r\na=label:98\r\na=sendonly\r\n\
        m=video 49176 RTP/AVPF 96\r\na=label:99\r\na=sendonly\r\nm=application 5000 UDP/BFCP *\r\n";
    for (maker, headers, body, track, from, lines) in [
        (
            "Cisco CUBE",
            cisco,
            gtd.clone(),
            Both,
            Some("sip:caller@a.example"),
            "m=audio 20000 m=audio 20002",
        ),
        (
            "Acme",
            "Require: siprec\r\nContact: <sip:src@127.0.0.1:5070;transport=udp>;+sip.src\r\nContent-Type: multipart/mixed; boundary=unique-boundary-1\r\n",
            parts(
                "unique-boundary-1",
                plain,
                &sdp(["16777227", "16777228"]),
                "Content-Type: application/rs-metadata+xml\r\nContent-Disposition: recording-session\r\n",
                ACME,
                "--unique-boundary-1--\r\n",
            ),
            Both,
            Some("sip:caller@a.example"),
            "m=audio 20002 m=audio 20000",
        ),
        (
            "Sonus",
            "Accept: application/sdp, application/rs-metadata-request\r\nContact: \"SRC\" <sip:src@127.0.0.1:5070>;+sip.src\r\nRequire: siprec\r\nSupported: timer,100rel\r\n\
            Session-Expires: 1800\r\nMin-SE: 90\r\nContent-Type: multipart/mixed;boundary=sonus-content-delim\r\nMIME-Version: 1.0\r\n",
            parts(
                "sonus-content-delim",
                "Content-Disposition: session; handling=required\r\nContent-Type: application/sdp\r\n",
                &two,
                xml,
                SONUS,
                "--sonus-content-delim--\r\n",
            ),
            Both,
            Some("caller@a.example"),
            "m=audio 20002 m=audio 20000",
        ),
        (
            "AudioCodes",
            "Contact: <sip:127.0.0.1:5070>;src\r\nSupported: replaces,resource-priority,sdp-anat\r\nRequire: siprec\r\nx-audc-call-id: 4dbd\r\nContent-Type: multipart/mixed;boundary=boundary_ac1578\r\n",
            parts(
                "boundary_ac1578",
                plain,
                &two,
                "Content-Type: application/rs-metadata\r\nContent-Disposition: recording-session\r\n",
                STRICT,
                "--boundary_ac1578--",
            ),
            Both,
            Some("sip:caller@a.example"),
            "m=audio 20000 m=audio 20002",
        ),
        (
            "BroadWorks",
            "Contact:<sip:src@127.0.0.1:5070>;src\r\nMIME-Version:1.0\r\nContent-Type:multipart/mixed;boundary=UniqueBroadWorksBoundary\r\n",
            parts(
                "UniqueBroadWorksBoundary",
                "Content-Type:application/sdp\r\nContent-Length:2012\r\n",
                &format!("{ONE}a=label:1\r\n"),
                "Content-Type:application/rs-metadata+xml\r\n",
                BROADWORKS,
                "--UniqueBroadWorksBoundary--\r\n",
            ),
            Inbound,
            Some("sip:caller@a.example;user=phone"),
            "m=audio 20000",
        ),
        (
            "Metaswitch",
            "Require: siprec\r\nContact: <sip:src@127.0.0.1:5070;+sip.src\r\nContent-Type: multipart/mixed; boundary=\"BOUND\"\r\n",
            parts(
                "BOUND",
                plain,
                ONE,
                "Content-Type: application/rs-metadata\r\n",
                INTRADO,
                "--BOUND--\r\n",
            ),
            Inbound,
            Some("caller@10.105.190.136:5060"),
            "m=audio 20000",
        ),
        (
            "OpenSIPS",
            "Require: siprec\r\nContent-Type: multipart/mixed;boundary=OSS-unique-boundary-42\r\nContact: <sip:127.0.0.1:5070>;+sip.src\r\n",
            parts(
                "OSS-unique-boundary-42",
                plain,
                &sdp(["0", "1"]),
                xml,
                OPENSIPS,
                "--OSS-unique-boundary-42--",
            ),
            Both,
            Some("sip:caller@a.example"),
            "m=audio 20000 m=audio 20002",
        ),
        (
            "drachtio",
            "Require: siprec\r\nContent-Type: multipart/mixed;boundary=uniqueBoundary\r\n",
            parts(
                "uniqueBoundary",
                plain,
                &two,
                xml,
                STRICT,
                "--uniqueBoundary\r\n",
            ),
            Both,
            Some("sip:caller@a.example"),
            "m=audio 20000 m=audio 20002",
        ),
        (
            "Kamailio",
            "Contact: <sip:127.0.0.1:5070>\r\nContent-Type: application/sdp\r\n",
            two.clone(),
            Both,
            Some("sip:src@127.0.0.1"),
            "m=audio 20000 m=audio 20002",
        ),
        (
            "CUCM",
            "Contact: <sip:2000@127.0.0.1:5070>;isFocus\r\nSupported: timer,resource-priority,replaces\r\nSession-Expires: 1800\r\nMin-SE: 1800\r\nP-Asserted-Identity: <sip:2000@ucm1>\r\n",
            String::new(),
            Inbound,
            Some("sip:src@127.0.0.1"),
            "m=audio 20000",
        ),
        (
            "RFC 7866",
            "Require: siprec\r\nAccept: application/sdp, application/rs-metadata,\r\n application/rs-metadata-request\r\nContact: <sip:2000@src.example.com>;+sip.src\r\nContent-Type: multipart/mixed;\r\n boundary=foobar\r\n",
            parts(
                "foobar",
                "Content-Type: application/SDP\r\n",
                four,
                xml,
                STRICT
                    .replace("<label>1<", "<label>96<")
                    .replace("<label>2<", "<label>98<")
                    .as_str(),
                "--foobar--\r\n",
            ),
            Both,
            Some("sip:caller@a.example"),
            "m=audio 20000 m=video 0 m=audio 20002 m=video 0 m=application 0",
        ),
    ] {
        let mut rig = Rig::new();
        let (begin, answer) = begun(&mut rig, &invite(headers, &body));
        assert_eq!(
            begin.wanted.map(|wanted| wanted.track),
            Some(track),
            "{maker}"
        );
        assert_eq!(begin.open.from.as_deref(), from, "{maker}");
        assert_eq!(medias(&answer).join(" "), lines, "{maker}");
        assert!(
            !answer.contains("a=sendonly") && !answer.contains("a=sendrecv"),
            "{maker}"
        );
        assert!(
            answer.contains("o=reeld ") && answer.contains("+sip.srs"),
            "{maker}"
        );
    }
}

#[test]
fn headers_that_are_odd_are_read_and_what_must_come_back_does() {
    let usual = format!("Contact: <sip:src@127.0.0.1:5070;line=7>;+sip.src\r\n{MULTIPART}");
    let text = invite(&usual, &body(&sdp(["1", "2"]), STRICT));
    let compact = text
        .replace("Via:", "v:")
        .replace("From:", "f:")
        .replace("To:", "t:")
        .replace("Call-ID:", "i:")
        .replace("Contact:", "m:")
        .replace("\r\nContent-Type: multipart", "\r\nc: multipart")
        .replace("Content-Length:", "l:");
    for (what, text, back) in [
        ("compact", compact, "Call-ID: call@src\r\n"),
        ("small letters", text.replace("Call-ID:", "call-id :").replace("CSeq:", "CSEQ:\t").replace("Content-Type", "CONTENT-type"), "CSeq: 101 INVITE\r\n"),
        ("folded", text.replace("From: <", "From:\r\n\t<").replace(";boundary", ";\r\n  boundary"), ";tag=theirs\r\n"),
        ("LF alone", text.replace("\r\n", "\n"), ";tag=theirs\r\n"),
        ("no tag", text.replace(";tag=theirs", ""), "From: <sip:src@127.0.0.1>\r\n"),
        ("a tel URI", text.replace("<sip:src@127.0.0.1>;tag", "\"Zo\u{eb} \\\"<;tag=no>\\\"\" <tel:+15550100;phone-context=x>; TAG"), ";phone-context=x>; TAG=theirs\r\n"),
        ("bare", text.replace("<sip:src@127.0.0.1>;tag", "sip:src@127.0.0.1;tag").replace("To: <sip:rec@127.0.0.1>", "To: sip:rec@127.0.0.1"), "To: sip:rec@127.0.0.1;tag="),
        ("escaped", text.replace("sip:rec@127.0.0.1:5060 SIP", "sip:%2B1%20rec;x=y@127.0.0.1:5060;user=phone?X-A=%22 SIP"), "200 OK"),
        ("ways", text.replace("\r\nFrom", "\r\nVia: SIP/2.0/TCP a_b:1;branch=z9hG4bK2, SIP/2.0/TLS c;branch=z9hG4bK3\r\n\
            Record-Route: <sip:p1.example;lr>, <sip:127.0.0.1:5090;lr;ftag=x>\r\nRecord-Route: <sip:p3;lr>\r\nFrom"),
            "Via: SIP/2.0/TCP a_b:1;branch=z9hG4bK2, SIP/2.0/TLS c;branch=z9hG4bK3\r\nRecord-Route: <sip:p1.example;lr>, <sip:127.0.0.1:5090;lr;ftag=x>\r\nRecord-Route: <sip:p3;lr>\r\n"),
        ("no hops left", text.replace("\r\nFrom", "\r\nMax-Forwards: 0\r\nExpires: 1\r\nDate: now\r\n: x\r\nNo colon\r\nFrom"), "200 OK"),
        ("no length", text.replace("Content-Length", "X-Length"), "200 OK"),
        ("a length too long", text.replace("Content-Length: ", "Content-Length: 9"), "200 OK"),
        ("NAT", text.replace("127.0.0.1:5070;branch", "10.1.2.3:5062;rport;branch"), "10.1.2.3:5062;rport=5070;branch=z9hG4bKfirst;received=127.0.0.1\r\n"),
    ] {
        let mut rig = Rig::new();
        let (begin, answer) = begun(&mut rig, &text);
        assert_eq!(begin.wanted.map(|wanted| wanted.track), Some(Both), "{what}");
        assert!(begin.signalling.contains("caller@a.example"), "{what}");
        assert!(answer.contains(back), "{what}: {answer}");
        // And the session is found again: its BYE is its end, by a connection of TCP's for all that.
        rig.keep_tag(&answer);
        rig.cseq = 102;
        let mut bye = rig.text("BYE", "", "");
        match what {
            "no tag" => bye = bye.replace(";tag=theirs", ""),
            "a tel URI" => bye = bye.replace("<sip:src@127.0.0.1>;tag", "<tel:+15550100>;Tag"),
            _ => {}
        }
        rig.from = Peer::Stream { connection: 9, address: ([127, 0, 0, 1], 40_000).into(), is_tls: false };
        assert_eq!(status(&rig.put(&bye)), ["200"], "{what}");
        assert!(matches!(rig.work(), Work::End { .. }), "{what}");
    }
}

#[test]
fn our_bye_goes_where_the_client_can_be_reached() {
    let from = |address: [u8; 4]| Peer::Udp((address, 5999).into());
    for (contact, route, source, request, to) in [
        (
            "<sip:src@127.0.0.1:5070;line=7>;+sip.src",
            "",
            [127, 0, 0, 1],
            "sip:src@127.0.0.1:5070;line=7",
            from([127, 0, 0, 1]).address().ip(),
        ),
        // Behind a NAT; and by a name.
        (
            "<sip:src@10.0.0.7:5070>",
            "",
            [192, 0, 2, 9],
            "sip:src@10.0.0.7:5070",
            [192, 0, 2, 9].into(),
        ),
        (
            "<sip:src@sbc.example>",
            "",
            [192, 0, 2, 9],
            "sip:src@sbc.example",
            [192, 0, 2, 9].into(),
        ),
        (
            "<sip:src@192.0.2.8:5070>",
            "",
            [192, 0, 2, 9],
            "sip:src@192.0.2.8:5070",
            [192, 0, 2, 8].into(),
        ),
        (
            "<sip:src@10.0.0.7>",
            "Record-Route: <sip:192.0.2.3;lr>\r\n",
            [192, 0, 2, 9],
            "sip:src@10.0.0.7",
            [192, 0, 2, 3].into(),
        ),
    ] {
        let mut rig = Rig::with(|settings| {
            settings.routes = vec![Route {
                account: AccountSid::from_bytes([1; 16]),
                source: None,
                networks: Vec::new(),
                domain: None,
                header: None,
            }];
        });
        rig.from = from(source);
        let headers = format!("Contact: {contact}\r\n{route}{MULTIPART}");
        begun(&mut rig, &invite(&headers, &body(&sdp(["1", "2"]), STRICT)));
        rig.agent.handle_shutdown(rig.now);
        let Some(Output::Send {
            to: Peer::Udp(sent_to),
            bytes,
        }) = rig.agent.poll_output()
        else {
            panic!("{contact}")
        };
        let text = String::from_utf8(bytes).unwrap();
        assert!(
            text.starts_with(&format!("BYE {request} SIP/2.0\r\n")),
            "{text}"
        );
        assert_eq!(sent_to.ip(), to, "{contact}");
    }
}

#[test]
fn an_address_behind_a_nat_is_not_where_rtp_comes_from() {
    for (source, said, is_kept) in [
        ([192, 0, 2, 9], "198.51.100.7", true),
        ([192, 0, 2, 9], "10.0.0.7", false),
        ([192, 0, 2, 9], "100.64.0.7", false),
        ([127, 0, 0, 1], "10.0.0.7", true),
    ] {
        let mut rig = Rig::with(|settings| {
            settings.media_is_local = false;
            settings.routes = vec![Route {
                account: AccountSid::from_bytes([1; 16]),
                source: None,
                networks: Vec::new(),
                domain: None,
                header: None,
            }];
        });
        rig.from = Peer::Udp((source, 5070).into());
        let offer = sdp(["1", "2"]).replace("192.0.2.1", said);
        let (begin, _) = begun(&mut rig, &invite(MULTIPART, &body(&offer, STRICT)));
        let told = begin.open.sdp.unwrap();
        assert_eq!(
            told.matches(&format!("c=IN IP4 {said}")).count() == 2,
            is_kept,
            "{told}"
        );
    }
}

#[test]
fn who_calls_by_sips_is_given_a_sips_contact() {
    for (scheme, contact) in [
        ("sips", "Contact: <sips:reeld@127.0.0.1:5061>;+sip.srs\r\n"),
        (
            "sip",
            "Contact: <sip:reeld@127.0.0.1:5061;transport=tls>;+sip.srs\r\n",
        ),
    ] {
        let mut rig = Rig::new();
        rig.from = Peer::Stream {
            connection: 3,
            address: ([127, 0, 0, 1], 40_000).into(),
            is_tls: true,
        };
        let text = invite(MULTIPART, &body(&sdp(["1", "2"]), STRICT));
        let text = text.replacen("sip:", &format!("{scheme}:"), 1);
        assert!(begun(&mut rig, &text).1.contains(contact), "{scheme}");
    }
}

#[test]
fn what_else_comes_in_a_session_is_answered_and_harms_nothing() {
    let mut rig = Rig::new();
    rig.open("");
    for (method, code) in [
        ("REFER", "405"),
        ("NOTIFY", "405"),
        ("SUBSCRIBE", "405"),
        ("MESSAGE", "405"),
        ("PUBLISH", "405"),
        ("REGISTER", "405"),
        ("FOO", "405"),
        ("PRACK", "481"),
        ("INFO", "200"),
        ("OPTIONS", "200"),
        ("UPDATE", "200"),
    ] {
        let sent = rig.send(method, "", "x");
        assert_eq!(status(&sent), [code], "{method}");
        assert_eq!(
            sent[0].contains("\r\nAllow: INVITE, ACK"),
            code == "405" || matches!(method, "OPTIONS" | "UPDATE"),
            "{sent:?}"
        );
    }
    assert!(rig.works.is_empty());
    assert_eq!(rig.agent.sessions(), 1);
    // Of several extensions those are named that are not known.
    let sent = rig.send(
        "INVITE",
        "Require: timer, 100rel siprec, precondition\r\nRequire: replaces\r\n",
        "",
    );
    assert_eq!(status(&sent), ["420"]);
    assert!(
        sent[0].contains("\r\nUnsupported: precondition, replaces\r\n"),
        "{sent:?}"
    );
    rig.send("ACK", "", "");
    // An ACK and a BYE without our tag are for the only session that they can be for.
    let mut rig = Rig::new();
    rig.send("INVITE", MULTIPART, &body(&sdp(["1", "2"]), STRICT));
    assert_eq!(
        status(&rig.send("BYE", "", "")),
        ["481"],
        "not answered yet"
    );
    rig.done(Some(1));
    rig.cseq = 1;
    rig.send("ACK", "", "");
    assert!(rig.wait(60).is_empty());
    // So is an INVITE behind it: no second call.
    rig.cseq = 1;
    rig.send(
        "INVITE",
        "Content-Type: application/sdp\r\n",
        &sdp(["1", "2"]).replace("sendonly", "inactive"),
    );
    let Work::Change(change) = rig.work() else {
        panic!("a second call")
    };
    assert_eq!(change.paused, Some(true));
    assert_eq!(status(&rig.done(None)), ["200"]);
    rig.send("ACK", "", "");
    assert_eq!(rig.agent.sessions(), 1);
    rig.cseq = 3;
    assert_eq!(status(&rig.send("BYE", "", "")), ["200"]);
    assert!(matches!(rig.work(), Work::End { .. }));
    // As many extensions without what belongs between as a message has room for.
    let mut rig = Rig::new();
    let many = format!("Require: {}\r\n", "timer".repeat(12_000));
    let sent = rig.send(
        "INVITE",
        &format!("Content-Type: application/sdp\r\n{many}"),
        &sdp(["1", "2"]),
    );
    assert_ne!(status(&sent), ["420"]);
    // A CANCEL before its INVITE is for nothing, and bars nothing.
    let mut rig = Rig::new();
    rig.cseq = 1;
    assert_eq!(status(&rig.send("CANCEL", "", "")), ["481"]);
    rig.cseq = 0;
    rig.open("");
}

#[test]
fn an_invite_that_comes_again_after_a_restart_gets_its_answer() {
    let mut rig = Rig::new();
    rig.cseq = 1;
    let text = rig.text("INVITE", MULTIPART, &body(&sdp(["1", "2"]), STRICT));
    rig.put(&text);
    let answer = rig.done(Some(1)).remove(0);
    let kept = rig.agent.keep().unwrap();
    let mut next = Rig::new();
    next.agent.take_up(&kept, |_, _| true, rig.now).unwrap();
    (next.cseq, next.now) = (1, rig.now);
    assert_eq!(next.put(&text), std::slice::from_ref(&answer));
    next.keep_tag(&answer);
    next.send("ACK", "", "");
    assert!(next.wait(60).is_empty() && next.works.is_empty());
    // By another way it is a second one still.
    next.to_tag.clear();
    let other = text.replace("z9hG4bKINVITE", "z9hG4bKfork");
    assert_eq!(status(&next.put(&other)), ["482"]);
}
