//! A recording's peaks, for drawing it as a wave: the lowest and the highest sample of each point.
//!
//! Called by `recordings`. The format is version 2 of audiowaveform's JSON, which wavesurfer.js and
//! peaks.js read: `data` is lowest, highest, of each channel in turn, point by point
//! (<https://github.com/bbc/audiowaveform/blob/master/doc/DataFormat.md>).
//!
//! The WAV is read once, a piece at a time, by [`READERS`] at once; nothing is kept, since a disk
//! gives an hour of telephone sound in less time than a page takes to draw it. Bounded:
//! [`MOST_POINTS`], so at most some 4 MB of answer.

use std::io::{self, Read};
use std::sync::Arc;

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use reeld_codec::wav;
use reeld_store::{Record, Stage};
use serde::Serialize;

use super::conditions::Validators;
use super::{channels, open, refuse_damaged, respond_with};
use crate::dispatch::Asked;
use crate::fault::{Fault, code};
use crate::params::{Known, Params, Use};

/// Recordings that are read for their peaks at once; further requests wait.
pub(crate) const READERS: usize = 2;

/// Points at most: an hour of telephone sound at the usual [`SAMPLES_PER_PIXEL`] has 112,500.
pub(crate) const MOST_POINTS: u64 = 131_072;

/// What audiowaveform has where it is not told.
const SAMPLES_PER_PIXEL: u64 = 256;

/// Bytes read at a time; whole frames of one or two channels.
const PIECE_BYTES: usize = 64 * 1024;

const SAMPLES: &str = "samples_per_pixel";
const WIDTH: &str = "width";
const BITS: &str = "bits";

pub(crate) const KNOWN: [Known; 4] = [
    ("RequestedChannels", Use::Read),
    (SAMPLES, Use::Read),
    (WIDTH, Use::Read),
    (BITS, Use::Read),
];

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted {
    samples_per_pixel: u64,
    bits: u8,
}

impl Wanted {
    /// What the query wants of `frames` frames.
    fn read(params: &mut Params, frames: u64) -> Result<Self, Fault> {
        let bits = params.choice(BITS, code::INVALID, &[("8", 8), ("16", 16)])?;
        let width = params.number(WIDTH, code::INVALID, 1..=MOST_POINTS)?;
        let samples = params.number(SAMPLES, code::INVALID, 1..=u64::from(u32::MAX))?;
        let samples_per_pixel = match (samples, width) {
            (Some(_), Some(_)) => {
                let why = format_args!("given beside {SAMPLES}, which says the same");
                return Err(Fault::invalid(WIDTH, why));
            }
            (Some(samples), None) => {
                let least = frames.div_ceil(MOST_POINTS).max(1);
                if samples < least {
                    let why = format_args!(
                        "of this recording it must be at least {least}, for {MOST_POINTS} points"
                    );
                    return Err(Fault::invalid(SAMPLES, why));
                }
                samples
            }
            (None, Some(width)) => frames.div_ceil(width).max(1),
            (None, None) => {
                let mut samples = SAMPLES_PER_PIXEL;
                while frames.div_ceil(samples) > MOST_POINTS {
                    samples *= 2;
                }
                samples
            }
        };
        Ok(Self {
            samples_per_pixel,
            bits: bits.unwrap_or(16),
        })
    }
}

/// Answers a GET or HEAD of a recording's peaks.
pub(crate) async fn serve(
    asked: &Asked,
    record: &Record,
    mut params: Params,
) -> Result<Response<Body>, Fault> {
    if record.stage != Stage::Completed {
        return Err(asked.not_found());
    }
    refuse_damaged(record)?;
    params.check(&KNOWN)?;
    let channels = channels(record, &mut params)?;
    let wanted = Wanted::read(&mut params, record.frames)?;
    let what = format!("peaks-{}-{}", wanted.samples_per_pixel, wanted.bits);
    let validators = Validators::of(record, &what, channels);
    if validators.is_unchanged(&asked.headers) {
        return Ok(respond_with(
            StatusCode::NOT_MODIFIED,
            &validators,
            Body::empty(),
        ));
    }
    let turn = Arc::clone(&asked.app.peaks).acquire_owned().await;
    let turn = turn.map_err(|_| Fault::internal())?;
    let (frames, rate_hz) = (record.frames, record.rate_hz);
    let record = record.clone();
    let made = asked
        .app
        .store(move |store| {
            // Held until it is read, whether or not somebody waits for it.
            let _turn = turn;
            let sound = open(store, &record, channels)?;
            Ok(sound.map(|sound| Peaks::of(sound, channels, frames, wanted)))
        })
        .await?
        .ok_or_else(|| asked.not_found())?;
    let peaks = made.map_err(|error| {
        tracing::error!(%error, "a recording could not be read for its peaks");
        Fault::internal()
    })?;
    let json = peaks.json(rate_hz).map_err(|error| {
        tracing::error!(%error, "peaks could not be written");
        Fault::internal()
    })?;
    let mut response = respond_with(StatusCode::OK, &validators, Body::from(json));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    Ok(response)
}

/// The points of a recording.
#[derive(Debug)]
struct Peaks {
    wanted: Wanted,
    channels: usize,
    /// Lowest and highest of each channel, point by point.
    data: Vec<i16>,
}

