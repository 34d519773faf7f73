//! Signed links in requests and answers: `…/Recordings/{RE}.mp3?expires=…&signature=…`.
//!
//! `dispatch` lets in who comes with one (`take`, `Presented::check`); the resource `Links` and
//! `reeld link` make one ([`url`]). What is signed, and with what, is the store's.
//!
//! A wrong link is 403, not 401: who follows one has no credentials to give, and a browser would
//! ask for some. It says nothing of the recording, which is looked up only once the signature is
//! right; so it is 403 too for what is not there. A wrong signature counts as a failed
//! authentication of its address, an expired one does not.

use std::net::IpAddr;

use axum::body::Body;
use http::{Response, StatusCode};
use reeld_model::{AccountSid, RecordingSid};
use reeld_store::{Link, Reach};

use crate::answer;
use crate::app::App;
use crate::dispatch::Asked;
use crate::document::{Document, Field, Value};
use crate::fault::{Fault, code};
use crate::params::{Known, Params, Use};
use crate::path::{Extension, Resource, path_of};
use crate::recordings;

/// The longest that a link may last, in seconds: a week, as S3's.
pub const MOST_SECONDS: u64 = 7 * 24 * 60 * 60;

/// How long one lasts that does not say, in seconds.
const USUAL_SECONDS: u64 = 60 * 60;

const EXPIRES: &str = "expires";
const SIGNATURE: &str = "signature";
const EXPIRES_IN: &str = "ExpiresIn";
const FORMAT: &str = "Format";

pub(crate) const KNOWN: [Known; 2] = [(EXPIRES_IN, Use::Read), (FORMAT, Use::Read)];

/// What a link is asked for as, and the extension of its URL.
pub const FORMATS: [&str; 6] = ["wav", "mp3", "opus", "peaks.json", "json", "xml"];

/// What a link to this format opens, if it is one of [`FORMATS`].
#[must_use]
pub fn reach_of(format: &str) -> Option<Reach> {
    match format {
        "wav" | "mp3" | "opus" | "peaks.json" => Some(Reach::Sound),
        "json" | "xml" => Some(Reach::Metadata),
        _ => None,
    }
}

/// The URL of a link below `base_url`, with the query that the store has signed and the extension
/// of a format, or none: then it is the WAV, and each other format of the sound once its extension
/// is put before the query or behind it.
#[must_use]
pub fn url(base_url: &str, link: &Link, format: Option<&str>, signed_query: &str) -> String {
    let resource = Resource::Recording(link.sid);
    let path = path_of(crate::face::Version::V2010, link.account, &resource);
    let (dot, extension) = format.map_or(("", ""), |format| (".", format));
    format!("{base_url}{path}{dot}{extension}?{signed_query}")
}

/// A link as it came with a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Presented {
    /// `None` where it is no number.
    expires_s: Option<u64>,
    signature: String,
}

/// Takes a link out of the query of a request for a recording. Applications that append `.mp3` to
/// the URL that they were given (twilio.md §3) append it to the signature: that names the format
/// where the path names none.
pub(crate) fn take(
    query: &mut Params,
    extension: &mut Extension,
) -> Result<Option<Presented>, Fault> {
    let Some(mut signature) = query.take(SIGNATURE)? else {
        return Ok(None);
    };
    let expires_s = query.take(EXPIRES)?;
    if let Some((hex, appended)) = signature.rsplit_once('.')
        && *extension == Extension::None
        && let Some(format @ (Extension::Wav | Extension::Mp3 | Extension::Opus)) =
            Extension::parse(appended)
    {
        *extension = format;
        signature = hex.to_owned();
    }
    Ok(Some(Presented {
        expires_s: expires_s.and_then(|text| text.parse().ok()),
        signature,
    }))
}

