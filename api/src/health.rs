//! Beside the API: is the daemon alive, can it take a recording, what has it counted.
//!
//! Routed by `serve`, open to all: nothing here names a call, a number or a path.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use http::{Response, StatusCode, header};
use reeld_callbacks::Figures;
use reeld_model::{Gauges, Step, Verdict};
use reeld_store::{EventFigures, Health, IntegrityFigures};

use crate::answer;
use crate::app::App;
use crate::encode::eager;
use crate::face::Format;
use crate::fault::Fault;

/// How long the disk may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is beside the API. `serve` routes each and `openapi` describes each, so none is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beside {
    Healthz,
    Readyz,
    Metrics,
    Openapi,
}

impl Beside {
    pub(crate) const ALL: [Self; 4] = [Self::Healthz, Self::Readyz, Self::Metrics, Self::Openapi];

    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Healthz => "/healthz",
            Self::Readyz => "/readyz",
            Self::Metrics => "/metrics",
            Self::Openapi => "/openapi.json",
        }
    }

    pub(crate) const fn what(self) -> &'static str {
        match self {
            Self::Healthz => "Whether requests are answered",
            Self::Readyz => "Whether a new recording can be taken",
            Self::Metrics => "What was counted, in Prometheus' text format",
            Self::Openapi => "This document",
        }
    }
}

/// `GET /healthz`: requests are answered.
pub(crate) async fn alive() -> Response<Body> {
    std::future::ready(answer::text(StatusCode::OK, "ok\n".into())).await
}

/// `GET /readyz`: 200, or 503 with a line for each thing that is wanting.
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Response<Body> {
    let health = match health(&app).await {
        Ok(health) => health,
        Err(fault) => return answer::fault(&fault, Format::Xml),
    };
    let wanting = wanting(
        &app.control.gauges(),
        &app.load.verdict(),
        &health,
        &app.store.event_figures(),
    );
    if wanting.is_empty() {
        answer::text(StatusCode::OK, ready_text(&health))
    } else {
        answer::text(StatusCode::SERVICE_UNAVAILABLE, wanting)
    }
}

/// `GET /metrics`: Prometheus' text format.
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Response<Body> {
    let health = match health(&app).await {
        Ok(health) => health,
        Err(fault) => return answer::fault(&fault, Format::Xml),
    };
    let mut text = exposition(&app.control.gauges(), &health);
    text.push_str(&integrity(&health, &app.store.integrity_figures()));
    text.push_str(&load(&app.load.verdict()));
    text.push_str(&callbacks(
        &app.store.event_figures(),
        &app.callbacks,
        app.now_ms(),
    ));
    text.push_str(&eager(app.encoder.eager()));
    text.push_str(&clients(&app));
    text.push_str(&incoming::text(&app.incoming));
    let mut response = answer::text(StatusCode::OK, text);
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
    );
    response
}

/// How the store is. A disk that stands still may not say so: that is an answer too.
async fn health(app: &App) -> Result<Health, Fault> {
    let asked = app.store(|store| Ok(store.health()));
    tokio::time::timeout(PATIENCE, asked)
        .await
        .unwrap_or_else(|_| Err(Fault::unavailable("the data folder does not answer")))
}

/// A path beside the API with another method.
pub(crate) async fn only_get() -> Response<Body> {
    let fault = Fault::method_not_allowed("GET, HEAD");
    std::future::ready(answer::fault(&fault, Format::Xml)).await
}

/// Why no new recording can be taken, a line each.
fn wanting(gauges: &Gauges, load: &Verdict, health: &Health, events: &EventFigures) -> String {
    let mut wanting = String::new();
    let mut line = |is_so: bool, text: String| {
        if is_so {
            wanting.push_str(&text);
            wanting.push('\n');
        }
    };
    line(gauges.shutting_down, "the daemon is stopping".into());
    line(
        gauges.recordings >= gauges.max_recordings,
        format!(
            "{} of {} recordings are running (capture.max_recordings)",
            gauges.recordings, gauges.max_recordings
        ),
    );
    let refused = load.refuses_recordings();
    line(
        refused.is_some(),
        refused.map_or_else(String::new, |cause| cause.to_string()),
    );
    line(
        gauges.free_port_pairs == 0,
        "no media port is free (media.ports)".into(),
    );
    line(
        health.free_bytes < health.min_free_bytes,
        format!(
            "{} bytes of disk are free, {} must stay free (store.min_free)",
            health.free_bytes, health.min_free_bytes
        ),
    );
    line(!health.writable, "the data folder takes no writes".into());
    line(
        health.failing.is_some(),
        health
            .failing
            .as_ref()
            .map_or_else(String::new, |what| format!("the disk has failed: {what}")),
    );
    let locked = health
        .missing_keys
        .first()
        .filter(|_| health.encryption_key.is_none());
    line(
        locked.is_some(),
        locked.map_or_else(String::new, |key| {
            format!("the encryption key {key} is not at hand (store.encryption_key)")
        }),
    );
    line(
        events.recordings >= events.most_recordings,
        format!(
            "callbacks of {} recordings wait: none can be started with one (reeld callbacks pending)",
            events.recordings
        ),
    );
    wanting
}

