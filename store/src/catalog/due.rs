//! What of the outbox can be sent, by when and to whom.
//!
//! Called by `outbox`, under its lock; it calls nobody and keeps nothing on disk. It is there so that
//! taking an event costs the same however many wait for a host that takes no more now: each host has a
//! place of its own, and only the first of each stands in the common one.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use reeld_model::RecordingSid;

use crate::events::Line;

/// Events that come one after another.
pub(super) type Queue = (RecordingSid, Line);

/// What comes before every queue, where they are ordered.
const FIRST: Queue = (RecordingSid::from_bytes([0; 16]), Line::Status);

/// Queues whose next event can be sent, each at most once; the caller sees to that.
#[derive(Default)]
pub(super) struct Due {
    /// Of each host, what goes there by when it is due, milliseconds since the Unix epoch. None is empty.
    hosts: HashMap<Arc<str>, BTreeSet<(i64, Queue)>>,
    /// When the first of each host is due.
    firsts: BTreeSet<(i64, Arc<str>)>,
}

impl Due {
    /// Puts a queue in.
    pub(super) fn insert(&mut self, at_ms: i64, queue: Queue, host: &Arc<str>) {
        let there = self.hosts.entry(Arc::clone(host)).or_default();
        let before = there.first().map(|(at_ms, _)| *at_ms);
        there.insert((at_ms, queue));
        self.moved(host, before);
    }

    /// Takes a queue out, where it is in.
    pub(super) fn remove(&mut self, at_ms: i64, queue: Queue, host: &Arc<str>) {
        let Some(there) = self.hosts.get_mut(host) else {
            return;
        };
        let before = there.first().map(|(at_ms, _)| *at_ms);
        there.remove(&(at_ms, queue));
        if there.is_empty() {
            self.hosts.remove(host);
        }
        self.moved(host, before);
    }

    /// Takes out what has been due longest by `now_ms` and goes to a host that `may` be sent to. It
    /// asks of each host once at most, so what it costs is that many hosts that may not, and not what
    /// waits for them.
    pub(super) fn take(&mut self, now_ms: i64, may: &dyn Fn(&str) -> bool) -> Option<Queue> {
        let host = self
            .firsts
            .iter()
            .take_while(|(at_ms, _)| *at_ms <= now_ms)
            .find(|(_, host)| may(host))
            .map(|(_, host)| Arc::clone(host))?;
        let (at_ms, queue) = *self.hosts.get(&host)?.first()?;
        self.remove(at_ms, queue, &host);
        Some(queue)
    }

    /// When the first of a host is due that has nothing due by `now_ms`. A host that has, and was not
    /// taken from, waits for room and not for a time.
    pub(super) fn next_after(&self, now_ms: i64) -> Option<i64> {
        let later = (now_ms.saturating_add(1), Arc::from(""));
        self.firsts.range(later..).next().map(|(at_ms, _)| *at_ms)
    }

    /// All that is due at `from_ms` or later.
    pub(super) fn later(&self, from_ms: i64) -> Vec<(i64, Queue, Arc<str>)> {
        let from = (from_ms, FIRST);
        self.hosts
            .iter()
            .flat_map(|(host, there)| {
                there
                    .range(from..)
                    .map(|(at_ms, queue)| (*at_ms, *queue, Arc::clone(host)))
            })
            .collect()
    }

    /// Brings the common queue up to date after a host's own has changed.
    fn moved(&mut self, host: &Arc<str>, before: Option<i64>) {
        let now = self
            .hosts
            .get(host)
            .and_then(|there| there.first())
            .map(|(at_ms, _)| *at_ms);
        if now == before {
            return;
        }
        if let Some(at_ms) = before {
            self.firsts.remove(&(at_ms, Arc::clone(host)));
        }
        if let Some(at_ms) = now {
            self.firsts.insert((at_ms, Arc::clone(host)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn sid(n: u128) -> Queue {
        (RecordingSid::from_bytes(n.to_be_bytes()), Line::Status)
    }

    /// The steps are the hosts that are asked of: without a queue for each host they would be all
    /// that waits for the ones that are full.
    #[test]
    fn what_waits_for_full_hosts_costs_a_step_for_each_host() {
        let mut due = Due::default();
        let full: Vec<Arc<str>> = (0..3).map(|n| format!("full{n}").into()).collect();
        for n in 0..30_000 {
            due.insert(5, sid(n), &full[usize::try_from(n % 3).unwrap()]);
        }
        let well: Arc<str> = "well".into();
        for n in 30_000..30_100 {
            due.insert(9, sid(n), &well);
        }
        let steps = Cell::new(0);
        let may = |host: &str| {
            steps.set(steps.get() + 1);
            host == "well"
        };
        for n in 30_000..30_100 {
            assert_eq!(due.take(9, &may), Some(sid(n)));
        }
        assert_eq!(steps.get(), 4 * 100);
        assert_eq!(due.take(9, &may), None);
        assert_eq!(steps.get(), 4 * 100 + 3);
        assert_eq!(due.take(4, &may), None, "nothing is due");
        assert_eq!(steps.get(), 4 * 100 + 3);
    }

    #[test]
    fn what_has_been_due_longest_comes_first_and_once() {
        let mut due = Due::default();
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        for (at_ms, n, host) in [(30, 1, &a), (10, 2, &b), (20, 3, &a), (40, 4, &b)] {
            due.insert(at_ms, sid(n), host);
        }
        due.insert(25, sid(5), &b);
        due.remove(25, sid(5), &b);
        assert_eq!(due.next_after(9), Some(10));
        assert_eq!(due.next_after(10), Some(20));
        assert_eq!(due.next_after(20), None, "both hosts have some due");
        assert_eq!(due.later(30).len(), 2);
        let order: Vec<_> = std::iter::from_fn(|| due.take(35, &|_| true)).collect();
        assert_eq!(order, [sid(2), sid(3), sid(1)]);
        assert_eq!(due.next_after(35), Some(40));
        assert_eq!(due.take(40, &|host| host == "a"), None);
        assert_eq!(due.take(40, &|_| true), Some(sid(4)));
        assert!(due.hosts.is_empty() && due.firsts.is_empty());
    }
}
