//! The server itself: what is done for a request, and what is sent when.
//!
//! Called by the daemon with each message, each outcome of work and each instant that [`Agent::due`] names; one
//! input, then a drain of [`Agent::poll_output`]. Of a session one piece of [`Work`] is under way at a time: a
//! request that comes meanwhile is put off (500 with Retry-After, RFC 3261 §14.2), a BYE waits.
//!
//! Bounds: [`MOST_DIALOGS`], of which [`MOST_OPENING`] may wait for their first answer; transactions have theirs.
//! Who is not in `sip.allow` costs an answer or nothing ([`STRANGERS_A_SECOND`]), and no state.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use reeld_model::incoming::{Declined, Fate, Over};
use reeld_model::{AccountSid, Bringer, CallSid, EndedBy, Ending, Mono, RecordingSid};

use super::body::Body;
use super::dialog::{Awaited, Dialog, Identity, State, is_private};
use super::message::{Headers, Message, Request, Status};
use super::metadata::Document;
use super::transaction::{Begun, GIVEN_UP, T1, T2, Transactions};
use super::{Peer, Settings, SoleAccount};
use crate::offer::Offer;
use crate::work::{Begin, Change, Failure, Outcome, Work};

mod answers;
mod client;
mod clients;
mod kept;
mod offers;
mod requests;

/// Sessions at once. `capture.max_recordings` is the bound that is met first.
const MOST_DIALOGS: usize = 100_000;
/// Sessions that wait for their first answer at once.
const MOST_OPENING: usize = 2_048;
/// Answers a second to who may not call.
const STRANGERS_A_SECOND: u32 = 50;
/// After how many seconds a refused client may come again.
const RETRY_AFTER: &str = "5";

/// What comes out.
#[derive(Debug)]
pub enum Output {
    /// A message to be sent.
    Send {
        /// To whom.
        to: Peer,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// Something to be done; its outcome is to be told under this number.
    Work {
        /// The session's number.
        session: u64,
        /// What.
        work: Work,
    },
}

/// Randomness, for tags and branches.
pub type Random = Box<dyn FnMut() -> u64 + Send>;

/// The server.
pub struct Agent {
    settings: Settings,
    random: Random,
    sole: SoleAccount,
    transactions: Transactions,
    sessions: HashMap<u64, Session>,
    next: u64,
    /// By the tag that we gave.
    by_tag: HashMap<String, u64>,
    /// By what their INVITE had: Call-ID and From's tag.
    by_invite: HashMap<(String, String), u64>,
    by_call: HashMap<(AccountSid, CallSid), u64>,
    by_recording: HashMap<RecordingSid, u64>,
    due: BTreeSet<(Mono, u64)>,
    requests: HashMap<String, client::OwnRequest>,
    opening: usize,
    strangers: (Mono, u32),
    out: VecDeque<Output>,
}

/// A session with what is under way for it.
struct Session {
    dialog: Dialog,
    under_way: Option<UnderWay>,
    /// Whether it is to end once what is under way is done.
    ends: bool,
    /// Whether it was taken, and is counted.
    is_taken: bool,
    /// An answer that waits for its ACK.
    unacknowledged: Option<Unacknowledged>,
    due: Option<Mono>,
}

/// Work whose outcome is awaited.
enum UnderWay {
    /// The call's end.
    Closing,
    /// What a request asks for.
    Asked(Box<Asked>),
    /// What the answer to an offer of ours says; what the session is then, and whether it began with it.
    Answered { next: Box<State>, is_first: bool },
}

/// A request that is answered once its work is done.
struct Asked {
    transaction: u64,
    request: Box<Request>,
    from: Peer,
    /// What the session is then.
    next: State,
    told: Told,
    is_first: bool,
}

/// What SDP the answer to a request is about.
#[derive(Debug)]
enum Told {
    /// None that is new.
    Nothing,
    /// The offer that it had.
    Answer,
    /// Ours, since it is an INVITE that had none: what the session is until that is answered.
    Offer(Box<State>),
}

/// A 2xx to an INVITE, which goes out until its ACK is there (RFC 3261 §13.3.1.4).
struct Unacknowledged {
    to: Peer,
    bytes: Vec<u8>,
    cseq: u32,
    interval: Duration,
    due: Mono,
    ends: Mono,
}

impl Agent {
    /// A server without sessions.
    #[must_use]
    pub fn new(settings: Settings, random: Random) -> Self {
        Self {
            settings,
            random,
            sole: None,
            transactions: Transactions::default(),
            sessions: HashMap::new(),
            next: 0,
            by_tag: HashMap::new(),
            by_invite: HashMap::new(),
            by_call: HashMap::new(),
            by_recording: HashMap::new(),
            due: BTreeSet::new(),
            requests: HashMap::new(),
            opening: 0,
            strangers: (Mono(0), 0),
            out: VecDeque::new(),
        }
    }

    /// Says which account there is, if there is one alone.
    pub const fn set_sole_account(&mut self, sole: SoleAccount) {
        self.sole = sole;
    }

