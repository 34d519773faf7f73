//! The AudioSocket server's sockets and tasks: what `signal::audiosocket` makes of a connection is sent and done here.
//!
//! Called by `run`. A connection has a task. Its call is opened and recorded as a recording client's is (`crate::work`),
//! and its sound goes as RTP to the port that the call has, over the machine's own loopback or the media address: one
//! socket sends it all, which each such call names as its only source.
//!
//! Bounds: `audiosocket.max_connections`; what a connection may have waiting is `signal::audiosocket`'s; the time until
//! it says its UUID, and with nothing at all. A machine that is gone is found out by TCP's keep-alive. What is sent back
//! is sent where there is room, and else never.
//!
//! A connection is never closed while its call can be recorded, and one whose recording has ended is read on: the other
//! end may be a live call that would end with it. The daemon's end closes it all the same, restart or not, and its
//! recordings end in order before calls are handed over.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use reeld_config::Config;
use reeld_model::incoming::{self, Connected, Declined, Way};
use reeld_model::{
    AccountSid, Bringer, CallSid, Channels, Control, OpenCall, PauseBehavior, SourceRule,
    TrackSelection,
};
use reeld_signal::audiosocket::{
    Output, Over, Seed, Session, UUID_WITHIN, Uuid, answered_port, offer,
};
use reeld_signal::route::{Caller, Route, Source};
use reeld_signal::work::{Begin, By, Failure, Outcome, Wanted, Work};
use reeld_store::{Origin, Store};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::ledger::Ledger;
use crate::work::Worker;
use crate::{clock, kept, settings};

/// Bytes that are read at once.
const READ: usize = 16 * 1024;

/// A dead machine is found out after this and three times [`KEEP_ALIVE_AGAIN`].
const KEEP_ALIVE: Duration = Duration::from_secs(40);
const KEEP_ALIVE_AGAIN: Duration = Duration::from_secs(10);

/// How long what is sent back may stay without an acknowledgement.
const UNACKNOWLEDGED: Duration = Duration::from_secs(70);

/// How long connections have for their ends when the daemon stops.
const END_WITHIN: Duration = Duration::from_secs(10);

/// The sockets, bound before anything else runs.
#[derive(Debug)]
pub(crate) struct Bound {
    tcp: TcpListener,
    listen: SocketAddr,
    /// From which sound goes to calls.
    udp: UdpSocket,
    from: SocketAddr,
}

/// The server as it runs.
pub(crate) struct AudioSocket {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Bound {
    /// Binds it, where `audiosocket.listen` says so.
    ///
    /// # Errors
    /// The address cannot be had, or none to send sound to calls from.
    pub(crate) async fn bind(config: &Config) -> anyhow::Result<Option<Self>> {
        let Some(wanted) = config.audiosocket.listen else {
            return Ok(None);
        };
        let context = || format!("audiosocket.listen {wanted}");
        let tcp = TcpListener::bind(wanted).await.with_context(context)?;
        let listen = tcp.local_addr().with_context(context)?;
        let media = media_address(config.media.address);
        let context = || format!("a socket on media.address {media}");
        let udp = UdpSocket::bind((media, 0)).await.with_context(context)?;
        let from = udp.local_addr().with_context(context)?;
        Ok(Some(Self {
            tcp,
            listen,
            udp,
            from,
        }))
    }

    /// Starts the server.
    pub(crate) fn start(
        self,
        config: &Config,
        store: &Store,
        control: Arc<dyn Control>,
        ledger: &Ledger,
    ) -> AudioSocket {
        let Self {
            tcp,
            listen,
            udp,
            from,
        } = self;
        let origin = Origin::AudioSocket;
        let shared = Arc::new(Shared {
            worker: Worker::new(
                store.clone(),
                control,
                origin,
                PauseBehavior::Skip,
                ledger.clone(),
            ),
            ledger: ledger.clone(),
            udp,
            from,
            settings: config.audiosocket.clone(),
            routes: settings::routes(config),
            open: Mutex::default(),
        });
        let (stop, stopped) = watch::channel(false);
        tracing::info!(%listen, "AudioSocket connections are taken");
        let task = tokio::spawn(accept(tcp, shared, stopped));
        AudioSocket { stop, task }
    }
}

impl AudioSocket {
    /// Ends all calls, and waits until they have ended.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the AudioSocket server panicked");
        }
    }
}

