//! A recording's audio over HTTP: WAV, MP3 and Ogg Opus, whole or a range, fresh or not modified.
//!
//! Called by `recordings`. Conditions and ranges are `conditions`' and `range`'s (RFC 9110), the
//! bytes are `stream`'s or, where the file has them as they are served, the kernel's (`wire::files`). A download goes on after a DELETE: it holds the file open.
//!
//! Twilio's `RequestedChannels`: 1 of a dual recording is its sum, 2 of a mono one is 400.

pub(crate) mod conditions;
pub(crate) mod peaks;
mod range;
pub(crate) mod stream;

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use reeld_store::{Record, Stage, Store, StoreError};

use crate::dispatch::Asked;
use crate::encode::{FetchError, Format, Key, Plan, Wav};
use crate::fault::{Fault, code};
use crate::params::Params;
use crate::sound::{Sound, wav_length};
use crate::wire::files::FileSpan;
use conditions::Validators;
use range::{Span, Wanted};

/// Which representation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Wav,
    Encoded(Format),
}

impl Kind {
    const fn extension(self) -> &'static str {
        match self {
            Self::Wav => "wav",
            Self::Encoded(format) => format.extension(),
        }
    }

    /// The seed's types, and RFC 7845 §9's.
    const fn content_type(self) -> HeaderValue {
        match self {
            Self::Wav => HeaderValue::from_static("audio/x-wav"),
            Self::Encoded(Format::Mp3) => HeaderValue::from_static("audio/mpeg"),
            Self::Encoded(Format::Opus) => HeaderValue::from_static("audio/ogg; codecs=opus"),
        }
    }
}

/// Answers a GET or HEAD of a recording's audio.
pub(crate) async fn serve(
    asked: &Asked,
    record: &Record,
    kind: Kind,
    mut params: Params,
) -> Result<Response<Body>, Fault> {
    if record.stage != Stage::Completed {
        return Err(asked.not_found());
    }
    refuse_damaged(record)?;
    let channels = channels(record, &mut params)?;
    let length = match kind {
        Kind::Wav => wav_length(record, channels),
        Kind::Encoded(format) => format
            .encoded_len(channels, record.rate_hz, record.frames)
            .map_err(|_| no_such_rate(record, format))?,
    };
    let validators = Validators::of(record, kind.extension(), channels);
    if validators.is_unchanged(&asked.headers) {
        return Ok(respond(
            StatusCode::NOT_MODIFIED,
            &validators,
            Body::empty(),
        ));
    }
    // RFC 9110 §14.2: a range is a matter of GET alone.
    let wanted = if asked.is_head || !validators.allow_range(&asked.headers) {
        Wanted::Whole
    } else {
        range::parse(&asked.headers, length)
    };
    let (status, span) = match wanted {
        Wanted::Whole => (
            StatusCode::OK,
            Span {
                start: 0,
                end: length,
            },
        ),
        Wanted::Part(span) => (StatusCode::PARTIAL_CONTENT, span),
        Wanted::Unsatisfiable => {
            let mut fault = Fault::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                None,
                format!("The range lies outside the {length} bytes"),
            );
            fault.headers.push((
                header::CONTENT_RANGE,
                text_header(format!("bytes */{length}")),
            ));
            return Err(fault);
        }
    };
    let sent = if asked.is_head {
        Sent::Bytes(Body::empty())
    } else {
        match kind {
            Kind::Wav => wav_body(asked, record, channels, span).await?,
            Kind::Encoded(format) => {
                Sent::Bytes(encoded_body(asked, record, channels, format, span).await?)
            }
        }
    };
    let mut response = match sent {
        Sent::Bytes(body) => respond(status, &validators, body),
        Sent::File(span) => {
            let mut response = respond(status, &validators, Body::empty());
            response.extensions_mut().insert(span);
            response
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, kind.content_type());
    headers.insert(header::CONTENT_LENGTH, (span.end - span.start).into());
    if status == StatusCode::PARTIAL_CONTENT {
        let content_range = format!("bytes {}-{}/{length}", span.start, span.end - 1);
        headers.insert(header::CONTENT_RANGE, text_header(content_range));
    }
    let disposition = format!("inline; filename=\"{}.{}\"", record.sid, kind.extension());
    headers.insert(header::CONTENT_DISPOSITION, text_header(disposition));
    Ok(response)
}

/// Refuses a recording that is known to be damaged, whichever representation is asked for.
fn refuse_damaged(record: &Record) -> Result<(), Fault> {
    match record.marks.damage.clone() {
        None => Ok(()),
        Some(what) => Err(StoreError::Damaged {
            sid: record.sid,
            what,
        }
        .into()),
    }
}

