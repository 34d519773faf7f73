//! LAME, made safe: one encoder instance, owned, with checked sizes.
//!
//! Called by [`super::encode`]; it calls libmp3lame through lame-sys, whose default build links
//! the system's library. All of the crate's `unsafe` is here. What is encoded and how long it is
//! belongs to the caller; which of LAME's settings make good telephone sound is decided here.

use std::ffi::CStr;
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

use lame_sys as ffi;

use super::Layout;
use crate::Error;

/// LAME's effort, 0 (most) to 9. At 7 it shapes no noise, which is made for music and hurts speech
/// at 8 kHz: PESQ of two voices through G.711 is 3.60 and 3.97 at 7, 3.47 and 3.80 at 3, 3.20 and
/// 3.33 at 0. 8 and 9 are the same encoder as 7, to the instruction; 5 and 6 cost 1.7 times as many, 3
/// twice, 0 eleven times. What else could be set saves 2 % (decision 0018).
const QUALITY: u8 = 7;

/// What the Info frame says of it: LAME's own scale, 100 less 40 for its default VBR setting.
pub(super) const QUALITY_IN_TAG: u8 = 60 - QUALITY;

/// LAME's presets for a constant bit rate multiply the sound by 0.95 (−0.45 dB, `presets.c`), as
/// room for what quantisation adds to music mastered at full scale. A recording keeps its level,
/// and G.711's loudest sample leaves 0.17 dB; so the factor is taken back beforehand.
const SCALE: f32 = 1.0 / 0.95;

/// Frames handed to LAME at once.
const CHUNK_FRAMES: usize = 4_608;

/// Room for what LAME makes of one chunk, by the formula in `lame.h`: 1.25 n + 7200.
const CHUNK_BYTES: usize = CHUNK_FRAMES + CHUNK_FRAMES / 4 + 7_200;

/// Held while an instance starts: LAME then fills tables that all instances share.
static STARTING: Mutex<()> = Mutex::new(());

/// One encoder.
#[derive(Debug)]
pub(super) struct Lame {
    flags: NonNull<ffi::lame_global_flags>,
    layout: Layout,
}

// SAFETY: an instance has no tie to the thread that made it, and everything that it changes is
// behind its own pointer, which is never shared: each method that encodes takes `&mut self`. The
// tables that instances share are filled under `STARTING` before an instance can encode; a later
// start writes the same values over them.
unsafe impl Send for Lame {}

impl Lame {
    /// Starts an encoder at a constant bit rate, without LAME's own Info frame.
    pub(super) fn new(layout: Layout) -> Result<Self, Error> {
        let guard = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: no arguments; null means that there is no memory.
        let flags = NonNull::new(unsafe { ffi::lame_init() })
            .ok_or(Error::Encoder("LAME has no memory"))?;
        let lame = Self { flags, layout };
        let (channels, mode) = match layout.stereo {
            false => (1, ffi::MPEG_mode::MONO),
            true => (2, ffi::MPEG_mode::STEREO),
        };
        let rate = i32::try_from(layout.rate_hz).map_err(|_| Error::Encoder("sample rate"))?;
        let gfp = flags.as_ptr();
        // SAFETY: `gfp` is a live instance, and each call only sets a field of it.
        let refused = unsafe {
            [
                ffi::lame_set_num_channels(gfp, channels),
                ffi::lame_set_mode(gfp, mode),
                ffi::lame_set_in_samplerate(gfp, rate),
                ffi::lame_set_out_samplerate(gfp, rate),
                ffi::lame_set_VBR(gfp, ffi::vbr_mode::vbr_off),
                ffi::lame_set_brate(gfp, i32::from(layout.kbps)),
                ffi::lame_set_quality(gfp, i32::from(QUALITY)),
                // Each frame then decodes by itself, for a player that seeks or begins in the
                // middle, and comes out at once; PESQ is the same within 0.05 (speech in frames of
                // 72 ms has little to save up).
                ffi::lame_set_disable_reservoir(gfp, 1),
                ffi::lame_set_scale(gfp, SCALE),
                ffi::lame_set_bWriteVbrTag(gfp, 0),
                ffi::lame_set_findReplayGain(gfp, 0),
            ]
        }
        .iter()
        .any(|&answer| answer < 0);
        // SAFETY: `gfp` is a live instance that has not encoded anything.
        if refused || unsafe { ffi::lame_init_params(gfp) } < 0 {
            return Err(Error::Encoder("LAME refuses its settings"));
        }
        drop(guard);
        Ok(lame)
    }

