//! The server with a client of the test's making, in virtual time: what comes out for what goes in.

use reeld_model::{Channels, PauseBehavior};

use super::*;
use crate::siprec::Route;
use crate::siprec::vendors::{STRICT, sdp};

mod counted;
mod delayed;
mod mid_call;
mod vendors;

const CAPTURED: &str = "v=0\r\no=- 20000 1 IN IP4 127.0.0.1\r\ns=reeld\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
    m=audio 20000 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=recvonly\r\n\
    m=audio 20002 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=recvonly\r\n";

/// A server, its client and the time.
struct Rig {
    agent: Agent,
    from: Peer,
    now: Mono,
    cseq: u32,
    to_tag: String,
    sent: Vec<String>,
    works: VecDeque<(u64, Work)>,
}

impl Rig {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings {
            allow: vec![
                "127.0.0.0/8".parse().unwrap(),
                "192.0.2.0/24".parse().unwrap(),
            ],
            routes: Vec::new(),
            contact: ([127, 0, 0, 1], 5060).into(),
            tls_contact: ([127, 0, 0, 1], 5061).into(),
            pause: PauseBehavior::Skip,
            channels: Channels::Dual,
            media_is_local: true,
            incoming: Default::default(),
        };
        change(&mut settings);
        let mut number = 0;
        let random = move || {
            number += 1;
            number
        };
        let mut agent = Agent::new(settings, Box::new(random));
        agent.set_sole_account(Some(AccountSid::from_bytes([1; 16])));
        Self {
            agent,
            from: Peer::Udp(([127, 0, 0, 1], 5070).into()),
            now: Mono(1_000_000_000),
            cseq: 0,
            to_tag: String::new(),
            sent: Vec::new(),
            works: VecDeque::new(),
        }
    }

    fn text(&self, method: &str, more: &str, body: &str) -> String {
        let branch = if method == "ACK" || method == "CANCEL" {
            "INVITE"
        } else {
            method
        };
        format!(
            "{method} sip:rec@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK{branch}{}\r\n\
             From: <sip:src@127.0.0.1>;tag=theirs\r\nTo: <sip:rec@127.0.0.1>{}\r\nCall-ID: call@src\r\nCSeq: {} {method}\r\n\
             Contact: <sip:src@127.0.0.1:5070>;+sip.src\r\n{more}Content-Length: {}\r\n\r\n{body}",
            self.cseq,
            self.to_tag,
            self.cseq,
            body.len()
        )
    }

    /// Sends a message and collects what comes out; what was sent, without 100.
    fn put(&mut self, text: &str) -> Vec<String> {
        self.agent
            .handle_message(self.from, text.as_bytes(), self.now);
        self.drain()
    }

    fn send(&mut self, method: &str, more: &str, body: &str) -> Vec<String> {
        if method != "ACK" && method != "CANCEL" {
            self.cseq += 1;
        }
        let text = self.text(method, more, body);
        self.put(&text)
    }

    fn drain(&mut self) -> Vec<String> {
        let mut sent = Vec::new();
        while let Some(output) = self.agent.poll_output() {
            match output {
                Output::Send { bytes, .. } => sent.push(String::from_utf8(bytes).unwrap()),
                Output::Work { session, work } => self.works.push_back((session, work)),
            }
        }
        self.sent.extend(sent.clone());
        sent.retain(|text| !text.starts_with("SIP/2.0 100"));
        sent
    }

    fn work(&mut self) -> Work {
        self.works.front().expect("work").1.clone()
    }

    /// The work that waits is done.
    fn done(&mut self, recording: Option<u8>) -> Vec<String> {
        let (session, _) = self.works.pop_front().expect("work");
        let outcome = Outcome::Done {
            sdp: Some(CAPTURED.to_owned()),
            recording: recording.map(|byte| RecordingSid::from_bytes([byte; 16])),
        };
        self.agent.handle_outcome(session, outcome, self.now);
        self.drain()
    }

    fn fail(&mut self, failure: Failure) -> Vec<String> {
        let (session, _) = self.works.pop_front().expect("work");
        self.agent
            .handle_outcome(session, Outcome::Failed(failure), self.now);
        self.drain()
    }

    /// Lets time go on, to each instant that the server asks for.
    fn wait(&mut self, seconds: u64) -> Vec<String> {
        let until = self.now + Duration::from_secs(seconds);
        let mut sent = Vec::new();
        while let Some(due) = self.agent.due().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.agent.handle_time(self.now);
            sent.extend(self.drain());
        }
        self.now = until;
        sent
    }

    /// A session of two lines that is open.
    fn open(&mut self, more: &str) -> String {
        let sent = self.send(
            "INVITE",
            &format!("Require: siprec\r\n{MULTIPART}{more}"),
            &body(&sdp(["1", "2"]), STRICT),
        );
        assert!(sent.is_empty(), "{sent:?}");
        assert!(self.sent.last().unwrap().starts_with("SIP/2.0 100 Trying"));
        let sent = self.done(Some(7));
        assert_eq!(sent.len(), 1, "{sent:?}");
        self.keep_tag(&sent[0]);
        assert!(self.send("ACK", "", "").is_empty());
        sent.into_iter().next().unwrap()
    }

    fn keep_tag(&mut self, answer: &str) {
        let to = answer.lines().find(|line| line.starts_with("To:")).unwrap();
        self.to_tag = to[to.find(";tag=").unwrap()..].to_owned();
    }
}

