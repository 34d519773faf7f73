//! The second pass: the packets of the planned calls into [`reeld_capture::Call`], in their time.
//!
//! Called by [`super`]. Each call is opened at its first packet and recorded from there; it gets its
//! packets, a tick each 50 ms of the file's time (as `ingest`'s threads tick) and its end. Where a
//! recording ends by itself (an RTCP BYE, the longest length) and packets go on, another begins.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use reeld_capture::{Call, Output, Port, Settings};
use reeld_model::{
    CallSid, Channels, EndedBy, Mono, OpenCall, StartRecording, Track, TrackQuality, TrackSelection,
};

use super::flow::{is_rtcp, rtp_head};
use super::frame::Packet;
use super::plan::{Plan, Planned};
use super::{Beginning, Import, ORIGIN, Origin, Sink};

/// `ingest`'s tick.
const TICK: Duration = Duration::from_millis(50);

/// Ticks in a gap of the file before the rest of it is jumped: by then all that waits is settled.
const MOST_TICKS: u32 = 400;

/// Recordings of one call, where they end by themselves.
const MOST_RECORDINGS: u32 = 64;

/// The settings of live calls, for calls whose sources and ends the file tells.
pub(super) fn settings_for(settings: &Settings) -> Settings {
    let any4 = Ipv4Net::new(Ipv4Addr::UNSPECIFIED, 0).map(IpNet::V4);
    let any6 = Ipv6Net::new(Ipv6Addr::UNSPECIFIED, 0).map(IpNet::V6);
    Settings {
        first_packet: Duration::MAX,
        inactivity: Duration::MAX,
        allow: any4.into_iter().chain(any6).collect(),
        advertise: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        ..settings.clone()
    }
}

/// A call that is played.
struct Playing {
    call: Call,
    beginning: Beginning,
    ends: Mono,
    /// Offers that are still to be told, the next one last.
    offers: Vec<(Mono, String)>,
    recordings: u32,
}

/// Plays calls.
pub(super) struct Player<'p> {
    import: &'p Import,
    settings: Arc<Settings>,
    plan: &'p Plan,
    mine: Vec<bool>,
    origin: Origin,
    next_tick: Mono,
    playing: BTreeMap<usize, Playing>,
    /// Calls that cannot be played, or are over.
    done: Vec<bool>,
    pub(super) problems: Vec<String>,
}

impl<'p> Player<'p> {
    pub(super) fn new(
        import: &'p Import,
        settings: Arc<Settings>,
        plan: &'p Plan,
        mine: Vec<bool>,
        origin: Origin,
    ) -> Self {
        Self {
            import,
            settings,
            plan,
            done: vec![false; mine.len()],
            mine,
            origin,
            next_tick: ORIGIN,
            playing: BTreeMap::new(),
            problems: Vec::new(),
        }
    }

    /// Lets time pass until just before a packet that came `at` nanoseconds after the first.
    pub(super) fn advance(&mut self, at: u64, sink: &mut dyn Sink) {
        let now = ORIGIN + Duration::from_nanos(at);
        let mut ticks = 0;
        while self.next_tick <= now {
            self.end_before(self.next_tick, sink);
            if self.playing.is_empty() || ticks >= MOST_TICKS {
                // Nobody has anything left to settle until the packet's own tick.
                let skipped = now.since(self.next_tick).as_nanos() / TICK.as_nanos();
                let skipped = u32::try_from(skipped).unwrap_or(u32::MAX);
                self.next_tick = self.next_tick + TICK * skipped;
                self.end_before(self.next_tick, sink);
            }
            self.tick(self.next_tick, sink);
            ticks += 1;
            self.next_tick = self.next_tick + TICK;
        }
        self.end_before(now, sink);
        for playing in self.playing.values_mut() {
            while playing.offers.last().is_some_and(|(from, _)| *from <= now) {
                let Some((_, offer)) = playing.offers.pop() else {
                    break;
                };
                if let Err(refusal) = playing.call.update(Some(&offer), None) {
                    let id = &playing.beginning.external_id;
                    self.problems
                        .push(format!("call {id}: a later SDP is not followed: {refusal}"));
                }
            }
        }
    }

    /// Takes a packet, after [`Self::advance`] to its time.
    pub(super) fn take(&mut self, at: u64, packet: &Packet<'_>, sink: &mut dyn Sink) {
        if packet.tcp.is_some() {
            return;
        }
        let now = ORIGIN + Duration::from_nanos(at);
        let (mut route, mut port) = (self.plan.route(at, packet.from, packet.to), Port::Rtp);
        if route.is_none() && is_rtcp(packet.payload) {
            // RTCP's port is one above (RFC 3550 §11), its sender's too.
            let below = |mut address: std::net::SocketAddr| {
                address.set_port(address.port().saturating_sub(1));
                address
            };
            route = self.plan.route(at, below(packet.from), below(packet.to));
            port = Port::Rtcp;
        }
        let Some(route) = route else {
            return;
        };
        let number = route.call;
        let Some(planned) = self.plan.calls.get(number) else {
            return;
        };
        if !self.mine[number] || self.done[number] || !planned.tracks[route.track.index()] {
            return;
        }
        if !self.playing.contains_key(&number) && !self.open(number, planned, now) {
            return;
        }
        let Some(playing) = self.playing.get_mut(&number) else {
            return;
        };
        if playing.call.running() == 0 && port == Port::Rtp && rtp_head(packet.payload).is_some() {
            let is_too_many = playing.recordings >= MOST_RECORDINGS;
            playing.beginning.created_ms = unix_ms(self.origin.unix_ns, now);
            let begun = (!is_too_many)
                .then(|| sink.begin(&playing.beginning))
                .flatten();
            let Some(sid) = begun else {
                // The sink has said why.
                self.done[number] = true;
                self.playing.remove(&number);
                return;
            };
            playing.recordings += 1;
            let start =
                StartRecording::new(sid, playing.beginning.channels, playing.beginning.track);
            if let Err(refusal) = playing.call.start(now, start) {
                let id = &playing.beginning.external_id;
                self.problems.push(format!("call {id}: {refusal}"));
            }
        }
        playing
            .call
            .handle_datagram(route.track, port, packet.from, now, packet.payload);
        drain(playing, self.origin.unix_ns, sink);
    }

