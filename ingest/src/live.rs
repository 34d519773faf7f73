//! A call with its sockets: what a media thread has of each call.
//!
//! `thread` opens, drains and ticks it; `capture::Call` decides, `leg` reads, `outbox` takes what
//! comes out.
//!
//! Invariants:
//! - before a command acts, all that had arrived on the call's sockets is in the call, so that a stop
//!   loses nothing and a pause takes nothing of what came later;
//! - however late a thread is, the call gets its packets as if it were not: a tick's time of both tracks,
//!   then the next. Read one track after the other, seconds of the first would have settled the time of
//!   the second before it was read.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use reeld_capture::{Call, HeldPacket, Output, Port, Transmit};
use reeld_model::{
    Answer, CallView, Channels, EndedBy, Mono, OpenCall, RecordingSid, Refusal, SourceRule,
    StartRecording, Track, TrackStats,
};

use crate::TICK;
use crate::clock::{monotonic, unix_ms};
use crate::handover::{HandedCall, TakenCall};
use crate::inlet::{Reach, Reader};
use crate::leg::{Leg, Sockets};
use crate::outbox::Outbox;
use crate::quota::Seat;
use crate::shared::Shared;

/// A call that is open.
pub(crate) struct LiveCall {
    /// Decides.
    pub(crate) call: Call,
    /// Its tracks' sockets, by [`Track::index`].
    legs: [Option<Leg>; 2],
    /// What came before this instant has been read.
    read: Mono,
    running: Vec<Running>,
    /// What an open port has of it, where it came to one.
    fed: Option<Box<Fed>>,
}

/// How long a call of an open port waits for its recording.
const BEGUN_WITHIN: Duration = Duration::from_secs(30);

/// Bytes of datagrams that wait for it: 7 s of a track of G.711.
const MOST_WAITING: usize = 128 * 1024;

/// A call of an open port, which has no sockets of its own.
struct Fed {
    /// What waits for its recording; none once that has begun.
    waiting: Option<Waiting>,
    /// Why the last recording ended.
    last_end: Option<EndedBy>,
}

/// What has come before a recording has begun.
struct Waiting {
    since: Mono,
    packets: Vec<Waited>,
    /// Bytes of their datagrams.
    bytes: usize,
}

struct Waited {
    track: Track,
    port: Port,
    from: SocketAddr,
    held: HeldPacket,
}

/// A recording that has not ended.
struct Running {
    sid: RecordingSid,
    channels: Channels,
    /// Held for as long as the recording runs.
    _seat: Seat,
}

impl LiveCall {
    /// Binds ports for the tracks that `open` asks for and opens the call. Until [`Self::told`],
    /// dropping it leaves nothing behind.
    ///
    /// # Errors
    /// [`Refusal::NoPort`], [`Refusal::Overloaded`], and `capture`'s for an SDP or a source.
    pub(crate) fn open(open: OpenCall, shared: &Shared) -> Result<Self, Refusal> {
        let mut legs = [None, None];
        for track in Track::ALL
            .into_iter()
            .filter(|track| open.tracks.has(*track))
        {
            legs[track.index()] = Some(Leg::open(&shared.binding)?);
        }
        let ports = legs.each_ref().map(|leg| leg.as_ref().map(Leg::port));
        let settings = shared.call_settings.clone();
        let now = monotonic();
        let call = Call::open(open, ports, settings, now, unix_ms())?;
        Ok(Self {
            call,
            legs,
            read: now,
            running: Vec::new(),
            fed: None,
        })
    }

    /// Opens a call of an open port, whose first packet came at `first`.
    ///
    /// # Errors
    /// `capture`'s for an SDP or a source.
    pub(crate) fn on_open_port(
        open: OpenCall,
        port: u16,
        settings: Arc<reeld_capture::Settings>,
        first: Mono,
    ) -> Result<Self, Refusal> {
        let ports = Track::ALL.map(|track| open.tracks.has(track).then_some(port));
        let ago = monotonic().since(first).as_millis();
        let opened_at_ms = unix_ms() - i64::try_from(ago).unwrap_or(0);
        Ok(Self {
            call: Call::open(open, ports, settings, first, opened_at_ms)?,
            legs: [None, None],
            read: first,
            running: Vec::new(),
            fed: Some(Box::new(Fed {
                waiting: Some(Waiting {
                    since: first,
                    packets: Vec::new(),
                    bytes: 0,
                }),
                last_end: None,
            })),
        })
    }

    /// Whether its packets come to an open port.
    pub(crate) const fn is_fed(&self) -> bool {
        self.fed.is_some()
    }