const MULTIPART: &str = "Content-Type: multipart/mixed;boundary=b\r\n";

fn body(sdp: &str, xml: &str) -> String {
    format!(
        "--b\r\nContent-Type: application/sdp\r\n\r\n{sdp}\r\n--b\r\nContent-Type: application/rs-metadata+xml\r\n\
         Content-Disposition: recording-session\r\n\r\n{xml}\r\n--b--\r\n"
    )
}

fn status(sent: &[String]) -> Vec<&str> {
    sent.iter()
        .map(|text| text.get(8..11).unwrap_or_default())
        .collect()
}

#[test]
fn a_call_begins_and_ends() {
    let mut rig = Rig::new();
    let answer = rig.open("");
    for said in [
        "SIP/2.0 200 OK\r\n",
        "Contact: <sip:reeld@127.0.0.1:5060>;+sip.srs",
        "m=audio 20000 RTP/AVP 0 101",
        "m=audio 20002 RTP/AVP 8 101",
        "a=label:1",
        "a=label:2",
        "a=recvonly",
        "o=reeld ",
    ] {
        assert!(answer.contains(said), "{said} in {answer}");
    }
    // Acknowledged, so it does not come again.
    assert!(rig.wait(60).is_empty());
    assert_eq!(status(&rig.send("BYE", "", "")), ["200"]);
    assert!(matches!(rig.work(), Work::End { .. }));
    rig.done(None);
    assert_eq!(rig.agent.sessions(), 0);
    // A BYE that comes again is answered again; another one is for nothing.
    let again = rig.text("BYE", "", "");
    assert_eq!(status(&rig.put(&again)), ["200"]);
    assert_eq!(status(&rig.send("BYE", "", "")), ["481"]);
    rig.wait(200);
    assert_eq!(
        (
            rig.agent.transactions.len(),
            rig.agent.due.len(),
            rig.agent.by_tag.len()
        ),
        (0, 0, 0)
    );
}

#[test]
fn what_the_call_is_comes_from_the_metadata() {
    let mut rig = Rig::new();
    rig.send("INVITE", MULTIPART, &body(&sdp(["2", "1"]), STRICT));
    let Work::Begin(begin) = rig.work() else {
        panic!()
    };
    assert_eq!(begin.open.from.as_deref(), Some("sip:caller@a.example"));
    assert_eq!(begin.open.to.as_deref(), Some("sip:callee@b.example"));
    assert_eq!(begin.open.external_id.as_deref(), Some("c2Vzc2lvbg=="));
    assert_eq!(
        begin.open.call,
        CallSid::from_external(begin.open.account, "c2Vzc2lvbg==")
    );
    assert!(begin.open.is_signalled && !begin.paused);
    assert_eq!(begin.wanted.unwrap().channels, Channels::Dual);
    // The caller's line is the second one: its codec comes first.
    let offer = begin.open.sdp.unwrap();
    assert!(
        offer.find("m=audio 4002").unwrap() < offer.find("m=audio 4000").unwrap(),
        "{offer}"
    );
    // And the answer has the lines in the client's order.
    let answer = rig.done(Some(1)).remove(0);
    assert!(
        answer.find("m=audio 20002").unwrap() < answer.find("m=audio 20000").unwrap(),
        "{answer}"
    );
}

