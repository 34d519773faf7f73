//! The baseline: a receive loop that throws every packet away, one `recv` each out of epoll, as a
//! media server's plainest receiver has it.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::time::{ClockId, clock_gettime};

/// Events taken at once.
const EVENTS: usize = 256;

/// How soon it notices that it is to end, milliseconds.
const NOTICE: u16 = 50;

/// What the loop came to.
pub(super) struct Received {
    pub(super) packets: u64,
    /// CPU time of its thread.
    pub(super) cpu: Duration,
}

/// A loop that runs.
pub(super) struct Bare {
    pub(super) addresses: Vec<SocketAddr>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<Received>>,
}

impl Bare {
    /// Starts one over `tracks` sockets on loopback.
    pub(super) fn start(tracks: usize) -> anyhow::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::empty())?;
        let mut sockets = Vec::new();
        for number in 0..tracks {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            socket.set_nonblocking(true)?;
            let event = EpollEvent::new(EpollFlags::EPOLLIN, u64::try_from(number)?);
            epoll.add(socket.as_fd(), event)?;
            sockets.push(socket);
        }
        let addresses = sockets
            .iter()
            .map(UdpSocket::local_addr)
            .collect::<Result<_, _>>()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("bare-loop".to_owned())
            .spawn(move || receive(&epoll, &sockets, &stopped))?;
        Ok(Self {
            addresses,
            stop,
            thread,
        })
    }

    /// Ends it.
    pub(super) fn stop(self) -> anyhow::Result<Received> {
        self.stop.store(true, Ordering::Release);
        self.thread.join().ok().context("the bare loop panicked")?
    }
}

fn receive(epoll: &Epoll, sockets: &[UdpSocket], stop: &AtomicBool) -> anyhow::Result<Received> {
    let mut events = vec![EpollEvent::empty(); EVENTS];
    let mut packet = [0; 2_048];
    let mut packets = 0;
    while !stop.load(Ordering::Acquire) {
        let ready = epoll.wait(&mut events, EpollTimeout::from(NOTICE))?;
        for event in &events[..ready] {
            let socket = &sockets[usize::try_from(event.data())?];
            // A level-triggered loop takes one and is told again.
            if socket.recv(&mut packet).is_ok() {
                packets += 1;
            }
        }
    }
    let cpu = Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?);
    Ok(Received { packets, cpu })
}
