//! The least delay of late, whatever the places' own error.
//!
//! Called by [`crate::segment`] with each packet's lateness.

use serde::{Deserialize, Serialize};

/// The least lateness of the last 25 to 50 packets.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Recent {
    before: i64,
    least: i64,
    count: u32,
}

impl Recent {
    /// Packets that tell the least delay.
    const ENOUGH: u32 = 25;

    pub(super) fn new() -> Self {
        Self {
            before: i64::MAX,
            least: i64::MAX,
            count: 0,
        }
    }

    pub(super) fn note(&mut self, lateness: i64) {
        self.least = self.least.min(lateness);
        self.count += 1;
        if self.count == Self::ENOUGH {
            *self = Self {
                before: self.least,
                ..Self::new()
            };
        }
    }

    pub(super) fn follow(&mut self, by: i64) {
        for least in [&mut self.before, &mut self.least] {
            *least = least.saturating_sub(if *least == i64::MAX { 0 } else { by });
        }
    }

    pub(super) fn least(&self) -> i64 {
        let least = self.before.min(self.least);
        if least == i64::MAX { 0 } else { least }
    }
}
