//! The socket and the task of following an rtpengine: what `signal::rtpengine` decides is sent and done here.
//!
//! Called by `run`. One task has the [`Follower`] and a UDP socket that hears `rtpengine.ng` alone; each piece of work has
//! one ([`Worker`]), whose outcome comes back into the first. Which calls are recorded is `signal`'s matter.
//!
//! Bounds: a datagram at a time; events that wait, [`EVENTS`]; work, one a call; who waits for a call, by the follower.
//!
//! A file in the data folder ([`KEPT`]) has the tag that our subscriptions have in rtpengine, so that after a crash the
//! next daemon's take the place of those that were left; and, over a restart in mid-call, what is recorded.

use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use reeld_config::Config;
use reeld_model::{AccountSid, CallSid, Control, Fork, Forks, NotForked, PauseBehavior};
use reeld_signal::rtpengine::{Attach, Follower, Output};
use reeld_signal::work::Outcome;
use reeld_store::{Origin, Store};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::ledger::Ledger;
use crate::work::Worker;
use crate::{clock, kept, settings};

/// Events that wait for the follower.
const EVENTS: usize = 4_096;
/// How often it is asked which account there is.
const ACCOUNTS_EVERY: Duration = Duration::from_secs(1);
/// How long rtpengine may take to end our subscriptions once we stop.
const UNSUBSCRIBED: Duration = Duration::from_secs(2);
/// Our tag, and calls on their way to the next daemon.
const KEPT: &str = "rtpengine.json";

/// What happens beside datagrams.
#[derive(Debug)]
enum Event {
    /// What came of some work.
    Outcome { call: u64, outcome: Outcome },
    /// The account of calls that no configuration gives to one.
    Sole(Option<AccountSid>),
    /// A call that is asked for.
    Fork(Fork),
    /// The end: whether calls go on in the next daemon, and who is told that it is done.
    Stop {
        keeps: bool,
        done: oneshot::Sender<()>,
    },
}

/// Whom to tell what came of a wish.
type Reply = Box<dyn FnOnce(Result<(), NotForked>) + Send>;

/// The follower as it runs.
pub(crate) struct Rtpengine {
    events: mpsc::Sender<Event>,
    task: JoinHandle<()>,
}

/// Where calls are asked for.
struct Asking(mpsc::Sender<Event>);

impl Forks for Asking {
    fn submit(&self, fork: Fork) {
        let refused = match self.0.try_send(Event::Fork(fork)) {
            Ok(()) => return,
            Err(error) => error.into_inner(),
        };
        if let Event::Fork(fork) = refused {
            (fork.reply)(Err(NotForked::Busy(
                "too much waits for rtpengine".to_owned(),
            )));
        }
    }
}

impl Rtpengine {
    /// Starts it, where `rtpengine.ng` says so. `calls` are those of the daemon before that go on here.
    ///
    /// # Errors
    /// There is no socket to be had.
    pub(crate) async fn start(
        config: &Config,
        store: &Store,
        control: Arc<dyn Control>,
        ledger: &Ledger,
        calls: &HashSet<(AccountSid, CallSid)>,
    ) -> anyhow::Result<Option<Self>> {
        let Some(ng) = config.rtpengine.ng else {
            return Ok(None);
        };
        let socket = connect(ng)
            .await
            .with_context(|| format!("rtpengine.ng {ng}"))?;
        let settings = settings::rtpengine(config, ng.ip(), Arc::clone(&ledger.incoming));
        let (is_followed, has_account) = (settings.follow, settings.account.is_some());
        let mut follower = Follower::new(settings, Box::new(kept::random), clock::now());
        let kept = config.data_dir.join(KEPT);
        if let Some(bytes) = kept::read(&kept).await {
            match follower.take_up(&bytes, |account, call| calls.contains(&(account, call))) {
                Ok(0) => {}
                Ok(calls) => {
                    tracing::info!(calls, "calls of rtpengine's go on from the daemon before")
                }
                Err(error) => {
                    tracing::error!(%error, "what the daemon before knew of rtpengine is lost");
                }
            }
        }
        // Of those that are taken up nothing stays there: after a crash they are another's.
        keep(&follower, &kept, false);
        let worker = Worker::new(
            store.clone(),
            control,
            Origin::Rtpengine,
            PauseBehavior::Skip,
            ledger.clone(),
        );
        let worker = Arc::new(worker);
        follower.set_sole_account(worker.sole_account().await);
        let (events, inbox) = mpsc::channel(EVENTS);
        let driver = Driver {
            follower,
            socket,
            worker,
            events: events.clone(),
            asked: HashMap::new(),
            next: 0,
            kept,
        };
        tracing::info!(%ng, is_followed, has_account, "an rtpengine is followed");
        let task = tokio::spawn(driver.run(inbox));
        Ok(Some(Self { events, task }))
    }

    /// Where calls are asked for.
    pub(crate) fn forks(&self) -> Arc<dyn Forks> {
        Arc::new(Asking(self.events.clone()))
    }

    /// Stops it: our subscriptions end, or, with `keeps`, their calls are kept for the next daemon.
    pub(crate) async fn stop(self, keeps: bool) {
        let (done, stopped) = oneshot::channel();
        if self.events.send(Event::Stop { keeps, done }).await.is_ok() {
            // Dropped without a word, it has ended too.
            let _ = stopped.await;
        }
        if let Err(error) = self.task.await {
            tracing::error!(%error, "what follows the rtpengine panicked");
        }
    }
}

