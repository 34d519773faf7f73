//! What was to be told when the daemon died is told by the next one: events of recordings that had
//! ended, and of those that the kill has ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reeld_tests::client::call_sid;
use reeld_tests::receiver::{Answer, Receiver};
use reeld_tests::{Law, MediaKind, Sender, Setup, Tape, Voice, for_each_media};

for_each_media!(events_outlive_kill_nine);

fn events_outlive_kill_nine(media: MediaKind) {
    let mut daemon = Setup::new()
        .media(media)
        .set("callbacks.allow", vec!["loopback"])
        .set("callbacks.retry_first", "1s")
        .start();
    let is_well = Arc::new(AtomicBool::new(false));
    let receiver = Receiver::start({
        let is_well = Arc::clone(&is_well);
        move |_| {
            Answer::of(if is_well.load(Ordering::Relaxed) {
                200
            } else {
                500
            })
        }
    });
    let mut sids = Vec::new();
    for number in [1, 2] {
        let client = daemon.client();
        let started = client.start(
            &call_sid(number),
            &[
                ("RecordingTrack", "inbound"),
                ("RecordingStatusCallback", &receiver.url("/")),
                ("RecordingStatusCallbackEvent", "in-progress"),
                ("RecordingStatusCallbackEvent", "completed"),
            ],
        );
        // A second and a half: a block of it is on the disk when the daemon dies.
        let tape = Tape::noise(Law::Mu, number, 150 * 160);
        Sender::new().play(started.inbound(), Voice::new(number).say(tape.codes()));
        if number == 1 {
            client.stop(&started);
            client.wait_completed(&started.sid);
        }
        sids.push(started.sid);
    }
    daemon.kill_nine();
    let before = receiver.callbacks().len();
    is_well.store(true, Ordering::Relaxed);
    daemon.start_again();
    let after = receiver.wait(before + 4).split_off(before);
    for sid in &sids {
        let told: Vec<&str> = after
            .iter()
            .filter(|callback| callback.parameter("RecordingSid") == sid)
            .map(|callback| callback.parameter("RecordingStatus"))
            .collect();
        assert_eq!(told, ["in-progress", "completed"], "{sid}");
        let reply = daemon.client().recording(sid);
        assert_eq!(reply["status"], "completed");
    }
}
