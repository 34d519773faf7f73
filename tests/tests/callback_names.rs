//! A host name that stands for an address which `callbacks.allow` has not: no name server is asked at
//! the POST, so it is refused when it is connected to, tried again as other failures are, and reported
//! by the rule's name.

use std::fs;
use std::iter;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs as _};
use std::time::Duration;

use reeld_tests::Setup;
use reeld_tests::client::call_sid;
use reeld_tests::patience::wait_for;

const BOUND: Duration = Duration::from_secs(60);

/// A name of this machine that is not `localhost`, which is refused at the POST already, and an
/// address that it stands for.
fn own_name() -> (String, SocketAddr) {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let others = ["ip6-localhost", "ip6-loopback"].map(str::to_owned);
    let names = iter::once(host.trim().to_owned()).chain(others);
    let mut known = names.filter_map(|name| {
        let address = (name.as_str(), 0).to_socket_addrs().ok()?.next()?;
        Some((name, address))
    });
    known
        .next()
        .expect("this machine's own name resolves (/etc/hosts, or nss-myhostname)")
}

#[test]
fn a_name_that_leads_where_callbacks_may_not_go_is_refused_when_it_is_connected_to() {
    let (name, address) = own_name();
    // A receiver is there, and must not be reached.
    let receiver = TcpListener::bind(address).expect("an address of this machine's own");
    receiver.set_nonblocking(true).expect("a socket can be");
    let port = receiver.local_addr().expect("it is bound").port();
    let daemon = Setup::new()
        .set("callbacks.allow", vec!["192.0.2.0/24"])
        .set("callbacks.retry_first", "1s")
        .set("callbacks.retry_for", "3s")
        .start();
    let url = format!("http://{name}:{port}/cb");
    let started = daemon.client().start(
        &call_sid(1),
        &[
            ("RecordingStatusCallback", &url),
            ("RecordingStatusCallbackEvent", "absent"),
        ],
    );
    daemon.client().stop(&started);
    let reason = "callbacks.allow has none of the host's addresses";
    let waiting = wait_for("a first round", BOUND, || {
        let text = daemon.callbacks("pending");
        text.contains(reason).then_some(text)
    });
    assert!(waiting.contains("of 1 recordings wait"), "{waiting}");
    let dead = wait_for("the event given up on", BOUND, || {
        let text = daemon.callbacks("dead");
        text.contains(", 1 were given up on").then_some(text)
    });
    let line = dead.lines().find(|line| line.contains(&started.sid));
    let line = line.unwrap_or_else(|| panic!("{dead}"));
    assert!(line.contains(reason), "{line}");
    let came = receiver.accept();
    assert!(came.is_err(), "it was connected to: {came:?}");

    let metrics = daemon.client().metrics();
    let value = |name: &str| -> u64 {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        let value = line.and_then(|value| value.trim().parse().ok());
        value.unwrap_or_else(|| panic!("{name}: {metrics}"))
    };
    // Each round has a second try: a name may stand for another address the next time.
    let rounds = 1 + value("reeld_callbacks_rounds_total{result=\"delayed\"}");
    assert!(rounds >= 3, "{metrics}");
    assert_eq!(
        value("reeld_callbacks_tries_total{result=\"refused\"}"),
        2 * rounds
    );
    assert_eq!(value("reeld_callbacks_rounds_total{result=\"dead\"}"), 1);
}