/// What has the follower.
struct Driver {
    follower: Follower,
    socket: UdpSocket,
    worker: Arc<Worker>,
    events: mpsc::Sender<Event>,
    /// Who waits for a call, by the number that the follower has.
    asked: HashMap<u64, Reply>,
    next: u64,
    kept: PathBuf,
}

impl Driver {
    async fn run(mut self, mut inbox: mpsc::Receiver<Event>) {
        let mut datagram = vec![0; 64 * 1024];
        let mut accounts = tokio::time::interval(ACCOUNTS_EVERY);
        loop {
            let due = self.follower.due().since(clock::now());
            tokio::select! {
                // What was begun comes before what is new.
                biased;
                event = inbox.recv() => match event {
                    Some(Event::Stop { keeps, done }) => {
                        self.end(keeps, &mut datagram).await;
                        // Nobody waiting any more is the waiter's affair.
                        let _ = done.send(());
                        return;
                    }
                    Some(Event::Outcome { call, outcome }) => {
                        self.follower.handle_outcome(call, outcome, clock::now());
                    }
                    Some(Event::Sole(account)) => self.follower.set_sole_account(account),
                    Some(Event::Fork(fork)) => self.fork(fork),
                    None => return,
                },
                () = tokio::time::sleep(due) => self.follower.handle_time(clock::now()),
                received = self.socket.recv(&mut datagram) => self.take(received, &datagram),
                _ = accounts.tick() => {
                    let (worker, events) = (Arc::clone(&self.worker), self.events.clone());
                    tokio::spawn(async move {
                        let sole = worker.sole_account().await;
                        // A follower that has stopped wants to know no more.
                        let _ = events.send(Event::Sole(sole)).await;
                    });
                }
            }
            self.drain().await;
        }
    }

    fn fork(&mut self, fork: Fork) {
        let Fork {
            sip_call_id,
            open,
            reply,
        } = fork;
        self.next += 1;
        self.asked.insert(self.next, reply);
        let attach = Attach { sip_call_id, open };
        self.follower.attach(self.next, attach, clock::now());
    }

    fn take(&mut self, received: std::io::Result<usize>, datagram: &[u8]) {
        match received {
            Ok(length) => self
                .follower
                .handle_datagram(&datagram[..length], clock::now()),
            // An ICMP error of something that was sent: nobody listens there. It is sent again.
            Err(error) => tracing::debug!(%error, "rtpengine's control socket"),
        }
    }

    /// Sends and has done what the follower puts out.
    async fn drain(&mut self) {
        while let Some(output) = self.follower.poll_output() {
            match output {
                Output::Send(datagram) => {
                    // An error may be that of an earlier datagram (ICMP), and this one is not sent then: once more.
                    // What is not sent all the same is sent again.
                    let sent = match self.socket.send(&datagram).await {
                        Ok(length) => Ok(length),
                        Err(_) => self.socket.send(&datagram).await,
                    };
                    if let Err(error) = sent {
                        tracing::debug!(%error, "a request to rtpengine is not sent");
                    }
                }
                Output::Work { call, work } => {
                    let (worker, events) = (Arc::clone(&self.worker), self.events.clone());
                    tokio::spawn(async move {
                        let outcome = worker.carry_out(work).await;
                        // A follower that has stopped wants to know no more.
                        let _ = events.send(Event::Outcome { call, outcome }).await;
                    });
                }
                Output::Warning { sip_call_id, why } => {
                    // A Call-ID may have a person's address in it.
                    tracing::warn!(why, of_a_call = sip_call_id.is_some(), "rtpengine");
                    tracing::debug!(?sip_call_id, why, "rtpengine");
                }
                Output::Attached { token, outcome } => {
                    if let Some(reply) = self.asked.remove(&token) {
                        reply(outcome);
                    }
                }
            }
        }
    }

    /// The end: subscriptions end, or calls are kept.
    async fn end(mut self, keeps: bool, datagram: &mut [u8]) {
        if keeps {
            keep(&self.follower, &self.kept, true);
            return;
        }
        self.follower.handle_shutdown(clock::now());
        let until = tokio::time::Instant::now() + UNSUBSCRIBED;
        loop {
            self.drain().await;
            if self.follower.is_idle() || tokio::time::Instant::now() >= until {
                return;
            }
            let due = self.follower.due().since(clock::now());
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                () = tokio::time::sleep(due) => self.follower.handle_time(clock::now()),
                received = self.socket.recv(datagram) => self.take(received, datagram),
            }
        }
    }
}

/// Writes what the next daemon is to know.
fn keep(follower: &Follower, path: &std::path::Path, with_calls: bool) {
    let written = follower
        .keep(with_calls)
        .map_err(std::io::Error::from)
        .and_then(|bytes| kept::write(path, &bytes));
    if let Err(error) = written {
        tracing::error!(%error, "what is known of rtpengine's calls ends here");
    }
}

/// A socket that sends there and hears nobody else.
async fn connect(ng: SocketAddr) -> std::io::Result<UdpSocket> {
    let any: SocketAddr = match ng {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(ng).await?;
    Ok(socket)
}
