//! kill -9 in the middle of 50 recordings: after a restart each of them is there, marked recovered,
//! exact, and short by at most 1.5 seconds; nothing else is damaged.

use std::time::Duration;

use reeld_tests::client::call_sid;
use reeld_tests::script::Law;
use reeld_tests::sender::{Part, Playing};
use reeld_tests::{MediaKind, Sender, Setup, Tape, Voice, for_each_media, judge};

for_each_media!(recordings_survive_kill_nine);

const CALLS: u64 = 50;
/// Packets of each track before the kill: six seconds.
const PACKETS: usize = 300;
/// What a kill may cost, in samples: 1.5 s (design.md, "Nothing lost").
const MOST: usize = 12_000;

fn recordings_survive_kill_nine(media: MediaKind) {
    let mut daemon = Setup::with_ports(4 * 52).media(media).start();
    let client = daemon.client().clone();
    // One that was finished before, and must stay as it is.
    let before = client.start(&call_sid(1_000), &[("RecordingTrack", "inbound")]);
    let old_tape = Tape::noise(Law::Mu, 1_000, 4_000);
    Sender::new().play(before.inbound(), Voice::new(1_000).say(old_tape.codes()));
    let before_wav = client.finish(&before);

    let started: Vec<_> = (0..CALLS)
        .map(|call| {
            let channels = if call % 2 == 0 { "mono" } else { "dual" };
            let form = [("RecordingChannels", channels), ("RecordingTrack", "both")];
            client.start(&call_sid(call), &form)
        })
        .collect();
    let tapes: Vec<Tape> = (0..CALLS)
        .map(|seed| Tape::noise(Law::Mu, seed, (PACKETS + 500) * 160))
        .collect();
    let parts = started
        .iter()
        .zip(&tapes)
        .zip(0..)
        .map(|((started, tape), seed)| Part {
            sender: Sender::new(),
            to: started.inbound(),
            script: Voice::new(seed).say(tape.codes()),
        });
    let playing = Playing::start(parts.collect());
    playing.wait_until(0, PACKETS);
    let killed = daemon.kill_nine();
    let sent = playing.stop();

    daemon.start_again();
    for (call, (started, tape)) in started.iter().zip(&tapes).enumerate() {
        let json = client.wait_completed(&started.sid);
        assert_eq!(json["recovered"], true, "{json}");
        assert_eq!(json["ended_by"], "recovered", "{json}");
        let wav = client.wav(&started.sid);
        let pieces = judge::pieces(&wav.channels[0], tape);
        assert_eq!(pieces.len(), 1, "call {call}: {pieces:?}");
        assert_eq!((pieces[0].at, pieces[0].tape), (0, 0), "call {call}");
        if let [_, outbound] = &wav.channels[..] {
            assert!(
                outbound.iter().all(|&sample| sample == 0),
                "nobody spoke there"
            );
        }
        let spoken = (killed - sent[call][0] + Duration::from_millis(20)).as_millis() as usize * 8;
        let kept = pieces[0].length;
        assert!(
            kept + MOST >= spoken,
            "call {call}: {kept} of {spoken} samples are there"
        );
        assert!(
            wav.frames() <= spoken + 320,
            "call {call}: longer than it was"
        );
    }
    assert!(
        client.wav(&before.sid) == before_wav,
        "the finished one is as it was"
    );
    let list = client
        .get(&client.path("/Recordings.json?PageSize=100"))
        .expect(200)
        .json();
    assert_eq!(list["total"], CALLS + 1, "{list}");
    let verify = daemon.command(&["verify"]);
    assert!(
        verify.status.success(),
        "{}{}",
        verify.text(),
        verify.stderr
    );

    // It can record again.
    let after = client.start(&call_sid(2_000), &[("RecordingTrack", "inbound")]);
    Sender::new().play(after.inbound(), Voice::new(1_000).say(old_tape.codes()));
    judge::exact(client.finish(&after).mono(), &old_tape.samples());
    assert!(daemon.terminate().success());
    let verify = daemon.command(&["verify"]);
    assert!(
        verify.status.success(),
        "{}{}",
        verify.text(),
        verify.stderr
    );
}
