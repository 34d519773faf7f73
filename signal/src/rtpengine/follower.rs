//! Which calls there are, and what is done for one next.
//!
//! Called by the daemon with each datagram, each outcome of work and each instant that [`Follower::due`] names; one input,
//! then a drain of [`Follower::poll_output`]. Of a call one thing is under way at a time.
//!
//! A call is recorded from when `query` shows two parties that talk with each other. Each second `list` says which calls
//! there are, and `query` who talks in each; where that has changed, or anything was signalled, the subscription is made
//! anew under the same tag, which loses nothing and tells the payload types that may come now. A call that is listed no
//! more and that `query` does not know has ended. Where rtpengine itself is silent, a call ends once no packet of it comes
//! either: as long as one does, it is recorded.
//!
//! Bounds: [`MOST_CALLS`], ids of [`MOST_ID`] bytes, [`MOST_WISHES`] a call; one request or work a call. `list` names
//! as many calls as a datagram holds by the length of their names ([`LIST_BYTES`]).

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use reeld_model::incoming::{Declined, Fate, Over, Way};
use reeld_model::{AccountSid, Bringer, Mono, NotForked};
use serde_json::{Map, Value, json};

use super::call::{Call, Refused, Session, UnderWay};
use super::kept::{Kept, KeptSession};
use super::ng::{Answered, Ask, Purpose, Requests};
use super::reply::{self, Seen, Subscription, Verdict};
use super::{Attach, Output, Random, Settings};
use crate::work::{Begin, By, Change, Failure, Outcome, Work};

mod answers;
mod outcomes;

/// Calls that are known at once.
const MOST_CALLS: usize = 4_096;
/// Bytes of a call's name.
const MOST_ID: usize = 512;
/// Who may wait for one call.
const MOST_WISHES: usize = 16;
/// Calls that `list` is asked for at first: with names of 80 bytes it fits into a datagram.
const LISTED: usize = 800;
/// Bytes of a list that a datagram holds for sure, and what each call has beside its name.
const LIST_BYTES: usize = 60_000;
const AROUND_NAME: usize = 3;
/// Where names are longer than that, so few.
const LEAST_LISTED: usize = 50;

/// From one `list` to the next.
const LIST_EVERY: Duration = Duration::from_secs(1);
/// From one `query` of a call to the next, where there are few.
const QUERY_EVERY: Duration = Duration::from_secs(1);
/// Queries a second at most.
const QUERIES_A_SECOND: u32 = 200;
/// A call that nobody has answered for so long is asked about seldom.
const YOUNG: Duration = Duration::from_secs(120);
const SELDOM: Duration = Duration::from_secs(5);
/// A call of which nothing is to be done is asked about once it is listed no more.
const NEVER: Duration = Duration::from_secs(86_400);
/// What failed for the time being is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// How often capture is asked whether a call is still open.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Without an answer for so long rtpengine is silent.
const SILENT: Duration = Duration::from_secs(5);
/// Without a packet for so long beside that, a call has ended.
const LOOK_SILENT: Duration = Duration::from_secs(2);

/// Follows an rtpengine.
pub struct Follower {
    settings: Settings,
    /// The tag of all our subscriptions, over restarts and crashes: a call's tags are its own.
    own_tag: String,
    sole: Option<AccountSid>,
    ng: Requests,
    calls: HashMap<u64, Call>,
    by_id: HashMap<String, u64>,
    next: u64,
    due: BTreeSet<(Mono, u64)>,
    list_due: Mono,
    is_listing: bool,
    /// Calls that `list` is asked for, and whether it had so many.
    limit: usize,
    is_beyond: bool,
    /// Whether it was said that rtpengine does not answer.
    is_mute: bool,
    out: VecDeque<Output>,
}

impl Follower {
    /// One that knows no call.
    #[must_use]
    pub fn new(settings: Settings, mut random: Random, now: Mono) -> Self {
        // Until it has answered.
        settings.incoming.follows(false);
        Self {
            settings,
            own_tag: format!("reeld-{:016x}", random()),
            sole: None,
            ng: Requests::new(random(), now),
            calls: HashMap::new(),
            by_id: HashMap::new(),
            next: 0,
            due: BTreeSet::new(),
            list_due: now,
            is_listing: false,
            limit: LISTED,
            is_beyond: false,
            is_mute: false,
            out: VecDeque::new(),
        }
    }

    /// Says which account there is, if there is one alone.
    pub const fn set_sole_account(&mut self, sole: Option<AccountSid>) {
        self.sole = sole;
    }

    /// Calls whose media come to us.
    #[must_use]
    pub fn sessions(&self) -> usize {
        let has = |call: &&Call| call.session.is_some();
        self.calls.values().filter(has).count()
    }

