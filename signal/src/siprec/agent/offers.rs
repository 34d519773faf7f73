//! Answers to offers of ours, which come with an ACK (RFC 3261 §13.2.2.4, RFC 3264 §6), and what both sorts of
//! exchange have capture do.
//!
//! A session that began so is recorded from our 200 on, with all that is decoded, so no packet is early: without an
//! answer it is hung up, and its recording is one without a packet. In mid-call whatever is wrong with an answer leaves
//! the session as it was.

use reeld_model::Mono;

use super::*;

impl Agent {
    /// An ACK of a 2xx.
    pub(super) fn acknowledged(&mut self, request: &Request, from: Peer, now: Mono) {
        let Some(session) = self.dialog_of(request) else {
            return;
        };
        if let Some(known) = self.sessions.get_mut(&session) {
            known.dialog.peer = from;
            if known
                .unacknowledged
                .as_ref()
                .is_some_and(|waiting| waiting.cseq == request.cseq)
            {
                known.unacknowledged = None;
            }
            // One that comes again finds nothing that waits for it.
            if let Some(awaited) = &mut known.dialog.awaited
                && awaited.cseq == request.cseq
            {
                let kind = request.header("content-type").unwrap_or_default();
                awaited.ack = Some((kind.to_owned(), request.body.clone()));
            }
        }
        self.schedule(session);
        self.take_ack(session, now);
    }

    /// Takes the answer that an ACK has brought, unless something else is under way: then it is taken after that.
    pub(super) fn take_ack(&mut self, session: u64, now: Mono) {
        let Some(known) = self.sessions.get_mut(&session) else {
            return;
        };
        if known.ends || known.under_way.is_some() {
            return;
        }
        let has_come = |awaited: &mut Awaited| awaited.ack.is_some();
        let Some(Awaited {
            offered,
            is_first,
            ack: Some((kind, bytes)),
            ..
        }) = known.dialog.awaited.take_if(has_come)
        else {
            return;
        };
        let before = known.dialog.state.clone();
        if is_first {
            // What a restart meanwhile has put there.
            known.dialog.refresh(now);
            self.schedule(session);
        }
        let body = Body::read(&kind, &bytes);
        let Some(answer) = body.sdp.as_deref().and_then(Offer::read) else {
            return self.unanswered(session, is_first, "the ACK has no answer to the offer", now);
        };
        let document = body.metadata.as_deref().map(Document::read);
        let offer = offered.answered_by(answer);
        let next = match before.next(Some(offer), document.as_ref()) {
            Ok(next) if is_first && next.tracks == [None, None] => {
                let why = "the answer takes none of the lines that were offered";
                return self.unanswered(session, is_first, why, now);
            }
            Ok(next) => next,
            Err(why) => return self.unanswered(session, is_first, &why, now),
        };
        let Some(work) = self.change_of(session, &next, Some(&next)) else {
            return;
        };
        if let Some(known) = self.sessions.get_mut(&session) {
            let next = Box::new(next);
            known.under_way = Some(UnderWay::Answered { next, is_first });
        }
        self.work(session, work);
    }

    /// What came of the change that an answer is.
    pub(super) fn answer_taken(
        &mut self,
        session: u64,
        next: State,
        is_first: bool,
        outcome: Outcome,
        now: Mono,
    ) {
        match outcome {
            Outcome::Seen { .. } => {}
            Outcome::Failed(Failure::Gone) => self.hang_up(session, Over::Here, now),
            Outcome::Failed(Failure::Offer(why)) => self.unanswered(session, is_first, &why, now),
            // What was offered goes on being taken.
            Outcome::Failed(Failure::Busy(_) | Failure::Broken | Failure::NoAccount) => {}
            Outcome::Done { sdp, recording } => {
                self.begun_beside(session, &next, recording);
                if let Some(known) = self.sessions.get_mut(&session) {
                    known.dialog.state = next;
                    known.dialog.hear_capture(sdp);
                }
            }
        }
    }

    /// An offer of ours has no answer that can be used.
    fn unanswered(&mut self, session: u64, is_first: bool, why: &str, now: Mono) {
        if is_first {
            // RFC 3326; what an offer of theirs would have been answered with.
            let why = why.replace(['"', '\\', '\r', '\n'], "");
            let reason = format!("SIP;cause=488;text=\"{why}\"");
            self.hang_up_with(
                session,
                Headers::default().with("Reason", reason),
                Over::Error,
                now,
            );
        }
    }

    /// What capture and the recordings are told, where a session becomes `next`; with an offer or an answer, of
    /// which `described` has the lines.
    pub(super) fn change_of(
        &self,
        session: u64,
        next: &State,
        described: Option<&State>,
    ) -> Option<Work> {
        let dialog = &self.sessions.get(&session)?.dialog;
        let reaches = self.reaches(dialog.peer);
        let sdp = described.and_then(|described| described.for_capture(reaches));
        let signalling = dialog.signalling(next);
        let is_new = signalling != dialog.signalling(&dialog.state);
        Some(Work::Change(Box::new(Change {
            open: dialog.open_call(next, sdp),
            by: dialog.by(),
            recordings: dialog.recordings.iter().map(|(sid, _)| *sid).collect(),
            paused: (next.is_paused != dialog.state.is_paused).then_some(next.is_paused),
            wanted: dialog.wanted_beside(next),
            signalling: is_new.then_some(signalling),
        })))
    }
}
