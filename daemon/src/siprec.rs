//! The SIPREC recording server's sockets and tasks: what `signal::siprec` decides is sent and done here.
//!
//! Called by `run`. One task has the [`Agent`] and the UDP socket; each connection has a task (`connection`), and each
//! piece of work one ([`Worker`]), whose outcome comes back into the first. What is decided by a request, and what a
//! session is, is `signal`'s matter.
//!
//! Bounds: a datagram at a time; [`connection::MOST`] connections; events that wait, [`EVENTS`]; work, one a session.
//!
//! A restart in mid-call keeps sessions as a file in the data folder ([`KEPT`]), which the next daemon takes up and
//! removes: of those whose calls went to it too. Meanwhile datagrams are lost, and clients repeat them.

mod connection;

use std::collections::{HashMap, HashSet};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use reeld_api::{Service, Tls};
use reeld_config::Config;
use reeld_model::incoming::{Declined, Way};
use reeld_model::{AccountSid, Bringer, CallSid, Control, EndedBy, RecordingSid};
use reeld_signal::siprec::{Agent, Output, Peer, Settings};
use reeld_signal::work::Outcome;
use reeld_store::{Origin, Record, Store};
use rustls::ServerConfig;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::ledger::Ledger;
use crate::work::Worker;
use crate::{clock, kept, settings};

/// Events that wait for the agent.
const EVENTS: usize = 4_096;
/// Bytes of datagrams that wait in the kernel; it may grant less.
const RECEIVE_BUFFER: usize = 4 << 20;
/// Datagrams that are taken before outcomes are looked at again.
const DATAGRAMS_A_TURN: usize = 32;
/// How often it is asked which account there is.
const ACCOUNTS_EVERY: Duration = Duration::from_secs(1);
/// Sessions on their way to the next daemon.
const KEPT: &str = "siprec-sessions.json";

/// What happens beside datagrams.
#[derive(Debug)]
enum Event {
    /// A message of a connection.
    Message { from: Peer, bytes: Vec<u8> },
    /// A connection has ended.
    Closed(u64),
    /// What came of some work.
    Outcome { session: u64, outcome: Outcome },
    /// A recording has ended.
    Ended(RecordingSid, EndedBy),
    /// The account of who comes by no rule.
    Sole(Option<AccountSid>),
    /// The end: whether sessions go on in the next daemon, and who is told that it is done.
    Stop {
        keeps: bool,
        done: oneshot::Sender<()>,
    },
}

/// Whose certificate SIP's is, and its ALPN name (RFC 7118 has none; it is what is registered for SIP).
pub(crate) const SERVICE: Service = Service {
    section: "sip",
    alpn: b"sip/2",
};

/// The sockets, bound before anything else runs.
#[derive(Debug)]
pub(crate) struct Bound {
    plain: Option<Plain>,
    secure: Option<Secure>,
}

/// UDP and TCP, at one address.
#[derive(Debug)]
struct Plain {
    udp: UdpSocket,
    tcp: TcpListener,
    listen: SocketAddr,
}

/// TLS.
#[derive(Debug)]
struct Secure {
    tcp: TcpListener,
    tls: Tls,
    listen: SocketAddr,
}

/// The server as it runs.
pub(crate) struct Siprec {
    events: mpsc::Sender<Event>,
    ended: mpsc::UnboundedSender<(RecordingSid, EndedBy)>,
    task: JoinHandle<()>,
}

