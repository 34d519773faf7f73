//! An encrypted take: what an append, a rate and the end are as bytes, and where they go.
//!
//! Called by `take`, `spool`, `seal` and recovery. It holds the data key and where pieces lie, and never the file: who
//! calls it writes, and says how much of it went in.
//!
//! An append is one or more pieces and one write. What a kill leaves of it is its whole pieces; so a
//! block that was written before is never touched again, and none is held back to fill a piece.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use chacha20poly1305::XChaCha20Poly1305;

use super::open::{End, Index, Runs, footer};
use super::piece::{self, Head, Kind, MOST_SOUND, OVERHEAD};
use super::{DataKey, ENVELOPE_BYTES, Envelope, KeyId, Keyring, Opened, Shut};
use crate::StoreError;
use crate::stored::Stored;

/// See the file's header.
pub(crate) struct Growing {
    cipher: XChaCha20Poly1305,
    /// Bytes of the file that are surely whole.
    end: u64,
    /// Where the first piece of sound is or will be.
    sound_at: u64,
    runs: Runs,
    /// What a rate piece says.
    rate_hz: Option<u32>,
}

/// An append's bytes.
pub(crate) struct Block {
    pub(crate) bytes: Vec<u8>,
    /// Of each of its pieces: where it ends in `bytes`, and how much sound is in it.
    pieces: Vec<(usize, usize)>,
}

impl Growing {
    /// A new recording's, and the bytes that its file begins with.
    pub(crate) fn begin(
        keys: &Keyring,
        current: KeyId,
        sid: reeld_model::RecordingSid,
    ) -> Result<(Self, [u8; ENVELOPE_BYTES]), StoreError> {
        let data_key = DataKey::random()?;
        let envelope = Envelope::make(keys, current, sid, &data_key)?;
        Ok((Self::new(&data_key), envelope))
    }

    fn new(data_key: &DataKey) -> Self {
        Self {
            cipher: data_key.cipher(),
            end: ENVELOPE_BYTES as u64,
            sound_at: ENVELOPE_BYTES as u64,
            runs: Runs::default(),
            rate_hz: None,
        }
    }

    /// An unfinished take as a crash left it: each piece up to the first that is not whole is read and judged.
    pub(crate) fn resume(
        file: &File,
        keys: &Keyring,
        sid: reeld_model::RecordingSid,
    ) -> Result<Self, Shut> {
        let (mut growing, length) = Self::opened(file, keys, sid)?;
        while growing.take_up(file, length)? {}
        Ok(growing)
    }

    /// With nothing of it taken up; how long its file is.
    fn opened(
        file: &File,
        keys: &Keyring,
        sid: reeld_model::RecordingSid,
    ) -> Result<(Self, u64), Shut> {
        let mut envelope = [0; ENVELOPE_BYTES];
        let length = file.metadata()?.len();
        if length < ENVELOPE_BYTES as u64 {
            return Err(Shut::Damaged("its envelope is torn".to_owned()));
        }
        file.read_exact_at(&mut envelope, 0)?;
        let data_key = Envelope::parse(&envelope)
            .map_err(Shut::Damaged)?
            .open(keys, sid)?;
        Ok((Self::new(&data_key), length))
    }

    /// A take that another process parked: its end says which pieces it has, so none of them is read, however
    /// long the call. What a crash left has to be judged piece by piece: [`Growing::resume`].
    pub(crate) fn parked(
        file: &File,
        keys: &Keyring,
        sid: reeld_model::RecordingSid,
    ) -> Result<Self, Shut> {
        let (mut growing, length) = Self::opened(file, keys, sid)?;
        let end = End::read(&mut &*file, length, &growing.cipher)?;
        if end.sound_at > growing.sound_at {
            growing.take_up(file, length)?;
        }
        if end.sound_at != growing.sound_at || growing.data_bytes() > 0 {
            return Err(Shut::Damaged(
                "what is before its sound is not as it was written".to_owned(),
            ));
        }
        growing.end = growing.sound_at + end.runs.file_bytes();
        growing.runs = end.runs;
        Ok(growing)
    }

    /// Takes up the piece at the end of what is whole; whether there is one, not of the end.
    fn take_up(&mut self, file: &File, length: u64) -> io::Result<bool> {
        let mut head = [0; piece::HEAD_BYTES];
        let left = length - self.end;
        if left < OVERHEAD as u64 {
            return Ok(false);
        }
        file.read_exact_at(&mut head, self.end)?;
        let Some(head) = Head::parse(&head).filter(|head| (head.length + OVERHEAD) as u64 <= left)
        else {
            return Ok(false);
        };
        if head.kind == Kind::End {
            return Ok(false);
        }
        let mut bytes = vec![0; head.length + OVERHEAD - piece::HEAD_BYTES];
        file.read_exact_at(&mut bytes, self.end + piece::HEAD_BYTES as u64)?;
        let place = match head.kind {
            Kind::Rate | Kind::End => 0,
            Kind::Sound => self.data_bytes(),
        };
        if !piece::open(&self.cipher, head, place, &mut bytes) {
            return Ok(false);
        }
        self.end += (head.length + OVERHEAD) as u64;
        match head.kind {
            Kind::Sound => self.runs.push(head.length),
            Kind::Rate | Kind::End => {
                self.rate_hz = bytes.first_chunk().copied().map(u32::from_le_bytes);
                self.sound_at = self.end;
            }
        }
        Ok(true)
    }

