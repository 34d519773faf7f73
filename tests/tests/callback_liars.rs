//! Receivers that lie: answers that are no HTTP, that never end or end too soon, that come a byte a
//! second or are taken back. What the head says counts, whatever follows it; each is bounded in time
//! and memory, tried again as the fragment says, and reported.

use std::time::{Duration, Instant};

use reeld_tests::Setup;
use reeld_tests::patience::wait_for;
use reeld_tests::receiver::{Answer, Receiver, Then};

const BOUND: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);
const ZERO: Duration = Duration::ZERO;

/// Endless header lines, of a length that fills a buffer soon.
const HEADER: &str = concat!(
    "X-More: ",
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890",
    "\r\n"
);

#[test]
fn what_is_no_answer_is_bounded_tried_again_and_reported() {
    let daemon = Setup::new()
        .set("callbacks.allow", vec!["loopback"])
        .set("callbacks.retry_for", "0s")
        .start();
    let liars = [
        ("closes at once", "", Then::Close, "no answer: "),
        ("hangs", "", Then::Keep, "no answer in time"),
        (
            "drips its head",
            "H",
            Then::Repeat("x", SECOND),
            "no answer",
        ),
        (
            "drips headers",
            "HTTP/1.1 200 OK\r\n",
            Then::Repeat("X-More: 1\r\n", SECOND),
            "no answer in time",
        ),
        (
            "endless headers",
            "HTTP/1.1 200 OK\r\n",
            Then::Repeat(HEADER, ZERO),
            "no answer: ",
        ),
        (
            "an endless header",
            "HTTP/1.1 200 OK\r\nX-More: ",
            Then::Repeat("0123456789012345678901234567890123456789", ZERO),
            "no answer: ",
        ),
        (
            "HTTP/0.9",
            "<html>it is well</html>",
            Then::Close,
            "no answer: ",
        ),
        (
            "another protocol",
            "SSH-2.0-OpenSSH_9.9\r\n",
            Then::Keep,
            "no answer: ",
        ),
        (
            "no number",
            "HTTP/1.1 2OO OK\r\n\r\n",
            Then::Keep,
            "no answer: ",
        ),
        (
            "half a head",
            "HTTP/1.1 200 OK\r\nContent-Le",
            Then::Close,
            "no answer: ",
        ),
        (
            "two lengths",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
            Then::Keep,
            "no answer: ",
        ),
        (
            "will continue for ever",
            "",
            Then::Repeat("HTTP/1.1 100 Continue\r\n\r\n", ZERO),
            "no answer in time",
        ),
        (
            "processes for ever",
            "",
            Then::Repeat("HTTP/1.1 102 Processing\r\n\r\n", SECOND),
            "no answer in time",
        ),
        (
            "switches protocols",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            Then::Keep,
            "101 Switching Protocols",
        ),
        (
            "redirects to a metadata address",
            "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest/meta-data/\r\nContent-Length: 0\r\n\r\n",
            Then::Close,
            "302 Found, and redirects are not followed",
        ),
        (
            "refuses with a body without end",
            "HTTP/1.1 500 Oh\r\n\r\n",
            Then::Repeat(HEADER, ZERO),
            "500 Internal Server Error",
        ),
    ];
    let start = Instant::now();
    let receivers =
        liars.map(|(_, bytes, then, _)| Receiver::start(move |_| Answer::Raw(bytes, then)));
    let sids: Vec<String> = (0..)
        .zip(&receivers)
        .map(|(number, receiver)| {
            daemon
                .client()
                .end_absent(number, &receiver.url("/#rc=2&rp=rt,5xx&rt=1500&tt=5000"))
        })
        .collect();
    let count = format!(", {} were given up on", liars.len());
    let dead = wait_for("all given up on", BOUND, || {
        let text = daemon.callbacks("dead");
        text.contains(&count).then_some(text)
    });
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "{:?}",
        start.elapsed()
    );
    for ((name, _, _, reason), (sid, receiver)) in liars.iter().zip(sids.iter().zip(&receivers)) {
        let line = dead.lines().find(|line| line.contains(sid.as_str()));
        let line = line.unwrap_or_else(|| panic!("{name}: {dead}"));
        assert!(line.contains(reason), "{name}: {line}");
        // A second and a third try, but for an answer that is none of those named.
        let tries = if reason.starts_with("101 ") || reason.starts_with("302 ") {
            1
        } else {
            3
        };
        let came = receiver.callbacks().len();
        assert_eq!(came, tries, "{name}: {line}");
    }
    assert!(daemon.resident_bytes() < 400 << 20);
    let metrics = daemon.client().metrics();
    for line in [
        "reeld_callbacks_tries_total{result=\"3xx\"} 1",
        "reeld_callbacks_tries_total{result=\"5xx\"} 3",
        "reeld_callbacks_tries_total{result=\"other\"} 1",
        "reeld_callbacks_tries_total{result=\"2xx\"} 0",
    ] {
        assert!(metrics.lines().any(|is| is == line), "{line}: {metrics}");
    }
    wait_for("an idle sender", BOUND, || {
        let metrics = daemon.client().metrics();
        metrics
            .contains("\nreeld_callbacks_under_way 0\n")
            .then_some(())
    });
}

/// Each has said 200 before it lies: it has the event, and is not sent it again.
#[test]
fn a_200_is_a_delivery_whatever_its_body_does() {
    let daemon = Setup::new()
        .set("callbacks.allow", vec!["loopback"])
        .set("callbacks.retry_for", "0s")
        .start();
    let liars = [
        (
            "garbage",
            "HTTP/1.1 200 OK\r\n\r\n\0\u{1}<not really",
            Then::Close,
        ),
        (
            "garbage for chunks",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
            Then::Keep,
        ),
        (
            "a body that ends too soon",
            "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort",
            Then::Close,
        ),
        (
            "a body that never comes",
            "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
            Then::Keep,
        ),
        (
            "a body that is longer than it said",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nlong after all",
            Then::Close,
        ),
        (
            "a body that drips",
            "HTTP/1.1 200 OK\r\n\r\n",
            Then::Repeat("x", SECOND),
        ),
        (
            "a body without end",
            "HTTP/1.1 200 OK\r\n\r\n",
            Then::Repeat(HEADER, ZERO),
        ),
        (
            "a 200 after many that were not yet",
            "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 204 No Content\r\n\r\n",
            Then::Close,
        ),
    ];
    let receivers =
        liars.map(|(_, bytes, then)| Receiver::start(move |_| Answer::Raw(bytes, then)));
    let start = Instant::now();
    for (number, receiver) in (0..).zip(&receivers) {
        daemon
            .client()
            .end_absent(number, &receiver.url("/#rc=5&rp=all&rt=15000&tt=15000"));
    }
    wait_for("an empty outbox", BOUND, || {
        let text = daemon.callbacks("pending");
        text.contains("of 0 recordings wait, 0 were given up on")
            .then_some(())
    });
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "none is waited for as long as for an answer"
    );
    for ((name, ..), receiver) in liars.iter().zip(&receivers) {
        assert_eq!(receiver.callbacks().len(), 1, "{name}");
    }
}
