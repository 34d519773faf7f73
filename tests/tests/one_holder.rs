//! A data folder has one holder: a second daemon refuses to start and says who holds it; the first
//! does not notice. When it is gone, also by kill -9, the folder is free.

use std::net::Ipv4Addr;
use std::time::Duration;

use reeld_tests::binary::reeld;
use reeld_tests::client::call_sid;
use reeld_tests::port_block::PortBlock;
use reeld_tests::script::Law;
use reeld_tests::{Sender, Setup, Tape, Voice, judge, peer};

#[test]
fn a_second_daemon_is_told_who_holds_the_folder() {
    let mut daemon = Setup::new().start();
    let client = daemon.client().clone();
    let started = client.start(&call_sid(1), &[("RecordingTrack", "inbound")]);
    let tape = Tape::noise(Law::Mu, 1, 16_000);
    let playing = Sender::new().start(started.inbound(), Voice::new(1).say(tape.codes()));

    let ports = PortBlock::take(2);
    let mut second = reeld();
    second.arg("serve").arg("--data-dir").arg(daemon.data_dir());
    second
        .arg("--listen")
        .arg(format!("{}:{}", Ipv4Addr::LOCALHOST, ports.first()));
    let second = peer::finish("reeld", second, &[], Duration::from_secs(30));
    assert_eq!(second.status.code(), Some(1), "{}", second.stderr);
    let holder = daemon.pid().to_string();
    assert!(
        second.stderr.contains(&holder),
        "no {holder} in {}",
        second.stderr
    );

    playing.finish();
    judge::exact(client.finish(&started).mono(), &tape.samples());
    daemon.kill_nine();
    daemon.start_again();
    assert!(client.wav(&started.sid).frames() >= 16_000);
}
