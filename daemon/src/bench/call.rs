//! One call of a measurement, from the start of its recording to the comparison of its file.
//!
//! Called by `load`, `end`, `siprec`, `stall` and `flood`; it calls [`crate::customer`] for the API and [`crate::caller`] for what was
//! said.

use std::time::{Duration, Instant};

use anyhow::Context;
use reeld_model::{CallSid, Track};

use crate::caller::{Seeded, Sound, Stream, dual};
use crate::customer::{Customer, media_address, text};

/// A call that is being recorded.
pub(super) struct Call {
    /// Its path.
    pub(super) path: String,
    /// Its recording.
    pub(super) sid: String,
    /// What is sent into it, in the order of [`Track::ALL`].
    pub(super) streams: [Stream; 2],
}

/// What became of a call.
pub(super) struct Checked {
    /// Packets of both tracks, by the recording's record.
    pub(super) packets: u64,
    /// How tracks differ from what was said: nothing, where both are exact.
    pub(super) differences: Vec<String>,
}

impl Call {
    /// Starts a dual recording on the call with this number, which is not open yet; its streams will
    /// have `packets` packets each, and `receiver` is told once it is completed.
    pub(super) fn start(
        customer: &Customer,
        seed: u64,
        number: u64,
        packets: u64,
        receiver: Option<&str>,
    ) -> anyhow::Result<Self> {
        let call = CallSid::from_external(customer.account, &format!("bench {seed} {number}"));
        let path = customer.path(&format!("/Calls/{call}"));
        let mut form = vec![("RecordingChannels", "dual")];
        form.extend(receiver.map(|url| ("RecordingStatusCallback", url)));
        let answer = customer.post(&format!("{path}/Recordings.json"), &form, 201)?;
        let mut seeds = Seeded::new(seed ^ number.rotate_left(32));
        let mut stream = |track| {
            let sound = Sound::voice(seed, number, track);
            let to = media_address(&answer, track)?;
            anyhow::Ok(Stream::new(to, sound, packets, seeds.next_u64()))
        };
        let streams = [stream(Track::Inbound)?, stream(Track::Outbound)?];
        Ok(Self {
            path,
            sid: text(&answer, "sid")?.to_owned(),
            streams,
        })
    }

    /// Stops its recording and waits until the WAV can be fetched; how long that took.
    pub(super) fn stop_until_fetchable(&self, customer: &Customer) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let path = format!("{}/Recordings/{}.json", self.path, self.sid);
        customer.post(&path, &[("Status", "stopped")], 200)?;
        self.wait_until_fetchable(customer)?;
        Ok(begun.elapsed())
    }

    /// Waits until the WAV of a recording that ends can be fetched.
    pub(super) fn wait_until_fetchable(&self, customer: &Customer) -> anyhow::Result<()> {
        customer.wait_for(&self.media(customer, "wav"))
    }

    /// Ends it, and with it its recording.
    pub(super) fn complete(&self, customer: &Customer) -> anyhow::Result<()> {
        let path = format!("{}.json", self.path);
        customer.post(&path, &[("Status", "completed")], 200)?;
        Ok(())
    }

    /// Fetches its recording and holds both tracks against what was said.
    pub(super) fn check(&self, customer: &Customer) -> anyhow::Result<Checked> {
        let record = self.record(customer)?;
        let (_, file) = customer.get(&self.media(customer, "wav"))?;
        let samples = dual::samples(&file).with_context(|| self.sid.clone())?;
        let mut checked = Checked {
            packets: 0,
            differences: Vec::new(),
        };
        for (track, stream) in Track::ALL.into_iter().zip(&self.streams) {
            let name = track.as_str();
            let packets = record["tracks"][name]["packets"].as_u64();
            checked.packets +=
                packets.with_context(|| format!("{} counts no packets: {record}", self.sid))?;
            if let Err(difference) = stream.compare(dual::channel(&samples, track)) {
                checked
                    .differences
                    .push(format!("{} {name}: {difference}", self.sid));
            }
        }
        Ok(checked)
    }

    /// Its recording's record.
    pub(super) fn record(&self, customer: &Customer) -> anyhow::Result<serde_json::Value> {
        customer.json(&self.media(customer, "json"))
    }

    fn media(&self, customer: &Customer, extension: &str) -> String {
        customer.path(&format!("/Recordings/{}.{extension}", self.sid))
    }
}
