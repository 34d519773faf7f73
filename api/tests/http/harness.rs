//! A served API in a temporary folder, a clock to set, recordings to order, and a raw client.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use jiff::tz::{TimeZone, offset};
use reeld_api::{Api, Encode, Limits, MediaAuth, RecordDefaults, Settings};
use reeld_model::{
    AccountSid, CallSid, Channels, EndedBy, RecordingSid, Rules, Summary, TrackSelection,
    TrackStats, Trim,
};
use reeld_store::{Begun, End, MediaKind, NewRecording, Origin, Record, Store, StoreConfig};
use secrecy::SecretString;
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::capture::Capture;

pub(crate) const AC: &str = "AC309475e5fede1b49e100272a8640f438";
pub(crate) const OTHER_AC: &str = "AC00000000000000000000000000000002";
pub(crate) const CA: &str = "CAcd420fcb3c4b86e360ea0cc27ebc8698";
const TOKEN: &str = "a-token";
/// Tue, 01 Apr 2008 01:07:15 -0400, the seed's first recording.
pub(crate) const SEED_MS: i64 = 1_207_026_435_000;

/// A running API; it ends with the value.
pub(crate) struct House {
    pub(crate) store: Store,
    pub(crate) capture: Arc<Capture>,
    pub(crate) dir: TempDir,
    pub(crate) api: Api,
    address: SocketAddr,
    clock: Arc<AtomicI64>,
    stop: Option<oneshot::Sender<()>>,
    runtime: Option<tokio::runtime::Runtime>,
}

/// An answer, taken apart.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl House {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// A house with other settings: what `change` makes of the usual.
    pub(crate) fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let dir = TempDir::new().unwrap();
        let store = Store::open(StoreConfig {
            data_dir: dir.path().join("data"),
            media: MediaKind::Local,
            min_free_bytes: 0,
            catalog_cache_bytes: 16 << 20,
            deleted_metadata: Duration::from_secs(60),
            check_reads_ppm: 0,
            encryption: Default::default(),
            disk: Default::default(),
        })
        .unwrap();
        for sid in [AC, OTHER_AC] {
            let token = SecretString::from(TOKEN);
            store
                .put_account(sid.parse().unwrap(), "test", token)
                .unwrap();
        }
        let capture = Arc::new(Capture::new(store.clone()));
        let clock = Arc::new(AtomicI64::new(SEED_MS));
        let mut settings = Settings {
            public_url: None,
            media_auth: MediaAuth::Public,
            link_lifetime: None,
            start_unknown_call: true,
            timezone: TimeZone::fixed(offset(-4)),
            limits: Limits::default(),
            encode: Encode {
                workers: 1,
                queue: 4,
                cache_bytes: 8 << 20,
                cache_dir: dir.path().join("mp3"),
                eager: Vec::new(),
            },
            record: RecordDefaults {
                rules: Rules {
                    timeout: Some(Duration::from_secs(5)),
                    finish_on_key: "1234567890*#".into(),
                    max_length: Some(Duration::from_secs(3_600)),
                },
                trim: Trim::TrimSilence,
            },
            callbacks: reeld_callbacks::Allow::default(),
            tls: None,
        };
        change(&mut settings);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let now = Arc::clone(&clock);
        let api = Api::with_clock(
            settings,
            store.clone(),
            Arc::clone(&capture) as Arc<dyn reeld_model::Control>,
            Arc::default(),
            Arc::default(),
            Arc::new(reeld_api::Trail::new()),
            Arc::new(move || now.load(Ordering::SeqCst)),
        )
        .unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind(("127.0.0.1", 0)))
            .unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = api.clone();
        runtime.spawn(async move {
            served
                .serve(listener, async move { drop(stopped.await) })
                .await
                .unwrap();
        });
        Self {
            store,
            capture,
            dir,
            api,
            address,
            clock,
            stop: Some(stop),
            runtime: Some(runtime),
        }
    }

    pub(crate) fn set_clock(&self, ms: i64) {
        self.clock.store(ms, Ordering::SeqCst);
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        stream
    }

    /// Sends bytes as they are, and reads to the end of the connection.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.connect();
        // A server that has closed already is an answer too.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        answer
    }

    /// One request with these lines of header.
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let length = if body.is_empty() && method != "POST" {
            String::new()
        } else {
            format!(
                "Content-Length: {}\r\nContent-Type: application/x-www-form-urlencoded\r\n",
                body.len()
            )
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n{headers}{length}\r\n{body}"
        );
        Answer::parse(&self.raw(request.as_bytes()))
    }

    /// With the account's credentials, under its path.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", &full(path), &credentials(AC, TOKEN), "")
    }

    pub(crate) fn post(&self, path: &str, form: &str) -> Answer {
        self.ask("POST", &full(path), &credentials(AC, TOKEN), form)
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.ask("DELETE", &full(path), &credentials(AC, TOKEN), "")
    }

    /// Without credentials.
    pub(crate) fn get_public(&self, path: &str) -> Answer {
        self.ask("GET", &full(path), "", "")
    }

    /// A recording that was made at `created_ms`, of `samples`.
    pub(crate) fn recording(
        &self,
        sid: &str,
        created_ms: i64,
        channels: Channels,
        samples: &[i16],
    ) -> Record {
        let begun = self.store.begin(new(sid, created_ms, channels)).unwrap();
        let Begun::New(record) = begun else {
            panic!("{sid} is there already");
        };
        let mut take = self.store.take(record.sid).unwrap();
        let frames = samples.len() as u64 / u64::from(channels.count());
        take.append(samples, frames).unwrap();
        let end = End {
            summary: Summary {
                ended_by: EndedBy::Stopped,
                frames,
                digits: String::new(),
                tracks: [TrackStats::default(); 2],
                quality: Default::default(),
                rate_hz: 8_000,
            },
            started_ms: Some(created_ms),
            ended_ms: created_ms,
        };
        self.store.finish(take, end).unwrap()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(10));
        }
    }
}

