//! Requests of ours: BYE, and UPDATE where we refresh a session (RFC 3261 §17.1.2, RFC 4028 §10).

use reeld_model::Mono;

use super::*;
use crate::siprec::message::Response;

/// A request of ours that waits for its response.
pub(super) struct OwnRequest {
    session: u64,
    sort: Sort,
    to: Peer,
    bytes: Vec<u8>,
    interval: Duration,
    pub(super) due: Mono,
    ends: Mono,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Bye,
    Refresh,
}

impl Agent {
    pub(super) fn request(&mut self, session: u64, sort: Sort, more: Headers, now: Mono) {
        let branch = format!("z9hG4bK{}", self.token());
        let Some(known) = self.sessions.get(&session) else {
            return;
        };
        let (peer, timer) = (known.dialog.peer, known.dialog.timer);
        let via = self.reached_at(peer).to_string();
        let headers = match (sort, timer) {
            (Sort::Refresh, Some(timer)) => more
                .with("Session-Expires", timer.of_ours())
                .with("Supported", "timer"),
            _ => more,
        };
        let method = match sort {
            Sort::Bye => "BYE",
            Sort::Refresh => "UPDATE",
        };
        let contact = self.contact(peer, known.dialog.target());
        let headers = if sort == Sort::Refresh {
            headers.with("Contact", contact)
        } else {
            headers
        };
        let Some(known) = self.sessions.get_mut(&session) else {
            return;
        };
        let (to, bytes) = known.dialog.request(method, &via, &branch, &headers);
        let ends = now + GIVEN_UP;
        let due = match to {
            Peer::Udp(_) => now + T1,
            Peer::Stream { .. } => ends,
        };
        self.send(to, bytes.clone());
        let request = OwnRequest {
            session,
            sort,
            to,
            bytes,
            interval: T1,
            due,
            ends,
        };
        self.requests.insert(branch, request);
    }

    pub(super) fn refresh(&mut self, session: u64, now: Mono) {
        self.request(session, Sort::Refresh, Headers::default(), now);
        if let Some(known) = self.sessions.get_mut(&session) {
            // What comes of it says when the next one is due.
            known.dialog.refresh_due = None;
        }
    }

    pub(super) fn handle_response(&mut self, response: &Response, now: Mono) {
        if response.status < 200 {
            return;
        }
        let Some(request) = self.requests.remove(&response.branch) else {
            return;
        };
        if request.sort == Sort::Refresh {
            self.refreshed(request.session, response.status, now);
        }
    }

    /// RFC 4028 §10: 408 and 481 say that the session is gone. Any other answer is of a client that lives.
    fn refreshed(&mut self, session: u64, status: u16, now: Mono) {
        if matches!(status, 408 | 481) {
            return self.hang_up(session, Over::Timeout, now);
        }
        if let Some(known) = self.sessions.get_mut(&session) {
            known.dialog.refresh(now);
        }
        self.schedule(session);
    }

    pub(super) fn handle_requests_due(&mut self, now: Mono) {
        let due: Vec<String> = self
            .requests
            .iter()
            .filter(|(_, request)| request.due <= now)
            .map(|(branch, _)| branch.clone())
            .collect();
        for branch in due {
            let Some(request) = self.requests.get_mut(&branch) else {
                continue;
            };
            if now >= request.ends {
                let (session, sort) = (request.session, request.sort);
                self.requests.remove(&branch);
                if sort == Sort::Refresh {
                    self.refreshed(session, 408, now);
                }
                continue;
            }
            request.interval = (request.interval * 2).min(T2);
            request.due = (now + request.interval).min(request.ends);
            let (to, bytes) = (request.to, request.bytes.clone());
            self.send(to, bytes);
        }
    }
}
