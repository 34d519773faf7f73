//! The configuration as it is checked: plain data. Made by `check` alone, so each value is within
//! its bounds and no two contradict each other.
//!
//! What a key means in full stands in [`crate::key::KEYS`]; here stand the types and units.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use jiff::tz::TimeZone;
use reeld_model::{AccountSid, Channels, Trim};

use crate::audiosocket::AudioSocket;
use crate::open::OpenPort;
use crate::retention::Limits;
use crate::route::Calls;
use crate::sip::Sip;

/// All of it. [`Config::default`] is the embedded defaults: what an empty file says.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The folder of everything.
    pub data_dir: PathBuf,
    /// `[api]`.
    pub api: Api,
    /// `[media]`.
    pub media: Media,
    /// `[capture]`.
    pub capture: Capture,
    /// `[record]`.
    pub record: Record,
    /// `[encode]`.
    pub encode: Encode,
    /// `[callbacks]`.
    pub callbacks: Callbacks,
    /// `[store]`.
    pub store: Store,
    /// `[audit]`.
    pub audit: Audit,
    /// `[calls]`.
    pub calls: Calls,
    /// `[sip]`.
    pub sip: Sip,
    /// `[audiosocket]`.
    pub audiosocket: AudioSocket,
    /// `[rtpengine]`.
    pub rtpengine: Rtpengine,
    /// `[log]`.
    pub log: Log,
    /// `[[accounts]]`.
    pub accounts: Vec<AccountFile>,
}

/// `[rtpengine]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rtpengine {
    /// Its control socket (NG, UDP); `None` is off.
    pub ng: Option<SocketAddr>,
    /// Whose its calls are; else the only account's that there is.
    pub account: Option<AccountSid>,
    /// Whether each of its calls is recorded; else those alone that the API asks for.
    pub follow: bool,
    /// How the two parties of a call lie in the file.
    pub channels: Channels,
    /// How long it keeps a call that it was told to delete.
    pub delete_delay: Duration,
}

/// `[api]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Api {
    /// Where it is served; port 0 lets the kernel choose.
    pub listen: SocketAddr,
    /// An http or https URL without a trailing slash.
    pub public_url: Option<String>,
    /// Who may fetch audio.
    pub media_auth: MediaAuth,
    /// How long links in metadata and callbacks are signed for.
    pub link_lifetime: Option<Duration>,
    /// Whether a recording may open its call.
    pub start_unknown_call: bool,
    /// Of days and dates under 2008-08-01.
    pub timezone: TimeZone,
    /// Connections at once.
    pub max_connections: usize,
    /// Of them, those of one address.
    pub max_connections_per_address: Option<usize>,
    /// Bytes of a request's body.
    pub max_body: usize,
    /// Until the head of a request is there.
    pub header_timeout: Duration,
    /// Until an answer begins.
    pub request_timeout: Duration,
    /// Without a byte taken of an answer.
    pub write_timeout: Duration,
    /// Requests a second of one address.
    pub rate_per_address: Option<u32>,
    /// Requests a second with one account's credentials.
    pub rate_per_account: Option<u32>,
    /// Whether audio and what is beside the API count too.
    pub rate_media: bool,
    /// Certificate and key, where the API speaks TLS.
    pub tls: Option<TlsFiles>,
}

/// `api.tls_cert` and `api.tls_key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate's PEM file, with those between it and the root.
    pub cert: PathBuf,
    /// The key's PEM file.
    pub key: PathBuf,
}

/// `[audit]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Audit {
    /// How long an entry is kept; zero keeps none.
    pub keep: Duration,
    /// Entries kept at most.
    pub max_entries: u64,
}

/// `api.media_auth`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaAuth {
    /// Whoever knows the Sid.
    Public,
    /// Whoever has the account's credentials.
    Required,
}

/// `[media]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// Where RTP is received.
    pub address: IpAddr,
    /// Even first, odd last: whole pairs.
    pub ports: RangeInclusive<u16>,
    /// What callers are told; `None` is `address`, which is then a definite one.
    pub advertise: Option<IpAddr>,
    /// From where a track may come; never empty off loopback.
    pub allow: Vec<IpNet>,
    /// Bytes of each socket's receive buffer.
    pub receive_buffer: usize,
    /// `[[media.open]]`.
    pub open: Vec<OpenPort>,
}

/// `[capture]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capture {
    /// Recordings at once.
    pub max_recordings: usize,
    /// Bytes of sound that may wait for the disk; see [`Capture::backlog_on`].
    pub backlog_bytes: Option<u64>,
    /// The longest recording.
    pub max_length: Duration,
    /// How long a call waits for its first packet.
    pub first_packet: Duration,
    /// How long a call goes without packets.
    pub inactivity: Duration,
    /// How long a late packet is waited for.
    pub reorder_window: Duration,
    /// Between two times that takes are made durable.
    pub fsync: Duration,
    /// Whether lost packets are concealed.
    pub conceal: bool,
    /// What stands in the file in place of a key.
    pub dtmf: Dtmf,
    /// The rate of recordings.
    pub rate: Rate,
    /// Media threads, at least 1.
    pub threads: usize,
}

