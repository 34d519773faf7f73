//! Secrets are in no log, at whatever level, in no metric, no answer and no file that is not theirs:
//! each kind is used, well and wrongly, and all that comes out of the daemon is searched for it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use reeld_tests::client::call_sid;
use reeld_tests::patience::wait_for;
use reeld_tests::receiver::{Answer, Receiver};
use reeld_tests::{Authority, Daemon, Setup};

const BOUND: Duration = Duration::from_secs(30);

/// Sid and secret out of what `reeld account` prints.
fn printed(daemon: &Daemon, args: &[&str], names: [&str; 2]) -> [String; 2] {
    let text = daemon.command(args).success().text();
    names.map(|name| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
        line.unwrap_or_else(|| panic!("no {name} in {text}"))
            .trim_matches('"')
            .to_owned()
    })
}

/// Every way in which a secret may be written out.
fn shapes(user: &str, secret: &str) -> [String; 3] {
    let basic = BASE64_STANDARD.encode(format!("{user}:{secret}"));
    let quoted = secret.bytes().map(|byte| format!("%{byte:02X}")).collect();
    [secret.to_owned(), basic, quoted]
}

fn search(what: &str, text: &str, secrets: &[(&str, String)]) {
    for (name, secret) in secrets {
        let at = text.find(secret.as_str());
        let around = at.map(|at| text[at.saturating_sub(80)..at].to_owned());
        assert!(at.is_none(), "{what} has {name} after {around:?}");
    }
}

