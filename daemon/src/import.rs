//! `reeld import`: recordings out of files.
//!
//! Called by the local socket's server, or by its client where that holds the data folder itself;
//! calls `signal` for captures, `codec` for sound, `store` for what they become. The file comes
//! open: who asks may read what the daemon's user may not.
//!
//! A recording is ended as the recorder ends it. What an import was stopped in the middle of is
//! taken out again. The same call or file is not imported twice: it has a token, as Twilio's
//! idempotency tokens are, and a repeat is told the first recording.

mod captured;
mod sound;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use reeld_capture::Settings;
use reeld_model::control::Tags;
use reeld_model::{AccountSid, CallSid, EndedBy, RecordingSid};
use reeld_signal::pcap;
use reeld_store::{Begun, End, NewRecording, Record, Store, StoreError, Take};
use serde::{Deserialize, Serialize};

/// What is to be imported, beside the open file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The file's name, for what is said of it.
    pub name: String,
    /// Whose it becomes; where none is given, the only account there is.
    pub account: Option<AccountSid>,
    /// Its CallSid.
    pub call: Option<CallSid>,
    /// Its Sid, for a file of one recording; made where none is given.
    pub sid: Option<RecordingSid>,
    /// When it was made, milliseconds since the Unix epoch; the file knows, where none is given.
    pub created_ms: Option<i64>,
    /// The channels that it must have.
    pub channels: Option<u16>,
    /// Its tags.
    #[serde(default)]
    pub tags: Tags,
}

/// A recording that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Its Sid.
    pub sid: RecordingSid,
    /// Its call.
    pub call: CallSid,
    /// Its length.
    pub duration_ms: u64,
    /// Its channels.
    pub channels: u16,
    /// What its sound was, by SDP names or a file's kind.
    pub codec: String,
}

/// What came of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Its recordings.
    pub recordings: Vec<Made>,
    /// What was not imported, a line each.
    pub problems: Vec<String>,
    /// What is worth saying and is nobody's fault.
    pub notes: Vec<String>,
}

/// Hears bytes done and bytes in all; false stops the import.
pub(crate) type Progress<'p> = &'p mut dyn FnMut(u64, u64) -> bool;

/// Imports a file. What goes wrong with it is in the answer; what is whole of it is imported.
#[must_use]
pub fn run(
    store: &Store,
    settings: &Settings,
    job: &Job,
    mut file: File,
    progress: Progress<'_>,
) -> Done {
    let mut done = Done::default();
    if let Err(problem) = try_run(store, settings, job, &mut file, progress, &mut done) {
        done.problems.push(problem);
    }
    done
}

fn try_run(
    store: &Store,
    settings: &Settings,
    job: &Job,
    file: &mut File,
    progress: Progress<'_>,
    done: &mut Done,
) -> Result<(), String> {
    let about = file.metadata().map_err(|error| error.to_string())?;
    if !about.is_file() {
        return Err("it is no regular file".to_owned());
    }
    let account = account(store, job.account)?;
    let mut head = Vec::new();
    file.seek(SeekFrom::Start(0))
        .and_then(|_| file.by_ref().take(12).read_to_end(&mut head))
        .and_then(|_| file.seek(SeekFrom::Start(0)))
        .map_err(|error| error.to_string())?;
    let shelf = Shelf {
        store,
        account,
        job,
        rate: settings.rate,
    };
    if pcap::is_capture(&head) {
        captured::import(&shelf, settings, file, about.len(), progress, done);
        return Ok(());
    }
    let modified_ms = about
        .modified()
        .ok()
        .and_then(|time| jiff::Timestamp::try_from(time).ok())
        .map_or_else(crate::clock::unix_ms, jiff::Timestamp::as_millisecond);
    let is_wave = head.len() == 12 && head.starts_with(b"RIFF") && head.ends_with(b"WAVE");
    let is_mp3 = matches!(*head, [b'I', b'D', b'3', ..] | [0xff, 0xe0..=0xff, ..]);
    let kind = match (is_wave, is_mp3) {
        (true, _) => sound::Kind::Wav,
        (false, true) => sound::Kind::Mp3,
        (false, false) => {
            return Err("it is neither pcap, pcapng, WAV nor MP3".to_owned());
        }
    };
    sound::import(&shelf, kind, file, about.len(), modified_ms, progress, done)
}

