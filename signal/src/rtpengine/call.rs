//! A call as it is followed: what is known of it, who is on which track, and what is answered to rtpengine.
//!
//! Called by `follower`. What a restart in mid-call goes on with is [`Session`], which is serde's: what is new in it needs
//! `#[serde(default)]`.

use std::net::IpAddr;

use reeld_model::incoming::Over;
use reeld_model::{
    AccountSid, CallSid, Channels, Mono, OpenCall, RecordingSid, Track, TrackSelection,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Attach;
use super::ng::Ask;
use super::reply::{Seen, Subscription, Tag};
use crate::offer::{Answer, Formats, Line, Offer};
use crate::work::Wanted;

/// Warnings that are kept of a call.
const MOST_WARNINGS: usize = 32;

/// A call that rtpengine has.
#[derive(Debug)]
pub(super) struct Call {
    /// The SIP Call-ID.
    pub(super) id: String,
    pub(super) under_way: Option<UnderWay>,
    /// What is recorded of it.
    pub(super) session: Option<Session>,
    /// When it is asked about next.
    pub(super) query_due: Mono,
    /// When capture is asked about its call next.
    pub(super) look_due: Mono,
    /// When the follower has put it down to be looked at.
    pub(super) due: Option<Mono>,
    pub(super) first_seen: Mono,
    /// Whether nothing of it is recorded any more for as long as it lasts: somebody has ended it here.
    pub(super) is_done: bool,
    /// Whether it could not be recorded: it is tried again once something is signalled.
    pub(super) refused: Option<Refused>,
    /// Whether rtpengine has it no more.
    pub(super) is_gone: bool,
    /// Whether it has ended but for us: all of its parties are deleted.
    pub(super) has_ended: bool,
    /// Why it will have ended here, if it ends.
    pub(super) over: Over,
    /// Packets that capture had taken at the last look, if rtpengine was silent then.
    pub(super) silent_at: Option<u64>,
    /// Who has asked for it, and under which number.
    pub(super) wishes: Vec<(u64, Attach)>,
}

/// What was last signalled when a call could not be recorded. Our own requests move that too, so it is what the first
/// look after them finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is looked at next.
    Unseen,
    /// This.
    At(u64),
}

/// What is under way for a call, one thing at a time.
#[derive(Debug)]
pub(super) enum UnderWay {
    /// A request whose answer changes nothing but what is known.
    Asked(Ask),
    /// A subscription that is asked for, to be this.
    Subscribing(Box<Session>),
    /// Capture is about to take it.
    Opening(Box<Session>),
    /// Capture is told of a new offer.
    Changing(Box<Session>),
    /// Where its media are to be sent has been said.
    Answering,
    /// Its subscription is to end; whether its call here goes on until then is said by the session.
    Leaving,
    /// Whether capture still has it.
    Looking,
    /// Its call here ends.
    Closing,
}

/// What is recorded of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Session {
    pub(super) account: AccountSid,
    pub(super) call: CallSid,
    /// Who calls and who is called, where that was said by who asked for the call.
    from: Option<String>,
    to: Option<String>,
    /// Whether others start its recordings.
    pub(super) is_attached: bool,
    /// Ours, and the tracks that they have.
    recordings: Vec<(RecordingSid, TrackSelection)>,
    /// Who is on each track, by the tag, and as rtpengine's user has labelled them.
    tags: [Option<String>; 2],
    labels: [Option<String>; 2],
    /// The last offer, and which of its lines is which track's.
    offer: Offer,
    places: [Option<usize>; 2],
    /// The line that each track had last.
    lines: [Option<Line>; 2],
    /// What capture was told, and its answer.
    told: String,
    of_capture: String,
    answers: u64,
    warnings: Vec<String>,
    /// What was last signalled once it was subscribed to; unknown until it is asked for.
    pub(super) signal: Option<u64>,
}

impl Call {
    pub(super) const fn new(id: String, now: Mono) -> Self {
        Self {
            id,
            under_way: None,
            session: None,
            query_due: now,
            look_due: now,
            due: None,
            first_seen: now,
            is_done: false,
            refused: None,
            is_gone: false,
            has_ended: false,
            over: Over::HungUp,
            silent_at: None,
            wishes: Vec::new(),
        }
    }
}

impl Session {
    /// One of the call that a wish names, or that follows from its own name.
    pub(super) fn new(id: &str, account: AccountSid, wish: Option<&Attach>) -> Self {
        let open = wish.map(|wish| &wish.open);
        Self {
            account: open.map_or(account, |open| open.account),
            call: open.map_or_else(|| CallSid::from_external(account, id), |open| open.call),
            from: open.and_then(|open| open.from.clone()),
            to: open.and_then(|open| open.to.clone()),
            is_attached: wish.is_some(),
            recordings: Vec::new(),
            tags: [None, None],
            labels: [None, None],
            offer: Offer::default(),
            places: [None, None],
            lines: [None, None],
            told: String::new(),
            of_capture: String::new(),
            answers: 0,
            warnings: Vec::new(),
            signal: None,
        }
    }

    /// Takes in who talks: who has a track keeps it, the others get those that are free, the caller the first.
    pub(super) fn meet(&mut self, parties: [&Tag; 2]) {
        let is_there = |tag: &Option<String>| {
            tag.as_ref()
                .is_some_and(|tag| parties.iter().any(|party| party.tag == *tag))
        };
        for (tag, label) in self.tags.iter_mut().zip(&mut self.labels) {
            if !is_there(tag) {
                (*tag, *label) = (None, None);
            }
        }
        for party in parties {
            let known = self
                .tags
                .iter()
                .position(|tag| tag.as_ref() == Some(&party.tag));
            let free = || self.tags.iter().position(Option::is_none);
            if let Some(track) = known.or_else(free) {
                self.tags[track] = Some(party.tag.clone());
                self.labels[track].clone_from(&party.label);
            }
        }
    }

