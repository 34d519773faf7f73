//! Silence in a recording: what trimming cuts, and what the `<Record>` verb's timeout counts.
//!
//! Called by [`crate::frames`] with the mixed samples in order; calls `codec` and [`floor`]. Judged in
//! frames of 20 ms, which is what silence means in the field, each channel by itself.
//!
//! Silence is what a line sounds like when nobody speaks, and a line is never still: so it is judged
//! against the background's floor in each octave, which is learnt. Two questions have two answers. What
//! may be cut must not hold the end of a word, so trimming keeps whatever is a little above the floor.
//! What keeps a call waiting must be somebody, so the timeout wants more: the more, the louder the
//! speaker is known to be. Sound that is as steady as a background and is none, tones and whatever is
//! loud, is voice to both. Why, and how well: docs/design/decisions/0017-silence-is-the-lines-own.md.
//!
//! Memory is bounded, nothing is allocated for a frame, and a frame costs some 240 ns at 8 kHz.

use reeld_codec::octaves::{self, OCTAVES, PARTS};
use reeld_codec::tonal;

use self::floor::Floor;
use serde::{Deserialize, Serialize};

mod floor;

/// Samples of a channel that are judged at once: 20 ms.
pub(crate) const fn frame(rate_hz: u32) -> usize {
    rate_hz as usize / 50
}

/// Frames kept before the first and after the last that is not silent, so that a soft onset and a
/// dying tone stay: 10 × 20 ms.
pub(crate) const HANGOVER: usize = 10;

/// Frames at a recording's start in which the background may be somebody who speaks already: half a
/// second, in which even fluent speech has a gap.
const DOUBT: usize = 25;

/// Channels of a recording at most.
const CHANNELS: usize = 2;

/// A mean square of so many dBov: 32768² · 10^(dBov/10).
const fn below_full(tenth: f32) -> f32 {
    1_073_741_824.0 * tenth
}

/// Below this is no line's sound, but digital silence or an idle codec (G.711's ±8 is at −72): it is
/// silence, and tells nothing of the background. −70 dBov.
const IDLE: f32 = below_full(1e-7);

/// From here on sound is looked at for tones, and a recording's start is in doubt: −46 dBov, 20 dB under
/// the nominal level of active speech (ITU-T P.56, as networks are aligned to it).
const CLEAR: f32 = below_full(2.511_886_4e-5);

/// No background is as loud: what reaches this is heard, whatever it is. −25 dBov: speech at its nominal
/// −26, with a background 5 dB below.
const LOUD: f32 = below_full(3.162_277_7e-3);

/// How far the octaves must rise above their floors, multiplied: 14 dB together for what may be sound,
/// and 20 for what is voice.
const FAINT: f32 = 25.118_864;
const VOICE: f32 = 100.0;

/// A speaker who is more than 15 dB above the background must rise further to be voice: by half of what
/// is more, in each octave, and 6 dB at most, so that a background that comes and goes is not taken for
/// him.
const NEAR: f32 = 31.622_776;
const MOST_MARGIN: f32 = 3.981_071_7;

/// What is left of a speaker's level after each frame in which he is heard: 0.5 dB a second.
const FORGET: f32 = 0.9977;

/// Of the energy of an octave, how much of a frame's is taken on: half, so that hiss does not flicker.
const TAKE: f32 = 0.5;

/// Frames for which it is remembered whether they are a tone.
const TONE_FRAMES: u8 = 5;

/// What a frame is, from nothing to more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// No packet came.
    Nothing,
    /// Packets came, and nobody is heard.
    Silence,
    /// Something may be heard, as at the end of a word: nothing to cut, and nothing to wait for.
    Faint,
    /// Somebody is heard.
    Voice,
}

/// Judges frame after frame.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Judge {
    listeners: [Listener; CHANNELS],
    /// Samples of silence received since the last voice, or since the start.
    silent: u64,
    /// Frames so far, up to those in which there is doubt.
    frames: usize,
    /// Whether one of them was clear to hear.
    clear: bool,
}

