//! Requests, each to what is done for it.

use reeld_model::{AccountSid, CallSid, Mono};

use super::super::message::host_of;
use super::clients::{bringer_of, is_known, is_of_recording_client};
use super::*;
use crate::route::{Caller, Source};

pub(super) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO";
pub(super) const ACCEPT: &str =
    "application/sdp, application/rs-metadata+xml, application/rs-metadata, multipart/mixed";

/// Where a CallSid may stand in an INVITE, the first that is one.
const CALL_SID_HEADERS: [&str; 4] = [
    "x-call-sid",
    "x-callsid",
    "x-twilio-callsid",
    "x-twilio-call-sid",
];

/// Bytes of a name of a call elsewhere.
const MOST_NAME: usize = 512;

impl Agent {
    pub(super) fn handle_request(&mut self, request: Box<Request>, from: Peer, now: Mono) {
        let is_ack = request.method == "ACK";
        if !self.may_call(from) {
            self.count(from, Fate::Stranger);
            if !is_ack {
                let by = bringer_of(&request);
                self.turn_away(by, from, Declined::NotAllowed);
                // Without state each repetition is one more.
                if request.method == "INVITE" {
                    let incoming = &self.settings.incoming;
                    incoming.declined(by, Declined::NotAllowed);
                }
            }
            if !is_ack && self.may_refuse_stranger(now) {
                let bytes =
                    request.answer(from, Status(403, "Forbidden"), "none", &Headers::default());
                self.send(self.reply_to(&request, from), bytes);
            }
            return;
        }
        if is_ack {
            self.count(from, Fate::Taken);
            self.transactions.acknowledge(&request, now);
            return self.acknowledged(&request, from, now);
        }
        let to = self.reply_to(&request, from);
        let transaction = match self.transactions.begin(&request, to, now) {
            Begun::New(transaction) => {
                self.count(from, Fate::Taken);
                transaction
            }
            Begun::Repeated(again) => {
                self.count(from, Fate::Taken);
                if let Some((to, bytes)) = again {
                    self.send(to, bytes);
                }
                return;
            }
            Begun::Full => {
                self.count(from, Fate::Dropped);
                if request.method == "INVITE" && request.own_tag().is_empty() {
                    self.decline(&request, from, Declined::Busy);
                }
                let headers = Headers::default().with("Retry-After", RETRY_AFTER);
                let bytes =
                    request.answer(from, Status(503, "Service Unavailable"), "none", &headers);
                return self.send(to, bytes);
            }
        };
        // A tag that From has not is an empty one (RFC 3261 §12.1.1).
        if request.call_id().is_empty() {
            let status = Status(400, "Call-ID Missing");
            return self.refuse(transaction, &request, from, status, now);
        }
        let known = self.dialog_of(&request);
        let has_tag = !request.own_tag().is_empty();
        match (request.method.as_str(), known) {
            ("CANCEL", _) => self.cancel(transaction, &request, from, now),
            ("OPTIONS", _) => self.options(transaction, &request, from, now),
            (_, None) if has_tag => {
                self.refuse(
                    transaction,
                    &request,
                    from,
                    Status(481, "Call/Transaction Does Not Exist"),
                    now,
                );
            }
            ("INVITE", None) => self.invite(transaction, request, from, now),
            ("INVITE" | "UPDATE", Some(session)) => {
                self.change(transaction, request, from, session, now)
            }
            ("BYE", Some(session)) => {
                self.answer(
                    transaction,
                    &request,
                    from,
                    Status(200, "OK"),
                    &Headers::default(),
                    now,
                );
                self.end(session, Over::HungUp);
            }
            ("INFO", Some(_)) => self.answer(
                transaction,
                &request,
                from,
                Status(200, "OK"),
                &Headers::default(),
                now,
            ),
            ("BYE" | "UPDATE" | "INFO" | "PRACK", _) => {
                self.refuse(
                    transaction,
                    &request,
                    from,
                    Status(481, "Call/Transaction Does Not Exist"),
                    now,
                );
            }
            _ => {
                let headers = Headers::default().with("Allow", ALLOW);
                self.answer(
                    transaction,
                    &request,
                    from,
                    Status(405, "Method Not Allowed"),
                    &headers,
                    now,
                );
            }
        }
    }

