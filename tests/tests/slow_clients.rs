//! Clients that are slow, many or ask too much are bounded, and meanwhile another one is served at
//! once: heads, bodies and TLS handshakes that never end, connections that stay silent, downloads that
//! nobody takes, more connections than an address may have, more requests than a rate allows.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use reeld_tests::patience::wait_for;
use reeld_tests::{Authority, Client, Daemon, Setup, peer};

/// What is bounded here, as configured, and what the machine may add.
const LIMIT: Duration = Duration::from_secs(2);
const SLACK: Duration = Duration::from_secs(10);
/// An answer that waits for nobody.
const PROMPT: Duration = Duration::from_secs(1);

fn connect(daemon: &Daemon) -> TcpStream {
    let base = daemon.client().base();
    let (_, address) = base.split_once("://").expect("a URL");
    let stream = TcpStream::connect(address).expect("the daemon listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("a timeout can be set");
    stream
}

/// How long it takes until the other side closes; what it said before.
fn closed(stream: &mut TcpStream) -> (Duration, String) {
    let start = Instant::now();
    let mut said = Vec::new();
    match stream.read_to_end(&mut said) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("it is not closed: {error}"),
    }
    (start.elapsed(), String::from_utf8_lossy(&said).into_owned())
}

/// Whether another client is served while the others dawdle.
fn is_prompt(client: &Client) {
    let start = Instant::now();
    client.get(&client.path("/Recordings.json")).expect(200);
    assert!(start.elapsed() < PROMPT, "{:?}", start.elapsed());
}

#[test]
fn heads_bodies_and_silences_that_never_end_are_ended() {
    let daemon = Setup::new()
        .set("api.header_timeout", "2s")
        .set("api.request_timeout", "2s")
        .start();
    let client = daemon.client();
    let (account, list) = (client.account(), client.path("/Calls.json"));
    let run = peer::run(
        "base64",
        ["-w0"],
        format!("{account}:{}", client.token()).as_bytes(),
        SLACK,
    );
    let basic = run.success().text();
    // Slowloris: a hundred that send a byte of their heads now and then, and never all.
    let start = Instant::now();
    let mut slow: Vec<TcpStream> = (0..100).map(|_| connect(&daemon)).collect();
    for stream in &mut slow {
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n")
            .expect("it is open");
    }
    let mut ended = 0;
    while ended < slow.len() {
        is_prompt(client);
        assert!(
            start.elapsed() < LIMIT + SLACK,
            "{ended} of them were ended"
        );
        std::thread::sleep(Duration::from_millis(250));
        ended = slow
            .iter_mut()
            .filter_map(|stream| stream.write_all(b"X-A: b\r\n").err())
            .count();
    }
    assert!(start.elapsed() >= LIMIT);

    // A body that is announced and never comes: an answer, and the end.
    let mut body = connect(&daemon);
    write!(body, "POST {list} HTTP/1.1\r\nHost: a\r\nAuthorization: Basic {basic}\r\nContent-Length: 100\r\n\r\nFrom=a")
        .expect("it is open");
    let (took, said) = closed(&mut body);
    assert!(said.starts_with("HTTP/1.1 503"), "{said}");
    assert!(
        took >= LIMIT - Duration::from_millis(200) && took < LIMIT + SLACK,
        "{took:?}"
    );

    // One that has had its answer and stays silent; one that never says anything.
    let mut silent = connect(&daemon);
    let mut mute = connect(&daemon);
    silent
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("it is open");
    for stream in [&mut silent, &mut mute] {
        let (took, _) = closed(stream);
        assert!(took < LIMIT + SLACK, "{took:?}");
    }
    is_prompt(client);
    wait_for("no connection but one", SLACK, || {
        client
            .metrics()
            .contains("reeld_http_connections 1\n")
            .then_some(())
    });
}

#[test]
fn a_handshake_that_never_ends_is_ended() {
    let house = Authority::new("house");
    let files = house.files(&["localhost", "127.0.0.1"]);
    let daemon = Setup::new()
        .set("api.header_timeout", "2s")
        .start_tls(&files);
    let mut dawdlers: Vec<TcpStream> = (0..20).map(|_| connect(&daemon)).collect();
    // The first bytes of a ClientHello (RFC 8446 §5.1).
    dawdlers[0].write_all(&[22, 3, 1]).expect("it is open");
    let ca = house.file().display().to_string();
    let start = Instant::now();
    daemon
        .client()
        .curl(&["--cacert", &ca], "/healthz")
        .expect(200);
    assert!(start.elapsed() < PROMPT, "{:?}", start.elapsed());
    for stream in &mut dawdlers {
        let (took, _) = closed(stream);
        assert!(took < LIMIT + SLACK, "{took:?}");
    }
}

