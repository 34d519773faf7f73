//! A SIP connection, plain or by TLS: its messages told apart, and what is sent on it.
//!
//! Called by `siprec`, whose agent decides. A connection ends when the other end does, when what comes is no SIP, when
//! a message or the TLS handshake takes longer than [`WHOLE`] to be there, or when what is sent is not taken.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use reeld_model::incoming::Connected;
use reeld_signal::siprec::{Framer, Peer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::Event;

/// Connections at once: a client needs one, or one a call.
pub(super) const MOST: usize = 4_096;

/// Messages that wait to be sent on one.
const WAITING: usize = 64;

/// How long a message may take from its first byte to its last.
const WHOLE: Duration = Duration::from_secs(30);

/// How long the other end may take nothing.
const STALLED: Duration = Duration::from_secs(10);

/// Serves a connection; what is sent into what comes back goes out on it, and dropped it is closed.
pub(super) fn start(
    stream: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    connection: u64,
    address: SocketAddr,
    counted: Connected,
    events: mpsc::Sender<Event>,
) -> mpsc::Sender<Vec<u8>> {
    let (out, outbox) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        let from = Peer::Stream {
            connection,
            address,
            is_tls: tls.is_some(),
        };
        if let Err(error) = open(stream, tls, from, &events, outbox).await {
            if error.kind() == ErrorKind::InvalidData {
                counted.malformed();
            }
            tracing::debug!(%address, %error, "a SIP connection ends");
        }
        drop(counted);
        // A server that has stopped wants to know no more.
        let _ = events.send(Event::Closed(connection)).await;
    });
    out
}

async fn open(
    stream: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    from: Peer,
    events: &mpsc::Sender<Event>,
    outbox: mpsc::Receiver<Vec<u8>>,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    match tls {
        None => serve(stream, from, events, outbox).await,
        Some(config) => {
            let handshake = TlsAcceptor::from(config).accept(stream);
            serve(timeout(WHOLE, handshake).await??, from, events, outbox).await
        }
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite,
    from: Peer,
    events: &mpsc::Sender<Event>,
    mut outbox: mpsc::Receiver<Vec<u8>>,
) -> std::io::Result<()> {
    let (mut read, mut write) = tokio::io::split(stream);
    let mut framer = Framer::default();
    let mut bytes = vec![0; 16 * 1024];
    // When the message that is begun must be whole.
    let mut whole_by = None;
    loop {
        let limit =
            whole_by.unwrap_or_else(|| tokio::time::Instant::now() + Duration::from_secs(86_400));
        tokio::select! {
            message = outbox.recv() => match message {
                Some(message) => timeout(STALLED, async {
                    write.write_all(&message).await?;
                    write.flush().await
                })
                .await??,
                // TLS says that it ends; who does not hear it is gone.
                None => return timeout(STALLED, write.shutdown()).await?,
            },
            length = read.read(&mut bytes) => {
                let length = length?;
                if length == 0 {
                    return Ok(());
                }
                let mut messages = Vec::new();
                let framed = framer.take(&bytes[..length], |message| messages.push(message.to_vec()));
                let came = !messages.is_empty();
                for bytes in messages {
                    if events.send(Event::Message { from, bytes }).await.is_err() {
                        return Ok(());
                    }
                }
                framed.map_err(|error| std::io::Error::new(ErrorKind::InvalidData, error))?;
                if framer.is_empty() {
                    whole_by = None;
                } else if whole_by.is_none() || came {
                    whole_by = Some(tokio::time::Instant::now() + WHOLE);
                }
            },
            () = tokio::time::sleep_until(limit) => {
                return Err(std::io::Error::new(ErrorKind::TimedOut, "a message is not whole in time"));
            }
        }
    }
}
