//! INVITEs without an offer: ours goes out with the 200, and what its answer in the ACK makes of the session.

use super::*;

/// What capture says of an offer of all that is decoded: the ports, and what it would take.
const WIDE: &str = "v=0\r\no=- 20000 1 IN IP4 127.0.0.1\r\ns=reeld\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
    m=audio 20000 RTP/AVP 0 8 9 96 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:96 opus/48000/2\r\na=recvonly\r\n\
    m=audio 20002 RTP/AVP 0 8 9 96 101\r\na=rtpmap:0 PCMU/8000\r\na=recvonly\r\n";

const SDP: &str = "Content-Type: application/sdp\r\n";

fn done(rig: &mut Rig, recording: Option<u8>) -> Vec<String> {
    let (session, _) = rig.works.pop_front().expect("work");
    let outcome = Outcome::Done {
        sdp: Some(WIDE.to_owned()),
        recording: recording.map(|byte| RecordingSid::from_bytes([byte; 16])),
    };
    rig.agent.handle_outcome(session, outcome, rig.now);
    rig.drain()
}

fn change(rig: &mut Rig) -> Box<Change> {
    let Work::Change(change) = rig.work() else {
        panic!("{:?}", rig.works)
    };
    change
}

/// A session that has our offer.
fn offered(more: &str, body: &str) -> (Rig, Box<Begin>, String) {
    let mut rig = Rig::new();
    rig.send("INVITE", more, body);
    let Work::Begin(begin) = rig.work() else {
        panic!()
    };
    let answer = done(&mut rig, Some(7)).remove(0);
    rig.keep_tag(&answer);
    (rig, begin, answer)
}

#[test]
fn a_telephone_is_offered_a_line_and_a_recording_client_one_for_each_party() {
    // The Contact of the test's client says that it is one.
    let (_, begin, answer) = offered("Require: siprec\r\n", "");
    assert_eq!(
        begin.wanted.unwrap().track,
        reeld_model::TrackSelection::Both
    );
    assert!(begin.signalling.contains("none came with the INVITE"));
    for said in [
        "m=audio 20000 RTP/AVP 0 8 9 96 101",
        "m=audio 20002 ",
        "a=label:1",
        "a=label:2",
    ] {
        assert!(answer.contains(said), "{said} in {answer}");
    }
    assert_eq!(answer.matches("a=recvonly").count(), 2);
    assert!(begin.open.sdp.unwrap().contains("telephone-event/8000"));
    // Its metadata say what its lines are called.
    let kind = "Content-Type: application/rs-metadata+xml\r\n";
    let named = STRICT
        .replace("<label>1<", "<label>left<")
        .replace("<label>2<", "<label>right<");
    let (_, begin, answer) = offered(kind, &named);
    assert!(answer.contains("a=label:left") && answer.contains("a=label:right"));
    assert_eq!(begin.open.from.as_deref(), Some("sip:caller@a.example"));
    // One mixed stream is one line.
    let one = STRICT.replace("<label>2</label>", "");
    let (_, begin, answer) = offered(kind, &one);
    assert_eq!(answer.matches("m=audio").count(), 1);
    assert_eq!(begin.wanted.unwrap().channels, Channels::Mono);
    // A telephone's.
    let mut rig = Rig::new();
    let text = rig.text("INVITE", "", "").replace(";+sip.src", "");
    rig.put(&text);
    let answer = done(&mut rig, Some(7)).remove(0);
    assert_eq!(answer.matches("m=audio").count(), 1);
    assert!(!answer.contains("a=label"), "{answer}");
}

#[test]
fn the_answer_says_what_is_sent_and_comes_once() {
    let (mut rig, _, _) = offered("Require: siprec\r\n", "");
    let answer = sdp(["1", "2"])
        .replace("a=label:1\r\n", "")
        .replace("a=label:2\r\n", "");
    assert!(rig.send("ACK", SDP, &answer).is_empty());
    let taken = change(&mut rig);
    let told = taken.open.sdp.unwrap();
    assert!(
        told.contains("m=audio 4000 RTP/AVP 0 101") && told.contains("c=IN IP4"),
        "{told}"
    );
    assert_eq!((taken.paused, taken.wanted), (None, None));
    assert_eq!(taken.recordings, [RecordingSid::from_bytes([7; 16])]);
    // The ACK comes again, while that is done and after.
    rig.send("ACK", SDP, &answer);
    assert_eq!(rig.works.len(), 1);
    assert!(rig.done(None).is_empty());
    rig.send("ACK", SDP, &answer);
    assert!(rig.works.is_empty() && rig.wait(60).is_empty());
    assert_eq!(status(&rig.send("BYE", "", "")), ["200"]);
    assert!(matches!(rig.work(), Work::End { .. }));
}

#[test]
fn the_offer_goes_out_until_its_ack_is_there_and_no_longer_than_that() {
    let (mut rig, _, answer) = offered("Require: siprec\r\n", "");
    let again = rig.wait(10);
    assert!(again.len() >= 4 && again.iter().all(|text| *text == answer));
    rig.send("ACK", SDP, &sdp(["1", "2"]));
    rig.done(None);
    assert!(rig.wait(60).is_empty());
    let (mut rig, _, _) = offered("Require: siprec\r\n", "");
    assert!(rig.wait(60).iter().any(|text| text.starts_with("BYE ")));
    assert!(matches!(rig.work(), Work::End { .. }));
}