/// The account that is meant.
fn account(store: &Store, wanted: Option<AccountSid>) -> Result<AccountSid, String> {
    let accounts = store.accounts().map_err(|error| error.to_string())?;
    match (wanted, &*accounts) {
        (Some(sid), _) if accounts.iter().any(|account| account.sid == sid) => Ok(sid),
        (Some(sid), _) => Err(format!("there is no account {sid}")),
        (None, [only]) => Ok(only.sid),
        (None, []) => Err("there is no account: make one with `reeld account add`".to_owned()),
        (None, several) => {
            let count = several.len();
            Err(format!(
                "there are {count} accounts: say which with --account"
            ))
        }
    }
}

/// Where a file's recordings go.
struct Shelf<'s> {
    store: &'s Store,
    account: AccountSid,
    job: &'s Job,
    /// `capture.rate`.
    rate: reeld_capture::Rate,
}

impl Shelf<'_> {
    /// A Sid: the job's, else a new one.
    fn sid(&self) -> Result<RecordingSid, String> {
        if let Some(sid) = self.job.sid {
            return Ok(sid);
        }
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|error| error.to_string())?;
        Ok(RecordingSid::from_bytes(bytes))
    }

    /// Begins a recording; `Err` says why there is none to be made.
    fn begin(&self, new: NewRecording) -> Result<RecordingSid, Refused> {
        let sid = new.sid;
        let wants_sid = self.job.sid.is_some();
        match self.store.begin(new) {
            Ok(Begun::New(record)) => Ok(record.sid),
            Ok(Begun::Repeated(_)) if wants_sid => {
                Err(Refused::Problem(StoreError::SidTaken { sid }.to_string()))
            }
            Ok(Begun::Repeated(first)) if first.ended_by == Some(EndedBy::Imported) => {
                Err(Refused::Note(format!("imported before as {}", first.sid)))
            }
            Ok(Begun::Repeated(first)) => Err(Refused::Problem(format!(
                "an import of it was cut off: delete {} and import it again",
                first.sid
            ))),
            Err(error) => Err(Refused::Problem(error.to_string())),
        }
    }

    /// Makes a recording durable and known.
    fn finish(&self, (take, end): (Take, End)) -> Result<Record, String> {
        let record = self
            .store
            .finish(take, end)
            .map_err(|error| error.to_string())?;
        tracing::info!(
            recording = %record.sid,
            call = %record.call,
            duration_ms = record.duration_ms(),
            "a recording is imported"
        );
        Ok(record)
    }

    /// Takes a recording out again that was not imported to its end.
    fn undo(&self, ended: (Take, End)) {
        let sid = ended.0.sid();
        let undone = self
            .store
            .finish(ended.0, ended.1)
            .and_then(|_| self.store.discard(self.account, sid));
        if let Err(error) = undone {
            tracing::error!(recording = %sid, %error, "a recording imported in part stays");
        }
    }
}

/// Why a recording was not begun.
enum Refused {
    Problem(String),
    Note(String),
}

impl Refused {
    /// Says it of what it is about.
    fn tell(self, of: &str, done: &mut Done) {
        match self {
            Self::Problem(what) => done.problems.push(format!("{of}{what}")),
            Self::Note(what) => done.notes.push(format!("{of}{what}")),
        }
    }
}

/// What is said of a recording that was made.
fn made(record: &Record, codec: String) -> Made {
    Made {
        sid: record.sid,
        call: record.call,
        duration_ms: record.duration_ms(),
        channels: record.channels.count(),
        codec,
    }
}
