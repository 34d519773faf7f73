//! Paths to resources, and what is none.

use proptest::prelude::*;

use super::*;

const AC: &str = "AC309475e5fede1b49e100272a8640f438";
const CA: &str = "CAcd420fcb3c4b86e360ea0cc27ebc8698";
const RE: &str = "RE41331862605f3d662488fdafda2e175f";

fn parse(path: &str) -> Option<(Resource, Extension)> {
    let path = path
        .replace("{AC}", AC)
        .replace("{CA}", CA)
        .replace("{RE}", RE);
    Target::parse(&path).map(|target| (target.resource, target.extension))
}

#[test]
fn paths_of_the_seed_and_their_aliases() {
    let recording = Resource::Recording(RE.parse().unwrap());
    for path in [
        "/2008-08-01/Accounts/{AC}/Recordings/{RE}",
        "/2008-08-01/Account/{AC}/Recordings/{RE}",
        "//2008-08-01/Accounts/{AC}/Recordings/{RE}",
        "/2008-08-01/Accounts/{AC}/Recordings/{RE}/",
    ] {
        assert_eq!(parse(path), Some((recording, Extension::None)), "{path}");
    }
    assert_eq!(
        parse("/2008-08-01/Account/{AC}/Recordings/{RE}.mp3"),
        Some((recording, Extension::Mp3))
    );
    assert_eq!(
        parse("/2010-04-01/Accounts/{AC}/Recordings/{RE}.peaks.json"),
        Some((recording, Extension::Peaks))
    );
    assert_eq!(
        parse("/2010-04-01/Accounts/{AC}/Calls/{CA}/Recordings/Twilio.CURRENT.json"),
        Some((
            Resource::CallRecording(CA.parse().unwrap(), RecordingRef::Current),
            Extension::Json
        ))
    );
    assert_eq!(
        parse("/2010-04-01/Accounts/{AC}/Calls/{CA}/Recordings/Twilio.CURRENT"),
        Some((
            Resource::CallRecording(CA.parse().unwrap(), RecordingRef::Current),
            Extension::None
        ))
    );
}

#[test]
fn what_names_nothing() {
    for path in [
        "",
        "/",
        "/2009-01-01/Accounts/{AC}/Recordings",
        "/2008-08-01/Accounts/{AC}/recordings",
        "/2008-08-01/Accounts/{RE}/Recordings",
        "/2008-08-01/Accounts/{AC}/Recordings/RE123",
        "/2008-08-01/Accounts/{AC}/Recordings/{CA}",
        "/2008-08-01/Accounts/{AC}/Recordings/{RE}.exe",
        "/2008-08-01/Accounts/{AC}/Recordings/{RE}.peaks.xml",
        "/2008-08-01/Accounts/{AC}/Recordings/../{RE}",
        "/2008-08-01/Accounts/{AC}/Recordings.wav",
        "/2008-08-01/Accounts/{AC}//Recordings",
        "/2008-08-01/Accounts/{AC}/Calls/{CA}/Recordings/{RE}/x/y/z",
        "/2008-08-01/Accounts/{AC}/Calls/{CA}/Recordings/Twilio.CURRENT.wav",
    ] {
        assert_eq!(parse(path), None, "{path}");
    }
}

#[test]
fn paths_are_written_as_they_are_read() {
    let account = AC.parse().unwrap();
    let call = CA.parse().unwrap();
    let sid = RE.parse().unwrap();
    for resource in [
        Resource::Account,
        Resource::Recordings,
        Resource::Recording(sid),
        Resource::Annex(sid, Annex::Transcriptions),
        Resource::Calls,
        Resource::Call(call),
        Resource::CallRecordings(call),
        Resource::CallRecording(call, RecordingRef::Sid(sid)),
        Resource::CallRecording(call, RecordingRef::Current),
    ] {
        let path = path_of(Version::V2010, account, &resource);
        assert_eq!(Target::parse(&path).unwrap().resource, resource, "{path}");
    }
}

proptest! {
    #[test]
    fn no_path_panics(path: String, tail in "(/[A-Za-z.]{0,12}){0,6}") {
        let _ = Target::parse(&path);
        let _ = Target::parse(&format!("/2008-08-01/Accounts/{AC}{tail}"));
    }
}
