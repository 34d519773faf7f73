//! Receivers over TLS: one whose certificate is in order is sent to, and each other is refused, tried
//! again and reported by what is wrong with it. The daemon trusts a test's authority by
//! `SSL_CERT_FILE`, as an operator lets it trust one of the house.

use std::time::Duration;

use reeld_tests::authority::self_signed;
use reeld_tests::patience::wait_for;
use reeld_tests::receiver::{Answer, Receiver};
use reeld_tests::{Authority, Setup};

const BOUND: Duration = Duration::from_secs(60);

#[test]
fn only_a_certificate_that_is_in_order_is_trusted() {
    let (trusted, stranger) = (Authority::new("house"), Authority::new("stranger"));
    let impostor = Authority::new("house");
    let daemon = Setup::new()
        .set("callbacks.allow", vec!["loopback"])
        .set("callbacks.retry_for", "0s")
        .environment("SSL_CERT_FILE", trusted.file())
        .start();
    let well = |_: &_| Answer::of(200);
    let good = Receiver::start_tls(trusted.server(&["localhost", "127.0.0.1"]), well);
    let bad = [
        (
            Receiver::start_tls(trusted.server(&["other.example", "127.0.0.2"]), well),
            "TLS: the certificate is not of this host",
        ),
        (
            Receiver::start_tls(trusted.expired(&["localhost"]), well),
            "TLS: the certificate has expired",
        ),
        (
            Receiver::start_tls(self_signed(&["localhost"]), well),
            "TLS: the certificate is of no authority that this machine trusts",
        ),
        (
            Receiver::start_tls(stranger.server(&["localhost"]), well),
            "TLS: the certificate is of no authority that this machine trusts",
        ),
        // It has the trusted one's name, and not its key.
        (
            Receiver::start_tls(impostor.server(&["localhost"]), well),
            "TLS: invalid peer certificate: BadSignature",
        ),
        // It speaks no TLS at all.
        (Receiver::start(well), "TLS: "),
    ];
    let client = daemon.client();
    // By its name and by its address.
    for (number, host) in [(1, "localhost"), (2, "127.0.0.1")] {
        client.end_absent(number, &good.url_as("https", host, "/cb"));
    }
    let callbacks = good.wait(2);
    assert!(
        callbacks
            .iter()
            .all(|callback| callback.parameter("RecordingStatus") == "absent")
    );
    let sids: Vec<String> = (3..)
        .zip(&bad)
        .map(|(number, (receiver, _))| {
            client.end_absent(number, &receiver.url_as("https", "localhost", "/cb"))
        })
        .collect();
    let dead = wait_for("six given up on", BOUND, || {
        let text = daemon.callbacks("dead");
        text.contains(", 6 were given up on").then_some(text)
    });
    for (sid, (receiver, reason)) in sids.iter().zip(&bad) {
        let line = dead.lines().find(|line| line.contains(sid.as_str()));
        let line = line.unwrap_or_else(|| panic!("{sid}: {dead}"));
        assert!(line.contains(reason), "{reason}: {line}");
        assert_eq!(receiver.callbacks().len(), 0, "{line}");
    }
    let metrics = daemon.client().metrics();
    for line in [
        // Two each: a connection that fails is tried once more within its round.
        "reeld_callbacks_tries_total{result=\"tls\"} 12",
        "reeld_callbacks_tries_total{result=\"2xx\"} 2",
        "reeld_callbacks_rounds_total{result=\"dead\"} 6",
        "reeld_callbacks_dead 6",
        "reeld_callbacks_waiting 0",
    ] {
        assert!(metrics.lines().any(|is| is == line), "{line}: {metrics}");
    }
}
