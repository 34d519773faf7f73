//! One round of sending an event: a few tries within seconds, as Twilio's rules have them.
//!
//! Called by `run`. Only an answer of 2xx is a delivery. A redirect is an answer like any other and
//! is not followed: who can answer for a receiver could send reeld anywhere with it, and the
//! signature is of one URL alone.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use reeld_store::{Event, EventMethod};
use tokio::time::{Instant, timeout};

use crate::Target;
use crate::connect::Connector;
use crate::failure::{Failure, Kind};
use crate::figures::Figures;
use crate::form::form;
use crate::signature::sign;
use crate::target::{Policy, Rules};

/// Bytes of an answer's head.
const MOST_HEAD: usize = 64 * 1024;

/// Bytes that are read of an answer's body, so that its sender is not cut off in a short one.
const MOST_BODY: usize = 64 * 1024;

/// And how long. The head has said what came of the event, so a body that drips changes nothing.
const BODY_TIME: Duration = Duration::from_secs(1);

/// What is requested, the same in every try.
struct Sent {
    method: Method,
    /// Path and query.
    path: String,
    host: String,
    body: String,
    signature: String,
    token: String,
}

/// Sends an event, signed with its account's token; the error says why it did not arrive.
pub(crate) async fn send(
    connector: &Connector,
    target: &Target,
    event: &Event,
    auth_token: &str,
    figures: &Figures,
) -> Result<(), String> {
    let Rules {
        total,
        retries,
        policy,
        ..
    } = target.rules;
    let sent = Sent::of(target, event, auth_token);
    let end = Instant::now() + total;
    let mut tries = 0;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let outcome = attempt(connector, target, &sent, left).await;
        figures.tried(&outcome);
        let Err(failure) = outcome else {
            return Ok(());
        };
        tries += 1;
        if tries > retries || !policy.has(failure.kind) || Instant::now() >= end {
            return Err(failure.reason);
        }
    }
}

impl Policy {
    fn has(self, kind: Kind) -> bool {
        match kind {
            // What a name stands for, and a certificate, may be put right.
            Kind::Refused | Kind::Name | Kind::Connect | Kind::Tls => self.connect,
            Kind::Timeout | Kind::Garbled => self.read,
            Kind::Answer(status) => {
                (self.client && status.is_client_error())
                    || (self.server && status.is_server_error())
            }
        }
    }
}

impl Sent {
    fn of(target: &Target, event: &Event, auth_token: &str) -> Self {
        let form = form(event);
        let mut url = target.url.clone();
        let (method, body, signed) = match event.subscription.method {
            EventMethod::Get => {
                url.query_pairs_mut().extend_pairs(&form);
                (Method::GET, String::new(), &[][..])
            }
            EventMethod::Post => {
                let mut body = form_urlencoded::Serializer::new(String::new());
                body.extend_pairs(&form);
                (Method::POST, body.finish(), form.as_slice())
            }
        };
        let mut path = url.path().to_owned();
        if let Some(query) = url.query() {
            path = format!("{path}?{query}");
        }
        Self {
            method,
            signature: sign(auth_token, url.as_str(), signed),
            path,
            host: url[url::Position::BeforeHost..url::Position::AfterPort].to_owned(),
            body,
            token: event.token(),
        }
    }

    fn request(&self, user: Option<&(String, String)>) -> Result<Request<Full<Bytes>>, Failure> {
        let mut request = Request::builder()
            .method(&self.method)
            .uri(&self.path)
            .header(header::HOST, &self.host)
            .header(
                header::USER_AGENT,
                concat!("reeld/", env!("CARGO_PKG_VERSION")),
            )
            .header(header::ACCEPT, "*/*")
            .header(header::CONNECTION, "close")
            .header("X-Twilio-Signature", &self.signature)
            .header("I-Twilio-Idempotency-Token", &self.token);
        if self.method == Method::POST {
            request = request.header(
                header::CONTENT_TYPE,
                "application/x-www-form-urlencoded; charset=UTF-8",
            );
        }
        if let Some((name, password)) = user {
            let credentials = STANDARD.encode(format!("{name}:{password}"));
            request = request.header(header::AUTHORIZATION, format!("Basic {credentials}"));
        }
        request
            .body(Full::from(self.body.clone()))
            .map_err(|error| {
                let reason = format!("no request can be made of the URL: {error}");
                Failure::new(Kind::Garbled, reason)
            })
    }
}

/// One try, and a second request where the receiver asks for the URL's user, as Twilio does.
async fn attempt(
    connector: &Connector,
    target: &Target,
    sent: &Sent,
    left: Duration,
) -> Result<(), Failure> {
    let first = once(connector, target, sent.request(None)?, left).await;
    match (&first, &target.user) {
        (
            Err(Failure {
                kind: Kind::Answer(StatusCode::UNAUTHORIZED),
                ..
            }),
            Some(user),
        ) => once(connector, target, sent.request(Some(user))?, left).await,
        _ => {
            if first.is_err() {
                // Not its URL: a query may have secrets.
                tracing::debug!(to = target.origin(), ?first, "a callback has failed");
            }
            first
        }
    }
}

async fn once(
    connector: &Connector,
    target: &Target,
    request: Request<Full<Bytes>>,
    left: Duration,
) -> Result<(), Failure> {
    let start = Instant::now();
    let connecting = timeout(
        target.rules.connect.min(left),
        connector.connect(&target.url),
    );
    let stream = connecting
        .await
        .unwrap_or_else(|_| Err(Failure::new(Kind::Connect, "no connection in time")))?;
    let left = left.saturating_sub(start.elapsed());
    timeout(target.rules.read.min(left), exchange(stream, request))
        .await
        .unwrap_or_else(|_| Err(Failure::new(Kind::Timeout, "no answer in time")))
}

async fn exchange(
    stream: Box<dyn crate::connect::Stream>,
    request: Request<Full<Bytes>>,
) -> Result<(), Failure> {
    let garbled = |error: hyper::Error| {
        // Its own text says where, its source what.
        let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
        let reason = format!("no answer: {error}{}", source.unwrap_or_default());
        Failure::new(Kind::Garbled, reason)
    };
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MOST_HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(garbled)?;
    // Both ends live in this future: dropped, it closes the connection.
    let answering = async {
        let answer = sender.send_request(request).await.map_err(garbled)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MOST_BODY).collect();
        match timeout(BODY_TIME, body).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the body of an answer ends in disorder"),
            Err(_) => tracing::debug!("the body of an answer takes too long"),
        }
        Ok(status)
    };
    tokio::pin!(answering);
    let status = tokio::select! {
        status = &mut answering => status?,
        closed = connection => {
            if let Err(error) = closed {
                tracing::debug!(%error, "a receiver's connection");
            }
            // What was answered before the connection ended, however it did, is an answer.
            answering.await?
        }
    };
    if status.is_success() {
        return Ok(());
    }
    let hint = if status.is_redirection() {
        ", and redirects are not followed"
    } else {
        ""
    };
    let reason = format!("the receiver answered {status}{hint}");
    Err(Failure::new(Kind::Answer(status), reason))
}
