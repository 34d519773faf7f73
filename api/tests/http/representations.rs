//! What else there is of a recording: Ogg Opus, peaks to draw it by, metadata that is not new.

use reeld_codec::{mp3, ogg_opus};
use reeld_model::Channels;
use serde_json::json;

use crate::harness::{Answer, House, SEED_MS, credentials, eventually, full, sid, sound};

fn ask(house: &House, method: &str, path: &str, headers: &str) -> Answer {
    house.ask(method, &full(path), headers, "")
}

#[test]
fn opus_is_public_whole_and_of_the_length_that_head_says() {
    let house = House::new();
    house.recording(&sid(1), SEED_MS, Channels::Dual, &sound(80_000));
    for (query, channels) in [
        ("", 2),
        ("?RequestedChannels=2", 2),
        ("?RequestedChannels=1", 1),
    ] {
        let path = format!("2010/Recordings/{}.opus{query}", sid(1));
        let length = ogg_opus::encoded_len(channels, 8_000, 40_000).unwrap();
        let head = ask(&house, "HEAD", &path, "");
        let answer = house.get_public(&path);
        assert_eq!((head.status, answer.status), (200, 200), "{query}");
        for answer in [&head, &answer] {
            assert_eq!(
                answer.header("content-type"),
                Some("audio/ogg; codecs=opus")
            );
            assert_eq!(answer.header("content-length"), Some(&*length.to_string()));
            assert_eq!(answer.header("accept-ranges"), Some("bytes"));
        }
        assert_eq!(answer.body.len() as u64, length);
        // OpusHead behind the header of a page: version, channels.
        assert_eq!(
            answer.body[28..38],
            [b"OpusHead", &[1, u8::try_from(channels).unwrap()][..]].concat()
        );
        // Its serial number is the recording's.
        assert_eq!(answer.body[14..18], [1; 4]);
    }
    let disposition = format!("inline; filename=\"{}.opus\"", sid(1));
    let path = format!("2008/Recordings/{}.opus", sid(1));
    let head = ask(&house, "HEAD", &path, "");
    assert_eq!(head.header("content-disposition"), Some(&*disposition));
    house.recording(&sid(2), SEED_MS, Channels::Mono, &sound(800));
    let path = format!("2008/Recordings/{}.opus?RequestedChannels=2", sid(2));
    assert_eq!(house.get_public(&path).fault().0, 400);
}

#[test]
fn ranges_of_what_is_encoded_on_demand() {
    for extension in ["mp3", "opus"] {
        let house = House::new();
        house.recording(&sid(1), SEED_MS, Channels::Mono, &sound(800_000));
        let path = format!("2008/Recordings/{}.{extension}", sid(1));
        let length = match extension {
            "mp3" => mp3::encoded_len(1, 8_000, 800_000),
            _ => ogg_opus::encoded_len(1, 8_000, 800_000),
        };
        let length = usize::try_from(length.unwrap()).unwrap();
        // Each before anything of it is there, and again when it is.
        let ranges = [
            ("bytes=-1000".to_owned(), length - 1_000, length),
            ("bytes=0-0".to_owned(), 0, 1),
            (format!("bytes={}-", length - 1), length - 1, length),
            (format!("bytes=100-{}", u64::MAX), 100, length),
            (format!("bytes=-{}", length + 9), 0, length),
            (
                format!("bytes={}-{}", length / 2, length / 2 + 9),
                length / 2,
                length / 2 + 10,
            ),
        ];
        let mut parts = Vec::new();
        for (range, start, end) in &ranges {
            let part = ask(&house, "GET", &path, &format!("Range: {range}\r\n"));
            assert_eq!(part.status, 206, "{extension} {range}");
            let content_range = format!("bytes {start}-{}/{length}", end - 1);
            assert_eq!(part.header("content-range"), Some(&*content_range));
            assert_eq!(part.body.len(), end - start, "{extension} {range}");
            parts.push(part.body);
        }
        let whole = house.get_public(&path).body;
        assert_eq!(whole.len(), length);
        for ((range, start, end), part) in ranges.iter().zip(parts) {
            assert!(part == whole[*start..*end], "{extension} {range}");
        }
        for range in [format!("bytes={length}-"), "bytes=-0".to_owned()] {
            let answer = ask(&house, "GET", &path, &format!("Range: {range}\r\n"));
            assert_eq!(answer.status, 416, "{extension} {range}");
            let content_range = format!("bytes */{length}");
            assert_eq!(answer.header("content-range"), Some(&*content_range));
        }
        let head = ask(&house, "HEAD", &path, "Range: bytes=0-1\r\n");
        assert_eq!((head.status, head.body.len()), (200, 0));
        let etag = head.header("etag").unwrap();
        for (condition, status) in [(etag, 206), ("\"other\"", 200)] {
            let headers = format!("If-Range: {condition}\r\nRange: bytes=0-1\r\n");
            let answer = ask(&house, "GET", &path, &headers);
            assert_eq!(answer.status, status, "{extension} {condition}");
        }
        let same = ask(&house, "GET", &path, &format!("If-None-Match: {etag}\r\n"));
        assert_eq!((same.status, same.body.len()), (304, 0));
    }
}

