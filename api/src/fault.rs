//! What the API refuses with: a status, Twilio's code where it has one, a message, headers.
//!
//! Every handler returns a [`Fault`]; `answer` writes it in the request's face. Here alone do the
//! store's and the capture side's errors become a status and a code (twilio.md §2.4).

use http::{HeaderName, HeaderValue, StatusCode, header};
use reeld_model::{Cause, Refusal};
use reeld_store::StoreError;

use crate::document::{Document, Field, Value};

/// Twilio's codes, by what they mean (twilio.md §2.4).
pub(crate) mod code {
    /// A parameter that the resource does not know.
    pub(crate) const UNKNOWN_PARAMETER: u32 = 20001;
    /// No credentials, or wrong ones.
    pub(crate) const UNAUTHENTICATED: u32 = 20003;
    /// A link that is not right, or no longer.
    pub(crate) const ACCESS_DENIED: u32 = 20006;
    /// A method that the resource does not have.
    pub(crate) const METHOD: u32 = 20004;
    /// A page size over 1,000.
    pub(crate) const PAGE_SIZE: u32 = 20007;
    /// DELETE before the recording is complete.
    pub(crate) const NOT_COMPLETE: u32 = 20009;
    /// No such resource.
    pub(crate) const NOT_FOUND: u32 = 20404;
    /// An error of ours.
    pub(crate) const INTERNAL: u32 = 20500;
    /// What is asked for goes against the resource's state.
    pub(crate) const CONFLICT: u32 = 20409;
    /// A parameter's value.
    pub(crate) const INVALID: u32 = 20422;
    /// Too many requests.
    pub(crate) const THROTTLED: u32 = 20429;
    /// The call cannot be recorded in its state.
    pub(crate) const CALL_STATE: u32 = 21220;
    /// `Twiml` that is no XML.
    pub(crate) const TWIML: u32 = 12100;
    /// `Twiml` that is not what is taken.
    pub(crate) const TWIML_SCHEMA: u32 = 12200;
    /// `Method` of the Record verb.
    pub(crate) const METHOD_OF_ACTION: u32 = 13610;
    /// `Timeout` of the Record verb.
    pub(crate) const TIMEOUT: u32 = 13611;
    /// `MaxLength` of the Record verb.
    pub(crate) const MAX_LENGTH: u32 = 13612;
    /// `FinishOnKey` of the Record verb.
    pub(crate) const FINISH_ON_KEY: u32 = 13613;
    /// `PlayBeep` of the Record verb.
    pub(crate) const PLAY_BEEP: u32 = 13616;
    /// `RecordingStatusCallbackEvent`.
    pub(crate) const CALLBACK_EVENT: u32 = 13621;
    /// `RecordingTrack`.
    pub(crate) const TRACK: u32 = 13622;
    /// An absent recording: too short to be one.
    pub(crate) const TOO_SHORT: u32 = 16101;
    /// A step that is not possible now.
    pub(crate) const ILLEGAL_STEP: u32 = 16114;
}

/// Seconds after which a client may come again, when something is full.
const RETRY_AFTER_SECONDS: u16 = 5;

/// A refusal.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) status: StatusCode,
    pub(crate) code: Option<u32>,
    pub(crate) message: String,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