    /// Whether a subscription to these parties is still what it was: ours, of both, and nothing signalled since.
    pub(super) fn is_as(&self, seen: &Seen, parties: [&Tag; 2], own_tag: &str) -> bool {
        let own = seen.tag(own_tag);
        parties.iter().all(|party| {
            let is_on = self.tags.iter().flatten().any(|tag| *tag == party.tag);
            is_on && own.is_some_and(|own| own.subscribed.contains(&party.tag))
        }) && self.signal.is_none_or(|signal| signal == seen.last_signal)
    }

    /// Whose packets are asked for, in the order of the tracks.
    pub(super) fn named_tags(&self) -> Vec<&str> {
        self.tags.iter().flatten().map(String::as_str).collect()
    }

    /// Takes in what a subscription offers. The error says why nothing of it can be recorded.
    pub(super) fn offered(&mut self, subscription: &Subscription<'_>) -> Result<(), String> {
        let offer = Offer::read(subscription.sdp.as_bytes())
            .ok_or("rtpengine's offer has no media line")?;
        self.warnings.clear();
        self.warnings.extend(offer.warnings.iter().cloned());
        let mut places = [None, None];
        let mut fault = None;
        for (index, line) in offer.lines.iter().enumerate() {
            let sender = subscription.sender(line.label.as_deref());
            let is_senders = |tag: &Option<String>| tag.is_some() && tag.as_deref() == sender;
            let Some(track) = self.tags.iter().position(is_senders) else {
                continue;
            };
            if !line.is_used() || places[track].is_some() {
                continue;
            }
            match line.fault() {
                None => places[track] = Some(index),
                Some(why) => {
                    self.warnings
                        .push(format!("sdp: line {}: {why}", index + 1));
                    fault = Some(why);
                }
            }
        }
        self.warnings.truncate(MOST_WARNINGS);
        // Capture's first line is its first track's: who sends alone is on it.
        if self.lines[0].is_none() && places[0].is_none() {
            places.swap(0, 1);
            self.tags.swap(0, 1);
            self.labels.swap(0, 1);
        }
        if places == [None, None] {
            return Err(fault.unwrap_or_else(|| "no audio line is in use".to_owned()));
        }
        for (line, place) in self.lines.iter_mut().zip(places) {
            if let Some(index) = place {
                *line = Some(offer.lines[index].clone());
            }
        }
        self.places = places;
        self.offer = offer;
        Ok(())
    }

    /// The call as capture knows it, with the offer where it is another than it has.
    pub(super) fn open_call(&mut self, id: &str, reaches: impl Fn(IpAddr) -> bool) -> OpenCall {
        let told = Offer::for_capture(self.lines.each_ref().map(Option::as_ref), reaches);
        let told = told.unwrap_or_default();
        let sdp = (told != self.told).then(|| told.clone());
        self.told = told;
        OpenCall {
            external_id: Some(id.to_owned()),
            from: self.from.clone(),
            to: self.to.clone(),
            sdp,
            is_signalled: true,
            ..OpenCall::new(self.account, self.call)
        }
    }

    /// The recording that it wants now: of both tracks, or of the only one; beside those that run, of a track that none
    /// of them has.
    pub(super) fn wanted(&self, channels: Channels) -> Option<Wanted> {
        let lacks = |track: &Track| {
            let mut all = self.recordings.iter();
            self.lines[track.index()].is_some() && !all.any(|(_, has)| has.has(*track))
        };
        let mut lacking = Track::ALL.into_iter().filter(lacks);
        let track = match (lacking.next(), lacking.next()) {
            _ if self.is_attached => return None,
            (None, _) => return None,
            (Some(_), Some(_)) => TrackSelection::Both,
            (Some(Track::Inbound), None) => TrackSelection::Inbound,
            (Some(Track::Outbound), None) => TrackSelection::Outbound,
        };
        Some(Wanted {
            channels: match track {
                TrackSelection::Both => channels,
                TrackSelection::Inbound | TrackSelection::Outbound => Channels::Mono,
            },
            track,
        })
    }

    /// A recording has been begun as it was wanted.
    pub(super) fn begun(&mut self, recording: Option<RecordingSid>, channels: Channels) {
        let wanted = self.wanted(channels);
        let begun = recording.zip(wanted.map(|wanted| wanted.track));
        self.recordings.extend(begun);
    }

    /// Its own recordings.
    pub(super) fn recordings(&self) -> Vec<RecordingSid> {
        self.recordings.iter().map(|(sid, _)| *sid).collect()
    }

    /// What its recordings keep of the signalling.
    pub(super) fn signalling(&self, id: &str) -> String {
        let participants = Track::ALL.into_iter().filter_map(|track| {
            let tag = self.tags[track.index()].as_ref()?;
            Some(json!({
                "id": tag,
                "name": self.labels[track.index()],
                "track": track.as_str(),
            }))
        });
        json!({
            "source": "rtpengine",
            "sip_call_id": id,
            "participants": participants.collect::<Vec<_>>(),
            "warnings": self.warnings,
        })
        .to_string()
    }

    /// Whether its first answer is all that was said.
    pub(super) const fn is_new(&self) -> bool {
        self.answers <= 1
    }

    /// The answer to the offer: every line in its place, each with all codecs that it offers.
    pub(super) fn answer(&mut self, of_capture: Option<String>) -> String {
        if let Some(of_capture) = of_capture {
            self.of_capture = of_capture;
        }
        self.answers += 1;
        let answer = Answer {
            id: 1,
            version: self.answers,
            of_capture: &self.of_capture,
            formats: Formats::Offered,
        };
        answer.text(&self.offer, self.places)
    }
}
