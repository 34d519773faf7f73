//! What no client library sends: raw angle brackets, pipelines, smuggling, random bytes; and the
//! pages beside the API.

use std::io::{Read, Write};
use std::time::Duration;

use reeld_model::Channels;

use crate::harness::{AC, Answer, CA, House, SEED_MS, credentials, full, sid, sound};

/// A small generator, so that a failing run can be repeated (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }
}

#[test]
fn a_pipeline_with_raw_brackets_is_answered_in_order() {
    let house = House::new();
    house.recording(&sid(1), SEED_MS, Channels::Mono, &sound(800));
    let list = full("2008/Recordings?DateCreated>=2008-04-01&DateCreated<=2008-04-02");
    let auth = credentials(AC, "a-token");
    let start = full(&format!("2008/Calls/{CA}/Recordings"));
    let requests = format!(
        "GET {list} HTTP/1.1\r\nHost: x\r\n{auth}\r\n\
         POST {start} HTTP/1.1\r\nHost: x\r\n{auth}Transfer-Encoding: chunked\r\n\r\n4\r\nMaxL\r\n5\r\nength\r\n2\r\n=9\r\n0\r\n\r\n\
         GET {list} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{auth}\r\n"
    );
    let answer = String::from_utf8(house.raw(requests.as_bytes())).unwrap();
    let statuses: Vec<&str> = answer
        .split("HTTP/1.1 ")
        .skip(1)
        .map(|part| &part[..3])
        .collect();
    assert_eq!(statuses, ["200", "201", "200"], "{answer}");
    assert_eq!(answer.matches(&format!("<Sid>{}</Sid>", sid(1))).count(), 2);
    assert_eq!(
        house.capture.seen()[0].rules.max_length,
        Some(Duration::from_secs(9))
    );
}

#[test]
fn a_request_in_anothers_body_is_not_seen() {
    let house = House::new();
    house.recording(&sid(1), SEED_MS, Channels::Mono, &sound(800));
    let auth = credentials(AC, "a-token");
    let hidden = format!(
        "DELETE {} HTTP/1.1\r\nHost: x\r\n{auth}\r\n",
        full(&format!("2008/Recordings/{}", sid(1)))
    );
    for framing in [
        format!("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"),
        format!("Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n{hidden}"),
        format!(
            "Content-Length: 0\r\nContent-Length: {}\r\n\r\n{hidden}",
            hidden.len()
        ),
        format!("Transfer-Encoding: chunked\r\n\r\n0;\r\n\r\n{hidden}"),
        format!("Content-Length: {}\r\n\r\n{hidden}", hidden.len()),
    ] {
        let request = format!(
            "POST {} HTTP/1.1\r\nHost: x\r\n{auth}Connection: close\r\n{framing}",
            full("2008/Calls")
        );
        house.raw(request.as_bytes());
        assert_eq!(
            house
                .get_public(&format!("2008/Recordings/{}", sid(1)))
                .status,
            200,
            "{framing}"
        );
    }
}

#[test]
fn what_is_refused_ahead_of_hyper_has_an_answer() {
    let house = House::new();
    for (request, status) in [
        (
            "GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n".to_owned(),
            400,
        ),
        ("nonsense\r\n\r\n".to_owned(), 400),
        ("GET /\u{7f}\u{e9} HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("CONNECT a:1 HTTP/1.1\r\n\r\n".to_owned(), 405),
        (format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(20_000)), 431),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n".to_owned(),
            501,
        ),
    ] {
        let answer = Answer::parse(&house.raw(request.as_bytes()));
        assert_eq!(answer.fault().0, status, "{request:.60}");
    }
}