    /// Sessions that are open.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Takes in a message.
    pub fn handle_message(&mut self, from: Peer, bytes: &[u8], now: Mono) {
        match Message::read(bytes) {
            Some(Message::Request(request)) => self.handle_request(request, from, now),
            Some(Message::Response(response)) => {
                // It is known by the branch that was ours, whoever sends it.
                let fate = match self.may_call(from) {
                    true => Fate::Taken,
                    false => Fate::Stranger,
                };
                self.count(from, fate);
                self.handle_response(&response, now);
            }
            // RFC 5626 §3.5.1: two line ends are answered by one.
            Some(Message::KeepAlive)
                if matches!(from, Peer::Stream { .. }) && bytes == b"\r\n\r\n" =>
            {
                self.send(from, b"\r\n".to_vec());
            }
            Some(Message::KeepAlive) => {}
            None => self.count(from, Fate::Malformed),
        }
    }

    fn count(&self, from: Peer, fate: Fate) {
        self.settings.incoming.messages(from.way(), fate, 1);
    }

    /// What came of some work.
    pub fn handle_outcome(&mut self, session: u64, outcome: Outcome, now: Mono) {
        let Some(known) = self.sessions.get_mut(&session) else {
            return;
        };
        let Some(under_way) = known.under_way.take() else {
            return;
        };
        match under_way {
            UnderWay::Closing => return self.forget(session),
            UnderWay::Asked(asked) if asked.is_first => {
                self.opening = self.opening.saturating_sub(1);
                self.opened(session, *asked, outcome, now);
            }
            UnderWay::Asked(asked) => self.changed(session, *asked, outcome, now),
            UnderWay::Answered { next, is_first } => {
                self.answer_taken(session, *next, is_first, outcome, now);
            }
        }
        match self.sessions.get(&session) {
            Some(known) if known.ends && known.under_way.is_none() => self.close(session),
            Some(_) => self.take_ack(session, now),
            None => {}
        }
    }

    /// A recording has ended: where that was no work of ours, its session has nothing left to record.
    pub fn handle_ended(&mut self, recording: RecordingSid, ended_by: EndedBy, now: Mono) {
        let Some(session) = self.by_recording.remove(&recording) else {
            return;
        };
        let Some(known) = self.sessions.get_mut(&session) else {
            return;
        };
        known.dialog.recordings.retain(|(sid, _)| *sid != recording);
        // Who stopped a recording by the API may start another one on the call.
        if known.dialog.recordings.is_empty() && ended_by != EndedBy::Stopped && !known.ends {
            self.hang_up(session, Over::Here, now);
        }
    }

    /// Ends all sessions, and tells their clients.
    pub fn handle_shutdown(&mut self, now: Mono) {
        let all: Vec<u64> = self.sessions.keys().copied().collect();
        for session in all {
            self.hang_up(session, Over::Shutdown, now);
        }
    }

    /// When [`Agent::handle_time`] is to be called next.
    #[must_use]
    pub fn due(&self) -> Option<Mono> {
        let sessions = self.due.first().map(|(due, _)| *due);
        let requests = self.requests.values().map(|request| request.due).min();
        [self.transactions.due(), sessions, requests]
            .into_iter()
            .flatten()
            .min()
    }

    /// Does what is due.
    pub fn handle_time(&mut self, now: Mono) {
        let out = &mut self.out;
        self.transactions
            .handle(now, |to, bytes| out.push_back(Output::Send { to, bytes }));
        while let Some(&(due, session)) = self.due.first()
            && due <= now
        {
            self.due.pop_first();
            self.handle_session_due(session, now);
        }
        self.handle_requests_due(now);
    }

    /// What is to be sent or done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// An answer that nobody has acknowledged, and timers of sessions.
    fn handle_session_due(&mut self, session: u64, now: Mono) {
        let Some(known) = self.sessions.get_mut(&session) else {
            return;
        };
        known.due = None;
        if let Some(waiting) = &mut known.unacknowledged
            && waiting.due <= now
        {
            if now >= waiting.ends {
                // RFC 3261 §13.3.1.4: the session is given up.
                known.unacknowledged = None;
                return self.hang_up(session, Over::Timeout, now);
            }
            let (to, bytes) = (waiting.to, waiting.bytes.clone());
            waiting.interval = (waiting.interval * 2).min(T2);
            waiting.due = (now + waiting.interval).min(waiting.ends);
            self.send(to, bytes);
        }
        let Some(known) = self.sessions.get_mut(&session) else {
            return;
        };
        if known.dialog.refresh_due.is_some_and(|due| due <= now) {
            if known.dialog.timer.is_some_and(|timer| timer.we_refresh) {
                self.refresh(session, now);
            } else {
                return self.hang_up(session, Over::Timeout, now);
            }
        }
        self.schedule(session);
    }

