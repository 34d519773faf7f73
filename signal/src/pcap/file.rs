//! A capture file, frame by frame: pcap in both byte orders with micro- or nanoseconds, and pcapng
//! with several sections and interfaces.
//!
//! Called by [`super`]'s two passes; pcap-parser reads the blocks. The file is streamed: the buffer
//! holds one block and grows to `MOST_BLOCK` at most.

use std::io::Read;

use pcap_parser::traits::PcapReaderIterator;
use pcap_parser::{Block, PcapBlockOwned, PcapError, create_reader};

/// What is read at once, bytes; no block of a telephone call is larger.
const BUFFER: usize = 1 << 18;

/// The largest block that is read, bytes. What is larger is no capture but damage.
const MOST_BLOCK: usize = 1 << 24;

/// Interfaces of one section that are told apart.
const MOST_INTERFACES: usize = 4_096;

/// Where and why a file cannot be read on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Bytes from the file's start that were read whole.
    pub offset: u64,
    /// What is wrong there.
    pub what: String,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "damaged at byte {}: {}", self.offset, self.what)
    }
}

/// A frame as it was captured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'a> {
    /// When, in nanoseconds since the Unix epoch.
    pub(crate) unix_ns: i64,
    /// Its LINKTYPE (tcpdump.org/linktypes.html).
    pub(crate) link: i32,
    pub(crate) data: &'a [u8],
}

/// One of pcapng's interfaces.
#[derive(Debug, Clone, Copy)]
struct Interface {
    link: i32,
    /// `if_tsresol`: negative power of 10, or of 2 where the top bit is set.
    resolution: u8,
    /// `if_tsoffset`, seconds.
    offset_s: i64,
}

/// The frames of a file.
pub(crate) struct Frames<'r> {
    reader: Box<dyn PcapReaderIterator + Send + 'r>,
    buffer: usize,
    big_endian: bool,
    interfaces: Vec<Interface>,
    /// Of the last frame: a simple packet has none of its own.
    last_ns: i64,
    /// Nanoseconds in a legacy file's unit of fractions.
    fraction_ns: i64,
}

impl<'r> Frames<'r> {
    /// Begins a file.
    pub(crate) fn new(reader: impl Read + Send + 'r) -> Result<Self, Damage> {
        // pcap-parser's first read must have the header whole.
        let reader = Whole(reader);
        let reader = create_reader(BUFFER, reader).map_err(|error| Damage {
            offset: 0,
            what: match error {
                PcapError::Eof => "the file is empty".to_owned(),
                PcapError::ReadError => "the file cannot be read".to_owned(),
                PcapError::BufferTooSmall
                | PcapError::UnexpectedEof
                | PcapError::Incomplete(_)
                | PcapError::HeaderNotRecognized
                | PcapError::NomError(..)
                | PcapError::OwnedNomError(..) => "it is neither pcap nor pcapng".to_owned(),
            },
        })?;
        Ok(Self {
            reader,
            buffer: BUFFER,
            big_endian: false,
            interfaces: Vec::new(),
            last_ns: 0,
            fraction_ns: 1_000,
        })
    }

    /// Bytes read so far.
    pub(crate) fn position(&self) -> u64 {
        self.reader.consumed() as u64
    }