#[test]
fn a_call_sid_is_taken_from_where_clients_put_it() {
    let sid = "CA0123456789abcdef0123456789abcdef";
    for (header, is_taken) in [
        ("X-Call-Sid", true),
        ("x-twilio-callsid", true),
        ("X-Other", false),
    ] {
        let mut rig = Rig::new();
        rig.send(
            "INVITE",
            &format!("{header}: {sid}\r\n{MULTIPART}"),
            &body(&sdp(["1", "2"]), STRICT),
        );
        let Work::Begin(begin) = rig.work() else {
            panic!()
        };
        assert_eq!(begin.open.call.to_string() == sid, is_taken, "{header}");
    }
    // One that is none is passed over.
    let mut rig = Rig::new();
    rig.send(
        "INVITE",
        "X-Call-Sid: CA12\r\nContent-Type: application/sdp\r\n",
        &sdp(["1", "2"]),
    );
    let Work::Begin(begin) = rig.work() else {
        panic!()
    };
    assert_eq!(begin.open.external_id.as_deref(), Some("call@src"));
    assert!(begin.signalling.contains("none came"));
}

#[test]
fn an_invite_of_no_recording_client_is_a_call_of_its_from_and_to() {
    let mut rig = Rig::new();
    rig.cseq = 1;
    let text = rig.text(
        "INVITE",
        "Content-Type: application/sdp\r\n",
        &sdp(["1", "2"]),
    );
    rig.put(&text.replace(";+sip.src", ""));
    let Work::Begin(begin) = rig.work() else {
        panic!()
    };
    let parties = [begin.open.from, begin.open.to].map(|party| party.unwrap_or_default());
    assert_eq!(parties, ["sip:src@127.0.0.1", "sip:rec@127.0.0.1"]);
    assert!(!begin.signalling.contains("none came"));
}

#[test]
fn what_is_not_known_or_not_possible_is_refused_by_name() {
    let plain = "Content-Type: application/sdp\r\n";
    let offer = sdp(["1", "2"]);
    for (more, body, code, said) in [
        (
            "Require: siprec, foo\r\nRequire: bar\r\n",
            offer.as_str(),
            "420",
            "Unsupported: foo, bar",
        ),
        (
            "Content-Encoding: gzip\r\n",
            &offer,
            "415",
            "Accept-Encoding: identity",
        ),
        ("", "v=0\r\ns=-\r\n", "488", "without a media line"),
        (
            "",
            &offer.replace("RTP/AVP", "RTP/SAVP"),
            "488",
            "RTP/SAVP without keys",
        ),
        (
            "",
            &offer
                .replace("AVP 0 101", "AVP 18")
                .replace("AVP 8 101", "AVP 18"),
            "488",
            "G729",
        ),
        ("", "v=0\r\nm=video 5000 RTP/AVP 96\r\n", "488", "video"),
    ] {
        let mut rig = Rig::new();
        let sent = rig.send("INVITE", &format!("{more}{plain}"), body);
        assert_eq!(status(&sent), [code], "{more}{body}");
        assert!(sent[0].contains(said), "{said} in {}", sent[0]);
        assert!(rig.works.is_empty() && rig.agent.sessions() == 0);
        // It goes out again until its ACK is there.
        assert!(rig.wait(3).len() >= 2);
        rig.send("ACK", "", "");
        assert!(rig.wait(60).is_empty());
    }
    let mut rig = Rig::new();
    assert_eq!(
        status(&rig.send("INVITE", "Content-Type: application/isup\r\n", "x")),
        ["415"]
    );
    assert_eq!(status(&rig.send("SUBSCRIBE", "", "")), ["405"]);
    assert!(rig.sent.last().unwrap().contains("Allow: INVITE, ACK"));
    assert_eq!(status(&rig.send("OPTIONS", "", "")), ["200"]);
    assert!(rig.sent.last().unwrap().contains("Accept: application/sdp"));
    rig.to_tag = ";tag=unknown".to_owned();
    for method in ["BYE", "INVITE", "UPDATE", "INFO"] {
        assert_eq!(status(&rig.send(method, "", "")), ["481"], "{method}");
    }
}

