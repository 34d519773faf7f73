//! Frames told apart: kind, length, payload.
//!
//! Called by [`super::Session`]. What is kept between two reads is less than a frame: 65,538 bytes.

use super::{FIRST_SOUND, SOUNDS, Sound};

/// Bytes before a payload.
const HEAD: usize = 3;

/// A frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// The call is over.
    Hangup,
    /// Which call it is.
    Uuid(&'a [u8]),
    /// A key, as ASCII.
    Dtmf(&'a [u8]),
    /// Sound of this kind: little-endian samples.
    Sound(u8, Sound, &'a [u8]),
    /// Something has failed there; its code.
    Error(Option<u8>),
    /// What is not known here: its kind and its payload.
    Unknown(u8, &'a [u8]),
}

impl<'a> Frame<'a> {
    fn new(kind: u8, payload: &'a [u8]) -> Self {
        let sound = kind
            .checked_sub(FIRST_SOUND)
            .and_then(|at| SOUNDS.get(usize::from(at)));
        match kind {
            0x00 => Self::Hangup,
            0x01 => Self::Uuid(payload),
            0x03 => Self::Dtmf(payload),
            0xff => Self::Error(payload.first().copied()),
            _ => match sound {
                Some(sound) => Self::Sound(kind, *sound, payload),
                None => Self::Unknown(kind, payload),
            },
        }
    }

    /// Its first byte.
    pub(super) const fn kind(&self) -> u8 {
        match self {
            Self::Hangup => 0x00,
            Self::Uuid(_) => 0x01,
            Self::Dtmf(_) => 0x03,
            Self::Error(_) => 0xff,
            Self::Sound(kind, ..) | Self::Unknown(kind, _) => *kind,
        }
    }

    /// Bytes of its payload, as far as they are kept.
    pub(super) const fn length(&self) -> usize {
        match self {
            Self::Hangup | Self::Error(_) => 0,
            Self::Uuid(bytes)
            | Self::Dtmf(bytes)
            | Self::Sound(_, _, bytes)
            | Self::Unknown(_, bytes) => bytes.len(),
        }
    }
}

/// The beginning of a frame that is not whole yet.
#[derive(Debug, Default)]
pub(super) struct Framer {
    buffer: Vec<u8>,
}

impl Framer {
    /// Takes bytes in, and hands each frame that is whole to `each`.
    pub(super) fn take(&mut self, bytes: &[u8], mut each: impl FnMut(Frame<'_>)) {
        self.buffer.extend_from_slice(bytes);
        let mut at = 0;
        while let Some((head, rest)) = self.buffer[at..].split_first_chunk::<HEAD>() {
            let [kind, high, low] = *head;
            let length = usize::from(u16::from_be_bytes([high, low]));
            let Some(payload) = rest.get(..length) else {
                break;
            };
            each(Frame::new(kind, payload));
            at += HEAD + length;
        }
        self.buffer.drain(..at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_whole_however_they_come() {
        let mut bytes = vec![0x01, 0, 16];
        bytes.extend([7; 16]);
        bytes.extend([0x10, 0, 4, 1, 2, 3, 4]);
        bytes.extend([0x12, 0, 2, 1, 2]);
        bytes.extend([0x03, 0, 1, b'#']);
        bytes.extend([0xff, 0, 1, 2]);
        bytes.extend([0x42, 0, 0]);
        bytes.extend([0x00, 0, 0]);
        bytes.extend([0x10, 1]);
        for step in [1, 2, 3, 5, 1_000] {
            let mut framer = Framer::default();
            let mut kinds = Vec::new();
            for part in bytes.chunks(step) {
                framer.take(part, |frame| kinds.push((frame.kind(), frame.length())));
            }
            let expected = [
                (0x01, 16),
                (0x10, 4),
                (0x12, 2),
                (0x03, 1),
                (0xff, 0),
                (0x42, 0),
                (0x00, 0),
            ];
            assert_eq!(kinds, expected, "{step} bytes at a time");
            assert_eq!(framer.buffer, [0x10, 1]);
        }
    }

    #[test]
    fn kinds_of_sound_have_their_rates() {
        let rate = |kind| {
            let Frame::Sound(_, sound, _) = Frame::new(kind, &[]) else {
                return None;
            };
            Some((sound.rate_hz, sound.clock_hz))
        };
        assert_eq!(rate(0x10), Some((8_000, 8_000)));
        assert_eq!(rate(0x15), Some((44_100, 44_100)));
        assert_eq!(rate(0x18), Some((192_000, 48_000)));
        assert_eq!(rate(0x19), None);
        assert_eq!(rate(0x0f), None);
    }
}
