//! What goes into the audit trail, and its way there: a line of the log at once, the catalog in
//! batches.
//!
//! `dispatch` calls [`Trail::note`] once a request of who may ask is answered, the daemon
//! [`Trail::note_at_once`] for calls that come by themselves; `serve` runs the writer beside the connections. Who is refused at the door is no part of the trail: a stranger could
//! fill it. One request is one entry, also where it fetches a part.
//!
//! Bounded: [`QUEUE`] entries wait, [`BATCH`] are written at once, once a [`PAUSE`], so that a trail
//! costs the disk one sync a second however much is fetched. Where the queue is full a fetch, and what a
//! call brings, is counted as dropped, and what changes something waits. A crash costs the catalog the last second; the log has
//! it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use http::Response;
use http::header::CONTENT_LENGTH;
use reeld_model::{CallSid, RecordingRef, RecordingSid};
use reeld_store::{AuditAction, AuditEntry, Store};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::watch;

use crate::dispatch::Verb;
use crate::path::{Extension, Resource, Target};

const QUEUE: usize = 16_384;
const BATCH: usize = 4_096;
const PAUSE: Duration = Duration::from_secs(1);

/// What a handler has done, put into its response where the request does not say it all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deed {
    pub(crate) action: AuditAction,
    pub(crate) recording: Option<RecordingSid>,
    pub(crate) call: Option<CallSid>,
}

impl Deed {
    /// Of a request for `target`, as far as that says.
    pub(crate) fn of(target: &Target, verb: Verb) -> Option<Self> {
        let deed = |action, recording, call| {
            Some(Self {
                action,
                recording,
                call,
            })
        };
        match (verb, target.resource) {
            (Verb::Get, Resource::Recording(sid)) => deed(AuditAction::Fetch, Some(sid), None),
            (Verb::Get, Resource::CallRecording(call, RecordingRef::Sid(sid))) => {
                deed(AuditAction::Fetch, Some(sid), Some(call))
            }
            (Verb::Delete, Resource::Recording(sid)) => deed(AuditAction::Delete, Some(sid), None),
            (Verb::Delete, Resource::CallRecording(call, RecordingRef::Sid(sid))) => {
                deed(AuditAction::Delete, Some(sid), Some(call))
            }
            (Verb::Post, Resource::Calls) => deed(AuditAction::OpenCall, None, None),
            (Verb::Post, Resource::Call(call)) => deed(AuditAction::UpdateCall, None, Some(call)),
            (Verb::Post, Resource::CallRecordings(call)) => {
                deed(AuditAction::Start, None, Some(call))
            }
            (Verb::Post, Resource::CallRecording(call, recording)) => {
                let sid = match recording {
                    RecordingRef::Sid(sid) => Some(sid),
                    RecordingRef::Current => None,
                };
                deed(AuditAction::Change, sid, Some(call))
            }
            (Verb::Post, Resource::Links(sid)) => deed(AuditAction::MakeLink, Some(sid), None),
            _ => None,
        }
    }
}

/// The trail's way into the catalog.
#[derive(Debug)]
pub struct Trail {
    queue: Sender<AuditEntry>,
    waiting: Mutex<Option<Receiver<AuditEntry>>>,
    dropped: AtomicU64,
}

impl Trail {
    /// One that waits for its writer, which [`crate::Api::serve`] is.
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "there is one, and it is made by name"
    )]
    pub fn new() -> Self {
        let (queue, waiting) = channel(QUEUE);
        Self {
            queue,
            waiting: Mutex::new(Some(waiting)),
            dropped: AtomicU64::new(0),
        }
    }

    /// Entries that are in the log and not in the catalog.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Notes what was done.
    pub(crate) async fn note(&self, entry: AuditEntry) {
        log(&entry);
        let refused = if entry.action == AuditAction::Fetch {
            self.queue.try_send(entry).is_err()
        } else {
            self.queue.send(entry).await.is_err()
        };
        if refused {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes what a call has done that comes by itself: nothing of it waits. Without room it is in the log alone.
    pub fn note_at_once(&self, entry: AuditEntry) {
        log(&entry);
        if self.queue.try_send(entry).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes what is noted until `ended` is told, and then the rest.
    pub(crate) async fn write(&self, store: Store, mut ended: watch::Receiver<bool>) {
        let waiting = self
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        // Another listener's writer has it.
        let Some(mut waiting) = waiting else {
            return;
        };
        loop {
            let mut batch = Vec::new();
            let is_over = tokio::select! {
                biased;
                _ = waiting.recv_many(&mut batch, BATCH) => false,
                // Who would tell is gone: that is an end too.
                _ = ended.wait_for(|ended| *ended) => true,
            };
            if is_over {
                return;
            }
            self.put(&store, batch).await;
            // At the end nobody adds to what waits, and it is written without a pause.
            let pause = tokio::time::sleep(PAUSE);
            tokio::select! {
                () = pause => {}
                _ = ended.wait_for(|ended| *ended) => {}
            }
        }
    }

    async fn put(&self, store: &Store, batch: Vec<AuditEntry>) {
        let count = batch.len() as u64;
        let store = store.clone();
        let put = tokio::task::spawn_blocking(move || store.audit(&batch)).await;
        let error = match put {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        self.dropped.fetch_add(count, Ordering::Relaxed);
        tracing::error!(
            error,
            count,
            "entries of the audit trail are in the log alone"
        );
    }
}

/// The bytes of a body that are known before it is sent.
pub(crate) fn bytes_of(response: &Response<Body>) -> u64 {
    let length = response.headers().get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    length.unwrap_or_else(|| {
        let hint = axum::body::HttpBody::size_hint(response.body());
        hint.exact().unwrap_or(0)
    })
}

/// What is fetched, in a word.
pub(crate) const fn form_of(extension: Extension) -> &'static str {
    match extension {
        Extension::None | Extension::Wav => "wav",
        Extension::Mp3 => "mp3",
        Extension::Opus => "opus",
        Extension::Peaks => "peaks",
        Extension::Xml => "xml",
        Extension::Json => "json",
        Extension::Csv => "csv",
        Extension::Html => "html",
    }
}

fn log(entry: &AuditEntry) {
    let AuditEntry {
        at_ms: _,
        who,
        address,
        action,
        account,
        recording,
        call,
        form,
        bytes,
        status,
    } = entry;
    tracing::info!(
        target: "audit",
        %who,
        address = address.map(tracing::field::display),
        action = action.as_str(),
        account = account.map(tracing::field::display),
        recording = recording.map(tracing::field::display),
        call = call.map(tracing::field::display),
        form,
        bytes,
        status,
        "audit"
    );
}
