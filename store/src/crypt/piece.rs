//! One piece of an encrypted file: up to 64 KiB of sound, the rate, or the end, each with a tag of its own.
//!
//! Called by `grow` (makes them) and `open` (reads them).
//!
//! A piece: its kind (one byte), its length (u32, little-endian), a nonce of 24 bytes, as many bytes as the length
//! says, encrypted, and a tag of 16. The nonce is random, so that none is used twice under a key, even where a file
//! is cut and goes on otherwise after a crash. Bound to the tag are the kind and the place of its first
//! byte in the recording's data: a piece that was moved, doubled or left out is found. That it is this
//! recording's is the data key's matter.

use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};

use super::keyring::{NONCE_BYTES, TAG_BYTES};
use crate::StoreError;
use crate::accounts::fill;

/// What is in a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Frames a second: u32, little-endian.
    Rate = 1,
    /// Sound: whole frames.
    Sound = 2,
    /// What [`super::open::End`] is.
    End = 3,
}

/// Bytes before what is encrypted.
pub(super) const HEAD_BYTES: usize = 1 + 4 + NONCE_BYTES;

/// Bytes of a piece beside what is in it.
pub(super) const OVERHEAD: usize = HEAD_BYTES + TAG_BYTES;

/// The most sound in a piece; whole frames of any recording. A range costs no more than this at either edge.
pub(super) const MOST_SOUND: usize = 1 << 16;

/// The most of an end: a WAV file's 4 GiB in pieces of all lengths.
const MOST_END: usize = 1 << 24;

/// A piece's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    /// Bytes in it.
    pub(super) length: usize,
    nonce: [u8; NONCE_BYTES],
}

impl Head {
    /// Reads a head; `None` where it is none of a piece.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let nonce = *rest.first_chunk()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let kind = match kind {
            1 if length == 4 => Kind::Rate,
            2 if (1..=MOST_SOUND).contains(&length) => Kind::Sound,
            3 if (1..=MOST_END).contains(&length) => Kind::End,
            _ => return None,
        };
        Some(Self {
            kind,
            length,
            nonce,
        })
    }
}

/// Appends a piece with `bytes`, whose first is at `place` of the data, to `out`.
///
/// # Errors
/// The system gives no random bytes.
pub(super) fn put(
    cipher: &XChaCha20Poly1305,
    kind: Kind,
    place: u64,
    bytes: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), StoreError> {
    let length = u32::try_from(bytes.len()).expect("at most MOST_END");
    let mut nonce = [0; NONCE_BYTES];
    fill(&mut nonce)?;
    out.push(kind as u8);
    out.extend(length.to_le_bytes());
    out.extend(nonce);
    let at = out.len();
    out.extend(bytes);
    let tag = cipher
        .encrypt_inout_detached(
            &XNonce::from(nonce),
            &about(kind, place),
            (&mut out[at..]).into(),
        )
        .expect("a piece is far below the cipher's limit of 256 GiB");
    out.extend(tag);
    Ok(())
}

/// Decrypts what follows a head, bytes and tag, in place; whether it is what was encrypted for `place`. What
/// is left in `rest` is the bytes.
pub(super) fn open(cipher: &XChaCha20Poly1305, head: Head, place: u64, rest: &mut Vec<u8>) -> bool {
    let Some((_, tag)) = rest.split_last_chunk::<TAG_BYTES>() else {
        return false;
    };
    let tag = Tag::from(*tag);
    rest.truncate(rest.len() - TAG_BYTES);
    let nonce = XNonce::from(head.nonce);
    let about = about(head.kind, place);
    cipher
        .decrypt_inout_detached(&nonce, &about, rest.as_mut_slice().into(), &tag)
        .is_ok()
}

fn about(kind: Kind, place: u64) -> [u8; 16] {
    let mut about = *b"reeld 1\0\0\0\0\0\0\0\0\0";
    about[7] = kind as u8;
    about[8..].copy_from_slice(&place.to_le_bytes());
    about
}

/// For `fuzz/`: any bytes as a piece.
pub(super) fn fuzz(bytes: &[u8]) {
    use chacha20poly1305::KeyInit as _;

    if let Some(head) = Head::parse(bytes) {
        let cipher = XChaCha20Poly1305::new(&[7; 32].into());
        let mut rest = bytes[HEAD_BYTES..].to_vec();
        let _ = open(&cipher, head, 0, &mut rest);
    }
}
