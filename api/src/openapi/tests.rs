//! The description leads where it says.

use std::collections::HashSet;

use super::*;
use crate::path::Target;

fn made() -> Json {
    document(None, MediaAuth::Public)
}

#[test]
fn every_path_names_what_it_says() {
    for path in made()["paths"].as_object().unwrap().keys() {
        if path.contains("Accounts") {
            let concrete = path
                .replace("{AccountSid}", &ACCOUNT.to_string())
                .replace("{CallSid}", &CALL.to_string())
                .replace("{RecordingSid}", &RECORDING.to_string());
            assert!(Target::parse(&concrete).is_some(), "{path}");
        }
    }
}

#[test]
fn operations_have_names_of_their_own() {
    let document = made();
    let mut names = HashSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if method != "parameters" {
                let name = operation["operationId"].as_str().unwrap();
                assert!(names.insert(name.to_owned()), "{method} {path}: {name}");
            }
        }
    }
    assert!(names.len() > 100, "{}", names.len());
}

#[test]
fn every_reference_leads_somewhere() {
    let document = made();
    let text = document.to_string();
    let mut references = 0;
    for part in text.split("\"$ref\":\"#").skip(1) {
        let pointer = part.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
        references += 1;
    }
    assert!(references > 100, "{references}");
}

#[test]
fn an_account_that_requires_it_is_asked_for_everywhere() {
    let of = |media_auth| {
        let document = document(Some("https://recorder.example/"), media_auth);
        let path = "/2010-04-01/Accounts/{AccountSid}/Recordings/{RecordingSid}.mp3";
        document["paths"][path]["get"]["security"].clone()
    };
    assert_eq!(of(MediaAuth::Public), json!([]));
    assert_eq!(
        of(MediaAuth::Required),
        json!([{ "account": [] }, { "link": [] }])
    );
}