impl Bound {
    /// Binds them, where `sip.listen` and `sip.tls_listen` say so.
    ///
    /// # Errors
    /// An address cannot be had.
    pub(crate) async fn bind(config: &Config, tls: Option<Tls>) -> anyhow::Result<Option<Self>> {
        let plain = match config.sip.listen {
            Some(wanted) => {
                let context = || format!("sip.listen {wanted}");
                let tcp = TcpListener::bind(wanted).await.with_context(context)?;
                // Port 0 is for tests: the same one for both.
                let listen = tcp.local_addr().with_context(context)?;
                let udp = udp_socket(listen).with_context(context)?;
                Some(Plain { udp, tcp, listen })
            }
            None => None,
        };
        let secure = match (config.sip.tls_listen, tls) {
            (Some(wanted), Some(tls)) => {
                let context = || format!("sip.tls_listen {wanted}");
                let tcp = TcpListener::bind(wanted).await.with_context(context)?;
                let listen = tcp.local_addr().with_context(context)?;
                Some(Secure { tcp, tls, listen })
            }
            // Configuration lets none be without the other.
            (None, _) | (_, None) => None,
        };
        Ok((plain.is_some() || secure.is_some()).then_some(Self { plain, secure }))
    }

    /// Starts the server. `calls` are those of the daemon before that go on here.
    pub(crate) async fn start(
        self,
        config: &Config,
        store: &Store,
        control: Arc<dyn Control>,
        ledger: &Ledger,
        calls: &HashSet<(AccountSid, CallSid)>,
    ) -> Siprec {
        let Self { plain, secure } = self;
        let listen = plain.as_ref().map(|plain| plain.listen);
        let tls_listen = secure.as_ref().map(|secure| secure.listen);
        let incoming = Arc::clone(&ledger.incoming);
        let settings = settings::siprec(config, listen, tls_listen, incoming);
        let mut agent = Agent::new(settings.clone(), Box::new(kept::random));
        let kept = config.data_dir.join(KEPT);
        take_up(&mut agent, &kept, calls).await;
        let (events, inbox) = mpsc::channel(EVENTS);
        let (ended, ends) = mpsc::unbounded_channel();
        let worker = Arc::new(Worker::new(
            store.clone(),
            control,
            Origin::Siprec,
            settings.pause,
            ledger.clone(),
        ));
        agent.set_sole_account(worker.sole_account().await);
        let (udp, tcp) = match plain {
            Some(Plain { udp, tcp, .. }) => (Some(udp), Some(tcp)),
            None => (None, None),
        };
        let (tls_tcp, tls) = match secure {
            Some(Secure { tcp, tls, .. }) => (Some(tcp), Some(tls)),
            None => (None, None),
        };
        let driver = Driver {
            agent,
            udp,
            tls,
            worker,
            ledger: ledger.clone(),
            events: events.clone(),
            connections: HashMap::new(),
            // 0 is the number of those that did not outlive their daemon.
            next_connection: 1,
            kept,
        };
        let sessions = driver.agent.sessions();
        tracing::info!(
            ?listen,
            ?tls_listen,
            sessions,
            "recording clients are taken (SIPREC by UDP and TCP, and by TLS)"
        );
        let task = tokio::spawn(driver.run(inbox, ends, tcp, tls_tcp, settings));
        Siprec {
            events,
            ended,
            task,
        }
    }
}

impl Siprec {
    /// Who is to be told of each recording that has ended; never waits.
    pub(crate) fn hear(&self) -> impl Fn(&Record) + Send + Sync + 'static {
        let ended = self.ended.clone();
        move |record| {
            // What others started is none of a session's, so no more can wait here than sessions have.
            if let Some(by) = record.ended_by
                && record.origin == Origin::Siprec
            {
                // A server that has stopped wants to know no more.
                let _ = ended.send((record.sid, by));
            }
        }
    }

    /// Stops it: clients are told, or, with `keeps`, their sessions are kept for the next daemon.
    pub(crate) async fn stop(self, keeps: bool) {
        let (done, stopped) = oneshot::channel();
        if self.events.send(Event::Stop { keeps, done }).await.is_ok() {
            // Dropped without a word, it has ended too.
            let _ = stopped.await;
        }
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the SIPREC server panicked");
        }
    }
}

