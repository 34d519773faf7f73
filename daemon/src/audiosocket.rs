//! The AudioSocket server's sockets and tasks: what `signal::audiosocket` makes of a connection is sent and done here.
//!
//! Called by `run`. A connection has a task. Its call is opened and recorded as a recording client's is (`crate::work`),
//! and its sound goes as RTP to the port that the call has, over the machine's own loopback or the media address: one
//! socket sends it all, which each such call names as its only source.
//!
//! Bounds: `audiosocket.max_connections`; what a connection may have waiting is `signal::audiosocket`'s; the time until
//! it says its UUID, and with nothing at all. A machine that is gone is found out by TCP's keep-alive.
//!
//! A connection is never closed while its call can be recorded, and one whose recording has ended is read on: the other
//! end may be a live call that would end with it. The daemon's end closes it all the same, restart or not, and its
//! recordings end in order before calls are handed over.

mod connection;

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use reeld_config::Config;
use reeld_model::incoming::{Declined, Way};
use reeld_model::{
    AccountSid, Bringer, CallSid, Channels, Control, Ending, OpenCall, PauseBehavior, SourceRule,
    TrackSelection,
};
use reeld_signal::audiosocket::{Uuid, answered_port, offer};
use reeld_signal::route::{Caller, Route, Source};
use reeld_signal::work::{Begin, By, Failure, Outcome, Wanted, Work};
use reeld_store::{Origin, Store};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::ledger::Ledger;
use crate::work::Worker;
use crate::{kept, settings};

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
                        connections.spawn(connection::serve(Arc::clone(&shared), stream, peer, stopped.clone()));
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
                    self.end(account, call, Ending::Now).await;
                    tracing::error!(%call, "an AudioSocket call has no port");
                    Err(Failure::Broken)
                }
            },
            Outcome::Failed(failure) => Err(failure),
            // What a look comes to, and this was none.
            Outcome::Seen { .. } => Err(Failure::Broken),
        }
    }

    /// Ends it; with what was heard of it last, where it fell silent.
    async fn end(&self, account: AccountSid, call: CallSid, ending: Ending) {
        let work = Work::End {
            account,
            call,
            ending,
        };
        self.worker.carry_out(work).await;
    }
}
