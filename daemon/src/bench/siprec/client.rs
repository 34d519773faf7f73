//! A recording client by UDP, of one call after another: INVITE, ACK, BYE, each repeated until it is answered.
//!
//! Called by `siprec`. Only what a measurement needs of SIP: that other clients are understood is for tests with sipp.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use reeld_model::CallSid;

/// RFC 3261's T1: from a request to its first repetition.
const T1: Duration = Duration::from_millis(500);

/// How long an answer may take, repetitions included (RFC 3261 §17.1.1.2).
const GIVEN_UP: Duration = Duration::from_secs(32);

/// A client, with a socket of its own.
#[derive(Debug)]
pub(super) struct Client {
    socket: UdpSocket,
    own: SocketAddr,
    server: SocketAddr,
    transactions: u64,
}

/// A session that was answered.
#[derive(Debug)]
pub(super) struct Session {
    call: CallSid,
    /// The server's To, with its tag.
    to: String,
    /// Where it wants the two lines' RTP.
    pub(super) ports: [u16; 2],
}

impl Client {
    /// One that calls `server`.
    pub(super) fn new(server: SocketAddr) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(server)?;
        Ok(Self {
            own: socket.local_addr()?,
            socket,
            server,
            transactions: 0,
        })
    }

    /// Has a call recorded: its session, and how long the answer took.
    pub(super) fn invite(&mut self, call: CallSid) -> anyhow::Result<(Session, Duration)> {
        let (own, server) = (self.own, self.server);
        let line = |label: u8| format!("m=audio 9 RTP/AVP 0\r\na=sendonly\r\na=label:{label}\r\n");
        let body = format!(
            "--b\r\nContent-Type: application/sdp\r\n\r\n\
             v=0\r\no=bench 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n{}{}\r\n\
             --b\r\nContent-Type: application/rs-metadata+xml\r\nContent-Disposition: recording-session\r\n\r\n\
             <recording xmlns=\"urn:ietf:params:xml:ns:recording:1\"><datamode>complete</datamode><session session_id=\"{call}\"/>\
             <participant participant_id=\"a\"><nameID aor=\"sip:+15550100@example.com\"/></participant>\
             <participant participant_id=\"b\"><nameID aor=\"sip:+15550101@example.com\"/></participant>\
             <stream stream_id=\"1\" session_id=\"{call}\"><label>1</label></stream>\
             <stream stream_id=\"2\" session_id=\"{call}\"><label>2</label></stream>\
             <participantstreamassoc participant_id=\"a\"><send>1</send></participantstreamassoc>\
             <participantstreamassoc participant_id=\"b\"><send>2</send></participantstreamassoc></recording>\r\n--b--\r\n",
            line(1),
            line(2),
        );
        let headers = format!(
            "Contact: <sip:bench@{own}>;+sip.src\r\nRequire: siprec\r\nX-Call-Sid: {call}\r\n\
             Content-Type: multipart/mixed;boundary=b\r\n"
        );
        let to = format!("<sip:reeld@{server}>");
        let begun = Instant::now();
        let answer = self.request("INVITE", 1, call, &to, &headers, &body)?;
        let took = begun.elapsed();
        let to = header(&answer, "to:").context("an answer without a To")?;
        let session = Session {
            call,
            ports: ports(&answer)?,
            to: to.to_owned(),
        };
        let ack = self.message("ACK", 1, call, &session.to, "", "");
        self.socket.send(ack.as_bytes())?;
        Ok((session, took))
    }

    /// Ends a session.
    pub(super) fn bye(&mut self, session: &Session) -> anyhow::Result<()> {
        self.request("BYE", 2, session.call, &session.to, "", "")?;
        Ok(())
    }

    /// Sends a request until its final answer has come, which has to be 200.
    fn request(
        &mut self,
        method: &str,
        cseq: u32,
        call: CallSid,
        to: &str,
        headers: &str,
        body: &str,
    ) -> anyhow::Result<String> {
        self.transactions += 1;
        let message = self.message(method, cseq, call, to, headers, body);
        let wanted = (call.to_string(), format!("{cseq} {method}"));
        let begun = Instant::now();
        let mut interval = T1;
        let mut bytes = vec![0; 64 * 1024];
        while begun.elapsed() < GIVEN_UP {
            self.socket.send(message.as_bytes())?;
            let until = Instant::now() + interval;
            interval *= 2;
            loop {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                self.socket.set_read_timeout(Some(left))?;
                let length = match self.socket.recv(&mut bytes) {
                    Ok(length) => length,
                    Err(error) if is_late(&error) => break,
                    Err(error) => return Err(error).context(format!("{method} {}", self.server)),
                };
                let answer = String::from_utf8_lossy(&bytes[..length]).into_owned();
                // Answers to what was repeated come twice.
                let is_ours = header(&answer, "call-id:") == Some(&wanted.0)
                    && header(&answer, "cseq:") == Some(&wanted.1);
                let status = answer.split(' ').nth(1).unwrap_or_default();
                if !is_ours || status.starts_with('1') {
                    continue;
                }
                ensure!(status == "200", "{method} was answered with {answer}");
                return Ok(answer);
            }
        }
        bail!("{method} was not answered within {GIVEN_UP:?}")
    }

    fn message(
        &self,
        method: &str,
        cseq: u32,
        call: CallSid,
        to: &str,
        headers: &str,
        body: &str,
    ) -> String {
        let (own, server, branch) = (self.own, self.server, self.transactions);
        format!(
            "{method} sip:reeld@{server} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK{}-{branch};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:bench@{own}>;tag={call}\r\nTo: {to}\r\nCall-ID: {call}\r\n\
             CSeq: {cseq} {method}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            own.port(),
            body.len()
        )
    }
}

/// Whether nothing came in time.
fn is_late(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::WouldBlock
            | std::io::ErrorKind::TimedOut
            | std::io::ErrorKind::Interrupted
    )
}

/// A header's value, by its name in lower case with its colon.
fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    let lines = message.split("\r\n").take_while(|line| !line.is_empty());
    let mut values = lines.filter_map(|line| {
        let is_it = line.get(..name.len())?.eq_ignore_ascii_case(name);
        is_it.then(|| line[name.len()..].trim())
    });
    values.next()
}

/// The ports of an answer's two lines.
fn ports(answer: &str) -> anyhow::Result<[u16; 2]> {
    let lines = answer
        .lines()
        .filter_map(|line| line.strip_prefix("m=audio "));
    let ports = lines.map(|line| line.split(' ').next().unwrap_or_default().parse());
    let ports = ports.collect::<Result<Vec<u16>, _>>().context("a port")?;
    let ports = <[u16; 2]>::try_from(ports).ok();
    ports.with_context(|| format!("an answer without two lines: {answer}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read() {
        let answer = "SIP/2.0 200 OK\r\nto: <sip:a@b>;tag=7\r\nCSeq: 1 INVITE\r\n\r\nv=0\r\nm=audio 20000 RTP/AVP 0\r\nm=audio 20002 RTP/AVP 0\r\n";
        assert_eq!(header(answer, "to:"), Some("<sip:a@b>;tag=7"));
        assert_eq!(header(answer, "call-id:"), None);
        assert_eq!(ports(answer).unwrap(), [20_000, 20_002]);
        assert!(ports("SIP/2.0 200 OK\r\n\r\n").is_err());
    }
}
