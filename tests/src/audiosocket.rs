//! An AudioSocket client, as Asterisk is one: frames on a TCP connection, sound in real time.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::port_block::PortBlock;
use crate::{Daemon, Setup, Tape, judge};

/// How long the server may take to close a connection, or to answer.
const BOUND: Duration = Duration::from_secs(20);

/// Samples of a frame of 20 ms at 8 kHz.
pub const FRAME: usize = 160;

/// A daemon with an AudioSocket server.
#[derive(Debug)]
pub struct Bed {
    /// The daemon.
    pub daemon: Daemon,
    /// Where it takes connections.
    pub server: SocketAddr,
    _ports: PortBlock,
}

impl Bed {
    /// Starts it.
    ///
    /// # Panics
    /// When the daemon does not start.
    #[must_use]
    pub fn start(setup: Setup) -> Self {
        let ports = PortBlock::take(2);
        let server = SocketAddr::from(([127, 0, 0, 1], ports.first()));
        let daemon = setup.set("audiosocket.listen", server.to_string()).start();
        Self {
            daemon,
            server,
            _ports: ports,
        }
    }

    /// A client of the API.
    #[must_use]
    pub fn client(&self) -> Client {
        self.daemon.client().clone()
    }

    /// A connection that has said nothing.
    ///
    /// # Panics
    /// When there is none to be had.
    #[must_use]
    pub fn connect(&self) -> Connection {
        let stream = TcpStream::connect(self.server).expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(BOUND)).expect("a socket");
        Connection { stream }
    }

    /// A connection for the call of this number.
    ///
    /// # Panics
    /// When there is none to be had.
    #[must_use]
    pub fn call(&self, number: u8) -> Connection {
        let mut connection = self.connect();
        connection.send(&frame(0x01, &[number; 16]));
        connection
    }
}

/// The UUID of the call of this number, as it is written.
#[must_use]
pub fn uuid(number: u8) -> String {
    let hex = format!("{number:02x}").repeat(16);
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

/// The CallSid that it has.
#[must_use]
pub fn call_sid(client: &Client, number: u8) -> String {
    let name = format!("reeld-call\0{}\0{}", client.account(), uuid(number));
    format!("CA{}", &blake3::hash(name.as_bytes()).to_hex()[..32])
}

/// A frame.
///
/// # Panics
/// When it is longer than a frame can be.
#[must_use]
pub fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("a frame's payload");
    let mut bytes = vec![kind];
    bytes.extend(length.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A frame of sound of this kind.
#[must_use]
pub fn sound(kind: u8, samples: &[i16]) -> Vec<u8> {
    let payload: Vec<u8> = samples
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect();
    frame(kind, &payload)
}

/// Holds a channel to what was said without a gap: all of it, in order. Where a machine is so busy that frames come late
/// for longer than they are held, they are where they came, and there is a little silence before them.
///
/// # Panics
/// When something is missing, doubled or changed, or there is more silence than that.
#[track_caller]
pub fn whole(channel: &[i16], tape: &Tape) {
    let pieces = judge::pieces(channel, tape);
    let mut place = 0;
    for piece in &pieces {
        assert_eq!(piece.tape, place, "in order: {pieces:?}");
        place = piece.tape_end();
    }
    assert_eq!(place, tape.samples().len(), "all of it: {pieces:?}");
    let first = pieces.first().map_or(0, |piece| piece.at);
    let length = pieces.last().map_or(0, |piece| piece.end()) - first;
    assert!(length - place <= 8_000, "as long as it was: {pieces:?}");
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    /// Its socket.
    pub stream: TcpStream,
}

impl Connection {
    /// Sends bytes.
    ///
    /// # Panics
    /// When the server does not take them.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server reads");
    }

    /// Sends frames of sound, each `length` samples, at its millisecond since `began`; when each was sent.
    ///
    /// # Panics
    /// When the server does not take them.
    pub fn speak(&mut self, kind: u8, began: Instant, frames: &[(u64, &[i16])]) -> Vec<Duration> {
        let mut sent = Vec::new();
        for (at, samples) in frames {
            let due = began + Duration::from_millis(*at);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            self.send(&sound(kind, samples));
            sent.push(began.elapsed());
        }
        sent
    }

    /// Sends sound of 8 kHz without a gap, in frames of 20 ms.
    pub fn say(&mut self, samples: &[i16]) {
        let frames: Vec<_> = (0..)
            .map(|frame| frame * 20)
            .zip(samples.chunks(FRAME))
            .collect();
        let _ = self.speak(0x10, Instant::now(), &frames);
    }

    /// Hangs up by a frame, and waits until the server has closed the connection.
    pub fn hang_up(mut self) {
        self.send(&frame(0x00, &[]));
        self.closed();
    }

    /// Waits until the server has closed the connection; the bytes that it had sent.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn closed(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        match self.stream.read_to_end(&mut all) {
            Ok(_) => {}
            // What it had not read yet makes a reset of its end.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => panic!("the connection is not closed: {error}"),
        }
        all
    }

    /// Breaks the connection off without a word (a reset).
    ///
    /// # Panics
    /// When the socket cannot be set.
    pub fn break_off(self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket.set_linger(Some(Duration::ZERO)).expect("a socket");
    }
}
