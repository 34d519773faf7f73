//! Files sent by the kernel, beneath hyper: sendfile(2) instead of reading and writing.
//!
//! Of plain connections alone: over TLS a file's bytes are read and written like any others.
//! `serve` puts [`Outgoing`] around each response's body and [`Filed`] around each socket; `media` names
//! the file ([`FileSpan`]). Hyper writes a body's bytes, so a stretch of a file goes through it as a
//! [`Piece`] that is as long as the stretch, but whose bytes are [`BLANK`]: no byte of it is ever read.
//! [`Filed`] knows it by its address and has the kernel send the stretch itself, in the same order, since
//! both sides share one [`Lane`]. Hyper keeps the framing, the timeouts and what is written when.
//! Why, and what it is against: `docs/design/decisions/0019-files-are-sent-by-the-kernel.md`.
//!
//! Invariants:
//! - What stands for a file reaches the socket as that file's bytes or not at all: blank bytes without a
//!   stretch, or out of place, are an error, which ends the connection.
//! - No async thread waits for a disk where the kernel can say that it would: what is not in memory is
//!   read into it first, on a blocking thread.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::{Buf, Bytes};
use http::Response;
use hyper::body::{Frame, SizeHint};
use rustix::io::{Errno, ReadWriteFlags};
use rustix::net::SendFlags;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::media::stream;

/// The longest stretch: what is looked for in memory, and may be sent, at once.
const STRETCH_BYTES: usize = 1 << 20;

/// Between two places that are looked for in memory: the kernel reads ahead by as much.
const PROBE_BYTES: usize = 128 * 1024;

/// Bytes that a cold stretch is read by.
const WARM_BYTES: usize = 64 * 1024;

/// Stands for a stretch of a file. Never read and never written, so it takes no memory.
static BLANK: LazyLock<Vec<u8>> = LazyLock::new(|| vec![0; STRETCH_BYTES]);

fn is_blank(bytes: &[u8]) -> bool {
    !bytes.is_empty() && BLANK.as_ptr_range().contains(&bytes.as_ptr())
}

/// A response's body is these bytes of a file, which stays open whatever becomes of its name.
#[derive(Debug, Clone)]
pub(crate) struct FileSpan {
    pub(crate) file: Arc<File>,
    pub(crate) start: u64,
    pub(crate) end: u64,
}

/// Stretches that hyper has been given and the socket has not, in order; of one connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lane(Arc<Mutex<VecDeque<Stretch>>>);

#[derive(Debug)]
struct Stretch {
    file: Arc<File>,
    at: u64,
    left: usize,
}

impl Lane {
    fn push(&self, stretch: Stretch) {
        let mut stretches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stretches.push_back(stretch);
    }

    /// Sends up to `most` bytes of the stretch that is next with `send`, which is told file, place and
    /// bytes; how many went out.
    fn send(
        &self,
        most: usize,
        send: impl FnOnce(&File, u64, usize) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let mut stretches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stretch = stretches
            .front_mut()
            .ok_or_else(|| io::Error::other("bytes that stand for a file, and no file"))?;
        let sent = send(&stretch.file, stretch.at, most.min(stretch.left))?;
        if sent == 0 {
            tracing::error!(at = stretch.at, "a download broke off: its file ends here");
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        stretch.at += sent as u64;
        stretch.left -= sent;
        if stretch.left == 0 {
            stretches.pop_front();
        }
        Ok(sent)
    }

    /// Whether a stretch has been begun and not ended.
    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }
}

/// What hyper holds of a body until it is written.
#[derive(Debug)]
pub(crate) enum Piece {
    Bytes(Bytes),
    /// So many bytes of the lane's next stretch.
    Stretch(usize),
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.remaining(),
            Self::Stretch(left) => *left,
        }
    }

    fn chunk(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes.chunk(),
            Self::Stretch(left) => &BLANK[..*left],
        }
    }

    fn advance(&mut self, count: usize) {
        match self {
            Self::Bytes(bytes) => bytes.advance(count),
            Self::Stretch(left) => {
                *left = left
                    .checked_sub(count)
                    .expect("no more is passed over than there is");
            }
        }
    }
}

/// A response's body on its way out.
pub(crate) enum Outgoing {
    Plain(Body),
    File(FileBody),
}

