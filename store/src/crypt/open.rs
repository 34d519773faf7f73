//! An encrypted file that is read: its end, where its pieces lie, and any stretch of its sound.
//!
//! Called by the media, recovery and `grow`. It decrypts the pieces that a read touches, and keeps
//! the one that it was in. No byte leaves it that has not been judged by its tag.
//!
//! The end is the file's last piece and 12 bytes behind it: its length on disk (u32, little-endian) and `ENCreeld`.
//! In it are the bytes of data, where the sound begins, the lengths of its pieces, as runs, and the
//! record. So a file that lacks its end, or any piece, is found to lack it when it is opened.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use chacha20poly1305::XChaCha20Poly1305;
use reeld_model::RecordingSid;
use serde::{Deserialize, Serialize};

use super::piece::{self, Head, Kind, MOST_SOUND, OVERHEAD};
use super::{ENVELOPE_BYTES, Envelope, Keyring, Shut};
use crate::stored::Stored;

const TAIL: &[u8; 8] = b"ENCreeld";

/// Bytes behind the end.
const FOOTER_BYTES: usize = 4 + TAIL.len();

/// Where an encrypted file's bytes are.
pub(crate) trait RawBytes {
    /// Fills `buffer` from byte `at` on.
    fn read_exact_at(&mut self, buffer: &mut [u8], at: u64) -> io::Result<()>;
}

impl RawBytes for &File {
    fn read_exact_at(&mut self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        FileExt::read_exact_at(*self, buffer, at)
    }
}

impl RawBytes for File {
    fn read_exact_at(&mut self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buffer, at)
    }
}

impl RawBytes for Vec<u8> {
    fn read_exact_at(&mut self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        let start = usize::try_from(at).unwrap_or(usize::MAX);
        let end = start.saturating_add(buffer.len());
        let Some(bytes) = self.get(start..end) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}

/// What a file's last piece holds. Held by postcard: another layout is another version of the envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct End {
    /// Bytes of sound that the recording keeps; its last piece may have more.
    pub(super) data_bytes: u64,
    pub(super) sound_at: u64,
    pub(super) runs: Runs,
    /// The record's bytes.
    pub(super) stored: Vec<u8>,
}

/// Lengths of the pieces of sound, in order: so much sound, in so many pieces one after another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Runs(Vec<(u32, u32)>);

impl Runs {
    pub(super) fn push(&mut self, length: usize) {
        let length = u32::try_from(length).expect("at most MOST_SOUND");
        match self.0.last_mut() {
            Some((last, count)) if *last == length => *count += 1,
            Some(_) | None => self.0.push((length, 1)),
        }
    }

    pub(super) fn data_bytes(&self) -> u64 {
        let of = |(length, count): &(u32, u32)| u64::from(*length) * u64::from(*count);
        self.0.iter().map(of).sum()
    }

    /// Bytes that they take in the file.
    pub(super) fn file_bytes(&self) -> u64 {
        let of = |(length, count): &(u32, u32)| {
            (u64::from(*length) + OVERHEAD as u64) * u64::from(*count)
        };
        self.0.iter().map(of).sum()
    }

    /// As many of them as hold the first `data_bytes` bytes.
    pub(super) fn cut(&self, data_bytes: u64) -> Self {
        let mut left = data_bytes;
        let mut kept = Self::default();
        for &(length, count) in &self.0 {
            let wanted = left.div_ceil(u64::from(length)).min(u64::from(count));
            if wanted == 0 {
                break;
            }
            let wanted = u32::try_from(wanted).unwrap_or(count);
            kept.0.push((length, wanted));
            left = left.saturating_sub(u64::from(length) * u64::from(wanted));
        }
        kept
    }

    /// Whether they are pieces that `grow` could have made: of sound that a WAV file can hold.
    fn are_possible(&self) -> bool {
        let mut left = u64::from(u32::MAX);
        self.0.iter().all(|&(length, count)| {
            let of_run = u64::from(length).checked_mul(u64::from(count));
            let rest = of_run.and_then(|bytes| left.checked_sub(bytes));
            left = rest.unwrap_or(0);
            rest.is_some() && (1..=MOST_SOUND as u64).contains(&u64::from(length)) && count > 0
        })
    }
}

const NO_END: &str = "it has no end: it was cut, or never finished";
const LEAST_BYTES: u64 = (ENVELOPE_BYTES + OVERHEAD + FOOTER_BYTES) as u64;

