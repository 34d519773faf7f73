//! The Recordings resource: list, instance, DELETE; of an account or of one of its calls.
//!
//! Called by `dispatch`; audio is `media`'s.

use axum::body::Body;
use http::{Response, StatusCode};
use reeld_model::{CallSid, RecordingSid};
use reeld_store::{Deletion, Page, Record, Stage};

use crate::answer;
use crate::dispatch::Asked;
use crate::document::Listing;
use crate::encode::Format;
use crate::face::Version;
use crate::fault::{Fault, code};
use crate::filter::{ListQuery, include_deleted};
use crate::media;
use crate::paging::{Place, Stretch};
use crate::params::Params;
use crate::path::{Extension, path_of};
use crate::recording::RecordingView;

/// The list.
pub(crate) async fn list(
    asked: &Asked,
    call: Option<CallSid>,
    params: Params,
) -> Result<Response<Body>, Fault> {
    let (face, zone, target) = (asked.face(), asked.zone(), &asked.target);
    let ListQuery {
        query,
        page,
        matches_nothing,
        filters,
    } = ListQuery::read(params, target.account, call, face, &zone)?;
    let page_size = query.page_size;
    let at = Some(query.at);
    let found = if matches_nothing {
        Page {
            records: Vec::new(),
            first: 0,
            total: 0,
        }
    } else {
        asked.app.store(move |store| store.list(&query)).await?
    };
    let path = path_of(target.version, target.account, &target.resource);
    let place = Place {
        path: &path,
        face,
        filters: &filters,
        page,
        page_size,
        at,
    };
    let base_url = asked.base_url();
    let items = found
        .records
        .iter()
        .map(|record| {
            let mut view = view(asked, record, &base_url, call);
            view.ranges = false;
            view.document(face)
        })
        .collect();
    let listing = Listing {
        name: "Recordings",
        items,
        paging: place.paging(&Stretch::of(&found)),
    };
    answer::listing(&listing, face, &zone)
}

/// The instance: audio, or its metadata where the extension says so.
pub(crate) async fn show(
    asked: &Asked,
    sid: RecordingSid,
    call: Option<CallSid>,
    mut params: Params,
) -> Result<Response<Body>, Fault> {
    let kind = match asked.target.extension {
        Extension::None | Extension::Wav => media::Kind::Wav,
        Extension::Mp3 => media::Kind::Encoded(Format::Mp3),
        Extension::Opus => media::Kind::Encoded(Format::Opus),
        Extension::Peaks => {
            let record = find(asked, sid, call).await?;
            return media::peaks::serve(asked, &record, params).await;
        }
        Extension::Xml | Extension::Json | Extension::Csv | Extension::Html => {
            return describe(asked, sid, call, &mut params).await;
        }
    };
    let record = find(asked, sid, call).await?;
    media::serve(asked, &record, kind, params).await
}

/// The instance's metadata; those of a deleted one too, where 2010 asks for them.
async fn describe(
    asked: &Asked,
    sid: RecordingSid,
    call: Option<CallSid>,
    params: &mut Params,
) -> Result<Response<Body>, Fault> {
    let account = asked.target.account;
    let deleted_is_shown = asked.target.version == Version::V2010 && include_deleted(params)?;
    let record = match find(asked, sid, call).await {
        Err(fault) if deleted_is_shown && fault.status == StatusCode::NOT_FOUND => asked
            .app
            .store(move |store| store.get_deleted(account, sid))
            .await?
            .filter(|record| call.is_none_or(|call| record.call == call))
            .ok_or(fault)?,
        found => found?,
    };
    answer::document_if_changed(
        &view(asked, &record, &asked.base_url(), call).document(asked.face()),
        asked.face(),
        &asked.zone(),
        &asked.headers,
    )
}

/// DELETE: 204, 404, or 409 for one that is on legal hold or not complete (404 in 2008, which does not
/// show it).
pub(crate) async fn delete(
    asked: &Asked,
    sid: RecordingSid,
    call: Option<CallSid>,
) -> Result<Response<Body>, Fault> {
    find(asked, sid, call).await?;
    let account = asked.target.account;
    let now_ms = asked.app.now_ms();
    match asked
        .app
        .store(move |store| store.delete(account, sid, now_ms))
        .await?
    {
        Deletion::Deleted => {
            asked.app.encoder.forget(sid);
            Ok(answer::no_content())
        }
        Deletion::Unknown => Err(asked.not_found()),
        Deletion::StillLive => Err(Fault::new(
            StatusCode::CONFLICT,
            Some(code::NOT_COMPLETE),
            "Cannot delete this resource before it is complete",
        )),
        Deletion::OnHold => Err(Fault::new(
            StatusCode::CONFLICT,
            Some(code::CONFLICT),
            "Cannot delete this resource while it is on legal hold",
        )),
    }
}

/// The record that a path names: the account's, the call's if it names one, and in 2008 only one
/// that is complete.
pub(crate) async fn find(
    asked: &Asked,
    sid: RecordingSid,
    call: Option<CallSid>,
) -> Result<Record, Fault> {
    let account = asked.target.account;
    let unfinished_is_shown = asked.target.version == Version::V2010;
    asked
        .app
        .store(move |store| store.get(account, sid))
        .await?
        .filter(|record| call.is_none_or(|call| record.call == call))
        .filter(|record| unfinished_is_shown || record.stage == Stage::Completed)
        .ok_or_else(|| asked.not_found())
}

fn view<'a>(
    asked: &Asked,
    record: &'a Record,
    base_url: &'a str,
    call: Option<CallSid>,
) -> RecordingView<'a> {
    RecordingView {
        record,
        base_url,
        media_query: asked.media_query(record),
        of_call: call.is_some(),
        ranges: true,
        live: None,
    }
}
