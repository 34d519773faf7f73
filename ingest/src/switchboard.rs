//! The capture side as the rest of the daemon sees it: started, asked, stopped.
//!
//! `daemon` starts and stops it; `api` and `signal` ask through [`Control`]. It finds the thread
//! that has a call (`routes`) and puts the request into that thread's queue. It never blocks on a
//! thread's work: a full queue is an answer.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use reeld_model::{Command, Control, Gauges, Load, Refusal, Request};
use socket2::Socket;

use crate::admission::Outside;
use crate::backlog::Backlog;
use crate::clock::monotonic;
use crate::descriptors;
use crate::handover::{HandedCall, TakenCall};
use crate::inlet::{Inlet, media_socket};
use crate::leg::Binding;
use crate::live::LiveCall;
use crate::open::OpenPort;
use crate::ports::Ports;
use crate::promise::Promise;
use crate::quota::Quota;
use crate::routes::{CallKey, NoRoute};
use crate::shared::{Progress, Shared};
use crate::thread::{self, Job};
use crate::{IngestError, Settings, Sink};

/// Requests that wait for one thread at most. Served in some 50 µs each, a full queue is done
/// within a tick.
const QUEUE: usize = 1_024;

/// How long threads have to close their open ports: ten ticks, of a thread that is late.
const CLOSED_WITHIN: Duration = Duration::from_secs(5);

/// A media thread's calls.
type Calls = HashMap<CallKey, Box<LiveCall>>;

/// All media threads. Clones are the same switchboard; when the last one is gone without
/// [`Switchboard::shutdown`], the threads end their recordings and stop by themselves.
#[derive(Clone)]
pub struct Switchboard {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    queues: Vec<SyncSender<Job>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Never bound: it keeps the kernel stamping packets while no call is open.
    _stamping: Socket,
}

impl Switchboard {
    /// Checks that media sockets can be had, raises the limit of descriptors and starts the media
    /// threads; `sink` makes each one's sink from its index.
    ///
    /// # Errors
    /// [`IngestError`]; nothing runs then.
    pub fn start(
        settings: Settings,
        sink: impl FnMut(usize) -> Box<dyn Sink>,
    ) -> Result<Self, IngestError> {
        Self::start_with(settings, Vec::new(), Vec::new(), sink)
    }

