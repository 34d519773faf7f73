//! The daemon: every part made, joined, and ended in order.
//!
//! Called by `reeld serve`, `reeld demo`, `reeld bench end` and tests; calls every crate. Nothing is decided here but
//! the order. At start, whatever can fail for a bad setting comes before a media port is opened:
//!
//! 1. the store is opened (the folder is held from here on), accounts are settled;
//! 2. the API's certificate is read, its port is bound, and so are those that calls come to by themselves (SIPREC, AudioSocket, open ports);
//! 3. calls that the daemon before handed over are made ours (`handover`), and what else it left in the spool is
//!    finished;
//! 4. recorder, then media threads and what measures their load, then API, local socket, the sender of callbacks, the purge, retention, the scrub and
//!    what mends the store.
//!
//! At the end: the SIPREC server tells its clients, subscriptions to rtpengine's calls end, or both keep what they have; AudioSocket's calls and those of open ports end; media threads finish their calls, the recorder makes all of it durable, and only then
//! does the API stop, so that who waits for an answer gets it. Where a supervisor keeps descriptors for the next
//! daemon, calls are handed over instead, and their recordings parked.

use std::collections::HashSet;
use std::future::Future;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use reeld_api::{Api, Tls};
use reeld_config::Config;
use reeld_ingest::Switchboard;
use reeld_model::Control;
use reeld_store::{Disk, Record, Store, StoreConfig};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::aside::Aside;
use crate::handover::{self, Leaving, Passed};
use crate::ledger::{self, Ledger};
use crate::memory::Memory;
use crate::open::{self, OpenPorts};
use crate::recorder::Recorder;
use crate::rtpengine::Rtpengine;
use crate::siprec::{self, Siprec};
use crate::{
    audiosocket, clock, credentials, load, mend, notify, purge, retain, scrub, settings, socket,
    tls,
};

/// A media thread that has not ticked for this long is stuck: its tick is 50 ms.
const STUCK: Duration = Duration::from_secs(10);

/// Runs the daemon until `shutdown` resolves, and ends it in order.
///
/// # Errors
/// Something cannot be started. What had been started by then is ended in order.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    run_shown(config, Disk::default(), shutdown, |_, _| {}).await
}

