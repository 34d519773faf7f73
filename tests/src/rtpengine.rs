//! A real rtpengine and two parties that talk through it: Debian's, in user space, on loopback, on ports of its own.
//!
//! Its control protocol is spoken in bencode here, which reeld does not: so each form is spoken to it. A SIP server's part
//! (offer, answer, delete) is the test's.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::client::Client;
use crate::patience::wait_for;
use crate::port_block::PortBlock;
use crate::{Ears, Sender, Setup, peer};

/// How long one answer may take on a busy machine.
const ANSWERED: Duration = Duration::from_secs(10);

/// A running rtpengine. Dropping it kills it.
#[derive(Debug)]
pub struct Rtpengine {
    child: Option<Child>,
    ports: PortBlock,
    folder: tempfile::TempDir,
    control: UdpSocket,
}

impl Default for Rtpengine {
    fn default() -> Self {
        Self::start()
    }
}

impl Rtpengine {
    /// Starts one and waits until it answers.
    ///
    /// # Panics
    /// When it is not installed, or does not answer.
    #[must_use]
    pub fn start() -> Self {
        let control = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
        control
            .set_read_timeout(Some(Duration::from_millis(250)))
            .expect("a time-out can be set");
        let folder = tempfile::Builder::new().prefix("rtpengine-").tempdir();
        let mut engine = Self {
            child: None,
            ports: PortBlock::take(192),
            folder: folder.expect("the temporary folder can be written"),
            control,
        };
        engine.start_again();
        engine
    }

    /// Starts it, on the same ports.
    ///
    /// # Panics
    /// As [`Rtpengine::start`]; when it still runs.
    pub fn start_again(&mut self) {
        assert!(self.child.is_none(), "it still runs");
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .expect("the temporary folder can be written");
        let mut command = Command::new("rtpengine");
        command
            .arg("--config-file=none")
            .arg("--table=-1")
            .arg("--foreground")
            .arg("--log-stderr")
            .arg("--log-level=5")
            .args(["--num-threads=2", "--media-num-threads=1"])
            .arg("--interface=127.0.0.1")
            .arg(format!("--listen-ng={}", self.ng()))
            .arg(format!("--port-min={}", self.ports.first() + 2))
            .arg(format!(
                "--port-max={}",
                self.ports.first() + self.ports.count() - 1
            ))
            .arg(format!(
                "--pidfile={}",
                self.folder.path().join("pid").display()
            ))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        self.child = Some(peer::spawn("rtpengine", command));
        wait_for("rtpengine to answer", Duration::from_secs(30), || {
            let text = self.try_ask(&bencode(&[("command", "ping".into())]))?;
            text.contains("pong").then_some(())
        });
    }

    /// Its control socket.
    #[must_use]
    pub fn ng(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.first()).into()
    }

    /// Kills it as the kernel would: SIGKILL.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill_nine(&mut self) {
        let mut child = self.child.take().expect("rtpengine runs");
        child.kill().expect("our own child can be killed");
        peer::bounded_wait("rtpengine", &mut child, Duration::from_secs(30));
    }

    /// A call of two parties, offered and answered.
    #[must_use]
    pub fn call(&self, id: &str) -> TwoParties<'_> {
        let [caller, callee] = [Sender::new(), Sender::new()];
        let mut call = TwoParties {
            engine: self,
            id: id.to_owned(),
            caller,
            callee,
            ports: [self.ng(); 2],
            is_answered: false,
        };
        call.signal("0 8 101", ["sendrecv", "sendrecv"]);
        call
    }

    /// What it says of a call, as it writes it: bencode.
    #[must_use]
    pub fn query(&self, id: &str) -> String {
        self.ask(&[("command", "query".into()), ("call-id", id.into())])
    }

    /// How many tags of reeld's a call has, and how many ends of subscriptions there are: each has one at the subscriber
    /// and one at the party.
    #[must_use]
    pub fn subscriptions(&self, id: &str) -> (usize, usize) {
        let text = self.query(id);
        let count = |what: &str| text.matches(what).count();
        (count("5:label5:reeld"), count("7:pub/sub"))
    }

    fn ask(&self, pairs: &[(&str, Item)]) -> String {
        let request = bencode(pairs);
        wait_for("an answer of rtpengine's", ANSWERED, || {
            self.try_ask(&request)
        })
    }

    fn try_ask(&self, request: &str) -> Option<String> {
        static COOKIES: AtomicU32 = AtomicU32::new(0);
        let cookie = format!("t{}", COOKIES.fetch_add(1, Ordering::Relaxed));
        // Nobody may listen there yet, or any more.
        self.control
            .send_to(format!("{cookie} {request}").as_bytes(), self.ng())
            .ok()?;
        let mut buffer = vec![0; 64 * 1024];
        let length = self.control.recv(&mut buffer).ok()?;
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        Some(text.strip_prefix(&format!("{cookie} "))?.to_owned())
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Drop for Rtpengine {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill_nine();
        }
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.log()).unwrap_or_default();
            eprintln!("---- stderr of rtpengine ----\n{log}\n---- end of stderr ----");
        }
    }
}

