//! How calls end, and what outlives the process.

use reeld_model::incoming::Over;
use reeld_model::{Bringer, Ending};

use super::*;

#[test]
fn a_call_that_rtpengine_has_no_more_has_ended() {
    let incoming = std::sync::Arc::new(reeld_model::Incoming::default());
    let mut rig = Rig::with(|settings| settings.incoming = std::sync::Arc::clone(&incoming));
    rig.recorded();
    rig.wait(Duration::from_secs(1));
    rig.asked.clear();
    // The query that is under way is the last one.
    rig.wait(Duration::from_secs(1));
    let query = rig.asked("query");
    rig.reply(&query, &unknown());
    let ended = rig.done(None);
    assert!(
        matches!(
            ended,
            Work::End {
                ending: Ending::Late(late),
                ..
            } if late == Duration::from_secs(30)
        ),
        "{ended:?}"
    );
    assert_eq!(rig.follower.sessions(), 0);
    assert!(!rig.has_asked("unsubscribe"));
    let hung_up = (Bringer::Rtpengine, Over::HungUp, 1);
    assert!(incoming.calls_ended().any(|ended| ended == hung_up));
    assert!(
        incoming
            .calls_begun()
            .any(|begun| begun == (Bringer::Rtpengine, 1))
    );
    assert!(incoming.calls_open().all(|(_, open)| open == 0));
    assert_eq!(incoming.rtpengines(), [1, 1]);
}

#[test]
fn what_is_listed_no_more_is_asked_about_at_once() {
    let mut rig = Rig::with(|settings| settings.follow = false);
    rig.list(&["c1"]);
    rig.answer("query", &talking(1));
    rig.live(30, &["c1"]);
    assert!(!rig.has_asked("query"));
    rig.live(1, &[]);
    rig.answer("query", &unknown());
    rig.live(1, &["c1"]);
    assert!(rig.has_asked("query"), "it is a new one");
}

#[test]
fn a_silent_rtpengine_ends_a_call_once_no_packet_comes_either() {
    let mut rig = Rig::new();
    rig.recorded();
    let mut packets = 100;
    for _ in 0..20 {
        rig.wait(Duration::from_secs(1));
        packets += 50;
        while !rig.works.is_empty() {
            let work = rig.outcome(Outcome::Seen { packets });
            assert!(matches!(work, Work::Look { .. }), "{work:?}");
        }
    }
    assert_eq!(rig.follower.sessions(), 1);
    let mut ended = 0;
    for second in 1..=6 {
        rig.wait(Duration::from_secs(1));
        while !rig.works.is_empty() {
            if let Work::End { ending, .. } = rig.works[0].1 {
                assert_eq!(ending, Ending::Silent, "it ends with its last packet");
                ended = second;
                rig.done(None);
            } else {
                rig.outcome(Outcome::Seen { packets });
            }
        }
    }
    assert!((1..=6).contains(&ended), "{ended}");
    assert_eq!(rig.follower.sessions(), 0);
}

#[test]
fn a_call_that_is_ended_here_is_left_and_not_taken_again() {
    let mut rig = Rig::new();
    rig.recorded();
    rig.wait(Duration::from_millis(999));
    rig.asked.clear();
    for _ in 0..6 {
        rig.wait(Duration::from_secs(1));
        while rig.has_asked("query") {
            rig.answer("query", &subscribed(5));
        }
        if rig.has_asked("list") {
            rig.list(&["c1"]);
        }
        if !rig.works.is_empty() {
            break;
        }
    }
    let work = rig.outcome(Outcome::Failed(Failure::Gone));
    assert!(matches!(work, Work::Look { .. }));
    rig.answer("unsubscribe", &ok());
    assert!(matches!(rig.done(None), Work::End { .. }));
    for signal in 6..9 {
        rig.wait(Duration::from_secs(2));
        while rig.has_asked("query") {
            rig.answer("query", &talking(signal));
        }
        assert!(!rig.has_asked("subscribe request"));
    }
}

