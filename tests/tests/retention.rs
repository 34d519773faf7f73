//! Retention by age and by size: what is over goes by itself, oldest first, and is logged with its
//! reason; what is being recorded, what is on hold and an account with limits of its own stay; `reeld
//! verify` finds nothing afterwards.

use std::fs;
use std::time::Duration;

use reeld_tests::archive::{self, Old};
use reeld_tests::client::call_sid;
use reeld_tests::patience::wait_for;
use reeld_tests::{Daemon, MediaKind, Setup, for_each_media};

for_each_media!(what_is_over_goes_by_itself);

const BOUND: Duration = Duration::from_secs(60);

/// Changes a key of [store] that the test has set.
fn set(daemon: &Daemon, key: &str, value: &str) {
    let text = fs::read_to_string(daemon.config()).expect("the test wrote it");
    let line = text
        .lines()
        .find(|line| line.starts_with(&format!("{key} = ")))
        .expect("the test set it");
    let text = text.replace(line, &format!("{key} = {value}"));
    fs::write(daemon.config(), text).expect("the folder can be written");
}

fn wait_gone(daemon: &Daemon, sid: &str) {
    wait_for("the recording is deleted", BOUND, || {
        (daemon.client().recording_status(sid) == 404).then_some(())
    });
    let is_told = |line: &&str| line.contains(sid) && line.contains("store.retention says");
    let line = wait_for("the log says why", BOUND, || {
        daemon.log().lines().find(is_told).map(str::to_owned)
    });
    assert!(line.contains("reason"), "{line}");
}

fn what_is_over_goes_by_itself(media: MediaKind) {
    // Without limits first, so that there is something; an archive's recordings are long over.
    let mut daemon = Setup::new()
        .media(media)
        .set("store.retention", "")
        .set("store.account_retention", toml::Value::Array(Vec::new()))
        .start();
    let account = daemon.client().account().to_owned();
    assert!(daemon.terminate().success());
    let recordings = Old::many(6, 1);
    archive::fill(daemon.data_dir(), &account, &recordings);
    let sids: Vec<&str> = recordings.iter().map(|old| old.sid.as_str()).collect();
    daemon.command(&["hold", sids[1]]).success();
    daemon.start_again();
    let live = daemon.client().start(&call_sid(1), &[]);
    for sid in &sids {
        assert_eq!(daemon.client().recording_status(sid), 200, "{sid}");
    }
    assert!(daemon.terminate().success());

    // Limits of its own are none, so nothing goes, whatever each account's are.
    set(&daemon, "retention", "\"1s\"");
    set(&daemon, "account_retention", &format!("[\"{account}=\"]"));
    daemon.start_again();
    std::thread::sleep(Duration::from_secs(3));
    for sid in &sids {
        assert_eq!(daemon.client().recording_status(sid), 200, "{sid}");
    }
    assert!(daemon.terminate().success());

    // One of many bytes, by size: of six recordings of 204 bytes all but the held one and the newest go.
    set(
        &daemon,
        "account_retention",
        &format!("[\"{account}=500B\"]"),
    );
    daemon.start_again();
    let newest = &recordings[0];
    for sid in sids
        .iter()
        .filter(|sid| **sid != sids[1] && **sid != newest.sid)
    {
        wait_gone(&daemon, sid);
    }
    assert_eq!(daemon.client().recording_status(&newest.sid), 200);
    assert!(daemon.terminate().success());

    // And by age: the newest too; the held one stays, and so does one that is being recorded.
    set(&daemon, "account_retention", "[]");
    daemon.start_again();
    let live_now = daemon.client().start(&call_sid(2), &[]);
    wait_gone(&daemon, &newest.sid);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(daemon.client().recording_status(&live_now.sid), 200);
    assert!(daemon.client().wav(sids[1]).frames() > 0);
    daemon.command(&["verify"]).success();
    // The first live one had no packet: it is absent, and its time is over as well.
    wait_gone(&daemon, &live.sid);
    daemon.command(&["hold", "--release", sids[1]]).success();
    wait_gone(&daemon, sids[1]);
    daemon.command(&["verify"]).success();
}
