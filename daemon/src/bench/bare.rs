//! The measuring stick: a loop that waits in epoll, receives one packet a call and throws it away.
//!
//! Called by `capture` and `growth` with the streams that the daemon had, on sockets of its own. What the daemon
//! costs above this is what recording costs.

use std::io::ErrorKind;
use std::net::{IpAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use crate::caller::{self, Plan};

/// What the bare loop did.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bare {
    /// Packets that were sent to it.
    pub(super) sent: u64,
    /// Packets that it received.
    pub(super) received: u64,
    /// Its thread's processor time.
    pub(super) cpu: Duration,
    /// The most that the sender was behind its clock.
    pub(super) sender_behind: Duration,
}

/// How long the loop waits for a packet before it looks whether it should end.
const WAIT_MS: u8 = 50;

/// Sends `plan` to a bare receive loop, one socket a stream, to its end or until `stop` is set.
pub(super) fn measure(mut plan: Plan, address: IpAddr, stop: &AtomicBool) -> anyhow::Result<Bare> {
    let mut sockets = Vec::with_capacity(plan.streams.len());
    for stream in &mut plan.streams {
        let socket = UdpSocket::bind((address, 0))?;
        socket.set_nonblocking(true)?;
        stream.to = socket.local_addr()?;
        sockets.push(socket);
    }
    let sending = AtomicBool::new(true);
    let (sent, received) = std::thread::scope(|scope| {
        let receiving = scope.spawn(|| receive(&sockets, &sending));
        let sent = caller::send(&plan, stop);
        sending.store(false, Ordering::Release);
        let received = receiving
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (sent, received)
    });
    let (received, cpu) = received.context("the bare receive loop")?;
    let sent = sent?;
    Ok(Bare {
        sent: sent.packets.iter().sum(),
        received,
        cpu,
        sender_behind: sent.latest,
    })
}

/// Receives until nothing is sent any more and nothing came for [`WAIT_MS`].
fn receive(sockets: &[UdpSocket], sending: &AtomicBool) -> anyhow::Result<(u64, Duration)> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    for (index, socket) in sockets.iter().enumerate() {
        epoll.add(socket, EpollEvent::new(EpollFlags::EPOLLIN, index as u64))?;
    }
    let mut events = [EpollEvent::empty(); 256];
    let mut packet = [0; 2_048];
    let mut received = 0;
    let before = caller::thread_cpu()?;
    loop {
        let still = sending.load(Ordering::Acquire);
        let ready = match epoll.wait(&mut events, WAIT_MS) {
            Ok(ready) => ready,
            Err(nix::Error::EINTR) => continue,
            Err(error) => return Err(error.into()),
        };
        if ready == 0 && !still {
            break;
        }
        for event in &events[..ready] {
            let index = usize::try_from(event.data())?;
            match sockets[index].recv(&mut packet) {
                Ok(_) => received += 1,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok((received, caller::thread_cpu()?.saturating_sub(before)))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::num::NonZero;

    use reeld_model::Track;

    use crate::caller::{Sockets, Sound, Stream};

    use super::*;

    #[test]
    fn the_bare_loop_gets_every_packet() {
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let streams = (0..10)
            .map(|call| {
                let sound = Sound::voice(1, call, Track::Inbound);
                Stream::new((address, 9).into(), sound, 20, call)
            })
            .collect();
        let threads = NonZero::<usize>::MIN;
        let plan = Plan {
            streams,
            sockets: Sockets::PerThread,
            from: address,
            threads,
            bundle: NonZero::<usize>::MIN,
            ahead: false,
        };
        let bare = measure(plan, address, &AtomicBool::new(false)).unwrap();
        assert_eq!((bare.sent, bare.received), (200, 200));
        assert!(bare.cpu < Duration::from_secs(1));
    }
}
