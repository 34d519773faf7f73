//! An application of 2009 works, on the twilio package of its time, which speaks 2008-08-01: lists,
//! filters bare and encoded, audio, DELETE and errors (`tests/sdk/old_client.py`).

use std::fs;

use reeld_tests::archive::{self, Old};
use reeld_tests::client::call_sid;
use reeld_tests::receiver::{Answer, Receiver};
use reeld_tests::{Daemon, Sdk, Setup};

const COUNT: usize = 1_200;
const CALLS: u64 = 3;

/// A daemon with recordings of long ago, and the file that says which.
fn daemon() -> (Daemon, std::path::PathBuf) {
    let mut daemon = Setup::new().start();
    let account = daemon.client().account().to_owned();
    assert!(daemon.terminate().success());
    let recordings = Old::many(COUNT, CALLS);
    archive::fill(daemon.data_dir(), &account, &recordings);
    daemon.start_again();
    let file = daemon.folder().join("archive.json");
    fs::write(&file, archive::json(&recordings)).expect("the folder can be written");
    (daemon, file)
}

#[test]
fn the_client_of_2009_is_content() {
    let (daemon, archive) = daemon();
    let live = call_sid(99);
    let _running = daemon.client().start(&live, &[]);
    let mut application = Sdk::Python2.application("old_client", &daemon);
    application.env("ARCHIVE", archive).env("LIVE_CALL", &live);
    Sdk::Python2.run(application, "the client of 2009 is content");

    // It sends what the package sent on Python 2 (twilio.md §1).
    let receiver = Receiver::start(|_| Answer::of(204));
    let mut application = Sdk::Python2.application("old_client", &daemon);
    application
        .env("ARCHIVE", daemon.folder().join("archive.json"))
        .env("WIRE", "1")
        .env("REELD_URL", receiver.url(""));
    Sdk::Python2.run(application, "");
    let list = format!(
        "/2008-08-01/Accounts/{}/Recordings",
        daemon.client().account()
    );
    let requests = receiver.wait(3);
    let seen: Vec<_> = requests
        .iter()
        .map(|request| (request.method.as_str(), request.target.as_str()))
        .collect();
    let encoded = format!("{list}?num=5&DateCreated%3C=2009-07-06&DateCreated%3E=2009-07-04");
    let bare = format!("{list}?DateCreated>=2009-07-06");
    let newest = &Old::many(COUNT, CALLS)[0].sid;
    let instance = format!("{list}/{newest}");
    assert_eq!(
        seen,
        [
            ("GET", encoded.as_str()),
            ("GET", &bare),
            ("DELETE", &instance)
        ]
    );
    for request in &requests {
        assert_eq!(request.header("connection"), "close");
        assert!(request.header("authorization").starts_with("Basic "));
    }
    assert_eq!(requests[2].header("content-length"), "0");
    assert_eq!(
        requests[2].header("content-type"),
        "application/x-www-form-urlencoded"
    );
}
