//! The first pass: which calls a capture has, from when to when, and which packets are whose.
//!
//! Called by [`super::import`]; calls [`super::dialog`] and [`super::flow`]. First the calls of SIP
//! take the streams that go to where their SDP says; what is left is paired, A to B with B to A.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use reeld_model::Track;

use super::dialog::{Dialog, Dialogs};
use super::flow::{Flows, Pair, Span};
use super::frame::Packet;
use crate::sdp::{self, Heard, Line};

/// How long after its BYE a call's packets may still come: they were on their way.
const SLACK: Duration = Duration::from_secs(2);

/// Calls of one file that are imported.
const MOST_CALLS: usize = 65_536;

/// A call to be played. Times are nanoseconds from the file's start.
#[derive(Debug, Clone, Default)]
pub(super) struct Planned {
    /// Its Call-ID, or its addresses where it has no SIP.
    pub(super) id: String,
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
    /// Its first packet of RTP.
    pub(super) begins: u64,
    /// Its BYE, else its last packet.
    pub(super) ends: u64,
    /// Which tracks have packets.
    pub(super) tracks: [bool; 2],
    /// What `capture` is told of the streams, and when; empty without SIP.
    pub(super) offers: Vec<(u64, String)>,
}

/// Whose packets go to an address.
#[derive(Debug, Clone, Copy)]
pub(super) struct Route {
    pub(super) call: usize,
    pub(super) track: Track,
    /// From this address alone, where there is no SIP.
    from: Option<SocketAddr>,
    begins: u64,
    ends: u64,
}

/// What the first pass found.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) calls: Vec<Planned>,
    routes: HashMap<SocketAddr, Vec<Route>>,
    /// What could not be planned, a line each.
    pub(super) problems: Vec<String>,
    /// What is worth saying and is nobody's fault.
    pub(super) notes: Vec<String>,
}

/// Looks at packets.
#[derive(Debug, Default)]
pub(super) struct Planner {
    dialogs: Dialogs,
    flows: Flows,
}

impl Planner {
    /// Takes a packet of the first pass.
    pub(super) fn note(&mut self, at: u64, packet: &Packet<'_>) {
        let pair = (packet.from, packet.to);
        match packet.tcp {
            Some(segment) => self.dialogs.note_segment(
                at,
                pair,
                segment.sequence,
                segment.begins,
                packet.payload,
            ),
            None => {
                if !self.dialogs.note(at, packet.payload) {
                    self.flows.note(at, pair, packet.payload);
                }
            }
        }
    }

    /// The calls that were seen. One without SIP ends where nothing comes for `inactivity`.
    pub(super) fn plan(self, inactivity: Duration) -> Plan {
        let mut plan = Plan::default();
        for (count, what) in [
            (self.flows.left_out, "packets of too many flows"),
            (self.dialogs.left_out, "INVITEs of too many calls"),
        ] {
            if count > 0 {
                plan.problems.push(format!("{count} {what} were left out"));
            }
        }
        let mut flows: Vec<(Pair, Vec<Span>)> = self
            .flows
            .flows
            .into_iter()
            .map(|(pair, flow)| (pair, flow.spans))
            .collect();
        flows.sort_by_key(|(pair, spans)| (spans.first().map(|span| span.begins), *pair));
        let mut by_target: HashMap<SocketAddr, Vec<usize>> = HashMap::new();
        for (number, (pair, _)) in flows.iter().enumerate() {
            by_target.entry(pair.1).or_default().push(number);
        }
        for dialog in &self.dialogs.dialogs {
            plan.by_sip(dialog, &mut flows, &by_target);
        }
        plan.by_pairs(flows, ns(inactivity));
        plan
    }
}

/// A stream that a call of SIP has taken.
struct Taken {
    track: Track,
    source: IpAddr,
    span: Span,
}

impl Plan {
    /// Whose a packet is: of the calls that have its address as their target at that time, the
    /// latest.
    pub(super) fn route(&self, at: u64, from: SocketAddr, to: SocketAddr) -> Option<Route> {
        let routes = self.routes.get(&to)?;
        routes
            .iter()
            .rev()
            .find(|route| {
                (route.begins..=route.ends).contains(&at)
                    && route.from.is_none_or(|wanted| wanted == from)
            })
            .copied()
    }

