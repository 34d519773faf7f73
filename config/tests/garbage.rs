//! No text, from whatever source, panics the parser, and what is refused is refused in words.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use proptest::prelude::*;
use reeld_config::{ConfigError, Flags, Place, load};

/// Text that gets past the TOML parser more often than random characters do.
fn toml_like() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("api".to_owned()),
        Just("listen".to_owned()),
        Just("accounts".to_owned()),
        Just("media".to_owned()),
        Just("ports".to_owned()),
        Just("capture".to_owned()),
        Just("fsync".to_owned()),
        Just("store".to_owned()),
        "[a-z_]{1,8}",
    ];
    let value = prop_oneof![
        "[0-9a-fxob_+-]{1,24}",
        "'[^'\\n]{0,12}'",
        "\"[0-9]{0,20}[a-zA-Zµ ]{0,6}\"",
        "'[0-9]{1,6}-[0-9]{1,6}'",
        Just("[]".to_owned()),
        Just("[[1], {a = 2}]".to_owned()),
        Just("{sid = 1}".to_owned()),
        Just("1979-05-27".to_owned()),
        Just("inf".to_owned()),
    ];
    let line = prop_oneof![
        word.clone().prop_map(|table| format!("[{table}]")),
        word.clone().prop_map(|table| format!("[[{table}]]")),
        (word.clone(), value.clone()).prop_map(|(key, value)| format!("{key} = {value}")),
        (word.clone(), word, value)
            .prop_map(|(table, key, value)| format!("{table}.{key} = {value}")),
    ];
    proptest::collection::vec(line, 0..8).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #[test]
    fn no_text_panics(text in prop_oneof![any::<String>(), toml_like()], listen in any::<String>()) {
        let flags = Flags { listen: Some(listen.clone()), ..Flags::default() };
        let pairs = [("REELD_MEDIA__PORTS".into(), listen.into())];
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &text).unwrap();
        match load(Some(file.path()), pairs, &flags) {
            Err(ConfigError::Invalid(problems)) => {
                for problem in problems {
                    prop_assert!(!problem.reason.is_empty());
                    if let Place::File { line, .. } = problem.place {
                        prop_assert!(line <= text.lines().count() + 1, "line {line}");
                    }
                }
            }
            Err(ConfigError::Read { .. }) => prop_assert!(false, "{:?} was not read", text),
            Ok(loaded) => prop_assert!(loaded.config.capture.threads >= 1),
        }
    }
}
