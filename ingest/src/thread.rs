//! A media thread: it owns its calls outright and wakes on a tick or for a request.
//!
//! `switchboard` starts it and gives it [`Job`]s through a bounded queue. It calls `live`, and says
//! to `routes` and `shared` what others need to know.
//!
//! For a packet: no lock, no allocation here, no wake-up. Sockets are not polled; waiting on the
//! queue alone is what lets a request wake the thread at once. While a beep sounds it wakes for each
//! frame of it too; beeps of all its calls share these wake-ups (`capture::call::beep`).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};

use reeld_model::{
    Answer, Command, EndedBy, Ending, Mono, OpenCall, Refusal, StartRecording, TrackStats,
};

use crate::clock::monotonic;
use crate::inlet::Reader;
use crate::leg::Sockets;
use crate::live::LiveCall;
use crate::open::{OPEN_TICK, OpenPort};
use crate::outbox::Outbox;
use crate::promise::Promise;
use crate::routes::{CallKey, Ticket};
use crate::shared::{Progress, Shared};
use crate::{Sink, TICK};

/// Requests that are served before the tick is looked at again: some milliseconds' worth.
const JOBS_A_TURN: usize = 64;

/// Ticks between two reads of the RTCP sockets, the odd ports, and two sums of the statistics.
/// Reports come every few seconds (RFC 3550 §6.2), and a BYE waits 2 s before it counts. Nearly all reads
/// of these find nothing.
const RTCP_EVERY: u64 = 5;

/// A request on its way to a thread.
pub(crate) struct Job {
    /// What to do.
    pub(crate) command: Command,
    /// Whom to tell.
    pub(crate) promise: Promise,
    /// Keeps the call's route while the request is on its way.
    pub(crate) ticket: Ticket,
}

/// A media thread's state.
struct MediaThread {
    index: usize,
    shared: Arc<Shared>,
    /// Boxed, since the table moves its entries when it grows.
    calls: HashMap<CallKey, Box<LiveCall>>,
    reader: Reader,
    outbox: Outbox,
    /// Sums over the calls that are over.
    ended: TrackStats,
    ticks: u64,
    /// When the next frame of a beep is due, if one sounds.
    beep_due: Option<Mono>,
    open: Vec<OpenPort>,
}

/// Runs thread number `index` until the daemon stops or nobody can send jobs any more; by then every
/// recording has ended and the sink has it all.
pub(crate) fn run(
    index: usize,
    shared: Arc<Shared>,
    sink: Box<dyn Sink>,
    jobs: Receiver<Job>,
    taken: HashMap<CallKey, Box<LiveCall>>,
    open: Vec<OpenPort>,
) {
    // Made first, so dropped last: when a panic is made known, what the thread held is free.
    let _obituary = Obituary {
        index,
        shared: Arc::clone(&shared),
    };
    let jobs = jobs;
    MediaThread {
        index,
        calls: taken,
        reader: Reader::new(),
        outbox: Outbox::new(sink, Arc::clone(&shared)),
        ended: TrackStats::default(),
        ticks: 0,
        beep_due: None,
        open,
        shared,
    }
    .work(&jobs);
}

