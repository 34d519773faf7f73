//! A disk that fails under calls, with EIO or as a file system that has turned read-only: what is being
//! recorded ends with what it has, new recordings are refused with 503 that names the disk, lists and
//! downloads go on; when the disk works again every recording is finished and new ones are taken, with
//! no restart. The fault is put between the daemon and libc (`tests/faults/disk.c`), so the catalog's
//! engine meets it too.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reeld_tests::client::call_sid;
use reeld_tests::patience::wait_for;
use reeld_tests::script::Law;
use reeld_tests::sender::{Part, Playing};
use reeld_tests::{MediaKind, Sender, Setup, Tape, Voice, for_each_media, judge, peer};

for_each_media!(a_disk_that_fails_loses_nothing_that_was_heard_before);

const CALLS: u64 = 4;
/// Packets before the disk fails, and after.
const BEFORE: usize = 150;
const AFTER: usize = 250;
/// Until the daemon has seen that the disk works again.
const BOUND: Duration = Duration::from_secs(60);

/// The library, compiled into the test's own folder.
fn library(folder: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("faults/disk.c");
    let library = folder.join("disk.so");
    let (source, into) = (source.display().to_string(), library.display().to_string());
    let args = ["-shared", "-fPIC", "-O1", "-o", &into, &source, "-ldl"];
    peer::run("cc", args, &[], Duration::from_secs(60)).success();
    library
}

fn a_disk_that_fails_loses_nothing_that_was_heard_before(media: MediaKind) {
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let control = folder.path().join("fault");
    let setup = Setup::new().media(media);
    let under = setup.data_dir();
    let daemon = setup
        .environment("LD_PRELOAD", library(folder.path()))
        .environment("FAULT_UNDER", &under)
        .environment("FAULT_CONTROL", &control)
        .start();
    let client = daemon.client();
    let pid = daemon.pid();
    let old_tape = Tape::noise(Law::Mu, 99, 8_000);
    let old = client.start(&call_sid(99), &[("RecordingTrack", "inbound")]);
    Sender::new().play(old.inbound(), Voice::new(99).say(old_tape.codes()));
    judge::exact(client.finish(&old).mono(), &old_tape.samples());

    for (round, errno) in [(0, nix::errno::Errno::EIO), (1, nix::errno::Errno::EROFS)] {
        let number = |call: u64| 10 * round + call;
        let tapes: Vec<Tape> = (0..CALLS)
            .map(|call| Tape::noise(Law::Mu, number(call), (BEFORE + AFTER) * 160))
            .collect();
        let started: Vec<_> = (0..CALLS)
            .map(|call| client.start(&call_sid(number(call)), &[("RecordingTrack", "inbound")]))
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
        playing.wait_until(0, BEFORE);
        fs::write(&control, (errno as i32).to_string()).expect("it can be written");
        let unready = wait_for("/readyz names the disk", BOUND, || {
            let reply = client.get_public("/readyz");
            (reply.status == 503 && reply.text().contains("disk")).then_some(reply)
        });
        assert!(unready.text().contains("disk"), "{}", unready.text());
        let refused = client.try_start(&call_sid(50 + round), &[]).expect(503);
        assert!(refused.text().contains("disk"), "{}", refused.text());
        judge::exact(client.wav(&old.sid).mono(), &old_tape.samples());
        let list = client.get(&client.path("/Recordings.json"));
        assert_eq!(list.status, 200, "{}", list.text());
        for started in &started {
            let status = client.recording(&started.sid)["status"].clone();
            assert_eq!(status, "processing", "{errno}");
        }
        // Nothing that was being recorded goes on: when the disk works again, it has ended.
        playing.wait_until(0, BEFORE + AFTER / 2);

        fs::remove_file(&control).expect("it is there");
        wait_for("/readyz is content again", BOUND, || {
            (client.get_public("/readyz").status == 200).then_some(())
        });
        for (call, (started, tape)) in started.iter().zip(&tapes).enumerate() {
            let json = client.wait_completed(&started.sid);
            assert_eq!(json["ended_by"], "disk-failed", "{json}");
            assert_eq!(json["recovered"], false, "{json}");
            let wav = client.wav(&started.sid);
            let pieces = judge::pieces(wav.mono(), tape);
            assert_eq!(pieces.len(), 1, "call {call}: {pieces:?}");
            assert_eq!((pieces[0].at, pieces[0].tape), (0, 0));
            assert!(
                pieces[0].length >= (BEFORE - 75) * 160,
                "call {call}: {pieces:?}"
            );
        }
        playing.stop();
        let again = client.start(&call_sid(60 + round), &[("RecordingTrack", "inbound")]);
        Sender::new().play(again.inbound(), Voice::new(99).say(old_tape.codes()));
        judge::exact(client.finish(&again).mono(), &old_tape.samples());
        daemon.command(&["verify"]).success();
    }
    assert_eq!(daemon.pid(), pid);
    assert!(daemon.log().contains("the disk works again"));
}
