//! An application works that was written for Twilio, after one change of its base URL: on Twilio's SDKs
//! as they are on PyPI and npm, new and old, it creates, updates, lists, fetches and deletes
//! (`tests/sdk/recordings.py` and `.js`).

use std::fs;

use reeld_tests::client::{call_sid, media_address};
use reeld_tests::{Daemon, Sdk, Sender, Setup, Tape, Voice, script::Law};

/// Sound of that time, 8 kHz.
const SAMPLES: usize = 180 * 8_000;
/// What the application looks for: so many days with so many recordings each.
const DAYS: u32 = 10;
const A_DAY: u32 = 6;

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

fn is_content(sdk: Sdk, last_word: &str) {
    let daemon = Setup::new()
        .set("callbacks.allow", vec!["loopback"])
        .set("api.start_unknown_call", false)
        .start();
    let client = daemon.client();
    let (live, old) = (call_sid(1), call_sid(2));
    import(&daemon, &old);
    let opened = client.open_call(&[("CallSid", &live)]).expect(201).json();
    let play = |track: &str, seed: u64| {
        let to = media_address(&opened, track).expect("a call has both tracks");
        let tape = Tape::noise(Law::Mu, seed, SAMPLES);
        Sender::new().start(to, Voice::new(seed).say(tape.codes()))
    };
    let playing = [play("inbound", 1), play("outbound", 2)];
    playing.iter().for_each(|track| track.wait_until(0, 10));
    let mut application = sdk.application("recordings", &daemon);
    application.env("LIVE_CALL", &live).env("OLD_CALL", &old);
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
