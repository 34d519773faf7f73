//! A request as it comes over the local socket: a line, and perhaps an open file beside it.
//!
//! `server` calls [`receive`], `client` calls [`send`]. The file travels as SCM_RIGHTS (unix(7))
//! with the line's first bytes: who asks has opened it, so the daemon needs no right to it.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as StdStream;

use anyhow::{Context, bail};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Reads up to the line's end, at most `most` bytes.
///
/// # Errors
/// The line is longer, the client is gone, or the system says so.
pub(super) async fn receive(
    stream: &UnixStream,
    most: usize,
) -> anyhow::Result<(Vec<u8>, Option<File>)> {
    let (mut line, mut file) = (Vec::new(), None);
    loop {
        stream.readable().await?;
        let mut bytes = [0; 4_096];
        let got = stream.try_io(Interest::READABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let got = rustix::net::recvmsg(
                stream.as_fd(),
                &mut [IoSliceMut::new(&mut bytes)],
                &mut control,
                RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT,
            )?;
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(files) = message {
                    // There is room for one; what is not kept is closed.
                    file = files.map(File::from).last().or(file.take());
                }
            }
            Ok(got.bytes)
        });
        match got {
            Ok(0) if line.is_empty() => bail!("no request came"),
            Ok(0) => return Ok((line, file)),
            Ok(got) => line.extend_from_slice(&bytes[..got]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error.into()),
        }
        if line.contains(&b'\n') {
            return Ok((line, file));
        }
        if line.len() > most {
            bail!("a request of more than {most} bytes");
        }
    }
}

/// Sends a line with an open file beside it.
///
/// # Errors
/// What the system says.
pub(super) fn send(stream: &StdStream, line: &[u8], file: &File) -> anyhow::Result<()> {
    let mut rest = line;
    let files = [file.as_fd()];
    let mut is_first = true;
    while !rest.is_empty() {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if is_first && !control.push(SendAncillaryMessage::ScmRights(&files)) {
            bail!("the file does not fit its message");
        }
        let sent = rustix::net::sendmsg(
            stream,
            &[IoSlice::new(rest)],
            &mut control,
            SendFlags::NOSIGNAL,
        )
        .context("the daemon takes no request")?;
        is_first = false;
        rest = &rest[sent..];
    }
    Ok(())
}
