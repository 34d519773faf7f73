//! What comes in the middle of a session: pauses, metadata, lines, refreshes, a restart, an end too early.

use super::*;

#[test]
fn pauses_come_by_three_spellings_and_by_invite_and_update() {
    let offer = sdp(["1", "2"]);
    for paused in [
        offer.replace("a=sendonly", "a=inactive"),
        offer.replace("c=IN IP4 192.0.2.1", "c=IN IP4 0.0.0.0"),
        offer
            .replace("m=audio 4000", "m=audio 0")
            .replace("m=audio 4002", "m=audio 0"),
    ] {
        for method in ["INVITE", "UPDATE"] {
            let mut rig = Rig::new();
            let first = rig.open("");
            let plain = "Content-Type: application/sdp\r\n";
            rig.send(method, plain, &paused);
            let Work::Change(change) = rig.work() else {
                panic!()
            };
            assert_eq!((change.paused, change.wanted), (Some(true), None));
            assert_eq!(change.recordings, [RecordingSid::from_bytes([7; 16])]);
            let answer = rig.done(None).remove(0);
            assert!(answer.contains("\r\nm=audio "), "{answer}");
            if method == "INVITE" {
                rig.send("ACK", "", "");
            }
            rig.send(method, plain, &offer);
            let Work::Change(change) = rig.work() else {
                panic!()
            };
            assert_eq!(change.paused, Some(false));
            let resumed = rig.done(None).remove(0);
            let ports = |text: &str| {
                text.lines()
                    .filter(|line| line.starts_with("m="))
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            };
            assert_eq!(ports(&first), ports(&resumed), "the ports stay");
            // The version grows with what is said anew: an address that is nowhere changes nothing of it.
            let version = if paused.contains("0.0.0.0") { 1 } else { 3 };
            assert!(
                resumed.contains(&format!(" {version} IN IP4 127.0.0.1\r\ns=reeld")),
                "{resumed}"
            );
        }
    }
    // One line alone is no pause of the recording, and a session may begin paused.
    let mut rig = Rig::new();
    rig.open("");
    rig.send(
        "UPDATE",
        "Content-Type: application/sdp\r\n",
        &offer.replacen("a=sendonly", "a=inactive", 1),
    );
    let Work::Change(change) = rig.work() else {
        panic!()
    };
    assert_eq!(change.paused, None);
    let mut rig = Rig::new();
    rig.send(
        "INVITE",
        MULTIPART,
        &body(&offer.replace("a=sendonly", "a=inactive"), STRICT),
    );
    let Work::Begin(begin) = rig.work() else {
        panic!()
    };
    assert!(begin.paused);
    let answer = rig.done(Some(1)).remove(0);
    assert_eq!(answer.matches("a=inactive").count(), 2);
}

#[test]
fn metadata_alone_change_the_record_and_not_the_media() {
    for method in ["INVITE", "UPDATE"] {
        let mut rig = Rig::new();
        rig.open("");
        let third = STRICT
            .replace("Y2FsbGVl", "dGhpcmQ=")
            .replace("callee@b", "third@c");
        rig.send(
            method,
            "Content-Type: application/rs-metadata+xml\r\n",
            &third,
        );
        let Work::Change(change) = rig.work() else {
            panic!()
        };
        // An INVITE asks for an offer then, for which all that is decoded is awaited.
        assert_eq!(
            (change.open.sdp.is_some(), change.paused),
            (method == "INVITE", None)
        );
        let kept = change.signalling.unwrap();
        assert!(
            kept.contains("third@c.example") && kept.contains("callee@b.example"),
            "{kept}"
        );
        let answer = rig.done(None).remove(0);
        assert_eq!(
            answer.contains("m=audio 20000"),
            method == "INVITE",
            "{answer}"
        );
        if method == "INVITE" {
            rig.send("ACK", "", "");
        }
        // Nothing at all is a refresh.
        let sent = rig.send(method, "", "");
        let sent = if method == "INVITE" {
            rig.done(None)
        } else {
            sent
        };
        assert_eq!(status(&sent), ["200"]);
    }
}

#[test]
fn a_second_line_in_mid_call_is_a_recording_beside() {
    let mut rig = Rig::new();
    let two = sdp(["1", "2"]);
    let one = &two[..two.find("m=audio 4002").unwrap()];
    rig.send("INVITE", "Content-Type: application/sdp\r\n", one);
    let Work::Begin(begin) = rig.work() else {
        panic!()
    };
    assert_eq!(
        begin.wanted.map(|wanted| (wanted.channels, wanted.track)),
        Some((Channels::Mono, reeld_model::TrackSelection::Inbound))
    );
    let answer = rig.done(Some(1)).remove(0);
    rig.keep_tag(&answer);
    rig.send("ACK", "", "");
    rig.send("INVITE", "Content-Type: application/sdp\r\n", &two);
    let Work::Change(change) = rig.work() else {
        panic!()
    };
    assert_eq!(
        change.wanted.unwrap().track,
        reeld_model::TrackSelection::Outbound
    );
    rig.done(Some(2));
    rig.send("ACK", "", "");
    // One of two that ends does not end the session; the last one does.
    rig.agent.handle_ended(
        RecordingSid::from_bytes([1; 16]),
        EndedBy::MaxLength,
        rig.now,
    );
    assert!(rig.drain().is_empty());
    rig.agent.handle_ended(
        RecordingSid::from_bytes([2; 16]),
        EndedBy::MaxLength,
        rig.now,
    );
    let sent = rig.drain();
    assert!(
        sent[0].starts_with("BYE sip:src@127.0.0.1:5070 SIP/2.0\r\n"),
        "{sent:?}"
    );
    assert!(matches!(rig.work(), Work::End { .. }));
}

