//! Calls: open one, see it, give it a new offer, end it (contract.md, "Calls").
//!
//! Called by `dispatch`. A call's live state is control's alone; of one that has ended, what the
//! catalog has of its recordings.

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use reeld_model::{
    CallSid, CallView, Command, Ending, OpenCall, Refusal, SourceRule, Track, TrackSelection,
};
use reeld_store::{AuditAction, PageAt, Query, Record, Which};

use crate::answer;
use crate::app::Declined;
use crate::audit::Deed;
use crate::call::{EndedCall, ended_document, open_document};
use crate::dispatch::Asked;
use crate::document::Document;
use crate::fault::{Fault, code};
use crate::params::{Known, Params, Use};
use crate::path::{Resource, path_of};

/// Bytes of an SDP offer: RFC 4566 sets none; no phone's comes near this.
pub(crate) const MAX_SDP: usize = 32 * 1024;
/// Bytes of a caller's or another system's name.
pub(crate) const MAX_NAME: usize = 512;

/// `inbound`, `outbound`, `both`.
pub(crate) const SELECTIONS: [(&str, TrackSelection); 3] = [
    (Track::Inbound.as_str(), TrackSelection::Inbound),
    (Track::Outbound.as_str(), TrackSelection::Outbound),
    (TrackSelection::Both.as_str(), TrackSelection::Both),
];

pub(crate) const KNOWN_TO_OPEN: &[Known] = &[
    ("CallSid", Use::Read),
    ("ExternalId", Use::Read),
    ("From", Use::Read),
    ("To", Use::Read),
    ("Sdp", Use::Read),
    ("RemoteAddress", Use::Read),
    ("Tracks", Use::Read),
    ("Twiml", Use::Unbuilt("TwiML")),
];

pub(crate) const KNOWN_TO_UPDATE: &[Known] = &[
    ("Sdp", Use::Read),
    ("RemoteAddress", Use::Read),
    ("Status", Use::Read),
    ("Twiml", Use::Unbuilt("TwiML")),
];

/// POST on Calls: 201 with the call and where to send RTP.
pub(crate) async fn open(asked: &Asked, mut form: Params) -> Result<Response<Body>, Fault> {
    form.check(KNOWN_TO_OPEN)?;
    let account = asked.target.account;
    let given: Option<CallSid> = form.parsed("CallSid")?;
    let external_id = form.line("ExternalId", MAX_NAME)?;
    let call = match (given, &external_id) {
        (Some(call), _) => call,
        (None, Some(id)) => CallSid::from_external(account, id),
        (None, None) => CallSid::from_bytes(random_bytes()?),
    };
    let open = OpenCall {
        external_id,
        tracks: form
            .choice("Tracks", code::INVALID, &SELECTIONS)?
            .unwrap_or(TrackSelection::Both),
        ..call_parameters(asked, call, &mut form)?
    };
    let view = asked.app.ask_call(Command::OpenCall(open)).await?;
    let mut response = respond(
        asked,
        StatusCode::CREATED,
        &open_document(&view, asked.app.now_ms(), &signalling(asked, &view).await?),
    )?;
    set_location(&mut response, asked, &Resource::Call(view.call));
    response.extensions_mut().insert(Deed {
        action: AuditAction::OpenCall,
        recording: None,
        call: Some(view.call),
    });
    Ok(response)
}

/// GET of a call.
pub(crate) async fn show(asked: &Asked, call: CallSid) -> Result<Response<Body>, Fault> {
    let command = Command::DescribeCall {
        account: asked.target.account,
        call,
    };
    let document = match asked.app.ask_call(command).await {
        Ok(view) => open_document(&view, asked.app.now_ms(), &signalling(asked, &view).await?),
        Err(Declined::Refused(Refusal::CallUnknown)) => ended_document(&ended(asked, call).await?),
        Err(declined) => return Err(declined.into()),
    };
    respond(asked, StatusCode::OK, &document)
}

