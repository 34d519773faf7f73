//! Many recording clients' calls at once, by UDP and by TCP: none is refused, and each is a recording. In `make test` 100
//! at 25 new ones a second; `SIPREC_CALLS=1000` is 1,000 at 50 a second.

use std::net::SocketAddr;
use std::time::Duration;

use reeld_tests::script::Law;
use reeld_tests::sender::{Part, Playing};
use reeld_tests::siprec::{
    Bed, STRICT_HEADERS, Scenario, Transport, errors, metadata, multipart, offer,
};
use reeld_tests::{Sender, Setup, Tape, Voice, peer};
use serde_json::Value;

fn calls() -> u32 {
    let said = std::env::var("SIPREC_CALLS").ok();
    said.and_then(|said| said.parse().ok()).unwrap_or(100)
}

fn many(transport: Transport) {
    let calls = calls();
    let rate = if calls >= 1_000 { 50 } else { 25 };
    let bed = Bed::start(Setup::with_ports(
        u16::try_from(4 * calls + 64).expect("ports for all"),
    ));
    let client = bed.client();
    // Each call is its own session, by sipp's number of it.
    let xml = metadata("c[call_number]", &[("ann", "1"), ("bob", "2")]);
    let body = multipart(&offer(&[("1", "sendonly"), ("2", "sendonly")]), &xml);
    let talk = Duration::from_millis(u64::from(1_000 * calls / rate) + 6_000);
    let scenario = Scenario::new("many")
        .request("INVITE", STRICT_HEADERS, &body, 200)
        .wait(talk)
        .bye();
    let command = bed.sipp(&scenario, transport, calls, rate);
    let sipp =
        std::thread::spawn(move || peer::finish("sipp", command, &[], Duration::from_secs(150)));
    // All are open before the first one ends.
    std::thread::sleep(Duration::from_millis(
        u64::from(1_000 * calls / rate) + 2_000,
    ));
    let tape = Tape::noise(Law::Mu, 1, 100 * 160);
    let parts = live(&client).into_iter().zip(0_u64..).map(|(to, seed)| {
        let mut script = Voice::new(seed).say(tape.codes());
        script
            .0
            .iter_mut()
            .for_each(|cue| cue.at += Duration::from_micros(seed * 20_000 / 2_000 % 20_000));
        Part {
            sender: Sender::new(),
            to,
            script,
        }
    });
    let parts: Vec<Part> = parts.collect();
    assert_eq!(parts.len(), 2 * calls as usize, "all are open");
    Playing::start(parts).finish();
    let finished = sipp.join().expect("sipp is waited for");
    assert!(
        finished.status.success(),
        "{}\n{}",
        finished.status,
        errors(bed.daemon.folder())
    );
    let all =
        reeld_tests::patience::wait_for("all to be completed", Duration::from_secs(30), || {
            let all = list(&client);
            let done = all
                .iter()
                .filter(|one| one["status"] == "completed")
                .count();
            (done == calls as usize).then_some(all)
        });
    for one in all {
        assert_eq!(
            (&one["channels"], &one["ended_by"]),
            (&2.into(), &"call-completed".into()),
            "{one}"
        );
        let ms = one["duration_ms"].as_u64().expect("a length");
        assert!(
            ms >= 2_000 && ms < u64::try_from(talk.as_millis()).expect("small") + 2_000,
            "{one}"
        );
        for track in ["inbound", "outbound"] {
            assert_eq!(one["tracks"][track]["packets"], 100, "{one}");
        }
    }
}

fn list(client: &reeld_tests::Client) -> Vec<Value> {
    let mut all = Vec::new();
    let mut page = client.path("/Recordings.json?PageSize=200");
    loop {
        let json = client.get(&page).expect(200).json();
        all.extend(
            json["recordings"]
                .as_array()
                .expect("a list")
                .iter()
                .cloned(),
        );
        match json["next_page_uri"].as_str() {
            Some(next) => page = next.to_owned(),
            None => return all,
        }
    }
}

/// The ports of all calls that are recorded.
fn live(client: &reeld_tests::Client) -> Vec<SocketAddr> {
    let calls = list(client)
        .into_iter()
        .map(|one| one["call_sid"].as_str().expect("a Sid").to_owned());
    calls
        .flat_map(|call| reeld_tests::siprec::ports(client, &call))
        .collect()
}

#[test]
fn none_of_many_is_refused() {
    many(Transport::Udp);
    many(Transport::Tcp);
}
