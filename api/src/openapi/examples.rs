//! Resources as they may be, each kind in its most different forms, for `openapi` to tell what an
//! answer can have: a recording that is complete, live, absent; a call with and without sound.

use jiff::tz::TimeZone;
use reeld_model::{
    AccountSid, CallSid, CallState, CallView, Channels, ConcealedRange, EndedBy, LiveStatus,
    RecordingSid, RecordingView as LiveRecording, SAMPLE_RATE, StreamView, Track, TrackQuality,
    TrackSelection, TrackStats, Trim,
};
use reeld_store::{Account, Link, Origin, Page, Parties, Reach, Record, Stage};
use serde_json::{Value as Json, json};

use crate::call::{EndedCall, ended_document, open_document};
use crate::document::{Document, Listing};
use crate::face::{Face, Format, Version};
use crate::fault::Fault;
use crate::paging::{Place, Stretch};
use crate::path::{Annex, Resource, path_of};
use crate::recording::{Live, RecordingView};
use crate::{account, json, link};

/// Tue, 01 Apr 2008 05:07:15 +0000: the seed's first recording.
const CREATED_MS: i64 = 1_207_026_435_000;
const ACCOUNT: AccountSid = AccountSid::from_bytes([0x30; 16]);
const CALL: CallSid = CallSid::from_bytes([0xca; 16]);
const RECORDING: RecordingSid = RecordingSid::from_bytes([0x4e; 16]);
const BASE_URL: &str = "https://recorder.example";

/// Each kind of answer by its name, with what it can be in JSON as `version` writes it.
pub(super) fn of(version: Version) -> Vec<(&'static str, Vec<Json>)> {
    let face = Face {
        version,
        format: Format::Json,
    };
    let written = |document: &Document| json!(json::document(document, face, &TimeZone::UTC));
    // With all that may be known of it, and with nothing.
    let records: Vec<Record> = [Stage::Completed, Stage::Live, Stage::Absent, Stage::Deleted]
        .into_iter()
        .flat_map(|stage| {
            let full = record(stage);
            let bare = Record {
                started_ms: None,
                quality: <[TrackQuality; 2]>::default(),
                signalling_json: String::new(),
                ..full.clone()
            };
            [full, bare]
        })
        .collect();
    let shown = |ranges: bool| {
        // In 2008 what is not complete is not there.
        let is_there =
            |record: &&Record| version == Version::V2010 || record.stage == Stage::Completed;
        records
            .iter()
            .filter(is_there)
            .map(move |record| view(record, ranges, None).document(face))
    };
    let open = open_call();
    let bare = CallView {
        sdp: None,
        ..open.clone()
    };
    let mut controlled = Vec::new();
    for call in [Some(&open), Some(&bare), None] {
        for record in &records {
            let live = Live {
                status: (record.stage == Stage::Live).then_some(LiveStatus::InProgress),
                frames: 8_000,
                rate_hz: SAMPLE_RATE,
                call,
            };
            controlled.push(written(&view(record, true, Some(live)).document(face)));
        }
    }
    // All links of a page in the middle lead somewhere, none of an empty list's does.
    let middle = Page {
        records: vec![record(Stage::Completed)],
        first: 50,
        total: 150,
    };
    let list = |resource: &Resource, name: &'static str, items: Vec<Document>, page: &Page| {
        let place = Place {
            path: &path_of(version, ACCOUNT, resource),
            face,
            filters: &[],
            page: 1,
            page_size: 50,
            at: None,
        };
        let paging = place.paging(&Stretch::of(page));
        let listing = Listing {
            name,
            items,
            paging,
        };
        json!(json::listing(&listing, face, &TimeZone::UTC))
    };
    let empty = Page {
        records: Vec::new(),
        first: 0,
        total: 0,
    };
    let account = account::document(&Account {
        sid: ACCOUNT,
        name: "first".into(),
        created_ms: CREATED_MS,
        configured: false,
    });
    let ended = ended_document(&EndedCall {
        account: ACCOUNT,
        call: CALL,
        parties: Parties::default(),
        first_ms: CREATED_MS,
        last_ms: CREATED_MS + 3_000,
        signalling_json: SIGNALLING.to_owned(),
    });
    let recordings = |items, page| list(&Resource::Recordings, "Recordings", items, page);
    let annex = |annex: Annex| {
        let resource = Resource::Annex(RECORDING, annex);
        vec![list(&resource, annex.as_str(), Vec::new(), &empty)]
    };
    let link = link::document(
        &Link {
            account: ACCOUNT,
            sid: RECORDING,
            reach: Reach::Sound,
            expires_s: 1_207_030_035,
        },
        BASE_URL.into(),
    );
    vec![
        ("Link", vec![written(&link)]),
        ("Account", vec![written(&account)]),
        (
            "Call",
            [
                open_document(&open, CREATED_MS, SIGNALLING),
                open_document(&bare, CREATED_MS, ""),
                ended,
            ]
            .iter()
            .map(written)
            .collect(),
        ),
        (
            "Recording",
            shown(true).map(|document| written(&document)).collect(),
        ),
        ("ControlledRecording", controlled),
        (
            "Recordings",
            vec![
                recordings(shown(false).collect(), &middle),
                recordings(Vec::new(), &empty),
            ],
        ),
        (
            "Peaks",
            vec![json!({
                "version": 2, "channels": 1, "sample_rate": 8_000, "samples_per_pixel": 256,
                "bits": 16, "length": 1, "data": [-1, 1],
            })],
        ),
        ("Transcriptions", annex(Annex::Transcriptions)),
        ("AddOnResults", annex(Annex::AddOnResults)),
        (
            "Error",
            vec![
                json::fault(&Fault::not_found("/")),
                json::fault(&Fault::internal()),
            ],
        ),
    ]
}

