//! Group commit: many threads wait for one sync.
//!
//! Called by the catalog's engine and the spool for what must be durable before they answer. A
//! thread that asks while no sync runs leads one itself; those who ask meanwhile share the next.
//! So a lone caller waits for no other thread, and a hundred callers pay for two syncs.
//!
//! Invariants: a caller returns `Ok` only after a sync that began after its call succeeded. When
//! a sync fails, all whom it was for fail: the kernel reports a lost write once, so a second
//! sync's success proves nothing for them.

use crate::StoreError;
use crate::locks::lock;
use crate::sync::{Condvar, Mutex};

#[cfg(test)]
mod tests;

#[derive(Default)]
pub(crate) struct Group {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Calls so far; each one's number is its ticket.
    asked: u64,
    /// Tickets up to this one are synced or failed.
    settled: u64,
    /// Tickets in this span failed, for this reason. Only the last failure is kept: its waiters
    /// are woken with it, before another sync can end.
    failed: Option<(std::ops::RangeInclusive<u64>, String)>,
    leading: bool,
    /// Waiters of the last failure that have not read it yet.
    unread: u64,
}

impl Group {
    /// Whether a sync runs.
    pub(crate) fn is_leading(&self) -> bool {
        lock(&self.state).leading
    }

    /// Returns once a `sync` that began after this call has ended; runs it, if nobody else does.
    pub(crate) fn wait(
        &self,
        sync: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut state = lock(&self.state);
        state.asked += 1;
        let ticket = state.asked;
        loop {
            if state.settled >= ticket {
                let reason = match &state.failed {
                    Some((tickets, reason)) if tickets.contains(&ticket) => Some(reason.clone()),
                    _ => None,
                };
                let Some(reason) = reason else { return Ok(()) };
                state.unread -= 1;
                if state.unread == 0 {
                    self.changed.notify_all();
                }
                return Err(StoreError::Catalog(format!(
                    "a shared sync failed: {reason}"
                )));
            }
            if !state.leading && state.unread == 0 {
                break;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        state.leading = true;
        let tickets = state.settled + 1..=state.asked;
        drop(state);

        let mut turn = Turn {
            group: self,
            tickets,
            outcome: Some("the sync panicked".to_owned()),
        };
        let result = sync();
        turn.outcome = result.as_ref().err().map(ToString::to_string);
        drop(turn);
        result
    }
}

/// A sync that runs; its end settles its tickets, also when it panics.
struct Turn<'a> {
    group: &'a Group,
    tickets: std::ops::RangeInclusive<u64>,
    outcome: Option<String>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.group.state);
        state.leading = false;
        state.settled = *self.tickets.end();
        if let Some(reason) = self.outcome.take() {
            // All but the leader, who has the error itself.
            state.unread = self.tickets.end() - self.tickets.start();
            state.failed = Some((self.tickets.clone(), reason));
        }
        self.group.changed.notify_all();
    }
}
