//! A recording client: sipp, with scenarios of ours, and what it finds of its calls in the API.
//!
//! sipp has the signalling; packets are the harness's [`crate::Sender`]'s, so that files can be judged to the sample.
//! A scenario is steps in their order; each waits for the answer that it names.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::client::{Client, media_address};
use crate::patience::wait_for;
use crate::port_block::PortBlock;
use crate::{Daemon, Setup, peer};

/// How long sipp may take beyond its scenario.
const BOUND: Duration = Duration::from_secs(60);

/// How messages go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// UDP from one port.
    Udp,
    /// A TCP connection for all calls.
    Tcp,
}

/// A daemon with a SIPREC server, and the ports of both sides.
#[derive(Debug)]
pub struct Bed {
    /// The daemon.
    pub daemon: Daemon,
    /// Where it takes recording clients.
    pub server: SocketAddr,
    ports: PortBlock,
}

impl Bed {
    /// Starts it.
    ///
    /// # Panics
    /// When the daemon does not start.
    #[must_use]
    pub fn start(setup: Setup) -> Self {
        let ports = PortBlock::take(8);
        let server = SocketAddr::from(([127, 0, 0, 1], ports.first()));
        let daemon = setup.set("sip.listen", server.to_string()).start();
        Self {
            daemon,
            server,
            ports,
        }
    }

    /// A client of the API.
    #[must_use]
    pub fn client(&self) -> Client {
        self.daemon.client().clone()
    }

    /// The command that plays a scenario; `calls` in all, so many a second.
    #[must_use]
    pub fn sipp(
        &self,
        scenario: &Scenario,
        transport: Transport,
        calls: u32,
        rate: u32,
    ) -> Command {
        let file = self.daemon.folder().join(format!("{}.xml", scenario.name));
        std::fs::write(&file, scenario.text()).expect("the temporary folder can be written");
        let mut command = Command::new("sipp");
        command
            .current_dir(self.daemon.folder())
            .arg(self.server.to_string())
            .arg("-sf")
            .arg(file);
        let port = (self.ports.first() + 2).to_string();
        let mode = match transport {
            Transport::Udp => "u1",
            Transport::Tcp => "t1",
        };
        command.args([
            "-t",
            mode,
            "-i",
            "127.0.0.1",
            "-p",
            &port,
            "-mi",
            "127.0.0.1",
            "-nostdin",
        ]);
        command.args([
            "-m",
            &calls.to_string(),
            "-r",
            &rate.to_string(),
            "-l",
            &calls.to_string(),
        ]);
        command.args([
            "-timeout",
            "120s",
            "-timeout_error",
            "-trace_err",
            "-recv_timeout",
            "20000",
        ]);
        command.args(["-default_behaviors", "all,-bye"]);
        command
    }

    /// Begins to play a scenario once.
    #[must_use]
    pub fn begin(&self, scenario: &Scenario, transport: Transport) -> Running {
        let mut command = self.sipp(scenario, transport, 1, 1);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Running {
            child: peer::spawn("sipp", command),
            folder: self.daemon.folder().to_owned(),
        }
    }

    /// Plays a scenario once, to its end.
    ///
    /// # Panics
    /// When an answer is another than the one awaited.
    pub fn play(&self, scenario: &Scenario, transport: Transport) {
        self.begin(scenario, transport).finish();
    }
}

/// A sipp that plays.
#[derive(Debug)]
pub struct Running {
    child: Child,
    folder: PathBuf,
}

impl Running {
    /// Waits for its end.
    ///
    /// # Panics
    /// When an answer was another than the one awaited; the message has sipp's own.
    #[track_caller]
    pub fn finish(mut self) {
        let status = peer::bounded_wait("sipp", &mut self.child, BOUND);
        assert!(status.success(), "sipp: {status}\n{}", errors(&self.folder));
    }
}

/// What sipp wrote of what went wrong.
#[must_use]
pub fn errors(folder: &Path) -> String {
    let files = std::fs::read_dir(folder).expect("the temporary folder can be read");
    let logs = files.filter_map(Result::ok).map(|file| file.path());
    let logs = logs.filter(|path| path.to_string_lossy().contains("_errors.log"));
    let texts = logs.filter_map(|path| std::fs::read_to_string(path).ok());
    texts.collect::<String>().chars().take(4_000).collect()
}

