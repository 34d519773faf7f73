//! A receiver of callbacks: an HTTP server on loopback that keeps what it is sent and answers as the
//! test says.
//!
//! Requests are read by this file's own few lines, so that a test sees the bytes of the request and
//! not what a library makes of them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use sha1::Sha1;

use crate::patience::wait_for;

/// Any callback of a test comes within this.
const BOUND: Duration = Duration::from_secs(60);

/// A callback as it came.
#[derive(Debug, Clone)]
pub struct Callback {
    /// When its request was whole.
    pub at: Instant,
    /// GET or POST.
    pub method: String,
    /// Path and query, as they were sent.
    pub target: String,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The parameters, of the query and then of the form.
    pub parameters: Vec<(String, String)>,
    /// The parameters of the form alone.
    pub form: Vec<(String, String)>,
}

impl Callback {
    /// A parameter, or nothing.
    #[must_use]
    pub fn parameter(&self, name: &str) -> &str {
        let found = self.parameters.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value)
    }

    /// A header, or nothing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value)
    }
}

impl Callback {
    /// The `X-Twilio-Signature` that <https://www.twilio.com/docs/usage/security> tells receivers to
    /// expect under an account's token, from what came and nothing else.
    ///
    /// # Panics
    /// Never: HMAC takes a key of any length.
    #[must_use]
    pub fn signature(&self, token: &str) -> String {
        let mut text = format!("http://{}{}", self.header("host"), self.target);
        let mut form = self.form.clone();
        form.sort();
        for (name, value) in form {
            text += &name;
            text += &value;
        }
        let mut mac = Hmac::<Sha1>::new_from_slice(token.as_bytes()).expect("any length");
        mac.update(text.as_bytes());
        base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes())
    }
}

/// What a receiver does with a callback.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Answers with this status, and these header lines.
    Status(u16, String),
    /// Answers nothing and keeps the connection.
    Hang,
    /// Answers 200 and then a body that does not end.
    Flood,
    /// Sends these bytes as they are, and then does this.
    Raw(&'static str, Then),
}

/// What comes after the bytes of [`Answer::Raw`].
#[derive(Debug, Clone, Copy)]
pub enum Then {
    /// The end of the connection.
    Close,
    /// Nothing, on an open connection.
    Keep,
    /// These bytes again and again, after a pause each time, until the sender has gone.
    Repeat(&'static str, Duration),
}

impl Answer {
    /// A status without more.
    #[must_use]
    pub const fn of(status: u16) -> Self {
        Self::Status(status, String::new())
    }
}

/// A running receiver.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    callbacks: Arc<Mutex<Vec<Callback>>>,
    stopping: Arc<AtomicBool>,
}

impl Receiver {
    /// One that answers each callback as `answer` says.
    ///
    /// # Panics
    /// When there is no port on loopback.
    #[must_use]
    pub fn start(answer: impl Fn(&Callback) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_as(None, answer)
    }

    /// One over TLS, with its certificate and all in `tls`.
    ///
    /// # Panics
    /// When there is no port on loopback.
    #[must_use]
    pub fn start_tls(
        tls: Arc<ServerConfig>,
        answer: impl Fn(&Callback) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::start_as(Some(tls), answer)
    }

    fn start_as(
        tls: Option<Arc<ServerConfig>>,
        answer: impl Fn(&Callback) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port on loopback");
        let address = listener.local_addr().expect("it is bound");
        let receiver = Self {
            address,
            callbacks: Arc::default(),
            stopping: Arc::default(),
        };
        let (callbacks, stopping) = (
            Arc::clone(&receiver.callbacks),
            Arc::clone(&receiver.stopping),
        );
        let answer = Arc::new(answer);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stopping.load(Ordering::Relaxed) {
                    return;
                }
                let (callbacks, stopping) = (Arc::clone(&callbacks), Arc::clone(&stopping));
                let answer = Arc::clone(&answer);
                let tls = tls.clone();
                thread::spawn(move || match tls {
                    None => serve(stream, &callbacks, &stopping, &*answer),
                    Some(tls) => {
                        let session =
                            ServerConnection::new(tls).expect("its configuration is whole");
                        let stream = StreamOwned::new(session, stream);
                        serve(stream, &callbacks, &stopping, &*answer);
                    }
                });
            }
        });
        receiver
    }

    /// The URL of a path here.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The URL of a path here, by this scheme and host.
    #[must_use]
    pub fn url_as(&self, scheme: &str, host: &str, path: &str) -> String {
        format!("{scheme}://{host}:{}{path}", self.address.port())
    }

    /// All that came so far, in order.
    #[must_use]
    pub fn callbacks(&self) -> Vec<Callback> {
        let callbacks = self.callbacks.lock();
        callbacks.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until so many came; all of them then.
    ///
    /// # Panics
    /// When they do not come.
    #[must_use]
    #[track_caller]
    pub fn wait(&self, count: usize) -> Vec<Callback> {
        wait_for(&format!("{count} callbacks"), BOUND, || {
            let callbacks = self.callbacks();
            (callbacks.len() >= count).then_some(callbacks)
        })
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        // Wakes the listener's thread; where that fails it has ended.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(
    mut stream: impl Read + Write,
    callbacks: &Mutex<Vec<Callback>>,
    stopping: &AtomicBool,
    answer: &(dyn Fn(&Callback) -> Answer + Send + Sync),
) {
    let Some(callback) = read(&mut stream) else {
        return;
    };
    let answer = answer(&callback);
    callbacks
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(callback);
    // A sender that is gone, as it may be after a hang, is seen by the test as what it is.
    match answer {
        Answer::Status(status, lines) => {
            let _ = write!(
                stream,
                "HTTP/1.1 {status} Said\r\n{lines}Content-Length: 0\r\n\r\n"
            );
        }
        Answer::Hang => {
            while !stopping.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(20));
            }
        }
        Answer::Flood => {
            let _ = write!(stream, "HTTP/1.1 200 OK\r\n\r\n");
            while !stopping.load(Ordering::Relaxed) && stream.write_all(&[b'x'; 16_384]).is_ok() {}
        }
        Answer::Raw(bytes, then) => {
            let mut is_there = stream.write_all(bytes.as_bytes()).is_ok();
            while is_there && !stopping.load(Ordering::Relaxed) {
                match then {
                    Then::Close => break,
                    Then::Keep => thread::sleep(Duration::from_millis(20)),
                    Then::Repeat(bytes, pause) => {
                        thread::sleep(pause);
                        is_there = stream.write_all(bytes.as_bytes()).is_ok();
                    }
                }
            }
        }
    }
}

fn read(stream: &mut impl Read) -> Option<Callback> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .map_or(Some(0), |(_, value)| value.parse().ok())?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let form = pairs(&String::from_utf8_lossy(&body));
    let mut parameters = pairs(query);
    parameters.extend(form.iter().cloned());
    Some(Callback {
        at: Instant::now(),
        method,
        target,
        headers,
        parameters,
        form,
    })
}

fn pairs(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

/// Of `application/x-www-form-urlencoded`.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let code = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (byte, code) {
            (b'%', Some(code)) => {
                bytes.push(code);
                rest = &after[2..];
            }
            (byte, _) => {
                bytes.push(if byte == b'+' { b' ' } else { byte });
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_decoded() {
        let expected = [("a b".to_owned(), "+1%".to_owned())];
        assert_eq!(pairs("a+b=%2B1%&c"), expected);
    }
}
