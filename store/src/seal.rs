//! Sealing: what makes a take a finished file, and reading a file that may be sealed or not.
//!
//! Called by `finish`, by recovery and by verify. It works on one file; where that file goes next
//! is `finish`'s.
//!
//! In clear, a sealed file is the WAV as it is served (44 bytes of header with final sizes, then the data)
//! and, behind the RIFF's end, its record in a frame (`stored`). Players stop where the RIFF
//! does; served bytes do too. An encrypted one ends in what `crypt` says.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use blake3::Hasher;
use reeld_codec::{level, wav};
use reeld_model::{Channels, RecordingSid};

use crate::crypt::Growing;
use crate::spool::header;
use crate::stored::{MAX_FRAME_BYTES, Stored, find_frame};
use crate::{Record, StoreError};

/// What is read at once.
const BLOCK_BYTES: usize = 1 << 16;

/// Of these in a second, each is judged as silent or not: 20 ms, as capture judges it.
const SILENCE_PIECES: u64 = 50;

/// Bytes of a take before its first sample.
pub(crate) const HEAD_BYTES: u64 = wav::HEADER_BYTES as u64;

/// Bytes of one sample of each channel.
pub(crate) fn frame_bytes(channels: Channels) -> u64 {
    u64::from(channels.count()) * u64::from(wav::SAMPLE_BYTES)
}

/// Bytes of a record's file as it is served.
pub(crate) fn served_bytes(record: &Record) -> u64 {
    HEAD_BYTES + record.data_bytes()
}

/// As [`seal`], but all that the take has up to `data_end` stays in it, behind the record's data and before
/// its frame: the take may be gone on with.
pub(crate) fn park(
    file: &File,
    path: &Path,
    stored: &Stored,
    data_end: u64,
    crypt: Option<&Growing>,
) -> Result<(), StoreError> {
    if let Some(growing) = crypt {
        let (at, end) = growing.park(stored)?;
        return file
            .set_len(at)
            .and_then(|()| file.write_all_at(&end, at))
            .and_then(|()| file.sync_data())
            .map_err(|e| StoreError::io("park", path, e));
    }
    let record = &stored.record;
    let head = header(record.channels, record.rate_hz, record.data_bytes());
    file.write_all_at(&head, 0)
        .and_then(|()| file.set_len(data_end))
        .and_then(|()| file.write_all_at(&stored.frame(), data_end))
        .and_then(|()| file.sync_data())
        .map_err(|e| StoreError::io("park", path, e))
}

/// Makes `file`, whose data are the record's and perhaps more, the record's finished file, durable.
/// Of one that is encrypted, `crypt` knows its pieces.
pub(crate) fn seal(
    file: &mut File,
    path: &Path,
    stored: &Stored,
    crypt: Option<&Growing>,
) -> Result<(), StoreError> {
    let record = &stored.record;
    let end = crypt.map(|growing| growing.finish(stored)).transpose()?;
    let mut write = || {
        if let Some((at, end)) = &end {
            file.set_len(*at)?;
            file.write_all_at(end, *at)?;
            return file.sync_data();
        }
        // The final sizes first: from then on they say where the data end, whatever follows.
        let head = header(record.channels, record.rate_hz, record.data_bytes());
        file.write_all_at(&head, 0)?;
        file.set_len(served_bytes(record))?;
        file.seek(SeekFrom::End(0))?;
        file.write_all(&stored.frame())?;
        file.sync_data()
    };
    write().map_err(|error| {
        if crate::error::is_full(&error) {
            StoreError::DiskFull { sid: record.sid }
        } else {
            StoreError::io("seal", path, error)
        }
    })
}

/// The record in the frame at a file's end; `None` where there is none that is whole.
pub(crate) fn trailer(file: &File, sid: RecordingSid) -> io::Result<Option<Stored>> {
    let (tail, _) = tail(file)?;
    // A frame at the end of another's file is no frame of this one.
    Ok(Stored::from_frame(&tail).filter(|stored| stored.record.sid == sid))
}

