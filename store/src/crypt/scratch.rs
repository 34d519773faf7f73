//! A file that is worth something to this process alone: encrypted under a key that is only in its memory.
//!
//! Called by `api` for the MP3 and Opus files that it keeps while recordings are encrypted: they can be made
//! again, so that their keys need no wrapping, and whoever has the disk has nothing of them.
//!
//! A file is chunks of [`CHUNK_BYTES`], the last one shorter, each with a tag of 16 bytes behind it; the nonce is the
//! chunk's number. It is written from its first byte to its last, once, under a key of its own: no nonce
//! meets two plaintexts.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex};

use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};

use super::DataKey;
use super::keyring::{NONCE_BYTES, TAG_BYTES};
use crate::StoreError;
use crate::locks::lock;

/// Bytes of a chunk without its tag: some seconds of MP3.
const CHUNK_BYTES: usize = 1 << 14;

/// What opens such a file again. It is nowhere but in memory.
#[derive(Clone)]
pub struct ScratchKey(Arc<XChaCha20Poly1305>);

impl std::fmt::Debug for ScratchKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ScratchKey")
    }
}

/// See the file's header.
#[derive(Debug)]
pub struct Scratch {
    file: File,
    key: ScratchKey,
    writing: Mutex<Writing>,
}

#[derive(Debug, Default)]
struct Writing {
    /// Chunks that are in the file.
    chunks: u64,
    /// What is not yet a whole one.
    rest: Vec<u8>,
}

impl Scratch {
    /// An empty file's, under a new key.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn new(file: File) -> Result<Self, StoreError> {
        let key = ScratchKey(Arc::new(DataKey::random()?.cipher()));
        Ok(Self::open(file, key))
    }

    /// One that was finished, for reading.
    #[must_use]
    pub fn open(file: File, key: ScratchKey) -> Self {
        Self {
            file,
            key,
            writing: Mutex::default(),
        }
    }

    /// What [`Scratch::open`] takes.
    #[must_use]
    pub fn key(&self) -> ScratchKey {
        self.key.clone()
    }

    /// The file.
    #[must_use]
    pub const fn file(&self) -> &File {
        &self.file
    }

    /// Bytes that a file of `length` bytes takes on the disk.
    #[must_use]
    pub const fn disk_bytes(length: u64) -> u64 {
        length + length.div_ceil(CHUNK_BYTES as u64) * TAG_BYTES as u64
    }

    /// Appends bytes; how many from the first can be read now: whole chunks.
    ///
    /// # Errors
    /// What the system says; the file is worth nothing then.
    pub fn append(&self, mut bytes: &[u8]) -> io::Result<u64> {
        let mut writing = lock(&self.writing);
        while !bytes.is_empty() {
            let room = (CHUNK_BYTES - writing.rest.len()).min(bytes.len());
            let (part, after) = bytes.split_at(room);
            writing.rest.extend(part);
            bytes = after;
            if writing.rest.len() == CHUNK_BYTES {
                self.put(&mut writing)?;
            }
        }
        Ok(writing.chunks * CHUNK_BYTES as u64)
    }

    /// Writes what is left: all can be read from here on, and nothing is appended.
    ///
    /// # Errors
    /// What the system says; the file is worth nothing then.
    pub fn finish(&self) -> io::Result<()> {
        let mut writing = lock(&self.writing);
        if writing.rest.is_empty() {
            return Ok(());
        }
        self.put(&mut writing)
    }

    fn put(&self, writing: &mut Writing) -> io::Result<()> {
        let mut chunk = std::mem::take(&mut writing.rest);
        let number = writing.chunks;
        // Whatever comes of it, this number is used.
        writing.chunks += 1;
        let tag = self
            .key
            .0
            .encrypt_inout_detached(&nonce(number), &[], chunk.as_mut_slice().into())
            .map_err(|_| io::Error::other("a chunk that is too long"))?;
        chunk.extend(tag);
        self.file.write_all_at(&chunk, number * disk_chunk())
    }

    /// Fills `bytes` from byte `at` on.
    ///
    /// # Errors
    /// What the system says; a chunk that is not as it was written is [`io::ErrorKind::InvalidData`].
    pub fn read_exact_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        let mut done = 0;
        let mut chunk = vec![0; CHUNK_BYTES + TAG_BYTES];
        while done < bytes.len() {
            let place = at + done as u64;
            let (number, start) = (place / CHUNK_BYTES as u64, place % CHUNK_BYTES as u64);
            let start = usize::try_from(start).expect("below CHUNK_BYTES");
            chunk.resize(CHUNK_BYTES + TAG_BYTES, 0);
            let read = self.fill(&mut chunk, number * disk_chunk())?;
            chunk.truncate(read);
            let Some((_, tag)) = chunk.split_last_chunk::<TAG_BYTES>() else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            let tag = Tag::from(*tag);
            chunk.truncate(read - TAG_BYTES);
            self.key
                .0
                .decrypt_inout_detached(&nonce(number), &[], chunk.as_mut_slice().into(), &tag)
                .map_err(|_| {
                    io::Error::new(
                        io::ErrorKind::InvalidData,
                        "a chunk is not as it was written",
                    )
                })?;
            let rest = chunk.get(start..).unwrap_or_default();
            let count = rest.len().min(bytes.len() - done);
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            bytes[done..done + count].copy_from_slice(&rest[..count]);
            done += count;
        }
        Ok(())
    }

    /// Reads as much as there is for `buffer`.
    fn fill(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self.file.read_at(&mut buffer[done..], at + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }
}

