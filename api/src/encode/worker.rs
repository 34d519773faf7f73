//! A thread that encodes, one recording after another.
//!
//! [`super::Encoder::new`] starts it. It takes a job under the lock, encodes without it, and takes
//! the lock again to keep the file. `eager`'s thread calls [`carry_out`] too. Memory: one piece of sound and what it is encoded to.

use std::io;
use std::sync::PoisonError;
use std::time::Duration;

use reeld_codec::wav;
use reeld_model::Step;

use super::eager::is_quiet;
use super::format::Coder;
use super::growing::Growing;
use super::{Inner, Job, Key, Shared, priority};

/// Bytes of sound encoded at a time: 4 s of mono.
const PIECE_BYTES: usize = 64 * 1024;

/// How often an encoder that waits for capture looks whether it may go on.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Why a file did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error(transparent)]
    Codec(#[from] reeld_codec::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the daemon is stopping")]
    Stopping,
    #[error("the recording was deleted")]
    Forgotten,
}

/// Encodes what is asked for until the pool ends.
pub(super) fn run(shared: &Shared) {
    priority::lower();
    while let Some(job) = next(shared) {
        let (sid, format) = (job.key.sid, job.key.format.extension());
        let go_on = || {
            wait_for_capture(shared);
            match shared.lock().stopping {
                true => Err(Broken::Stopping),
                false => Ok(()),
            }
        };
        if let Err(error) = carry_out(shared, job, go_on) {
            tracing::error!(%sid, format, %error, "a recording could not be encoded");
        }
        let mut inner = shared.lock();
        inner.idle += 1;
        if is_quiet(&inner) {
            shared.quiet.notify_all();
        }
    }
}

/// Encodes a job's file and puts it into the cache; its readers are told what came of it. `go_on` is
/// called before each piece: it may wait, or end it.
pub(super) fn carry_out(
    shared: &Shared,
    mut job: Job,
    go_on: impl FnMut() -> Result<(), Broken>,
) -> Result<(), Broken> {
    let outcome =
        encode(&mut job, go_on).and_then(|()| Ok(job.growing.temporary().file.finish()?));
    let mut inner = shared.lock();
    match &outcome {
        Ok(()) => keep(&mut inner, job.key, &job.growing),
        Err(_) => job.growing.temporary().remove(),
    }
    inner.running.remove(&job.key);
    drop(inner);
    job.growing.end(outcome.is_ok());
    outcome
}

/// Puts a whole file into the cache; readers have it whole either way.
fn keep(inner: &mut Inner, key: Key, growing: &Growing) {
    if growing.is_forgotten() {
        growing.temporary().remove();
    } else if let Err(error) = inner
        .folder
        .keep(key, growing.temporary(), growing.length())
    {
        tracing::warn!(%error, "an encoded file could not be kept");
        growing.temporary().remove();
    }
}

/// Returns once capture and disk have no more to do than is good, or at the pool's end.
fn wait_for_capture(shared: &Shared) {
    while waits_for_capture(shared) && !shared.lock().stopping {
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Whether capture and disk have more to do than is good.
pub(super) fn waits_for_capture(shared: &Shared) -> bool {
    shared.load.verdict().step >= Step::EncodersWait
}

fn next(shared: &Shared) -> Option<Job> {
    let mut inner = shared.lock();
    loop {
        if inner.stopping {
            return None;
        }
        if let Some(job) = inner.queue.pop_front() {
            inner.idle -= 1;
            return Some(job);
        }
        inner = shared
            .work
            .wait(inner)
            .unwrap_or_else(PoisonError::into_inner);
    }
}

fn encode(job: &mut Job, mut go_on: impl FnMut() -> Result<(), Broken>) -> Result<(), Broken> {
    let channels = job.key.channels;
    let mut encoder = Coder::new(job.key, job.rate_hz, job.frames)?;
    let mut header = [0; wav::HEADER_BYTES];
    job.wav.read_exact(&mut header)?;
    let mut left = job.frames * u64::from(channels) * u64::from(wav::SAMPLE_BYTES);
    let mut piece = vec![0; PIECE_BYTES];
    let (mut samples, mut bytes) = (Vec::new(), Vec::new());
    while left > 0 {
        go_on()?;
        let count = usize::try_from(left).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES));
        job.wav.read_exact(&mut piece[..count])?;
        left -= count as u64;
        samples.clear();
        bytes.clear();
        wav::bytes_to_samples(&piece[..count], &mut samples);
        encoder.encode(&samples, &mut bytes)?;
        job.growing.append(&bytes)?;
    }
    bytes.clear();
    encoder.finish(&mut bytes)?;
    Ok(job.growing.append(&bytes)?)
}
