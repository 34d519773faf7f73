//! The API over TLS: curl and rustls, which trust an authority of the house, audio whole and in
//! parts, links that say https; a certificate that is read again on SIGHUP while downloads go on, and
//! a bad one that changes nothing; what is wrong with the files said at the start and by
//! `reeld check-config`.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use reeld_tests::authority::Tls;
use reeld_tests::patience::wait_for;
use reeld_tests::{Authority, Daemon, Setup, peer};

const BOUND: Duration = Duration::from_secs(30);

/// Waits until the log has so many lines with this text.
fn wait_log(daemon: &Daemon, text: &str, count: usize) {
    wait_for(text, BOUND, || {
        (daemon.log().matches(text).count() >= count).then_some(())
    });
}

#[test]
fn all_of_the_api_is_there_over_tls_and_nothing_without() {
    let house = Authority::new("house");
    let files = house.files(&["localhost", "127.0.0.1"]);
    let daemon = Setup::new().start_tls(&files);
    let client = daemon.client();
    let sid = daemon.import_noise(1, 2, &[]);
    let path = client.path(&format!("/Recordings/{sid}"));
    let ca = house.file().display().to_string();
    let with_ca = ["--cacert", &ca];
    let wav = client.curl(&with_ca, &path).expect(200);
    assert_eq!(
        wav.header("content-length"),
        Some(wav.body.len().to_string().as_str())
    );
    let part = client
        .curl(&["--cacert", &ca, "--range", "100-4000"], &path)
        .expect(206);
    assert!(part.body == wav.body[100..=4000]);
    for extension in [".mp3", ".opus"] {
        client
            .curl(&with_ca, &format!("{path}{extension}"))
            .expect(200);
    }
    for version in ["--tlsv1.2", "--tlsv1.3"] {
        client
            .curl(&["--cacert", &ca, version], "/healthz")
            .expect(200);
    }
    let json = client.curl_signed(&with_ca, &format!("{path}.json"));
    let media = json.expect(200).json()["media_url"].clone();
    assert_eq!(media, format!("{}{path}", client.base()));
    let printed = daemon.command(&["link", &sid]).success().text();
    assert!(printed.starts_with("https://"), "{printed}");

    // Who trusts nobody is refused by its own; who speaks no TLS gets no answer.
    let run = |args: &[&str]| {
        let fixed = ["-sS", "--noproxy", "*", "--max-time", "10"];
        peer::run("curl", fixed.iter().chain(args).copied(), &[], BOUND)
    };
    let untrusted = run(&[&format!("{}/healthz", client.base())]);
    assert_eq!(untrusted.status.code(), Some(60), "{}", untrusted.stderr);
    let plain = client.base().replace("https:", "http:");
    assert!(!run(&[&format!("{plain}/healthz")]).status.success());
    let old = [&*ca, &format!("{}/healthz", client.base())];
    let old = run(&["--cacert", old[0], "--tls-max", "1.1", old[1]]);
    assert!(!old.status.success());
    assert!(!daemon.log().contains("PRIVATE KEY"));
}

#[test]
fn a_new_certificate_is_taken_while_downloads_go_on_and_a_bad_one_is_not() {
    let house = Authority::new("house");
    let files = house.files(&["localhost", "127.0.0.1"]);
    let daemon = Setup::new().start_tls(&files);
    let sid = daemon.import_noise(1, 3, &[]);
    let path = daemon.client().path(&format!("/Recordings/{sid}"));
    let base = daemon.client().base().to_owned();
    let first = certificate(&house, &base);

    // One connection that stays open all along, and clients that come and go.
    let house = Arc::new(house);
    let mut open = house.connect(&base);
    let whole = ask(&mut open, &path);
    let stop = Arc::new(AtomicBool::new(false));
    let served = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (house, base) = (Arc::clone(&house), base.clone());
            let (path, whole) = (path.clone(), whole.clone());
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let answer = ask(&mut house.connect(&base), &path);
                    assert!(answer == whole, "a download is whole");
                    served.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for round in 1..=5 {
        files.put(&house.files(&["localhost", "127.0.0.1"]));
        daemon.hang_up();
        wait_log(&daemon, "the new certificate is in use", round);
    }
    let second = certificate(&house, &base);
    assert_ne!(first, second, "new connections get the new certificate");

    // The key of another certificate; one that has expired; no PEM at all; no file.
    let kept = house.files(&["localhost"]);
    fs::copy(&kept.key, &files.key).expect("it can be written");
    let refused = "the certificate is refused; the one in use stays";
    daemon.hang_up();
    wait_log(&daemon, refused, 1);
    files.put(&house.expired_files(&["localhost"]));
    daemon.hang_up();
    wait_log(&daemon, refused, 2);
    fs::write(&files.cert, "nothing").expect("it can be written");
    daemon.hang_up();
    wait_log(&daemon, refused, 3);
    files.put(&kept);
    fs::remove_file(&files.key).expect("it is there");
    daemon.hang_up();
    wait_log(&daemon, refused, 4);
    assert_eq!(certificate(&house, &base), second);
    let log = daemon.log();
    for reason in [
        "the key is not the certificate's",
        "the certificate has expired at 2020-01-01",
        "there is no certificate in PEM in it",
        "No such file",
    ] {
        assert!(log.contains(reason), "{reason}: {log}");
    }
    // With what began before the first of them.
    assert!(ask(&mut open, &path) == whole);
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().expect("no download failed");
    }
    let served = served.load(Ordering::Relaxed);
    eprintln!("{served} downloads over nine signals");
    assert!(served > 20);
}

