//! An open port: RTP of whoever is allowed, of which no signalling tells, each source's a call.
//!
//! The daemon binds it and gives it to the switchboard; one media thread has it, with all of its calls, so that a packet
//! goes from the socket to its call without a lock or a wake-up. Which call and track a packet is of is decided by
//! `capture::Streams`, whose call a new stream is by the daemon's [`Door`].
//!
//! What comes before a call's recording has begun, which takes the disk, waits with the call (`live`).
//!
//! A port that many calls share fills its buffer sooner than one of a track: it is read each [`OPEN_TICK`].

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use reeld_capture::{Found, Port, StreamRules, Streams, Unheard};
use reeld_model::incoming::{Declined, Fate, Over, Way};
use reeld_model::{Bringer, EndedBy, Incoming, Mono, OpenCall};

use crate::clock::monotonic;
use crate::inlet::{Inlet, Reach, Reader};
use crate::live::LiveCall;
use crate::routes::CallKey;
use crate::shared::Shared;

/// How often an open port is read: the usual buffer (212,992 bytes) holds 277 packets of G.711, at which 13,000 packets a
/// second fill it.
pub(crate) const OPEN_TICK: Duration = Duration::from_millis(20);

/// A read's share: 4,096 packets, 200,000 a second.
const SHARE: Reach = Reach::Rounds(64);

/// Bytes of the receive buffer, where the kernel grants them.
const RECEIVE_BUFFER: usize = 4 << 20;

/// Between two lines of the log of what comes to nothing.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Who says whose call a new stream is, and hears that it is open.
///
/// Called on a media thread, once a stream: it must not block.
pub trait Door: Send + Sync + 'static {
    /// The call of a stream that is new: its name, and what its payload types mean. None where it is nobody's.
    fn name(&self, from: SocketAddr, ssrc: u32) -> Option<OpenCall>;

    /// That call is open; its recording is to be started within 30 s. False where nobody can see to that now: then it is
    /// closed again.
    fn opened(&self, call: &OpenCall) -> bool;
}

/// How an open port is set up.
#[derive(Debug, Clone)]
pub struct OpenSettings {
    /// Where RTP comes to; reports come to the next port.
    pub listen: SocketAddr,
    /// What its streams are to each other; its `timeout` is how long a call may be silent too.
    pub rules: StreamRules,
    /// Where calls and datagrams are counted.
    pub incoming: Arc<Incoming>,
}

/// A port, bound.
pub struct OpenPort {
    rtp: Inlet,
    /// None where somebody else has that port.
    rtcp: Option<Inlet>,
    hall: Hall,
}

/// All of an open port but its sockets.
struct Hall {
    streams: Streams<CallKey>,
    door: Arc<dyn Door>,
    listen: SocketAddr,
    timeout: Duration,
    settings: Option<Arc<reeld_capture::Settings>>,
    dropped: u64,
    /// What came to nothing and is not told yet.
    unheard: Unheard,
    told: Mono,
    incoming: Arc<Incoming>,
}

impl OpenPort {
    /// Binds it. `door` is asked for each new stream.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn bind(settings: OpenSettings, door: Arc<dyn Door>) -> io::Result<Self> {
        let OpenSettings {
            listen,
            rules,
            incoming,
        } = settings;
        let rtp = Inlet::bind(listen, RECEIVE_BUFFER)?;
        let next = listen.port().checked_add(1);
        let rtcp = next.map(|port| Inlet::bind(SocketAddr::new(listen.ip(), port), 64 * 1024));
        let rtcp = rtcp.transpose().unwrap_or_else(|error| {
            tracing::warn!(%listen, %error, "reports (RTCP) to an open port's next port are not heard");
            None
        });
        Ok(Self {
            rtp,
            rtcp,
            hall: Hall {
                timeout: rules.timeout,
                streams: Streams::new(rules),
                door,
                listen,
                settings: None,
                dropped: 0,
                unheard: Unheard::default(),
                told: monotonic(),
                incoming,
            },
        })
    }

    /// Takes the settings that its calls have beside its own.
    pub(crate) fn set_up(&mut self, settings: &reeld_capture::Settings) {
        let ip = self.hall.listen.ip();
        self.hall.settings = Some(Arc::new(reeld_capture::Settings {
            inactivity: self.hall.timeout,
            advertise: if ip.is_unspecified() {
                settings.advertise
            } else {
                ip
            },
            ..settings.clone()
        }));
    }

    /// Reads what came, for `calls` of the thread of this number.
    pub(crate) fn drain(
        &mut self,
        reader: &mut Reader,
        reach: Option<Mono>,
        calls: &mut HashMap<CallKey, Box<LiveCall>>,
        shared: &Shared,
        thread: usize,
    ) {
        let Self { rtp, rtcp, hall } = self;
        let reach = reach.map_or(SHARE, Reach::Until);
        let drained = rtp.drain(reader, reach, |from, arrival, bytes| {
            hall.take(from, arrival, bytes, calls, shared, thread);
        });
        let dropped = u64::from(drained.dropped);
        hall.dropped += dropped;
        let incoming = &hall.incoming;
        incoming.messages(Way::OpenPort, Fate::Dropped, dropped);
        if let Some(rtcp) = rtcp {
            rtcp.drain(reader, Reach::TICK, |from, arrival, bytes| {
                if let Some((key, track)) = hall.streams.report(from, bytes)
                    && let Some(live) = calls.get_mut(&key)
                {
                    live.take(track, Port::Rtcp, from, arrival, bytes);
                }
            });
        }
    }

    /// A call is over; one that has never been recorded may be tried again.
    pub(crate) fn close(&mut self, key: CallKey, live: &LiveCall) {
        let hall = &mut self.hall;
        if live.waits() {
            hall.streams.forget(key);
        } else if hall.streams.close(key) {
            let over = match live.last_end() {
                Some(EndedBy::Bye) => Over::HungUp,
                Some(EndedBy::Inactivity) => Over::Timeout,
                Some(_) | None => Over::Here,
            };
            hall.incoming.ended(Bringer::OpenPort, over);
        }
    }

    /// Forgets what is long gone, and tells what came to nothing.
    pub(crate) fn tick(&mut self, now: Mono) {
        let hall = &mut self.hall;
        hall.streams.expire(now);
        hall.count();
        if now.since(hall.told) < TELL_EVERY {
            return;
        }
        hall.told = now;
        let unheard = std::mem::take(&mut hall.unheard);
        let dropped = std::mem::take(&mut hall.dropped);
        if !unheard.is_empty() || dropped > 0 {
            let Unheard {
                strangers,
                last_stranger: _,
                malformed,
                crowded,
            } = unheard;
            let (listen, calls) = (hall.listen, hall.streams.calls());
            tracing::warn!(%listen, calls, strangers, malformed, crowded, dropped, "datagrams at an open port are not recorded");
        }
    }
}

