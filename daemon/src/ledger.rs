//! Where calls that come by themselves are counted, and what of them goes into the audit trail: each recording that one
//! begins, and its end; who is turned away, so that a flood of strangers fills neither trail nor log.
//!
//! `run` makes it; `work` and the servers of calls put into it. A recording that goes on in the next daemon has the entry of
//! its beginning from the first and that of its end from the last.
//!
//! Strangers: of each kind ([`Bringer`], [`Declined`]) the first is an entry within [`LOOK_EVERY`], and all that follow are
//! one every [`TELL_EVERY`] and one at the daemon's end, with how many they were and from where the last of them came.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use reeld_api::Trail;
use reeld_model::incoming::{Declined, Strangers, Turned};
use reeld_model::{Bringer, EndedBy, Incoming, Mono, OpenCall, RecordingSid};
use reeld_signal::work::By;
use reeld_store::{AuditAction, AuditEntry, Origin, Record, Who};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock;

/// How often it is looked for strangers.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Between two entries of strangers of one kind.
const TELL_EVERY: Duration = Duration::from_secs(600);

/// Counters and trail.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    pub(crate) incoming: Arc<Incoming>,
    pub(crate) trail: Arc<Trail>,
    /// Where the rtpengine is asked that is followed: its recordings do not say.
    ng: Option<IpAddr>,
}

impl Ledger {
    /// An empty one; `ng` is where an rtpengine is followed.
    pub(crate) fn new(ng: Option<IpAddr>) -> Self {
        Self {
            incoming: Arc::default(),
            trail: Arc::new(Trail::new()),
            ng,
        }
    }

    /// A call is not taken; a stranger's is of the trail too.
    pub(crate) fn declined(&self, by: Bringer, why: Declined, address: IpAddr) {
        self.incoming.declined(by, why);
        if matches!(why, Declined::NotAllowed | Declined::NoAccount) {
            self.incoming.turned_away(by, why, address, 1);
        }
    }

    /// A recording is begun.
    pub(crate) fn recorded(&self, by: &By, open: &OpenCall, recording: RecordingSid) {
        self.incoming.recorded(by.bringer);
        self.trail.note_at_once(AuditEntry {
            action: AuditAction::Start,
            account: Some(open.account),
            recording: Some(recording),
            call: Some(open.call),
            form: by.agent.clone().unwrap_or_default(),
            ..entry(by.bringer, by.address)
        });
    }

    /// A recording has ended. What the API has stopped is an entry already.
    pub(crate) fn ended(&self, record: &Record) {
        let Some(bringer) = bringer_of(record) else {
            return;
        };
        let Some(ended_by) = record.ended_by.filter(|by| *by != EndedBy::Stopped) else {
            return;
        };
        let ng = self.ng.filter(|_| bringer == Bringer::Rtpengine);
        self.trail.note_at_once(AuditEntry {
            action: AuditAction::End,
            account: Some(record.account),
            recording: Some(record.sid),
            call: Some(record.call),
            form: ended_by.as_str().to_owned(),
            ..entry(bringer, address_of(record).or(ng))
        });
    }

    /// Begins to write strangers into the trail.
    pub(crate) fn watch_strangers(&self) -> Watch {
        let (stop, mut stopped) = watch::channel(false);
        let Self {
            incoming, trail, ..
        } = self.clone();
        let task = tokio::spawn(async move {
            let mut pace = Pace::default();
            let mut is_over = false;
            while !is_over {
                is_over = tokio::select! {
                    () = tokio::time::sleep(LOOK_EVERY) => false,
                    // A sender that is gone has stopped too.
                    _ = stopped.wait_for(|stopped| *stopped) => true,
                };
                pace.take(incoming.take_strangers());
                for ((bringer, why), turned) in pace.due(clock::now(), is_over) {
                    trail.note_at_once(AuditEntry {
                        action: AuditAction::TurnAway,
                        form: why.as_str().to_owned(),
                        bytes: turned.count,
                        ..entry(bringer, Some(turned.address))
                    });
                }
            }
        });
        Watch { stop, task }
    }
}