    /// Takes in a datagram of rtpengine's.
    pub fn handle_datagram(&mut self, datagram: &[u8], now: Mono) {
        let taken = self.ng.take(datagram, now);
        let fate = taken.as_ref().err().copied().unwrap_or(Fate::Taken);
        self.settings.incoming.messages(Way::Ng, fate, 1);
        if let Ok(answered) = taken {
            self.handle_answered(answered, now);
        }
    }

    /// What came of some work.
    pub fn handle_outcome(&mut self, call: u64, outcome: Outcome, now: Mono) {
        self.handle_work(call, outcome, now);
    }

    /// A call's media are asked for. [`Output::Attached`] says what has come of it.
    pub fn attach(&mut self, token: u64, attach: Attach, now: Mono) {
        let key = self.meet(&attach.sip_call_id, now);
        let known = key.and_then(|key| Some((key, self.calls.get_mut(&key)?)));
        match known {
            Some((key, call)) if call.wishes.len() < MOST_WISHES => {
                call.wishes.push((token, attach));
                (call.is_done, call.refused) = (false, None);
                call.query_due = now;
                self.go_on(key, now);
            }
            _ => self.out.push_back(Output::Attached {
                token,
                outcome: Err(NotForked::Busy("too many calls are followed".to_owned())),
            }),
        }
    }

    /// Has all subscriptions end: nothing is to come any more.
    pub fn handle_shutdown(&mut self, now: Mono) {
        self.list_due = now + NEVER;
        let all: Vec<u64> = self.calls.keys().copied().collect();
        for key in all {
            let subscribed = self.calls.get_mut(&key).is_some_and(|call| {
                // What is answered from now on changes nothing any more.
                let was = call.under_way.replace(UnderWay::Asked(Ask::Unsubscribe));
                let is_about_to = !matches!(was, None | Some(UnderWay::Asked(_)));
                let is_taken = call.session.take().is_some();
                if is_taken {
                    let incoming = &self.settings.incoming;
                    incoming.ended(Bringer::Rtpengine, Over::Shutdown);
                }
                is_taken || is_about_to
            });
            self.schedule(key);
            if subscribed {
                self.ask(key, Ask::Unsubscribe, json!({}), now);
            }
        }
    }

