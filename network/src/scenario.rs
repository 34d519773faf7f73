//! What a seed means: two senders, their paths, and when a recording runs.
//!
//! Called by the tests; calls nothing but the dice. Loss and jitter go round with the seed, so that
//! every thousand seeds have all of them alike; the rest is drawn.
//!
//! After an event whose stamps tell nothing there is time for 25 packets to come before the next
//! such event, since the network promises nothing about fewer.

use reeld_codec::g711::Law;
use reeld_model::Track;

use crate::path::{Jitter, Late, Loss, MOST, MS, PathPlan};
use crate::random::Random;
use crate::sender::{Event, SenderPlan, Stamp};
use crate::sound::{ONE, RATE};

/// A track: who sends and how it gets here.
#[derive(Debug, Clone, PartialEq)]
pub struct TrackPlan {
    /// The sender.
    pub sender: SenderPlan,
    /// Its way.
    pub path: PathPlan,
}

/// A call of two tracks with one dual, untrimmed recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// The seed that it was drawn from.
    pub seed: u64,
    /// Inbound and outbound.
    pub tracks: [TrackPlan; 2],
    /// When the recording is asked for, in nanoseconds since the call was opened: at 0, or while
    /// audio flows.
    pub start: u64,
    /// When the stop is asked for, likewise.
    pub stop: u64,
    /// Whether it ends before that, by the senders' BYE.
    pub bye: bool,
}

/// Shares of loss that seeds go round.
pub const LOSSES: [f64; 4] = [0.0, 0.01, 0.05, 0.15];

const PTIMES: [u64; 11] = [10, 20, 20, 20, 20, 30, 40, 60, 80, 100, 120];

/// The longest packet time in samples.
const LONGEST: u64 = 960;

impl Scenario {
    /// The scenario of a seed that lasts so many seconds.
    #[must_use]
    pub fn of(seed: u64, seconds: u64) -> Self {
        let mut random = Random::new(seed, 1);
        let loss = LOSSES[(seed % 4) as usize];
        let jitter = seed / 4 % 4;
        let detours = random.chance(0.08);
        let stop = seconds * 1_000 * MS - random.between(0, 999) * MS - random.between(0, MS);
        let tracks =
            Track::ALL.map(|track| draw(track, loss, jitter, detours, seconds, &mut random));
        let flows = tracks
            .iter()
            .map(|track| track.sender.origin / ONE / 8 * MS + 1_000 * MS)
            .max();
        let start = if random.chance(0.2) {
            flows.unwrap_or(0) + random.between(0, 500 * MS)
        } else {
            0
        };
        Self {
            seed,
            tracks,
            start,
            stop,
            bye: false,
        }
    }

    /// A call whose senders go on hold without a packet for `hold` samples of their own, each from
    /// another moment.
    #[must_use]
    pub fn of_a_hold(seed: u64, hold: u64, stamp: Stamp) -> Self {
        let mut scenario = Self::of(seed, 60 + hold / 8_000);
        let mut random = Random::new(seed, 2);
        for track in &mut scenario.tracks {
            let at = random.between(64_000, 160_000);
            let length = hold - random.between(0, 16_000);
            track.sender.events = vec![(at, Event::Hold(length, stamp, false))];
            track.path.detours.clear();
        }
        scenario
    }

    /// A call that ends by BYE, which is not lost.
    #[must_use]
    pub fn of_a_bye(seed: u64) -> Self {
        let mut scenario = Self::of(seed, 60);
        let mut random = Random::new(seed, 2);
        let end = 30 * RATE * ONE + random.between(0, 16_000) * ONE;
        for track in &mut scenario.tracks {
            let sender = &mut track.sender;
            sender.ends_at = Some((end - sender.origin) / ONE);
            sender.events.retain(|(at, _)| *at < 20 * RATE);
            sender.reports = None;
            track.path.loss = Loss::Random(0.0);
            track.path.detours.clear();
        }
        scenario.start = 0;
        scenario.bye = true;
        scenario
    }

    /// The same with these skews.
    #[must_use]
    pub fn with_skews(mut self, skews: [i64; 2]) -> Self {
        for (track, skew) in self.tracks.iter_mut().zip(skews) {
            track.sender.skew_ppm = skew;
        }
        self
    }

    /// The same without skew, loss, events and what a fork takes away: what is left is exact.
    #[must_use]
    pub fn without_harm(mut self) -> Self {
        self.start = 0;
        for track in &mut self.tracks {
            track.sender.skew_ppm = 0;
            track.sender.squeezed = 0.0;
            track.sender.events.retain(|(_, event)| {
                matches!(event, Event::Law | Event::Ptime(_) | Event::Varying(_))
            });
            track.path.loss = Loss::Random(0.0);
            track.path.detours.clear();
        }
        self
    }
}