/// What writes strangers.
pub(crate) struct Watch {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Watch {
    /// Ends it; who was turned away until now is written.
    pub(crate) async fn end(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "what writes down strangers panicked");
        }
    }
}

/// Who was turned away and is not written, and when what is was.
#[derive(Debug, Default)]
struct Pace {
    waiting: Strangers,
    told: BTreeMap<(Bringer, Declined), Mono>,
}

impl Pace {
    fn take(&mut self, strangers: Strangers) {
        for (kind, turned) in strangers {
            match self.waiting.entry(kind) {
                Entry::Vacant(vacant) => {
                    vacant.insert(turned);
                }
                Entry::Occupied(mut waiting) => {
                    let waiting = waiting.get_mut();
                    waiting.count += turned.count;
                    waiting.address = turned.address;
                }
            }
        }
    }

    /// What is to be written now; at the end, all of it.
    fn due(&mut self, now: Mono, is_over: bool) -> Strangers {
        let Self { waiting, told } = self;
        let is_due = |kind: &(Bringer, Declined), _: &Turned| {
            let told = told.get(kind);
            is_over || told.is_none_or(|told| now.since(*told) >= TELL_EVERY)
        };
        let due: Strangers = waiting
            .iter()
            .filter(|(kind, turned)| is_due(kind, turned))
            .map(|(kind, turned)| (*kind, *turned))
            .collect();
        for kind in due.keys() {
            waiting.remove(kind);
            told.insert(*kind, now);
        }
        due
    }
}

fn entry(bringer: Bringer, address: Option<IpAddr>) -> AuditEntry {
    AuditEntry {
        at_ms: clock::unix_ms(),
        who: Who::Bringer(bringer),
        address,
        action: AuditAction::Start,
        account: None,
        recording: None,
        call: None,
        form: String::new(),
        bytes: 0,
        status: 0,
    }
}

/// What has brought the call of a recording; none where the API or a file has.
fn bringer_of(record: &Record) -> Option<Bringer> {
    match record.origin {
        Origin::ControlApi | Origin::RecordVerb | Origin::Import => None,
        Origin::Siprec if said(record, "source").as_deref() == Some(Bringer::Sip.as_str()) => {
            Some(Bringer::Sip)
        }
        Origin::Siprec => Some(Bringer::Siprec),
        Origin::Rtpengine => Some(Bringer::Rtpengine),
        Origin::AudioSocket => Some(Bringer::AudioSocket),
        Origin::OpenPort => Some(Bringer::OpenPort),
    }
}

/// From where a recording's call came, as far as the recording says.
pub(crate) fn address_of(record: &Record) -> Option<IpAddr> {
    said(record, "address")?.parse().ok()
}

fn said(record: &Record, name: &str) -> Option<String> {
    let signalling: Value = serde_json::from_str(&record.signalling_json).ok()?;
    signalling[name].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(count: u64, last: u8) -> Strangers {
        let address = [192, 0, 2, last].into();
        Strangers::from([(
            (Bringer::Sip, Declined::NotAllowed),
            Turned { count, address },
        )])
    }

    #[test]
    fn a_flood_is_one_entry_at_once_and_one_now_and_then_and_each_is_counted() {
        let mut pace = Pace::default();
        let (mut entries, mut counted) = (0, 0);
        // A day of 1,000 a second.
        for second in 0..86_400_u64 {
            pace.take(of(1_000, 1));
            let now = Mono(second * 1_000_000_000);
            for turned in pace.due(now, second == 86_399).into_values() {
                entries += 1;
                counted += turned.count;
            }
            assert!(entries > 0, "the first is told at once");
        }
        assert_eq!((entries, counted), (145, 86_400_000));
    }

    #[test]
    fn one_now_and_then_is_told_each_time() {
        let mut pace = Pace::default();
        for (at, last) in [(0, 1), (700, 2), (1_400, 3)] {
            pace.take(of(1, last));
            let now = Mono(at * 1_000_000_000);
            assert_eq!(pace.due(now, false), of(1, last));
        }
        pace.take(of(1, 4));
        pace.take(of(2, 5));
        let now = Mono(1_401 * 1_000_000_000);
        assert!(pace.due(now, false).is_empty());
        assert_eq!(pace.due(now, true), of(3, 5));
    }
}
