//! Layers → [`Config`]: each key's value out of the topmost layer that says it, else its default;
//! then what no key sees alone.
//!
//! `load` and [`Config::default`] call it. A problem does not stop it: the default stands in, and
//! the next key is read, so that all problems are found in one run. No `Config` leaves while there is
//! one.

mod sources;

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use reeld_model::{Channels, Trim};

use crate::error::{Kind, Place, Problem};
use crate::file;
use crate::key;
use crate::layer::{GivenAccount, Layer, Value};
use crate::retention;
use crate::route::{self, Calls};
use crate::settings::{
    AccountFile, Api, Audit, BACKLOG_BYTES, Callbacks, Capture, Config, Dtmf, Encode, Encoded,
    KeyPlace, Log, LogFormat, Media, MediaAuth, MediaKind, Rate, Record, Rtpengine, Store,
    TlsFiles,
};
use crate::value::{self, Reason};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

const KIB: u64 = 1 << 10;
const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;

/// A configuration, and what is legal in it but worth a warning.
pub(crate) type Checked = (Config, Vec<String>);

/// Checks layers, topmost first.
pub(crate) fn check(layers: &[Layer], problems: &mut Vec<Problem>) -> Checked {
    let reader = Reader {
        layers,
        problems: RefCell::new(problems),
    };
    let config = reader.config();
    reader.contradictions(&config);
    let warnings = warnings(&config);
    (config, warnings)
}

impl Default for Config {
    fn default() -> Self {
        let mut problems = Vec::new();
        let (config, _) = check(&[], &mut problems);
        debug_assert_eq!(problems, [], "each default passes its check");
        config
    }
}

struct Reader<'a> {
    layers: &'a [Layer],
    problems: RefCell<&'a mut Vec<Problem>>,
}

