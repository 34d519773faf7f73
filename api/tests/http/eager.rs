//! Files that are made before they are asked for: a request does not wait its turn among them.

use reeld_api::EncodedFormat;
use reeld_codec::mp3;
use reeld_model::Channels;

use crate::harness::{House, SEED_MS, eventually, sid, sound};

/// Long against the time from the end of a recording to a request.
const SAMPLES: usize = 30 * 8_000;

const RECORDINGS: u8 = 5;

/// The count of a result in `/metrics`.
fn count(house: &House, result: &str) -> u64 {
    let answer = house.ask("GET", "/metrics", "", "");
    let name = format!("reeld_encode_eager_total{{result=\"{result}\"}} ");
    let line = answer
        .text()
        .lines()
        .find_map(|line| line.strip_prefix(&name));
    line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

#[test]
fn the_last_one_that_ended_is_had_before_those_that_nobody_asks_for() {
    let house = House::with(|settings| settings.encode.eager = vec![EncodedFormat::Mp3]);
    let samples = sound(SAMPLES);
    let records: Vec<_> = (1..=RECORDINGS)
        .map(|n| house.recording(&sid(n), SEED_MS, Channels::Mono, &samples))
        .collect();
    records.iter().for_each(|record| house.api.ended(record));
    let mp3 = house.get_public(&format!("2008/Recordings/{}.mp3", sid(RECORDINGS)));
    let made = count(&house, "made");
    let length = mp3::encoded_len(1, 8_000, SAMPLES as u64).unwrap();
    assert_eq!((mp3.status, mp3.body.len() as u64), (200, length));
    let others = u64::from(RECORDINGS) - 1;
    assert!(made < others, "it waited for {made} that nobody asked for");
    eventually("the others", || count(&house, "made") == others);
    eventually("what was asked for", || count(&house, "skipped") == 1);
}
