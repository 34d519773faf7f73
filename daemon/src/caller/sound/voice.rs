//! Voices: a quarter of a million packets of them a second, each one copy out of a table.
//!
//! Called by [`super::Sound`]. A voice is syllables of half a second, each a piece of one table of
//! encoded sound that all voices share, begun where the voice's key and the syllable's number say. So
//! a voice can be made again from its key, and a packet that is out of its place is seen, since the
//! table repeats nothing; one that is another voice's is seen too, but for one in [`PLACES`].

use std::sync::LazyLock;

use reeld_codec::g711::{self, Law};
use reeld_model::Track;

use super::{Oscillator, Seeded, clip};

/// Samples of loud noise that a voice begins with, so that its first sample can be found: 10 ms.
const ATTACK_SAMPLES: usize = 80;

/// Samples of a syllable: half a second.
const SYLLABLE_SAMPLES: usize = 4_000;

/// Places in the table that a syllable can begin at.
const PLACES: u32 = 1 << 16;

/// What the table's sound comes from: any number, always the same.
const TABLE_SEED: u64 = 711;

/// All voices' sound, as bytes of both laws.
static TABLES: LazyLock<[Table; 2]> = LazyLock::new(|| [Table::new(Law::Mu), Table::new(Law::A)]);

/// A voice, at a place in it. It begins loud.
#[derive(Debug, Clone)]
pub struct Voice {
    key: u64,
    /// The number of the syllable.
    syllable: u64,
    /// Where the syllable begins in the table.
    begins: usize,
    /// Samples of the syllable that were said.
    said: usize,
}

impl Voice {
    /// The voice of a track of the call with this number.
    #[must_use]
    pub fn new(seed: u64, call: u64, track: Track) -> Self {
        let key = Seeded::new(seed).next_u64()
            ^ call.wrapping_mul(0xd6e8_feb8_6659_fd93)
            ^ track.index() as u64;
        Self {
            key,
            syllable: 0,
            begins: begins(key, 0),
            said: 0,
        }
    }

    /// The next samples, as G.711 bytes.
    pub(super) fn fill(&mut self, law: Law, mut codes: &mut [u8]) {
        let [mu, a] = &*TABLES;
        let table = match law {
            Law::Mu => mu,
            Law::A => a,
        };
        while !codes.is_empty() {
            let (source, until) = if self.syllable == 0 && self.said < ATTACK_SAMPLES {
                (&table.loud, ATTACK_SAMPLES)
            } else {
                (&table.voice, SYLLABLE_SAMPLES)
            };
            let count = codes.len().min(until - self.said);
            let (now, later) = codes.split_at_mut(count);
            let from = self.begins + self.said;
            now.copy_from_slice(&source[from..from + count]);
            codes = later;
            self.said += count;
            if self.said == SYLLABLE_SAMPLES {
                self.said = 0;
                self.syllable += 1;
                self.begins = begins(self.key, self.syllable);
            }
        }
    }
}

/// Where a syllable begins in the table.
fn begins(key: u64, syllable: u64) -> usize {
    Seeded::new(key ^ syllable.wrapping_mul(0x9fb2_1c65_1e98_df25)).below(PLACES) as usize
}

/// The sound that syllables are cut from, and as much of loud noise for the beginnings.
struct Table {
    voice: Vec<u8>,
    loud: Vec<u8>,
}

impl Table {
    fn new(law: Law) -> Self {
        let mut noise = Seeded::new(TABLE_SEED);
        let samples = PLACES as usize + SYLLABLE_SAMPLES;
        let mut table = Self {
            voice: Vec::with_capacity(samples),
            loud: Vec::with_capacity(samples),
        };
        while table.voice.len() < samples {
            // A speaker for half a second: a pitch, and syllables of a third of a second or so.
            let mut tone = Oscillator::new(150 + noise.below(850));
            let mut loudness = Oscillator::new(2 + noise.below(5));
            for _ in 0..SYLLABLE_SAMPLES.min(samples - table.voice.len()) {
                let random = noise.next_u32();
                // Two independent parts of one number: ±4096 and one bit.
                let hiss = (random >> 19) as i32 - 4_096;
                let loud = 12_000 + hiss;
                let loud = clip(if random & 1 == 0 { loud } else { -loud });
                let share = (loudness.next_sample() + 32_768) >> 8; // 0 to 255
                let tone = tone.next_sample() >> 2; // ±8192
                let voice = clip(((tone + hiss) * share) >> 8);
                table.loud.push(g711::encode_sample(law, loud));
                table.voice.push(g711::encode_sample(law, voice));
            }
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_packet_is_seldom_anothers_and_never_an_earlier_one() {
        // 100 packets of 100 voices.
        let mut all = Vec::new();
        for call in 0..50 {
            for track in Track::ALL {
                let mut said = vec![0; 16_000];
                Voice::new(1, call, track).fill(Law::Mu, &mut said);
                let own: HashSet<_> = said.chunks(160).collect();
                assert_eq!(own.len(), 100, "{call} {track:?}");
                all.push(said);
            }
        }
        let mut alike = 0;
        for (index, one) in all.iter().enumerate() {
            for other in &all[..index] {
                alike += (one.chunks(160).zip(other.chunks(160)))
                    .filter(|(a, b)| a == b)
                    .count();
            }
        }
        // Of half a million pairs at the same place; one syllable alike is 25.
        assert!(alike <= 50, "{alike}");
    }

    #[test]
    fn a_voice_is_the_same_in_pieces_of_any_size() {
        let mut whole = vec![0; 20_000];
        Voice::new(3, 4, Track::Outbound).fill(Law::A, &mut whole);
        for size in [1, 79, 160, 1_600, 4_001] {
            let mut voice = Voice::new(3, 4, Track::Outbound);
            for said in whole.chunks(size) {
                let mut piece = vec![0; said.len()];
                voice.fill(Law::A, &mut piece);
                assert_eq!(piece, said);
            }
        }
    }
}