/// As many channels as the recording has, or as the request wants of them.
fn channels(record: &Record, params: &mut Params) -> Result<u16, Fault> {
    const NAME: &str = "RequestedChannels";
    let has = record.channels.count();
    match params.number(NAME, code::INVALID, 1..=2)? {
        Some(2) if has == 1 => Err(Fault::invalid(NAME, "the recording has one channel")),
        Some(1) => Ok(1),
        Some(_) | None => Ok(has),
    }
}

/// The recording's sound; `None` where it was deleted since its record was read.
fn open(store: &Store, record: &Record, channels: u16) -> Result<Option<Sound>, StoreError> {
    match store.media(record) {
        Ok(reader) => Ok(Some(Sound::new(reader, record, channels))),
        Err(StoreError::MediaMissing { .. })
            if store.get(record.account, record.sid)?.is_none() =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// What is sent: bytes of ours, or a file's, by the kernel.
enum Sent {
    Bytes(Body),
    File(FileSpan),
}

async fn wav_body(
    asked: &Asked,
    record: &Record,
    channels: u16,
    span: Span,
) -> Result<Sent, Fault> {
    let record = record.clone();
    let sound = asked
        .app
        .store(move |store| open(store, &record, channels))
        .await?
        .ok_or_else(|| asked.not_found())?;
    let Span { start, end } = span;
    Ok(match sound.into_file() {
        Ok(file) => Sent::File(FileSpan {
            file: std::sync::Arc::new(file),
            start,
            end,
        }),
        Err(sound) => Sent::Bytes(stream::of_sound(*sound, span)),
    })
}

async fn encoded_body(
    asked: &Asked,
    record: &Record,
    channels: u16,
    format: Format,
    span: Span,
) -> Result<Body, Fault> {
    let app = std::sync::Arc::clone(&asked.app);
    let record = record.clone();
    let fetched = asked
        .app
        .store(move |store| {
            Ok(plan(store, record, channels, format).map(|plan| {
                app.encoder
                    .fetch(plan.key, plan.rate_hz, plan.frames, plan.open)
            }))
        })
        .await?
        .ok_or_else(|| {
            tracing::error!("a completed recording has no checksum");
            Fault::internal()
        })?;
    let source = fetched.map_err(|error| match error {
        FetchError::Full(_) => Fault::unavailable(error),
        FetchError::Overloaded(cause) => Fault::overloaded("encodings", cause),
        FetchError::Codec(error) => {
            tracing::error!(%error, "a recording of a length that no file has");
            Fault::internal()
        }
        FetchError::Store(error) => error.into(),
        FetchError::Cache(error) => {
            tracing::error!(%error, "the cache of encoded files failed");
            Fault::internal()
        }
    })?;
    Ok(stream::of_encoded(source, span))
}

/// What the file of a recording in `format` is made of; `None` where its sound has no checksum, as only
/// that of a recording has which is not completed.
pub(crate) fn plan(store: &Store, record: Record, channels: u16, format: Format) -> Option<Plan> {
    let mut hash = [0; 8];
    hash.copy_from_slice(&record.blake3?[..8]);
    let key = Key {
        sid: record.sid,
        hash,
        channels,
        format,
    };
    let (rate_hz, frames) = (record.rate_hz, record.frames);
    let store = store.clone();
    let open = move || {
        // The cache must not take the room that live recordings need.
        let health = store.health();
        if health.free_bytes < health.min_free_bytes {
            return Err(StoreError::NoSpace {
                free: health.free_bytes,
                min_free: health.min_free_bytes,
            });
        }
        let reader = store.media(&record)?;
        let sound: Wav = Box::new(Sound::new(reader, &record, channels));
        Ok(sound)
    };
    Some(Plan {
        key,
        rate_hz,
        frames,
        open: Box::new(open),
    })
}

/// MP3 has frames at nine rates, Opus at five and what can be brought to one; a call in L16 may
/// have another one.
fn no_such_rate(record: &Record, format: Format) -> Fault {
    let (rate_hz, extension) = (record.rate_hz, format.extension());
    let message =
        format!("There is no .{extension} of a recording at {rate_hz} Hz; its WAV is there");
    Fault::new(StatusCode::NOT_FOUND, Some(code::NOT_FOUND), message)
}

fn respond(status: StatusCode, validators: &Validators, body: Body) -> Response<Body> {
    let mut response = respond_with(status, validators, body);
    response
        .headers_mut()
        .insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    response
}

fn respond_with(status: StatusCode, validators: &Validators, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    validators.put(response.headers_mut());
    response
}

/// A header of text that is ours, so ASCII.
fn text_header(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// The only value of a header, as text.
fn only<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}
