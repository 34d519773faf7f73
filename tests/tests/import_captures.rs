//! `reeld import` of captures: those of Asterisk, FreeSWITCH and sipp give ffmpeg's decode of their
//! packets and the keys that were pressed, beside a live daemon; a call with SIP is one dual
//! recording under its Call-ID; what is damaged is said, and what is whole before it is imported.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use etherparse::PacketBuilder;
use reeld_tests::script::Law;
use reeld_tests::{
    Daemon, MediaKind, Setup, Tape, Voice, capture_file, for_each_media, judge, reference,
};
use serde_json::Value;

for_each_media!(
    captures_of_others_are_exact,
    a_call_of_sip_is_one_dual_recording
);

/// The Sids that an import printed.
fn sids(printed: &str) -> Vec<String> {
    let lines = printed.lines();
    lines
        .filter_map(|line| line.split_whitespace().next())
        .filter(|word| word.starts_with("RE"))
        .map(str::to_owned)
        .collect()
}

fn import(daemon: &Daemon, path: &Path) -> Vec<String> {
    let path = path.display().to_string();
    sids(&daemon.command(&["import", &path]).success().text())
}

fn captures_of_others_are_exact(media: MediaKind) {
    let daemon = Setup::new().media(media).start();
    let client = daemon.client();
    let captures = [
        (
            capture_file::shared("freeswitch-milliwatt.pcmu.rtp.pcap"),
            Law::Mu,
        ),
        (
            capture_file::shared("asterisk-ulaw-dtmf-2013785496.pcap"),
            Law::Mu,
        ),
        (Some(capture_file::of_sipp("g711a.pcap")), Law::A),
    ];
    for (path, law) in captures {
        let Some(path) = path else {
            continue;
        };
        let sid = import(&daemon, &path).remove(0);
        let script = capture_file::read(&path);
        let packets = capture_file::packets(&script);
        let wav = client.wav(&sid);
        let padding = judge::exact(wav.mono(), &reference::placed(law, &packets));
        assert_eq!(padding.lead, 0, "it starts at its first packet");
        assert!(padding.trail <= 800, "{padding:?}");
        let record = client.recording(&sid);
        assert_eq!(record["ended_by"], "imported");
        assert_eq!(
            record["tracks"]["inbound"]["packets"].as_u64(),
            Some(packets.len() as u64),
            "{record}"
        );
        if path.display().to_string().contains("asterisk") {
            assert!(
                record["digits"]
                    .as_str()
                    .is_some_and(|keys| !keys.is_empty()),
                "{record}"
            );
        }
        // Again: it is known, and nothing is made.
        assert!(import(&daemon, &path).is_empty());
    }
    // Keys alone are no sound: the recording is absent, and has them.
    for (name, key) in [("5", "5"), ("star", "*"), ("pound", "#")] {
        let path = capture_file::of_sipp(&format!("dtmf_2833_{name}.pcap"));
        let run = daemon.command(&["import", &path.display().to_string()]);
        let told = run.success().stderr;
        assert!(told.contains(&format!("the keys {key}\n")), "{told}");
    }
}

/// A pcap file of raw IP packets, each at its time.
fn pcap(packets: &[(Duration, Vec<u8>)]) -> Vec<u8> {
    let mut file = Vec::new();
    file.extend(0xa1b2_c3d4_u32.to_le_bytes());
    file.extend([2, 0, 4, 0]);
    for word in [0, 0, 65_535, 101_u32] {
        file.extend(word.to_le_bytes());
    }
    for (at, packet) in packets {
        let length = u32::try_from(packet.len()).expect("a packet is short");
        let seconds = 1_246_910_400 + u32::try_from(at.as_secs()).expect("a call is short");
        for word in [seconds, at.subsec_micros(), length, length] {
            file.extend(word.to_le_bytes());
        }
        file.extend(packet);
    }
    file
}

const CALLER: [u8; 4] = [192, 0, 2, 1];
const CALLEE: [u8; 4] = [192, 0, 2, 2];

fn udp(from: ([u8; 4], u16), to: ([u8; 4], u16), payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ipv4(from.0, to.0, 64)
        .udp(from.1, to.1)
        .write(&mut packet, payload)
        .expect("writing into memory cannot fail");
    packet
}