/// Ready, and what is wrong all the same with what there is.
fn ready_text(health: &Health) -> String {
    let mut text = "ready\n".to_owned();
    for (count, what) in [
        (
            health.unfinished,
            "recordings have ended and wait for the disk",
        ),
        (health.damaged, "recordings are damaged (reeld verify)"),
        (
            health.missing_keys.len(),
            "encryption keys are missing: what is under them is not served (store.old_encryption_keys)",
        ),
    ] {
        if count > 0 {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{count} {what}");
        }
    }
    text
}

/// What is to be told and what came of it. Nothing is read from the disk for it.
fn callbacks(events: &EventFigures, sender: &Figures, now_ms: i64) -> String {
    let age_ms = events.oldest_ms.map_or(0, |made_ms| now_ms - made_ms);
    let mut text = String::new();
    let mut metric = |name: &str, kind: &str, help: &str, values: &[(&str, u64)]| {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "# HELP reeld_callbacks_{name} {help}\n# TYPE reeld_callbacks_{name} {kind}\n"
        );
        for (result, value) in values {
            let label = match *result {
                "" => String::new(),
                result => format!("{{result=\"{result}\"}}"),
            };
            let _ = writeln!(text, "reeld_callbacks_{name}{label} {value}");
        }
    };
    for (name, help, value) in [
        ("waiting", "Callbacks to be sent.", events.events as u64),
        (
            "waiting_recordings",
            "Recordings whose callbacks wait.",
            events.recordings as u64,
        ),
        (
            "waiting_recordings_max",
            "Recordings whose callbacks may wait.",
            events.most_recordings as u64,
        ),
        (
            "oldest_seconds",
            "Age of the oldest callback to be sent.",
            u64::try_from(age_ms / 1_000).unwrap_or(0),
        ),
        (
            "under_way",
            "Callbacks being sent.",
            sender.under_way() as u64,
        ),
        (
            "dead",
            "Callbacks given up on and kept.",
            events.dead as u64,
        ),
    ] {
        metric(name, "gauge", help, &[("", value)]);
    }
    metric(
        "rounds_total",
        "counter",
        "Rounds of tries by what came of the callback.",
        &sender.rounds(),
    );
    let tries: Vec<_> = sender.tries().collect();
    metric("tries_total", "counter", "Tries by result.", &tries);
    text
}

/// What there is to do, as it is measured, and what follows.
fn load(verdict: &Verdict) -> String {
    let of = &verdict.readings;
    let mut text = String::new();
    let mut metric = |name: &str, help: &str, value: &dyn std::fmt::Display| {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "# HELP reeld_{name} {help}\n# TYPE reeld_{name} gauge\nreeld_{name} {value}\n"
        );
    };
    let step = Step::ALL.iter().position(|step| *step == verdict.step);
    metric(
        "overload_step",
        "What is put off for want of strength: 1 encoders wait, 2 no new encodings, 3 no new recordings.",
        &step.unwrap_or(0),
    );
    for (name, help, value) in [
        (
            "media_tick_lag_seconds",
            "By how much media threads are behind, smoothed, the worst.",
            of.tick_lag,
        ),
        (
            "backlog_oldest_seconds",
            "Age of the oldest sound that waits for the disk.",
            of.oldest_block,
        ),
        (
            "disk_sync_seconds",
            "How long the disk takes over what it makes durable now.",
            of.longest_sync,
        ),
    ] {
        metric(name, help, &format_args!("{:.3}", value.as_secs_f64()));
    }
    for (name, help, value) in [
        (
            "backlog_bytes",
            "Bytes of sound that wait for the disk.",
            of.backlog_bytes,
        ),
        (
            "backlog_bytes_max",
            "Bytes of sound that may wait for the disk.",
            of.backlog_most,
        ),
        (
            "recordings_ending",
            "Recordings that have ended and are not durable yet.",
            of.ends,
        ),
        (
            "memory_used_bytes",
            "Bytes of memory in use: the process's where it has a limit, else the machine's.",
            of.memory_used,
        ),
        (
            "memory_bytes",
            "Bytes of memory that there are.",
            of.memory_most,
        ),
    ] {
        metric(name, help, &value);
    }
    text
}

/// Who is connected, and who was turned away.
fn clients(app: &App) -> String {
    let mut text = format!(
        "# HELP reeld_http_connections Connections open.\n\
         # TYPE reeld_http_connections gauge\n\
         reeld_http_connections {}\n\
         # HELP reeld_http_connections_refused_total Connections closed at once: their address had \
         too many.\n\
         # TYPE reeld_http_connections_refused_total counter\n\
         reeld_http_connections_refused_total {}\n\
         # HELP reeld_http_throttled_total Requests refused for their rate, by whose.\n\
         # TYPE reeld_http_throttled_total counter\n",
        app.places.open(),
        app.places.refused()
    );
    for (by, count) in app.rates.refused() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "reeld_http_throttled_total{{by=\"{by}\"}} {count}");
    }
    let _ = write!(
        text,
        "# HELP reeld_audit_dropped_total Entries of the audit trail that are in the log alone.\n\
         # TYPE reeld_audit_dropped_total counter\n\
         reeld_audit_dropped_total {}\n",
        app.trail.dropped()
    );
    text
}

