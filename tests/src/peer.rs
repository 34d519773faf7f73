//! Other people's programs: ffmpeg, ffprobe, sipp, rtpengine, curl, espeak-ng, and cargo.
//!
//! Each runs with a bound on its time, its output is kept, and a missing one fails the test by name.

use std::ffi::OsStr;
use std::io::Write;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::patience::wait_for;

/// Debian packages of the peers that the tests call, as `make test` installs them.
pub const DEBIAN_PACKAGES: [&str; 5] = [
    "ffmpeg",
    "sip-tester",
    "rtpengine-daemon",
    "curl",
    "espeak-ng",
];

/// A finished run.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to stdout.
    pub stdout: Vec<u8>,
    /// What it wrote to stderr, as text.
    pub stderr: String,
}

impl Finished {
    /// Standard output as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The run itself, when it succeeded.
    ///
    /// # Panics
    /// When it did not; the message has its stderr.
    #[track_caller]
    pub fn success(self) -> Self {
        assert!(
            self.status.success(),
            "{}\nstdout: {}\nstderr: {}",
            self.status,
            self.text(),
            self.stderr
        );
        self
    }
}

/// Runs a program to its end, with `stdin` given to it.
///
/// # Panics
/// When the program is not installed, or has not ended after `bound` (it is killed then).
#[track_caller]
pub fn run<S: AsRef<OsStr>>(
    program: &str,
    args: impl IntoIterator<Item = S>,
    stdin: &[u8],
    bound: Duration,
) -> Finished {
    let mut command = Command::new(program);
    command.args(args);
    finish(program, command, stdin, bound)
}

/// Runs a prepared command to its end; as [`run`].
///
/// # Panics
/// As [`run`].
#[track_caller]
pub fn finish(name: &str, mut command: Command, stdin: &[u8], bound: Duration) -> Finished {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = spawn(name, command);
    let input = child.stdin.take();
    let output = child.stdout.take();
    let errors = child.stderr.take();
    std::thread::scope(|scope| {
        // A child that does not read its input closes it: a broken pipe is its right.
        scope.spawn(move || input.map(|mut pipe| pipe.write_all(stdin)));
        let stdout = scope.spawn(move || drain(output));
        let stderr = scope.spawn(move || drain(errors));
        let status = bounded_wait(name, &mut child, bound);
        Finished {
            status,
            stdout: stdout.join().expect("reading a pipe does not panic"),
            stderr: String::from_utf8_lossy(&stderr.join().expect("reading a pipe does not panic"))
                .into_owned(),
        }
    })
}

/// Starts a prepared command.
///
/// # Panics
/// When the program is not installed; the message says how to get it.
#[track_caller]
pub fn spawn(name: &str, mut command: Command) -> Child {
    command.spawn().unwrap_or_else(|error| {
        panic!(
            "cannot run {name}: {error}. The tests need Debian's {}; `make test` installs them",
            DEBIAN_PACKAGES.join(", ")
        )
    })
}

/// Waits for a child's end.
///
/// # Panics
/// When it has not ended after `bound`: it is killed first, so that its pipes close.
#[track_caller]
pub fn bounded_wait(name: &str, child: &mut Child, bound: Duration) -> ExitStatus {
    let start = std::time::Instant::now();
    wait_for(
        &format!("end of {name}"),
        bound + Duration::from_secs(10),
        || {
            if start.elapsed() > bound {
                // It may have ended meanwhile: then there is nothing to kill and the wait says so.
                let _ = child.kill();
                let _ = child.wait();
                panic!("{name} had not ended after {bound:?} and was killed");
            }
            child
                .try_wait()
                .unwrap_or_else(|error| panic!("cannot wait for {name}: {error}"))
        },
    )
}

fn drain(pipe: Option<impl std::io::Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut bytes)
            .expect("a child's pipe can be read to its end");
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_goes_in_and_output_comes_out() {
        let run = run("cat", ["-"], &vec![7; 1 << 20], Duration::from_secs(20)).success();
        assert_eq!(run.stdout, vec![7; 1 << 20]);
    }

    #[test]
    #[should_panic(expected = "was killed")]
    fn a_program_without_end_is_killed() {
        let _ = run("sleep", ["1000"], &[], Duration::from_millis(50));
    }

    #[test]
    #[should_panic(expected = "make test")]
    fn a_missing_program_is_named() {
        let _ = run::<&str>("no-such-program", [], &[], Duration::from_secs(1));
    }
}