    /// What LAME's own command line is told for an encoder as [`Lame::new`] starts one.
    pub(super) fn arguments(layout: Layout) -> Vec<String> {
        let mode = if layout.stereo { "s" } else { "m" };
        let kilohertz = f64::from(layout.rate_hz) / 1_000.0;
        let mut arguments = vec![
            "-m".to_owned(),
            mode.to_owned(),
            "--resample".to_owned(),
            kilohertz.to_string(),
            "-b".to_owned(),
            layout.kbps.to_string(),
            "-q".to_owned(),
            QUALITY.to_string(),
            "--scale".to_owned(),
            SCALE.to_string(),
        ];
        // No reservoir, no Info frame, no ReplayGain.
        arguments.extend(["--nores", "-t", "--noreplaygain"].map(str::to_owned));
        arguments
    }

    /// Encodes whole frames and appends what is ready to `out`.
    pub(super) fn encode(&mut self, interleaved: &[i16], out: &mut Vec<u8>) -> Result<(), Error> {
        let gfp = self.flags.as_ptr();
        for chunk in interleaved.chunks(CHUNK_FRAMES * self.layout.channels()) {
            let frames = i32::try_from(chunk.len() / self.layout.channels())
                .map_err(|_| Error::Encoder("chunk too large"))?;
            // LAME's binding asks for `*mut`, the C function for `const`: it only reads.
            let pcm = chunk.as_ptr().cast_mut();
            let layout = self.layout;
            append(out, |bytes, room| match layout.stereo {
                // SAFETY: `gfp` is live and started; `pcm` has `frames` samples, read as left and,
                // since the instance has one channel, not as right; `bytes` has `room` bytes.
                false => unsafe { ffi::lame_encode_buffer(gfp, pcm, pcm, frames, bytes, room) },
                // SAFETY: as above, with two samples a frame.
                true => unsafe {
                    ffi::lame_encode_buffer_interleaved(gfp, pcm, frames, bytes, room)
                },
            })?;
        }
        Ok(())
    }

    /// Appends all that LAME still holds. `lame_encode_flush` pads the last frame and encodes it;
    /// its `nogap` sibling would leave the last samples behind for a file that follows.
    pub(super) fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        let gfp = self.flags.as_ptr();
        append(out, |bytes, room| {
            // SAFETY: `gfp` is live and started; `bytes` has `room` bytes, above the 7200 that
            // `lame.h` asks for.
            unsafe { ffi::lame_encode_flush(gfp, bytes, room) }
        })
    }

    /// Where LAME's low-pass filter ends, in Hz.
    pub(super) fn lowpass_hz(&self) -> u32 {
        // SAFETY: the instance is live; the call reads a field of it.
        let hz = unsafe { ffi::lame_get_lowpassfreq(self.flags.as_ptr()) };
        u32::try_from(hz).unwrap_or_default()
    }
}

impl Drop for Lame {
    fn drop(&mut self) {
        // SAFETY: the instance is live, and nobody has its pointer after this.
        unsafe { ffi::lame_close(self.flags.as_ptr()) };
    }
}

/// LAME's version, such as `3.100`.
pub(super) fn version() -> &'static str {
    // SAFETY: the function returns a string that lives as long as the library, or null.
    let version = unsafe {
        let version = ffi::get_lame_short_version();
        if version.is_null() {
            c""
        } else {
            CStr::from_ptr(version)
        }
    };
    version.to_str().unwrap_or_default()
}

/// Gives `fill` room at the end of `out` and keeps what it says that it filled.
fn append(out: &mut Vec<u8>, fill: impl FnOnce(*mut u8, i32) -> i32) -> Result<(), Error> {
    let before = out.len();
    out.resize(before + CHUNK_BYTES, 0);
    let room = i32::try_from(CHUNK_BYTES).map_err(|_| Error::Encoder("chunk too large"))?;
    let filled = fill(out[before..].as_mut_ptr(), room);
    let kept = usize::try_from(filled).unwrap_or_default().min(CHUNK_BYTES);
    out.truncate(before + kept);
    match filled {
        0.. => Ok(()),
        -1 => Err(Error::Encoder("LAME found no room for its output")),
        -2 => Err(Error::Encoder("LAME has no memory")),
        -3 => Err(Error::Encoder("LAME was not started")),
        _ => Err(Error::Encoder("LAME's psychoacoustic model failed")),
    }
}