#[test]
fn each_format_is_kept_and_made_the_same_again() {
    let house = House::new();
    house.recording(&sid(1), SEED_MS, Channels::Dual, &sound(40_000));
    let path = |extension: &str| format!("2010/Recordings/{}.{extension}", sid(1));
    let first = ["mp3", "opus"].map(|extension| house.get_public(&path(extension)));
    assert_ne!(first[0].header("etag"), first[1].header("etag"));
    let cache = house.dir.path().join("mp3");
    let kept = || {
        let names = std::fs::read_dir(&cache).unwrap();
        names
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().unwrap() != "part")
            .collect::<Vec<_>>()
    };
    eventually("both files", || kept().len() == 2);
    for file in kept() {
        std::fs::remove_file(file).unwrap();
    }
    for (extension, first) in ["mp3", "opus"].into_iter().zip(&first) {
        let again = house.get_public(&path(extension));
        assert!(again.body == first.body, "{extension}");
        assert_eq!(again.header("etag"), first.header("etag"));
    }
    eventually("both files", || kept().len() == 2);
    assert_eq!(
        house.delete(&format!("2010/Recordings/{}", sid(1))).status,
        204
    );
    eventually("the cache's forgetting", || kept().is_empty());
    assert_eq!(house.get_public(&path("opus")).status, 404);
}