impl Reader<'_> {
    /// A key's value: what the topmost layer says, or the default, also where what is said is wrong.
    fn get<T>(&self, table: &str, name: &str, parse: impl Fn(&Value) -> Result<T, Reason>) -> T {
        let key =
            key::find(table, name).expect("check asks for keys of KEYS alone; every test runs it");
        if let Some(given) = self.layers.iter().find_map(|layer| layer.get(key)) {
            match parse(&given.value) {
                Ok(value) => return value,
                Err((kind, reason)) => self.problem(given.place.clone(), key.path(), kind, reason),
            }
        }
        let default = file::literal(key.default).expect("defaults are TOML; every test runs this");
        parse(&default).expect("defaults pass their check; every test runs this")
    }

    /// Where a key was said.
    fn place(&self, table: &str, name: &str) -> Place {
        key::find(table, name)
            .and_then(|key| self.layers.iter().find_map(|layer| layer.get(key)))
            .map_or(Place::Default, |given| given.place.clone())
    }

    fn problem(&self, place: Place, key: String, kind: Kind, reason: String) {
        self.problems.borrow_mut().push(Problem {
            place,
            key,
            kind,
            reason,
        });
    }

    fn config(&self) -> Config {
        self.not_built();
        Config {
            data_dir: self.get("", "data_dir", value::path),
            api: self.api(),
            media: Media {
                address: self.get("media", "address", value::address),
                ports: self.get("media", "ports", value::ports),
                advertise: self.get("media", "advertise", value::optional_address),
                allow: self.get("media", "allow", value::networks),
                receive_buffer: self.get("media", "receive_buffer", bytes(4 * KIB, 64 * MIB)),
                open: self.open_ports(),
            },
            capture: self.capture(),
            record: Record {
                timeout: self.get("record", "timeout", |v| {
                    let seconds = value::integer(v, 0..=86_400)?;
                    Ok((seconds > 0).then(|| Duration::from_secs(seconds.into())))
                }),
                max_length: self.get("record", "max_length", |v| {
                    value::integer(v, 1..=86_400).map(|seconds| Duration::from_secs(seconds.into()))
                }),
                trim: self.get("record", "trim", |v| {
                    value::choice(
                        v,
                        &[
                            ("trim-silence", Trim::TrimSilence),
                            ("do-not-trim", Trim::DoNotTrim),
                        ],
                    )
                }),
                finish_on_key: self.get("record", "finish_on_key", value::keypad),
            },
            encode: Encode {
                workers: self.get("encode", "workers", |v| value::count(v, 1..=256)),
                queue: self.get("encode", "queue", |v| value::count(v, 0..=10_000)),
                cache_bytes: self.get("encode", "cache_bytes", |v| value::size(v, 0..=u64::MAX)),
                eager: self.get("encode", "eager", |v| {
                    value::choices(v, &[("mp3", Encoded::Mp3), ("opus", Encoded::Opus)])
                }),
            },
            callbacks: Callbacks {
                allow: self.get("callbacks", "allow", value::networks),
                concurrency: self.get("callbacks", "concurrency", |v| value::count(v, 1..=1_024)),
                retry_for: self.get("callbacks", "retry_for", |v| {
                    value::duration(v, Duration::ZERO..=WEEK)
                }),
                retry_first: self.get("callbacks", "retry_first", |v| {
                    value::duration(v, SECOND..=HOUR)
                }),
                retry_most: self.get("callbacks", "retry_most", |v| {
                    value::duration(v, SECOND..=24 * HOUR)
                }),
            },
            store: Store {
                media: self.get("store", "media", media_kind),
                encryption_key: self
                    .get("store", "encryption_key", value::optional_key)
                    .map(|key| self.key_beside("encryption_key", key)),
                old_encryption_keys: self
                    .get("store", "old_encryption_keys", value::keys)
                    .into_iter()
                    .map(|key| self.key_beside("old_encryption_keys", key))
                    .collect(),
                deleted_metadata: self.get("store", "deleted_metadata", |v| {
                    value::duration(v, Duration::ZERO..=10 * YEAR)
                }),
                retention: self.get("store", "retention", retention::limits),
                account_retention: self.get("store", "account_retention", retention::of_accounts),
                check_reads_ppm: self.get("store", "check_reads", value::percentage_ppm),
                scrub: self.get("store", "scrub", |v| value::size(v, 0..=GIB)),
                scrub_every: self.get("store", "scrub_every", |v| {
                    value::duration(v, SECOND..=10 * YEAR)
                }),
                min_free: self.get("store", "min_free", |v| value::size(v, 0..=u64::MAX)),
                cache: self.get("store", "cache", |v| value::size(v, MIB..=TIB)),
            },
            audit: Audit {
                keep: self.get("audit", "keep", |v| {
                    value::duration(v, Duration::ZERO..=10 * YEAR)
                }),
                max_entries: self.get("audit", "max_entries", |v| {
                    value::integer(v, 1_000..=100_000_000).map(u64::from)
                }),
            },
            calls: Calls {
                routes: self.get("calls", "routes", route::routes),
            },
            sip: self.sip(),
            audiosocket: self.audiosocket(),
            rtpengine: self.rtpengine(),
            log: Log {
                level: self.get("log", "level", value::log_level),
                format: self.get("log", "format", |v| {
                    value::choice(
                        v,
                        &[
                            ("auto", LogFormat::Auto),
                            ("human", LogFormat::Human),
                            ("json", LogFormat::Json),
                        ],
                    )
                }),
            },
            accounts: self.accounts(),
        }
    }

    fn rtpengine(&self) -> Rtpengine {
        Rtpengine {
            ng: self.get("rtpengine", "ng", value::optional_socket),
            account: self.get("rtpengine", "account", value::optional_account),
            follow: self.get("rtpengine", "follow", value::boolean),
            channels: self.get("rtpengine", "channels", channels),
            delete_delay: self.get("rtpengine", "delete_delay", |v| {
                value::duration(v, Duration::ZERO..=3_600 * SECOND)
            }),
        }
    }

    fn api(&self) -> Api {
        Api {
            listen: self.get("api", "listen", value::socket),
            public_url: self.get("api", "public_url", value::base_url),
            media_auth: self.get("api", "media_auth", |v| {
                value::choice(
                    v,
                    &[
                        ("public", MediaAuth::Public),
                        ("required", MediaAuth::Required),
                    ],
                )
            }),
            link_lifetime: self.get("api", "link_lifetime", |v| {
                value::optional_duration(v, MINUTE..=WEEK)
            }),
            start_unknown_call: self.get("api", "start_unknown_call", value::boolean),
            timezone: self.get("api", "timezone", value::time_zone),
            max_connections: self.get("api", "max_connections", |v| value::count(v, 1..=100_000)),
            max_connections_per_address: self.get("api", "max_connections_per_address", |v| {
                value::count(v, 0..=100_000).map(|most| (most > 0).then_some(most))
            }),
            max_body: self.get("api", "max_body", bytes(KIB, 16 * MIB)),
            header_timeout: self.get("api", "header_timeout", |v| {
                value::duration(v, SECOND..=HOUR)
            }),
            request_timeout: self.get("api", "request_timeout", |v| {
                value::duration(v, SECOND..=HOUR)
            }),
            write_timeout: self.get("api", "write_timeout", |v| {
                value::duration(v, SECOND..=HOUR)
            }),
            rate_per_address: self.get("api", "rate_per_address", rate),
            rate_per_account: self.get("api", "rate_per_account", rate),
            rate_media: self.get("api", "rate_media", value::boolean),
            tls: self.tls("api"),
        }
    }

    /// A key's place, where it is a path beside the file that names it.
    fn key_beside(&self, name: &str, key: KeyPlace) -> KeyPlace {
        match key {
            KeyPlace::File(path) => KeyPlace::File(beside(&self.place("store", name), &path)),
            KeyPlace::Credential(_) => key,
        }
    }

    /// Both files or none.
    fn tls(&self, section: &'static str) -> Option<TlsFiles> {
        let file = |name| {
            let path = self.get(section, name, value::optional_path)?;
            Some(beside(&self.place(section, name), &path))
        };
        match (file("tls_cert"), file("tls_key")) {
            (Some(cert), Some(key)) => Some(TlsFiles { cert, key }),
            (None, None) => None,
            (cert, _) => {
                let (has, lacks) = match cert {
                    Some(_) => ("tls_cert", "tls_key"),
                    None => ("tls_key", "tls_cert"),
                };
                self.needs(section, has, lacks);
                None
            }
        }
    }

    /// Where SIP by TLS is taken, which needs a certificate.
    fn sip_tls_listen(&self) -> Option<SocketAddr> {
        let listen = self.get("sip", "tls_listen", value::optional_socket)?;
        if self.get("sip", "tls_cert", value::optional_path).is_none()
            && self.get("sip", "tls_key", value::optional_path).is_none()
        {
            self.needs("sip", "tls_listen", "tls_cert and sip.tls_key");
        }
        Some(listen)
    }

    /// A key that is nothing without another.
    fn needs(&self, section: &str, has: &str, lacks: &str) {
        self.problem(
            self.place(section, has),
            format!("{section}.{has}"),
            Kind::Value,
            format!("TLS needs {section}.{lacks} too"),
        );
    }

    fn capture(&self) -> Capture {
        let long = |name| self.get("capture", name, |v| value::duration(v, SECOND..=WEEK));
        Capture {
            max_recordings: self.get("capture", "max_recordings", |v| {
                value::count(v, 1..=100_000)
            }),
            backlog_bytes: self.get("capture", "backlog_bytes", |v| {
                value::optional_size(v, BACKLOG_BYTES)
            }),
            max_length: long("max_length"),
            first_packet: long("first_packet"),
            inactivity: long("inactivity"),
            reorder_window: self.get("capture", "reorder_window", |v| {
                value::duration(v, Duration::ZERO..=2 * SECOND)
            }),
            fsync: self.get("capture", "fsync", |v| {
                value::duration(v, Duration::from_millis(100)..=60 * SECOND)
            }),
            conceal: self.get("capture", "conceal", value::boolean),
            dtmf: self.get("capture", "dtmf", |v| {
                value::choice(v, &[("silence", Dtmf::Silence), ("tone", Dtmf::Tone)])
            }),
            rate: self.get("capture", "rate", |v| {
                value::choice(v, &[("narrow", Rate::Narrow), ("native", Rate::Native)])
            }),
            threads: match self.get("capture", "threads", |v| value::count(v, 0..=256)) {
                0 => std::thread::available_parallelism().map_or(1, usize::from),
                threads => threads,
            },
        }
    }

    /// Keys whose only value for now is the one that turns them off.
    fn not_built(&self) {
        self.get("store", "catalog", |v| match value::text(v, "\"sled\"")? {
            "sled" => Ok(()),
            url if url.starts_with("postgres") => Err(value::not_built("a catalog on PostgreSQL")),
            // Perhaps a misspelt URL with a password in it, so it is not repeated.
            _ => Err(value::bad("expected \"sled\"")),
        });
    }

    fn accounts(&self) -> Vec<AccountFile> {
        let mut accounts: Vec<AccountFile> = Vec::new();
        for given in self.layers.iter().flat_map(|layer| &layer.accounts) {
            let sid = self.required(given, &given.sid, "sid", value::account);
            let file = self.required(
                given,
                &given.auth_token_file,
                "auth_token_file",
                value::path,
            );
            let (Some(sid), Some(file)) = (sid, file) else {
                continue;
            };
            if accounts.iter().any(|account| account.sid == sid) {
                let reason = format!("{sid} is there twice");
                self.problem(
                    given.place.clone(),
                    "accounts.sid".to_owned(),
                    Kind::Value,
                    reason,
                );
                continue;
            }
            accounts.push(AccountFile {
                sid,
                auth_token_file: beside(&given.place, &file),
            });
        }
        accounts
    }

    fn required<T>(
        &self,
        given: &GivenAccount,
        said: &Option<(Value, Place)>,
        name: &str,
        parse: impl Fn(&Value) -> Result<T, Reason>,
    ) -> Option<T> {
        let key = format!("accounts.{name}");
        let Some((value, place)) = said else {
            let reason = "an account needs it".to_owned();
            self.problem(given.place.clone(), key, Kind::Value, reason);
            return None;
        };
        parse(value)
            .map_err(|(kind, reason)| self.problem(place.clone(), key, kind, reason))
            .ok()
    }

    /// What no key sees alone.
    fn contradictions(&self, config: &Config) {
        if !config.encode.eager.is_empty() && config.encode.cache_bytes == 0 {
            self.problem(
                self.place("encode", "eager"),
                "encode.eager".to_owned(),
                Kind::Value,
                "what it makes could not be kept, since encode.cache_bytes is 0B".to_owned(),
            );
        }
        let media = &config.media;
        let error = |name: &str, reason: String| {
            self.problem(
                self.place("media", name),
                format!("media.{name}"),
                Kind::Value,
                reason,
            );
        };
        if media.allow.is_empty() && !media.address.is_loopback() {
            let address = media.address;
            error(
                "allow",
                format!(
                    "empty, while media.address {address} is not loopback: name the networks that calls come from"
                ),
            );
        }
        match media.advertise {
            // It is media.address that somebody said, so that is where to point.
            None if media.address.is_unspecified() => self.problem(
                self.place("media", "address"),
                "media.advertise".to_owned(),
                Kind::Value,
                format!(
                    "empty, while media.address is {}: name the address that callers are to send to",
                    media.address
                ),
            ),
            Some(told) if told.is_unspecified() || told.is_multicast() => {
                error("advertise", format!("nobody can send a call to {told}"));
            }
            Some(told)
                if told.is_ipv4() != media.address.is_ipv4() && !takes_both(media.address) =>
            {
                error(
                    "advertise",
                    format!(
                        "{told} is of another IP version than media.address {}",
                        media.address
                    ),
                );
            }
            _ => {}
        }
    }
}

