//! An application written for Twilio works after one change of its base URL: twilio-python from
//! PyPI, unmodified, new and old, creates, updates, lists, fetches and deletes
//! (`tests/sdk/recordings.py`).

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use reeld_tests::client::{call_sid, media_address};
use reeld_tests::{Daemon, Sender, Setup, Tape, Voice, peer, script::Law};

/// Far above the ten seconds that it takes.
const SDK_BOUND: Duration = Duration::from_secs(120);
/// Sound of that time, 8 kHz.
const SAMPLES: usize = 120 * 8_000;
/// What the script looks for: so many days with so many recordings each.
const DAYS: u32 = 10;
const A_DAY: u32 = 6;

#[test]
fn an_application_on_todays_sdk_is_content() {
    is_content("twilio-9");
}

#[test]
fn an_application_on_an_old_sdk_is_content() {
    is_content("twilio-6");
}

/// Runs the application on the SDK of `tests/sdk/{sdk}.txt`.
fn is_content(sdk: &str) {
    let daemon = Setup::new().start();
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

    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = format!("target/sdk-{sdk}");
    let python = root.join(&folder).join("bin/python");
    assert!(
        python.exists(),
        "there is no {}: `make {folder}/installed` makes it, as `make test` does",
        python.display()
    );
    let mut command = Command::new(python);
    command
        .arg(root.join("tests/sdk/recordings.py"))
        .env("REELD_URL", client.base())
        .env("ACCOUNT", client.account())
        .env("TOKEN", client.token())
        .env("LIVE_CALL", &live)
        .env("OLD_CALL", &old)
        // They change the host that is asked (twilio.md §4).
        .env_remove("TWILIO_EDGE")
        .env_remove("TWILIO_REGION");
    let run = peer::finish("twilio-python", command, &[], SDK_BOUND).success();
    assert_eq!(run.text().trim(), "twilio-python is content");
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
