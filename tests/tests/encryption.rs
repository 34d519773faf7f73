//! With `store.encryption_key` nothing that was said is on the disk in clear, while it is recorded and after, and all
//! of it is served exactly; a kill costs what it costs without; keys can be changed, and one that is
//! missing is named.

use std::collections::HashSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use reeld_tests::client::call_sid;
use reeld_tests::patience::wait_for;
use reeld_tests::script::Law;
use reeld_tests::sender::{Part, Playing};
use reeld_tests::{Daemon, MediaKind, Sender, Setup, Tape, Voice, for_each_media, judge};

for_each_media!(nothing_is_in_clear, a_kill_costs_no_more, keys_are_changed);

const BOUND: Duration = Duration::from_secs(60);

/// What is searched for: no 64 bytes of the plaintext may lie anywhere.
const RUN: usize = 64;

const KEY: &str = "!not-a-key!not-a-key!not-a-key!not-a-key!";
const ONE: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";
const TWO: &str = "AgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4fICE=\n";
const THREE: &str = "f0e0d0c0b0a090807060504030201000f1e1d1c1b1a191817161514131211101";

fn put_key(path: &Path, text: &str) {
    fs::write(path, text).expect("the test's folder can be written");
    fs::set_permissions(path, Permissions::from_mode(0o600)).expect("it is ours");
}

/// A daemon that encrypts: its keys are `now` and `before` beside its configuration.
fn setup(media: MediaKind) -> Setup {
    let setup = Setup::new()
        .media(media)
        .set("store.check_reads", "100%")
        .set("store.encryption_key", "now")
        .set("store.old_encryption_keys", vec!["before"]);
    let folder = setup.data_dir();
    let folder = folder.parent().expect("it lies in the test's folder");
    put_key(&folder.join("now"), ONE);
    put_key(&folder.join("before"), THREE);
    setup
}

/// Runs of `plain` that say something: not all silence.
fn runs(plain: &[u8]) -> HashSet<&[u8]> {
    plain
        .windows(RUN)
        .filter(|run| run.iter().collect::<HashSet<_>>().len() > 8)
        .collect()
}

/// Where `plain` lies in the daemon's folder.
fn sound(daemon: &Daemon, plain: &[u8]) -> Vec<String> {
    let runs = runs(plain);
    assert!(runs.len() > plain.len() / 2, "it has something to say");
    files(daemon, |bytes| {
        bytes.windows(RUN).any(|run| runs.contains(run))
    })
}

/// Where `plain`, or a WAV file's head, lies in the daemon's folder.
fn found(daemon: &Daemon, plain: &[u8]) -> Vec<String> {
    let is_head = |head: &[u8]| head.starts_with(b"RIFF") && &head[8..] == b"WAVEfmt ";
    let mut found = files(daemon, |bytes| bytes.windows(16).any(is_head));
    found.extend(sound(daemon, plain));
    found
}

fn files(daemon: &Daemon, is_one: impl Fn(&[u8]) -> bool) -> Vec<String> {
    let files = daemon.files().into_iter();
    files
        .filter(|(_, bytes)| is_one(bytes))
        .map(|(path, _)| path.display().to_string())
        .collect()
}

/// A call of two voices that is being recorded.
fn tapes() -> [Tape; 2] {
    [1, 2].map(|seed| Tape::noise(Law::Mu, seed, 30_000))
}

