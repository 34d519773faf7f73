//! A disk that fails under calls, with EIO or as a file system that has turned read-only: what is being
//! recorded ends with what it has, new recordings are refused with 503 that names the disk, lists and
//! downloads go on; when the disk works again every recording is finished and new ones are taken, with
//! no restart. The fault is put between the daemon and libc (`tests/faults/disk.c`), so the catalog's
//! engine meets it too; `read_only_disk.rs` has it from the kernel.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use reeld_tests::outlives::{self, Old};
use reeld_tests::{MediaKind, Setup, for_each_media, peer};

for_each_media!(a_disk_that_fails_loses_nothing_that_was_heard_before);

/// The library, compiled into the test's own folder.
fn library(folder: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("faults/disk.c");
    let library = folder.join("disk.so");
    let (source, into) = (source.display().to_string(), library.display().to_string());
    let args = ["-shared", "-fPIC", "-O1", "-o", &into, &source, "-ldl"];
    peer::run("cc", args, &[], Duration::from_secs(60)).success();
    library
}

fn a_disk_that_fails_loses_nothing_that_was_heard_before(media: MediaKind) {
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let control = folder.path().join("fault");
    let setup = Setup::new().media(media);
    let under = setup.data_dir();
    let daemon = setup
        .environment("LD_PRELOAD", library(folder.path()))
        .environment("FAULT_UNDER", &under)
        .environment("FAULT_CONTROL", &control)
        .start();
    let old = Old::record(daemon.client());
    for (round, errno) in [(0, Errno::EIO), (1, Errno::EROFS)] {
        let begin = || fs::write(&control, (errno as i32).to_string()).expect("it can be written");
        let end = || fs::remove_file(&control).expect("it is there");
        outlives::a_fault(&daemon, round, &old, begin, end);
    }
}