#[test]
fn peaks_are_each_points_lowest_and_highest_sample() {
    let house = House::new();
    let samples = sound(20_000);
    house.recording(&sid(1), SEED_MS, Channels::Dual, &samples);
    let peaks = format!("2010/Recordings/{}.peaks.json", sid(1));
    assert_eq!(house.get_public(&peaks).status, 401);
    let answer = house.get(&peaks);
    let found = answer.json();
    let head = [
        "version",
        "channels",
        "sample_rate",
        "samples_per_pixel",
        "bits",
        "length",
    ];
    let head = head.map(|name| found[name].as_u64().unwrap());
    assert_eq!(head, [2, 2, 8_000, 256, 16, 40]);
    let mut expected = Vec::new();
    for point in samples.chunks(512) {
        for channel in 0..2 {
            let mine = || point.iter().skip(channel).step_by(2);
            expected.extend([*mine().min().unwrap(), *mine().max().unwrap()]);
        }
    }
    assert_eq!(found["data"], json!(expected));

    let mono = house
        .get(&format!("{peaks}?RequestedChannels=1&width=10&bits=8"))
        .json();
    assert_eq!(mono["channels"], 1);
    assert_eq!(mono["samples_per_pixel"], 1_000);
    assert_eq!(mono["bits"], 8);
    let sums: Vec<i16> = samples
        .chunks(2)
        .map(|pair| pair[0].saturating_add(pair[1]))
        .collect();
    let expected: Vec<i16> = sums
        .chunks(1_000)
        .flat_map(|point| {
            [
                *point.iter().min().unwrap() / 256,
                *point.iter().max().unwrap() / 256,
            ]
        })
        .collect();
    assert_eq!(mono["data"], json!(expected));

    let old = house.get(&format!("2008/Recordings/{}.peaks.json", sid(1)));
    assert!(old.body == answer.body, "the version changes nothing");
    let with = |more: &str| format!("{}{more}", credentials(crate::harness::AC, "a-token"));
    let head = ask(&house, "HEAD", &peaks, &with(""));
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(
        head.header("content-length"),
        Some(&*answer.body.len().to_string())
    );
    let etag = answer.header("etag").unwrap();
    assert_eq!(head.header("etag"), Some(etag));
    let same = ask(
        &house,
        "GET",
        &peaks,
        &with(&format!("If-None-Match: {etag}\r\n")),
    );
    assert_eq!(same.status, 304);
    let other = house.get(&format!("{peaks}?bits=8"));
    assert_ne!(other.header("etag"), Some(etag));
}

#[test]
fn what_peaks_cannot_be_made_of_is_named() {
    let house = House::new();
    house.recording(&sid(1), SEED_MS, Channels::Mono, &sound(800));
    for (query, name) in [
        ("samples_per_pixel=0", "samples_per_pixel"),
        ("samples_per_pixel=many", "samples_per_pixel"),
        ("width=131073", "width"),
        ("width=8&samples_per_pixel=8", "width"),
        ("bits=24", "bits"),
        ("RequestedChannels=2", "RequestedChannels"),
        ("samples_per_pixels=8", "samples_per_pixels"),
    ] {
        let answer = house.get(&format!("2010/Recordings/{}.peaks.json?{query}", sid(1)));
        assert_eq!(answer.status, 400, "{query}");
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(
            message.starts_with(&format!("{name}: ")),
            "{query}: {message}"
        );
    }
    for path in [
        format!("2010/Recordings/{}.peaks.json", sid(9)),
        format!("2010/Recordings/{}.peaks.xml", sid(1)),
        "2010/Recordings.peaks.json".to_owned(),
    ] {
        assert_eq!(house.get(&path).status, 404, "{path}");
    }
}

#[test]
fn metadata_that_is_not_new_is_not_sent_again() {
    let house = House::new();
    house.recording(&sid(1), SEED_MS, Channels::Mono, &sound(800));
    let with = |more: &str| format!("{}{more}", credentials(crate::harness::AC, "a-token"));
    let mut seen = Vec::new();
    for version in ["2008", "2010"] {
        for extension in ["json", "xml", "csv", "html"] {
            let path = format!("{version}/Recordings/{}.{extension}", sid(1));
            let answer = house.get(&path);
            let etag = answer
                .header("etag")
                .unwrap_or_else(|| panic!("{path}"))
                .to_owned();
            let head = ask(&house, "HEAD", &path, &with(""));
            assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
            assert_eq!(head.header("etag"), Some(&*etag), "{path}");
            let length = answer.body.len().to_string();
            assert_eq!(head.header("content-length"), Some(&*length), "{path}");
            let headers = with(&format!("If-None-Match: {etag}\r\n"));
            let same = ask(&house, "GET", &path, &headers);
            assert_eq!((same.status, same.body.len()), (304, 0), "{path}");
            assert_eq!(same.header("etag"), Some(&*etag), "{path}");
            let headers = with("If-None-Match: \"other\"\r\n");
            assert_eq!(ask(&house, "GET", &path, &headers).status, 200, "{path}");
            seen.push(etag);
        }
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 8, "each is another document");
}
