//! The audit trail: `reeld audit` tells who fetched, started, stopped and deleted what, from where and
//! how it was answered; one entry a request, also for a part; nothing of strangers, no secret; the log
//! has the same; it outlives the daemon and is bounded.

use std::time::Duration;

use reeld_tests::Setup;
use reeld_tests::client::call_sid;
use reeld_tests::patience::wait_for;
use reeld_tests::trail::{told, trail};
use reqwest::Method;

const BOUND: Duration = Duration::from_secs(20);

#[test]
fn who_did_what_is_told_and_outlives_the_daemon() {
    let mut daemon = Setup::new().start();
    let client = daemon.client().clone();
    let account = client.account().to_owned();
    let sid = daemon.import_noise(1, 2, &[]);
    let path = client.path(&format!("/Recordings/{sid}"));
    let link = daemon.command(&["link", &sid]).success().text();
    let (_, query) = link.trim().split_once('?').expect("a query");
    let signature = query.split("signature=").nth(1).expect("a signature");

    client.get(&path).expect(200);
    client.get_public(&format!("{path}.mp3")).expect(200);
    client
        .get_public(&format!("{path}.wav?{query}"))
        .expect(200);
    let range = [("Range", "bytes=0-99")];
    client.send(Method::GET, &path, &range, None).expect(206);
    client.get(&format!("{path}.json")).expect(200);
    // Nothing of them is told: a stranger, a wrong link, a look that gives nothing.
    client.get_public(&format!("{path}.json")).expect(401);
    client.get_public(&format!("{path}?{query}0")).expect(403);
    client
        .get_public(&client.path(&format!("/Recordings/RE{:032}", 7)))
        .expect(404);
    client.send(Method::HEAD, &path, &[], None).expect(200);
    client.delete(&sid).expect(204);
    client.delete(&sid).expect(404);

    let entries = trail(&daemon, &["--recording", &sid], 8);
    let expires = query.split(['=', '&']).nth(1).expect("a time");
    let uid = format!("uid-{}", nix::unistd::getuid());
    let wanted = [
        ["make-link", &*uid, "", "0"],
        // Public audio is given to whoever knows its Sid, and nobody looks at credentials.
        ["fetch", "public", "wav", "200"],
        ["fetch", "public", "mp3", "200"],
        ["fetch", &format!("link-until-{expires}"), "wav", "200"],
        ["fetch", "public", "wav", "206"],
        ["fetch", &account, "json", "200"],
        ["delete", &account, "", "204"],
        ["delete", &account, "", "404"],
    ];
    let found: Vec<_> = entries.iter().map(told).collect();
    assert_eq!(found, wanted);
    assert_eq!(entries[1]["bytes"], 44 + 2 * 16_000);
    assert_eq!(entries[4]["bytes"], 100);
    assert!(
        entries[1..]
            .iter()
            .all(|entry| entry["address"] == "127.0.0.1")
    );
    assert!(
        entries[1..]
            .iter()
            .all(|entry| entry["account"] == *account)
    );

    // A call and its recording; of another account's nothing is told here.
    let call = call_sid(5);
    client.open_call(&[("CallSid", &call)]).expect(201);
    let started = client.start(&call, &[]);
    for status in ["paused", "in-progress", "stopped"] {
        client
            .change(&call, "Twilio.CURRENT", &[("Status", status)])
            .expect(200);
    }
    client.complete_call(&call).expect(200);
    let entries = trail(&daemon, &["--recording", &started.sid], 4);
    let actions: Vec<_> = entries.iter().map(|entry| told(entry)[0].clone()).collect();
    assert_eq!(actions, ["start", "pause", "resume", "stop"]);
    assert!(entries.iter().all(|entry| entry["call"] == *call));
    let _ = trail(&daemon, &["--account", &account, "--since", "1day"], 13);
    let _ = trail(&daemon, &["--since", "2999-01-01T00:00:00Z"], 0);
    let _ = trail(
        &daemon,
        &["--account", "AC00000000000000000000000000000009"],
        0,
    );
    let people = daemon.command(&["audit", "--limit", "1"]).success().text();
    assert!(
        people.contains("end-call") && people.contains(&call),
        "{people}"
    );

    // What was noted last is there after the end, with the daemon and without.
    client.get(&client.path(&format!("/Recordings/{}.json", started.sid)));
    assert!(daemon.terminate().success());
    let _ = trail(&daemon, &["--recording", &started.sid], 5);
    let log = daemon.log();
    assert!(!log.contains(signature), "a signature is in the log");
    let line = log.lines().find(|line| line.contains(" audit: "));
    let line = line.unwrap_or_else(|| panic!("no line of the target audit: {log}"));
    assert!(
        line.contains("action=\"fetch\"") || line.contains("action=fetch"),
        "{line}"
    );
    for (path, bytes) in daemon.files() {
        let has = |part: &str| bytes.windows(part.len()).any(|is| is == part.as_bytes());
        assert!(!has(signature), "a signature is in {}", path.display());
    }
    daemon.start_again();
    let _ = trail(&daemon, &["--recording", &started.sid], 5);
}

#[test]
fn a_trail_is_bounded_by_age_and_may_be_off() {
    let daemon = Setup::new().set("audit.keep", "2s").start();
    let sid = daemon.import_noise(1, 1, &[]);
    let client = daemon.client();
    let path = client.path(&format!("/Recordings/{sid}"));
    client.get(&path).expect(200);
    let _ = trail(&daemon, &[], 1);
    wait_for("an empty trail", BOUND, || {
        let text = daemon.command(&["audit"]).success().text();
        text.is_empty().then_some(())
    });
    let off = Setup::new().set("audit.keep", "0s").start();
    let sid = off.import_noise(1, 1, &[]);
    let path = off.client().path(&format!("/Recordings/{sid}"));
    off.client().get(&path).expect(200);
    wait_for("a line of the log", BOUND, || {
        off.log().contains(" audit: ").then_some(())
    });
    std::thread::sleep(Duration::from_millis(1_500));
    let _ = trail(&off, &[], 0);
}

#[test]
fn many_downloads_are_told_each_once() {
    const EACH: usize = 500;
    let daemon = Setup::new().start();
    let sid = daemon.import_noise(1, 1, &[]);
    let path = daemon.client().path(&format!("/Recordings/{sid}"));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let client = daemon.client().clone();
                for _ in 0..EACH {
                    client.get_public(&path).expect(200);
                }
            });
        }
    });
    let _ = trail(
        &daemon,
        &["--recording", &sid, "--limit", "10000"],
        4 * EACH,
    );
    let metrics = daemon.client().metrics();
    assert!(metrics.contains("reeld_audit_dropped_total 0"), "{metrics}");
}
