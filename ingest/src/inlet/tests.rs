//! Real sockets on loopback: what is sent is what a drain hands out, with the kernel's word on when.

use super::*;
use crate::batch::LONGEST;
use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::sync::OnceLock;
use std::time::Duration;

/// A socket on loopback, once the kernel stamps packets as they come.
fn inlet(receive_buffer: usize) -> (Inlet, SocketAddr) {
    static STAMPING: OnceLock<Socket> = OnceLock::new();
    STAMPING.get_or_init(|| {
        let any = (Ipv4Addr::LOCALHOST, 0).into();
        let keeper = media_socket(any, 0).unwrap();
        let mut inlet = Inlet::bind(any, 0).unwrap();
        let address = inlet.socket.local_addr().unwrap();
        let (sender, mut reader) = (sender(), Reader::new());
        for _ in 0..100 {
            let sent = monotonic();
            sender
                .send_to(b"stamped?", address.as_socket().unwrap())
                .unwrap();
            let_time_pass();
            let (_, came) = drain(&mut inlet, &mut reader, Reach::TICK);
            if came.iter().all(|(_, arrival, _)| *arrival <= sent + SLACK) {
                return keeper;
            }
        }
        panic!("the kernel does not stamp packets as they come");
    });
    let inlet = Inlet::bind((Ipv4Addr::LOCALHOST, 0).into(), receive_buffer).unwrap();
    let address = inlet.socket.local_addr().unwrap().as_socket().unwrap();
    (inlet, address)
}

fn sender() -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()
}

/// What an arrival may be off by: both clocks are read together within 100 µs, but on a busy machine
/// not always.
const SLACK: Duration = Duration::from_millis(5);

/// Lets time go by, so that a time of reading cannot pass for a time of arrival.
fn let_time_pass() {
    let until = monotonic() + SLACK * 3;
    while monotonic() < until {
        std::hint::spin_loop();
    }
}

type Came = Vec<(SocketAddr, Mono, Vec<u8>)>;

fn drain(inlet: &mut Inlet, reader: &mut Reader, reach: Reach) -> (u32, Came) {
    let mut came = Vec::new();
    reader.refresh();
    let drained = inlet.drain(reader, reach, |from, at, bytes| {
        came.push((from, at, bytes.to_vec()))
    });
    (drained.dropped, came)
}

#[test]
fn datagrams_come_in_order_with_source_and_the_kernel_s_time() {
    let (mut inlet, address) = inlet(200_000);
    let mut reader = Reader::new();
    let sender = sender();
    let mut sent = Vec::new();
    for number in 0..200_u8 {
        let before = monotonic();
        sender.send_to(&[number; 172], address).unwrap();
        sent.push((before, monotonic()));
    }
    let_time_pass();
    let (dropped, came) = drain(&mut inlet, &mut reader, Reach::TICK);
    assert_eq!(dropped, 0);
    assert_eq!(came.len(), 200);
    // On loopback a packet is received within its send: the stamp tells, although it is read late.
    let mut last = Mono(0);
    for (number, (from, arrival, bytes)) in came.iter().enumerate() {
        assert_eq!(*from, sender.local_addr().unwrap());
        assert_eq!(bytes, &[u8::try_from(number).unwrap(); 172]);
        let (before, after) = sent[number];
        assert!(
            (before - SLACK..=after + SLACK).contains(arrival),
            "{number}: {arrival:?}"
        );
        assert!(*arrival >= last && *arrival <= reader.now());
        last = *arrival;
    }
}

#[test]
fn drops_of_the_kernel_are_counted_once_and_cost_no_time_stamp() {
    let (mut inlet, address) = inlet(16 << 10);
    let mut reader = Reader::new();
    let sender = sender();
    let (mut read, mut dropped) = (0, 0);
    for round in 0..3 {
        for _ in 0..500 {
            sender.send_to(&[0; 172], address).unwrap();
        }
        let flooded = monotonic();
        let_time_pass();
        let (lost, came) = drain(&mut inlet, &mut reader, Reach::TICK);
        assert!(
            came.iter()
                .all(|(_, arrival, _)| *arrival <= flooded + SLACK),
            "round {round}"
        );
        read += came.len();
        dropped += lost as usize;
    }
    // A count comes with the next packet that is queued.
    sender.send_to(&[0; 172], address).unwrap();
    let (lost, came) = drain(&mut inlet, &mut reader, Reach::TICK);
    read += came.len();
    dropped += lost as usize;
    assert!(dropped > 0);
    assert_eq!(read + dropped, 1_501);
}

#[test]
fn what_is_too_long_comes_without_bytes_and_an_empty_datagram_is_one() {
    let (mut inlet, address) = inlet(200_000);
    let mut reader = Reader::new();
    let sender = sender();
    for length in [LONGEST, LONGEST + 1, 9_000, 0] {
        sender.send_to(&vec![0x80; length], address).unwrap();
    }
    let (_, came) = drain(&mut inlet, &mut reader, Reach::TICK);
    let lengths: Vec<_> = came.iter().map(|(_, _, bytes)| bytes.len()).collect();
    assert_eq!(lengths, [LONGEST, 0, 0, 0]);
}