#[test]
fn what_one_before_us_has_left_is_ended_where_nothing_is_to_be_recorded() {
    let mut rig = Rig::with(|settings| settings.follow = false);
    rig.list(&["c1"]);
    rig.answer("query", &subscribed(1));
    rig.answer("unsubscribe", &ok());
    assert!(rig.works.is_empty());
}

#[test]
fn the_next_process_goes_on_with_calls_under_the_same_tag() {
    let mut rig = Rig::new();
    rig.recorded();
    let kept = rig.follower.keep(true).unwrap();
    let call = CallSid::from_external(account(), "c1");
    let mut next = Rig::with(|_| {});
    let taken = next
        .follower
        .take_up(&kept, |of, sid| (of, sid) == (account(), call));
    assert_eq!(taken.unwrap(), 1);
    next.wait(Duration::ZERO);
    assert!(matches!(
        next.outcome(Outcome::Seen { packets: 1 }),
        Work::Look { .. }
    ));
    next.answer("query", &subscribed(5));
    assert!(!next.has_asked("subscribe request"), "all is as it was");
    next.wait(Duration::from_secs(1));
    next.answer("query", &subscribed(6));
    // Made anew, and capture need not be told.
    next.answer("subscribe request", &offer("0 8 101"));
    assert!(next.works.is_empty());
    let sdp = next.answer("subscribe answer", &ok())["sdp"].to_string();
    assert!(sdp.contains("20000 RTP/AVP 0 8 101"), "{sdp}");
    // After a crash there are no calls, and the tag is the same.
    let mut after = Rig::new();
    let kept = rig.follower.keep(false).unwrap();
    assert_eq!(after.follower.take_up(&kept, |_, _| true).unwrap(), 0);
    assert_eq!(after.follower.keep(true).unwrap(), kept);
    assert!(after.follower.take_up(b"x", |_, _| true).is_err());
}

#[test]
fn an_end_of_ours_ends_all_subscriptions() {
    let mut rig = Rig::new();
    rig.recorded();
    rig.asked.clear();
    rig.follower.handle_shutdown(rig.now);
    rig.drain();
    assert!(!rig.follower.is_idle());
    rig.answer("unsubscribe", &ok());
    assert!(rig.works.is_empty() && !rig.has_asked("subscribe request"));
}

/// As rtpengine tells of a party that was deleted: its ports are gone.
fn closed(mut tag: Value) -> Value {
    tag["medias"][0]["streams"] = json!([{ "flags": [] }]);
    tag
}

#[test]
fn a_call_that_only_we_hold_is_let_go_of() {
    let mut rig = Rig::new();
    rig.recorded();
    rig.wait(Duration::from_secs(1));
    let own = tag("reeld-0000000000000001", &[], &["A", "B"]);
    let [a, b] = [tag("A", &["B"], &[]), tag("B", &["A"], &[])];
    rig.answer(
        "query",
        &query(6, &[closed(a.clone()), b.clone(), own.clone()]),
    );
    rig.answer("delete", &ok());
    // Its parties were kept for a while after their end too.
    let late = Ending::Late(Duration::from_secs(30));
    assert!(matches!(rig.done(None), Work::End { ending, .. } if ending == late));
    assert!(!rig.has_asked("unsubscribe"));

    // One that talks with somebody else by now goes on.
    let mut rig = Rig::new();
    rig.recorded();
    rig.wait(Duration::from_secs(1));
    let (b, c) = (tag("B", &["C", "A"], &[]), tag("C", &["B"], &[]));
    rig.answer("query", &query(6, &[closed(a.clone()), b, own, c]));
    assert!(!rig.has_asked("delete"));
    assert_eq!(
        rig.asked("subscribe request").1["from-tags"],
        json!(["C", "B"])
    );

    // Left by one before us.
    let mut rig = Rig::new();
    rig.list(&["c1"]);
    let own = tag("reeld-0000000000000001", &[], &["A", "B"]);
    rig.answer("query", &query(6, &[a, closed(tag("B", &["A"], &[])), own]));
    rig.answer("delete", &ok());
    assert!(rig.works.is_empty());
}
