//! Answers to requests, at once or when their work is done.

use reeld_model::Mono;

use super::clients::bringer_of;
use super::requests::{ALLOW, warning};
use super::*;

/// What a call is answered with whose account, by the rules, is not there.
const NO_ACCOUNT: Status = Status(500, "No Such Account");

impl Session {
    pub(super) const fn new(dialog: Dialog, under_way: Option<UnderWay>) -> Self {
        Self {
            dialog,
            under_way,
            ends: false,
            is_taken: false,
            unacknowledged: None,
            due: None,
        }
    }
}

impl Agent {
    /// What came of a session's beginning.
    pub(super) fn opened(&mut self, session: u64, asked: Asked, outcome: Outcome, now: Mono) {
        let Asked {
            transaction,
            request,
            from,
            next,
            told,
            ..
        } = asked;
        match outcome {
            // Nothing of ours asks for that.
            Outcome::Seen { .. } => {}
            Outcome::Failed(failure) => {
                self.forget(session);
                self.fail(transaction, &request, from, failure, now);
            }
            Outcome::Done { sdp, recording } => {
                let Some(known) = self.sessions.get_mut(&session) else {
                    return;
                };
                if let Some(recording) = recording {
                    let track = Dialog::wanted(&next, self.settings.channels).track;
                    known.dialog.recordings.push((recording, track));
                    self.by_recording.insert(recording, session);
                }
                known.dialog.state = next;
                known.dialog.answer_offer(sdp);
                if let Told::Offer(offered) = told {
                    known.dialog.await_answer(request.cseq, offered.offer, true);
                }
                // One that was cancelled has been answered.
                if !known.ends {
                    known.is_taken = true;
                    self.settings.incoming.begun(known.dialog.bringer());
                    self.accept(session, transaction, &request, from, now);
                }
            }
        }
    }

    /// What came of a change.
    pub(super) fn changed(&mut self, session: u64, asked: Asked, outcome: Outcome, now: Mono) {
        let Asked {
            transaction,
            request,
            from,
            next,
            told,
            ..
        } = asked;
        match (outcome, &told) {
            (Outcome::Seen { .. }, _) => {}
            // Who asks for an offer gets the one that it knows.
            (Outcome::Failed(failure), Told::Offer(_)) if failure != Failure::Gone => {
                self.accept(session, transaction, &request, from, now);
            }
            (Outcome::Failed(failure), _) => {
                let is_gone = failure == Failure::Gone;
                self.fail(transaction, &request, from, failure, now);
                if is_gone {
                    self.hang_up(session, Over::Here, now);
                }
            }
            (Outcome::Done { sdp, recording }, _) => {
                self.begun_beside(session, &next, recording);
                let Some(known) = self.sessions.get_mut(&session) else {
                    return;
                };
                known.dialog.state = next;
                match told {
                    Told::Nothing => {}
                    Told::Answer => known.dialog.answer_offer(sdp),
                    Told::Offer(offered) => {
                        let State { offer, tracks, .. } = *offered;
                        known.dialog.make_offer(sdp, &offer, tracks);
                        known.dialog.await_answer(request.cseq, offer, false);
                    }
                }
                self.accept(session, transaction, &request, from, now);
            }
        }
    }

    /// A further recording runs, which a change has begun.
    pub(super) fn begun_beside(
        &mut self,
        session: u64,
        next: &State,
        recording: Option<RecordingSid>,
    ) {
        let (Some(known), Some(recording)) = (self.sessions.get_mut(&session), recording) else {
            return;
        };
        let dialog = &mut known.dialog;
        let track = dialog.wanted_beside(next).map(|wanted| wanted.track);
        dialog
            .recordings
            .extend(track.map(|track| (recording, track)));
        self.by_recording.insert(recording, session);
    }

    /// 200, with the answer where there is something to answer.
    pub(super) fn accept(
        &mut self,
        session: u64,
        transaction: u64,
        request: &Request,
        from: Peer,
        now: Mono,
    ) {
        let contact = self.contact(from, &request.uri);
        let Some(known) = self.sessions.get_mut(&session) else {
            return;
        };
        let headers = Headers::default()
            .with("Contact", contact)
            .with("Allow", ALLOW)
            .with("Supported", "siprec, timer");
        let mut headers = known.dialog.set_timer(request, now, headers);
        let is_invite = request.method == "INVITE";
        // What an INVITE without an offer is answered by is one (RFC 3261 §13.2.1).
        let has_sdp = Body::read(
            request.header("content-type").unwrap_or_default(),
            &request.body,
        )
        .sdp
        .is_some();
        if is_invite || has_sdp {
            headers = headers.body("application/sdp", known.dialog.answer.clone());
        }
        let tag = known.dialog.own_tag.clone();
        let bytes = request.answer(from, Status(200, "OK"), &tag, &headers);
        let sent = self.transactions.answer(transaction, 200, bytes, now);
        if let Some((to, bytes)) = sent {
            if is_invite && let Some(known) = self.sessions.get_mut(&session) {
                known.unacknowledged = Some(Unacknowledged {
                    to,
                    bytes: bytes.clone(),
                    cseq: request.cseq,
                    interval: T1,
                    due: now + T1,
                    ends: now + GIVEN_UP,
                });
            }
            self.send(to, bytes);
        }
        self.schedule(session);
    }

