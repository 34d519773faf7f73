//! A connection in virtual time: what its sound is placed at, and what a faulty one comes to.

use proptest::prelude::*;

use super::*;

mod late;

const MS: u64 = 1_000_000;
/// Samples of a frame of 20 ms at 8 kHz.
const FRAME: usize = 160;

fn uuid_frame() -> Vec<u8> {
    let mut bytes = vec![0x01, 0, 16];
    bytes.extend(0x40..0x50);
    bytes
}

/// A frame of 20 ms whose samples count on from `first`.
fn sound(first: usize) -> Vec<u8> {
    let samples = (first..first + FRAME).map(|n| i16::try_from(n % 30_000 + 1).unwrap());
    let mut bytes = vec![0x10, 1, 0x40];
    bytes.extend(samples.flat_map(i16::to_le_bytes));
    bytes
}

/// A session that is open, its clock, and what has come out of it.
struct Rig {
    session: Session,
    now: Mono,
    packets: Vec<(Mono, Vec<u8>)>,
    others: Vec<Output>,
}

impl Rig {
    fn new() -> Self {
        Self {
            session: Session::new(Seed {
                ssrc: 7,
                sequence: 65_535,
                stamp: u32::MAX - 100,
            }),
            now: Mono(1_000 * MS),
            packets: Vec::new(),
            others: Vec::new(),
        }
    }

    fn open() -> Self {
        let mut rig = Self::new();
        rig.put(&uuid_frame());
        let name = "40414243-4445-4647-4849-4a4b4c4d4e4f";
        match rig.others.pop() {
            Some(Output::Open(uuid)) => assert_eq!(uuid.to_string(), name),
            other => panic!("{other:?}"),
        }
        rig.session.handle_opened(rig.now);
        rig
    }