/// The certificate that a new connection is shown.
fn certificate(house: &Authority, base: &str) -> Vec<u8> {
    let mut stream = house.connect(base);
    ask(&mut stream, "/healthz");
    let shown = stream.conn.peer_certificates().and_then(<[_]>::first);
    shown.expect("the daemon has one").to_vec()
}

/// One GET on a connection that stays: the body of its answer.
fn ask(stream: &mut Tls, path: &str) -> Vec<u8> {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it is open");
    let mut answer = Vec::new();
    let mut read = |answer: &mut Vec<u8>| {
        let mut bytes = [0; 16 * 1024];
        let count = stream.read(&mut bytes).expect("it is open");
        assert_ne!(count, 0, "it was closed");
        answer.extend_from_slice(&bytes[..count]);
    };
    let head = loop {
        read(&mut answer);
        if let Some(end) = answer.windows(4).position(|part| part == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let text = String::from_utf8_lossy(&answer[..head]).to_lowercase();
    assert!(text.starts_with("http/1.1 200"), "{text}");
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length
        .and_then(|length| length.parse().ok())
        .expect("a length");
    while answer.len() < head + length {
        read(&mut answer);
    }
    answer.split_off(head)
}

/// `reeld check-config` of a file with these two paths: its exit code and what it says.
fn check(folder: &Path, cert: &Path, key: &Path) -> (Option<i32>, String) {
    let config = folder.join("check.toml");
    let text = format!("[api]\ntls_cert = {cert:?}\ntls_key = {key:?}\n");
    fs::write(&config, text).expect("the folder can be written");
    let mut command = reeld_tests::binary::reeld();
    command.arg("check-config").arg(&config);
    let run = peer::finish("reeld", command, &[], BOUND);
    (run.status.code(), run.stderr)
}

#[test]
fn what_is_wrong_with_the_files_is_said() {
    let house = Authority::new("house");
    let (good, other) = (house.files(&["localhost"]), house.files(&["localhost"]));
    let expired = house.expired_files(&["localhost", "127.0.0.1"]);
    let folder = good.cert.parent().expect("a folder").to_owned();
    assert_eq!(
        check(&folder, &good.cert, &good.key),
        (Some(0), String::new())
    );
    let missing = folder.join("missing.pem");
    for (cert, key, reason) in [
        (&good.cert, &other.key, "the key is not the certificate's"),
        (&good.key, &good.key, "there is no certificate"),
        (&good.cert, &good.cert, "there is no private key"),
        (&missing, &good.key, "missing.pem: No such file"),
    ] {
        let (code, said) = check(&folder, cert, key);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("api.tls") && said.contains(reason), "{said}");
    }
    let (code, said) = check(&folder, &expired.cert, &expired.key);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("warning: api.tls_cert") && said.contains("has expired"),
        "{said}"
    );

    // It is served all the same, with a warning: no API would be worse.
    let daemon = Setup::new().start_tls(&expired);
    assert!(
        daemon
            .log()
            .contains("the certificate has expired at 2020-01-01")
    );
}

#[test]
fn without_tls_a_hangup_harms_nobody() {
    let daemon = Setup::new().start();
    daemon.hang_up();
    wait_log(&daemon, "there is no certificate to read again", 1);
    daemon.client().get_public("/healthz").expect(200);
}
