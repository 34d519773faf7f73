//! The pool and its cache, against real encodings.

use std::io::Cursor;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use reeld_model::{Readings, Step, Verdict};
use tempfile::TempDir;

use super::*;
use reeld_codec::{mp3, wav};

const FRAMES: u64 = 20_000;

/// For what must come.
pub(super) const BOUND: Duration = Duration::from_secs(30);

pub(super) fn key(n: u8) -> Key {
    Key {
        sid: RecordingSid::from_bytes([n; 16]),
        hash: [n; 8],
        channels: 1,
        format: Format::Mp3,
    }
}

fn encoder(dir: &TempDir, queue: usize, cache_bytes: u64) -> Encoder {
    loaded(dir, queue, cache_bytes, Load::default())
}

fn loaded(dir: &TempDir, queue: usize, cache_bytes: u64, load: Load) -> Encoder {
    Encoder::new(
        NonZeroUsize::MIN,
        queue,
        cache_bytes,
        dir.path().into(),
        load,
        None,
        false,
    )
    .unwrap()
}

pub(super) fn wav_of(frames: u64) -> Wav {
    let mut bytes = wav::header(1, 8_000, u32::try_from(frames * 2).unwrap()).to_vec();
    let samples: Vec<i16> = (0..frames)
        .map(|i| i16::try_from(i % 800 * 20).unwrap())
        .collect();
    wav::samples_to_bytes(&samples, &mut bytes);
    Box::new(Cursor::new(bytes))
}

/// A WAV that says when it is first read, and then waits for leave.
struct Held {
    begun: Option<Sender<()>>,
    leave: Receiver<()>,
    wav: Wav,
}

impl Read for Held {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if let Some(begun) = self.begun.take() {
            begun.send(()).unwrap();
            self.leave.recv().map_err(io::Error::other)?;
        }
        self.wav.read(buf)
    }
}

fn held() -> (Wav, Receiver<()>, Sender<()>) {
    let (begun, has_begun) = channel();
    let (give_leave, leave) = channel();
    let wav = Held {
        begun: Some(begun),
        leave,
        wav: wav_of(FRAMES),
    };
    (Box::new(wav), has_begun, give_leave)
}

pub(super) async fn read_all(mut source: Source, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < length {
        let at = bytes.len();
        let available = usize::try_from(source.available(at as u64).await?).unwrap();
        bytes.resize(available, 0);
        source.read(&mut bytes[at..], at as u64)?;
    }
    Ok(bytes)
}

