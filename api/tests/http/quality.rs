//! What happened to a recording's sound, in each face; and a recording at a rate of its own.

use reeld_codec::{mp3, wav};
use reeld_model::{Channels, ConcealedRange, EndedBy, Summary, TrackQuality, TrackStats};
use reeld_store::{Begun, End};
use serde_json::json;

use crate::harness::{House, SEED_MS, new, sid, sound};

/// Frames of the recording: 1.5 s at 16 kHz.
const FRAMES: u64 = 24_000;

/// A dual recording at `rate_hz` whose inbound track had a hard time.
fn hard_time(house: &House, n: u8, rate_hz: u32) -> Vec<i16> {
    let samples = sound(2 * usize::try_from(FRAMES).unwrap());
    let begun = house.store.begin(new(&sid(n), SEED_MS, Channels::Dual));
    let Begun::New(record) = begun.unwrap() else {
        panic!("it is there already");
    };
    let mut take = house.store.take(record.sid).unwrap();
    take.set_rate(rate_hz).unwrap();
    take.append(&samples, FRAMES).unwrap();
    let stats = TrackStats {
        packets: 70,
        lost: 5,
        reordered: 4,
        duplicates: 3,
        late: 2,
        foreign: 1,
        segments: 6,
        kernel_dropped: 7,
        undecodable: 8,
        concealed: 640,
        filled: 1_600,
        corrected: 16,
        unauthentic: 9,
        ..TrackStats::default()
    };
    let quality = TrackQuality {
        longest_gap_ms: 140,
        jitter_us: 1_250,
        drift_ppb: Some(-200_500),
        codecs: vec!["PCMU".into(), "G722".into()],
        undecodable: vec!["18 G729".into()],
        sources: vec!["127.0.0.1:4000".into(), "127.0.0.1:4002".into()],
        concealed: vec![
            ConcealedRange {
                from_frame: 1_600,
                frames: 320,
            },
            ConcealedRange {
                from_frame: 8_000,
                frames: 320,
            },
        ],
        srtp: Some("AEAD_AES_128_GCM".into()),
    };
    let summary = Summary {
        ended_by: EndedBy::Stopped,
        frames: FRAMES,
        digits: String::new(),
        tracks: [stats, TrackStats::default()],
        quality: [quality, TrackQuality::default()],
        rate_hz,
    };
    let end = End {
        summary,
        started_ms: Some(SEED_MS),
        ended_ms: SEED_MS,
    };
    house.store.finish(take, end).unwrap();
    samples
}

#[test]
fn each_track_tells_what_happened_to_it() {
    let house = House::new();
    hard_time(&house, 1, 16_000);
    for version in ["2008", "2010"] {
        let answer = house.get(&format!("{version}/Recordings/{}.json", sid(1)));
        let json = answer.json();
        let recording = match version {
            "2008" => &json["TwilioResponse"]["Recording"],
            _ => &json,
        };
        assert_eq!(recording["duration_ms"], 1_500);
        assert_eq!(recording["rate_hz"], 16_000);
        let track = &recording["tracks"]["inbound"];
        for (name, value) in [
            ("packets", json!(70)),
            ("lost", json!(5)),
            ("reordered", json!(4)),
            ("duplicates", json!(3)),
            ("late", json!(2)),
            ("foreign", json!(1)),
            ("segments", json!(6)),
            ("kernel_dropped", json!(7)),
            ("undecodable", json!(8)),
            ("concealed_ms", json!(40)),
            ("filled_ms", json!(100)),
            ("corrected_ms", json!(1)),
            ("unauthentic", json!(9)),
            ("srtp", json!("AEAD_AES_128_GCM")),
            ("longest_gap_ms", json!(140)),
            ("jitter_ms", json!(1.25)),
            ("drift_ppm", json!(-200.5)),
            ("codecs", json!(["PCMU", "G722"])),
            ("undecodable_types", json!(["18 G729"])),
            ("sources", json!(["127.0.0.1:4000", "127.0.0.1:4002"])),
            ("concealed_ranges", json!([[100, 120], [500, 520]])),
        ] {
            assert_eq!(track[name], value, "{version} {name}");
        }
        let other = &recording["tracks"]["outbound"];
        assert_eq!(other["drift_ppm"], json!(null));
        assert_eq!(other["concealed_ranges"], json!([]));
    }
    let list = house.get("2010/Recordings.json").json();
    let track = &list["recordings"][0]["tracks"]["inbound"];
    assert_eq!(track["jitter_ms"], 1.25);
    assert_eq!(track["concealed_ranges"], json!(null));

    let xml = house.get(&format!("2010/Recordings/{}.xml", sid(1)));
    for part in [
        "<RateHz>16000</RateHz>",
        "<ConcealedMs>40</ConcealedMs>",
        "<JitterMs>1.25</JitterMs><DriftPpm>-200.5</DriftPpm>",
        "<Codecs>PCMU, G722</Codecs><UndecodableTypes>18 G729</UndecodableTypes>",
        "<DriftPpm/><Codecs/>",
    ] {
        assert!(xml.text().contains(part), "{part}: {}", xml.text());
    }
    assert!(!xml.text().contains("Ranges"));
    let seeds = house.get_public(&format!("2008/Recordings/{}.xml", sid(1)));
    assert!(!seeds.text().contains("Tracks"), "the seed's six fields");
}

#[test]
fn a_recording_is_served_at_its_own_rate() {
    let house = House::new();
    for (n, rate_hz) in [(1, 16_000), (2, 44_100), (3, 48_000)] {
        let samples = hard_time(&house, n, rate_hz);
        let path = format!("2010/Recordings/{}", sid(n));
        let file = house.get_public(&format!("{path}.wav")).body;
        let data = u32::try_from(FRAMES * 4).unwrap();
        assert_eq!(file[..44], wav::header(2, rate_hz, data));
        let sum = house.get_public(&format!("{path}.wav?RequestedChannels=1"));
        assert_eq!(sum.body[..44], wav::header(1, rate_hz, data / 2));
        for channels in [2, 1] {
            let mp3 = house.get_public(&format!("{path}.mp3?RequestedChannels={channels}"));
            let decoded = mp3::decode(mp3.body.as_slice(), FRAMES).unwrap();
            assert_eq!((decoded.channels, decoded.rate_hz), (channels, rate_hz));
            let frames = samples.len() / 2 * usize::from(channels);
            assert_eq!(decoded.samples.len(), frames);
        }
    }
    // No MP3 has this rate; the WAV is there.
    hard_time(&house, 4, 9_600);
    let path = format!("2010/Recordings/{}", sid(4));
    assert_eq!(house.get_public(&path).status, 200);
    let (status, code, message) = house.get_public(&format!("{path}.mp3")).fault();
    assert_eq!((status, code), (404, Some(20404)));
    assert!(message.contains("9600 Hz"), "{message}");
}