    /// The session that a request with our tag belongs to; or the only one that it can, where its client has left the tag
    /// out: an ACK or a BYE that finds nothing would cost the call, or leave it open, and an INVITE that comes behind the
    /// answered one would be a second call.
    pub(super) fn dialog_of(&self, request: &Request) -> Option<u64> {
        if request.own_tag().is_empty() {
            let names = (request.call_id().to_owned(), request.their_tag().to_owned());
            let session = *self.by_invite.get(&names)?;
            let known = self.sessions.get(&session)?;
            let has_our_tag = match &known.under_way {
                Some(UnderWay::Asked(asked)) => !asked.is_first,
                Some(UnderWay::Closing | UnderWay::Answered { .. }) | None => true,
            };
            let is_its = request.method != "INVITE" || request.cseq > known.dialog.their_cseq;
            return (is_its && has_our_tag).then_some(session);
        }
        let session = *self.by_tag.get(request.own_tag())?;
        let dialog = &self.sessions.get(&session)?.dialog;
        let is_it = dialog.call_id == request.call_id() && dialog.their_tag == request.their_tag();
        is_it.then_some(session)
    }

    pub(super) fn may_call(&self, from: Peer) -> bool {
        let address = from.address().ip().to_canonical();
        self.settings
            .allow
            .iter()
            .any(|network| network.contains(&address))
    }

    fn may_refuse_stranger(&mut self, now: Mono) -> bool {
        let (since, count) = &mut self.strangers;
        if now.since(*since) >= Duration::from_secs(1) {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        *count <= STRANGERS_A_SECOND
    }

    fn reply_to(&self, request: &Request, from: Peer) -> Peer {
        match from {
            Peer::Udp(address) => Peer::Udp(request.answered_at(address)),
            stream => stream,
        }
    }

    fn options(&mut self, transaction: u64, request: &Request, from: Peer, now: Mono) {
        let headers = Headers::default()
            .with("Contact", self.contact(from, &request.uri))
            .with("Allow", ALLOW)
            .with("Accept", ACCEPT)
            .with("Supported", "siprec, timer");
        self.answer(transaction, request, from, Status(200, "OK"), &headers, now);
    }

    fn cancel(&mut self, transaction: u64, request: &Request, from: Peer, now: Mono) {
        let Some(cancelled) = self.transactions.cancelled_by(request) else {
            return self.refuse(
                transaction,
                request,
                from,
                Status(481, "Call/Transaction Does Not Exist"),
                now,
            );
        };
        self.answer(
            transaction,
            request,
            from,
            Status(200, "OK"),
            &Headers::default(),
            now,
        );
        // What has been answered stands (RFC 3261 §9.2).
        let waits = |known: &Session| match &known.under_way {
            Some(UnderWay::Asked(asked)) => asked.transaction == cancelled,
            Some(UnderWay::Closing | UnderWay::Answered { .. }) | None => false,
        };
        let found = self.sessions.iter_mut().find(|(_, known)| waits(known));
        if let Some((session, known)) = found
            && let Some(UnderWay::Asked(asked)) = &mut known.under_way
        {
            let (session, invite, peer) = (*session, asked.request.clone(), asked.from);
            let is_first = asked.is_first;
            // The outcome has nobody to be told of any more.
            asked.transaction = 0;
            self.refuse(
                cancelled,
                &invite,
                peer,
                Status(487, "Request Terminated"),
                now,
            );
            if is_first {
                self.end(session, Over::HungUp);
            }
        }
    }

    /// What must be so of a request with a body; answers it where it is not.
    fn is_understood(
        &mut self,
        transaction: u64,
        request: &Request,
        from: Peer,
        now: Mono,
    ) -> bool {
        let unknown: Vec<&str> = request
            .tokens("require")
            .flat_map(str::split_ascii_whitespace)
            .filter(|token| !is_known(token))
            .collect();
        if !unknown.is_empty() {
            let headers = Headers::default().with("Unsupported", unknown.join(", "));
            self.answer(
                transaction,
                request,
                from,
                Status(420, "Bad Extension"),
                &headers,
                now,
            );
            return false;
        }
        let encoding = request.header("content-encoding");
        if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
            let headers = Headers::default().with("Accept-Encoding", "identity");
            self.answer(
                transaction,
                request,
                from,
                Status(415, "Unsupported Media Type"),
                &headers,
                now,
            );
            return false;
        }
        true
    }