fn draw(
    track: Track,
    loss: f64,
    jitter: u64,
    detours: bool,
    seconds: u64,
    random: &mut Random,
) -> TrackPlan {
    let ptime = 8 * random.pick(&PTIMES);
    let first_sequence = match random.between(0, 3) {
        0 => 65_535 - random.between(0, 200) as u16,
        _ => random.next_u16(),
    };
    let first_stamp = match random.between(0, 3) {
        0 => u32::MAX - random.between(0, 80_000) as u32,
        1 => (1 << 31) - random.between(0, 80_000) as u32,
        _ => random.next_u32(),
    };
    let squeezed = if random.chance(0.12) {
        random.pick(&[0.005, 0.02, 0.05])
    } else {
        0.0
    };
    let origin = random.between(200 * 8 * ONE, 2_000 * 8 * ONE);
    let events = draw_events(ptime, seconds, squeezed > 0.0, random);
    let skew_ppm = match random.between(0, 19) {
        0..=9 => 0,
        10 => 500,
        11 => -500,
        _ => random.between(0, 400) as i64 - 200,
    };
    let loss = if random.chance(0.5) {
        Loss::Random(loss)
    } else {
        Loss::Bursts(loss, 1.5 + 3.0 * random.unit())
    };
    let jitter = match jitter {
        0 => Jitter::None,
        1 => Jitter::Even(random.between(5 * MS, 60 * MS)),
        2 => Jitter::Even(random.between(60 * MS, MOST)),
        _ => Jitter::Stalls(random.between(40 * MS, MOST)),
    };
    let late = match random.between(0, 5) {
        0 => Late::First(random.between(20 * MS, MOST)),
        1 => Late::Queue(random.between(20 * MS, MOST)),
        _ => Late::No,
    };
    let reports = (detours || random.chance(0.4)).then(|| 8 * random.between(1_000, 5_000));
    let detours = if detours {
        draw_detours(seconds, random)
    } else {
        Vec::new()
    };
    TrackPlan {
        sender: SenderPlan {
            track,
            origin,
            skew_ppm,
            law: random.pick(&[Law::Mu, Law::A]),
            samples: ptime,
            first: (first_sequence, first_stamp),
            squeezed,
            reports,
            ntp_offset: random.between(3_900_000_000, 4_000_000_000),
            events,
            ends_at: None,
        },
        path: PathPlan {
            base: random.between(MS, 80 * MS),
            loss,
            jitter,
            twice: random.pick(&[0.0, 0.0, 0.01, 0.1]),
            overtaken: random.pick(&[0.0, 0.0, 0.01, 0.05]),
            late,
            detours,
        },
    }
}

/// Stretches of 2 to 6 s in which every packet takes a longer way; none in the first 6 s.
fn draw_detours(seconds: u64, random: &mut Random) -> Vec<(u64, u64, u64)> {
    let mut detours = Vec::new();
    let mut at = 6_000 * MS;
    loop {
        at += random.between(1_000 * MS, 8_000 * MS);
        let to = at + random.between(2_000 * MS, 6_000 * MS);
        if to > seconds * 1_000 * MS {
            return detours;
        }
        detours.push((at, to, random.between(30 * MS, MOST - 5 * MS)));
        at = to;
    }
}

fn draw_events(
    mut ptime: u64,
    seconds: u64,
    squeezed: bool,
    random: &mut Random,
) -> Vec<(u64, Event)> {
    let mut events = Vec::new();
    if random.chance(0.1) {
        return events;
    }
    let mut varying = false;
    // Of the sender's samples: the first event comes after 3 s.
    let mut at = 24_000;
    loop {
        at += random.between(4_000, 64_000);
        if at + 24_000 > seconds * 8_000 {
            return events;
        }
        let event = match random.between(0, 13) {
            0 => Event::Ssrc(random.chance(0.3)),
            1 => Event::Law,
            // How long a packet was that a fork squeezed out, only its neighbours tell.
            2 | 3 if squeezed => Event::Law,
            2 => {
                ptime = 8 * random.pick(&PTIMES);
                Event::Ptime(ptime)
            }
            3 => {
                varying ^= true;
                Event::Varying(varying)
            }
            4..=6 => Event::Hold(
                random.between(34_000, 46_000),
                random.pick(&[Stamp::Runs, Stamp::Stands, Stamp::Anew]),
                random.chance(0.25),
            ),
            7 | 8 => Event::Dtx(
                random.between(2_000, 24_000),
                random.pick(&[0, 1_600, 100_000]),
            ),
            9 => Event::Jump(1 << 31),
            10 => Event::Jump(random.next_u32()),
            11 => Event::Restart,
            _ => Event::Key(random.between(0, 15) as u8, random.between(800, 2_400)),
        };
        events.push((at, event));
        at += match event {
            Event::Hold(length, ..) | Event::Dtx(length, _) | Event::Key(_, length) => length,
            Event::Ssrc(_)
            | Event::Law
            | Event::Ptime(_)
            | Event::Varying(_)
            | Event::Jump(_)
            | Event::Restart => 0,
        };
        if event.breaks() {
            // 25 packets of those that are not lost, with the longest runs of loss.
            at += 45 * if varying { LONGEST } else { ptime };
        }
    }
}
