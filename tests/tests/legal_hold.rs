//! Legal hold: `reeld hold` keeps a recording from DELETE, beside a daemon and without one, until it is
//! released; the record, the list and the log say so.

use reqwest::Method;

use reeld_tests::archive::{self, Old};
use reeld_tests::{MediaKind, Setup, for_each_media};

for_each_media!(a_held_recording_stays_until_it_is_released);

fn a_held_recording_stays_until_it_is_released(media: MediaKind) {
    let mut daemon = Setup::new().media(media).start();
    let account = daemon.client().account().to_owned();
    assert!(daemon.terminate().success());
    let recordings = Old::many(3, 1);
    archive::fill(daemon.data_dir(), &account, &recordings);
    let (held, other) = (recordings[1].sid.clone(), recordings[2].sid.clone());

    // Without a daemon, and then with one.
    let said = daemon.command(&["hold", &held]).success().text();
    assert!(said.contains("on hold since"), "{said}");
    daemon.start_again();
    let client = daemon.client();
    let list = daemon.command(&["hold"]).success().text();
    assert!(
        list.contains(&held) && list.contains("1 recordings are on hold"),
        "{list}"
    );
    assert!(client.recording(&held)["held_since"].is_string());
    assert!(client.recording(&other)["held_since"].is_null());
    let refused = client.delete(&held).expect(409);
    assert!(refused.text().contains("legal hold"), "{}", refused.text());
    let path = client.path(&format!("/Recordings/{held}.json"));
    client
        .send(Method::DELETE, &path, &[], None)
        .expect_error(409, 20_409);
    daemon.command(&["hold", &other]).success();
    client.delete(&other).expect(409);
    daemon.command(&["hold", "--release", &other]).success();
    client.delete(&other).expect(204);
    assert!(client.wav(&held).frames() > 0);
    let shown = daemon.command(&["show", &held]).success().text();
    assert!(shown.contains("on hold since"), "{shown}");

    let unknown = daemon.command(&["hold", &other]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(
        unknown.stderr.contains("there is no recording"),
        "{}",
        unknown.stderr
    );
    daemon.command(&["hold", "--release", &held]).success();
    let again = daemon.command(&["hold", "--release", &held]);
    assert_eq!(again.status.code(), Some(1));
    client.delete(&held).expect(204);
    // Who it was is in the trail, also of what was done without a daemon.
    let trail = daemon.command(&["audit", "--recording", &held, "--account", &account]);
    let trail = trail.success().text();
    let uid = format!("uid-{}", nix::unistd::getuid());
    let told = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        [fields[1].clone(), fields[3].clone()]
    };
    let told: Vec<_> = trail.lines().map(told).collect();
    for action in ["hold", "release"] {
        let has = told.contains(&[action.to_owned(), uid.clone()]);
        assert!(has, "{action} by {uid}: {trail}");
    }
    daemon.command(&["verify"]).success();
    let log = daemon.log();
    for said in [
        "put on legal hold",
        "released from legal hold",
        "reeld::audit",
    ] {
        assert!(log.contains(said), "{said}");
    }
}