    /// 100, before anything that may take its time.
    pub(super) fn provisional(
        &mut self,
        transaction: u64,
        request: &Request,
        from: Peer,
        now: Mono,
    ) {
        self.answer(
            transaction,
            request,
            from,
            Status(100, "Trying"),
            &Headers::default(),
            now,
        );
    }

    pub(super) fn refuse(
        &mut self,
        transaction: u64,
        request: &Request,
        from: Peer,
        status: Status,
        now: Mono,
    ) {
        self.answer(transaction, request, from, status, &Headers::default(), now);
    }

    pub(super) fn not_acceptable(
        &mut self,
        transaction: u64,
        request: &Request,
        from: Peer,
        why: &str,
        now: Mono,
    ) {
        let headers = Headers::default().with("Warning", warning(why));
        self.answer(
            transaction,
            request,
            from,
            Status(488, "Not Acceptable Here"),
            &headers,
            now,
        );
    }

    pub(super) fn busy(
        &mut self,
        transaction: u64,
        request: &Request,
        from: Peer,
        why: &str,
        now: Mono,
    ) {
        let headers = Headers::default()
            .with("Retry-After", RETRY_AFTER)
            .with("Warning", warning(why));
        self.answer(
            transaction,
            request,
            from,
            Status(503, "Service Unavailable"),
            &headers,
            now,
        );
    }

    fn fail(
        &mut self,
        transaction: u64,
        request: &Request,
        from: Peer,
        failure: Failure,
        now: Mono,
    ) {
        match failure {
            Failure::Offer(why) => self.not_acceptable(transaction, request, from, &why, now),
            Failure::Busy(why) => self.busy(transaction, request, from, &why, now),
            Failure::Gone => {
                self.refuse(
                    transaction,
                    request,
                    from,
                    Status(481, "Call/Transaction Does Not Exist"),
                    now,
                );
            }
            Failure::NoAccount => self.refuse(transaction, request, from, NO_ACCOUNT, now),
            Failure::Broken => {
                self.refuse(
                    transaction,
                    request,
                    from,
                    Status(500, "Server Internal Error"),
                    now,
                );
            }
        }
    }

    /// Answers a request, if nobody has.
    pub(super) fn answer(
        &mut self,
        transaction: u64,
        request: &Request,
        from: Peer,
        status: Status,
        headers: &Headers,
        now: Mono,
    ) {
        let tag = if request.own_tag().is_empty() {
            self.token()
        } else {
            String::new()
        };
        let bytes = request.answer(from, status, &tag, headers);
        if let Some((to, bytes)) = self.transactions.answer(transaction, status.0, bytes, now) {
            self.send(to, bytes);
            if let Some(why) = declined(request, status) {
                self.decline(request, from, why);
            }
        }
    }

    /// Counts a call that is not taken.
    pub(super) fn decline(&self, request: &Request, from: Peer, why: Declined) {
        let by = bringer_of(request);
        self.settings.incoming.declined(by, why);
        if why == Declined::NoAccount {
            self.turn_away(by, from, why);
        }
    }

    pub(super) fn turn_away(&self, by: Bringer, from: Peer, why: Declined) {
        let address = from.address().ip();
        self.settings.incoming.turned_away(by, why, address, 1);
    }
}

/// Why a call is not taken whose first INVITE is answered so, if it is one and is not.
fn declined(request: &Request, status: Status) -> Option<Declined> {
    let is_first = request.method == "INVITE" && request.own_tag().is_empty();
    let why = match status {
        NO_ACCOUNT | Status(403, _) => Declined::NoAccount,
        Status(503, _) => Declined::Busy,
        // The same call by another way is not refused.
        Status(482, _) => return None,
        Status(487, _) => Declined::GivenUp,
        Status(500 | 481, _) => Declined::Broken,
        Status(400.., _) => Declined::Unusable,
        Status(_, _) => return None,
    };
    is_first.then_some(why)
}