/// As [`run`], on `disk`; once calls are taken, `show` gets the store and the recorder, for a measurement that
/// records what no call has sent. A sink that it takes must be gone before `shutdown` resolves.
pub(crate) async fn run_shown(
    config: Config,
    disk: Disk,
    shutdown: impl Future<Output = ()>,
    show: impl FnOnce(&Store, &Recorder),
) -> anyhow::Result<()> {
    let data_dir = config.data_dir.clone();
    let mut passed = Passed::take();
    let calls = passed.calls();
    let store = blocking({
        let (config, data_dir) = (config.clone(), data_dir.clone());
        move || {
            let settings = StoreConfig {
                disk,
                ..settings::store(&config, &data_dir)
            };
            let store = Store::open(settings).with_context(|| data_dir.display().to_string())?;
            settings::bound_audit(&store, &config);
            credentials::settle(&store, &config, &data_dir)?;
            anyhow::Ok(store)
        }
    })
    .await?;
    let tls = tls::load(reeld_api::Service::API, config.api.tls.as_ref())?;
    let sip_tls = tls::load(siprec::SERVICE, config.sip.tls.as_ref())?;
    let (listener, is_activated) = listen(config.api.listen, &mut passed).await?;
    let listen = listener.local_addr()?;
    let sip = siprec::Bound::bind(&config, sip_tls.clone()).await?;
    let audiosocket = audiosocket::Bound::bind(&config).await?;
    let ledger = Ledger::new(config.rtpengine.ng.map(|ng| ng.ip()));
    let mut open_ports = open::Bound::bind(&config, &ledger)?;
    let leaving = Leaving::new((!is_activated).then(|| listener.as_fd()));
    let calls = blocking({
        let (store, ledger) = (store.clone(), ledger.clone());
        move || {
            handover::resume(&store, &calls);
            recover(&store, &ledger)?;
            Ok(calls)
        }
    })
    .await?;

    let open: HashSet<_> = calls.iter().map(reeld_ingest::TakenCall::key).collect();
    let recorder = Recorder::start(store.clone(), config.capture.fsync)?;
    let memory = Memory::here();
    let capture = settings::ingest(&config, memory.most());
    let ports = open_ports
        .as_mut()
        .map(|open| std::mem::take(&mut open.ports));
    let ports = ports.unwrap_or_default();
    let started = Switchboard::start_with(capture, calls, ports, |_| recorder.sink())
        .map_err(anyhow::Error::from)
        .and_then(|switchboard| {
            let watch = load::watch(switchboard.clone(), memory, recorder.waits())?;
            Ok((switchboard, watch))
        });
    let (switchboard, watch) = match started {
        Ok(started) => started,
        Err(error) => {
            blocking(move || {
                recorder.shutdown();
                Ok(())
            })
            .await?;
            return Err(error);
        }
    };
    let control: Arc<dyn Control> = Arc::new(switchboard.clone());
    recorder.connect(Arc::clone(&control));
    let sip = match sip {
        Some(bound) => Some(
            bound
                .start(&config, &store, Arc::clone(&control), &ledger, &open)
                .await,
        ),
        None => None,
    };

    let rtpengine = Rtpengine::start(&config, &store, Arc::clone(&control), &ledger, &open).await?;
    let open_ports = match open_ports {
        Some(bound) => Some(bound.start(&store, Arc::clone(&control), &ledger).await),
        None => None,
    };
    let audiosocket =
        audiosocket.map(|bound| bound.start(&config, &store, Arc::clone(&control), &ledger));

    let served = serve(
        &config,
        &store,
        control,
        listener,
        tls,
        sip_tls,
        &switchboard,
        &recorder,
        &ledger,
        sip.as_ref(),
        open_ports.as_ref(),
        rtpengine.as_ref(),
        shutdown,
        show,
    )
    .await;

    let hands_over = served.is_ok() && notify::keeps_descriptors().await;
    if let Some(sip) = sip {
        sip.stop(hands_over).await;
    }
    if let Some(audiosocket) = audiosocket {
        audiosocket.stop().await;
    }
    if let Some(open_ports) = open_ports {
        let switchboard = switchboard.clone();
        blocking(move || {
            switchboard.close_open_ports();
            Ok(())
        })
        .await?;
        open_ports.stop();
    }
    if let Some(rtpengine) = rtpengine {
        rtpengine.stop(hands_over).await;
    }
    let ended = blocking(move || {
        // It holds the capture side too.
        drop(watch);
        let given = if hands_over {
            recorder.park();
            leaving.give(switchboard.hand_over())
        } else {
            switchboard.shutdown();
            Ok(())
        };
        // The recorder ends when the last sink is gone, and the media threads held them.
        drop(switchboard);
        recorder.shutdown();
        if let Err(error) = given {
            tracing::error!(
                error = format!("{error:#}"),
                "calls are not handed over: they end"
            );
            recover(&store, &ledger)?;
        }
        anyhow::Ok(())
    })
    .await;
    let servers = served?;
    ended?;
    servers.end().await?;
    if hands_over {
        blocking(|| {
            notify::settled();
            Ok(())
        })
        .await?;
    }
    tracing::info!(%listen, "the daemon has ended");
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "the parts of a daemon, once")]
/// Serves until `shutdown` resolves; returns the servers, to be ended once everything that was
/// recorded is durable.
async fn serve(
    config: &Config,
    store: &Store,
    control: Arc<dyn Control>,
    listener: TcpListener,
    tls: Option<Tls>,
    sip_tls: Option<Tls>,
    switchboard: &Switchboard,
    recorder: &Recorder,
    ledger: &Ledger,
    sip: Option<&Siprec>,
    open_ports: Option<&OpenPorts>,
    rtpengine: Option<&Rtpengine>,
    shutdown: impl Future<Output = ()>,
    show: impl FnOnce(&Store, &Recorder),
) -> anyhow::Result<Servers> {
    let listen = listener.local_addr()?;
    let figures = Arc::new(reeld_callbacks::Figures::default());
    let load = control.load();
    let scrubber = scrub::start(
        store.clone(),
        config.store.scrub,
        config.store.scrub_every,
        load.clone(),
    )?;
    let api = Api::new(
        settings::api(config, &config.data_dir, tls.clone()),
        store.clone(),
        control,
        Arc::clone(&figures),
        Arc::clone(&ledger.incoming),
        Arc::clone(&ledger.trail),
    )?;
    if let Some(rtpengine) = rtpengine {
        api.fork_by(rtpengine.forks());
    }
    recorder.on_ended({
        let api = api.clone();
        let sip = sip.map(Siprec::hear);
        let open_ports = open_ports.map(OpenPorts::hear);
        let ledger = ledger.clone();
        move |record| {
            api.ended(record);
            ledger.ended(record);
            if let Some(hear) = &sip {
                hear(record);
            }
            if let Some(hear) = &open_ports {
                hear(record);
            }
        }
    });
    let local = socket::server::bind(&config.data_dir)?;
    let strangers = ledger.watch_strangers();
    let (ending, ended) = watch::channel(false);
    let until_ended = |mut ended: watch::Receiver<bool>| async move {
        // A sender that is gone has ended too.
        let _ = ended.wait_for(|ended| *ended).await;
    };
    let local = tokio::spawn(socket::server::serve(
        local,
        store.clone(),
        settings::capture(config),
        until_ended(ended.clone()),
    ));
    let callbacks = tokio::spawn(reeld_callbacks::run(
        store.clone(),
        settings::callbacks(config),
        figures,
        until_ended(ended.clone()),
    ));
    let purge = tokio::spawn(purge::run(
        store.clone(),
        config.store.deleted_metadata,
        config.audit.keep,
        until_ended(ended.clone()),
    ));
    let mend = tokio::spawn(mend::run(
        store.clone(),
        {
            let (api, ledger) = (api.clone(), ledger.clone());
            move |record: &Record| {
                api.ended(record);
                ledger.ended(record);
            }
        },
        until_ended(ended.clone()),
    ));
    let retain = tokio::spawn(retain::run(
        store.clone(),
        settings::retention(config),
        load,
        {
            let api = api.clone();
            move |sid| api.forget(sid)
        },
        until_ended(ended.clone()),
    ));
    let api = tokio::spawn(async move { api.serve(listener, until_ended(ended)).await });
    let reload = tokio::spawn(tls::reload_on_hangup(
        tls.into_iter().chain(sip_tls).collect(),
    ));
    let watchdog = tokio::spawn(notify::watchdog({
        let (switchboard, writing) = (switchboard.clone(), recorder.liveness());
        move || switchboard.alive(STUCK) && writing()
    }));
    tracing::info!(%listen, data_dir = %config.data_dir.display(), "calls are taken");
    notify::ready();
    show(store, recorder);

    shutdown.await;
    notify::stopping();
    tracing::info!("stopping: what is being recorded is finished");
    reload.abort();
    watchdog.abort();
    // An aborted task is gone when it says so; it held the capture side.
    let _ = watchdog.await;
    Ok(Servers {
        strangers,
        ending,
        api,
        local,
        callbacks,
        purge,
        mend,
        retain,
        scrubber,
    })
}

