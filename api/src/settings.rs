//! What the daemon decides for the API, already checked.
//!
//! `daemon` fills it from `config`, which states the defaults of what it names; nothing here reads
//! a file. [`Limits::default`] is for what `config` does not name, and for tests.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use reeld_callbacks::Allow;
use reeld_model::{Rules, Trim};

use crate::EncodedFormat;
use crate::tls::Tls;

/// Reads the wall clock: milliseconds since the Unix epoch. Given in, so that tests can set it.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// All that the API is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `api.public_url`: what absolute links begin with; `None` takes the request's `Host`.
    pub public_url: Option<String>,
    /// `api.media_auth`.
    pub media_auth: MediaAuth,
    /// `api.link_lifetime`: how long `media_url` is a signed link for; `None`: it is none.
    pub link_lifetime: Option<Duration>,
    /// `api.start_unknown_call`: whether starting a recording opens a call that is not open.
    pub start_unknown_call: bool,
    /// `api.timezone`: of 2008 dates and of the days in 2008 filters. 2010 is always UTC.
    pub timezone: TimeZone,
    /// Bounds on clients.
    pub limits: Limits,
    /// `encode.*`.
    pub encode: Encode,
    /// `record.*`.
    pub record: RecordDefaults,
    /// `callbacks.allow`: where callbacks may go.
    pub callbacks: Allow,
    /// `api.tls_cert` and `api.tls_key`; without it connections are plain.
    pub tls: Option<Tls>,
}

/// Who may fetch audio and the 2008 `.xml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaAuth {
    /// Whoever knows the RecordingSid, as the seed API says.
    Public,
    /// The account alone.
    Required,
}

/// `record.*`: what a recording with any `<Record>` parameter has where it does not say.
#[derive(Debug, Clone)]
pub struct RecordDefaults {
    /// `record.timeout`, `record.finish_on_key`, `record.max_length`.
    pub rules: Rules,
    /// `record.trim`.
    pub trim: Trim,
}

/// `encode.*`: the pool that makes MP3 and Opus and the folder that keeps them.
#[derive(Debug, Clone)]
pub struct Encode {
    /// Threads that encode; at least 1.
    pub workers: usize,
    /// Recordings that may wait for one; a request beyond gets 503.
    pub queue: usize,
    /// Bytes of finished files kept.
    pub cache_bytes: u64,
    /// Where they are kept; made if it is missing, and nobody else's.
    pub cache_dir: PathBuf,
    /// What is made of a recording that has ended before it is asked for, in idle time.
    pub eager: Vec<EncodedFormat>,
}

/// Bounds on what one client, and all together, can hold.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections open at once; further ones wait in the listener's backlog.
    pub connections: usize,
    /// Of them, those of one address; `None`: all.
    pub connections_of_address: Option<usize>,
    /// Requests a second of one address; `None`: without a bound.
    pub rate_of_address: Option<u32>,
    /// Requests a second with one account's credentials; `None`: without a bound.
    pub rate_of_account: Option<u32>,
    /// Whether audio and what is beside the API count as requests.
    pub rate_media: bool,
    /// Bytes of a request's body; more gets 413.
    pub body_bytes: usize,
    /// From a connection's or an answer's end to the end of the next head.
    pub head: Duration,
    /// From the end of the head to the beginning of the answer.
    pub request: Duration,
    /// Without a byte taken by a client that has some waiting.
    pub write_stall: Duration,
    /// For the capture side to answer a command.
    pub control: Duration,
    /// For open requests to end when the daemon stops.
    pub drain: Duration,
}

impl Default for Limits {
    /// Room for the largest SDP and tags; times that a phone on a bad network keeps.
    fn default() -> Self {
        Self {
            connections: 1_024,
            connections_of_address: Some(512),
            rate_of_address: Some(1_000),
            rate_of_account: Some(1_000),
            rate_media: false,
            body_bytes: 128 * 1024,
            head: Duration::from_secs(30),
            request: Duration::from_secs(30),
            write_stall: Duration::from_secs(60),
            control: Duration::from_secs(10),
            drain: Duration::from_secs(5),
        }
    }
}
