//! Recordings of a call: start one, pause, resume and stop it (contract.md, "Control").
//!
//! Called by `dispatch`. A start is a sequence of its own task, so that a client that goes away in
//! the middle leaves a recording or none, never half of one:
//!
//! 0. There may be too much to do, or to wait for: refused. With `Source=rtpengine` the call's media are asked for. The call is described by capture, for what the record keeps of it.
//! 1. `store.begin`: a durable record and its take. Crash after: recovery finds an empty take and
//!    marks it absent.
//! 2. The command to capture. Refused: `store.abort`. No answer in time: the client is told so,
//!    and the task stops the recording should it start after all.
//! 3. The answer.

use std::sync::Arc;

use axum::body::Body;
use http::{HeaderMap, Response, StatusCode};
use reeld_model::{
    Answer, Beep, CallSid, CallView, ChangeRecording, Command, EndedBy, LiveStatus, OpenCall,
    PauseBehavior, RecordingRef, RecordingSid, Refusal, StartRecording,
};
use reeld_store::{
    Action, AuditAction, Begun, Dialect, NewRecording, Parties, Record, Stage, Subscription,
};

use crate::answer;
use crate::app::{App, Declined};
use crate::audit::Deed;
use crate::calls::{call_parameters, random_bytes, set_location};
use crate::dispatch::Asked;
use crate::face::Version;
use crate::fault::{Fault, code};
use crate::params::{Known, Params, Use};
use crate::path::{Resource, path_of};
use crate::recording::{Live, RecordingView};
use crate::start::StartForm;

/// Twilio's header for telling repeats apart.
const IDEMPOTENCY_TOKEN: &str = "i-twilio-idempotency-token";
/// Bytes of its value: a UUID has 36.
pub(crate) const MAX_TOKEN: usize = 128;

pub(crate) const KNOWN_TO_UPDATE: &[Known] = &[("Status", Use::Read), ("PauseBehavior", Use::Read)];

/// Recordings that are being begun at once: each holds a thread of tokio's 512 that block until the
/// disk has its names, and on a disk that stands still the other half is left to who reads.
pub(crate) const BEGINS: usize = 256;

/// What a start came to.
struct Started {
    record: Record,
    /// Whether an earlier request with the same token had begun it.
    repeated: bool,
    status: Option<LiveStatus>,
    frames: u64,
    /// Frames a second.
    rate_hz: u32,
    call: Option<CallView>,
}