/// What a recording client says, in its order.
#[derive(Debug, Clone)]
pub struct Scenario {
    name: String,
    steps: String,
    cseq: u32,
    from: String,
    contact: String,
}

impl Scenario {
    /// An empty one of this name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            steps: String::new(),
            cseq: 0,
            from: "<sip:src@[local_ip]:[local_port]>".to_owned(),
            contact: ";+sip.src".to_owned(),
        }
    }

    /// An empty one of a client that is no recording client but a telephone: it calls as `from`.
    #[must_use]
    pub fn plain(name: &str, from: &str) -> Self {
        Self {
            from: from.to_owned(),
            contact: String::new(),
            ..Self::new(name)
        }
    }

    /// A request of the session's, with headers and a body; awaits `status`, and acknowledges an INVITE's.
    #[must_use]
    pub fn request(mut self, method: &str, headers: &str, body: &str, status: u16) -> Self {
        self = self.ask(method, headers, body, status);
        if method == "INVITE" {
            let cseq = self.cseq;
            self.send("ACK", cseq, "[peer_tag_param]", "", "", false);
        }
        self
    }

    fn ask(mut self, method: &str, headers: &str, body: &str, status: u16) -> Self {
        self.cseq += 1;
        let cseq = self.cseq;
        let to_tag = if cseq == 1 { "" } else { "[peer_tag_param]" };
        self.send(method, cseq, to_tag, headers, body, true);
        if method == "INVITE" {
            self.steps
                .push_str("<recv response=\"100\" optional=\"true\"/>\n");
        }
        let _ = writeln!(self.steps, "<recv response=\"{status}\"/>");
        self
    }

    /// An INVITE without an offer, whose ACK has the answer to the server's, or nothing.
    #[must_use]
    pub fn delayed(self, headers: &str, answer: &str) -> Self {
        self.delayed_with(headers, "", answer)
    }

    /// The same with a body that is no offer.
    #[must_use]
    pub fn delayed_with(mut self, headers: &str, body: &str, answer: &str) -> Self {
        self = self.ask("INVITE", headers, body, 200);
        let cseq = self.cseq;
        let kind = if answer.is_empty() { "" } else { SDP };
        self.send("ACK", cseq, "[peer_tag_param]", kind, answer, false);
        self
    }

    /// The first INVITE by the letter: two lines, metadata, this CallSid.
    #[must_use]
    pub fn invite(self, call_sid: &str, sdp: &str, metadata: &str) -> Self {
        let headers = format!("{STRICT_HEADERS}X-Call-Sid: {call_sid}\n");
        self.request("INVITE", &headers, &multipart(sdp, metadata), 200)
    }

    /// Time without a message.
    #[must_use]
    pub fn wait(mut self, time: Duration) -> Self {
        let _ = writeln!(self.steps, "<pause milliseconds=\"{}\"/>", time.as_millis());
        self
    }

    /// The end of the session.
    #[must_use]
    pub fn bye(self) -> Self {
        self.request("BYE", "", "", 200)
    }

    /// Waits for the server's BYE.
    #[must_use]
    pub fn hung_up(mut self) -> Self {
        self.steps.push_str(
            "<recv request=\"BYE\"/>\n<send><![CDATA[\n\nSIP/2.0 200 OK\n[last_Via:]\n[last_From:]\n[last_To:]\n\
             [last_Call-ID:]\n[last_CSeq:]\nContent-Length: 0\n\n]]></send>\n",
        );
        self
    }

    fn send(
        &mut self,
        method: &str,
        cseq: u32,
        to_tag: &str,
        headers: &str,
        body: &str,
        repeats: bool,
    ) {
        let retrans = if repeats { " retrans=\"500\"" } else { "" };
        let body = if body.is_empty() {
            "Content-Length: 0\n\n".to_owned()
        } else {
            format!("Content-Length: [len]\n\n{body}\n")
        };
        let (from, contact) = (&self.from, &self.contact);
        let _ = write!(
            self.steps,
            "<send{retrans}><![CDATA[\n\n{method} sip:rec@[remote_ip]:[remote_port] SIP/2.0\n\
             Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]\n\
             From: {from};tag=[call_number]\nTo: <sip:rec@[remote_ip]:[remote_port]>{to_tag}\n\
             Call-ID: [call_id]\nCSeq: {cseq} {method}\nContact: <sip:src@[local_ip]:[local_port];transport=[transport]>{contact}\n\
             Max-Forwards: 70\n{headers}{body}\n]]></send>\n"
        );
    }

    fn text(&self) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<scenario name=\"{}\">\n{}</scenario>\n",
            self.name, self.steps
        )
    }
}

