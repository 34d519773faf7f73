//! Callers: sockets that play scripts against the clock and remember when each packet left.
//!
//! One thread plays any number of scripts, so that 400 tracks cost one thread. Packets leave on an
//! absolute schedule: a late wake-up is caught up, never carried on.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::ears::Ears;
use crate::patience::wait_for;
use crate::script::Script;

/// A socket of a caller's.
#[derive(Debug, Clone)]
pub struct Sender(Arc<UdpSocket>);

impl Default for Sender {
    fn default() -> Self {
        Self::new()
    }
}

impl Sender {
    /// On a free port of the loopback address.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn new() -> Self {
        Self::at(Ipv4Addr::LOCALHOST)
    }

    /// One on an address of loopback's own choice of port.
    ///
    /// # Panics
    /// The address is none of loopback's.
    #[must_use]
    pub fn at(address: Ipv4Addr) -> Self {
        let socket = UdpSocket::bind((address, 0)).expect("loopback has free ports");
        Self(Arc::new(socket))
    }

    /// Where packets come from.
    ///
    /// # Panics
    /// Never: the socket is bound.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("a bound socket has an address")
    }

    /// Hears what comes to it from now on.
    #[must_use]
    pub fn listen(&self) -> Ears {
        Ears::on(Arc::clone(&self.0))
    }

    /// Sends one datagram now.
    ///
    /// # Panics
    /// When the kernel does not take it.
    pub fn send(&self, to: SocketAddr, bytes: &[u8]) {
        match self.0.send_to(bytes, to) {
            Ok(_) => {}
            // Linux reports an earlier datagram's ICMP "port unreachable" here: the receiver has
            // closed its port, which is its right, and this datagram was not sent. Once more.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                let _ = self.0.send_to(bytes, to);
            }
            Err(error) => panic!("cannot send to {to}: {error}"),
        }
    }

    /// Plays a script to its end.
    pub fn play(&self, to: SocketAddr, script: Script) -> Vec<Instant> {
        self.start(to, script).finish().remove(0)
    }

    /// Begins to play a script.
    #[must_use]
    pub fn start(&self, to: SocketAddr, script: Script) -> Playing {
        Playing::start(vec![Part {
            sender: self.clone(),
            to,
            script,
        }])
    }
}

/// A script, who plays it and to whom.
#[derive(Debug)]
pub struct Part {
    /// Who.
    pub sender: Sender,
    /// To whom.
    pub to: SocketAddr,
    /// What.
    pub script: Script,
}

/// Scripts that are being played.
#[derive(Debug)]
pub struct Playing {
    thread: Option<JoinHandle<Vec<Vec<Instant>>>>,
    sent: Arc<Vec<AtomicUsize>>,
    hush: Arc<AtomicBool>,
}

impl Playing {
    /// Begins to play all the parts at once on one thread.
    #[must_use]
    pub fn start(parts: Vec<Part>) -> Self {
        let sent: Arc<Vec<AtomicUsize>> =
            Arc::new(parts.iter().map(|_| AtomicUsize::new(0)).collect());
        let hush = Arc::new(AtomicBool::new(false));
        let thread = {
            let (sent, hush) = (Arc::clone(&sent), Arc::clone(&hush));
            std::thread::spawn(move || play(&parts, &sent, &hush))
        };
        Self {
            thread: Some(thread),
            sent,
            hush,
        }
    }

    /// Waits until this part has sent so many datagrams.
    ///
    /// # Panics
    /// When it has not after a minute.
    pub fn wait_until(&self, part: usize, sent: usize) {
        wait_for(&format!("packet {sent}"), Duration::from_secs(60), || {
            (self.sent[part].load(Ordering::Acquire) >= sent).then_some(())
        });
    }

    /// How many datagrams this part has sent.
    #[must_use]
    pub fn sent(&self, part: usize) -> usize {
        self.sent[part].load(Ordering::Acquire)
    }

    /// Waits for the end: when each datagram of each part was sent.
    ///
    /// # Panics
    /// When the player panicked.
    pub fn finish(mut self) -> Vec<Vec<Instant>> {
        self.join()
    }

    /// Stops where it is: when each datagram that was sent was sent.
    ///
    /// # Panics
    /// When the player panicked.
    pub fn stop(mut self) -> Vec<Vec<Instant>> {
        self.hush.store(true, Ordering::Release);
        self.join()
    }

    fn join(&mut self) -> Vec<Vec<Instant>> {
        self.thread
            .take()
            .map_or_else(Vec::new, |thread| thread.join().expect("players send"))
    }
}

impl Drop for Playing {
    fn drop(&mut self) {
        // A test that fails in mid-play must not leave its caller talking into other tests.
        self.hush.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // The player's own panic has been printed; the test fails already.
            let _ = thread.join();
        }
    }
}

fn play(parts: &[Part], sent: &[AtomicUsize], hush: &AtomicBool) -> Vec<Vec<Instant>> {
    let mut order: Vec<(Duration, usize, usize)> = parts
        .iter()
        .enumerate()
        .flat_map(|(part, Part { script, .. })| {
            script
                .0
                .iter()
                .enumerate()
                .map(move |(place, cue)| (cue.at, part, place))
        })
        .collect();
    order.sort_unstable();
    let mut times: Vec<Vec<Instant>> = parts
        .iter()
        .map(|part| Vec::with_capacity(part.script.len()))
        .collect();
    let start = Instant::now();
    for (at, part, place) in order {
        pause_until(start + at);
        if hush.load(Ordering::Acquire) {
            break;
        }
        let Part { sender, to, script } = &parts[part];
        times[part].push(Instant::now());
        sender.send(*to, &script.0[place].bytes);
        sent[part].store(place + 1, Ordering::Release);
    }
    times
}

/// A sender's pace: its packets have their times.
fn pause_until(instant: Instant) {
    let left = instant.saturating_duration_since(Instant::now());
    if !left.is_zero() {
        std::thread::sleep(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{Packet, Voice};

    #[test]
    fn parts_are_played_together_on_time_and_can_be_stopped() {
        let ear = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let to = ear.local_addr().unwrap();
        let part = |seed, packets: usize| Part {
            sender: Sender::new(),
            to,
            script: Voice::new(seed).say(&vec![1; packets * 160]),
        };
        let playing = Playing::start(vec![part(1, 5), part(2, 1_000)]);
        playing.wait_until(1, 6);
        let times = playing.stop();
        assert_eq!(times[0].len(), 5);
        assert!(
            times[1].len() >= 6 && times[1].len() < 1_000,
            "{}",
            times[1].len()
        );
        let pace = times[0][4] - times[0][0];
        assert!(pace >= Duration::from_millis(79), "{pace:?}");
        let mut buffer = [0; 200];
        let mut heard = Vec::new();
        for _ in 0..times[0].len() + times[1].len() {
            let (length, _) = ear.recv_from(&mut buffer).unwrap();
            heard.push(Packet::parse(&buffer[..length]).unwrap().ssrc);
        }
        let ours = heard
            .iter()
            .filter(|&&ssrc| ssrc == Voice::new(1).ssrc)
            .count();
        assert_eq!(ours, 5);
    }
}
