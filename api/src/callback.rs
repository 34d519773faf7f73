//! The parameters that say who is told of a recording: `RecordingStatusCallback` and its two, and
//! the `<Record>` verb's `Action` and `Method`.
//!
//! Called by `start`. A URL that may not be sent to is refused here, by name, and not found out by
//! a callback that never comes; `callbacks::target` decides.

use reeld_callbacks::{Allow, Target};
use reeld_store::{EventMethod, EventStatus};

use crate::fault::{Fault, code};
use crate::params::Params;

const URL: &str = "RecordingStatusCallback";
const METHOD: &str = "RecordingStatusCallbackMethod";
const EVENT: &str = "RecordingStatusCallbackEvent";
const ACTION: &str = "Action";
const ACTION_METHOD: &str = "Method";

pub(crate) const METHODS: [(&str, EventMethod); 2] =
    [("POST", EventMethod::Post), ("GET", EventMethod::Get)];

/// Whom to tell, and of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Callback {
    pub(crate) url: String,
    pub(crate) method: EventMethod,
    pub(crate) events: Vec<EventStatus>,
}

impl Callback {
    /// Takes the parameters out of `form`; `None` where nobody is to be told.
    pub(crate) fn read(form: &mut Params, allow: &Allow) -> Result<Option<Self>, Fault> {
        let method = form
            .choice(METHOD, code::INVALID, &METHODS)?
            .unwrap_or(EventMethod::Post);
        let mut events = Vec::new();
        // Repeated, or one value with spaces between, as the SDKs of different years send it.
        for value in form.take_all(EVENT) {
            for word in value.split_ascii_whitespace() {
                let event = EventStatus::ALL
                    .into_iter()
                    .find(|event| event.as_str() == word)
                    .ok_or_else(|| {
                        let texts = EventStatus::ALL.map(EventStatus::as_str).join(", ");
                        Fault::parameter(
                            EVENT,
                            format_args!("{word:?}: it must be some of {texts}"),
                            code::CALLBACK_EVENT,
                        )
                    })?;
                if !events.contains(&event) {
                    events.push(event);
                }
            }
        }
        if events.is_empty() {
            events.push(EventStatus::Completed);
        }
        let url = url(form, URL, allow)?;
        Ok(url.map(|url| Self {
            url,
            method,
            events,
        }))
    }
}

/// The `<Record>` verb's action: who is asked what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ActionTo {
    pub(crate) url: String,
    pub(crate) method: EventMethod,
}

impl ActionTo {
    /// Takes the parameters out of `form`; `None` where nobody is to be asked.
    pub(crate) fn read(form: &mut Params, allow: &Allow) -> Result<Option<Self>, Fault> {
        let method = form
            .choice(ACTION_METHOD, code::METHOD_OF_ACTION, &METHODS)?
            .unwrap_or(EventMethod::Post);
        let url = url(form, ACTION, allow)?;
        Ok(url.map(|url| Self { url, method }))
    }
}

/// A URL that may be sent to. A relative one is refused, as there is nothing that it is relative to.
fn url(form: &mut Params, name: &str, allow: &Allow) -> Result<Option<String>, Fault> {
    let Some(url) = form.take(name)?.filter(|url| !url.is_empty()) else {
        return Ok(None);
    };
    // Its value is not repeated: it may have a password.
    Target::parse(&url, allow).map_err(|why| Fault::invalid(name, why))?;
    Ok(Some(url))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Callback>, Fault> {
        let allow = Allow::new(vec!["192.0.2.0/24".parse().unwrap()]);
        Callback::read(&mut Params::parse(text)?, &allow)
    }

    #[test]
    fn events_come_repeated_or_in_one_value() {
        for text in [
            "RecordingStatusCallbackEvent=in-progress&RecordingStatusCallbackEvent=absent",
            "RecordingStatusCallbackEvent=in-progress+absent",
        ] {
            let text = format!("RecordingStatusCallback=http://192.0.2.1/&{text}");
            let callback = read(&text).unwrap().unwrap();
            assert_eq!(
                callback.events,
                [EventStatus::InProgress, EventStatus::Absent]
            );
            assert_eq!(callback.method, EventMethod::Post);
        }
        let usual = read("RecordingStatusCallback=http://h/&RecordingStatusCallbackMethod=GET");
        let usual = usual.unwrap().unwrap();
        assert_eq!(usual.events, [EventStatus::Completed]);
        assert_eq!(usual.method, EventMethod::Get);
        assert_eq!(read("RecordingStatusCallback=").unwrap(), None);
    }

    #[test]
    fn what_may_not_be_sent_to_is_refused_by_name() {
        for (text, number) in [
            ("RecordingStatusCallback=http://127.0.0.1/", 20422),
            ("RecordingStatusCallback=http://169.254.169.254/", 20422),
            ("RecordingStatusCallback=ftp://192.0.2.1/", 20422),
            ("RecordingStatusCallback=http://192.0.2.1/%23rc=9", 20422),
            ("RecordingStatusCallbackEvent=completed+done", 13621),
            ("RecordingStatusCallbackMethod=PUT", 20422),
        ] {
            let fault = read(text).unwrap_err();
            assert_eq!(fault.code, Some(number), "{text}");
            let name = text.split('=').next().unwrap();
            assert!(fault.message.starts_with(name), "{}", fault.message);
        }
        let secret = read("RecordingStatusCallback=http://me:hunter2@127.0.0.1/").unwrap_err();
        assert!(!secret.message.contains("hunter2"), "{}", secret.message);
    }
}
