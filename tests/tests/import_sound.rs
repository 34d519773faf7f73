//! `reeld import` of WAV and MP3 files, alone and by a manifest: the move from another recorder.
//! ffmpeg writes the files and judges what came of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reeld_tests::{MediaKind, Setup, for_each_media, peer};

for_each_media!(
    every_kind_of_wav_is_as_ffmpeg_has_it,
    other_rates_are_brought_to_8_khz,
    a_manifest_keeps_old_names
);

/// ffmpeg's file of a tone, two seconds of it, with these arguments.
fn tone(folder: &Path, name: &str, args: &[&str]) -> PathBuf {
    let path = folder.join(name);
    let shown = path.display().to_string();
    let source = ["-v", "error", "-f", "lavfi", "-i", "sine=440:duration=2"];
    let all = source.iter().chain(args).copied().chain([&*shown]);
    peer::run("ffmpeg", all, &[], Duration::from_secs(60)).success();
    path
}

/// ffmpeg's decode of a file into 16 bits.
fn decoded(path: &Path) -> Vec<i16> {
    decoded_with(path, &[])
}

fn decoded_at_8_khz(path: &Path) -> Vec<i16> {
    decoded_with(path, &["-ar", "8000"])
}

fn decoded_with(path: &Path, more: &[&str]) -> Vec<i16> {
    let shown = path.display().to_string();
    let before = ["-v", "error", "-i", &shown];
    let args = before.iter().chain(more).chain(&["-f", "s16le", "-"]);
    let args = args.copied();
    let run = peer::run("ffmpeg", args, &[], Duration::from_secs(60)).success();
    let pairs = run.stdout.chunks_exact(2);
    pairs
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
        .collect()
}

fn sids(printed: &str) -> Vec<String> {
    let words = printed
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    words.map(str::to_owned).collect()
}

fn every_kind_of_wav_is_as_ffmpeg_has_it(media: MediaKind) {
    let daemon = Setup::new().media(media).start();
    let folder = daemon.folder().to_owned();
    let kinds = [
        "pcm_u8",
        "pcm_s16le",
        "pcm_s24le",
        "pcm_s32le",
        "pcm_f32le",
        "pcm_mulaw",
        "pcm_alaw",
    ];
    for (number, kind) in kinds.into_iter().enumerate() {
        let channels = if number % 2 == 0 { "1" } else { "2" };
        let args = ["-ar", "8000", "-ac", channels, "-c:a", kind];
        let path = tone(&folder, &format!("{kind}.wav"), &args);
        let run = daemon
            .command(&["import", &path.display().to_string()])
            .success();
        let sid = sids(&run.text()).remove(0);
        let reply = daemon
            .client()
            .get(&daemon.client().path(&format!("/Recordings/{sid}.wav")));
        assert_eq!(
            &reply.body[44..].len(),
            &(decoded(&path).len() * 2),
            "{kind}"
        );
        let samples: Vec<i16> = reply.body[44..]
            .chunks_exact(2)
            .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
            .collect();
        let most = if kind == "pcm_f32le" { 1 } else { 0 };
        let differs = samples
            .iter()
            .zip(&decoded(&path))
            .map(|(one, other)| one.abs_diff(*other))
            .max();
        assert!(differs <= Some(most), "{kind}: {differs:?}");
    }
    let path = tone(&folder, "tone.mp3", &["-ar", "8000", "-ac", "1"]);
    let run = daemon
        .command(&["import", &path.display().to_string()])
        .success();
    let sid = sids(&run.text()).remove(0);
    let record = daemon.client().recording(&sid);
    assert_eq!(
        (&record["duration"], &record["ended_by"]),
        (&"2".into(), &"imported".into())
    );
}

