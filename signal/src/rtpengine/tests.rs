//! The follower with an rtpengine of the test's making, in virtual time: what comes out for what goes in.

use std::collections::VecDeque;
use std::time::Duration;

use reeld_model::{
    AccountSid, CallSid, Channels, Mono, NotForked, OpenCall, RecordingSid, TrackSelection,
};
use serde_json::{Value, json};

use super::*;
use crate::work::{Failure, Outcome};

mod answers;
mod ends;

const CAPTURED: &str = "v=0\r\no=- 20000 1 IN IP4 127.0.0.1\r\ns=reeld\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
    m=audio 20000 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=recvonly\r\n\
    m=audio 20002 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=recvonly\r\n";

/// All that may ever be sent.
const COMMANDS: [&str; 6] = [
    "list",
    "query",
    "subscribe request",
    "subscribe answer",
    "unsubscribe",
    "delete",
];

fn account() -> AccountSid {
    AccountSid::from_bytes([1; 16])
}

/// What rtpengine is asked: the cookie and the dictionary.
type Asked = (String, Value);

/// A follower, its rtpengine and the time.
struct Rig {
    follower: Follower,
    now: Mono,
    asked: VecDeque<Asked>,
    works: VecDeque<(u64, Work)>,
    warnings: Vec<String>,
    attached: Vec<(u64, Result<(), NotForked>)>,
}

impl Rig {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings {
            account: Some(account()),
            follow: true,
            channels: Channels::Dual,
            delete_delay: Duration::from_secs(30),
            media_is_local: true,
            address: [127, 0, 0, 1].into(),
            incoming: Default::default(),
        };
        change(&mut settings);
        let mut number = 0;
        let random = move || {
            number += 1;
            number
        };
        let now = Mono(1_000_000_000);
        let mut rig = Self {
            follower: Follower::new(settings, Box::new(random), now),
            now,
            asked: VecDeque::new(),
            works: VecDeque::new(),
            warnings: Vec::new(),
            attached: Vec::new(),
        };
        rig.wait(Duration::ZERO);
        rig
    }

    fn drain(&mut self) {
        while let Some(output) = self.follower.poll_output() {
            match output {
                Output::Send(datagram) => {
                    let text = String::from_utf8(datagram).unwrap();
                    let (cookie, json) = text.split_once(' ').unwrap();
                    let json: Value = serde_json::from_str(json).unwrap();
                    let command = json["command"].as_str().unwrap();
                    assert!(COMMANDS.contains(&command), "{json}");
                    if command.contains("subscribe") {
                        // Nobody's tag but ours is touched.
                        assert_eq!(json["to-tag"], "reeld-0000000000000001", "{json}");
                    }
                    if command == "delete" {
                        assert_eq!(json["from-tag"], "reeld-0000000000000001", "{json}");
                        assert!(json.get("to-tag").is_none(), "{json}");
                    }
                    self.asked.push_back((cookie.to_owned(), json));
                }
                Output::Work { call, work } => self.works.push_back((call, work)),
                Output::Warning { why, .. } => self.warnings.push(why),
                Output::Attached { token, outcome } => self.attached.push((token, outcome)),
            }
        }
    }

    /// The next request of this command; those before it stay unanswered.
    #[track_caller]
    fn asked(&mut self, command: &str) -> Asked {
        let place = self
            .asked
            .iter()
            .position(|(_, json)| json["command"] == command);
        let place = place.unwrap_or_else(|| panic!("no {command} in {:?}", self.asked));
        self.asked.remove(place).unwrap()
    }

    fn has_asked(&self, command: &str) -> bool {
        self.asked
            .iter()
            .any(|(_, json)| json["command"] == command)
    }

    fn reply(&mut self, asked: &Asked, reply: &Value) {
        let datagram = format!("{} {reply}", asked.0);
        self.follower.handle_datagram(datagram.as_bytes(), self.now);
        self.wait(Duration::ZERO);
    }

    /// Answers the next request of this command; the request.
    #[track_caller]
    fn answer(&mut self, command: &str, reply: &Value) -> Value {
        let asked = self.asked(command);
        self.reply(&asked, reply);
        asked.1
    }

    #[track_caller]
    fn list(&mut self, calls: &[&str]) {
        self.answer("list", &json!({ "result": "ok", "calls": calls }));
    }

    #[track_caller]
    fn done(&mut self, recording: Option<u8>) -> Work {
        self.outcome(Outcome::Done {
            sdp: Some(CAPTURED.to_owned()),
            recording: recording.map(|byte| RecordingSid::from_bytes([byte; 16])),
        })
    }

    #[track_caller]
    fn outcome(&mut self, outcome: Outcome) -> Work {
        let (call, work) = self.works.pop_front().expect("work");
        self.follower.handle_outcome(call, outcome, self.now);
        self.wait(Duration::ZERO);
        work
    }

    /// Lets time go on, to each instant that the follower asks for.
    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        self.drain();
        while self.follower.due() <= until {
            self.now = self.now.max(self.follower.due());
            self.follower.handle_time(self.now);
            self.drain();
        }
        self.now = until;
    }

    /// Seconds in which an rtpengine has these calls and is asked about no other.
    fn live(&mut self, seconds: u32, calls: &[&str]) {
        for _ in 0..seconds {
            self.wait(Duration::from_secs(1));
            self.list(calls);
        }
    }

    /// A call that is recorded: listed, subscribed to, answered.
    fn recorded(&mut self) {
        self.list(&["c1"]);
        self.answer("query", &talking(1));
        self.answer("subscribe request", &offer("0 8 101"));
        self.done(Some(1));
        self.answer("subscribe answer", &ok());
        self.answer("query", &subscribed(5));
    }
}