    /// In which pass each call is played, so that at most `most` run at once.
    pub(super) fn passes(&self, most: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.calls.len()).collect();
        order.sort_by_key(|&call| self.calls[call].begins);
        let mut passes = vec![0; self.calls.len()];
        // Of each pass, when its running calls end.
        let mut running: Vec<BinaryHeap<Reverse<u64>>> = Vec::new();
        for call in order {
            let Planned { begins, ends, .. } = self.calls[call];
            for ends in &mut running {
                while ends.peek().is_some_and(|Reverse(end)| *end < begins) {
                    ends.pop();
                }
            }
            let pass = match running.iter().position(|ends| ends.len() < most) {
                Some(pass) => pass,
                None => {
                    running.push(BinaryHeap::new());
                    running.len() - 1
                }
            };
            running[pass].push(Reverse(ends));
            passes[call] = pass;
        }
        passes
    }

    fn by_sip(
        &mut self,
        dialog: &Dialog,
        flows: &mut [(Pair, Vec<Span>)],
        by_target: &HashMap<SocketAddr, Vec<usize>>,
    ) {
        let ends = dialog.ends.unwrap_or(u64::MAX);
        let [callers, callees] = &dialog.sides;
        let mut taken = Vec::new();
        let mut targets = Vec::new();
        // What goes to the callee is what the caller says.
        for (track, side) in [(Track::Inbound, callees), (Track::Outbound, callers)] {
            for (_, line) in side {
                if targets.contains(&(line.at, track)) {
                    continue;
                }
                targets.push((line.at, track));
                for &number in by_target.get(&line.at).map_or(&[][..], Vec::as_slice) {
                    let (pair, spans) = &mut flows[number];
                    let source = pair.0.ip();
                    let mut left = Vec::new();
                    for span in spans.drain(..) {
                        if span.ends < dialog.begins || span.begins > ends {
                            left.push(span);
                            continue;
                        }
                        if span.ends > ends.saturating_add(ns(SLACK)) {
                            // The next call on the same ports began within a second.
                            let begins = ends.saturating_add(1);
                            left.push(Span { begins, ..span });
                        }
                        // What the stream had before the INVITE was another call's.
                        let begins = span.begins.max(dialog.begins);
                        taken.push(Taken {
                            track,
                            source,
                            span: Span { begins, ..span },
                        });
                    }
                    *spans = left;
                }
            }
        }
        if taken.is_empty() {
            if dialog.sides.iter().any(|side| !side.is_empty()) {
                let note = format!("call {}: no RTP of it was captured", dialog.id);
                self.notes.push(note);
            }
            return;
        }
        if callers
            .iter()
            .chain(callees)
            .all(|(_, line)| line.encrypted)
        {
            let problem = format!("call {}: its RTP is encrypted (SRTP)", dialog.id);
            self.problems.push(problem);
            return;
        }
        if self.is_full(&dialog.id) {
            return;
        }
        let first = taken.iter().map(|taken| taken.span.begins).min();
        let last = taken.iter().map(|taken| taken.span.ends).max();
        let last = last.unwrap_or(dialog.begins);
        let mut planned = Planned {
            id: dialog.id.clone(),
            from: Some(dialog.from.clone()),
            to: Some(dialog.to.clone()),
            begins: first.unwrap_or(dialog.begins),
            // What comes after the BYE was on its way.
            ends: dialog.ends.unwrap_or(last),
            ..Planned::default()
        };
        if planned.ends <= planned.begins {
            planned.ends = last;
        }
        for taken in &taken {
            planned.tracks[taken.track.index()] = true;
        }
        planned.offers = offers(&planned, dialog, &taken);
        let call = self.calls.len();
        for (target, track) in targets {
            self.routes.entry(target).or_default().push(Route {
                call,
                track,
                from: None,
                begins: planned.begins,
                ends: planned.ends,
            });
        }
        self.calls.push(planned);
    }

    fn by_pairs(&mut self, flows: Vec<(Pair, Vec<Span>)>, inactivity: u64) {
        let mut left: HashMap<Pair, Vec<Span>> = HashMap::new();
        let mut order = Vec::new();
        for (pair, spans) in flows {
            if spans.iter().any(|span| span.is_sure) {
                order.push(pair);
                left.insert(pair, spans);
            }
        }
        for pair in order {
            let Some(there) = left.remove(&pair) else {
                continue;
            };
            let back = left.remove(&(pair.1, pair.0)).unwrap_or_default();
            let mut spans: Vec<(bool, Span)> = there.into_iter().map(|span| (true, span)).collect();
            spans.extend(back.into_iter().map(|span| (false, span)));
            spans.sort_by_key(|(_, span)| span.begins);
            let mut call: Vec<(bool, Span)> = Vec::new();
            let mut ends = 0;
            for (is_there, span) in spans {
                if !call.is_empty() && span.begins.saturating_sub(ends) >= inactivity {
                    self.pair_up(pair, &std::mem::take(&mut call));
                }
                ends = span.ends.max(if call.is_empty() { 0 } else { ends });
                call.push((is_there, span));
            }
            self.pair_up(pair, &call);
        }
    }

    /// A call without SIP: spans of a flow (`true`) and of the one back.
    fn pair_up(&mut self, pair: Pair, spans: &[(bool, Span)]) {
        let sure = |there: bool| {
            let mut of = spans.iter().filter(move |(is_there, _)| *is_there == there);
            of.any(|(_, span)| span.is_sure)
        };
        let heard: Vec<(bool, Span)> = spans
            .iter()
            .copied()
            .filter(|(is_there, _)| sure(*is_there))
            .collect();
        // In the order of their beginnings: the first sender is the caller.
        let Some(&(caller, first)) = heard.first() else {
            return;
        };
        let id = format!("{} {}", pair.0, pair.1);
        if self.is_full(&id) {
            return;
        }
        let mut planned = Planned {
            id,
            begins: first.begins,
            ends: first.ends,
            ..Planned::default()
        };
        let call = self.calls.len();
        for there in [true, false].into_iter().filter(|&there| sure(there)) {
            let track = if there == caller {
                Track::Inbound
            } else {
                Track::Outbound
            };
            planned.tracks[track.index()] = true;
        }
        planned.ends = heard
            .iter()
            .map(|(_, span)| span.ends)
            .max()
            .unwrap_or(first.ends);
        for (there, track) in [(caller, Track::Inbound), (!caller, Track::Outbound)] {
            if planned.tracks[track.index()] {
                let (from, to) = if there { pair } else { (pair.1, pair.0) };
                self.routes.entry(to).or_default().push(Route {
                    call,
                    track,
                    from: Some(from),
                    begins: planned.begins,
                    ends: planned.ends,
                });
            }
        }
        self.calls.push(planned);
    }

    fn is_full(&mut self, id: &str) -> bool {
        let is_full = self.calls.len() >= MOST_CALLS;
        if is_full {
            let problem = format!("call {id}: a file's {MOST_CALLS} calls are imported, no more");
            self.problems.push(problem);
        }
        is_full
    }
}