fn other_rates_are_brought_to_8_khz(media: MediaKind) {
    let daemon = Setup::new().media(media).start();
    let folder = daemon.folder().to_owned();
    for (rate, channels, kind) in [
        ("11025", 1, "wav"),
        ("16000", 2, "wav"),
        ("44100", 2, "wav"),
        ("48000", 1, "wav"),
        ("22050", 1, "mp3"),
        ("44100", 2, "mp3"),
    ] {
        let name = format!("{rate}.{kind}");
        let args = ["-ar", rate, "-ac", &channels.to_string()];
        let path = tone(&folder, &name, &args);
        let run = daemon.command(&["import", &path.display().to_string()]);
        let sid = sids(&run.success().text()).remove(0);
        let client = daemon.client();
        let reply = client.get(&client.path(&format!("/Recordings/{sid}.wav")));
        let wav = folder.join("brought.wav");
        fs::write(&wav, &reply.body).expect("the temporary folder can be written");
        let (ours, theirs) = (decoded(&wav), decoded_at_8_khz(&path));
        assert_eq!(client.recording(&sid)["rate_hz"], 8_000, "{name}");
        // MP3 files say how much of them is padding, and not every decoder listens.
        let padding = if kind == "mp3" {
            1_000 * channels
        } else {
            channels
        };
        assert!(
            ours.len().abs_diff(theirs.len()) <= padding,
            "{name}: {} and {}",
            ours.len(),
            theirs.len()
        );
        if kind == "wav" {
            // Away from the ends, where filters differ, it is the same tone at the same place.
            let middle = 1_000..ours.len() - 1_000;
            let differ = ours[middle.clone()].iter().zip(&theirs[middle]);
            let most = differ.map(|(one, other)| one.abs_diff(*other)).max();
            assert!(most <= Some(8), "{name}: {most:?}");
        }
    }
    let path = tone(&folder, "96000.wav", &["-ar", "96000"]);
    let run = daemon.command(&["import", &path.display().to_string()]);
    assert_eq!(run.status.code(), Some(1));
    assert!(run.stderr.contains("96000 Hz"), "{}", run.stderr);
}

fn a_manifest_keeps_old_names(media: MediaKind) {
    let daemon = Setup::new().media(media).start();
    let folder = daemon.folder().to_owned();
    tone(&folder, "old.wav", &["-ar", "8000"]);
    tone(&folder, "other.wav", &["-ar", "8000", "-ac", "2"]);
    let old = "RE41331862605f3d662488fdafda2e175f";
    let call = "CA41331862605f3d662488fdafda2e175f";
    let manifest = folder.join("old.csv");
    let text = format!(
        "file,sid,call_sid,date_created,channels,tags\n\
         old.wav,{old},{call},2009-07-06T20:00:00Z,1,\"{{\"\"team\"\": \"\"sales\"\"}}\"\n\
         other.wav,{old},,,,\n\
         other.wav,,,not a date,,\n\
         other.wav,,,,1,\n\
         missing.wav,,,,,\n\
         other.wav,,,,dual,\n"
    );
    fs::write(&manifest, text).expect("the temporary folder can be written");
    let run = daemon.command(&["import", "--manifest", &manifest.display().to_string()]);
    assert_eq!(run.status.code(), Some(1));
    let made = sids(&run.text());
    assert_eq!((made.len(), &*made[0]), (2, old), "{}", run.stderr);
    for says in [
        format!("other.wav: {old} is there already"),
        "line 4: date_created".to_owned(),
        "other.wav: it has 2 channels, not 1".to_owned(),
        "missing.wav: No such file".to_owned(),
        "2 recordings imported, 4 problems".to_owned(),
    ] {
        assert!(run.stderr.contains(&says), "{says} in {}", run.stderr);
    }
    // The old URL lives on, in public as it was.
    let client = daemon.client();
    let wav = client.get_public(&client.old_path(&format!("/Recordings/{old}")));
    assert_eq!(wav.status, 200);
    let record = client.recording(old);
    assert_eq!(record["call_sid"], call);
    assert_eq!(record["date_created"], "Mon, 06 Jul 2009 20:00:00 +0000");
    assert_eq!(record["tags"]["team"], "sales");
}
