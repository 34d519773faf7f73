//! How much sound may lie between media threads and disk: `capture.backlog_bytes`.
//!
//! `outbox` asks for room for what its call puts out; the room goes with the output, through the
//! outbox and the sink's queues, and is free again when whoever wrote it drops it. So one bound holds
//! for all threads and all queues, in bytes.

use std::sync::Arc;

use reeld_capture::Output;
use reeld_model::{Channels, Mono};

use crate::clock::monotonic;
use crate::sync::atomic::{AtomicU64, Ordering};

/// The bound and how much of it is used.
#[derive(Debug)]
pub(crate) struct Backlog {
    most: u64,
    bytes: AtomicU64,
}

impl Backlog {
    /// Room for `most` bytes of sound.
    pub(crate) fn new(most: u64) -> Self {
        Self {
            most,
            bytes: AtomicU64::new(0),
        }
    }

    /// Bytes that there may be.
    pub(crate) const fn most(&self) -> u64 {
        self.most
    }

    /// Bytes that there are.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// An output with the room that it takes. Where there is none for its sound, silence of the same
    /// length stands in its place; how many frames of it, for a recording of these `channels`.
    pub(crate) fn admit(self: &Arc<Self>, output: Output, channels: Channels) -> (Queued, u64) {
        let Output::Audio {
            recording,
            ref samples,
            keep_frames,
        } = output
        else {
            return (Queued::outside(output), 0);
        };
        let bytes = size_of_val(samples.as_slice()) as u64;
        let taken = self
            .bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                taken.checked_add(bytes).filter(|sum| *sum <= self.most)
            });
        if taken.is_err() {
            let frames = (samples.len() / usize::from(channels.count())) as u64;
            let silence = Output::Silence {
                recording,
                frames,
                keep_frames,
            };
            return (Queued::outside(silence), frames);
        }
        let room = Room {
            bytes,
            backlog: Arc::clone(self),
        };
        let queued = Queued {
            output,
            since: monotonic(),
            _room: Some(room),
        };
        (queued, 0)
    }
}

/// An output on its way to the disk, with the room that it takes. Dropped, the room is free.
#[derive(Debug)]
pub struct Queued {
    output: Output,
    since: Mono,
    _room: Option<Room>,
}

impl Queued {
    /// One that no media thread has put out, and that takes no room.
    #[must_use]
    pub fn outside(output: Output) -> Self {
        Self {
            output,
            since: monotonic(),
            _room: None,
        }
    }

    /// What is to be done.
    #[must_use]
    pub const fn output(&self) -> &Output {
        &self.output
    }

    /// What is to be done, and the room is free.
    #[must_use]
    pub fn into_output(self) -> Output {
        self.output
    }

    /// Since when it waits.
    #[must_use]
    pub const fn since(&self) -> Mono {
        self.since
    }

    /// Silence behind silence of the same recording becomes one. Says whether it was that.
    pub(crate) fn lengthen(&mut self, by: &Output) -> bool {
        let (
            Output::Silence {
                frames,
                keep_frames,
                ..
            },
            Output::Silence {
                frames: more,
                keep_frames: keep,
                ..
            },
        ) = (&mut self.output, by)
        else {
            return false;
        };
        *frames = frames.saturating_add(*more);
        *keep_frames = *keep;
        true
    }
}

/// Room for some bytes.
#[derive(Debug)]
struct Room {
    bytes: u64,
    backlog: Arc<Backlog>,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.backlog.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use reeld_model::RecordingSid;

    use super::*;

    fn audio(samples: usize) -> Output {
        Output::Audio {
            recording: RecordingSid::from_bytes([0; 16]),
            samples: vec![0; samples],
            keep_frames: 0,
        }
    }

    #[test]
    fn racing_threads_never_go_over_the_bound_and_all_of_it_comes_back() {
        let backlog = Arc::new(Backlog::new(1_000));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        let one = backlog.admit(audio(200), Channels::Mono);
                        assert!(backlog.bytes() <= 1_000);
                        drop(one);
                    }
                });
            }
        });
        assert_eq!(backlog.bytes(), 0);
        let (held, silenced) = backlog.admit(audio(500), Channels::Dual);
        assert_eq!((backlog.bytes(), silenced), (1_000, 0));
        let (silence, silenced) = backlog.admit(audio(2), Channels::Dual);
        assert!(matches!(
            silence.into_output(),
            Output::Silence { frames: 1, .. }
        ));
        assert_eq!((backlog.bytes(), silenced), (1_000, 1));
        drop(held.into_output());
        assert_eq!(backlog.bytes(), 0);
    }
}
