//! Certificates: read at the start, and again on SIGHUP.
//!
//! `run` calls it, `cli::check_config` looks at the files by [`read`]. What is read and taken is
//! `reeld_api::Tls`'s matter; here is who says when, and what the log has of it.

use anyhow::Context as _;
use reeld_api::{Service, Tls};
use reeld_config::TlsFiles;
use tokio::signal::unix::{SignalKind, signal};

use crate::clock;

/// Reads the files, where there are some. What an operator should know of them is logged.
///
/// # Errors
/// They cannot be used.
pub(crate) fn load(service: Service, files: Option<&TlsFiles>) -> anyhow::Result<Option<Tls>> {
    let Some(tls) = read(service, files)? else {
        return Ok(None);
    };
    warn(&tls);
    Ok(Some(tls))
}

/// Reads the files, where there are some.
///
/// # Errors
/// They cannot be used.
pub(crate) fn read(service: Service, files: Option<&TlsFiles>) -> anyhow::Result<Option<Tls>> {
    let Some(TlsFiles { cert, key }) = files else {
        return Ok(None);
    };
    let section = service.section;
    let tls = Tls::load(service, cert, key);
    Ok(Some(tls.with_context(|| {
        format!("{section}.tls_cert, {section}.tls_key")
    })?))
}

fn warn(tls: &Tls) {
    for warning in tls.warnings(clock::unix_ms()) {
        tracing::warn!("{warning}");
    }
}

/// Reads the files again at each SIGHUP, until it is dropped. Without TLS there is nothing to read,
/// and the signal harms nobody.
pub(crate) async fn reload_on_hangup(certificates: Vec<Tls>) {
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => {
            tracing::error!(%error, "SIGHUP cannot be heard: a new certificate needs a restart");
            return;
        }
    };
    while hangup.recv().await.is_some() {
        if certificates.is_empty() {
            tracing::info!("SIGHUP: there is no certificate to read again");
        }
        for tls in certificates.clone() {
            let section = tls.section();
            // Two small files, but perhaps of a disk that stands still.
            let read = tokio::task::spawn_blocking(move || {
                let read = tls.reload(clock::unix_ms());
                if read.is_ok() {
                    warn(&tls);
                }
                read
            });
            match read.await {
                Ok(Ok(())) => tracing::info!(section, "SIGHUP: the new certificate is in use"),
                Ok(Err(error)) => tracing::error!(
                    section,
                    %error,
                    "SIGHUP: the certificate is refused; the one in use stays"
                ),
                Err(error) => tracing::error!(%error, "SIGHUP: the certificate's reader died"),
            }
        }
    }
}