#[test]
fn a_tick_reads_its_share_and_a_command_all_that_came_before_it() {
    let (mut inlet, address) = inlet(200_000);
    let mut reader = Reader::new();
    let sender = sender();
    let share = FEW + 2 * MANY;
    for _ in 0..share + 200 {
        sender.send_to(&[0; 12], address).unwrap();
    }
    let (_, came) = drain(&mut inlet, &mut reader, Reach::Rounds(3));
    assert_eq!(came.len(), share);
    let_time_pass();
    let (_, came) = drain(&mut inlet, &mut reader, Reach::Until(monotonic()));
    assert_eq!(came.len(), 200);
    // What came after the command's time ends the drain, however much there is.
    let command = monotonic();
    let_time_pass();
    for _ in 0..200 {
        sender.send_to(&[0; 12], address).unwrap();
    }
    let (_, came) = drain(&mut inlet, &mut reader, Reach::Until(command));
    assert_eq!(came.len(), FEWER);
}

#[test]
fn a_socket_for_both_families_gives_ipv4_sources_as_ipv4() {
    let Ok(mut inlet) = Inlet::bind((Ipv6Addr::UNSPECIFIED, 0).into(), 1 << 16) else {
        eprintln!("skipped: this machine has no IPv6");
        return;
    };
    let port = inlet
        .socket
        .local_addr()
        .unwrap()
        .as_socket()
        .unwrap()
        .port();
    let sender = sender();
    sender
        .send_to(b"four", (Ipv4Addr::LOCALHOST, port))
        .unwrap();
    let (_, came) = drain(&mut inlet, &mut Reader::new(), Reach::TICK);
    assert_eq!(came[0].0, sender.local_addr().unwrap());
    if let Ok(sender) = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)) {
        sender.send_to(b"six", (Ipv6Addr::LOCALHOST, port)).unwrap();
        let (_, came) = drain(&mut inlet, &mut Reader::new(), Reach::TICK);
        assert_eq!(
            (came[0].0, &came[0].2[..]),
            (sender.local_addr().unwrap(), &b"six"[..])
        );
    }
}

/// Who may pass: this one alone.
fn only(sender: &UdpSocket) -> Option<SourceRule> {
    let address = sender.local_addr().unwrap();
    Some(SourceRule {
        address: address.ip(),
        port: Some(address.port()),
    })
}

/// What was dropped for want of room, what of strangers, and how many came.
fn counts(inlet: &mut Inlet, reader: &mut Reader) -> (u32, u32, usize) {
    reader.refresh();
    let mut came = 0;
    let drained = inlet.drain(reader, Reach::TICK, |_, _, _| came += 1);
    assert!(drained.is_empty);
    (drained.dropped, drained.strangers, came)
}

#[test]
fn strangers_are_dropped_unread_and_counted_apart_from_what_there_was_no_room_for() {
    let (mut inlet, address) = inlet(16 << 10);
    let (source, stranger, mut reader) = (sender(), sender(), Reader::new());
    let send = |from: &UdpSocket, count: usize| {
        for _ in 0..count {
            from.send_to(&[0; 172], address).unwrap();
        }
    };
    // A flood that finds no filter: there is no room for most of it, and no drain has said so.
    send(&stranger, 300);
    let (lost, strangers, read) = counts(&mut inlet, &mut reader);
    assert_eq!((lost, strangers), (0, 0));
    assert!(read < 100, "{read}");
    inlet.hear_only(only(&source));
    send(&stranger, 5_000);
    send(&source, 1);
    let (lost, strangers, came) = counts(&mut inlet, &mut reader);
    assert_eq!(
        lost as usize,
        300 - read,
        "before the filter: for want of room"
    );
    assert_eq!((strangers, came), (5_000, 1));
    // What no datagram tells of is there for the asking, and told once.
    send(&stranger, 7);
    assert_eq!(counts(&mut inlet, &mut reader), (0, 0, 0));
    assert_eq!((inlet.take_strangers(), inlet.take_strangers()), (7, 0));
    // A source that floods its own port: for want of room, though strangers are dropped too.
    send(&source, 300);
    send(&stranger, 3);
    let (lost, strangers, came) = counts(&mut inlet, &mut reader);
    assert_eq!((lost, strangers), (0, 0), "said with the next one");
    send(&source, 1);
    let (lost, strangers, _) = counts(&mut inlet, &mut reader);
    assert_eq!(lost as usize + strangers as usize + came, 303);
    // With the filter away everybody comes again.
    send(&stranger, 2);
    inlet.hear_only(None);
    send(&stranger, 4);
    assert_eq!(counts(&mut inlet, &mut reader), (0, 2, 4));
}

#[test]
fn what_had_come_before_the_filter_is_read() {
    let (mut inlet, address) = inlet(200_000);
    let (source, stranger) = (sender(), sender());
    for from in [&stranger, &source] {
        from.send_to(&[0; 172], address).unwrap();
    }
    inlet.hear_only(only(&source));
    assert_eq!(counts(&mut inlet, &mut Reader::new()), (0, 0, 2));
}
