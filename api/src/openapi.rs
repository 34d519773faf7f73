//! The API as an OpenAPI 3.1 document: `GET /openapi.json`.
//!
//! `serve` routes here. It is made of the tables by which requests are taken (`path`, `dispatch`,
//! each resource's `params::Known`) and of answers that the faces have written, so that it says what
//! is there; `tests/tests/schemathesis.rs` holds it against a running daemon. Only what no table
//! has is written down here: which statuses an operation can answer with, and a line for people.
//!
//! Plain JSON: `utoipa`, the well-kept crate for this, describes Rust types by its macros (and does
//! not build without them), and an answer here is a document with faces, not a type.

mod examples;
mod parameters;
mod schema;
#[cfg(test)]
mod tests;

use axum::body::Body;
use bytes::Bytes;
use http::Response;
use reeld_model::{AccountSid, CallSid, RecordingRef, RecordingSid};
use serde_json::{Map, Value as Json, json};

use crate::dispatch::{self, Verb};
use crate::face::Version;
use crate::health::Beside;
use crate::media::peaks;
use crate::params::{Known, Use};
use crate::path::{Annex, Extension, Resource, path_of};
use crate::settings::{MediaAuth, Settings};
use crate::{answer, calls, control, filter, link, start};
use parameters::{Parameter, described};

/// Stand for any Sid in a path.
const ACCOUNT: AccountSid = AccountSid::from_bytes([0xac; 16]);
const CALL: CallSid = CallSid::from_bytes([0xca; 16]);
const RECORDING: RecordingSid = RecordingSid::from_bytes([0x4e; 16]);

/// What audio reads; it ignores the rest, as players add their own.
const OF_AUDIO: &[Known] = &[("RequestedChannels", Use::Read)];

/// What a recording's metadata read in 2010, ignoring the rest as they always have.
const OF_METADATA: &[Known] = &[("IncludeSoftDeleted", Use::Read)];

/// The document's bytes, which are made once: whoever asks for them costs nothing more.
pub(crate) fn bytes(settings: &Settings) -> Bytes {
    let document = document(settings.public_url.as_deref(), settings.media_auth);
    document.to_string().into()
}

/// `GET /openapi.json`, of what [`bytes`] has made.
pub(crate) async fn show(bytes: Bytes) -> Response<Body> {
    std::future::ready(answer::json(bytes)).await
}

/// The document, for a server at `public_url` or wherever it was fetched from.
fn document(public_url: Option<&str>, media_auth: MediaAuth) -> Json {
    let mut paths = Map::new();
    let mut schemas = Map::new();
    for version in [Version::V2010, Version::V2008] {
        for (name, examples) in examples::of(version) {
            schemas.insert(component(version, name), schema::of(&examples));
        }
        for resource in resources() {
            for extension in extensions(&resource) {
                let place = Place {
                    version,
                    resource,
                    extension: *extension,
                    media_auth,
                };
                paths.insert(place.path(), place.item());
            }
        }
    }
    for one in Beside::ALL {
        paths.insert(one.path().into(), beside(one));
    }
    let server = public_url.map_or("/", |url| url.trim_end_matches('/'));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "reeld",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Twilio's Recordings API of 2010-04-01 and of 2008-08-01, and the calls \
                that are recorded. POST with ?_method=DELETE is DELETE.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": server }],
        "tags": [
            { "name": "2010-04-01", "description": "Today's API" },
            { "name": "2008-08-01", "description": "The first one" },
            { "name": "daemon", "description": "Beside the API" },
        ],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "account": {
                    "type": "http", "scheme": "basic",
                    "description": "The account's Sid and its token, or a key's and its secret",
                },
                "link": {
                    "type": "apiKey", "in": "query", "name": "signature",
                    "description": "With expires: a link that was made for it",
                },
            },
        },
    })
}

