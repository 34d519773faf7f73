//! Bodies of audio: a task reads a piece when the client has taken the one before.
//!
//! Called by `media`, and by `wire::files` over TLS. Bounded: [`PIECE_BYTES`] being read and one piece waiting, a response. Files
//! are read on tokio's blocking threads; waiting for an encoder takes none. Where a task fails, the
//! connection ends before the announced length, so that no client takes a part for the whole.

use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::Frame;
use tokio::sync::mpsc;

use super::range::Span;
use crate::encode::Source;
use crate::sound::Sound;
use crate::wire::files::FileSpan;

const PIECE_BYTES: usize = 64 * 1024;

type Feed = mpsc::Sender<io::Result<Bytes>>;

/// What a [`Feed`] is given, as a body. `http_body_util::channel` is not it: where its last piece is sent and its sender
/// dropped between its two looks, it ends without that piece (0.1.5, `Channel::poll_frame`).
struct Fed(mpsc::Receiver<io::Result<Bytes>>);

impl HttpBody for Fed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = self.0.poll_recv(context);
        piece.map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

/// `span` of a WAV.
pub(super) fn of_sound(sound: Sound, span: Span) -> Body {
    let (feed, fed) = mpsc::channel(1);
    tokio::spawn(async move {
        let outcome = feed_sound(&feed, sound, span).await;
        end(feed, outcome).await;
    });
    Body::new(Fed(fed))
}

/// A stretch of a file, for who cannot have it sent by the kernel.
pub(crate) fn of_file(span: FileSpan) -> Body {
    let (feed, fed) = mpsc::channel(1);
    tokio::spawn(async move {
        let outcome = feed_file(&feed, span).await;
        end(feed, outcome).await;
    });
    Body::new(Fed(fed))
}

/// `span` of an encoded file, as far as it is made.
pub(super) fn of_encoded(source: Source, span: Span) -> Body {
    let (feed, fed) = mpsc::channel(1);
    tokio::spawn(async move {
        let outcome = feed_encoded(&feed, source, span).await;
        end(feed, outcome).await;
    });
    Body::new(Fed(fed))
}

async fn feed_sound(feed: &Feed, mut sound: Sound, span: Span) -> io::Result<()> {
    let mut at = span.start;
    while at < span.end {
        let count = piece(span.end - at);
        let (back, bytes) = tokio::task::spawn_blocking(move || {
            let mut bytes = vec![0; count];
            let outcome = if at == span.start {
                sound.seek_to(at)
            } else {
                Ok(())
            };
            let outcome = outcome.and_then(|()| sound.read_exact(&mut bytes));
            (sound, outcome.map(|()| Bytes::from(bytes)))
        })
        .await
        .map_err(io::Error::other)?;
        sound = back;
        at += count as u64;
        if feed.send(Ok(bytes?)).await.is_err() {
            // The client has gone.
            return Ok(());
        }
    }
    Ok(())
}

async fn feed_file(feed: &Feed, span: FileSpan) -> io::Result<()> {
    let FileSpan { file, start, end } = span;
    let mut at = start;
    while at < end {
        let count = piece(end - at);
        let file = Arc::clone(&file);
        let bytes = tokio::task::spawn_blocking(move || {
            let mut bytes = vec![0; count];
            file.read_exact_at(&mut bytes, at)?;
            io::Result::Ok(Bytes::from(bytes))
        })
        .await
        .map_err(io::Error::other)??;
        at += count as u64;
        if feed.send(Ok(bytes)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

async fn feed_encoded(feed: &Feed, mut source: Source, span: Span) -> io::Result<()> {
    let mut at = span.start;
    while at < span.end {
        let available = source.available(at).await?.min(span.end);
        let count = piece(available.saturating_sub(at));
        let file = source.clone();
        let bytes = tokio::task::spawn_blocking(move || {
            let mut bytes = vec![0; count];
            file.read(&mut bytes, at)?;
            io::Result::Ok(Bytes::from(bytes))
        })
        .await
        .map_err(io::Error::other)??;
        at += count as u64;
        if feed.send(Ok(bytes)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Bytes to read of `left`.
fn piece(left: u64) -> usize {
    usize::try_from(left).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES))
}

async fn end(feed: Feed, outcome: io::Result<()>) {
    if let Err(error) = outcome {
        tracing::error!(%error, "a download broke off");
        // The client may have gone meanwhile.
        let _ = feed.send(Err(error)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    #[tokio::test]
    async fn what_was_sent_before_its_sender_went_is_there() {
        let (feed, fed) = mpsc::channel(1);
        assert!(feed.send(Ok(Bytes::from_static(b"all"))).await.is_ok());
        end(feed, Ok(())).await;
        assert_eq!(Fed(fed).collect().await.unwrap().to_bytes(), "all");
    }

    #[tokio::test]
    async fn what_fails_is_no_end() {
        let (feed, fed) = mpsc::channel(1);
        tokio::spawn(async move {
            assert!(feed.send(Ok(Bytes::from_static(b"a part"))).await.is_ok());
            end(feed, Err(io::ErrorKind::UnexpectedEof.into())).await;
        });
        Fed(fed).collect().await.unwrap_err();
    }
}