/// Two that talk through an rtpengine.
#[derive(Debug)]
pub struct TwoParties<'a> {
    engine: &'a Rtpengine,
    id: String,
    /// Who calls.
    pub caller: Sender,
    /// Who is called.
    pub callee: Sender,
    /// Where they send, the caller first.
    pub ports: [SocketAddr; 2],
    is_answered: bool,
}

impl TwoParties<'_> {
    /// An offer and its answer, with these formats and the directions of both: a re-INVITE, once the call is there.
    ///
    /// # Panics
    /// When rtpengine takes it not.
    pub fn signal(&mut self, formats: &str, directions: [&str; 2]) {
        let sdp = |sender: &Sender, direction: &str| -> Item {
            let port = sender.address().port();
            format!(
                "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP {formats}\r\n\
                 a=rtpmap:96 opus/48000/2\r\na=rtpmap:101 telephone-event/8000\r\na={direction}\r\n"
            )
            .into()
        };
        let mut offer = vec![
            ("command", "offer".into()),
            ("call-id", self.id.as_str().into()),
            ("from-tag", "caller's".into()),
            ("label", "caller".into()),
            ("sdp", sdp(&self.caller, directions[0])),
        ];
        if std::mem::replace(&mut self.is_answered, true) {
            offer.push(("to-tag", "callee's".into()));
        }
        let offered = self.engine.ask(&offer);
        let answered = self.engine.ask(&[
            ("command", "answer".into()),
            ("call-id", self.id.as_str().into()),
            ("from-tag", "caller's".into()),
            ("to-tag", "callee's".into()),
            ("label", "callee".into()),
            ("sdp", sdp(&self.callee, directions[1])),
        ]);
        // An offer goes on to the callee, who sends where it says; an answer to the caller.
        self.ports = [port_of(&answered), port_of(&offered)];
    }

    /// Both hear what comes to them from now on.
    #[must_use]
    pub fn listen(&self) -> [Ears; 2] {
        [self.caller.listen(), self.callee.listen()]
    }

    /// The call's end, at once.
    ///
    /// # Panics
    /// When rtpengine does not know it.
    pub fn delete(&self) {
        self.delete_after(0);
    }

    /// The call's end, which takes effect after so many seconds: as proxies do it that say nothing of a delay.
    ///
    /// # Panics
    /// When rtpengine does not know it.
    pub fn delete_after(&self, seconds: u64) {
        let reply = self.engine.ask(&[
            ("command", "delete".into()),
            ("call-id", self.id.as_str().into()),
            ("from-tag", "caller's".into()),
            ("delete-delay", Item::Number(seconds)),
        ]);
        assert!(reply.contains("6:result2:ok"), "{reply}");
    }
}

/// The setup of a daemon that follows it.
#[must_use]
pub fn following(setup: Setup, engine: &Rtpengine) -> Setup {
    setup.set("rtpengine.ng", engine.ng().to_string())
}

/// The CallSid of a call that is recorded by its SIP Call-ID.
#[must_use]
pub fn call_sid(client: &Client, id: &str) -> String {
    let name = format!("reeld-call\0{}\0{id}", client.account());
    format!("CA{}", &blake3::hash(name.as_bytes()).to_hex()[..32])
}

/// Waits until packets of this call go to the daemon: it is open there, and rtpengine has the subscription's answer.
///
/// # Panics
/// When they do not in time.
pub fn wait_recorded(client: &Client, engine: &Rtpengine, id: &str) -> Value {
    let sid = call_sid(client, id);
    wait_for("the call to be recorded", Duration::from_secs(30), || {
        let reply = client.get(&client.path(&format!("/Calls/{sid}.json")));
        if reply.status != 200 {
            return None;
        }
        let json: Value = reply.json();
        let ports = json["media"].as_array()?.iter();
        let ports: Vec<u64> = ports.filter_map(|media| media["port"].as_u64()).collect();
        let known = engine.query(id);
        let is_told = |port: &u64| known.contains(&format!("4:porti{port}e"));
        let is_running = json["status"] == "in-progress";
        (is_running && ports.len() == 2 && ports.iter().all(is_told)).then_some(json)
    })
}

/// A value of a request.
#[derive(Debug)]
enum Item {
    Text(String),
    Number(u64),
}

impl From<&str> for Item {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Item {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// A dictionary in bencode.
fn bencode(pairs: &[(&str, Item)]) -> String {
    let text = |text: &str| format!("{}:{text}", text.len());
    let pairs = pairs.iter().map(|(name, value)| match value {
        Item::Text(value) => text(name) + &text(value),
        Item::Number(value) => format!("{}i{value}e", text(name)),
    });
    format!("d{}e", pairs.collect::<String>())
}

/// The port of the only media line of an answer's SDP.
fn port_of(reply: &str) -> SocketAddr {
    let port = reply
        .split("m=audio ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next()?.parse().ok());
    let port: u16 = port.unwrap_or_else(|| panic!("no media line in {reply}"));
    (Ipv4Addr::LOCALHOST, port).into()
}
