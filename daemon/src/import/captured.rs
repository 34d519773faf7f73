//! The calls of a capture, into the store.
//!
//! Called by [`super::run`]; `signal` finds the calls and plays them, here their outputs are
//! appended to takes by the recorder's own [`OpenTake`].

use std::collections::HashMap;
use std::fs::File;

use reeld_capture::{Output, Settings};
use reeld_model::control::Tags;
use reeld_model::{EndedBy, Mono, RecordingSid, Summary, Trim};
use reeld_signal::pcap::{self, Beginning, Import, Sink};
use reeld_store::{NewRecording, Origin, Parties, Stage};
use serde_json::Value;

use super::{Done, Progress, Shelf, made};
use crate::recorder::OpenTake;

/// Imports the calls of a capture of `length` bytes.
pub(super) fn import(
    shelf: &Shelf<'_>,
    settings: &Settings,
    file: &mut File,
    length: u64,
    progress: Progress<'_>,
    done: &mut Done,
) {
    let how = Import {
        account: shelf.account,
        call: shelf.job.call,
        settings: settings.clone(),
    };
    let mut takes = Takes {
        shelf,
        open: HashMap::new(),
        progress,
        begun: 0,
        done,
    };
    let report = pcap::import(file, length, &how, &mut takes);
    takes.undo();
    done.problems.extend(report.problems);
    done.notes.extend(report.notes);
    if report.stopped {
        done.problems.push("the import was stopped".to_owned());
    }
}

/// The takes of the calls that are played.
struct Takes<'t, 's> {
    shelf: &'t Shelf<'s>,
    open: HashMap<RecordingSid, (String, OpenTake)>,
    progress: Progress<'t>,
    begun: u64,
    done: &'t mut Done,
}

impl Sink for Takes<'_, '_> {
    fn begin(&mut self, beginning: &Beginning) -> Option<RecordingSid> {
        let of = format!("call {}: ", beginning.external_id);
        match self.try_begin(beginning) {
            Ok((sid, take)) => {
                self.begun += 1;
                self.open.insert(sid, (of, take));
                Some(sid)
            }
            Err(refused) => {
                refused.tell(&of, self.done);
                None
            }
        }
    }

    fn push(&mut self, output: Output, unix_ms: &dyn Fn(Mono) -> i64) {
        let sid = output.recording();
        if let Output::Ended { at, summary, .. } = output {
            if let Some((of, take)) = self.open.remove(&sid) {
                self.end(&of, take, *summary, unix_ms(at));
            }
            return;
        }
        if let Some((of, take)) = self.open.get_mut(&sid)
            && let Err(error) = take.write(&output, unix_ms)
        {
            // What follows is dropped; what was written becomes the recording.
            self.done.problems.push(format!("{of}{error}"));
        }
    }

    fn progress(&mut self, done: u64, total: u64) -> bool {
        (self.progress)(done, total)
    }
}

impl Takes<'_, '_> {
    fn try_begin(&self, beginning: &Beginning) -> Result<(RecordingSid, OpenTake), super::Refused> {
        use super::Refused::Problem;
        let job = self.shelf.job;
        if job.sid.is_some() && self.begun > 0 {
            let what = "the file has more than the one recording that a Sid was given for";
            return Err(Problem(what.to_owned()));
        }
        let channels = beginning.channels.count();
        if let Some(wanted) = job.channels.filter(|wanted| *wanted != channels) {
            let what = format!("it has {channels} channels, not {wanted}");
            return Err(Problem(what));
        }
        let token = format!(
            "reeld-import\0{}\0{}\0{}\0{}",
            hex::encode(beginning.fingerprint),
            beginning.call,
            beginning.created_ms,
            beginning.external_id
        );
        let new = NewRecording {
            sid: self.shelf.sid().map_err(Problem)?,
            account: beginning.account,
            call: beginning.call,
            channels: beginning.channels,
            track: beginning.track,
            trim: Trim::DoNotTrim,
            origin: Origin::Import,
            created_ms: job.created_ms.unwrap_or(beginning.created_ms),
            parties: Parties {
                from: beginning.from.clone(),
                to: beginning.to.clone(),
                external_id: Some(beginning.external_id.clone()),
            },
            tags: tags(&job.tags, beginning),
            signalling_json: String::new(),
            idempotency_token: Some(token),
            subscription: None,
            action: None,
        };
        let sid = self.shelf.begin(new)?;
        let take = OpenTake::of(self.shelf.store, sid);
        take.map(|take| (sid, take))
            .map_err(|error| Problem(error.to_string()))
    }

    fn end(&mut self, of: &str, take: OpenTake, summary: Summary, ended_ms: i64) {
        let mut codecs: Vec<&str> = Vec::new();
        for name in summary.quality.iter().flat_map(|track| &track.codecs) {
            if !codecs.contains(&name.as_str()) {
                codecs.push(name);
            }
        }
        let codec = codecs.join("+");
        match self.shelf.finish(take.end(summary, ended_ms)) {
            Ok(record) if record.stage == Stage::Absent => {
                let keys = if record.digits.is_empty() {
                    String::new()
                } else {
                    format!(" but the keys {}", record.digits)
                };
                let sid = record.sid;
                let note = format!("{of}{sid} is absent: nothing was to be heard{keys}");
                self.done.notes.push(note);
            }
            Ok(record) => self.done.recordings.push(made(&record, codec)),
            Err(error) => self.done.problems.push(format!("{of}{error}")),
        }
    }

    /// Takes out what was not played to its end.
    fn undo(self) {
        for (_, (_, take)) in self.open {
            let summary = Summary {
                ended_by: EndedBy::Imported,
                frames: take.frames(),
                digits: String::new(),
                tracks: Default::default(),
                quality: Default::default(),
                rate_hz: take.rate_hz(),
            };
            self.shelf.undo(take.end(summary, crate::clock::unix_ms()));
        }
    }
}

/// What is known of the call beside its CallSid; the user's own tags come first.
fn tags(given: &Tags, beginning: &Beginning) -> Tags {
    let mut tags = given.clone();
    for (name, value) in [
        ("external_id", Some(&beginning.external_id)),
        ("from", beginning.from.as_ref()),
        ("to", beginning.to.as_ref()),
    ] {
        if let Some(value) = value
            && !tags.contains_key(name)
        {
            tags.insert(name.to_owned(), Value::String(value.clone()));
        }
    }
    tags
}