    fn invite(&mut self, transaction: u64, request: Box<Request>, from: Peer, now: Mono) {
        if !self.is_understood(transaction, &request, from, now) {
            return;
        }
        let names = (request.call_id().to_owned(), request.their_tag().to_owned());
        if let Some(known) = self
            .by_invite
            .get(&names)
            .and_then(|session| self.sessions.get(session))
            && known.dialog.their_cseq == request.cseq
        {
            if let Some(session) = self.unanswered_before(&request, &names) {
                // The daemon before had answered it, and this one has no transaction of it.
                return self.accept(session, transaction, &request, from, now);
            }
            // The same INVITE by another way (RFC 3261 §8.2.2.2).
            return self.refuse(
                transaction,
                &request,
                from,
                Status(482, "Loop Detected"),
                now,
            );
        }
        if self.sessions.len() >= MOST_DIALOGS || self.opening >= MOST_OPENING {
            return self.busy(transaction, &request, from, "too many sessions", now);
        }
        let Some(account) = self.account_of(&request, from) else {
            let headers = Headers::default().with(
                "Warning",
                warning("no rule of sip.routes says whose call this is"),
            );
            return self.answer(
                transaction,
                &request,
                from,
                Status(403, "Forbidden"),
                &headers,
                now,
            );
        };
        let body = Body::read(
            request.header("content-type").unwrap_or_default(),
            &request.body,
        );
        if body.sdp.is_none() && body.metadata.is_none() && body.has_other {
            let headers = Headers::default().with("Accept", ACCEPT);
            return self.answer(
                transaction,
                &request,
                from,
                Status(415, "Unsupported Media Type"),
                &headers,
                now,
            );
        }
        let document = body.metadata.as_deref().map(Document::read);
        let is_plain = document.is_none() && !is_of_recording_client(&request);
        let offer = match body.sdp.as_deref() {
            Some(sdp) => Offer::read(sdp),
            None => {
                let labels = State::labels_for(document.as_ref(), is_plain);
                let labels: Vec<Option<&str>> = labels.iter().map(Option::as_deref).collect();
                Some(Offer::of_ours(&labels))
            }
        };
        let Some(offer) = offer else {
            let why = "the INVITE has an SDP offer without a media line";
            return self.not_acceptable(transaction, &request, from, why, now);
        };
        let mut state = match State::default().next(Some(offer), document.as_ref()) {
            Ok(state) => state,
            Err(why) => return self.not_acceptable(transaction, &request, from, &why, now),
        };
        if body.is_torn {
            state.warn_of("body: its parts are not told apart by the boundary that its type names, or not closed by it");
        }
        if document.is_none() && !is_plain {
            state.warn_of("metadata: none came with the INVITE");
        }
        let (call, external_id) = self.name_call(account, &request, &mut state);
        self.provisional(transaction, &request, from, now);
        let identity = Identity {
            account,
            call,
            external_id,
            own_tag: self.token(),
            number: (self.random)() >> 16,
            is_plain,
        };
        let dialog = Dialog::new(&request, from, identity, state.clone());
        let sdp = state.for_capture(self.reaches(from));
        let work = Work::Begin(Box::new(Begin {
            open: dialog.open_call(&state, sdp),
            by: dialog.by(),
            wanted: Some(Dialog::wanted(&state, self.settings.channels)),
            paused: state.is_paused,
            signalling: dialog.signalling(&state),
        }));
        self.next += 1;
        let session = self.next;
        self.by_tag.insert(dialog.own_tag.clone(), session);
        self.by_invite.insert(names, session);
        self.by_call.insert((account, call), session);
        let told = if body.sdp.is_some() {
            Told::Answer
        } else {
            Told::Offer(Box::new(state.clone()))
        };
        let asked = Asked {
            transaction,
            from,
            next: state,
            told,
            is_first: true,
            request,
        };
        self.sessions.insert(
            session,
            Session::new(dialog, Some(UnderWay::Asked(Box::new(asked)))),
        );
        self.opening += 1;
        self.work(session, work);
    }

    /// The session of an INVITE that comes again, word for word, where it has been taken up from the daemon before.
    fn unanswered_before(&self, request: &Request, names: &(String, String)) -> Option<u64> {
        let session = *self.by_invite.get(names)?;
        let dialog = &self.sessions.get(&session)?.dialog;
        (dialog.is_taken_up && dialog.invite == request.transaction()).then_some(session)
    }

