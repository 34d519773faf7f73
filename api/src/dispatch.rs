//! A request of the Twilio API from its path to its handler: what is named, which method, who
//! asks, within what time.
//!
//! `serve` routes everything here that is not beside the API. Order: path (404), method (405), the
//! address's rate (429), credentials (401, 429, the account's rate, 404 for another's account) or a signed link (403, 429), parameters (400), then the handler.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::{Body, HttpBody as _};
use http::uri::Authority;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use jiff::tz::TimeZone;
use reeld_model::{AccountSid, RecordingRef};
use reeld_store::{AuditAction, AuditEntry, Link, Record, Who};

use crate::app::App;
use crate::audit::{self, Deed};
use crate::auth::User;
use crate::document::Listing;
use crate::face::{Face, Version};
use crate::fault::Fault;
use crate::paging::{Place, Stretch};
use crate::params::Params;
use crate::path::{Annex, Extension, Resource, Target, face_of_stray, path_of};
use crate::settings::MediaAuth;
use crate::{account, answer, calls, control, link, recordings};

/// The client, put into each request by `serve`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) address: IpAddr,
    /// Whether it speaks TLS with us.
    pub(crate) is_tls: bool,
}

/// What a resource does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Head,
    Post,
    Delete,
}

/// A request, past path, method and credentials.
pub(crate) struct Asked {
    pub(crate) app: Arc<App>,
    pub(crate) target: Target,
    /// The path as it came, for messages.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) is_head: bool,
    pub(crate) is_tls: bool,
}

impl Asked {
    pub(crate) fn face(&self) -> Face {
        self.target.face()
    }

    pub(crate) fn zone(&self) -> TimeZone {
        self.face().zone(&self.app.settings.timezone)
    }

    pub(crate) fn not_found(&self) -> Fault {
        Fault::not_found(&self.path)
    }

    /// What absolute links begin with: `api.public_url`, else the host that was asked for, else
    /// nothing.
    pub(crate) fn base_url(&self) -> String {
        if let Some(url) = &self.app.settings.public_url {
            return url.trim_end_matches('/').to_owned();
        }
        self.headers
            .get(header::HOST)
            .and_then(|host| Authority::try_from(host.as_bytes()).ok())
            .map_or_else(String::new, |host| {
                let scheme = if self.is_tls { "https" } else { "http" };
                format!("{scheme}://{host}")
            })
    }

    /// What makes a recording's `media_url` a signed link, where `api.link_lifetime` says so.
    pub(crate) fn media_query(&self, record: &Record) -> Option<String> {
        let app = &self.app;
        let lifetime = app.settings.link_lifetime?;
        let link = Link::to_sound(record.account, record.sid, app.now_ms(), lifetime);
        app.store.signed_query(&link)
    }
}

/// Answers a request of the API.
pub(crate) async fn handle(app: Arc<App>, request: Request<Body>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let Some(target) = Target::parse(&path) else {
        return answer::fault(&Fault::not_found(&path), face_of_stray(&path).format);
    };
    let limit = app.settings.limits.request;
    let method = request.method().clone();
    let mut trace = Trace::default();
    let responding = respond(Arc::clone(&app), target, path, request, &mut trace);
    let mut response = match tokio::time::timeout(limit, responding).await {
        Ok(Ok(response)) => response,
        Ok(Err(fault)) => answer::fault(&fault, target.face().format),
        Err(_) => answer::fault(
            &Fault::unavailable("the request took too long"),
            target.face().format,
        ),
    };
    tracing::debug!(
        %method,
        resource = target.resource.kind(),
        status = response.status().as_u16(),
        "request"
    );
    if let Some(entry) = trace.entry(&app, target.account, &mut response) {
        app.trail.note(entry).await;
    }
    response
}

/// What the audit trail is to have of a request, as far as it came.
#[derive(Default)]
struct Trace {
    who: Option<Who>,
    address: Option<IpAddr>,
    deed: Option<Deed>,
    form: &'static str,
}

impl Trace {
    /// The entry of a request that was answered, if it is to have one: whoever has proven who he is or
    /// shown a link; of others only what they were given, so that no stranger fills the trail.
    fn entry(
        self,
        app: &App,
        account: AccountSid,
        response: &mut Response<Body>,
    ) -> Option<AuditEntry> {
        let said = response.extensions_mut().remove::<Deed>();
        let (who, deed) = (self.who?, said.or(self.deed)?);
        let status = response.status();
        let is_given = status.is_success() || status == StatusCode::NOT_MODIFIED;
        if who == Who::Public && !is_given {
            return None;
        }
        let is_fetch = deed.action == AuditAction::Fetch;
        Some(AuditEntry {
            at_ms: app.now_ms(),
            who,
            address: self.address,
            action: deed.action,
            account: Some(account),
            recording: deed.recording,
            call: deed.call,
            form: if is_fetch { self.form } else { "" }.to_owned(),
            bytes: if is_fetch && is_given {
                audit::bytes_of(response)
            } else {
                0
            },
            status: status.as_u16(),
        })
    }
}

