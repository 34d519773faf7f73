//! From outputs to a finished recording.

use std::path::Path;
use std::time::Duration;

use reeld_capture::Output;
use reeld_model::{
    Channels, EndedBy, Mono, RecordingSid, Summary, TrackQuality, TrackSelection, Trim,
};
use reeld_store::{Begun, Disk, MediaKind, NewRecording, Origin, StoreConfig};

use super::*;

/// A store with a recording that has begun.
fn begun(dir: &Path, disk: Disk) -> (Store, RecordingSid) {
    let store = Store::open(StoreConfig {
        data_dir: dir.to_owned(),
        media: MediaKind::Local,
        min_free_bytes: 0,
        catalog_cache_bytes: 1 << 20,
        deleted_metadata: Duration::ZERO,
        check_reads_ppm: 0,
        encryption: Default::default(),
        disk,
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
        signalling_json: String::new(),
        idempotency_token: None,
        subscription: None,
        action: None,
    };
    let recording = new.sid;
    assert!(matches!(store.begin(new).unwrap(), Begun::New(_)));
    (store, recording)
}

fn ended(recording: RecordingSid, frames: u64, rate_hz: u32, quality: [TrackQuality; 2]) -> Output {
    let summary = Summary {
        ended_by: EndedBy::Stopped,
        frames,
        digits: String::new(),
        tracks: Default::default(),
        quality,
        rate_hz,
    };
    Output::Ended {
        recording,
        at: Mono(clock::monotonic_ns()),
        summary: Box::new(summary),
    }
}

#[test]
fn a_disk_that_stands_still_holds_nobody_up_and_is_seen() {
    const SECONDS: u64 = 100;
    let dir = tempfile::tempdir().unwrap();
    let (disk, stall) = Disk::stallable();
    let (store, recording) = begun(dir.path(), disk);
    let recorder = Recorder::start(store.clone(), Duration::from_secs(1)).unwrap();
    let (mut sink, waits) = (recorder.sink(), recorder.waits());
    let idle = waits();
    assert_eq!((idle.oldest_block, idle.ends), (Duration::ZERO, 0));

    stall.begin();
    // Were one of these to wait for the disk, it would wait for ever.
    for second in 1..=SECONDS {
        let audio = Output::Audio {
            recording,
            samples: vec![i16::try_from(second).unwrap(); 8_000],
            keep_frames: second * 8_000,
        };
        sink.push(Queued::outside(audio)).unwrap();
    }
    let last = ended(recording, SECONDS * 8_000, 8_000, Default::default());
    sink.push(Queued::outside(last)).unwrap();
    let until = std::time::Instant::now() + Duration::from_secs(30);
    while waits().oldest_block < Duration::from_millis(100) {
        assert!(std::time::Instant::now() < until, "nothing waits");
        std::thread::yield_now();
    }
    stall.end();
    drop(sink);
    recorder.shutdown();

    let after = waits();
    assert_eq!((after.oldest_block, after.ends), (Duration::ZERO, 0));
    let record = store.find(recording).unwrap().unwrap();
    assert_eq!(record.duration_ms(), SECONDS * 1_000);
    assert_eq!(store.verify(&mut |_| {}).unwrap().findings, []);
}

#[test]
fn a_recording_has_the_rate_and_the_quality_that_capture_says() {
    let dir = tempfile::tempdir().unwrap();
    let (store, recording) = begun(dir.path(), Disk::default());
    let recorder = Recorder::start(store.clone(), Duration::from_secs(1)).unwrap();
    let mut sink = recorder.sink();
    let quality = [
        TrackQuality {
            longest_gap_ms: 20,
            ..TrackQuality::default()
        },
        TrackQuality::default(),
    ];
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
        ended(recording, 24_000, 16_000, quality.clone()),
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