/// Each kind of resource once.
fn resources() -> [Resource; 11] {
    [
        Resource::Account,
        Resource::Recordings,
        Resource::Recording(RECORDING),
        Resource::Links(RECORDING),
        Resource::Annex(RECORDING, Annex::Transcriptions),
        Resource::Annex(RECORDING, Annex::AddOnResults),
        Resource::Calls,
        Resource::Call(CALL),
        Resource::CallRecordings(CALL),
        Resource::CallRecording(CALL, RecordingRef::Sid(RECORDING)),
        Resource::CallRecording(CALL, RecordingRef::Current),
    ]
}

/// The representations that a resource has beside those that stand for another: `.xml` is XML's own
/// name only where none means audio.
fn extensions(resource: &Resource) -> &'static [Extension] {
    if has_audio(resource) {
        &[
            Extension::None,
            Extension::Wav,
            Extension::Mp3,
            Extension::Opus,
            Extension::Peaks,
            Extension::Xml,
            Extension::Json,
            Extension::Csv,
            Extension::Html,
        ]
    } else {
        &[
            Extension::None,
            Extension::Json,
            Extension::Csv,
            Extension::Html,
        ]
    }
}

const fn has_audio(resource: &Resource) -> bool {
    matches!(
        resource,
        Resource::Recording(_) | Resource::CallRecording(_, RecordingRef::Sid(_))
    )
}

fn component(version: Version, name: &str) -> String {
    match version {
        Version::V2008 => format!("{name}2008"),
        Version::V2010 => name.to_owned(),
    }
}

/// One path: a resource in one representation.
struct Place {
    version: Version,
    resource: Resource,
    extension: Extension,
    media_auth: MediaAuth,
}

impl Place {
    /// The path, with names where Sids are.
    fn path(&self) -> String {
        let path = path_of(self.version, ACCOUNT, &self.resource)
            .replace(&ACCOUNT.to_string(), "{AccountSid}")
            .replace(&CALL.to_string(), "{CallSid}")
            .replace(&RECORDING.to_string(), "{RecordingSid}");
        format!("{path}{}", self.extension.suffix())
    }

    /// The path item: what is the same for all methods, and each of them.
    fn item(&self) -> Json {
        let mut item = Map::new();
        let sids: Vec<Json> = [
            ("AccountSid", "^AC[0-9a-fA-F]{32}$"),
            ("CallSid", "^CA[0-9a-fA-F]{32}$"),
            ("RecordingSid", "^RE[0-9a-fA-F]{32}$"),
        ]
        .into_iter()
        .filter(|(name, _)| self.path().contains(&format!("{{{name}}}")))
        .map(|(name, pattern)| {
            json!({ "name": name, "in": "path", "required": true,
                "schema": { "type": "string", "pattern": pattern } })
        })
        .collect();
        item.insert("parameters".into(), sids.into());
        let (_, verbs) = dispatch::verbs(&self.resource);
        for verb in verbs {
            item.insert(method(*verb).into(), self.operation(*verb));
        }
        item.into()
    }

    fn operation(&self, verb: Verb) -> Json {
        let mut operation = Map::new();
        let id = format!(
            "{}{}{}{}",
            method(verb),
            self.path()
                .split(['/', '{', '}', '.', '-'])
                .skip(4)
                .collect::<String>(),
            if self.path().contains('.') { "" } else { "Xml" },
            self.version.as_str().split('-').next().unwrap_or_default(),
        );
        operation.insert("operationId".into(), id.into());
        operation.insert("summary".into(), self.summary(verb).into());
        operation.insert("tags".into(), json!([self.version.as_str()]));
        let security = if self.is_public(verb) {
            json!([])
        } else if self.is_linked(verb) {
            json!([{ "account": [] }, { "link": [] }])
        } else {
            json!([{ "account": [] }])
        };
        operation.insert("security".into(), security);
        let mut parameters: Vec<Json> = self.query(verb).iter().map(in_query).collect();
        parameters.extend(self.headers(verb));
        operation.insert("parameters".into(), parameters.into());
        if let Some(body) = self.body(verb) {
            operation.insert("requestBody".into(), body);
        }
        operation.insert("responses".into(), self.responses(verb));
        operation.into()
    }