async fn respond(
    app: Arc<App>,
    mut target: Target,
    path: String,
    request: Request<Body>,
    trace: &mut Trace,
) -> Result<Response<Body>, Fault> {
    let mut query = Params::parse(request.uri().query().unwrap_or_default());
    let verb = verb(&target.resource, request.method(), query.as_mut().ok())?;
    let Peer {
        address: peer,
        is_tls,
    } = *request
        .extensions()
        .get::<Peer>()
        .ok_or_else(Fault::internal)?;
    if app.settings.limits.rate_media || !is_media(&target, verb) {
        app.rates.of_address(peer, app.now_ms())?;
    }
    let link = match (target.resource, query.as_mut()) {
        (
            Resource::Recording(sid) | Resource::CallRecording(_, RecordingRef::Sid(sid)),
            Ok(query),
        ) if matches!(verb, Verb::Get | Verb::Head) => {
            link::take(query, &mut target.extension)?.map(|link| (sid, link))
        }
        _ => None,
    };
    trace.address = Some(peer);
    trace.deed = Deed::of(&target, verb);
    trace.form = audit::form_of(target.extension);
    // Who has credentials is judged by them.
    let link = link.filter(|_| !request.headers().contains_key(header::AUTHORIZATION));
    if let Some((sid, link)) = link {
        let expires_s = link.check(&app, peer, target.account, sid, target.extension)?;
        trace.who = Some(Who::Link(expires_s));
    } else if !is_public(app.settings.media_auth, &target, verb) {
        let store = &app.store;
        let check = |user, secret: &str| match user {
            User::Account(sid) => {
                trace.who = Some(Who::Account(sid));
                store.authenticate(sid, secret).then_some(sid)
            }
            User::Key(sid) => {
                trace.who = Some(Who::Key(sid));
                store.authenticate_key(sid, secret)
            }
        };
        let admitted = app.gate.admit(request.headers(), peer, app.now_ms(), check);
        let account = admitted.inspect_err(|_| trace.who = None)?;
        if app.settings.limits.rate_media || !is_media(&target, verb) {
            app.rates.of_account(account, app.now_ms())?;
        }
        if account != target.account {
            return Err(Fault::not_found(&path));
        }
    } else {
        trace.who = Some(Who::Public);
    }
    let query = query?;
    let (parts, body) = request.into_parts();
    let asked = Asked {
        app,
        target,
        path,
        headers: parts.headers,
        is_head: verb == Verb::Head,
        is_tls,
    };
    match (verb, target.resource) {
        (Verb::Get | Verb::Head, _) => get(&asked, query).await,
        (Verb::Delete, Resource::Recording(sid)) => recordings::delete(&asked, sid, None).await,
        (Verb::Delete, Resource::CallRecording(call, RecordingRef::Sid(sid))) => {
            recordings::delete(&asked, sid, Some(call)).await
        }
        (Verb::Post, resource) => {
            let form = form(&asked, query, body).await?;
            post(&asked, resource, form).await
        }
        (Verb::Delete, _) => Err(asked.not_found()),
    }
}

async fn post(asked: &Asked, resource: Resource, form: Params) -> Result<Response<Body>, Fault> {
    match resource {
        Resource::Calls => calls::open(asked, form).await,
        Resource::Call(call) => calls::update(asked, call, form).await,
        Resource::CallRecordings(call) => control::start(asked, call, form).await,
        Resource::CallRecording(call, recording) => {
            control::update(asked, call, recording, form).await
        }
        Resource::Links(sid) => link::make(asked, sid, form).await,
        Resource::Account | Resource::Recordings | Resource::Recording(_) | Resource::Annex(..) => {
            Err(asked.not_found())
        }
    }
}

async fn get(asked: &Asked, query: Params) -> Result<Response<Body>, Fault> {
    match asked.target.resource {
        Resource::Account => show_account(asked).await,
        Resource::Recordings => recordings::list(asked, None, query).await,
        Resource::CallRecordings(call) => recordings::list(asked, Some(call), query).await,
        Resource::Recording(sid) => recordings::show(asked, sid, None, query).await,
        Resource::CallRecording(call, RecordingRef::Sid(sid)) => {
            recordings::show(asked, sid, Some(call), query).await
        }
        Resource::Annex(sid, annex) => {
            recordings::find(asked, sid, None).await?;
            empty_list(asked, annex)
        }
        Resource::Call(call) => calls::show(asked, call).await,
        Resource::Links(_)
        | Resource::Calls
        | Resource::CallRecording(_, RecordingRef::Current) => Err(asked.not_found()),
    }
}

/// Public by their Sid are the audio and the 2008 `.xml` (contract.md, "Recordings").
pub(crate) fn is_public(media_auth: MediaAuth, target: &Target, verb: Verb) -> bool {
    let read = matches!(verb, Verb::Get | Verb::Head);
    let recording = matches!(
        target.resource,
        Resource::Recording(_) | Resource::CallRecording(_, RecordingRef::Sid(_))
    );
    let representation = match target.extension {
        Extension::None | Extension::Wav | Extension::Mp3 | Extension::Opus => true,
        Extension::Xml => target.version == Version::V2008,
        Extension::Json | Extension::Csv | Extension::Html | Extension::Peaks => false,
    };
    media_auth == MediaAuth::Public && read && recording && representation
}