impl MediaThread {
    fn work(mut self, jobs: &Receiver<Job>) {
        self.progress().set_calls(self.calls.len());
        let mut due = monotonic() + TICK;
        let mut open_due = monotonic();
        while !self.shared.is_stopping() {
            let mut wake = self.beep_due.map_or(due, |beep| beep.min(due));
            if !self.open.is_empty() {
                wake = wake.min(open_due);
            }
            match jobs.recv_timeout(wake.since(monotonic())) {
                Ok(job) => {
                    self.serve(job);
                    jobs.try_iter()
                        .take(JOBS_A_TURN - 1)
                        .for_each(|job| self.serve(job));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.beep_due.is_some_and(|beep| monotonic() >= beep) {
                self.beep();
            }
            if !self.open.is_empty() && monotonic() >= open_due {
                self.reader.refresh();
                self.drain_open_ports(None);
                open_due = (open_due + OPEN_TICK).max(monotonic());
            }
            if monotonic() >= due {
                self.tick();
                // A tick that took too long is not made up for.
                due = (due + TICK).max(monotonic());
            }
        }
        // Dropped, they are answered: nobody waits for the sink below.
        jobs.try_iter().for_each(drop);
        self.finish();
    }

    fn serve(&mut self, job: Job) {
        let Job {
            command,
            promise,
            ticket,
        } = job;
        let result = self.carry_out(command);
        self.outbox.flush();
        // First the route, then the answer: who has the answer finds the route as it says.
        drop(ticket);
        promise.fulfil(result);
    }

    fn carry_out(&mut self, command: Command) -> Result<Answer, Refusal> {
        match command {
            Command::OpenCall(open) => {
                let key = (open.account, open.call);
                if self.calls.contains_key(&key) {
                    return self.with_call(key, |live, _| {
                        live.update(&open)?;
                        Ok(Answer::Call(live.view()))
                    });
                }
                let live = LiveCall::open(open, &self.shared)?;
                let view = live.view();
                self.keep(key, live);
                Ok(Answer::Call(view))
            }
            Command::DescribeCall { account, call } => {
                self.with_call((account, call), |live, _| Ok(Answer::Call(live.view())))
            }
            Command::UpdateCall {
                account,
                call,
                sdp,
                source,
            } => self.with_call((account, call), |live, _| {
                live.listen_to(sdp.as_deref(), source)?;
                Ok(Answer::Call(live.view()))
            }),
            Command::CompleteCall {
                account,
                call,
                ending,
            } => self.with_call((account, call), |live, now| {
                match ending {
                    Ending::Now => live.call.complete(now, EndedBy::CallCompleted),
                    Ending::Late(late) => live.call.complete_late(now, late),
                    Ending::Silent => live.call.expire(now),
                }
                Ok(Answer::Call(live.view()))
            }),
            Command::StartRecording {
                call,
                may_open,
                start,
            } => self.start_recording(call, may_open, start),
            Command::ChangeRecording {
                account,
                call,
                recording,
                change,
            } => self.with_call((account, call), |live, now| {
                let view = live.call.change(now, recording, change)?;
                Ok(Answer::Recording(view, live.view()))
            }),
        }
    }

    fn start_recording(
        &mut self,
        open: OpenCall,
        may_open: bool,
        start: StartRecording,
    ) -> Result<Answer, Refusal> {
        let key = (open.account, open.call);
        let is_open = self.calls.contains_key(&key);
        if !is_open && !may_open {
            return Err(Refusal::CallUnknown);
        }
        let quota = &self.shared.quota;
        let seat = quota
            .take()
            .ok_or_else(|| Refusal::TooManyRecordings(quota.most()))?;
        if is_open {
            return self.with_call(key, |live, now| {
                live.update(&open)?;
                live.start(now, start, seat)
            });
        }
        let mut live = LiveCall::open(open, &self.shared)?;
        let answer = live.start(monotonic(), start, seat)?;
        live.collect(&mut self.outbox);
        // No packet has come yet, so no beep sounds.
        self.keep(key, live);
        Ok(answer)
    }

    /// Has a call do what `act` does, after all that came for it until now.
    fn with_call(
        &mut self,
        key: CallKey,
        act: impl FnOnce(&mut LiveCall, Mono) -> Result<Answer, Refusal>,
    ) -> Result<Answer, Refusal> {
        let is_fed = self.calls.get(&key).is_some_and(|live| live.is_fed());
        if is_fed {
            self.reader.refresh();
            self.drain_open_ports(Some(self.reader.now()));
        }
        let live = self.calls.get_mut(&key).ok_or(Refusal::CallUnknown)?;
        live.catch_up(&mut self.reader);
        let result = act(live, monotonic());
        live.collect(&mut self.outbox);
        self.beep_due = earlier(self.beep_due, live.call.beep_due());
        if live.call.is_over() {
            self.ended.add(&live.totals());
            if let Some(live) = self.calls.remove(&key).filter(|live| live.is_fed()) {
                self.open.iter_mut().for_each(|port| port.close(key, &live));
            }
            self.shared.routes.closed(key);
            self.progress().set_calls(self.calls.len());
        }
        result
    }

    fn keep(&mut self, key: CallKey, mut live: LiveCall) {
        live.told();
        self.calls.insert(key, Box::new(live));
        self.shared.routes.opened(key);
        self.progress().set_calls(self.calls.len());
    }

    /// Sends what is due of the calls' beeps.
    fn beep(&mut self) {
        let Self {
            calls,
            reader,
            outbox,
            ..
        } = self;
        let mut next = None;
        for live in calls.values_mut() {
            let Some(due) = live.call.beep_due() else {
                continue;
            };
            if due <= monotonic() {
                live.beep(reader);
                live.collect(outbox);
            }
            next = earlier(next, live.call.beep_due());
        }
        self.beep_due = next;
        self.outbox.flush();
    }

    fn tick(&mut self) {
        self.ticks += 1;
        let all = self.ticks.is_multiple_of(RTCP_EVERY);
        let which = if all { Sockets::All } else { Sockets::Rtp };
        if !self.open.is_empty() && self.shared.closing_open_ports.load(Ordering::Acquire) {
            self.close_open_ports();
        }
        let Self {
            calls,
            reader,
            outbox,
            ended,
            shared,
            open,
            ..
        } = self;
        reader.refresh();
        open.iter_mut().for_each(|port| port.tick(reader.now()));
        let mut next = None;
        calls.retain(|key, live| {
            live.tick(reader, which);
            live.collect(outbox);
            next = earlier(next, live.call.beep_due());
            let over = live.call.is_over();
            if over {
                ended.add(&live.totals());
                if live.is_fed() {
                    open.iter_mut().for_each(|port| port.close(*key, live));
                }
                shared.routes.closed(*key);
            }
            !over
        });
        self.beep_due = next;
        self.outbox.flush();
        self.progress().set_calls(self.calls.len());
        if all {
            self.publish();
        }
        self.progress().tick(monotonic());
    }

    /// Reads the open ports: a share, or all that came until an instant.
    fn drain_open_ports(&mut self, until: Option<Mono>) {
        let Self {
            open,
            calls,
            reader,
            shared,
            index,
            ..
        } = self;
        for port in open {
            port.drain(reader, until, calls, shared, *index);
        }
    }

    /// Ends the calls of open ports in order, with all that has come, and closes the ports.
    fn close_open_ports(&mut self) {
        self.reader.refresh();
        self.drain_open_ports(Some(self.reader.now()));
        for live in self.calls.values_mut().filter(|live| live.is_fed()) {
            // As by a command: a daemon that stops would keep what its stop ends for the next one.
            live.call.complete(monotonic(), EndedBy::CallCompleted);
        }
        self.open.clear();
        self.progress().set_open_ports(false);
    }

    /// The daemon stops: what has come is taken in, every recording ends, the sink gets it all. Calls that are
    /// handed over are kept just before they end.
    fn finish(&mut self) {
        self.reader.refresh();
        self.drain_open_ports(Some(self.reader.now()));
        let Self {
            calls,
            reader,
            outbox,
            ended,
            shared,
            ..
        } = self;
        // The calls of open ports have all that came to them.
        for (key, mut live) in calls.drain() {
            live.catch_up(reader);
            live.collect(outbox);
            ended.add(&live.totals());
            shared.routes.closed(key);
            if live.call.is_over() {
                continue;
            }
            if shared.hands_over() && !live.is_fed() {
                let handed = live.hand_over(outbox);
                shared.handed().extend(handed);
            } else {
                live.call.complete(monotonic(), EndedBy::Shutdown);
                live.collect(outbox);
            }
        }
        self.outbox.finish();
        self.progress().set_calls(0);
        self.publish();
    }

    fn publish(&self) {
        let mut totals = self.ended;
        self.calls
            .values()
            .for_each(|live| totals.add(&live.totals()));
        self.progress().publish(totals);
    }

    fn progress(&self) -> &Progress {
        &self.shared.threads[self.index]
    }
}

/// The earlier of two instants that there may be.
fn earlier(one: Option<Mono>, other: Option<Mono>) -> Option<Mono> {
    one.into_iter().chain(other).min()
}

/// Says so when a thread panics: its calls are gone, no new one may come to it, and the watchdog
/// has to know.
struct Obituary {
    index: usize,
    shared: Arc<Shared>,
}

impl Drop for Obituary {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(
                thread = self.index,
                "a media thread has panicked: its calls are lost"
            );
            self.shared.threads[self.index].died();
            self.shared.routes.lost(self.index);
        }
    }
}
