//! Twilio's SDKs as they are on PyPI and npm, and applications that are written on them.
//!
//! Called by tests that let such an application judge a daemon. `make test` installs the SDKs below
//! `target/`, as `tests/sdk/` pins them; the applications lie there too.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::daemon::Daemon;
use crate::peer;

/// Far above the half minute that the longest takes.
const BOUND: Duration = Duration::from_secs(180);

/// An SDK that `make test` installs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sdk {
    /// twilio-python, today's.
    Python9,
    /// twilio-python of 2021.
    Python6,
    /// twilio-node, today's.
    Node6,
    /// twilio-node of 2022.
    Node3,
    /// twilio-python of 2011, which speaks 2008-08-01.
    Python2,
}

impl Sdk {
    /// Its name, as the Makefile has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Python9 => "twilio-9",
            Self::Python6 => "twilio-6",
            Self::Node6 => "twilio-node-6",
            Self::Node3 => "twilio-node-3",
            Self::Python2 => "twilio-2",
        }
    }

    /// An application of `tests/sdk/` on this SDK, told where the daemon is and who it is for.
    ///
    /// # Panics
    /// When the SDK is not installed.
    #[must_use]
    #[track_caller]
    pub fn application(self, name: &str, daemon: &Daemon) -> Command {
        let folder = root().join("target").join(format!("sdk-{}", self.name()));
        assert!(
            folder.join("installed").exists(),
            "there is no {0}: `make target/sdk-{1}/installed` makes it, as `make test` does",
            folder.display(),
            self.name()
        );
        let (program, extension) = match self {
            Self::Python9 | Self::Python6 | Self::Python2 => (folder.join("bin/python"), "py"),
            // It brings its own; the other runs on the system's.
            Self::Node6 => (folder.join("node_modules/.bin/node"), "js"),
            Self::Node3 => (PathBuf::from("node"), "js"),
        };
        let client = daemon.client();
        let mut command = Command::new(program);
        command
            .arg(root().join(format!("tests/sdk/{name}.{extension}")))
            .env("SDK", folder)
            .env("REELD_URL", client.base())
            .env("ACCOUNT", client.account())
            .env("TOKEN", client.token())
            // They change the host that is asked (twilio.md §4).
            .env_remove("TWILIO_EDGE")
            .env_remove("TWILIO_REGION");
        command
    }

    /// Runs an application to its end and holds it to its last word.
    ///
    /// # Panics
    /// When it fails, and with what it says then.
    #[track_caller]
    pub fn run(self, application: Command, last_word: &str) {
        let run = peer::finish(self.name(), application, &[], BOUND).success();
        assert_eq!(run.text().trim(), last_word);
    }
}

/// An application that does what it is told, a line at a time.
#[derive(Debug)]
pub struct Conversation {
    sdk: Sdk,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Conversation {
    /// Starts an application.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    #[track_caller]
    pub fn start(sdk: Sdk, mut application: Command) -> Self {
        application.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = peer::spawn(sdk.name(), application);
        let input = child.stdin.take().expect("it is piped");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        Self {
            sdk,
            child,
            input,
            output,
        }
    }

    /// Tells it something and waits for what came of it.
    ///
    /// # Panics
    /// When it has ended instead of answering.
    #[track_caller]
    pub fn ask(&mut self, what: &Value) -> Value {
        let mut answer = String::new();
        let told = writeln!(self.input, "{what}").and_then(|()| self.output.read_line(&mut answer));
        let read = told.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(read > 0, "{what}: {} has ended", self.sdk.name());
        answer
            .parse()
            .unwrap_or_else(|error| panic!("{what}: {answer:?}: {error}"))
    }

    /// Ends it.
    ///
    /// # Panics
    /// When it does not end in order.
    #[track_caller]
    pub fn end(self) {
        let Self {
            sdk,
            mut child,
            input,
            output: _output,
        } = self;
        drop(input);
        let status = peer::bounded_wait(sdk.name(), &mut child, BOUND);
        assert!(status.success(), "{status}");
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
