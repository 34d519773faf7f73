//! Pauses of one recording, as spans of places.
//!
//! Called by [`crate::recording`]. A pause is kept as a span rather than as a switch, since a packet
//! from before it may still come, and one from within it may come after it: what counts is where the
//! sound lies, not when it arrived.

use reeld_model::{MediaPlace, PauseBehavior};
use serde::{Deserialize, Serialize};

/// Spans that may be unsettled at once. A pause is a request to the API and the window is 200 ms, so
/// more are not in earnest: the oldest two become one then, and what lay between them is left out.
const MOST: usize = 16;

/// What a stretch of the timeline is to the recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stretch {
    /// Taken as it is.
    Running,
    /// Paused: left out, or silence.
    Paused(PauseBehavior),
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Span {
    from: MediaPlace,
    until: Option<MediaPlace>,
    behavior: PauseBehavior,
}

/// The spans, oldest first, that do not overlap; only the last may be open.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Pauses(Vec<Span>);

impl Pauses {
    /// Begins a pause.
    pub(crate) fn begin(&mut self, from: MediaPlace, behavior: PauseBehavior) {
        let from = self
            .0
            .last()
            .and_then(|last| last.until)
            .map_or(from, |end| end.max(from));
        if self.0.len() == MOST {
            self.0[1].from = self.0[0].from;
            self.0.remove(0);
        }
        self.0.push(Span {
            from,
            until: None,
            behavior,
        });
    }

    /// Ends the running pause.
    pub(crate) fn end(&mut self, until: MediaPlace) {
        if let Some(last) = self.0.last_mut() {
            last.until = Some(until.max(last.from));
        }
    }

    /// What the timeline is from `place` on, and up to where it is that, `to` at most.
    pub(crate) fn stretch(&self, place: MediaPlace, to: MediaPlace) -> (Stretch, MediaPlace) {
        for span in &self.0 {
            if place < span.from {
                return (Stretch::Running, to.min(span.from));
            }
            if span.until.is_none_or(|until| place < until) {
                let end = span.until.map_or(to, |until| until.min(to));
                return (Stretch::Paused(span.behavior), end);
            }
        }
        (Stretch::Running, to)
    }

    /// Forgets the spans that end at or before `place`.
    pub(crate) fn forget(&mut self, place: MediaPlace) {
        self.0
            .retain(|span| span.until.is_none_or(|until| until > place));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_follow_the_spans() {
        let mut pauses = Pauses::default();
        pauses.begin(MediaPlace(100), PauseBehavior::Skip);
        pauses.end(MediaPlace(200));
        pauses.begin(MediaPlace(150), PauseBehavior::Silence);
        let to = MediaPlace(1_000);
        assert_eq!(
            pauses.stretch(MediaPlace(0), to),
            (Stretch::Running, MediaPlace(100))
        );
        assert_eq!(
            pauses.stretch(MediaPlace(100), to),
            (Stretch::Paused(PauseBehavior::Skip), MediaPlace(200)),
        );
        assert_eq!(
            pauses.stretch(MediaPlace(200), to),
            (Stretch::Paused(PauseBehavior::Silence), to),
        );
        pauses.end(MediaPlace(300));
        pauses.forget(MediaPlace(250));
        assert_eq!(pauses.stretch(MediaPlace(300), to), (Stretch::Running, to));
    }
}
