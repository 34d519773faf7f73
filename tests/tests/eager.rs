//! With `encode.eager` a recording's MP3 is made when it has ended, before anybody asks for it, and is
//! the one that a request gets; a deletion takes it along.
//!
//! That no request waits for what is made so is held where each step can be held up:
//! `api/src/encode/eager/tests.rs`, `api/tests/http/eager.rs`.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use reeld_tests::patience::wait_for;
use reeld_tests::{Client, Daemon, MediaKind, Setup, for_each_media, voices};

for_each_media!(an_mp3_is_there_before_it_is_asked_for);

const BOUND: Duration = Duration::from_secs(60);

/// Finished files of a recording in the cache.
fn cached(daemon: &Daemon, sid: &str) -> Vec<PathBuf> {
    let folder = daemon.data_dir().join("cache");
    let entries = fs::read_dir(folder).expect("the cache is there once the daemon is");
    let paths = entries.map(|entry| entry.expect("a folder that opens can be read").path());
    paths
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(sid) && !name.ends_with(".part")
        })
        .collect()
}

/// A figure of `/metrics`.
fn figure(client: &Client, name: &str) -> u64 {
    let text = client.get_public("/metrics").expect(200).text();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|value| value.trim().parse().ok())
        .unwrap_or_else(|| panic!("no {name} in {text}"))
}

fn an_mp3_is_there_before_it_is_asked_for(media: MediaKind) {
    let setup = Setup::new().media(media).set("encode.eager", vec!["mp3"]);
    let daemon = setup.start();
    let client = daemon.client();
    let (mono, dual) = voices::recorded(client);
    for (started, channels, made) in [(&mono, 1, 1), (&dual, 2, 2)] {
        assert!(cached(&daemon, &started.sid).is_empty());
        client.finish(started);
        let file = wait_for("MP3 that nobody asked for", BOUND, || {
            cached(&daemon, &started.sid).pop()
        });
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        assert!(name.ends_with(&format!("-{channels}.mp3")), "{name}");
        wait_for("count of it", BOUND, || {
            let count = figure(client, "reeld_encode_eager_total{result=\"made\"}");
            (count == made).then_some(())
        });
        let kept = fs::read(&file).expect("what is in the cache can be read");
        assert!(client.mp3(&started.sid) == kept, "a request gets another");
        assert_eq!(cached(&daemon, &started.sid), [file], "and makes none");
    }
    assert_eq!(figure(client, "reeld_encode_eager_waiting"), 0);
    client.delete(&mono.sid).expect(204);
    assert!(cached(&daemon, &mono.sid).is_empty());
    assert_eq!(cached(&daemon, &dual.sid).len(), 1);
}
