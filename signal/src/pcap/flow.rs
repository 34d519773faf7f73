//! Streams of RTP in a capture, found by what they look like.
//!
//! Called by [`super::plan`] for each UDP datagram of the first pass. A flow is a pair of addresses,
//! in one direction; a span of it ends where nothing comes for [`SPLIT`].
//!
//! RTP has no mark of its own: a flow counts as RTP once [`CONSISTENT`] packets on end have version
//! 2, a payload type outside RTCP's, one SSRC and steps of at most [`NEAR`] in sequence (RFC 3550
//! §A.1 has the same idea; the numbers are those of `capture`'s source lock, so that what is found
//! here is heard there).
//!
//! Bound: [`MOST_FLOWS`] flows, [`MOST_SPANS`] spans; noise goes first.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

/// Packets on end that make a stream.
const CONSISTENT: u32 = 5;

/// The most that sequence numbers of two packets on end may lie apart.
const NEAR: u16 = 16;

/// Silence that ends a span.
const SPLIT: Duration = Duration::from_secs(1);

/// Flows that are looked at at once.
const MOST_FLOWS: usize = 65_536;

/// Spans of all flows.
const MOST_SPANS: usize = 1 << 20;

/// A flow that has shown nothing for this long goes where room is needed.
const NOISE: Duration = Duration::from_secs(10);

/// Both addresses, from and to.
pub(super) type Pair = (SocketAddr, SocketAddr);

/// A run of packets without a gap of [`SPLIT`]. Times are nanoseconds from the file's start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) begins: u64,
    pub(super) ends: u64,
    pub(super) packets: u64,
    /// Whether it looks like RTP beyond doubt.
    pub(super) is_sure: bool,
}

#[derive(Debug)]
pub(super) struct Flow {
    pub(super) spans: Vec<Span>,
    ssrc: u32,
    sequence: u16,
    on_end: u32,
}

/// All flows.
#[derive(Debug, Default)]
pub(super) struct Flows {
    pub(super) flows: HashMap<Pair, Flow>,
    spans: usize,
    /// Packets that found no room.
    pub(super) left_out: u64,
}

/// The head of what may be RTP: its sequence number and SSRC.
pub(super) fn rtp_head(datagram: &[u8]) -> Option<(u16, u32)> {
    let [first, kind, high, low, _, _, _, _, a, b, c, d, ..] = *datagram else {
        return None;
    };
    // RFC 5761 §4: second bytes 192 to 223 are RTCP's.
    let is_rtp = first >> 6 == 2 && !(192..=223).contains(&kind);
    is_rtp.then(|| {
        (
            u16::from_be_bytes([high, low]),
            u32::from_be_bytes([a, b, c, d]),
        )
    })
}

/// Whether a datagram is RTCP, by RFC 5761 §4.
pub(super) fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram, [first, 192..=223, ..] if first >> 6 == 2)
}

impl Flows {
    /// Takes a datagram of the first pass.
    pub(super) fn note(&mut self, at: u64, pair: Pair, datagram: &[u8]) {
        let Some((sequence, ssrc)) = rtp_head(datagram) else {
            return;
        };
        if !self.flows.contains_key(&pair) && self.flows.len() >= MOST_FLOWS {
            self.sweep(at);
        }
        if self.flows.len() >= MOST_FLOWS && !self.flows.contains_key(&pair) {
            self.left_out += 1;
            return;
        }
        let flow = self.flows.entry(pair).or_insert_with(|| Flow {
            spans: Vec::new(),
            ssrc,
            sequence: sequence.wrapping_sub(1),
            on_end: 0,
        });
        let step = sequence.wrapping_sub(flow.sequence);
        let is_near = step.min(step.wrapping_neg()) <= NEAR && ssrc == flow.ssrc;
        flow.on_end = match (is_near, step) {
            // The same packet twice shows nothing.
            (true, 0) => flow.on_end.max(1),
            (true, _) => flow.on_end.saturating_add(1),
            (false, _) => 1,
        };
        (flow.ssrc, flow.sequence) = (ssrc, sequence);
        let is_sure = flow.on_end >= CONSISTENT;
        let split = u64::try_from(SPLIT.as_nanos()).unwrap_or(u64::MAX);
        match flow.spans.last_mut() {
            Some(span) if at.saturating_sub(span.ends) < split => {
                span.ends = span.ends.max(at);
                span.packets += 1;
                span.is_sure |= is_sure;
            }
            // Where there is no room for another, the last one grows.
            Some(span) if self.spans >= MOST_SPANS => {
                span.ends = span.ends.max(at);
                span.packets += 1;
                span.is_sure |= is_sure;
            }
            Some(_) | None => {
                self.spans += 1;
                flow.spans.push(Span {
                    begins: at,
                    ends: at,
                    packets: 1,
                    is_sure,
                });
            }
        }
    }

