//! A call in virtual time: µ-law given to the capture core in packets of 20 ms, without a socket or a
//! clock, and what three recordings with a verb's rules make of it.
//!
//! Called by `tests/voice_activity.rs` and, included by its path, by `tests/scores/voice_activity/`.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reeld_capture::{Call, Dtmf, Output, Port, Rate, Settings};
use reeld_model::{
    AccountSid, CallSid, Channels, EndedBy, Mono, OpenCall, RecordingSid, Rules, StartRecording,
    Track, TrackSelection, Trim,
};

/// Samples of a packet.
const PACKET: usize = 160;

/// What the recordings of one call came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Where each timeout ended its recording, in samples from the call's first one; `None` where it had
    /// not when the call was over.
    pub ended: Vec<Option<u64>>,
    /// What trimming left, in samples from the call's first one: from and up to.
    pub kept: (u64, u64),
}

fn settings() -> Settings {
    Settings {
        reorder_window: Duration::from_millis(200),
        first_packet: Duration::from_secs(60),
        inactivity: Duration::from_secs(300),
        max_length: Duration::from_secs(12 * 3600),
        conceal: true,
        dtmf: Dtmf::Silence,
        rate: Rate::Narrow,
        allow: vec!["127.0.0.0/8".parse().expect("a network")],
        advertise: Ipv4Addr::LOCALHOST.into(),
        secret: reeld_capture::Secret::default(),
    }
}

/// Plays `codes` to recordings with these timeouts, and to one that is trimmed.
///
/// # Panics
/// When the call cannot be opened or recorded, or a recording does not end in order.
#[must_use]
pub fn play(codes: &[u8], timeouts: &[Duration]) -> Outcome {
    let opened = Mono(1_000_000_000);
    let open = OpenCall {
        tracks: TrackSelection::Inbound,
        ..OpenCall::new(
            AccountSid::from_bytes([1; 16]),
            CallSid::from_bytes([2; 16]),
        )
    };
    let ports = [Some(20_000), None];
    let mut call = Call::open(open, ports, Arc::new(settings()), opened, 0).expect("a call");
    let sid = |number: usize| RecordingSid::from_bytes([u8::try_from(number).unwrap_or(255); 16]);
    let trimmed = sid(timeouts.len());
    for (number, timeout) in timeouts.iter().map(Some).chain([None]).enumerate() {
        let start = StartRecording {
            trim: if timeout.is_some() {
                Trim::DoNotTrim
            } else {
                Trim::TrimSilence
            },
            rules: Rules {
                timeout: timeout.copied(),
                ..Rules::default()
            },
            ..StartRecording::new(sid(number), Channels::Mono, TrackSelection::Inbound)
        };
        call.start(opened, start).expect("it can be recorded");
    }
    let from = SocketAddr::from((Ipv4Addr::LOCALHOST, 40_000));
    let mut ended = BTreeMap::new();
    let mut begun = opened;
    let mut take = |call: &mut Call| {
        while let Some(output) = call.poll_output() {
            match output {
                Output::Started { recording, at, .. } if recording == trimmed => begun = at,
                Output::Ended {
                    recording, summary, ..
                } => {
                    ended.insert(recording, (summary.ended_by, summary.frames));
                }
                Output::Started { .. } | Output::Audio { .. } | Output::Silence { .. } => {}
            }
        }
    };
    let mut now = opened;
    for (payload, number) in codes.chunks(PACKET).zip(0_u16..) {
        now = now + Duration::from_millis(20);
        let mut packet = vec![0x80, 0];
        packet.extend(number.to_be_bytes());
        packet.extend((u32::from(number) * 160).to_be_bytes());
        packet.extend([0, 0, 0, 9]);
        packet.extend(payload);
        call.handle_datagram(Track::Inbound, Port::Rtp, from, now, &packet);
        if number % 3 == 0 {
            call.handle_tick(now);
        }
        take(&mut call);
    }
    call.complete(now, EndedBy::CallCompleted);
    take(&mut call);
    let lead = u64::try_from(begun.since(opened).as_micros() * 8 / 1_000).unwrap_or(0);
    let of = |number: usize| ended.get(&sid(number)).copied().expect("it ended");
    Outcome {
        ended: (0..timeouts.len())
            .map(|number| match of(number) {
                (EndedBy::Timeout, frames) => Some(frames),
                _ => None,
            })
            .collect(),
        kept: (lead, lead + of(timeouts.len()).1),
    }
}