#[test]
fn a_line_that_cannot_be_recorded_costs_no_other() {
    let mut rig = Rig::new();
    let offer =
        sdp(["1", "2"]).replacen("m=audio 4000 RTP/AVP 0 101", "m=audio 4000 RTP/SAVP 0", 1)
            + "m=audio 4004 RTP/AVP 0\r\na=label:3\r\nm=audio 4006 RTP/AVP 0\r\na=label:4\r\n";
    rig.send("INVITE", "Content-Type: application/sdp\r\n", &offer);
    let Work::Begin(begin) = rig.work() else {
        panic!()
    };
    assert!(
        begin
            .signalling
            .contains("line 1 (label 1): Sdp asks for RTP/SAVP without keys"),
        "{}",
        begin.signalling
    );
    assert!(
        begin
            .signalling
            .contains("line 4 (label 4): both tracks are taken"),
        "{}",
        begin.signalling
    );
    let answer = rig.done(Some(1)).remove(0);
    let lines: Vec<&str> = answer
        .lines()
        .filter(|line| line.starts_with("m="))
        .collect();
    assert_eq!(
        lines,
        [
            "m=audio 0 RTP/SAVP 0",
            "m=audio 20000 RTP/AVP 0 101",
            "m=audio 20002 RTP/AVP 8 101",
            "m=audio 0 RTP/AVP 0"
        ]
    );
}

#[test]
fn an_answer_goes_out_until_its_ack_and_a_request_that_comes_again_is_the_same() {
    let mut rig = Rig::new();
    rig.send("INVITE", MULTIPART, &body(&sdp(["1", "2"]), STRICT));
    let invite = rig.text("INVITE", MULTIPART, &body(&sdp(["1", "2"]), STRICT));
    // Before the answer 100 comes again, and no second call is begun.
    rig.put(&invite);
    assert_eq!(rig.works.len(), 1);
    let answer = rig.done(Some(1)).remove(0);
    rig.keep_tag(&answer);
    assert_eq!(rig.put(&invite).concat(), answer);
    let again = rig.wait(10);
    assert!(
        again.len() >= 4 && again.iter().all(|text| *text == answer),
        "{again:?}"
    );
    // Never acknowledged: the session is given up.
    let last = rig.wait(60);
    assert!(last.iter().any(|text| text.starts_with("BYE ")), "{last:?}");
    assert!(matches!(rig.work(), Work::End { .. }));
}

#[test]
fn refusals_of_capture_are_said_in_sip() {
    for (failure, code, said) in [
        (
            Failure::Busy("no free media port".to_owned()),
            "503",
            "Retry-After: 5",
        ),
        (Failure::Offer("no codec".to_owned()), "488", "no codec"),
        (Failure::Broken, "500", "CSeq: 1 INVITE"),
    ] {
        let mut rig = Rig::new();
        rig.send("INVITE", MULTIPART, &body(&sdp(["1", "2"]), STRICT));
        let sent = rig.fail(failure);
        assert_eq!(status(&sent), [code]);
        assert!(sent[0].contains(said));
        assert_eq!((rig.agent.sessions(), rig.agent.opening), (0, 0));
    }
    let mut rig = Rig::new();
    rig.open("");
    rig.send(
        "INVITE",
        "Content-Type: application/sdp\r\n",
        &sdp(["1", "2"]),
    );
    assert_eq!(status(&rig.fail(Failure::Offer("x".to_owned()))), ["488"]);
    assert_eq!(rig.agent.sessions(), 1);
}

#[test]
fn who_may_not_call_gets_a_bounded_number_of_answers_and_no_state() {
    let mut rig = Rig::new();
    rig.from = Peer::Udp(([198, 51, 100, 1], 5060).into());
    let mut refused = 0;
    for _ in 0..1_000 {
        let sent = rig.send("INVITE", "", "");
        assert!(sent.iter().all(|text| text.starts_with("SIP/2.0 403")));
        refused += sent.len();
    }
    assert_eq!(refused, usize::try_from(STRANGERS_A_SECOND).unwrap());
    assert_eq!(rig.agent.transactions.len(), 0);
    rig.now = rig.now + Duration::from_secs(1);
    assert_eq!(rig.send("OPTIONS", "", "").len(), 1);
}