    /// Whether what comes to an open port for it waits for its recording.
    pub(crate) fn waits(&self) -> bool {
        self.fed.as_ref().is_some_and(|fed| fed.waiting.is_some())
    }

    /// Why the last recording of an open port's call ended.
    pub(crate) fn last_end(&self) -> Option<EndedBy> {
        self.fed.as_ref().and_then(|fed| fed.last_end)
    }

    /// Takes a datagram that came to an open port. Before the recording has begun it waits, and what there is no room for
    /// is lost.
    pub(crate) fn take(
        &mut self,
        track: Track,
        port: Port,
        from: SocketAddr,
        arrival: Mono,
        datagram: &[u8],
    ) {
        let waiting = self.fed.as_mut().and_then(|fed| fed.waiting.as_mut());
        if let Some(waiting) = waiting {
            if waiting.bytes + datagram.len() <= MOST_WAITING {
                waiting.bytes += datagram.len();
                let datagram = datagram.into();
                waiting.packets.push(Waited {
                    track,
                    port,
                    from,
                    held: HeldPacket { arrival, datagram },
                });
            }
            return;
        }
        self.call
            .handle_datagram(track, port, from, arrival, datagram);
    }

    /// A call that another process had open.
    pub(crate) fn take_up(taken: TakenCall, shared: &Shared) -> Self {
        let seats = taken.recordings.iter().map(|given| Running {
            sid: given.recording,
            channels: given.channels,
            _seat: shared.quota.take_anyway(),
        });
        let running = seats.collect();
        let leg = |leg: Option<_>| leg.map(|leg| Leg::taken_up(&shared.binding, leg));
        Self {
            call: taken.kept.into_call(shared.call_settings.clone()),
            legs: taken.legs.map(leg),
            read: taken.read,
            running,
            fed: None,
        }
    }

    /// Keeps the call for another process, and ends it here: its recordings' outputs go on to their end, as if
    /// the daemon stopped, and the other process takes that end back. `None` where it cannot be kept; the log
    /// has it.
    pub(crate) fn hand_over(mut self, outbox: &mut Outbox) -> Option<HandedCall> {
        let mut sockets = Vec::new();
        let legs = std::mem::take(&mut self.legs).map(|leg| {
            let (pair, known) = leg?.hand_over();
            sockets.extend(pair);
            Some(known)
        });
        let handed = HandedCall::new(&self.call, legs, self.read, sockets)
            .inspect_err(|error| tracing::error!(%error, "a call ends with this process"));
        self.call.complete(monotonic(), EndedBy::Shutdown);
        self.collect(outbox);
        handed.ok()
    }

    /// The call's ports are told to its caller: they will rest when it is over.
    pub(crate) fn told(&mut self) {
        self.legs.iter_mut().flatten().for_each(Leg::told);
    }

    /// Takes in all that has come until now.
    pub(crate) fn catch_up(&mut self, reader: &mut Reader) {
        reader.refresh();
        let now = reader.now();
        self.read_in_steps(reader, now, Sockets::All);
        self.drain(reader, Reach::Until(now), Sockets::All);
        for (track, leg) in Track::ALL.into_iter().zip(&mut self.legs) {
            if let Some(leg) = leg {
                leg.count_strangers(track, &mut self.call);
            }
        }
        self.read = now;
    }

    /// A tick: takes in a tick's share of what came and settles what the reorder window has passed.
    pub(crate) fn tick(&mut self, reader: &mut Reader, which: Sockets) {
        let now = reader.now();
        if let Some(fed) = &self.fed {
            self.read = now;
            if let Some(waiting) = &fed.waiting {
                if now.since(waiting.since) >= BEGUN_WITHIN {
                    self.call.complete(monotonic(), EndedBy::CallCompleted);
                }
                return;
            }
            if self.running.is_empty() && fed.last_end == Some(EndedBy::Bye) {
                // Its sender has said that it is over: what its source sends next is another call.
                self.call.complete(monotonic(), EndedBy::CallCompleted);
                return;
            }
        }
        self.read_in_steps(reader, now, which);
        self.drain(reader, Reach::TICK, which);
        self.guard(now, |leg| which == Sockets::All || leg.is_flooded());
        self.read = now;
        // Not what time it is: of what came since, while the thread was not run perhaps, nothing has been read.
        self.call.handle_tick(now);
        self.transmit();
    }