/// What the header of an unsealed take says: its rate, and its bytes of data, where it is whole
/// (`UNKNOWN_BYTES` while it grows). `None` where it is no header of ours.
pub(crate) fn head(file: &File, channels: Channels) -> io::Result<Option<(u32, u64)>> {
    let mut head = [0; wav::HEADER_BYTES];
    if file.metadata()?.len() < HEAD_BYTES {
        return Ok(None);
    }
    file.read_exact_at(&mut head, 0)?;
    let number = |at: usize| {
        let bytes = head[at..].first_chunk().copied();
        bytes.map_or(0, u32::from_le_bytes)
    };
    let (rate_hz, sizes) = (number(24), u64::from(number(40)));
    let is_ours = rate_hz > 0 && head == header(channels, rate_hz, sizes);
    Ok(is_ours.then_some((rate_hz, sizes)))
}

/// How many bytes of data an unsealed take has: whole frames, and nothing of a torn seal.
pub(crate) fn data_bytes(file: &File, channels: Channels) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let Some(there) = length.checked_sub(HEAD_BYTES) else {
        return Ok(0);
    };
    if let Some((_, promised)) = head(file, channels)?
        && promised <= there
    {
        return Ok(promised);
    }
    let (tail, start) = tail(file)?;
    let end = find_frame(&tail).map_or(length, |at| start + at as u64);
    let data = end.saturating_sub(HEAD_BYTES);
    Ok(data - data % frame_bytes(channels))
}

/// The data without the silence at their end, in bytes.
/// `read` fills bytes from a place in the data on.
pub(crate) fn without_silence(
    record: &Record,
    data: u64,
    read: &mut dyn FnMut(&mut [u8], u64) -> io::Result<()>,
) -> io::Result<u64> {
    let channels = record.channels;
    let frame_bytes = frame_bytes(channels);
    let piece_frames = (u64::from(record.rate_hz) / SILENCE_PIECES).max(1);
    let mut end = data;
    let (mut bytes, mut samples) = (Vec::new(), Vec::new());
    while end > 0 {
        let piece = end.min(piece_frames * frame_bytes);
        bytes.resize(usize::try_from(piece).expect("a piece is 20 ms"), 0);
        read(&mut bytes, end - piece)?;
        samples.clear();
        wav::bytes_to_samples(&bytes, &mut samples);
        let width = usize::from(channels.count());
        let is_silent = (0..width).all(|channel| {
            let one: Vec<i16> = samples
                .iter()
                .skip(channel)
                .step_by(width)
                .copied()
                .collect();
            level::is_silent(&one)
        });
        if !is_silent {
            break;
        }
        end -= piece;
    }
    Ok(end)
}

/// BLAKE3 of the next `length` bytes of `reader`; each block's size is told to `progress`.
pub(crate) fn checksum(
    reader: &mut impl Read,
    length: u64,
    mut progress: impl FnMut(u64),
) -> io::Result<[u8; 32]> {
    let mut hasher = Hasher::new();
    let mut block = vec![0; BLOCK_BYTES];
    let mut left = length;
    while left > 0 {
        let piece = usize::try_from(left).map_or(BLOCK_BYTES, |left| left.min(BLOCK_BYTES));
        reader.read_exact(&mut block[..piece])?;
        hasher.update(&block[..piece]);
        left -= piece as u64;
        progress(piece as u64);
    }
    Ok(hasher.finalize().into())
}

/// The last bytes of a file, and where they start.
fn tail(file: &File) -> io::Result<(Vec<u8>, u64)> {
    let length = file.metadata()?.len();
    let start = length.saturating_sub(MAX_FRAME_BYTES);
    let size = usize::try_from(length - start).expect("at most MAX_FRAME_BYTES");
    let mut tail = vec![0; size];
    file.read_exact_at(&mut tail, start)?;
    Ok((tail, start))
}

/// BLAKE3 of the first `length` bytes of data in a take in clear.
pub(crate) fn file_checksum(file: &mut File, length: u64) -> io::Result<[u8; 32]> {
    file.seek(SeekFrom::Start(HEAD_BYTES))?;
    checksum(file, length, |_| {})
}