    const fn summary(&self, verb: Verb) -> &'static str {
        match (verb, &self.resource) {
            (Verb::Get | Verb::Head, Resource::Account) => "The account",
            (Verb::Get | Verb::Head, Resource::Recordings) => "The account's recordings",
            (Verb::Get | Verb::Head, Resource::CallRecordings(_)) => "The call's recordings",
            (Verb::Get | Verb::Head, Resource::Recording(_) | Resource::CallRecording(..)) => {
                if self.is_audio() {
                    "A recording's audio"
                } else if self.is_peaks() {
                    "A recording's peaks, to draw it by"
                } else {
                    "What is known of a recording"
                }
            }
            (Verb::Get | Verb::Head, Resource::Annex(..)) => "Always empty",
            (Verb::Get | Verb::Head, _) => "A call",
            (Verb::Delete, _) => "Deletes a recording",
            (Verb::Post, Resource::Calls) => "Opens a call",
            (Verb::Post, Resource::Call(_)) => "Gives a call a new offer, or ends it",
            (Verb::Post, Resource::Links(_)) => "Makes a link that needs no credentials",
            (Verb::Post, Resource::CallRecordings(_)) => "Starts a recording",
            (Verb::Post, Resource::CallRecording(_, RecordingRef::Current)) => {
                "Pauses, resumes or stops the call's only recording"
            }
            (Verb::Post, _) => "Pauses, resumes or stops a recording",
        }
    }

    const fn is_audio(&self) -> bool {
        has_audio(&self.resource)
            && matches!(
                self.extension,
                Extension::None | Extension::Wav | Extension::Mp3 | Extension::Opus
            )
    }

    const fn is_peaks(&self) -> bool {
        matches!(self.extension, Extension::Peaks)
    }

    /// Whether it is GET or HEAD of one recording, in whatever form: what links open.
    const fn is_linked(&self, verb: Verb) -> bool {
        matches!(verb, Verb::Get | Verb::Head) && has_audio(&self.resource)
    }

    fn is_public(&self, verb: Verb) -> bool {
        let target = crate::path::Target {
            version: self.version,
            account: ACCOUNT,
            resource: self.resource,
            extension: self.extension,
        };
        dispatch::is_public(self.media_auth, &target, verb)
    }

    /// Parameters of the query.
    fn query(&self, verb: Verb) -> Vec<Parameter> {
        match (verb, &self.resource) {
            (Verb::Get | Verb::Head, Resource::Recordings | Resource::CallRecordings(_)) => {
                described(filter::KNOWN)
            }
            (Verb::Get | Verb::Head, _) if self.is_audio() => described(OF_AUDIO),
            (Verb::Get | Verb::Head, _) if self.is_peaks() => described(&peaks::KNOWN),
            (Verb::Get | Verb::Head, Resource::Recording(_) | Resource::CallRecording(..))
                if self.version == Version::V2010 =>
            {
                described(OF_METADATA)
            }
            _ => Vec::new(),
        }
    }

    /// Header fields that mean something.
    fn headers(&self, verb: Verb) -> Vec<Json> {
        let text = |name: &str, schema: Json, what: &str| json!({ "name": name, "in": "header", "schema": schema, "description": what });
        let known = text(
            "If-None-Match",
            json!({ "type": "string" }),
            "Entity tags that the client has (RFC 9110 §13.1.2).",
        );
        match (verb, &self.resource) {
            (Verb::Post, Resource::CallRecordings(_)) => vec![text(
                "I-Twilio-Idempotency-Token",
                json!({ "type": "string", "minLength": 1, "maxLength": control::MAX_TOKEN, "pattern": "^[!-~]+$" }),
                "A start with the same one is answered with what the first began.",
            )],
            (Verb::Get, _) if self.is_audio() => vec![
                text(
                    "Range",
                    json!({ "type": "string", "examples": ["bytes=0-1023"] }),
                    "One range of bytes (RFC 9110 §14.2).",
                ),
                known,
            ],
            (Verb::Get, _) if self.is_linked(verb) => vec![known],
            _ => Vec::new(),
        }
    }

    /// The form of a POST.
    fn body(&self, verb: Verb) -> Option<Json> {
        if verb != Verb::Post {
            return None;
        }
        let (known, states): (&[Known], &[&str]) = match &self.resource {
            Resource::Calls => (calls::KNOWN_TO_OPEN, &[]),
            Resource::Call(_) => (calls::KNOWN_TO_UPDATE, &["completed"]),
            Resource::CallRecordings(_) => (start::KNOWN, &[]),
            Resource::Links(_) => (&link::KNOWN, &[]),
            Resource::CallRecording(..) => (
                control::KNOWN_TO_UPDATE,
                &["paused", "in-progress", "stopped"],
            ),
            Resource::Account
            | Resource::Recordings
            | Resource::Recording(_)
            | Resource::Annex(..) => return None,
        };
        let mut properties = Map::new();
        for parameter in described(known) {
            let Json::Object(mut schema) = parameter.schema else {
                continue;
            };
            if parameter.name == "Status" {
                schema.insert("enum".into(), json!(states));
            }
            schema.insert("description".into(), parameter.what.into());
            properties.insert(parameter.name.into(), schema.into());
        }
        let mut schema = json!({
            "type": "object", "properties": properties, "additionalProperties": false,
        });
        let needs_status = matches!(self.resource, Resource::CallRecording(..));
        if needs_status {
            schema["required"] = json!(["Status"]);
        }
        Some(json!({
            "required": needs_status,
            "content": { "application/x-www-form-urlencoded": { "schema": schema } },
        }))
    }

    fn responses(&self, verb: Verb) -> Json {
        let mut responses = Map::new();
        let head = verb == Verb::Head;
        let mut answer = |status: u16, what: &str, content: Option<Json>| {
            let mut response = Map::new();
            response.insert("description".into(), what.into());
            if let Some(content) = content.filter(|_| !head) {
                response.insert("content".into(), content);
            }
            responses.insert(status.to_string(), response.into());
        };
        for status in self.successes(verb) {
            let (what, content) = match status {
                204 => ("It is gone.", None),
                206 => ("The range.", Some(self.audio())),
                304 => ("The client has it.", None),
                201 => ("It is there now.", Some(self.content(self.name(verb)))),
                _ if self.is_audio() && verb != Verb::Post => ("The audio.", Some(self.audio())),
                _ => ("As it is.", Some(self.content(self.name(verb)))),
            };
            answer(*status, what, content);
        }
        for status in self.refusals(verb) {
            answer(status, refusal(status), Some(self.content("Error")));
        }
        responses.into()
    }

    const fn successes(&self, verb: Verb) -> &'static [u16] {
        match (verb, &self.resource) {
            (Verb::Get, _) if self.is_audio() => &[200, 206, 304],
            (Verb::Head, _) if self.is_audio() => &[200, 304],
            (Verb::Get | Verb::Head, _) if self.is_linked(verb) => &[200, 304],
            (Verb::Get | Verb::Head, _) => &[200],
            (Verb::Delete, _) => &[204],
            (Verb::Post, Resource::Calls | Resource::Links(_)) => &[201],
            // 200: the idempotency token has begun one before.
            (Verb::Post, Resource::CallRecordings(_)) => &[200, 201],
            (Verb::Post, _) => &[200],
        }
    }

    fn refusals(&self, verb: Verb) -> Vec<u16> {
        let mut statuses = vec![400, 404, 429, 503];
        if !self.is_public(verb) {
            statuses.push(401);
        }
        if self.is_linked(verb) {
            statuses.push(403);
        }
        match verb {
            Verb::Post => statuses.extend([413, 415]),
            Verb::Delete => statuses.push(409),
            Verb::Get if self.is_audio() => statuses.push(416),
            Verb::Get | Verb::Head => {}
        }
        statuses.sort_unstable();
        statuses.dedup();
        statuses
    }

    /// The schema of a success.
    const fn name(&self, verb: Verb) -> &'static str {
        match (verb, &self.resource) {
            (Verb::Get | Verb::Head, _) if self.is_peaks() => "Peaks",
            (_, Resource::Links(_)) => "Link",
            (_, Resource::Account) => "Account",
            (Verb::Post, Resource::CallRecordings(_) | Resource::CallRecording(..)) => {
                "ControlledRecording"
            }
            (_, Resource::Recordings | Resource::CallRecordings(_)) => "Recordings",
            (_, Resource::Recording(_) | Resource::CallRecording(..)) => "Recording",
            (_, Resource::Annex(_, Annex::Transcriptions)) => "Transcriptions",
            (_, Resource::Annex(_, Annex::AddOnResults)) => "AddOnResults",
            (_, Resource::Calls | Resource::Call(_)) => "Call",
        }
    }

    /// A document in this representation.
    fn content(&self, name: &str) -> Json {
        match self.extension {
            Extension::Json | Extension::Peaks => {
                let reference = format!("#/components/schemas/{}", component(self.version, name));
                json!({ "application/json": { "schema": { "$ref": reference } } })
            }
            Extension::Csv => text("text/csv"),
            Extension::Html => text("text/html"),
            Extension::None
            | Extension::Xml
            | Extension::Wav
            | Extension::Mp3
            | Extension::Opus => text("application/xml"),
        }
    }

    fn audio(&self) -> Json {
        // OpenAPI 3.1: bytes without a schema.
        match self.extension {
            Extension::Mp3 => json!({ "audio/mpeg": {} }),
            Extension::Opus => json!({ "audio/ogg": {} }),
            Extension::None
            | Extension::Wav
            | Extension::Peaks
            | Extension::Xml
            | Extension::Json
            | Extension::Csv
            | Extension::Html => json!({ "audio/x-wav": {} }),
        }
    }
}

