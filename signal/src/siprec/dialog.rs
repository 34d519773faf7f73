//! A recording session: the dialog with its client, and the call that is recorded of it (RFC 3261 §12, RFC 7866).
//!
//! Called by `agent`; calls `offer` and `parties` for what a new offer or new metadata make of it. Serde's, so that
//! the next daemon goes on with it after a restart in mid-call: what is new here needs `#[serde(default)]`.

use reeld_model::{
    AccountSid, Bringer, CallSid, Channels, Mono, OpenCall, RecordingSid, Track, TrackSelection,
};
use serde::{Deserialize, Serialize};

use super::Peer;
use super::message::{Headers, Request};
use super::metadata::{Document, Metadata};
use super::parties::{Kept, Senders};
use super::timer::SessionTimer;
use crate::offer::{Answer, Formats, Line, Offer, allot};
use crate::work::{By, Wanted};

/// Warnings that are kept of a session.
const MOST_WARNINGS: usize = 32;

/// A session.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Dialog {
    pub(crate) call_id: String,
    pub(crate) own_tag: String,
    pub(crate) their_tag: String,
    /// Our end and theirs, as To and From have them.
    own: String,
    their: String,
    /// Where requests of ours go (their Contact), and by which proxies.
    target: String,
    routes: Vec<String>,
    pub(crate) own_cseq: u32,
    pub(crate) their_cseq: u32,
    /// From where they last spoke to us.
    pub(crate) peer: Peer,
    pub(crate) account: AccountSid,
    pub(crate) call: CallSid,
    external_id: String,
    user_agent: Option<String>,
    /// Whether no recording client's but a call like any other, whose parties are its From and To.
    #[serde(default)]
    is_plain: bool,
    /// Our session's number in SDP, and how often it was answered.
    number: u64,
    answers: u64,
    /// The last answer, and capture's that it was made of.
    pub(crate) answer: String,
    of_capture: String,
    pub(crate) state: State,
    pub(crate) recordings: Vec<(RecordingSid, TrackSelection)>,
    /// What a client's timer asks for (RFC 4028), and when it is due.
    pub(crate) timer: Option<SessionTimer>,
    pub(crate) refresh_due: Option<Mono>,
    /// An offer of ours whose answer is to come with an ACK.
    #[serde(default)]
    pub(crate) awaited: Option<Awaited>,
    /// What names the first INVITE's transaction, and whether that was another process's.
    #[serde(default)]
    pub(crate) invite: String,
    #[serde(skip)]
    pub(crate) is_taken_up: bool,
}

/// An offer of ours, to an INVITE that had none.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Awaited {
    /// The INVITE's.
    pub(crate) cseq: u32,
    pub(crate) offered: Offer,
    /// Whether the session began with it: then there is none without an answer.
    pub(crate) is_first: bool,
    /// The ACK's type and body, where that came while something else was under way.
    pub(crate) ack: Option<(String, Vec<u8>)>,
}

/// What offers and metadata have made of a session.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) offer: Offer,
    pub(crate) tracks: [Option<usize>; 2],
    /// The line that each track had last.
    lines: [Option<Line>; 2],
    metadata: Metadata,
    warnings: Vec<String>,
    pub(crate) is_paused: bool,
    /// Whether the client says `recvonly` of what it sends.
    #[serde(default)]
    says_recvonly: bool,
}

/// What names a session when it begins.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) account: AccountSid,
    pub(crate) call: CallSid,
    pub(crate) external_id: String,
    pub(crate) own_tag: String,
    pub(crate) number: u64,
    pub(crate) is_plain: bool,
}

