//! Audio over HTTP: whole, in parts, unchanged, as WAV and as MP3.

use std::io::{Read, Write};

use reeld_codec::{mp3, wav};
use reeld_model::Channels;

use crate::harness::{Answer, House, SEED_MS, eventually, full, sid, sound};

fn wav_of(channels: u16, samples: &[i16]) -> Vec<u8> {
    let length = u32::try_from(samples.len() * 2).unwrap();
    let mut bytes = wav::header(channels, 8_000, length).to_vec();
    wav::samples_to_bytes(samples, &mut bytes);
    bytes
}

fn ask(house: &House, method: &str, path: &str, headers: &str) -> Answer {
    house.ask(method, &full(path), headers, "")
}

#[test]
fn the_wav_is_what_was_recorded_under_each_of_its_names() {
    let house = House::new();
    // Longer than one piece.
    let samples = sound(100_001);
    let re = sid(1);
    house.recording(&re, SEED_MS, Channels::Mono, &samples);
    let expected = wav_of(1, &samples);
    for path in [
        "2008/Recordings/{}",
        "2008/Recordings/{}.wav",
        "2010/Recordings/{}",
        "2010/Recordings/{}.wav?t=1",
    ] {
        let answer = house.get_public(&path.replace("{}", &re));
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some("audio/x-wav"));
        assert_eq!(
            answer.header("content-length"),
            Some(expected.len().to_string().as_str())
        );
        assert_eq!(
            answer.header("content-disposition"),
            Some(format!("inline; filename=\"{re}.wav\"").as_str())
        );
        assert!(answer.body == expected, "{path}");
    }
}

#[test]
fn parts_heads_and_copies_of_a_wav() {
    let house = House::new();
    let samples = sound(4_000);
    house.recording(&sid(1), SEED_MS, Channels::Dual, &samples);
    let expected = wav_of(2, &samples);
    let path = format!("2008/Recordings/{}", sid(1));
    for (range, part) in [
        ("bytes=0-43", &expected[..44]),
        ("bytes=40-99", &expected[40..100]),
        ("bytes=-10", &expected[expected.len() - 10..]),
        ("bytes=8000-", &expected[8_000..]),
    ] {
        let answer = ask(&house, "GET", &path, &format!("Range: {range}\r\n"));
        assert_eq!(answer.status, 206, "{range}");
        assert_eq!(answer.body, part, "{range}");
    }
    let answer = ask(&house, "GET", &path, "Range: bytes=40-99\r\n");
    assert_eq!(answer.header("content-range"), Some("bytes 40-99/8044"));
    let answer = ask(&house, "GET", &path, "Range: bytes=8044-\r\n");
    assert_eq!(answer.status, 416);
    assert_eq!(answer.header("content-range"), Some("bytes */8044"));

    let head = ask(&house, "HEAD", &path, "Range: bytes=0-1\r\n");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), Some("8044"));
    assert_eq!(head.header("accept-ranges"), Some("bytes"));
    assert_eq!(
        head.header("last-modified"),
        Some("Tue, 01 Apr 2008 05:07:15 GMT")
    );
    let etag = head.header("etag").unwrap();
    let same = ask(&house, "GET", &path, &format!("If-None-Match: {etag}\r\n"));
    assert_eq!((same.status, same.body.len()), (304, 0));
    assert_eq!(same.header("etag"), Some(etag));
    let since = "If-Modified-Since: Tue, 01 Apr 2008 05:07:15 GMT\r\n";
    assert_eq!(ask(&house, "GET", &path, since).status, 304);
    for (condition, status) in [(etag, 206), ("\"other\"", 200)] {
        let headers = format!("If-Range: {condition}\r\nRange: bytes=0-1\r\n");
        assert_eq!(
            ask(&house, "GET", &path, &headers).status,
            status,
            "{condition}"
        );
    }
}

