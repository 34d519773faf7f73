//! Whether a recorded channel is what was said, sample for sample.
//!
//! Called through [`super::Stream::compare`]. It holds contract.md's meaning of exact: less leading
//! and trailing padding, each sample equals the reference decode.

use std::fmt;

use reeld_codec::g711::Law;

use super::sound::Sound;

/// The largest magnitude that counts as padding: G.711's idle values.
const IDLE: u16 = 8;

/// A channel that is exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exact {
    /// Samples of padding before the sound.
    pub before: u64,
    /// Samples of the sound, all equal.
    pub samples: u64,
    /// Samples of padding after it.
    pub after: u64,
}

/// How a channel is not what was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// Nothing but silence was recorded.
    Silent,
    /// The sound's first samples are not there.
    BeginsLate {
        /// How many, by the first loud sample.
        missing: u64,
    },
    /// A sample is another.
    At {
        /// Its number in the sound.
        sample: u64,
        /// What was said.
        said: i16,
        /// What was recorded.
        recorded: i16,
    },
    /// The recording ends before the sound does.
    EndsEarly {
        /// Samples that are not there.
        missing: u64,
    },
    /// There is sound where nothing was said any more.
    After {
        /// The sample's number after the sound's end.
        sample: u64,
        /// What was recorded.
        recorded: i16,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => write!(f, "nothing but silence"),
            Self::BeginsLate { missing } => write!(f, "its first {missing} samples are missing"),
            Self::At {
                sample,
                said,
                recorded,
            } => {
                write!(f, "sample {sample} was {said} and is {recorded}")
            }
            Self::EndsEarly { missing } => write!(f, "its last {missing} samples are missing"),
            Self::After { sample, recorded } => {
                write!(f, "{recorded} at sample {sample} after the end")
            }
        }
    }
}

impl std::error::Error for Difference {}

/// Holds `channel` against the first `samples` of `sound`.
pub(super) fn compare(
    mut sound: Sound,
    law: Law,
    samples: u64,
    channel: impl IntoIterator<Item = i16>,
) -> Result<Exact, Difference> {
    let mut channel = channel.into_iter();
    // Both have an idle beginning; the first loud sample of each is the same one.
    let quiet = |sample: i16| sample.unsigned_abs() <= IDLE;
    let (mut idle_said, mut said) = (0, sound.heard(law));
    while quiet(said) {
        idle_said += 1;
        if idle_said >= samples {
            return Err(Difference::Silent);
        }
        said = sound.heard(law);
    }
    let mut idle_recorded = 0;
    let mut recorded = loop {
        match channel.next() {
            None => return Err(Difference::Silent),
            Some(sample) if quiet(sample) => idle_recorded += 1,
            Some(sample) => break sample,
        }
    };
    let Some(before) = u64::checked_sub(idle_recorded, idle_said) else {
        return Err(Difference::BeginsLate {
            missing: idle_said - idle_recorded,
        });
    };
    for number in idle_said..samples {
        if said != recorded {
            return Err(Difference::At {
                sample: number,
                said,
                recorded,
            });
        }
        if number + 1 < samples {
            said = sound.heard(law);
            recorded = channel.next().ok_or(Difference::EndsEarly {
                missing: samples - number - 1,
            })?;
        }
    }
    let mut after = 0;
    for recorded in channel {
        if !quiet(recorded) {
            return Err(Difference::After {
                sample: after,
                recorded,
            });
        }
        after += 1;
    }
    Ok(Exact {
        before,
        samples,
        after,
    })
}

#[cfg(test)]
mod tests {
    use reeld_model::Track;

    use super::*;

    const SAMPLES: u64 = 20_000;

    fn recorded(sound: &Sound, before: usize, after: usize) -> Vec<i16> {
        let mut sound = sound.clone();
        let mut channel = vec![0; before];
        channel.extend((0..SAMPLES).map(|_| sound.heard(Law::A)));
        channel.extend(vec![-8; after]);
        channel
    }

    #[test]
    fn padding_is_told_from_sound() {
        for sound in [
            Sound::voice(1, 2, Track::Inbound),
            Sound::melody(Track::Inbound),
            Sound::melody(Track::Outbound), // begins with two seconds of rest
        ] {
            let channel = recorded(&sound, 37, 12);
            let exact = compare(sound, Law::A, SAMPLES, channel).unwrap();
            assert_eq!(
                exact,
                Exact {
                    before: 37,
                    samples: SAMPLES,
                    after: 12
                }
            );
        }
    }

    #[test]
    fn every_difference_is_seen() {
        let sound = Sound::voice(1, 2, Track::Inbound);
        let good = recorded(&sound, 5, 5);
        let against = |channel: Vec<i16>| compare(sound.clone(), Law::A, SAMPLES, channel);

        let mut other = good.clone();
        other[5 + 777] ^= 16;
        assert!(matches!(
            against(other),
            Err(Difference::At { sample: 777, .. })
        ));

        let mut lost = good.clone();
        lost[5 + 1_600..5 + 1_760].fill(0);
        assert!(matches!(
            against(lost),
            Err(Difference::At {
                sample: 1_600..1_640,
                ..
            })
        ));

        let mut shifted = good.clone();
        shifted.remove(5 + 4_000);
        assert!(against(shifted).is_err());

        let mut short = good.clone();
        short.truncate(5 + 19_990);
        assert_eq!(against(short), Err(Difference::EndsEarly { missing: 10 }));

        let mut long = good.clone();
        long.extend([0, 3_000]);
        let after = Difference::After {
            sample: 6,
            recorded: 3_000,
        };
        assert_eq!(against(long), Err(after));

        assert_eq!(against(vec![0; 30_000]), Err(Difference::Silent));
        assert_eq!(against(Vec::new()), Err(Difference::Silent));
    }

    #[test]
    fn a_cut_beginning_is_seen() {
        let sound = Sound::melody(Track::Outbound);
        let channel = recorded(&sound, 0, 0)[10_000..].to_vec();
        let difference = compare(sound, Law::A, SAMPLES, channel);
        assert_eq!(difference, Err(Difference::BeginsLate { missing: 10_000 }));
    }
}
