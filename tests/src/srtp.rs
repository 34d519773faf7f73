//! SRTP by other people's hands: libsrtp (Debian's python3-pylibsrtp) protects a script's packets, ffmpeg sends
//! its own.
//!
//! A key is a suite, and bytes that follow from a seed; a test says which.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};

use crate::peer;
use crate::script::{Cue, Script};

/// The program by which libsrtp protects: a line of hex in, `rtp` or `rtcp` before it; a line of hex out.
const PROTECT: &str = r"
import sys
from pylibsrtp import Policy, Session
profile = getattr(Policy, 'SRTP_PROFILE_' + sys.argv[1])
key = bytes.fromhex(sys.argv[2])
session = Session(Policy(key=key, ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile))
for line in sys.stdin:
    kind, packet = line.split()
    protect = session.protect if kind == 'rtp' else session.protect_rtcp
    print(protect(bytes.fromhex(packet)).hex())
";

/// A crypto suite that libsrtp's binding has: its name in SDP, its profile's there, bytes of key and salt.
pub const SUITES: [(&str, &str, usize); 4] = [
    ("AES_CM_128_HMAC_SHA1_80", "AES128_CM_SHA1_80", 30),
    ("AES_CM_128_HMAC_SHA1_32", "AES128_CM_SHA1_32", 30),
    ("AEAD_AES_128_GCM", "AEAD_AES_128_GCM", 28),
    ("AEAD_AES_256_GCM", "AEAD_AES_256_GCM", 44),
];

/// A key of a sender's.
#[derive(Debug, Clone)]
pub struct Key {
    suite: (&'static str, &'static str, usize),
    bytes: Vec<u8>,
}

impl Key {
    /// Of a suite of [`SUITES`], by its place there.
    #[must_use]
    pub fn new(suite: usize, seed: u8) -> Self {
        let suite = SUITES[suite];
        let bytes = (0_u8..).map(|at| seed.wrapping_mul(31).wrapping_add(at.wrapping_mul(5)));
        Self {
            suite,
            bytes: bytes.take(suite.2).collect(),
        }
    }

    /// The suite's name in SDP.
    #[must_use]
    pub const fn suite(&self) -> &'static str {
        self.suite.0
    }

    /// Key and salt in base64.
    #[must_use]
    pub fn inline(&self) -> String {
        BASE64_STANDARD.encode(&self.bytes)
    }

    /// The line of an offer.
    #[must_use]
    pub fn attribute(&self) -> String {
        format!("a=crypto:1 {} inline:{}|2^31", self.suite(), self.inline())
    }

    /// The script with its datagrams protected by libsrtp, RTCP by its own rules.
    ///
    /// # Panics
    /// When libsrtp is not there or does not take a packet.
    #[must_use]
    pub fn protect(&self, script: Script) -> Script {
        let mut input = String::new();
        for cue in &script.0 {
            // RFC 5761 §4.
            let kind = match cue.bytes.get(1) {
                Some(192..=223) => "rtcp",
                _ => "rtp",
            };
            let _ = writeln!(input, "{kind} {}", hex(&cue.bytes));
        }
        let key = hex(&self.bytes);
        let args = ["-c", PROTECT, self.suite.1, &key];
        // Debian's own: its modules are where no other looks.
        let bound = Duration::from_secs(60);
        let done = peer::run("/usr/bin/python3", args, input.as_bytes(), bound).success();
        let text = done.text();
        let sealed = text.lines().map(unhex);
        let cues = script.0.into_iter().zip(sealed);
        let cues: Vec<Cue> = cues.map(|(cue, bytes)| Cue { bytes, ..cue }).collect();
        assert_eq!(cues.len(), text.lines().count(), "a line a packet");
        Script(cues)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hex of libsrtp's");
    (0..text.len()).step_by(2).map(byte).collect()
}

/// An offer of these lines: port, and the key of each.
#[must_use]
pub fn offer(lines: &[(u16, &Key)]) -> String {
    let mut text =
        "v=0\r\no=pbx 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n".to_owned();
    for (port, key) in lines {
        let _ = write!(
            text,
            "m=audio {port} RTP/SAVP 0\r\n{}\r\na=sendonly\r\n",
            key.attribute()
        );
    }
    text
}

/// An ffmpeg that sends SRTP (AES_CM_128_HMAC_SHA1_80) in real time.
#[derive(Debug)]
pub struct Ffmpeg {
    child: Child,
    copy: PathBuf,
}

impl Ffmpeg {
    /// Sends a changing tone of so many seconds as µ-law, 20 ms a packet. It writes what it sends a second time to a
    /// file of this name.
    #[must_use]
    pub fn start(folder: &Path, name: &str, to: SocketAddr, key: &Key, seconds: usize) -> Self {
        let copy = folder.join(name);
        let mut command = Command::new("ffmpeg");
        let source = format!("aevalsrc=0.5*sin(2*PI*t*(300+100*t)):s=8000:d={seconds}");
        command.args(["-v", "error", "-re", "-f", "lavfi", "-i", &source]);
        let filter = "[0:a]asetnsamples=n=160,asplit=2[rtp][copy]";
        command.args(["-filter_complex", filter, "-map", "[rtp]"]);
        command.args(["-c:a", "pcm_mulaw", "-f", "rtp"]);
        command.args(["-srtp_out_suite", "AES_CM_128_HMAC_SHA1_80"]);
        command.args(["-srtp_out_params", &key.inline()]);
        command.args(["-rtpflags", "send_bye", &format!("srtp://{to}")]);
        command.args(["-map", "[copy]", "-c:a", "pcm_mulaw", "-f", "mulaw"]);
        command.arg(&copy);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit());
        Self {
            child: peer::spawn("ffmpeg", command),
            copy,
        }
    }

    /// Waits for its end: the µ-law that it sent.
    ///
    /// # Panics
    /// When it does not end well.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        let status = peer::bounded_wait("ffmpeg", &mut self.child, Duration::from_secs(60));
        assert!(status.success(), "{status}");
        std::fs::read(&self.copy).expect("ffmpeg wrote its copy")
    }
}
