//! Which media thread has which call: the one lock of the control path.
//!
//! `switchboard` asks where a request goes; a media thread says when a call opens or ends. No packet
//! comes by here.
//!
//! A call has one thread from the first request that may open it until it is over *and* no request
//! is on its way to that thread. So two requests that race to open a call meet on one thread, and a
//! request that passed the end of its call on the way opens it anew on the same one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reeld_model::{AccountSid, CallSid};

/// What names a call. The account is part of it: another account's call is not there at all.
pub(crate) type CallKey = (AccountSid, CallSid);

/// A call's place.
#[derive(Debug)]
struct Route {
    thread: usize,
    /// Requests that are on their way.
    pending: usize,
    /// Whether the thread holds the call.
    open: bool,
}

/// All calls and their threads.
#[derive(Debug)]
pub(crate) struct Routes {
    calls: HashMap<CallKey, Route>,
    /// Calls of each thread; none where the thread has died.
    load: Vec<Option<usize>>,
}

/// The routes as threads share them.
#[derive(Debug, Clone)]
pub(crate) struct SharedRoutes(Arc<Mutex<Routes>>);

/// Why a request goes nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoute {
    /// The call is not open, and the request does not open it.
    CallUnknown,
    /// Every thread has died.
    NoThread,
}

impl SharedRoutes {
    /// No calls on `threads` threads.
    pub(crate) fn new(threads: usize) -> Self {
        let load = vec![Some(0); threads];
        Self(Arc::new(Mutex::new(Routes {
            calls: HashMap::new(),
            load,
        })))
    }

    /// Locks. A panic elsewhere leaves the routes whole: no step here can fail half-way.
    fn lock(&self) -> MutexGuard<'_, Routes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds the thread for a request, the least loaded one for a call that is new. The request
    /// counts as on its way until the ticket is dropped.
    pub(crate) fn admit(&self, key: CallKey, opens: bool) -> Result<(usize, Ticket), NoRoute> {
        let mut routes = self.lock();
        let Routes { calls, load } = &mut *routes;
        let route = match calls.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(_) if !opens => return Err(NoRoute::CallUnknown),
            Entry::Vacant(entry) => {
                let thread = (0..load.len())
                    .filter(|thread| load[*thread].is_some())
                    .min_by_key(|thread| load[*thread])
                    .ok_or(NoRoute::NoThread)?;
                load[thread] = load[thread].map(|calls| calls + 1);
                entry.insert(Route {
                    thread,
                    pending: 0,
                    open: false,
                })
            }
        };
        route.pending += 1;
        Ok((
            route.thread,
            Ticket {
                key,
                routes: self.clone(),
            },
        ))
    }

    /// A thread opens a call that nobody has asked for; false where there is one of that name.
    pub(crate) fn claim(&self, key: CallKey, thread: usize) -> bool {
        let mut routes = self.lock();
        let Routes { calls, load } = &mut *routes;
        let Entry::Vacant(entry) = calls.entry(key) else {
            return false;
        };
        entry.insert(Route {
            thread,
            pending: 0,
            open: true,
        });
        load[thread] = load[thread].map(|calls| calls + 1);
        true
    }

    /// The thread says that it holds the call. It does so while it has a request for it.
    pub(crate) fn opened(&self, key: CallKey) {
        if let Some(route) = self.lock().calls.get_mut(&key) {
            route.open = true;
        }
    }

    /// The thread says that the call is over.
    pub(crate) fn closed(&self, key: CallKey) {
        let mut routes = self.lock();
        if let Some(route) = routes.calls.get_mut(&key) {
            route.open = false;
        }
        routes.forget_if_done(key);
    }

    /// A thread has died with its calls: none goes there any more.
    pub(crate) fn lost(&self, thread: usize) {
        let mut routes = self.lock();
        if let Some(load) = routes.load.get_mut(thread) {
            *load = None;
        }
        routes.calls.retain(|_, route| {
            if route.thread == thread {
                route.open = false;
            }
            route.open || route.pending > 0
        });
    }

    /// Calls that have a thread, and requests on their way, for tests.
    #[cfg(test)]
    pub(crate) fn census(&self) -> (usize, usize) {
        let routes = self.lock();
        (
            routes.calls.len(),
            routes.calls.values().map(|route| route.pending).sum(),
        )
    }
}