#[test]
fn without_an_answer_that_can_be_used_a_session_is_hung_up_and_its_call_ended() {
    let off = sdp(["1", "2"])
        .replace("m=audio 4000", "m=audio 0")
        .replace("m=audio 4002", "m=audio 0");
    let other = sdp(["1", "2"])
        .replace("AVP 0 101", "AVP 18")
        .replace("AVP 8 101", "AVP 18");
    for (kind, body, why) in [
        ("", "", "no answer"),
        (SDP, "v=0\r\ns=-\r\n", "no answer"),
        ("Content-Type: text/plain\r\n", "hello", "no answer"),
        (SDP, off.as_str(), "none of the lines"),
        (SDP, other.as_str(), "G729"),
    ] {
        let (mut rig, _, _) = offered("Require: siprec\r\n", "");
        let sent = rig.send("ACK", kind, body);
        assert!(
            sent[0].starts_with("BYE sip:src@127.0.0.1:5070 SIP/2.0\r\n"),
            "{sent:?}"
        );
        let reason = sent[0]
            .lines()
            .find(|line| line.starts_with("Reason: "))
            .unwrap();
        assert!(
            reason.starts_with("Reason: SIP;cause=488;text=\"") && reason.contains(why),
            "{reason}"
        );
        assert!(matches!(rig.work(), Work::End { .. }));
        rig.done(None);
        assert!(rig.works.is_empty() && rig.agent.sessions() == 0);
    }
    // Capture has the last word.
    let (mut rig, _, _) = offered("Require: siprec\r\n", "");
    rig.send("ACK", SDP, &sdp(["1", "2"]));
    let sent = rig.fail(Failure::Offer("no \"codec\"".to_owned()));
    assert!(
        sent[0].starts_with("BYE ") && sent[0].contains("text=\"no codec\""),
        "{sent:?}"
    );
    assert!(matches!(rig.work(), Work::End { .. }));
    assert_eq!(rig.works.len(), 1);
}

#[test]
fn one_line_of_two_that_is_answered_is_recorded() {
    let (mut rig, _, _) = offered("Require: siprec\r\n", "");
    let one = sdp(["1", "2"]).replace("m=audio 4002", "m=audio 0");
    rig.send("ACK", SDP, &one);
    assert_eq!(change(&mut rig).paused, None);
    rig.done(None);
    assert_eq!(rig.agent.sessions(), 1);
    // Paused from the start is as good.
    let (mut rig, _, _) = offered("Require: siprec\r\n", "");
    rig.send(
        "ACK",
        SDP,
        &sdp(["1", "2"]).replace("a=sendonly", "a=inactive"),
    );
    assert_eq!(change(&mut rig).paused, Some(true));
}

#[test]
fn who_asks_for_an_offer_in_mid_call_gets_the_session_and_changes_it_by_the_answer() {
    let mut rig = Rig::new();
    rig.open("");
    // Held, and then taken again by an INVITE without an offer, as Cisco's do.
    rig.send(
        "INVITE",
        SDP,
        &sdp(["1", "2"]).replace("a=sendonly", "a=inactive"),
    );
    let held = rig.done(None).remove(0);
    assert_eq!(held.matches("a=inactive").count(), 2);
    rig.send("ACK", "", "");
    rig.send("INVITE", "", "");
    let wide = change(&mut rig);
    assert_eq!(
        (wide.paused, wide.wanted),
        (None, None),
        "nothing is resumed yet"
    );
    let told = wide.open.sdp.unwrap();
    assert!(told.contains("m=audio 4000 RTP/AVP 0 101 8 9 96"), "{told}");
    let offer = done(&mut rig, None).remove(0);
    assert_eq!(offer.matches("a=recvonly").count(), 2, "{offer}");
    for said in [
        "m=audio 20000 ",
        "m=audio 20002 ",
        "a=label:1",
        "a=label:2",
        " 3 IN IP4 127.0.0.1\r\ns=reeld",
    ] {
        assert!(offer.contains(said), "{said} in {offer}");
    }
    // Meanwhile it is no one's turn but the answer's.
    assert_eq!(status(&rig.send("UPDATE", SDP, &sdp(["1", "2"]))), ["491"]);
    rig.cseq -= 1;
    rig.send(
        "ACK",
        SDP,
        &sdp(["1", "2"]).replace("AVP 0 101", "AVP 9 101"),
    );
    let taken = change(&mut rig);
    assert_eq!(taken.paused, Some(false));
    assert!(
        taken
            .open
            .sdp
            .unwrap()
            .contains("m=audio 4000 RTP/AVP 9 101")
    );
    assert!(rig.done(None).is_empty());
    // The same asked for again has the same version, where nothing has changed.
    rig.cseq += 1;
    rig.send("INVITE", "", "");
    let again = done(&mut rig, None).remove(0);
    assert!(again.contains(" 3 IN IP4 127.0.0.1\r\ns=reeld"), "{again}");
}

