//! The receiver of a measurement's callbacks: it says when each came, and answers 204.
//!
//! Called by `end`. A thread for each connection, of which there are a few at once: the daemon closes
//! each after its answer.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// For a callback to come, and for a request to be whole.
const PATIENCE: Duration = Duration::from_secs(60);

/// The longest form that is taken.
const MOST_FORM: usize = 64 * 1024;

/// A receiver. Dropping it stops it.
pub(super) struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    came: Mutex<HashMap<String, Came>>,
    more: Condvar,
    stopping: AtomicBool,
}

/// A callback that came.
#[derive(Debug, Clone)]
pub(super) struct Came {
    /// When its request was whole.
    pub(super) at: Instant,
    /// `RecordingDuration`, seconds.
    pub(super) seconds: u64,
    /// The path of `RecordingUrl`.
    pub(super) path: String,
}

impl Receiver {
    pub(super) fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let receiver = Self {
            address: listener.local_addr()?,
            shared: Arc::default(),
        };
        let shared = Arc::clone(&receiver.shared);
        let listen = thread::Builder::new().name("receiver".to_owned());
        listen.spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if shared.stopping.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    if let Err(error) = serve(&stream, &shared) {
                        tracing::warn!(%error, "a callback cannot be read");
                    }
                });
            }
        })?;
        Ok(receiver)
    }

    /// Where callbacks go.
    pub(super) fn url(&self) -> String {
        format!("http://{}/cb", self.address)
    }

    /// Waits for the callback of a recording.
    pub(super) fn wait(&self, sid: &str) -> anyhow::Result<Came> {
        let came = self.shared.came.lock();
        let came = came.unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .shared
            .more
            .wait_timeout_while(came, PATIENCE, |came| !came.contains_key(sid));
        let (came, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let came = came.get(sid).cloned();
        came.with_context(|| format!("no callback for {sid} within {PATIENCE:?}"))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        // Wakes the listener's thread; where that fails it has ended.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(mut stream: &TcpStream, shared: &Shared) -> anyhow::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse()?;
        }
    }
    if length > MOST_FORM {
        bail!("a form of {length} bytes");
    }
    let mut form = vec![0; length];
    reader.read_exact(&mut form)?;
    let at = Instant::now();
    let form = String::from_utf8(form)?;
    let field = |name: &str| {
        let mut pairs = form.split('&').filter_map(|pair| pair.split_once('='));
        let found = pairs.find(|(key, _)| *key == name);
        found
            .map(|(_, value)| value.replace("%3A", ":").replace("%2F", "/"))
            .with_context(|| format!("no {name} in {form}"))
    };
    let url = field("RecordingUrl")?;
    let (_, rest) = url.split_once("://").context("RecordingUrl is no URL")?;
    let path = rest.find('/').map_or("/", |at| &rest[at..]);
    let came = Came {
        at,
        seconds: field("RecordingDuration")?.parse()?,
        path: path.to_owned(),
    };
    let sid = field("RecordingSid")?;
    let mut all = shared.came.lock().unwrap_or_else(PoisonError::into_inner);
    all.insert(sid, came);
    shared.more.notify_all();
    drop(all);
    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
    Ok(())
}