fn text(media_type: &str) -> Json {
    json!({ media_type: { "schema": { "type": "string" } } })
}

const fn method(verb: Verb) -> &'static str {
    match verb {
        Verb::Get => "get",
        Verb::Head => "head",
        Verb::Post => "post",
        Verb::Delete => "delete",
    }
}

fn in_query(parameter: &Parameter) -> Json {
    json!({
        "name": parameter.name, "in": "query",
        "schema": parameter.schema, "description": parameter.what,
    })
}

const fn refusal(status: u16) -> &'static str {
    match status {
        400 => "A parameter, named, that is unknown or has a bad value; a step that is not legal.",
        401 => "No credentials, or wrong ones.",
        403 => "A link that is not right, or has expired.",
        404 => "No such resource, or another account's.",
        409 => "It is not complete.",
        413 => "The body is too large.",
        415 => "The body is no form.",
        416 => "The range lies outside the file.",
        429 => "Too many requests, or failed authentications, or wrong links.",
        _ => "Something is full or not ready; Retry-After says when to come again.",
    }
}

/// A path beside the API.
fn beside(one: Beside) -> Json {
    let content = match one {
        Beside::Healthz | Beside::Readyz | Beside::Metrics => text("text/plain"),
        Beside::Openapi => json!({ "application/json": { "schema": { "type": "object" } } }),
    };
    let mut responses = json!({ "200": { "description": "So it is.", "content": content } });
    if one == Beside::Readyz {
        responses["503"] =
            json!({ "description": "What is wanting, a line each.", "content": content });
    }
    let id: String = one
        .path()
        .chars()
        .filter(char::is_ascii_alphabetic)
        .collect();
    json!({ "get": {
        "operationId": id, "summary": one.what(), "tags": ["daemon"],
        "security": [], "parameters": [], "responses": responses,
    } })
}
