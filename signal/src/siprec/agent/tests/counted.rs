//! Each session is counted once when it is taken, and once when it is over or was not taken, whatever comes of it meanwhile.

use reeld_model::Incoming;
use reeld_model::incoming::{Declined, Over};

use super::*;

/// Sessions open; begun; ended and refused, by why.
type Counts = (u64, u64, Vec<(Over, u64)>, Vec<(Declined, u64)>);

fn counts(incoming: &Incoming) -> Counts {
    let open = incoming.calls_open().map(|(_, count)| count).sum();
    let begun = incoming.calls_begun().map(|(_, count)| count).sum();
    let ended = incoming.calls_ended().filter(|(.., count)| *count > 0);
    let declined = incoming.calls_declined().filter(|(.., count)| *count > 0);
    (
        open,
        begun,
        ended.map(|(_, over, count)| (over, count)).collect(),
        declined.map(|(_, why, count)| (why, count)).collect(),
    )
}

fn counted(act: impl FnOnce(&mut Rig)) -> Counts {
    let mut rig = Rig::new();
    act(&mut rig);
    counts(&rig.agent.settings.incoming)
}

fn invite(rig: &mut Rig) {
    rig.send("INVITE", MULTIPART, &body(&sdp(["1", "2"]), STRICT));
}

#[test]
fn a_session_is_begun_and_over_once() {
    let over = |over, act: fn(&mut Rig)| {
        let counts = counted(|rig| {
            rig.open("Session-Expires: 90;refresher=uac\r\n");
            act(rig);
            // Its call ends, and whatever comes of it late changes nothing.
            while !rig.works.is_empty() {
                rig.done(None);
            }
            rig.wait(600);
        });
        assert_eq!(counts, (0, 1, vec![(over, 1)], vec![]));
    };
    over(Over::HungUp, |rig| {
        rig.send("BYE", "", "");
        rig.send("BYE", "", "");
    });
    over(Over::Timeout, |rig| drop(rig.wait(200)));
    over(Over::Shutdown, |rig| {
        rig.agent.handle_shutdown(rig.now);
        rig.agent.handle_shutdown(rig.now);
    });
    over(Over::Here, |rig| {
        let recording = RecordingSid::from_bytes([7; 16]);
        let now = rig.now;
        rig.agent.handle_ended(recording, EndedBy::MaxLength, now);
        rig.drain();
    });
}

#[test]
fn what_was_not_taken_is_no_session() {
    for (failure, why) in [
        (Failure::Offer(String::new()), Declined::Unusable),
        (Failure::Busy(String::new()), Declined::Busy),
        (Failure::NoAccount, Declined::NoAccount),
        (Failure::Broken, Declined::Broken),
    ] {
        let counts = counted(|rig| {
            invite(rig);
            rig.fail(failure);
        });
        assert_eq!(counts, (0, 0, vec![], vec![(why, 1)]));
    }
    // Given up while it is begun, whatever becomes of that.
    for is_done in [true, false] {
        let counts = counted(|rig| {
            invite(rig);
            rig.send("CANCEL", "", "");
            if is_done {
                rig.done(Some(1));
            } else {
                rig.fail(Failure::Broken);
            }
        });
        assert_eq!(counts, (0, 0, vec![], vec![(Declined::GivenUp, 1)]));
    }
}

#[test]
fn a_session_of_the_process_before_is_open_and_was_not_begun() {
    let mut rig = Rig::new();
    rig.open("");
    let kept = rig.agent.keep().unwrap();
    let mut next = Rig::new();
    assert_eq!(next.agent.take_up(&kept, |_, _| true, rig.now).unwrap(), 1);
    let incoming = std::sync::Arc::clone(&next.agent.settings.incoming);
    assert_eq!(counts(&incoming), (1, 0, vec![], vec![]));
    next.agent.handle_shutdown(next.now);
    let ended = vec![(Over::Shutdown, 1)];
    assert_eq!(counts(&incoming), (0, 0, ended, vec![]));
}
