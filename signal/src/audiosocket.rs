//! AudioSocket, by which Asterisk hands a call's sound over: frames of a TCP connection in, RTP for the call's own
//! port out.
//!
//! The daemon's `audiosocket` has a [`Session`] a connection, and it has no socket, no clock and no task: bytes and
//! times go in, and what is to be done comes out. The packets go by UDP on the machine itself to the port that the call
//! has in `ingest`, so that sound takes one path whatever brought it.
//!
//! | module | what it is |
//! | --- | --- |
//! | `frame` | frames told apart |
//! | `player` | sound placed by its arrival, as RTP |
//!
//! A frame is a byte of kind, two of length (big-endian) and so many of payload. The first has the call's UUID; sound is
//! signed 16-bit little-endian mono, 8 kHz as kind 0x10 and other rates as those behind it. Read from Asterisk's
//! `res/res_audiosocket.c` and `channels/chan_audiosocket.c`; there is no RFC.

mod frame;
#[doc(hidden)]
pub mod fuzz;
mod player;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use reeld_model::Mono;

use frame::{Frame, Framer};
use player::Player;

pub use player::Seed;

/// How long a connection may take to say its call's UUID.
pub const UUID_WITHIN: Duration = Duration::from_secs(10);

/// Faults of the other end that are told; the rest is of the same kinds.
const MOST_WARNINGS: usize = 8;

/// The RTP clock and payload type of each kind of sound, by its kind less [`FIRST_SOUND`]. The two that RTP's L16 has
/// here no rate for are brought down to 48 kHz.
const SOUNDS: [Sound; 9] = [
    Sound::new(8_000, 96),
    Sound::new(12_000, 97),
    Sound::new(16_000, 98),
    Sound::new(24_000, 99),
    Sound::new(32_000, 100),
    Sound::new(44_100, 102),
    Sound::new(48_000, 103),
    Sound {
        rate_hz: 96_000,
        ..Sound::new(48_000, 103)
    },
    Sound {
        rate_hz: 192_000,
        ..Sound::new(48_000, 103)
    },
];

/// The kind of sound at 8 kHz.
const FIRST_SOUND: u8 = 0x10;

/// The payload type of keys (RFC 4733).
const KEYS: u8 = 101;

/// A kind of sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sound {
    /// As it comes.
    rate_hz: u32,
    /// As it goes out.
    clock_hz: u32,
    payload_type: u8,
}

impl Sound {
    const fn new(rate_hz: u32, payload_type: u8) -> Self {
        Self {
            rate_hz,
            clock_hz: rate_hz,
            payload_type,
        }
    }
}

/// The SDP offer that the call is opened with: whatever rate comes, from this address.
#[must_use]
pub fn offer(from: IpAddr, port: u16) -> String {
    let family = if from.is_ipv4() { "IP4" } else { "IP6" };
    let own = SOUNDS
        .iter()
        .filter(|sound| sound.rate_hz == sound.clock_hz);
    let types: Vec<String> = own
        .clone()
        .map(|sound| sound.payload_type.to_string())
        .collect();
    let mut text = format!(
        "v=0\r\no=- 1 1 IN {family} {from}\r\ns=AudioSocket\r\nc=IN {family} {from}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP {} {KEYS}\r\n",
        types.join(" ")
    );
    for Sound {
        clock_hz,
        payload_type,
        ..
    } in own
    {
        text.push_str(&format!("a=rtpmap:{payload_type} L16/{clock_hz}\r\n"));
    }
    text + &format!("a=rtpmap:{KEYS} telephone-event/8000\r\na=sendonly\r\n")
}

/// The port of the first audio line of the answer to [`offer`].
#[must_use]
pub fn answered_port(answer: &str) -> Option<u16> {
    let line = answer
        .lines()
        .find_map(|line| line.strip_prefix("m=audio "))?;
    line.split(' ')
        .next()?
        .parse()
        .ok()
        .filter(|port| *port != 0)
}

/// A call's UUID, shown as it is usually written: in small letters, with hyphens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Uuid([u8; 16]);

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let hyphen = if matches!(at, 4 | 6 | 8 | 10) {
                "-"
            } else {
                ""
            };
            write!(f, "{hyphen}{byte:02x}")?;
        }
        Ok(())
    }
}

/// What comes out of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// The call is to be opened; [`Session::handle_opened`] says that it is.
    Open(Uuid),
    /// An RTP packet for its port.
    Packet(Vec<u8>),
    /// A frame of sound came that may be answered with as much silence: its kind, and bytes of payload.
    Heard(u8, u16),
    /// What was wrong with a frame.
    Warning(String),
    /// Nothing more is taken; the call is to end once [`Session::is_drained`].
    Over(Over),
}