    /// Whether no request waits for its answer.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.ng.is_idle()
    }

    /// When [`Follower::handle_time`] is to be called next.
    #[must_use]
    pub fn due(&self) -> Mono {
        let calls = self.due.first().map(|(due, _)| *due);
        [self.ng.due(), calls]
            .into_iter()
            .flatten()
            .fold(self.list_due, Mono::min)
    }

    /// Does what is due.
    pub fn handle_time(&mut self, now: Mono) {
        while let Some(answered) = self.ng.handle_time(now) {
            self.handle_answered(answered, now);
        }
        if self.list_due <= now {
            self.list_due = now + LIST_EVERY;
            if !self.is_listing {
                self.is_listing = true;
                let purpose = Purpose {
                    call: None,
                    ask: Ask::List,
                };
                let with = object(json!({ "limit": self.limit }));
                self.ng.ask(purpose, with, now);
            }
        }
        while let Some(&(due, key)) = self.due.first()
            && due <= now
        {
            self.due.pop_first();
            if let Some(call) = self.calls.get_mut(&key) {
                call.due = None;
            }
            self.go_on(key, now);
        }
    }

    /// What is to be sent or done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        let sent = self.ng.poll().map(Output::Send);
        sent.or_else(|| self.out.pop_front())
    }

    pub(super) fn kept(&self, with_calls: bool) -> Kept {
        let recorded = |call: &Call| {
            Some(KeptSession {
                sip_call_id: call.id.clone(),
                session: call.session.clone()?,
            })
        };
        let sessions = self.calls.values().filter(|_| with_calls);
        Kept {
            tag: self.own_tag.clone(),
            sessions: sessions.filter_map(recorded).collect(),
        }
    }

    pub(super) fn go_on_with(&mut self, kept: Kept) {
        self.own_tag = kept.tag;
        let now = self.ng.heard();
        for KeptSession {
            sip_call_id,
            mut session,
        } in kept.sessions
        {
            // What was answered last may not have been heard.
            session.signal.get_or_insert(u64::MAX);
            let key = self.meet(&sip_call_id, now);
            if let Some(call) = key.and_then(|key| self.calls.get_mut(&key)) {
                call.session = Some(session);
                self.settings.incoming.taken_up(Bringer::Rtpengine);
            }
        }
    }

    /// The number of a call, which is known from now on; none where there are too many.
    fn meet(&mut self, id: &str, now: Mono) -> Option<u64> {
        if let Some(key) = self.by_id.get(id) {
            return Some(*key);
        }
        if self.calls.len() >= MOST_CALLS || id.is_empty() || id.len() > MOST_ID {
            return None;
        }
        self.next += 1;
        let key = self.next;
        self.by_id.insert(id.to_owned(), key);
        self.calls.insert(key, Call::new(id.to_owned(), now));
        self.schedule(key);
        Some(key)
    }

    /// What is due for a call, where nothing else is under way for it.
    fn go_on(&mut self, key: u64, now: Mono) {
        let is_silent = self.is_silent(now);
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        if call.under_way.is_some() {
            return;
        }
        if let Some(session) = &call.session
            && call.look_due <= now
        {
            let (account, of) = (session.account, session.call);
            call.under_way = Some(UnderWay::Looking);
            return self.work(key, Work::Look { account, call: of });
        }
        if call.query_due > now {
            return self.schedule(key);
        }
        if is_silent && call.wishes.is_empty() {
            // `list` is what finds that it speaks again.
            call.query_due = now + LIST_EVERY;
            return self.schedule(key);
        }
        call.under_way = Some(UnderWay::Asked(Ask::Query));
        self.ask(key, Ask::Query, json!({}), now);
    }

    /// Whether rtpengine has not answered for a while, though it was asked each second.
    fn is_silent(&self, now: Mono) -> bool {
        now.since(self.ng.heard()) >= SILENT
    }

    /// From one query of a call to the next.
    fn query_every(&self) -> Duration {
        let calls = u32::try_from(self.calls.len()).unwrap_or(u32::MAX);
        QUERY_EVERY.max(Duration::from_secs(1) * calls / QUERIES_A_SECOND)
    }

    /// Sees to it that a call is looked at when something of it is due.
    fn schedule(&mut self, key: u64) {
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        if let Some(due) = call.due.take() {
            self.due.remove(&(due, key));
        }
        if call.under_way.is_some() {
            return;
        }
        let look = call.session.as_ref().map(|_| call.look_due);
        let due = look.map_or(call.query_due, |look| look.min(call.query_due));
        call.due = Some(due);
        self.due.insert((due, key));
    }

    /// Asks rtpengine something of a call.
    fn ask(&mut self, key: u64, ask: Ask, with: Value, now: Mono) {
        let Some(call) = self.calls.get(&key) else {
            return;
        };
        let mut with = object(with);
        with.insert("call-id".to_owned(), call.id.clone().into());
        let own_tag = match ask {
            Ask::List | Ask::Query => None,
            Ask::Subscribe | Ask::Answer | Ask::Unsubscribe => Some("to-tag"),
            // Without it the whole call would be.
            Ask::Delete => Some("from-tag"),
        };
        if let Some(name) = own_tag {
            with.insert(name.to_owned(), self.own_tag.clone().into());
        }
        let purpose = Purpose {
            call: Some(key),
            ask,
        };
        self.ng.ask(purpose, with, now);
    }

    /// Who brings calls.
    fn by(&self) -> By {
        By {
            bringer: Bringer::Rtpengine,
            address: Some(self.settings.address),
            agent: None,
        }
    }

    /// Counts a call that is not taken.
    fn decline(&self, why: Declined) {
        let incoming = &self.settings.incoming;
        incoming.declined(Bringer::Rtpengine, why);
        if why == Declined::NoAccount {
            incoming.turned_away(Bringer::Rtpengine, why, self.settings.address, 1);
        }
    }

    fn work(&mut self, key: u64, work: Work) {
        self.out.push_back(Output::Work { call: key, work });
    }

    fn warn(&mut self, key: u64, why: String) {
        if let Some(call) = self.calls.get(&key) {
            let sip_call_id = Some(call.id.clone());
            self.out.push_back(Output::Warning { sip_call_id, why });
        }
    }

    /// Tells who waits for a call what has come of it.
    fn settle(&mut self, key: u64, outcome: impl Fn(&Attach) -> Result<(), NotForked>) {
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        for (token, attach) in std::mem::take(&mut call.wishes) {
            let outcome = outcome(&attach);
            self.out.push_back(Output::Attached { token, outcome });
        }
    }

    /// Drops what is known of a call.
    fn forget(&mut self, key: u64) {
        self.settle(key, |_| Err(NotForked::Unknown));
        if let Some(gone) = self.calls.remove(&key) {
            self.by_id.remove(&gone.id);
            if let Some(due) = gone.due {
                self.due.remove(&(due, key));
            }
        }
    }
}

/// A JSON object.
fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}
