//! What rtpengine has answered, each to what is done next.

use reeld_model::Ending;

use super::*;

impl Follower {
    pub(super) fn handle_answered(&mut self, answered: Answered, now: Mono) {
        let Answered { purpose, reply } = answered;
        let Some(key) = purpose.call else {
            self.is_listing = false;
            match reply {
                Some(reply) => {
                    self.is_mute = false;
                    self.settings.incoming.follows(true);
                    self.listed(&reply, now);
                }
                // All else is answered: the list is longer than a datagram.
                None if !self.is_silent(now) => self.limit = (self.limit / 2).max(LEAST_LISTED),
                None if !std::mem::replace(&mut self.is_mute, true) => {
                    self.settings.incoming.follows(false);
                    self.out.push_back(Output::Warning {
                        sip_call_id: None,
                        why: "rtpengine does not answer".to_owned(),
                    });
                }
                None => {}
            }
            return;
        };
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        let was = call.under_way.take();
        match (was, reply) {
            (Some(UnderWay::Asked(Ask::Query)), Some(reply)) => self.queried(key, &reply, now),
            (Some(UnderWay::Subscribing(session)), Some(reply)) => {
                self.subscribed(key, *session, &reply, now);
            }
            (Some(UnderWay::Answering), reply) => self.forked(key, reply.as_ref(), now),
            // Said or not, more cannot be done: what is left of it goes with the call.
            (Some(UnderWay::Leaving), _) => self.left(key, now),
            (Some(UnderWay::Asked(_) | UnderWay::Subscribing(_)), _) => {
                call.query_due = now + AGAIN;
                self.settle(key, |_| {
                    Err(NotForked::Busy("rtpengine does not answer".to_owned()))
                });
            }
            // Work is under way, or nothing: this is the answer to nothing that still counts.
            (was, _) => call.under_way = was,
        }
        self.schedule(key);
    }

    /// Which calls there are.
    fn listed(&mut self, reply: &Map<String, Value>, now: Mono) {
        let listed: HashSet<&str> = reply::calls(reply).collect();
        for id in &listed {
            // What is too much is met at a later look, once others have ended.
            let _ = self.meet(id, now);
        }
        if reply::verdict(reply) != Verdict::Ok {
            return;
        }
        if listed.len() >= self.limit {
            let bytes: usize = listed.iter().map(|id| id.len() + AROUND_NAME).sum();
            let fits = LIST_BYTES * listed.len() / bytes.max(1);
            if fits.min(MOST_CALLS) > self.limit {
                // The next list has more of them.
                self.limit = fits.min(MOST_CALLS);
                return;
            }
            if !std::mem::replace(&mut self.is_beyond, true) {
                let why = format!("it has {} calls or more: some are not seen", self.limit);
                self.out.push_back(Output::Warning {
                    sip_call_id: None,
                    why,
                });
            }
            return;
        }
        self.is_beyond = false;
        let gone = self
            .by_id
            .iter()
            .filter(|(id, _)| !listed.contains(id.as_str()));
        let gone: Vec<u64> = gone.map(|(_, key)| *key).collect();
        for key in gone {
            if let Some(call) = self.calls.get_mut(&key) {
                call.query_due = now;
                self.schedule(key);
            }
        }
    }

    /// What is known of a call.
    fn queried(&mut self, key: u64, reply: &Map<String, Value>, now: Mono) {
        let query_due = now + self.query_every();
        let own_tag = self.own_tag.clone();
        let account = self.settings.account.or(self.sole);
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        call.query_due = query_due;
        match reply::verdict(reply) {
            Verdict::Ok => {}
            Verdict::UnknownCall => return self.gone(key),
            Verdict::Error(why) => {
                call.query_due = now + AGAIN;
                self.settle(key, |_| Err(NotForked::Busy(why.clone())));
                return self.warn(key, why);
            }
        }
        let seen = Seen::read(reply);
        let parties = seen.parties();
        if call.session.is_some() {
            self.settle_known(key);
            return self.hold(key, &seen, now);
        }
        let wish = call.wishes.first().map(|(_, wish)| wish);
        let is_wanted = wish.is_some() || self.settings.follow && !call.is_done;
        if let Some(Refused::Unseen) = call.refused {
            call.refused = Some(Refused::At(seen.last_signal));
        }
        let is_refused = call.refused == Some(Refused::At(seen.last_signal));
        let owner = wish.map(|wish| wish.open.account).or(account);
        if let (Some(parties), Some(account), true, false) = (parties, owner, is_wanted, is_refused)
        {
            let mut session = Session::new(&call.id, account, wish);
            session.meet(parties);
            return self.subscribe(key, session, now);
        }
        let is_young = now.since(call.first_seen) < YOUNG;
        call.query_due = match (is_wanted, is_young) {
            (false, _) => now + NEVER,
            (true, true) => query_due,
            (true, false) => query_due.max(now + SELDOM),
        };
        let is_left_over = seen
            .tag(&own_tag)
            .is_some_and(|own| !own.subscribed.is_empty());
        if parties.is_some() && is_wanted && owner.is_none() && call.refused.is_none() {
            call.refused = Some(Refused::At(0));
            self.decline(Declined::NoAccount);
            self.warn(
                key,
                "rtpengine.account is empty, and there is not one account alone".to_owned(),
            );
        }
        self.settle(key, |_| Err(NotForked::Unanswered));
        if is_left_over {
            // Of one before us, who died.
            if seen.is_over() {
                self.abandon(key, now);
            } else {
                self.leave(key, now);
            }
        }
    }

