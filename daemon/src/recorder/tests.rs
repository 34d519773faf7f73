//! From outputs to a finished recording.

use std::time::Duration;

use reeld_capture::Output;
use reeld_model::{Channels, EndedBy, Mono, Summary, TrackQuality, TrackSelection, Trim};
use reeld_store::{Begun, MediaKind, NewRecording, Origin, StoreConfig};

use super::*;

#[test]
fn a_recording_has_the_rate_and_the_quality_that_capture_says() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(StoreConfig {
        data_dir: dir.path().to_owned(),
        media: MediaKind::Local,
        min_free_bytes: 0,
        catalog_cache_bytes: 1 << 20,
        deleted_metadata: Duration::ZERO,
        disk: Default::default(),
    })
    .unwrap();
    let new = NewRecording {
        sid: "RE00000000000000000000000000000001".parse().unwrap(),
        account: "AC00000000000000000000000000000001".parse().unwrap(),
        call: "CA00000000000000000000000000000001".parse().unwrap(),
        parties: Default::default(),
        channels: Channels::Mono,
        track: TrackSelection::Both,
        trim: Trim::DoNotTrim,
        origin: Origin::ControlApi,
        created_ms: 1_700_000_000_000,
        tags: Default::default(),
        idempotency_token: None,
        subscription: None,
        action: None,
    };
    let recording = new.sid;
    assert!(matches!(store.begin(new).unwrap(), Begun::New(_)));

    let recorder = Recorder::start(store.clone(), Duration::from_secs(1)).unwrap();
    let mut sink = recorder.sink();
    let quality = [
        TrackQuality {
            longest_gap_ms: 20,
            ..TrackQuality::default()
        },
        TrackQuality::default(),
    ];
    let summary = Summary {
        ended_by: EndedBy::Stopped,
        frames: 24_000,
        digits: String::new(),
        tracks: Default::default(),
        quality: quality.clone(),
        rate_hz: 16_000,
    };
    let at = Mono(clock::monotonic_ns());
    for output in [
        Output::Started {
            recording,
            at,
            rate_hz: 16_000,
        },
        Output::Audio {
            recording,
            samples: vec![1_000; 8_000],
            keep_frames: 8_000,
        },
        Output::Silence {
            recording,
            frames: 16_000,
            keep_frames: 24_000,
        },
        Output::Ended {
            recording,
            at,
            summary: Box::new(summary),
        },
    ] {
        sink.push(Queued::outside(output)).unwrap();
    }
    drop(sink);
    recorder.shutdown();

    let record = store.find(recording).unwrap().unwrap();
    assert_eq!((record.rate_hz, record.duration_ms()), (16_000, 1_500));
    assert_eq!(record.quality, quality);
    assert_eq!(store.verify(&mut |_| {}).unwrap().findings, []);
}