fn view<'a>(record: &'a Record, ranges: bool, live: Option<Live<'a>>) -> RecordingView<'a> {
    RecordingView {
        record,
        base_url: BASE_URL,
        of_call: false,
        ranges,
        live,
        media_query: None,
    }
}

fn record(stage: Stage) -> Record {
    let completed = stage == Stage::Completed;
    let quality = TrackQuality {
        drift_ppb: completed.then_some(12_500),
        codecs: vec!["PCMU".into()],
        undecodable: vec!["18 G729".into()],
        sources: vec!["192.0.2.1:4000".into()],
        srtp: completed.then(|| "AES_CM_128_HMAC_SHA1_80".into()),
        concealed: vec![ConcealedRange {
            from_frame: 800,
            frames: 160,
        }],
        ..TrackQuality::default()
    };
    Record {
        sid: RECORDING,
        account: ACCOUNT,
        call: CALL,
        stage,
        channels: Channels::Dual,
        track: TrackSelection::Both,
        trim: Trim::DoNotTrim,
        origin: Origin::ControlApi,
        created_ms: CREATED_MS,
        updated_ms: CREATED_MS + 3_000,
        started_ms: completed.then_some(CREATED_MS),
        frames: if completed { 24_000 } else { 0 },
        ended_by: (stage != Stage::Live).then_some(EndedBy::Stopped),
        recovered: false,
        blake3: completed.then_some([0; 32]),
        digits: String::new(),
        tracks: [TrackStats::default(); 2],
        tags_json: String::new(),
        quality: [quality.clone(), quality],
        rate_hz: SAMPLE_RATE,
        parties: Parties::default(),
        signalling_json: SIGNALLING.to_owned(),
        marks: Default::default(),
    }
}

/// What a SIPREC client says of a call, each member with each type that it may have.
pub(super) const SIGNALLING: &str = r#"{"source":"siprec","sip_call_id":"7@192.0.2.1","session_id":"c2Vzc2lvbg==",
"client":"sip:src@192.0.2.1","address":"192.0.2.1","user_agent":"SBC",
"participants":[
{"id":"cDE=","aor":"sip:+14155550100@a.example","name":"Ann","names":[{"aor":"sip:+14155550100@a.example","name":"Ann"},
{"aor":"tel:+14155550100","name":null}],"track":"inbound","labels":["1"],"joined":"2026-11-26T10:00:00Z","left":"2026-11-26T10:01:00Z","extensions":{}},
{"id":"cDI=","aor":null,"name":null,"names":[],"track":null,"labels":[],"joined":null,"left":null,"extensions":{}},
{"id":"cDM=","aor":null,"name":null,"names":[],"track":"outbound","labels":[],"joined":null,"left":true,"extensions":{}}],
"sessions":[],"streams":[],"extensions":{},"warnings":["metadata: no datamode; taken as complete"]}"#;

fn open_call() -> CallView {
    let stream = |track: Track, port: u16| StreamView {
        track,
        address: std::net::Ipv4Addr::LOCALHOST.into(),
        port,
        source: Some(([192, 0, 2, 1], 4_000).into()),
        ssrc: Some(0x5eed),
        codec: Some("PCMU"),
        stats: TrackStats::default(),
    };
    let silent = StreamView {
        source: None,
        ssrc: None,
        codec: None,
        ..stream(Track::Outbound, 20_002)
    };
    CallView {
        account: ACCOUNT,
        call: CALL,
        external_id: Some("a84b4c76e66710@192.0.2.1".into()),
        from: Some("+14155550100".into()),
        to: Some("+14155550101".into()),
        state: CallState::InProgress,
        opened_at_ms: CREATED_MS,
        streams: vec![stream(Track::Inbound, 20_000), silent],
        rate_hz: SAMPLE_RATE,
        recordings: vec![LiveRecording {
            sid: RECORDING,
            status: LiveStatus::InProgress,
            channels: Channels::Dual,
            track: TrackSelection::Both,
            frames: 8_000,
            rate_hz: SAMPLE_RATE,
        }],
        sdp: Some("v=0\r\n".into()),
    }
}