#[test]
fn answers_on_one_connection_come_in_order_whoever_sends_them() {
    let house = House::new();
    // One longer than what the kernel is given at once, one of a packet.
    let (long, short) = (sound(1_600_000), sound(100));
    house.recording(&sid(1), SEED_MS, Channels::Mono, &long);
    house.recording(&sid(2), SEED_MS, Channels::Dual, &short);
    let requests = [
        (sid(1), "", wav_of(1, &long)),
        (
            format!("{}.wav?RequestedChannels=2", sid(2)),
            "",
            wav_of(2, &short),
        ),
        (
            sid(1),
            "Range: bytes=1048570-3000000\r\n",
            wav_of(1, &long)[1_048_570..=3_000_000].to_vec(),
        ),
        (sid(200), "", Vec::new()),
        (sid(2), "", wav_of(2, &short)),
    ];
    let mut sent = String::new();
    for (path, headers, _) in &requests {
        let path = full(&format!("2010/Recordings/{path}"));
        sent += &format!("GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
    }
    let path = full("2008/Recordings/none");
    sent += &format!("HEAD {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let mut rest = house.raw(sent.as_bytes());
    for (path, _, expected) in requests {
        let answer = Answer::parse(&rest);
        let length: usize = answer.header("content-length").unwrap().parse().unwrap();
        let body = &answer.body[..length];
        if !expected.is_empty() {
            assert!(body == expected, "{path}");
        }
        rest = answer.body[length..].to_vec();
    }
    assert_eq!(Answer::parse(&rest).status, 404);
}

#[test]
fn one_channel_of_two_is_their_sum() {
    let house = House::new();
    let samples = sound(50_000);
    house.recording(&sid(1), SEED_MS, Channels::Dual, &samples);
    house.recording(&sid(2), SEED_MS, Channels::Mono, &samples);
    let sums: Vec<i16> = samples
        .chunks(2)
        .map(|pair| pair[0].saturating_add(pair[1]))
        .collect();
    let expected = wav_of(1, &sums);
    let path = format!("2010/Recordings/{}.wav?RequestedChannels=1", sid(1));
    assert!(house.get_public(&path).body == expected);
    for (range, part) in [
        ("bytes=41-46", 41..47),
        ("bytes=1001-1004", 1_001..1_005),
        ("bytes=45-45", 45..46),
    ] {
        let answer = ask(&house, "GET", &path, &format!("Range: {range}\r\n"));
        assert_eq!(answer.body, &expected[part], "{range}");
    }
    for (n, channels, status) in [
        (1, "2", 200),
        (2, "1", 200),
        (2, "2", 400),
        (1, "3", 400),
        (1, "x", 400),
    ] {
        let path = format!(
            "2010/Recordings/{}.wav?RequestedChannels={channels}",
            sid(n)
        );
        assert_eq!(house.get_public(&path).status, status, "{n} {channels}");
    }
    let mp3 = house.get_public(&format!(
        "2010/Recordings/{}.mp3?RequestedChannels=1",
        sid(1)
    ));
    assert_eq!(
        mp3.body.len() as u64,
        mp3::encoded_len(1, 8_000, 25_000).unwrap()
    );
}

#[test]
fn the_mp3_is_the_recording_and_is_kept() {
    let house = House::new();
    let tone: Vec<i16> = (0..80_000_i32)
        .map(|i| {
            let phase = f64::from(i) * 440.0 * std::f64::consts::TAU / 8_000.0;
            #[expect(clippy::cast_possible_truncation, reason = "within ±8000")]
            let sample = (phase.sin() * 8_000.0) as i16;
            sample
        })
        .collect();
    house.recording(&sid(1), SEED_MS, Channels::Mono, &tone);
    let path = format!("2008/Recordings/{}.mp3", sid(1));
    let head = ask(&house, "HEAD", &path, "");
    let length = head.header("content-length").unwrap().to_owned();
    let answer = house.get_public(&path);
    assert_eq!(answer.header("content-type"), Some("audio/mpeg"));
    assert_eq!(answer.header("content-length"), Some(length.as_str()));
    assert_eq!(answer.body.len().to_string(), length);
    let decoded = mp3::decode(answer.body.as_slice(), 1 << 24).unwrap();
    assert_eq!(decoded.samples.len(), tone.len());
    // Loud where the tone is, and the tone itself: the correlation of the middle.
    let (mut dot, mut left, mut right) = (0.0, 0.0, 0.0);
    for (a, b) in tone.iter().zip(&decoded.samples).skip(8_000).take(60_000) {
        let (a, b) = (f64::from(*a), f64::from(*b));
        (dot, left, right) = (dot + a * b, left + a * a, right + b * b);
    }
    assert!(dot / (left * right).sqrt() > 0.99);
    let part = ask(&house, "GET", &path, "Range: bytes=100-199\r\n");
    assert_eq!(
        (part.status, part.body.as_slice()),
        (206, &answer.body[100..200])
    );
    assert_ne!(
        head.header("etag"),
        ask(&house, "HEAD", &path.replace("mp3", "wav"), "").header("etag")
    );
    // It is kept once it is durable, which may be after its last byte was sent.
    let mp3s = || {
        let files = std::fs::read_dir(house.dir.path().join("mp3")).unwrap();
        files
            .filter(|file| file.as_ref().unwrap().path().extension().unwrap() == "mp3")
            .count()
    };
    eventually("the file", || mp3s() == 1);
    let kept = || {
        std::fs::read_dir(house.dir.path().join("mp3"))
            .unwrap()
            .count()
    };
    assert_eq!(
        house.delete(&format!("2008/Recordings/{}", sid(1))).status,
        204
    );
    // Its last bytes may have been on the way to the disk.
    eventually("the cache's forgetting", || kept() == 0);
    assert_eq!(house.get_public(&path).status, 404);
}

#[test]
fn a_part_of_an_mp3_that_is_not_made_yet() {
    let house = House::new();
    let samples = sound(800_000);
    house.recording(&sid(1), SEED_MS, Channels::Mono, &samples);
    let path = format!("2008/Recordings/{}.mp3", sid(1));
    let part = ask(&house, "GET", &path, "Range: bytes=-1000\r\n");
    assert_eq!(part.status, 206);
    let whole = house.get_public(&path);
    assert!(whole.body.ends_with(&part.body));
    assert_eq!(part.body.len(), 1_000);
}

#[test]
fn a_download_goes_on_after_delete() {
    let house = House::new();
    // More than the sockets and the task hold between them.
    let samples = sound(8_000_000);
    house.recording(&sid(1), SEED_MS, Channels::Mono, &samples);
    let path = full(&format!("2008/Recordings/{}", sid(1)));
    let mut stream = house.connect();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut bytes = vec![0; 1_000];
    stream.read_exact(&mut bytes).unwrap();
    assert_eq!(
        house.delete(&format!("2008/Recordings/{}", sid(1))).status,
        204
    );
    stream.read_to_end(&mut bytes).unwrap();
    assert!(Answer::parse(&bytes).body == wav_of(1, &samples));
}