impl Answer {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let end = bytes
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(bytes)));
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        Self {
            status: head[9..12].parse().unwrap(),
            head,
            body: bytes[end + 4..].to_vec(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        assert_eq!(
            self.header("content-type"),
            Some("application/json"),
            "{}",
            self.text()
        );
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The answer's status, code and message, as its XML says.
    pub(crate) fn fault(&self) -> (u16, Option<u32>, String) {
        let text = self.text();
        let part = |name: &str| {
            let (_, rest) = text.split_once(&format!("<{name}>"))?;
            Some(rest.split_once('<')?.0.to_owned())
        };
        assert!(
            text.starts_with("<TwilioResponse><RestException><Status>"),
            "{text}"
        );
        let code = part("Code").map(|code| code.parse().unwrap());
        (self.status, code, part("Message").unwrap())
    }
}

pub(crate) fn credentials(user: &str, token: &str) -> String {
    let encoded = BASE64_STANDARD.encode(format!("{user}:{token}"));
    format!("Authorization: Basic {encoded}\r\n")
}

/// `V/rest` with V 2008 or 2010 as a path of the account.
pub(crate) fn full(path: &str) -> String {
    for (short, long) in [("2008", "2008-08-01"), ("2010", "2010-04-01")] {
        if let Some(rest) = path.strip_prefix(&format!("{short}/")) {
            return format!("/{long}/Accounts/{AC}/{rest}");
        }
    }
    path.to_owned()
}

pub(crate) fn new(sid: &str, created_ms: i64, channels: Channels) -> NewRecording {
    NewRecording {
        sid: sid.parse().unwrap(),
        account: AC.parse().unwrap(),
        call: CA.parse().unwrap(),
        parties: Default::default(),
        channels,
        track: TrackSelection::Both,
        trim: Trim::DoNotTrim,
        origin: Origin::ControlApi,
        created_ms,
        tags: serde_json::Map::new(),
        signalling_json: String::new(),
        idempotency_token: None,
        subscription: None,
        action: None,
    }
}

/// The `n`th Sid of a test.
pub(crate) fn sid(n: u8) -> String {
    RecordingSid::from_bytes([n; 16]).to_string()
}

pub(crate) fn account() -> AccountSid {
    AC.parse().unwrap()
}

pub(crate) fn call() -> CallSid {
    CA.parse().unwrap()
}

/// Sound that is loud and nowhere the same for long.
pub(crate) fn sound(samples: usize) -> Vec<i16> {
    (0..samples)
        .map(|i| i16::try_from(i * 7_919 % 20_011).unwrap() - 10_000)
        .collect()
}

/// Waits, with a bound, until it is so.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} did not come to pass");
        std::thread::yield_now();
    }
}