fn nothing_is_in_clear(media: MediaKind) {
    let mut daemon = setup(media).start();
    let client = daemon.client().clone();
    let tapes = tapes();
    let call = client.start(
        &call_sid(1),
        &[("RecordingChannels", "dual"), ("RecordingTrack", "both")],
    );
    let parts = [(call.inbound(), &tapes[0]), (call.outbound(), &tapes[1])];
    let parts = parts.into_iter().zip(10..).map(|((to, tape), seed)| Part {
        sender: Sender::new(),
        to,
        script: Voice::new(seed).say(tape.codes()),
    });
    let playing = Playing::start(parts.collect());
    // What the file will have: left and right in turn.
    let plain: Vec<u8> = tapes[0]
        .samples()
        .iter()
        .zip(tapes[1].samples())
        .flat_map(|(left, right)| [left.to_le_bytes(), right.to_le_bytes()].concat())
        .collect();
    let take = daemon.data_dir().join(format!("spool/{}.wav", call.sid));
    wait_for("sound is in the take", BOUND, || {
        (fs::metadata(&take).ok()?.len() > 60_000).then_some(())
    });
    assert_eq!(found(&daemon, &plain), [""; 0]);
    playing.finish();
    let wav = client.finish(&call);
    for (channel, tape) in wav.dual().into_iter().zip(&tapes) {
        judge::exact(channel, &tape.samples());
    }

    // Served as it would be in clear: whole, in ranges, in one channel, encoded.
    let path = client.path(&format!("/Recordings/{}", call.sid));
    let whole = client.get(&format!("{path}.wav")).expect(200).body;
    for (range, from, to) in [
        ("0-43", 0, 44),
        ("40-99", 40, 100),
        ("31000-33500", 31_000, 33_501),
        ("66000-", 66_000, whole.len()),
        ("-5", whole.len() - 5, whole.len()),
    ] {
        let reply = client.curl_signed(&["-r", range], &format!("{path}.wav"));
        assert_eq!(reply.status, 206, "{range}");
        assert!(reply.body == whole[from..to], "{range}");
    }
    let mono = client
        .get(&format!("{path}.wav?RequestedChannels=1"))
        .expect(200)
        .body;
    assert_eq!(mono.len(), 44 + (whole.len() - 44) / 2);
    let mut secrets = vec![("wav", whole[44..].to_vec()), ("mono", mono[44..].to_vec())];
    for extension in ["mp3", "opus"] {
        let encoded = client.get(&format!("{path}.{extension}")).expect(200).body;
        assert!(client.get(&format!("{path}.{extension}")).expect(200).body == encoded);
        let part = client.curl_signed(&["-r", "100-2999"], &format!("{path}.{extension}"));
        assert!(
            part.status == 206 && part.body == encoded[100..3_000],
            "{extension}"
        );
        secrets.push((extension, encoded));
    }
    client.get(&format!("{path}.peaks.json")).expect(200);
    let cached = fs::read_dir(daemon.data_dir().join("cache")).expect("there is a cache");
    assert_eq!(cached.count(), 2, "they are kept all the same");
    for (what, plain) in &secrets {
        assert_eq!(found(&daemon, plain), [""; 0], "{what}");
    }
    daemon.command(&["verify"]).success();
    let shown = daemon.command(&["status"]).success().text();
    assert!(shown.contains("encrypted under the key"), "{shown}");
    assert!(client.metrics().contains("\nreeld_encryption_on 1\n"));

    // Closed, and opened again: the cache is of no use to anybody, the recording is.
    assert!(daemon.terminate().success());
    for (what, plain) in &secrets {
        assert_eq!(found(&daemon, plain), [""; 0], "{what}");
    }
    daemon.command(&["verify"]).success();
    daemon.start_again();
    assert_eq!(
        fs::read_dir(daemon.data_dir().join("cache"))
            .expect("it is there")
            .count(),
        0
    );
    assert!(client.get(&format!("{path}.wav")).expect(200).body == whole);
    assert!(client.get(&format!("{path}.mp3")).expect(200).body == secrets[2].1);
    client.delete(&call.sid).expect(204);
    client.get(&format!("{path}.wav")).expect(404);
    daemon.command(&["verify"]).success();
}

/// Packets of each track before the kill: four seconds; and what a kill may cost, in samples: 1.5 s.
const PACKETS: usize = 200;
const MOST: usize = 12_000;