impl End {
    /// That of a file of `length` bytes.
    pub(super) fn read(
        raw: &mut impl RawBytes,
        length: u64,
        cipher: &XChaCha20Poly1305,
    ) -> Result<Self, Shut> {
        let damaged = |what: &str| Shut::Damaged(what.to_owned());
        if length < LEAST_BYTES {
            return Err(damaged(NO_END));
        }
        let mut footer = [0; FOOTER_BYTES];
        raw.read_exact_at(&mut footer, length - FOOTER_BYTES as u64)?;
        let room = length - (ENVELOPE_BYTES + FOOTER_BYTES) as u64;
        let Some(end_bytes) =
            end_bytes(&footer).filter(|bytes| (OVERHEAD as u64 + 1..=room).contains(bytes))
        else {
            return Err(damaged(NO_END));
        };
        let end_at = length - FOOTER_BYTES as u64 - end_bytes;
        let read = read_piece(raw, cipher, end_at, end_bytes, 0)?;
        let Some((Kind::End, plain)) = read else {
            return Err(damaged("its end is not as it was written"));
        };
        let end: Option<(Self, &[u8])> = postcard::take_from_bytes(&plain).ok();
        let Some((end, [])) = end.filter(|(end, _)| end.runs.are_possible()) else {
            return Err(damaged("its end cannot be read"));
        };
        if end.sound_at.checked_add(end.runs.file_bytes()) != Some(end_at)
            || end.runs.data_bytes() < end.data_bytes
        {
            return Err(damaged("its length is not what its end says"));
        }
        Ok(end)
    }
}

/// Where the pieces lie.
pub(super) struct Index {
    runs: Vec<Run>,
}

struct Run {
    length: u64,
    /// Bytes of data before it, and up to its end.
    data_at: u64,
    data_end: u64,
    file_at: u64,
}

/// A piece of sound: where it lies in the file, its place in the data, and its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    file_at: u64,
    data_at: u64,
    length: u64,
}

impl Index {
    pub(super) fn new(sound_at: u64, runs: &Runs) -> Self {
        let (mut data_at, mut file_at) = (0, sound_at);
        let runs = runs.0.iter().map(|&(length, count)| {
            let (length, count) = (u64::from(length), u64::from(count));
            let run = Run {
                length,
                data_at,
                data_end: data_at + length * count,
                file_at,
            };
            data_at = run.data_end;
            file_at += (length + OVERHEAD as u64) * count;
            run
        });
        Self {
            runs: runs.collect(),
        }
    }

    /// The piece that has byte `at` of the data.
    fn piece(&self, at: u64) -> Option<Piece> {
        let run = self.runs.partition_point(|run| run.data_end <= at);
        let run = self.runs.get(run)?;
        let number = (at - run.data_at) / run.length;
        Some(Piece {
            file_at: run.file_at + number * (run.length + OVERHEAD as u64),
            data_at: run.data_at + number * run.length,
            length: run.length,
        })
    }
}

/// What follows an end of `end_bytes` bytes in the file.
pub(super) fn footer(end_bytes: usize) -> [u8; FOOTER_BYTES] {
    let mut footer = [0; FOOTER_BYTES];
    let length = u32::try_from(end_bytes).expect("an end is at most 16 MiB");
    footer[..4].copy_from_slice(&length.to_le_bytes());
    footer[4..].copy_from_slice(TAIL);
    footer
}

/// How long the end before this footer is.
pub(super) fn end_bytes(footer: &[u8]) -> Option<u64> {
    let (length, tail) = footer.split_first_chunk::<4>()?;
    (tail == TAIL).then_some(u64::from(u32::from_le_bytes(*length)))
}

/// See the file's header.
pub(crate) struct Opened<R> {
    raw: R,
    cipher: XChaCha20Poly1305,
    index: Index,
    data_bytes: u64,
    stored: Option<Stored>,
    /// The piece that was read last: where its data begin, and they.
    cached: Option<(u64, Vec<u8>)>,
}

impl<R: RawBytes> Opened<R> {
    /// Opens a finished file of `length` bytes.
    pub(crate) fn open(
        mut raw: R,
        length: u64,
        keys: &Keyring,
        sid: RecordingSid,
    ) -> Result<Self, Shut> {
        if length < LEAST_BYTES {
            return Err(Shut::Damaged(NO_END.to_owned()));
        }
        let mut envelope = [0; ENVELOPE_BYTES];
        raw.read_exact_at(&mut envelope, 0)?;
        let envelope = Envelope::parse(&envelope).map_err(Shut::Damaged)?;
        let cipher = envelope.open(keys, sid)?.cipher();
        let end = End::read(&mut raw, length, &cipher)?;
        let stored = Stored::decode(&end.stored).filter(|stored| stored.record.sid == sid);
        Ok(Self {
            raw,
            cipher,
            index: Index::new(end.sound_at, &end.runs),
            data_bytes: end.data_bytes,
            stored,
            cached: None,
        })
    }

