//! 200 calls at once, 400 tracks with a sound of their own each, for 30 seconds: every recording is
//! exact on both channels and reeld lost no packet. The two media stores take turns, so that each
//! has the machine for itself.

use std::sync::Mutex;
use std::time::Duration;

use reeld_tests::client::call_sid;
use reeld_tests::script::Law;
use reeld_tests::sender::{Part, Playing};
use reeld_tests::{MediaKind, Sender, Setup, Tape, Voice, for_each_media, judge};

for_each_media!(two_hundred_calls_are_exact);

const CALLS: u64 = 200;
const SECONDS: usize = 30;
const PACKETS: u64 = SECONDS as u64 * 50;
static MACHINE: Mutex<()> = Mutex::new(());

fn two_hundred_calls_are_exact(media: MediaKind) {
    let _alone = MACHINE.lock();
    let daemon = Setup::with_ports(4 * 200).media(media).start();
    let client = daemon.client();
    let started: Vec<_> = (0..CALLS)
        .map(|call| client.start(&call_sid(call), &[("RecordingChannels", "dual")]))
        .collect();
    let mut parts = Vec::new();
    let mut tapes = Vec::new();
    for (call, started) in (0..CALLS).zip(&started) {
        for (track, to) in [(0, started.inbound()), (1, started.outbound())] {
            let seed = call * 2 + track;
            let law = if seed % 3 == 0 { Law::A } else { Law::Mu };
            let tape = Tape::noise(law, seed, SECONDS * 8_000);
            let mut script = Voice::new(seed).with_law(law).say(tape.codes());
            // Callers do not speak in step: spread over a packet's time.
            let offset = Duration::from_micros(seed * 20_000 / (2 * CALLS));
            script.0.iter_mut().for_each(|cue| cue.at += offset);
            tapes.push(tape);
            parts.push(Part {
                sender: Sender::new(),
                to,
                script,
            });
        }
    }
    let sent = Playing::start(parts).finish();
    for started in &started {
        client.stop(started);
    }
    for (call, started) in started.iter().enumerate() {
        let json = client.wait_completed(&started.sid);
        let wav = client.wav(&started.sid);
        let first = sent[2 * call][0].min(sent[2 * call + 1][0]);
        for (track, (channel, name)) in wav
            .dual()
            .into_iter()
            .zip(["inbound", "outbound"])
            .enumerate()
        {
            let padding = judge::exact(channel, &tapes[2 * call + track].samples());
            let offset = (sent[2 * call + track][0] - first).as_micros() as usize * 8 / 1_000;
            assert!(
                padding.lead.abs_diff(offset) <= 160,
                "call {call}, {name}: {padding:?}, {offset}"
            );
            let counts = &json["tracks"][name];
            assert_eq!(counts["packets"], PACKETS, "call {call}, {name}: {counts}");
            for lost in [
                "lost",
                "late",
                "duplicates",
                "foreign",
                "malformed",
                "kernel_dropped",
            ] {
                assert_eq!(counts[lost], 0, "call {call}, {name}, {lost}: {counts}");
            }
        }
    }
}
