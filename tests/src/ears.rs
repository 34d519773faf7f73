//! What a caller hears: datagrams that come to its socket, each with its time.
//!
//! A thread of its own reads, so that a sender that sends hears meanwhile.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::script::Packet;

/// A datagram that was heard.
#[derive(Debug, Clone)]
pub struct Heard {
    /// When it came.
    pub at: Instant,
    /// From where.
    pub from: SocketAddr,
    /// What.
    pub bytes: Vec<u8>,
}

impl Heard {
    /// It as an RTP packet.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    #[track_caller]
    pub fn packet(&self) -> Packet {
        Packet::parse(&self.bytes).unwrap_or_else(|| panic!("no RTP: {:?}", self.bytes))
    }
}

/// Ears that listen until they are dropped.
#[derive(Debug)]
pub struct Ears {
    thread: Option<JoinHandle<Vec<Heard>>>,
    deaf: Arc<AtomicBool>,
}

impl Ears {
    /// Listens on a socket.
    pub(crate) fn on(socket: Arc<UdpSocket>) -> Self {
        let deaf = Arc::<AtomicBool>::default();
        let thread = {
            let deaf = Arc::clone(&deaf);
            std::thread::spawn(move || listen(&socket, &deaf))
        };
        Self {
            thread: Some(thread),
            deaf,
        }
    }

    /// All that was heard, in the order of its coming.
    ///
    /// # Panics
    /// When the socket cannot be read.
    #[must_use]
    pub fn finish(mut self) -> Vec<Heard> {
        self.deaf.store(true, Ordering::Release);
        let thread = self.thread.take();
        thread.map_or_else(Vec::new, |thread| thread.join().expect("ears hear"))
    }
}

impl Drop for Ears {
    fn drop(&mut self) {
        self.deaf.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // Its own panic has been printed.
            let _ = thread.join();
        }
    }
}

fn listen(socket: &UdpSocket, deaf: &AtomicBool) -> Vec<Heard> {
    let pause = Some(Duration::from_millis(20));
    socket.set_read_timeout(pause).expect("it is not zero");
    let mut heard = Vec::new();
    let mut buffer = [0; 2_048];
    loop {
        match socket.recv_from(&mut buffer) {
            Ok((length, from)) => heard.push(Heard {
                at: Instant::now(),
                from,
                bytes: buffer[..length].to_vec(),
            }),
            // What came before is read before the end.
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                if deaf.load(Ordering::Acquire) {
                    return heard;
                }
            }
            // An ICMP error of something that was sent.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {}
            Err(error) => panic!("a caller's socket cannot be read: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Sender;

    #[test]
    fn what_comes_is_heard_with_its_source() {
        let (one, other) = (Sender::new(), Sender::new());
        let ears = one.listen();
        other.send(one.address(), b"hello");
        let start = std::time::Instant::now();
        while start.elapsed() < std::time::Duration::from_millis(50) {
            std::thread::yield_now();
        }
        let heard = ears.finish();
        assert_eq!(heard.len(), 1);
        assert_eq!(
            (heard[0].from, &heard[0].bytes[..]),
            (other.address(), &b"hello"[..])
        );
    }
}
