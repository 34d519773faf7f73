//! A file that is not what was recorded is found out, when it is read or by the scrub, is said to be
//! damaged wherever it is shown, and is never served; once it is right again, `reeld verify` clears it.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use reeld_tests::archive::{self, Old};
use reeld_tests::patience::wait_for;
use reeld_tests::{Daemon, Setup};

const BOUND: Duration = Duration::from_secs(60);

fn with_recordings(setup: Setup) -> (Daemon, Vec<Old>) {
    let mut daemon = setup.start();
    let account = daemon.client().account().to_owned();
    assert!(daemon.terminate().success());
    let recordings = Old::many(3, 1);
    archive::fill(daemon.data_dir(), &account, &recordings);
    daemon.start_again();
    (daemon, recordings)
}

/// Changes one byte of a recording's sound; done twice, it is as it was.
fn flip(daemon: &Daemon, sid: &str) {
    let folder = daemon.data_dir().join("media").join(&sid[2..4]);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(folder.join(format!("{sid}.wav")))
        .expect("the recording has a file");
    let mut byte = [0];
    file.read_exact_at(&mut byte, 100).expect("it is longer");
    file.write_all_at(&[!byte[0]], 100).expect("it is ours");
}

fn assert_refused(daemon: &Daemon, sid: &str) {
    let client = daemon.client();
    for extension in ["", ".wav", ".mp3", ".opus", ".peaks.json"] {
        let reply = client.get(&client.path(&format!("/Recordings/{sid}{extension}")));
        assert_eq!(reply.status, 500, "{extension}: {}", reply.text());
        assert!(
            reply.text().contains(sid) && reply.text().contains("checksum"),
            "{extension}: {}",
            reply.text()
        );
    }
    let damaged = client.recording(sid)["damaged"].clone();
    assert_eq!(damaged, "its samples have another checksum");
    assert!(client.metrics().contains("\nreeld_recordings_damaged 1\n"));
    let ready = client.get_public("/readyz").expect(200);
    assert!(
        ready.text().contains("1 recordings are damaged"),
        "{}",
        ready.text()
    );
    let shown = daemon.command(&["show", sid]).success().text();
    assert!(shown.contains("another checksum"), "{shown}");
    let verify = daemon.command(&["verify"]);
    assert_eq!(verify.status.code(), Some(1));
    assert!(verify.text().contains(sid), "{}", verify.text());
}

#[test]
fn a_damaged_file_is_never_served_as_good() {
    let (mut daemon, recordings) = with_recordings(Setup::new().set("store.check_reads", "100%"));
    let sid = recordings[1].sid.clone();
    let before = daemon.client().wav(&sid);
    flip(&daemon, &sid);
    assert_refused(&daemon, &sid);
    assert!(daemon.client().wav(&recordings[0].sid).frames() > 0);
    // It is known after a restart, before anybody looks.
    assert!(daemon.terminate().success());
    daemon.start_again();
    assert_refused(&daemon, &sid);
    flip(&daemon, &sid);
    daemon.command(&["verify"]).success();
    assert!(daemon.client().wav(&sid) == before);
    assert!(daemon.client().recording(&sid)["damaged"].is_null());
}

#[test]
fn the_scrub_finds_what_nobody_reads() {
    let setup = Setup::new()
        .set("store.check_reads", "0%")
        .set("store.scrub", "64MiB")
        .set("store.scrub_every", "1s");
    let (daemon, recordings) = with_recordings(setup);
    let sid = &recordings[2].sid;
    flip(&daemon, sid);
    wait_for("the scrub finds it", BOUND, || {
        daemon.client().recording(sid)["damaged"]
            .is_string()
            .then_some(())
    });
    assert_refused(&daemon, sid);
}