/// Why a session is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Over {
    /// The other end hung up, in a frame or by closing the connection.
    HungUp,
    /// It said that there was an error; its code.
    Failed(Option<u8>),
    /// It does not speak AudioSocket; what came.
    Garbage(String),
}

/// How far a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    New,
    Named,
    Over,
}

/// A connection.
pub struct Session {
    framer: Framer,
    stage: Stage,
    player: Player,
    out: VecDeque<Output>,
    warnings: usize,
}

impl Session {
    /// One that has begun; `seed` is random (RFC 3550 §5.1).
    #[must_use]
    pub fn new(seed: Seed) -> Self {
        Self {
            framer: Framer::default(),
            stage: Stage::New,
            player: Player::new(seed),
            out: VecDeque::new(),
            warnings: 0,
        }
    }

    /// Takes in what was read and had come by `now`. All that had come is to be read before [`Self::poll_output`] is asked
    /// at a later time: what is decided then rests on it.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Mono) {
        let Self {
            framer,
            stage,
            player,
            out,
            warnings,
        } = self;
        framer.take(bytes, |frame| {
            let over = match (*stage, frame) {
                (Stage::Over, _) => return,
                (_, Frame::Hangup) => Over::HungUp,
                (_, Frame::Error(code)) => Over::Failed(code),
                (Stage::New, Frame::Uuid(bytes)) => match <[u8; 16]>::try_from(bytes) {
                    Ok(bytes) => {
                        *stage = Stage::Named;
                        return out.push_back(Output::Open(Uuid(bytes)));
                    }
                    Err(_) => Over::Garbage(format!("a UUID of {} bytes", bytes.len())),
                },
                (Stage::New, frame) => Over::Garbage(format!(
                    "a frame of kind {:#04x} and {} bytes before the UUID",
                    frame.kind(),
                    frame.length()
                )),
                (Stage::Named, frame) => {
                    let warning = match frame {
                        Frame::Sound(kind, sound, bytes) => {
                            let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
                            out.push_back(Output::Heard(kind, length));
                            player.take(sound, bytes, now);
                            (bytes.len() % 2 != 0)
                                .then(|| "sound of half a sample, which is left out".to_owned())
                        }
                        Frame::Dtmf(&[key]) => {
                            let known = player.press(key);
                            (!known).then(|| format!("a key {key:#04x}, which is none"))
                        }
                        Frame::Dtmf(bytes) => Some(format!("a key of {} bytes", bytes.len())),
                        Frame::Uuid(_) => Some("a second UUID, which is left out".to_owned()),
                        Frame::Unknown(kind, _) => {
                            Some(format!("a frame of the unknown kind {kind:#04x}"))
                        }
                        Frame::Hangup | Frame::Error(_) => None,
                    };
                    if let Some(warning) = warning.filter(|_| *warnings < MOST_WARNINGS) {
                        *warnings += 1;
                        out.push_back(Output::Warning(warning));
                    }
                    return;
                }
            };
            *stage = Stage::Over;
            out.push_back(Output::Over(over));
        });
        if self.stage == Stage::Over {
            self.player.decide_all();
        } else {
            self.player.handle_time(now);
        }
    }

    /// The connection is at its end: nothing more comes.
    pub fn handle_end(&mut self) {
        if self.stage != Stage::Over {
            self.stage = Stage::Over;
            self.out.push_back(Output::Over(Over::HungUp));
        }
        self.player.decide_all();
    }

    /// The call is open: its packets go out from now on.
    pub fn handle_opened(&mut self, now: Mono) {
        self.player.open(now);
    }

    /// Whatever has waited goes out at once: there is no more time.
    pub fn hurry(&mut self) {
        self.player.hurry();
    }

    /// When [`Session::poll_output`] has something new, though nothing comes.
    #[must_use]
    pub fn due(&self) -> Option<Mono> {
        self.player.due()
    }

    /// Whether more is to be read: who sends faster than time waits.
    #[must_use]
    pub fn wants_bytes(&self) -> bool {
        self.stage != Stage::Over && self.player.has_room()
    }

    /// Whether all of it has gone out.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.stage == Stage::Over && self.out.is_empty() && self.player.is_empty()
    }

    /// Whether the call's UUID has come.
    #[must_use]
    pub fn is_named(&self) -> bool {
        self.stage != Stage::New
    }

    /// What is to be done next, of what is due.
    pub fn poll_output(&mut self, now: Mono) -> Option<Output> {
        self.out.pop_front().or_else(|| {
            self.player.handle_time(now);
            self.player.next(now).map(Output::Packet)
        })
    }
}
