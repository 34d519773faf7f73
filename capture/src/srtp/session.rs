//! The session keys of a master key, and packets opened and sealed with them.
//!
//! Called by [`super`]; calls RustCrypto's aes, ctr, aes-gcm, hmac and sha1. Knows of no stream: the packet's
//! index is an argument. Nothing is allocated where the buffer has the room.
//!
//! RFC 3711 §3 and §4 (the transform, AES-CM, HMAC-SHA1, key derivation), RFC 6188 (AES-256), RFC 7714
//! (AES-GCM). The key derivation rate is 0: session keys are derived once.

use aes::{Aes128, Aes256};
use aes_gcm::aead::AeadInOut;
use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{Aes128Gcm, Aes256Gcm, Nonce, Tag};
use ctr::cipher::{
    Block, BlockCipherEncrypt, BlockSizeUser, InnerIvInit as _, KeyInit, StreamCipherCore as _,
    consts::U16,
};
use ctr::{CtrCore, flavors};
use hmac::{Hmac, Mac as _};
use sha1::Sha1;

use super::master::Master;
use super::suite::Suite;

/// The word of SRTCP behind the payload: the E flag and the index (RFC 3711 §3.4).
const RTCP_WORD: usize = 4;
/// What of RTCP stays in the clear: the first header and its SSRC.
const RTCP_CLEAR: usize = 8;
/// Set where an SRTCP packet is encrypted.
const IS_ENCRYPTED: u32 = 1 << 31;
/// The longest salt.
const SALT: usize = 14;

/// The session keys of one master key.
pub(super) struct Session {
    suite: Suite,
    mki: Vec<u8>,
    rtp: Half,
    rtcp: Half,
}

/// The session keys for RTP, or those for RTCP.
struct Half {
    cipher: Cipher,
    /// Its last two bytes are 0 for AES-GCM.
    salt: [u8; SALT],
}

enum Cipher {
    Cm128(Aes128, Hmac<Sha1>),
    Cm256(Aes256, Hmac<Sha1>),
    Gcm128(Aes128Gcm),
    Gcm256(Aes256Gcm),
}

/// RFC 3711 §4.3.2, one for RTP and one for RTCP.
#[derive(Clone, Copy)]
struct Labels {
    key: u8,
    auth: u8,
    salt: u8,
}

const RTP: Labels = Labels {
    key: 0,
    auth: 1,
    salt: 2,
};
const RTCP: Labels = Labels {
    key: 3,
    auth: 4,
    salt: 5,
};

impl Session {
    pub(super) fn new(master: &Master) -> Self {
        Self {
            suite: master.suite,
            mki: master.mki.clone(),
            rtp: Half::derive(master, RTP),
            rtcp: Half::derive(master, RTCP),
        }
    }

    /// Opens an RTP packet whose header has `header` bytes, as the one with this index; the packet without
    /// its protection is in `clear` then. `false` where it is not authentic.
    pub(super) fn open_rtp(
        &self,
        datagram: &[u8],
        header: usize,
        (ssrc, index): (u32, u64),
        clear: &mut Vec<u8>,
    ) -> bool {
        let tag_bytes = self.suite.rtp_tag_bytes();
        let tail = tag_bytes + self.mki.len();
        let Some(body_end) = datagram.len().checked_sub(tail) else {
            return false;
        };
        if body_end < header {
            return false;
        }
        clear.clear();
        clear.extend_from_slice(&datagram[..body_end]);
        let (head, body) = clear.split_at_mut(header);
        let iv = self.rtp.rtp_iv(ssrc, index);
        match &self.rtp.cipher {
            Cipher::Cm128(_, mac) | Cipher::Cm256(_, mac) => {
                let (mki, tag) = datagram[body_end..].split_at(self.mki.len());
                let mac = mac
                    .clone()
                    .chain_update(&datagram[..body_end])
                    .chain_update(roc(index));
                if mki != self.mki || mac.verify_truncated_left(tag).is_err() {
                    return false;
                }
                self.rtp.cipher.apply(&iv, body);
                true
            }
            // RFC 7714 §8: the tag is part of the ciphertext, so the MKI stands behind it.
            Cipher::Gcm128(_) | Cipher::Gcm256(_) => {
                let (tag, mki) = datagram[body_end..].split_at(tag_bytes);
                mki == self.mki && self.rtp.cipher.open(&iv, head, body, tag)
            }
        }
    }