impl State {
    /// What an offer and a document make of it; the offer alone where there is none. The error says why
    /// nothing of the offer can be recorded.
    pub(crate) fn next(
        &self,
        offer: Option<Offer>,
        document: Option<&Document>,
    ) -> Result<Self, String> {
        let mut next = self.clone();
        if let Some(document) = document {
            let names_unknown = next.metadata.merge(document);
            next.warn(&document.warnings);
            if names_unknown {
                next.warn_of("metadata: a change names a participant that no document has");
            }
        }
        let is_new = offer.is_some();
        if let Some(offer) = offer {
            next.warn(&offer.warnings);
            next.offer = offer;
        }
        let senders = Senders::find(&next.metadata, &next.offer);
        if document.is_some() {
            next.warn(&senders.warnings);
        }
        if !is_new {
            return Ok(next);
        }
        next.take_direction(self.lines == [None, None]);
        let faults: Vec<Option<String>> = next.offer.lines.iter().map(Line::fault).collect();
        let recordable: Vec<bool> = faults.iter().map(Option::is_none).collect();
        next.tracks = allot(&next.offer, &recordable, self.tracks, |lines| {
            senders.first(&next.metadata, lines)
        });
        let mut used = 0;
        for (index, (line, fault)) in next.offer.lines.iter().zip(&faults).enumerate() {
            if !line.is_used() {
                continue;
            }
            used += 1;
            let label = line.label.as_deref().unwrap_or("none");
            match fault {
                Some(fault) => next
                    .warnings
                    .push(format!("sdp: line {} (label {label}): {fault}", index + 1)),
                None if !next.tracks.contains(&Some(index)) => next.warnings.push(format!(
                    "sdp: line {} (label {label}): both tracks are taken, it is not recorded",
                    index + 1
                )),
                None => {}
            }
        }
        next.tidy();
        // An offer that switches all lines off is legal in mid-call, and a pause.
        let is_first = self.lines == [None, None];
        if next.tracks == [None, None] && (is_first || used > 0) {
            let fault = faults.into_iter().flatten().next();
            return Err(fault.unwrap_or_else(|| "no audio line is in use".to_owned()));
        }
        for (track, index) in next.tracks.into_iter().enumerate() {
            if let Some(index) = index {
                next.lines[track] = Some(next.offer.lines[index].clone());
            }
        }
        let mut of_it = next.tracks.iter().flatten();
        next.is_paused = of_it.all(|index| next.offer.lines[*index].is_paused());
        Ok(next)
    }

    /// What capture is told of the lines.
    pub(crate) fn for_capture(&self, reaches: impl Fn(std::net::IpAddr) -> bool) -> Option<String> {
        Offer::for_capture(self.lines.each_ref().map(Option::as_ref), reaches)
    }

    /// A client that begins with `recvonly` and with nothing else means what we do: nobody calls a recorder to hear
    /// it. Once it has said that it sends, the word is a pause.
    fn take_direction(&mut self, is_first: bool) {
        let used = || self.offer.lines.iter().filter(|line| line.is_used());
        let begins_so =
            is_first && used().next().is_some() && used().all(Line::says_that_it_receives);
        let sends = used().any(|line| !line.is_paused());
        self.says_recvonly = (self.says_recvonly || begins_so) && !sends;
        if begins_so {
            self.warn_of("sdp: the offer says recvonly; taken as sendonly");
        }
        if self.says_recvonly {
            let lines = self.offer.lines.iter_mut();
            lines
                .filter(|line| line.says_that_it_receives())
                .for_each(Line::sends);
        }
    }

    /// This session with an offer of ours for what it has now (RFC 3261 §14.2), which is not answered yet. Where all
    /// is switched off, the lines are offered again that the tracks had last.
    pub(crate) fn offered_again(&self) -> Self {
        let mut next = self.clone();
        if next.tracks == [None, None] {
            for (track, last) in self.lines.iter().enumerate() {
                let is_it = |line: &Line| {
                    let same = |line: &Line, last: &Line| line.label == last.label;
                    line.media == "audio" && last.as_ref().is_some_and(|last| same(line, last))
                };
                let place = (0..next.offer.lines.len())
                    .filter(|index| !next.tracks.contains(&Some(*index)))
                    .find(|index| is_it(&next.offer.lines[*index]));
                next.tracks[track] = place;
            }
        }
        next.offer = next.offer.again(next.tracks);
        for (track, index) in next.tracks.into_iter().enumerate() {
            if let Some(index) = index {
                next.lines[track] = Some(next.offer.lines[index].clone());
            }
        }
        next
    }

    /// The labels that an offer of ours begins with: those of the metadata's streams, if there are any, else two of a
    /// recording client's, since RFC 7866 §7.1 has a line for each party; or the line of a telephone.
    pub(crate) fn labels_for(document: Option<&Document>, is_plain: bool) -> Vec<Option<String>> {
        let streams = document.map_or(&[][..], |document| &document.metadata.streams);
        let labels = streams.iter().filter_map(|stream| stream.label.clone());
        let labels: Vec<Option<String>> = labels.map(Some).take(2).collect();
        match (labels.is_empty(), is_plain) {
            (false, _) => labels,
            (true, true) => vec![None],
            (true, false) => vec![Some("1".to_owned()), Some("2".to_owned())],
        }
    }

    /// The tracks that something is recorded of.
    pub(crate) const fn has(&self) -> [bool; 2] {
        [self.tracks[0].is_some(), self.tracks[1].is_some()]
    }