/// Where sound is sent to calls, and from.
const fn media_address(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        IpAddr::V4(_) | IpAddr::V6(_) => address,
    }
}

/// Whether the daemon stops; ends when it does.
type Stopped = watch::Receiver<bool>;

async fn until_stopped(stopped: &mut Stopped) {
    // A sender that is gone has stopped too.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

async fn accept(tcp: TcpListener, shared: Arc<Shared>, mut stopped: Stopped) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = until_stopped(&mut stopped) => break,
            // Each that has ended makes room.
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "an AudioSocket connection panicked");
                }
            }
            accepted = tcp.accept() => match accepted {
                Ok((stream, peer)) => {
                    let address = peer.ip().to_canonical();
                    let refuse = |why| {
                        let is_stranger = why == Declined::NotAllowed;
                        let Ledger { incoming, .. } = &shared.ledger;
                        incoming.connection_refused(Way::AudioSocket, is_stranger);
                        shared.ledger.declined(Bringer::AudioSocket, why, address);
                    };
                    let is_welcome = shared.settings.allow.iter().any(|net| net.contains(&address));
                    if !is_welcome {
                        refuse(Declined::NotAllowed);
                        tracing::debug!(%peer, "an AudioSocket connection is not in audiosocket.allow");
                    } else if connections.len() >= shared.settings.max_connections {
                        refuse(Declined::Busy);
                        tracing::warn!(
                            most = shared.settings.max_connections,
                            "an AudioSocket connection is closed: there are audiosocket.max_connections"
                        );
                    } else {
                        connections.spawn(serve(Arc::clone(&shared), stream, peer, stopped.clone()));
                    }
                }
                Err(error) => {
                    // Descriptors used up: it passes.
                    tracing::warn!(%error, "an AudioSocket connection cannot be taken");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    drop(tcp);
    let ends = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(END_WITHIN, ends).await.is_err() {
        tracing::error!("AudioSocket calls do not end in time: they end with the daemon");
    }
}

/// What connections share.
struct Shared {
    worker: Worker,
    ledger: Ledger,
    udp: UdpSocket,
    from: SocketAddr,
    settings: reeld_config::AudioSocket,
    routes: Vec<Route>,
    /// Calls that have a connection.
    open: Mutex<HashSet<(AccountSid, CallSid)>>,
}

/// A call that a connection has.
struct Call {
    account: AccountSid,
    call: CallSid,
    /// Its port.
    to: SocketAddr,
}

/// Holds a call's name for a connection.
struct Name {
    key: (AccountSid, CallSid),
    external_id: String,
    is_shared: bool,
    shared: Arc<Shared>,
}

impl Drop for Name {
    fn drop(&mut self) {
        let open = self.shared.open.lock();
        open.unwrap_or_else(PoisonError::into_inner)
            .remove(&self.key);
    }
}

impl Shared {
    /// The call's name: of the UUID, unless another connection has that call now; then one of its own.
    fn name(self: &Arc<Self>, account: AccountSid, uuid: Uuid) -> Name {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let external_id = uuid.to_string();
        let mut call = CallSid::from_external(account, &external_id);
        let is_shared = open.contains(&(account, call));
        if is_shared {
            let own = format!("{external_id}\0{:016x}", kept::random());
            call = CallSid::from_external(account, &own);
        }
        open.insert((account, call));
        Name {
            key: (account, call),
            external_id,
            is_shared,
            shared: Arc::clone(self),
        }
    }

    /// Opens the call and begins its recording.
    async fn open(self: Arc<Self>, uuid: Uuid, peer: SocketAddr) -> Result<(Name, Call), Failure> {
        let sole = self.worker.sole_account().await;
        let account = Caller::without_sip(Source::AudioSocket, peer.ip()).account(
            &self.routes,
            self.settings.account,
            sole,
        );
        let Some(account) = account else {
            tracing::error!(%peer, "neither calls.routes nor audiosocket.account says whose an AudioSocket call is");
            return Err(Failure::NoAccount);
        };
        let name = self.name(account, uuid);
        let (account, call) = name.key;
        let mut warnings = Vec::new();
        if name.is_shared {
            warnings.push("another connection with this UUID is open; this one is recorded as a call of its own");
        }
        let signalling = serde_json::json!({
            "protocol": "audiosocket",
            "uuid": name.external_id,
            "client": peer.to_string(),
            "address": peer.ip().to_canonical(),
            "warnings": warnings,
        });
        let from = self.from;
        let begin = Begin {
            open: OpenCall {
                external_id: Some(name.external_id.clone()),
                sdp: Some(offer(from.ip(), from.port())),
                source: Some(SourceRule {
                    address: from.ip(),
                    port: Some(from.port()),
                }),
                tracks: TrackSelection::Inbound,
                is_signalled: true,
                ..OpenCall::new(account, call)
            },
            by: By {
                bringer: Bringer::AudioSocket,
                address: Some(peer.ip().to_canonical()),
                agent: None,
            },
            wanted: Some(Wanted {
                channels: Channels::Mono,
                track: TrackSelection::Inbound,
            }),
            paused: false,
            signalling: signalling.to_string(),
        };
        match self.worker.carry_out(Work::Begin(Box::new(begin))).await {
            Outcome::Done { sdp, .. } => match sdp.as_deref().and_then(answered_port) {
                Some(port) => {
                    let to = SocketAddr::new(from.ip(), port);
                    Ok((name, Call { account, call, to }))
                }
                None => {
                    self.end(account, call).await;
                    tracing::error!(%call, "an AudioSocket call has no port");
                    Err(Failure::Broken)
                }
            },
            Outcome::Failed(failure) => Err(failure),
            // What a look comes to, and this was none.
            Outcome::Seen { .. } => Err(Failure::Broken),
        }
    }

    async fn end(&self, account: AccountSid, call: CallSid) {
        self.worker
            .carry_out(Work::End {
                account,
                call,
                late: Duration::ZERO,
            })
            .await;
    }
}

/// Serves a connection until its call is over.
async fn serve(shared: Arc<Shared>, stream: TcpStream, peer: SocketAddr, stopped: Stopped) {
    if let Err(error) = set_up(&stream) {
        tracing::debug!(%peer, %error, "an AudioSocket connection is not kept alive");
    }
    let mut connection = Connection {
        session: Session::new(Seed {
            ssrc: u32::from_ne_bytes(
                kept::random().to_ne_bytes()[..4]
                    .try_into()
                    .unwrap_or([7; 4]),
            ),
            sequence: u16::from_ne_bytes(
                kept::random().to_ne_bytes()[..2]
                    .try_into()
                    .unwrap_or([7; 2]),
            ),
            stamp: u32::from_ne_bytes(
                kept::random().to_ne_bytes()[..4]
                    .try_into()
                    .unwrap_or([7; 4]),
            ),
        }),
        _counted: shared.ledger.incoming.connected(Way::AudioSocket),
        shared,
        stream,
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
        connection.shared.end(call.account, call.call).await;
        // Until here it is nobody else's.
        drop(name);
    }
}

fn set_up(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
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
                    self.read_what_is_there(&mut bytes);
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
                read = self.stream.readable(), if wants => {
                    if let Err(error) = read.and_then(|()| self.read(&mut bytes, &mut heard)) {
                        tracing::debug!(peer = %self.peer, %error, "an AudioSocket connection is at its end");
                        self.over.get_or_insert(incoming::Over::Error);
                        self.session.handle_end();
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

    /// Reads all that has come, as far as it is known to have.
    fn read_what_is_there(&mut self, bytes: &mut [u8]) {
        while self.session.wants_bytes() {
            match self.stream.try_read(bytes) {
                Ok(length) if length > 0 => {
                    self.session.handle_bytes(&bytes[..length], clock::now())
                }
                // At its end, or nothing is there.
                Ok(_) | Err(_) => return,
            }
        }
    }

    /// Reads what is there.
    fn read(&mut self, bytes: &mut [u8], heard: &mut tokio::time::Instant) -> std::io::Result<()> {
        match self.stream.try_read(bytes) {
            Ok(0) => self.session.handle_end(),
            Ok(length) => {
                *heard = tokio::time::Instant::now();
                self.session.handle_bytes(&bytes[..length], clock::now());
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(())
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