    /// Seals an RTP packet.
    pub(super) fn seal_rtp(
        &self,
        packet: &mut Vec<u8>,
        header: usize,
        (ssrc, index): (u32, u64),
    ) -> bool {
        if packet.len() < header {
            return false;
        }
        let iv = self.rtp.rtp_iv(ssrc, index);
        let (head, body) = packet.split_at_mut(header);
        match &self.rtp.cipher {
            Cipher::Cm128(_, mac) | Cipher::Cm256(_, mac) => {
                self.rtp.cipher.apply(&iv, body);
                let mac = mac.clone().chain_update(&*packet).chain_update(roc(index));
                let tag = mac.finalize().into_bytes();
                packet.extend_from_slice(&self.mki);
                packet.extend_from_slice(&tag[..self.suite.rtp_tag_bytes()]);
            }
            Cipher::Gcm128(_) | Cipher::Gcm256(_) => {
                let Some(tag) = self.rtp.cipher.seal(&iv, head, body) else {
                    return false;
                };
                packet.extend_from_slice(&tag);
                packet.extend_from_slice(&self.mki);
            }
        }
        true
    }

    /// The index that an SRTCP packet says that it has.
    pub(super) fn rtcp_index(&self, datagram: &[u8]) -> Option<u64> {
        let word = self.rtcp_parts(datagram)?.1;
        Some(u64::from(word & !IS_ENCRYPTED))
    }

    /// Where an SRTCP packet's body ends (for AES-GCM without the tag), its word, and the place of that.
    fn rtcp_parts(&self, datagram: &[u8]) -> Option<(usize, u32, usize)> {
        let tag = self.suite.rtcp_tag_bytes();
        // RFC 3711 §3.4: word, MKI, tag. RFC 7714 §9: tag, word, MKI.
        let word_at = match self.rtcp.cipher {
            Cipher::Cm128(..) | Cipher::Cm256(..) => datagram
                .len()
                .checked_sub(tag + self.mki.len() + RTCP_WORD)?,
            Cipher::Gcm128(_) | Cipher::Gcm256(_) => {
                datagram.len().checked_sub(self.mki.len() + RTCP_WORD)?
            }
        };
        let body_end = match self.rtcp.cipher {
            Cipher::Cm128(..) | Cipher::Cm256(..) => word_at,
            Cipher::Gcm128(_) | Cipher::Gcm256(_) => word_at.checked_sub(tag)?,
        };
        let word = datagram[word_at..].first_chunk()?;
        (body_end >= RTCP_CLEAR).then(|| (body_end, u32::from_be_bytes(*word), word_at))
    }

    /// Opens an SRTCP packet; the packet without its protection is in `clear` then. `false` where it is not
    /// authentic.
    pub(super) fn open_rtcp(&self, datagram: &[u8], ssrc: u32, clear: &mut Vec<u8>) -> bool {
        let Some((body_end, word, word_at)) = self.rtcp_parts(datagram) else {
            return false;
        };
        let word_end = word_at + RTCP_WORD;
        let is_encrypted = word & IS_ENCRYPTED != 0;
        let index = u64::from(word & !IS_ENCRYPTED);
        clear.clear();
        clear.extend_from_slice(&datagram[..body_end]);
        match &self.rtcp.cipher {
            Cipher::Cm128(_, mac) | Cipher::Cm256(_, mac) => {
                let (mki, tag) = datagram[word_end..].split_at(self.mki.len());
                let mac = mac.clone().chain_update(&datagram[..word_end]);
                if mki != self.mki || mac.verify_truncated_left(tag).is_err() {
                    return false;
                }
                if is_encrypted {
                    let iv = self.rtcp.cm_iv(ssrc, index);
                    self.rtcp.cipher.apply(&iv, &mut clear[RTCP_CLEAR..]);
                }
                true
            }
            Cipher::Gcm128(_) | Cipher::Gcm256(_) => {
                let iv = self.rtcp.gcm_iv(ssrc, 0, index);
                let tag = &datagram[body_end..word_at];
                let word = &datagram[word_at..word_end];
                if datagram[word_end..] != self.mki {
                    return false;
                }
                // RFC 7714 §9.2 and §9.3: what is not encrypted is authenticated beside the word.
                let clear_end = if is_encrypted { RTCP_CLEAR } else { body_end };
                let beside = [&datagram[..clear_end], word].concat();
                self.rtcp
                    .cipher
                    .open(&iv, &beside, &mut clear[clear_end..], tag)
            }
        }
    }