#[test]
fn in_mid_call_a_missing_or_broken_answer_changes_nothing() {
    for (kind, body) in [
        ("", ""),
        (SDP, "v=0\r\n"),
        (
            SDP,
            "v=0\r\nm=audio 4000 RTP/AVP 18\r\nm=audio 4002 RTP/AVP 18\r\n",
        ),
    ] {
        let mut rig = Rig::new();
        rig.open("");
        rig.send("INVITE", "", "");
        assert_eq!(status(&done(&mut rig, None)), ["200"]);
        assert!(rig.send("ACK", kind, body).is_empty());
        assert!(rig.works.is_empty() && rig.wait(60).is_empty());
        assert_eq!(rig.agent.sessions(), 1);
    }
    // Nor does too much to do, or a call that is gone but for its end.
    let mut rig = Rig::new();
    rig.open("");
    rig.send("INVITE", "", "");
    let sent = rig.fail(Failure::Busy("full".to_owned()));
    assert_eq!(status(&sent), ["200"]);
    assert!(sent[0].contains("m=audio 20000 RTP/AVP 0 101"), "{sent:?}");
    rig.send("ACK", SDP, &sdp(["1", "2"]));
    assert!(rig.works.is_empty());
    rig.send("INVITE", "", "");
    assert_eq!(status(&rig.fail(Failure::Gone))[0], "481");
    assert!(matches!(rig.work(), Work::End { .. }));
    assert_eq!(rig.works.len(), 1);
}

#[test]
fn an_ack_that_comes_while_something_else_is_done_is_not_lost() {
    let (mut rig, _, _) = offered("Require: siprec\r\n", "");
    let cseq = rig.cseq;
    rig.send(
        "UPDATE",
        "Content-Type: application/rs-metadata+xml\r\n",
        STRICT,
    );
    rig.cseq = cseq;
    rig.send("ACK", SDP, &sdp(["1", "2"]));
    assert_eq!(rig.works.len(), 1);
    assert_eq!(status(&rig.done(None)), ["200"]);
    assert!(change(&mut rig).open.sdp.unwrap().contains("m=audio 4000"));
    // A BYE while the answer is being taken: the end comes behind it.
    rig.cseq += 1;
    assert_eq!(status(&rig.send("BYE", "", "")), ["200"]);
    assert_eq!(rig.works.len(), 1);
    rig.done(None);
    assert!(matches!(rig.work(), Work::End { .. }));
    // And one before the ACK.
    let (mut rig, _, _) = offered("Require: siprec\r\n", "");
    assert_eq!(status(&rig.send("BYE", "", "")), ["200"]);
    assert!(matches!(rig.work(), Work::End { .. }));
    rig.cseq -= 1;
    rig.send("ACK", SDP, &sdp(["1", "2"]));
    assert_eq!(rig.works.len(), 1);
}

#[test]
fn an_answer_that_comes_after_a_restart_is_taken() {
    let (rig, _, _) = offered("Require: siprec\r\n", "");
    let kept = rig.agent.keep().unwrap();
    let mut next = Rig::new();
    assert_eq!(next.agent.take_up(&kept, |_, _| true, rig.now).unwrap(), 1);
    (next.cseq, next.to_tag, next.now) = (rig.cseq, rig.to_tag.clone(), rig.now);
    next.send("ACK", SDP, &sdp(["1", "2"]));
    assert!(change(&mut next).open.sdp.unwrap().contains("m=audio 4000"));
    // One that never comes is the session's end, and does not bar the next offer.
    let mut next = Rig::new();
    next.now = rig.now;
    next.agent.take_up(&kept, |_, _| true, rig.now).unwrap();
    next.wait(33);
    assert!(matches!(next.work(), Work::End { .. }));
    let mut next = Rig::new();
    next.agent.take_up(&kept, |_, _| true, rig.now).unwrap();
    (next.cseq, next.to_tag, next.now) = (rig.cseq, rig.to_tag.clone(), rig.now);
    next.send("UPDATE", SDP, &sdp(["1", "2"]));
    assert_eq!(status(&next.done(None)), ["200"]);
}

#[test]
fn who_says_recvonly_from_the_start_is_recorded() {
    let mut rig = Rig::new();
    let offer = sdp(["1", "2"]).replace("sendonly", "recvonly");
    rig.send("INVITE", SDP, &offer);
    let Work::Begin(begin) = rig.work() else {
        panic!()
    };
    assert!(!begin.paused && begin.signalling.contains("recvonly"));
    let answer = rig.done(Some(1)).remove(0);
    rig.keep_tag(&answer);
    rig.send("ACK", "", "");
    assert_eq!(answer.matches("a=recvonly").count(), 2);
    for (said, paused) in [
        ("recvonly", None),
        ("inactive", Some(true)),
        ("recvonly", Some(false)),
        ("sendonly", None),
        ("recvonly", Some(true)),
    ] {
        rig.send("UPDATE", SDP, &offer.replace("recvonly", said));
        assert_eq!(change(&mut rig).paused, paused, "{said}");
        rig.done(None);
    }
}
