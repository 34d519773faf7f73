//! sipp's `g711a.pcap`, A-law in packets of 30 ms, played by sipp itself in a SIP call whose callee
//! names reeld's port in its SDP, and by our own player.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use reeld_tests::client::call_sid;
use reeld_tests::port_block::PortBlock;
use reeld_tests::script::Law;
use reeld_tests::{
    MediaKind, Sender, Setup, Wav, capture_file, for_each_media, judge, peer, reference,
};

for_each_media!(our_player_sends_sipps_call, sipp_sends_its_call);

const CALLER: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<scenario name="caller">
<send retrans="500"><![CDATA[

INVITE sip:callee@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]
From: <sip:caller@[local_ip]:[local_port]>;tag=[call_number]
To: <sip:callee@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: 1 INVITE
Contact: <sip:caller@[local_ip]:[local_port]>
Max-Forwards: 70
Content-Type: application/sdp
Content-Length: [len]

v=0
o=caller 1 1 IN IP4 [local_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 8
a=rtpmap:8 PCMA/8000
a=ptime:30
]]></send>
<recv response="200"/>
<send><![CDATA[

ACK sip:callee@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]
From: <sip:caller@[local_ip]:[local_port]>;tag=[call_number]
To: <sip:callee@[remote_ip]:[remote_port]>[peer_tag_param]
Call-ID: [call_id]
CSeq: 1 ACK
Max-Forwards: 70
Content-Length: 0

]]></send>
<nop><action><exec play_pcap_audio="PCAP"/></action></nop>
<pause milliseconds="7400"/>
<send retrans="500"><![CDATA[

BYE sip:callee@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]
From: <sip:caller@[local_ip]:[local_port]>;tag=[call_number]
To: <sip:callee@[remote_ip]:[remote_port]>[peer_tag_param]
Call-ID: [call_id]
CSeq: 2 BYE
Max-Forwards: 70
Content-Length: 0

]]></send>
<recv response="200"/>
</scenario>
"#;

const CALLEE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<scenario name="callee">
<recv request="INVITE"/>
<send retrans="500"><![CDATA[

SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:];tag=callee[call_number]
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:callee@[local_ip]:[local_port]>
Content-Type: application/sdp
Content-Length: [len]

v=0
o=callee 1 1 IN IP4 [local_ip]
s=-
c=IN IP4 127.0.0.1
t=0 0
m=audio PORT RTP/AVP 8
a=rtpmap:8 PCMA/8000
]]></send>
<recv request="ACK"/>
<recv request="BYE"/>
<send><![CDATA[

SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0

]]></send>
</scenario>
"#;

/// A sipp process on `port` with this scenario, for one call.
fn sipp(folder: &Path, name: &str, scenario: &str, port: u16, media_port: u16) -> Command {
    let file = folder.join(format!("{name}.xml"));
    fs::write(&file, scenario).expect("the temporary folder can be written");
    let mut command = Command::new("sipp");
    command.current_dir(folder).arg("-sf").arg(file);
    command.args([
        "-m",
        "1",
        "-nostdin",
        "-i",
        "127.0.0.1",
        "-mi",
        "127.0.0.1",
        "-timeout",
        "40s",
    ]);
    command.args(["-timeout_error", "-p", &port.to_string()]);
    command.args(["-mp", &media_port.to_string()]);
    command
}

fn judge_sipps_call(wav: &Wav, after_the_last: Duration) {
    let packets = capture_file::packets(&capture_file::read(&capture_file::of_sipp("g711a.pcap")));
    let padding = judge::exact(wav.mono(), &reference::placed(Law::A, &packets));
    assert_eq!(padding.lead, 0, "it starts at its first packet");
    let most = after_the_last + Duration::from_millis(30);
    assert!(
        padding.trail as u128 <= most.as_millis() * 8,
        "{padding:?} in {after_the_last:?}"
    );
}

fn our_player_sends_sipps_call(media: MediaKind) {
    let daemon = Setup::new().media(media).start();
    let client = daemon.client();
    let started = client.start(&call_sid(1), &[("RecordingTrack", "inbound")]);
    let script = capture_file::read(&capture_file::of_sipp("g711a.pcap"));
    let sent = Sender::new().play(started.inbound(), script);
    client.stop(&started);
    let after_the_last = sent.last().expect("it was sent").elapsed();
    client.wait_completed(&started.sid);
    judge_sipps_call(&client.wav(&started.sid), after_the_last);
}

fn sipp_sends_its_call(media: MediaKind) {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: sipp plays captures through a raw socket, which only root may open");
        return;
    }
    let daemon = Setup::new().media(media).start();
    let client = daemon.client();
    let started = client.start(&call_sid(1), &[("RecordingTrack", "inbound")]);
    let folder = daemon.folder();
    let ports = PortBlock::take(12);
    let [callee_port, caller_port] = [ports.first(), ports.first() + 2];
    let scenario = CALLEE.replace("PORT", &started.inbound().port().to_string());
    let mut callee = sipp(folder, "callee", &scenario, callee_port, ports.first() + 4);
    callee
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .stdin(Stdio::null());
    let mut callee = peer::spawn("sipp", callee);
    let pcap = capture_file::of_sipp("g711a.pcap").display().to_string();
    let scenario = CALLER.replace("PCAP", &pcap);
    let mut caller = sipp(folder, "caller", &scenario, caller_port, ports.first() + 8);
    caller.arg(format!("127.0.0.1:{callee_port}"));
    let begun = Instant::now();
    peer::finish("sipp", caller, &[], Duration::from_secs(50)).success();
    let status = peer::bounded_wait("sipp", &mut callee, Duration::from_secs(50));
    assert!(status.success(), "the callee: {status}");
    client.stop(&started);
    client.wait_completed(&started.sid);
    let after_the_last = begun.elapsed().saturating_sub(Duration::from_millis(7_050));
    judge_sipps_call(&client.wav(&started.sid), after_the_last);
}