/// What `capture.backlog_bytes` may be.
pub(crate) const BACKLOG_BYTES: RangeInclusive<u64> = 16 << 20..=1 << 40;

impl Capture {
    /// The bytes of sound that may wait for the disk on a machine with so many bytes of `memory`. An
    /// eighth of it by default: 8 s of 500 calls of two tracks on 1 GiB, 40 s of 2,500 on 24 GiB, and
    /// what else the daemon needs is left.
    #[must_use]
    pub fn backlog_on(&self, memory: u64) -> u64 {
        let eighth = (memory / 8).clamp(*BACKLOG_BYTES.start(), *BACKLOG_BYTES.end());
        self.backlog_bytes.unwrap_or(eighth)
    }
}

/// `capture.dtmf`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtmf {
    /// Silence of its length.
    Silence,
    /// Its tone.
    Tone,
}

/// `capture.rate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// 8 kHz.
    Narrow,
    /// The best of what the call begins with.
    Native,
}

/// `[record]`: where a `<Record>` parameter is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Received silence that ends it; `None` is off.
    pub timeout: Option<Duration>,
    /// The length that ends it.
    pub max_length: Duration,
    /// Whether silence at its ends goes.
    pub trim: Trim,
    /// Keys of `0`–`9`, `*`, `#` that end it; empty is off.
    pub finish_on_key: String,
}

/// `[encode]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encode {
    /// Encoders at once, at least 1.
    pub workers: usize,
    /// Requests that wait for one.
    pub queue: usize,
    /// Bytes of encoded files that are kept.
    pub cache_bytes: u64,
    /// What is made before it is asked for, each format once; with some, something can be kept.
    pub eager: Vec<Encoded>,
}

/// A format of `encode.eager`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoded {
    /// MP3.
    Mp3,
    /// Ogg Opus.
    Opus,
}

/// `[callbacks]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callbacks {
    /// To where callbacks may go.
    pub allow: Vec<IpNet>,
    /// Sent at once.
    pub concurrency: usize,
    /// How long one that fails is tried again.
    pub retry_for: Duration,
    /// The pause after the first failure.
    pub retry_first: Duration,
    /// The longest pause.
    pub retry_most: Duration,
}

/// `[store]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// Where finished audio is kept.
    pub media: MediaKind,
    /// The key that encrypts what is recorded; none leaves it in clear.
    pub encryption_key: Option<KeyPlace>,
    /// Keys that encrypted what was recorded before.
    pub old_encryption_keys: Vec<KeyPlace>,
    /// How long the record of a deleted recording is kept; zero keeps none.
    pub deleted_metadata: Duration,
    /// How much each account keeps.
    pub retention: Limits,
    /// How much those keep that have limits of their own.
    pub account_retention: HashMap<AccountSid, Limits>,
    /// Of a million downloads, how many are compared with their checksum first.
    pub check_reads_ppm: u32,
    /// Bytes of media that are read back and compared a second; 0 for none.
    pub scrub: u64,
    /// The time between the beginnings of two rounds of that, at least.
    pub scrub_every: Duration,
    /// Bytes of disk that stay free; see [`Store::min_free_on`].
    pub min_free: u64,
    /// Bytes of the catalog's cache.
    pub cache: u64,
}

impl Store {
    /// The bytes that stay free on a disk of `total` bytes: `store.min_free`, whose default is
    /// lowered to a tenth of the disk, so that reeld runs unconfigured on a small one too.
    #[must_use]
    pub fn min_free_on(&self, total: u64) -> u64 {
        if self.min_free == Config::default().store.min_free {
            self.min_free.min(total / 10)
        } else {
            self.min_free
        }
    }
}

/// Where a key of `store.encryption_key` or `store.old_encryption_keys` is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyPlace {
    /// In a file.
    File(PathBuf),
    /// In the systemd credential of this name.
    Credential(String),
}

/// `store.media`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaKind {
    /// Plain files.
    Local,
    /// Values of the catalog's database.
    Sled,
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// A level, or targets with levels, as `tracing_subscriber::EnvFilter` reads them.
    pub level: String,
    /// How it is written.
    pub format: LogFormat,
}

/// `log.format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// JSON under systemd, human elsewhere.
    Auto,
    /// Lines for a person.
    Human,
    /// A JSON object a line.
    Json,
}

/// One `[[accounts]]` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountFile {
    /// Whose.
    pub sid: AccountSid,
    /// The file that holds its token.
    pub auth_token_file: PathBuf,
}
