//! The Twilio dialects over HTTP: Recordings of 2008-08-01 and 2010-04-01, calls and control,
//! audio as WAV, MP3 and Ogg Opus, health.
//!
//! The daemon makes an [`Api`] of [`Settings`], the store and whoever takes commands, and lets it
//! [`Api::serve`] a listener. It calls `store` (records, audio, accounts), `codec` (MP3, Opus) and
//! `model`'s [`Control`]; it knows neither capture nor sockets of media.
//!
//! A request's way: `wire` (mended ahead of hyper) → `serve` → `dispatch` (`path`, `auth`,
//! `params`) → `recordings`, `calls`, `control` or `media` → a `document` → `xml`, `json`, `csv` or `html`. No
//! dialect is written twice: a resource is described once, a `face` says which fields it shows.
//!
//! Invariants: nothing that may touch a disk runs on an async thread; a recording that was begun
//! is started or taken back, whatever its client does; every queue, body, head, cache and wait has
//! a bound in [`Limits`] or [`Encode`]; no token, number or RecordingSid is logged above DEBUG but
//! where the record itself is at stake.

#![forbid(unsafe_code)]

mod account;
mod answer;
mod app;
mod audit;
mod auth;
mod call;
mod callback;
mod calls;
mod control;
mod csv;
mod dispatch;
mod document;
mod encode;
mod face;
mod fault;
mod filter;
#[doc(hidden)]
pub mod fuzz;
mod health;
mod html;
mod json;
pub mod link;
mod media;
mod openapi;
mod paging;
mod params;
mod path;
mod places;
mod rates;
mod recording;
mod recordings;
mod serve;
mod settings;
mod sound;
mod start;
mod tls;
mod twiml;
mod wire;
mod xml;

use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use reeld_callbacks::Figures;
use reeld_model::{Control, Forks, Incoming, RecordingSid};
use reeld_store::{Record, Stage, Store};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use app::{App, Turns};
pub use audit::Trail;
use auth::Gate;
use encode::Encoder;
pub use encode::Format as EncodedFormat;
use encode::eager::{Eager, Ended};
use places::Places;
use rates::Rates;
pub use settings::{Clock, Encode, Limits, MediaAuth, RecordDefaults, Settings};
pub use tls::{Service, Tls, TlsError};

/// Why the API cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The cache of encoded files cannot be used: repair `cache/` in the data folder.
    #[error("the cache of encoded files {}: {source}", dir.display())]
    Cache {
        /// The folder.
        dir: PathBuf,
        /// What it refused.
        source: io::Error,
    },
    /// There must be at least one encoder.
    #[error("encode.workers must be at least 1")]
    NoWorkers,
}

/// The API, ready to serve. Clones share everything.
#[derive(Clone)]
pub struct Api {
    app: Arc<App>,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api")
            .field("settings", &self.app.settings)
            .finish_non_exhaustive()
    }
}

impl Api {
    /// Opens the cache of encoded files and starts its encoders. Time is the system's; `/metrics`
    /// shows `callbacks`, which the sender of callbacks counts in, and `incoming`; `trail` is written.
    ///
    /// # Errors
    /// [`ApiError`], before anything is served.
    pub fn new(
        settings: Settings,
        store: Store,
        control: Arc<dyn Control>,
        callbacks: Arc<Figures>,
        incoming: Arc<Incoming>,
        trail: Arc<Trail>,
    ) -> Result<Self, ApiError> {
        let clock: Clock = Arc::new(|| jiff::Timestamp::now().as_millisecond());
        Self::with_clock(settings, store, control, callbacks, incoming, trail, clock)
    }

    /// As [`Api::new`], on another clock.
    ///
    /// # Errors
    /// [`ApiError`], before anything is served.
    pub fn with_clock(
        settings: Settings,
        store: Store,
        control: Arc<dyn Control>,
        callbacks: Arc<Figures>,
        incoming: Arc<Incoming>,
        trail: Arc<Trail>,
        clock: Clock,
    ) -> Result<Self, ApiError> {
        let Encode {
            workers,
            queue,
            cache_bytes,
            cache_dir,
            eager,
        } = settings.encode.clone();
        let load = control.load();
        let workers = NonZeroUsize::new(workers).ok_or(ApiError::NoWorkers)?;
        let eager = (!eager.is_empty()).then(|| eager_of(&store, eager));
        let limits = &settings.limits;
        let rates = Rates::new(limits.rate_of_address, limits.rate_of_account);
        let places = Places::new(limits.connections, limits.connections_of_address);
        let dir = cache_dir.clone();
        // What is made of encrypted recordings is as secret as they are.
        let is_secret = store.has_keys();
        let encoder = Encoder::new(
            workers,
            queue,
            cache_bytes,
            dir,
            load.clone(),
            eager,
            is_secret,
        )
        .map_err(|source| ApiError::Cache {
            dir: cache_dir,
            source,
        })?;
        // A crash may have come between a deletion and the end of what was encoded of it.
        encoder.keep(|sid| !matches!(store.find(sid), Ok(None)));
        Ok(Self {
            app: Arc::new(App {
                settings,
                store,
                control,
                forks: OnceLock::new(),
                load,
                begins: Semaphore::new(control::BEGINS),
                callbacks,
                clock,
                gate: Gate::new(),
                rates,
                trail,
                incoming,
                places: Arc::new(places),
                encoder,
                peaks: Arc::new(Semaphore::new(media::peaks::READERS)),
                turns: Turns::default(),
            }),
        })
    }

    /// Has starts with `Source=rtpengine` go there, from now on; the first one counts.
    pub fn fork_by(&self, forks: Arc<dyn Forks>) {
        let _ = self.app.forks.set(forks);
    }

    /// Serves `listener` until `shutdown` resolves; then takes no more connections and lets open
    /// requests end for [`Limits::drain`].
    ///
    /// # Errors
    /// None today: a connection's failure is its own. Kept for listeners that can die.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> io::Result<()> {
        serve::run(Arc::clone(&self.app), listener, shutdown).await
    }

    /// Removes what is kept of a recording that was deleted otherwise than by a request.
    pub fn forget(&self, sid: RecordingSid) {
        self.app.encoder.forget(sid);
    }

    /// Takes note of a recording that has ended: where [`Encode::eager`] says so, its files are made in
    /// idle time. It waits for nobody.
    pub fn ended(&self, record: &Record) {
        if record.stage == Stage::Completed {
            self.app.encoder.ended(Ended {
                account: record.account,
                sid: record.sid,
            });
        }
    }
}

/// What is made of recordings before anybody asks for it: their files as who asks for no number of
/// channels gets them.
fn eager_of(store: &Store, formats: Vec<EncodedFormat>) -> Eager {
    let store = store.clone();
    let find = move |ended: Ended, format| {
        let record = store.get(ended.account, ended.sid)?;
        Ok(record.and_then(|record| {
            let channels = record.channels.count();
            media::plan(&store, record, channels, format)
        }))
    };
    Eager {
        formats,
        find: Box::new(find),
    }
}
