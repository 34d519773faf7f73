//! The connection ahead of hyper: mends the request line, and bounds how long a writer may stall.
//!
//! `serve` wraps each accepted stream in [`Mended`] and hands it to hyper. The seed API's own
//! example `?DateCreated>=2009-07-06` carries a raw `>`, which `http::Uri` refuses before the
//! application runs (twilio.md §0.1); so bytes pass through [`mender::Mender`], which knows where
//! requests begin and end. What passes out of the stream is not touched.
//!
//! Bounded: one read of [`READ_BYTES`] in, what it mends to out, nothing ahead of hyper's asking.

mod chunked;
pub(crate) mod files;
mod mender;
#[cfg(test)]
mod tests;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use mender::Mender;
pub(crate) use mender::REFUSED_METHOD;

/// Bytes taken from the socket at a time.
const READ_BYTES: usize = 8 * 1024;

/// How long a client may go on sending what nobody wants any more (RFC 9112 §9.6: closing at once
/// would reset the connection and take the answer with it).
const LINGER: Duration = Duration::from_secs(2);

/// Bytes of it that are thrown away at most.
const LINGER_BYTES: usize = 16 << 20;

/// A stream whose requests hyper can read.
pub(crate) struct Mended<S> {
    stream: S,
    mender: Mender,
    /// Mended bytes that hyper has not taken yet, and how many it has.
    ready: Vec<u8>,
    taken: usize,
    /// Longest time without a byte written, while one is waiting to be.
    stall_limit: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
    /// Once our side is closed amid a request: when the other side is given up, and the bytes of it
    /// that are still thrown away.
    linger: Option<(Pin<Box<Sleep>>, usize)>,
}

impl<S> Mended<S> {
    pub(crate) fn new(stream: S, stall_limit: Duration) -> Self {
        Self {
            stream,
            mender: Mender::default(),
            ready: Vec::new(),
            taken: 0,
            stall_limit,
            stalled: None,
            linger: None,
        }
    }

    /// Passes a write's outcome on, or an error once nothing was written for `stall_limit`: a
    /// client that does not read holds its connection no longer than that.
    fn bound_stall<T>(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        let limit = self.stall_limit;
        let timer = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client takes no bytes",
        )))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Mended<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.taken < this.ready.len() {
                let rest = &this.ready[this.taken..];
                let count = rest.len().min(buf.remaining());
                buf.put_slice(&rest[..count]);
                this.taken += count;
                return Poll::Ready(Ok(()));
            }
            this.ready.clear();
            this.taken = 0;
            if this.mender.has_refused() {
                // Nothing more is read: hyper answers what it has been given and closes.
                return Poll::Pending;
            }
            let mut bytes = [0; READ_BYTES];
            let mut input = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut input))?;
            if input.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.mender
                .feed(input.filled(), &mut this.ready)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
    }
}

impl<S: AsyncRead + Unpin> Mended<S> {
    /// Throws away what the client still sends, until it is done or the bounds are reached.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (until, left) = self
            .linger
            .get_or_insert_with(|| (Box::pin(tokio::time::sleep(LINGER)), LINGER_BYTES));
        let mut bytes = [0; READ_BYTES];
        loop {
            if until.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let mut unwanted = ReadBuf::new(&mut bytes);
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut unwanted));
            let count = unwanted.filled().len();
            // A client that is gone needs no answer.
            if read.is_err() || count == 0 || count > *left {
                return Poll::Ready(());
            }
            *left -= count;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Mended<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.bound_stall(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.bound_stall(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(cx);
        self.bound_stall(cx, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            let outcome = Pin::new(&mut self.stream).poll_shutdown(cx);
            ready!(self.bound_stall(cx, outcome))?;
            if !self.mender.is_amid() {
                return Poll::Ready(Ok(()));
            }
        }
        self.poll_linger(cx).map(Ok)
    }
}
