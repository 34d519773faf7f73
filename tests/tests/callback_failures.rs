//! Receivers that fail, hang, flood, redirect to a metadata address or may not be reached: each is
//! bounded, tried again, reported, and holds up nobody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reeld_tests::Setup;
use reeld_tests::client::call_sid;
use reeld_tests::patience::wait_for;
use reeld_tests::receiver::{Answer, Receiver};

const BOUND: Duration = Duration::from_secs(60);

#[test]
fn a_receiver_that_fails_is_tried_again_until_it_takes_it() {
    let daemon = Setup::new()
        .set("callbacks.allow", vec!["loopback"])
        .set("callbacks.retry_first", "2s")
        .start();
    let tries = Arc::new(AtomicUsize::new(0));
    let receiver = Receiver::start({
        let tries = Arc::clone(&tries);
        move |_| match tries.fetch_add(1, Ordering::Relaxed) {
            0..3 => Answer::of(503),
            _ => Answer::of(200),
        }
    });
    // One more try within the round, and then rounds.
    let sid = daemon
        .client()
        .end_absent(1, &receiver.url("/#rc=1&rp=5xx"));
    let callbacks = receiver.wait(4);
    let token = |place: usize| {
        callbacks[place]
            .header("i-twilio-idempotency-token")
            .to_owned()
    };
    assert!((1..4).all(|place| token(place) == token(0)));
    let pause = |place: usize| callbacks[place + 1].at - callbacks[place].at;
    assert!(pause(0) < Duration::from_millis(900), "{:?}", pause(0));
    assert!(pause(1) >= Duration::from_millis(900), "{:?}", pause(1));
    assert_eq!(callbacks[3].parameter("RecordingSid"), sid);
    wait_for("an empty outbox", BOUND, || {
        let text = daemon.callbacks("pending");
        text.contains("of 0 recordings wait, 0 were").then_some(())
    });
}

#[test]
fn what_is_given_up_on_is_kept_and_sent_when_somebody_says_so() {
    let daemon = Setup::new()
        .set("callbacks.allow", vec!["loopback"])
        .set("callbacks.retry_for", "0s")
        .start();
    let is_well = Arc::new(AtomicBool::new(false));
    let receiver = Receiver::start({
        let is_well = Arc::clone(&is_well);
        move |callback| {
            if is_well.load(Ordering::Relaxed) {
                return Answer::of(200);
            }
            match callback.target.as_str() {
                "/redirect" => Answer::Status(
                    302,
                    "Location: http://169.254.169.254/latest/meta-data/\r\n".to_owned(),
                ),
                "/hang" => Answer::Hang,
                _ => Answer::of(500),
            }
        }
    });
    let start = Instant::now();
    let client = daemon.client();
    for (number, path) in [
        (1, "/redirect"),
        (2, "/hang#rt=300&tt=1000&rc=5&rp=ct"),
        (3, "/fails#rc=5&rp=ct,rt,4xx"),
    ] {
        client.end_absent(number, &receiver.url(path));
    }
    let text = wait_for("three given up on", BOUND, || {
        let text = daemon.callbacks("dead");
        text.contains("3 were given up on").then_some(text)
    });
    for reason in [
        "302 Found, and redirects are not followed",
        "no answer in time",
        "500 Internal Server Error",
    ] {
        assert!(text.contains(reason), "{reason}: {text}");
    }
    assert_eq!(receiver.callbacks().len(), 3, "one try each");
    assert!(start.elapsed() < Duration::from_secs(15));
    // A thread of its own writes the log.
    wait_for("a line in the log", BOUND, || {
        let is_said = daemon.log().contains("a callback is given up on");
        is_said.then_some(())
    });

    is_well.store(true, Ordering::Relaxed);
    let _ = daemon.callbacks("retry");
    let _ = receiver.wait(6);
    wait_for("an empty outbox", BOUND, || {
        let text = daemon.callbacks("dead");
        text.contains("of 0 recordings wait, 0 were").then_some(())
    });
}

#[test]
fn receivers_that_hang_or_flood_hold_up_no_other() {
    let daemon = Setup::new()
        .set("callbacks.allow", vec!["loopback"])
        .set("callbacks.concurrency", 8)
        .start();
    let client = daemon.client();
    let hanging = Receiver::start(|_| Answer::Hang);
    let flooding = Receiver::start(|_| Answer::Flood);
    let well = Receiver::start(|_| Answer::of(200));
    for number in 0..12 {
        client.end_absent(number, &hanging.url("/"));
    }
    for number in 12..14 {
        client.end_absent(number, &flooding.url("/"));
    }
    let start = Instant::now();
    for number in 14..20 {
        client.end_absent(number, &well.url("/"));
    }
    assert_eq!(well.wait(6).len(), 6);
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "before anything that hangs has timed out"
    );
    // A quarter of eight.
    assert_eq!(hanging.callbacks().len(), 2);
    assert!(daemon.resident_bytes() < 400 << 20);
}

#[test]
fn where_callbacks_may_not_go_is_refused_by_name() {
    let daemon = Setup::new().start();
    for url in [
        "http://127.0.0.1/cb",
        "http://localhost:8000/cb",
        "http://[::1]/",
        "http://2130706433/",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "ftp://example.com/",
    ] {
        let reply = daemon
            .client()
            .try_start(&call_sid(1), &[("RecordingStatusCallback", url)]);
        let message = reply.expect_error(400, 20_422);
        assert!(message.starts_with("RecordingStatusCallback"), "{message}");
    }
}
