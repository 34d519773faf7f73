//! reeld dies, or is restarted, while it follows an rtpengine: the two that talk notice nothing, what was recorded is kept,
//! and the call is recorded on; nothing of the subscriptions piles up in rtpengine.

use std::time::Duration;

use reeld_tests::judge;
use reeld_tests::rtpengine::{Rtpengine, call_sid, following, wait_recorded};
use reeld_tests::script::Law;
use reeld_tests::sender::{Part, Playing};
use reeld_tests::siprec::recordings;
use reeld_tests::{Setup, Tape, Voice};

const ID: &str = "restart@sip.example";

/// Both talk for so long; the tapes are the caller's and the callee's.
fn talk(call: &reeld_tests::rtpengine::TwoParties<'_>, packets: usize) -> (Playing, [Tape; 2]) {
    let tapes = [1, 2].map(|seed| Tape::noise(Law::Mu, seed, packets * 160));
    let senders = [&call.caller, &call.callee].into_iter().zip(call.ports);
    let parts = senders.zip(1..).zip(&tapes);
    let parts = parts.map(|(((sender, to), seed), tape)| Part {
        sender: sender.clone(),
        to,
        script: Voice::new(seed).say(tape.codes()),
    });
    (Playing::start(parts.collect()), tapes)
}

#[test]
fn a_kill_in_mid_call_leaves_the_call_alone_and_it_is_recorded_on() {
    let engine = Rtpengine::start();
    let mut daemon = following(Setup::new(), &engine).start();
    let client = daemon.client().clone();
    let call = engine.call(ID);
    let _ = wait_recorded(&client, &engine, ID);
    assert_eq!(engine.subscriptions(ID), (1, 4));
    let ears = call.listen();
    let (playing, tapes) = talk(&call, 1_000);
    playing.wait_until(0, 200);
    daemon.kill_nine();
    daemon.start_again();
    let _ = wait_recorded(&client, &engine, ID);
    assert_eq!(engine.subscriptions(ID), (1, 4));
    let since = playing.sent(0);
    assert!(
        since < 900,
        "too slow a machine for this: {since} packets were sent by then"
    );
    let sent = playing.finish();
    call.delete();

    let heard = ears.map(|ears| ears.finish().len());
    assert_eq!(heard, [sent[1].len(), sent[0].len()], "of each other");
    let parts = recordings(&client, &call_sid(&client, ID), 2);
    let wavs = parts.iter().map(|json| client.heard(json));
    let [after, before] = wavs.collect::<Vec<_>>().try_into().expect("two");
    for (track, tape) in tapes.iter().enumerate() {
        let kept = judge::pieces(before.dual()[track], tape);
        assert_eq!((kept.len(), kept[0].tape), (1, 0), "{kept:?}");
        // A block a second, and what was on its way.
        assert!(kept[0].length >= 100 * 160, "{kept:?}");
        let rest = judge::pieces(after.dual()[track], tape);
        assert_eq!(rest.len(), 1, "{rest:?}");
        let all = tape.samples().len();
        // What was on its way by then, and where in a packet a recording begins.
        assert!(
            rest[0].tape_end() == all && rest[0].tape <= (since + 25) * 160,
            "{rest:?} {since}"
        );
    }
}

#[test]
fn a_restart_in_mid_call_loses_nothing() {
    let engine = Rtpengine::start();
    let setup = following(Setup::new().supervised(Vec::new()), &engine);
    let mut daemon = setup.start();
    let client = daemon.client().clone();
    let call = engine.call(ID);
    let _ = wait_recorded(&client, &engine, ID);
    let (playing, tapes) = talk(&call, 400);
    playing.wait_until(0, 100);
    assert!(daemon.terminate().success());
    daemon.start_again();
    playing.finish();
    assert_eq!(engine.subscriptions(ID), (1, 4));
    call.delete();
    let json = recordings(&client, &call_sid(&client, ID), 1).remove(0);
    assert_eq!(json["ended_by"], "call-completed", "{json}");
    let wav = client.heard(&json);
    for (channel, tape) in wav.dual().into_iter().zip(&tapes) {
        judge::exact(channel, &tape.samples());
    }
}

#[test]
fn a_daemon_that_stops_leaves_no_subscription() {
    let engine = Rtpengine::start();
    let mut daemon = following(Setup::new(), &engine).start();
    let client = daemon.client().clone();
    let call = engine.call(ID);
    let _ = wait_recorded(&client, &engine, ID);
    let (playing, _) = talk(&call, 100);
    playing.wait_until(0, 50);
    assert!(daemon.terminate().success());
    assert_eq!(engine.subscriptions(ID), (1, 0));
    assert_eq!(playing.finish()[0].len(), 100);
    daemon.start_again();
    let _ = wait_recorded(&client, &engine, ID);
    // Once more under the same tag, and whoever ends it here ends it for good.
    client.complete_call(&call_sid(&client, ID)).expect(200);
    reeld_tests::patience::wait_for("no subscription", Duration::from_secs(30), || {
        (engine.subscriptions(ID) == (1, 0)).then_some(())
    });
    call.delete();
}
