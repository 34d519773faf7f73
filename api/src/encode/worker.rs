//! A thread that encodes, one recording after another.
//!
//! [`super::Encoder::new`] starts it. It takes a job under the lock, encodes without it, and takes
//! the lock again to keep the file. Memory: one piece of sound and what it is encoded to.

use std::io;
use std::sync::{Arc, PoisonError};

use reeld_codec::wav;

use super::format::Coder;
use super::growing::Growing;
use super::{Inner, Job, Key, Shared, priority};

/// Bytes of sound encoded at a time: 4 s of mono.
const PIECE_BYTES: usize = 64 * 1024;

/// Why a file did not come to its end.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Codec(#[from] reeld_codec::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the daemon is stopping")]
    Stopping,
}

/// Encodes until the pool ends.
pub(super) fn run(shared: &Shared) {
    priority::lower();
    while let Some(mut job) = next(shared) {
        let outcome = encode(&mut job, || shared.lock().stopping)
            .and_then(|()| Ok(job.growing.temporary().file.sync_data()?));
        let mut inner = shared.lock();
        let whole = match outcome {
            Ok(()) => keep(&mut inner, job.key, &job.growing),
            Err(error) => {
                job.growing.temporary().remove();
                let format = job.key.format.extension();
                tracing::error!(sid = %job.key.sid, format, %error, "a recording could not be encoded");
                false
            }
        };
        inner.running.remove(&job.key);
        inner.idle += 1;
        drop(inner);
        job.growing.end(whole);
    }
}

/// Puts a whole file into the cache; readers have it whole either way.
fn keep(inner: &mut Inner, key: Key, growing: &Arc<Growing>) -> bool {
    if growing.is_forgotten() {
        growing.temporary().remove();
    } else if let Err(error) = inner
        .folder
        .keep(key, growing.temporary(), growing.length())
    {
        tracing::warn!(%error, "an encoded file could not be kept");
        growing.temporary().remove();
    }
    true
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

fn encode(job: &mut Job, is_stopping: impl Fn() -> bool) -> Result<(), Broken> {
    let channels = job.key.channels;
    let mut encoder = Coder::new(job.key, job.rate_hz, job.frames)?;
    let mut header = [0; wav::HEADER_BYTES];
    job.wav.read_exact(&mut header)?;
    let mut left = job.frames * u64::from(channels) * u64::from(wav::SAMPLE_BYTES);
    let mut piece = vec![0; PIECE_BYTES];
    let (mut samples, mut bytes) = (Vec::new(), Vec::new());
    while left > 0 {
        if is_stopping() {
            return Err(Broken::Stopping);
        }
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
