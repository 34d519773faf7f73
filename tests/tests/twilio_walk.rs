//! Walks along 2,500 recordings, on Twilio's SDKs new and old, meet each of them once and in order: with
//! each filter, pages of every size, and while recordings are deleted and made (`tests/sdk/walk.py`
//! and `.js`).

use std::fs;

use reeld_tests::archive::{self, Old};
use reeld_tests::client::call_sid;
use reeld_tests::{Sdk, Setup};

const COUNT: usize = 2_500;
const CALLS: u64 = 5;

#[test]
fn on_todays_python_sdk() {
    walks_are_whole(Sdk::Python9);
}

#[test]
fn on_an_old_python_sdk() {
    walks_are_whole(Sdk::Python6);
}

#[test]
fn on_todays_node_sdk() {
    walks_are_whole(Sdk::Node6);
}

#[test]
fn on_an_old_node_sdk() {
    walks_are_whole(Sdk::Node3);
}

fn walks_are_whole(sdk: Sdk) {
    let mut daemon = Setup::new().start();
    let account = daemon.client().account().to_owned();
    assert!(daemon.terminate().success());
    let recordings = Old::many(COUNT, CALLS);
    archive::fill(daemon.data_dir(), &account, &recordings);
    daemon.start_again();
    let file = daemon.folder().join("archive.json");
    fs::write(&file, archive::json(&recordings)).expect("the folder can be written");
    let mut application = sdk.application("walk", &daemon);
    application
        .env("ARCHIVE", file)
        .env("LIVE_CALL", call_sid(99));
    sdk.run(application, "the walks are whole");
}