#[test]
fn bodies_have_a_bound_and_a_type() {
    let house = House::with(|settings| settings.limits.body_bytes = 1_000);
    let path = format!("2008/Calls/{CA}/Recordings");
    let answer = house.post(&path, &format!("Tags={}", "x".repeat(1_000)));
    assert_eq!(answer.fault().0, 413);
    let auth = credentials(AC, "a-token") + "Content-Type: application/json\r\n";
    let request = format!(
        "POST {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{auth}Content-Length: 2\r\n\r\n{{}}",
        full(&path)
    );
    assert_eq!(Answer::parse(&house.raw(request.as_bytes())).fault().0, 415);
}

#[test]
fn a_slow_head_is_cut_off() {
    let house = House::with(|settings| settings.limits.head = Duration::from_millis(50));
    let mut stream = house.connect();
    stream.write_all(b"GET / HTTP/1.1\r\nX: ").unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(
        !rest.starts_with(b"HTTP/1.1 2"),
        "{}",
        String::from_utf8_lossy(&rest)
    );
}

#[test]
fn a_slow_body_gets_503() {
    let house = House::with(|settings| settings.limits.request = Duration::from_millis(50));
    let request = format!(
        "POST {} HTTP/1.1\r\nHost: x\r\n{}Content-Length: 10\r\nConnection: close\r\n\r\nFrom=",
        full("2008/Calls"),
        credentials(AC, "a-token")
    );
    assert_eq!(Answer::parse(&house.raw(request.as_bytes())).fault().0, 503);
}

#[test]
fn failed_authentications_run_out() {
    let house = House::new();
    let path = full("2008/Recordings");
    let wrong = credentials(AC, "wrong");
    let statuses: Vec<u16> = (0..70)
        .map(|_| house.ask("GET", &path, &wrong, "").status)
        .collect();
    assert!(statuses.starts_with(&[401; 60]));
    assert!(statuses.ends_with(&[429; 5]), "{statuses:?}");
    house.set_clock(SEED_MS + 60_000);
    assert_eq!(
        house
            .ask("GET", &path, &credentials(AC, "a-token"), "")
            .status,
        200
    );
    assert_eq!(house.ask("GET", &path, &wrong, "").status, 401);
}

#[test]
fn ten_thousand_requests_of_random_bytes() {
    let house = House::with(|settings| settings.limits.head = Duration::from_millis(200));
    let mut random = Random(0x5eed);
    let valid = format!(
        "POST {} HTTP/1.1\r\nHost: x\r\n{}Transfer-Encoding: chunked\r\n\r\n5\r\nA=b&C\r\n0\r\n\r\n",
        full(&format!("2008/Calls/{CA}/Recordings?DateCreated>=1")),
        credentials(AC, "a-token")
    )
    .into_bytes();
    for round in 0..10_000 {
        let bytes: Vec<u8> = if round % 2 == 0 {
            (0..random.below(200))
                .map(|_| random.next().to_le_bytes()[0])
                .collect()
        } else {
            // Nearly right goes deeper than noise.
            let mut bytes = valid.clone();
            for _ in 0..=random.below(4) {
                let at = random.below(bytes.len());
                bytes[at] = random.next().to_le_bytes()[0];
            }
            bytes
        };
        let mut stream = house.connect();
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        // 500 is what a panic is answered with.
        assert!(!answer.starts_with(b"HTTP/1.1 500"), "{round}: {bytes:?}");
    }
    assert_eq!(house.ask("GET", "/healthz", "", "").status, 200);
}

#[test]
fn beside_the_api() {
    let house = House::new();
    assert_eq!(house.ask("GET", "/healthz", "", "").text(), "ok\n");
    assert_eq!(house.ask("GET", "/readyz", "", "").text(), "ready\n");
    for _ in 0..2 {
        house.post(&format!("2008/Calls/{CA}/Recordings"), "");
    }
    let ready = house.ask("GET", "/readyz", "", "");
    assert_eq!(ready.status, 503);
    assert!(
        ready.text().contains("capture.max_recordings"),
        "{}",
        ready.text()
    );
    let metrics = house.ask("GET", "/metrics", "", "");
    assert!(
        metrics.text().contains("\nreeld_recordings 2\n"),
        "{}",
        metrics.text()
    );
}