/// What `capture` is told, and when: at each SDP, and where a stream from elsewhere begins.
fn offers(planned: &Planned, dialog: &Dialog, taken: &[Taken]) -> Vec<(u64, String)> {
    let said = dialog.sides.iter().flatten().map(|(at, _)| *at);
    let begun = taken.iter().map(|taken| taken.span.begins);
    let mut times: Vec<u64> = said.chain(begun).map(|at| at.max(planned.begins)).collect();
    times.push(planned.begins);
    times.sort_unstable();
    times.dedup();
    let mut offers: Vec<(u64, String)> = Vec::new();
    for at in times {
        let there = |track: &Track| planned.tracks[track.index()];
        let heard = Track::ALL.into_iter().filter(there).map(|track| Heard {
            source: source_at(at, track, taken),
            receiver: said_at(at, &dialog.sides[1 - track.index()]),
            sender: said_at(at, &dialog.sides[track.index()]),
        });
        let text = sdp::offer(heard);
        if offers.last().is_none_or(|(_, last)| *last != text) {
            offers.push((at, text));
        }
    }
    offers
}

/// What a side had said by then; what it says first, where it had said nothing yet.
fn said_at(at: u64, side: &[(u64, Line)]) -> Option<&Line> {
    let said = side.iter().rev().find(|(when, _)| *when <= at);
    said.or(side.first()).map(|(_, line)| line)
}

/// Whence a track's packets come then: of the streams that run, the largest; else of the next.
fn source_at(at: u64, track: Track, taken: &[Taken]) -> IpAddr {
    let ours = || taken.iter().filter(move |taken| taken.track == track);
    let running = ours()
        .filter(|taken| (taken.span.begins..=taken.span.ends).contains(&at))
        .max_by_key(|taken| taken.span.packets);
    let next = || {
        ours()
            .filter(|taken| taken.span.begins > at)
            .min_by_key(|taken| taken.span.begins)
    };
    let last = || ours().max_by_key(|taken| taken.span.ends);
    running
        .or_else(next)
        .or_else(last)
        .map_or(IpAddr::from([0, 0, 0, 0]), |taken| taken.source)
}

fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