    /// Gives the next frame to `take`; false at the end.
    pub(crate) fn next(&mut self, take: impl FnOnce(Frame<'_>)) -> Result<bool, Damage> {
        let mut take = Some(take);
        loop {
            let offset = self.position();
            let (used, taken) = match self.reader.next() {
                Ok((used, block)) => {
                    let frame = match block {
                        PcapBlockOwned::LegacyHeader(header) => {
                            if header.is_nanosecond_precision() {
                                self.fraction_ns = 1;
                            }
                            self.interfaces = vec![Interface {
                                // The upper half says how long a frame's checksum is.
                                link: header.network.0 & 0xffff,
                                resolution: 6,
                                offset_s: 0,
                            }];
                            None
                        }
                        PcapBlockOwned::Legacy(block) => {
                            let seconds = i64::from(block.ts_sec) * 1_000_000_000;
                            let fraction = i64::from(block.ts_usec) * self.fraction_ns;
                            self.last_ns = seconds + fraction;
                            self.interfaces.first().map(|interface| Frame {
                                unix_ns: self.last_ns,
                                link: interface.link,
                                data: block.data,
                            })
                        }
                        PcapBlockOwned::NG(block) => match &block {
                            Block::SectionHeader(header) => {
                                self.big_endian = header.big_endian();
                                self.interfaces.clear();
                                None
                            }
                            Block::InterfaceDescription(description) => {
                                if self.interfaces.len() < MOST_INTERFACES {
                                    let offset = description.if_tsoffset;
                                    self.interfaces.push(Interface {
                                        link: description.linktype.0,
                                        resolution: description.if_tsresol,
                                        // pcap-parser reads it as little-endian always.
                                        offset_s: if self.big_endian {
                                            offset.swap_bytes()
                                        } else {
                                            offset
                                        },
                                    });
                                }
                                None
                            }
                            Block::EnhancedPacket(packet) => {
                                let interface = usize::try_from(packet.if_id)
                                    .ok()
                                    .and_then(|id| self.interfaces.get(id));
                                interface.map(|interface| {
                                    let stamp =
                                        u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
                                    self.last_ns = interface.unix_ns(stamp);
                                    Frame {
                                        unix_ns: self.last_ns,
                                        link: interface.link,
                                        // Borrowed from the block's data, not from the block.
                                        data: cut(packet.data, packet.caplen),
                                    }
                                })
                            }
                            Block::SimplePacket(packet) => {
                                self.interfaces.first().map(|interface| Frame {
                                    unix_ns: self.last_ns,
                                    link: interface.link,
                                    data: cut(packet.data, packet.origlen),
                                })
                            }
                            Block::NameResolution(_)
                            | Block::InterfaceStatistics(_)
                            | Block::SystemdJournalExport(_)
                            | Block::DecryptionSecrets(_)
                            | Block::ProcessInformation(_)
                            | Block::Custom(_)
                            | Block::Unknown(_) => None,
                        },
                    };
                    let taken = match (frame, take.take()) {
                        (Some(frame), Some(give)) => {
                            give(frame);
                            true
                        }
                        (_, kept) => {
                            take = kept;
                            false
                        }
                    };
                    (used, taken)
                }
                Err(PcapError::Eof) => return Ok(false),
                Err(PcapError::Incomplete(_)) => {
                    self.refill(offset)?;
                    continue;
                }
                Err(PcapError::BufferTooSmall) => {
                    let larger = self.buffer * 2;
                    if larger > MOST_BLOCK || !self.reader.grow(larger) {
                        return Err(Damage {
                            offset,
                            what: format!("a block of more than {MOST_BLOCK} bytes"),
                        });
                    }
                    self.buffer = larger;
                    self.refill(offset)?;
                    continue;
                }
                Err(PcapError::UnexpectedEof) => {
                    let what = "the file ends within a packet".to_owned();
                    return Err(Damage { offset, what });
                }
                Err(PcapError::ReadError) => {
                    let what = "the file cannot be read".to_owned();
                    return Err(Damage { offset, what });
                }
                Err(
                    PcapError::HeaderNotRecognized
                    | PcapError::NomError(..)
                    | PcapError::OwnedNomError(..),
                ) => {
                    let what = "no packet's header".to_owned();
                    return Err(Damage { offset, what });
                }
            };
            if used == 0 {
                let what = "a block without length".to_owned();
                return Err(Damage { offset, what });
            }
            self.reader.consume(used);
            if taken {
                return Ok(true);
            }
        }
    }

    fn refill(&mut self, offset: u64) -> Result<(), Damage> {
        self.reader.refill().map_err(|_| Damage {
            offset,
            what: "the file cannot be read".to_owned(),
        })
    }
}

fn cut(data: &[u8], length: u32) -> &[u8] {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    &data[..length.min(data.len())]
}

impl Interface {
    /// A stamp in the interface's unit as nanoseconds since the epoch.
    fn unix_ns(self, stamp: u64) -> i64 {
        let power = u32::from(self.resolution & 0x7f);
        let units = if self.resolution & 0x80 == 0 {
            10_u128.checked_pow(power)
        } else {
            2_u128.checked_pow(power)
        };
        // A unit finer than any clock: every stamp is in its first nanosecond.
        let units = units.unwrap_or(u128::MAX);
        let whole = u128::from(stamp) / units;
        let rest = (u128::from(stamp) % units)
            .checked_mul(1_000_000_000)
            .map_or(0, |rest| rest / units);
        let ns = whole.saturating_mul(1_000_000_000).saturating_add(rest);
        let ns = i64::try_from(ns).unwrap_or(i64::MAX);
        ns.saturating_add(self.offset_s.saturating_mul(1_000_000_000))
    }
}

/// A reader whose every read fills the buffer, unless the file ends.
struct Whole<R>(R);

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.0.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(more) => filled += more,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}
