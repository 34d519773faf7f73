//! Documents of several makers, broken ones, and what a further one changes.

use proptest::prelude::*;

use super::*;
use crate::siprec::vendors::{ACME, BROADWORKS, INTRADO, OPENSIPS, SONUS, STRICT};

fn read(text: &str) -> Document {
    Document::read(text.as_bytes())
}

fn aors(metadata: &Metadata) -> Vec<&str> {
    metadata
        .participants
        .iter()
        .filter_map(Participant::aor)
        .collect()
}

#[test]
fn each_maker_s_document_is_read_without_a_warning_but_for_what_is_wrong() {
    for (name, text, session, wanted, warnings) in [
        (
            "strict",
            STRICT,
            "c2Vzc2lvbg==",
            "sip:caller@a.example sip:callee@b.example",
            0,
        ),
        (
            "acme",
            ACME,
            "c2Vzc2lvbg==",
            "sip:callee@b.example sip:caller@a.example",
            0,
        ),
        (
            "sonus",
            SONUS,
            "c2Vzc2lvbg==",
            "caller@a.example callee@b.example",
            0,
        ),
        (
            "opensips",
            OPENSIPS,
            "c2Vzc2lvbg==",
            "sip:caller@a.example sip:callee@b.example",
            0,
        ),
        (
            "broadworks",
            BROADWORKS,
            "urn:uuid:79b2fcd8",
            "sip:callee@b.example sip:caller@a.example;user=phone",
            0,
        ),
        (
            "intrado",
            INTRADO,
            "c2Vzc2lvbg==",
            "caller@10.105.190.136:5060",
            0,
        ),
    ] {
        let document = read(text);
        assert_eq!(document.metadata.session_id(), Some(session), "{name}");
        assert_eq!(aors(&document.metadata).join(" "), wanted, "{name}");
        assert_eq!(
            document.warnings.len(),
            warnings,
            "{name}: {:?}",
            document.warnings
        );
        // The caller is known by a vendor's word.
        let marked: Vec<bool> = document
            .metadata
            .participants
            .iter()
            .map(|one| document.metadata.is_marked_as_caller(one))
            .collect();
        let is_vendors = !["strict", "opensips"].contains(&name);
        assert_eq!(
            marked.iter().filter(|is| **is).count(),
            usize::from(is_vendors),
            "{name}"
        );
        if let Some(at) = marked.iter().position(|is| *is) {
            assert!(aors(&document.metadata)[at].contains("caller@"), "{name}");
        }
    }
}

#[test]
fn what_a_strict_document_says_is_all_there() {
    let metadata = read(STRICT).metadata;
    let session = &metadata.sessions[0];
    assert_eq!(session.group.as_deref(), Some("Z3JvdXA="));
    assert!(session.sip_ids[0].contains(";remote="));
    assert_eq!(session.started.as_deref(), Some("2026-11-26T10:00:00Z"));
    let caller = &metadata.participants[0];
    assert_eq!(
        caller.names,
        [("sip:caller@a.example".to_owned(), Some("Ann".to_owned()))]
    );
    assert_eq!(caller.sends, ["c3RyZWFtMQ=="]);
    assert_eq!(caller.joined.as_deref(), Some("2026-11-26T10:00:00Z"));
    assert_eq!(metadata.streams[1].label.as_deref(), Some("2"));
}

#[test]
fn vendors_words_are_kept_where_they_stand() {
    let acme = read(ACME).metadata;
    assert!(
        acme.sessions[0]
            .extensions
            .contains(&("apkt:ucid".into(), "00FA08;encoding=hex".into()))
    );
    let caller = &acme.participants[1].extensions;
    assert!(
        caller.contains(&("apkt:header[Call-ID]".into(), "134485@a.example".into())),
        "{caller:?}"
    );
    let sonus = read(SONUS).metadata.extensions;
    assert!(
        sonus.contains(&("tns:group/callData/callid".into(), "2da553f7".into())),
        "{sonus:?}"
    );
    let broadworks = read(BROADWORKS).metadata.extensions;
    assert!(
        broadworks
            .iter()
            .any(|(name, value)| name.ends_with("extTrackingID") && value == "18:1")
    );
}

