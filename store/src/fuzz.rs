//! The parsers as fuzzers see them: bytes in, nothing kept.
//!
//! Called by `fuzz/` and by a test with seeded mutations. Not an API: hidden in the documentation, and changed with
//! the parsers.

/// Reads bytes as an encrypted file and as each of its parts.
///
/// # Panics
/// Where a part leads outside what it is of.
pub fn encrypted(bytes: &[u8]) {
    crate::crypt::fuzz(bytes);
}