    /// Sees to it that a session is looked at when something of it is due.
    fn schedule(&mut self, session: u64) {
        let Some(known) = self.sessions.get_mut(&session) else {
            return;
        };
        if let Some(due) = known.due.take() {
            self.due.remove(&(due, session));
        }
        let unacknowledged = known.unacknowledged.as_ref().map(|waiting| waiting.due);
        let next = [unacknowledged, known.dialog.refresh_due]
            .into_iter()
            .flatten()
            .min();
        if let Some(next) = next.filter(|_| !known.ends) {
            known.due = Some(next);
            self.due.insert((next, session));
        }
    }

    /// Ends a session from our side: BYE, and its call is over.
    fn hang_up(&mut self, session: u64, over: Over, now: Mono) {
        self.hang_up_with(session, Headers::default(), over, now);
    }

    fn hang_up_with(&mut self, session: u64, headers: Headers, over: Over, now: Mono) {
        if self.sessions.get(&session).is_none_or(|known| known.ends) {
            return;
        }
        self.request(session, client::Sort::Bye, headers, now);
        self.end(session, over);
    }

    /// A session ends: nothing finds it any more, and its call ends once nothing else is under way.
    fn end(&mut self, session: u64, over: Over) {
        let Some(known) = self.sessions.get_mut(&session) else {
            return;
        };
        if std::mem::take(&mut known.is_taken) {
            let by = known.dialog.bringer();
            self.settings.incoming.ended(by, over);
        }
        known.ends = true;
        known.unacknowledged = None;
        let is_free = known.under_way.is_none();
        let Dialog {
            own_tag,
            call_id,
            their_tag,
            ..
        } = &known.dialog;
        self.by_tag.remove(own_tag);
        // Another may have this name by now.
        let name = (call_id.clone(), their_tag.clone());
        if self.by_invite.get(&name) == Some(&session) {
            self.by_invite.remove(&name);
        }
        self.schedule(session);
        if is_free {
            self.close(session);
        }
    }

    /// Has a session's call ended.
    fn close(&mut self, session: u64) {
        let Some(known) = self.sessions.get_mut(&session) else {
            return;
        };
        let Dialog { account, call, .. } = known.dialog;
        known.under_way = Some(UnderWay::Closing);
        self.out.push_back(Output::Work {
            session,
            work: Work::End {
                account,
                call,
                ending: Ending::Now,
            },
        });
    }

    /// Drops what is known of a session.
    fn forget(&mut self, session: u64) {
        let Some(gone) = self.sessions.remove(&session) else {
            return;
        };
        let Dialog {
            own_tag,
            call_id,
            their_tag,
            account,
            call,
            recordings,
            ..
        } = gone.dialog;
        if let Some(due) = gone.due {
            self.due.remove(&(due, session));
        }
        self.by_tag.remove(&own_tag);
        // Another may have these names by now.
        let mine = |other: &mut u64| *other == session;
        if self
            .by_invite
            .get_mut(&(call_id.clone(), their_tag.clone()))
            .is_some_and(mine)
        {
            self.by_invite.remove(&(call_id, their_tag));
        }
        if self.by_call.get_mut(&(account, call)).is_some_and(mine) {
            self.by_call.remove(&(account, call));
        }
        for (recording, _) in recordings {
            self.by_recording.remove(&recording);
        }
    }

    fn send(&mut self, to: Peer, bytes: Vec<u8>) {
        self.out.push_back(Output::Send { to, bytes });
    }

    fn work(&mut self, session: u64, work: Work) {
        self.out.push_back(Output::Work { session, work });
    }

    /// A number that nobody can guess, as text.
    fn token(&mut self) -> String {
        format!("{:016x}", (self.random)())
    }

    /// Where clients reach us, as a URI for a peer: who calls us by a SIPS URI gets one (RFC 3261 §12.1.1).
    fn contact(&self, peer: Peer, uri: &str) -> String {
        let is_sips = uri
            .get(..5)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("sips:"));
        if let (Peer::Stream { is_tls: true, .. }, true) = (peer, is_sips) {
            return format!("<sips:reeld@{}>;+sip.srs", self.reached_at(peer));
        }
        let transport = match peer {
            Peer::Udp(_) => "",
            Peer::Stream { is_tls: false, .. } => ";transport=tcp",
            Peer::Stream { is_tls: true, .. } => ";transport=tls",
        };
        format!("<sip:reeld@{}{transport}>;+sip.srs", self.reached_at(peer))
    }

    /// Whether RTP of a peer's can come from an address that its SDP names: by our media ports, and not where that is
    /// one of a network of its own, behind a NAT.
    fn reaches(&self, peer: Peer) -> impl Fn(IpAddr) -> bool + use<> {
        let media_is_local = self.settings.media_is_local;
        let is_inside = is_private(peer.address().ip());
        move |address| {
            (!media_is_local || address.is_loopback()) && (is_inside || !is_private(address))
        }
    }

    /// Where a peer reaches us.
    const fn reached_at(&self, peer: Peer) -> SocketAddr {
        match peer {
            Peer::Stream { is_tls: true, .. } => self.settings.tls_contact,
            Peer::Udp(_) | Peer::Stream { .. } => self.settings.contact,
        }
    }
}

#[cfg(test)]
mod tests;
