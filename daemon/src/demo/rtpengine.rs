//! A real rtpengine for the demonstration, in user space and on loopback, and a call through it.
//!
//! Called by `demo`. A SIP proxy's part (offer and answer) is played here, by the NG protocol in JSON.

use std::fs::File;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

use super::LOOPBACK;

/// The call's name.
pub(super) const CALL: &str = "demo@reeld.example";

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one try of a request waits.
const ANSWERED: Duration = Duration::from_millis(500);

/// A running rtpengine. Dropped, it is killed.
pub(super) struct Rtpengine {
    child: Child,
    ng: SocketAddr,
    control: UdpSocket,
    asked: u32,
    /// The parties' ends, where rtpengine sends what the other one says.
    parties: [UdpSocket; 2],
}

impl Rtpengine {
    /// Starts one; its log is in `folder`.
    pub(super) fn start(folder: &Path) -> anyhow::Result<Self> {
        let bind = || UdpSocket::bind((LOOPBACK, 0));
        // A port that is free now.
        let ng = bind()?.local_addr()?;
        let log = File::create(folder.join("rtpengine.log"))?;
        let child = Command::new("rtpengine")
            .args(["--config-file=none", "--table=-1", "--foreground"])
            .args(["--log-stderr", "--log-level=5", "--interface=127.0.0.1"])
            .args(["--port-min=33000", "--port-max=36999"])
            .arg(format!("--listen-ng={ng}"))
            .arg(format!(
                "--pidfile={}",
                folder.join("rtpengine.pid").display()
            ))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("rtpengine cannot be run (Debian's package is rtpengine-daemon)")?;
        let control = bind()?;
        control.set_read_timeout(Some(ANSWERED))?;
        let mut engine = Self {
            child,
            ng,
            control,
            asked: 0,
            parties: [bind()?, bind()?],
        };
        let until = Instant::now() + PATIENCE;
        while engine.ask(&json!({ "command": "ping" })).is_err() {
            if let Some(status) = engine.child.try_wait()? {
                bail!(
                    "rtpengine has ended ({status}); its log is in {}",
                    folder.display()
                );
            }
            ensure!(Instant::now() < until, "rtpengine does not answer");
        }
        Ok(engine)
    }

    /// Its control socket.
    pub(super) const fn ng(&self) -> SocketAddr {
        self.ng
    }

    /// A call of two parties: where the caller and the callee send.
    pub(super) fn call(&mut self) -> anyhow::Result<[SocketAddr; 2]> {
        let mut ends = Vec::new();
        for party in &self.parties {
            ends.push(party.local_addr()?.port());
        }
        let sdp = |port: u16| {
            format!(
                "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n"
            )
        };
        let offered = self.ask(&json!({
            "command": "offer", "call-id": CALL, "from-tag": "caller", "sdp": sdp(ends[0]),
        }))?;
        let answered = self.ask(&json!({
            "command": "answer", "call-id": CALL, "from-tag": "caller", "to-tag": "callee", "sdp": sdp(ends[1]),
        }))?;
        // An offer goes on to the callee, who sends where it says; an answer to the caller.
        Ok([port_of(&answered)?, port_of(&offered)?])
    }

    /// Asks it something once.
    fn ask(&mut self, request: &Value) -> anyhow::Result<Value> {
        self.asked += 1;
        let cookie = format!("demo-{}", self.asked);
        self.control
            .send_to(format!("{cookie} {request}").as_bytes(), self.ng)?;
        let mut buffer = [0; 16 * 1024];
        let length = self.control.recv(&mut buffer)?;
        let text = std::str::from_utf8(&buffer[..length])?;
        let (answered, reply) = text.split_once(' ').context("an answer without a cookie")?;
        ensure!(answered == cookie, "an answer to another request");
        let reply: Value = serde_json::from_str(reply)?;
        ensure!(reply["result"] != "error", "rtpengine says {reply}");
        Ok(reply)
    }
}

impl Drop for Rtpengine {
    fn drop(&mut self) {
        // One that has ended has nothing to be killed, and leaves no child either.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn port_of(reply: &Value) -> anyhow::Result<SocketAddr> {
    let sdp = reply["sdp"].as_str().context("no SDP")?;
    let line = sdp.split("m=audio ").nth(1).context("no media line")?;
    let port: u16 = line.split(' ').next().unwrap_or_default().parse()?;
    Ok((LOOPBACK, port).into())
}
