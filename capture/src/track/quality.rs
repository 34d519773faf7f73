//! What is told of a track beside its counts.
//!
//! Called by [`crate::call`]; a part of [`crate::track`].

use reeld_model::TrackQuality;
use reeld_model::quality::MOST_NAMES;

use super::TrackState;

impl TrackState {
    /// What is known of it beside its counts. A recording's own (gaps, concealed ranges) are its own
    /// to tell.
    pub(crate) fn quality(&self) -> TrackQuality {
        let undecodable = (0..128_u8).filter(|number| self.undecodable >> number & 1 == 1);
        let named = undecodable.map(|number| self.payloads.describe(number));
        let sources = self.source.heard_so_far().iter();
        TrackQuality {
            // From sixteenths of a sample. A sender may stamp its packets with anything.
            jitter_us: u64::try_from(self.jitter)
                .unwrap_or(0)
                .saturating_mul(1_000_000)
                / 16
                / u64::from(self.rate_hz),
            drift_ppb: self.known().drift_ppb,
            codecs: self
                .codecs
                .iter()
                .map(|name| name.as_str().to_owned())
                .collect(),
            undecodable: named.take(MOST_NAMES).collect(),
            sources: sources.map(ToString::to_string).collect(),
            srtp: self
                .srtp
                .as_ref()
                .and_then(|srtp| srtp.heard())
                .map(str::to_owned),
            ..TrackQuality::default()
        }
    }
}