    fn warn(&mut self, warnings: &[String]) {
        self.warnings.extend_from_slice(warnings);
        self.tidy();
    }

    /// Each warning once, and no more than are kept.
    fn tidy(&mut self) {
        let mut seen = std::collections::HashSet::new();
        self.warnings.retain(|warning| seen.insert(warning.clone()));
        self.warnings.truncate(MOST_WARNINGS);
    }

    pub(crate) fn warn_of(&mut self, warning: &str) {
        self.warn(&[warning.to_owned()]);
    }

    /// The id that metadata give the communication session.
    pub(crate) fn session_id(&self) -> Option<&str> {
        self.metadata.session_id()
    }
}

impl Dialog {
    /// The session that an INVITE asks for.
    pub(crate) fn new(request: &Request, peer: Peer, identity: Identity, state: State) -> Self {
        let own = format!("{};tag={}", request.to(), identity.own_tag);
        let mut dialog = Self {
            call_id: request.call_id().to_owned(),
            own_tag: identity.own_tag,
            their_tag: request.their_tag().to_owned(),
            own,
            their: request.from().to_owned(),
            target: String::new(),
            routes: request.all("record-route").map(str::to_owned).collect(),
            own_cseq: 0,
            their_cseq: request.cseq,
            peer,
            account: identity.account,
            call: identity.call,
            external_id: identity.external_id,
            user_agent: request
                .header("user-agent")
                .map(|agent| agent.chars().take(256).collect()),
            number: identity.number,
            is_plain: identity.is_plain,
            answers: 0,
            answer: String::new(),
            of_capture: String::new(),
            state,
            recordings: Vec::new(),
            timer: None,
            refresh_due: None,
            awaited: None,
            invite: request.transaction(),
            is_taken_up: false,
        };
        dialog.hear(request, peer);
        dialog
    }

    /// Takes in where a request of theirs came from, and where ours go now (RFC 3261 §12.2.2).
    pub(crate) fn hear(&mut self, request: &Request, peer: Peer) {
        self.peer = peer;
        self.their_cseq = self.their_cseq.max(request.cseq);
        if let Some(contact) = request.header("contact") {
            let uri = crate::sip::contact(contact);
            if !uri.is_empty() && uri != "*" {
                uri.clone_into(&mut self.target);
            }
        }
    }

    /// What brings it.
    pub(crate) const fn bringer(&self) -> Bringer {
        if self.is_plain {
            Bringer::Sip
        } else {
            Bringer::Siprec
        }
    }

    /// Who brings it.
    pub(crate) fn by(&self) -> By {
        By {
            bringer: self.bringer(),
            address: Some(self.peer.address().ip().to_canonical()),
            agent: self.user_agent.clone(),
        }
    }

    /// The call as capture knows it, with the parties as they are now.
    pub(crate) fn open_call(&self, state: &State, sdp: Option<String>) -> OpenCall {
        let senders = Senders::find(&state.metadata, &state.offer);
        let [mut from, mut to] = senders.addresses(state.tracks, &state.metadata);
        if self.is_plain {
            let said = |header| Some(crate::sip::uri(header).to_owned());
            from = from.or_else(|| said(&self.their));
            to = to.or_else(|| said(&self.own));
        }
        OpenCall {
            external_id: Some(self.external_id.clone()),
            from,
            to,
            sdp,
            is_signalled: true,
            ..OpenCall::new(self.account, self.call)
        }
    }

    /// The recording that a session begins with: of both tracks, or of the only one.
    pub(crate) fn wanted(state: &State, channels: Channels) -> Wanted {
        match state.has() {
            [true, true] => Wanted {
                channels,
                track: TrackSelection::Both,
            },
            [_, false] => Wanted {
                channels: Channels::Mono,
                track: TrackSelection::Inbound,
            },
            [false, true] => Wanted {
                channels: Channels::Mono,
                track: TrackSelection::Outbound,
            },
        }
    }

    /// A further recording, for a track that none of those that run has.
    pub(crate) fn wanted_beside(&self, state: &State) -> Option<Wanted> {
        let lacks = |track: &Track| {
            let is_there = self
                .recordings
                .iter()
                .any(|(_, selection)| selection.has(*track));
            state.has()[track.index()] && !is_there
        };
        let track = Track::ALL.into_iter().find(lacks)?;
        let track = match track {
            Track::Inbound => TrackSelection::Inbound,
            Track::Outbound => TrackSelection::Outbound,
        };
        Some(Wanted {
            channels: Channels::Mono,
            track,
        })
    }