/// Whether a socket there hears IPv4 too.
fn takes_both(address: IpAddr) -> bool {
    address == IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED)
}

fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    let api = &config.api;
    if api.media_auth == MediaAuth::Public && !api.listen.ip().is_loopback() {
        warnings.push(format!(
            "api.media_auth is \"public\" while api.listen is {}: whoever reaches it and knows a recording's Sid can fetch its audio; \"required\" closes that",
            api.listen
        ));
    }
    warnings.extend(sources::warnings(config));
    let rtpengine = &config.rtpengine;
    if let Some(ng) = rtpengine.ng.filter(|ng| !ng.ip().is_loopback())
        && config.media.address.is_loopback()
    {
        warnings.push(format!(
            "media.address is {} while rtpengine.ng is {ng}: another machine's rtpengine cannot send there",
            config.media.address
        ));
    }
    let pairs = (usize::from(*config.media.ports.end()) - usize::from(*config.media.ports.start()))
        .div_ceil(2);
    if pairs < 2 * config.capture.max_recordings {
        warnings.push(format!(
            "media.ports holds {pairs} pairs, enough for {} calls of two tracks, while capture.max_recordings is {}",
            pairs / 2,
            config.capture.max_recordings
        ));
    }
    if !config.media.address.is_loopback()
        && config
            .media
            .allow
            .iter()
            .all(|net| net.addr().is_loopback())
    {
        warnings.push(format!(
            "media.allow is loopback alone while media.address is {}: no other machine's call is heard unless it names its source",
            config.media.address
        ));
    }
    warnings
}

