//! API keys: made, listed and taken away on the command line, beside a daemon and without one. Their
//! secret is shown once and is in no log and no file; twilio-python takes one in place of the
//! account's token.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use reeld_tests::{Client, Daemon, Setup, peer};

/// Sid and secret out of what `account key add` prints.
fn add(daemon: &Daemon, account: &str, name: &str) -> (String, String) {
    let printed = daemon.command(&["account", "key", "add", account, name]);
    let printed = printed.success().text();
    let value = |name: &str| {
        let line = printed
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
        let line = line.unwrap_or_else(|| panic!("no {name} in {printed}"));
        line.trim_matches('"').to_owned()
    };
    assert_eq!(value("account_sid"), account);
    (value("key_sid"), value("secret"))
}

fn list_status(client: &Client, user: &str, secret: &str) -> u16 {
    let user = format!("{user}:{secret}");
    client
        .curl(&["-u", &user], &client.path("/Recordings.json"))
        .status
}

#[test]
fn keys_come_and_go_on_the_command_line() {
    let mut daemon = Setup::new().start();
    let client = daemon.client().clone();
    let account = client.account();
    let (page, page_secret) = add(&daemon, account, "web page");
    let (other, other_secret) = add(&daemon, account, "");
    let is_in = |key: &str, secret: &str| list_status(&client, key, secret) == 200;
    assert!(is_in(&page, &page_secret) && is_in(&other, &other_secret));
    assert!(!is_in(&page, &other_secret));
    let listed = daemon.command(&["account", "key", "list"]).success().text();
    for wanted in [&*page, "web page", &other, account] {
        assert!(listed.contains(wanted), "{wanted}: {listed}");
    }
    assert!(!listed.contains(&page_secret), "the secret is shown once");
    let nobodys = "AC00000000000000000000000000000000";
    let refused = daemon.command(&["account", "key", "add", nobodys]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stderr.contains(nobodys), "{}", refused.stderr);

    daemon
        .command(&["account", "key", "remove", &other])
        .success();
    assert!(!is_in(&other, &other_secret) && is_in(&page, &page_secret));
    let again = daemon.command(&["account", "key", "remove", &other]);
    assert_eq!(again.status.code(), Some(1), "there is none any more");

    // Without a daemon, and in the next one.
    assert!(daemon.terminate().success());
    let (alone, alone_secret) = add(&daemon, account, "made alone");
    daemon.start_again();
    assert!(is_in(&page, &page_secret) && is_in(&alone, &alone_secret));
    daemon.command(&["account", "rotate", account]).success();
    assert!(
        is_in(&page, &page_secret),
        "a key outlives its account's token"
    );
    daemon.command(&["account", "remove", account]).success();
    assert!(!is_in(&page, &page_secret), "and not the account");
    let files = daemon.files().into_iter();
    let log = ("the log".into(), daemon.log().into_bytes());
    for (path, bytes) in files.chain([log]) {
        for secret in [&page_secret, &alone_secret] {
            let has = bytes
                .windows(secret.len())
                .any(|part| part == secret.as_bytes());
            assert!(!has, "a secret is in {}", path.display());
        }
    }
}

#[test]
fn todays_sdk_takes_a_key_in_place_of_the_token() {
    let daemon = Setup::new().start();
    let client = daemon.client();
    let (key, secret) = add(&daemon, client.account(), "sdk");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = "target/sdk-twilio-9";
    let python = root.join(folder).join("bin/python");
    assert!(
        python.exists(),
        "there is no {}: `make {folder}/installed` makes it, as `make test` does",
        python.display()
    );
    let mut command = Command::new(python);
    command
        .arg(root.join("tests/sdk/keys.py"))
        .env("REELD_URL", client.base())
        .env("ACCOUNT", client.account())
        .env("KEY", &key)
        .env("SECRET", &secret)
        // They change the host that is asked (twilio.md §4).
        .env_remove("TWILIO_EDGE")
        .env_remove("TWILIO_REGION");
    let run = peer::finish("twilio-python", command, &[], Duration::from_secs(60)).success();
    assert_eq!(run.text().trim(), "twilio-python is content");
}
