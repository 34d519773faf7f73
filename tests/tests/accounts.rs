//! Accounts and `verify` on the command line, beside a live daemon under load and without one. A
//! token is shown once, works at once, and is in no log and no file in the clear but
//! `credentials.toml`; one account sees nothing of another.

use std::fs;

use reeld_tests::client::{Started, call_sid};
use reeld_tests::script::Law;
use reeld_tests::sender::{Part, Playing};
use reeld_tests::{Client, Daemon, MediaKind, Sender, Setup, Tape, Voice, for_each_media, judge};
use reqwest::Method;

for_each_media!(commands_work_beside_a_daemon_under_load_and_alone);

/// Sid and token out of what `account add` and `account rotate` print.
fn printed(text: &str) -> (String, String) {
    let words = || text.split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_'));
    let sid = words().find(|word| word.len() == 34 && word.starts_with("AC"));
    let sid = sid.unwrap_or_else(|| panic!("no Sid in {text}"));
    let token = words().find(|word| word.len() >= 32 && !word.starts_with("AC"));
    let token = token.unwrap_or_else(|| panic!("no token in {text}"));
    (sid.to_owned(), token.to_owned())
}

fn add(daemon: &Daemon) -> Client {
    let (sid, token) = printed(&daemon.command(&["account", "add"]).success().text());
    Client::new(daemon.client().base(), &sid, &token)
}

fn list(daemon: &Daemon) -> String {
    daemon.command(&["account", "list"]).success().text()
}

fn list_status(client: &Client) -> u16 {
    client.get(&client.path("/Recordings.json")).status
}

fn commands_work_beside_a_daemon_under_load_and_alone(media: MediaKind) {
    let mut daemon = Setup::new().media(media).start();
    let first = daemon.client().clone();
    let tapes: Vec<Tape> = (0..10)
        .map(|seed| Tape::noise(Law::Mu, seed, 6 * 8_000))
        .collect();
    let started: Vec<Started> = (0..10)
        .map(|call| first.start(&call_sid(call), &[("RecordingTrack", "inbound")]))
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

    // Beside the live daemon.
    let second = add(&daemon);
    assert_eq!(list_status(&second), 200, "its token works at once");
    let listed = list(&daemon);
    assert!(
        listed.contains(first.account()) && listed.contains(second.account()),
        "{listed}"
    );
    assert!(
        !listed.contains(second.token()),
        "the token is shown once: {listed}"
    );
    let verify = daemon.command(&["verify"]);
    assert!(
        verify.status.success(),
        "{}{}",
        verify.text(),
        verify.stderr
    );
    let (sid, token) = printed(
        &daemon
            .command(&["account", "rotate", second.account()])
            .success()
            .text(),
    );
    assert_eq!(sid, second.account());
    assert_eq!(list_status(&second), 401, "the old token has gone");
    let second = Client::new(first.base(), &sid, &token);
    assert_eq!(list_status(&second), 200);

    // What is one account's is not there for another.
    let foreign = second.path(&format!("/Recordings/{}.json", started[0].sid));
    assert_eq!(second.get(&foreign).status, 404);
    let change = second.change(&started[0].call, &started[0].sid, &[("Status", "stopped")]);
    assert_eq!(change.status, 404, "{}", change.text());
    assert_eq!(
        list_status(&Client::new(first.base(), first.account(), second.token())),
        401
    );

    playing.finish();
    for (started, tape) in started.iter().zip(&tapes) {
        judge::exact(first.finish(started).mono(), &tape.samples());
    }
    let path = second.path(&format!("/Recordings/{}", started[0].sid));
    assert_eq!(second.get(&path).status, 404);
    assert_eq!(second.send(Method::DELETE, &path, &[], None).status, 404);
    assert_eq!(first.recording(&started[0].sid)["status"], "completed");
    daemon.command(&["verify"]).success();

    // Without it.
    assert!(daemon.terminate().success());
    let third = add(&daemon);
    let listed = list(&daemon);
    assert!(listed.contains(third.account()), "{listed}");
    daemon
        .command(&["account", "remove", second.account()])
        .success();
    assert!(!list(&daemon).contains(second.account()));
    daemon.command(&["verify"]).success();
    daemon.start_again();
    assert_eq!(list_status(&third), 200);
    assert_eq!(list_status(&second), 401);
    assert_eq!(list_status(&first), 200);

    for client in [&first, &second, &third] {
        assert!(
            !daemon.log().contains(client.token()),
            "the log has a token"
        );
        assert_no_token(&daemon, client.token());
    }
    damage_is_found(&mut daemon, &started[0].sid, media);
}

/// No file but `credentials.toml` has the token in the clear.
fn assert_no_token(daemon: &Daemon, token: &str) {
    for (path, content) in daemon.files() {
        let found = content
            .windows(token.len())
            .any(|window| window == token.as_bytes());
        let may = path.ends_with("credentials.toml");
        assert!(!found || may, "{} has the token", path.display());
    }
}

/// A file that was changed behind reeld's back fails `verify`, which names the recording.
fn damage_is_found(daemon: &mut Daemon, sid: &str, media: MediaKind) {
    if media == MediaKind::Sled {
        return;
    }
    assert!(daemon.terminate().success());
    let name = format!("{sid}.wav");
    let file = daemon
        .files()
        .into_iter()
        .find(|(path, _)| path.ends_with(&name));
    let (path, mut content) = file.expect("a plain file of that name holds the audio");
    let middle = content.len() / 2;
    content[middle] ^= 1;
    fs::write(&path, content).expect("it can be written");
    let verify = daemon.command(&["verify"]);
    assert_eq!(
        verify.status.code(),
        Some(1),
        "{}{}",
        verify.text(),
        verify.stderr
    );
    let said = format!("{}{}", verify.text(), verify.stderr);
    assert!(said.contains(sid), "{said}");
    daemon.start_again();
}
