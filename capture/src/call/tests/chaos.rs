//! Any packets at any times: nothing panics, and no file is longer than time.

use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;
use reeld_model::{
    ChangeRecording, Channels, EndedBy, PauseBehavior, RecordingSid, StartRecording, Track,
    TrackSelection, Trim,
};

use super::bench::{Bench, open_call, plain, settings};
use crate::{Port, Rate, Settings};

#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    Packet {
        outbound: bool,
        rtcp: bool,
        from: u8,
        head: [u8; 2],
        sequence: u16,
        stamp: u32,
        ssrc: u8,
        length: usize,
    },
    Garbage(Vec<u8>),
    Start(u8, bool, bool),
    Pause(u8, bool),
    Resume(u8),
    Stop(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let packet = (
        any::<(bool, bool)>(),
        0u8..3,
        prop_oneof![
            Just([0x80, 0]),
            Just([0x80, 8]),
            Just([0x80, 101]),
            proptest::sample::select(vec![9, 13, 107, 118]).prop_map(|kind| [0x80, kind]),
            any::<[u8; 2]>()
        ],
        prop_oneof![0u16..200, any::<u16>()],
        prop_oneof![(0u32..200).prop_map(|packet| packet * 160), any::<u32>()],
        0u8..2,
        0usize..400,
    );
    prop_oneof![
        4 => (0u64..3_000).prop_map(Step::Wait),
        20 => packet.prop_map(|((outbound, rtcp), from, head, sequence, stamp, ssrc, length)| {
            Step::Packet { outbound, rtcp, from, head, sequence, stamp, ssrc, length }
        }),
        1 => proptest::collection::vec(any::<u8>(), 0..80).prop_map(Step::Garbage),
        1 => (0u8..4, any::<bool>(), any::<bool>()).prop_map(|(n, dual, trim)| Step::Start(n, dual, trim)),
        1 => (0u8..4, any::<bool>()).prop_map(|(n, skip)| Step::Pause(n, skip)),
        1 => (0u8..4).prop_map(Step::Resume),
        1 => (0u8..4).prop_map(Step::Stop),
    ]
}

fn change(bench: &mut Bench, number: u8, change: ChangeRecording) {
    let sid = RecordingSid::from_bytes([number; 16]);
    // Refusals are part of the play.
    let _ = bench
        .call
        .change(bench.now, reeld_model::RecordingRef::Sid(sid), change);
    bench.drain();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn nothing_panics_and_no_file_outgrows_time(
        is_native: bool,
        steps in proptest::collection::vec(step(), 1..400),
    ) {
        let rate = if is_native { Rate::Native } else { Rate::Narrow };
        let mut bench = Bench::with(Settings { rate, ..settings() }, open_call());
        let begin = bench.now;
        let mut payload = 0u64;
        let mut started = Vec::new();
        for step in steps {
            match step {
                Step::Wait(millis) => bench.run_for(Duration::from_millis(millis)),
                Step::Packet { outbound, rtcp, from, head, sequence, stamp, ssrc, length } => {
                    let track = if outbound { Track::Outbound } else { Track::Inbound };
                    let from = SocketAddr::from(([127, 0, 0, 1], 5_000 + u16::from(from)));
                    let port = if rtcp { Port::Rtcp } else { Port::Rtp };
                    let mut bytes = head.to_vec();
                    bytes.extend(sequence.to_be_bytes());
                    bytes.extend(stamp.to_be_bytes());
                    bytes.extend(u32::from(ssrc).to_be_bytes());
                    bytes.extend(vec![0x23; length]);
                    payload += length.max(2_048) as u64;
                    bench.call.handle_datagram(track, port, from, bench.now, &bytes);
                    bench.drain();
                }
                Step::Garbage(bytes) => {
                    let from = SocketAddr::from(([127, 0, 0, 1], 5_000));
                    bench.call.handle_datagram(Track::Inbound, Port::Rtp, from, bench.now, &bytes);
                    bench.drain();
                }
                Step::Start(number, dual, trim) if !started.contains(&number) => {
                    started.push(number);
                    let channels = if dual { Channels::Dual } else { Channels::Mono };
                    let trim = if trim { Trim::TrimSilence } else { Trim::DoNotTrim };
                    bench.start(number, StartRecording { trim, ..plain(channels, TrackSelection::Both) });
                }
                Step::Start(..) => {}
                Step::Pause(number, skip) => {
                    let behavior = if skip { PauseBehavior::Skip } else { PauseBehavior::Silence };
                    change(&mut bench, number, ChangeRecording::Pause(behavior));
                }
                Step::Resume(number) => change(&mut bench, number, ChangeRecording::Resume),
                Step::Stop(number) => change(&mut bench, number, ChangeRecording::Stop(EndedBy::Stopped)),
            }
        }
        bench.call.complete(bench.now, EndedBy::CallCompleted);
        bench.drain();
        // A file has the time from the first packet to the last, and at most what was received.
        let time = u64::try_from(bench.now.since(begin).as_millis()).unwrap() * 8;
        for number in started {
            let taped = &bench.taped[&RecordingSid::from_bytes([number; 16])];
            prop_assert!(taped.summary.is_some());
            let rate_hz = u64::from(taped.rate_hz.unwrap_or(8_000));
            prop_assert!(is_native || rate_hz == 8_000);
            prop_assert!(taped.frames() as u64 * 8_000 <= (time + payload + 8_000) * rate_hz);
        }
    }
}
