//! A call with a voice on both tracks, recorded as one channel and as two.
//!
//! Called by the tests of encoded representations; calls [`crate::client`] and [`crate::sender`] with
//! sipp's own capture of a voice.

use std::time::Duration;

use crate::client::{Client, Started, call_sid};
use crate::sender::{Part, Playing, Sender};
use crate::{capture_file, script::Script};

/// Starts an inbound and a dual recording of one call, plays the voice to both tracks, the second half
/// a second later, and gives back the recordings, which still run.
///
/// # Panics
/// When a recording cannot be started, or sipp's capture is not there.
#[must_use]
pub fn recorded(client: &Client) -> (Started, Started) {
    let mono = client.start(&call_sid(1), &[("RecordingTrack", "inbound")]);
    let dual = client.start(&call_sid(1), &[("RecordingChannels", "dual")]);
    let voice = capture_file::read(&capture_file::of_sipp("g711a.pcap"));
    let mut later: Script = voice.clone();
    later
        .0
        .iter_mut()
        .for_each(|cue| cue.at += Duration::from_millis(500));
    let part = |to, script| Part {
        sender: Sender::new(),
        to,
        script,
    };
    Playing::start(vec![
        part(dual.inbound(), voice),
        part(dual.outbound(), later),
    ])
    .finish();
    (mono, dual)
}
