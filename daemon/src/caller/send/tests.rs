//! What is sent arrives: every packet, in order, from the right source, in time, and makes the
//! sound again.

use std::collections::HashSet;

use reeld_codec::g711::{self, Law};
use reeld_model::Track;

use super::super::sound::Sound;
use super::*;

const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// A plan of calls to sockets of this test, which it also returns.
fn plan(calls: u64, packets: u64, sockets: Sockets) -> (Plan, Vec<UdpSocket>) {
    let mut streams = Vec::new();
    let mut receivers = Vec::new();
    for call in 0..calls {
        for track in Track::ALL {
            let receiver = UdpSocket::bind((LOOPBACK, 0)).unwrap();
            receiver
                .set_read_timeout(Some(Duration::from_secs(10)))
                .unwrap();
            let to = receiver.local_addr().unwrap();
            let mut stream = Stream::new(to, Sound::voice(5, call, track), packets, call);
            if track == Track::Outbound {
                (stream.law, stream.ptime_ms) = (Law::A, 30);
            }
            streams.push(stream);
            receivers.push(receiver);
        }
    }
    let threads = NonZero::new(2).unwrap();
    (
        Plan {
            streams,
            sockets,
            from: LOOPBACK,
            threads,
            bundle: NonZero::<usize>::MIN,
            ahead: false,
        },
        receivers,
    )
}

#[test]
fn every_packet_arrives_in_order_and_makes_the_sound_again() {
    for sockets in [Sockets::PerStream, Sockets::PerThread] {
        let packets = 20;
        let (plan, receivers) = plan(10, packets, sockets);
        let sent = send(&plan, &AtomicBool::new(false)).unwrap();
        assert_eq!(sent.packets, vec![packets; 20]);
        assert_eq!(sent.refused, 0);
        let mut sources = HashSet::new();
        for (stream, receiver) in plan.streams.iter().zip(&receivers) {
            let mut heard = Vec::new();
            for number in 0..packets {
                let mut packet = [0; 2_000];
                let (bytes, source) = receiver.recv_from(&mut packet).unwrap();
                sources.insert(source);
                assert_eq!(packet[..12], stream.header(number).to_bytes());
                assert_eq!(bytes, 12 + stream.samples_per_packet());
                g711::decode_to(stream.law, &packet[12..bytes], &mut heard);
            }
            let exact = stream.compare(heard).unwrap();
            assert_eq!((exact.before, exact.after), (0, 0));
        }
        let expected = if sockets == Sockets::PerStream { 20 } else { 2 };
        assert_eq!(sources.len(), expected);
    }
}

#[test]
fn packets_that_leave_together_arrive_one_by_one_and_as_often_a_second() {
    for sockets in [Sockets::PerStream, Sockets::PerThread] {
        let (mut plan, receivers) = plan(10, 20, sockets);
        plan.bundle = NonZero::new(3).unwrap();
        let mixed = send(&plan, &AtomicBool::new(false)).unwrap_err();
        assert_eq!(mixed.kind(), io::ErrorKind::InvalidInput);

        for stream in &mut plan.streams {
            stream.ptime_ms = 20;
        }
        let begun = Instant::now();
        let sent = send(&plan, &AtomicBool::new(false)).unwrap();
        // Twenty packets are seven turns of 60 ms, of which the last leaves 360 ms after the first.
        assert!(begun.elapsed() >= Duration::from_millis(360));
        assert_eq!((sent.packets, sent.refused), (vec![20; 20], 0));
        for (stream, receiver) in plan.streams.iter().zip(&receivers) {
            let mut heard = Vec::new();
            for number in 0..20 {
                let mut packet = [0; 2_000];
                let bytes = receiver.recv(&mut packet).unwrap();
                assert_eq!(packet[..12], stream.header(number).to_bytes());
                g711::decode_to(stream.law, &packet[12..bytes], &mut heard);
            }
            let exact = stream.compare(heard).unwrap();
            assert_eq!((exact.before, exact.after), (0, 0));
        }
    }
}

#[test]
fn packets_are_paced_and_spread_over_the_packet_time() {
    let (plan, _receivers) = plan(20, 10, Sockets::PerStream);
    let begun = Instant::now();
    send(&plan, &AtomicBool::new(false)).unwrap();
    // The last of ten packets of 30 ms leaves 270 ms after the first.
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(270), "{took:?}");

    let mut lane = Lane::new(&plan, None);
    for index in 0..plan.streams.len() {
        lane.add(index, &plan).unwrap();
    }
    let fullest = lane.wheel.iter().map(Vec::len).max();
    assert!(
        fullest <= Some(2),
        "40 streams over 20 and 30 ms: {fullest:?} in one"
    );
}

#[test]
fn sending_stops_when_it_is_told_to() {
    let (plan, receivers) = plan(2, 1_000_000, Sockets::PerThread);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let sending = scope.spawn(|| send(&plan, &stop).unwrap());
        // The first packet proves that it runs.
        let mut packet = [0; 2_000];
        receivers[0].recv_from(&mut packet).unwrap();
        stop.store(true, Ordering::Relaxed);
        let sent = sending.join().unwrap();
        assert!(sent.packets.iter().all(|&packets| packets < 1_000_000));
    });
}

#[test]
fn what_the_kernel_refuses_is_counted() {
    let (mut plan, _receivers) = plan(1, 3, Sockets::PerThread);
    // Port 0 cannot be sent to.
    plan.streams[0].to.set_port(0);
    let sent = send(&plan, &AtomicBool::new(false)).unwrap();
    assert_eq!((sent.packets, sent.refused), (vec![0, 3], 3));
}