/// What has the agent.
struct Driver {
    agent: Agent,
    udp: Option<UdpSocket>,
    /// What connections to `sip.tls_listen` are served with.
    tls: Option<Tls>,
    worker: Arc<Worker>,
    ledger: Ledger,
    events: mpsc::Sender<Event>,
    connections: HashMap<u64, mpsc::Sender<Vec<u8>>>,
    next_connection: u64,
    kept: PathBuf,
}

impl Driver {
    async fn run(
        mut self,
        mut inbox: mpsc::Receiver<Event>,
        mut ends: mpsc::UnboundedReceiver<(RecordingSid, EndedBy)>,
        tcp: Option<TcpListener>,
        tls_tcp: Option<TcpListener>,
        settings: Settings,
    ) {
        let mut datagram = vec![0; 64 * 1024];
        let mut accounts = tokio::time::interval(ACCOUNTS_EVERY);
        loop {
            let now = clock::now();
            let due = self
                .agent
                .due()
                .map_or(Duration::from_secs(3_600), |due| due.since(now));
            tokio::select! {
                // What was begun comes before what is new.
                biased;
                event = inbox.recv() => match event {
                    Some(Event::Stop { keeps, done }) => {
                        self.end(keeps).await;
                        // Nobody waiting any more is the waiter's affair.
                        let _ = done.send(());
                        return;
                    }
                    Some(event) => self.handle(event),
                    None => return,
                },
                Some((recording, by)) = ends.recv() => self.handle(Event::Ended(recording, by)),
                () = tokio::time::sleep(due) => self.agent.handle_time(clock::now()),
                readable = readable(self.udp.as_ref()) => match readable {
                    Ok(()) => self.take_datagrams(&mut datagram),
                    Err(error) => tracing::error!(%error, "the SIP socket cannot be read"),
                },
                (stream, address) = accepted(tcp.as_ref()) => {
                    self.connect(&settings, stream, address, None);
                }
                (stream, address) = accepted(tls_tcp.as_ref()) => {
                    let tls = self.tls.as_ref().map(Tls::config);
                    self.connect(&settings, stream, address, tls);
                }
                _ = accounts.tick() => {
                    let (worker, events) = (Arc::clone(&self.worker), self.events.clone());
                    tokio::spawn(async move {
                        let sole = worker.sole_account().await;
                        // A server that has stopped wants to know no more.
                        let _ = events.send(Event::Sole(sole)).await;
                    });
                }
            }
            self.drain();
        }
    }

    fn handle(&mut self, event: Event) {
        let now = clock::now();
        match event {
            Event::Message { from, bytes } => self.agent.handle_message(from, &bytes, now),
            Event::Closed(connection) => {
                self.connections.remove(&connection);
            }
            Event::Outcome { session, outcome } => self.agent.handle_outcome(session, outcome, now),
            Event::Ended(recording, by) => self.agent.handle_ended(recording, by, now),
            Event::Sole(account) => self.agent.set_sole_account(account),
            // `run` has it.
            Event::Stop { .. } => {}
        }
    }

    /// A connection has come, by TLS where that is given.
    fn connect(
        &mut self,
        settings: &Settings,
        stream: TcpStream,
        address: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
    ) {
        let way = if tls.is_some() {
            Way::SipTls
        } else {
            Way::SipTcp
        };
        let network = address.ip().to_canonical();
        let is_welcome = settings.allow.iter().any(|net| net.contains(&network));
        if !is_welcome || self.connections.len() >= connection::MOST {
            tracing::debug!(%address, is_welcome, "a SIP connection is refused");
            let incoming = &self.ledger.incoming;
            incoming.connection_refused(way, !is_welcome);
            if !is_welcome {
                // What it would have brought is not known.
                incoming.turned_away(Bringer::Sip, Declined::NotAllowed, network, 1);
            }
            return;
        }
        let number = self.next_connection;
        self.next_connection += 1;
        let counted = self.ledger.incoming.connected(way);
        let events = self.events.clone();
        let out = connection::start(stream, tls, number, address, counted, events);
        self.connections.insert(number, out);
    }