/// POST on a call's Recordings.
pub(crate) async fn start(
    asked: &Asked,
    call: CallSid,
    mut form: Params,
) -> Result<Response<Body>, Fault> {
    let app = &asked.app;
    let wanted = StartForm::read(&mut form, &app.settings.record, &app.settings.callbacks)?;
    // A call that this opens gets both tracks, so that its next recording can have either.
    let open = call_parameters(asked, call, &mut form)?;
    let sid = RecordingSid::from_bytes(random_bytes()?);
    let version = asked.target.version;
    let recording_url =
        asked.base_url() + &path_of(version, asked.target.account, &Resource::Recording(sid));
    let subscription = wanted.callback.map(|callback| Subscription {
        url: callback.url,
        method: callback.method,
        events: callback.events,
        recording_url: recording_url.clone(),
    });
    let action = wanted.action.map(|action| Action {
        url: action.url,
        method: action.method,
        recording_url,
        dialect: match version {
            Version::V2008 => Dialect::V2008,
            Version::V2010 => Dialect::V2010,
        },
    });
    let new = NewRecording {
        sid,
        account: asked.target.account,
        call,
        parties: Parties::default(),
        channels: wanted.channels,
        track: wanted.track,
        trim: wanted.trim,
        origin: wanted.origin,
        created_ms: app.now_ms(),
        tags: wanted.tags,
        signalling_json: String::new(),
        idempotency_token: idempotency_token(&asked.headers)?,
        subscription,
        action,
    };
    let start = StartRecording {
        sid: new.sid,
        channels: new.channels,
        track: new.track,
        trim: new.trim,
        rules: wanted.rules,
        beep: if wanted.beep { Some(beep()?) } else { None },
    };
    let fork = wanted.sip_call_id;
    let started = tokio::spawn(carry_out(Arc::clone(app), new, open, start, fork))
        .await
        .map_err(|error| {
            tracing::error!(%error, "the start of a recording died");
            Fault::internal()
        })??;
    let view = RecordingView {
        record: &started.record,
        base_url: &asked.base_url(),
        media_query: asked.media_query(&started.record),
        of_call: true,
        ranges: true,
        live: Some(Live {
            status: started.status,
            frames: started.frames,
            rate_hz: started.rate_hz,
            call: started.call.as_ref(),
        }),
    };
    let status = if started.repeated {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    let mut response = answer::document(
        status,
        &view.document(asked.face()),
        asked.face(),
        &asked.zone(),
    )?;
    set_location(&mut response, asked, &view.resource());
    response.extensions_mut().insert(Deed {
        action: AuditAction::Start,
        recording: Some(started.record.sid),
        call: Some(call),
    });
    Ok(response)
}

/// What a beep's stream begins with.
fn beep() -> Result<Beep, Fault> {
    let [a, b, c, d, e, f, g, h, i, j, ..] = random_bytes()?;
    Ok(Beep {
        ssrc: u32::from_be_bytes([a, b, c, d]),
        sequence: u16::from_be_bytes([e, f]),
        timestamp: u32::from_be_bytes([g, h, i, j]),
    })
}

/// What the recording's call was opened with, or is by this start. Asked for beforehand, since the
/// record keeps it from its beginning.
async fn parties(app: &App, open: &OpenCall) -> Result<Parties, Fault> {
    let command = Command::DescribeCall {
        account: open.account,
        call: open.call,
    };
    let view = match app.ask_call(command).await {
        Ok(view) => Some(view),
        // Whether the start may open it is for capture to say.
        Err(Declined::Refused(Refusal::CallUnknown)) => None,
        Err(declined) => return Err(declined.into()),
    };
    let (from, to, external_id) = view.map_or_else(Default::default, |view| {
        (view.from, view.to, view.external_id)
    });
    Ok(Parties {
        from: from.or_else(|| open.from.clone()),
        to: to.or_else(|| open.to.clone()),
        external_id: external_id.or_else(|| open.external_id.clone()),
    })
}

/// The sequence, in a task that no client can cancel.
async fn carry_out(
    app: Arc<App>,
    mut new: NewRecording,
    open: OpenCall,
    start: StartRecording,
    fork: Option<String>,
) -> Result<Started, Fault> {
    let sid = new.sid;
    let _turn = match &new.idempotency_token {
        Some(token) => Some(app.turns.take(token).await),
        None => None,
    };
    if let Some(cause) = app.load.verdict().refuses_recordings() {
        return Err(Fault::overloaded("recordings", cause));
    }
    if let Some(sip_call_id) = fork {
        app.fork(sip_call_id, open.clone()).await?;
    }
    new.parties = parties(&app, &open).await?;
    let begun = {
        let _room = app.begins.try_acquire().map_err(|_| {
            Fault::unavailable(format_args!(
                "{BEGINS} recordings wait for the disk to be begun"
            ))
        })?;
        app.store(move |store| store.begin(new)).await?
    };
    let record = match begun {
        Begun::New(record) => record,
        Begun::Repeated(record) => return Ok(repeated(&app, record).await),
    };
    let command = Command::StartRecording {
        call: open,
        may_open: app.settings.start_unknown_call,
        start,
    };
    match app.ask_recording(command).await {
        Ok((view, call)) => {
            app.store.announce(sid);
            Ok(Started {
                record,
                repeated: false,
                status: Some(view.status),
                frames: view.frames,
                rate_hz: view.rate_hz,
                call: Some(call),
            })
        }
        Err(Declined::Late(answer)) => {
            let fault = Fault::unavailable("the capture side did not answer in time");
            let app = Arc::clone(&app);
            tokio::spawn(async move {
                match answer.await {
                    Ok(Ok(Answer::Recording(..) | Answer::Call(_))) => undo(&app, &record).await,
                    Ok(Err(_)) | Err(_) => abort(&app, sid).await,
                }
            });
            Err(fault)
        }
        Err(declined) => {
            abort(&app, sid).await;
            Err(declined.into())
        }
    }
}

/// The first recording of an idempotency token, as it is now, with where to send RTP.
async fn repeated(app: &App, record: Record) -> Started {
    let command = Command::DescribeCall {
        account: record.account,
        call: record.call,
    };
    // A call that has ended has no media to tell of.
    let call = app.ask_call(command).await.ok();
    let live = call
        .iter()
        .flat_map(|call| &call.recordings)
        .find(|live| live.sid == record.sid);
    Started {
        status: live.map(|live| live.status),
        frames: live.map_or(0, |live| live.frames),
        rate_hz: live.map_or(record.rate_hz, |live| live.rate_hz),
        record,
        repeated: true,
        call,
    }
}

/// Takes back what `begin` did.
async fn abort(app: &App, sid: RecordingSid) {
    if let Err(fault) = app.store(move |store| store.abort(sid)).await {
        // The record stays live without a recording; the next start recovers it as absent.
        tracing::error!(%sid, why = fault.message, "a refused recording could not be taken back");
    }
}

/// Stops a recording that its client was told had not started.
async fn undo(app: &App, record: &Record) {
    let command = Command::ChangeRecording {
        account: record.account,
        call: record.call,
        recording: RecordingRef::Sid(record.sid),
        change: ChangeRecording::Stop(EndedBy::Stopped),
    };
    let outcome = app.ask(command).await;
    tracing::warn!(call = %record.call, ?outcome, "a recording started too late and was stopped");
}

/// POST on a recording of a call: `Status`, and what a pause leaves.
pub(crate) async fn update(
    asked: &Asked,
    call: CallSid,
    recording: RecordingRef,
    mut form: Params,
) -> Result<Response<Body>, Fault> {
    form.check(KNOWN_TO_UPDATE)?;
    let behavior = form
        .choice(
            "PauseBehavior",
            code::INVALID,
            &[
                ("skip", PauseBehavior::Skip),
                ("silence", PauseBehavior::Silence),
            ],
        )?
        .unwrap_or_default();
    let change = form
        .choice(
            "Status",
            code::INVALID,
            &[
                (
                    LiveStatus::Paused.as_str(),
                    ChangeRecording::Pause(behavior),
                ),
                (LiveStatus::InProgress.as_str(), ChangeRecording::Resume),
                (
                    LiveStatus::Stopped.as_str(),
                    ChangeRecording::Stop(EndedBy::Stopped),
                ),
            ],
        )?
        .ok_or_else(|| {
            Fault::invalid(
                "Status",
                "it is needed: one of paused, in-progress, stopped",
            )
        })?;
    let account = asked.target.account;
    let command = Command::ChangeRecording {
        account,
        call,
        recording,
        change,
    };
    let (record, live) = match asked.app.ask_recording(command).await {
        Ok((view, call)) => {
            let sid = view.sid;
            let record = asked
                .app
                .store(move |store| store.get(account, sid))
                .await?
                .ok_or_else(|| asked.not_found())?;
            (record, Some((view, call)))
        }
        Err(Declined::Refused(Refusal::CallUnknown | Refusal::RecordingUnknown)) => {
            (finished(asked, call, recording, change).await?, None)
        }
        Err(declined) => return Err(declined.into()),
    };
    let view = RecordingView {
        record: &record,
        base_url: &asked.base_url(),
        media_query: asked.media_query(&record),
        of_call: true,
        ranges: true,
        live: Some(match &live {
            Some((view, call)) => Live {
                status: Some(view.status),
                frames: view.frames,
                rate_hz: view.rate_hz,
                call: Some(call),
            },
            None => Live {
                status: (record.stage == Stage::Live).then_some(LiveStatus::Stopped),
                frames: record.frames,
                rate_hz: record.rate_hz,
                call: None,
            },
        }),
    };
    let mut response = answer::document(
        StatusCode::OK,
        &view.document(asked.face()),
        asked.face(),
        &asked.zone(),
    )?;
    response.extensions_mut().insert(Deed {
        action: match change {
            ChangeRecording::Pause(_) => AuditAction::Pause,
            ChangeRecording::Resume => AuditAction::Resume,
            ChangeRecording::Stop(_) => AuditAction::Stop,
        },
        recording: Some(record.sid),
        call: Some(call),
    });
    Ok(response)
}

/// A recording that capture holds no more, for which stopping is all that is still legal.
async fn finished(
    asked: &Asked,
    call: CallSid,
    recording: RecordingRef,
    change: ChangeRecording,
) -> Result<Record, Fault> {
    let RecordingRef::Sid(sid) = recording else {
        return Err(asked.not_found());
    };
    let account = asked.target.account;
    let record = asked
        .app
        .store(move |store| store.get(account, sid))
        .await?
        .filter(|record| record.call == call)
        .ok_or_else(|| asked.not_found())?;
    if LiveStatus::Stopped.allows(change.target()) {
        Ok(record)
    } else {
        Err(Refusal::IllegalStep {
            from: LiveStatus::Stopped,
            to: change.target(),
        }
        .into())
    }
}

fn idempotency_token(headers: &HeaderMap) -> Result<Option<String>, Fault> {
    headers
        .get(IDEMPOTENCY_TOKEN)
        .map(|value| {
            value
                .to_str()
                .ok()
                .filter(|text| (1..=MAX_TOKEN).contains(&text.len()))
                .filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()))
                .map(str::to_owned)
                .ok_or_else(|| {
                    Fault::invalid(
                        "I-Twilio-Idempotency-Token",
                        format_args!("it must be 1 to {MAX_TOKEN} visible ASCII characters"),
                    )
                })
        })
        .transpose()
}