/// The servers that run until everything that was recorded is durable.
struct Servers {
    strangers: ledger::Watch,
    ending: watch::Sender<bool>,
    api: JoinHandle<std::io::Result<()>>,
    local: JoinHandle<()>,
    callbacks: JoinHandle<()>,
    purge: JoinHandle<()>,
    mend: JoinHandle<()>,
    retain: JoinHandle<()>,
    scrubber: Option<Aside>,
}

impl Servers {
    /// Ends them: no new connection, and what is under way comes to its end.
    async fn end(self) -> anyhow::Result<()> {
        // The API writes what it has to say.
        self.strangers.end().await;
        self.ending.send_replace(true);
        let (api, local) = (self.api.await, self.local.await);
        let (callbacks, purge, mend) = (self.callbacks.await, self.purge.await, self.mend.await);
        api.context("the API panicked")??;
        local.context("the local socket panicked")?;
        callbacks.context("the sender of callbacks panicked")?;
        purge.context("the purge panicked")?;
        mend.context("what mends the store panicked")?;
        self.retain.await.context("retention panicked")?;
        blocking(move || {
            drop(self.scrubber);
            Ok(())
        })
        .await
    }
}

/// The API's listener: the one that was passed, or a new one; and whether a socket unit has it.
async fn listen(wanted: SocketAddr, passed: &mut Passed) -> anyhow::Result<(TcpListener, bool)> {
    let context = || format!("api.listen {wanted}");
    if let Some((listener, is_activated)) = passed.api(wanted) {
        listener.set_nonblocking(true).with_context(context)?;
        let listener = TcpListener::from_std(listener).with_context(context)?;
        return Ok((listener, is_activated));
    }
    let listener = TcpListener::bind(wanted).await.with_context(context)?;
    Ok((listener, false))
}

/// Finishes what an earlier daemon left.
fn recover(store: &Store, ledger: &Ledger) -> anyhow::Result<()> {
    let recovery = store.recover(clock::unix_ms())?;
    for record in &recovery.recovered {
        ledger.ended(record);
        tracing::warn!(
            recording = %record.sid,
            duration_ms = record.duration_ms(),
            "a recording was left unfinished; it is finished with what had been written"
        );
    }
    for problem in &recovery.problems {
        tracing::error!(problem, "recovery");
    }
    Ok(())
}

/// Runs what waits for a disk or a thread where it may wait.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .context("a part of the daemon panicked")?
}