    /// Where the thread is late: takes in what came in each tick, up to the last. What is left to be read
    /// at once is shorter than the reorder window by what a thread may be held up for meanwhile.
    fn read_in_steps(&mut self, reader: &mut Reader, now: Mono, which: Sockets) {
        while self.read + TICK + TICK / 2 < now {
            self.read = self.read + TICK;
            let is_empty = self.drain(reader, Reach::Until(self.read), which);
            self.call.handle_tick(self.read);
            if is_empty {
                return;
            }
        }
    }

    /// What is due of a beep, when [`Call::beep_due`] says so. What has come is taken in before, since a
    /// recording may begin with the beep's end.
    pub(crate) fn beep(&mut self, reader: &mut Reader) {
        reader.refresh();
        self.drain(reader, Reach::TICK, Sockets::Rtp);
        self.call.handle_beep(monotonic());
        self.transmit();
    }

    /// Has the kernel drop what strangers send, where `wanted` says so of a leg.
    fn guard(&mut self, now: Mono, wanted: impl Fn(&Leg) -> bool) {
        let legs = Track::ALL.into_iter().zip(&mut self.legs);
        for (track, leg) in legs.filter_map(|(track, leg)| Some((track, leg.as_mut()?))) {
            if wanted(leg) {
                leg.guard(track, &self.call, now);
            }
        }
    }

    /// Sends what the call has to send.
    fn transmit(&mut self) {
        while let Some(Transmit {
            track,
            to,
            datagram,
        }) = self.call.poll_transmit()
        {
            if let Some(leg) = &mut self.legs[track.index()] {
                leg.send(to, &datagram);
            }
        }
    }

    /// Whether nothing is left in its sockets.
    fn drain(&mut self, reader: &mut Reader, reach: Reach, which: Sockets) -> bool {
        let mut is_empty = true;
        for (track, leg) in Track::ALL.into_iter().zip(&mut self.legs) {
            if let Some(leg) = leg {
                is_empty &= leg.drain(track, &mut self.call, reader, reach, which);
            }
        }
        is_empty
    }

    /// Applies what `open` says of an open call's sender: a new SDP, a new source.
    pub(crate) fn update(&mut self, open: &OpenCall) -> Result<(), Refusal> {
        if open.is_signalled {
            self.call.signalled();
        }
        if open.sdp.is_none() && open.source.is_none() {
            return Ok(());
        }
        self.listen_to(open.sdp.as_deref(), open.source)
    }

    /// A new SDP, a new source: who could not be heard until now may be at once.
    pub(crate) fn listen_to(
        &mut self,
        sdp: Option<&str>,
        source: Option<SourceRule>,
    ) -> Result<(), Refusal> {
        self.call.update(sdp, source)?;
        self.guard(monotonic(), |_| true);
        Ok(())
    }

    /// Starts a recording, which keeps `seat` until it ends.
    pub(crate) fn start(
        &mut self,
        now: Mono,
        start: StartRecording,
        seat: Seat,
    ) -> Result<Answer, Refusal> {
        let (sid, channels) = (start.sid, start.channels);
        // That of an open port begins with the first of what has waited for it.
        let waiting = self.fed.as_ref().and_then(|fed| fed.waiting.as_ref());
        let view = self
            .call
            .start(waiting.map_or(now, |waiting| waiting.since), start)?;
        let waiting = self.fed.as_mut().and_then(|fed| fed.waiting.take());
        for packet in waiting.into_iter().flat_map(|waiting| waiting.packets) {
            let HeldPacket { arrival, datagram } = packet.held;
            self.call
                .handle_datagram(packet.track, packet.port, packet.from, arrival, &datagram);
        }
        self.transmit();
        self.running.push(Running {
            sid,
            channels,
            _seat: seat,
        });
        Ok(Answer::Recording(view, self.call.view()))
    }

    /// Hands all that the call has put out to `outbox`.
    pub(crate) fn collect(&mut self, outbox: &mut Outbox) {
        while let Some(output) = self.call.poll_output() {
            let recording = output.recording();
            let running = self
                .running
                .iter()
                .position(|running| running.sid == recording);
            let channels = running.map_or(Channels::Mono, |index| self.running[index].channels);
            if let (Output::Ended { summary, .. }, Some(index)) = (&output, running) {
                self.running.swap_remove(index);
                if let Some(fed) = &mut self.fed {
                    fed.last_end = Some(summary.ended_by);
                }
            }
            outbox.push(output, channels);
        }
    }

    /// The call as it is.
    pub(crate) fn view(&self) -> CallView {
        self.call.view()
    }

    /// What was counted on both tracks since it was opened.
    pub(crate) fn totals(&self) -> TrackStats {
        let [mut totals, outbound] = self.call.stats();
        totals.add(&outbound);
        totals
    }
}