impl Routes {
    fn forget_if_done(&mut self, key: CallKey) {
        if let Entry::Occupied(entry) = self.calls.entry(key)
            && !entry.get().open
            && entry.get().pending == 0
        {
            let load = &mut self.load[entry.remove().thread];
            *load = load.map(|calls| calls.saturating_sub(1));
        }
    }
}

/// A request on its way to a thread.
#[derive(Debug)]
pub(crate) struct Ticket {
    key: CallKey,
    routes: SharedRoutes,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut routes = self.routes.lock();
        if let Some(route) = routes.calls.get_mut(&self.key) {
            route.pending = route.pending.saturating_sub(1);
        }
        routes.forget_if_done(self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(call: u8) -> CallKey {
        (
            AccountSid::from_bytes([1; 16]),
            CallSid::from_bytes([call; 16]),
        )
    }

    #[test]
    fn a_call_keeps_its_thread_while_a_request_is_on_its_way() {
        let routes = SharedRoutes::new(2);
        let (first, opening) = routes.admit(key(1), true).unwrap();
        let (second, racing) = routes.admit(key(1), true).unwrap();
        assert_eq!(first, second);
        routes.opened(key(1));
        drop(opening);
        routes.closed(key(1));
        // The racing request is still on its way: a third one goes to the same thread.
        assert_eq!(routes.admit(key(1), false).unwrap().0, first);
        drop(racing);
        assert_eq!(
            routes.admit(key(1), false).unwrap_err(),
            NoRoute::CallUnknown
        );
        assert_eq!(routes.census(), (0, 0));
    }

    #[test]
    fn calls_go_to_the_least_loaded_thread_and_refused_ones_leave_nothing() {
        let routes = SharedRoutes::new(3);
        let mut threads = Vec::new();
        for call in 0..6 {
            let (thread, _ticket) = routes.admit(key(call), true).unwrap();
            routes.opened(key(call));
            threads.push(thread);
        }
        assert_eq!(threads, [0, 1, 2, 0, 1, 2]);
        routes.closed(key(1));
        let (thread, ticket) = routes.admit(key(7), true).unwrap();
        assert_eq!(thread, 1);
        drop(ticket);
        assert_eq!(routes.census(), (5, 0));
        assert_eq!(routes.admit(key(7), true).unwrap().0, 1);
    }

    #[test]
    fn a_call_that_a_thread_opens_by_itself_is_there_once() {
        let routes = SharedRoutes::new(2);
        assert!(routes.claim(key(1), 1));
        assert!(!routes.claim(key(1), 0));
        assert_eq!(routes.admit(key(1), false).unwrap().0, 1);
        routes.closed(key(1));
        assert_eq!(routes.census(), (0, 0));
    }

    #[test]
    fn another_account_s_call_is_not_there() {
        let routes = SharedRoutes::new(1);
        let _ticket = routes.admit(key(1), true).unwrap();
        let other = (AccountSid::from_bytes([2; 16]), key(1).1);
        assert_eq!(
            routes.admit(other, false).unwrap_err(),
            NoRoute::CallUnknown
        );
    }

    #[test]
    fn a_dead_thread_s_calls_are_gone_and_new_ones_go_elsewhere() {
        let routes = SharedRoutes::new(2);
        let (_, opening) = routes.admit(key(1), true).unwrap();
        routes.opened(key(1));
        drop(opening);
        let (thread, ticket) = routes.admit(key(1), false).unwrap();
        assert_eq!(thread, 0);
        routes.lost(0);
        drop(ticket);
        assert_eq!(
            routes.admit(key(1), false).unwrap_err(),
            NoRoute::CallUnknown
        );
        let (thread, _ticket) = routes.admit(key(1), true).unwrap();
        assert_eq!(thread, 1);
        routes.lost(1);
        assert_eq!(routes.admit(key(2), true).unwrap_err(), NoRoute::NoThread);
    }
}
