//! A connection: read, played into its call's port, answered, and at its end the end of its call.
//!
//! Called by `audiosocket` with each connection that is welcome, in a task of its own. All that is there is read before
//! anything is decided by the time, and with the kernel's stamps (`ingest::StampedReader`): a runtime that is busy makes no
//! silence. What is sent back is sent where there is room, of which there is a second of sound at 8 kHz and no more.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use reeld_ingest::StampedReader;
use reeld_model::incoming::{self, Connected, Declined, Way};
use reeld_model::{Bringer, Ending};
use reeld_signal::audiosocket::{Output, Over, Seed, Session, UUID_WITHIN};
use reeld_signal::work::Failure;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::{Call, Name, Shared, Stopped, until_stopped};
use crate::{clock, kept};

/// Bytes that are read at once.
const READ: usize = 16 * 1024;

/// Reads before what they brought is seen to: 512 KiB, 2.7 s of the fastest sound that there is.
const READS: usize = 32;

/// Bytes that wait to be sent back, as the kernel counts them, which doubles it for what it needs itself. Left alone it takes
/// megabytes of silence for an end that never reads.
const SEND_BUFFER: usize = 16 * 1024;

/// A dead machine is found out after this and three times [`KEEP_ALIVE_AGAIN`].
const KEEP_ALIVE: Duration = Duration::from_secs(40);
const KEEP_ALIVE_AGAIN: Duration = Duration::from_secs(10);

/// How long what is sent back may stay without an acknowledgement.
const UNACKNOWLEDGED: Duration = Duration::from_secs(70);

/// Serves a connection until its call is over.
pub(super) async fn serve(
    shared: Arc<Shared>,
    stream: TcpStream,
    peer: SocketAddr,
    stopped: Stopped,
) {
    if let Err(error) = set_up(&stream) {
        tracing::debug!(%peer, %error, "an AudioSocket connection is not kept alive");
    }
    let reader = match StampedReader::new(&stream) {
        Ok(reader) => reader,
        Err(error) => {
            tracing::error!(%peer, %error, "an AudioSocket connection cannot be read");
            let by = Bringer::AudioSocket;
            return shared.ledger.declined(by, Declined::Broken, peer.ip());
        }
    };
    let mut connection = Connection {
        session: Session::new(seed()),
        _counted: shared.ledger.incoming.connected(Way::AudioSocket),
        shared,
        stream,
        reader,
        peer,
        call: None,
        failure: None,
        over: None,
        owed: Vec::new(),
    };
    connection.run(stopped).await;
    let ledger = &connection.shared.ledger;
    let over = connection.over.unwrap_or(incoming::Over::HungUp);
    if connection.call.is_some() {
        ledger.incoming.ended(Bringer::AudioSocket, over);
    } else {
        let why = match (&connection.failure, over) {
            (Some(failure), _) => failure.declined(),
            (None, incoming::Over::Timeout | incoming::Over::Error) => Declined::Unusable,
            (None, _) => Declined::GivenUp,
        };
        ledger.declined(Bringer::AudioSocket, why, peer.ip());
    }
    if let Some((name, call)) = connection.call.take() {
        let ending = match over {
            incoming::Over::Timeout => Ending::Silent,
            incoming::Over::HungUp
            | incoming::Over::Here
            | incoming::Over::Error
            | incoming::Over::Shutdown => Ending::Now,
        };
        let shared = &connection.shared;
        shared.end(call.account, call.call, ending).await;
        // Until here it is nobody else's.
        drop(name);
    }
}

/// From what a stream starts, at random.
fn seed() -> Seed {
    let [a, b, c, d, e, f, ..] = kept::random().to_ne_bytes();
    let [g, h, i, j, ..] = kept::random().to_ne_bytes();
    Seed {
        ssrc: u32::from_ne_bytes([a, b, c, d]),
        sequence: u16::from_ne_bytes([e, f]),
        stamp: u32::from_ne_bytes([g, h, i, j]),
    }
}

fn set_up(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_send_buffer_size(SEND_BUFFER)?;
    let keep_alive = TcpKeepalive::new()
        .with_time(KEEP_ALIVE)
        .with_interval(KEEP_ALIVE_AGAIN)
        .with_retries(3);
    socket.set_tcp_keepalive(&keep_alive)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))
}

/// A connection.
struct Connection {
    /// Dropped before the stream is: who sees it closed finds it counted so.
    _counted: Connected,
    session: Session,
    shared: Arc<Shared>,
    stream: TcpStream,
    reader: StampedReader,
    peer: SocketAddr,
    call: Option<(Name, Call)>,
    /// Why there is none, if it was to be.
    failure: Option<Failure>,
    /// What ended it, the first of what did.
    over: Option<incoming::Over>,
    /// What is left of a frame that was begun to be sent.
    owed: Vec<u8>,
}