#[test]
fn an_account_is_found_by_network_domain_and_header() {
    let account = |byte| AccountSid::from_bytes([byte; 16]);
    let route =
        |byte, network: Option<&str>, domain: Option<&str>, header: Option<(&str, &str)>| Route {
            account: account(byte),
            source: None,
            networks: network
                .iter()
                .map(|network| network.parse().unwrap())
                .collect(),
            domain: domain.map(str::to_owned),
            header: header.map(|(name, value)| (name.to_owned(), value.to_owned())),
        };
    let rules = vec![
        route(2, None, None, Some(("X-Tenant", "acme"))),
        route(3, Some("192.0.2.0/24"), Some("127.0.0.1"), None),
        route(4, None, Some("other.example"), None),
    ];
    let found = |from: [u8; 4], more: &str, uri: &str| {
        let mut rig = Rig::with(|settings| settings.routes = rules.clone());
        rig.from = Peer::Udp((from, 5070).into());
        rig.cseq = 1;
        let text = rig.text(
            "INVITE",
            &format!("{more}{MULTIPART}"),
            &body(&sdp(["1", "2"]), STRICT),
        );
        let sent = rig.put(&text.replace("sip:rec@127.0.0.1", uri));
        match rig.works.pop_front() {
            Some((_, Work::Begin(begin))) => Ok(begin.open.account),
            _ => Err(status(&sent).concat()),
        }
    };
    assert_eq!(
        found([127, 0, 0, 1], "X-Tenant: acme\r\n", "sip:x@y"),
        Ok(account(2))
    );
    assert_eq!(
        found([192, 0, 2, 9], "", "sip:rec@127.0.0.1:5060"),
        Ok(account(3))
    );
    assert_eq!(
        found([127, 0, 0, 1], "", "sip:OTHER.example"),
        Ok(account(4))
    );
    assert_eq!(
        found([127, 0, 0, 1], "X-Tenant: other\r\n", "sip:rec@127.0.0.1"),
        Err("403".to_owned())
    );
    // Without a rule it is the only account's, from loopback alone.
    let mut rig = Rig::new();
    rig.from = Peer::Udp(([192, 0, 2, 1], 5060).into());
    assert_eq!(
        status(&rig.send("INVITE", MULTIPART, &body(&sdp(["1", "2"]), STRICT))),
        ["403"]
    );
}

#[test]
fn sessions_of_one_call_at_once_are_calls_of_their_own_and_one_after_another_the_same() {
    let mut rig = Rig::new();
    rig.open("");
    rig.to_tag.clear();
    let second = |rig: &mut Rig, id: &str| {
        rig.cseq += 1;
        let text = rig
            .text("INVITE", MULTIPART, &body(&sdp(["1", "2"]), STRICT))
            .replace("call@src", id);
        rig.put(&text);
        match rig.works.pop_front() {
            Some((session, Work::Begin(begin))) => (session, begin),
            other => panic!("{other:?}"),
        }
    };
    let (_, other) = second(&mut rig, "other@src");
    let first = CallSid::from_external(other.open.account, "c2Vzc2lvbg==");
    assert_ne!(other.open.call, first);
    assert!(other.signalling.contains("is open"));
    let mut rig = Rig::new();
    rig.open("");
    rig.send("BYE", "", "");
    rig.done(None);
    rig.to_tag.clear();
    assert_eq!(second(&mut rig, "other@src").1.open.call, first);
}

#[test]
fn the_same_invite_by_another_way_is_no_second_call() {
    let mut rig = Rig::new();
    rig.open("");
    let tag = std::mem::take(&mut rig.to_tag);
    let text = rig.text("INVITE", MULTIPART, &body(&sdp(["1", "2"]), STRICT));
    assert_eq!(
        status(&rig.put(&text.replace("z9hG4bKINVITE", "z9hG4bKfork"))),
        ["482"]
    );
    rig.to_tag = tag;
    rig.agent.handle_shutdown(rig.now);
    assert!(rig.drain()[0].starts_with("BYE "));
}
