//! AudioSocket calls over the daemon's end: a connection breaks with it, what had come is there, and a new connection
//! with the same UUID is a further recording of the same call, after a kill as after a planned restart.

use reeld_tests::audiosocket::{Bed, FRAME, call_sid, whole};
use reeld_tests::script::Law;
use reeld_tests::siprec::recordings;
use reeld_tests::trail::{deeds, told};
use reeld_tests::{Setup, Tape, judge};

#[test]
fn after_a_kill_the_call_goes_on_as_a_further_recording() {
    let mut bed = Bed::start(Setup::new());
    let client = bed.client();
    let tapes = [1, 2].map(|seed| Tape::noise(Law::Mu, seed, 150 * FRAME));
    let mut connection = bed.call(1);
    connection.say(&tapes[0].samples());
    let _ = bed.daemon.kill_nine();
    let _ = connection.closed();
    bed.daemon.start_again();
    let mut connection = bed.call(1);
    connection.say(&tapes[1].samples());
    connection.hang_up();
    let all = recordings(&client, &call_sid(&client, 1), 2);
    assert_eq!(all[0]["ended_by"], "call-completed", "{}", all[0]);
    assert_eq!(all[1]["ended_by"], "recovered", "{}", all[1]);
    let wav = |at: usize| client.heard(&all[at]);
    whole(wav(0).mono(), &tapes[1]);
    // Its end is told by who found it.
    let sid = all[1]["sid"].as_str().expect("a Sid");
    let entries = deeds(&bed.daemon, &["--recording", sid], 2);
    let forms: Vec<_> = entries.iter().map(|entry| told(entry)[2].clone()).collect();
    assert_eq!(forms, ["", "recovered"]);
    // What a kill costs is the end, 1.5 s of it at most.
    let left = wav(1);
    let pieces = judge::pieces(left.mono(), &tapes[0]);
    let mut place = 0;
    for piece in &pieces {
        assert_eq!(piece.tape, place, "in order: {pieces:?}");
        place = piece.tape_end();
    }
    assert!(place >= tapes[0].samples().len() - 12_000, "{pieces:?}");
}

#[test]
fn a_planned_restart_ends_the_recording_in_order_with_all_of_it() {
    let mut bed = Bed::start(Setup::new().supervised(Vec::new()));
    let client = bed.client();
    let tapes = [1, 2].map(|seed| Tape::noise(Law::Mu, seed, 50 * FRAME));
    let mut connection = bed.call(1);
    connection.say(&tapes[0].samples());
    // What is on its way is read.
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(bed.daemon.terminate().success());
    let _ = connection.closed();
    bed.daemon.start_again();
    let mut connection = bed.call(1);
    connection.say(&tapes[1].samples());
    connection.hang_up();
    let all = recordings(&client, &call_sid(&client, 1), 2);
    for (json, tape) in all.iter().zip(tapes.iter().rev()) {
        assert_eq!(json["ended_by"], "call-completed", "{json}");
        let wav = client.heard(json);
        whole(wav.mono(), tape);
    }
}
