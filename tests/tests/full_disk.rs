//! A disk that fills up: what is being recorded ends in order with what it has and says why, new
//! recordings are refused with 503 that names the disk, nothing else is damaged, and when there is
//! room again it goes on. The disk is a small tmpfs, which only root may mount.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use reeld_tests::client::call_sid;
use reeld_tests::script::Law;
use reeld_tests::sender::{Part, Playing};
use reeld_tests::{MediaKind, Sender, Setup, Tape, Voice, for_each_media, judge, peer};

for_each_media!(a_full_disk_ends_recordings_in_order);

const CALLS: u64 = 4;
/// Packets before the disk is filled, and after.
const BEFORE: usize = 150;
const AFTER: usize = 250;
/// What a recording may lack of the time until the disk was full: what a crash may cost it.
const MOST: Duration = Duration::from_millis(1_500);

/// A file system of its own, unmounted at the end.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path, size: &str) -> Self {
        fs::create_dir_all(at).expect("the temporary folder can be written");
        let options = format!("size={size},mode=0700");
        let path = at.display().to_string();
        let args = ["-t", "tmpfs", "-o", &options, "reeld-test", &path];
        peer::run("mount", args, &[], Duration::from_secs(10)).success();
        Self(at.to_owned())
    }

    /// Fills it to the last byte; the file that does.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("ballast");
        let mut file = File::create(&path).expect("there is room for a name");
        for size in [1 << 20, 4_096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Whether it worked does not change what the test found; a busy one goes when it can.
        let _ = std::process::Command::new("umount")
            .arg("-l")
            .arg(&self.0)
            .status();
        if let Some(folder) = self.0.parent() {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

fn a_full_disk_ends_recordings_in_order(media: MediaKind) {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root may mount a small disk");
        return;
    }
    let setup = Setup::new().media(media).set("store.min_free", "2MiB");
    let disk = Disk::mount(&setup.data_dir(), "64m");
    let daemon = setup.start();
    let client = daemon.client();
    let old_tape = Tape::noise(Law::Mu, 99, 8_000);
    let old = client.start(&call_sid(99), &[("RecordingTrack", "inbound")]);
    Sender::new().play(old.inbound(), Voice::new(99).say(old_tape.codes()));
    client.finish(&old);

    let tapes: Vec<Tape> = (0..CALLS)
        .map(|seed| Tape::noise(Law::Mu, seed, (BEFORE + AFTER) * 160))
        .collect();
    let started: Vec<_> = (0..CALLS)
        .map(|call| client.start(&call_sid(call), &[("RecordingTrack", "inbound")]))
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
    playing.wait_until(0, BEFORE);
    let full = Instant::now();
    let ballast = disk.fill();
    let refused = client.try_start(&call_sid(50), &[]).expect(503);
    assert!(refused.text().contains("disk"), "{}", refused.text());
    assert_eq!(client.get_public("/readyz").status, 503);
    let mut kept = Vec::new();
    for started in &started {
        let json = client.wait_completed(&started.sid);
        assert_eq!(json["ended_by"], "disk-full", "{json}");
        kept.push(client.wav(&started.sid));
    }
    let sent = playing.stop();
    for (call, (wav, tape)) in kept.iter().zip(&tapes).enumerate() {
        let pieces = judge::pieces(wav.mono(), tape);
        assert_eq!(pieces.len(), 1, "call {call}: {pieces:?}");
        assert_eq!((pieces[0].at, pieces[0].tape), (0, 0));
        let spoken = full - sent[call][0];
        let had = Duration::from_millis(pieces[0].length as u64 / 8);
        assert!(had + MOST >= spoken, "call {call}: {had:?} of {spoken:?}");
    }
    judge::exact(client.wav(&old.sid).mono(), &old_tape.samples());

    fs::remove_file(ballast).expect("it can be removed");
    let again = client.start(&call_sid(51), &[("RecordingTrack", "inbound")]);
    Sender::new().play(again.inbound(), Voice::new(99).say(old_tape.codes()));
    judge::exact(client.finish(&again).mono(), &old_tape.samples());
    for (started, wav) in started.iter().zip(&kept) {
        assert!(client.wav(&started.sid) == *wav, "it stays as it was");
    }
    let verify = daemon.command(&["verify"]);
    assert!(
        verify.status.success(),
        "{}{}",
        verify.text(),
        verify.stderr
    );
}
