//! What came of work, each to what is done next.

use super::*;

impl Follower {
    pub(super) fn handle_work(&mut self, key: u64, outcome: Outcome, now: Mono) {
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        match call.under_way.take() {
            Some(UnderWay::Opening(session)) => self.opened(key, *session, outcome, now),
            Some(UnderWay::Changing(session)) => self.changed(key, *session, outcome, now),
            Some(UnderWay::Looking) => self.looked(key, &outcome, now),
            Some(UnderWay::Closing) => {
                if call.session.take().is_some() {
                    let over = std::mem::replace(&mut call.over, Over::HungUp);
                    self.settings.incoming.ended(Bringer::Rtpengine, over);
                }
                call.silent_at = None;
                if call.is_gone {
                    self.forget(key);
                }
            }
            other => call.under_way = other,
        }
        self.schedule(key);
    }

    fn opened(&mut self, key: u64, mut session: Session, outcome: Outcome, now: Mono) {
        match outcome {
            Outcome::Done { sdp, recording } => {
                session.begun(recording, self.settings.channels);
                self.settings.incoming.begun(Bringer::Rtpengine);
                self.answer(key, session, sdp, now);
            }
            Outcome::Seen { .. } => {}
            Outcome::Failed(failure) => {
                self.decline(failure.declined());
                let why = match failure {
                    Failure::Offer(why) => NotForked::Refused(why),
                    Failure::Busy(why) => NotForked::Busy(why),
                    Failure::Gone => NotForked::Busy("its call here has just ended".to_owned()),
                    Failure::NoAccount | Failure::Broken => {
                        NotForked::Busy("it cannot be begun; see the log".to_owned())
                    }
                };
                self.refuse(key, why, now);
            }
        }
    }

    fn changed(&mut self, key: u64, mut session: Session, outcome: Outcome, now: Mono) {
        match outcome {
            Outcome::Done { sdp, recording } => {
                session.begun(recording, self.settings.channels);
                self.answer(key, session, sdp, now);
            }
            Outcome::Seen { .. } => {}
            Outcome::Failed(Failure::Gone) => self.ended_here(key, now),
            // It goes on as it was, and is tried again: something was signalled since.
            Outcome::Failed(failure) => {
                if let Some(call) = self.calls.get_mut(&key) {
                    call.query_due = now + AGAIN;
                }
                self.warn(key, format!("a change of it is not taken: {failure:?}"));
            }
        }
    }

    fn looked(&mut self, key: u64, outcome: &Outcome, now: Mono) {
        let is_silent = self.is_silent(now);
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        match outcome {
            Outcome::Seen { packets } if is_silent => {
                if call.silent_at == Some(*packets) {
                    call.is_gone = true;
                    call.over = Over::Timeout;
                    self.warn(
                        key,
                        "rtpengine does not answer and none of its packets come: it has ended"
                            .to_owned(),
                    );
                    return self.close(key);
                }
                call.silent_at = Some(*packets);
                call.look_due = now + LOOK_SILENT;
            }
            Outcome::Failed(Failure::Gone) => self.ended_here(key, now),
            Outcome::Seen { .. } | Outcome::Done { .. } | Outcome::Failed(_) => {
                call.silent_at = None;
                call.look_due = now + LOOK_EVERY;
            }
        }
    }

    /// Somebody has ended the call here, while rtpengine's goes on: it is left alone.
    fn ended_here(&mut self, key: u64, now: Mono) {
        if let Some(call) = self.calls.get_mut(&key) {
            call.is_done = true;
            call.over = Over::Here;
            self.leave(key, now);
        }
    }
}