#[test]
fn a_session_that_is_not_refreshed_ends_and_one_that_we_refresh_goes_on() {
    let mut rig = Rig::new();
    let answer = rig.open("Session-Expires: 90;refresher=uac\r\nSupported: timer\r\n");
    assert!(
        answer.contains("Session-Expires: 90;refresher=uac\r\nRequire: timer"),
        "{answer}"
    );
    assert!(rig.wait(50).is_empty());
    let sent = rig.send("UPDATE", "Session-Expires: 90\r\nSupported: timer\r\n", "");
    assert!(sent[0].contains("Session-Expires: 90;refresher=uac"));
    assert!(rig.wait(55).is_empty());
    assert!(rig.wait(10).iter().any(|text| text.starts_with("BYE ")));

    let mut rig = Rig::new();
    let answer = rig.open("Session-Expires: 90;refresher=uas\r\nSupported: timer\r\n");
    assert!(
        answer.contains("Session-Expires: 90;refresher=uas"),
        "{answer}"
    );
    let sent = rig.wait(46);
    assert!(
        sent[0].starts_with("UPDATE sip:src@127.0.0.1:5070"),
        "{sent:?}"
    );
    let branch = sent[0]
        .split("branch=")
        .nth(1)
        .unwrap()
        .lines()
        .next()
        .unwrap();
    rig.put(&format!("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch={branch}\r\nCSeq: 1 UPDATE\r\n\r\n"));
    assert!(rig.wait(40).is_empty());
    // The next one gets no answer: it goes out again, and then the session is over.
    let sent = rig.wait(60);
    assert!(
        sent.iter()
            .filter(|text| text.starts_with("UPDATE "))
            .count()
            > 3,
        "{sent:?}"
    );
    assert!(sent.iter().any(|text| text.starts_with("BYE ")));
}

#[test]
fn a_restart_keeps_sessions() {
    let mut rig = Rig::new();
    rig.open("Session-Expires: 90;refresher=uac\r\nSupported: timer\r\n");
    let kept = rig.agent.keep().unwrap();
    let mut next = Rig::new();
    assert_eq!(next.agent.take_up(&kept, |_, _| false, rig.now).unwrap(), 0);
    assert_eq!(next.agent.take_up(&kept, |_, _| true, rig.now).unwrap(), 1);
    (next.cseq, next.to_tag, next.now) = (rig.cseq, rig.to_tag.clone(), rig.now);
    next.send(
        "INVITE",
        "Session-Expires: 90\r\nContent-Type: application/sdp\r\n",
        &sdp(["1", "2"]).replace("a=sendonly", "a=inactive"),
    );
    let Work::Change(change) = next.work() else {
        panic!()
    };
    assert_eq!((change.paused, change.recordings.len()), (Some(true), 1));
    let answer = next.done(None).remove(0);
    assert!(
        answer.contains(" 2 IN IP4 127.0.0.1\r\ns=reeld"),
        "the version goes on: {answer}"
    );
    next.send("ACK", "", "");
    assert!(
        next.wait(90).iter().any(|text| text.starts_with("BYE ")),
        "its timer goes on"
    );
    assert!(
        Rig::new()
            .agent
            .take_up(b"{", |_, _| true, Mono(0))
            .is_err()
    );
}

#[test]
fn a_cancelled_call_is_ended_and_so_is_one_that_hangs_up_too_early() {
    let mut rig = Rig::new();
    rig.send("INVITE", MULTIPART, &body(&sdp(["1", "2"]), STRICT));
    let sent = rig.send("CANCEL", "", "");
    assert_eq!(status(&sent), ["200", "487"]);
    assert!(rig.done(Some(1)).is_empty());
    assert!(matches!(rig.work(), Work::End { .. }));
    rig.done(None);
    assert_eq!(rig.agent.sessions(), 0);
    // One that was answered stands.
    let mut rig = Rig::new();
    rig.open("");
    let tag = std::mem::take(&mut rig.to_tag);
    assert_eq!(status(&rig.send("CANCEL", "", "")), ["200"]);
    assert_eq!(rig.agent.sessions(), 1);
    rig.to_tag = tag;
    // A BYE while a change is under way: the end comes behind it.
    rig.send(
        "UPDATE",
        "Content-Type: application/sdp\r\n",
        &sdp(["1", "2"]),
    );
    assert_eq!(
        status(&rig.send(
            "UPDATE",
            "Content-Type: application/sdp\r\n",
            &sdp(["1", "2"])
        )),
        ["500"]
    );
    assert_eq!(status(&rig.send("BYE", "", "")), ["200"]);
    assert_eq!(rig.works.len(), 1);
    rig.done(None);
    assert!(matches!(rig.work(), Work::End { .. }));
    assert_eq!(status(&rig.send("CANCEL", "", "")), ["481"]);
}