    /// Bytes of the file that are surely whole: where the next write goes.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Bytes of sound in it.
    pub(crate) fn data_bytes(&self) -> u64 {
        self.runs.data_bytes()
    }

    /// The rate that the file says, where it says one.
    pub(crate) fn rate_hz(&self) -> Option<u32> {
        self.rate_hz
    }

    /// The bytes that say the rate, before any sound.
    pub(crate) fn rate(&self, rate_hz: u32) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::new();
        piece::put(
            &self.cipher,
            Kind::Rate,
            0,
            &rate_hz.to_le_bytes(),
            &mut bytes,
        )?;
        Ok(bytes)
    }

    /// Those bytes are written.
    pub(crate) fn has_rate(&mut self, rate_hz: u32, bytes: &[u8]) {
        self.end += bytes.len() as u64;
        self.sound_at = self.end;
        self.rate_hz = Some(rate_hz);
    }

    /// An append's bytes.
    pub(crate) fn block(&self, sound: &[u8]) -> Result<Block, StoreError> {
        let pieces = sound.len().div_ceil(MOST_SOUND);
        let mut block = Block {
            bytes: Vec::with_capacity(sound.len() + pieces * OVERHEAD),
            pieces: Vec::with_capacity(pieces),
        };
        let mut place = self.data_bytes();
        for piece in sound.chunks(MOST_SOUND) {
            piece::put(&self.cipher, Kind::Sound, place, piece, &mut block.bytes)?;
            block.pieces.push((block.bytes.len(), piece.len()));
            place += piece.len() as u64;
        }
        Ok(block)
    }

    /// So many bytes of a block are written; how many bytes of sound are whole with them.
    pub(crate) fn has_block(&mut self, block: &Block, written: usize) -> usize {
        let mut whole = 0;
        let mut end = 0;
        for (piece_end, sound) in &block.pieces {
            if *piece_end > written {
                break;
            }
            end = *piece_end;
            whole += sound;
            self.runs.push(*sound);
        }
        self.end += end as u64;
        whole
    }

    /// How a file that keeps `stored`'s data ends: where it is cut, and what comes there.
    pub(crate) fn finish(&self, stored: &Stored) -> Result<(u64, Vec<u8>), StoreError> {
        self.end_by(stored, self.runs.cut(stored.record.data_bytes()))
    }

    fn end_by(&self, stored: &Stored, runs: Runs) -> Result<(u64, Vec<u8>), StoreError> {
        let at = self.sound_at + runs.file_bytes();
        let end = End {
            data_bytes: stored.record.data_bytes(),
            sound_at: self.sound_at,
            runs,
            stored: stored.encode(),
        };
        let plain = postcard::to_stdvec(&end).expect("postcard refuses no part of it");
        let mut bytes = Vec::new();
        piece::put(&self.cipher, Kind::End, 0, &plain, &mut bytes)?;
        bytes.extend(footer(bytes.len()));
        Ok((at, bytes))
    }

    /// As [`Growing::finish`], but all that the take has stays ahead of the end.
    pub(crate) fn park(&self, stored: &Stored) -> Result<(u64, Vec<u8>), StoreError> {
        self.end_by(stored, self.runs.clone())
    }

    /// Whether it has pieces beyond those that hold the first `data_bytes` bytes.
    pub(crate) fn keeps_more(&self, data_bytes: u64) -> bool {
        self.runs.cut(data_bytes) != self.runs
    }

    /// Forgets what is beyond the first `data_bytes` bytes, where a piece ends with them; whether one does.
    pub(crate) fn cut(&mut self, data_bytes: u64) -> bool {
        let runs = self.runs.cut(data_bytes);
        if runs.data_bytes() != data_bytes {
            return false;
        }
        self.end = self.sound_at + runs.file_bytes();
        self.runs = runs;
        true
    }

    /// Its sound, from a file that is this take's.
    pub(crate) fn reader<'a>(&self, file: &'a File) -> Opened<&'a File> {
        Opened::of_take(
            file,
            self.cipher.clone(),
            Index::new(self.sound_at, &self.runs),
            self.data_bytes(),
        )
    }
}