#[test]
fn a_download_that_nobody_takes_is_ended_and_a_slow_one_is_not() {
    // Ten minutes of sound: more than the kernel's buffers hold.
    let house = Authority::new("house");
    let files = house.files(&["localhost"]);
    for tls in [false, true] {
        let setup = Setup::new().set("api.write_timeout", "2s");
        let daemon = if tls {
            setup.start_tls(&files)
        } else {
            setup.start()
        };
        let sid = daemon.import_noise(1, 600, &[]);
        let path = daemon.client().path(&format!("/Recordings/{sid}"));
        if tls {
            // curl is slower than loopback by far, and never still for long.
            let url = format!("{}{path}", daemon.client().base());
            let args = [
                "-sSk",
                "--noproxy",
                "*",
                "--limit-rate",
                "2M",
                "-o",
                "/dev/null",
                &url,
            ];
            let run = peer::run("curl", args, &[], Duration::from_secs(60));
            assert!(
                run.status.success(),
                "a slow reader gets all: {}",
                run.stderr
            );
            continue;
        }
        let mut idle: Vec<TcpStream> = (0..10).map(|_| connect(&daemon)).collect();
        for stream in &mut idle {
            write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").expect("it is open");
        }
        is_prompt(daemon.client());
        wait_for("no connection but one", LIMIT + SLACK, || {
            daemon
                .client()
                .metrics()
                .contains("reeld_http_connections 1\n")
                .then_some(())
        });
        for stream in &mut idle {
            let (_, said) = closed(stream);
            assert!(
                said.len() < 44 + 600 * 16_000,
                "it was ended amid its answer"
            );
        }
        // Slow, and never for long without a byte.
        let mut slow = connect(&daemon);
        write!(
            slow,
            "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )
        .expect("it is open");
        let mut taken = 0;
        let start = Instant::now();
        let mut bytes = vec![0; 256 * 1024];
        loop {
            let count = slow.read(&mut bytes).expect("it is not ended");
            if count == 0 {
                break;
            }
            taken += count;
            if start.elapsed() < 2 * LIMIT {
                std::thread::sleep(Duration::from_millis(200));
            }
        }
        assert!(taken > 600 * 16_000, "{taken}");
    }
}

#[test]
fn one_address_has_not_all_connections() {
    let daemon = Setup::new()
        .set("api.max_connections", 40)
        .set("api.max_connections_per_address", 20)
        .start();
    // Another address of this machine is another client.
    let run = || {
        let url = format!("{}/metrics", daemon.client().base());
        let args = [
            "-sS",
            "--noproxy",
            "*",
            "--interface",
            "127.0.0.9",
            "--max-time",
            "5",
            &url,
        ];
        peer::run("curl", args, &[], Duration::from_secs(20))
    };
    // What asked whether it was ready has gone: nobody else counts.
    let alone = || {
        let metrics = run().text();
        metrics.contains("reeld_http_connections 1\n").then_some(())
    };
    wait_for("nobody else", SLACK, alone);
    let mut held: Vec<TcpStream> = Vec::new();
    for _ in 0..60 {
        held.push(connect(&daemon));
    }
    let metrics = wait_for("an answer", SLACK, || {
        let run = run();
        (run.status.success() && run.text().contains("refused_total 4")).then(|| run.text())
    });
    assert!(metrics.contains("reeld_http_connections 21\n"), "{metrics}");
    // Those beyond twenty are closed, and once the others go there is room again.
    let refused = held.split_off(21);
    for mut stream in refused {
        assert!(closed(&mut stream).0 < SLACK);
    }
    drop(held);
    wait_for("room", SLACK, alone);
}

#[test]
fn rates_are_kept_by_address_and_by_account_and_leave_audio_alone() {
    let daemon = Setup::new()
        .set("api.rate_per_address", 3)
        .set("api.rate_per_account", 2)
        .start();
    let client = daemon.client();
    let sid = daemon.import_noise(1, 1, &[]);
    let list = client.path("/Recordings.json");
    // Ten seconds' worth at once: of the account twenty.
    let mut statuses: Vec<u16> = (0..25).map(|_| client.get(&list).status).collect();
    assert!(
        statuses[..20].iter().all(|status| *status == 200),
        "{statuses:?}"
    );
    assert!(statuses.contains(&429), "{statuses:?}");
    let reply = client.get(&list);
    let after: u64 = reply
        .header("retry-after")
        .and_then(|seconds| seconds.parse().ok())
        .expect("Retry-After");
    assert!((1..=60).contains(&after), "{after}");
    reply.expect_error(429, 20_429);
    // Of the address thirty; who has no credentials too.
    statuses = (0..20).map(|_| client.get_public(&list).status).collect();
    assert!(statuses.contains(&429), "{statuses:?}");
    // Audio and health are nobody's to count, and another address is another client.
    let audio = client.path(&format!("/Recordings/{sid}"));
    for _ in 0..50 {
        client.get_public(&audio).expect(200);
        client.get_public("/healthz").expect(200);
    }
    let other = client.curl(&["--interface", "127.0.0.9"], &list);
    assert_eq!(other.status, 401);
    let metrics = client.metrics();
    for by in ["address", "account"] {
        let name = format!("reeld_http_throttled_total{{by=\"{by}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
        assert!(line.is_some_and(|count| count != "0"), "{by}: {metrics}");
    }
    std::thread::sleep(Duration::from_millis(1_500));
    client.get(&list).expect(200);

    let all = Setup::new()
        .set("api.rate_per_address", 1)
        .set("api.rate_media", true)
        .start();
    let statuses: Vec<u16> = (0..15)
        .map(|_| all.client().get_public("/healthz").status)
        .collect();
    assert!(statuses.contains(&429), "{statuses:?}");
}