impl Fault {
    pub(crate) fn new(status: StatusCode, code: Option<u32>, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            headers: Vec::new(),
        }
    }

    /// Where Twilio explains the code.
    pub(crate) fn more_info(code: u32) -> String {
        format!("https://www.twilio.com/docs/errors/{code}")
    }

    /// As XML has it: `Status`, `Message`, and where it has one `Code` with `MoreInfo` (twilio.md §1).
    pub(crate) fn document(&self) -> Document {
        let text = |text: &str| Value::Text(text.to_owned());
        let mut fields = vec![
            Field::seed("Status", text(self.status.as_str())),
            Field::seed("Message", text(&self.message)),
        ];
        if let Some(code) = self.code {
            fields.push(Field::seed("Code", Value::Number(code.into())));
            fields.push(Field::seed("MoreInfo", Value::Text(Self::more_info(code))));
        }
        Document {
            name: "RestException",
            fields,
        }
    }

    /// 404, in the words that Twilio has for it.
    pub(crate) fn not_found(path: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            Some(code::NOT_FOUND),
            format!("The requested resource {path} was not found"),
        )
    }

    /// 401 with the challenge that old clients wait for (twilio.md §0.5).
    pub(crate) fn unauthenticated() -> Self {
        let mut fault = Self::new(
            StatusCode::UNAUTHORIZED,
            Some(code::UNAUTHENTICATED),
            "Authenticate",
        );
        fault.headers.push((
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Basic realm=\"reeld API\""),
        ));
        fault
    }

    /// 403 for a signed link: there is nothing that its holder could authenticate with.
    pub(crate) fn forbidden(message: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, Some(code::ACCESS_DENIED), message)
    }

    /// 429 after too many failed authentications.
    pub(crate) fn throttled() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            Some(code::THROTTLED),
            "Too many failed authentications from this address",
        )
        .retry_later()
    }

    /// 429 for who is at the bound of a rate, and when there is room again.
    pub(crate) fn too_many(who: &str, seconds: u64) -> Self {
        let mut fault = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            Some(code::THROTTLED),
            format!("Too many requests of {who}"),
        );
        fault
            .headers
            .push((header::RETRY_AFTER, HeaderValue::from(seconds)));
        fault
    }

    /// 405, naming what the resource has.
    pub(crate) fn method_not_allowed(allow: &'static str) -> Self {
        let mut fault = Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            Some(code::METHOD),
            format!("Method not allowed; the resource has {allow}"),
        );
        fault
            .headers
            .push((header::ALLOW, HeaderValue::from_static(allow)));
        fault
    }

    /// 400 with `code`; the message begins with the parameter's name.
    pub(crate) fn parameter(name: &str, why: impl std::fmt::Display, code: u32) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            Some(code),
            format!("{name}: {why}"),
        )
    }

    /// 400/20422: a value that the parameter cannot have.
    pub(crate) fn invalid(name: &str, why: impl std::fmt::Display) -> Self {
        Self::parameter(name, why, code::INVALID)
    }

    /// 400/20422: documented, and not built yet.
    pub(crate) fn not_built(name: &str, what: &str) -> Self {
        Self::invalid(
            name,
            format_args!("{what} is not built yet, so it is refused rather than ignored"),
        )
    }

    /// 503 that says what is wanting.
    pub(crate) fn unavailable(what: impl std::fmt::Display) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            None,
            format!("Service unavailable: {what}"),
        )
        .retry_later()
    }

    /// 503 for what there is to do already: `what` is not begun now, and what was measured is named.
    pub(crate) fn overloaded(what: &str, cause: Cause) -> Self {
        tracing::warn!(%cause, what, "refused for want of strength");
        Self::unavailable(format_args!("no new {what}: {cause}"))
    }

    /// 500; the log has the rest.
    pub(crate) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            None,
            "An internal error; the log says more",
        )
    }

    fn retry_later(mut self) -> Self {
        self.headers
            .push((header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS)));
        self
    }
}

impl From<StoreError> for Fault {
    /// What the client can wait out is 503 and named; the rest is 500 and logged.
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::NoSpace { .. } | StoreError::DiskFull { .. } => {
                tracing::warn!(%error, "refused for want of disk");
                Self::unavailable(format_args!("no disk space: {error}"))
            }
            StoreError::ReadOnly { .. } => {
                tracing::warn!(%error, "refused: the disk takes no writes");
                Self::unavailable(format_args!("the disk takes no writes: {error}"))
            }
            StoreError::Failing { .. } => {
                tracing::warn!(%error, "refused: the disk has failed");
                Self::unavailable(&error)
            }
            StoreError::Damaged { .. } | StoreError::KeyMissing { .. } => {
                tracing::error!(%error, "a recording was asked for that cannot be served");
                let message = format!("It cannot be served: {error}");
                Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    Some(code::INTERNAL),
                    message,
                )
            }
            StoreError::NoKey { .. } => {
                tracing::error!(%error, "refused for want of a key");
                Self::unavailable(&error)
            }
            StoreError::OutboxFull { .. } => {
                tracing::warn!(%error, "refused for want of room in the outbox");
                Self::unavailable(&error)
            }
            StoreError::Held { .. }
            | StoreError::Io { .. }
            | StoreError::Catalog(_)
            | StoreError::Corrupt { .. }
            | StoreError::MediaMissing { .. }
            | StoreError::SidTaken { .. }
            | StoreError::NotEncrypting
            | StoreError::NotLive { .. }
            | StoreError::TakeInUse { .. }
            | StoreError::AccountTaken { .. }
            | StoreError::AccountConfigured { .. }
            | StoreError::Key { .. } => {
                tracing::error!(%error, "the store failed a request");
                Self::internal()
            }
        }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        match &refusal {
            Refusal::CallUnknown => Self::new(
                StatusCode::BAD_REQUEST,
                Some(code::CALL_STATE),
                "Requested resource is not eligible for recording: the call is not open",
            ),
            Refusal::RecordingUnknown => Self::new(
                StatusCode::NOT_FOUND,
                Some(code::NOT_FOUND),
                format!("Not found: {refusal}"),
            ),
            Refusal::CurrentIsAmbiguous(_) => Self::new(
                StatusCode::BAD_REQUEST,
                Some(code::INVALID),
                format!("Twilio.CURRENT: {refusal}"),
            ),
            Refusal::IllegalStep { .. } => Self::parameter("Status", refusal, code::ILLEGAL_STEP),
            Refusal::Sdp(_) => Self::invalid("Sdp", refusal),
            Refusal::TrackNotOpen(_) => Self::parameter("RecordingTrack", refusal, code::TRACK),
            Refusal::Beep(_) => Self::parameter("PlayBeep", refusal, code::PLAY_BEEP),
            Refusal::Source(_) => Self::invalid("RemoteAddress", refusal),
            Refusal::NoPort(_)
            | Refusal::TooManyRecordings(_)
            | Refusal::Overloaded
            | Refusal::ShuttingDown => Self::unavailable(refusal),
        }
    }
}
