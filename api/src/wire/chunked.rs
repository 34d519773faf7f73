//! A chunked body, read strictly and written anew (RFC 9112 §7.1). No I/O.
//!
//! [`super::mender`] feeds it. Sizes are plain hexadecimal digits, lines end in CRLF, and there
//! are neither chunk extensions nor trailer fields: no client of this API sends those, and every
//! known smuggling trick with chunks needs one of them or a bare LF.

use super::mender::Broken;

/// The most digits of a chunk's size: 4 GiB − 1, far above any body the API takes.
const MAX_SIZE_DIGITS: u8 = 8;

/// What became of the bytes fed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// All were taken; the body goes on.
    More,
    /// The body ended after this many of them.
    Done {
        /// Bytes of the input that belong to the body.
        taken: usize,
    },
}

/// Where in the body we are; named by what is expected next.
#[derive(Debug, Clone, Copy)]
enum Place {
    Size { digits: u8, size: u32 },
    SizeLf { size: u32 },
    Data { left: u32 },
    DataCr,
    DataLf,
    EndCr,
    EndLf,
}

/// The state of one body.
#[derive(Debug)]
pub(super) struct Chunked(Place);

impl Default for Chunked {
    fn default() -> Self {
        Self(Place::Size { digits: 0, size: 0 })
    }
}

impl Chunked {
    /// Takes bytes of the body and appends them in canonical spelling to `out`.
    pub(super) fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Progress, Broken> {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            if let Place::Data { left } = self.0 {
                let count = (left as usize).min(input.len() - at);
                out.extend_from_slice(&input[at..at + count]);
                at += count;
                let left = left - u32::try_from(count).unwrap_or(left);
                self.0 = if left == 0 {
                    Place::DataCr
                } else {
                    Place::Data { left }
                };
                continue;
            }
            at += 1;
            self.0 = match (self.0, byte) {
                (Place::Size { digits, size }, _) if byte.is_ascii_hexdigit() => {
                    if digits == MAX_SIZE_DIGITS {
                        return Err(Broken);
                    }
                    let digit = char::from(byte).to_digit(16).ok_or(Broken)?;
                    Place::Size {
                        digits: digits + 1,
                        size: size << 4 | digit,
                    }
                }
                (Place::Size { digits, size }, b'\r') if digits > 0 => Place::SizeLf { size },
                (Place::SizeLf { size: 0 }, b'\n') => Place::EndCr,
                (Place::SizeLf { size }, b'\n') => {
                    out.extend_from_slice(format!("{size:x}\r\n").as_bytes());
                    Place::Data { left: size }
                }
                (Place::DataCr, b'\r') => Place::DataLf,
                (Place::DataLf, b'\n') => {
                    out.extend_from_slice(b"\r\n");
                    Place::Size { digits: 0, size: 0 }
                }
                (Place::EndCr, b'\r') => Place::EndLf,
                (Place::EndLf, b'\n') => {
                    out.extend_from_slice(b"0\r\n\r\n");
                    return Ok(Progress::Done { taken: at });
                }
                _ => return Err(Broken),
            };
        }
        Ok(Progress::More)
    }
}