#[test]
fn no_secret_is_in_what_the_daemon_says() {
    let daemon = Setup::new()
        .set("log.level", "trace")
        .set("api.link_lifetime", "1h")
        .set("api.media_auth", "required")
        .set("callbacks.allow", vec!["loopback"])
        .set("callbacks.retry_for", "0s")
        .start();
    let client = daemon.client().clone();
    let account = client.account().to_owned();
    let key_of = ["key_sid", "secret"];
    let [key, key_secret] = printed(&daemon, &["account", "key", "add", &account], key_of);
    let [revoked, revoked_secret] = printed(&daemon, &["account", "key", "add", &account], key_of);
    let sid_of = ["account_sid", "auth_token"];
    let [other, other_token] = printed(&daemon, &["account", "add"], sid_of);
    let path = client.path(&format!(
        "/Recordings/{}",
        daemon.import_noise(1, 1, &["--account", &account])
    ));
    let sid = path.rsplit('/').next().expect("a Sid").to_owned();
    let link = daemon.command(&["link", &sid]).success().text();
    let (_, query) = link.trim().split_once('?').expect("a query");
    let signature = query.split("signature=").nth(1).expect("a signature");

    let mut secrets: Vec<(&str, String)> = Vec::new();
    for (name, user, secret) in [
        ("the account's token", &account, client.token()),
        ("the key's secret", &key, &key_secret),
        ("the revoked key's secret", &revoked, &revoked_secret),
        ("the other account's token", &other, &other_token),
    ] {
        secrets.extend(shapes(user, secret).map(|shape| (name, shape)));
    }
    secrets.push(("a link's signature", signature.to_owned()));
    for secret in [
        "callback-password",
        "callback-user",
        "callback-query",
        "callback-path",
        "action-password",
        "wrong-secret",
        "query-secret",
        "body-secret",
        "idempotency-secret",
    ] {
        secrets.push((secret, secret.to_owned()));
    }

    // Each is used, well and wrongly.
    let mut said = String::new();
    let mut ask = |user: &str, secret: &str, path: &str| {
        let user = format!("{user}:{secret}");
        let reply = client.curl(&["-u", &user], path);
        // An answer may repeat the path that was asked for, never what came with it.
        said.push_str(&format!("{:?}\n{}\n", reply.headers, reply.text()));
        reply.status
    };
    let list = client.path("/Recordings.json");
    assert_eq!(ask(&account, client.token(), &list), 200);
    assert_eq!(ask(&key, &key_secret, &list), 200);
    assert_eq!(ask(&other, &other_token, &list), 404);
    let _ = daemon
        .command(&["account", "key", "remove", &revoked])
        .success();
    assert_eq!(ask(&revoked, &revoked_secret, &list), 401);
    assert_eq!(ask(&account, "wrong-secret", &list), 401);
    assert_eq!(ask(&account, &key_secret, &list), 401);
    assert_eq!(ask("callback-user", client.token(), &list), 401);
    for path in [
        format!("{path}?{query}"),
        format!("{path}.json?{query}"),
        format!("{path}?{query}x"),
        format!("{path}?{query}&{query}"),
        format!("{path}?signature={signature}"),
        "/nothing?token=query-secret".to_owned(),
        format!("{list}?Token=query-secret"),
    ] {
        let reply = client.curl(&[], &path);
        said.push_str(&format!("{:?}\n{}\n", reply.headers, reply.text()));
    }
    // A head that is none, a header twice, a body that is no form.
    let basic = &secrets[1].1;
    for request in [
        format!("GET {list} HTTP/9\r\nAuthorization: Basic {basic}\r\n\r\n"),
        format!(
            "GET {list} HTTP/1.1\r\nHost: a\r\nAuthorization: Basic {basic}\r\nAuthorization: Basic {basic}\r\nConnection: close\r\n\r\n"
        ),
        format!(
            "GET {list} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {basic}\r\nConnection: close\r\n\r\n"
        ),
        format!(
            "POST {list} HTTP/1.1\r\nHost: a\r\nAuthorization: Basic {basic}\r\nContent-Length: 13\r\nConnection: close\r\n\r\nT=body-secret"
        ),
        format!("\u{1}Basic {basic}\r\n\r\n"),
    ] {
        let address = client.base().trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).expect("the daemon listens");
        stream
            .set_read_timeout(Some(BOUND))
            .expect("a timeout can be set");
        stream
            .write_all(request.as_bytes())
            .expect("it takes a few bytes");
        stream
            .shutdown(std::net::Shutdown::Write)
            .expect("it is open");
        let mut answer = Vec::new();
        // A reset is an answer too: there is nothing in it.
        let _ = stream.read_to_end(&mut answer);
        said.push_str(&String::from_utf8_lossy(&answer));
    }

    // Callbacks: one that is taken, one that wants its password, one that fails, one that may not go.
    let receiver = Receiver::start(|callback| match callback.target.split('?').next() {
        Some("/callback-path/fails") => Answer::of(500),
        Some("/callback-path/asks") => {
            Answer::Status(401, "WWW-Authenticate: Basic realm=\"r\"\r\n".to_owned())
        }
        _ => Answer::of(200),
    });
    let url = |path: &str| {
        let plain = receiver.url(path);
        plain.replacen("http://", "http://callback-user:callback-password@", 1)
            + "?k=callback-query"
    };
    for (number, end) in [(1, "takes"), (2, "fails"), (3, "asks")] {
        let _ = client.end_absent(number, &url(&format!("/callback-path/{end}")));
    }
    let refused = client.try_start(
        &call_sid(9),
        &[(
            "RecordingStatusCallback",
            "http://callback-user:callback-password@10.0.0.1/callback-path?k=callback-query",
        )],
    );
    assert_eq!(refused.status, 400);
    said.push_str(&refused.text());
    let action = client.try_start(
        &call_sid(10),
        &[("Action", "http://a:action-password@169.254.169.254/")],
    );
    assert_eq!(action.status, 400);
    said.push_str(&action.text());
    let headers = [("I-Twilio-Idempotency-Token", "idempotency-secret")];
    let recordings = client.path(&format!("/Calls/{}/Recordings.json", call_sid(11)));
    client
        .send(reqwest::Method::POST, &recordings, &headers, Some(&[]))
        .expect(201);
    let dead = wait_for("two given up on", BOUND, || {
        let text = daemon.callbacks("dead");
        text.contains("2 were given up on").then_some(text)
    });
    said.push_str(&dead);
    said.push_str(&daemon.callbacks("pending"));
    said.push_str(&daemon.command(&["audit"]).success().text());
    said.push_str(&daemon.command(&["audit", "--json"]).success().text());
    said.push_str(&daemon.command(&["account", "key", "list"]).success().text());
    said.push_str(&daemon.command(&["account", "list"]).success().text());
    said.push_str(&daemon.command(&["status"]).success().text());
    said.push_str(&client.metrics());
    said.push_str(&client.get_public("/readyz").text());
    said.push_str(&client.get_public("/openapi.json").text());
    search("an answer", &said, &secrets);

    // What makes tokens and links is nowhere but in its own file.
    let files = daemon.files();
    let machine = files.iter().filter(|(path, _)| path.ends_with("key"));
    let machine: Vec<String> = machine.map(|(_, bytes)| hex(bytes)).collect();
    let log = daemon.log();
    assert!(
        log.contains("TRACE") && log.contains("DEBUG"),
        "it is logged at all levels"
    );
    search("the log", &log, &secrets);
    for key in machine.iter().filter(|key| !key.is_empty()) {
        assert!(!log.contains(key.as_str()), "the log has the machine's key");
    }
    assert!(!log.contains("panicked at"));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn no_part_of_a_tls_key_is_in_the_log() {
    let house = Authority::new("house");
    let files = house.files(&["localhost", "127.0.0.1"]);
    let daemon = Setup::new().set("log.level", "trace").start_tls(&files);
    let ca = house.file().display().to_string();
    daemon
        .client()
        .curl(&["--cacert", &ca], "/healthz")
        .expect(200);
    let pem = fs::read_to_string(&files.key).expect("it is ours");
    let lines: Vec<&str> = pem
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    let pid = i32::try_from(daemon.pid()).expect("pids are small");
    // Read well, and then damaged in several ways.
    let forms = [
        pem.clone(),
        pem[..80].to_owned(),
        pem.replace("-----END", "-----NOT"),
        pem.replace('\n', " "),
    ];
    for (signals, damaged) in (1..).zip(forms) {
        fs::write(&files.key, damaged).expect("it is ours");
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(pid),
            nix::sys::signal::Signal::SIGHUP,
        )
        .expect("our own child can be signalled");
        wait_for("a line for the signal", BOUND, || {
            (daemon.log().matches("SIGHUP: ").count() >= signals).then_some(())
        });
    }
    let log = daemon.log();
    for line in lines {
        assert!(!log.contains(line), "the log has a part of the key");
    }
}
