//! A recording client by TLS: sipp, whose TCP OpenSSL (socat) carries. The call is as exact as a plain one, our BYE
//! finds its way too, a new certificate is taken at SIGHUP, and who speaks no TLS there harms nobody.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reeld_tests::authority::Authority;
use reeld_tests::client::call_sid;
use reeld_tests::patience::wait_for;
use reeld_tests::port_block::PortBlock;
use reeld_tests::script::Law;
use reeld_tests::siprec::{Bed, Scenario, Transport, metadata, offer, ports, recordings};
use reeld_tests::{Sender, Setup, Tape, Voice, judge, peer};

const BOUND: Duration = Duration::from_secs(20);

/// A socat that carries what comes to a port of its own by TLS to `to`, whose certificate has to be of `authority`.
struct Tunnel {
    socat: Child,
    at: SocketAddr,
}

impl Tunnel {
    fn start(at: SocketAddr, to: SocketAddr, authority: &Authority) -> Self {
        let ca = authority.file();
        let mut command = Command::new("socat");
        command
            .arg(format!("TCP-LISTEN:{},bind=127.0.0.1,fork", at.port()))
            .arg(format!("OPENSSL:{to},cafile={}", ca.display()))
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        let socat = peer::spawn("socat", command);
        wait_for("socat to listen", BOUND, || TcpStream::connect(at).ok());
        Self { socat, at }
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        // Where it has ended by itself there is nothing to kill, and waiting says so.
        let _ = self.socat.kill();
        let _ = self.socat.wait();
    }
}

/// A call of one track, spoken on, and ended by us where its scenario waits for that; what was said.
fn spoken(bed: &Bed, number: u64, scenario: &Scenario, by_us: bool) -> Tape {
    let running = bed.begin(scenario, Transport::Tcp);
    let [inbound, _] = ports(&bed.client(), &call_sid(number));
    let tape = Tape::noise(Law::Mu, number, 8_000);
    Sender::new().play(inbound, Voice::new(number).say(tape.codes()));
    if by_us {
        bed.client().complete_call(&call_sid(number)).expect(200);
    }
    running.finish();
    tape
}

#[test]
fn a_call_by_tls_is_recorded() {
    let authority = Authority::new("reeld test");
    let files = authority.files(&["127.0.0.1"]);
    let block = PortBlock::take(4);
    let address = |by: u16| SocketAddr::from(([127, 0, 0, 1], block.first() + by));
    let secure = address(0);
    let setup = Setup::new()
        .set("sip.tls_listen", secure.to_string())
        .set("sip.tls_cert", files.cert.display().to_string())
        .set("sip.tls_key", files.key.display().to_string());
    let mut bed = Bed::start(setup);
    let tunnel = Tunnel::start(address(1), secure, &authority);
    bed.server = tunnel.at;
    let client = bed.client();

    let sdp = offer(&[("1", "sendonly"), ("2", "sendonly")]);
    let xml = metadata("c2Vzc2lvbg==", &[("ann", "1"), ("bob", "2")]);
    let begun = |number| Scenario::new("call").invite(&call_sid(number), &sdp, &xml);
    let ended = begun(1).wait(Duration::from_millis(2_000)).bye();
    let hung_up = begun(2).hung_up();
    for (number, scenario, by_us) in [(1, &ended, false), (2, &hung_up, true)] {
        let tape = spoken(&bed, number, scenario, by_us);
        let json = recordings(&client, &call_sid(number), 1).remove(0);
        let wav = client.heard(&json);
        judge::exact(wav.dual()[0], &tape.samples());
    }
    drop(tunnel);

    // Garbage in place of a handshake ends that connection alone.
    let mut plain = TcpStream::connect(secure).expect("it listens");
    plain
        .write_all(b"OPTIONS sip:reeld@127.0.0.1 SIP/2.0\r\n\r\n")
        .expect("it can be written to");
    plain.set_read_timeout(Some(BOUND)).expect("a timeout");
    let mut answer = Vec::new();
    // Closed or reset: what counts is that it ends.
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"SIP/"), "{answer:?}");

    // A certificate of another authority, after SIGHUP.
    let other = Authority::new("another");
    files.put(&other.files(&["127.0.0.1"]));
    bed.daemon.hang_up();
    wait_for("the new certificate", BOUND, || {
        let log = bed.daemon.log();
        log.contains("the new certificate is in use").then_some(())
    });
    let tunnel = Tunnel::start(address(2), secure, &other);
    bed.server = tunnel.at;
    let again = begun(3).wait(Duration::from_millis(2_000)).bye();
    let tape = spoken(&bed, 3, &again, false);
    let json = recordings(&client, &call_sid(3), 1).remove(0);
    let wav = client.heard(&json);
    judge::exact(wav.dual()[0], &tape.samples());
}