    /// A call that is recorded: whether its subscription is what it should be.
    fn hold(&mut self, key: u64, seen: &Seen, now: Mono) {
        let own_tag = self.own_tag.clone();
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        let Some(session) = &mut call.session else {
            return;
        };
        if seen.is_over() {
            return self.abandon(key, now);
        }
        // Nobody talks: in the middle of a transfer perhaps. What is subscribed to stays so.
        let Some(parties) = seen.parties() else {
            return;
        };
        if session.is_as(seen, parties, &own_tag) {
            session.signal = Some(seen.last_signal);
            return;
        }
        let mut next = session.clone();
        next.meet(parties);
        self.subscribe(key, next, now);
    }

    fn subscribe(&mut self, key: u64, session: Session, now: Mono) {
        let with = json!({
            "from-tags": session.named_tags(),
            // Asks for labels, which say whose each line is.
            "flags": ["SIPREC"],
            "set-label": "reeld",
            "transport-protocol": "RTP/AVP",
            "ICE": "remove",
            "DTLS": "off",
            "SDES": "off",
            "rtcp-mux": ["demux"],
        });
        if let Some(call) = self.calls.get_mut(&key) {
            call.under_way = Some(UnderWay::Subscribing(Box::new(session)));
            self.ask(key, Ask::Subscribe, with, now);
        }
    }

    /// What a subscription offers.
    fn subscribed(
        &mut self,
        key: u64,
        mut session: Session,
        reply: &Map<String, Value>,
        now: Mono,
    ) {
        let offered = match reply::verdict(reply) {
            Verdict::UnknownCall => return self.gone(key),
            Verdict::Error(why) => Err(why),
            Verdict::Ok => Subscription::read(reply)
                .ok_or_else(|| "rtpengine offers no SDP".to_owned())
                .and_then(|subscription| session.offered(&subscription)),
        };
        if let Err(why) = offered {
            let is_recorded = self
                .calls
                .get(&key)
                .is_some_and(|call| call.session.is_some());
            if !is_recorded {
                self.decline(Declined::Unusable);
            }
            return self.refuse(key, NotForked::Refused(why), now);
        }
        let local = self.settings.media_is_local;
        let channels = self.settings.channels;
        let by = self.by();
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        let open = session.open_call(&call.id, |address| !local || address.is_loopback());
        let signalling = session.signalling(&call.id);
        let wanted = session.wanted(channels);
        let Some(before) = &call.session else {
            call.under_way = Some(UnderWay::Opening(Box::new(session)));
            let begin = Begin {
                open,
                by,
                wanted,
                paused: false,
                signalling,
            };
            return self.work(key, Work::Begin(Box::new(begin)));
        };
        let said = before.signalling(&call.id) != signalling;
        if open.sdp.is_none() && wanted.is_none() && !said {
            return self.answer(key, session, None, now);
        }
        let change = Change {
            open,
            by,
            recordings: session.recordings(),
            paused: None,
            wanted,
            signalling: said.then_some(signalling),
        };
        call.under_way = Some(UnderWay::Changing(Box::new(session)));
        self.work(key, Work::Change(Box::new(change)));
    }

