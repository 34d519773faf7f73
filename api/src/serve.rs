//! The listener, the connections, and which part of the house answers a path.
//!
//! [`crate::Api::serve`] runs [`run`]. Each connection is a [`Mended`] stream under hyper, over a [`Filed`] socket, with
//! the head, body, request, write and drain times of [`Limits`]. At most `connections` are open;
//! further ones wait in the kernel's backlog.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tower::ServiceExt;
use tower_http::catch_panic::CatchPanicLayer;

use crate::app::App;
use crate::dispatch::{self, Peer};
use crate::face::Format;
use crate::fault::{Fault, code};
use crate::settings::Limits;
use crate::wire::files::{Filed, Lane, Outgoing};
use crate::wire::{Mended, REFUSED_METHOD};
use crate::{answer, health, openapi};

/// Between tries, when the process has no descriptor for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What answers which path.
fn router(app: Arc<App>) -> Router {
    let api = {
        let app = Arc::clone(&app);
        move |request: Request<Body>| dispatch::handle(Arc::clone(&app), request)
    };
    let description = openapi::bytes(&app.settings);
    Router::new()
        .route("/healthz", get(health::alive).fallback(health::only_get))
        .route("/readyz", get(health::ready).fallback(health::only_get))
        .route(
            "/openapi.json",
            get(move || openapi::show(description)).fallback(health::only_get),
        )
        .route("/metrics", get(health::metrics).fallback(health::only_get))
        .fallback(api)
        .with_state(app)
        .layer(CatchPanicLayer::custom(|_| {
            // The panic hook has said where.
            answer::fault(&Fault::internal(), Format::Xml)
        }))
}

/// Serves until `shutdown`, then lets open requests end for `Limits::drain`.
pub(crate) async fn run(
    app: Arc<App>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let limits = app.settings.limits.clone();
    let router = router(app);
    let slots = Arc::new(Semaphore::new(limits.connections.max(1)));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((slot, stream, peer)) => {
                let connection = connection(stream, peer, router.clone(), &limits, &graceful);
                connections.spawn(async move {
                    connection.await;
                    drop(slot);
                });
            }
            Err(error) => {
                // A client that went away at once, or no descriptor left: the listener lives on.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(limits.drain, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("connections were still open at the end and were cut");
    }
    connections.shutdown().await;
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(OwnedSemaphorePermit, TcpStream, Peer)> {
    let slot = Arc::clone(slots)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((slot, stream, Peer(peer.ip())))
}

/// Serves one connection to its end.
fn connection(
    stream: TcpStream,
    peer: Peer,
    router: Router,
    limits: &Limits,
    graceful: &GracefulShutdown,
) -> impl Future<Output = ()> + Send + 'static {
    let lane = Lane::default();
    let stream = Filed::new(stream, lane.clone());
    let stream = TokioIo::new(Mended::new(stream, limits.write_stall));
    let service = service_fn(move |request| {
        let (router, lane) = (router.clone(), lane.clone());
        async move {
            let response = answer_one(router, peer, request).await?;
            Ok::<_, Infallible>(Outgoing::of(response, lane))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        // Clients that close their side after the request still get the answer.
        .half_close(true)
        .serve_connection(stream, service);
    let connection = graceful.watch(connection);
    async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}

async fn answer_one(
    router: Router,
    peer: Peer,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    if request.method().as_str() == REFUSED_METHOD {
        return Ok(refused(request.uri().path()));
    }
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(peer);
    router.oneshot(request).await
}

/// The answer to a request that was refused ahead of hyper, whose path is the status.
fn refused(path: &str) -> Response<Body> {
    let fault = match path {
        "/431" => Fault::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            None,
            "The request's head is too large",
        ),
        "/405" => Fault::method_not_allowed("GET, HEAD, POST, DELETE"),
        "/501" => Fault::new(
            StatusCode::NOT_IMPLEMENTED,
            None,
            "The only transfer coding is chunked",
        ),
        _ => Fault::new(
            StatusCode::BAD_REQUEST,
            Some(code::INVALID),
            "This is not a request that HTTP/1.1 has",
        ),
    };
    answer::fault(&fault, Format::Xml)
}
