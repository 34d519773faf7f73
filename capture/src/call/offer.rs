//! Offers of the sender and new sources, and the answers to them.
//!
//! Called by [`crate::call`], of which it is a part; calls [`crate::sdp`].

use std::sync::Arc;

use reeld_model::{Refusal, SourceRule, Track};

use super::Call;
use crate::sdp::{Direction, Leg, Line, Offer};
use crate::srtp::Srtp;

impl Call {
    /// Takes a new offer (a re-INVITE) or a new source. The call's first audio line is its first
    /// track's; where the offer has fewer lines than the call has tracks, the last line stands for
    /// the rest, without its source.
    ///
    /// # Errors
    ///
    /// [`Refusal::Sdp`]; nothing is changed then.
    pub fn update(&mut self, sdp: Option<&str>, source: Option<SourceRule>) -> Result<(), Refusal> {
        let offer = sdp.map(Offer::read).transpose().map_err(Refusal::Sdp)?;
        let lines = offer.as_ref().map_or(&[][..], |offer| &offer.lines);
        let mut lines = lines.iter();
        let mut last: Option<&Line> = None;
        for track in Track::ALL {
            let name = self.name_of_key(track);
            let Some(state) = &mut self.tracks[track.index()] else {
                continue;
            };
            let line = lines.next();
            last = line.or(last);
            if let Some(last) = last {
                state.payloads = Arc::clone(&last.payloads);
                Srtp::offered(&mut state.srtp, last.crypto.as_ref(), |bytes| {
                    self.settings.secret.draw(&name, bytes);
                });
                if track == Track::Inbound {
                    self.beeps.direction = last.direction;
                }
            }
            if let Some(rule) = source.or_else(|| line?.source) {
                state.source.set_rule(Some(rule));
            }
        }
        if offer.is_some() {
            self.offer = offer.map(Box::new);
            self.answer_offer();
        }
        Ok(())
    }

    /// Its end is signalled from now on (`OpenCall::is_signalled`).
    pub const fn signalled(&mut self) {
        self.open.is_signalled = true;
    }

    /// Answers the last offer anew where the answer did not say that we send, and we are about to.
    pub(super) fn answer_that_we_send(&mut self) {
        let sends = self.beeps.direction == Direction::SendRecv;
        if sends && !std::mem::replace(&mut self.beeps.sends, true) {
            self.answer_offer();
        }
    }

    fn answer_offer(&mut self) {
        let Some(offer) = &self.offer else { return };
        let legs: Vec<Leg> = self
            .tracks
            .iter()
            .flatten()
            .map(|track| Leg {
                port: track.port,
                crypto: track.srtp.as_ref().and_then(|srtp| srtp.answer()),
            })
            .collect();
        self.answers += 1;
        let sends = self.beeps.sends;
        self.answer = Some(offer.answer(self.settings.advertise, &legs, self.answers, sends));
    }
}