/// What is known of one channel.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Listener {
    floor: Floor,
    /// The octaves' energies of the last frames.
    heard: [f32; OCTAVES],
    /// How loud the speaker was lately.
    speaker: f32,
    /// Whether the last clear frame that was looked at is a tone, and for how many more that is believed.
    tone: bool,
    believed: u8,
}

impl Judge {
    /// Judges one frame of interleaved samples of `channels`: `whole` of each, as [`frame`] says, or
    /// fewer at a recording's end.
    pub(crate) fn judge(
        &mut self,
        frame: &[i16],
        channels: usize,
        whole: usize,
        covered: bool,
    ) -> Verdict {
        let mut verdict = Verdict::Nothing;
        let mut parts = [0; PARTS];
        for (channel, listener) in self.listeners[..channels.min(CHANNELS)]
            .iter_mut()
            .enumerate()
        {
            octaves::parts(frame, channel, channels, whole, &mut parts);
            let (heard, clear) = listener.judge(&parts, covered);
            verdict = verdict.max(heard);
            self.clear |= clear && self.frames < DOUBT;
        }
        if self.frames < DOUBT + HANGOVER {
            self.frames += 1;
        }
        if verdict == Verdict::Voice {
            self.silent = 0;
        } else if covered {
            self.silent += whole as u64;
        } else if verdict == Verdict::Silence {
            verdict = Verdict::Nothing;
        }
        verdict
    }

    /// Samples of silence that were received since the last voice, or since the start.
    pub(crate) fn silent_samples(&self) -> u64 {
        self.silent
    }

    /// Frames of leading silence that may still turn out to be sound.
    pub(crate) fn lead(&self) -> usize {
        if self.clear && self.frames < DOUBT + HANGOVER {
            DOUBT + HANGOVER
        } else {
            HANGOVER
        }
    }
}

impl Listener {
    /// Judges a frame by itself, and whether it is clear to hear. What is made up for want of packets
    /// tells nothing of the background.
    fn judge(&mut self, parts: &[i32; PARTS], covered: bool) -> (Verdict, bool) {
        let energies = octaves::energies(parts);
        let all: f32 = energies.iter().sum();
        if all < IDLE {
            self.heard = [0.0; OCTAVES];
            self.believed = 0;
            return (Verdict::Silence, false);
        }
        if covered {
            if self.floor.is_empty() {
                self.heard = energies;
            }
            self.floor.learn(&energies);
        }
        for (heard, energy) in self.heard.iter_mut().zip(energies) {
            *heard += TAKE * (energy - *heard);
        }
        let floors = self.floor.levels();
        let ground: f32 = floors.iter().sum();
        let margin = (self.speaker / (ground * NEAR))
            .sqrt()
            .clamp(1.0, MOST_MARGIN);
        let clear = all > CLEAR;
        let verdict = if all > LOUD || rise(&self.heard, &floors, margin) > VOICE {
            self.speaker = (self.speaker * FORGET).max(self.floor.now());
            self.believed = 0;
            Verdict::Voice
        } else if clear && self.is_tone(parts) {
            Verdict::Voice
        } else if rise(&self.heard, &floors, 1.0) > FAINT {
            Verdict::Faint
        } else {
            Verdict::Silence
        };
        (verdict, clear)
    }

    /// Whether a clear frame is a tone: looked at once in a while, since tones last.
    fn is_tone(&mut self, parts: &[i32; PARTS]) -> bool {
        if self.believed == 0 {
            self.tone = tonal::is_tone(parts);
            self.believed = TONE_FRAMES;
        }
        self.believed -= 1;
        self.tone
    }
}

/// How far the octaves are above their floors and a margin, multiplied; those below count for nothing.
fn rise(heard: &[f32; OCTAVES], floors: &[f32; OCTAVES], margin: f32) -> f32 {
    let octaves = heard.iter().zip(floors);
    octaves
        .map(|(heard, floor)| (heard / (floor * margin)).max(1.0))
        .product()
}
