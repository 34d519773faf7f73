//! The network between a sender and us: delay, jitter, loss, duplicates, order.
//!
//! Called by [`mod@crate::play`] for each packet in the order of sending. It promises what the issue
//! says a seeded network does: of any 25 packets one after another that arrive, one comes within
//! [`NEAR`] of the least delay, but for the detours of a seed whose senders send reports.

use crate::random::Random;

/// A millisecond in nanoseconds.
pub const MS: u64 = 1_000_000;

/// What counts as the least delay: 5 ms more than it.
pub const NEAR: u64 = 5 * MS;

/// Of so many packets one is near the least delay.
const ONE_IN: u64 = 25;

/// No packet comes later than this after the least delay, duplicates apart.
pub const MOST: u64 = 150 * MS;

/// How packets are lost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Loss {
    /// Each by itself, of this share.
    Random(f64),
    /// Of this share, in runs of so many on average.
    Bursts(f64, f64),
}

/// What is added to the least delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jitter {
    /// Nothing.
    None,
    /// Anything up to so many nanoseconds, each packet by itself: the order goes too.
    Even(u64),
    /// The way is blocked for up to so long, then all comes at once, in order.
    Stalls(u64),
}

/// How the first packets are late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// They are not.
    No,
    /// The first one alone.
    First(u64),
    /// All that were sent in so long after the first one come with it.
    Queue(u64),
}

/// How a path treats its packets.
#[derive(Debug, Clone, PartialEq)]
pub struct PathPlan {
    /// The least delay in nanoseconds.
    pub base: u64,
    /// Loss.
    pub loss: Loss,
    /// Jitter.
    pub jitter: Jitter,
    /// Share of packets that come twice.
    pub twice: f64,
    /// Share of packets that are overtaken.
    pub overtaken: f64,
    /// How the beginning is late.
    pub late: Late,
    /// Detours: from, to (when sent), and what they add. All in nanoseconds.
    pub detours: Vec<(u64, u64, u64)>,
}

/// A path at work.
#[derive(Debug)]
pub struct Path {
    plan: PathPlan,
    random: Random,
    /// Packets until one must be near the least delay.
    due: u64,
    first_sent: Option<u64>,
    losing: bool,
    stall: (u64, u64),
}

impl Path {
    /// A path by plan.
    #[must_use]
    pub fn new(plan: PathPlan, mut random: Random) -> Self {
        Self {
            due: random.between(1, ONE_IN - 1),
            plan,
            random,
            first_sent: None,
            losing: false,
            stall: (0, 0),
        }
    }

    /// The least delay in nanoseconds.
    #[must_use]
    pub fn base(&self) -> u64 {
        self.plan.base
    }

    /// When a packet of `time` nanoseconds of sound that was sent at `sent` arrives, and when once
    /// more; `None` if it never does.
    pub fn carry(&mut self, sent: u64, time: u64) -> Option<(u64, Option<u64>)> {
        // Where reports stand for what the packets do not show, they come.
        let spared = time == 0 && !self.plan.detours.is_empty();
        if self.loses() && !spared {
            return None;
        }
        let arrival = sent + self.plan.base + self.extra(sent, time);
        let again = self
            .random
            .chance(self.plan.twice)
            .then(|| arrival + self.random.between(0, 100 * MS));
        Some((arrival, again))
    }

    fn loses(&mut self) -> bool {
        match self.plan.loss {
            Loss::Random(share) => self.random.chance(share),
            Loss::Bursts(share, run) => {
                let leave = 1.0 / run;
                let enter = leave * share / (1.0 - share);
                let turns = self.random.chance(if self.losing { leave } else { enter });
                self.losing ^= turns;
                self.losing
            }
        }
    }

    fn extra(&mut self, sent: u64, time: u64) -> u64 {
        let first = self.first_sent.is_none();
        let since = sent - *self.first_sent.get_or_insert(sent);
        match self.plan.late {
            Late::First(late) if first => return late,
            Late::Queue(late) if since < late => return late - since,
            Late::No | Late::First(_) | Late::Queue(_) => {}
        }
        let detour = self
            .plan
            .detours
            .iter()
            .find(|(from, to, _)| (*from..*to).contains(&sent));
        if let Some((_, _, added)) = detour {
            return added + self.random.between(0, NEAR);
        }
        if let Jitter::Stalls(most) = self.plan.jitter {
            // In order: one that is not blocked has no jitter of its own that could be overtaken.
            if sent >= self.stall.1 + 400 * MS {
                let from = sent + self.random.between(0, 3_000 * MS);
                self.stall = (from, from + self.random.between(20 * MS, most));
            }
            let (from, to) = self.stall;
            return if (from..to).contains(&sent) {
                to - sent
            } else {
                0
            };
        }
        // What is promised is promised of sound: a report or a key may not take its turn.
        self.due -= u64::from(time > 0);
        if self.due == 0 {
            self.due = self.random.between(1, ONE_IN - 1);
            return match self.plan.jitter {
                Jitter::Even(most) => self.random.between(0, NEAR.min(most)),
                Jitter::None | Jitter::Stalls(_) => 0,
            };
        }
        let jitter = match self.plan.jitter {
            Jitter::Even(most) => self.random.between(0, most),
            Jitter::None | Jitter::Stalls(_) => 0,
        };
        let overtaken = if time > 0 && self.random.chance(self.plan.overtaken) {
            time + self.random.between(1, 2 * time)
        } else {
            0
        };
        (jitter + overtaken).min(MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_any_25_packets_is_near_the_least_delay() {
        for (seed, jitter) in [
            Jitter::None,
            Jitter::Even(MOST),
            Jitter::Even(40 * MS),
            Jitter::Stalls(MOST),
        ]
        .into_iter()
        .enumerate()
        {
            let plan = PathPlan {
                base: 30 * MS,
                loss: Loss::Bursts(0.15, 4.0),
                jitter,
                twice: 0.1,
                overtaken: 0.1,
                late: Late::Queue(MOST),
                detours: Vec::new(),
            };
            let mut path = Path::new(plan, Random::new(seed as u64, 3));
            let (mut far, mut lost) = (0, 0);
            for packet in 0..100_000 {
                let Some((arrival, _)) = path.carry(packet * 10 * MS, 10 * MS) else {
                    lost += 1;
                    continue;
                };
                let extra = arrival - packet * 10 * MS - 30 * MS;
                far = if extra <= NEAR { 0 } else { far + 1 };
                assert!(far < 25 && extra <= MOST, "{jitter:?}: packet {packet}");
            }
            assert!((13_000..17_000).contains(&lost), "{lost} lost of 15,000");
        }
    }
}
