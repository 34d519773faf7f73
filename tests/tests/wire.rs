//! HTTP/1.1 as clients write it: several requests on one connection, raw `<` and `>` in a target
//! but not touched in a body, chunked bodies, `Expect: 100-continue`, bodies that are too large,
//! heads that never end.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use reeld_tests::client::call_sid;
use reeld_tests::{Client, Setup, peer};

fn basic(client: &Client) -> String {
    let text = format!("{}:{}", client.account(), client.token());
    peer::run("base64", ["-w0"], text.as_bytes(), Duration::from_secs(10))
        .success()
        .text()
}

fn connect(client: &Client) -> TcpStream {
    let stream = TcpStream::connect(client.base().trim_start_matches("http://"));
    let stream = stream.expect("the daemon listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(40)))
        .expect("a timeout can be set");
    stream
}

/// Sends these bytes in pieces of this size and reads until the other side closes.
fn exchange(client: &Client, bytes: &[u8], piece: usize) -> String {
    let mut stream = connect(client);
    stream.set_nodelay(true).expect("it can be set");
    for piece in bytes.chunks(piece) {
        stream.write_all(piece).expect("it is read");
    }
    let mut answer = Vec::new();
    stream
        .read_to_end(&mut answer)
        .expect("it is answered and closed");
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn requests_follow_each_other_on_one_connection() {
    let daemon = Setup::new().start();
    let client = daemon.client();
    let auth = format!("Host: reeld\r\nAuthorization: Basic {}\r\n", basic(client));
    let list = client.old_path("/Recordings");
    let start = |number| client.path(&format!("/Calls/{}/Recordings.json", call_sid(number)));
    // A body that looks like a request line with raw < and >, and one in chunks.
    let body = "Tags={\"a\":\"GET /x?a>=b<c HTTP/1.1\"}";
    let chunks = "10\r\nRecordingChannel\r\n6\r\ns=dual\r\n0\r\n\r\n";
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let requests = [
        format!(
            "GET {list}?DateCreated>=2009-07-06&DateCreated<=2009-07-07 HTTP/1.1\r\n{auth}\r\n"
        ),
        format!(
            "POST {} HTTP/1.1\r\n{auth}{form}Content-Length: {}\r\n\r\n{body}",
            start(1),
            body.len()
        ),
        format!("GET {list}?DateCreated>=2009-07-06 HTTP/1.1\r\n{auth}\r\n"),
        format!(
            "POST {} HTTP/1.1\r\n{auth}{form}Transfer-Encoding: chunked\r\n\r\n{chunks}",
            start(2)
        ),
        format!("HEAD {list}?DateCreated<=2009-07-06 HTTP/1.1\r\n{auth}\r\n"),
        format!("GET {list}?DateCreated>=2009-07-06 HTTP/1.1\r\n{auth}Connection: close\r\n\r\n"),
    ];
    let all = requests.concat();
    for (round, piece) in [all.len(), 7].into_iter().enumerate() {
        let answers = exchange(client, all.as_bytes(), piece);
        let statuses: Vec<&str> = answers
            .match_indices("HTTP/1.1 ")
            .filter_map(|(at, _)| answers.get(at + 9..at + 12))
            // The echo of the tag is no status.
            .filter(|status| status.bytes().all(|byte| byte.is_ascii_digit()))
            .collect();
        assert_eq!(
            statuses,
            ["200", "201", "200", "201", "200", "200"],
            "{piece}: {answers}"
        );
        assert!(
            answers.contains("GET /x?a>=b<c HTTP/1.1"),
            "the tag is as it was sent: {answers}"
        );
        assert!(
            answers.contains("\"channels\":2"),
            "the chunks were put together: {answers}"
        );
        let list = client
            .get(&client.path("/Recordings.json"))
            .expect(200)
            .json();
        assert_eq!(list["total"], 2 * (round + 1), "{list}");
    }
}

#[test]
fn large_bodies_and_endless_heads_have_bounds() {
    let daemon = Setup::new().set("api.header_timeout", "1s").start();
    let client = daemon.client();
    let path = client.path(&format!("/Calls/{}/Recordings.json", call_sid(1)));
    // curl sends "Expect: 100-continue" before a body of this size.
    let tags = format!("Tags={{\"a\":\"{}\"}}", "x".repeat(3_000));
    let reply = client.curl_signed(&["-H", "Expect: 100-continue", "-d", &tags], &path);
    assert_eq!(
        reply.expect(201).json()["tags"]["a"].as_str().map(str::len),
        Some(3_000)
    );

    let file = daemon.folder().join("large");
    std::fs::write(&file, vec![b'a'; 4 << 20]).expect("the temporary folder can be written");
    let data = format!("@{}", file.display());
    // Whether curl asks first or sends all of it: the answer is not lost with the connection.
    for expect in ["Expect: 100-continue", "Expect:"] {
        for _ in 0..10 {
            let reply = client.curl_signed(&["-H", expect, "--data-binary", &data], &path);
            assert_eq!(reply.status, 413, "{expect} {}", reply.text());
        }
    }
    let long = format!("{path}?{}", "a".repeat(100_000));
    let reply = client.curl_signed(&[], &long);
    assert!(matches!(reply.status, 400 | 414 | 431), "{}", reply.status);

    for beginning in ["", "GET / HTTP/1.1\r\nHost: reeld\r\nX: "] {
        let mut stream = connect(client);
        stream.write_all(beginning.as_bytes()).expect("it is read");
        let begun = Instant::now();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("it is closed");
        let waited = begun.elapsed();
        assert!(
            waited < Duration::from_secs(15),
            "{beginning:?}: {waited:?}"
        );
    }
    client.get(&client.path("/Recordings.json")).expect(200);
}
