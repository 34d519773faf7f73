//! A sink with little room: nothing is out of order, nothing but sound is lost, and the timeline
//! stays whole.

use super::*;
use crate::backlog::Backlog;
use crate::leg::Binding;
use crate::ports::Ports;
use crate::quota::Quota;
use proptest::prelude::*;
use reeld_model::{EndedBy, Summary};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;

/// Takes as many outputs as it is given credit for.
#[derive(Default)]
struct Narrow {
    credit: usize,
    taken: Vec<Output>,
}

struct NarrowSink(Arc<Mutex<Narrow>>);

impl Sink for NarrowSink {
    fn push(&mut self, queued: Queued) -> Result<(), Queued> {
        let mut narrow = self.0.lock().unwrap();
        if narrow.credit == 0 {
            return Err(queued);
        }
        narrow.credit -= 1;
        narrow.taken.push(queued.into_output());
        Ok(())
    }
}

fn outbox(room: u64) -> (Outbox, Arc<Mutex<Narrow>>, Arc<Shared>) {
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let ports = Arc::new(Mutex::new(Ports::new(20_000..=20_001)));
    let binding = Binding {
        address,
        receive_buffer: 0,
        ports,
    };
    let call_settings = reeld_capture::Settings {
        reorder_window: Duration::ZERO,
        first_packet: Duration::ZERO,
        inactivity: Duration::ZERO,
        max_length: Duration::ZERO,
        conceal: false,
        dtmf: reeld_capture::Dtmf::Silence,
        rate: reeld_capture::Rate::Narrow,
        allow: Vec::new(),
        advertise: address,
        secret: reeld_capture::Secret::default(),
    };
    let shared = Arc::new(Shared::new(
        binding,
        Quota::new(1),
        Backlog::new(room),
        call_settings,
        1,
    ));
    let narrow = Arc::default();
    let outbox = Outbox::new(
        Box::new(NarrowSink(Arc::clone(&narrow))),
        Arc::clone(&shared),
    );
    (outbox, narrow, shared)
}

fn sid(number: u8) -> RecordingSid {
    RecordingSid::from_bytes([number; 16])
}

fn ended(recording: RecordingSid, frames: u64) -> Output {
    let summary = Summary {
        ended_by: EndedBy::Stopped,
        frames,
        digits: String::new(),
        tracks: Default::default(),
        quality: Default::default(),
        rate_hz: 8_000,
    };
    Output::Ended {
        recording,
        at: Mono(1),
        summary: Box::new(summary),
    }
}

#[test]
fn a_sink_with_room_gets_all_of_a_tick_at_its_end() {
    let (mut outbox, narrow, _) = outbox(0);
    narrow.lock().unwrap().credit = 2;
    outbox.push(
        Output::Started {
            recording: sid(1),
            at: Mono(0),
            rate_hz: 8_000,
        },
        Channels::Mono,
    );
    outbox.push(ended(sid(1), 0), Channels::Mono);
    assert_eq!(narrow.lock().unwrap().taken.len(), 0);
    outbox.flush();
    assert_eq!(narrow.lock().unwrap().taken.len(), 2);
}

#[test]
fn a_sink_that_stands_still_costs_one_entry_of_silence() {
    let (mut outbox, narrow, shared) = outbox(2 * 160 * 2);
    for count in 1..=1_000_u64 {
        let samples = vec![1; 320];
        outbox.push(
            Output::Audio {
                recording: sid(1),
                samples,
                keep_frames: count * 160,
            },
            Channels::Dual,
        );
        outbox.flush();
    }
    assert_eq!(outbox.waiting[&sid(1)].len(), 2);
    assert_eq!(shared.gauges().overrun_frames, 999 * 160);
    narrow.lock().unwrap().credit = 10;
    outbox.flush();
    let silence = Output::Silence {
        recording: sid(1),
        frames: 999 * 160,
        keep_frames: 1_000 * 160,
    };
    assert_eq!(narrow.lock().unwrap().taken[1], silence);
    assert!(outbox.turns.is_empty() && outbox.waiting.is_empty() && shared.backlog.bytes() == 0);
}

proptest! {
    #[test]
    fn each_recording_s_outputs_leave_in_order_and_its_frames_are_whole(
        steps in prop::collection::vec((0..3u8, 1..50usize, any::<bool>(), 0..3usize), 1..150),
    ) {
        let room = 400;
        let (mut outbox, narrow, shared) = outbox(room);
        let mut appended = [0_u64; 3];
        for (which, frames, silent, credit) in steps {
            narrow.lock().unwrap().credit += credit;
            let recording = sid(which);
            let sum = &mut appended[usize::from(which)];
            if *sum == 0 {
                outbox.push(Output::Started { recording, at: Mono(0), rate_hz: 8_000 }, Channels::Mono);
            }
            *sum += frames as u64;
            let keep_frames = *sum;
            let output = if silent {
                Output::Silence { recording, frames: frames as u64, keep_frames }
            } else {
                Output::Audio { recording, samples: vec![7; frames], keep_frames }
            };
            outbox.push(output, Channels::Mono);
            prop_assert!(shared.backlog.bytes() <= room);
            let held = outbox.waiting.values().flatten().chain(&outbox.fresh);
            let held: u64 = held
                .map(|queued| match queued.output() {
                    Output::Audio { samples, .. } => size_of_val(samples.as_slice()) as u64,
                    Output::Started { .. } | Output::Silence { .. } | Output::Ended { .. } => 0,
                })
                .sum();
            prop_assert_eq!(shared.backlog.bytes(), held);
            outbox.flush();
        }
        for which in 0..3 {
            outbox.push(ended(sid(which), appended[usize::from(which)]), Channels::Mono);
        }
        narrow.lock().unwrap().credit = usize::MAX;
        outbox.finish();
        prop_assert!(outbox.turns.is_empty() && outbox.waiting.is_empty() && outbox.fresh.is_empty());
        let taken = std::mem::take(&mut narrow.lock().unwrap().taken);
        let mut silenced = 0;
        for which in 0..3_u8 {
            let mut outputs = taken.iter().filter(|output| output.recording() == sid(which));
            let mut sum = 0;
            if appended[usize::from(which)] > 0 {
                let started = matches!(outputs.next(), Some(Output::Started { .. }));
                prop_assert!(started);
            }
            for output in outputs.by_ref() {
                match output {
                    Output::Audio { samples, keep_frames, .. } => {
                        sum += samples.len() as u64;
                        prop_assert_eq!(*keep_frames, sum);
                    }
                    Output::Silence { frames, keep_frames, .. } => {
                        sum += frames;
                        silenced += frames;
                        prop_assert_eq!(*keep_frames, sum);
                    }
                    Output::Ended { summary, .. } => {
                        prop_assert_eq!(summary.frames, sum);
                        break;
                    }
                    Output::Started { .. } => prop_assert!(false, "started twice"),
                }
            }
            prop_assert!(outputs.next().is_none());
            prop_assert_eq!(sum, appended[usize::from(which)]);
        }
        prop_assert!(shared.gauges().overrun_frames <= silenced);
    }
}
