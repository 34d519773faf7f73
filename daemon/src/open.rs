//! Open ports: whose call a stream is that comes to one, and its recording.
//!
//! Called by `run`. Packets and calls are `ingest`'s; a media thread asks [`Doorkeeper`] whose a new stream is, which
//! decides by the configuration alone, and says when the call is open. A task here begins its recording then, which takes
//! the disk; until it has, packets wait with the call. A recording that ends for its length is followed by another one of
//! the same call.
//!
//! Bounds: calls that wait for their recording, [`WAITING`]; the rest is `ingest`'s and `crate::work`'s.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use reeld_capture::StreamRules;
use reeld_config::Config;
use reeld_ingest::{Door, OpenPort, OpenSettings};
use reeld_model::incoming::Declined;
use reeld_model::{
    AccountSid, Bringer, CallSid, Channels, Control, EndedBy, Ending, OpenCall, PauseBehavior,
    SourceRule, TrackSelection,
};
use reeld_signal::route::{Caller, Route, Source};
use reeld_signal::work::{By, Failure, Wanted};
use reeld_store::{Origin, Record, Store};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::ledger::{self, Ledger};
use crate::settings;
use crate::work::Worker;

/// Calls that wait for their recording to be begun.
const WAITING: usize = 256;

/// A recording that cannot be begun for want of strength is tried so often, and after so long again: while its packets
/// wait for it (`ingest/src/live.rs`).
const TRIES: u32 = 5;
const AGAIN: Duration = Duration::from_secs(2);

/// How often it is asked which account there is.
const ACCOUNTS_EVERY: Duration = Duration::from_secs(1);

/// A recording that is to be begun.
#[derive(Debug)]
struct Wish {
    open: OpenCall,
    by: By,
    channels: Channels,
    /// What it keeps of where it came from: a JSON object.
    signalling: String,
    /// Whether the call has none yet.
    is_first: bool,
}

/// The only account that there is, once that is known.
type Sole = Arc<Mutex<Option<Option<AccountSid>>>>;

/// Says whose the streams of one open port are.
struct Doorkeeper {
    listen: SocketAddr,
    account: Option<AccountSid>,
    channels: Channels,
    sdp: Option<String>,
    routes: Vec<Route>,
    sole: Sole,
    wishes: mpsc::Sender<Wish>,
    /// Streams that nobody's account fits, so that the log has each port's first one.
    told: Mutex<bool>,
    ledger: Ledger,
}

/// The ports, bound before anything else runs, and what they will be told.
pub(crate) struct Bound {
    pub(crate) ports: Vec<OpenPort>,
    wishes: mpsc::Receiver<Wish>,
    sender: mpsc::Sender<Wish>,
    sole: Sole,
    listens: Vec<SocketAddr>,
}

/// The task that begins recordings.
pub(crate) struct OpenPorts {
    wishes: mpsc::Sender<Wish>,
    task: JoinHandle<()>,
}

impl Bound {
    /// Binds what `[[media.open]]` says.
    ///
    /// # Errors
    /// An address cannot be had.
    pub(crate) fn bind(config: &Config, ledger: &Ledger) -> anyhow::Result<Option<Self>> {
        if config.media.open.is_empty() {
            return Ok(None);
        }
        let (sender, wishes) = mpsc::channel(WAITING);
        let sole = Sole::default();
        let mut ports = Vec::new();
        let mut listens = Vec::new();
        for open in &config.media.open {
            let listen = open.listen;
            let channels = if open.pairs {
                Channels::Dual
            } else {
                Channels::Mono
            };
            let door = Doorkeeper {
                listen,
                account: open.account,
                channels,
                sdp: offer(&open.payloads),
                routes: settings::routes(config),
                sole: Arc::clone(&sole),
                wishes: sender.clone(),
                told: Mutex::new(false),
                ledger: ledger.clone(),
            };
            let rules = StreamRules {
                allow: open.allow.clone(),
                pairs: open.pairs,
                follow: open.follow,
                timeout: open.timeout,
                most: open.max_calls,
            };
            let settings = OpenSettings {
                listen,
                rules,
                incoming: Arc::clone(&ledger.incoming),
            };
            let port = OpenPort::bind(settings, Arc::new(door));
            ports.push(port.with_context(|| format!("media.open {listen}"))?);
            listens.push(listen);
        }
        Ok(Some(Self {
            ports,
            wishes,
            sender,
            sole,
            listens,
        }))
    }

    /// Begins to see to their recordings; before the ports are given to the switchboard, which asks at once.
    pub(crate) async fn start(
        self,
        store: &Store,
        control: Arc<dyn Control>,
        ledger: &Ledger,
    ) -> OpenPorts {
        let Self {
            ports: _,
            wishes,
            sender,
            sole,
            listens,
        } = self;
        let origin = Origin::OpenPort;
        let worker = Arc::new(Worker::new(
            store.clone(),
            control,
            origin,
            PauseBehavior::Skip,
            ledger.clone(),
        ));
        set(&sole, worker.sole_account().await);
        for listen in listens {
            tracing::info!(%listen, "RTP of whoever is allowed is recorded (open port)");
        }
        let task = tokio::spawn(see_to(wishes, worker, sole, ledger.clone()));
        OpenPorts {
            wishes: sender,
            task,
        }
    }
}

