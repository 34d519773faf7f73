//! Ports of a test's own, held against every other test on the machine.
//!
//! Called by [`crate::daemon`]. The range from 10,000 to Linux's ephemeral ports is cut into blocks,
//! each with a lock file in the system's temporary folder: tests in one process, in others, and in
//! other checkouts never share a port, and a test that dies gives its blocks back with its file
//! descriptors.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

/// Ports in a block.
const BLOCK: u16 = 64;
/// The first port of the first block.
const FIRST: u16 = 10_000;
/// Blocks below 32,768, where Linux's ephemeral ports begin.
const BLOCKS: u16 = (32_768 - FIRST) / BLOCK;

/// A run of ports that nobody else on this machine uses.
#[derive(Debug)]
pub struct PortBlock {
    _locks: Vec<File>,
    first: u16,
    count: u16,
}

impl PortBlock {
    /// Takes at least `count` free ports in a row, the first of them even.
    ///
    /// # Panics
    /// When no such run is free.
    #[must_use]
    pub fn take(count: u16) -> Self {
        // Each take begins elsewhere, so that processes rarely meet at one block.
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let blocks = count.div_ceil(BLOCK);
        let seed = u16::try_from(std::process::id() % u32::from(BLOCKS)).unwrap_or(0);
        let start = seed
            .wrapping_mul(31)
            .wrapping_add(NEXT.fetch_add(blocks, Ordering::Relaxed));
        (0..BLOCKS)
            .map(|step| (start.wrapping_add(step)) % BLOCKS)
            .filter(|&block| block + blocks <= BLOCKS)
            .find_map(|block| Self::lock(block, blocks, count))
            .unwrap_or_else(|| panic!("no {count} free ports in a row from {FIRST} on"))
    }

    /// The first port: even.
    #[must_use]
    pub const fn first(&self) -> u16 {
        self.first
    }

    /// How many there are, as asked for.
    #[must_use]
    pub const fn count(&self) -> u16 {
        self.count
    }

    /// `first-last`, as `media.ports` has it.
    #[must_use]
    pub fn range(&self) -> String {
        format!("{}-{}", self.first, self.first + self.count - 1)
    }

    fn lock(block: u16, blocks: u16, count: u16) -> Option<Self> {
        let folder =
            std::env::temp_dir().join(format!("reeld-tests-ports-{}", nix::unistd::getuid()));
        fs::create_dir_all(&folder).expect("the temporary folder can be written");
        let locks = (block..block + blocks)
            .map(|number| {
                let file = File::create(folder.join(number.to_string())).ok()?;
                file.try_lock().ok()?;
                Some(file)
            })
            .collect::<Option<Vec<_>>>()?;
        let first = FIRST + block * BLOCK;
        let all_free =
            (first..first + count).all(|port| UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok());
        let free = all_free && TcpListener::bind((Ipv4Addr::LOCALHOST, first)).is_ok();
        free.then_some(Self {
            _locks: locks,
            first,
            count,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_do_not_overlap() {
        let blocks: Vec<_> = [10, 64, 65, 200].map(PortBlock::take).into();
        for (place, one) in blocks.iter().enumerate() {
            assert_eq!(one.first() % 2, 0);
            for other in &blocks[place + 1..] {
                let apart = one.first() + one.count() <= other.first()
                    || other.first() + other.count() <= one.first();
                assert!(apart, "{} and {}", one.range(), other.range());
            }
        }
    }

    #[test]
    fn a_port_in_use_is_not_given() {
        let block = PortBlock::take(2);
        let _held = UdpSocket::bind((Ipv4Addr::LOCALHOST, block.first())).unwrap();
        let number = (block.first() - FIRST) / BLOCK;
        drop(block);
        assert!(PortBlock::lock(number, 1, 2).is_none());
    }
}