fn ok() -> Value {
    json!({ "result": "ok" })
}

fn unknown() -> Value {
    json!({ "result": "error", "error-reason": "Unknown call-id" })
}

fn tag(name: &str, peers: &[&str], subscribed: &[&str]) -> Value {
    let one = |kind: &'static str| move |tag: &&str| json!({ "tag": tag, "type": kind });
    let all = peers.iter().map(one("offer/answer"));
    let all: Vec<Value> = all.chain(subscribed.iter().map(one("pub/sub"))).collect();
    let streams = json!([{ "local port": 30_000 }, { "local port": 30_001 }]);
    let medias = json!([{ "index": 1, "type": "audio", "streams": streams }]);
    json!({ "tag": name, "label": format!("the {name}"), "subscriptions": all, "medias": medias })
}

fn query(signal: u64, tags: &[Value]) -> Value {
    let tags = tags.iter().enumerate();
    let tags = tags.map(|(place, tag)| (format!("tag {place}"), tag.clone()));
    let tags: serde_json::Map<_, _> = tags.collect();
    json!({ "result": "ok", "last signal": signal, "tags": tags })
}

/// Two that talk.
fn talking(signal: u64) -> Value {
    query(signal, &[tag("A", &["B"], &[]), tag("B", &["A"], &[])])
}

/// Two that talk, and our subscription.
fn subscribed(signal: u64) -> Value {
    let own = tag("reeld-0000000000000001", &[], &["A", "B"]);
    query(signal, &[tag("A", &["B"], &[]), tag("B", &["A"], &[]), own])
}

/// What a subscription offers; the first line is the second party's.
fn offer(formats: &str) -> Value {
    let line = |port: u16, label: &str| {
        format!(
            "m=audio {port} RTP/AVP {formats}\r\nc=IN IP4 127.0.0.1\r\na=label:{label}\r\na=rtpmap:101 telephone-event/8000\r\n\
             a=fmtp:101 0-15\r\na=sendonly\r\n"
        )
    };
    json!({
        "result": "ok",
        "sdp": format!("v=0\r\no=- 7 7 IN IP4 127.0.0.1\r\ns=rtpengine\r\nt=0 0\r\n{}{}", line(30_000, "1"), line(30_002, "0")),
        "media-labels": { "0": { "tag": "A" }, "1": { "tag": "B" } },
        "from-tags": ["A", "B"],
    })
}

#[test]
fn a_call_is_recorded_from_its_answer_on() {
    let mut rig = Rig::new();
    rig.list(&["c1"]);
    // Nobody has answered yet.
    let alone = query(1, &[tag("A", &[""], &[]), tag("", &["A"], &[])]);
    rig.answer("query", &alone);
    assert!(!rig.has_asked("subscribe request"));
    rig.wait(Duration::from_secs(1));
    rig.answer("query", &talking(2));
    let asked = rig.answer("subscribe request", &offer("0 18 101"));
    assert_eq!(
        (
            &asked["call-id"],
            &asked["from-tags"],
            &asked["transport-protocol"]
        ),
        (&json!("c1"), &json!(["A", "B"]), &json!("RTP/AVP"))
    );
    assert!(asked.get("codec").is_none() && asked["flags"] == json!(["SIPREC"]));
    let Work::Begin(begin) = rig.done(Some(1)) else {
        panic!()
    };
    assert_eq!(begin.open.call, CallSid::from_external(account(), "c1"));
    assert_eq!(begin.open.external_id.as_deref(), Some("c1"));
    assert!(begin.open.is_signalled && !begin.paused);
    let wanted = begin.wanted.unwrap();
    assert_eq!(
        (wanted.channels, wanted.track),
        (Channels::Dual, TrackSelection::Both)
    );
    let kept: Value = serde_json::from_str(&begin.signalling).unwrap();
    assert_eq!(
        kept["participants"][0],
        json!({"id": "A", "name": "the A", "track": "inbound"})
    );
    let sdp = rig.answer("subscribe answer", &ok())["sdp"].clone();
    let sdp = sdp.as_str().unwrap();
    // The caller's is the second line; each has all codecs, also those that are not built.
    let lines: Vec<&str> = sdp.lines().filter(|line| line.starts_with("m=")).collect();
    assert_eq!(
        lines,
        [
            "m=audio 20002 RTP/AVP 0 18 101",
            "m=audio 20000 RTP/AVP 0 18 101"
        ],
        "{sdp}"
    );
    assert_eq!(sdp.matches("a=fmtp:101 0-15").count(), 2, "{sdp}");
    assert_eq!(sdp.matches("a=recvonly").count(), 2, "{sdp}");
    assert_eq!(rig.follower.sessions(), 1);
}