    /// Seals an RTCP packet. For tests alone: reeld sends none.
    #[cfg(test)]
    pub(super) fn seal_rtcp(&self, packet: &mut Vec<u8>, ssrc: u32, index: u32) {
        let word = (index | IS_ENCRYPTED).to_be_bytes();
        match &self.rtcp.cipher {
            Cipher::Cm128(_, mac) | Cipher::Cm256(_, mac) => {
                let iv = self.rtcp.cm_iv(ssrc, u64::from(index));
                self.rtcp.cipher.apply(&iv, &mut packet[RTCP_CLEAR..]);
                packet.extend(word);
                let tag = mac.clone().chain_update(&*packet).finalize().into_bytes();
                packet.extend_from_slice(&self.mki);
                packet.extend_from_slice(&tag[..self.suite.rtcp_tag_bytes()]);
            }
            Cipher::Gcm128(_) | Cipher::Gcm256(_) => {
                let iv = self.rtcp.gcm_iv(ssrc, 0, u64::from(index));
                let beside = [&packet[..RTCP_CLEAR], &word].concat();
                let tag = self
                    .rtcp
                    .cipher
                    .seal(&iv, &beside, &mut packet[RTCP_CLEAR..]);
                packet.extend(tag.unwrap());
                packet.extend(word);
                packet.extend_from_slice(&self.mki);
            }
        }
    }
}

impl Half {
    fn derive(master: &Master, labels: Labels) -> Self {
        let (key, salt) = master.expose();
        let mut padded = [0; SALT];
        padded[..salt.len()].copy_from_slice(salt);
        let mut session_key = [0; 32];
        let session_key = &mut session_key[..key.len()];
        derive(key, &padded, labels.key, session_key);
        let mut session_salt = [0; SALT];
        derive(key, &padded, labels.salt, &mut session_salt[..salt.len()]);
        let mac = || {
            // RFC 3711 §5.2: 160 bits.
            let mut auth = [0; 20];
            derive(key, &padded, labels.auth, &mut auth);
            mac_of(&auth)
        };
        let cipher = Cipher::new(master.suite, session_key, mac);
        Self {
            cipher,
            salt: session_salt,
        }
    }

    /// The first counter block of a packet (RFC 3711 §4.1.1), or its nonce and four zeros.
    fn rtp_iv(&self, ssrc: u32, index: u64) -> [u8; 16] {
        match self.cipher {
            Cipher::Cm128(..) | Cipher::Cm256(..) => self.cm_iv(ssrc, index),
            Cipher::Gcm128(_) | Cipher::Gcm256(_) => {
                self.gcm_iv(ssrc, u16::try_from(index >> 32).unwrap_or(0), index)
            }
        }
    }

    fn cm_iv(&self, ssrc: u32, index: u64) -> [u8; 16] {
        let mut iv = [0; 16];
        iv[..SALT].copy_from_slice(&self.salt);
        xor(&mut iv[4..8], &ssrc.to_be_bytes());
        xor(&mut iv[8..14], &index.to_be_bytes()[2..]);
        iv
    }

    /// RFC 7714 §8.1 for RTP, whose index has 48 bits; §9.1 for RTCP, whose has 31, behind two zeros.
    fn gcm_iv(&self, ssrc: u32, index_high: u16, index_low: u64) -> [u8; 16] {
        let mut iv = [0; 16];
        iv[..12].copy_from_slice(&self.salt[..12]);
        xor(&mut iv[2..6], &ssrc.to_be_bytes());
        xor(&mut iv[6..8], &index_high.to_be_bytes());
        xor(&mut iv[8..12], &index_low.to_be_bytes()[4..]);
        iv
    }
}