const fn disk_chunk() -> u64 {
    (CHUNK_BYTES + TAG_BYTES) as u64
}

fn nonce(number: u64) -> XNonce {
    let mut nonce = [0; NONCE_BYTES];
    nonce[..8].copy_from_slice(&number.to_le_bytes());
    XNonce::from(nonce)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn what_is_written_is_read_whole_and_growing(
            length in prop_oneof![0_usize..200, 16_000_usize..17_000, 32_700_usize..50_000],
            piece in 1_usize..9_000,
            at in any::<prop::sample::Index>(),
        ) {
            let plain: Vec<u8> = (0..length).map(|i| u8::try_from(i * 31 % 251).unwrap()).collect();
            let scratch = Scratch::new(tempfile::tempfile().unwrap()).unwrap();
            let mut readable = 0;
            for part in plain.chunks(piece) {
                readable = scratch.append(part).unwrap();
                let mut back = vec![0; usize::try_from(readable).unwrap()];
                scratch.read_exact_at(&mut back, 0).unwrap();
                prop_assert_eq!(&back[..], &plain[..back.len()]);
            }
            prop_assert!(plain.len() as u64 - readable < CHUNK_BYTES as u64);
            scratch.finish().unwrap();
            let disk = scratch.file().metadata().unwrap().len();
            prop_assert_eq!(disk, Scratch::disk_bytes(length as u64));
            let again = Scratch::open(scratch.file().try_clone().unwrap(), scratch.key());
            if length > 0 {
                let from = at.index(length);
                let mut back = vec![0; length - from];
                again.read_exact_at(&mut back, from as u64).unwrap();
                prop_assert_eq!(&back[..], &plain[from..]);
            }
            prop_assert!(again.read_exact_at(&mut [0], length as u64).is_err());
        }
    }

    #[test]
    fn a_changed_byte_is_found_and_the_file_shows_nothing() {
        let scratch = Scratch::new(tempfile::tempfile().unwrap()).unwrap();
        scratch.append(&[42; 20_000]).unwrap();
        scratch.finish().unwrap();
        let mut raw = vec![0; 20_032];
        scratch.file().read_exact_at(&mut raw, 0).unwrap();
        assert!(!raw.windows(8).any(|eight| eight == [42; 8]));
        let mut byte = [0];
        for at in [0, 16_383, 16_384, 16_399, 16_400, 20_031] {
            let flipped = [raw[usize::try_from(at).unwrap()] ^ 1];
            scratch.file().write_all_at(&flipped, at).unwrap();
            let place = if at < 16_400 { 5 } else { 17_000 };
            let error = scratch.read_exact_at(&mut byte, place).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{at}");
            scratch.file().write_all_at(&[flipped[0] ^ 1], at).unwrap();
        }
        scratch.read_exact_at(&mut byte, 17_000).unwrap();
        assert_eq!(byte, [42]);
    }
}