    /// As [`Switchboard::start`], with the calls that another process had open, and with open ports.
    ///
    /// # Errors
    /// [`IngestError`]; nothing runs then.
    pub fn start_with(
        settings: Settings,
        taken: Vec<TakenCall>,
        open: Vec<OpenPort>,
        mut sink: impl FnMut(usize) -> Box<dyn Sink>,
    ) -> Result<Self, IngestError> {
        let Settings {
            address,
            receive_buffer,
            ..
        } = settings;
        let advertise = settings.advertise.unwrap_or(address);
        if advertise.is_unspecified() {
            return Err(IngestError::NothingToAdvertise(address));
        }
        let mut ports = Ports::new(settings.ports.clone());
        if ports.free(monotonic()) == 0 {
            return Err(IngestError::NoPortPair(settings.ports));
        }
        descriptors::raise_limit();
        let stamping =
            probe(&settings).map_err(|source| IngestError::Socket { address, source })?;

        let threads = settings.threads.max(1);
        let binding = Binding {
            address,
            receive_buffer,
            ports: Arc::new(Mutex::new(ports)),
        };
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(IngestError::Random)?;
        let call_settings = reeld_capture::Settings {
            reorder_window: settings.reorder_window,
            first_packet: settings.first_packet,
            inactivity: settings.inactivity,
            max_length: settings.max_length,
            conceal: settings.conceal,
            dtmf: settings.dtmf,
            rate: settings.rate,
            allow: settings.allow,
            advertise,
            secret: reeld_capture::Secret::new(secret),
        };
        let quota = Quota::new(settings.max_recordings);
        let backlog = Backlog::new(settings.backlog_bytes);
        let shared = Shared::new(binding, quota, backlog, call_settings, threads);
        let shared = Arc::new(shared);
        let mut calls = distribute(taken, &shared, threads)?.into_iter();
        let mut ports: Vec<Vec<OpenPort>> = (0..threads).map(|_| Vec::new()).collect();
        for (at, mut port) in open.into_iter().enumerate() {
            port.set_up(&shared.call_settings);
            shared.threads[at % threads].set_open_ports(true);
            ports[at % threads].push(port);
        }
        let mut ports = ports.into_iter();
        let mut queues = Vec::with_capacity(threads);
        let mut handles = Vec::with_capacity(threads);
        for index in 0..threads {
            let (queue, jobs) = sync_channel(QUEUE);
            let (shared, sink) = (Arc::clone(&shared), sink(index));
            let calls = calls.next().unwrap_or_default();
            let ports = ports.next().unwrap_or_default();
            // Made in the thread: the thread owns it outright. A failure here drops the queues,
            // which stops the threads that run already.
            let handle = std::thread::Builder::new()
                .name(format!("reeld-media-{index}"))
                .spawn(move || thread::run(index, shared, sink, jobs, calls, ports))
                .map_err(|source| IngestError::Thread { index, source })?;
            queues.push(queue);
            handles.push(handle);
        }
        let inner = Inner {
            shared,
            queues,
            threads: Mutex::new(handles),
            _stamping: stamping,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Ends every recording with `EndedBy::Shutdown`, hands out all outputs (asking a sink without
    /// room again for some seconds) and waits for the threads. Requests from now on get
    /// [`Refusal::ShuttingDown`]. Blocks; a second call waits for the first.
    pub fn shutdown(&self) {
        self.end();
    }

    /// As [`Switchboard::shutdown`], the calls that are open being kept for another process first.
    /// Their recordings end here as they do there, and the other process takes that back.
    #[must_use]
    pub fn hand_over(&self) -> Vec<HandedCall> {
        self.inner
            .shared
            .handing_over
            .store(true, Ordering::Relaxed);
        self.end();
        std::mem::take(&mut *self.inner.shared.handed())
    }

    /// Closes the open ports, and ends their calls in order: these stay with their port, which another process binds
    /// anew. Blocks until it is done, for some ticks.
    pub fn close_open_ports(&self) {
        let shared = &self.inner.shared;
        shared.closing_open_ports.store(true, Ordering::Release);
        let since = monotonic();
        while shared.threads.iter().any(Progress::has_open_ports) {
            if monotonic().since(since) >= CLOSED_WITHIN {
                tracing::error!(
                    "open ports are not closed in time: their calls end with the daemon"
                );
                return;
            }
            std::thread::sleep(crate::TICK / 10);
        }
    }

    fn end(&self) {
        self.inner.shared.stopping.store(true, Ordering::Release);
        let mut threads = self
            .inner
            .threads
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for (index, thread) in threads.drain(..).enumerate() {
            if thread.join().is_err() {
                tracing::error!(
                    thread = index,
                    "a media thread had panicked before the stop"
                );
            }
        }
    }

    /// Judges what there is to do by what is measured here and `outside`; [`Control::load`] shows it
    /// from then on. To be called a few times a second.
    pub fn weigh(&self, outside: Outside) {
        self.inner.shared.weigh(outside);
    }

    /// Whether every media thread has ticked within `within`: what a watchdog asks. A thread that
    /// panicked is not alive.
    #[must_use]
    pub fn alive(&self, within: Duration) -> bool {
        let now = monotonic();
        self.inner
            .shared
            .threads
            .iter()
            .all(|thread| thread.alive(now, within))
    }
}

impl Control for Switchboard {
    fn submit(&self, request: Request) {
        let Inner { shared, queues, .. } = &*self.inner;
        let Request { command, reply } = request;
        let promise = Promise::new(reply, Arc::clone(&shared.stopping));
        if shared.is_stopping() {
            return promise.fulfil(Err(Refusal::ShuttingDown));
        }
        let (key, opens) = addressee(&command);
        match shared.routes.admit(key, opens) {
            // A full queue, or one whose thread has died, gives the job back; dropped, it answers.
            Ok((thread, ticket)) => drop(queues[thread].try_send(Job {
                command,
                promise,
                ticket,
            })),
            Err(NoRoute::CallUnknown) => promise.fulfil(Err(Refusal::CallUnknown)),
            Err(NoRoute::NoThread) => promise.fulfil(Err(Refusal::Overloaded)),
        }
    }

    fn gauges(&self) -> Gauges {
        self.inner.shared.gauges()
    }

    fn load(&self) -> Load {
        self.inner.shared.load.clone()
    }
}

/// Calls that another process had open, for each thread.
fn distribute(
    taken: Vec<TakenCall>,
    shared: &Arc<Shared>,
    threads: usize,
) -> Result<Vec<Calls>, IngestError> {
    let mut all: Vec<Calls> = (0..threads).map(|_| HashMap::new()).collect();
    for call in taken {
        let key = call.kept.key();
        // Every thread is there: none has begun.
        let Ok((thread, ticket)) = shared.routes.admit(key, true) else {
            return Err(IngestError::Handover("there is no thread".to_owned()));
        };
        shared.routes.opened(key);
        drop(ticket);
        all[thread].insert(key, Box::new(LiveCall::take_up(call, shared)));
    }
    Ok(all)
}

/// The call that a command is for, and whether the command opens it if need be.
fn addressee(command: &Command) -> (CallKey, bool) {
    match command {
        Command::OpenCall(open) => ((open.account, open.call), true),
        Command::StartRecording { call, may_open, .. } => ((call.account, call.call), *may_open),
        Command::DescribeCall { account, call }
        | Command::UpdateCall { account, call, .. }
        | Command::CompleteCall { account, call }
        | Command::ExpireCall { account, call }
        | Command::ChangeRecording { account, call, .. } => ((*account, *call), false),
    }
}

/// Binds one socket as calls will and says if the kernel cuts its receive buffer. Returns one that
/// keeps the kernel stamping.
fn probe(settings: &Settings) -> std::io::Result<Socket> {
    let address = (settings.address, 0).into();
    let inlet = Inlet::bind(address, settings.receive_buffer)?;
    let (asked, granted) = (settings.receive_buffer, inlet.receive_buffer()?);
    if granted < asked {
        tracing::warn!(
            asked,
            granted,
            "the kernel cuts media.receive_buffer: see net.core.rmem_max"
        );
    }
    media_socket(address, settings.receive_buffer)
}
