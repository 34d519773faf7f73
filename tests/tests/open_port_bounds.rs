//! What an open port does not record, and what it costs others: strangers, floods, more calls than may be, what has no
//! account, what was ended by the API and goes on; and the daemon's end, after which a stream is recorded further.

use std::net::Ipv4Addr;
use std::time::Duration;

use reeld_tests::open_port::{Bed, call_sid};
use reeld_tests::patience::wait_for;
use reeld_tests::script::Law;
use reeld_tests::{Sender, Setup, Tape, Voice, judge};

const KEYS: &str = "timeout = \"2s\"\nchannels = \"mono\"\n";

#[test]
fn a_flood_and_strangers_cost_a_call_nothing_and_are_not_recorded() {
    let keys = format!("{KEYS}max_calls = 3\nallow = [\"127.0.0.1\"]\n");
    let bed = Bed::start(Setup::new(), &keys);
    let tape = Tape::noise(Law::Mu, 1, 150 * 160);
    let sender = Sender::new();
    let playing = sender.start(bed.port, Voice::new(1).say(tape.codes()));
    playing.wait_until(0, 10);
    let stranger = Sender::at(Ipv4Addr::new(127, 0, 0, 2));
    let flood = Sender::new();
    for number in 0..10_000_u32 {
        let voice = Voice {
            ssrc: number,
            ..Voice::new(9)
        };
        let packet = &voice.say(&[1; 160]).0[0].bytes;
        flood.send(bed.port, packet);
        flood.send(bed.port, &packet[..7]);
        stranger.send(bed.port, packet);
        if number % 50 == 0 {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    playing.finish();
    let json = bed.recordings(1).remove(0);
    let wav = bed.client().heard(&json);
    judge::exact(wav.mono(), &tape.samples());
    // All that was sent, but for what the kernel had no room for, which is counted too.
    let of = |result| {
        let labels = format!("{{by=\"open-port\",result=\"{result}\"}}");
        bed.client()
            .figure(&format!("reeld_incoming_messages_total{labels}"))
    };
    let [strangers, malformed, dropped] = ["stranger", "malformed", "dropped"].map(of);
    assert!(strangers <= 10_000 && malformed <= 10_000);
    assert!(
        strangers + malformed + dropped >= 20_000,
        "{strangers} {malformed} {dropped}"
    );
    let over = "reeld_incoming_calls_ended_total{source=\"open-port\",cause=\"timeout\"}";
    bed.client().wait_figure(over, 1);
}

#[test]
fn no_more_calls_than_there_may_be_and_room_comes_back() {
    let bed = Bed::start(Setup::new(), &format!("{KEYS}max_calls = 2\n"));
    let tapes = [1, 2, 3].map(|seed| Tape::noise(Law::Mu, seed, 100 * 160));
    let senders = [(); 3].map(|()| Sender::new());
    let playing: Vec<_> = (0..3)
        .map(|at| senders[at].start(bed.port, Voice::new(at as u64).say(tapes[at].codes())))
        .collect();
    playing
        .into_iter()
        .for_each(|playing| drop(playing.finish()));
    assert_eq!(bed.recordings(2).len(), 2);
    senders[0].play(bed.port, Voice::new(7).say(tapes[0].codes()));
    let json = bed.recordings(3).remove(2);
    let wav = bed.client().heard(&json);
    judge::exact(wav.mono(), &tapes[0].samples());
}

#[test]
fn what_was_ended_is_not_begun_again_while_it_goes_on() {
    let bed = Bed::start(Setup::new(), KEYS);
    let client = bed.client();
    let tape = Tape::noise(Law::Mu, 1, 300 * 160);
    let (sender, voice) = (Sender::new(), Voice::new(1));
    let playing = sender.start(bed.port, voice.say(tape.codes()));
    playing.wait_until(0, 50);
    let call = call_sid(&client, sender.address(), voice.ssrc);
    wait_for("the call to be open", Duration::from_secs(20), || {
        (client
            .get(&client.path(&format!("/Calls/{call}.json")))
            .status
            == 200)
            .then_some(())
    });
    wait_for("its recording", Duration::from_secs(20), || {
        let json = client.call(&call);
        json["recordings"]
            .as_array()
            .is_some_and(|all| !all.is_empty())
            .then_some(())
    });
    assert_eq!(client.complete_call(&call).status, 200);
    playing.finish();
    let json = bed.recordings(1).remove(0);
    assert_eq!(json["ended_by"], "call-completed", "{json}");
    // Silent for its timeout, it is a call again.
    std::thread::sleep(Duration::from_millis(3_000));
    sender.play(bed.port, Voice::new(1).say(&tape.codes()[..50 * 160]));
    let all = bed.recordings(2);
    assert_eq!(all[0]["call_sid"], all[1]["call_sid"]);
}

#[test]
fn without_an_account_nothing_is_recorded_and_the_log_says_so() {
    let other = "AC00000000000000000000000000000009";
    let setup = Setup::new().set("calls.routes", vec![format!("{other}=source:sip")]);
    let bed = Bed::start(setup, KEYS);
    Sender::new().play(bed.port, Voice::new(1).say(&[1; 50 * 160]));
    assert_eq!(bed.recordings(0).len(), 0);
    bed.daemon.wait_log("calls.routes");
}

#[test]
fn a_stream_goes_on_as_a_further_recording_of_its_call_after_a_kill_and_after_a_restart() {
    for kills in [true, false] {
        let setup = Setup::new();
        let setup = if kills {
            setup
        } else {
            setup.supervised(Vec::new())
        };
        let mut bed = Bed::start(setup, KEYS);
        let tape = Tape::noise(Law::Mu, 1, 600 * 160);
        let (sender, voice) = (Sender::new(), Voice::new(1));
        let playing = sender.start(bed.port, voice.say(tape.codes()));
        playing.wait_until(0, 150);
        if kills {
            let _ = bed.daemon.kill_nine();
        } else {
            assert!(bed.daemon.terminate().success());
        }
        bed.daemon.start_again();
        playing.finish();
        let all = bed.recordings(2);
        let call = call_sid(&bed.client(), sender.address(), voice.ssrc);
        let ended = if kills { "recovered" } else { "call-completed" };
        assert_eq!(all[0]["ended_by"], ended, "{}", all[0]);
        assert_eq!(all[1]["ended_by"], "inactivity", "{}", all[1]);
        for json in &all {
            assert_eq!(json["call_sid"], call, "{json}");
            let wav = bed.client().heard(json);
            let pieces = judge::pieces(wav.mono(), &tape);
            assert_eq!(pieces.len(), 1, "all of a time is whole: {pieces:?}");
        }
        let second = bed.client().heard(&all[1]);
        let pieces = judge::pieces(second.mono(), &tape);
        assert_eq!(pieces[0].tape_end(), 600 * 160, "up to the end: {pieces:?}");
    }
}