fn a_kill_costs_no_more(media: MediaKind) {
    const CALLS: u64 = 12;
    let mut daemon = setup(media).start();
    let client = daemon.client().clone();
    let started: Vec<_> = (0..CALLS)
        .map(|call| client.start(&call_sid(call), &[("RecordingTrack", "inbound")]))
        .collect();
    let tapes: Vec<Tape> = (0..CALLS)
        .map(|seed| Tape::noise(Law::Mu, seed, (PACKETS + 500) * 160))
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
    playing.wait_until(0, PACKETS);
    let killed = daemon.kill_nine();
    let sent = playing.stop();
    daemon.start_again();
    for ((started, tape), sent) in started.iter().zip(&tapes).zip(sent) {
        let json = client.wait_completed(&started.sid);
        assert_eq!(json["recovered"], true, "{json}");
        let wav = client.wav(&started.sid);
        let pieces = judge::pieces(wav.mono(), tape);
        assert_eq!(pieces.len(), 1, "{pieces:?}");
        assert_eq!((pieces[0].at, pieces[0].tape), (0, 0));
        let spoken = (killed - sent[0] + Duration::from_millis(20)).as_millis() as usize * 8;
        let kept = pieces[0].length;
        assert!(
            kept + MOST >= spoken,
            "{kept} of {spoken} samples are there"
        );
        let plain: Vec<u8> = wav
            .mono()
            .iter()
            .flat_map(|sample| sample.to_le_bytes())
            .collect();
        assert_eq!(found(&daemon, &plain), [""; 0]);
    }
    daemon.command(&["verify"]).success();
}

