//! What is kept of a deleted recording is shown to who asks for it, also after kill -9, as long as
//! `store.deleted_metadata` says, and is then gone; its audio goes at once.

use std::fs;
use std::path::Path;
use std::time::Duration;

use reeld_tests::archive::{self, Old};
use reeld_tests::patience::wait_for;
use reeld_tests::{Daemon, MediaKind, Setup, for_each_media};

for_each_media!(a_deleted_recordings_record_has_its_time);

/// The time that it has after the last restart, and the purge's own second, on a busy machine.
const BOUND: Duration = Duration::from_secs(60);

fn a_deleted_recordings_record_has_its_time(media: MediaKind) {
    let mut daemon = Setup::new()
        .media(media)
        .set("store.deleted_metadata", "40d")
        .start();
    let account = daemon.client().account().to_owned();
    assert!(daemon.terminate().success());
    let recordings = Old::many(6, 1);
    archive::fill(daemon.data_dir(), &account, &recordings);
    daemon.start_again();
    let (kept, gone) = (&recordings[1].sid, &recordings[2].sid);
    let client = daemon.client();
    let audio = client.wav(gone);
    assert!(audio.frames() > 0);
    client.delete(gone).expect(204);
    assert_shown(&daemon, gone, 6);
    daemon.kill_nine();
    daemon.start_again();
    assert_shown(&daemon, gone, 6);
    let file = daemon.data_dir().join("media").join(&gone[2..4]);
    assert!(!file.join(format!("{gone}.wav")).exists());
    assert!(daemon.client().wav(kept).frames() > 0);
    assert!(daemon.terminate().success());

    set_time(daemon.config(), "1s");
    daemon.start_again();
    let (client, list) = (daemon.client(), "/Recordings.json?IncludeSoftDeleted=true");
    wait_for("the end of what was kept", BOUND, || {
        let page = client.get(&client.path(list)).expect(200).json();
        (page["total"] == 5).then_some(())
    });
    let path = client.path(&format!("/Recordings/{gone}.json?IncludeSoftDeleted=true"));
    client.get(&path).expect_error(404, 20_404);
    assert!(daemon.terminate().success());

    set_time(daemon.config(), "0s");
    daemon.start_again();
    let client = daemon.client();
    client.delete(kept).expect(204);
    let page = client.get(&client.path(list)).expect(200).json();
    assert_eq!(page["total"], 4, "nothing is kept");
    daemon.command(&["verify"]).success();
}

/// Deleted, and found by who asks for deleted ones alone.
#[track_caller]
fn assert_shown(daemon: &Daemon, sid: &str, total: u64) {
    let client = daemon.client();
    let get = |path: &str| client.get(&client.path(path));
    get(&format!("/Recordings/{sid}.json")).expect_error(404, 20_404);
    get(&format!("/Recordings/{sid}.wav?IncludeSoftDeleted=true")).expect(404);
    let shown = get(&format!("/Recordings/{sid}.json?IncludeSoftDeleted=true"));
    assert_eq!(shown.expect(200).json()["status"], "deleted");
    for (query, wanted) in [("", total - 1), ("?IncludeSoftDeleted=true", total)] {
        let page = get(&format!("/Recordings.json{query}")).expect(200).json();
        assert_eq!(page["total"], wanted, "{query}");
    }
    let old = client.get(&client.old_path("/Recordings?IncludeSoftDeleted=true"));
    let total = format!("total=\"{}\"", total - 1);
    assert!(old.expect(200).text().contains(&total), "2008 shows none");
}

fn set_time(config: &Path, time: &str) {
    let text = fs::read_to_string(config).expect("the test wrote it");
    let line = text
        .lines()
        .find(|line| line.starts_with("deleted_metadata"))
        .expect("the test set it");
    let text = text.replace(line, &format!("deleted_metadata = \"{time}\""));
    fs::write(config, text).expect("the folder can be written");
}