    fn take_datagrams(&mut self, datagram: &mut [u8]) {
        for _ in 0..DATAGRAMS_A_TURN {
            let Some(udp) = &self.udp else { return };
            match udp.try_recv_from(datagram) {
                Ok((length, from)) => {
                    self.agent
                        .handle_message(Peer::Udp(from), &datagram[..length], clock::now());
                    self.drain();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // An ICMP error of something that was sent: it is repeated or not.
                Err(error) => tracing::debug!(%error, "the SIP socket"),
            }
        }
    }

    /// Sends and has done what the agent puts out.
    fn drain(&mut self) {
        while let Some(output) = self.agent.poll_output() {
            match output {
                Output::Send { to, bytes } => self.send(to, bytes),
                Output::Work { session, work } => {
                    let (worker, events) = (Arc::clone(&self.worker), self.events.clone());
                    tokio::spawn(async move {
                        let outcome = worker.carry_out(work).await;
                        // A server that has stopped wants to know no more.
                        let _ = events.send(Event::Outcome { session, outcome }).await;
                    });
                }
            }
        }
    }

    fn send(&mut self, to: Peer, bytes: Vec<u8>) {
        match to {
            Peer::Udp(address) => {
                // What finds no room is repeated by us or asked for again.
                let sent = self
                    .udp
                    .as_ref()
                    .map(|udp| udp.try_send_to(&bytes, address));
                if let Some(Err(error)) = sent {
                    tracing::debug!(%error, "a SIP message is not sent");
                }
            }
            Peer::Stream { connection, .. } => {
                let out = self.connections.get(&connection);
                if out.is_none_or(|out| out.try_send(bytes).is_err()) {
                    // Gone, or it takes nothing: then it is of no use.
                    self.connections.remove(&connection);
                    tracing::debug!(connection, "a SIP message has no connection");
                }
            }
        }
    }

    /// The end: clients are told, or sessions are kept.
    async fn end(mut self, keeps: bool) {
        if keeps {
            match self
                .agent
                .keep()
                .map(|bytes| kept::write(&self.kept, &bytes))
            {
                Ok(Ok(())) => return,
                Ok(Err(error)) => tracing::error!(%error, "SIPREC sessions end here"),
                Err(error) => tracing::error!(%error, "SIPREC sessions end here"),
            }
        }
        self.agent.handle_shutdown(clock::now());
        while let Some(output) = self.agent.poll_output() {
            // Calls end with the capture side, which is about to.
            if let Output::Send { to, bytes } = output {
                self.send(to, bytes);
            }
        }
        // Connections write what they have.
        self.connections.clear();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// When there is a socket with something to read.
async fn readable(udp: Option<&UdpSocket>) -> std::io::Result<()> {
    match udp {
        Some(udp) => udp.readable().await,
        None => std::future::pending().await,
    }
}

/// The next connection of a listener, if there is one. Where none can be taken, for want of descriptors say, it is
/// tried again after a moment, while all else goes on.
async fn accepted(listener: Option<&TcpListener>) -> (TcpStream, SocketAddr) {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!(%error, "a SIP connection cannot be taken");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn udp_socket(listen: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(listen),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.set_nonblocking(true)?;
    socket.bind(&listen.into())?;
    UdpSocket::from_std(socket.into())
}

/// Takes up the sessions of the daemon before, of those calls that go on here.
async fn take_up(agent: &mut Agent, path: &Path, calls: &HashSet<(AccountSid, CallSid)>) {
    // Once: after a crash they are another's.
    let Some(bytes) = kept::take(path).await else {
        return;
    };
    let is_open = |account, call| calls.contains(&(account, call));
    match agent.take_up(&bytes, is_open, clock::now()) {
        Ok(sessions) => tracing::info!(sessions, "SIPREC sessions of the daemon before go on"),
        Err(error) => tracing::error!(%error, "SIPREC sessions of the daemon before are lost"),
    }
}
