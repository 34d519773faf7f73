//! A file system that turns read-only under calls, as the kernel shows it. One that comes back, by FUSE
//! (`tests/faults/readonly.c`): live recordings end with what they have, new ones are refused, the rest is served,
//! and all works again without a restart. And ext4 on a loop device that meets an error and turns read-only for
//! good: the same until then, and once it is mounted anew, every recording is there up to what a loss of power costs.
//!
//! `mount -o remount,ro` by itself is not it: the kernel refuses that (EBUSY) while a file is open for writing,
//! and a catalog always is. Only root may mount; nobody may without /dev/fuse, or loop devices: then it is said.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use reeld_tests::outlives::{self, Old, Spoken};
use reeld_tests::patience::wait_for;
use reeld_tests::{MediaKind, Setup, for_each_media, peer};
use tempfile::TempDir;

for_each_media!(a_file_system_that_turns_read_only_and_back_needs_no_restart);

const BOUND: Duration = Duration::from_secs(60);
/// Packets before ext4 meets its error: 6 s.
const BEFORE: usize = 300;
/// What a loss of power may cost of them, as `docs/ref/reliability.md` has it: 2.7 s of 20 ms.
const LOST: usize = 135;

/// Whether it can be shown here; if not, why.
fn is_possible(device: &str) -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        eprintln!("skipped: only root may mount a file system");
    } else if !Path::new(device).exists() {
        eprintln!("skipped: there is no {device} here");
    }
    is_root && Path::new(device).exists()
}

fn run(program: &str, args: &[&str]) {
    peer::run(program, args.iter().copied(), &[], BOUND).success();
}

/// What is mounted at a folder, gone at the end.
struct Mount {
    at: PathBuf,
    server: Option<Child>,
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Whether it worked does not change what the test found; a busy one goes when it can.
        let _ = Command::new("umount").arg("-l").arg(&self.at).output();
        if let Some(server) = &mut self.server {
            let _ = server.kill();
            let _ = server.wait();
        }
        if let Some(folder) = self.at.parent() {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

/// A file system over a folder of its own, which is read-only while `control` is there.
fn fuse(folder: &TempDir, control: &Path, at: &Path) -> Mount {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("faults/readonly.c");
    let program = folder.path().join("readonly");
    let flags = peer::run("pkg-config", ["--cflags", "--libs", "fuse3"], &[], BOUND).success();
    let flags = flags.text();
    let (source, into) = (source.display().to_string(), program.display().to_string());
    let args = ["-O1", "-o", &into, &source];
    run(
        "cc",
        &args
            .into_iter()
            .chain(flags.split_whitespace())
            .collect::<Vec<_>>(),
    );

    let beneath = folder.path().join("beneath");
    fs::create_dir_all(&beneath).expect("the temporary folder can be written");
    fs::create_dir_all(at).expect("the temporary folder can be written");
    let outside = fs::metadata(at).expect("it was made").dev();
    let mut command = Command::new(program);
    command.arg(&beneath).arg(control).arg(at).arg("-f");
    let server = Some(peer::spawn("readonly", command));
    let mount = Mount {
        at: at.to_owned(),
        server,
    };
    wait_for("the file system is mounted", BOUND, || {
        let inside = fs::metadata(at).is_ok_and(|found| found.dev() != outside);
        inside.then_some(())
    });
    mount
}

fn a_file_system_that_turns_read_only_and_back_needs_no_restart(media: MediaKind) {
    if !is_possible("/dev/fuse") {
        return;
    }
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let control = folder.path().join("read-only");
    let setup = Setup::new().media(media);
    let data = setup.data_dir();
    let _mount = fuse(&folder, &control, &data);
    let daemon = setup.start();
    let old = Old::record(daemon.client());
    let begin = || {
        fs::write(&control, "").expect("it can be written");
        let refused = fs::write(data.join("new"), "").map_err(|error| error.kind());
        assert_eq!(refused, Err(std::io::ErrorKind::ReadOnlyFilesystem));
    };
    let end = || fs::remove_file(&control).expect("it is there");
    for round in 0..2 {
        outlives::a_fault(&daemon, round, &old, begin, end);
    }
}

fn ext4(image: &Path, at: &Path) -> Mount {
    let (image, path) = (image.display().to_string(), at.display().to_string());
    run(
        "mount",
        &["-t", "ext4", "-o", "loop,errors=remount-ro", &image, &path],
    );
    Mount {
        at: at.to_owned(),
        server: None,
    }
}

#[test]
fn an_ext4_that_turns_read_only_keeps_what_was_heard_until_it_is_mounted_anew() {
    if !is_possible("/dev/loop-control") {
        return;
    }
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let image = folder.path().join("disk");
    let file = fs::File::create(&image).expect("the temporary folder can be written");
    file.set_len(128 << 20)
        .expect("the temporary folder can be written");
    run("mkfs.ext4", &["-q", "-F", &image.display().to_string()]);
    let setup = Setup::new().set("store.min_free", "2MiB");
    let data = setup.data_dir();
    fs::create_dir_all(&data).expect("the temporary folder can be written");
    let _mount = ext4(&image, &data);
    let mut daemon = setup.start();
    let client = daemon.client().clone();
    let old = Old::record(&client);
    let spoken = Spoken::start(&client, 0, BEFORE);
    // The kernel's own way to say that it has met an error: the journal is given up, the file system read-only.
    run(
        "mount",
        &["-o", "remount,abort", &data.display().to_string()],
    );
    let refused = fs::write(data.join("new"), "").map_err(|error| error.kind());
    assert_eq!(refused, Err(std::io::ErrorKind::ReadOnlyFilesystem));
    spoken.meet_the_fault(&client, 0, BEFORE, &old);

    // It cannot keep what it has, so how it ends is its own matter; that it ends is not.
    daemon.terminate();
    run("umount", &[&data.display().to_string()]);
    let _again = ext4(&image, &data);
    daemon.start_again();
    spoken.are_finished(&client, "recovered", BEFORE - LOST);
    old.is_served(&client);
    daemon.command(&["verify"]).success();
}