/// The ten ways in which documents are broken, and what is left of each.
#[test]
fn no_broken_document_is_without_its_warning_and_what_can_be_read_is() {
    let cut = &STRICT[..STRICT.find("callee@").unwrap()];
    for (text, participants) in [
        ("", 0),
        ("not XML at all", 0),
        (cut, 2),
        (&STRICT.replace("</recording>", ""), 2),
        (
            &STRICT.replace(
                "<participant participant_id=\"Y2FsbGVl\">",
                "<participant participant_id=\"other\">",
            ),
            2,
        ),
        (
            &STRICT.replace("<send>c3RyZWFtMg==</send>", "<send>nothing</send>"),
            2,
        ),
        (
            &STRICT.replace("<session session_id=\"c2Vzc2lvbg==\">", "<session>"),
            2,
        ),
        (&STRICT.replace("<label>1</label>", ""), 2),
        (&STRICT.replace("aor=\"sip:callee@b.example\"", ""), 2),
        (
            &STRICT.replace("</nameID></participant>", "</participant></nameID>"),
            2,
        ),
        (&STRICT.replace("Ann", "Ann & Bob &nbsp; &undefined;"), 2),
        (&STRICT.replace("<datamode>complete</datamode>", ""), 2),
        (&STRICT.replace("Y2FsbGVl", "Y2FsbGVy"), 2),
        (
            &STRICT
                .replace("<recording ", "<not-it ")
                .replace("</recording>", "</not-it>"),
            2,
        ),
    ] {
        let document = read(text);
        assert!(
            !document.warnings.is_empty(),
            "nothing is wrong with {text}"
        );
        assert!(document.warnings.iter().all(|warning| warning.len() < 200));
        let found = document.metadata.participants.len();
        assert_eq!(found, participants, "{text}: {:?}", document.warnings);
    }
}

#[test]
fn participants_come_and_go_and_streams_change_hands() {
    let mut metadata = Metadata::default();
    metadata.merge(&read(STRICT));
    // A transfer: the callee leaves, a third takes its stream.
    let transfer = STRICT
        .replace("Y2FsbGVl", "dGhpcmQ=")
        .replace("callee@b.example", "third@c.example");
    metadata.merge(&read(&transfer));
    let present: Vec<_> = metadata.present().filter_map(Participant::aor).collect();
    assert_eq!(present, ["sip:caller@a.example", "sip:third@c.example"]);
    assert_eq!(metadata.participants.len(), 3);
    // A change alone: one leaves with its time, and nobody else does.
    let partial = "<recording><datamode>partial</datamode>\
        <participantsessionassoc participant_id='x'/>\
        <participant participant_id='dGhpcmQ='><nameID aor='sip:third@c.example'/></participant>\
        <participantsessionassoc participant_id='dGhpcmQ='><disassociate-time>now</disassociate-time></participantsessionassoc>\
        </recording>";
    let partial = read(partial);
    assert_eq!(partial.warnings.len(), 0, "{:?}", partial.warnings);
    assert!(metadata.merge(&partial), "nobody is known as x");
    assert_eq!(metadata.participants.len(), 3);
    let left: Vec<_> = metadata
        .participants
        .iter()
        .map(|one| one.left.as_deref())
        .collect();
    assert_eq!(left, [None, Some(""), Some("now")]);
    // What a partial document does not repeat stays.
    assert_eq!(metadata.participants[2].sends, ["c3RyZWFtMg=="]);
    // Nothing but associations: the one is back, and the stream goes from hand to hand.
    let partial = read(
        "<recording><dataMode>Partial</dataMode>\
        <participantsessionassoc participant_id='Y2FsbGVl'><associate-time>then</associate-time></participantsessionassoc>\
        <participantstreamassoc participant_id='dGhpcmQ='><send>c3RyZWFtMg==</send><disassociate-time>then</disassociate-time></participantstreamassoc>\
        <participantstreamassoc participant_id='Y2FsbGVl'><send>c3RyZWFtMg==</send></participantstreamassoc></recording>",
    );
    assert_eq!(partial.warnings.len(), 0, "{:?}", partial.warnings);
    assert!(!metadata.merge(&partial));
    let sends: Vec<usize> = metadata
        .participants
        .iter()
        .map(|one| one.sends.len())
        .collect();
    assert_eq!(sends, [1, 1, 0]);
    assert_eq!(metadata.participants[1].left, None);
    assert_eq!(metadata.participants[1].aor(), Some("sip:callee@b.example"));
    for round in 0..100 {
        metadata.merge(&read(&STRICT.replace("Y2FsbGVl", &format!("id{round}"))));
    }
    assert_eq!(metadata.participants.len(), MOST_OF_EACH);
    assert_eq!(metadata.present().count(), 2);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes: Vec<u8>, at in 0_usize..2_000, flip in 0_usize..2_000) {
        let _ = Document::read(&bytes);
        let mut text = STRICT.as_bytes().to_vec();
        let flip = flip % text.len();
        text[flip] ^= 0x14;
        let document = Document::read(&text[..at.min(text.len())]);
        let mut metadata = Metadata::default();
        metadata.merge(&document);
        metadata.merge(&read(ACME));
        prop_assert!(metadata.participants.len() >= 2);
    }
}