/// Headers of an INVITE of several parts, by the letter.
pub const STRICT_HEADERS: &str = "Require: siprec\n\
    Accept: application/sdp, application/rs-metadata, application/rs-metadata-request\n\
    Content-Type: multipart/mixed;boundary=uniqueBoundary\n";

/// The headers of a body of SDP alone.
pub const SDP: &str = "Content-Type: application/sdp\n";

/// Both parts.
#[must_use]
pub fn multipart(sdp: &str, metadata: &str) -> String {
    format!(
        "--uniqueBoundary\nContent-Type: application/sdp\nContent-Disposition: session;handling=required\n\n{sdp}\n\
         --uniqueBoundary\nContent-Type: application/rs-metadata+xml\nContent-Disposition: recording-session\n\n{metadata}\n\
         --uniqueBoundary--"
    )
}

/// An offer of lines with these labels and directions, all of G.711.
#[must_use]
pub fn offer(lines: &[(&str, &str)]) -> String {
    let mut text = "v=0\no=src 1 1 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\n".to_owned();
    for (place, (label, direction)) in lines.iter().enumerate() {
        let _ = writeln!(text, "m=audio {} RTP/AVP 0 8 101", 40_000 + 2 * place);
        text.push_str(
            "a=rtpmap:0 PCMU/8000\na=rtpmap:8 PCMA/8000\na=rtpmap:101 telephone-event/8000\n",
        );
        let _ = writeln!(text, "a={direction}\na=label:{label}");
    }
    text.trim_end().to_owned()
}

/// Metadata of RFC 7865: participants by their names, and the label of the stream that each sends.
#[must_use]
pub fn metadata(session: &str, participants: &[(&str, &str)]) -> String {
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<recording xmlns=\"urn:ietf:params:xml:ns:recording:1\">\n\
         <datamode>complete</datamode>\n<session session_id=\"{session}\"><sipSessionID>ab30317f</sipSessionID></session>\n"
    );
    for (name, label) in participants {
        let _ = writeln!(
            text,
            "<participant participant_id=\"p-{name}\"><nameID aor=\"sip:{name}@a.example\"><name>{name}</name></nameID></participant>\n\
             <stream stream_id=\"s-{label}\" session_id=\"{session}\"><label>{label}</label></stream>\n\
             <participantstreamassoc participant_id=\"p-{name}\"><send>s-{label}</send></participantstreamassoc>"
        );
    }
    text + "</recording>"
}

/// Where a call's tracks are sent, once it is open.
///
/// # Panics
/// When it is not open in time.
#[must_use]
pub fn ports(client: &Client, call: &str) -> [SocketAddr; 2] {
    wait_for("the call to be open", Duration::from_secs(20), || {
        let reply = client.get(&client.path(&format!("/Calls/{call}.json")));
        if reply.status != 200 {
            return None;
        }
        let json: Value = reply.json();
        let running = json["recordings"]
            .as_array()
            .is_some_and(|all| !all.is_empty());
        let port = |track| media_address(&json, track);
        Some([port("inbound")?, port("outbound")?]).filter(|_| running)
    })
}

/// The recordings of a call, the newest first, once there are so many that have ended.
///
/// # Panics
/// When there are not in time.
#[must_use]
pub fn recordings(client: &Client, call: &str, count: usize) -> Vec<Value> {
    let path = client.path(&format!("/Recordings.json?CallSid={call}"));
    let all = wait_for(
        "the recordings to be there",
        Duration::from_secs(20),
        || {
            let all = client.get(&path).json()["recordings"].as_array().cloned()?;
            let ended = all.iter().all(|one| one["status"] != "processing");
            (all.len() == count && ended).then_some(all)
        },
    );
    let sids = all
        .iter()
        .map(|one| one["sid"].as_str().expect("a Sid").to_owned());
    sids.map(|sid| client.recording(&sid)).collect()
}
