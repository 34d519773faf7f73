//! The parsers as fuzzers see them: text in, nothing kept.
//!
//! Called by `fuzz/`. Not an API: hidden in the documentation, and changed with the parsers.

use reeld_callbacks::Allow;
use reeld_model::{Rules, Trim};

use crate::params::Params;
use crate::settings::RecordDefaults;
use crate::start::StartForm;
use crate::twiml::PARAMETER;

/// Reads a TwiML document as a start's parameters; whether it is one that starts a recording.
///
/// # Panics
/// Where a refusal is not of the document.
pub fn twiml(text: &str) -> bool {
    let mut form = Params::default();
    form.push(PARAMETER, text);
    let defaults = RecordDefaults {
        rules: Rules::default(),
        trim: Trim::TrimSilence,
    };
    match StartForm::read(&mut form, &defaults, &Allow::default()) {
        Ok(_) => true,
        Err(fault) => {
            assert!(fault.message.starts_with(PARAMETER), "{}", fault.message);
            false
        }
    }
}
