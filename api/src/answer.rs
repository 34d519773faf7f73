//! Documents, lists and faults as HTTP responses in the request's face.

use std::fmt;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use jiff::tz::TimeZone;

use crate::document::{Document, Listing};
use crate::face::{Face, Format, Version};
use crate::fault::Fault;
use crate::media::conditions::Validators;
use crate::{csv, html, json, xml};

/// Room that is made for each item of a JSON list: a recording is a little less, and a list that
/// grows while it is written is copied again and again.
const ITEM_BYTES: usize = 2 << 10;

/// A resource.
pub(crate) fn document(
    status: StatusCode,
    document: &Document,
    face: Face,
    zone: &TimeZone,
) -> Result<Response<Body>, Fault> {
    let bytes = bytes(status, document, face, zone)?;
    Ok(response(status, face.format, bytes))
}

/// A resource with its `ETag`, or 304 to who has it already.
pub(crate) fn document_if_changed(
    document: &Document,
    face: Face,
    zone: &TimeZone,
    headers: &HeaderMap,
) -> Result<Response<Body>, Fault> {
    let bytes = bytes(StatusCode::OK, document, face, zone)?;
    let validators = Validators::of_document(&bytes);
    let mut response = if validators.is_unchanged(headers) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        response(StatusCode::OK, face.format, bytes)
    };
    validators.put(response.headers_mut());
    Ok(response)
}

fn bytes(
    status: StatusCode,
    document: &Document,
    face: Face,
    zone: &TimeZone,
) -> Result<Vec<u8>, Fault> {
    Ok(match face.format {
        Format::Xml => written(xml::document(document, face, zone))?,
        Format::Json => written(serde_json::to_vec(&json::document(document, face, zone)))?,
        Format::Csv => csv::document(document, face, zone).into(),
        Format::Html => html::document(status.as_u16(), document, face, zone).into(),
    })
}

/// A list; always 200, as SDKs want it.
pub(crate) fn listing(
    listing: &Listing,
    face: Face,
    zone: &TimeZone,
) -> Result<Response<Body>, Fault> {
    let bytes = match face.format {
        Format::Xml => written(xml::listing(listing, face, zone))?,
        Format::Json => {
            let mut bytes = Vec::with_capacity(listing.items.len() * ITEM_BYTES + ITEM_BYTES);
            let list = json::listing(listing, face, zone);
            written(serde_json::to_writer(&mut bytes, &list).map(|()| bytes))?
        }
        Format::Csv => csv::listing(listing, face, zone).into(),
        Format::Html => html::listing(listing, face, zone).into(),
    };
    Ok(response(StatusCode::OK, face.format, bytes))
}

/// 204 without a body.
pub(crate) fn no_content() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// A refusal.
pub(crate) fn fault(fault: &Fault, format: Format) -> Response<Body> {
    // A fault has no field of one version alone, and no date.
    let face = Face {
        version: Version::V2010,
        format,
    };
    let (document, zone) = (fault.document(), TimeZone::UTC);
    let bytes = match format {
        // Its parts are plain text, so that writing them into memory cannot fail; were it to, the
        // status still says what happened.
        Format::Xml => xml::document(&document, face, &zone).unwrap_or_default(),
        Format::Json => json::fault(fault).to_string().into(),
        Format::Csv => csv::document(&document, face, &zone).into(),
        Format::Html => html::document(fault.status.as_u16(), &document, face, &zone).into(),
    };
    let mut response = response(fault.status, format, bytes);
    for (name, value) in &fault.headers {
        response.headers_mut().insert(name, value.clone());
    }
    response
}

/// JSON that is there already, for what is beside the API.
pub(crate) fn json(bytes: Bytes) -> Response<Body> {
    response(StatusCode::OK, Format::Json, bytes)
}

/// Plain text, for what is beside the API.
pub(crate) fn text(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

fn response(status: StatusCode, format: Format, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, format.content_type());
    response
}

fn written<E: fmt::Display>(bytes: Result<Vec<u8>, E>) -> Result<Vec<u8>, Fault> {
    bytes.map_err(|error| {
        tracing::error!(%error, "a document could not be written");
        Fault::internal()
    })
}