impl Hall {
    /// Counts what came to nothing since the last tick.
    fn count(&mut self) {
        let unheard = self.streams.take_unheard();
        if unheard.is_empty() {
            return;
        }
        let Unheard {
            strangers,
            last_stranger,
            malformed,
            crowded,
        } = unheard;
        for (fate, count) in [
            (Fate::Stranger, strangers),
            (Fate::Malformed, malformed),
            (Fate::Dropped, crowded),
        ] {
            self.incoming.messages(Way::OpenPort, fate, count);
        }
        if let Some(address) = last_stranger {
            let (by, why) = (Bringer::OpenPort, Declined::NotAllowed);
            self.incoming.turned_away(by, why, address, strangers);
        }
        self.unheard.add(&unheard);
    }

    fn take(
        &mut self,
        from: SocketAddr,
        arrival: Mono,
        bytes: &[u8],
        calls: &mut HashMap<CallKey, Box<LiveCall>>,
        shared: &Shared,
        thread: usize,
    ) {
        match self.streams.offer(from, arrival, bytes) {
            Found::Known(key, track) => match calls.get_mut(&key) {
                Some(live) => live.take(track, Port::Rtp, from, arrival, bytes),
                None => {
                    self.streams.close(key);
                }
            },
            Found::Joins(key, track, held) => match calls.get_mut(&key) {
                Some(live) => {
                    for packet in held {
                        live.take(track, Port::Rtp, from, packet.arrival, &packet.datagram);
                    }
                }
                None => {
                    self.streams.close(key);
                }
            },
            Found::New(ssrc) => {
                if self.begin(from, ssrc, calls, shared, thread).is_none() {
                    self.streams.refuse(from, ssrc);
                }
            }
            Found::Nothing => {}
        }
    }

    /// Opens the call of a stream that is new, if it is anybody's.
    fn begin(
        &mut self,
        from: SocketAddr,
        ssrc: u32,
        calls: &mut HashMap<CallKey, Box<LiveCall>>,
        shared: &Shared,
        thread: usize,
    ) -> Option<()> {
        let settings = Arc::clone(self.settings.as_ref()?);
        let open = self.door.name(from, ssrc)?;
        let key = (open.account, open.call);
        // Another source of calls may have one of that name.
        if calls.contains_key(&key) || !shared.routes.claim(key, thread) {
            return None;
        }
        let first = self.streams.began(from, ssrc).unwrap_or_else(monotonic);
        let live = LiveCall::on_open_port(open.clone(), self.listen.port(), settings, first);
        let live = live
            .inspect_err(|refusal| {
                tracing::error!(listen = %self.listen, %refusal, "a stream is not recorded");
            })
            .ok()
            .filter(|_| self.door.opened(&open));
        let Some(mut live) = live else {
            shared.routes.closed(key);
            return None;
        };
        for packet in self.streams.begin(from, ssrc, key) {
            let track = reeld_model::Track::Inbound;
            live.take(track, Port::Rtp, from, packet.arrival, &packet.datagram);
        }
        calls.insert(key, Box::new(live));
        Some(())
    }
}