    /// Forgets what has shown nothing.
    fn sweep(&mut self, now: u64) {
        let noise = u64::try_from(NOISE.as_nanos()).unwrap_or(u64::MAX);
        self.flows.retain(|_, flow| {
            flow.spans.iter().any(|span| span.is_sure)
                || flow
                    .spans
                    .last()
                    .is_some_and(|span| now.saturating_sub(span.ends) < noise)
        });
        self.spans = self.flows.values().map(|flow| flow.spans.len()).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(sequence: u16, ssrc: u32) -> Vec<u8> {
        let mut bytes = vec![0x80, 0];
        bytes.extend(sequence.to_be_bytes());
        bytes.extend(7_u32.to_be_bytes());
        bytes.extend(ssrc.to_be_bytes());
        bytes
    }

    fn pair() -> Pair {
        (
            "192.0.2.1:4000".parse().unwrap(),
            "192.0.2.2:5000".parse().unwrap(),
        )
    }

    #[test]
    fn five_consistent_packets_are_a_stream_and_noise_is_none() {
        let mut flows = Flows::default();
        for number in 0..4_u16 {
            flows.note(
                u64::from(number),
                pair(),
                &packet(number.wrapping_sub(2), 9),
            );
        }
        assert!(!flows.flows[&pair()].spans[0].is_sure);
        flows.note(4, pair(), &packet(1, 9));
        assert!(!flows.flows[&pair()].spans[0].is_sure, "it came twice");
        flows.note(5, pair(), &packet(2, 9));
        assert!(flows.flows[&pair()].spans[0].is_sure);

        let mut noise = Flows::default();
        for number in 0..100_u16 {
            noise.note(
                u64::from(number),
                pair(),
                &packet(number.wrapping_mul(977), 9),
            );
            noise.note(u64::from(number), pair(), &[0x80; 11]);
        }
        assert!(!noise.flows[&pair()].spans[0].is_sure);
    }

    #[test]
    fn a_second_of_nothing_ends_a_span() {
        let mut flows = Flows::default();
        for at in [0, 999_999_999, 1_999_999_999] {
            flows.note(at, pair(), &packet(1, 9));
        }
        let spans = &flows.flows[&pair()].spans;
        assert_eq!((spans[0].ends, spans[0].packets), (999_999_999, 2));
        assert_eq!((spans[1].begins, spans[1].packets), (1_999_999_999, 1));
    }

    #[test]
    fn flows_are_bounded_and_streams_stay() {
        let mut flows = Flows::default();
        for number in 0..5 {
            flows.note(0, pair(), &packet(number, 9));
        }
        for number in 0..200_000_u32 {
            let from = SocketAddr::from((number.to_be_bytes(), 1));
            let at = u64::from(number) * 1_000_000;
            flows.note(at, (from, pair().1), &packet(1, number));
        }
        assert!(flows.flows.len() <= MOST_FLOWS);
        assert!(flows.flows.contains_key(&pair()));
    }
}