    /// What recordings keep of the signalling.
    pub(crate) fn signalling(&self, state: &State) -> String {
        let senders = Senders::find(&state.metadata, &state.offer);
        let kept = Kept {
            metadata: &state.metadata,
            senders: &senders,
            offer: &state.offer,
            tracks: state.tracks,
            warnings: &state.warnings,
            sip_call_id: &self.call_id,
            client: crate::sip::uri(&self.their),
            by: self.by(),
        };
        kept.json()
    }

    /// Takes capture's answer in, and answers the offer.
    pub(crate) fn answer_offer(&mut self, of_capture: Option<String>) {
        let State { offer, tracks, .. } = self.state.clone();
        self.make_offer(of_capture, &offer, tracks);
    }

    /// Takes capture's answer in, and makes an offer of it, or an answer. What is what we said last has its version
    /// (RFC 3264 §8).
    pub(crate) fn make_offer(
        &mut self,
        of_capture: Option<String>,
        offered: &Offer,
        tracks: [Option<usize>; 2],
    ) {
        self.hear_capture(of_capture);
        if self.describe(offered, tracks) != self.answer {
            self.answers += 1;
            self.answer = self.describe(offered, tracks);
        }
    }

    /// The answer to an offer of ours comes with the ACK of this INVITE.
    pub(crate) fn await_answer(&mut self, cseq: u32, offered: Offer, is_first: bool) {
        self.awaited = Some(Awaited {
            cseq,
            offered,
            is_first,
            ack: None,
        });
    }

    /// Takes in what capture answered last.
    pub(crate) fn hear_capture(&mut self, of_capture: Option<String>) {
        if let Some(of_capture) = of_capture {
            self.of_capture = of_capture;
        }
    }

    fn describe(&self, offer: &Offer, tracks: [Option<usize>; 2]) -> String {
        let answer = Answer {
            id: self.number,
            version: self.answers,
            of_capture: &self.of_capture,
            formats: Formats::Built,
        };
        answer.text(offer, tracks)
    }

    /// Sets the timer that a request asks for; the headers that say so in its answer.
    pub(crate) fn set_timer(&mut self, request: &Request, now: Mono, headers: Headers) -> Headers {
        let timer = SessionTimer::of(request);
        self.timer = timer;
        self.refresh(now);
        match timer {
            Some(timer) => timer.headers(headers),
            None => headers,
        }
    }

    /// The session was refreshed.
    pub(crate) fn refresh(&mut self, now: Mono) {
        self.refresh_due = self.timer.map(|timer| now + timer.until_due());
    }

    /// Where requests of ours go: their Contact, else who called.
    pub(crate) fn target(&self) -> &str {
        if self.target.is_empty() {
            crate::sip::uri(&self.their)
        } else {
            &self.target
        }
    }

    /// A request of ours, but for its Via's branch, which the caller gives (RFC 3261 §12.2.1.1); and where it
    /// goes.
    pub(crate) fn request(
        &mut self,
        method: &str,
        via: &str,
        branch: &str,
        more: &Headers,
    ) -> (Peer, Vec<u8>) {
        self.own_cseq += 1;
        let target = self.target();
        let transport = self.peer.transport();
        let mut text = format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/{transport} {via};rport;branch={branch}\r\nMax-Forwards: 70\r\n"
        );
        for route in &self.routes {
            text.push_str(&format!("Route: {route}\r\n"));
        }
        text.push_str(&format!(
            "From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {} {method}\r\n",
            self.own, self.their, self.call_id, self.own_cseq
        ));
        let to = match self.peer {
            Peer::Udp(address) => {
                let first = self
                    .routes
                    .first()
                    .map_or(target, |route| crate::sip::uri(route));
                // A name is not looked up: who calls by one is answered where it called from; and so is who
                // is behind a NAT, and says an address that is none out here.
                let said = super::message::address_of(first);
                let said = said.filter(|said| is_private(said.ip()) <= is_private(address.ip()));
                Peer::Udp(said.unwrap_or(address))
            }
            stream => stream,
        };
        (to, more.end(text))
    }
}

/// Whether an address is one of a network of its own, that nobody outside reaches (RFC 1918, RFC 6598, RFC 4193).
pub(crate) fn is_private(address: std::net::IpAddr) -> bool {
    match address.to_canonical() {
        std::net::IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            let is_shared = first == 100 && second & 0xc0 == 64;
            address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_unspecified()
                || is_shared
        }
        std::net::IpAddr::V6(address) => {
            address.is_unique_local()
                || address.is_loopback()
                || address.is_unicast_link_local()
                || address.is_unspecified()
        }
    }
}
