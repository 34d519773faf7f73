//! The names that a recording is found by: who took part in its call, and what its sessions are called.
//!
//! Called by `catalog::change`, which has an index entry for each, and by `catalog::list`. Names are those of the
//! signalling that a record keeps (its `participants`, `sessions`, `sip_call_id`), in lower case. A key has a hash of
//! them, since they are of any length, and nobody reads them out of the index.
//!
//! Bound: [`MOST`] names a record; the signalling itself is bounded where it is read.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::Named;

/// Names of a record that are indexed: a conference's participants, each with a few names.
const MOST: usize = 256;

/// What stands in a key for a name: the beginning of its BLAKE3.
pub(crate) type Name = [u8; 16];

/// What stands for the name that a list is asked for by.
pub(crate) fn name(named: &Named) -> Name {
    match named {
        Named::Participant(text) => hash(b'p', text),
        Named::Session(text) => hash(b's', text),
    }
}

/// All names of a record with this signalling.
pub(crate) fn of(signalling_json: &str) -> BTreeSet<Name> {
    let mut names = BTreeSet::new();
    if signalling_json.is_empty() {
        return names;
    }
    // What is no JSON has no names; a record's reader tells of it.
    let said: Value = serde_json::from_str(signalling_json).unwrap_or_default();
    let mut put = |kind, value: &Value| {
        if let Some(text) = value.as_str()
            && !text.trim().is_empty()
            && names.len() < MOST
        {
            names.insert(hash(kind, text));
        }
    };
    for participant in list(&said["participants"]) {
        for one in std::iter::once(participant).chain(list(&participant["names"])) {
            put(b'p', &one["aor"]);
            put(b'p', &one["name"]);
            if let Some(user) = one["aor"].as_str().and_then(user) {
                put(b'p', &Value::from(user));
            }
        }
    }
    put(b's', &said["sip_call_id"]);
    put(b's', &said["session_id"]);
    for session in list(&said["sessions"]) {
        put(b's', &session["id"]);
        list(&session["sip_session_ids"]).for_each(|id| put(b's', id));
    }
    names
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Who a URI is of, without scheme, host and parameters: `+15550100` of `sip:+15550100@example.com;user=phone`, and of
/// `tel:+15550100;ext=7`.
fn user(aor: &str) -> Option<&str> {
    let (_, rest) = aor.split_once(':')?;
    let user = rest.split_once('@').map_or(rest, |(user, _)| user);
    user.split(';').next().filter(|user| !user.is_empty())
}

fn hash(kind: u8, text: &str) -> Name {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[kind]);
    hasher.update(text.trim().to_lowercase().as_bytes());
    let mut name = Name::default();
    name.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_participant_is_found_by_uri_user_and_name_and_a_session_by_each_of_its_own() {
        let said = r#"{"sip_call_id":"7@a","session_id":"c2U=","participants":[
            {"id":"cDE=","aor":"sip:+15550100@a.example;user=phone","name":"Ann",
             "names":[{"aor":"tel:+15550199","name":null}]},{"aor":null,"name":" "}],
            "sessions":[{"id":"c2U=","sip_session_ids":["ab30"]}]}"#;
        let names = of(said);
        let participant = |text: &str| name(&Named::Participant(text.to_owned()));
        let session = |text: &str| name(&Named::Session(text.to_owned()));
        for found in [
            "sip:+15550100@a.example;user=phone",
            "SIP:+15550100@A.example;user=phone",
            "+15550100",
            "ann ",
            "tel:+15550199",
            "+15550199",
        ] {
            assert!(names.contains(&participant(found)), "{found}");
        }
        for found in ["7@a", "c2U=", "ab30"] {
            assert!(names.contains(&session(found)), "{found}");
            assert!(!names.contains(&participant(found)), "{found}");
        }
        assert_eq!(names.len(), 8);
        for nobody in ["", "a.example", "sip:", "cDE="] {
            assert!(!names.contains(&participant(nobody)), "{nobody}");
        }
        for none in ["", "{}", "no JSON", "[]", r#"{"participants":7}"#] {
            assert!(of(none).is_empty(), "{none}");
        }
        let many: Vec<_> = (0..1_000).map(|n| format!(r#"{{"name":"{n}"}}"#)).collect();
        let many = format!(r#"{{"participants":[{}]}}"#, many.join(","));
        assert_eq!(of(&many).len(), MOST);
    }
}
