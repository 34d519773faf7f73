//! How a call ends: as it is told to, or since nothing comes of it any more.
//!
//! Called by `call` at each tick, and by `ingest` for commands.

use super::*;

/// How long senders may speak on after their call was ended: they are told of it, or hung up themselves, a moment apart.
const SPEAKS_ON: Duration = Duration::from_secs(2);

impl Call {
    /// Ends the call: every recording ends, and nothing is taken any more.
    pub fn complete(&mut self, now: Mono, ended_by: EndedBy) {
        self.release_all();
        self.decide(None);
        self.finish(self.end(now), ended_by, now);
    }

    /// Ends a call whose end is known of `late`, if it ends in that much silence: then that is not the call's. A call
    /// that was heard until now, or until a moment ago, ends now.
    pub fn complete_late(&mut self, now: Mono, late: Duration) {
        self.release_all();
        self.decide(None);
        let (end, heard) = (self.end(now), self.timeline.mixer.written_end());
        let samples = |time| self.timeline.scale().samples_in(time);
        let is_late = end - heard >= samples(late.saturating_sub(SPEAKS_ON));
        let to = match is_late {
            true => heard.max(end + -samples(late)).min(end),
            false => end,
        };
        self.finish(to, EndedBy::CallCompleted, now);
    }

    /// Ends a call of which nothing is heard any more: every recording ends with its last packet.
    pub fn expire(&mut self, now: Mono) {
        self.release_all();
        self.decide(None);
        self.fall_silent(now);
    }

    fn fall_silent(&mut self, now: Mono) {
        self.finish(self.timeline.mixer.written_end(), EndedBy::Inactivity, now);
    }

    fn finish(&mut self, to: MediaPlace, ended_by: EndedBy, now: Mono) {
        let report = report(&self.tracks);
        self.timeline.finish_all(to, ended_by, now, &report);
        self.over = true;
    }

    /// Ends what nothing came for, where nobody else says when the call ends.
    pub(super) fn look_to_deadlines(&mut self, now: Mono) {
        if self.open.is_signalled {
            return;
        }
        let mut at = 0;
        while at < self.timeline.recordings.len() {
            let recording = &self.timeline.recordings[at];
            let is_told = recording.is_held() && self.is_beeping();
            let waits = recording.waits_since().filter(|_| !is_told);
            if waits.is_some_and(|since| now.since(since) >= self.settings.first_packet) {
                let (to, report) = (self.timeline.place(now), report(&self.tracks));
                self.timeline
                    .finish(at, to, EndedBy::NoPackets, now, report);
            } else {
                at += 1;
            }
        }
        if let Some(bye) = self.bye
            && now.since(bye.max(self.last_packet)) >= BYE_DOUBT
        {
            self.bye = None;
            let (to, report) = (self.end(bye), report(&self.tracks));
            self.timeline.finish_all(to, EndedBy::Bye, now, &report);
        }
        if now.since(self.last_sign) >= self.settings.inactivity {
            self.fall_silent(now);
        }
    }
}