#[test]
fn what_is_signalled_has_the_subscription_made_anew_under_its_tag() {
    let mut rig = Rig::new();
    rig.recorded();
    rig.wait(Duration::from_secs(1));
    rig.answer("query", &subscribed(5));
    assert!(!rig.has_asked("subscribe request"));
    rig.wait(Duration::from_secs(1));
    rig.answer("query", &subscribed(7));
    // The same codecs: capture is told nothing.
    rig.answer("subscribe request", &offer("0 8 101"));
    assert!(rig.works.is_empty());
    rig.answer("subscribe answer", &ok());
    rig.answer("query", &subscribed(8));
    rig.wait(Duration::from_secs(1));
    rig.answer("query", &subscribed(9));
    rig.answer("subscribe request", &offer("9 101"));
    let Work::Change(change) = rig.done(None) else {
        panic!()
    };
    assert!(change.open.sdp.unwrap().contains("RTP/AVP 9 101"));
    assert_eq!((change.recordings.len(), change.wanted), (1, None));
    let sdp = rig.answer("subscribe answer", &ok())["sdp"].to_string();
    assert!(sdp.contains("20000 RTP/AVP 9 101"), "{sdp}");
}

#[test]
fn who_comes_in_a_transfer_gets_the_track_of_who_has_gone() {
    let mut rig = Rig::new();
    rig.recorded();
    rig.wait(Duration::from_secs(1));
    let own = tag("reeld-0000000000000001", &[], &["A", "B"]);
    // As seen: A is left with both, the newest first; B with nobody.
    let tags = [
        tag("A", &["C", "B"], &[]),
        tag("B", &[], &[]),
        own,
        tag("C", &["A"], &[]),
    ];
    rig.answer("query", &query(7, &tags));
    let asked = rig.asked("subscribe request");
    assert_eq!(asked.1["from-tags"], json!(["A", "C"]));
    let mut offer = offer("0 8 101");
    offer["media-labels"]["1"]["tag"] = "C".into();
    rig.reply(&asked, &offer);
    let Work::Change(change) = rig.done(None) else {
        panic!()
    };
    assert!(change.open.sdp.is_none());
    let kept: Value = serde_json::from_str(&change.signalling.unwrap()).unwrap();
    assert_eq!(kept["participants"][1]["id"], "C");
    assert!(rig.has_asked("subscribe answer"));
}

#[test]
fn a_request_comes_again_under_its_cookie_until_it_is_given_up() {
    let mut rig = Rig::new();
    let first = rig.asked("list");
    rig.wait(Duration::from_secs(7));
    let again: Vec<Asked> = rig.asked.drain(..).collect();
    assert_eq!(again, vec![first.clone(); 4]);
    rig.wait(Duration::from_secs(1));
    let other = rig.asked("list");
    assert_eq!(rig.warnings, ["rtpengine does not answer"]);
    assert_ne!(other.0, first.0);
    // An answer that comes too late, one of somebody else's, and one that is none.
    rig.reply(&first, &json!({ "result": "ok", "calls": ["c9"] }));
    rig.reply(
        &("1-1".to_owned(), Value::Null),
        &json!({ "calls": ["c9"] }),
    );
    for text in [
        "",
        " ",
        "x",
        &format!("{} x", other.0),
        &format!("{} []", other.0),
    ] {
        rig.follower.handle_datagram(text.as_bytes(), rig.now);
    }
    assert!(rig.asked.iter().all(|(_, json)| json["command"] == "list"));
    rig.reply(&other, &json!({ "result": "ok", "calls": ["c1"] }));
    assert!(rig.has_asked("query"));
}

#[test]
fn a_list_is_as_long_as_a_datagram_holds() {
    let mut rig = Rig::with(|settings| settings.follow = false);
    let names: Vec<String> = (0..1_500).map(|number| format!("{number:037}")).collect();
    let list = |count: usize| -> Vec<&str> { names[..count].iter().map(String::as_str).collect() };
    rig.list(&list(800));
    assert_eq!(rig.warnings, Vec::<String>::new());
    rig.wait(Duration::from_secs(1));
    assert_eq!(
        rig.answer("list", &json!({ "result": "ok", "calls": list(1_500) }))["limit"],
        1_500
    );
    assert_eq!(rig.warnings.len(), 1, "{:?}", rig.warnings);
}