    /// Says where a call's media are to be sent.
    pub(super) fn answer(
        &mut self,
        key: u64,
        mut session: Session,
        of_capture: Option<String>,
        now: Mono,
    ) {
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        let sdp = session.answer(of_capture);
        session.signal = None;
        call.session = Some(session);
        call.under_way = Some(UnderWay::Answering);
        self.ask(key, Ask::Answer, json!({ "sdp": sdp }), now);
    }

    /// Whether a call's media are sent now.
    fn forked(&mut self, key: u64, reply: Option<&Map<String, Value>>, now: Mono) {
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        match reply.map(reply::verdict) {
            Some(Verdict::Ok) => {
                call.query_due = now;
                call.look_due = now + LOOK_EVERY;
                self.settle_known(key);
            }
            Some(Verdict::UnknownCall) => self.gone(key),
            Some(Verdict::Error(why)) => self.refuse(key, NotForked::Refused(why), now),
            None => {
                // Whatever it is, it is made anew.
                if let Some(session) = &mut call.session {
                    session.signal = Some(u64::MAX);
                }
                call.query_due = now + LIST_EVERY;
            }
        }
    }

    /// rtpengine has the call no more.
    fn gone(&mut self, key: u64) {
        if let Some(call) = self.calls.get_mut(&key) {
            call.is_gone = true;
            self.close(key);
        }
    }

    /// Ends the call here; without one it is dropped where rtpengine has it no more.
    pub(super) fn close(&mut self, key: u64) {
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        let Some(session) = &call.session else {
            if call.is_gone {
                self.forget(key);
            }
            return;
        };
        // Of a call that rtpengine has no more it may have known the end for as long as it keeps ended ones.
        let ending = match call.over {
            Over::Timeout => Ending::Silent,
            Over::HungUp if call.is_gone || call.has_ended => {
                Ending::Late(self.settings.delete_delay)
            }
            Over::HungUp | Over::Here | Over::Error | Over::Shutdown => Ending::Now,
        };
        let work = Work::End {
            account: session.account,
            call: session.call,
            ending,
        };
        call.under_way = Some(UnderWay::Closing);
        self.work(key, work);
    }

    /// Has the subscription end, and then the call here.
    pub(super) fn leave(&mut self, key: u64, now: Mono) {
        if let Some(call) = self.calls.get_mut(&key) {
            call.under_way = Some(UnderWay::Leaving);
            self.ask(key, Ask::Unsubscribe, json!({}), now);
        }
    }

    /// Lets go of a call that has ended but for us: our tag is deleted, and with it who is tied to nobody else, which is
    /// what would be without us.
    fn abandon(&mut self, key: u64, now: Mono) {
        if let Some(call) = self.calls.get_mut(&key) {
            call.has_ended = true;
            call.under_way = Some(UnderWay::Leaving);
            self.ask(key, Ask::Delete, json!({ "delete-delay": 0 }), now);
        }
    }

    fn left(&mut self, key: u64, now: Mono) {
        if let Some(call) = self.calls.get_mut(&key) {
            call.query_due = call.query_due.max(now + QUERY_EVERY);
            self.close(key);
        }
    }

    /// A call cannot be recorded as it is.
    pub(super) fn refuse(&mut self, key: u64, why: NotForked, now: Mono) {
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        if let Some(session) = call.session.as_mut().filter(|session| !session.is_new()) {
            // What was subscribed to before still comes. It is tried again once something is signalled.
            session.signal = None;
            call.query_due = now + AGAIN;
            return self.warn(key, format!("a change of it is not taken: {why}"));
        }
        call.over = Over::Error;
        match why {
            NotForked::Busy(_) => call.query_due = now + AGAIN,
            NotForked::Unknown
            | NotForked::Unanswered
            | NotForked::Elsewhere(_)
            | NotForked::Refused(_) => call.refused = Some(Refused::Unseen),
        }
        self.settle(key, |_| Err(why.clone()));
        self.warn(key, why.to_string());
        self.leave(key, now);
    }

    /// Tells who waits for a call that it is here, or under which other name.
    pub(super) fn settle_known(&mut self, key: u64) {
        let session = self.calls.get(&key).and_then(|call| call.session.as_ref());
        let Some((account, call)) = session.map(|session| (session.account, session.call)) else {
            return;
        };
        self.settle(key, |wish| {
            if wish.open.account != account {
                // Another's calls are not there at all.
                Err(NotForked::Unknown)
            } else if wish.open.call == call {
                Ok(())
            } else {
                Err(NotForked::Elsewhere(call))
            }
        });
    }
}