impl Presented {
    /// Lets it in, or not; until when, in seconds since the Unix epoch.
    pub(crate) fn check(
        &self,
        app: &App,
        peer: IpAddr,
        account: AccountSid,
        sid: RecordingSid,
        extension: Extension,
    ) -> Result<u64, Fault> {
        let reach = match extension {
            Extension::None
            | Extension::Wav
            | Extension::Mp3
            | Extension::Opus
            | Extension::Peaks => Reach::Sound,
            Extension::Xml | Extension::Json | Extension::Csv | Extension::Html => Reach::Metadata,
        };
        let now_ms = app.now_ms();
        let link = self.expires_s.map(|expires_s| Link {
            account,
            sid,
            reach,
            expires_s,
        });
        app.gate.admit_link(peer, now_ms, || {
            link.is_some_and(|link| app.store.check_link(&link, &self.signature))
        })?;
        let now_s = u64::try_from(now_ms.div_euclid(1_000)).unwrap_or(0);
        self.expires_s
            .filter(|expires_s| *expires_s > now_s)
            .ok_or_else(|| Fault::forbidden("The link has expired"))
    }
}

/// Makes a link: POST `Links` of a recording.
pub(crate) async fn make(
    asked: &Asked,
    sid: RecordingSid,
    mut form: Params,
) -> Result<Response<Body>, Fault> {
    form.check(&KNOWN)?;
    let seconds = form.number(EXPIRES_IN, code::INVALID, 1..=MOST_SECONDS)?;
    let choices = FORMATS.map(|format| (format, format));
    let format = form.choice(FORMAT, code::INVALID, &choices)?;
    let record = recordings::find(asked, sid, None).await?;
    let now_s = u64::try_from(asked.app.now_ms().div_euclid(1_000)).unwrap_or(0);
    let link = Link {
        account: record.account,
        sid,
        reach: format.and_then(reach_of).unwrap_or(Reach::Sound),
        expires_s: now_s + seconds.unwrap_or(USUAL_SECONDS),
    };
    // Its account was removed in the middle of the request.
    let query = asked
        .app
        .store
        .signed_query(&link)
        .ok_or_else(|| asked.not_found())?;
    let document = document(&link, url(&asked.base_url(), &link, format, &query));
    answer::document(StatusCode::CREATED, &document, asked.face(), &asked.zone())
}

/// A link as it is told once, when it is made.
pub(crate) fn document(link: &Link, url: String) -> Document {
    let expires_ms = i64::try_from(link.expires_s.saturating_mul(1_000)).ok();
    Document {
        name: "Link",
        fields: vec![
            Field::seed("RecordingSid", Value::Text(link.sid.to_string())),
            Field::seed("Url", Value::Text(url)),
            Field::seed("DateExpires", Value::date(expires_ms)),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_may_stand_behind_the_signature() {
        for (path, query, extension, signature) in [
            (
                Extension::None,
                "expires=5&signature=ab",
                Extension::None,
                "ab",
            ),
            (
                Extension::Opus,
                "expires=5&signature=ab",
                Extension::Opus,
                "ab",
            ),
            (
                Extension::None,
                "expires=5&signature=ab.mp3",
                Extension::Mp3,
                "ab",
            ),
            // Not beside another, and not what would open more than sound.
            (
                Extension::Wav,
                "expires=5&signature=ab.mp3",
                Extension::Wav,
                "ab.mp3",
            ),
            (
                Extension::None,
                "expires=5&signature=ab.json",
                Extension::None,
                "ab.json",
            ),
        ] {
            let mut found = path;
            let presented = take(&mut Params::parse(query).unwrap(), &mut found).unwrap();
            let expected = Presented {
                expires_s: Some(5),
                signature: signature.to_owned(),
            };
            assert_eq!((presented, found), (Some(expected), extension), "{query}");
        }
        let take = |query| {
            take(
                &mut Params::parse(query).unwrap(),
                &mut Extension::None.clone(),
            )
        };
        assert_eq!(take("expires=5&t=1").unwrap(), None);
        for query in [
            "signature=ab",
            "signature=ab&expires=",
            "signature=ab&expires=-1",
        ] {
            assert_eq!(take(query).unwrap().unwrap().expires_s, None, "{query}");
        }
        assert!(take("signature=ab&signature=cd").is_err());
    }

    #[test]
    fn each_format_has_its_reach() {
        assert!(FORMATS.into_iter().all(|format| reach_of(format).is_some()));
        assert_eq!(reach_of("exe"), None);
    }
}
