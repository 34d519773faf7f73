//! kill -9 at any moment of a storm of starts, stops, downloads and deletions, again and again on
//! one folder: what a client was told stays true. A recording that was started is there, one that
//! was completed is there whole, one that was deleted is gone, and `verify` is clean.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use reeld_tests::client::{call_sid, media_address};
use reeld_tests::script::Law;
use reeld_tests::tape::Dice;
use reeld_tests::{Client, Daemon, MediaKind, Sender, Setup, Tape, Voice, for_each_media, judge};
use reqwest::Method;

for_each_media!(what_clients_were_told_outlives_kills);

const ROUNDS: u64 = 10;
/// Clients at once, each with a call after the other.
const CLIENTS: u64 = 4;
/// A call's sound: short, so that ends and deletions are often where the kill is.
const SAMPLES: usize = 1_600;
/// A round at most: the kill comes at a random moment of it.
const ROUND_MS: usize = 1_200;

/// What clients know.
#[derive(Debug, Default)]
struct Known {
    /// Answered with 201: the seed of the tape.
    started: BTreeMap<String, u64>,
    /// Seen as completed, with the whole tape played into it.
    completed: BTreeSet<String>,
    /// DELETE was sent.
    deleting: BTreeSet<String>,
    /// And answered with 204.
    deleted: BTreeSet<String>,
}

fn tape(seed: u64) -> Tape {
    Tape::noise(Law::Mu, seed, SAMPLES)
}

/// One call after the other until the daemon is gone. `None` is where an answer did not come.
fn live(client: &Client, number: u64, known: &Mutex<Known>) -> Option<()> {
    let know = || known.lock().expect("nobody panics");
    let mut seed = number;
    loop {
        seed += 1;
        let call = client.path(&format!("/Calls/{}", call_sid(seed)));
        let form = [("RecordingTrack", "inbound")];
        let start = client.attempt(
            Method::POST,
            &format!("{call}/Recordings.json"),
            &[],
            Some(&form),
        );
        let json = start.ok()?.expect(201).json();
        let sid = json["sid"].as_str()?.to_owned();
        know().started.insert(sid.clone(), seed);
        Sender::new().play(
            media_address(&json, "inbound")?,
            Voice::new(seed).say(tape(seed).codes()),
        );
        let end = [("Status", "completed")];
        client
            .attempt(Method::POST, &format!("{call}.json"), &[], Some(&end))
            .ok()?
            .expect(200);
        let path = client.path(&format!("/Recordings/{sid}.json"));
        loop {
            let json = client
                .attempt(Method::GET, &path, &[], None)
                .ok()?
                .expect(200)
                .json();
            if json["status"] == "completed" {
                break;
            }
        }
        know().completed.insert(sid.clone());
        let mp3 = client.old_path(&format!("/Recordings/{sid}.mp3"));
        client.attempt(Method::GET, &mp3, &[], None).ok()?;
        if seed.is_multiple_of(3) {
            know().deleting.insert(sid.clone());
            client
                .attempt(Method::DELETE, &path, &[], None)
                .ok()?
                .expect(204);
            know().deleted.insert(sid.clone());
        }
    }
}

fn judge_all(daemon: &Daemon, known: &Known) {
    let client = daemon.client();
    for (sid, &seed) in &known.started {
        let status = client.recording_status(sid);
        if known.deleted.contains(sid) {
            assert_eq!(status, 404, "{sid} was deleted");
            continue;
        }
        if status == 404 {
            assert!(known.deleting.contains(sid), "{sid} is gone");
            continue;
        }
        let json = client.recording(sid);
        if json["status"] == "absent" {
            assert!(!known.completed.contains(sid), "{json}");
            continue;
        }
        assert_eq!(json["status"], "completed", "{json}");
        let wav = client.wav(sid);
        if known.completed.contains(sid) {
            judge::exact(wav.mono(), &tape(seed).samples());
        } else {
            let pieces = judge::pieces(wav.mono(), &tape(seed));
            assert!(pieces.len() <= 1, "{sid}: {pieces:?}");
            assert!(
                pieces.iter().all(|piece| (piece.at, piece.tape) == (0, 0)),
                "{sid}: {pieces:?}"
            );
        }
    }
    let verify = daemon.command(&["verify"]);
    assert!(
        verify.status.success(),
        "{}{}",
        verify.text(),
        verify.stderr
    );
}

fn what_clients_were_told_outlives_kills(media: MediaKind) {
    let mut daemon = Setup::with_ports(1_024).media(media).start();
    let known = Mutex::new(Known::default());
    let mut dice = Dice::new(media as u64);
    for round in 0..ROUNDS {
        let client = daemon.client().clone();
        std::thread::scope(|scope| {
            for number in 0..CLIENTS {
                let (client, known) = (&client, &known);
                scope.spawn(move || live(client, round * 100_000 + number * 10_000, known));
            }
            // The moment of the kill is what is drawn, not a wait for anything.
            std::thread::sleep(Duration::from_millis(dice.below(ROUND_MS) as u64));
            daemon.kill_nine();
        });
        daemon.start_again();
        judge_all(&daemon, &known.lock().expect("nobody panicked"));
    }
    let known = known.into_inner().expect("nobody panicked");
    let counts = [
        known.started.len(),
        known.completed.len(),
        known.deleted.len(),
    ];
    assert!(
        counts.iter().all(|&count| count > 5),
        "{counts:?}: the storm was a breeze"
    );
}