#[test]
fn without_an_account_nothing_is_subscribed_to() {
    let mut rig = Rig::with(|settings| settings.account = None);
    rig.list(&["c1"]);
    rig.answer("query", &talking(1));
    rig.wait(Duration::from_secs(1));
    rig.answer("query", &talking(1));
    assert!(!rig.has_asked("subscribe request"));
    assert_eq!(rig.warnings.len(), 1, "{:?}", rig.warnings);
    rig.follower.set_sole_account(Some(account()));
    rig.wait(Duration::from_secs(1));
    rig.answer("query", &talking(1));
    assert!(rig.has_asked("subscribe request"));
}

#[test]
fn what_cannot_be_recorded_is_left_alone_until_something_is_signalled() {
    let mut rig = Rig::new();
    rig.list(&["c1"]);
    rig.answer("query", &talking(1));
    rig.answer("subscribe request", &offer("18"));
    assert!(
        rig.works.is_empty() && rig.warnings[0].contains("no codec"),
        "{:?}",
        rig.warnings
    );
    rig.answer("unsubscribe", &ok());
    for signal in [2, 2] {
        rig.wait(Duration::from_secs(1));
        rig.answer("query", &talking(signal));
        assert!(!rig.has_asked("subscribe request"));
    }
    rig.wait(Duration::from_secs(1));
    rig.answer("query", &talking(3));
    assert!(rig.has_asked("subscribe request"));
}

#[test]
fn what_is_too_much_is_tried_again() {
    let mut rig = Rig::new();
    rig.list(&["c1"]);
    rig.answer("query", &talking(1));
    rig.answer("subscribe request", &offer("0"));
    rig.outcome(Outcome::Failed(Failure::Busy("full".to_owned())));
    rig.answer("unsubscribe", &ok());
    rig.live(2, &["c1"]);
    assert!(!rig.has_asked("query"));
    rig.live(4, &["c1"]);
    rig.answer("query", &talking(2));
    assert!(rig.has_asked("subscribe request"));
}

fn attach(call: u8) -> Attach {
    Attach {
        sip_call_id: "c1".to_owned(),
        open: OpenCall {
            from: Some("ann".to_owned()),
            ..OpenCall::new(account(), CallSid::from_bytes([call; 16]))
        },
    }
}

#[test]
fn a_call_that_is_asked_for_comes_without_a_recording() {
    let mut rig = Rig::with(|settings| settings.follow = false);
    rig.list(&["c1"]);
    rig.answer("query", &talking(1));
    assert!(!rig.has_asked("subscribe request"));
    rig.follower.attach(7, attach(9), rig.now);
    rig.drain();
    rig.answer("query", &talking(1));
    rig.answer("subscribe request", &offer("0 8 101"));
    let Work::Begin(begin) = rig.done(None) else {
        panic!()
    };
    assert_eq!(
        (begin.open.call, begin.wanted),
        (CallSid::from_bytes([9; 16]), None)
    );
    assert_eq!(begin.open.from.as_deref(), Some("ann"));
    assert_eq!(rig.attached, []);
    rig.answer("subscribe answer", &ok());
    assert_eq!(rig.attached.pop(), Some((7, Ok(()))));
    rig.answer("query", &subscribed(5));
    // Once more, and under another name.
    for (token, call) in [(8, 9), (9, 3)] {
        rig.follower.attach(token, attach(call), rig.now);
        rig.drain();
        rig.answer("query", &subscribed(5));
    }
    let elsewhere = NotForked::Elsewhere(CallSid::from_bytes([9; 16]));
    assert_eq!(rig.attached, [(8, Ok(())), (9, Err(elsewhere))]);
}

#[test]
fn a_call_that_cannot_come_is_said_so() {
    let mut rig = Rig::with(|settings| settings.follow = false);
    rig.list(&[]);
    let mut ask = |reply: Option<&Value>| {
        rig.follower.attach(1, attach(9), rig.now);
        rig.drain();
        match reply {
            Some(reply) => {
                rig.answer("query", reply);
            }
            None => rig.wait(Duration::from_secs(8)),
        }
        rig.attached.pop()
    };
    assert_eq!(ask(Some(&unknown())), Some((1, Err(NotForked::Unknown))));
    let alone = query(1, &[tag("A", &[""], &[])]);
    assert_eq!(ask(Some(&alone)), Some((1, Err(NotForked::Unanswered))));
    assert!(matches!(ask(None), Some((1, Err(NotForked::Busy(_))))));
}
