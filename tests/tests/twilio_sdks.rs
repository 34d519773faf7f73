//! An application works that was written for Twilio, after one change of its base URL: on Twilio's SDKs
//! as they are on PyPI and npm, new and old, it creates, updates, lists, fetches and deletes
//! (`tests/sdk/recordings.py` and `.js`). Over TLS too, with a certificate of a house's own authority, where the
//! SDK is told of that as any client of theirs is, by the environment; told of another or of none, or shown
//! another host's certificate, it refuses, and the daemon has heard nothing (`tests/sdk/stranger.py`).

use std::fs;
use std::process::Command;

use reeld_tests::client::{call_sid, media_address};
use reeld_tests::{Authority, Daemon, Sdk, Sender, Setup, Tape, Voice, script::Law};
use serde_json::Value;

/// Sound of that time, 8 kHz.
const SAMPLES: usize = 180 * 8_000;
/// What the application looks for: so many days with so many recordings each.
const DAYS: u32 = 10;
const A_DAY: u32 = 6;
/// Where requests, below twilio-python, and Node.js look for an authority to trust.
const OF_PYTHON: &str = "REQUESTS_CA_BUNDLE";
const OF_NODE: &str = "NODE_EXTRA_CA_CERTS";

#[test]
fn an_application_on_todays_python_sdk_is_content() {
    is_content(Sdk::Python9, "twilio-python is content");
}

#[test]
fn an_application_on_an_old_python_sdk_is_content() {
    is_content(Sdk::Python6, "twilio-python is content");
}

#[test]
fn an_application_on_todays_node_sdk_is_content() {
    is_content(Sdk::Node6, "twilio-node is content");
}

#[test]
fn an_application_on_an_old_node_sdk_is_content() {
    is_content(Sdk::Node3, "twilio-node is content");
}

#[test]
fn an_application_on_todays_python_sdk_is_content_over_tls() {
    is_content_over_tls(Sdk::Python9, OF_PYTHON, "twilio-python is content");
}

#[test]
fn an_application_on_todays_node_sdk_is_content_over_tls() {
    is_content_over_tls(Sdk::Node6, OF_NODE, "twilio-node is content");
}

#[test]
fn the_python_sdk_refuses_who_its_authority_has_not_signed() {
    let (house, other) = (Authority::new("house"), Authority::new("other"));
    let daemon = setup().start_tls(&house.files(&["localhost", "127.0.0.1"]));
    let live = call_sid(1);
    open_over_tls(&daemon, &house, &live);
    let refuses = |daemon: &Daemon, trusted: Option<&Authority>, reason: &str| {
        let mut application = Sdk::Python9.application("stranger", daemon);
        application.env("LIVE_CALL", &live).env("REASON", reason);
        // What this machine trusts otherwise, its own or somebody's, does not count.
        application
            .env_remove("CURL_CA_BUNDLE")
            .env_remove(OF_PYTHON);
        if let Some(trusted) = trusted {
            application.env(OF_PYTHON, trusted.file());
        }
        Sdk::Python9.run(application, "twilio-python refuses");
    };
    let unknown = "unable to get local issuer certificate";
    refuses(&daemon, Some(&other), unknown);
    refuses(&daemon, None, unknown);
    assert!(
        over_tls(&daemon, &house, &[], "/Recordings.json")["recordings"] == serde_json::json!([])
    );

    let elsewhere = setup().start_tls(&house.files(&["elsewhere.example"]));
    refuses(&elsewhere, Some(&house), "IP address mismatch");
    for daemon in [daemon, elsewhere] {
        let token = daemon.client().token();
        assert!(!daemon.log().contains(token), "{}", daemon.log());
    }
}

fn setup() -> Setup {
    Setup::new()
        .set("callbacks.allow", vec!["loopback"])
        .set("api.start_unknown_call", false)
}

fn is_content(sdk: Sdk, last_word: &str) {
    let daemon = setup().start();
    let live = call_sid(1);
    let opened = daemon.client().open_call(&[("CallSid", &live)]).expect(201);
    works(sdk, &daemon, &opened.json(), |_| (), last_word);
}

fn is_content_over_tls(sdk: Sdk, trust: &str, last_word: &str) {
    let house = Authority::new("house");
    let daemon = setup().start_tls(&house.files(&["localhost", "127.0.0.1"]));
    assert!(daemon.client().base().starts_with("https://"));
    let opened = open_over_tls(&daemon, &house, &call_sid(1));
    let told = |application: &mut Command| {
        application.env(trust, house.file());
    };
    works(sdk, &daemon, &opened, told, last_word);
}

fn open_over_tls(daemon: &Daemon, house: &Authority, call: &str) -> Value {
    let form = format!("CallSid={call}");
    over_tls(daemon, house, &["-d", &form], "/Calls.json")
}

/// A document of the account's, or what came of a form, by curl, which trusts the house.
fn over_tls(daemon: &Daemon, house: &Authority, args: &[&str], path: &str) -> Value {
    let client = daemon.client();
    let house = house.file().display().to_string();
    let all = ["--cacert", &house].into_iter().chain(args.iter().copied());
    let reply = client.curl_signed(&all.collect::<Vec<_>>(), &client.path(path));
    let status = if args.is_empty() { 200 } else { 201 };
    reply.expect(status).json()
}

/// The application's whole work, on a call that is open and spoken to meanwhile.
fn works(sdk: Sdk, daemon: &Daemon, opened: &Value, told: impl Fn(&mut Command), last_word: &str) {
    let old = call_sid(2);
    import(daemon, &old);
    let play = |track: &str, seed: u64| {
        let to = media_address(opened, track).expect("a call has both tracks");
        let tape = Tape::noise(Law::Mu, seed, SAMPLES);
        Sender::new().start(to, Voice::new(seed).say(tape.codes()))
    };
    let playing = [play("inbound", 1), play("outbound", 2)];
    playing.iter().for_each(|track| track.wait_until(0, 10));
    let mut application = sdk.application("recordings", daemon);
    application
        .env("LIVE_CALL", call_sid(1))
        .env("OLD_CALL", &old);
    told(&mut application);
    sdk.run(application, last_word);
    playing.into_iter().for_each(|track| drop(track.stop()));
}

/// Recordings of days that are long gone, as a move from another recorder brings them.
fn import(daemon: &Daemon, call: &str) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let wav = daemon.folder().join("old.wav");
    let mut writer = hound::WavWriter::create(&wav, spec).expect("the folder can be written");
    for sample in 0..800_i16 {
        writer.write_sample(sample).expect("the disk has room");
    }
    writer.finalize().expect("the disk has room");
    let rows: String = (0..DAYS * A_DAY)
        .map(|n| {
            let (day, hour) = (10 + n / A_DAY, n % A_DAY);
            format!("old.wav,RE{n:032x},{call},2016-10-{day}T{hour:02}:00:00Z\n")
        })
        .collect();
    let manifest = daemon.folder().join("old.csv");
    fs::write(&manifest, format!("file,sid,call_sid,date_created\n{rows}"))
        .expect("the folder can be written");
    daemon
        .command(&["import", "--manifest", &manifest.display().to_string()])
        .success();
}
