//! An rtpengine whose calls are recorded when the API asks for it, and not by themselves: `Source=rtpengine`.

use reeld_tests::client::call_sid;
use reeld_tests::judge;
use reeld_tests::rtpengine::{Rtpengine, following};
use reeld_tests::script::Law;
use reeld_tests::siprec::recordings;
use reeld_tests::{Setup, Tape, Voice};

const ID: &str = "asked@sip.example";

#[test]
fn a_start_names_the_call_by_its_sip_call_id() {
    let engine = Rtpengine::start();
    let setup = following(Setup::new(), &engine).set("rtpengine.follow", false);
    let daemon = setup.start();
    let client = daemon.client();
    let sid = call_sid(1);
    let form = |id: &'static str| {
        [
            ("Source", "rtpengine"),
            ("SipCallId", id),
            ("RecordingChannels", "dual"),
        ]
    };
    let refused = client.try_start(&sid, &form("nobody@sip.example"));
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(
        refused.text().contains("no such call"),
        "{}",
        refused.text()
    );

    let call = engine.call(ID);
    let started = client.start(&sid, &form(ID));
    assert_eq!(engine.subscriptions(ID), (1, 4));
    let tape = Tape::noise(Law::Mu, 1, 100 * 160);
    call.callee
        .play(call.ports[1], Voice::new(1).say(tape.codes()));
    let wav = client.finish(&started);
    judge::exact(wav.dual()[1], &tape.samples());

    // The call goes on here as long as there, and under no other name.
    let elsewhere = client.try_start(&call_sid(2), &form(ID));
    assert_eq!(elsewhere.status, 400, "{}", elsewhere.text());
    assert!(elsewhere.text().contains(&sid), "{}", elsewhere.text());
    let _ = client.start(&sid, &form(ID));
    // The callee's sound still flows, so the recording begins with the request: a packet's samples end where it arrives.
    std::thread::sleep(std::time::Duration::from_millis(200));
    call.caller
        .play(call.ports[0], Voice::new(2).say(tape.codes()));
    call.delete();
    let all = recordings(client, &sid, 2);
    assert_eq!(all[0]["ended_by"], "call-completed", "{}", all[0]);
    let wav = client.heard(&all[0]);
    judge::exact(wav.dual()[0], &tape.samples());
}

#[test]
fn without_an_rtpengine_it_is_refused() {
    let daemon = Setup::new().start();
    let form = [("Source", "rtpengine"), ("SipCallId", "x")];
    let refused = daemon.client().try_start(&call_sid(1), &form);
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(
        refused.text().contains("rtpengine.ng"),
        "{}",
        refused.text()
    );
}