impl Peaks {
    /// Reads `wav`, of `frames` frames, from its header on.
    fn of(mut wav: impl Read, channels: u16, frames: u64, wanted: Wanted) -> io::Result<Self> {
        let channels = usize::from(channels);
        wav.read_exact(&mut [0; wav::HEADER_BYTES])?;
        let points = frames.div_ceil(wanted.samples_per_pixel);
        let room = usize::try_from(points).map_err(io::Error::other)? * channels * 2;
        let mut data = Vec::with_capacity(room);
        // Of the point that is being read.
        let mut point = vec![(i16::MAX, i16::MIN); channels];
        let mut seen = 0;
        let frame_bytes = channels * usize::from(wav::SAMPLE_BYTES);
        let mut left = frames * frame_bytes as u64;
        let mut piece = vec![0; PIECE_BYTES];
        let mut samples = Vec::new();
        while left > 0 {
            let count = usize::try_from(left).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES));
            wav.read_exact(&mut piece[..count])?;
            left -= count as u64;
            samples.clear();
            wav::bytes_to_samples(&piece[..count], &mut samples);
            let mut rest = &samples[..];
            while !rest.is_empty() {
                let wanting = wanted.samples_per_pixel - seen;
                let frames = wanting.min((rest.len() / channels) as u64);
                let (part, after) = rest.split_at(usize::try_from(frames).unwrap_or(0) * channels);
                for (channel, (low, high)) in point.iter_mut().enumerate() {
                    let mine = part.iter().skip(channel).step_by(channels);
                    (*low, *high) = mine.fold((*low, *high), |(low, high), sample| {
                        (low.min(*sample), high.max(*sample))
                    });
                }
                seen += frames;
                rest = after;
                if seen == wanted.samples_per_pixel || (left == 0 && rest.is_empty()) {
                    data.extend(point.iter().flat_map(|(low, high)| [*low, *high]));
                    point.fill((i16::MAX, i16::MIN));
                    seen = 0;
                }
            }
        }
        Ok(Self {
            wanted,
            channels,
            data,
        })
    }

    /// As audiowaveform writes it.
    fn json(&self, rate_hz: u32) -> serde_json::Result<Vec<u8>> {
        let Wanted {
            samples_per_pixel,
            bits,
        } = self.wanted;
        // As audiowaveform does it, towards 0.
        let divisor = if bits == 8 { 256 } else { 1 };
        serde_json::to_vec(&Waveform {
            version: 2,
            channels: self.channels,
            sample_rate: rate_hz,
            samples_per_pixel,
            bits,
            length: self.data.len() / (2 * self.channels),
            data: self.data.iter().map(|value| value / divisor).collect(),
        })
    }
}

/// audiowaveform's JSON, version 2.
#[derive(Debug, Serialize)]
struct Waveform {
    version: u8,
    channels: usize,
    sample_rate: u32,
    samples_per_pixel: u64,
    bits: u8,
    length: usize,
    data: Vec<i16>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wanted(query: &str, frames: u64) -> Result<Wanted, String> {
        Wanted::read(&mut Params::parse(query).unwrap(), frames).map_err(|fault| fault.message)
    }

    #[test]
    fn how_much_a_point_is() {
        for (query, frames, samples, bits) in [
            ("", 8_000, 256, 16),
            // An hour, and a day: within the bound.
            ("", 28_800_000, 256, 16),
            ("", 691_200_000, 8_192, 16),
            ("samples_per_pixel=1&bits=8", 131_072, 1, 8),
            ("width=800", 8_001, 11, 16),
            ("width=800", 0, 1, 16),
            ("width=131072", 5, 1, 16),
        ] {
            let expected = Wanted {
                samples_per_pixel: samples,
                bits,
            };
            assert_eq!(wanted(query, frames), Ok(expected), "{query} of {frames}");
        }
        for (query, frames) in [
            ("samples_per_pixel=0", 1),
            ("samples_per_pixel=1", 131_073),
            ("width=0", 1),
            ("width=131073", 1),
            ("width=9&samples_per_pixel=9", 1),
            ("bits=24", 1),
        ] {
            let refused = wanted(query, frames).unwrap_err();
            assert!(
                refused.starts_with(query.split('=').next().unwrap()),
                "{query}: {refused}"
            );
        }
    }

    /// The same thing said in another way.
    fn plainly(samples: &[i16], channels: usize, per_pixel: usize) -> Vec<i16> {
        let frames: Vec<&[i16]> = samples.chunks(channels).collect();
        let mut data = Vec::new();
        for point in frames.chunks(per_pixel) {
            for channel in 0..channels {
                data.push(point.iter().map(|frame| frame[channel]).min().unwrap());
                data.push(point.iter().map(|frame| frame[channel]).max().unwrap());
            }
        }
        data
    }

    proptest! {
        #[test]
        fn each_point_has_its_lowest_and_its_highest(
            samples in prop_oneof![
                prop::collection::vec(any::<i16>(), 0..2_000),
                Just((0..70_000).map(|i: u32| u16::try_from(i % 65_521).unwrap().cast_signed()).collect()),
            ],
            channels in 1_u16..=2,
            per_pixel in 1_usize..900,
        ) {
            let count = usize::from(channels);
            let samples = &samples[..samples.len() / count * count];
            let mut bytes = wav::header(channels, 8_000, 0).to_vec();
            wav::samples_to_bytes(samples, &mut bytes);
            let wanted = Wanted { samples_per_pixel: per_pixel as u64, bits: 16 };
            let frames = (samples.len() / count) as u64;
            let peaks = Peaks::of(&bytes[..], channels, frames, wanted).unwrap();
            prop_assert_eq!(&peaks.data, &plainly(samples, count, per_pixel));
            let json: serde_json::Value = serde_json::from_slice(&peaks.json(8_000).unwrap()).unwrap();
            prop_assert_eq!(&json["length"], frames.div_ceil(per_pixel as u64));
            prop_assert_eq!(&json["data"], &serde_json::json!(peaks.data));
        }
    }
}