fn files(dir: &TempDir) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Waits until nothing is encoded.
fn settle(encoder: &Encoder) {
    let deadline = Instant::now() + BOUND;
    while !encoder.shared.lock().running.is_empty() {
        assert!(Instant::now() < deadline, "the encoder hangs");
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn all_who_want_it_share_one_encoding_and_then_the_file() {
    let dir = TempDir::new().unwrap();
    let encoder = encoder(&dir, 4, 1 << 20);
    let length = mp3::encoded_len(1, 8_000, FRAMES).unwrap();
    let (wav, begun, leave) = held();
    let first = encoder.fetch(key(1), 8_000, FRAMES, || Ok(wav)).unwrap();
    begun.recv_timeout(BOUND).unwrap();
    let second = encoder
        .fetch(key(1), 8_000, FRAMES, || unreachable!("it is being made"))
        .unwrap();
    leave.send(()).unwrap();
    let bytes = read_all(first, length).await.unwrap();
    assert_eq!(read_all(second, length).await.unwrap(), bytes);
    settle(&encoder);
    let third = encoder
        .fetch(key(1), 8_000, FRAMES, || unreachable!("it is kept"))
        .unwrap();
    assert_eq!(read_all(third, length).await.unwrap(), bytes);
    assert_eq!(
        files(&dir),
        [format!("{}-{}-1.mp3", key(1).sid, "01".repeat(8))]
    );
}

#[tokio::test]
async fn encoders_wait_for_capture_and_what_is_begun_comes_to_its_end() {
    let dir = TempDir::new().unwrap();
    let load = Load::default();
    let encoder = loaded(&dir, 4, 1 << 20, load.clone());
    let length = mp3::encoded_len(1, 8_000, FRAMES).unwrap();
    let verdict = |step| Verdict {
        step,
        cause: (step > Step::Free).then_some(Cause::Ends(1)),
        readings: Readings::default(),
    };
    load.set(verdict(Step::EncodersWait));
    let (wav, begun, leave) = held();
    let source = encoder.fetch(key(1), 8_000, FRAMES, || Ok(wav)).unwrap();
    begun.recv_timeout(Duration::from_secs(30)).unwrap();
    leave.send(()).unwrap();
    // Two looks of the encoder's, and it has not gone on.
    std::thread::sleep(Duration::from_millis(500));
    assert!(!encoder.shared.lock().running.is_empty());
    load.set(verdict(Step::NoEncodes));
    let cause = Cause::Ends(1);
    let refused = encoder.fetch(key(2), 8_000, FRAMES, || unreachable!("it is refused"));
    assert!(matches!(refused, Err(FetchError::Overloaded(is)) if is == cause));
    // Who wants what is being made shares it all the same.
    let shared = encoder.fetch(key(1), 8_000, FRAMES, || unreachable!("it is made"));
    load.set(verdict(Step::Free));
    let bytes = read_all(source, length).await.unwrap();
    assert_eq!(read_all(shared.unwrap(), length).await.unwrap(), bytes);
    settle(&encoder);
}

#[test]
fn a_full_queue_refuses_and_what_is_asked_for_already_does_not_count() {
    let dir = TempDir::new().unwrap();
    let encoder = encoder(&dir, 1, 1 << 20);
    let (wav, begun, leave) = held();
    encoder.fetch(key(1), 8_000, FRAMES, || Ok(wav)).unwrap();
    begun.recv_timeout(BOUND).unwrap();
    encoder
        .fetch(key(2), 8_000, FRAMES, || Ok(wav_of(FRAMES)))
        .unwrap();
    assert!(matches!(
        encoder.fetch(key(3), 8_000, FRAMES, || unreachable!("there is no room")),
        Err(FetchError::Full(1))
    ));
    encoder
        .fetch(key(2), 8_000, FRAMES, || unreachable!("it waits already"))
        .unwrap();
    leave.send(()).unwrap();
    settle(&encoder);
    encoder
        .fetch(key(3), 8_000, FRAMES, || Ok(wav_of(FRAMES)))
        .unwrap();
    settle(&encoder);
    assert_eq!(files(&dir).len(), 3);
}

#[tokio::test]
async fn sound_that_ends_early_fails_its_readers_and_leaves_nothing() {
    let dir = TempDir::new().unwrap();
    let encoder = encoder(&dir, 1, 1 << 20);
    let source = encoder
        .fetch(key(1), 8_000, FRAMES, || Ok(wav_of(FRAMES / 2)))
        .unwrap();
    assert!(
        read_all(source, mp3::encoded_len(1, 8_000, FRAMES).unwrap())
            .await
            .is_err()
    );
    settle(&encoder);
    assert_eq!(files(&dir), [""; 0]);
}

#[test]
fn what_a_crash_left_of_deleted_recordings_goes_at_the_start() {
    let dir = TempDir::new().unwrap();
    for n in [1, 2] {
        let encoder = encoder(&dir, 1, 1 << 20);
        encoder
            .fetch(key(n), 8_000, FRAMES, || Ok(wav_of(FRAMES)))
            .unwrap();
        settle(&encoder);
    }
    let encoder = encoder(&dir, 1, 1 << 20);
    assert_eq!(files(&dir).len(), 2);
    encoder.keep(|sid| sid != key(1).sid);
    let left = files(&dir);
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0].starts_with(&key(2).sid.to_string()), "{left:?}");
}

#[test]
fn a_deleted_recording_leaves_the_cache_also_while_it_is_made() {
    let dir = TempDir::new().unwrap();
    let encoder = encoder(&dir, 1, 1 << 20);
    encoder
        .fetch(key(1), 8_000, FRAMES, || Ok(wav_of(FRAMES)))
        .unwrap();
    settle(&encoder);
    assert_eq!(files(&dir).len(), 1);
    encoder.forget(key(1).sid);
    assert_eq!(files(&dir), [""; 0]);
    let (wav, begun, leave) = held();
    encoder.fetch(key(2), 8_000, FRAMES, || Ok(wav)).unwrap();
    begun.recv_timeout(BOUND).unwrap();
    encoder.forget(key(2).sid);
    leave.send(()).unwrap();
    settle(&encoder);
    assert_eq!(files(&dir), [""; 0]);
}