impl Connection {
    async fn run(&mut self, mut stopped: Stopped) {
        let mut bytes = vec![0; READ];
        let (opened, mut opening) = tokio::sync::oneshot::channel();
        let mut opened = Some(opened);
        let (mut is_opening, mut is_stopping) = (false, false);
        let mut heard = tokio::time::Instant::now();
        loop {
            let now = clock::now();
            self.read_what_is_there(&mut bytes, &mut heard);
            while let Some(output) = self.session.poll_output(now) {
                match output {
                    Output::Open(uuid) => {
                        let Some(opened) = opened.take() else {
                            continue;
                        };
                        is_opening = true;
                        let (shared, peer) = (Arc::clone(&self.shared), self.peer);
                        // A task of its own: what is begun is not left half-way.
                        tokio::spawn(async move {
                            // Nobody waiting any more: then it ends below, by the name.
                            let _ = opened.send(shared.open(uuid, peer).await);
                        });
                    }
                    Output::Packet(packet) => self.send(&packet).await,
                    Output::Heard(kind, length) => self.answer(kind, length),
                    Output::Warning(warning) => {
                        tracing::warn!(peer = %self.peer, warning, "an AudioSocket connection");
                    }
                    Output::Over(over) => self.tell(&over),
                }
            }
            if self.session.is_drained() && !is_opening {
                return;
            }
            let due = self
                .session
                .due()
                .map_or(Duration::from_secs(3_600), |due| due.since(now));
            let patience = if self.session.is_named() {
                self.shared.settings.timeout
            } else {
                UUID_WITHIN
            };
            let wants = self.session.wants_bytes();
            tokio::select! {
                // What was begun comes before what is new.
                biased;
                () = until_stopped(&mut stopped), if !is_stopping => {
                    is_stopping = true;
                    self.over.get_or_insert(incoming::Over::Shutdown);
                    self.read_what_is_there(&mut bytes, &mut heard);
                    self.session.handle_end();
                    self.session.hurry();
                }
                open = &mut opening, if is_opening => {
                    is_opening = false;
                    match open {
                        Ok(Ok(call)) => {
                            self.call = Some(call);
                            let incoming = &self.shared.ledger.incoming;
                            incoming.begun(Bringer::AudioSocket);
                            self.session.handle_opened(clock::now());
                            if is_stopping {
                                self.session.hurry();
                            }
                        }
                        Ok(Err(failure)) => {
                            tracing::error!(peer = %self.peer, ?failure, "an AudioSocket call is not recorded");
                            self.failure = Some(failure);
                            return;
                        }
                        Err(_) => {
                            self.failure = Some(Failure::Broken);
                            return;
                        }
                    }
                }
                () = tokio::time::sleep(due) => {}
                // What is there is read above.
                readable = self.stream.readable(), if wants => {
                    let is_there = readable.and_then(|()| self.stream.try_io(Interest::READABLE, || {
                        SockRef::from(&self.stream).peek(&mut [std::mem::MaybeUninit::uninit()])
                    }));
                    if let Err(error) = is_there && error.kind() != ErrorKind::WouldBlock {
                        self.broken(&error);
                    }
                }
                () = tokio::time::sleep_until(heard + patience), if wants => {
                    tracing::warn!(peer = %self.peer, ?patience, "an AudioSocket connection brings nothing and is ended");
                    self.over.get_or_insert(incoming::Over::Timeout);
                    self.session.handle_end();
                }
            }
        }
    }

    /// Reads all that has come, as far as it is wanted, and of who sends without end no more than others can wait for.
    fn read_what_is_there(&mut self, bytes: &mut [u8], heard: &mut tokio::time::Instant) {
        for _ in 0..READS {
            if !self.session.wants_bytes() {
                return;
            }
            match self.reader.read(&self.stream, bytes) {
                Ok((0, _)) => self.session.handle_end(),
                Ok((length, came)) => {
                    *heard = tokio::time::Instant::now();
                    self.session.handle_bytes(&bytes[..length], came);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => self.broken(&error),
            }
        }
    }

    /// The connection is of no use any more.
    fn broken(&mut self, error: &std::io::Error) {
        tracing::debug!(peer = %self.peer, %error, "an AudioSocket connection is at its end");
        // Of a machine that is gone nothing was heard for as long as it took to find out.
        self.over
            .get_or_insert(if error.kind() == ErrorKind::TimedOut {
                incoming::Over::Timeout
            } else {
                incoming::Over::Error
            });
        self.session.handle_end();
    }

    async fn send(&mut self, packet: &[u8]) {
        let Some((_, call)) = &self.call else { return };
        if let Err(error) = self.shared.udp.send_to(packet, call.to).await {
            // The call is over (its port is closed), or the machine has no room: lost, as on any network.
            tracing::trace!(call = %call.call, %error, "sound is not taken");
        }
    }

    /// As much silence back, where it is wanted and there is room.
    fn answer(&mut self, kind: u8, length: u16) {
        if !self.shared.settings.answers || !self.owe_nothing() {
            return;
        }
        let mut frame = vec![kind];
        frame.extend(length.to_be_bytes());
        frame.resize(3 + usize::from(length), 0);
        self.owed = frame;
        self.owe_nothing();
    }

    /// Sends what is owed, as far as it is taken; whether nothing is left. A frame that was begun has to be whole.
    fn owe_nothing(&mut self) -> bool {
        while !self.owed.is_empty() {
            match self.stream.try_write(&self.owed) {
                Ok(length) => drop(self.owed.drain(..length)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                // Reading finds it out too.
                Err(_) => self.owed.clear(),
            }
        }
        true
    }

    fn tell(&mut self, over: &Over) {
        let peer = self.peer;
        self.over.get_or_insert(match over {
            Over::HungUp => incoming::Over::HungUp,
            Over::Failed(_) | Over::Garbage(_) => incoming::Over::Error,
        });
        match over {
            Over::HungUp => tracing::debug!(%peer, "an AudioSocket call is over"),
            Over::Failed(code) => {
                tracing::warn!(%peer, code, "an AudioSocket call is over by an error at the other end");
            }
            Over::Garbage(what) => {
                tracing::warn!(%peer, what, "what a connection brings is no AudioSocket");
            }
        }
    }
}
