//! Where audio needs credentials, a signed link opens one recording to who has none: made by
//! `reeld link`, by the API, by `media_url` and by a callback's `RecordingUrl`; followed by curl and
//! ffmpeg; and good no more once it expires, the recording goes or the account has a new token.

use std::time::Duration;

use reeld_tests::client::{Started, call_sid};
use reeld_tests::receiver::{Answer, Receiver};
use reeld_tests::{Client, Daemon, Law, Sender, Setup, Tape, Voice, Wav, peer};

const BOUND: Duration = Duration::from_secs(30);

/// A recording of two seconds.
fn record(client: &Client, call: u64, form: &[(&str, &str)]) -> Started {
    let form = [&[("RecordingTrack", "inbound")], form].concat();
    let started = client.start(&call_sid(call), &form);
    let tape = Tape::noise(Law::Mu, call, 2 * 8_000);
    Sender::new()
        .start(started.inbound(), Voice::new(call).say(tape.codes()))
        .finish();
    client.stop(&started);
    client.wait_completed(&started.sid);
    started
}

/// What `reeld link` prints, less what it begins with.
fn link(daemon: &Daemon, args: &[&str]) -> String {
    let args = [&["link"], args].concat();
    let printed = daemon.command(&args).success().text();
    let path = printed.trim().strip_prefix(daemon.client().base());
    path.unwrap_or_else(|| panic!("{printed}")).to_owned()
}

#[test]
fn a_link_of_the_command_line_works_until_it_does_not() {
    let mut daemon = Setup::new().set("api.media_auth", "required").start();
    let client = daemon.client().clone();
    let [one, two] = [1, 2].map(|call| record(&client, call, &[]));
    let plain = client.path(&format!("/Recordings/{}", one.sid));
    for extension in ["", ".wav", ".mp3", ".opus", ".peaks.json", ".json"] {
        client
            .get_public(&format!("{plain}{extension}"))
            .expect(401);
    }

    let wav = link(&daemon, &[&one.sid]);
    let query = wav
        .strip_prefix(&plain)
        .expect("it begins with the recording's path");
    let whole = client.curl(&[], &wav).expect(200);
    assert!(Wav::read(&whole.body).frames() > 8_000);
    let part = client.curl(&["--range", "40-99"], &wav).expect(206);
    assert!(part.body == whole.body[40..100]);
    for extension in [".mp3", ".opus"] {
        let url = format!("{}{plain}{extension}{query}", client.base());
        let args = ["-v", "error", "-ss", "1", "-i", &url, "-f", "s16le", "-"];
        let run = peer::run("ffmpeg", args, &[], BOUND).success();
        assert_eq!(run.stderr, "", "{extension}");
        assert!(run.stdout.len() > 1_000, "ffmpeg hears {extension}");
    }
    let peaks = client
        .get_public(&format!("{plain}.peaks.json{query}"))
        .expect(200)
        .json();
    assert_eq!(
        peaks["length"],
        peaks["data"].as_array().expect("points").len() / 2
    );
    client
        .get_public(&format!("{plain}.json{query}"))
        .expect(403);
    let json = link(&daemon, &[&one.sid, "--format", "json"]);
    assert_eq!(client.get_public(&json).expect(200).json()["sid"], *one.sid);
    client
        .get_public(&wav.replace(&one.sid, &two.sid))
        .expect(403);

    let short = link(&daemon, &[&one.sid, "--expires", "1s", "--format", "mp3"]);
    let deadline = std::time::Instant::now() + BOUND;
    while client.get_public(&short).status != 403 {
        assert!(std::time::Instant::now() < deadline, "it never expires");
        std::thread::sleep(Duration::from_millis(50));
    }
    for args in [
        &["link", &one.sid, "--expires", "8days"][..],
        &["link", &one.sid, "--format", "flac"],
        &["link"],
    ] {
        assert_eq!(daemon.command(args).status.code(), Some(2), "{args:?}");
    }
    let unknown = "RE00000000000000000000000000000000";
    assert_eq!(daemon.command(&["link", unknown]).status.code(), Some(1));

    // It outlives the daemon, and is made without one too.
    assert!(daemon.terminate().success());
    let of_two = link(&daemon, &[&two.sid]);
    daemon.start_again();
    let client = daemon.client().clone();
    client.get_public(&wav).expect(200);
    client.get_public(&of_two).expect(200);
    client.delete(&one.sid).expect(204);
    client.get_public(&wav).expect(404);
    let log = daemon.log();
    assert!(!log.contains("signature="), "no link is in the log");
    daemon
        .command(&["account", "rotate", client.account()])
        .success();
    client.get_public(&of_two).expect(403);
    client.get_public(&link(&daemon, &[&two.sid])).expect(200);
}

#[test]
fn a_callbacks_url_opens_the_recording_in_each_format() {
    let daemon = Setup::new()
        .set("api.media_auth", "required")
        .set("api.link_lifetime", "1h")
        .set("callbacks.allow", vec!["loopback"])
        .start();
    let client = daemon.client();
    let receiver = Receiver::start(|_| Answer::of(200));
    let url = receiver.url("/cb");
    let started = record(client, 1, &[("RecordingStatusCallback", &url)]);
    let callbacks = receiver.wait(1);
    let media_url = client.recording(&started.sid)["media_url"].clone();
    let given = [
        callbacks[0].parameter("RecordingUrl"),
        media_url.as_str().expect("a URL"),
    ];
    for given in given {
        let path = given.strip_prefix(client.base()).expect("this API's");
        assert!(
            path.contains(&*started.sid) && path.contains("?expires="),
            "{path}"
        );
        let wav = client.get_public(path).expect(200);
        assert_eq!(wav.header("content-type"), Some("audio/x-wav"));
        // As applications written for Twilio do.
        let mp3 = client.get_public(&format!("{path}.mp3")).expect(200);
        assert_eq!(mp3.header("content-type"), Some("audio/mpeg"));
        client
            .get_public(path.split('?').next().unwrap_or_default())
            .expect(401);
    }
    let path = client.path(&format!("/Recordings/{}/Links.json", started.sid));
    let made = client.post(&path, &[("Format", "opus")]).expect(201).json();
    let made = made["url"].as_str().expect("a URL");
    let made = made.strip_prefix(client.base()).expect("this API's");
    let opus = client.get_public(made).expect(200);
    assert_eq!(opus.header("content-type"), Some("audio/ogg; codecs=opus"));
}