/// Whether it is sound that is asked for, or what it looks like: rates leave it out, since a player
/// makes many requests and the disk and the network bound them.
fn is_media(target: &Target, verb: Verb) -> bool {
    let recording = matches!(
        target.resource,
        Resource::Recording(_) | Resource::CallRecording(_, RecordingRef::Sid(_))
    );
    let sound = match target.extension {
        Extension::None | Extension::Wav | Extension::Mp3 | Extension::Opus | Extension::Peaks => {
            true
        }
        Extension::Xml | Extension::Json | Extension::Csv | Extension::Html => false,
    };
    matches!(verb, Verb::Get | Verb::Head) && recording && sound
}

/// What a resource does, for `Allow` and as verbs.
pub(crate) const fn verbs(resource: &Resource) -> (&'static str, &'static [Verb]) {
    match resource {
        Resource::Account | Resource::Recordings | Resource::Annex(..) => {
            ("GET, HEAD", &[Verb::Get, Verb::Head])
        }
        Resource::Recording(_) => ("GET, HEAD, DELETE", &[Verb::Get, Verb::Head, Verb::Delete]),
        // The latter is a name for control alone: what runs is shown by its own name.
        Resource::Calls
        | Resource::Links(_)
        | Resource::CallRecording(_, RecordingRef::Current) => ("POST", &[Verb::Post]),
        Resource::Call(_) | Resource::CallRecordings(_) => {
            ("GET, HEAD, POST", &[Verb::Get, Verb::Head, Verb::Post])
        }
        Resource::CallRecording(_, RecordingRef::Sid(_)) => (
            "GET, HEAD, POST, DELETE",
            &[Verb::Get, Verb::Head, Verb::Post, Verb::Delete],
        ),
    }
}

/// What is asked of the resource, with `?_method=` on POST (twilio.md §1), or 405.
fn verb(resource: &Resource, method: &Method, query: Option<&mut Params>) -> Result<Verb, Fault> {
    let (allow, verbs) = verbs(resource);
    let overriding = match query {
        Some(query) if *method == Method::POST => query.take("_method")?,
        Some(_) | None => None,
    };
    let verb = match overriding.as_deref() {
        Some("DELETE") => Some(Verb::Delete),
        Some("PUT") => None,
        Some(_) => return Err(Fault::invalid("_method", "it must be DELETE or PUT")),
        None => match *method {
            Method::GET => Some(Verb::Get),
            Method::HEAD => Some(Verb::Head),
            Method::POST => Some(Verb::Post),
            Method::DELETE => Some(Verb::Delete),
            _ => None,
        },
    };
    verb.filter(|verb| verbs.contains(verb))
        .ok_or_else(|| Fault::method_not_allowed(allow))
}

/// The form of a POST, after what its query says.
async fn form(asked: &Asked, query: Params, body: Body) -> Result<Params, Fault> {
    let limit = asked.app.settings.limits.body_bytes;
    let too_large = || {
        let message = format!("The body must be at most {limit} bytes");
        Fault::new(StatusCode::PAYLOAD_TOO_LARGE, None, message)
    };
    // Before it is asked for: who waits for "100 Continue" need not send it.
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    let bytes = Limited::new(body, limit)
        .collect()
        .await
        .map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() {
                too_large()
            } else {
                Fault::new(StatusCode::BAD_REQUEST, None, "The body could not be read")
            }
        })?
        .to_bytes();
    let is_form = asked.headers.get(header::CONTENT_TYPE).is_none_or(|value| {
        let value = value.to_str().unwrap_or_default();
        let essence = value.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
    });
    if !is_form && !bytes.is_empty() {
        return Err(Fault::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            None,
            "The body must be application/x-www-form-urlencoded",
        ));
    }
    Ok(query.and(Params::parse(&String::from_utf8_lossy(&bytes))?))
}

async fn show_account(asked: &Asked) -> Result<Response<Body>, Fault> {
    let sid = asked.target.account;
    let accounts = asked.app.store(|store| store.accounts()).await?;
    let account = accounts
        .iter()
        .find(|account| account.sid == sid)
        .ok_or_else(|| asked.not_found())?;
    answer::document(
        StatusCode::OK,
        &account::document(account),
        asked.face(),
        &asked.zone(),
    )
}

/// The list of what a recording never has here.
fn empty_list(asked: &Asked, annex: Annex) -> Result<Response<Body>, Fault> {
    let target = &asked.target;
    let path = path_of(target.version, target.account, &target.resource);
    let place = Place {
        path: &path,
        face: asked.face(),
        filters: &[],
        page: 0,
        page_size: 50,
        at: None,
    };
    let listing = Listing {
        name: annex.as_str(),
        items: Vec::new(),
        paging: place.paging(&Stretch::default()),
    };
    answer::listing(&listing, asked.face(), &asked.zone())
}
