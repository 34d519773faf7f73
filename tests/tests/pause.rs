//! Nothing of a pause's time is in the file, on the disk or in the statistics, whether the pause is
//! cut out or left as silence, and also where packets of the pause arrive after it and packets from
//! before it arrive in it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use reeld_tests::client::call_sid;
use reeld_tests::script::{Law, Packet};
use reeld_tests::span::instant_of;
use reeld_tests::{MediaKind, Sender, Setup, Span, Tape, Voice, for_each_media, judge};

for_each_media!(
    a_pause_that_is_skipped_is_nowhere,
    a_pause_that_is_silent_is_nowhere
);

const PACKET: usize = 160;
/// The sender's packets at which the recording is paused, resumed and stopped.
const PAUSE: usize = 75;
const RESUME: usize = 175;
const STOP: usize = 250;
/// Packets in the pause whose sound nobody must find anywhere: well within it.
const SECRET: std::ops::Range<usize> = 90..160;
/// Of the pause, and late: they arrive after it, within the reorder window.
const LATE_OF_THE_PAUSE: [usize; 2] = [168, 170];
/// From before the pause, and late: they arrive in it.
const LATE_INTO_THE_PAUSE: [usize; 2] = [72, 73];
const LATENESS: Duration = Duration::from_millis(180);

fn a_pause_that_is_skipped_is_nowhere(media: MediaKind) {
    nothing_of_a_pause_is_anywhere(media, "skip");
}

fn a_pause_that_is_silent_is_nowhere(media: MediaKind) {
    nothing_of_a_pause_is_anywhere(media, "silence");
}

fn nothing_of_a_pause_is_anywhere(media: MediaKind, behavior: &str) {
    let daemon = Setup::new().media(media).start();
    let client = daemon.client();
    let started = client.start(&call_sid(1), &[("RecordingTrack", "inbound")]);
    let tape = Tape::noise(Law::Mu, 7, (STOP + 20) * PACKET);
    let mut script = Voice::new(7).say(tape.codes());
    press_a_key(&mut script.0[(SECRET.start + SECRET.end) / 2].bytes);
    let late: Vec<usize> = LATE_INTO_THE_PAUSE
        .into_iter()
        .chain(LATE_OF_THE_PAUSE)
        .collect();
    let playing = Sender::new().start(started.inbound(), script.delaying(&late, LATENESS));

    let change = |form: &[(&str, &str)]| {
        client.change(&started.call, &started.sid, form).expect(200);
    };
    playing.wait_until(0, PAUSE);
    let (pause, ()) = Span::of(|| change(&[("Status", "paused"), ("PauseBehavior", behavior)]));
    playing.wait_until(0, SECRET.end);
    // What is on the disk now; it is searched when the call is over, since the call does not wait.
    let in_the_pause = daemon.files();
    playing.wait_until(0, RESUME);
    let (resume, ()) = Span::of(|| change(&[("Status", "in-progress")]));
    playing.wait_until(0, STOP);
    let (stop, ()) = Span::of(|| client.stop(&started));
    let sent = schedule_of(&playing.stop().remove(0), &late);
    let json = client.wait_completed(&started.sid);
    assert_nowhere(&tape, &in_the_pause);
    assert_nowhere(&tape, &daemon.files());
    assert_eq!(json["digits"], "", "a key pressed in the pause");

    let wav = client.wav(&started.sid);
    let pieces = judge::pieces(wav.mono(), &tape);
    let heard = |sample: usize| {
        pieces
            .iter()
            .any(|piece| (piece.tape..piece.tape_end()).contains(&sample))
    };
    let mut outside = 0;
    for packet in 0..STOP {
        let (first, last) = (packet * PACKET, (packet + 1) * PACKET - 1);
        let begin = instant_of(first, &sent, PACKET);
        let end = instant_of(last + 1, &sent, PACKET);
        let paused = pause.is_before(begin) && resume.is_after(end);
        let spoken = pause.is_after(end) || (resume.is_before(begin) && stop.is_after(end));
        outside += usize::from(!paused);
        if paused || LATE_OF_THE_PAUSE.contains(&packet) {
            assert!(
                !(first..=last).any(heard),
                "packet {packet} of the pause: {pieces:?}"
            );
        } else if spoken && !late.contains(&packet) {
            assert!(
                (first..=last).all(heard),
                "packet {packet} outside of it: {pieces:?}"
            );
        }
    }
    let counted = json["tracks"]["inbound"]["packets"]
        .as_u64()
        .expect("a count");
    assert!(
        counted <= outside as u64,
        "{counted} packets are counted, {outside} came outside it"
    );

    let [before, after] = [
        pieces
            .iter()
            .rfind(|piece| piece.tape < SECRET.start * PACKET)
            .expect("sound before"),
        pieces
            .iter()
            .find(|piece| piece.tape >= SECRET.end * PACKET)
            .expect("sound after"),
    ];
    let left = after.at - before.end();
    if behavior == "skip" {
        assert!(
            left <= PACKET,
            "{left} samples are left of the pause: {pieces:?}"
        );
    } else {
        let pause = after.tape - before.tape_end();
        assert!(
            left.abs_diff(pause) <= PACKET,
            "{left} samples for {pause}: {pieces:?}"
        );
    }
}

/// Makes the packet a key press: RFC 4733's event 5, at its end.
fn press_a_key(bytes: &mut Vec<u8>) {
    let packet = Packet::parse(bytes).expect("a voice's packet");
    *bytes = Packet {
        payload_type: 101,
        payload: vec![5, 0x8a, 0, 160],
        ..packet
    }
    .bytes();
}

/// When each packet would have been sent without its delay: its neighbours say.
fn schedule_of(sent: &[Instant], late: &[usize]) -> Vec<Instant> {
    let mut delayed: Vec<usize> = late.to_vec();
    delayed.sort_unstable();
    // The script was sorted by time: the punctual packets kept their order.
    let lateness = (LATENESS.as_millis() / 20) as usize;
    let mut order: Vec<usize> = (0..sent.len() + delayed.len()).collect();
    let key = |packet: usize| {
        let steps = packet
            + if delayed.contains(&packet) {
                lateness
            } else {
                0
            };
        (steps, packet)
    };
    order.sort_by_key(|&packet| key(packet));
    let mut schedule = vec![None; order.len()];
    for (&packet, &at) in order.iter().zip(sent) {
        let early = if delayed.contains(&packet) {
            LATENESS
        } else {
            Duration::ZERO
        };
        schedule[packet] = Some(at - early);
    }
    schedule.into_iter().map_while(|at| at).collect()
}

/// Looks for the secret, as it was sent and as it sounds, in every file.
#[track_caller]
fn assert_nowhere(tape: &Tape, files: &[(PathBuf, Vec<u8>)]) {
    let codes = &tape.codes()[SECRET.start * PACKET..SECRET.end * PACKET];
    let samples = &tape.samples()[SECRET.start * PACKET..SECRET.end * PACKET];
    let bytes: Vec<u8> = samples
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect();
    // A dozen samples of every third packet: enough to find any packet run that was kept.
    let probes: Vec<&[u8]> = (0..SECRET.len())
        .step_by(3)
        .flat_map(|packet| {
            let at = packet * PACKET + 40;
            [&codes[at..at + 12], &bytes[at * 2..at * 2 + 24]]
        })
        .collect();
    for (path, content) in files {
        for probe in &probes {
            let found = content.windows(probe.len()).any(|window| window == *probe);
            assert!(!found, "{} has sound of the pause", path.display());
        }
    }
}
