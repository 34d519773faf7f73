//! What callers asked for and were told, recording by recording.
//!
//! Written by [`super::caller`] and by the receiver of callbacks; read by [`super::inquest`]. A fact
//! is written down with its [`Mark`] before a request goes out and after its answer is in, so that
//! at any crash it is known what had been promised and what may or may not have happened.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::Mark;
use crate::Tape;
use crate::script::Law;

/// One recording.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Samples of the tape.
    pub samples: usize,
    /// Both tracks, each with its tape.
    pub dual: bool,
    /// The start was sent.
    pub asked: Mark,
    /// And answered with 201, and this Sid.
    pub started: Option<(Mark, String)>,
    /// When each packet of the inbound track went out.
    pub sent: Vec<Instant>,
    /// Seen as completed, with the whole tape played into it.
    pub completed: Option<Mark>,
    /// The WAV as it was served: of what is finished nothing changes any more.
    pub wav: Option<[u8; 32]>,
    /// The MP3 as it was served.
    pub mp3: Option<[u8; 32]>,
    /// An inquest found it: from then on nothing of it changes.
    pub judged: bool,
    /// DELETE was sent.
    pub deleting: Option<Mark>,
    /// And answered with 204.
    pub deleted: Option<Mark>,
    /// Callbacks that were answered with 200: which status, and when.
    pub told: Vec<(Mark, String)>,
}

impl Entry {
    /// Its Sid, where the answer to its start had come before the crash.
    #[must_use]
    pub fn sid_before(&self, mark: Mark) -> Option<&str> {
        let (started, sid) = self.started.as_ref()?;
        (*started <= mark).then_some(sid)
    }
}

/// The tape of a track: 0 is inbound, 1 outbound.
#[must_use]
pub fn tape(seed: u64, track: u64, samples: usize) -> Tape {
    Tape::noise(Law::Mu, seed * 2 + track, samples)
}

/// All recordings by their seeds, and what was found wrong while callers were at work.
#[derive(Debug, Clone, Default)]
pub struct Book {
    /// By seed, which is also the number of the call.
    pub entries: BTreeMap<u64, Entry>,
    /// Sentences.
    pub findings: Vec<String>,
    /// Callbacks that came again after they had been answered with 200.
    pub repeated: u64,
    /// Audio that was fetched while a callback about it was being answered.
    pub fetched: u64,
}

impl Book {
    /// What it said when the disk had come to `mark`; all of it is long ago then.
    #[must_use]
    pub fn as_of(&self, mark: Mark) -> Self {
        let then = |at: Option<Mark>| at.filter(|at| *at <= mark).map(|_| 0);
        let entries = self.entries.iter().filter(|(_, entry)| entry.asked <= mark);
        let entries = entries.map(|(&seed, entry)| {
            let mut entry = entry.clone();
            entry.asked = 0;
            entry.started = entry.started.filter(|(at, _)| *at <= mark);
            entry.started.iter_mut().for_each(|(at, _)| *at = 0);
            entry.completed = then(entry.completed);
            entry.deleting = then(entry.deleting);
            entry.deleted = then(entry.deleted);
            entry.told.retain(|(at, _)| *at <= mark);
            entry.told.iter_mut().for_each(|(at, _)| *at = 0);
            (seed, entry)
        });
        Self {
            entries: entries.collect(),
            ..Self::default()
        }
    }
}

/// The book, shared.
#[derive(Debug, Clone, Default)]
pub struct Ledger(Arc<Mutex<Book>>);

impl Ledger {
    /// The book itself.
    pub fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A start is about to be sent.
    pub fn ask(&self, seed: u64, samples: usize, dual: bool, now: Mark) {
        let entry = Entry {
            samples,
            dual,
            asked: now,
            started: None,
            sent: Vec::new(),
            completed: None,
            wav: None,
            mp3: None,
            judged: false,
            deleting: None,
            deleted: None,
            told: Vec::new(),
        };
        self.book().entries.insert(seed, entry);
    }

    /// Writes something down about a recording that was asked for.
    pub fn note(&self, seed: u64, write: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.book().entries.get_mut(&seed) {
            write(entry);
        }
    }

    /// Something is wrong.
    pub fn find(&self, what: String) {
        self.book().findings.push(what);
    }
}
