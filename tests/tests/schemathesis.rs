//! The API is what `/openapi.json` says: schemathesis reads it and asks a running daemon for
//! everything in it, with what it allows and what it does not. No answer is a 5xx or has a status, a
//! type or a shape that is not documented; what breaks the description is refused; what needs
//! credentials is closed without them.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use reeld_tests::client::call_sid;
use reeld_tests::{Daemon, Sender, Setup, Tape, Voice, peer, script::Law};

/// Far above the minute that a run takes.
const BOUND: Duration = Duration::from_secs(600);
/// What is asked of each answer. Not that all is taken which the description allows: it cannot say
/// that a range must not end before it begins.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_schema_conformance,unsupported_method,allow_header_conformance,ignored_auth,\
    negative_data_rejection";

#[test]
fn the_api_is_as_it_says() {
    // Each call that is opened has ports: none may be refused for want of them.
    let daemon = Setup::with_ports(2_048).start();
    let client = daemon.client();
    let call = call_sid(1);
    let started = client.start(&call, &[]);
    let tape = Tape::noise(Law::Mu, 1, 8_000);
    let playing = Sender::new().start(started.inbound(), Voice::new(1).say(tape.codes()));
    playing.wait_until(0, 40);
    client.finish(&started);
    drop(playing.stop());

    let account = format!("\"path.AccountSid\" = \"{}\"\n", client.account());
    let one = format!(
        "{account}\"path.CallSid\" = \"{call}\"\n\"path.RecordingSid\" = \"{}\"\n",
        started.sid
    );
    // Sids that name nothing and texts that are none; what is there; its end.
    run(&daemon, &account, &["--max-examples", "2"]);
    run(
        &daemon,
        &one,
        &["--max-examples", "2", "--exclude-method", "DELETE"],
    );
    run(
        &daemon,
        &one,
        &["--max-examples", "1", "--include-method", "DELETE"],
    );
}

/// Runs schemathesis with these parameters set.
fn run(daemon: &Daemon, parameters: &str, arguments: &[&str]) {
    let client = daemon.client();
    let config = daemon.folder().join("schemathesis.toml");
    fs::write(&config, format!("[parameters]\n{parameters}")).expect("the folder can be written");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let program = root.join("target/sdk-schemathesis/bin/schemathesis");
    assert!(
        program.exists(),
        "there is no {}: `make target/sdk-schemathesis/installed` makes it, as `make test` does",
        program.display()
    );
    let mut command = Command::new(program);
    command
        .current_dir(daemon.folder())
        .arg("--config-file")
        .arg(config)
        .arg("run")
        .arg(format!("{}/openapi.json", client.base()))
        .arg("--auth")
        .arg(format!("{}:{}", client.account(), client.token()))
        .args([
            "--checks",
            CHECKS,
            "--seed",
            "1",
            "--no-color",
            "--continue-on-failure",
        ])
        .args(["--phases", "examples,coverage,fuzzing"])
        .args(arguments);
    peer::finish("schemathesis", command, &[], BOUND).success();
}