    /// The file is over: so is every call.
    pub(super) fn finish(&mut self, sink: &mut dyn Sink) {
        self.end_before(Mono(u64::MAX), sink);
    }

    fn open(&mut self, number: usize, planned: &Planned, now: Mono) -> bool {
        let time = |at: u64| ORIGIN + Duration::from_nanos(at);
        let mut offers: Vec<(Mono, String)> = planned
            .offers
            .iter()
            .map(|(at, offer)| (time(*at), offer.clone()))
            .collect();
        offers.reverse();
        let mut sdp = None;
        while offers.last().is_some_and(|(at, _)| *at <= now) {
            sdp = offers.pop().map(|(_, offer)| offer);
        }
        let created_ms = unix_ms(self.origin.unix_ns, now);
        let external_id = if planned.from.is_some() {
            planned.id.clone()
        } else {
            format!("{} {created_ms}", planned.id)
        };
        let track = match planned.tracks {
            [true, true] => TrackSelection::Both,
            [true, false] => TrackSelection::Inbound,
            [false, _] => TrackSelection::Outbound,
        };
        let derived = || CallSid::from_external(self.import.account, &external_id);
        let beginning = Beginning {
            account: self.import.account,
            call: self.import.call.unwrap_or_else(derived),
            from: planned.from.clone(),
            to: planned.to.clone(),
            channels: if track == TrackSelection::Both {
                Channels::Dual
            } else {
                Channels::Mono
            },
            track,
            created_ms,
            external_id,
            fingerprint: self.origin.fingerprint,
        };
        let open = OpenCall {
            account: beginning.account,
            call: beginning.call,
            external_id: Some(beginning.external_id.clone()),
            from: beginning.from.clone(),
            to: beginning.to.clone(),
            sdp,
            source: None,
            tracks: track,
            is_signalled: false,
        };
        let ports = Track::ALL.map(|one| track.has(one).then_some(0));
        match Call::open(open, ports, Arc::clone(&self.settings), now, created_ms) {
            Ok(call) => {
                let playing = Playing {
                    call,
                    beginning,
                    ends: time(planned.ends),
                    offers,
                    recordings: 0,
                };
                self.playing.insert(number, playing);
                true
            }
            Err(refusal) => {
                self.problems
                    .push(format!("call {}: {refusal}", beginning.external_id));
                self.done[number] = true;
                false
            }
        }
    }

    fn tick(&mut self, now: Mono, sink: &mut dyn Sink) {
        for playing in self.playing.values_mut() {
            playing.call.handle_tick(now);
            drain(playing, self.origin.unix_ns, sink);
        }
    }

    /// Ends the calls whose end lies before `now`.
    fn end_before(&mut self, now: Mono, sink: &mut dyn Sink) {
        let over: Vec<usize> = self
            .playing
            .iter()
            .filter(|(_, playing)| playing.ends < now)
            .map(|(number, _)| *number)
            .collect();
        for number in over {
            if let Some(mut playing) = self.playing.remove(&number) {
                self.done[number] = true;
                playing.call.complete(playing.ends, EndedBy::Imported);
                drain(&mut playing, self.origin.unix_ns, sink);
            }
        }
    }
}

fn drain(playing: &mut Playing, first_unix_ns: i64, sink: &mut dyn Sink) {
    while let Some(mut output) = playing.call.poll_output() {
        if let Output::Ended { summary, .. } = &mut output {
            name_codecs(&playing.call, &mut summary.quality);
        }
        sink.push(output, &|at| unix_ms(first_unix_ns, at));
    }
}

/// Where a summary does not say what was heard, the streams do.
fn name_codecs(call: &Call, quality: &mut [TrackQuality; 2]) {
    for stream in call.view().streams {
        let codecs = &mut quality[stream.track.index()].codecs;
        if let (true, Some(codec)) = (codecs.is_empty(), stream.codec) {
            codecs.push(codec.to_owned());
        }
    }
}

/// The wall-clock time of an instant, by the capture's clock.
fn unix_ms(first_unix_ns: i64, at: Mono) -> i64 {
    let since = i128::from(at.0) - i128::from(ORIGIN.0);
    let ms = (i128::from(first_unix_ns) + since).div_euclid(1_000_000);
    i64::try_from(ms).unwrap_or(i64::MAX)
}