/// POST on a call: a new offer or source, or its end.
pub(crate) async fn update(
    asked: &Asked,
    call: CallSid,
    mut form: Params,
) -> Result<Response<Body>, Fault> {
    form.check(KNOWN_TO_UPDATE)?;
    let account = asked.target.account;
    let status = form.choice("Status", code::INVALID, &[("completed", ())])?;
    let sdp = sdp(&mut form)?;
    let source = source(&mut form)?;
    let completes = status.is_some();
    let command = match (completes, sdp.is_some() || source.is_some()) {
        (true, true) => {
            return Err(Fault::invalid(
                "Status",
                "a call cannot end and take a new Sdp or RemoteAddress at once",
            ));
        }
        (true, false) => Command::CompleteCall {
            account,
            call,
            ending: Ending::Now,
        },
        (false, true) => Command::UpdateCall {
            account,
            call,
            sdp,
            source,
        },
        (false, false) => {
            return Err(Fault::invalid(
                "Status",
                "one of Status=completed, Sdp and RemoteAddress is needed",
            ));
        }
    };
    let document = match asked.app.ask_call(command).await {
        Ok(view) => open_document(&view, asked.app.now_ms(), &signalling(asked, &view).await?),
        Err(Declined::Refused(Refusal::CallUnknown)) => {
            let ended = ended(asked, call).await?;
            if !completes {
                return Err(Fault::new(
                    StatusCode::BAD_REQUEST,
                    Some(code::CALL_STATE),
                    "The call has ended",
                ));
            }
            ended_document(&ended)
        }
        Err(declined) => return Err(declined.into()),
    };
    let mut response = respond(asked, StatusCode::OK, &document)?;
    response.extensions_mut().insert(Deed {
        action: if completes {
            AuditAction::EndCall
        } else {
            AuditAction::UpdateCall
        },
        recording: None,
        call: Some(call),
    });
    Ok(response)
}

/// What opening a call and starting a recording on one have in common.
pub(crate) fn call_parameters(
    asked: &Asked,
    call: CallSid,
    form: &mut Params,
) -> Result<OpenCall, Fault> {
    Ok(OpenCall {
        from: form.line("From", MAX_NAME)?,
        to: form.line("To", MAX_NAME)?,
        sdp: sdp(form)?,
        source: source(form)?,
        ..OpenCall::new(asked.target.account, call)
    })
}

/// 16 bytes of the system's CSPRNG, for a Sid.
pub(crate) fn random_bytes() -> Result<[u8; 16], Fault> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "the system gives no randomness");
        Fault::internal()
    })?;
    Ok(bytes)
}

/// Where the new resource is (RFC 9110 §15.3.2).
pub(crate) fn set_location(response: &mut Response<Body>, asked: &Asked, resource: &Resource) {
    let target = &asked.target;
    let path = path_of(target.version, target.account, resource);
    if let Ok(path) = HeaderValue::try_from(path) {
        response.headers_mut().insert(header::LOCATION, path);
    }
}

fn sdp(form: &mut Params) -> Result<Option<String>, Fault> {
    form.read("Sdp", code::INVALID, |text| {
        if text.is_empty() || text.len() > MAX_SDP {
            Err(format!("it must be an offer of at most {MAX_SDP} bytes"))
        } else {
            Ok(text.to_owned())
        }
    })
}

/// `RemoteAddress`: an address, or an address and a port.
fn source(form: &mut Params) -> Result<Option<SourceRule>, Fault> {
    form.read("RemoteAddress", code::INVALID, |text| {
        let rule = text
            .parse::<std::net::SocketAddr>()
            .map(|address| SourceRule {
                address: address.ip(),
                port: Some(address.port()),
            })
            .or_else(|_| {
                text.parse().map(|address| SourceRule {
                    address,
                    port: None,
                })
            });
        rule.ok()
            .filter(|rule| {
                !rule.address.is_unspecified()
                    && !rule.address.is_multicast()
                    && rule.port != Some(0)
            })
            .ok_or(
                "it must be a sender's address, as 192.0.2.1, 192.0.2.1:4000 or [2001:db8::1]:4000",
            )
    })
}

/// What a recording of an open call has of its signalling; nothing where none runs.
async fn signalling(asked: &Asked, view: &CallView) -> Result<String, Fault> {
    let Some(recording) = view.recordings.first().map(|recording| recording.sid) else {
        return Ok(String::new());
    };
    let account = asked.target.account;
    let record = asked.app.store(move |store| store.get(account, recording));
    Ok(record
        .await?
        .map(|record| record.signalling_json)
        .unwrap_or_default())
}

/// What the catalog has of a call that is not open, or 404.
async fn ended(asked: &Asked, call: CallSid) -> Result<EndedCall, Fault> {
    let account = asked.target.account;
    let found = asked
        .app
        .store(move |store| {
            let one = |page| Query {
                account,
                call: Some(call),
                named: None,
                from_ms: None,
                until_ms: None,
                which: Which::Undeleted,
                at: PageAt::Number(page),
                page_size: 1,
            };
            let newest = store.list(&one(0))?;
            let oldest = store.list(&one(newest.total.saturating_sub(1)))?;
            let first = |records: Vec<Record>| records.into_iter().next();
            Ok(first(newest.records).zip(first(oldest.records)))
        })
        .await?;
    let (newest, oldest) = found.ok_or_else(|| asked.not_found())?;
    Ok(EndedCall {
        account,
        call,
        parties: newest.parties,
        first_ms: oldest.created_ms,
        last_ms: newest.updated_ms,
        signalling_json: newest.signalling_json,
    })
}

fn respond(
    asked: &Asked,
    status: StatusCode,
    document: &Document,
) -> Result<Response<Body>, Fault> {
    answer::document(status, document, asked.face(), &asked.zone())
}