fn sip(start: &str, method: &str, address: &str) -> Vec<u8> {
    let body = format!(
        "v=0\r\no=- 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n\
         m=audio 4000 RTP/AVP 0\r\n"
    );
    format!(
        "{start}\r\nFrom: <sip:alice@a.example>;tag=a\r\nTo: <sip:bob@b.example>;tag=b\r\n\
         Call-ID: 7@a.example\r\nCSeq: 1 {method}\r\nContent-Type: application/sdp\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A call of two seconds with SIP; what each side says.
fn call(folder: &Path) -> (PathBuf, [Tape; 2]) {
    let tapes = [1, 2].map(|seed| Tape::noise(Law::Mu, seed, 16_000));
    let (caller, callee) = ((CALLER, 5_060), (CALLEE, 5_060));
    let ms = Duration::from_millis;
    let mut packets = vec![
        (
            ms(0),
            udp(
                caller,
                callee,
                &sip("INVITE sip:bob@b.example SIP/2.0", "INVITE", "192.0.2.1"),
            ),
        ),
        (
            ms(40),
            udp(
                callee,
                caller,
                &sip("SIP/2.0 200 OK", "INVITE", "192.0.2.2"),
            ),
        ),
        (
            ms(2_100),
            udp(
                caller,
                callee,
                &sip("BYE sip:bob@b.example SIP/2.0", "BYE", "192.0.2.1"),
            ),
        ),
    ];
    for (number, tape) in tapes.iter().enumerate() {
        let ends = [(CALLER, 4_000), (CALLEE, 4_000)];
        let script = Voice::new(number as u64).say(tape.codes());
        for cue in script.0 {
            let packet = udp(ends[number], ends[1 - number], &cue.bytes);
            packets.push((cue.at + ms(80), packet));
        }
    }
    packets.sort_by_key(|(at, _)| *at);
    let path = folder.join("call.pcap");
    fs::write(&path, pcap(&packets)).expect("the temporary folder can be written");
    (path, tapes)
}

fn a_call_of_sip_is_one_dual_recording(media: MediaKind) {
    let daemon = Setup::new().media(media).start();
    let client = daemon.client();
    let (path, tapes) = call(daemon.folder());
    let made = import(&daemon, &path);
    assert_eq!(made.len(), 1);
    let wav = client.wav(&made[0]);
    for (channel, tape) in wav.dual().into_iter().zip(&tapes) {
        judge::exact(channel, &reference::decode(Law::Mu, tape.codes()));
    }
    let record = client.recording(&made[0]);
    assert_eq!(record["channels"], 2);
    assert_eq!(record["date_created"], "Mon, 06 Jul 2009 20:00:00 +0000");
    let tags: &Value = &record["tags"];
    assert_eq!(tags["external_id"], "7@a.example", "{record}");
    assert_eq!(tags["from"], "sip:alice@a.example");
    assert_eq!(tags["to"], "sip:bob@b.example");
    // The CallSid is the one that the API would give the same call.
    let opened = client.open_call(&[("ExternalId", "7@a.example")]).json();
    assert_eq!(opened["sid"], record["call_sid"]);
}

#[test]
fn a_damaged_file_is_said_and_the_rest_goes_on() {
    let mut daemon = Setup::new().start();
    let (path, _) = call(daemon.folder());
    let whole = fs::read(&path).expect("it was written");
    let cut = daemon.folder().join("cut.pcap");
    fs::write(&cut, &whole[..whole.len() / 2]).expect("the temporary folder can be written");
    let noise = daemon.folder().join("noise.pcapng");
    fs::write(&noise, [7; 1_000]).expect("the temporary folder can be written");
    let shown = [&noise, &cut, &path].map(|path| path.display().to_string());
    let args = ["import", &shown[0], &shown[1], &shown[2]];
    let run = daemon.command(&args);
    assert_eq!(run.status.code(), Some(1));
    assert_eq!(sids(&run.text()).len(), 2);
    assert!(
        run.stderr.contains("cut.pcap: damaged at byte"),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr.contains("noise.pcapng: it is neither"),
        "{}",
        run.stderr
    );

    // Without a daemon the folder is opened here, and all of it is known there already.
    assert!(daemon.terminate().success());
    let run = daemon.command(&["import", &shown[2]]).success();
    assert!(
        run.stderr.contains("imported before as RE"),
        "{}",
        run.stderr
    );
    let account = [
        "import",
        &shown[2],
        "--account",
        "AC00000000000000000000000000000000",
    ];
    let run = daemon.command(&account);
    assert!(
        run.stderr.contains("there is no account AC0"),
        "{}",
        run.stderr
    );
    assert_eq!(run.status.code(), Some(1));
    daemon.command(&["verify"]).success();
    daemon.start_again();
}
