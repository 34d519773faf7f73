//! Why a try to send an event has failed: told apart for the retry rules and the figures, and in words
//! for the operator.
//!
//! Made by `connect` and `round`; read by `round` (`Policy`) and `figures`.

use http::StatusCode;

/// Why a try has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    /// In words, without the URL: it may have secrets.
    pub(crate) reason: String,
}

/// What a failure was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `callbacks.allow` does not let it go there.
    Refused,
    /// No address of its name.
    Name,
    /// No connection.
    Connect,
    /// No TLS, or a certificate that is not to be trusted.
    Tls,
    /// No answer in time.
    Timeout,
    /// An answer that is no HTTP, or none before the connection ended.
    Garbled,
    /// An answer that is no 2xx.
    Answer(StatusCode),
}

impl Failure {
    pub(crate) fn new(kind: Kind, reason: impl Into<String>) -> Self {
        Self {
            kind,
            reason: reason.into(),
        }
    }
}
