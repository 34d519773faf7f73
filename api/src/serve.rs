//! The listener, the connections, and which part of the house answers a path.
//!
//! [`crate::Api::serve`] runs [`run`]. Each connection is a [`Mended`] stream under hyper, over a [`Filed`] socket or
//! over TLS, with the head, body, request, write and drain times of [`Limits`]; a handshake has a head's time.
//! At most `connections` are open (`places`); further ones wait in the kernel's backlog.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
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
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;
use tower_http::catch_panic::CatchPanicLayer;

use crate::app::App;
use crate::dispatch::{self, Peer};
use crate::face::Format;
use crate::fault::{Fault, code};
use crate::health::Beside;
use crate::places::{Places, Slot};
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
    let mut router = Router::new();
    for one in Beside::ALL {
        let description = description.clone();
        let methods = match one {
            Beside::Healthz => get(health::alive),
            Beside::Readyz => get(health::ready),
            Beside::Metrics => get(health::metrics),
            Beside::Openapi => get(move || openapi::show(description)),
        };
        router = router.route(one.path(), methods.fallback(health::only_get));
    }
    router
        .fallback(api)
        .with_state(app)
        .layer(CatchPanicLayer::custom(|_| {
            // The panic hook has said where.
            answer::fault(&Fault::internal(), Format::Xml)
        }))
}

/// A client that takes so little that in so many times `Limits::write_stall` no write can go on is as good as
/// one that takes nothing.
const SILENCES: u32 = 10;

/// Serves until `shutdown`, then lets open requests end for `Limits::drain`.
pub(crate) async fn run(
    app: Arc<App>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let limits = app.settings.limits.clone();
    let router = router(Arc::clone(&app));
    let graceful = GracefulShutdown::new();
    let (ending, ended) = watch::channel(false);
    let trail = tokio::spawn({
        let app = Arc::clone(&app);
        async move { app.trail.write(app.store.clone(), ended).await }
    });
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &app.places) => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((slot, stream, address)) => {
                // Dropped, it is closed: its address has as many as it may.
                if let Some(place) = app.places.give(slot, address) {
                    let client = Client {
                        app: Arc::clone(&app),
                        address,
                        router: router.clone(),
                    };
                    let connection = client.serve(stream, graceful.watcher());
                    connections.spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
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
    ending.send_replace(true);
    // What was noted is written before the store is closed.
    trail.await.map_err(io::Error::other)
}

async fn accept(listener: &TcpListener, places: &Places) -> io::Result<(Slot, TcpStream, IpAddr)> {
    let slot = places.slot().await?;
    let (stream, peer) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((slot, stream, peer.ip()))
}

/// Has the kernel end a connection whose client takes nothing for so long (TCP_USER_TIMEOUT, tcp(7)): it
/// alone sees each byte that is taken. Whether a write can go on tells too little, since a third of a send
/// buffer of megabytes has to be free for that.
fn bound_silence(stream: &TcpStream, limit: Duration) -> io::Result<()> {
    let millis = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
    Ok(rustix::net::sockopt::set_tcp_user_timeout(stream, millis)?)
}

/// Who is at the other end of a connection.
struct Client {
    app: Arc<App>,
    address: IpAddr,
    router: Router,
}

impl Client {
    /// Serves its connection to its end.
    async fn serve(self, stream: TcpStream, watcher: Watcher) {
        if let Err(error) = bound_silence(&stream, self.app.settings.limits.write_stall) {
            tracing::debug!(%error, "a connection closed as it was opened");
            return;
        }
        let Some(tls) = &self.app.settings.tls else {
            let lane = Lane::default();
            let stream = Filed::new(stream, lane.clone());
            return self.answer(stream, Some(lane), watcher).await;
        };
        let handshake = TlsAcceptor::from(tls.config()).accept(stream);
        match tokio::time::timeout(self.app.settings.limits.head, handshake).await {
            Ok(Ok(stream)) => self.answer(stream, None, watcher).await,
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }

    /// Answers its requests. Where there is a lane, the kernel sends files; else it is TLS.
    async fn answer(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        lane: Option<Lane>,
        watcher: Watcher,
    ) {
        let limits = &self.app.settings.limits;
        let stream = TokioIo::new(Mended::new(stream, SILENCES * limits.write_stall));
        let peer = Peer {
            address: self.address,
            is_tls: lane.is_none(),
        };
        let (app, router) = (Arc::clone(&self.app), self.router);
        let service = service_fn(move |request| {
            let (app, router, lane) = (Arc::clone(&app), router.clone(), lane.clone());
            async move {
                let response = answer_one(&app, router, peer, request).await?;
                Ok::<_, Infallible>(Outgoing::of(response, lane))
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head)
            // Clients that close their side after the request still get the answer.
            .half_close(true)
            .serve_connection(stream, service);
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}

async fn answer_one(
    app: &App,
    router: Router,
    peer: Peer,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path();
    if request.method().as_str() == REFUSED_METHOD {
        return Ok(refused(path));
    }
    if app.settings.limits.rate_media
        && Beside::ALL.iter().any(|one| one.path() == path)
        && let Err(fault) = app.rates.of_address(peer.address, app.now_ms())
    {
        return Ok(answer::fault(&fault, Format::Xml));
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