impl OpenPorts {
    /// Who is to be told of each recording that has ended; never waits.
    pub(crate) fn hear(&self) -> impl Fn(&Record) + Send + Sync + 'static {
        let wishes = self.wishes.clone();
        move |record| {
            let is_length = matches!(record.ended_by, Some(EndedBy::MaxLength | EndedBy::MaxSize));
            if record.origin != Origin::OpenPort || !is_length {
                return;
            }
            let wish = Wish {
                open: OpenCall {
                    external_id: record.parties.external_id.clone(),
                    ..OpenCall::new(record.account, record.call)
                },
                by: by(ledger::address_of(record)),
                channels: record.channels,
                signalling: record.signalling_json.clone(),
                is_first: false,
            };
            if wishes.try_send(wish).is_err() {
                tracing::error!(call = %record.call, "a stream goes on without a recording");
            }
        }
    }

    /// Ends: what is being begun is.
    pub(crate) fn stop(self) {
        self.task.abort();
    }
}

/// Who brings a stream's call.
fn by(address: Option<IpAddr>) -> By {
    By {
        bringer: Bringer::OpenPort,
        address,
        agent: None,
    }
}

fn set(sole: &Sole, account: Option<AccountSid>) {
    *sole.lock().unwrap_or_else(PoisonError::into_inner) = Some(account);
}

/// Begins recordings, each in a task of its own.
async fn see_to(mut wishes: mpsc::Receiver<Wish>, worker: Arc<Worker>, sole: Sole, ledger: Ledger) {
    let mut accounts = tokio::time::interval(ACCOUNTS_EVERY);
    loop {
        tokio::select! {
            wish = wishes.recv() => {
                let Some(wish) = wish else { return };
                let (worker, ledger) = (Arc::clone(&worker), ledger.clone());
                tokio::spawn(async move { begin(&worker, &ledger, wish).await });
            }
            _ = accounts.tick() => {
                let (worker, sole) = (Arc::clone(&worker), Arc::clone(&sole));
                tokio::spawn(async move { set(&sole, worker.sole_account().await) });
            }
        }
    }
}

async fn begin(worker: &Worker, ledger: &Ledger, wish: Wish) {
    let Wish {
        open,
        by,
        channels,
        signalling,
        is_first,
    } = wish;
    let track = match channels {
        Channels::Dual => TrackSelection::Both,
        Channels::Mono => TrackSelection::Inbound,
    };
    let wanted = Wanted { channels, track };
    for tries_left in (0..TRIES).rev() {
        let begun = worker
            .record_open(&open, &by, wanted, signalling.clone())
            .await;
        let Err(failure) = begun else {
            if is_first {
                ledger.incoming.begun(Bringer::OpenPort);
            }
            return;
        };
        let passes = matches!(failure, Failure::Busy(_));
        if passes && tries_left > 0 {
            tokio::time::sleep(AGAIN).await;
            continue;
        }
        tracing::error!(call = %open.call, ?failure, "a stream at an open port is not recorded");
        if is_first {
            let why = failure.declined();
            match by.address {
                Some(address) => ledger.declined(Bringer::OpenPort, why, address),
                None => ledger.incoming.declined(Bringer::OpenPort, why),
            }
            // Its stream shows itself again, and is tried again.
            worker.end(open.account, open.call, Ending::Now).await;
        }
        return;
    }
}

/// An offer of what payload types mean, where that is more than the usual.
fn offer(payloads: &[(u8, String)]) -> Option<String> {
    if payloads.is_empty() {
        return None;
    }
    let types: Vec<String> = payloads
        .iter()
        .map(|(number, _)| number.to_string())
        .collect();
    let mut text = format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=open\r\nt=0 0\r\nm=audio 9 RTP/AVP 0 {}\r\n",
        types.join(" ")
    );
    for (number, map) in payloads {
        text.push_str(&format!("a=rtpmap:{number} {map}\r\n"));
    }
    Some(text + "a=sendonly\r\n")
}

impl Door for Doorkeeper {
    fn name(&self, from: SocketAddr, ssrc: u32) -> Option<OpenCall> {
        // A place to wait for its recording has to be there too.
        if self.wishes.capacity() == 0 {
            return None;
        }
        // Not known yet: the daemon starts.
        let sole = (*self.sole.lock().unwrap_or_else(PoisonError::into_inner))?;
        let caller = Caller::without_sip(Source::OpenPort, from.ip());
        let Some(account) = caller.account(&self.routes, self.account, sole) else {
            let why = Declined::NoAccount;
            self.ledger.declined(Bringer::OpenPort, why, from.ip());
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if !std::mem::replace(&mut *told, true) {
                tracing::error!(listen = %self.listen, "neither calls.routes nor media.open.account says whose a stream is");
            }
            return None;
        };
        let source = SocketAddr::new(from.ip().to_canonical(), from.port());
        let external_id = format!("rtp:{source}/{ssrc:08x}");
        let call = CallSid::from_external(account, &external_id);
        Some(OpenCall {
            external_id: Some(external_id),
            sdp: self.sdp.clone(),
            source: Some(SourceRule {
                address: source.ip(),
                port: Some(source.port()),
            }),
            tracks: match self.channels {
                Channels::Dual => TrackSelection::Both,
                Channels::Mono => TrackSelection::Inbound,
            },
            ..OpenCall::new(account, call)
        })
    }

    fn opened(&self, call: &OpenCall) -> bool {
        let address = call.source.map(|source| source.address);
        let signalling = serde_json::json!({
            "protocol": "rtp",
            "listen": self.listen.to_string(),
            "source": call.external_id,
            "address": address,
        });
        let wish = Wish {
            open: call.clone(),
            by: by(address),
            channels: self.channels,
            signalling: signalling.to_string(),
            is_first: true,
        };
        self.wishes.try_send(wish).is_ok()
    }
}