impl Cipher {
    fn new(suite: Suite, key: &[u8], mac: impl FnOnce() -> Hmac<Sha1>) -> Self {
        const RIGHT: &str = "a session key is as long as its suite's";
        match suite {
            Suite::AesCm128Sha1Tag80 | Suite::AesCm128Sha1Tag32 => {
                Self::Cm128(Aes128::new_from_slice(key).expect(RIGHT), mac())
            }
            Suite::AesCm256Sha1Tag80 | Suite::AesCm256Sha1Tag32 => {
                Self::Cm256(Aes256::new_from_slice(key).expect(RIGHT), mac())
            }
            Suite::AeadAes128Gcm => Self::Gcm128(Aes128Gcm::new_from_slice(key).expect(RIGHT)),
            Suite::AeadAes256Gcm => Self::Gcm256(Aes256Gcm::new_from_slice(key).expect(RIGHT)),
        }
    }

    /// AES in counter mode.
    fn apply(&self, iv: &[u8; 16], body: &mut [u8]) {
        match self {
            Self::Cm128(aes, _) => counter_mode(aes, iv, body),
            Self::Cm256(aes, _) => counter_mode(aes, iv, body),
            Self::Gcm128(_) | Self::Gcm256(_) => {}
        }
    }

    fn open(&self, iv: &[u8; 16], beside: &[u8], body: &mut [u8], tag: &[u8]) -> bool {
        let (Ok(nonce), Ok(tag)) = (Nonce::try_from(&iv[..12]), Tag::try_from(tag)) else {
            return false;
        };
        let body = InOutBuf::from(body);
        match self {
            Self::Gcm128(gcm) => gcm.decrypt_inout_detached(&nonce, beside, body, &tag),
            Self::Gcm256(gcm) => gcm.decrypt_inout_detached(&nonce, beside, body, &tag),
            Self::Cm128(..) | Self::Cm256(..) => return false,
        }
        .is_ok()
    }

    fn seal(&self, iv: &[u8; 16], beside: &[u8], body: &mut [u8]) -> Option<[u8; 16]> {
        let nonce = Nonce::try_from(&iv[..12]).ok()?;
        let body = InOutBuf::from(body);
        match self {
            Self::Gcm128(gcm) => gcm.encrypt_inout_detached(&nonce, beside, body),
            Self::Gcm256(gcm) => gcm.encrypt_inout_detached(&nonce, beside, body),
            Self::Cm128(..) | Self::Cm256(..) => return None,
        }
        .ok()
        .map(Into::into)
    }
}

/// RFC 3711 §4.3.1 with a key derivation rate of 0: as much of the key stream as is wanted.
fn derive(key: &[u8], salt: &[u8; SALT], label: u8, out: &mut [u8]) {
    let mut iv = [0; 16];
    iv[..SALT].copy_from_slice(salt);
    iv[7] ^= label;
    out.fill(0);
    const RIGHT: &str = "a master key is as long as its suite's";
    if key.len() == 16 {
        counter_mode(&Aes128::new_from_slice(key).expect(RIGHT), &iv, out);
    } else {
        counter_mode(&Aes256::new_from_slice(key).expect(RIGHT), &iv, out);
    }
}

fn counter_mode<C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>>(
    aes: &C,
    iv: &[u8; 16],
    body: &mut [u8],
) {
    let iv = Block::<C>::from(*iv);
    let stream = CtrCore::<&C, flavors::Ctr128BE>::inner_iv_init(aes, &iv);
    stream.apply_keystream_partial(body.into());
}

fn mac_of(key: &[u8]) -> Hmac<Sha1> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}

/// The rollover counter of an index, as it is authenticated.
fn roc(index: u64) -> [u8; 4] {
    let [_, _, a, b, c, d, _, _] = index.to_be_bytes();
    [a, b, c, d]
}

fn xor(bytes: &mut [u8], with: &[u8]) {
    for (byte, with) in bytes.iter_mut().zip(with) {
        *byte ^= with;
    }
}

#[cfg(test)]
mod tests;