#[test]
fn the_folder_keeps_within_its_bound_and_over_a_restart() {
    let dir = TempDir::new().unwrap();
    let length = mp3::encoded_len(1, 8_000, FRAMES).unwrap();
    std::fs::write(dir.path().join("ours.not"), "x").unwrap();
    std::fs::write(dir.path().join("RE00-0-1.mp3"), "x").unwrap();
    {
        let encoder = encoder(&dir, 4, 2 * length);
        for n in 1..=3 {
            encoder
                .fetch(key(n), 8_000, FRAMES, || Ok(wav_of(FRAMES)))
                .unwrap();
            settle(&encoder);
        }
        assert!(
            !files(&dir)
                .iter()
                .any(|name| name.contains(&key(1).sid.to_string()))
        );
    }
    std::fs::write(dir.path().join("half.part"), "x").unwrap();
    let encoder = encoder(&dir, 4, 2 * length);
    assert_eq!(files(&dir).len(), 4, "two of ours, two that are not");
    encoder
        .fetch(key(2), 8_000, FRAMES, || unreachable!("it is kept"))
        .unwrap();
    // A file that was cut is made anew.
    let name = files(&dir)
        .into_iter()
        .find(|name| name.contains(&key(3).sid.to_string()))
        .unwrap();
    std::fs::write(dir.path().join(&name), "x").unwrap();
    encoder
        .fetch(key(3), 8_000, FRAMES, || Ok(wav_of(FRAMES)))
        .unwrap();
    settle(&encoder);
    assert_eq!(
        std::fs::metadata(dir.path().join(name)).unwrap().len(),
        length
    );
}

#[tokio::test]
async fn the_pool_ends_in_the_middle_of_a_recording() {
    let dir = TempDir::new().unwrap();
    let encoder = encoder(&dir, 1, 1 << 20);
    let (wav, begun, leave) = held();
    let source = encoder.fetch(key(1), 8_000, FRAMES, || Ok(wav)).unwrap();
    let waiting = encoder
        .fetch(key(2), 8_000, FRAMES, || Ok(wav_of(FRAMES)))
        .unwrap();
    begun.recv_timeout(BOUND).unwrap();
    leave.send(()).unwrap();
    drop(encoder);
    let length = mp3::encoded_len(1, 8_000, FRAMES).unwrap();
    // The first may have come to its end; the second never began, and its readers do not hang.
    let _ = read_all(source, length).await;
    assert!(read_all(waiting, length).await.is_err());
}

/// A file as it lies in the folder, and what was served of it.
async fn secret(dir: &TempDir) -> (Vec<u8>, Vec<u8>) {
    let one = NonZeroUsize::MIN;
    let load = Load::default();
    let encoder = Encoder::new(one, 4, 1 << 20, dir.path().into(), load, None, true).unwrap();
    let length = mp3::encoded_len(1, 8_000, FRAMES).unwrap();
    let (wav, begun, leave) = held();
    let growing = encoder.fetch(key(1), 8_000, FRAMES, || Ok(wav)).unwrap();
    begun.recv_timeout(BOUND).unwrap();
    leave.send(()).unwrap();
    let served = read_all(growing, length).await.unwrap();
    settle(&encoder);
    let again = encoder.fetch(key(1), 8_000, FRAMES, || unreachable!("it is kept"));
    assert_eq!(read_all(again.unwrap(), length).await.unwrap(), served);
    let names = files(dir);
    assert_eq!(
        names,
        [format!("{}-{}-1.mp3.secret", key(1).sid, "01".repeat(8))]
    );
    (std::fs::read(dir.path().join(&names[0])).unwrap(), served)
}

#[tokio::test]
async fn a_secret_file_is_what_one_in_clear_is_and_shows_nothing_to_a_later_process() {
    let dir = TempDir::new().unwrap();
    let clear = encoder(&dir, 4, 1 << 20);
    let length = mp3::encoded_len(1, 8_000, FRAMES).unwrap();
    let source = clear
        .fetch(key(1), 8_000, FRAMES, || Ok(wav_of(FRAMES)))
        .unwrap();
    let wanted = read_all(source, length).await.unwrap();
    settle(&clear);
    drop(clear);
    // What is there in clear goes, and so does what an earlier process had the key of.
    let mut before = Vec::new();
    for _ in 0..2 {
        let (file, served) = secret(&dir).await;
        assert!(served == wanted);
        assert!(
            !file
                .windows(16)
                .any(|run| wanted.windows(16).any(|other| other == run))
        );
        assert!(file != before);
        before = file;
    }
    drop(encoder(&dir, 4, 1 << 20));
    assert_eq!(files(&dir), [""; 0]);
}