fn channels(value: &Value) -> Result<Channels, Reason> {
    value::choice(value, &[("dual", Channels::Dual), ("mono", Channels::Mono)])
}

fn media_kind(value: &Value) -> Result<MediaKind, Reason> {
    match value::text(value, "\"local\" or \"sled\"")? {
        "local" => Ok(MediaKind::Local),
        "sled" => Ok(MediaKind::Sled),
        url if url.starts_with("s3:") => Err(value::not_built("media on S3")),
        // Perhaps a misspelt URL with a key in it, so it is not repeated.
        _ => Err(value::bad("expected \"local\" or \"sled\"")),
    }
}

/// Requests a second; 0 is no bound.
fn rate(value: &Value) -> Result<Option<u32>, Reason> {
    value::integer(value, 0..=1_000_000).map(|rate| (rate > 0).then_some(rate))
}

/// A size that counts memory of this process.
fn bytes(least: u64, most: u64) -> impl Fn(&Value) -> Result<usize, Reason> {
    move |v| {
        let size = value::size(v, least..=most)?;
        usize::try_from(size).map_err(|_| value::bad("more than this machine can address"))
    }
}

/// A path that a file names starts at that file's folder.
fn beside(place: &Place, path: &Path) -> std::path::PathBuf {
    match place {
        Place::File { path: file, .. } => file.parent().unwrap_or(Path::new("")).join(path),
        Place::Variable(_) | Place::Flag(_) | Place::Default => path.to_owned(),
    }
}