/// What is encoded before it is asked for, and what came of it.
fn eager(figures: &eager::Figures) -> String {
    let mut text = format!(
        "# HELP reeld_encode_eager_waiting Recordings to be encoded before they are asked for.\n\
         # TYPE reeld_encode_eager_waiting gauge\n\
         reeld_encode_eager_waiting {}\n\
         # HELP reeld_encode_eager_total Files to be made before they are asked for, by result; \
         dropped: recordings.\n\
         # TYPE reeld_encode_eager_total counter\n",
        figures.waiting()
    );
    for (result, count) in figures.results() {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "reeld_encode_eager_total{{result=\"{result}\"}} {count}"
        );
    }
    text
}

/// What of the media was compared with its checksums, and what came of it.
fn integrity(health: &Health, figures: &IntegrityFigures) -> String {
    let mut text = String::new();
    for (name, kind, help, value) in [
        (
            "disk_failing",
            "gauge",
            "1 while the disk has failed and no probe of it has succeeded.",
            u64::from(health.failing.is_some() || !health.writable),
        ),
        (
            "recordings_unfinished",
            "gauge",
            "Recordings that have ended and wait for the disk.",
            health.unfinished as u64,
        ),
        (
            "recordings_damaged",
            "gauge",
            "Recordings whose media are damaged, and so not served.",
            health.damaged as u64,
        ),
        (
            "reads_checked_total",
            "counter",
            "Downloads before which the whole file was compared with its checksum.",
            figures.reads_checked,
        ),
        (
            "scrubbed_total",
            "counter",
            "Recordings that the scrub has compared with their checksums.",
            figures.scrubbed,
        ),
        (
            "scrubbed_bytes_total",
            "counter",
            "Bytes of media that the scrub has read.",
            figures.scrubbed_bytes,
        ),
        (
            "damage_found_total",
            "counter",
            "Recordings that were found damaged.",
            figures.found,
        ),
        (
            "encryption_on",
            "gauge",
            "1 where what is recorded now is encrypted.",
            u64::from(health.encryption_key.is_some()),
        ),
        (
            "encryption_keys_missing",
            "gauge",
            "Keys under which recordings may be and that are not at hand.",
            health.missing_keys.len() as u64,
        ),
        (
            "media_locked_total",
            "counter",
            "Reads of recordings that were refused, since their key is not at hand.",
            figures.locked,
        ),
    ] {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "# HELP reeld_{name} {help}\n# TYPE reeld_{name} {kind}\nreeld_{name} {value}\n"
        );
    }
    text
}

fn exposition(gauges: &Gauges, health: &Health) -> String {
    let totals = &gauges.totals;
    let mut text = String::new();
    let mut metric = |name: &str, kind: &str, help: &str, value: u64| {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "# HELP reeld_{name} {help}\n# TYPE reeld_{name} {kind}\nreeld_{name} {value}\n"
        );
    };
    for (name, help, value) in [
        ("calls", "Calls open.", gauges.calls as u64),
        (
            "recordings",
            "Recordings running.",
            gauges.recordings as u64,
        ),
        (
            "recordings_max",
            "Recordings that may run.",
            gauges.max_recordings as u64,
        ),
        (
            "port_pairs_free",
            "Media port pairs free.",
            gauges.free_port_pairs as u64,
        ),
        ("disk_free_bytes", "Bytes of disk free.", health.free_bytes),
    ] {
        metric(name, "gauge", help, value);
    }
    for (name, help, value) in [
        ("packets_total", "RTP packets taken.", totals.packets),
        (
            "packets_lost_total",
            "RTP packets that never came.",
            totals.lost,
        ),
        (
            "packets_late_total",
            "RTP packets too late to be heard.",
            totals.late,
        ),
        (
            "packets_duplicate_total",
            "RTP packets that came twice.",
            totals.duplicates,
        ),
        (
            "packets_foreign_total",
            "Packets from another source.",
            totals.foreign,
        ),
        (
            "packets_unauthentic_total",
            "Packets that are not authentic under the keys of their SRTP.",
            totals.unauthentic,
        ),
        (
            "packets_malformed_total",
            "Datagrams that are not RTP.",
            totals.malformed,
        ),
        (
            "packets_undecodable_total",
            "Packets without a known codec.",
            totals.undecodable,
        ),
        (
            "packets_kernel_dropped_total",
            "Packets that the kernel dropped.",
            totals.kernel_dropped,
        ),
        (
            "frames_overrun_total",
            "Frames lost between network and disk.",
            gauges.overrun_frames,
        ),
        (
            "ports_in_use_elsewhere_total",
            "Media ports that somebody else holds.",
            gauges.ports_in_use_elsewhere,
        ),
    ] {
        metric(name, "counter", help, value);
    }
    text
}

mod incoming;
#[cfg(test)]
mod tests;
