//! What can go wrong with sound: the crate's one error.
//!
//! A variant is a thing that the caller does differently. G.711 and levels cannot fail.

/// Why a file could not be read, or MP3 not made, or a packet not decoded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not what it says it is, or ends too soon: report it and go on with the next.
    #[error("the file is damaged: {0}")]
    Damaged(String),
    /// The file is sound of a kind that is not read here: report it, naming the kind.
    #[error("not supported: {0}")]
    Unsupported(String),
    /// The file holds more sound than the caller allows.
    #[error("longer than the {limit} frames allowed")]
    TooLong {
        /// The caller's bound, in frames (one sample of each channel).
        limit: u64,
    },
    /// Encoding failed: what has come out so far is all there is, so give up on that stream.
    #[error("MP3 encoder: {0}")]
    Encoder(&'static str),
    /// An Opus packet could not be decoded, or samples not encoded: go on with the next.
    #[error("Opus: {0}")]
    Opus(&'static str),
    /// Reading failed, whatever is in the file.
    #[error("reading failed: {0}")]
    Io(#[from] std::io::Error),
}