    fn put(&mut self, bytes: &[u8]) {
        self.session.handle_bytes(bytes, self.now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.session.poll_output(self.now) {
            match output {
                Output::Packet(packet) => self.packets.push((self.now, packet)),
                Output::Heard(..) => {}
                Output::Open(_) | Output::Warning(_) | Output::Over(_) => self.others.push(output),
            }
        }
    }

    /// Time goes on to an instant, and what is due meanwhile is done.
    fn until(&mut self, at: Mono) {
        while let Some(due) = self.session.due().filter(|due| *due <= at) {
            self.now = due.max(self.now);
            self.drain();
        }
        self.now = at;
    }

    /// The frames of `sound`, each at its millisecond since the beginning; then the end.
    fn play(&mut self, frames: &[(u64, usize)]) {
        let began = self.now;
        for (at, first) in frames {
            self.until(Mono(began.0 + at * MS));
            self.put(&sound(*first));
        }
        self.session.handle_end();
        self.session.hurry();
        self.drain();
        assert!(self.session.is_drained());
    }

    /// Samples by their stamps; nought where there are none.
    fn timeline(&self) -> Vec<i16> {
        let mut timeline = Vec::new();
        let mut first = None;
        for (number, (_, packet)) in self.packets.iter().enumerate() {
            let sequence = u16::from_be_bytes([packet[2], packet[3]]);
            let expected = 65_535_u16.wrapping_add(u16::try_from(number).unwrap());
            assert_eq!(sequence, expected);
            if packet[1] & 0x7f == KEYS {
                continue;
            }
            let stamp = u32::from_be_bytes(packet[4..8].try_into().unwrap());
            let at = stamp.wrapping_sub(*first.get_or_insert(stamp)) as usize;
            assert!(at >= timeline.len(), "sound is never doubled");
            timeline.resize(at, 0);
            let pairs = packet[12..].chunks_exact(2);
            timeline.extend(pairs.map(|pair| i16::from_be_bytes([pair[0], pair[1]])));
        }
        timeline
    }
}

/// What a timeline is made of: runs of sound, where each begins, and the first and the length of what it counts.
fn runs(timeline: &[i16]) -> Vec<(usize, usize, usize)> {
    let mut runs: Vec<(usize, usize, usize)> = Vec::new();
    for (at, sample) in timeline
        .iter()
        .enumerate()
        .filter(|(_, sample)| **sample != 0)
    {
        let counts = usize::try_from(*sample).unwrap() - 1;
        match runs.last_mut() {
            Some((begins, first, length))
                if *begins + *length == at && (*first + *length) % 30_000 == counts =>
            {
                *length += 1;
            }
            _ => runs.push((at, counts, 1)),
        }
    }
    runs
}

#[test]
fn what_is_left_out_is_silence_of_its_length_and_sound_is_whole() {
    let mut rig = Rig::open();
    let mut frames = Vec::new();
    // One missing frame, two, a pause of 300 ms, a frame all alone, a pause of 5 s.
    for (number, at) in (0..10)
        .chain(11..20)
        .chain(22..40)
        .chain([55])
        .chain(305..320)
        .enumerate()
    {
        frames.push((at * 20, number * FRAME));
    }
    rig.play(&frames);
    let expected: Vec<_> = [
        (0, 0, 10),
        (11, 10, 9),
        (22, 19, 18),
        (55, 37, 1),
        (305, 38, 15),
    ]
    .map(|(at, first, length)| (at * FRAME, first * FRAME, length * FRAME))
    .into();
    assert_eq!(runs(&rig.timeline()), expected);
}

#[test]
fn what_was_held_up_and_comes_at_once_is_no_silence() {
    for held_up in [60, 120, 300, 900] {
        let mut rig = Rig::open();
        let frames: Vec<_> = (0..200_u64)
            .zip(0..)
            .map(|(at, number)| {
                let usual = at * 20;
                let (from, to) = (1_000, 1_000 + held_up);
                let at = if (from..to).contains(&usual) {
                    to
                } else {
                    usual
                };
                (at, number * FRAME)
            })
            .collect();
        rig.play(&frames);
        assert_eq!(runs(&rig.timeline()), [(0, 0, 200 * FRAME)], "{held_up} ms");
        // Nothing of it is ahead of its time.
        let first = rig.packets[0].0;
        for (number, (at, _)) in rig.packets.iter().enumerate() {
            let sent = Duration::from_millis(20 * number as u64);
            assert!(at.since(first) + Duration::from_millis(100) >= sent);
        }
    }
}

#[test]
fn who_sends_faster_than_time_is_not_read_and_loses_nothing() {
    let mut rig = Rig::open();
    let (mut number, began) = (0, rig.now);
    for _ in 0..2_000 {
        while rig.session.wants_bytes() && number < 500 {
            rig.put(&sound(number * FRAME));
            number += 1;
        }
        let next = rig.session.due().unwrap_or(rig.now).max(rig.now);
        rig.until(Mono(next.0 + MS));
        rig.drain();
    }
    assert_eq!(number, 500);
    assert!(rig.now.since(began) >= Duration::from_millis(9_800));
    rig.session.handle_end();
    rig.session.hurry();
    rig.drain();
    assert_eq!(runs(&rig.timeline()), [(0, 0, 500 * FRAME)]);
}

#[test]
fn a_call_that_is_slow_to_open_has_all_of_its_sound_at_its_pace() {
    let mut rig = Rig::new();
    rig.put(&uuid_frame());
    let began = rig.now;
    for number in 0..100_usize {
        rig.until(Mono(began.0 + number as u64 * 20 * MS));
        if number == 50 {
            assert_eq!(rig.packets.len(), 0);
            rig.session.handle_opened(rig.now);
            rig.drain();
        }
        rig.put(&sound(number * FRAME));
    }
    rig.until(Mono(began.0 + 4_000 * MS));
    rig.session.handle_end();
    rig.drain();
    assert!(rig.session.is_drained(), "nothing had to be hurried");
    assert_eq!(runs(&rig.timeline()), [(0, 0, 100 * FRAME)]);
    let first = rig.packets[0].0;
    assert_eq!(first, Mono(began.0 + 1_000 * MS));
    let last = rig.packets[99].0;
    assert!((1_870..=1_990).contains(&last.since(first).as_millis()));
}

#[test]
fn keys_are_events_each_once_and_stand_in_no_sound_s_place() {
    let mut rig = Rig::open();
    rig.put(&sound(0));
    for key in *b"##5x" {
        rig.put(&[0x03, 0, 1, key]);
    }
    rig.put(&sound(FRAME));
    let keys: Vec<_> = rig
        .packets
        .iter()
        .filter(|(_, packet)| packet[1] & 0x7f == KEYS)
        .map(|(_, packet)| {
            (
                u32::from_be_bytes(packet[4..8].try_into().unwrap()),
                packet[12],
            )
        })
        .collect();
    let first = (u32::MAX - 100).wrapping_add(160);
    assert_eq!(keys, [(first, 11), (first + 1, 11), (first + 2, 5)]);
    assert_eq!(runs(&rig.timeline()), [(0, 0, 2 * FRAME)]);
    assert_eq!(
        rig.others,
        [Output::Warning("a key 0x78, which is none".to_owned())]
    );
}

#[test]
fn other_rates_are_other_payload_types() {
    for (kind, payload_type, clock_hz) in
        [(0x12, 98, 16_000), (0x16, 103, 48_000), (0x18, 103, 48_000)]
    {
        let mut rig = Rig::open();
        let rate = SOUNDS[usize::from(kind - FIRST_SOUND)].rate_hz;
        let length = u16::try_from(rate / 50 * 2).unwrap();
        for number in 0..50 {
            rig.until(Mono((1_000 + number * 20) * MS));
            let mut frame = vec![kind];
            frame.extend(length.to_be_bytes());
            frame.resize(3 + usize::from(length), 5);
            rig.put(&frame);
        }
        rig.session.handle_end();
        rig.session.hurry();
        rig.drain();
        let payload: usize = rig
            .packets
            .iter()
            .map(|(_, packet)| packet.len() - 12)
            .sum();
        assert!(
            rig.packets
                .iter()
                .all(|(_, packet)| packet[1] & 0x7f == payload_type)
        );
        let (had, wanted) = (payload / 2, clock_hz as usize);
        assert!((wanted - 100..=wanted).contains(&had), "{had} of {wanted}");
    }
}

#[test]
fn whoever_does_not_speak_it_is_out_at_once() {
    let over = |bytes: &[u8]| {
        let mut rig = Rig::new();
        rig.put(bytes);
        assert!(rig.session.is_drained() || rig.session.wants_bytes());
        rig.others.pop()
    };
    let garbage = |bytes: &[u8]| matches!(over(bytes), Some(Output::Over(Over::Garbage(_))));
    assert!(garbage(b"GET / HTTP/1.1\r\n\r\n".repeat(4_000).as_slice()));
    assert!(garbage(&[0x01, 0, 4, 1, 2, 3, 4]));
    assert!(garbage(&sound(0)));
    assert_eq!(over(&[0x00, 0, 0]), Some(Output::Over(Over::HungUp)));
    assert_eq!(
        over(&[0xff, 0, 1, 4]),
        Some(Output::Over(Over::Failed(Some(4))))
    );
    // A frame that never is whole is waited for, and is no more than a frame.
    assert_eq!(over(&[0x01, 0xff, 0xff, 0]), None);
}

#[test]
fn faults_in_mid_call_are_told_and_cost_nothing_else() {
    let mut rig = Rig::open();
    rig.put(&[0x10, 0, 3, 1, 0, 2]);
    rig.put(&[0x55, 0, 2, 0, 0]);
    rig.put(&uuid_frame());
    for _ in 0..100 {
        rig.put(&[0x55, 0, 0]);
    }
    assert_eq!(rig.others.len(), MOST_WARNINGS);
    assert_eq!(rig.timeline(), [1]);
    rig.put(&[0x00, 0, 0, 0x10]);
    assert_eq!(rig.others.pop(), Some(Output::Over(Over::HungUp)));
    assert!(rig.session.is_drained());
}

#[test]
fn the_offer_has_each_rate_and_its_answer_a_port() {
    let offer = offer([127, 0, 0, 1].into(), 4_000);
    assert!(
        offer.contains("m=audio 4000 RTP/AVP 96 97 98 99 100 102 103 101\r\n"),
        "{offer}"
    );
    assert_eq!(reeld_capture::offer_fault(&offer), None);
    assert_eq!(
        answered_port("v=0\r\nm=audio 20000 RTP/AVP 96\r\n"),
        Some(20_000)
    );
    assert_eq!(answered_port("v=0\r\nm=audio 0 RTP/AVP 96\r\n"), None);
}

proptest! {
    #[test]
    fn no_bytes_panic_and_nothing_stays_behind(bytes: Vec<u8>) {
        let mut named = vec![19];
        named.extend(uuid_frame());
        named.extend(&bytes);
        for bytes in [bytes, named] {
            let _ = fuzz::session(&bytes);
        }
    }

    /// Talkspurts and silences of any length, over a connection that has jitter and holds frames up: as long as it was.
    #[test]
    fn it_is_as_long_as_it_was(
        spurts in proptest::collection::vec((1_u64..60, 1_u64..80), 2..12),
        jitter in proptest::collection::vec(0_u64..8, 64),
        held_up in proptest::collection::vec((0_u64..10_000, 50_u64..400), 0..3),
    ) {
        let (mut frames, mut at, mut number) = (Vec::new(), 0, 0);
        for (talk, silence) in &spurts {
            for _ in 0..*talk {
                let mut arrives = at * 20 + jitter[number % jitter.len()];
                for (from, time) in &held_up {
                    if (*from..from + time).contains(&arrives) {
                        arrives = from + time;
                    }
                }
                frames.push((arrives, number * FRAME));
                number += 1;
                at += 1;
            }
            at += silence;
        }
        let spoken = at - spurts.last().map_or(0, |(_, silence)| *silence);
        let mut rig = Rig::open();
        let mut last = 0;
        for (at, _) in &mut frames {
            *at = (*at).max(last);
            last = *at;
        }
        rig.play(&frames);
        let timeline = rig.timeline();
        let sound: usize = runs(&timeline).iter().map(|(_, _, length)| length).sum();
        prop_assert_eq!(sound, number * FRAME, "all of it");
        // A frame that was held up and is alone behind a silence is where it came.
        let most: u64 = held_up.iter().map(|(_, time)| time + 40).sum::<u64>() + 60;
        let off = (timeline.len() as u64 * 1_000 / 8_000).abs_diff(spoken * 20);
        prop_assert!(off <= most, "{} ms off, of {} ms", off, spoken * 20);
    }
}
