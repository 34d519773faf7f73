//! Real captures: pcap files read into the datagrams of their only UDP flow.
//!
//! pcap-parser reads the file, etherparse the headers. Ethernet and Linux "cooked" captures, as
//! tcpdump writes them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use etherparse::{SlicedPacket, TransportSlice};
use pcap_parser::traits::PcapReaderIterator;
use pcap_parser::{LegacyPcapReader, Linktype, PcapBlockOwned, PcapError};

use crate::script::{Cue, Packet, Script};

/// The capture's UDP payloads with their times from the first one on.
///
/// # Panics
/// When the file is not there or not such a capture.
#[must_use]
pub fn read(path: &Path) -> Script {
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut reader = LegacyPcapReader::new(65_536, file)
        .unwrap_or_else(|error| panic!("{} is no pcap file: {error}", path.display()));
    let mut link = Linktype::ETHERNET;
    let mut cues = Vec::new();
    loop {
        match reader.next() {
            Ok((used, block)) => {
                match block {
                    PcapBlockOwned::LegacyHeader(header) => link = header.network,
                    PcapBlockOwned::Legacy(block) => {
                        let at = Duration::from_secs(block.ts_sec.into())
                            + Duration::from_micros(block.ts_usec.into());
                        cues.push(Cue {
                            at,
                            bytes: udp_payload(link, block.data),
                        });
                    }
                    PcapBlockOwned::NG(_) => panic!("{} is pcapng", path.display()),
                }
                reader.consume(used);
            }
            Err(PcapError::Eof) => break,
            Err(PcapError::Incomplete(_)) => {
                reader
                    .refill()
                    .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            }
            Err(error) => panic!("{}: {error}", path.display()),
        }
    }
    let first = cues
        .first()
        .unwrap_or_else(|| panic!("{} is empty", path.display()))
        .at;
    for cue in &mut cues {
        cue.at -= first;
    }
    Script(cues)
}

/// The script's RTP packets.
///
/// # Panics
/// When a datagram is none.
#[must_use]
pub fn packets(script: &Script) -> Vec<Packet> {
    let parse = |cue: &Cue| Packet::parse(&cue.bytes).expect("the capture has plain RTP alone");
    script.0.iter().map(parse).collect()
}

/// sipp's capture of this name, from Debian's sip-tester.
///
/// # Panics
/// When it is not installed.
#[must_use]
pub fn of_sipp(name: &str) -> PathBuf {
    let path = Path::new("/usr/share/sip-tester").join(name);
    assert!(
        path.exists(),
        "{} is missing: `make test` installs sip-tester",
        path.display()
    );
    path
}

/// The capture of this name in the project's `shared` folder, which lies beside the repository (or
/// where `REELD_SHARED` says). It is not committed: `None`, said on stderr, where it is not laid.
#[must_use]
pub fn shared(name: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let folder = std::env::var_os("REELD_SHARED").map_or_else(beside, PathBuf::from);
    let path = folder.join("captures").join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: {} is not there", path.display());
    None
}

fn udp_payload(link: Linktype, frame: &[u8]) -> Vec<u8> {
    let sliced = if link == Linktype::LINUX_SLL {
        SlicedPacket::from_linux_sll(frame)
    } else {
        SlicedPacket::from_ethernet(frame)
    };
    let sliced = sliced.unwrap_or_else(|error| panic!("a captured frame is damaged: {error}"));
    match sliced.transport {
        Some(TransportSlice::Udp(udp)) => udp.payload().to_vec(),
        other => panic!("a captured frame is no UDP: {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sipps_call_is_alaw_in_packets_of_30_ms() {
        let script = read(&of_sipp("g711a.pcap"));
        let packets = packets(&script);
        assert_eq!(packets.len(), 236);
        assert!(packets.iter().all(|packet| packet.payload_type == 8));
        assert!(packets.iter().all(|packet| packet.payload.len() == 240));
        assert_eq!(script.0[0].at, Duration::ZERO);
        assert_eq!(script.0[235].at.as_millis(), 7_049);
    }

    #[test]
    fn a_cooked_capture_is_read_too() {
        let Some(path) = shared("asterisk-ulaw-dtmf-2013785496.pcap") else {
            return;
        };
        let packets = packets(&read(&path));
        assert_eq!(packets.len(), 974);
        assert!(packets.iter().all(|packet| packet.ssrc == 0x34d0_1d16));
    }
}
