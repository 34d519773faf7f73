//! 10,000 requests of random bytes to the API: no panic, no 500, each connection is closed, memory
//! stays flat, and an honest client is served as before.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Mutex;
use std::time::Duration;

use reeld_tests::client::call_sid;
use reeld_tests::script::Law;
use reeld_tests::tape::Dice;
use reeld_tests::{Client, Sender, Setup, Tape, Voice, judge};

const REQUESTS: usize = 10_000;
/// Requests at once: more than there are cores, fewer than `api.max_connections`.
const THREADS: usize = 8;
/// What memory may grow by after a first thousand requests have warmed everything up.
const GROWTH: u64 = 16 * 1_024 * 1_024;

/// Requests that are right, to be damaged: with good credentials those that change nothing, with
/// none those that would.
fn templates(client: &Client, sid: &str) -> Vec<String> {
    let basic = basic(client);
    let account = client.account();
    let rest = format!("Host: reeld\r\nConnection: close\r\nAuthorization: Basic {basic}\r\n\r\n");
    let anonymous =
        "Host: reeld\r\nConnection: close\r\nContent-Length: 15\r\n\r\nStatus=stopped&a";
    vec![
        format!(
            "GET /2008-08-01/Accounts/{account}/Recordings?DateCreated>=2009-07-06&num=9 HTTP/1.1\r\n{rest}"
        ),
        format!("GET /2010-04-01/Accounts/{account}/Recordings/{sid}.json HTTP/1.1\r\n{rest}"),
        format!(
            "GET /2008-08-01/Account/{account}/Recordings/{sid}.mp3 HTTP/1.1\r\nRange: bytes=1-9\r\n{rest}"
        ),
        format!(
            "HEAD /2008-08-01/Accounts/{account}/Recordings/{sid}.wav HTTP/1.1\r\nIf-None-Match: \"a\", W/\"b\"\r\n{rest}"
        ),
        format!(
            "POST /2010-04-01/Accounts/{account}/Calls/CA{:032}/Recordings.json HTTP/1.1\r\n{anonymous}",
            1
        ),
        format!(
            "POST /2008-08-01/Accounts/{account}/Recordings/{sid}?_method=DELETE HTTP/1.1\r\n{anonymous}"
        ),
        format!("GET /readyz HTTP/1.0\r\n\r\n"),
    ]
}

/// What curl would send as credentials: it knows base64.
fn basic(client: &Client) -> String {
    let text = format!("{}:{}", client.account(), client.token());
    let run = reeld_tests::peer::run("base64", ["-w0"], text.as_bytes(), Duration::from_secs(10));
    run.success().text()
}

/// Random bytes, a damaged request, or a request with random text in its target.
fn hostile(dice: &mut Dice, templates: &[String]) -> Vec<u8> {
    let mut request = templates[dice.below(templates.len())].clone().into_bytes();
    match dice.below(4) {
        0 => {
            let length = dice.below(2_000);
            return dice.bytes(length);
        }
        1 => {
            for _ in 0..=dice.below(8) {
                let at = dice.below(request.len());
                request[at] = dice.bytes(1)[0];
            }
        }
        2 => request.truncate(dice.below(request.len())),
        _ => {
            let length = dice.below(300);
            let text: Vec<u8> = dice
                .bytes(length)
                .iter()
                .map(|byte| 33 + byte % 94)
                .collect();
            let at = request.iter().position(|&byte| byte == b'/').unwrap_or(0) + 1;
            let keep = dice.below(60);
            let at = (at + keep).min(request.len());
            request.splice(at..at, text);
        }
    }
    request
}

/// Sends one request to its end and reads the answer, if there is one, to its end: its status, or 0.
fn attack(address: SocketAddr, request: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(address).expect("the daemon still listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(40)))
        .expect("a timeout can be set");
    // It may answer and close before it has read all: then writing fails, and that is its right.
    let written = stream
        .write_all(request)
        .and_then(|()| stream.shutdown(Shutdown::Write));
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error} ({written:?}) after {}", request.escape_ascii()),
    }
    if answer.is_empty() {
        return 0;
    }
    let text = String::from_utf8_lossy(&answer);
    let status = text
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.get(2..5)?.parse().ok());
    let status = status.unwrap_or_else(|| panic!("{text} for {}", request.escape_ascii()));
    assert_ne!(status, 500, "{text} for {}", request.escape_ascii());
    status
}

/// So many hostile requests; how often each status was answered.
fn storm(
    address: SocketAddr,
    seed: u64,
    requests: usize,
    templates: &[String],
) -> BTreeMap<u16, usize> {
    let counts = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let counts = &counts;
            scope.spawn(move || {
                let mut dice = Dice::new(seed * 1_000 + thread as u64);
                for _ in 0..requests / THREADS {
                    let status = attack(address, &hostile(&mut dice, templates));
                    *counts
                        .lock()
                        .expect("nobody panics here")
                        .entry(status)
                        .or_insert(0) += 1;
                }
            });
        }
    });
    counts.into_inner().expect("nobody panicked")
}

#[test]
fn random_requests_do_no_harm() {
    let daemon = Setup::new().start();
    let client = daemon.client();
    let tape = Tape::noise(Law::Mu, 1, 16_000);
    let record = |call: u64| {
        let started = client.start(&call_sid(call), &[("RecordingTrack", "inbound")]);
        Sender::new().play(started.inbound(), Voice::new(call).say(tape.codes()));
        let wav = client.finish(&started);
        judge::exact(wav.mono(), &tape.samples());
        (started.sid, wav)
    };
    let (sid, wav) = record(77);
    let templates = templates(client, &sid);
    let address = client
        .base()
        .trim_start_matches("http://")
        .parse()
        .expect("an address");
    storm(address, 1, REQUESTS / 10, &templates);
    let before = daemon.resident_bytes();
    let answered = storm(address, 2, REQUESTS - REQUESTS / 10, &templates);
    // They came through to every part: some were still right, some no HTTP, some without a right.
    for status in [200, 400, 401, 404] {
        assert!(
            answered.contains_key(&status),
            "no {status} in {answered:?}"
        );
    }
    let after = daemon.resident_bytes();
    eprintln!("{answered:?}; {before} bytes resident before, {after} after");
    assert!(
        after < before + GROWTH,
        "{before} bytes resident before, {after} after"
    );
    assert!(client.wav(&sid) == wav, "nothing was changed");
    record(78);
    let list = client
        .get(&client.path("/Recordings.json"))
        .expect(200)
        .json();
    assert_eq!(
        list["total"], 2,
        "nothing was started by a stranger: {list}"
    );
}
