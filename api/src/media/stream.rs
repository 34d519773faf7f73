//! Bodies of audio: a task reads a piece when the client has taken the one before.
//!
//! Called by `media`, and by `wire::files` over TLS. Bounded: [`PIECE_BYTES`] being read and one piece waiting, a response. Files
//! are read on tokio's blocking threads; waiting for an encoder takes none. Where a task fails, the
//! connection ends before the announced length, so that no client takes a part for the whole.

use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::channel::{Channel, Sender};

use super::range::Span;
use crate::encode::Source;
use crate::sound::Sound;
use crate::wire::files::FileSpan;

const PIECE_BYTES: usize = 64 * 1024;

type Feed = Sender<Bytes, io::Error>;

/// `span` of a WAV.
pub(super) fn of_sound(sound: Sound, span: Span) -> Body {
    let (mut feed, channel) = Channel::new(1);
    tokio::spawn(async move {
        let outcome = feed_sound(&mut feed, sound, span).await;
        end(feed, outcome);
    });
    Body::new(channel)
}

/// A stretch of a file, for who cannot have it sent by the kernel.
pub(crate) fn of_file(span: FileSpan) -> Body {
    let (mut feed, channel) = Channel::new(1);
    tokio::spawn(async move {
        let outcome = feed_file(&mut feed, span).await;
        end(feed, outcome);
    });
    Body::new(channel)
}

/// `span` of an encoded file, as far as it is made.
pub(super) fn of_encoded(source: Source, span: Span) -> Body {
    let (mut feed, channel) = Channel::new(1);
    tokio::spawn(async move {
        let outcome = feed_encoded(&mut feed, source, span).await;
        end(feed, outcome);
    });
    Body::new(channel)
}

async fn feed_sound(feed: &mut Feed, mut sound: Sound, span: Span) -> io::Result<()> {
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
        if feed.send_data(bytes?).await.is_err() {
            // The client has gone.
            return Ok(());
        }
    }
    Ok(())
}

async fn feed_file(feed: &mut Feed, span: FileSpan) -> io::Result<()> {
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
        if feed.send_data(bytes).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

async fn feed_encoded(feed: &mut Feed, mut source: Source, span: Span) -> io::Result<()> {
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
        if feed.send_data(bytes).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Bytes to read of `left`.
fn piece(left: u64) -> usize {
    usize::try_from(left).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES))
}

fn end(feed: Feed, outcome: io::Result<()>) {
    if let Err(error) = outcome {
        tracing::error!(%error, "a download broke off");
        feed.abort(error);
    }
}
