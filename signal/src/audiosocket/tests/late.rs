//! Speech whose frames are late: the network holds them up, whoever reads them comes late, or both. None of that is silence in
//! the recording, and what was silence is.

use super::*;

/// The most that a network or a reader is late by, in milliseconds.
const LATE: u64 = 300;

/// How a connection is late.
#[derive(Debug, Clone)]
struct Lateness {
    /// Of each frame, in turn.
    jitter: Vec<u64>,
    /// Times in which nothing comes through: how long after the one before, and for how long.
    stalls: Vec<(u64, u64)>,
    /// Of the reader at each of its turns, in turn.
    reader: Vec<u64>,
    /// Whether the kernel lays together what waits to be read, and knows of all of it when the last of it came.
    joins: bool,
}

impl Lateness {
    /// When what was sent at these milliseconds comes to the kernel.
    fn arrivals(&self, sent: &[u64]) -> Vec<u64> {
        let mut stalls = Vec::new();
        let mut at = 0;
        for (after, length) in &self.stalls {
            stalls.push(at + after..at + after + length);
            at += after + length;
        }
        // What is held up into a silence and followed by the next sound at once may as well have been behind that silence.
        for (end, next) in sent.iter().zip(&sent[1..]) {
            let silence = next - end;
            let reaches_in =
                |stall: &std::ops::Range<u64>| stall.start < end + 8 && stall.end > *end;
            stalls.retain(|stall| silence <= 20 || silence >= 500 || !reaches_in(stall));
        }
        let mut last = 0;
        let mut arrivals = Vec::new();
        for (number, sent) in sent.iter().enumerate() {
            let mut at = sent + self.jitter[number % self.jitter.len()];
            if let Some(stall) = stalls.iter().find(|stall| stall.contains(&at)) {
                at = stall.end;
            }
            last = at.max(last);
            arrivals.push(last);
        }
        // What tells of a hold-up are frames that come together: where it is over a silence, they are two at least.
        for number in 1..sent.len() {
            let is_last = sent
                .get(number + 1)
                .is_none_or(|next| next - sent[number] > 20);
            if is_last && arrivals[number] - sent[number] > 8 {
                arrivals[number - 1] = arrivals[number];
            }
        }
        arrivals
    }

    /// Plays frames that were sent so, as the daemon does: at each of its turns it reads all that is there, and then
    /// decides.
    fn play(&self, sent: &[u64]) -> Rig {
        let arrivals = self.arrivals(sent);
        let mut rig = Rig::open();
        let began = rig.now.0;
        let instant = |ms: u64| Mono(began + ms * MS);
        let (mut next, mut turn) = (0, 0);
        while next < arrivals.len() {
            let due = rig.session.due().unwrap_or(instant(arrivals[next]));
            let event = due.min(instant(arrivals[next])).max(rig.now);
            let late = self.reader[turn % self.reader.len()];
            turn += 1;
            let now = event + Duration::from_millis(late);
            let there = arrivals[next..]
                .iter()
                .take_while(|at| instant(**at) <= now);
            let until = next + there.count();
            for number in next..until {
                let known = if self.joins { until - 1 } else { number };
                let bytes = sound(number * FRAME);
                rig.session.handle_bytes(&bytes, instant(arrivals[known]));
            }
            next = until;
            rig.now = now;
            rig.drain();
        }
        rig.until(rig.now + Duration::from_secs(1));
        rig.session.handle_end();
        rig.session.hurry();
        rig.drain();
        rig
    }
}

/// Milliseconds at which frames are sent of talkspurts and the silences behind them, both in frames.
fn spoken(spurts: &[(u64, u64)]) -> Vec<u64> {
    let mut at = 0;
    let mut sent = Vec::new();
    for (talk, silence) in spurts {
        sent.extend((at..at + talk).map(|frame| frame * 20));
        at += talk + silence;
    }
    sent
}

#[test]
fn a_machine_that_is_always_a_little_late_puts_no_silence_into_speech() {
    // Each frame is read alone, later than one missing frame would make it.
    let lateness = Lateness {
        jitter: vec![0],
        stalls: Vec::new(),
        reader: std::iter::repeat_n(1, 20).chain([19; 30]).collect(),
        joins: true,
    };
    let sent = spoken(&[(500, 0)]);
    assert_eq!(
        runs(&lateness.play(&sent).timeline()),
        [(0, 0, 500 * FRAME)]
    );
}

#[test]
fn what_a_spurt_ends_with_and_was_held_up_belongs_to_it() {
    let lateness = Lateness {
        jitter: vec![0],
        // The last five frames, and a silence of 400 ms in which they come.
        stalls: vec![(900, 280)],
        reader: vec![0],
        joins: false,
    };
    let sent = spoken(&[(50, 20), (50, 0)]);
    let expected = [(0, 0, 50 * FRAME), (70 * FRAME, 50 * FRAME, 50 * FRAME)];
    assert_eq!(runs(&lateness.play(&sent).timeline()), expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Talkspurts of half a second and more, with silences of 200 ms and more; the network has jitter of less than half a
    /// frame and holds up for up to 300 ms whatever comes, after which it takes a moment without; the reader is late by up
    /// to 300 ms each time. Then each spurt is whole, and each silence is there and as long as it was, within a frame and
    /// the jitter. Where the kernel knows of all that is found together only when the last of it came, a silence may be off
    /// its place by as much as the reader was late twice over; then talkspurts are longer, so that each is told apart, and the
    /// network holds nothing up.
    #[test]
    fn no_lateness_is_silence_and_no_silence_is_lost(
        spurts in proptest::collection::vec((25_u64..100, 10_u64..60), 1..8),
        jitter in proptest::collection::vec(0_u64..8, 64),
        stalls in proptest::collection::vec((60_u64..2_000, 1..=LATE), 0..12),
        reader in proptest::collection::vec(0..=LATE, 64),
        joins: bool,
    ) {
        let more = if joins { 40 } else { 0 };
        let spurts: Vec<_> = spurts.iter().map(|(talk, silence)| (talk + more, *silence)).collect();
        let stalls = if joins { Vec::new() } else { stalls };
        let lateness = Lateness { jitter, stalls, reader, joins };
        let sent = spoken(&spurts);
        let timeline = lateness.play(&sent).timeline();
        let runs = runs(&timeline);
        prop_assert_eq!(runs.len(), spurts.len(), "{:?}", runs);
        let samples: usize = runs.iter().map(|(_, _, length)| length).sum();
        prop_assert_eq!(samples, sent.len() * FRAME, "all of it");
        let (mut place, mut said) = (0, 0);
        let most_off = if joins { usize::try_from(2 * LATE / 20).unwrap() } else { 0 };
        for (pair, (talk, silence)) in runs.windows(2).zip(&spurts) {
            said += usize::try_from(*talk).unwrap() * FRAME;
            let (begins, counts, _) = pair[1];
            // What frames count begins anew after so many.
            let ahead = (counts + 45_000 - said % 30_000) % 30_000;
            let first = said + ahead - 15_000;
            prop_assert!(first.abs_diff(said) <= most_off * FRAME, "{:?}", runs);
            let length = (begins - pair[0].0 - pair[0].2) as u64;
            let off = length.abs_diff(silence * FRAME as u64);
            prop_assert!(off <= (20 + 8) * 8, "{} samples off: {:?}", off, runs);
            place += talk + silence;
            // And no more than a frame beside that in all.
            let off = (begins + said).abs_diff(usize::try_from(place).unwrap() * FRAME + first);
            prop_assert!(off <= (20 + 20 + 8) * 8, "{} samples off in all: {:?}", off, runs);
        }
    }
}