    /// The sound of a take, which has no end yet.
    pub(super) fn of_take(
        raw: R,
        cipher: XChaCha20Poly1305,
        index: Index,
        data_bytes: u64,
    ) -> Self {
        Self {
            raw,
            cipher,
            index,
            data_bytes,
            stored: None,
            cached: None,
        }
    }

    /// Bytes of sound.
    pub(crate) const fn data_bytes(&self) -> u64 {
        self.data_bytes
    }

    /// The record that lies with it, where it can be read.
    pub(crate) fn into_stored(self) -> Option<Stored> {
        self.stored
    }

    pub(crate) const fn raw(&self) -> &R {
        &self.raw
    }

    /// Fills `buffer` with sound from `at` on.
    pub(crate) fn read_exact_at(&mut self, mut buffer: &mut [u8], mut at: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            let read = self.read_at(buffer, at)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            at += read as u64;
            buffer = &mut buffer[read..];
        }
        Ok(())
    }

    /// Its sound from the first byte on.
    pub(crate) fn sound(&mut self) -> Sound<'_, R> {
        Sound {
            opened: self,
            at: 0,
        }
    }

    /// Reads some bytes of sound at `at`; 0 behind its end.
    pub(crate) fn read_at(&mut self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        if at >= self.data_bytes || buffer.is_empty() {
            return Ok(0);
        }
        let Some(piece) = self.index.piece(at) else {
            return Ok(0);
        };
        if self
            .cached
            .as_ref()
            .is_none_or(|(data_at, _)| *data_at != piece.data_at)
        {
            self.cached = None;
            let read = read_piece(
                &mut self.raw,
                &self.cipher,
                piece.file_at,
                piece.length + OVERHEAD as u64,
                piece.data_at,
            )?;
            let Some((Kind::Sound, plain)) = read else {
                let what = format!(
                    "the piece at byte {} is not as it was written",
                    piece.file_at
                );
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            };
            self.cached = Some((piece.data_at, plain));
        }
        let Some((data_at, plain)) = &self.cached else {
            return Ok(0);
        };
        let end = plain
            .len()
            .min(usize::try_from(self.data_bytes - data_at).unwrap_or(usize::MAX));
        let start = usize::try_from(at - data_at).map_or(end, |start| start.min(end));
        let count = (end - start).min(buffer.len());
        buffer[..count].copy_from_slice(&plain[start..start + count]);
        Ok(count)
    }
}

/// Sound that is read on and on.
pub(crate) struct Sound<'a, R> {
    opened: &'a mut Opened<R>,
    at: u64,
}

impl<R: RawBytes> io::Read for Sound<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.opened.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// The piece at `at`, of `bytes` bytes; `None` where it is another one than was written there.
fn read_piece(
    raw: &mut impl RawBytes,
    cipher: &XChaCha20Poly1305,
    at: u64,
    bytes: u64,
    place: u64,
) -> io::Result<Option<(Kind, Vec<u8>)>> {
    let mut head = [0; piece::HEAD_BYTES];
    raw.read_exact_at(&mut head, at)?;
    let Some(head) = Head::parse(&head) else {
        return Ok(None);
    };
    if bytes != (head.length + OVERHEAD) as u64 {
        return Ok(None);
    }
    let mut rest = vec![0; head.length + OVERHEAD - piece::HEAD_BYTES];
    raw.read_exact_at(&mut rest, at + piece::HEAD_BYTES as u64)?;
    Ok(piece::open(cipher, head, place, &mut rest).then_some((head.kind, rest)))
}

/// For `fuzz/`: any bytes as what an end holds.
pub(super) fn fuzz(bytes: &[u8]) {
    let _ = end_bytes(bytes);
    let end: Option<(End, &[u8])> = postcard::take_from_bytes(bytes).ok();
    if let Some((end, _)) = end.filter(|(end, _)| end.runs.are_possible()) {
        let index = Index::new(0, &end.runs);
        let last = end.runs.data_bytes().saturating_sub(1);
        for at in [0, last / 2, last] {
            if let Some(piece) = index.piece(at) {
                assert!((piece.data_at..piece.data_at + piece.length).contains(&at));
                assert!(piece.file_at + piece.length <= end.runs.file_bytes());
            }
        }
        assert!(end.runs.cut(last).data_bytes() >= last);
        assert!(index.piece(last + 1).is_none());
    }
}
