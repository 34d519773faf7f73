//! The daemon in its unit's own sandbox (`systemd/reeld.service`): a call is recorded, encoded and deleted, the
//! daemon reads its certificate again and stops, and calls nothing that the unit's filter refuses, which would
//! end it. What the sandbox takes away is gone.

use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use reeld_tests::client::call_sid;
use reeld_tests::patience::wait_for;
use reeld_tests::sandbox::{self, Unit};
use reeld_tests::script::Law;
use reeld_tests::{Sender, Setup, Tape, Voice, judge};

fn is_possible() -> bool {
    let is_possible = sandbox::is_possible();
    if !is_possible {
        eprintln!("skipped: this machine lets nobody make a sandbox with bubblewrap");
    }
    is_possible
}

#[test]
fn a_daemon_in_its_unit_s_sandbox_does_all_of_its_work() {
    if !is_possible() {
        return;
    }
    let mut daemon = Setup::new()
        .set("encode.eager", vec!["mp3"])
        .sandboxed()
        .start();
    let client = daemon.client();
    let tape = Tape::noise(Law::Mu, 1, 4 * 8_000);
    let started = client.start(&call_sid(1), &[("RecordingTrack", "inbound")]);
    let sender = Sender::new();
    // Strangers too: a filter is put up.
    let playing = sender.start(started.inbound(), Voice::new(1).say(tape.codes()));
    playing.wait_until(0, 150);
    Sender::new().send(started.inbound(), &[0x80; 172]);
    playing.finish();
    client.stop(&started);
    client.wait_completed(&started.sid);
    judge::exact(client.wav(&started.sid).mono(), &tape.samples());
    assert!(client.mp3(&started.sid).len() > 4_000);
    client.delete(&started.sid).expect(204);
    assert!(
        daemon
            .command(&["status"])
            .success()
            .text()
            .contains("takes writes")
    );

    let pid = daemon.inner_pid();
    kill(pid, Signal::SIGHUP).expect("our own child can be signalled");
    wait_for("the log to tell of SIGHUP", Duration::from_secs(10), || {
        daemon.log().contains("SIGHUP").then_some(())
    });
    client.get("/healthz").expect(200);
    let status = daemon.terminate();
    assert!(status.success(), "{status}:\n{}", daemon.log());
}

/// That the test above can fail: what the unit refuses ends a process, or is not there.
#[test]
fn what_the_unit_refuses_is_refused() {
    if !is_possible() {
        return;
    }
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let command = sandbox::command(&Unit::new(), folder.path(), &folder.path().join("data"));
    let (_, wrapper) = command.split_last().expect("it names the daemon");
    let run = |script: &str| {
        let mut inside = Command::new(&wrapper[0]);
        inside.args(&wrapper[1..]).args(["sh", "-c", script]);
        let output = inside.output().expect("bubblewrap is there");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    let data = folder.path().join("data/file");
    let writes = |path: &str| run(&format!("echo x >'{path}'")).0;
    assert_eq!(writes(&data.display().to_string()), Some(0));
    assert_ne!(
        writes(&folder.path().join("file").display().to_string()),
        Some(0)
    );
    assert_ne!(writes("/etc/reeld-was-here"), Some(0));
    assert_eq!(
        run("ls -A /root /home")
            .1
            .lines()
            .filter(|line| !line.ends_with(':'))
            .count(),
        1
    );
    // 128 and SIGSYS, as a shell says it: mount and chown are @privileged.
    assert_eq!(run("mount -t tmpfs none /mnt; exit $?").0, Some(159));
    assert_eq!(
        run(&format!("chown 0 '{}'; exit $?", data.display())).0,
        Some(159)
    );
    let python = "import socket\ntry: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)\nexcept OSError as e: print(e.errno)";
    assert_eq!(run(&format!("python3 -c '{python}'")).1.trim(), "97");
}
