//! Real calls of FreeSWITCH and Asterisk, from the project's `shared` folder, recorded as they were
//! captured. The first skips a packet's time in mid-call, the second presses keys by RFC 4733.

use reeld_tests::client::call_sid;
use reeld_tests::script::Law;
use reeld_tests::{MediaKind, Sender, Setup, capture_file, for_each_media, judge, reference};

for_each_media!(
    freeswitchs_milliwatt_is_exact,
    asterisks_call_with_keys_is_exact
);

fn replay(media: MediaKind, name: &str) {
    let Some(path) = capture_file::shared(name) else {
        return;
    };
    let script = capture_file::read(&path);
    let packets = capture_file::packets(&script);
    let daemon = Setup::new().media(media).start();
    let client = daemon.client();
    let started = client.start(&call_sid(1), &[("RecordingTrack", "inbound")]);
    let sent = Sender::new().play(started.inbound(), script);
    client.stop(&started);
    let after_the_last = sent.last().expect("it was sent").elapsed();
    client.wait_completed(&started.sid);
    let wav = client.wav(&started.sid);
    let padding = judge::exact(wav.mono(), &reference::placed(Law::Mu, &packets));
    assert_eq!(padding.lead, 0, "it starts at its first packet");
    // Within one packet of the call's length, from the first packet to the stop.
    assert!(
        padding.trail as u128 <= after_the_last.as_millis() * 8 + 160,
        "{padding:?}"
    );
}

fn freeswitchs_milliwatt_is_exact(media: MediaKind) {
    replay(media, "freeswitch-milliwatt.pcmu.rtp.pcap");
}

fn asterisks_call_with_keys_is_exact(media: MediaKind) {
    replay(media, "asterisk-ulaw-dtmf-2013785496.pcap");
}
