//! A TCP connection read with the kernel's stamps: when what is read had come, however late it is read.
//!
//! `daemon` reads AudioSocket connections by it, whose sound is placed by its arrival. The kernel lays together what waits in a
//! connection, and has of that the stamp of the last that came; so a stamp is right for the last byte of a read, and not before
//! its time for the others. The socket is asked itself and not tokio's readiness, of which a busy runtime hears later.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd as _};

use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt,
};
use nix::sys::time::TimeSpec;
use reeld_model::Mono;

use crate::clock::{Offset, monotonic, stamp_nanos};

/// Reads a connection.
#[derive(Debug)]
pub struct StampedReader {
    offset: Offset,
    /// When nothing was there last.
    emptied: Mono,
    control: Vec<u8>,
}

impl StampedReader {
    /// Has the kernel stamp what comes on this connection from now on.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn new(connection: &impl AsFd) -> io::Result<Self> {
        setsockopt(connection, sockopt::ReceiveTimestampns, &true)?;
        Ok(Self {
            offset: Offset::read(),
            emptied: monotonic(),
            control: nix::cmsg_space!(TimeSpec),
        })
    }

    /// Reads what is there, and never waits: how many bytes, none at the connection's end, and when the last of them came.
    ///
    /// # Errors
    /// `WouldBlock` where nothing is there; what the kernel says.
    pub fn read(&mut self, connection: &impl AsFd, bytes: &mut [u8]) -> io::Result<(usize, Mono)> {
        let asked = monotonic();
        let mut slices = [IoSliceMut::new(bytes)];
        let received = loop {
            let received = recvmsg::<SockaddrStorage>(
                connection.as_fd().as_raw_fd(),
                &mut slices,
                Some(&mut self.control),
                MsgFlags::MSG_DONTWAIT,
            );
            if received != Err(Errno::EINTR) {
                break received;
            }
        };
        let received = match received {
            Ok(received) => received,
            Err(errno) => {
                if errno == Errno::EAGAIN {
                    self.emptied = asked;
                }
                return Err(errno.into());
            }
        };
        let stamp = received.cmsgs()?.find_map(|message| {
            if let ControlMessageOwned::ScmTimestampns(stamp) = message {
                Some(stamp_nanos(stamp))
            } else {
                None
            }
        });
        let length = received.bytes;
        self.offset.refresh();
        let came = self.offset.arrival(stamp, self.emptied, monotonic());
        Ok((length, came))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::thread::sleep;
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_read_late_has_come_when_it_came() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut sender = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        sender.set_nodelay(true).unwrap();
        let (connection, _) = listener.accept().unwrap();
        let mut reader = StampedReader::new(&connection).unwrap();
        let mut bytes = [0; 64];
        // The kernel begins to stamp some time after the first socket that wants it.
        let mut off = Duration::MAX;
        for _ in 0..20 {
            let nothing = reader.read(&connection, &mut bytes).unwrap_err();
            assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
            sender.write_all(b"sound").unwrap();
            let sent = monotonic();
            sleep(Duration::from_millis(100));
            let (length, came) = reader.read(&connection, &mut bytes).unwrap();
            assert_eq!(&bytes[..length], b"sound");
            off = Duration::from_nanos(came.0.abs_diff(sent.0));
            if off < Duration::from_millis(50) {
                break;
            }
        }
        assert!(off < Duration::from_millis(50), "{off:?} off");
        drop(sender);
        sleep(Duration::from_millis(20));
        assert_eq!(
            reader.read(&connection, &mut bytes).unwrap().0,
            0,
            "its end"
        );
    }
}