/// A body that the kernel sends.
pub(crate) struct FileBody {
    lane: Lane,
    file: Arc<File>,
    at: u64,
    end: u64,
    /// The stretch at `at` is being read into memory.
    warming: Option<JoinHandle<io::Result<()>>>,
}

impl Outgoing {
    /// The response as its connection sends it; its [`FileSpan`], if it has one, is its body. Without a
    /// lane, where bytes are encrypted on their way, it is read as any other body.
    pub(crate) fn of(mut response: Response<Body>, lane: Option<Lane>) -> Response<Self> {
        let span = response.extensions_mut().remove::<FileSpan>();
        response.map(|body| match (span, lane) {
            (None, _) => Self::Plain(body),
            (Some(span), None) => Self::Plain(stream::of_file(span)),
            (Some(FileSpan { file, start, end }), Some(lane)) => Self::File(FileBody {
                lane,
                file,
                at: start,
                end,
                warming: None,
            }),
        })
    }
}

impl hyper::body::Body for Outgoing {
    type Data = Piece;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, axum::BoxError>>> {
        match &mut *self {
            Self::Plain(body) => {
                let frame = ready!(Pin::new(body).poll_frame(cx));
                Poll::Ready(frame.map(|frame| Ok(frame?.map_data(Piece::Bytes))))
            }
            Self::File(body) => {
                let piece = ready!(body.poll_piece(cx)).transpose();
                Poll::Ready(piece.map(|piece| Ok(Frame::data(piece?))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Plain(body) => body.is_end_stream(),
            Self::File(body) => body.at >= body.end,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Plain(body) => body.size_hint(),
            Self::File(body) => SizeHint::with_exact(body.end.saturating_sub(body.at)),
        }
    }
}

impl FileBody {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Piece>>> {
        let left = self.end.saturating_sub(self.at);
        let count = usize::try_from(left).map_or(STRETCH_BYTES, |left| left.min(STRETCH_BYTES));
        if count == 0 {
            return Poll::Ready(Ok(None));
        }
        if self.warming.is_none() && !is_in_memory(&self.file, self.at, count)? {
            let (file, at) = (Arc::clone(&self.file), self.at);
            self.warming = Some(tokio::task::spawn_blocking(move || warm(&file, at, count)));
        }
        if let Some(warming) = &mut self.warming {
            let warmed = ready!(Pin::new(warming).poll(cx));
            self.warming = None;
            if let Err(error) = warmed.map_err(io::Error::other).flatten() {
                tracing::error!(%error, "a download broke off");
                return Poll::Ready(Err(error));
            }
        }
        self.lane.push(Stretch {
            file: Arc::clone(&self.file),
            at: self.at,
            left: count,
        });
        self.at += count as u64;
        Poll::Ready(Ok(Some(Piece::Stretch(count))))
    }
}

/// Whether the kernel could read these bytes without waiting, as far as samples of them tell.
fn is_in_memory(file: &File, at: u64, count: usize) -> io::Result<bool> {
    let places = (0..count).step_by(PROBE_BYTES).chain([count - 1]);
    for place in places {
        let mut byte = [0];
        let mut buffers = [IoSliceMut::new(&mut byte)];
        match rustix::io::preadv2(
            file,
            &mut buffers,
            at + place as u64,
            ReadWriteFlags::NOWAIT,
        ) {
            Ok(_) => {}
            // A file system that cannot say counts as one that would wait.
            Err(Errno::AGAIN | Errno::OPNOTSUPP) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

/// Reads bytes so that the kernel has them.
fn warm(file: &File, at: u64, count: usize) -> io::Result<()> {
    let mut buffer = vec![0; WARM_BYTES.min(count)];
    let mut done = 0;
    while done < count {
        let most = buffer.len().min(count - done);
        match file.read_at(&mut buffer[..most], at + done as u64)? {
            // Too short: who sends it says so.
            0 => break,
            read => done += read,
        }
    }
    Ok(())
}

/// A socket whose blank bytes are the lane's files.
pub(crate) struct Filed {
    stream: TcpStream,
    lane: Lane,
}

impl Filed {
    pub(crate) fn new(stream: TcpStream, lane: Lane) -> Self {
        Self { stream, lane }
    }

    /// Calls the system once the socket takes bytes, until it has taken some.
    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        mut send: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            match self
                .stream
                .try_io(Interest::WRITABLE, || send(&self.stream))
            {
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                    ) => {}
                outcome => return Poll::Ready(outcome),
            }
        }
    }
}

impl AsyncRead for Filed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Filed {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match bufs.iter().position(|buf| is_blank(buf)) {
            None => Pin::new(&mut self.stream).poll_write_vectored(cx, bufs),
            Some(0) => {
                let most = bufs[0].len();
                self.poll_send(cx, |stream| {
                    self.lane.send(most, |file, at, count| {
                        let mut at = at;
                        Ok(rustix::fs::sendfile(stream, file, Some(&mut at), count)?)
                    })
                })
            }
            // The head: a file follows, so it waits for that to fill its packet.
            Some(_) => self.poll_send(cx, |stream| {
                let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
                Ok(rustix::net::send(stream, &bufs[0], flags)?)
            }),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    fn file(bytes: &[u8]) -> Arc<File> {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(bytes, 0).unwrap();
        Arc::new(file)
    }

    async fn pair() -> (Filed, Lane, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(to), listener.accept());
        let lane = Lane::default();
        (
            Filed::new(accepted.unwrap().0, lane.clone()),
            lane,
            client.unwrap(),
        )
    }

    /// Writes all of the pieces as hyper does.
    async fn write(filed: &mut Filed, mut pieces: Vec<Piece>) -> io::Result<()> {
        while !pieces.is_empty() {
            let slices: Vec<_> = pieces
                .iter()
                .map(|piece| IoSlice::new(piece.chunk()))
                .collect();
            let mut count = filed.write_vectored(&slices).await?;
            while count > 0 {
                let part = count.min(pieces[0].remaining());
                pieces[0].advance(part);
                count -= part;
                if !pieces[0].has_remaining() {
                    pieces.remove(0);
                }
            }
        }
        Ok(())
    }

    #[tokio::test]
    async fn stretches_come_out_in_their_places() {
        let (mut filed, lane, mut client) = pair().await;
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
        let file = file(&bytes);
        let span = FileSpan {
            file,
            start: 5,
            end: 2_900_000,
        };
        let mut response = Response::new(Body::empty());
        response.extensions_mut().insert(span);
        let mut body = Outgoing::of(response, Some(lane.clone())).into_body();
        let reading = tokio::spawn(async move {
            let mut all = Vec::new();
            client.read_to_end(&mut all).await.map(|_| all)
        });
        let mut pieces = vec![Piece::Bytes(Bytes::from_static(b"head"))];
        while let Some(frame) = body.frame().await {
            pieces.push(frame.unwrap().into_data().unwrap());
            write(&mut filed, std::mem::take(&mut pieces))
                .await
                .unwrap();
        }
        write(&mut filed, vec![Piece::Bytes(Bytes::from_static(b"next"))])
            .await
            .unwrap();
        assert!(lane.is_empty());
        drop(filed);
        let all = reading.await.unwrap().unwrap();
        assert!(all == [b"head", &bytes[5..2_900_000], b"next"].concat());
    }

    #[tokio::test]
    async fn blank_bytes_without_a_file_are_an_error() {
        let (mut filed, _lane, _client) = pair().await;
        assert!(write(&mut filed, vec![Piece::Stretch(10)]).await.is_err());
        // Bytes that are zero are no blank ones.
        write(&mut filed, vec![Piece::Bytes(Bytes::from(vec![0; 10]))])
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn a_file_that_is_too_short_breaks_the_connection() {
        let (mut filed, lane, _client) = pair().await;
        lane.push(Stretch {
            file: file(&[1; 6]),
            at: 0,
            left: 10,
        });
        let error = write(&mut filed, vec![Piece::Stretch(10)])
            .await
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn what_was_read_is_in_memory() {
        let file = file(&[1; 300_000]);
        warm(&file, 0, 300_000).unwrap();
        // A file system that cannot say is one that would wait.
        let supported = rustix::io::preadv2(
            &file,
            &mut [IoSliceMut::new(&mut [0])],
            0,
            ReadWriteFlags::NOWAIT,
        );
        assert_eq!(
            is_in_memory(&file, 0, 300_000).unwrap(),
            supported.is_ok(),
            "{supported:?}"
        );
    }
}
