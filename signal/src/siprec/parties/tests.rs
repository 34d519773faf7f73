//! Who is found on which track, by documents of several makers.

use super::*;
use crate::offer::allot;
use crate::siprec::metadata::Document;
use crate::siprec::vendors::{ACME, BROADWORKS, INTRADO, OPENSIPS, SONUS, STRICT, sdp};

/// The tracks' lines, who is from and to, and the warnings.
fn found(sdp: &str, xml: &str) -> ([Option<usize>; 2], [Option<String>; 2], Vec<String>) {
    let offer = Offer::read(sdp.as_bytes()).unwrap();
    let metadata = Document::read(xml.as_bytes()).metadata;
    let senders = Senders::find(&metadata, &offer);
    let recordable = vec![true; offer.lines.len()];
    let tracks = allot(&offer, &recordable, [None, None], |lines| {
        senders.first(&metadata, lines)
    });
    let addresses = senders.addresses(tracks, &metadata);
    (tracks, addresses, senders.warnings)
}

fn one_line() -> String {
    let two = sdp(["1", "2"]);
    two[..two.find("m=audio 4002").unwrap()].to_owned()
}

#[test]
fn the_caller_is_inbound_whatever_its_line() {
    for (name, labels, xml, tracks, warnings) in [
        ("strict", ["1", "2"], STRICT, [0, 1], 0),
        (
            "strict, lines the other way round",
            ["2", "1"],
            STRICT,
            [1, 0],
            0,
        ),
        ("acme", ["16777227", "16777228"], ACME, [1, 0], 0),
        ("sonus", ["1", "2"], SONUS, [1, 0], 0),
        ("opensips", ["0", "1"], OPENSIPS, [0, 1], 1),
        ("labels of its own", ["a_leg", "b_leg"], STRICT, [0, 1], 1),
        (
            "labels of its own and no ties",
            ["a_leg", "b_leg"],
            OPENSIPS,
            [0, 1],
            2,
        ),
    ] {
        let (found, [from, to], said) = found(&sdp(labels), xml);
        assert_eq!(found, tracks.map(Some), "{name}");
        assert!(
            from.unwrap().contains("caller@") && to.unwrap().contains("callee@"),
            "{name}"
        );
        assert_eq!(said.len(), warnings, "{name}: {said:?}");
    }
}

#[test]
fn one_mixed_line_is_inbound_and_its_parties_are_known() {
    for (name, xml, to) in [
        ("broadworks", BROADWORKS, true),
        ("intrado", INTRADO, false),
        ("strict", STRICT, true),
    ] {
        let (tracks, [from, addressed], _) = found(&one_line(), xml);
        assert_eq!(tracks, [Some(0), None], "{name}");
        assert!(from.unwrap().contains("caller@"), "{name}");
        assert_eq!(addressed.is_some(), to, "{name}");
    }
}

#[test]
fn without_metadata_lines_are_taken_in_their_order() {
    let (tracks, addresses, warnings) = found(&sdp(["1", "2"]), "");
    assert_eq!((tracks, addresses), ([Some(0), Some(1)], [None, None]));
    assert!(warnings.is_empty());
}

#[test]
fn what_is_kept_is_json_and_bounded() {
    let offer = Offer::read(sdp(["1", "2"]).as_bytes()).unwrap();
    let mut metadata = Document::read(STRICT.as_bytes()).metadata;
    let kept = |metadata: &Metadata| {
        let senders = Senders::find(metadata, &offer);
        let kept = Kept {
            metadata,
            senders: &senders,
            offer: &offer,
            tracks: [Some(0), Some(1)],
            warnings: &["w".to_owned()],
            sip_call_id: "x@y",
            client: "sip:src@a.example",
            by: By {
                bringer: reeld_model::Bringer::Siprec,
                address: Some([192, 0, 2, 1].into()),
                agent: None,
            },
        };
        kept.json()
    };
    let json: Value = serde_json::from_str(&kept(&metadata)).unwrap();
    assert_eq!(
        (&json["source"], &json["address"]),
        (&"siprec".into(), &"192.0.2.1".into())
    );
    assert_eq!(json["participants"][1]["track"], "outbound");
    assert_eq!(json["participants"][0]["name"], "Ann");
    assert_eq!(json["streams"][1]["id"], "c3RyZWFtMg==");
    assert_eq!(
        (&json["session_id"], &json["warnings"][0]),
        (&"c2Vzc2lvbg==".into(), &"w".into())
    );
    for (at, participant) in metadata.participants.iter_mut().enumerate() {
        participant.extensions = (0..32)
            .map(|n| (format!("{at}.{n}"), "x".repeat(256)))
            .collect();
    }
    metadata.extensions = (0..32).map(|n| (format!("{n}"), "x".repeat(256))).collect();
    let text = kept(&metadata);
    assert!(text.len() <= MOST_KEPT, "{}", text.len());
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["participants"][0]["aor"], "sip:caller@a.example");
    assert_eq!(json["warnings"].as_array().unwrap().len(), 2);
}