    /// An INVITE or an UPDATE in mid-call: a new offer, new metadata, both, or neither (a refresh).
    fn change(
        &mut self,
        transaction: u64,
        request: Box<Request>,
        from: Peer,
        session: u64,
        now: Mono,
    ) {
        if !self.is_understood(transaction, &request, from, now) {
            return;
        }
        let Some(known) = self.sessions.get_mut(&session) else {
            return;
        };
        if request.cseq < known.dialog.their_cseq {
            return self.refuse(
                transaction,
                &request,
                from,
                Status(500, "CSeq Out of Order"),
                now,
            );
        }
        if known.under_way.is_some() {
            let headers = Headers::default().with("Retry-After", "1");
            return self.answer(
                transaction,
                &request,
                from,
                Status(500, "Another Change Is Under Way"),
                &headers,
                now,
            );
        }
        let body = Body::read(
            request.header("content-type").unwrap_or_default(),
            &request.body,
        );
        let offer = match body.sdp.as_deref().map(Offer::read) {
            Some(None) => {
                let why = "the offer has no media line";
                return self.not_acceptable(transaction, &request, from, why, now);
            }
            offer => offer.flatten(),
        };
        if offer.is_some() && known.unacknowledged.is_some() && known.dialog.awaited.is_some() {
            // An offer of ours is not answered yet (RFC 3311 §5.2). Its 200 goes out until it is.
            let status = Status(491, "Request Pending");
            return self.refuse(transaction, &request, from, status, now);
        }
        known.dialog.hear(&request, from);
        let document = body.metadata.as_deref().map(Document::read);
        let has_offer = offer.is_some();
        let state = match known.dialog.state.next(offer, document.as_ref()) {
            Ok(state) => state,
            Err(why) => return self.not_acceptable(transaction, &request, from, &why, now),
        };
        let has_document = document.is_some();
        let told = match (has_offer, request.method.as_str()) {
            (true, _) => Told::Answer,
            (false, "INVITE") => Told::Offer(Box::new(state.offered_again())),
            (false, _) => Told::Nothing,
        };
        if has_offer || matches!(told, Told::Offer(_)) {
            // What was offered before is of the past, should its ACK never have come.
            known.dialog.awaited = None;
        }
        if matches!(told, Told::Nothing) && !has_document {
            let asked = Asked {
                transaction,
                request,
                from,
                next: state,
                told,
                is_first: false,
            };
            let done = Outcome::Done {
                sdp: None,
                recording: None,
            };
            return self.changed(session, asked, done, now);
        }
        if request.method == "INVITE" {
            self.provisional(transaction, &request, from, now);
        }
        let work = match &told {
            Told::Nothing => self.change_of(session, &state, None),
            Told::Answer => self.change_of(session, &state, Some(&state)),
            Told::Offer(offered) => self.change_of(session, &state, Some(offered)),
        };
        let (Some(known), Some(work)) = (self.sessions.get_mut(&session), work) else {
            return;
        };
        let asked = Asked {
            transaction,
            request,
            from,
            next: state,
            told,
            is_first: false,
        };
        known.under_way = Some(UnderWay::Asked(Box::new(asked)));
        self.work(session, work);
    }

    fn account_of(&self, request: &Request, from: Peer) -> Option<AccountSid> {
        let hosts = [
            host_of(&request.uri),
            host_of(crate::sip::uri(request.to())),
        ];
        let hosts: Vec<&str> = hosts.into_iter().flatten().collect();
        let caller = Caller {
            source: Source::Sip,
            address: from.address().ip(),
            hosts: &hosts,
            says: &|name, value| request.all(name).any(|said| said == value),
        };
        caller.account(&self.settings.routes, None, self.sole)
    }

    /// The call's name here and elsewhere: by a header of the client's, else by the id of the communication
    /// session, which several recording sessions of it share, else by the recording session's Call-ID.
    fn name_call(
        &self,
        account: AccountSid,
        request: &Request,
        state: &mut State,
    ) -> (CallSid, String) {
        let mut headers = CALL_SID_HEADERS.iter().flat_map(|name| request.all(name));
        let said = headers.find_map(|value| value.trim().parse::<CallSid>().ok());
        let elsewhere = state
            .session_id()
            .filter(|id| !id.is_empty())
            .map(str::to_owned);
        let elsewhere = elsewhere.unwrap_or_else(|| request.call_id().to_owned());
        let external_id =
            elsewhere[..elsewhere.floor_char_boundary(MOST_NAME.min(elsewhere.len()))].to_owned();
        let call = said.unwrap_or_else(|| CallSid::from_external(account, &external_id));
        if !self.by_call.contains_key(&(account, call)) {
            return (call, external_id);
        }
        // Two at once: ports are a call's, so the second one is a call of its own.
        state.warn_of(&format!(
            "another recording session of {call} is open; this one is recorded as a call of its own"
        ));
        let own = format!(
            "{external_id}\0{}\0{}",
            request.call_id(),
            request.their_tag()
        );
        (CallSid::from_external(account, &own), external_id)
    }
}

/// A Warning header's value (RFC 3261 §20.43).
pub(super) fn warning(text: &str) -> String {
    let text: String = text
        .chars()
        .filter(|c| *c != '"' && *c != '\\' && !c.is_control())
        .take(200)
        .collect();
    format!("399 reeld \"{text}\"")
}
