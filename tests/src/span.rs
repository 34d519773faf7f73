//! When things happened, as a test can know it from outside: a request acts between its sending and
//! its answer, a sample lies where its packet's arrival puts it.

use std::time::{Duration, Instant};

use crate::script::duration_of;

/// What an edge may differ by: contract.md's 20 ms for "exact", and the machine's own lateness in
/// telling us the time.
const SLACK: Duration = Duration::from_millis(30);

/// The time between a request and its answer: the daemon acted within it.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    from: Instant,
    to: Instant,
}

impl Span {
    /// Does `act`, and when.
    pub fn of<T>(act: impl FnOnce() -> T) -> (Self, T) {
        let from = Instant::now();
        let done = act();
        (
            Self {
                from,
                to: Instant::now(),
            },
            done,
        )
    }

    /// Whether the instant surely lies before what the daemon did.
    #[must_use]
    pub fn is_after(&self, at: Instant) -> bool {
        at + SLACK < self.from
    }

    /// Whether the instant surely lies after what the daemon did.
    #[must_use]
    pub fn is_before(&self, at: Instant) -> bool {
        at > self.to + SLACK
    }

    /// Holds an edge in a recording to be where the daemon acted.
    ///
    /// # Panics
    /// When it is elsewhere.
    #[track_caller]
    pub fn assert_holds(&self, what: &str, at: Instant) {
        let early = self.from.saturating_duration_since(at);
        let late = at.saturating_duration_since(self.to);
        assert!(early <= SLACK, "{what}: {early:?} before the request");
        assert!(late <= SLACK, "{what}: {late:?} after the answer");
    }
}

/// The instant of a tape's sample: a packet's samples end when it arrives.
///
/// `sent` are the times of its packets, `packet` the samples in each.
#[must_use]
pub fn instant_of(sample: usize, sent: &[Instant], packet: usize) -> Instant {
    let number = (sample / packet).min(sent.len() - 1);
    let end = (number + 1) * packet;
    if sample > end {
        sent[number] + duration_of((sample - end) as u64)
    } else {
        sent[number] - duration_of((end - sample) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_end_at_their_packets_arrival() {
        let start = Instant::now();
        let sent = [start, start + Duration::from_millis(20)];
        assert_eq!(instant_of(160, &sent, 160), start);
        assert_eq!(instant_of(0, &sent, 160), start - Duration::from_millis(20));
        assert_eq!(
            instant_of(240, &sent, 160),
            start + Duration::from_millis(10)
        );
        assert_eq!(
            instant_of(400, &sent, 160),
            start + Duration::from_millis(30)
        );
    }

    #[test]
    fn a_span_knows_before_and_after() {
        let (span, ()) = Span::of(|| ());
        let second = Duration::from_secs(1);
        assert!(span.is_after(span.from - second) && !span.is_before(span.from - second));
        assert!(span.is_before(span.to + second) && !span.is_after(span.to + second));
        span.assert_holds("the edge", span.from);
    }
}