fn keys_are_changed(media: MediaKind) {
    // What was recorded before there was a key.
    let plain = setup(media);
    let (now, before) = {
        let folder = plain.data_dir();
        let folder = folder
            .parent()
            .expect("it lies in the test's folder")
            .to_owned();
        (folder.join("now"), folder.join("before"))
    };
    let mut daemon = plain
        .set("store.encryption_key", "")
        .set("store.old_encryption_keys", Vec::<String>::new())
        .start();
    let with_keys = |daemon: &Daemon| {
        let text = fs::read_to_string(daemon.config()).expect("there is a configuration");
        let text = text
            .replace("encryption_key = \"\"", "encryption_key = \"now\"")
            .replace(
                "old_encryption_keys = []",
                "old_encryption_keys = [\"before\"]",
            );
        fs::write(daemon.config(), text).expect("the test's folder can be written");
    };
    let client = daemon.client().clone();
    let wav_of = |sid: &str| {
        client
            .get(&client.path(&format!("/Recordings/{sid}.wav")))
            .expect(200)
            .body
    };
    let clear = daemon.import_noise(1, 3, &[]);
    let clear_wav = wav_of(&clear);
    assert!(
        !found(&daemon, &clear_wav[44..]).is_empty(),
        "the search finds what is there"
    );
    assert!(daemon.terminate().success());
    with_keys(&daemon);
    daemon.start_again();
    assert!(wav_of(&clear) == clear_wav);
    let first = daemon.import_noise(2, 3, &[]);
    let first_wav = wav_of(&first);
    assert_eq!(sound(&daemon, &first_wav[44..]), Vec::<String>::new());

    // A key of the wrong shape stops the start, and says what is wrong.
    assert!(daemon.terminate().success());
    for (key, mode, said) in [
        (KEY, 0o600, "are neither hexadecimal nor base64"),
        (&ONE[..40], 0o600, "bytes: expected 32 bytes"),
        (ONE, 0o644, "(mode 0644)"),
        ("", 0o600, "is empty"),
    ] {
        put_key(&now, key);
        fs::set_permissions(&now, Permissions::from_mode(mode)).expect("it is ours");
        for command in ["serve", "verify"] {
            let run = daemon.command(&[command]);
            assert_eq!(run.status.code(), Some(1), "{command}: {}", run.stderr);
            assert!(run.stderr.contains(said), "{command}: {}", run.stderr);
            assert!(run.stderr.contains("now: "), "{command}: {}", run.stderr);
            assert!(
                key.is_empty() || !run.stderr.contains(key.trim()),
                "{}",
                run.stderr
            );
        }
    }

    // Another key in its place: what was under the first is named, and not served; what is new is.
    put_key(&now, TWO);
    daemon.start_again();
    let second = daemon.import_noise(3, 3, &[]);
    let second_wav = wav_of(&second);
    for extension in ["wav", "mp3", "opus", "peaks.json"] {
        let path = client.path(&format!("/Recordings/{first}.{extension}"));
        let refused = client.get(&path).expect(500).text();
        assert!(refused.contains("not at hand"), "{extension}: {refused}");
    }
    assert!(wav_of(&clear) == clear_wav);
    let metrics = client.metrics();
    assert!(
        metrics.contains("\nreeld_encryption_keys_missing 1\n"),
        "{metrics}"
    );
    assert!(
        metrics.contains("\nreeld_media_locked_total 4\n"),
        "{metrics}"
    );
    let verify = daemon.command(&["verify"]);
    assert_eq!(verify.status.code(), Some(1));
    assert!(
        verify
            .text()
            .contains(&format!("{first} is encrypted under the key")),
        "{}",
        verify.text()
    );
    assert_eq!(client.recording(&first)["damaged"], serde_json::Value::Null);
    let rewrap = daemon.command(&["rewrap"]);
    assert_eq!(rewrap.status.code(), Some(1));
    assert!(
        rewrap.text().contains(
            "0 recordings brought under the key, 1 were under it, 1 are in clear, 1 are left"
        ),
        "{}",
        rewrap.text()
    );

    // With the first as an old one: all is served, and rewrapped beside a call that is recorded.
    assert!(daemon.terminate().success());
    put_key(&before, ONE);
    daemon.start_again();
    assert!(wav_of(&first) == first_wav && wav_of(&second) == second_wav);
    let call = client.start(&call_sid(7), &[("RecordingTrack", "inbound")]);
    let tape = Tape::noise(Law::Mu, 9, 16_000);
    let playing = Playing::start(vec![Part {
        sender: Sender::new(),
        to: call.inbound(),
        script: Voice::new(9).say(tape.codes()),
    }]);
    playing.wait_until(0, 20);
    let rewrap = daemon.command(&["rewrap"]).success();
    assert!(
        rewrap.text().contains(
            "1 recordings brought under the key, 1 were under it, 1 are in clear, 0 are left"
        ),
        "{}",
        rewrap.text()
    );
    playing.finish();
    let called_wav = client.finish(&call);
    judge::exact(called_wav.mono(), &tape.samples());

    // The first key is not needed any more; and with it alone nothing opens.
    assert!(daemon.terminate().success());
    put_key(&before, THREE);
    daemon.start_again();
    assert!(
        client
            .metrics()
            .contains("\nreeld_encryption_keys_missing 0\n")
    );
    assert!(
        wav_of(&first) == first_wav && wav_of(&second) == second_wav && wav_of(&clear) == clear_wav
    );
    daemon.command(&["verify"]).success();
    assert!(daemon.terminate().success());
    // Where nobody runs, the command opens the folder itself.
    put_key(&before, TWO);
    put_key(&now, ONE);
    let rewrap = daemon.command(&["rewrap"]).success();
    assert!(
        rewrap
            .text()
            .starts_with("3 recordings brought under the key, 0 were"),
        "{}",
        rewrap.text()
    );
    put_key(&before, THREE);
    daemon.start_again();
    assert!(wav_of(&first) == first_wav && wav_of(&second) == second_wav);
    assert!(client.wav(&call.sid) == called_wav);
}

#[test]
fn nothing_is_recorded_in_clear_where_the_key_has_gone() {
    let setup = Setup::new();
    fs::create_dir(setup.data_dir()).expect("the test's folder can be written");
    fs::write(setup.data_dir().join("encryption"), "0123456789abcdef\n")
        .expect("it can be written");
    let daemon = setup.start_unready();
    let client = daemon.client();
    let ready = client.get_public("/readyz").expect(503).text();
    assert!(
        ready.contains("the encryption key 0123456789abcdef is not at hand"),
        "{ready}"
    );
    let refused = client.try_start(&call_sid(1), &[]).expect(503).text();
    assert!(refused.contains("0123456789abcdef"), "{refused}");
    assert!(daemon.log().contains("0123456789abcdef"));
}
